"""The middleware around the pages: one list, in one order, for pages that are launched and mounted."""

from __future__ import annotations

from typing import Protocol

from starlette.middleware import Middleware
from starlette.types import ASGIApp

from chatlab.lab import Lab
from chatlab.web.identity.gate import sign_in_gate
from chatlab.web.routes import ApiRoutes
from chatlab.web.shared.affinity import AffinityCookie
from chatlab.web.shared.compression import Compressed
from chatlab.web.shared.host_guard import host_guard
from chatlab.web.shared.limits import limits_of
from chatlab.web.shared.owner import BrowserCookie
from chatlab.web.shared.request_guard import RequestGuard
from chatlab.web.shared.safety import SafetyHeaders
from chatlab.web.shared.tab_guard import TabGuard
from chatlab.web.shared.tabs import TabOwners
from chatlab.web.shared.uploads import UploadGuard, UploadOwners
from chatlab.words import Words


class GuardedPage(Protocol):
    """The chat page, as far as its middleware knows it."""

    words: Words

    @property
    def uploads(self) -> UploadOwners: ...

    def session_of(self, event_id: str) -> str | None:
        """Return the hash of the page that an event which waits or runs is of; None for any other."""


def page_middleware(
    lab: Lab, page: GuardedPage, *, path: str = "/", host: str | None = None
) -> list[Middleware]:
    """Return the middleware of the pages below a path, the outermost first.

    host: what the server listens on, if that is not what the configuration says.
    """
    assert lab.config is not None
    ui, server, limits, words = lab.config.ui, lab.config.server, limits_of(lab), page.words
    sessions = lab.config.limits.sessions
    tabs = TabOwners(sessions.total, per_owner=sessions.visitor, per_address=sessions.address)
    ours = Middleware(BrowserCookie, path=path)
    if lab.config.auth is not None:
        ours = sign_in_gate(lab, path)
    upload_bytes = int(10 * ui.max_file_mb * 1_000_000)
    return [
        # Outermost, so that what the others refuse has the headers too.
        Middleware(SafetyHeaders, allowed_hosts=ui.allowed_hosts, framed_by=ui.framed_by, path=path),
        Middleware(AffinityCookie, name=server.affinity_cookie, path=path),
        Middleware(RequestGuard, upload_bytes=upload_bytes, path=path, words=words),
        host_guard(server, host, path, words),
        ours,  # before everything that answers: who asks, and whether they may
        Middleware(TabGuard, tabs=tabs, limits=limits, event_session=page.session_of, path=path, words=words),
        Middleware(UploadGuard, uploads=page.uploads, limits=limits, words=words, path=path),
        Middleware(Compressed, path=path),
        Middleware(ApiRoutes, lab=lab, path=path),
    ]


def wrapped(app: ASGIApp, middleware: list[Middleware]) -> ASGIApp:
    """Return the app inside of the middleware."""
    for one in reversed(middleware):
        app = one.cls(app, *one.args, **one.kwargs)
    return app
