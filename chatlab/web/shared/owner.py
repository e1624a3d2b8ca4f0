"""The owner of what a browser sees: without sign-in, those of a random id that only this browser has.

The cookie is the right to read them, so the database has the owner derived from it and never the cookie
itself: who reads the database cannot pretend to be a browser.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import Mapping
from http.cookies import SimpleCookie

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "chatlab-browser"
_SHAPE = re.compile(r"[A-Za-z0-9_-]{32,64}")
_DAYS = 400  # as long as browsers keep a cookie; each visit begins it anew


def owner_of(cookies: Mapping[str, str]) -> str | None:
    """Return the owner that a request's cookies stand for; None for a client without one."""
    token = cookies.get(COOKIE, "")
    if not _SHAPE.fullmatch(token):
        return None
    return "browser-" + hashlib.sha256(token.encode("ascii")).hexdigest()[:32]


class BrowserCookie:
    """ASGI middleware that gives a browser its id with the first page it opens below a path."""

    def __init__(self, app: ASGIApp, path: str = "/") -> None:
        self._app = app
        self._path = path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET" or not scope["path"].startswith(self._path):
            await self._app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        if "text/html" not in connection.headers.get("accept", ""):
            await self._app(scope, receive, send)
            return
        known = connection.cookies.get(COOKIE, "")
        token = known if _SHAPE.fullmatch(known) else secrets.token_urlsafe(32)
        path = scope.get("root_path", "") + self._path
        cookie = _cookie(token, secure=connection.url.scheme == "https", path=path)

        async def given(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).append("set-cookie", cookie)
            await send(message)

        await self._app(scope, receive, given)


def _cookie(token: str, *, secure: bool, path: str) -> str:
    jar: SimpleCookie = SimpleCookie()
    jar[COOKIE] = token
    cookie = jar[COOKIE]
    cookie["path"] = path
    cookie["max-age"] = _DAYS * 86_400
    cookie["httponly"] = True
    # A Space is shown in a frame of another site, which gets no lax cookies.
    framed = secure and os.environ.get("SYSTEM") == "spaces"
    cookie["samesite"] = "None" if framed else "Lax"
    if secure:
        cookie["secure"] = True
    return cookie.OutputString() + ("; Partitioned" if framed else "")
