"""Conversations as trees of turns, so that an edit or a retry overwrites nothing.

What a page or a terminal shows names the turns it shows; the conversation itself, whole and exact, is here,
taken from the store where there is one (`chatlab.web.chat.stored_turns`) and otherwise in memory alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from chatlab.ids import TurnId
from chatlab.messages import Message, Notice, Part
from chatlab.store import StoredTurn, new_id
from chatlab.turns.fit import prompt


@dataclass(frozen=True, slots=True)
class TurnSettings:
    """With what a turn was asked. backend: its name in the configuration, label: as people read it. system,
    parameters: as asked for, over those of the configuration."""

    backend: str
    label: str
    system: str | None
    parameters: Mapping[str, Any]


def _new_turn_id() -> TurnId:
    return TurnId(new_id())


@dataclass(slots=True)
class TurnNode:
    """A person's message and what came of it, at its place in the tree.

    parent: the id of the turn it follows; None for a first one. label: the backend that answers, as people
    read its name.
    """

    parent: TurnId | None
    user: Message
    label: str
    id: TurnId = field(default_factory=_new_turn_id)
    answer: tuple[Part, ...] = ()
    painted: list[Any] = field(default_factory=list)
    """How the page shows the answer: the front end's own values, made with this `mark`."""
    mark: str = ""
    in_store: bool = False
    """Whether it is in the store, or on its way there."""
    stored: StoredTurn | None = None
    """As it ended, for one that is in the store."""
    settings: TurnSettings | None = None
    """None for one that a page brought along."""

    @classmethod
    def of(cls, turn: StoredTurn) -> TurnNode:
        """Return the node of a stored turn."""
        settings = TurnSettings(turn.backend, turn.label, turn.system, turn.parameters)
        return cls(
            turn.parent,
            turn.user,
            turn.label,
            turn.id,
            turn.answer,
            in_store=True,
            stored=turn,
            settings=settings,
        )


class Conversation:
    """All turns of one conversation, by id."""

    def __init__(self, nodes: Iterable[TurnNode] = ()) -> None:
        self._nodes: dict[TurnId, TurnNode] = {}
        self._after: dict[TurnId | None, list[TurnId]] = {}
        for node in nodes:
            self.add(node)

    def add(self, node: TurnNode) -> None:
        """Add a turn, before its backend is called. One with the same id takes the place of the older one."""
        if node.id not in self._nodes:
            self._after.setdefault(node.parent, []).append(node.id)
        self._nodes[node.id] = node

    def __contains__(self, turn: object) -> bool:
        return turn in self._nodes

    def __getitem__(self, turn: TurnId) -> TurnNode:
        return self._nodes[turn]

    def __iter__(self) -> Iterator[TurnNode]:
        """Yield all of them, each after the one it follows."""
        return iter(self._nodes.values())

    def __len__(self) -> int:
        return len(self._nodes)

    def path(self, last: TurnId | None) -> list[TurnNode]:
        """Return the turns from the first to this one."""
        found = []
        while last is not None and last in self._nodes:
            node = self._nodes[last]
            found.append(node)
            last = node.parent
        return found[::-1]

    def thread(self, node: TurnNode) -> TurnId:
        """Return the id of the first turn of the way to this one.

        All turns that follow each other have it, also when the conversation is opened again from the store.
        """
        path = self.path(node.parent)
        return path[0].id if path else node.id

    def versions(self, node: TurnNode) -> list[TurnId]:
        """Return the ids of all turns that follow the same one, in the order they were asked: edits, retries,
        and other backends' answers."""
        return self._after.get(node.parent, [])

    def end(self, turn: TurnId) -> TurnNode:
        """Return the last turn of the branch that goes on from this one the latest way."""
        while self._after.get(turn):
            turn = self._after[turn][-1]
        return self._nodes[turn]

    def messages(self, node: TurnNode) -> tuple[tuple[Message, ...], tuple[Notice, ...]]:
        """Return what is sent to have this turn answered, and what is left out of it: see `prompt`."""
        earlier = ((before.user, before.answer) for before in self.path(node.parent))
        return prompt(earlier, node.user)
