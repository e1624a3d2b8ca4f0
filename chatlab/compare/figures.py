"""The figures of many answers without their texts: 58 bytes an answer.

What is counted over a whole comparison is counted from these, so that the answers of a long run can stay
on the disk.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from chatlab.compare.model import Comparison, Result

Whole: TypeAlias = NDArray[np.int32]

UNKNOWN = -1
"""Of tokens, and of `passed` where an answer was not checked; of times and costs it is NaN."""

_ROW = np.dtype(
    [
        ("finished", "?"),
        ("passed", "i1"),  # all its checks
        ("first_token", "f8"),  # seconds, as the next two
        ("total", "f8"),
        ("longest_stall", "f8"),
        ("tokens_per_second", "f8"),
        ("cost", "f8"),
        ("tokens_in", "i8"),
        ("tokens_out", "i8"),
    ]
)


def no_figures(answers: int) -> NDArray[Any]:
    """Return rows for so many answers, to be written."""
    return np.zeros(answers, _ROW)


def row_of(result: Result) -> tuple[bool | int | float, ...]:
    """Return an answer's row."""
    turn, timing = result.turn, result.turn.timing
    usage = None if turn.finish is None else turn.finish.usage
    seconds = (timing.first_token, timing.total, timing.longest_stall, timing.tokens_per_second)
    tokens = (None, None) if usage is None else (usage.input, usage.output)
    return (
        turn.status == "finished",
        all(one.passed for one in result.checks) if result.checks else UNKNOWN,
        *(np.nan if value is None else value for value in (*seconds, turn.cost)),
        *(UNKNOWN if value is None else value for value in tokens),
    )


def known(values: NDArray[np.float64]) -> list[float]:
    """Return those values of a column that are known."""
    found: list[float] = values[~np.isnan(values)].tolist()
    return found


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Figures:
    """The figures of a comparison's answers, in their order.

    items: the ids of what was asked, in the order of their first answers. item, lane: of each answer, their
    numbers in `items` and among the comparison's lanes; UNKNOWN is a lane that it does not have.
    """

    items: Sequence[str]
    item: Whole
    step: Whole
    repeat: Whole
    lane: Whole
    rows: NDArray[Any]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def messages(self) -> int:
        """Return how many messages were asked."""
        return len(np.unique(self.item.astype(np.int64) << 32 | self.step))

    @property
    def finished(self) -> NDArray[np.bool_]:
        """Return which answers finished."""
        return np.asarray(self.rows["finished"])


class StoredResults(Sequence[Result]):
    """Results that are read from the disk whenever one is looked at; their figures are in memory."""

    @property
    @abstractmethod
    def figures(self) -> Figures:
        """Return the figures of all of them."""


def figures_of(compared: Comparison) -> Figures:
    """Return the figures of a comparison's results."""
    results = compared.results
    if isinstance(results, StoredResults):
        return results.figures
    lanes: dict[str, int] = {lane.id: number for number, lane in enumerate(compared.lanes)}
    items: dict[str, int] = {}
    rows = no_figures(len(results))
    places = np.zeros((4, len(results)), np.int32)
    for number, one in enumerate(results):
        rows[number] = row_of(one)
        item = items.setdefault(one.item, len(items))
        places[:, number] = item, one.step, one.repeat, lanes.get(one.lane, UNKNOWN)
    item_of, step, repeat, lane = places
    return Figures(tuple(items), item_of, step, repeat, lane, rows)
