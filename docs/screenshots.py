"""Make the screenshots of the documents: `python docs/screenshots.py`, with the extra `test-browser`.

Each state is made anew in a page of its own, on a server with the shipped recordings, so that a picture shows
what chatlab is today. Pictures are small (WebP) and named by what they show.
"""

from __future__ import annotations

import argparse
import io
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

HERE = Path(__file__).resolve().parent
SAMPLES = HERE.parent / "configs" / "samples"
CHROMIUM = ("/usr/bin/chromium-headless-shell", "/usr/bin/chromium")
DESK, PHONE = (1440, 900), (390, 844)
ASKED = "What can this page show?"
ARABIC = "ما هي عاصمة فرنسا؟ أجب بجملة واحدة."
CONFIG = f"""
default: samples
backends:
  samples: {{kind: replay, label: Sample answers, recording: "{SAMPLES}/writer.jsonl", speed: 20}}
  brief: {{kind: replay, label: Brief answers, recording: "{SAMPLES}/brief.jsonl", speed: 20}}
  agent: {{kind: replay, label: Sample agent, recording: "{SAMPLES}/agent.jsonl", speed: 20}}
  slow: {{kind: replay, label: At the speed it was recorded, recording: "{SAMPLES}/writer.jsonl"}}
  echo: {{kind: echo, label: Echo, description: Says back what it is told.}}
  away: {{kind: openai, label: A server that is away, model: none, base_url: "http://127.0.0.1:9/v1"}}
  locked: {{kind: databricks, label: Not ready, endpoint: none, host: {{env: DATABRICKS_HOST}}}}
compare: {{lanes: [samples, brief]}}
ui:
  title: Our lab
  examples:
    - text: {ASKED}
    - text: Compare TCP and UDP in a table
    - text: Write a function that merges two sorted lists
"""


@dataclass(frozen=True, slots=True)
class State:
    """A state of a page. shown: brings a page into it. size: width and height in CSS pixels. whole: also what
    is below the fold."""

    name: str
    shown: Callable[[Any, str], None]
    size: tuple[int, int] = DESK
    scheme: Literal["light", "dark"] = "light"
    whole: bool = False
    printed: bool = False


# -- the chat page


def chat(page: Any, url: str) -> None:
    """Open the chat page."""
    page.goto(url)
    page.wait_for_function("document.querySelector('#message textarea')?.placeholder")
    page.wait_for_timeout(500)


def choose(page: Any, label: str) -> None:
    """Choose a backend in the menu of the message box."""
    page.locator(".chatlab-backend").click()
    page.get_by_role("option", name=label).first.click()
    page.wait_for_timeout(500)


def ask(page: Any, text: str) -> None:
    """Send a message, and wait until its answer has ended."""
    ended = "document.querySelectorAll('#conversation .chatlab-at:not(.chatlab-pending)').length"
    before = page.evaluate(ended)
    page.fill("#message textarea", text)
    page.press("#message textarea", "Enter")
    page.wait_for_function(f"n => {ended} > n", arg=before)
    page.wait_for_timeout(700)


def asked(text: str, backend: str | None = None) -> Callable[[Any, str], None]:
    """Return what shows a chat in which one message was asked."""

    def shown(page: Any, url: str) -> None:
        chat(page, url)
        if backend:
            choose(page, backend)
        ask(page, text)

    return shown


def tools(page: Any, url: str) -> None:
    """Show an agent's answer with one of its steps unfolded."""
    asked("Will I need an umbrella in Lisbon tomorrow?", "Sample agent")(page, url)
    page.locator("#conversation .thought-group > .title").nth(1).click()
    page.wait_for_timeout(500)


def streaming(page: Any, url: str) -> None:
    """Show an answer in the middle."""
    chat(page, url)
    choose(page, "At the speed")
    page.fill("#message textarea", "Compare TCP and UDP in a table")
    page.press("#message textarea", "Enter")
    page.wait_for_timeout(1800)


def long(page: Any, url: str) -> None:
    """Show a conversation of many messages."""
    chat(page, url)
    choose(page, "Echo")
    for number in range(12):
        ask(page, f"Message {number + 1}: what was said before this one stays where it is.")


def editing(page: Any, url: str) -> None:
    """Show a message that is edited."""
    asked(ASKED)(page, url)
    page.press("#message textarea", "ArrowUp")
    page.wait_for_selector("#conversation .user-row textarea")
    page.wait_for_timeout(400)


def options(page: Any, url: str) -> None:
    """Show the options of a backend."""
    chat(page, url)
    page.locator("#settings").click()
    page.wait_for_selector("#system textarea:visible")
    page.wait_for_timeout(700)


def menu(page: Any, url: str) -> None:
    """Show the menu of backends."""
    chat(page, url)
    page.locator(".chatlab-backend").click()
    page.wait_for_timeout(500)


def sidebar(page: Any, url: str) -> None:
    """Show the list of conversations over a phone's page."""
    asked(ASKED)(page, url)
    page.locator("#conversations-panel > .toggle-button").click()
    page.wait_for_timeout(700)


# -- the comparison page


def begin(page: Any, url: str, lanes: tuple[str, ...], *, blind: bool = False) -> None:
    """Begin a comparison."""
    page.goto(f"{url}/compare")
    page.wait_for_selector(".setup")
    forms = page.locator(".lane-form")
    while forms.count() < len(lanes):
        page.get_by_role("button", name="Add a lane").click()
    for number, lane in enumerate(lanes):
        forms.nth(number).get_by_label("Backend").select_option(lane)
    if blind:
        page.get_by_label("Blind: names are hidden").check()
    page.get_by_role("button", name="Start").click()
    page.wait_for_selector("#composer textarea:visible")


