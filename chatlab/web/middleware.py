"""The middleware around the pages: one list, in one order, for pages that are launched and mounted."""

from __future__ import annotations

from starlette.middleware import Middleware
from starlette.types import ASGIApp

from chatlab.lab import Lab
from chatlab.web.routes import ApiRoutes
from chatlab.web.shared.csp import SafetyHeaders
from chatlab.web.shared.owner import BrowserCookie, TabGuard, TabOwners
from chatlab.web.shared.uploads import UploadGuard, UploadOwners


def page_middleware(lab: Lab, *, tabs: TabOwners, uploads: UploadOwners, path: str = "/") -> list[Middleware]:
    """Return the middleware of the pages below a path, the outermost first."""
    assert lab.config is not None
    return [
        # Outermost, so that refusals of the others have the headers too.
        Middleware(SafetyHeaders, allowed_hosts=lab.config.ui.allowed_hosts, path=path),
        Middleware(BrowserCookie, path=path),
        Middleware(TabGuard, tabs=tabs),
        Middleware(UploadGuard, uploads=uploads),
        Middleware(ApiRoutes, lab=lab, path=path),
    ]


def wrapped(app: ASGIApp, middleware: list[Middleware]) -> ASGIApp:
    """Return the app inside of the middleware."""
    for one in reversed(middleware):
        app = one.cls(app, *one.args, **one.kwargs)
    return app
