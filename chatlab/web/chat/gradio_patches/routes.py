"""The routes that a turn takes, answered without a search through all others."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr
from fastapi import BackgroundTasks
from fastapi.exceptions import RequestValidationError
from gradio.blocks import Blocks
from gradio.data_classes import PredictBody, SimplePredictBody
from gradio.routes import App
from pydantic import ValidationError
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from chatlab.web.chat.gradio_patches.assets import PageAssets
from chatlab.web.chat.gradio_patches.messages import messages_of
from chatlab.web.chat.gradio_patches.refusals import UNREADABLE, refused
from chatlab.web.shared.immutable_files import preloaded
from chatlab.web.shared.static_files import STATIC
from chatlab.web.shared.tabs import BODY

_UNREADABLE = 422


def answer_directly(app: App) -> None:
    """Put the routes that a turn takes in front, without FastAPI's search through 80 routes and its
    four nested dependencies, of which two are handed to worker threads: 1 ms of 1.5 ms a request. So is the
    route that a page holds a connection to while it is open, of which Gradio tells nobody. So are those that
    run an event by its name, where Gradio fails of a name that there is not.

    The functions that answer are Gradio's own, but for the stream of messages. Where it asks people to sign
    in, all is left as it is. So are the page, which says at once what it will load, and those files.
    """
    blocks: Any = app.get_blocks()
    if app.auth is not None or app.auth_dependency is not None:
        blocks.config["head"] = blocks.scripts + blocks.styles + (blocks.config["head"] or "")
        return
    own = dict(endpoints(app.router))
    predict, call, call_by_names, read, join, heartbeat = (
        own[f"/gradio_api/{path}"]
        for path in (
            *("run/{api_name}", "call/{api_name}", "call/v2/{api_name}", "call/{api_name}/{event_id}"),
            *("queue/join", "heartbeat/{session_hash}"),
        )
    )
    asset, assets = own["/assets/{path:path}"], _assets(blocks)
    page: Any = own["/"]
    own_modules = preloaded((f"./{STATIC}/{name}" for name in blocks.modules), late=True)
    begins = f"{blocks.scripts}<script>".encode()
    head = f"{assets.head}{blocks.styles}{own_modules}</head>".encode()

    async def run(request: Request) -> Any:
        name = request.path_params["api_name"]
        body = _body(request, app.get_blocks(), name)
        if body is None:
            return _unreadable()
        answer = await predict(name, body, request, None)
        if refused.get():
            answer.status_code = _UNREADABLE
        return answer

    async def called(request: Request) -> Response:
        name = request.path_params["api_name"]
        body = _simple_body(request, app.get_blocks(), name)
        return _unreadable() if body is None else JSONResponse(await call(name, body, request, None))

    async def joined(request: Request) -> Response:
        body = _body(request, app.get_blocks())
        return _unreadable() if body is None else JSONResponse(await join(body, request, None))

    async def streamed(request: Request) -> Response:
        told = messages_of(app.get_blocks(), request.query_params.get("session_hash", ""))
        return StreamingResponse(told, media_type="text/event-stream")

    async def unreadable(_: Request, __: Exception) -> Response:
        return _unreadable()

    async def present(request: Request) -> Any:
        session_hash, tasks = request.path_params["session_hash"], BackgroundTasks()
        page: Any = app.get_blocks()
        page.closed_pages.opened(session_hash)
        answer: Any = heartbeat(session_hash, request, tasks, None)
        answer.background = tasks
        return answer

    async def opened(request: Request) -> Any:
        deep_link = request.query_params.get("deep_link", "")
        made = await run_in_threadpool(page, request, None, "", deep_link)
        theme = preloaded([f"./theme.css?v={made.context['config']['theme_hash']}"])
        made.body = made.body.replace(b"<script>", begins, 1).replace(b"</head>", theme.encode() + head, 1)
        made.headers["content-length"] = str(len(made.body))
        return made

    async def stored(request: Request) -> Any:
        name = request.path_params["name"]
        return assets.files.response(name, request.headers) or await asset(name)

    app.add_exception_handler(RequestValidationError, unreadable)  # a list of what FastAPI makes of it
    app.router.routes[:0] = [
        *_scripts_left_out(),
        *_posted("/gradio_api/run/{api_name}", run),
        *_posted("/gradio_api/api/{api_name}", run),
        *_posted("/gradio_api/call/{api_name}", called),
        *_posted("/gradio_api/call/v2/{api_name}", _by_names(app, own["/gradio_api/info"], call_by_names)),
        Route("/gradio_api/call/{api_name}/{event_id}", _of_event(app, read), methods=["GET"]),
        Route("/gradio_api/call/v2/{api_name}/{event_id}", _of_event(app, read), methods=["GET"]),
        Route("/gradio_api/queue/join", joined, methods=["POST"]),
        Route("/gradio_api/queue/data", streamed, methods=["GET"]),
        Route("/gradio_api/heartbeat/{session_hash}", present, methods=["GET"]),
        Route("/", opened, methods=["GET"]),
        Route("/assets/{name}", stored, methods=["GET"]),
    ]


def _assets(blocks: Any) -> PageAssets:
    """Return what a page loads for the components that it has from its beginning, and for those of which it
    has all but their elements: Gradio's page asks for what is within something invisible."""
    first, late = [], []
    for block in blocks.blocks.values():
        around = []
        within = block
        while within is not None:
            around.append(within)
            within = within.parent
        hidden = [one for one in around if getattr(one, "visible", True) is False]
        if not hidden:
            first.append(block.get_block_name())
        elif block not in hidden or hidden[0] in blocks.late:
            late.append(block.get_block_name())
    return PageAssets(first, late)


