"""The cookie that names the server which answered a browser, by which a load balancer leads it there again.

A page has a part of its state in its server's memory alone. A browser that comes to another server is served
all the same: its page loads itself anew there, and goes on with what is stored.
"""

from __future__ import annotations

import os
from secrets import token_hex

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chatlab.web.shared.cookies import cookie_header

NAME_VARIABLE = "CHATLAB_REPLICA"
"""The environment variable with the name of this server; without it, a random one."""

_SECONDS = 86_400


class AffinityCookie:
    """ASGI middleware that tells a browser with each page it opens which server it was. name: the cookie's;
    empty for none."""

    def __init__(self, app: ASGIApp, name: str, path: str = "/") -> None:
        self._app = app
        self._name = name
        self._path = path
        self._server = os.environ.get(NAME_VARIABLE) or token_hex(8)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._name or scope["type"] != "http" or scope["method"] != "GET":
            await self._app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        told = connection.cookies.get(self._name) == self._server
        if told or "text/html" not in connection.headers.get("accept", ""):
            await self._app(scope, receive, send)
            return
        path, secure = scope.get("root_path", "") + self._path, connection.url.scheme == "https"
        cookie = cookie_header(self._name, self._server, seconds=_SECONDS, secure=secure, path=path)

        async def given(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).append("set-cookie", cookie)
            await send(message)

        await self._app(scope, receive, given)
