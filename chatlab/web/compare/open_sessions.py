"""The comparison sessions that pages have open, each with what its pages are told of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from chatlab.compare.session.events import Opened, SessionError
from chatlab.compare.session.open_sessions import OpenSessions
from chatlab.compare.session.session import ComparisonSession
from chatlab.config.models import CompareLane
from chatlab.lab import Lab
from chatlab.store import StoredTurn
from chatlab.web.compare.agreement import RoundAgreement
from chatlab.web.compare.view import View
from chatlab.web.shared.page_markdown import page_markdown
from chatlab.web.shared.page_words import page_words


@dataclass(slots=True)
class PageSession:
    """A session that is in memory, and what its pages are told."""

    session: ComparisonSession
    view: View
    agreement: RoundAgreement
    title: str

    def require_names_told(self) -> None:
        """Raises SessionError while the lanes' names are hidden: for what would tell which lane is which."""
        if self.session.state.hidden:
            raise SessionError("refusal.would-tell")


class PageSessions:
    """The sessions by id, for their owner alone."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        assert lab.config is not None
        lanes = (lane if isinstance(lane, str) else lane.backend for lane in lab.config.compare.lanes)
        self.words = page_words(lab.config.ui)
        self.backends = lab.backends.served(lanes)
        """What a visitor may ask here."""
        self._sessions: OpenSessions | None = None
        self._open: dict[str, PageSession] = {}
        self._lock = asyncio.Lock()

    async def create(
        self,
        owner: str,
        lanes: Sequence[CompareLane],
        opened: Opened,
        *,
        title: str = "",
        chat: Sequence[StoredTurn] = (),
    ) -> PageSession:
        """Return a new session. chat: the turns of a chat that it begins with. Raises SessionError."""
        made = await (await self._all()).create(owner, lanes, opened=opened, title=title, chat=chat)
        return self._shown(made, title)

    async def get(self, owner: str, session_id: str) -> PageSession:
        """Return a session of this owner. Raises NotStored for one that is not."""
        session = await (await self._all()).get(owner, session_id)
        known = self._open.get(session_id)
        storage = await self._lab.storage()
        shown = known is not None and known.session is session
        if shown and (storage is None or not storage.store.replicas.several):
            assert known is not None
            return known
        stored = None if storage is None else await storage.store.comparison(owner, session_id)
        title = "" if stored is None else stored.title
        if shown and known is not None and stored is not None:
            known.title = title  # it and the log may have been changed on another server
            if stored.entries != session.state.seq:
                await session.refresh()
            return known
        return self._shown(session, title)

    async def close(self, found: PageSession) -> None:
        """Ends a session that is to be taken away."""
        self._open.pop(found.session.id, None)
        await (await self._all()).close(found.session.owner, found.session.id)

    def _shown(self, session: ComparisonSession, title: str) -> PageSession:
        known = self._open.get(session.id)
        if known is not None and known.session is session:
            return known  # made while the title was read
        assert self._lab.config is not None and self._sessions is not None
        self._open = {
            session_id: one for session_id, one in self._open.items() if one.session in self._sessions
        }
        view = View(session, self.backends, page_markdown(self._lab.config.ui), self.words)
        agreement = RoundAgreement(session, self.words)
        found = self._open[session.id] = PageSession(session, view, agreement, title)
        return found

    async def _all(self) -> OpenSessions:
        async with self._lock:
            if self._sessions is None:
                storage = await self._lab.storage()
                self._sessions = OpenSessions(
                    self.backends,
                    store=storage.store if storage else None,
                    saving=storage.saving if storage else None,
                    files=storage.files if storage else None,
                )
                self._lab.at_close.append(self._sessions.aclose)
            return self._sessions
