"""Figures of a comparison of many prompts, lane by lane, and what of it is more than noise.

Each prompt counts as one observation, however often it was repeated: its repeats are not independent.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, median, quantiles
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from chatlab.compare.figures import UNKNOWN, Figures, figures_of, known
from chatlab.compare.model import UNCLEAR, Comparison, Lane
from chatlab.compare.statistics.intervals import Interval, wilson
from chatlab.compare.statistics.spread import Difference, Groups, Measure, spread_of
from chatlab.words import ENGLISH, Words


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds."""

    median: float
    p95: float


@dataclass(frozen=True, slots=True)
class LaneSummary:
    """One lane. answers: those that finished. passed: the share of checked answers that passed all checks, by
    prompt; interval: its 95 % Wilson interval, with as many trials as prompts. by_check: how many passed, and
    of how many. cost and tokens: of the answers of which they are known; None if of none. mean_cost: of one
    that finished.
    """

    lane: Lane
    answers: int
    failed: int
    checked: int
    passed: float | None
    interval: Interval | None
    by_check: Mapping[str, tuple[int, int]]
    first_token: Times | None
    total: Times | None
    tokens_in: int | None
    tokens_out: int | None
    cost: float | None
    mean_cost: float | None


@dataclass(frozen=True, slots=True)
class JudgeSummary:
    """The verdicts of one judge, and their cost. name: its backend. unclear: verdicts for which it failed, or
    could not be read. cost: of the `priced` verdicts of which it is known; None if of none.
    """

    name: str
    verdicts: int
    unclear: int
    priced: int
    cost: float | None


def judges(compared: Comparison) -> list[JudgeSummary]:
    """Return every judge of a comparison, in the order of their first verdicts."""
    found: dict[str, JudgeSummary] = {}
    for one in compared.verdicts:
        so_far = found.get(one.judge, JudgeSummary(one.judge, 0, 0, 0, None))
        cost = so_far.cost if one.cost is None else (so_far.cost or 0) + one.cost
        found[one.judge] = JudgeSummary(
            one.judge,
            so_far.verdicts + 1,
            so_far.unclear + (one.winner == UNCLEAR),
            so_far.priced + (one.cost is not None),
            cost,
        )
    return list(found.values())


def judge_said(one: JudgeSummary, money: Callable[[float], str], words: Words = ENGLISH) -> str:
    """Return what a judge came to, in words."""
    parts = [words.counted("count.verdict", one.verdicts)]
    if one.unclear:
        parts.append(words("report.unclear", count=one.unclear))
    if one.cost is not None:
        key = "figures.cost" if one.priced == one.verdicts else "report.cost-of-some"
        some = {} if one.priced == one.verdicts else {"count": one.priced}
        parts.append(words(key, money=money(one.cost), **some))
    return ", ".join(parts)


def summarise(compared: Comparison, *, by_check: bool = True) -> list[LaneSummary]:
    """Return every lane, in the order of the comparison. by_check: with `by_check`, for which the answers are
    read.
    """
    figures = figures_of(compared)
    checks = _checks(compared, figures) if by_check else []
    return [
        _summary(lane, figures, figures.lane == number, checks[number] if by_check else {})
        for number, lane in enumerate(compared.lanes)
    ]


def _summary(
    lane: Lane, figures: Figures, of_lane: NDArray[np.bool_], by_check: Mapping[str, tuple[int, int]]
) -> LaneSummary:
    finished = of_lane & figures.finished
    rows = figures.rows[finished]
    checked = rows["passed"] != UNKNOWN
    items = figures.item[finished][checked]
    trials = np.bincount(items)
    passed = np.bincount(items, rows["passed"][checked])[trials > 0]
    shares = (passed / trials[trials > 0]).tolist()
    return LaneSummary(
        lane,
        len(rows),
        int(of_lane.sum()) - len(rows),
        len(items),
        fmean(shares) if shares else None,
        wilson(sum(shares), len(shares)),
        by_check,
        _times(known(rows["first_token"])),
        _times(known(rows["total"])),
        _sum(rows["tokens_in"]),
        _sum(rows["tokens_out"]),
        sum(costs) if (costs := known(figures.rows["cost"][of_lane])) else None,
        fmean(costs) if (costs := known(rows["cost"])) else None,
    )


