"""The owner of each open page: its streams and what it runs are for the browser that opened it alone.

Gradio finds what a page holds by a hash that the page made up, and asks nobody whose it is. So the guard
replaces each hash, wherever a request has one, by one that is made of the owner and the hash: whatever Gradio
acts on is what was decided on, and with somebody else's hash there is nothing to be had. That a hash is in
use by somebody else is told as well; the table of that is bounded, and no safety depends on it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from chatlab.web.shared.amounts import SUBJECT, LimitReached
from chatlab.web.shared.request_guard import Refused

LONGEST = 64
"""Characters of a page's hash; Gradio's own have 11."""

PAGE = "chatlab.page"
"""The key under which the scope of a call that names no page has the hash of one of its own. No client can
set it."""


BODY = "chatlab.body"
"""The key under which the scope of a request that writes has what its body says, a JSON object."""


def scoped_hash(session_hash: str, owner: str | None) -> str:
    """Return the hash by which Gradio knows an owner's page."""
    whole = hashlib.sha256(f"{owner or ''}\n{session_hash}".encode("utf-8", "surrogatepass"))
    return _prefix(owner) + whole.hexdigest()[:32]


def is_scoped(session_hash: str, owner: str | None) -> bool:
    """Return whether Gradio knows a page of this owner by this hash."""
    return session_hash.startswith(_prefix(owner))


def _prefix(owner: str | None) -> str:
    return hashlib.sha256(f"page of {owner or ''}".encode()).hexdigest()[:16] + "-"


@dataclass(slots=True)
class _Tab:
    owner: str | None
    address: str
    connections: int = 0


class TabOwners:
    """The browsers that used each page's hash first. Used in the event loop alone.

    Of an owner, an address and everybody, so many pages are known: the one that was not used for longest is
    forgotten for a new one, but none that is connected. most, per_owner, per_address: None for no limit.
    """

    def __init__(
        self, most: int | None = 10_000, *, per_owner: int | None = 100, per_address: int | None = 2_000
    ) -> None:
        self._tabs: dict[str, _Tab] = {}
        self._scopes = (
            _TabScope(SUBJECT["visitor"], per_owner, lambda tab: tab.owner),
            _TabScope(SUBJECT["address"], per_address, lambda tab: tab.address),
            _TabScope(SUBJECT["total"], most, lambda _: ""),
        )

    def admit(self, session_hash: str | None, owner: str | None, address: str = "") -> bool:
        """Return whether a page is this owner's: it is, if nobody else used its hash first.

        Raise LimitReached for a new page where as many as may be are connected.
        """
        if not session_hash:
            return True
        tab = self._tabs.get(session_hash)
        if tab is None:
            tab = _Tab(owner, address)
            for scope in self._scopes:
                idle = scope.to_forget(tab)
                if idle is not None:
                    self._forget(idle)
            self._tabs[session_hash] = tab
        for scope in self._scopes:
            scope.use(session_hash, tab)
        return tab.owner == owner

    @contextmanager
    def connected(self, session_hash: str | None) -> Iterator[None]:
        """Hold a page that was admitted while one of its connections is open."""
        tab = self._tabs.get(session_hash or "")
        if tab is None:
            yield
            return
        tab.connections += 1
        try:
            yield
        finally:
            tab.connections -= 1

    def _forget(self, session_hash: str) -> None:
        tab = self._tabs.pop(session_hash)
        for scope in self._scopes:
            scope.forget(session_hash, tab)


class _TabScope:
    """The pages that count together: those of one owner, of one address, or all."""

    def __init__(self, who: str, most: int | None, key: Callable[[_Tab], str | None]) -> None:
        self._who = who
        self._most = most
        self._key = key
        self._tabs: dict[str, dict[str, _Tab]] = {}  # by key, each in the order of use

    def to_forget(self, new: _Tab) -> str | None:
        """Return the page to be forgotten for a new one, None if there is room. Raise LimitReached."""
        key = self._key(new)
        tabs = self._tabs.get(key, {}) if key is not None else {}  # clients without a cookie are of no owner
        if self._most is None or len(tabs) < self._most:
            return None
        for session_hash, tab in tabs.items():
            if not tab.connections:
                return session_hash
        raise LimitReached("refusal.pages", who=self._who, most=self._most)

    def use(self, session_hash: str, tab: _Tab) -> None:
        """Make a page the last one in the order of use."""
        key = self._key(tab)
        if key is not None:
            tabs = self._tabs.setdefault(key, {})
            tabs.pop(session_hash, None)
            tabs[session_hash] = tab

    def forget(self, session_hash: str, tab: _Tab) -> None:
        """Take a page out."""
        key = self._key(tab)
        if key is not None:
            self._tabs[key].pop(session_hash)
            if not self._tabs[key]:
                del self._tabs[key]


def text_of(value: Any) -> str | None:
    """Return an id of a request, None if it has none. Raise Refused for one that is none."""
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > LONGEST:
        raise Refused("refusal.wrong-id", most=LONGEST)
    return value
