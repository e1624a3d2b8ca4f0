"""The beginning of a report: what was compared, who is ahead in what and how sure that is, and how each lane
did with each prompt."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from chatlab.compare.figures import UNKNOWN, figures_of
from chatlab.compare.model import Comparison, Result
from chatlab.compare.report.items import current_votes
from chatlab.compare.report.judged import Judged, within
from chatlab.compare.report.tables import Cell, ReportTable, head, number, on_scale
from chatlab.compare.statistics.spread import Difference
from chatlab.compare.statistics.summary import (
    COST,
    FIRST_TOKEN,
    PASSED,
    TOTAL,
    LaneSummary,
    Times,
    differences,
    summarise,
)
from chatlab.messages import TextPart
from chatlab.words import Words

Outcome: TypeAlias = Literal["passed", "failed", "partly", "broken", "answered", "none"]


class MatrixCell(NamedTuple):
    """The outcome of one lane with one prompt. said: in words or signs; won: the comparisons it won there."""

    outcome: Outcome
    said: str
    won: str = ""


class MatrixRow(NamedTuple):
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


def compared_said(compared: Comparison, words: Words) -> str:
    """Return in a sentence what was compared, how often and when."""
    figures = figures_of(compared)
    messages, prompts = figures.messages, len(figures.items)
    asked = words.counted("count.message", messages)
    if compared.mode is None:
        of_prompts = words.counted("count.prompt", prompts)
        several = messages > prompts
        asked = words("report.prompts-of", prompts=of_prompts, messages=asked) if several else of_prompts
    if compared.repeats > 1:
        asked = words("report.times-each", asked=asked, count=compared.repeats)
    answers = words.counted("count.answer", len(compared.results))
    if unfinished := int((~figures.finished).sum()):
        answers = words("report.of-which-unfinished", answers=answers, count=unfinished)
    lanes = words.counted("count.lane", len(compared.lanes))
    return words(
        "report.compared", lanes=lanes, asked=asked, date=f"{compared.created:%Y-%m-%d}", answers=answers
    )


# -- who is ahead in what


@dataclass(frozen=True, slots=True)
class _Figure:
    """The figure of a lane in one measure, as a value and in words."""

    value: Callable[[LaneSummary], float | None]
    told: Callable[[LaneSummary, Words], str]
    more_is_better: bool = False


def _median(times: Times | None) -> float | None:
    return None if times is None else times.median


def _seconds(times: Times | None, words: Words) -> str:
    return "" if times is None else words("report.median", value=number(times.median, "s", words))


def _passed(one: LaneSummary, words: Words) -> str:
    return within(words.share(one.passed or 0), one.interval, words.share, words)


def _cost(one: LaneSummary, words: Words) -> str:
    return words("report.average", value=on_scale(one.mean_cost or 0, "", words))


_FIGURES = {
    PASSED: _Figure(lambda one: one.passed, _passed, more_is_better=True),
    FIRST_TOKEN: _Figure(
        lambda one: _median(one.first_token), lambda one, words: _seconds(one.first_token, words)
    ),
    TOTAL: _Figure(lambda one: _median(one.total), lambda one, words: _seconds(one.total, words)),
    COST: _Figure(lambda one: one.mean_cost, _cost),
}
"""By the names of measures."""


def findings(compared: Comparison, judged: Iterable[Judged], words: Words) -> ReportTable | None:
    """Return who is ahead in each measure and criterion, and how sure that is; None if there is nobody to be
    ahead of.
    """
    lanes = summarise(compared, by_check=False)
    if len(lanes) < 2:
        return None
    rows = [_of_measure(name, found, lanes, words) for name, found in differences(compared)]
    rows += [_of_criterion(one, words) for one in judged]
    columns = head(("measure", "ahead", "how-sure"), words)
    return ReportTable.of(columns, [row for row in rows if row]) if any(rows) else None


def _of_measure(
    name: str, found: Sequence[Difference], lanes: Sequence[LaneSummary], words: Words
) -> list[Cell]:
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
            reasons[other] = words.translated(two.reason)
            continue
        word = two.measure.higher if more_is_better else two.measure.lower
        ahead = (two.difference > 0) is ((two.a == label) is more_is_better)
        (better if ahead else worse).append(other)
    if len(found) == 1 and better:
        sure = words.translated(str(found[0]))
    else:
        others = _others("report.better", better, worse, reasons, words, word=words.translated(word))
        sure = _sure(others, worse, reasons, words)
    return [Cell(words.translated(name)), Cell(f"{label}: {figure.told(best, words)}"), Cell(sure)]


def _of_criterion(one: Judged, words: Words) -> list[Cell]:
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
            reasons[other] = words.translated(pair.reason)
    counts = {"won": best.wins, "lost": best.losses, "neither": best.ties + best.both_bad}
    won = words("report.record", **{key: words.number(f"{value:g}") for key, value in counts.items()})
    never = [lane.lane for lane in ranked if lane.group != best.group]
    sure = _sure(_others("report.preferred", better, [], reasons, words), [], reasons, words)
    if never:
        sure += f"; {words('report.never-compared', lanes=words.listed(never))}"
    return [Cell(one.summary_title(words)), Cell(f"{words.translated(best.lane)}: {won}"), Cell(sure)]


def _others(
    key: str,
    better: Sequence[str],
    worse: Sequence[str],
    reasons: Mapping[str, str],
    words: Words,
    **values: str,
) -> str:
    """Return the lanes that the best one is ahead of, in the text of a key; "" if of none."""
    if not better:
        return ""
    if len(better) > 1 and not worse and not reasons:
        return words(f"{key}-all", **values)
    return words(key, lanes=words.listed(better), **values)


def _sure(ahead: str, worse: Sequence[str], reasons: Mapping[str, str], words: Words) -> str:
    """Return what is certain of the lane that is ahead. reasons: of each lane that it cannot be told from."""
    parts = [ahead] if ahead else []
    if worse:
        parts.append(words("report.yet", lanes=words.listed(worse)))
    if reasons:
        alike = words("report.alike", lanes=words.listed(list(reasons)))
        if len(reasons) > 1 and not ahead and not worse:
            alike = words("report.alike-any")
        why = set(reasons.values())
        parts.append(f"{alike}: {why.pop()}" if len(why) == 1 else alike)
    return "; ".join(parts) or words("report.no-other")


# -- prompts and lanes


class Matrix:
    """The outcomes of every lane, prompt by prompt: a row at a time, in their order.

    differing_in: what of the lanes can differ here: their checks, wins or answers. failing, differing: how
    many prompts of the rows so far some lane failed with, and how many they differ in.
    """

    def __init__(self, compared: Comparison, words: Words) -> None:
        figures = figures_of(compared)
        self._words = words
        self._ids = [lane.id for lane in compared.lanes]
        self._won = _won(compared)
        checked, judged = bool((figures.rows["passed"] != UNKNOWN).any()), any(self._won.values())
        self.differing_in = "checks" if checked else "wins" if judged else "answers"
        self.lanes = tuple(lane.label for lane in compared.lanes)
        self.prompts = len(figures.items)
        self.failing = self.differing = 0

    def row(self, number: int, results: Sequence[Result]) -> MatrixRow:
        """Return the row of the prompt that these results are of."""
        by_lane: dict[str, list[Result]] = {lane: [] for lane in self._ids}
        for result in results:
            by_lane.setdefault(result.lane, []).append(result)
        won = self._won[results[0].item]
        cells = tuple(_cell(by_lane[lane], won[lane], self._words) for lane in self._ids)
        alike = {cell.won if self.differing_in == "wins" else cell.said for cell in cells}
        if self.differing_in == "answers" and len(alike) == 1:
            alike = {_text(by_lane[lane]) for lane in self._ids}
        failing = any(cell.outcome in ("failed", "partly", "broken") for cell in cells)
        differing = len(alike) > 1
        self.failing += failing
        self.differing += differing
        return MatrixRow(number, _short(results[0].turn.user.text), cells, failing, differing)


def matrix(compared: Comparison, words: Words) -> Matrix | None:
    """Return how each lane did with each prompt, without its rows yet; None of a single prompt."""
    return Matrix(compared, words) if len(figures_of(compared).items) > 1 else None


def _cell(results: Sequence[Result], won: int, words: Words) -> MatrixCell:
    outcome, said = _outcome(results, words)
    return MatrixCell(outcome, said, words("report.won-times", count=won) if won else "")


def _outcome(results: Sequence[Result], words: Words) -> tuple[Outcome, str]:
    if not results:
        return "none", ""
    unfinished = sum(one.turn.status != "finished" for one in results)
    if unfinished:
        several = len(results) > 1
        said = words("report.unfinished-of", count=unfinished, all=len(results)) if several else ""
        return "broken", said or words("report.unfinished")
    checked = [one for one in results if one.checks]
    if not checked:
        return "answered", words("report.answered")
    passed = sum(all(check.passed for check in one.checks) for one in checked)
    if len(checked) == 1:
        return (
            ("passed", f"✓ {words('report.passed')}") if passed else ("failed", f"✗ {words('report.failed')}")
        )
    said = words("report.passed-of", count=passed, all=len(checked))
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
