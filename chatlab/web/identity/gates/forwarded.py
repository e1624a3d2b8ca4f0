"""The gate of people whom a platform signs in, which says by headers who asks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from chatlab.config.auth import Forwarded
from chatlab.identity.audit import AuditLog
from chatlab.identity.forwarded import Platform
from chatlab.web.identity.documents import sentence_page
from chatlab.web.identity.gates.base import Gate, Route, Visit
from chatlab.web.shared.limits import VisitorLimits


class ForwardedGate(Gate):
    """A gate that lets people in whom the platform names. It stores nothing of them: each request says it."""

    def __init__(
        self,
        app: ASGIApp,
        config: Forwarded,
        platform: Platform,
        limits: VisitorLimits,
        audit: AuditLog,
        path: str = "/",
        root_path: str | None = None,
    ) -> None:
        super().__init__(app, config, limits, audit, path, root_path)
        self._platform = platform

    def _own(self) -> Mapping[Route, Callable[[Request], Awaitable[Response]]]:
        return {("POST", "/-/sign-out"): self._sign_out}

    async def _visit(self, request: Request) -> Visit:
        visitor = self._platform.visitor(request.headers)
        visitor.person.require_allowed(self._config.allowed)
        return Visit(visitor.person, visitor.credential, _goes_on)

    async def _sign_out(self, request: Request) -> Response:
        platform, base = self._platform, self._base(request)
        if platform.sign_out is None:
            sentence = f"{platform.name} signed you in, and signs you out."
            return sentence_page("You are signed in", sentence, (f"{base}/", "Back to the chat"))
        link = (platform.sign_out, "Sign out")
        sentence = f"{platform.name} signs you out."
        return sentence_page("Signing out", sentence, link, onward=platform.sign_out)


async def _goes_on() -> bool:
    return True
