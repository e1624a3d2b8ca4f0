"""Tool calls of Chat Completions, put together from the pieces in which they stream."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from backends._openai_wire.values import mapping, text
from chatlab.messages import ToolCall


@dataclass(slots=True)
class _OpenCall:
    """A tool call as far as its pieces have arrived."""

    id: str = ""
    name: str = ""
    arguments: str = ""

    def whole(self) -> bool:
        """Return whether the arguments are complete, so that whatever comes next belongs to another call."""
        try:
            return isinstance(json.loads(self.arguments), dict)
        except ValueError:
            return False


class ToolCalls:
    """The calls of one answer, in order.

    Pieces of a call share its index. Servers that leave it out send the call's id, or its name at least, with
    its start; some give all calls the index 0: a new id, or a name after whole arguments, begins another.
    """

    __slots__ = ("_calls", "_given", "_last", "_places")

    def __init__(self) -> None:
        self._calls: list[_OpenCall] = []
        self._places: dict[object, _OpenCall] = {}  # by index, or by id where there is none
        self._last: _OpenCall | None = None
        self._given = 0

    def __len__(self) -> int:
        return len(self._calls)

    def add(self, piece: Mapping[str, Any]) -> None:
        """Take a piece of a call."""
        function = mapping(piece.get("function")) or piece  # some servers leave out the level between
        call_id, name = piece.get("id"), text(function.get("name")) or text(piece.get("function"))
        call_id = str(call_id) if isinstance(call_id, int) else text(call_id)
        arguments = function.get("arguments")
        if arguments is not None and not isinstance(arguments, str):
            arguments = json.dumps(arguments, ensure_ascii=False)
        key = piece.get("index")
        if not isinstance(key, int | str):
            key = call_id or None
        open_call = self._last if key is None else self._places.get(key)
        if open_call is None or _begins(open_call, call_id, name, arguments or ""):
            open_call = _OpenCall()
            self._calls.append(open_call)
        if key is not None:
            self._places[key] = open_call
        self._last = open_call
        so_far = open_call.arguments
        if name and name == open_call.name and so_far[:1] == "{" and (arguments or "").startswith(so_far):
            open_call.arguments = ""  # the whole call anew, with all of the arguments up to now
        open_call.id = open_call.id or call_id
        open_call.name = open_call.name or name
        open_call.arguments += arguments or ""

    def events(self) -> list[ToolCall]:
        """Return the calls that were not given out yet, each under an id of its own."""
        if self._given == len(self._calls):
            return []
        found = []
        used = {call.id for call in self._calls[: self._given]}
        for number, call in enumerate(self._calls[self._given :], self._given):
            if not call.id or call.id in used:
                call.id = f"{call.id or 'call'}_{number}"
            used.add(call.id)
            found.append(ToolCall(call.id, call.name, call.arguments or "{}"))
        self._given = len(self._calls)
        return found


def _begins(call: _OpenCall, call_id: str, name: str, arguments: str) -> bool:
    """Return whether this piece begins another call than the one its place stands for."""
    if not call_id and not name:
        return False
    if call_id and call.id and call_id != call.id:
        # Some servers make up an id for each piece: only the first of a call has a name, or all the same one.
        same = name == call.name and bool(call.arguments)
        return call.whole() or (bool(name) and not same)
    return bool(name and call.name and arguments) and call.whole()
