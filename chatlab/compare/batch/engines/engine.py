"""The interface of engines, and the one that makes calls in this process.

The scheduler says which call is made when. An engine makes it, wherever that is, and gives back how its turn
ended. So the order, the limits of lanes, the budget and what is written do not depend on the engine.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from chatlab.backend import CallContext
from chatlab.compare.batch.budget import Estimate
from chatlab.compare.session.running import Wire
from chatlab.config.registry import Entry
from chatlab.errors import ChatlabError
from chatlab.messages import Finish, Message, ReasoningDelta, StreamEvent, TextDelta
from chatlab.turns.ended import EndedTurn
from chatlab.turns.turn import run_turn

_DELTAS = (TextDelta, ReasoningDelta)
_LONGEST_TOKEN = 16  # bytes, on an average that no text is above


class Lost(ChatlabError):
    """Nobody knows what became of a call, since the process that made it is gone."""


@dataclass(frozen=True, slots=True)
class Ran:
    """A call that was made. wire_sha256: of the request's body, where chatlab's own client sent it. deltas:
    in how many the answer came."""

    turn: EndedTurn
    wire_sha256: str | None
    deltas: int


class Engine(Protocol):
    """Makes calls."""

    async def __call__(
        self,
        entry: Entry,
        messages: tuple[Message, ...],
        parameters: Mapping[str, Any],
        system: str | None,
        meter: Meter,
    ) -> Ran:
        """Make one call, and return how it ended; one that fails has its error in its turn.

        meter: says while it runs whether it may go on. When cancelled, it returns only once the upstream is
        closed. Raises Lost.
        """


class Meter:
    """Measures a running call by its deltas, and holds it to what is set aside for it.

    A delta is a token or more, but for gateways that cut tokens up; `tokens_a_delta` is what the lane's last
    answer came to. What arrives in large pieces is at least a token for 16 bytes. estimate: None if nothing
    is to be held. aside: what is set aside now. more: is told what the call needs beyond that, and says what
    is set aside from then on; None if there is no room.
    """

    def __init__(
        self,
        estimate: Estimate | None,
        tokens_a_delta: float,
        more: Callable[[float], Awaitable[float | None]],
    ) -> None:
        self.estimate = estimate
        self.tokens_a_delta = tokens_a_delta
        self.more = more
        self.deltas = 0
        self._aside = 0.0 if estimate is None else estimate.amount
        self._bytes = 0

    async def may_go_on(self, events: Sequence[StreamEvent]) -> bool:
        """Return whether the call may go on after these events; has more set aside for it, as far as there is
        room.
        """
        large = self._bytes / _LONGEST_TOKEN  # before these: an answer in one piece is followed by its cost
        for event in events:
            if isinstance(event, _DELTAS):
                self.deltas += 1
                self._bytes += len(event.text.encode("utf-8", "surrogatepass"))
        if self.estimate is None:
            return True
        if any(isinstance(event, Finish) for event in events):
            return True  # it is over, and costs what it costs
        needed = self.estimate.of(max(self.deltas * self.tokens_a_delta, large))
        if needed <= self._aside:
            return True
        aside = await self.more(needed)
        if aside is None:
            return False
        self._aside = aside
        return True


async def run_here(
    entry: Entry,
    messages: tuple[Message, ...],
    parameters: Mapping[str, Any],
    system: str | None,
    meter: Meter,
) -> Ran:
    """Make a call in this process: the engine `local`, and what each worker of another one does."""
    wire = Wire()
    turn = run_turn(entry, messages, parameters=parameters, system=system, ctx=CallContext(sent=wire))
    async with turn:
        with contextlib.suppress(ChatlabError):  # it is in the turn, of which the result is made
            while events := await turn.batch():
                if not await meter.may_go_on(events):
                    turn.stop()
                    break
    return Ran(EndedTurn.of(turn), wire.sha256, meter.deltas)
