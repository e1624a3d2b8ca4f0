"""Ranking lanes from judgements of two answers each, with intervals, and saying when there is no telling.

docs/methodology.md has the model, the formulas and their sources.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from chatlab.compare.statistics.bradley_terry import expected_score, fit
from chatlab.compare.statistics.intervals import FEW, FEWEST, LEVEL, Interval, holm
from chatlab.compare.statistics.judgements import Judgement
from chatlab.compare.statistics.observations import choices, observe
from chatlab.compare.statistics.sentences import COVERS_ZERO, not_distinguishable
from chatlab.compare.statistics.uncertainty import Errors, errors_of
from chatlab.words import ENGLISH

Ties: TypeAlias = Literal["davidson", "half"]


@dataclass(frozen=True, slots=True)
class Table:
    """The counts of judgements, before any model: `wins[i][j]` is how often lane i was preferred to lane j,
    `ties` and `both_bad` (both symmetric) how often neither was; weights are summed."""

    lanes: tuple[str, ...]
    wins: tuple[tuple[float, ...], ...]
    ties: tuple[tuple[float, ...], ...]
    both_bad: tuple[tuple[float, ...], ...]

    def judged(self, i: int, j: int) -> float:
        return self.wins[i][j] + self.wins[j][i] + self.ties[i][j] + self.both_bad[i][j]


@dataclass(frozen=True, slots=True)
class Ranked:
    """One lane's place.

    group: lanes of different groups were never compared, directly or through others, and have no order.
    strength: log-odds of winning against an average lane of the group, ties aside; times 173.7 it is in Elo's
    points. interval: None where too little was judged. rank: from 1, by strength, within the group.
    best, worst: the ranks that cannot be excluded.
    """

    lane: str
    group: int
    strength: float
    interval: Interval | None
    rank: int
    best: int
    worst: int
    wins: float
    losses: float
    ties: float
    both_bad: float

    @property
    def judged(self) -> bool:
        """Return whether there is any judgement of it; without, its strength and rank say nothing."""
        return self.wins + self.losses + self.ties + self.both_bad > 0


@dataclass(frozen=True, slots=True)
class Pair:
    """Two lanes of one group, the stronger first.

    difference: of the strengths, in log-odds. expected: the model's expected score of a against b, a win
    being 1 and a tie one half. p: of "equally strong"; p_holm: the same, corrected for all pairs ranked.
    reason: why they are not distinguishable, "" if they are.
    """

    a: str
    b: str
    difference: float
    interval: Interval | None
    expected: float
    p: float | None
    p_holm: float | None
    reason: str

    @property
    def distinguishable(self) -> bool:
        return not self.reason

    def __str__(self) -> str:
        if self.reason:
            return not_distinguishable(self.a, self.b, self.reason)
        assert self.interval is not None
        low, high = f"{self.interval.low:.2f}", f"{self.interval.high:.2f}"
        by = {"a": self.a, "b": self.b, "difference": f"{self.difference:.2f}", "low": low, "high": high}
        return ENGLISH("ranking.preferred", **by)


@dataclass(frozen=True, slots=True)
class Ranking:
    """The whole of it.

    lanes: by group and rank. tie: Davidson's parameter; between equals 1 is one tie in three judgements, 0 is
    none; None where ties counted as half wins. items: independent units. notes: sentences a reader must know.
    """

    lanes: tuple[Ranked, ...]
    pairs: tuple[Pair, ...]
    groups: tuple[tuple[str, ...], ...]
    table: Table
    tie: float | None
    ties: Ties
    judgements: int
    items: int
    samples: int
    seed: int
    notes: tuple[str, ...]


def rank(
    judgements: Iterable[Judgement],
    lanes: Iterable[str] = (),
    *,
    ties: Ties = "davidson",
    both_bad: Literal["tie", "left out"] = "tie",
    samples: int = 1000,
    seed: int = 0,
) -> Ranking:
    """Return the ranking of the lanes of some judgements, and of any others named.

    Criteria and sources are pooled, so give those of one. A vote among several lanes is one observation, and
    several judgements of one item on the same lanes weigh as one. samples: how many bootstrap samples of the
    items.
    """
    given = [one for one in judgements if both_bad == "tie" or one.winner != "tie (bothbad)"]
    names = tuple(sorted({*lanes, *(lane for one in given for lane in (one.model_a, one.model_b))}))
    table = _table(given, names)
    groups = _groups(table)
    observed = observe(choices(given), names)
    # Without any tie the tie parameter's best value is 0, which is the model without ties.
    davidson = ties == "davidson" and observed.tied
    point = fit(observed.design, observed.whole, davidson=davidson)
    tie = float(point.tie[0])
    errors = errors_of(observed, point, davidson=davidson, samples=samples, seed=seed)
    standing = _Standing(names, groups, point.strengths[0], errors)
    found = standing.pairs(lambda difference: expected_score(difference, tie, davidson=davidson))
    return Ranking(
        lanes=tuple(standing.ranked(table, found)),
        pairs=found,
        groups=tuple(tuple(names[i] for i in group) for group in groups),
        table=table,
        tie=None if ties == "half" else math.exp(tie) if davidson else 0.0,
        ties=ties,
        judgements=len(given),
        items=observed.items,
        samples=samples,
        seed=seed,
        notes=tuple(_notes(given, table, groups, observed.items)),
    )


@dataclass(frozen=True, slots=True)
class _Standing:
    """The strengths of the lanes of each group, and how far they may be off."""

    names: Sequence[str]
    groups: Sequence[Sequence[int]]
    strengths: NDArray[np.float64]
    errors: Errors

    def by_strength(self, group: Sequence[int]) -> list[int]:
        return sorted(group, key=lambda i: (-self.strengths[i], self.names[i]))

    def ranked(self, table: Table, pairs: Iterable[Pair]) -> Iterator[Ranked]:
        """Every lane, by group and rank."""
        above = {(pair.a, pair.b) for pair in pairs if pair.distinguishable}
        names, strengths = self.names, self.strengths
        for number, group in enumerate(self.groups):
            for i in self.by_strength(group):
                contrast = np.zeros(len(names))
                contrast[list(group)] = -1 / len(group)
                contrast[i] += 1
                strength = float(strengths[i])
                yield Ranked(
                    lane=names[i],
                    group=number,
                    strength=strength,
                    interval=self.errors.interval(contrast, strength) if len(group) > 1 else None,
                    rank=1 + sum(bool(strengths[j] > strength + 1e-9) for j in group),
                    best=1 + sum((names[j], names[i]) in above for j in group),
                    worst=len(group) - sum((names[i], names[j]) in above for j in group),
                    wins=sum(table.wins[i]),
                    losses=sum(row[i] for row in table.wins),
                    ties=sum(table.ties[i]),
                    both_bad=sum(table.both_bad[i]),
                )

    def pairs(self, expected: Callable[[float], float]) -> tuple[Pair, ...]:
        """Every two lanes of a group, compared. expected: the score by the difference in strength."""
        two = [pair for group in self.groups for pair in combinations(self.by_strength(group), 2)]
        differences = [float(self.strengths[i] - self.strengths[j]) for i, j in two]
        errors = [self.errors.difference(i, j, by) for (i, j), by in zip(two, differences, strict=True)]
        adjusted = holm([1.0 if one is None else one[1] for one in errors])
        found = []
        for (i, j), by, error, corrected in zip(two, differences, errors, adjusted, strict=True):
            interval, p = (None, None) if error is None else error
            p_holm = None if p is None else corrected
            reason = self._reason(error, corrected, len(two))
            found.append(Pair(self.names[i], self.names[j], by, interval, expected(by), p, p_holm, reason))
        return tuple(found)

    def _reason(self, error: tuple[Interval, float] | None, corrected: float, comparisons: int) -> str:
        """Return why two lanes are not distinguishable; "" if they are."""
        if error is None:
            return ENGLISH("ranking.interval-needs", judged=_judged(self.errors.items), fewest=FEWEST)
        interval, p = error
        if interval.covers(0):
            return COVERS_ZERO
        if p >= 1 - LEVEL:
            return ENGLISH("ranking.chance", p=f"{p:.2f}")
        if corrected >= 1 - LEVEL:
            return ENGLISH("ranking.holm", count=comparisons)
        return ""


def _judged(items: int) -> str:
    return ENGLISH.counted("ranking.judged", items)


def _table(judgements: Sequence[Judgement], names: tuple[str, ...]) -> Table:
    number = {name: i for i, name in enumerate(names)}
    wins, ties, both_bad = (np.zeros((len(names), len(names))) for _ in range(3))
    for one in judgements:
        a, b = number[one.model_a], number[one.model_b]
        match one.winner:
            case "model_a":
                wins[a, b] += one.weight
            case "model_b":
                wins[b, a] += one.weight
            case "tie":
                ties[a, b] += one.weight
                ties[b, a] += one.weight
            case "tie (bothbad)":
                both_bad[a, b] += one.weight
                both_bad[b, a] += one.weight
    return Table(names, *(tuple(tuple(row) for row in matrix.tolist()) for matrix in (wins, ties, both_bad)))


def _reachable(edges: NDArray[np.bool_]) -> NDArray[np.bool_]:
    reach = edges | np.eye(len(edges), dtype=bool)
    for _ in range(len(edges).bit_length()):
        reach = reach @ reach
    return reach


def _groups(table: Table) -> list[tuple[int, ...]]:
    """Return the lanes that comparisons connect, largest group first."""
    lanes = range(len(table.lanes))
    edges = np.array([[table.judged(i, j) > 0 for j in lanes] for i in lanes], dtype=bool)
    reach = _reachable(edges.reshape(len(lanes), len(lanes)))
    found = {tuple(np.flatnonzero(row).tolist()) for row in reach}
    return sorted(found, key=lambda group: (-len(group), group))


def _notes(
    judgements: Sequence[Judgement], table: Table, groups: Sequence[Sequence[int]], items: int
) -> Iterable[str]:
    if not judgements:
        yield ENGLISH("ranking.nothing")
        return
    compared = [group for group in groups if len(group) > 1]
    if alone := [table.lanes[i] for group in groups if len(group) == 1 for i in group]:
        yield ENGLISH("ranking.alone", lanes=", ".join(alone))
    if len(compared) > 1:
        parts = "; ".join(", ".join(table.lanes[i] for i in group) for group in compared)
        yield ENGLISH("ranking.groups", count=len(compared), groups=parts)
    not_lost = np.array(table.wins) + np.array(table.ties) + np.array(table.both_bad) > 0
    reach = _reachable(not_lost)
    if any(not reach[i, j] for group in groups for i in group for j in group):
        yield ENGLISH("ranking.regularised")
    if items < FEWEST:
        yield ENGLISH("ranking.no-intervals", judged=_judged(items), fewest=FEWEST)
    elif items < FEW:
        yield ENGLISH("ranking.narrow", judged=_judged(items))
    if not any(one.item for one in judgements):
        yield ENGLISH("ranking.no-prompts")
    for key, values in (
        ("ranking.pooled-criteria", {one.criterion for one in judgements}),
        ("ranking.pooled-sources", {one.source for one in judgements}),
    ):
        if len(values) > 1:
            yield ENGLISH(key, names=", ".join(sorted(map(repr, values))))
