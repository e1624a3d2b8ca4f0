"""The pages, their scripts and their styles, compressed on the way to the browser."""

from __future__ import annotations

from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from chatlab.web.shared.request_guard import path_below

_LEAST = 500  # bytes below which it is not worth it
_LEVEL = 6  # zlib's own choice: the last steps cost more time than they save bytes


class Compressed:
    """ASGI middleware that compresses the two pages and what `/-/static` has: text, and the same for all.

    Nothing else: streams of events have to arrive as they are written, and what people wrote, or downloads,
    can be long.
    """

    def __init__(self, app: ASGIApp, path: str = "/") -> None:
        self._app = app
        self._compressing = GZipMiddleware(app, minimum_size=_LEAST, compresslevel=_LEVEL)
        self._path = path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = path_below(scope, self._path) if scope["type"] == "http" else None
        ours = asked is not None and (asked in ("", "/", "/compare") or asked.startswith("/-/static/"))
        await (self._compressing if ours else self._app)(scope, receive, send)
