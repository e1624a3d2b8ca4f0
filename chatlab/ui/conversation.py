"""Conversations of open pages: trees of exchanges, so nothing is overwritten.

What a page shows names the exchanges it shows; the conversation itself, whole and exact, is here, taken from
the store where there is one (`chatlab.ui.kept_turns`) and otherwise kept in memory alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from chatlab.chat import Turn
from chatlab.fit import prompt
from chatlab.messages import Message, Notice, Part
from chatlab.store import StoredTurn, new_id


@dataclass(slots=True)
class Exchange:
    """A message of the person and what came of it."""

    parent: str | None
    user: Message
    label: str
    """The backend that answers, as people read its name."""
    id: str = field(default_factory=new_id)
    answer: tuple[Part, ...] = ()
    painted: list[Any] = field(default_factory=list)
    """How the page shows the answer: the front end's own values, made with this `mark`."""
    mark: str = ""
    kept: bool = False
    """Whether it is in the store, or on its way there."""
    stored: StoredTurn | None = None
    """As it ended, for one that is kept."""

    @classmethod
    def of(cls, turn: StoredTurn) -> Exchange:
        """The exchange that a stored turn is."""
        return cls(turn.parent, turn.user, turn.label, turn.id, turn.answer, kept=True, stored=turn)


class Conversation:
    """All exchanges of one conversation, by id."""

    def __init__(self, exchanges: Iterable[Exchange] = ()) -> None:
        self._exchanges: dict[str, Exchange] = {}
        self._after: dict[str | None, list[str]] = {}
        for exchange in exchanges:
            self.add(exchange)

    def add(self, exchange: Exchange) -> None:
        """Keeps an exchange, before its backend is called."""
        if exchange.id not in self._exchanges:
            self._after.setdefault(exchange.parent, []).append(exchange.id)
        self._exchanges[exchange.id] = exchange

    def __contains__(self, id: object) -> bool:
        return id in self._exchanges

    def __getitem__(self, id: str) -> Exchange:
        return self._exchanges[id]

    def __len__(self) -> int:
        return len(self._exchanges)

    def path(self, last: str | None) -> list[Exchange]:
        """The exchanges from the first to this one."""
        found = []
        while last is not None and last in self._exchanges:
            exchange = self._exchanges[last]
            found.append(exchange)
            last = exchange.parent
        return found[::-1]

    def versions(self, exchange: Exchange) -> list[str]:
        """The ids of all exchanges that follow the same one, in the order they were asked: edits, retries,
        and other backends' answers."""
        return self._after.get(exchange.parent, [])

    def end(self, id: str) -> Exchange:
        """The last exchange of the branch that goes on from this one the latest way."""
        while self._after.get(id):
            id = self._after[id][-1]
        return self._exchanges[id]

    def messages(self, exchange: Exchange) -> tuple[tuple[Message, ...], tuple[Notice, ...]]:
        """What is sent to have this exchange answered, and what is left out of it: see `prompt`."""
        earlier = ((before.user, before.answer) for before in self.path(exchange.parent))
        return prompt(earlier, exchange.user)


@dataclass(slots=True)
class Session:
    """One open page: whose it is, what it shows, and the turns that run for it, each with what settles it.

    kept: the stored conversation that the page shows; None for one that is new, or kept nowhere.
    opened: how many conversations the page has shown; a turn that runs for an earlier one paints no more.
    window: how many messages are painted, if not as many as the configuration says.
    """

    owner: str | None = None
    conversation: Conversation = field(default_factory=Conversation)
    last: Exchange | None = None
    running: dict[Turn, Callable[[], None]] = field(default_factory=dict)
    kept: str | None = None
    opened: int = 0
    window: int | None = None
    asked: Any = None
    """What the page sent to have `last` answered."""

    def show(self, conversation: Conversation, kept: str | None = None, last: Exchange | None = None) -> None:
        """Turns to another conversation; by default to a new one."""
        self.conversation, self.kept, self.last = conversation, kept, last
        self.opened += 1
        self.window = self.asked = None

    def stop(self) -> None:
        """Closes the upstream of every running turn."""
        for turn in tuple(self.running):
            turn.stop()

    async def stopped(self) -> None:
        """Stops every running turn and waits until what had arrived is part of the conversation."""
        for turn, settle in tuple(self.running.items()):
            await turn.aclose()
            settle()


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
            session.stop()

    def __len__(self) -> int:
        return len(self._open)

    @property
    def running(self) -> int:
        """How many turns run, over all pages."""
        return sum(len(session.running) for session in self._open.values())
