"""Open pages: whose each is, what it shows, and the answers that run for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from chatlab.conversations.tree import Conversation, Exchange
from chatlab.web.chat.answering import Answering


@dataclass(slots=True)
class Session:
    """One open page: whose it is, what it shows, and the answers that run for it, by their exchanges' ids.

    kept: the stored conversation that the page shows; None for one that is new, or kept nowhere.
    opened: how often the page has turned to something else; who showed what it was before shows no more.
    window: how many messages are painted, if not as many as the configuration says.
    asks: the number of the newest thing that the page's scripts asked to be shown.
    until: the exchange with which the window ends, if that is not `last`, the end of the branch.
    """

    owner: str | None = None
    conversation: Conversation = field(default_factory=Conversation)
    last: Exchange | None = None
    running: dict[str, Answering] = field(default_factory=dict)
    kept: str | None = None
    opened: int = 0
    window: int | None = None
    until: str | None = None
    asks: int = 0
    closed: bool = False
    asked: Any = None
    """What the page sent to have `last` answered."""

    def show(self, conversation: Conversation, kept: str | None = None, last: Exchange | None = None) -> None:
        """Turns to another conversation; by default to a new one."""
        self.conversation, self.kept, self.last = conversation, kept, last
        self.window = self.until = self.asked = None
        self.turn()

    def turn(self) -> None:
        """The page shows something else from now on. What runs goes on; whoever showed it ends."""
        self.opened += 1
        for answering in self.running.values():
            answering.look()

    @property
    def answering(self) -> Answering | None:
        """The answer that runs where the page is."""
        return None if self.last is None else self.running.get(self.last.id)

    def close(self) -> None:
        """The page is gone: closes the upstream of every running answer."""
        self.closed = True
        for answering in tuple(self.running.values()):
            answering.stop()

    async def stopped(self, *exchanges: str) -> None:
        """Stops these exchanges' answers, by default that which the page shows, and waits until what had
        arrived is part of the conversation."""
        shown = (self.last.id,) if self.last is not None else ()
        for id in exchanges or shown:
            if id in self.running:
                await self.running[id].stopped()


class Sessions:
    """The open pages by session hash and owner: who knows the hash of somebody else's page still has a page
    of their own. The oldest idle ones go when there are too many."""

    def __init__(self, most: int = 5_000) -> None:
        self._open: dict[tuple[str, str | None], Session] = {}
        self._most = most

    def get(self, hash: str | None, owner: str | None = None) -> Session:
        """The session of a page, made when first asked for. A client without one gets a new one each time."""
        if not hash:
            return Session(owner)
        session = self._open.pop((hash, owner), None) or Session(owner)
        self._open[hash, owner] = session  # last again: the dict's order is that of use
        if len(self._open) > self._most:
            for old, candidate in list(self._open.items()):
                if not candidate.running:
                    del self._open[old]
                    break
        return session

    def close(self, hash: str | None, owner: str | None = None) -> None:
        """The page was closed: its turns end, what it held is forgotten."""
        session = self._open.pop((hash or "", owner), None)
        if session is not None:
            session.close()

    def __len__(self) -> int:
        return len(self._open)

    @property
    def running(self) -> int:
        """How many turns run, over all pages."""
        return sum(len(session.running) for session in self._open.values())
