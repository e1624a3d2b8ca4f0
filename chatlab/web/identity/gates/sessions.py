"""The gate of people who sign in here: their sessions, and where they are sent to begin one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp

from chatlab.errors import ChatlabError
from chatlab.identity.audit import AuditLog
from chatlab.identity.errors import ProviderAway, SignInRefused
from chatlab.identity.service import PATIENCE, SignInService, short_name
from chatlab.web.identity.documents import Link, SignInPages
from chatlab.web.identity.gates.base import Gate, Route, Visit
from chatlab.web.shared.cookies import cookie_header
from chatlab.web.shared.limits import LimitReached, VisitorLimits

_SESSION = "chatlab-session"
_BEGUN = "chatlab-sign-in-"


class SessionGate(Gate):
    """A gate that lets people in whom the provider signed in."""

    _needs_a_tab = True
    """Whether nobody can sign in inside a frame: providers let no other site show their pages."""

    def __init__(
        self,
        app: ASGIApp,
        service: SignInService,
        limits: VisitorLimits,
        audit: AuditLog,
        pages: SignInPages,
        path: str = "/",
        root_path: str | None = None,
    ) -> None:
        super().__init__(app, service.config, limits, audit, pages, path, root_path)
        self._service = service

    def _own(self) -> Mapping[Route, Callable[[Request], Awaitable[Response]]]:
        return {
            ("GET", self._service.config.redirect_path): self._come_back,
            ("GET", "/-/signed-out"): self._signed_out,
            ("POST", "/-/sign-out"): self._sign_out,
        }

    async def _visit(self, request: Request) -> Visit | None:
        session_id, service = request.cookies.get(self._session_cookie(request)), self._service
        session = None if not session_id else await service.sessions.find(session_id)
        if session is None:
            return None
        goes_on = partial(service.sessions.goes_on, session)
        return Visit(session.person, partial(service.credential, session), goes_on)

    # -- cookies

    def _session_cookie(self, request: Request) -> str:
        """Return the session cookie's name. With this prefix, browsers take it from this very host alone, by
        https, so that no neighbouring host can put a session of its own there."""
        own_host = self._secure(request) and self._below(request) == "/"
        return f"__Host-{_SESSION}" if own_host else _SESSION

    def _cookie(self, request: Request, name: str, value: str, seconds: int) -> str:
        path = self._below(request)
        return cookie_header(name, value, seconds=seconds, secure=self._secure(request), path=path)

    # -- who signs in

    async def _begin(self, request: Request, back: str) -> tuple[str, str]:
        """Return where to send a person, and the cookie that their browser has meanwhile. Raise LimitReached,
        ProviderAway."""
        await self._limits.charge_sign_in(self._limits.visitor(request))
        redirect_uri = self._base(request) + self._service.config.redirect_path
        url, name, sealed = await self._service.begin(redirect_uri, back)
        return url, self._cookie(request, _BEGUN + name, sealed, PATIENCE)

    async def _asked_in(self, request: Request, below: str) -> Response:
        query = request.scope.get("query_string", b"").decode("latin-1")
        back = quote(below or "/") + (f"?{quote(query, safe='=&%+/:,;@~')}" if query else "")
        if self._needs_a_tab and request.headers.get("sec-fetch-dest") in ("iframe", "frame"):
            link = Link(self._base(request) + back, "sign-in.own-tab", new_tab=True)
            return self._pages.sentence("sign-in.sign-in", "sign-in.framed", link)
        try:
            url, cookie = await self._begin(request, back)
        except (ChatlabError, LimitReached) as exc:
            return self._failed(request, exc)
        answer = RedirectResponse(url, 303, headers={"cache-control": "no-store"})
        answer.headers.append("set-cookie", cookie)
        return answer

    async def _come_back(self, request: Request) -> Response:
        """Answer the address that the provider sends people to."""
        try:
            await self._limits.charge_sign_in(self._limits.visitor(request))
            answer = await self._finished(request, request.query_params)
        except (SignInRefused, ProviderAway, LimitReached) as exc:
            answer = self._failed(request, exc)
        return self._without_begun(request, request.query_params, answer)

    def _without_begun(self, request: Request, answer: Mapping[str, str], response: Response) -> Response:
        """Return a response that takes from the browser what it had of the sign-in of an answer."""
        response.headers.append("set-cookie", self._cookie(request, _begun_cookie(answer), "", 0))
        return response

    def _begun(self, request: Request, answer: Mapping[str, str]) -> str:
        """Return what this browser has of the sign-in that an answer belongs to, sealed."""
        return request.cookies.get(_begun_cookie(answer), "")

    async def _finished(self, request: Request, answer: Mapping[str, str]) -> Response:
        """Return the way back for somebody who is signed in by now. Raise SignInRefused, ProviderAway."""
        before = request.cookies.get(self._session_cookie(request))
        session_id, back, person = await self._service.finish(
            answer, self._begun(request, answer), instead_of=before
        )
        name, address = person.email or person.name, self._limits.visitor(request).address
        self._audit.write("signed in", person.owner, name=name, address=address)
        # Below our own address, whatever it begins with: `//host` alone would lead elsewhere.
        response = RedirectResponse(self._base(request) + back, 303, headers={"cache-control": "no-store"})
        seconds = self._service.sessions.seconds
        cookie = self._cookie(request, self._session_cookie(request), session_id, seconds)
        response.headers.append("set-cookie", cookie)
        return response

    # -- who signs out

    async def _sign_out(self, request: Request) -> Response:
        """End the session here, and lead on to where it ends at the provider. Of another site's page this is
        never asked: `HostGuard` stands before."""
        name, base = self._session_cookie(request), self._base(request)
        session_id = request.cookies.get(name)
        session = None if not session_id else await self._service.sessions.end(session_id)
        if session is not None:
            person = session.person
            self._audit.write("signed out", person.owner, name=person.email or person.name)
        onward = await self._service.provider.sign_out_url(f"{base}/-/signed-out") if session else None
        answer = self._goodbye(request, onward)
        answer.headers.append("set-cookie", self._cookie(request, name, "", 0))
        return answer

    async def _signed_out(self, request: Request) -> Response:
        return self._goodbye(request)

    def _goodbye(self, request: Request, onward: str | None = None) -> Response:
        link = Link(f"{self._base(request)}/", "sign-in.again")
        return self._pages.sentence("sign-in.signed-out", "sign-in.signed-out-here", link, onward)


def _begun_cookie(answer: Mapping[str, str]) -> str:
    return _BEGUN + short_name(answer.get("state", ""))
