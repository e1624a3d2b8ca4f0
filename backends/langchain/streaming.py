"""A message that is still arriving, and the calls of tools in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from backends.langchain.usage import Counter


class StreamingMessage:
    """The part of a message that has arrived, from its chunks."""

    __slots__ = ("_calls", "_index", "counter", "id", "metadata", "shown", "text")

    def __init__(self, identity: str | None) -> None:
        self.id = identity
        self.shown = False
        self.text: list[str] = []
        self.metadata: dict[str, Any] = {}
        self.counter = Counter()
        self._calls: dict[Any, StreamingCall] = {}
        self._index: Any = None

    def starts_another(self, piece: Mapping[str, Any]) -> bool:
        """Return whether this piece begins another call than the one before."""
        return bool(self._calls) and self._key(piece) not in self._calls

    def add(self, piece: Mapping[str, Any]) -> None:
        """Add a piece of a call."""
        key = self._key(piece)
        call = self._calls.setdefault(key, StreamingCall())
        self._index = key
        call.id = call.id or piece.get("id")
        call.name += piece.get("name") or ""
        call.arguments.append(piece.get("args") or "")

    def calls(self, identity: str) -> bool:
        """Return whether a call of this id is arriving."""
        return any(call.id == identity for call in self._calls.values())

    def take(self) -> list[StreamingCall]:
        """Return the calls that have arrived since the last time."""
        calls, self._calls = list(self._calls.values()), {}
        return calls

    def _key(self, piece: Mapping[str, Any]) -> Any:
        """Return what tells calls apart: the index, else the id, else it is the one before."""
        for key in ("index", "id"):
            if piece.get(key) is not None:
                return piece[key]
        return self._index


class StreamingCall:
    """A call of a tool, its arguments in pieces."""

    __slots__ = ("arguments", "id", "name")

    def __init__(self) -> None:
        self.id: str | None = None
        self.name = ""
        self.arguments: list[str] = []
