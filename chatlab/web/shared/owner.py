"""The owner of what a browser sees: without sign-in, those of a random id that only this browser has.

The cookie is the right to read them, so the database has the owner derived from it and never the cookie
itself: who reads the database cannot pretend to be a browser.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
from collections.abc import Mapping
from http.cookies import SimpleCookie
from urllib.parse import parse_qs

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse
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


class TabOwners:
    """The owner of each open page. Gradio finds what a page holds by a hash that the page made up: whoever
    knew another's would read it. So a hash belongs to the browser that used it first."""

    def __init__(self, most: int = 20_000) -> None:  # twice as many as Gradio has sessions
        self._owners: dict[str, str | None] = {}
        self._most = most

    def admit(self, session_hash: str | None, owner: str | None) -> bool:
        """Return whether a page is this owner's."""
        if not session_hash:
            return True
        first = self._owners.pop(session_hash, owner)
        self._owners[session_hash] = first  # last again: the dict's order is that of use
        if len(self._owners) > self._most:
            del self._owners[next(iter(self._owners))]
        return first == owner


class TabGuard:
    """ASGI middleware that refuses the streams of a page, and the ending of what it runs, to all but its
    owner. (What a page runs is checked where it is run.)"""

    def __init__(self, app: ASGIApp, tabs: TabOwners) -> None:
        self._app = app
        self._tabs = tabs

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            session_hash = _page_of(scope["path"], scope.get("query_string", b""))
            if scope["method"] == "POST" and scope["path"].rstrip("/").endswith(_NAMING):
                body, receive = await _read(receive)
                if body is None:
                    await PlainTextResponse("that is too long", 413)(scope, receive, send)
                    return
                session_hash = _named(body)
            if session_hash and not self._tabs.admit(session_hash, owner_of(HTTPConnection(scope).cookies)):
                await PlainTextResponse("this page is somebody else's", 403)(scope, receive, send)
                return
        await self._app(scope, receive, send)


_NAMING = ("/gradio_api/cancel", "/gradio_api/reset")
"""Where Gradio takes the page's hash from the body and asks nobody whose it is."""


def _page_of(path: str, query: bytes) -> str | None:
    if path.endswith("/queue/data"):
        return parse_qs(query.decode("latin-1")).get("session_hash", [""])[0]
    _, heartbeat, session_hash = path.rpartition("/heartbeat/")
    return session_hash if heartbeat else None


def _named(body: bytes) -> str | None:
    try:
        session_hash = json.loads(body)["session_hash"]
    except (ValueError, KeyError, TypeError):  # Gradio will say so
        return None
    return session_hash if isinstance(session_hash, str) else None


async def _read(receive: Receive, most: int = 1_000_000) -> tuple[bytes | None, Receive]:
    """Return a request's body, None if it is too long, and how to receive it again."""
    body = bytearray()
    while True:
        message = await receive()
        body.extend(message.get("body", b""))
        if len(body) > most:
            return None, receive
        if message["type"] != "http.request" or not message.get("more_body"):
            break
    again: list[Message] = [
        message if message["type"] != "http.request" else {**message, "body": bytes(body)}
    ]

    async def received() -> Message:
        return again.pop() if again else await receive()

    return bytes(body), received


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
