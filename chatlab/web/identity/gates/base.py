"""The base of every gate: nothing below a path is answered to anybody whom it does not know, but what coming
in needs.

It stands before everything that serves the pages, so that a route that somebody adds later is behind it too.
Who somebody is, it writes into the request's scope, which nothing that a client sends can do.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chatlab.config.auth import Auth
from chatlab.credentials import Credential
from chatlab.errors import ChatlabError, StoreError
from chatlab.identity.audit import AuditLog
from chatlab.identity.errors import SignInRefused
from chatlab.identity.person import Person
from chatlab.log import incident
from chatlab.web.identity.documents import Link, SignInPages
from chatlab.web.probes import PATHS
from chatlab.web.shared.endpoint import refused
from chatlab.web.shared.limits import VisitorLimits
from chatlab.web.shared.owner import CREDENTIAL, PERSON
from chatlab.web.shared.request_guard import path_below
from chatlab.web.shared.schemas import Me

log = logging.getLogger(__name__)

_OPEN = {("GET", "/gradio_api/startup-events"), *(("GET", path) for path in PATHS)}
"""What is answered to anybody: what Gradio asks itself when it is launched, of which the answer is true or
false, and what machines around a server ask, of which the metrics look at the asker themselves."""

Route: TypeAlias = tuple[str, str]
"""A method and an address below the page's."""


@dataclass(frozen=True, slots=True)
class Visit:
    """Somebody who asks for something. credential: see `CallContext`. goes_on: whether they may be told more
    of what they asked for."""

    person: Person
    credential: Credential
    goes_on: Callable[[], Awaitable[bool]]


class Gate(ABC):
    """ASGI middleware that lets people in. pages: what it says to those outside. root_path: as configured."""

    def __init__(
        self,
        app: ASGIApp,
        config: Auth,
        limits: VisitorLimits,
        audit: AuditLog,
        pages: SignInPages,
        path: str = "/",
        root_path: str | None = None,
    ) -> None:
        self._app = app
        self._config = config
        self._limits = limits
        self._audit = audit
        self._pages = pages
        self._path = path.rstrip("/")
        self._root_path = root_path
        self._told: Mapping[Route, Callable[[Request, Visit], Response]] = {
            ("GET", "/-/me"): self._me,
            ("GET", "/-/signed-in"): self._signed_in,
        }

    @abstractmethod
    def _own(self) -> Mapping[Route, Callable[[Request], Awaitable[Response]]]:
        """Return what coming in and going out needs, which is answered to anybody."""

    @abstractmethod
    async def _visit(self, request: Request) -> Visit | None:
        """Return who asks; None for somebody who has to sign in. Raise SignInRefused for somebody who may
        not, StoreError."""

    async def _asked_in(self, request: Request, below: str) -> Response:
        """Return what somebody is told who opens a page and has to sign in."""
        return self._failed(request, SignInRefused("refusal.signed-out-page"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        below = path_below(scope, self._path or "/")
        if below is None and not self._path:  # at the root, whatever is asked is ours, nonsense too
            below = str(scope.get("path", ""))
        if scope["type"] == "lifespan" or below is None:
            await self._app(scope, receive, send)
        elif scope["type"] != "http":  # nothing of ours speaks over a socket
            await send({"type": "websocket.close", "code": 1008})
        else:
            await self._answer(scope, receive, send, below)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, below: str) -> None:
        request, asked = Request(scope, receive), (scope["method"], below)
        try:
            own = self._own().get(asked)
            if own is not None:
                await (await own(request))(scope, receive, send)
                return
            if asked in _OPEN:
                await self._app(scope, receive, send)
                return
            visit = await self._visit(request)
            if visit is None:
                await (await self._refused(request, below))(scope, receive, send)
                return
        except SignInRefused as exc:
            said = self._pages.words.told(exc)
            answer = self._failed(request, exc) if _opens(request) else refused(said, exc.http_status)
            await answer(scope, receive, send)
            return
        except StoreError as exc:
            words = self._pages.words
            sentence = words("notice.incident", sentence=words("refusal.who"), incident=incident(log, exc))
            await refused(sentence, 503)(scope, receive, send)
            return
        told = self._told.get(asked)
        if told is not None:
            await told(request, visit)(scope, receive, send)
            return
        await self._let_in(visit, scope, receive, send)

    async def _let_in(self, visit: Visit, scope: Scope, receive: Receive, send: Send) -> None:
        """Have a request answered as this person's, for as long as the sign-in goes on."""
        over = False

        async def guarded(message: Message) -> None:
            nonlocal over
            if over:
                return
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if "text/html" in headers.get("content-type", ""):
                    headers["cache-control"] = "no-store"  # not to be come back to once signed out
            elif not await visit.goes_on():
                over = True
                message = {"type": "http.response.body", "body": b"", "more_body": False}
            await send(message)

        own = {PERSON: visit.person, CREDENTIAL: visit.credential}
        await self._app({**scope, **own}, receive, guarded)

    async def _refused(self, request: Request, below: str) -> Response:
        """Return a way in for whoever opens a page, and a sentence for every script."""
        if not _opens(request):
            return refused(self._pages.words("refusal.signed-out-page"), 401)
        return await self._asked_in(request, below)

    def _failed(self, request: Request, exc: ChatlabError) -> Response:
        self._note_refused(request, exc)
        link = Link(self._base(request) + "/", "sign-in.again")
        return self._pages.failed("sign-in.refused", exc, link)

    def _note_refused(self, request: Request, exc: ChatlabError, name: str | None = None) -> None:
        self._audit.write(
            "refused", None, why=exc.sentence, address=self._limits.visitor(request).address, name=name
        )

    # -- where the pages are

    def _secure(self, request: Request) -> bool:
        public = self._public(request)
        return (request.scope["scheme"] if public is None else urlsplit(public).scheme) == "https"

    def _below(self, request: Request) -> str:
        """Return the path of the chat page as the browser knows it; "/" for a whole host."""
        public = self._public(request)
        path = self._root(request).rstrip("/") + self._path if public is None else urlsplit(public).path
        return path or "/"

    def _root(self, request: Request) -> str:
        return self._root_path or str(request.scope.get("root_path", ""))

    def _public(self, request: Request) -> str | None:
        """Return the address of the chat page where it is configured, without a slash at its end."""
        if self._config.public_url is not None:
            return self._config.public_url
        root = self._root(request)
        return root.rstrip("/") + self._path if "://" in root else None

    def _base(self, request: Request) -> str:
        """Return the address of the chat page as the browser knows it, without a slash at its end."""
        public = self._public(request)
        root = self._root(request).rstrip("/")
        return public or f"{request.url.scheme}://{request.url.netloc}{root}{self._path}"

    # -- who is signed in

    def _me(self, _: Request, visit: Visit) -> Response:
        return JSONResponse(Me(name=visit.person.name), headers={"cache-control": "no-store"})

    def _signed_in(self, request: Request, visit: Visit) -> Response:
        """Return the page for a tab that was opened to sign in again beside one that goes on."""
        link = Link(f"{self._base(request)}/", "sign-in.open-chat")
        return self._pages.sentence("sign-in.signed-in", "sign-in.signed-in-as", link, name=visit.person.name)


def _opens(request: Request) -> bool:
    """Return whether a person opens a page, rather than a script something."""
    mode = request.headers.get("sec-fetch-mode")
    opens = mode == "navigate" or (mode is None and "text/html" in request.headers.get("accept", ""))
    return request.method == "GET" and opens
