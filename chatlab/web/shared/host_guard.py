"""Guards what is served by name and by origin.

A page of another site cannot read or change anything here, even where the browser would send our cookie
along: to the browser, every port of localhost is one site. And a foreign name that was made to lead here (DNS
rebinding) is refused, since to the browser its pages would be ours.
"""

from __future__ import annotations

import ipaddress
import os
import re
import socket
from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from chatlab.config.models import Server
from chatlab.web.shared.request_guard import Refused, path_below
from chatlab.words import ENGLISH, Words

_NETLOC = re.compile(r"(?P<name>\[[0-9A-Fa-f:.%]+\]|[^\[\]:/@\s]+)(:(?P<port>\d{1,5}))?")
_LOOPBACK = ("localhost", "*.localhost")
_ANYWHERE = ("0.0.0.0", "::", "")  # noqa: S104 - compared with, not listened on


class HostGuard:
    """ASGI middleware that answers below a path only by an allowed name, and no other origin's requests.

    public: the names that browsers know it by, each with or without `*.` before it, whatever stands between.
    listening: the name or address that the server listens on, if it is not a loopback one. addresses: whether
    any IP address is allowed, which no name can be made to lead to.
    """

    def __init__(
        self,
        app: ASGIApp,
        public: Sequence[str] = (),
        *,
        listening: str | None = None,
        addresses: bool = False,
        path: str = "/",
        words: Words = ENGLISH,
    ) -> None:
        self._app = app
        self._words = words
        self._public = tuple(public)
        self._names = (*_LOOPBACK, *public, *((listening.lower(),) if listening else ()))
        self._addresses = addresses
        self._path = path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or path_below(scope, self._path) is None:
            await self._app(scope, receive, send)
            return
        try:
            self._check(Headers(scope=scope), scope["method"])
        except Refused as exc:
            await PlainTextResponse(self._words.told(exc), exc.http_status)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _check(self, headers: Headers, method: str) -> None:
        hosts = headers.getlist("host")
        if len(hosts) > 1:
            raise Refused("refusal.one-host")
        host = hosts[0] if hosts else None  # a browser always has one
        if host is not None and not self._is_allowed(_name(host)):
            raise Refused("refusal.other-name", 421)
        if self._is_foreign(headers, host, method):
            raise Refused("refusal.other-site", 403)

    def _is_allowed(self, name: str | None) -> bool:
        if name is None:
            return False
        address = _ip(name)
        if address is not None:
            return self._addresses or address.is_loopback or name in self._names
        return _among(name, self._names)

    def _is_foreign(self, headers: Headers, host: str | None, method: str) -> bool:
        """Return whether another site's page sends this. Browsers say so in one of two headers."""
        site = headers.get("sec-fetch-site")
        if site in ("same-origin", "none"):  # no script can set this
            return False
        origin = headers.get("origin")
        if origin is None:
            return site is not None and method not in ("GET", "HEAD")
        netloc = urlsplit(origin).netloc.lower() if "://" in origin else ""
        if host is not None and netloc == host.lower():
            return False
        name = _name(netloc)  # behind a proxy that gives us another Host than the browser has
        return name is None or not _among(name, self._public)


def host_guard(
    server: Server, host: str | None = None, path: str = "/", words: Words = ENGLISH
) -> Middleware:
    """Return the guard of a server: for the names that the configuration allows and those of a Space.

    host: what it listens on, if that is not what the configuration says.
    """
    named = [*server.allowed_hosts, *os.environ.get("SPACE_HOST", "").split(",")]
    if os.environ.get("SYSTEM") == "spaces":
        named.append("*.hf.space")
    named.append(urlsplit(server.root_path or "").hostname or "")
    public = [name.strip().lower() for name in named if name.strip()]
    host = host or server.host
    anywhere = host in _ANYWHERE
    listening = socket.gethostname() if anywhere else host
    return Middleware(HostGuard, public, listening=listening, addresses=anywhere, path=path, words=words)


def _name(netloc: str) -> str | None:
    """Return the name or address of a `Host`, without its port; None if it is not such a one."""
    found = _NETLOC.fullmatch(netloc)
    return None if found is None else found["name"].strip("[]").lower().rstrip(".")


def _ip(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


def _among(name: str, allowed: Sequence[str]) -> bool:
    return any(
        name.endswith(one[1:]) and len(name) >= len(one) if one.startswith("*.") else name == one
        for one in allowed
    )
