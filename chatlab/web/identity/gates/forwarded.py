"""The gate of people whom a platform signs in, which says by headers who asks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from chatlab.config.auth import Forwarded
from chatlab.identity.audit import AuditLog
from chatlab.identity.forwarded import Platform
from chatlab.web.identity.documents import Link, SignInPages
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
        pages: SignInPages,
        path: str = "/",
        root_path: str | None = None,
    ) -> None:
        super().__init__(app, config, limits, audit, pages, path, root_path)
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
            link = Link(f"{base}/", "sign-in.back")
            return self._pages.sentence(
                "sign-in.stays", "sign-in.sign-out-there", link, platform=platform.name
            )
        onward = platform.sign_out
        link = Link(onward, "both.sign-out")
        said = ("sign-in.signing-out", "sign-in.signed-out-there")
        return self._pages.sentence(*said, link, onward, platform=platform.name)


async def _goes_on() -> bool:
    return True
