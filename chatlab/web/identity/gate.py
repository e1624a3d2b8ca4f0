"""The gate: nothing below a path is answered to anybody who is not signed in, but what signing in needs.

It stands before everything that serves the pages, so that a route that somebody adds later is behind it too.
Who is signed in, it writes into the request's scope, which nothing that a client sends can do.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from urllib.parse import quote, urlsplit
from weakref import WeakKeyDictionary

from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chatlab.errors import ChatlabError, ConfigError, MissingExtra, NotReady, StoreError
from chatlab.identity.errors import ProviderAway, SignInRefused
from chatlab.identity.service import PATIENCE, SignInService, short_name
from chatlab.identity.sessions import Session
from chatlab.lab import Lab
from chatlab.secret import scrub, scrubbed_traceback
from chatlab.store.sign_ins import SignIns
from chatlab.web.identity.documents import sentence_page
from chatlab.web.probes import PATHS
from chatlab.web.shared.cookies import cookie_header
from chatlab.web.shared.endpoint import refused
from chatlab.web.shared.limits import LimitReached, VisitorLimits, limits_of
from chatlab.web.shared.owner import CREDENTIAL, PERSON
from chatlab.web.shared.request_guard import path_below
from chatlab.web.shared.schemas import Me

log = logging.getLogger(__name__)

_SESSION = "chatlab-session"
_BEGUN = "chatlab-sign-in-"
_ENDED = "your sign-in has ended: open this page anew to sign in again"

_OPEN = {("GET", "/gradio_api/startup-events"), *(("GET", path) for path in PATHS)}
"""What is answered to anybody: what Gradio asks itself when it is launched, of which the answer is true or
false, and what machines around a server ask, of which the metrics look at the asker themselves."""


class SignInGate:
    """ASGI middleware that lets people in whom the provider signed in. root_path: as configured."""

    def __init__(
        self,
        app: ASGIApp,
        service: SignInService,
        limits: VisitorLimits,
        path: str = "/",
        root_path: str | None = None,
    ) -> None:
        self._app = app
        self._service = service
        self._limits = limits
        self._path = path.rstrip("/")
        self._root_path = root_path
        self._own: Mapping[tuple[str, str], Callable[[Request], Awaitable[Response]]] = {
            ("GET", service.config.redirect_path): self._come_back,
            ("GET", "/-/signed-out"): self._signed_out,
            ("POST", "/-/sign-out"): self._sign_out,
        }
        self._told: Mapping[tuple[str, str], Callable[[Request, Session], Response]] = {
            ("GET", "/-/me"): self._me,
            ("GET", "/-/signed-in"): self._signed_in,
        }

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
            own = self._own.get(asked)
            if own is not None:
                await (await own(request))(scope, receive, send)
                return
            if asked in _OPEN:
                await self._app(scope, receive, send)
                return
            session = await self._session(request)
            if session is None:
                await (await self._refused(request, below))(scope, receive, send)
                return
        except StoreError as exc:
            incident = secrets.token_hex(4)
            log.error("incident %s: %s\n%s", incident, scrub(str(exc)), scrubbed_traceback(exc))
            sentence = (
                f"it cannot be looked up just now who is signed in: try again soon, incident {incident}"
            )
            await refused(sentence, 503)(scope, receive, send)
            return
        told = self._told.get(asked)
        if told is not None:
            await told(request, session)(scope, receive, send)
            return
        await self._let_in(session, scope, receive, send)

    async def _let_in(self, session: Session, scope: Scope, receive: Receive, send: Send) -> None:
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
            elif not await self._service.sessions.goes_on(session):
                over = True
                message = {"type": "http.response.body", "body": b"", "more_body": False}
            await send(message)

        own = {PERSON: session.person, CREDENTIAL: partial(self._service.credential, session)}
        await self._app({**scope, **own}, receive, guarded)

    # -- who asks

    def _secure(self, request: Request) -> bool:
        return urlsplit(self._base(request)).scheme == "https"

    def _base(self, request: Request) -> str:
        """Return the address of the chat page as the browser knows it, without a slash at its end."""
        public = self._service.config.public_url
        root = self._root_path or str(request.scope.get("root_path", ""))
        if public is not None:
            return public
        if "://" in root:
            return root.rstrip("/") + self._path
        return f"{request.url.scheme}://{request.url.netloc}{root.rstrip('/')}{self._path}"

    def _cookie_path(self, request: Request) -> str:
        return urlsplit(self._base(request)).path or "/"

    def _session_cookie(self, request: Request) -> str:
        """Return the session cookie's name. With this prefix, browsers take it from this very host alone, by
        https, so that no neighbouring host can put a session of its own there."""
        own_host = self._secure(request) and self._cookie_path(request) == "/"
        return f"__Host-{_SESSION}" if own_host else _SESSION

    def _cookie(self, request: Request, name: str, value: str, seconds: int) -> str:
        path = self._cookie_path(request)
        return cookie_header(name, value, seconds=seconds, secure=self._secure(request), path=path)

    async def _session(self, request: Request) -> Session | None:
        session_id = request.cookies.get(self._session_cookie(request))
        return None if not session_id else await self._service.sessions.find(session_id)

    # -- who is not signed in

    async def _refused(self, request: Request, below: str) -> Response:
        """Send whoever opens a page to the provider, and tell every script."""
        mode = request.headers.get("sec-fetch-mode")
        opens = mode == "navigate" or (mode is None and "text/html" in request.headers.get("accept", ""))
        if request.method != "GET" or not opens:
            return refused(_ENDED, 401)
        query = request.scope.get("query_string", b"").decode("latin-1")
        back = quote(below or "/") + (f"?{quote(query, safe='=&%+/:,;@~')}" if query else "")
        redirect_uri = self._base(request) + self._service.config.redirect_path
        try:
            self._limits.charge_sign_in(self._limits.visitor(request))
            url, name, sealed = await self._service.begin(redirect_uri, back)
        except (ChatlabError, LimitReached) as exc:
            return self._failed(request, exc)
        answer = RedirectResponse(url, 303, headers={"cache-control": "no-store"})
        answer.headers.append("set-cookie", self._cookie(request, _BEGUN + name, sealed, PATIENCE))
        return answer

    async def _come_back(self, request: Request) -> Response:
        """Answer the address that the provider sends people to."""
        name = _BEGUN + short_name(request.query_params.get("state", ""))
        before = request.cookies.get(self._session_cookie(request))
        try:
            self._limits.charge_sign_in(self._limits.visitor(request))
            session_id, back, person = await self._service.finish(
                request.query_params, request.cookies.get(name, ""), instead_of=before
            )
        except (SignInRefused, ProviderAway, LimitReached) as exc:
            answer = self._failed(request, exc)
        else:
            log.info("%s signed in", person.owner)
            # Below our own address, whatever it begins with: `//host` alone would lead elsewhere.
            answer = RedirectResponse(self._base(request) + back, 303, headers={"cache-control": "no-store"})
            seconds = self._service.sessions.seconds
            cookie = self._cookie(request, self._session_cookie(request), session_id, seconds)
            answer.headers.append("set-cookie", cookie)
        answer.headers.append("set-cookie", self._cookie(request, name, "", 0))
        return answer

    def _failed(self, request: Request, exc: ChatlabError) -> Response:
        log.warning("a sign-in failed: %s", scrub(str(exc)))
        link = (self._base(request) + "/", "Sign in again")
        return sentence_page("You are not signed in", exc.sentence, link, status=exc.http_status)

    # -- who is signed in

    def _me(self, _: Request, session: Session) -> Response:
        return JSONResponse(Me(name=session.person.name), headers={"cache-control": "no-store"})

    def _signed_in(self, request: Request, session: Session) -> Response:
        """Return the page for a tab that was opened to sign in again beside one that goes on."""
        sentence = f"You are signed in as {session.person.name}. Close this tab and go on in the other one."
        return sentence_page("Signed in", sentence, (f"{self._base(request)}/", "Open the chat here"))

    # -- who signs out

    async def _sign_out(self, request: Request) -> Response:
        """End the session here, and lead on to where it ends at the provider. Of another site's page this is
        never asked: `HostGuard` stands before."""
        name, base = self._session_cookie(request), self._base(request)
        session_id = request.cookies.get(name)
        session = None if not session_id else await self._service.sessions.end(session_id)
        if session is not None:
            log.info("%s signed out", session.person.owner)
        onward = await self._service.provider.sign_out_url(f"{base}/-/signed-out") if session else None
        answer = sentence_page("Signed out", _SIGNED_OUT, (f"{base}/", "Sign in again"), onward=onward)
        answer.headers.append("set-cookie", self._cookie(request, name, "", 0))
        return answer

    async def _signed_out(self, request: Request) -> Response:
        return sentence_page("Signed out", _SIGNED_OUT, (f"{self._base(request)}/", "Sign in again"))


def sign_in_gate(lab: Lab, path: str) -> Middleware:
    """Return the gate of a lab's pages below a path. Raise ConfigError as `sign_in_service` does."""
    assert lab.config is not None
    root_path = lab.config.server.root_path
    service, limits = sign_in_service(lab), limits_of(lab)
    return Middleware(SignInGate, service=service, limits=limits, path=path, root_path=root_path)


_services: WeakKeyDictionary[Lab, SignInService] = WeakKeyDictionary()


def sign_in_service(lab: Lab) -> SignInService:
    """Return what signs people in at a lab's pages: the same for all of them.

    Raise ConfigError where a secret or a library is missing: a page that nobody could sign in at is not
    served.
    """
    assert lab.config is not None and lab.config.auth is not None
    if lab in _services:
        return _services[lab]

    async def rows() -> SignIns:
        storage = await lab.storage()
        if storage is None:
            raise StoreError("auth needs storage: it has who is signed in")
        return storage.store.sign_ins

    try:
        return _services.setdefault(lab, SignInService(lab.config.auth, rows))
    except (NotReady, MissingExtra) as exc:
        raise ConfigError([str(exc)]) from None


_SIGNED_OUT = "You are signed out here."
