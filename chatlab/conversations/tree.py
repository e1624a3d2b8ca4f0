"""Conversations of open pages: trees of exchanges, so nothing is overwritten.

What a page shows names the exchanges it shows; the conversation itself, whole and exact, is here, taken from
the store where there is one (`chatlab.web.chat.stored_turns`) and otherwise kept in memory alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from chatlab.messages import Message, Notice, Part
from chatlab.store import StoredTurn, new_id
from chatlab.turns.fit import prompt


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

    def __iter__(self) -> Iterator[Exchange]:
        """All of them, each after the one it follows."""
        return iter(self._exchanges.values())

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
