"""What a person does on the chat page, and what they see."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path
from typing import Any

import uvicorn
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

import chatlab
from chatlab.web.server import create_app
from tests.servers.at_once import AtOnce

# The shell is the same browser without what nobody sees here, and takes a quarter less of the processor.
_SHELL = Path("/usr/bin/chromium-headless-shell")
CHROMIUM = _SHELL if _SHELL.exists() else Path("/usr/bin/chromium")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def expect(locator: Any) -> Any:
    """Playwright's assertions, which wait. Without Playwright these tests are skipped before they ask."""
    from playwright.sync_api import expect as playwrights

    playwrights.set_options(timeout=20_000)  # other tests may have the processor
    return playwrights(locator)


_port = 0  # of this worker's pages, once one was served


def _listening(port: int | None = None) -> socket.socket:
    """At the same port for one page after the other, so that what a browser has cached is there for the next
    one; at another while that is taken."""
    global _port
    # Said to be TCP, or asyncio leaves Nagle's algorithm on: an answer's body would wait 40 ms for its head.
    listening = socket.socket(proto=socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(("127.0.0.1", port or _port))
    except OSError:
        listening.bind(("127.0.0.1", 0))
    _port = _port or listening.getsockname()[1]
    return listening


def free_port() -> int:
    """A port of this machine that nobody listens at just now."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


class Served:
    """The app of a configuration, as `chatlab serve` runs it, in a thread. port: of `free_port`, for a
    configuration that has to know its own address; otherwise any."""

    url: str

    def __init__(self, config: Path, port: int | None = None) -> None:
        self._port = port
        self.lab = chatlab.load(config)
        self._server: AtOnce | None = None
        self._serving = threading.Event()
        self._thread = threading.Thread(
            target=asyncio.run, args=(self._serve(),), name="served page", daemon=True
        )
        self._thread.start()
        assert self._serving.wait(60)
        assert self._server is not None and self._server.ready.wait(60)

    async def _serve(self) -> None:
        listening = _listening(self._port)
        self.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        try:
            # The app is made inside the loop: outside of one, Gradio opens loops that it never closes.
            app = create_app(self.lab)
            self._server = AtOnce(uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=1))
        finally:
            self._serving.set()
        await self._server.serve([listening])

    def stop(self) -> None:
        """Ends it, if it still runs."""
        assert self._server is not None
        if self._thread.is_alive():
            self._server.leave()
            self._thread.join(20)


class ChatPage:
    """One open page."""

    def __init__(self, page: Any, served: Served) -> None:
        self.page = page
        self.served = served
        self.errors: list[str] = []
        self.foreign: list[str] = []
        page.on("pageerror", self._failed)
        page.on("request", self._requested)

    def _failed(self, error: Any) -> None:
        # Gradio's audio player says this of a load that it gave up itself, as the message was painted anew.
        if str(error) != "signal is aborted without reason":
            self.errors.append(str(error))

    def _requested(self, request: Any) -> None:
        if not request.url.startswith((self.served.url, "data:", "blob:")):
            self.foreign.append(request.url)

    def open(self) -> None:
        self.page.goto(self.served.url)
        self.wait_ready()

    def wait_ready(self) -> None:
        """Waits until the message box takes a message."""
        self.page.wait_for_selector("#message textarea")
        self.page.wait_for_function("document.querySelector('#message textarea').placeholder !== ''")

    def ask(self, text: str, *, wait: bool = True) -> None:
        """Types a message, sends it, and waits until its answer has ended."""
        before = self.ended
        self.page.fill("#message textarea", text)
        self.page.press("#message textarea", "Enter")
        if wait:
            self.wait_ended(before + 1)

    def wait_ended(self, count: int) -> None:
        """Waits until so many answers show their figures and the box takes a message again."""
        self.page.wait_for_function(
            "n => [...document.querySelectorAll('#conversation .thought-group > .title')]"
            ".filter(e => e.innerText.includes(' total ')).length >= n"
            " && !document.querySelector('#message textarea').disabled"
            " && !document.querySelector('#message .stop-button')",
            arg=count,
            timeout=30_000,
        )

    def wait_text(self, text: str) -> None:
        self.page.wait_for_function(
            "t => document.querySelector('#conversation').innerText.includes(t)", arg=text, timeout=30_000
        )

    @property
    def ended(self) -> int:
        return len([title for title in self.titles if " total " in title])

    @property
    def titles(self) -> list[str]:
        """The lines of thoughts, tools, notes, errors and figures."""
        found = self.page.eval_on_selector_all(
            "#conversation .thought-group > .title", "all => all.map(e => e.innerText)"
        )
        return [" ".join(title.split()) for title in found]

    @property
    def said(self) -> list[str]:
        """The person's messages on the page."""
        return self._texts("[data-testid=user]")

    @property
    def answers(self) -> list[str]:
        """The answers' visible texts on the page, without thoughts and figures."""
        return [
            text
            for text in self.page.eval_on_selector_all(
                "#conversation [data-testid=bot]",
                "all => all.filter(e => !e.querySelector('.thought-group')).map(e => e.innerText)",
            )
            if text.strip()
        ]

    def _texts(self, selector: str) -> list[str]:
        return list(
            self.page.eval_on_selector_all(f"#conversation {selector}", "all => all.map(e => e.innerText)")
        )

    def choose(self, label: str) -> None:
        """Chooses a backend by what the menu calls it."""
        self.page.click(".chatlab-backend")
        self.page.click(f".chatlab-backends [role=option]:has-text('{label}')")
        expect(self.page.locator(".chatlab-chosen")).to_have_text(label)
        self.page.wait_for_function(
            "t => document.querySelector('#backend input').value.startsWith(t)", arg=label
        )

    def settings(self) -> None:
        self.page.click("#settings")
        self.page.wait_for_selector("#system textarea", state="visible")


def sse(pieces: Iterable[dict[str, Any] | str]) -> list[bytes]:
    """The pieces as server-sent events."""
    return [f"data: {p if isinstance(p, str) else json.dumps(p)}\n\n".encode() for p in pieces]


def chunks(texts: Sequence[str], model: str = "tiny", **usage: int) -> list[bytes]:
    """A Chat Completions stream that says these texts."""

    def chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return {
            "id": "c",
            "object": "chat.completion.chunk",
            "created": 0,
            "model": model,
            "choices": [choice],
        }

    counted = {"prompt_tokens": 5, "completion_tokens": len(texts), "total_tokens": 5 + len(texts), **usage}
    last = {**chunk({}), "choices": [], "usage": counted}
    return sse([*(chunk({"content": text}) for text in texts), chunk({}, "stop"), last, "[DONE]"])


def says(pieces: Sequence[bytes], hold: threading.Event | None = None, after: int = 0) -> Any:
    """A handler that streams these pieces; with `hold`, it waits for that after so many of them."""

    async def handler(_: Request) -> Response:
        async def body() -> AsyncIterator[bytes]:
            for n, piece in enumerate(pieces):
                if hold is not None and n == after:
                    while not hold.is_set():
                        await asyncio.sleep(0.005)
                yield piece

        return StreamingResponse(body(), media_type="text/event-stream")

    return handler
