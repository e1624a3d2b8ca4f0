"""The offer to take along what a browser had before its person signed in.

The right to it is the browser's own cookie, which only that browser has and no script reads; what is a
person's cannot be named by one.
"""

from __future__ import annotations

import hashlib

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from chatlab.conversations.service import StorageService
from chatlab.lab import Lab
from chatlab.store import Movable
from chatlab.web.conversations.schemas import Along
from chatlab.web.shared.asked import audit_of
from chatlab.web.shared.cookies import cookie_header
from chatlab.web.shared.owner import COOKIE_DAYS, browser_of, person_of

_LEFT = "chatlab-left"
_NOTHING = Movable(0, 0)


class TakenAlong:
    """The routes by which a person learns what their browser had, takes it, or leaves it where it is."""

    def __init__(self, lab: Lab) -> None:
        self._audit = audit_of(lab)

    async def told(self, storage: StorageService, owner: str, request: Request) -> Response:
        """Answer how much there is: nothing to who is not signed in, or chose to leave it."""
        browser = _browser_of(request)
        if browser is None or request.cookies.get(_LEFT) == _choice(owner, browser):
            return _answer(_NOTHING)
        return _answer(await storage.store.movable(browser))

    async def take(self, storage: StorageService, owner: str, request: Request) -> Response:
        """Make it the person's, and answer how much that was."""
        browser, person = _browser_of(request), person_of(request)
        if browser is None or person is None:
            return _answer(_NOTHING)
        moved = await storage.store.move(browser, owner)
        if self._audit is not None and moved != _NOTHING:
            counted = {"conversations": str(moved.conversations), "sessions": str(moved.comparisons)}
            self._audit.write("took along", owner, name=person.email or person.name, **counted)
        return _answer(moved)

    async def leave(self, _: StorageService, owner: str, request: Request) -> Response:
        """Offer it to this person in this browser no more."""
        answer, browser = _answer(_NOTHING), _browser_of(request)
        if browser is not None:
            cookie = cookie_header(
                _LEFT,
                _choice(owner, browser),
                seconds=COOKIE_DAYS * 86_400,
                secure=request.url.scheme == "https",
                path=request.scope.get("root_path", "") or "/",
            )
            answer.headers.append("set-cookie", cookie)
        return answer


def _browser_of(request: Request) -> str | None:
    return None if person_of(request) is None else browser_of(request)


def _choice(owner: str, browser: str) -> str:
    return hashlib.sha256(f"{owner} {browser}".encode()).hexdigest()[:32]


def _answer(along: Movable) -> Response:
    return JSONResponse(Along(conversations=along.conversations, comparisons=along.comparisons))
