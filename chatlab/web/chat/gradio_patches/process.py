"""The patches that are made once a process, for all pages."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, lru_cache
from typing import Any

import anyio.to_thread
import gradio as gr
import gradio.blocks
import gradio.processing_utils
import gradio.route_utils
import gradio.utils
from gradio.routes import App

from chatlab.web.chat.gradio_patches.queue import patch_queueing
from chatlab.web.chat.gradio_patches.routes import answer_directly
from chatlab.web.chat.gradio_patches.shown_text import show_own_html

inline: ContextVar[bool] = ContextVar("inline", default=False)
"""Whether Gradio's values of this event are checked on the event loop."""

_unfinished: ContextVar[bool] = ContextVar("unfinished", default=False)
_ROOTS = 1_000  # addresses of the app that are remembered
_ADDRESS = ("host", "x-forwarded-host", "x-forwarded-proto", "x-gradio-server")


def patch_process() -> None:
    """Patch what every page shares, before the first one is built. May be called again.

    Gradio imports matplotlib at the first event, which takes half a second of the event loop, and sets its
    backend twice an event; where it is not installed, each try searches the whole path. That is left to
    those who have imported it.

    The JSON Schema of a component's value depends on its class alone, and is made anew at every update;
    a turn updates the message box four times.

    Each value of an event goes to a worker thread and back to be checked, about 30 times a turn and 0.2 ms
    each; for small requests to a `PatchedBlocks` that is done where it is. A generator is made by a thread,
    too, although nothing runs in that (0.9 ms).

    The address of the app is made of the request anew at each event, by parsing it three times (0.5 ms); what
    a listener takes is read from its annotations anew (0.1 ms). Each value is searched for files, the texts
    and numbers of the options, too.

    Nothing of Gradio's says when it has made an app. It makes six of a page, 40 ms each, four
    of them while the page is `unfinished`.
    """
    gradio.utils.MatplotlibBackendMananger = _BackendOfMatplotlib
    for component in (gr.MultimodalTextbox, gr.Chatbot):
        component.api_info = lambda _, component=component: _schema(component)
    show_own_html()
    patch_queueing()
    gradio.blocks.anyio = _AnyioInline()
    if not hasattr(App.create_app, "__wrapped__"):
        App.create_app = staticmethod(_with_direct_routes(App.create_app))
        gradio.route_utils.get_root_url = _remembered(gradio.route_utils.get_root_url)
        gradio.utils.get_type_hints = _read_once(gradio.utils.get_type_hints)
        moved = gradio.processing_utils.async_move_files_to_cache
        gradio.processing_utils.async_move_files_to_cache = _of_more_than_one_value(moved)


@contextmanager
def unfinished() -> Iterator[None]:
    """Have Gradio make no app of blocks that are only being put together: nobody could ask it anything."""
    before = _unfinished.set(True)
    try:
        yield
    finally:
        _unfinished.reset(before)


class _BackendOfMatplotlib(gradio.utils.MatplotlibBackendMananger):  # type: ignore[misc]
    """The context that Gradio puts around each event, for those who draw."""

    def __enter__(self) -> None:
        self._draws = "matplotlib" in sys.modules
        if self._draws:
            super().__enter__()

    def __exit__(self, *raised: object) -> None:
        if self._draws:
            super().__exit__(*raised)


class _AnyioInline:
    """Stands for `anyio` in `gradio.blocks`."""

    def __init__(self) -> None:
        self.to_thread = self

    def __getattr__(self, name: str) -> Any:
        return getattr(anyio, name)

    async def run_sync(self, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        if inline.get() and getattr(function, "__name__", "") in ("preprocess", "postprocess"):
            return function(*args)
        if inspect.isasyncgenfunction(function):
            return function(*args)
        return await anyio.to_thread.run_sync(function, *args, **options)


def _with_direct_routes(create_app: Callable[..., App]) -> Callable[..., App | None]:
    @functools.wraps(create_app)
    def created(blocks: gr.Blocks, *args: Any, **kwargs: Any) -> App | None:
        if _unfinished.get():
            return None
        app = create_app(blocks, *args, **kwargs)
        if getattr(blocks, "direct_routes", False):
            answer_directly(app)
        return app

    return created


def _remembered(root_url: Callable[..., str]) -> Callable[..., str]:
    known: dict[tuple[Any, ...], str] = {}

    @functools.wraps(root_url)
    def found(request: Any, route_path: str, root_path: str | None) -> str:
        said = (request.headers.get(name) for name in _ADDRESS)
        scope = request.scope
        where = (scope.get("scheme"), *(scope.get("server") or ()), scope.get("root_path"), scope["path"])
        key = (*said, *where, route_path, root_path)
        if key not in known:
            if len(known) >= _ROOTS:
                known.clear()
            known[key] = root_url(request, route_path, root_path)
        return known[key]

    return found


def _read_once(type_hints: Callable[..., Any]) -> Callable[..., Any]:
    known = lru_cache(maxsize=1_000)(type_hints)
    return functools.wraps(type_hints)(
        lambda fn: known(fn) if inspect.isfunction(fn) else type_hints(fn)  # others may have no hash
    )


def _of_more_than_one_value(moved: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    @functools.wraps(moved)
    async def found(data: Any, *args: Any, **kwargs: Any) -> Any:
        if data is None or isinstance(data, str | int | float):
            return data
        return await moved(data, *args, **kwargs)

    return found


@cache
def _schema(component: type[Any]) -> Any:
    made = component(render=False)
    return super(component, made).api_info()