def _checks(compared: Comparison, figures: Figures) -> list[dict[str, tuple[int, int]]]:
    """Return of each lane how many answers passed each check, and of how many."""
    found: list[dict[str, tuple[int, int]]] = [{} for _ in compared.lanes]
    for number in np.flatnonzero(figures.finished & (figures.rows["passed"] != UNKNOWN)).tolist():
        if (lane := int(figures.lane[number])) == UNKNOWN:
            continue
        for check in compared.results[number].checks:
            passed, of = found[lane].get(check.name, (0, 0))
            found[lane][check.name] = passed + check.passed, of + 1
    return found


def _times(values: Sequence[float]) -> Times | None:
    if not values:
        return None
    p95 = quantiles(values, n=20, method="inclusive")[-1] if len(values) > 1 else values[0]
    return Times(median(values), p95)


def _sum(tokens: NDArray[np.int64]) -> int | None:
    there = tokens[tokens != UNKNOWN]
    return int(there.sum()) if len(there) else None


def _measure(name: str, unit: str, lower: str, higher: str) -> Measure:
    return Measure(name, unit, ENGLISH(lower), ENGLISH(higher))


PASSED, FIRST_TOKEN = ENGLISH("spread.passed"), ENGLISH("spread.first-token")
TOTAL, COST = ENGLISH("spread.total"), ENGLISH("spread.cost")
"""The names of measures."""
_MEASURES = (
    (
        replace(_measure(PASSED, "%", "spread.worse", "spread.better"), centre="mean", range=(0.0, 1.0)),
        "passed",
    ),
    (_measure(FIRST_TOKEN, "s", "spread.sooner", "spread.later"), "first_token"),
    (_measure(TOTAL, "s", "spread.faster", "spread.slower"), "total"),
    (replace(_measure(COST, "", "spread.cheaper", "spread.dearer"), centre="mean"), "cost"),
)
"""Each with its column of the figures."""


def differences(compared: Comparison) -> list[tuple[str, tuple[Difference, ...]]]:
    """Return of each measure every two lanes, by their labels; a difference within the noise says so.

    Of a conversation of several messages it is the mean over them.
    """
    figures = figures_of(compared)
    names = tuple(lane.label for lane in compared.lanes)
    known_already = _differences.setdefault(figures, {})
    if names not in known_already:
        known_already[names] = [
            (measure.name, spread_of(measured, measure).differences)
            for measure, column in _MEASURES
            if (measured := _measured(figures, column, names))
        ]
    return known_already[names]


_differences: WeakKeyDictionary[Figures, dict[tuple[str, ...], list[tuple[str, tuple[Difference, ...]]]]] = (
    WeakKeyDictionary()
)  # by the lanes' labels: it takes seconds for a long run, and a report says it twice


def _measured(figures: Figures, column: str, names: Sequence[str]) -> dict[str, Groups]:
    """Return the values of each lane by prompt, sorted by their ids; lanes without any are left out."""
    values = figures.rows[column].astype(np.float64)
    if column == "passed":
        values[values == UNKNOWN] = np.nan
    by_id = np.argsort(np.argsort(np.array(figures.items, object)))
    found = {}
    for lane, name in enumerate(names):
        there = np.flatnonzero((figures.lane == lane) & figures.finished & ~np.isnan(values))
        # The steps of a conversation are neither independent nor repeats of each other: it is one value.
        order = there[np.lexsort((figures.repeat[there], by_id[figures.item[there]]))]
        items, repeats = by_id[figures.item[order]], figures.repeat[order]
        begins = np.flatnonzero(np.diff(items, prepend=-1) | np.diff(repeats, prepend=-1))
        if len(begins):
            found[name] = Groups.of(items[begins], _means(values[order], begins))
    return found


def _means(values: NDArray[np.float64], begins: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the means of what stands between each two beginnings."""
    sizes = np.diff(begins, append=len(values))
    found = values[begins]
    for number in np.flatnonzero(sizes > 1).tolist():
        found[number] = fmean(values[begins[number] : begins[number] + sizes[number]].tolist())
    return found


def verdict_counts(compared: Comparison) -> list[tuple[str, str, str, Mapping[str, int]]]:
    """Return of each criterion and two labels how often "a", "b", "tie", "flip" and "unclear" was the
    verdict."""
    labels: dict[str, str] = {lane.id: lane.label for lane in compared.lanes}
    counts: dict[tuple[str, str, str], Counter[str]] = defaultdict(Counter)
    for one in compared.verdicts:
        sides: dict[str, str] = {one.lane_a: "a", one.lane_b: "b"}
        said = sides.get(one.winner, one.winner)
        counts[one.criterion, one.lane_a, one.lane_b][said] += 1
    return [(criterion, labels[a], labels[b], dict(count)) for (criterion, a, b), count in counts.items()]
