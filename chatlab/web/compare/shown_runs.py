"""Runs of `chatlab compare` that the page opens: whoever has the address of one gets a session of it."""

from __future__ import annotations

import asyncio
import secrets
from pathlib import Path
from weakref import WeakKeyDictionary

from chatlab.compare.batch.store import copy_run
from chatlab.compare.session.events import SessionError
from chatlab.lab import Lab
from chatlab.store import NotStored


class ShownRuns:
    """The runs of one server, by a token that nobody can guess. It belongs to the event loop."""

    def __init__(self) -> None:
        self._folders: dict[str, Path] = {}
        self._sessions: dict[tuple[str, str], str] = {}  # by owner and token
        self._copying = asyncio.Lock()

    def add(self, folder: Path) -> str:
        """Return the token by which the page opens a run."""
        token = secrets.token_urlsafe(16)
        self._folders[token] = folder
        return token

    async def session(self, lab: Lab, owner: str, token: str) -> str:
        """Return the id of this owner's session of a run; it is made the first time. Raises NotStored,
        SessionError, StoreError.
        """
        folder = self._folders.get(token)
        if folder is None:
            raise NotStored("refusal.no-run")
        storage = await lab.storage()
        if storage is None:
            raise SessionError("refusal.no-storage-run")
        async with self._copying:
            known = self._sessions.get((owner, token))
            if known is not None:
                try:
                    return (await storage.store.comparison(owner, known)).id
                except NotStored:
                    pass  # it was deleted since
            made = await copy_run(storage.store, owner, folder, storage.files)
            self._sessions[owner, token] = made
            return made


_runs: WeakKeyDictionary[Lab, ShownRuns] = WeakKeyDictionary()


def runs_of(lab: Lab) -> ShownRuns:
    """Return the runs that the pages of a lab open: the same ones for all that serves it."""
    return _runs.setdefault(lab, ShownRuns())
