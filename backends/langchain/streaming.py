"""A message that is still arriving, and the calls of tools in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from backends._openai_wire import ToolCalls
from backends.langchain.usage import Counter
from chatlab.messages import ToolCall


class StreamingMessage:
    """The part of a message that has arrived, from its chunks."""

    __slots__ = ("_calls", "_ids", "counter", "id", "metadata", "shown", "text")

    def __init__(self, identity: str | None) -> None:
        self.id = identity
        self.shown = False
        self.text: list[str] = []
        self.metadata: dict[str, Any] = {}
        self.counter = Counter()
        self._calls = ToolCalls()
        self._ids: set[str] = set()

    def add(self, piece: Mapping[str, Any]) -> None:
        """Add a piece of a call."""
        if piece.get("id"):
            self._ids.add(piece["id"])
        function = {"name": piece.get("name"), "arguments": piece.get("args")}
        self._calls.add({"index": piece.get("index"), "id": piece.get("id"), "function": function})

    def calls(self, identity: str) -> bool:
        """Return whether a call of this id is arriving."""
        return identity in self._ids

    def take(self) -> list[tuple[str | None, ToolCall]]:
        """Return the calls that have arrived since the last time, with the ids that the model gave them."""
        return [(call.id if call.id in self._ids else None, call) for call in self._calls.events()]
