"""The beginning of a report: what was compared, who is ahead in what and how sure that is, and how each lane
did with each prompt."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from chatlab.compare.figures import UNKNOWN, figures_of
from chatlab.compare.model import Comparison, Result
from chatlab.compare.report.items import current_votes, items_of
from chatlab.compare.report.judged import Judged
from chatlab.compare.report.spool import many
from chatlab.compare.report.words import Cell, ReportTable, number, on_scale
from chatlab.compare.statistics.spread import Difference
from chatlab.compare.statistics.summary import LaneSummary, Times, differences, summarise
from chatlab.messages import TextPart
from chatlab.spelling import count, listed

HOW_SURE = (
    "Ahead is the lane with the best figure. The last column says from which lanes it differs by more than "
    "chance: at the 95% level, corrected for all pairs of lanes."
)

Outcome: TypeAlias = Literal["passed", "failed", "partly", "broken", "answered", "none"]


@dataclass(frozen=True, slots=True)
class MatrixCell:
    """The outcome of one lane with one prompt. said: in words or signs; won: the comparisons it won there."""

    outcome: Outcome
    said: str
    won: str = ""


@dataclass(frozen=True, slots=True)
class MatrixRow:
    """One prompt. failing: an answer did not finish or pass; differing: the lanes did not do alike."""

    number: int
    asked: str
    cells: tuple[MatrixCell, ...]
    failing: bool
    differing: bool

    @property
    def marks(self) -> str:
        """Return the classes by which the filters find it."""
        return " ".join(["failing"] * self.failing + ["differing"] * self.differing)


@dataclass(frozen=True, slots=True)
class Matrix:
    """All prompts. differing_in: what of the lanes can differ here: their checks, wins or answers. failing,
    differing: how many prompts some lane failed with, and how many they differ in.
    """

    lanes: tuple[str, ...]
    rows: Sequence[MatrixRow]
    differing_in: str
    failing: int
    differing: int


def compared_said(compared: Comparison) -> str:
    """Return in a sentence what was compared, how often and when."""
    figures = figures_of(compared)
    messages, prompts = figures.messages, len(figures.items)
    asked = count(messages, "message")
    if compared.mode is None:
        asked = count(prompts, "prompt") + (f" of {asked}" if messages > prompts else "")
    each = f", {compared.repeats} times each," if compared.repeats > 1 else ""
    unfinished = int((~figures.finished).sum())
    lost = f", of which {unfinished} did not finish" if unfinished else ""
    return (
        f"{count(len(compared.lanes), 'lane')} answered {asked}{each} on "
        f"{compared.created:%Y-%m-%d}: {count(len(compared.results), 'answer')}{lost}."
    )


# -- who is ahead in what

_HEAD = (Cell("measure"), Cell("ahead"), Cell("how sure"))


@dataclass(frozen=True, slots=True)
class _Figure:
    """The figure of a lane in one measure, as a value and in words."""

    value: Callable[[LaneSummary], float | None]
    told: Callable[[LaneSummary], str]
    more_is_better: bool = False


def _median(times: Times | None) -> float | None:
    return None if times is None else times.median


def _seconds(times: Times | None) -> str:
    return "" if times is None else f"{number(times.median, 's')}, median"


def _passed(one: LaneSummary) -> str:
    within = f" (95% interval {one.interval.low:.0%} to {one.interval.high:.0%})" if one.interval else ""
    return f"{one.passed or 0:.0%}{within}"


_FIGURES = {
    "answers that pass": _Figure(lambda one: one.passed, _passed, more_is_better=True),
    "first token": _Figure(lambda one: _median(one.first_token), lambda one: _seconds(one.first_token)),
    "total": _Figure(lambda one: _median(one.total), lambda one: _seconds(one.total)),
    "cost of an answer": _Figure(
        lambda one: one.mean_cost, lambda one: f"{on_scale(one.mean_cost or 0, '')} on average"
    ),
}
"""By the names of measures."""


def findings(compared: Comparison, judged: Iterable[Judged]) -> ReportTable | None:
    """Return who is ahead in each measure and criterion, and how sure that is; None if there is nobody to be
    ahead of.
    """
    lanes = summarise(compared)
    if len(lanes) < 2:
        return None
    rows = [_of_measure(name, found, lanes) for name, found in differences(compared)]
    rows += [_of_criterion(one) for one in judged]
    return ReportTable.of(_HEAD, [row for row in rows if row]) if any(rows) else None


def _of_measure(name: str, found: Sequence[Difference], lanes: Sequence[LaneSummary]) -> list[Cell]:
    figure = _FIGURES[name]
    more_is_better = figure.more_is_better
    known = [(value, one) for one in lanes if (value := figure.value(one)) is not None]
    if not known:
        return []
    best = (max if more_is_better else min)(known, key=lambda pair: pair[0])[1]
    label = best.lane.label
    better, worse, reasons = list[str](), list[str](), dict[str, str]()
    word = ""
    for two in found:
        if label not in (two.a, two.b):
            continue
        other = two.b if two.a == label else two.a
        if not two.distinguishable or two.difference is None:
            reasons[other] = two.reason
            continue
        word = two.measure.higher if more_is_better else two.measure.lower
        ahead = (two.difference > 0) is ((two.a == label) is more_is_better)
        (better if ahead else worse).append(other)
    sure = str(found[0]) if len(found) == 1 and better else _sure(word, better, worse, reasons)
    return [Cell(name), Cell(f"{label}: {figure.told(best)}"), Cell(sure)]


def _of_criterion(one: Judged) -> list[Cell]:
    ranked = [lane for lane in one.ranking.lanes if lane.judged]
    if len(ranked) < 2:
        return []
    best = min(ranked, key=lambda lane: (lane.rank, lane.group))
    better, reasons = list[str](), dict[str, str]()
    for pair in one.ranking.pairs:
        if best.lane not in (pair.a, pair.b):
            continue
        other = pair.b if pair.a == best.lane else pair.a
        if pair.distinguishable:
            better.append(other)
        else:
            reasons[other] = pair.reason
    won = f"won {best.wins:g}, lost {best.losses:g}, neither {best.ties + best.both_bad:g}"
    never = [lane.lane for lane in ranked if lane.group != best.group]
    sure = _sure("preferred", better, [], reasons, to="to")
    if never:
        sure += f"; never compared with {listed(never)}"
    return [Cell(one.summary_title), Cell(f"{best.lane}: {won}"), Cell(sure)]


def _sure(
    word: str, better: Sequence[str], worse: Sequence[str], reasons: Mapping[str, str], *, to: str = "than"
) -> str:
    """Return what is certain of the lane that is ahead. reasons: of each lane that it cannot be told from."""
    parts = []
    if better:
        all_others = len(better) > 1 and not worse and not reasons
        parts.append(f"{word} {to} {'all others' if all_others else listed(better)}")
    if worse:
        parts.append(f"yet prompt by prompt {listed(worse)} did better")
    if reasons:
        from_all = len(reasons) > 1 and not better and not worse
        why = set(reasons.values())
        because = f": {why.pop()}" if len(why) == 1 else ""
        parts.append(
            f"not distinguishable from {'any other' if from_all else listed(list(reasons))}{because}"
        )
    return "; ".join(parts) or "no other lane has any"


# -- prompts and lanes


def matrix(compared: Comparison) -> Matrix | None:
    """Return how each lane did with each prompt; None of a single prompt."""
    figures = figures_of(compared)
    if len(figures.items) < 2:
        return None
    won = _won(compared)
    checked, judged = bool((figures.rows["passed"] != UNKNOWN).any()), any(won.values())
    counts: Counter[str] = Counter()

    def counted() -> Iterator[MatrixRow]:
        for row in _rows(compared, won, checked=checked, judged=judged):
            counts.update(failing=row.failing, differing=row.differing)
            yield row

    rows = many(compared, counted())
    differing_in = "checks" if checked else "wins" if judged else "answers"
    labels = tuple(lane.label for lane in compared.lanes)
    return Matrix(labels, rows, differing_in, counts["failing"], counts["differing"])


def _rows(
    compared: Comparison, won: Mapping[str, Counter[str]], *, checked: bool, judged: bool
) -> Iterator[MatrixRow]:
    lanes = [lane.id for lane in compared.lanes]
    for place, (item, results) in enumerate(items_of(compared), 1):
        by_lane: dict[str, list[Result]] = defaultdict(list)
        for result in results:
            by_lane[result.lane].append(result)
        cells = [_cell(by_lane[lane], won[item][lane]) for lane in lanes]
        alike = {cell.won if judged and not checked else cell.said for cell in cells}
        if not checked and not judged and len(alike) == 1:
            alike = {_text(by_lane[lane]) for lane in lanes}
        yield MatrixRow(
            place,
            _short(results[0].turn.user.text),
            tuple(cells),
            any(cell.outcome in ("failed", "partly", "broken") for cell in cells),
            len(alike) > 1,
        )


def _cell(results: Sequence[Result], won: int) -> MatrixCell:
    outcome, said = _outcome(results)
    return MatrixCell(outcome, said, f"won {won}" if won else "")


def _outcome(results: Sequence[Result]) -> tuple[Outcome, str]:
    if not results:
        return "none", ""
    unfinished = sum(one.turn.status != "finished" for one in results)
    if unfinished:
        of = f"{unfinished} of {len(results)} " if len(results) > 1 else ""
        return "broken", f"{of}not finished"
    checked = [one for one in results if one.checks]
    if not checked:
        return "answered", "answered"
    passed = sum(all(check.passed for check in one.checks) for one in checked)
    if len(checked) == 1:
        return ("passed", "✓ passed") if passed else ("failed", "✗ failed")
    said = f"{passed} of {len(checked)} passed"
    if passed == len(checked):
        return "passed", f"✓ {said}"
    return ("partly" if passed else "failed"), f"✗ {said}"


def _won(compared: Comparison) -> dict[str, Counter[str]]:
    """Return how often votes and verdicts preferred each lane, by item."""
    won: dict[str, Counter[str]] = defaultdict(Counter)
    for item, votes in current_votes(compared).items():
        won[item].update(vote.best for vote in votes)
    for verdict in compared.verdicts:
        won[verdict.item][verdict.winner] += 1
    return defaultdict(Counter, {item: _lanes_only(compared, found) for item, found in won.items()})


def _lanes_only(compared: Comparison, found: Counter[str]) -> Counter[str]:
    lanes: set[str] = {lane.id for lane in compared.lanes}
    return Counter({who: times for who, times in found.items() if who in lanes})


def _text(results: Sequence[Result]) -> str:
    parts = (part.text for one in results for part in one.turn.answer if isinstance(part, TextPart))
    return " ".join(" ".join(parts).split())


def _short(asked: str) -> str:
    said = " ".join(asked.split())
    return said if len(said) <= 80 else said[:79] + "…"
