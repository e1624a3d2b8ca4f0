"""Launches the page, serves it from an app of its own, and mounts it in anybody else's."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any, Literal

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # before Gradio is imported

import gradio as gr
import uvicorn
from fastapi import FastAPI

from chatlab.garbage import look_less_for_garbage
from chatlab.lab import Lab, load
from chatlab.log import JsonFormatter
from chatlab.secret import ScrubbingFormatter, scrubbed_traceback
from chatlab.store import Store
from chatlab.web.chat.page import Page
from chatlab.web.compare.shown_runs import runs_of
from chatlab.web.identity.gate import sign_in_gate
from chatlab.web.middleware import page_middleware, wrapped
from chatlab.web.shared.allowances import shared_allowances
from chatlab.web.shared.asked import observe_turns
from chatlab.web.shared.limits import limits_of
from chatlab.web.shared.spent import spending_stored

log = logging.getLogger(__name__)


class LaunchedPage(Page):
    """A page that Gradio itself serves, as for `gradio app.py` and a Space, with the page's protections."""

    def __init__(self, lab: Lab) -> None:
        _require_sign_in(lab)
        observe_turns(lab)
        super().__init__(lab)
        self._lab = lab

    def launch(self, *args: Any, **kwargs: Any) -> Any:
        """Launch as `gr.Blocks.launch`, with the page's settings and its protections."""
        launch = super().launch
        host = kwargs.get("server_name") or os.environ.get("GRADIO_SERVER_NAME")

        @asynccontextmanager
        async def lifespan(app: FastAPI) -> AsyncIterator[None]:
            # Around Gradio's own middleware, which would answer some requests before any in `app_kwargs`.
            around = page_middleware(self._lab, self, host=host)
            assert app.middleware_stack is not None  # it serves this very lifespan
            app.middleware_stack = wrapped(app.middleware_stack, around)
            async with _running(self._lab, alone=True):
                yield

        settings = {**self.settings(launch), "app_kwargs": {"lifespan": lifespan}}
        return launch(*args, **{**settings, **kwargs})


def mount(app: FastAPI, lab: Lab, path: str = "/", *, host: str | None = None) -> FastAPI:
    """Mount the chat page at `path`. host: what the server listens on, if not what the configuration says.

    Gradio's own `mount_gradio_app` leaves its checks of file paths switched off (they hold only once an app
    "has launched"), so that any client could read any file of the server; this switches them on.
    """
    _require_sign_in(lab)
    observe_turns(lab)
    page = Page(lab)
    app = gr.mount_gradio_app(app, page, path=path, **page.settings(gr.mount_gradio_app))
    page.has_launched = True
    for one in reversed(page_middleware(lab, page, path=path, host=host)):
        app.add_middleware(one.cls, *one.args, **one.kwargs)
    return app


def _require_sign_in(lab: Lab) -> None:
    """Raise ConfigError where people are to sign in and cannot: now, not in the thread that serves."""
    if lab.config is not None and lab.config.auth is not None:
        sign_in_gate(lab, "/")


def create_app(lab: Lab, *, host: str | None = None, alone: bool = False) -> FastAPI:
    """Return the page as an ASGI app; its backends are closed when it ends. host: as for `mount`. alone: this
    process serves nothing else.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with _running(lab, alone=alone):
            yield

    return mount(FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None), lab, host=host)


@asynccontextmanager
async def _running(lab: Lab, *, alone: bool) -> AsyncIterator[None]:
    """Warm a lab up while its page is there already, and close it at the end, whatever became of that."""
    warming = asyncio.create_task(_warm(lab), name="warm up")
    if alone:
        warming.add_done_callback(lambda _: look_less_for_garbage())
    try:
        async with _counted_together(lab):
            yield
    finally:
        warming.cancel()
        await asyncio.wait([warming])
        await lab.aclose()


@asynccontextmanager
async def _counted_together(lab: Lab) -> AsyncIterator[None]:
    """Have the limits hold for all servers of the lab's database, before anybody asks."""
    assert lab.config is not None
    limits = limits_of(lab)

    async def store() -> Store:
        storage = await lab.storage()
        assert storage is not None  # or nothing is counted there
        return storage.store

    async with AsyncExitStack() as together:
        if lab.config.storage is not None:
            if limits.limits_days:
                await together.enter_async_context(spending_stored(limits.spending, store))
            limits.shared = await together.enter_async_context(shared_allowances(store))
        yield


