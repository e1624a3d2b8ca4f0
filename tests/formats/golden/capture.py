"""Captures the histories that Gradio really hands to a chat function, by driving its page in a browser.

    python -m tests.formats.golden.capture

Starts small `gr.ChatInterface`s whose function writes down the exact `history` and `message` it receives,
drives them with a headless Chromium and with gradio_client, and writes one JSON file a scenario beside this
file. Run it again with a new Gradio and read the difference: it is what `chatlab.formats` has to take.

In the files, machine paths and ports are replaced (`/cache/...`, `http://server`), and a component object is
written as `{"$component": class name, "value": ..., "given": its constructor's value}`.
"""

from __future__ import annotations

import asyncio
import atexit
import json
import os
import re
import shutil
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
CACHE = Path(tempfile.mkdtemp(prefix="golden-"))
atexit.register(shutil.rmtree, CACHE, ignore_errors=True)
os.environ["GRADIO_TEMP_DIR"] = str(CACHE)

import gradio as gr  # noqa: E402
from gradio.components import Component  # noqa: E402
from gradio_client import Client, handle_file  # noqa: E402
from playwright.sync_api import Page, expect, sync_playwright  # noqa: E402, TID253 - no test: run by hand

HERE = Path(__file__).parent
CHROMIUM = {
    "executable_path": "/usr/bin/chromium",
    "args": [
        "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
    ],
}  # fmt: skip
# The smallest PNG: one transparent pixel.
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360606060000000"
    "050001a5f645400000000049454e44ae426082"
)
INDENTED = "  two blanks first\n\n\tthen a tab\n    and  blanks   inside \n"


