"""What the configuration's `ui` and `server` set, as a person meets it on the page."""

from __future__ import annotations

import base64
import contextlib
import csv
import json
import struct
import threading
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.servers.front import Front
from tests.web.pages import ChatPage, chunks, expect, says

pytestmark = pytest.mark.browser

Open = Callable[..., ChatPage]
CHAT = "/v1/chat/completions"
PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
WAV = (
    b"RIFF" + struct.pack("<I", 38) + b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, 8000, 16000, 2, 16)
    + b"data" + struct.pack("<I", 2) + b"\0\0"
)  # fmt: skip


@pytest.fixture
def upstream() -> Iterator[Front]:
    with Front() as front:
        front.on("POST", CHAT, says(chunks(["fine"])))
        yield front


def config(upstream: Front, ui: str = "", options: str = "", server: str = "") -> str:
    return f"""\
version: 1
backends:
  tiny: {{kind: openai, model: tiny, base_url: "{upstream.url}/v1", label: Tiny model{options}}}
ui: {{{ui}}}
server: {{{server}}}
"""


def square(file: Path, colour: tuple[int, int, int]) -> Path:
    """A picture of 8 by 8 points."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + bytes(colour) * 8 for _ in range(8))
    header = struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0)
    data = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + data)
    return file


def asked(upstream: Front) -> Any:
    """What the latest message to the upstream was."""
    return upstream.last.json["messages"][-1]["content"]


def loaded(page: ChatPage, selector: str) -> list[tuple[int, int]]:
    """The sizes of the pictures that the browser could really load."""
    page.page.wait_for_function(
        "s => { const all = [...document.querySelectorAll(s)];"
        " return all.length > 0 && all.every(i => i.complete); }",
        arg=selector,
    )
    sizes = page.page.eval_on_selector_all(selector, "all => all.map(i => [i.naturalWidth, i.naturalHeight])")
    return [tuple(size) for size in sizes]


def test_avatars_are_shown_beside_what_each_said(upstream: Front, open_page: Open, tmp_path: Path) -> None:
    square(tmp_path / "me.png", (200, 0, 0))
    square(tmp_path / "bot.png", (0, 0, 200))
    page = open_page(config(upstream, "avatars: [me.png, bot.png]"))
    page.ask("go")
    assert loaded(page, "#conversation .user-row .avatar-container img") == [(8, 8)]
    assert set(loaded(page, "#conversation .bot-row .avatar-container img")) == {(8, 8)}


def test_the_page_looks_and_is_named_as_the_configuration_says(
    upstream: Front, open_page: Open, tmp_path: Path
) -> None:
    square(tmp_path / "icon.png", (200, 0, 0))
    (tmp_path / "own.css").write_text("#conversation { outline: 3px dashed rgb(1, 2, 3) }", "utf-8")
    (tmp_path / "head.html").write_text("<script>window.ours = 'ours';</script>", "utf-8")
    ui = (
        "css: own.css, head: head.html, favicon: icon.png, layout: panel, full_width: true, autofocus: false,"
        " min_height: 300, max_height: 420, watermark: By a model, buttons: [copy], flagging: manual,"
        " flag_own_messages: true, run_examples_on_click: false, rtl: true,"
        " latex: [{left: $, right: $}], examples: [{text: Tell me one, label: A joke, icon: icon.png}],"
        " labels: {retry: Nochmal, undo: Zurueck, edit: Aendern, copy: Kopieren, clear: Leeren}"
    )
    page = open_page(config(upstream, ui))
    tab = page.page
    assert loaded(page, "#conversation .example img") == [(8, 8)]
    assert tab.evaluate("document.activeElement === document.body")
    tab.click("#conversation .example")
    expect(tab.locator("#message textarea")).to_have_value("Tell me one")
    assert upstream.requests == [], "it waits for the person"
    upstream.on("POST", CHAT, says(chunks(["$x^2$"])))
    page.ask("Tell me one")
    expect(tab.locator("#conversation math msup")).to_be_visible()
    style = "e => [getComputedStyle(e).outlineColor, e.clientHeight >= 300, getComputedStyle(e).maxHeight]"
    assert tab.eval_on_selector("#conversation", style) == ["rgb(1, 2, 3)", True, "420px"]
    assert tab.evaluate("window.ours") == "ours"
    names = tab.eval_on_selector_all("#conversation button", "all => all.map(e => e.title)")
    assert {"Nochmal", "Zurueck", "Aendern", "Kopieren", "Leeren", "Like", "Dislike"} <= set(names)
    widths = "all => all.map(e => Math.round(e.getBoundingClientRect().width))"
    mine, answer = tab.eval_on_selector_all("#conversation .message-row", widths)
    assert mine == answer >= tab.eval_on_selector("#conversation", "e => e.clientWidth") - 40
    assert tab.evaluate("fetch('favicon.ico').then(r => r.headers.get('content-type'))") == "image/png"
    tab.press("#message textarea", "ArrowUp")
    expect(tab.locator("#conversation textarea")).to_be_focused()
    tab.keyboard.press("Escape")
    expect(tab.locator("#conversation textarea")).to_have_count(0)
    tab.context.grant_permissions(["clipboard-read", "clipboard-write"])
    tab.locator("#conversation .bot-row button[title=Kopieren]").last.click()
    tab.wait_for_function("navigator.clipboard.readText().then(t => t.endsWith('By a model'))")
    assert page.foreign == []


def test_an_answer_that_grows_is_not_followed_where_that_is_switched_off(
    upstream: Front, open_page: Open
) -> None:
    go_on = threading.Event()
    upstream.on("POST", CHAT, says(chunks(["one\n\n" * 40, "two\n\n" * 40]), go_on, after=1))
    page = open_page(config(upstream, "autoscroll: false"))
    page.ask("go", wait=False)
    page.wait_text("one")
    log = "document.querySelector('#conversation [role=log]')"
    page.page.wait_for_function(f"{log}.scrollHeight > 2 * {log}.clientHeight")
    before = page.page.evaluate(f"{log}.scrollTop")
    go_on.set()
    page.wait_ended(1)
    assert page.page.evaluate(f"{log}.scrollTop") == before


def flags(folder: Path) -> list[list[str]]:
    with (folder / "flags" / "log.csv").open(encoding="utf-8", newline="") as lines:
        return list(csv.reader(lines))[1:]


def test_a_flag_writes_a_row(upstream: Front, open_page: Open, tmp_path: Path) -> None:
    page = open_page(config(upstream, "flagging: manual, flagging_dir: flags"))
    page.ask("what is it?")
    rows: list[list[str]] = []
    for number, said in enumerate(("Like", "Dislike"), 1):
        page.page.locator(f"#conversation button[aria-label='{said}']").last.click()
        for _ in range(200):
            with contextlib.suppress(FileNotFoundError):
                rows = flags(tmp_path)
            if len(rows) == number:
                break
            page.page.wait_for_timeout(50)
    assert [row[2] for row in rows] == ["Like", "Dislike"]
    for row in rows:
        shown = json.loads(row[0])
        assert shown[0]["content"][0]["text"] == "what is it?"
        assert "fine" in json.dumps(shown[: int(row[1]) + 1])


def test_the_conversation_has_the_configured_height(upstream: Front, open_page: Open) -> None:
    page = open_page(config(upstream, "height: 300"))
    box = page.page.locator("#conversation").bounding_box()
    assert box is not None and round(box["height"]) == 300


def test_a_theme_changes_the_looks_and_asks_nobody_for_its_fonts(upstream: Front, open_page: Open) -> None:
    looks = []
    for theme in ("default", "citrus"):
        page = open_page(config(upstream, f"theme: {theme}"))
        looks.append(
            page.page.evaluate(
                "getComputedStyle(document.querySelector('.gradio-container'))"
                ".getPropertyValue('--button-primary-background-fill')"
            )
        )
        assert page.foreign == []
    assert looks[0] != looks[1]


def test_labels_footer_and_words_are_the_configured_ones(upstream: Front, open_page: Open) -> None:
    ui = (
        "title: Our bench, description: Try *them*, placeholder: Say it, welcome: Hello there,"
        " footer: Made **here**, presets: {Careful: {parameters: {temperature: 0}}},"
        " labels: {backend: Modell, parameters: Optionen, system: Systemprompt,"
        " preset: Vorlage, submit: Senden, stop: Halt}"
    )
    page = open_page(config(upstream, ui))
    assert page.page.title() == "Our bench"
    shown = page.page.inner_text("body")
    for words in ("Our bench", "Try them", "Made here", "Hello there", "Optionen"):
        assert words in shown
    expect(page.page.get_by_role("button", name="Modell: ")).to_be_visible()
    assert page.page.get_attribute("#message textarea", "placeholder") == "Say it"
    assert page.page.inner_text("#message .submit-button") == "Senden"
    page.settings()
    shown = page.page.inner_text("body")
    assert "Systemprompt" in shown and "Vorlage" in shown
    hold = threading.Event()
    upstream.on("POST", CHAT, says(chunks(["fine"]), hold))
    page.ask("go", wait=False)
    page.page.wait_for_selector("#message .stop-button:has-text('Halt')")
    hold.set()
    page.wait_ended(1)
    assert page.page.get_attribute("#message textarea", "placeholder") == "Say it"


def test_an_example_with_an_attachment_sends_text_and_file(
    upstream: Front, open_page: Open, tmp_path: Path
) -> None:
    picture = square(tmp_path / "dot.png", (9, 9, 9)).read_bytes()
    page = open_page(
        config(
            upstream, "examples: [{text: 'What is it?', files: [dot.png], label: A dot}]", ", images: true"
        )
    )
    page.page.click("#conversation button:has-text('A dot')")
    page.wait_ended(1)
    kinds = {part["type"]: part for part in asked(upstream)}
    assert kinds["text"]["text"] == "What is it?"
    assert kinds["image_url"]["image_url"]["url"].endswith(base64.b64encode(picture).decode())
    assert page.answers == ["fine"]
    # The file stays part of the conversation.
    page.ask("and now?")
    assert "image_url" in json.dumps(upstream.last.json["messages"][0])


@pytest.mark.parametrize(
    ("name", "data", "option", "sent"),
    [
        (
            "report.pdf",
            PDF,
            ", files: true",
            {
                "type": "file",
                "file": {
                    "filename": "report.pdf",
                    "file_data": "data:application/pdf;base64," + base64.b64encode(PDF).decode(),
                },
            },
        ),
        (
            "tone.wav",
            WAV,
            ", audio: true",
            {"type": "input_audio", "input_audio": {"data": base64.b64encode(WAV).decode(), "format": "wav"}},
        ),
    ],
    ids=["pdf", "audio"],
)
def test_a_file_reaches_a_backend_that_takes_it(
    upstream: Front, open_page: Open, tmp_path: Path, name: str, data: bytes, option: str, sent: Any
) -> None:
    (tmp_path / name).write_bytes(data)
    page = open_page(config(upstream, options=option))
    page.page.set_input_files("#message input[type=file]", str(tmp_path / name))
    page.page.wait_for_selector("#message .thumbnail-item")
    page.ask("look")
    assert sent in asked(upstream)
    assert page.answers == ["fine"]


@pytest.mark.parametrize(("name", "data"), [("report.pdf", PDF), ("tone.wav", WAV)], ids=["pdf", "audio"])
def test_a_file_that_the_chosen_backend_does_not_take_is_left_out_and_said(
    upstream: Front, open_page: Open, tmp_path: Path, name: str, data: bytes
) -> None:
    (tmp_path / name).write_bytes(data)
    plain = f'  plain: {{kind: openai, model: plain, base_url: "{upstream.url}/v1", label: Text only}}'
    both = config(upstream, options=", files: true, audio: true").replace("ui:", f"{plain}\nui:")
    page = open_page(both)
    page.page.set_input_files("#message input[type=file]", str(tmp_path / name))
    page.page.wait_for_selector("#message .thumbnail-item")
    page.choose("Text only")
    page.ask("look")
    assert asked(upstream) == "look"
    print(page.titles)
    assert any(name in title for title in page.titles)


def test_a_preset_fills_the_controls_and_none_empties_them(upstream: Front, open_page: Open) -> None:
    page = open_page(
        config(upstream, "presets: {Careful: {parameters: {temperature: 0.1, stop: [END]}, system: Think.}}")
    )
    page.settings()

    def choose(name: str, system: str) -> None:
        page.page.click("#preset input")
        page.page.click(f"ul[role=listbox] li:has-text('{name}')")
        page.page.wait_for_function("t => document.querySelector('#system textarea').value === t", arg=system)

    choose("Careful", "Think.")
    page.ask("go")
    body = upstream.last.json
    assert (body["temperature"], body["stop"], body["messages"][0]["content"]) == (0.1, ["END"], "Think.")
    choose("none", "")
    page.ask("go on")
    body = upstream.last.json
    assert "temperature" not in body and "stop" not in body
    assert [message["role"] for message in body["messages"]] == ["user", "assistant", "user"]


def test_a_place_in_the_queue_and_a_full_one_are_said_and_the_box_keeps_the_message(
    upstream: Front, open_page: Open
) -> None:
    hold = threading.Event()
    upstream.on("POST", CHAT, says(chunks(["first ", "fine"]), hold, after=1))
    first = open_page(config(upstream, server="concurrency: 1, queue_size: 1"))
    first.ask("one", wait=False)
    first.wait_text("first")
    second, third = open_page(first.served), open_page(first.served)
    with second.page.expect_response("**/queue/join*"):
        second.ask("two", wait=False)
    second.page.get_by_role("status").get_by_text("Waiting in the queue: place 1 of 1.").wait_for()
    third.ask("three", wait=False)
    told = third.page.locator(".toast-body")
    expect(told).to_contain_text("Too many messages wait for their answers just now.")
    third.page.wait_for_function("document.querySelector('#message textarea').value === 'three'")
    third.page.wait_for_selector("#message .submit-button")
    assert third.said == []
    hold.set()
    first.wait_ended(1)
    second.wait_ended(1)
    second.page.wait_for_selector("#chatlab-waiting", state="detached")
    third.page.press("#message textarea", "Enter")
    third.wait_ended(1)
    assert third.said == ["three"]
    assert third.answers == ["first fine"]