async def _warm(lab: Lab) -> None:
    try:
        await lab.warm_up()
    except Exception as exc:  # noqa: BLE001 - whoever needs what failed is told
        log.error("not all could be made ready before it is asked for\n%s", scrubbed_traceback(exc))


def serve(
    config: str | os.PathLike[str],
    host: str | None = None,
    port: int | None = None,
    run: Path | None = None,
) -> None:
    """Serve a configuration until interrupted. Raise ConfigError before anything listens.

    run: the folder of a run of `chatlab compare` that the page opens, at an address that is printed.
    """
    lab = load(Path(config))
    assert lab.config is not None
    server = lab.config.server
    _log_without_secrets(server.log)
    host = host or server.host
    uvicorn_config = uvicorn.Config(
        create_app(lab, host=host, alone=True),
        host=host,
        port=server.port if port is None else port,
        log_level="warning",  # of its start one line says enough
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=3,
    )
    root = server.root_path or ""
    shown = None if run is None else f"{root}/compare?run={runs_of(lab).add(run)}"
    running = _Server(uvicorn_config, lab, shown)
    with suppress(KeyboardInterrupt):
        running.run()
    if not running.started:
        raise SystemExit(_NOT_STARTED)


_LAST_EVENTS = 0.5  # seconds in which the pages are told of the end of their answers
_NOT_STARTED = 3  # the exit code of uvicorn's own command


class _Server(uvicorn.Server):
    """A server that prints one line with the page's title and address once the page is there, and another
    with the address of the run that is `shown`, below that. Told to end (SIGTERM), it lets the answers that
    run come to their end, for some seconds."""

    def __init__(self, uvicorn_config: uvicorn.Config, lab: Lab, shown: str | None) -> None:
        super().__init__(uvicorn_config)
        assert lab.config is not None
        self._lab = lab
        self._title = lab.config.ui.title
        self._shown = shown
        self._log = lab.config.server.log
        self._drain_seconds = lab.config.server.drain_seconds
        self._loop: asyncio.AbstractEventLoop | None = None  # once it listens
        self._draining: asyncio.Task[None] | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End: at the first SIGTERM after the answers that run, else at once."""
        if sig != signal.SIGTERM or self._draining is not None or self._loop is None:
            super().handle_exit(sig, frame)
        else:
            self._loop.call_soon_threadsafe(self._begin_to_drain)

    def _begin_to_drain(self) -> None:
        limits_of(self._lab).draining = True
        self._draining = asyncio.create_task(self._drain(), name="drain")
        self._draining.add_done_callback(lambda _: self.handle_exit(signal.SIGTERM, None))

    async def _drain(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._drain_seconds):
                while self._lab.backends.turns:  # noqa: ASYNC110 - once, at the end of a server
                    await asyncio.sleep(0.05)
                await asyncio.sleep(_LAST_EVENTS)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        if self.started and self.servers:
            name = self.servers[0].sockets[0].getsockname()
            everywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - to be said, not to be listened on
            host = everywhere.get(name[0], name[0])
            address = f"http://{f'[{host}]' if ':' in host else host}:{name[1]}"
            self._say(f"{self._title}: {address}")
            if self._shown is not None:
                self._say(f"the run: {address}{self._shown}")

    def _say(self, line: str) -> None:
        """Say a line on standard error: as it is, unless programs read there."""
        if self._log == "json":
            log.info("%s", line)
        else:
            print(line, file=sys.stderr, flush=True)  # noqa: T201


def _log_without_secrets(form: Literal["text", "json"] = "text") -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(ScrubbingFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])  # the command has made one like it already
    if form == "json":
        logging.captureWarnings(True)
        for one in logging.getLogger().handlers:
            if isinstance(one.formatter, ScrubbingFormatter):
                one.setFormatter(JsonFormatter())
    for client in ("httpx", "httpx2"):  # each names every URL it asks, and at INFO for every turn
        logging.getLogger(client).setLevel(logging.WARNING)