def typed(text: str, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": [{"type": "text", "text": text}], **more}


class Recorder:
    """A chat function that writes down what it gets and answers by the first word of the message."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []

    async def respond(self, message: Any, history: list[Any]) -> AsyncIterator[Any]:
        self.calls.append(json.loads(json.dumps({"history": history, "message": message}, default=plain)))
        text = message if isinstance(message, str) else message["text"]
        number = len(self.calls)
        word = text.split(" ", 1)[0]
        if word == "fail":
            raise gr.Error("as asked")
        if word == "fail-late":
            yield typed("half an ans")
            raise gr.Error("as asked")
        if word == "slow":
            yield typed("partial")
            await asyncio.Event().wait()
        elif word == "several":
            yield [typed("first"), typed("second"), typed(" third, indented")]
        elif word == "bare":
            yield INDENTED
        elif word == "silent":
            return
        elif word == "empty":
            yield typed("")
        elif word == "indented":
            yield typed(INDENTED)
        elif word == "thoughts":
            yield [
                gr.ChatMessage(
                    "I should look.", metadata={"title": "Reasoning", "id": "r1", "status": "done"}
                ),
                gr.ChatMessage(
                    "weather(Oslo)",
                    metadata={"title": "Tool", "id": "t1", "parent_id": "r1", "log": "ran", "duration": 1.5},
                ),
                gr.ChatMessage("rain", metadata={"title": "Result", "parent_id": "t1", "status": "done"}),
                typed("It rains."),
                typed("0.2 s", metadata={"title": "0.2 s", "id": "turn:1", "status": "done", "unknown": "x"}),
            ]
        elif word == "options":
            yield typed("Which?", options=[{"value": "the red one", "label": "Red"}, {"value": "blue"}])
        elif word == "chatmessage":
            yield gr.ChatMessage("as a ChatMessage", metadata={})
        elif word == "component":
            yield gr.HTML("<b>bold</b>")
        elif word == "picture":
            yield gr.Image(str(CACHE / "sample.png"))
        elif word == "path":
            file = {"path": str(CACHE / "sample.png"), "alt_text": "a pixel"}
            yield {"role": "assistant", "content": file}
        elif word == "mixed":
            yield {"role": "assistant", "content": ["see:", {"path": str(CACHE / "sample.png")}]}
        else:
            yield typed(f"answer {number}")


def plain(value: object) -> object:
    if isinstance(value, Component):
        given = value.constructor_args.get("value")
        return {"$component": type(value).__name__, "value": getattr(value, "value", None), "given": given}
    if hasattr(value, "tolist"):
        return "an array"
    raise TypeError(type(value).__name__)


def scrubbed(calls: list[dict[str, Any]], url: str) -> Any:
    """Without anything of this machine: cache folders are numbered as they come."""
    text = json.dumps(calls, ensure_ascii=False)
    folders: dict[str, str] = {}

    def folder(found: re.Match[str]) -> str:
        return folders.setdefault(found[0], f"/cache/{len(folders)}")

    text = re.sub(re.escape(str(CACHE)) + r"/[0-9a-f]{40,}", folder, text)
    text = text.replace(str(CACHE), "/cache").replace(url.rstrip("/"), "http://server")
    return json.loads(text)


class Driver:
    """What a person does on the page."""

    def __init__(self, page: Page, seen: Recorder) -> None:
        self.page = page
        self.seen = seen
        self.box = page.get_by_test_id("textbox").first

    def send(self, text: str, files: list[Path] = []) -> None:  # noqa: B006
        if files:
            self.page.locator("input[type=file]").first.set_input_files([str(f) for f in files])
            expect(self.page.get_by_label("Remove file")).to_have_count(len(files))
        self.box.fill(text)
        self.page.locator("button.submit-button").first.click()

    def turn(self, text: str, files: list[Path] = []) -> None:  # noqa: B006
        before = len(self.seen.calls)
        self.send(text, files)
        self.called(before + 1)
        self.idle()

    def called(self, times: int) -> None:
        """Until the chat function was called so often; the page's own loop goes on meanwhile."""
        for _ in range(200):
            if len(self.seen.calls) >= times:
                return
            self.page.wait_for_timeout(50)
        raise TimeoutError(f"the chat function was called {len(self.seen.calls)} times, not {times}")

    def idle(self) -> None:
        """Until the page takes the next message."""
        expect(self.page.locator("button.submit-button").first).to_be_visible()
        expect(self.box).to_be_enabled()

    def click(self, label: str) -> None:
        self.page.get_by_label(label, exact=True).last.click()


Script = Callable[[Driver, "Files"], None]


class Files:
    """Attachments."""

    def __init__(self, folder: Path) -> None:
        self.png = folder / "pixel.png"
        self.png.write_bytes(PNG)
        self.text = folder / "my notes (1).txt"
        self.text.write_text("  notes\n")
        self.nameless = folder / "README"
        self.nameless.write_text("no suffix\n")


def plain_turns(page: Driver, files: Files) -> None:
    page.turn("hello")
    page.turn(INDENTED)
    page.turn("indented please")
    page.turn("bare please")
    page.turn("the end")


def with_files(page: Driver, files: Files) -> None:
    page.turn("look", [files.png, files.text])
    page.turn("", [files.png])
    page.turn("and this", [files.nameless])
    page.turn("the end")


def assistant_shapes(page: Driver, files: Files) -> None:
    for word in ("several", "empty", "chatmessage", "component", "picture", "path", "mixed"):
        page.turn(f"{word} please")
    page.turn("the end")


def thoughts(page: Driver, files: Files) -> None:
    page.turn("thoughts please")
    page.turn("and now")


def retry(page: Driver, files: Files) -> None:
    page.turn("first")
    page.turn("look", [files.png])
    page.click("Retry")
    page.called(3)
    page.idle()
    page.turn("the end")


def undo(page: Driver, files: Files) -> None:
    page.turn("first")
    page.turn("second, taken back")
    page.click("Undo")
    expect(page.box).to_have_value("second, taken back")
    page.turn("instead")


def edit(page: Driver, files: Files) -> None:
    page.turn("first")
    page.turn("second")
    page.turn("third")
    chat = page.page.get_by_role("log")
    chat.get_by_label("Edit", exact=True).nth(1).click()
    chat.locator("textarea").fill("  second, edited")
    chat.get_by_label("Submit", exact=True).click()
    page.called(4)
    page.idle()
    page.turn("the end")


def option(page: Driver, files: Files) -> None:
    page.turn("options please")
    page.page.get_by_role("button", name="Red").click()
    page.called(2)
    page.idle()
    page.turn("the end")


def stopped(page: Driver, files: Files) -> None:
    page.turn("first")
    page.send("slow please")
    expect(page.page.get_by_text("partial")).to_be_visible()
    page.page.locator("button.stop-button").click()
    page.idle()
    page.turn("go on")


def failed(page: Driver, files: Files) -> None:
    page.turn("first")
    for number, word in enumerate(("fail", "fail-late"), 2):
        page.send(f"{word} please")
        page.called(number)
        page.page.get_by_role("button", name="unlock").click()
        page.idle()
    page.turn("silent please")
    page.turn("again")
    page.turn("")
    page.turn("go on")


SCENARIOS: dict[str, tuple[Script, dict[str, Any]]] = {
    "plain_turns": (plain_turns, {"multimodal": True}),
    "text_only": (plain_turns, {"multimodal": False}),
    "with_files": (with_files, {"multimodal": True}),
    "assistant_shapes": (assistant_shapes, {"multimodal": True}),
    "thoughts": (thoughts, {"multimodal": True}),
    "retry": (retry, {"multimodal": True}),
    "undo": (undo, {"multimodal": True}),
    "edit": (edit, {"multimodal": True}),
    "option": (option, {"multimodal": True}),
    "stopped": (stopped, {"multimodal": True}),
    "failed": (failed, {"multimodal": True}),
}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def served(seen: Recorder, multimodal: bool) -> Iterator[str]:
    with gr.Blocks() as demo:
        chat = gr.ChatInterface(
            seen.respond,
            multimodal=multimodal,
            editable=True,
            chatbot=gr.Chatbot(),
            textbox=gr.MultimodalTextbox(file_count="multiple", stop_btn=True) if multimodal else None,
        )
        # After a failed event Gradio leaves the box disabled: a page of one's own has to unlock it.
        box = gr.MultimodalTextbox if multimodal else gr.Textbox
        gr.Button("unlock").click(
            lambda: box(interactive=True, submit_btn=True, stop_btn=False), None, chat.textbox
        )
    _, url, _ = demo.launch(
        prevent_thread_lock=True, quiet=True, server_port=free_port(), allowed_paths=[str(CACHE)]
    )
    try:
        yield url
    finally:
        demo.close()


def through_the_api(files: Files) -> tuple[Recorder, str]:
    seen = Recorder()
    with served(seen, multimodal=True) as url:
        client = Client(url, verbose=False)
        for word in (
            "hello",
            "several",
            "bare",
            "thoughts",
            "chatmessage",
            "component",
            "picture",
            "path",
            "mixed",
        ):
            client.predict({"text": f"{word} please", "files": []}, api_name="/respond")
        client.predict({"text": "look", "files": [handle_file(str(files.png))]}, api_name="/respond")
        client.predict({"text": "the end", "files": []}, api_name="/respond")
        return seen, url


def write(name: str, seen: Recorder, url: str) -> None:
    golden = {"gradio": gr.__version__, "calls": scrubbed(seen.calls, url)}
    text = json.dumps(golden, indent=1, ensure_ascii=False)
    (HERE / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    print(f"{name}: {len(seen.calls)} calls")


def main(names: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        files = Files(Path(folder))
        (CACHE / "sample.png").write_bytes(PNG)
        browser = playwright.chromium.launch(**CHROMIUM)
        for name, (script, options) in SCENARIOS.items():
            if names and name not in names:
                continue
            seen = Recorder()
            with served(seen, **options) as url:
                page = browser.new_page()
                page.set_default_timeout(20_000)
                page.goto(url)
                script(Driver(page, seen), files)
                page.close()
                write(name, seen, url)
        browser.close()
        if not names or "chat_api" in names:
            write("chat_api", *through_the_api(files))


if __name__ == "__main__":
    main(sys.argv[1:])
