"""The owner of what a browser sees: who is signed in; without sign-in, that of a random id that only this
browser has.

The cookie is the right to read them, so the database has the owner derived from it and never the cookie
itself: who reads the database cannot pretend to be a browser.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Mapping
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chatlab.backend import CallContext
from chatlab.identity.person import Person
from chatlab.web.shared.cookies import cookie_header

COOKIE = "chatlab-browser"
PERSON = "chatlab.person"
"""The key under which a request's scope has who is signed in. No header can set it."""

CREDENTIAL = "chatlab.credential"
"""The key under which it has what gives that person's own credential for a service; see `CallContext`."""

_BROWSER = "chatlab.browser"
"""The key under which it has whose a browser's things are, once that was looked at."""

_SHAPE = re.compile(r"[A-Za-z0-9_-]{32,64}")
COOKIE_DAYS = 400  # as long as browsers keep a cookie; each visit begins it anew


def owner_of(request: Any) -> str | None:
    """Return whose a request is, of Starlette's or of Gradio's: the person's who is signed in, or else the
    browser's; None for a client without a cookie."""
    person = person_of(request)
    return browser_of(request) if person is None else person.owner


def browser_of(request: Any) -> str | None:
    """Return whose things a browser has where nobody signs in; None for a client without a cookie."""
    asked = _asked(request)
    scope = getattr(asked, "scope", None)
    if not isinstance(scope, dict):
        return _browser(getattr(asked, "cookies", {}))
    if _BROWSER not in scope:  # it is asked for several times
        scope[_BROWSER] = _browser(asked.cookies)
    found: str | None = scope[_BROWSER]
    return found


def _browser(cookies: Mapping[str, str]) -> str | None:
    token = cookies.get(COOKIE, "")
    if not _SHAPE.fullmatch(token):
        return None
    return "browser-" + hashlib.sha256(token.encode("ascii")).hexdigest()[:32]


def person_of(request: Any) -> Person | None:
    """Return who is signed in; None where nobody has to. Only `chatlab.web.identity` ever says who."""
    scope = getattr(_asked(request), "scope", None)
    return scope.get(PERSON) if isinstance(scope, dict) else None


def _asked(request: Any) -> Any:
    """Return Starlette's request, which Gradio's has inside and makes anew of JSON what it is asked for."""
    return getattr(request, "request", None) or request


def call_context(request: Any) -> CallContext:
    """Return as whom backends are called for a request: as nobody, unless somebody is signed in."""
    person, owner = person_of(request), owner_of(request)
    if person is None:
        return CallContext(owner=owner)
    identity = person.email or person.name
    return CallContext(identity=identity, credential=_asked(request).scope[CREDENTIAL], owner=owner)


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
        secure = connection.url.scheme == "https"
        cookie = cookie_header(COOKIE, token, seconds=COOKIE_DAYS * 86_400, secure=secure, path=path)

        async def given(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).append("set-cookie", cookie)
            await send(message)

        await self._app(scope, receive, given)
