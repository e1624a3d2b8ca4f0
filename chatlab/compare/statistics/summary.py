"""Figures of a comparison of many prompts, lane by lane, and what of it is more than noise.

Each prompt counts as one observation, however often it was repeated: its repeats are not independent.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median, quantiles

from chatlab.compare.model import UNCLEAR, Comparison, Lane, Result, Verdict
from chatlab.compare.statistics.intervals import Interval, wilson
from chatlab.compare.statistics.spread import Difference, Measure, Measurement, spread
from chatlab.spelling import count


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
    by_judge: dict[str, list[Verdict]] = defaultdict(list)
    for one in compared.verdicts:
        by_judge[one.judge].append(one)
    found = []
    for name, verdicts in by_judge.items():
        known = [one.cost for one in verdicts if one.cost is not None]
        unclear = sum(one.winner == UNCLEAR for one in verdicts)
        found.append(JudgeSummary(name, len(verdicts), unclear, len(known), sum(known) if known else None))
    return found


def judge_said(one: JudgeSummary, money: Callable[[float], str]) -> str:
    """Return what a judge came to, in words."""
    parts = [count(one.verdicts, "verdict")]
    if one.unclear:
        parts.append(f"{one.unclear} of them unclear")
    if one.cost is not None:
        only = "" if one.priced == one.verdicts else f" for the {one.priced} of which it is known"
        parts.append(f"cost {money(one.cost)}{only}")
    return ", ".join(parts)


def summarise(compared: Comparison) -> list[LaneSummary]:
    """Return every lane, in the order of the comparison."""
    by_lane: dict[str, list[Result]] = defaultdict(list)
    for result in compared.results:
        by_lane[result.lane].append(result)
    return [_summary(lane, by_lane[lane.id]) for lane in compared.lanes]


def _summary(lane: Lane, results: Sequence[Result]) -> LaneSummary:
    finished = [result for result in results if result.turn.status == "finished"]
    checked = [result for result in finished if result.checks]
    by_item: dict[str, list[bool]] = defaultdict(list)
    by_check: dict[str, list[bool]] = defaultdict(list)
    for result in checked:
        by_item[result.item].append(_passed(result))
        for check in result.checks:
            by_check[check.name].append(check.passed)
    shares = [fmean(passed) for passed in by_item.values()]
    usages = [result.turn.finish.usage for result in finished if result.turn.finish]
    return LaneSummary(
        lane,
        len(finished),
        len(results) - len(finished),
        len(checked),
        fmean(shares) if shares else None,
        wilson(sum(shares), len(shares)),
        {name: (sum(passed), len(passed)) for name, passed in by_check.items()},
        _times([result.turn.timing.first_token for result in finished]),
        _times([result.turn.timing.total for result in finished]),
        _sum([usage.input for usage in usages]),
        _sum([usage.output for usage in usages]),
        sum(known) if (known := _costs(results)) else None,
        fmean(known) if (known := _costs(finished)) else None,
    )


def _costs(results: Sequence[Result]) -> list[float]:
    return [result.turn.cost for result in results if result.turn.cost is not None]


def _passed(result: Result) -> bool:
    return all(check.passed for check in result.checks)


def _times(values: Sequence[float | None]) -> Times | None:
    known = [value for value in values if value is not None]
    if not known:
        return None
    p95 = quantiles(known, n=20, method="inclusive")[-1] if len(known) > 1 else known[0]
    return Times(median(known), p95)


def _sum(values: Sequence[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


_MEASURES: Sequence[tuple[Measure, Callable[[Result], float | None]]] = (
    (
        Measure("answers that pass", "%", "less often right", "more often right", "mean", (0.0, 1.0)),
        lambda result: float(_passed(result)) if result.checks else None,
    ),
    (Measure("first token", "s", "sooner", "later"), lambda result: result.turn.timing.first_token),
    (Measure("total", "s", "faster", "slower"), lambda result: result.turn.timing.total),
    (Measure("cost of an answer", "", "cheaper", "dearer", "mean"), lambda result: result.turn.cost),
)


def differences(compared: Comparison) -> list[tuple[str, tuple[Difference, ...]]]:
    """Return of each measure every two lanes, by their labels; a difference within the noise says so.

    Of a conversation of several messages it is the mean over them.
    """
    labels: dict[str, str] = {lane.id: lane.label for lane in compared.lanes}
    found = []
    for measure, value_of in _MEASURES:
        # The steps of a conversation are neither independent nor repeats of each other: it is one value.
        conversations: dict[tuple[str, str, int], list[float]] = defaultdict(list)
        for result in compared.results:
            if result.turn.status == "finished" and (value := value_of(result)) is not None:
                conversations[labels[result.lane], result.item, result.repeat].append(value)
        measurements = [
            Measurement(label, item, fmean(values)) for (label, item, _), values in conversations.items()
        ]
        if measurements:
            found.append((measure.name, spread(measurements, measure).differences))
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
