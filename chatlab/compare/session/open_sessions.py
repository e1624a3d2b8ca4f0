"""The comparison sessions that are open in this process: one object a session, which all its tabs share."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from chatlab.compare.session.events import Opened
from chatlab.compare.session.session import ComparisonSession
from chatlab.config.models import CompareLane
from chatlab.config.registry import Entry
from chatlab.conversations.saving import Saving
from chatlab.store import NotStored, Store, StoredTurn
from chatlab.store.files import Files


class OpenSessions:
    """Opens sessions and holds them open. Use it in one event loop, and close it before store and saving.

    most: idle sessions beyond so many are closed, those first that were not asked for for longest. Without a
    store they are gone then.
    """

    def __init__(
        self,
        backends: Mapping[str, Entry],
        *,
        store: Store | None = None,
        saving: Saving | None = None,
        files: Files | None = None,
        most: int = 500,
    ) -> None:
        self._backends = backends
        self._store = store
        self._own_saving = saving is None
        self._saving = saving or Saving(store)
        self._files = files
        self._most = most
        self._open: dict[str, ComparisonSession] = {}
        self._lock = asyncio.Lock()

    async def create(
        self,
        owner: str,
        lanes: Sequence[str | CompareLane] = (),
        *,
        opened: Opened | None = None,
        title: str = "",
        chat: Sequence[StoredTurn] = (),
    ) -> ComparisonSession:
        """Make a new session. Raises what `ComparisonSession.create` raises."""
        session = await ComparisonSession.create(
            self._backends,
            lanes,
            owner=owner,
            opened=opened,
            title=title,
            chat=chat,
            store=self._store,
            saving=self._saving,
            files=self._files,
        )
        await self._hold(session)
        return session

    async def get(self, owner: str, session_id: str) -> ComparisonSession:
        """Return a session of this person. Raises NotStored for any other."""
        async with self._lock:  # two tabs that open at once get the same object
            session = self._open.get(session_id)
            if session is None and self._store is not None:
                session = await ComparisonSession.open(
                    self._backends,
                    session_id,
                    owner=owner,
                    store=self._store,
                    saving=self._saving,
                    files=self._files,
                )
            if session is None or session.owner != owner:
                raise NotStored("refusal.no-session")
            await self._hold(session)
            return session

    def __contains__(self, session: ComparisonSession) -> bool:
        """Return whether it is open still."""
        return self._open.get(session.id) is session

    async def close(self, owner: str, session_id: str) -> None:
        """End a session in this process, as before it is deleted from the store."""
        session = self._open.get(session_id)
        if session is not None and session.owner == owner:
            del self._open[session_id]
            await session.aclose()

    async def aclose(self) -> None:
        """Stop and save all that runs."""
        sessions = list(self._open.values())
        self._open.clear()
        await asyncio.gather(*(session.aclose() for session in sessions))
        if self._own_saving:
            await self._saving.aclose()

    async def _hold(self, session: ComparisonSession) -> None:
        self._open.pop(session.id, None)
        self._open[session.id] = session  # last again: the order is that of use
        if len(self._open) > self._most:
            for old in list(self._open.values())[:-1]:
                if not old.running() and not old.watched:
                    del self._open[old.id]
                    await old.aclose()
                    return