def question(page: Any, text: str, round_number: int = 1) -> None:
    """Ask all lanes, and wait until they have answered."""
    page.fill("#composer textarea", text)
    page.press("#composer textarea", "Enter")
    page.wait_for_function(
        "n => document.querySelectorAll('.round').length === n"
        " && !document.querySelector('.answer[aria-busy]')",
        arg=round_number,
    )
    page.wait_for_timeout(500)


def compared(*lanes: str, blind: bool = False, text: str = ASKED) -> Callable[[Any, str], None]:
    """Return what shows a comparison in which one message was asked."""

    def shown(page: Any, url: str) -> None:
        begin(page, url, lanes, blind=blind)
        question(page, text)
        page.mouse.wheel(0, -10_000)
        page.wait_for_timeout(300)

    return shown


def voted(page: Any, url: str) -> None:
    """Show a comparison with a vote."""
    compared("samples", "brief")(page, url)
    page.locator(".vote button").first.click()
    page.wait_for_selector(".vote button[aria-pressed=true]")
    page.wait_for_timeout(600)  # it is drawn anew when the vote is stored
    page.locator(".vote").scroll_into_view_if_needed()
    page.wait_for_timeout(600)


def ranked(page: Any, url: str) -> None:
    """Show the ranking of a session with eight votes."""
    begin(page, url, ("samples", "brief", "echo"))
    for number in range(8):
        question(page, ASKED, number + 1)
        page.locator(".vote button").nth(number // 6).click()
        page.wait_for_timeout(300)
    page.get_by_role("button", name="Ranking").click()
    page.wait_for_selector("dialog[open] table")


def report(page: Any, url: str) -> None:
    """Show the report of a session with a vote."""
    voted(page, url)
    page.get_by_role("button", name="Report").click()
    opened = page.locator("dialog").get_by_text("Open the report")
    with page.context.expect_page() as waiting:
        opened.click()
    address = waiting.value.url
    waiting.value.close()
    page.goto(address)
    page.wait_for_timeout(500)


SIX = ("echo", "brief", "samples", "echo", "brief", "samples")
STATES = (
    State("chat-empty", chat),
    State("chat-empty-phone", chat, PHONE),
    State("chat", asked(ASKED)),
    State("chat-dark", asked("Compare TCP and UDP in a table"), scheme="dark"),
    State("chat-phone", asked("Compare TCP and UDP in a table"), PHONE),
    State("chat-streaming", streaming),
    State("chat-tools", tools),
    State("chat-tools-dark-phone", tools, PHONE, "dark"),
    State("chat-error", asked(ASKED, "A server that is away")),
    State("chat-long", long),
    State("chat-right-to-left", asked(ARABIC, "Echo")),
    State("chat-code-dark", asked("Write a function that merges two sorted lists"), scheme="dark"),
    State("chat-edit", editing),
    State("chat-options", options),
    State("chat-menu", menu),
    State("chat-sidebar-phone", sidebar, PHONE),
    State("compare", compared("samples", "brief")),
    State("compare-dark", compared("samples", "brief", text="Compare TCP and UDP in a table"), scheme="dark"),
    State("compare-phone", compared("samples", "brief"), PHONE),
    State("compare-4", compared("samples", "brief", "echo", "agent")),
    State("compare-8", compared("samples", "brief", *SIX)),
    State("compare-blind", compared("samples", "brief", blind=True)),
    State("compare-votes", voted),
    State("compare-ranking", ranked),
    State("report", report, whole=True),
    State("report-print", report, (794, 1123), printed=True),
)


@contextmanager
def server() -> Iterator[str]:
    """Run a server with an empty store, and yield its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "chatlab.yaml"
        file.write_text(CONFIG, "utf-8")
        running = subprocess.Popen(
            [sys.executable, "-m", "chatlab", "serve", str(file), "--port", str(port)], cwd=folder
        )
        try:
            url = f"http://127.0.0.1:{port}"
            _wait(url, running)
            yield url
        finally:
            running.terminate()
            running.wait()


def _wait(url: str, running: subprocess.Popen[bytes]) -> None:
    for _ in range(240):
        if running.poll() is not None:
            raise SystemExit("the server has ended")
        try:
            urllib.request.urlopen(url).close()
            return
        except OSError:
            time.sleep(0.25)
    raise SystemExit("the server did not begin to answer within a minute")


def picture(page: Any, state: State, folder: Path) -> Path:
    """Write the picture of a page, as WebP, and return its file."""
    from PIL import Image

    if state.printed:
        page.emulate_media(media="print")
    taken = Image.open(io.BytesIO(page.screenshot(full_page=state.whole, animations="disabled")))
    if taken.height > 2400:
        taken = taken.crop((0, 0, taken.width, 2400))
    file = folder / f"{state.name}.webp"
    taken.convert("RGB").save(file, quality=60, method=6)
    return file


def main() -> None:
    """Make the pictures that are named, or all."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("names", nargs="*", help="states; all if none is named")
    parser.add_argument("--out", type=Path, default=HERE / "images", help="folder of the pictures")
    given = parser.parse_args()
    wanted = [state for state in STATES if not given.names or state.name in given.names]
    given.out.mkdir(parents=True, exist_ok=True)
    executable = next(path for path in CHROMIUM if Path(path).exists())
    with server() as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        for state in wanted:
            width, height = state.size
            context = browser.new_context(
                viewport={"width": width, "height": height}, color_scheme=state.scheme
            )
            page = context.new_page()
            state.shown(page, url)
            file = picture(page, state, given.out)
            print(f"{file.name}  {file.stat().st_size / 1024:.0f} KB", flush=True)
            context.close()
        browser.close()


if __name__ == "__main__":
    main()
