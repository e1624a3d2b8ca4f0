"""The budget of a run: money is set aside for each call before it starts, so that the sum cannot pass it.

What is set aside for a call: its input at the price of a token for each byte (no tokenizer makes more tokens
than there are bytes) and a few for each message, and its output at `max_tokens`. Without a `max_tokens` the
longest output is not known: twice the longest seen of that lane stands for it, before there is one 4096
tokens, and the budget holds as far as that guess does. An upstream may not heed `max_tokens`: the first calls
of lanes are made one at a time; until an answer of a lane was ended at its limit, calls of it are made beside
others only where there is room for far longer answers; a call that streams more than was set aside for it
gets more, or is ended where there is no room; and a lane that was seen to answer longer than its limit is
expected to do so again. What an upstream sends at once is spent when it arrives: one such answer can pass the
budget, and nothing that costs starts after it.

Every sum goes to a ledger on the disk before its call starts, and again when it is known. What a run that was
killed had set aside counts as spent, since nobody knows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, assert_never

from chatlab.compare.batch.append_log import AppendLog
from chatlab.config.models import Prices
from chatlab.config.registry import Entry
from chatlab.errors import BackendError
from chatlab.messages import FilePart, Message, Part, ReasoningPart, TextPart, ToolCall, ToolResult
from chatlab.turns.ended import EndedTurn

_A_MESSAGE = 16  # tokens that chat templates put around a message, generously
_A_FILE = 4096  # tokens of an attachment at the least: pictures are counted by their tiles
FIRST_OUTPUT = 4096
"""Tokens expected of a lane without max_tokens that has not answered yet."""


class Budget:
    """The money spent and set aside by one run in all its sittings. limit: None is no limit.

    spent_by: the money spent, by the caller: a lane's id, or the judge's; "" for a ledger that does not say.
    """

    def __init__(self, limit: float | None, ledger: AppendLog) -> None:
        self.limit = limit
        self.spent_by: defaultdict[str, float] = defaultdict(float)
        self._ledger = ledger
        self._aside: dict[str, float] = {}
        self._who: dict[str, str] = {}
        for number, line in ledger.read():
            try:
                if "cost" in line:
                    self.spent_by[self._who.pop(line["call"], "")] += _amount(line["cost"])
                    self._aside.pop(line["call"], None)
                else:
                    self._aside[line["call"]] = _amount(line["aside"])
                    self._who[line["call"]] = line.get("who", "")
            except (KeyError, TypeError, ValueError, AttributeError) as exc:
                raise ledger.damaged(number, "this line says of no call what it cost") from exc
        for call, amount in self._aside.items():
            self.spent_by[self._who.pop(call)] += amount
        self._aside.clear()

    @property
    def spent(self) -> float:
        """Return what all calls came to."""
        return sum(self.spent_by.values())

    def fits(self, amount: float) -> bool:
        """Return whether this much can be set aside without passing the limit, whatever the running calls
        cost.
        """
        return self.limit is None or self.spent + sum(self._aside.values()) + amount <= self.limit

    async def set_aside(self, call: str, amount: float, who: str) -> None:
        """Before a call of this id starts, and again where it needs more. who: whose call it is."""
        self._aside[call] = amount
        self._who[call] = who
        await self._ledger.append({"call": call, "aside": amount, "who": who})

    async def settle(self, call: str, cost: float) -> None:
        """Count what the call came to."""
        del self._aside[call]
        self.spent_by[self._who.pop(call)] += cost
        await self._ledger.append({"call": call, "cost": cost})


@dataclass(frozen=True, slots=True)
class Estimate:
    """The most that a call may cost. input: of what is sent. output_tokens: the longest answer expected.
    output_price: of a token."""

    input: float
    output_tokens: int
    output_price: float

    @property
    def amount(self) -> float:
        """Return the most that it may cost."""
        return self.of(self.output_tokens)

    @property
    def beyond(self) -> float:
        """Return what it may cost beyond that, where the upstream does not heed the limit: nobody knows, and
        four times the answer, or as much as is expected without a limit, is taken for it."""
        return (max(4 * self.output_tokens, FIRST_OUTPUT) - self.output_tokens) * self.output_price

    def of(self, tokens: float) -> float:
        """Return what it costs with an answer of so many tokens."""
        return self.input + tokens * self.output_price


def most(
    entry: Entry,
    prices: Prices,
    messages: Sequence[Message],
    parameters: Mapping[str, Any],
    system: str | None,
    longest_seen: int | None,
) -> Estimate:
    """Return the most that a call may cost, as the module says. parameters: over the configured ones."""
    system = entry.system if system is None else system
    tokens = sum(_A_MESSAGE + sum(map(_size, message.parts)) for message in messages)
    tokens += _A_MESSAGE + _bytes(system or "")
    limit = max_tokens(entry, parameters)
    if limit is None:
        limit = FIRST_OUTPUT if longest_seen is None else 2 * longest_seen
    elif longest_seen is not None and longest_seen > limit:
        limit = 2 * longest_seen  # its upstream does not heed the limit
    return Estimate(tokens * prices.input / 1_000_000, limit, prices.output / 1_000_000)


def max_tokens(entry: Entry, parameters: Mapping[str, Any]) -> int | None:
    """Return the longest output that will be asked for; None if none is set, or the backend takes no such
    limit.
    """
    if not any(known.name == "max_tokens" for known in entry.capabilities.parameters):
        return None
    value = {**entry.config.parameters, **parameters}.get("max_tokens")
    return value if isinstance(value, int) else None


def counted(turn: EndedTurn, aside: float) -> float:
    """Return what a call that ended counts for: its cost, nothing if it was refused, else what was
    set aside.
    """
    if turn.cost is not None:
        return turn.cost
    error = turn.error
    never_sent = turn.request is None or (error is not None and not isinstance(error, BackendError))
    refused = isinstance(error, BackendError) and error.status is not None
    if never_sent or (refused and turn.timing.first_event is None):
        return 0.0
    return aside


def _amount(value: Any) -> float:
    """Return money of a ledger. Raises ValueError or TypeError for what is none."""
    if not 0 <= value < inf:  # NaN is not, either
        raise ValueError(f"{value} is no sum")
    return float(value)


def _size(part: Part) -> int:
    """The most tokens a part can be: its bytes."""
    if isinstance(part, TextPart | ReasoningPart):
        return _bytes(part.text)
    if isinstance(part, ToolCall):
        return _bytes(part.name) + _bytes(part.arguments)
    if isinstance(part, ToolResult):
        return _bytes(part.content)
    if isinstance(part, FilePart):
        return _A_FILE if part.url is not None else max(_A_FILE, len(part.read()))
    assert_never(part)


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))