def _by_names(
    app: App, info: Callable[..., Any], call: Callable[..., Awaitable[Any]]
) -> Callable[[Request], Awaitable[Response]]:
    """Return what answers a call that names its values. info, call: Gradio's own."""

    async def called(request: Request) -> Response:
        name, body = request.path_params["api_name"], request.scope[BODY]
        if app.api_info is None:  # some versions know no names before somebody has opened the page
            path = request.scope["path"].rstrip("/").removesuffix(f"/call/v2/{name}") + "/info"
            asked = Request({**request.scope, "path": path, "query_string": b""})
            await run_in_threadpool(info, asked)
        try:
            return JSONResponse(await call(name, body, request, None))
        except (KeyError, TypeError, ValueError):  # of an event, or of values, that there are not
            return _unreadable()

    return called


def _of_event(app: App, read: Callable[..., Awaitable[Any]]) -> Callable[[Request], Awaitable[Any]]:
    """Return what tells the answer of a call. read: Gradio's own, which takes an id that no event has for a
    page's hash, and in some of its versions every id."""

    async def told(request: Request) -> Any:
        event, page = request.path_params["event_id"], app.get_blocks()
        session_hash = page.session_of(event) or event
        answer = await read(request, session_hash)
        answer.background = BackgroundTask(page.forget_call, session_hash)
        return answer

    return told


def _posted(path: str, answer: Callable[[Request], Awaitable[Any]]) -> list[Route]:
    return [Route(path + end, answer, methods=["POST"]) for end in ("", "/")]


_EXPORTED = re.compile(r"export\s*\{([^}]*)\};?\s*$")


def _scripts_left_out() -> Iterator[Route]:
    """Yield routes that stand for the player of HLS streams, which Gradio's message box has each page load
    (0.5 MB, a third of all) and only components that stream media run: it says that it plays nothing.

    A Gradio whose scripts are cut otherwise has no such file, and nothing is left out.
    """
    for script in (Path(gr.__file__).parent / "templates" / "frontend" / "assets").glob("hls-*.js"):
        exported = _EXPORTED.search(script.read_text("utf-8"))
        if exported is None:
            continue
        names = ", ".join(f"no as {one.split(' as ')[-1].strip()}" for one in exported[1].split(","))
        yield Route(f"/assets/{script.name}", _script(f"const no = () => false; export {{ {names} }};"))


def _script(text: str) -> Callable[[Request], Awaitable[Response]]:
    async def script(_: Request) -> Response:
        # Not to be stored: another app of Gradio's at this address has the whole one.
        return Response(text, media_type="text/javascript", headers={"cache-control": "no-store"})

    return script


def endpoints(router: Any) -> Iterator[tuple[str, Callable[..., Awaitable[Any]]]]:
    """Yield an app's paths with the functions that answer; newer versions of FastAPI nest the routers."""
    for route in router.routes:
        if hasattr(route, "original_router"):
            yield from endpoints(route.original_router)
        elif hasattr(route, "endpoint"):
            yield route.path, route.endpoint


def _body(request: Request, page: Blocks, name: str | None = None) -> PredictBody | None:
    """Return what a page sends, which the guard has read; None for what no page does. Gradio would fail of an
    event that is not there, or of one with too few values, and log that as an error of its own. name: of the
    event, without a number.
    """
    try:
        body = PredictBody.model_validate(request.scope[BODY])
    except ValidationError:
        return None
    event = _named(page, name) if body.fn_index is None else page.fns.get(body.fn_index)
    if event is None or event.fn is None or len(body.data) < len(event.inputs):
        return None
    return body


def _simple_body(request: Request, page: Blocks, name: str) -> SimplePredictBody | None:
    """Return what a client sends that calls an event by its name; None for what none does."""
    try:
        return None if _named(page, name) is None else SimplePredictBody.model_validate(request.scope[BODY])
    except ValidationError:
        return None


def _named(page: Blocks, name: str | None) -> Any:
    return next((one for one in page.fns.values() if name and one.api_name == name), None)


def _unreadable() -> Response:
    return JSONResponse({"detail": UNREADABLE}, status_code=_UNREADABLE)
