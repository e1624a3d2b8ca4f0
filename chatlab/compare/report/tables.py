"""Sentences, tables and figures of a report, whichever format it is written in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median

import numpy as np

from chatlab.compare.figures import figures_of, known
from chatlab.compare.model import Comparison, Lane, Receipt, Result
from chatlab.compare.statistics.sentences import differences_said as said_of_differences
from chatlab.compare.statistics.summary import (
    LaneSummary,
    Times,
    differences,
    judge_said,
    judges,
    summarise,
    verdict_counts,
)
from chatlab.render.figures import seconds
from chatlab.words import Words

METHOD = ("lane", "times", "plots", "hash", "difference", "ranking", "formulas")
"""What is said of how a report is made, by the ends of keys."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A table's cell. kind: "number", "long" or nothing."""

    said: str
    kind: str = ""


@dataclass(frozen=True, slots=True)
class ReportTable:
    """A table of texts, in which every column says something in some row."""

    head: tuple[Cell, ...]
    rows: tuple[tuple[Cell, ...], ...]

    @classmethod
    def of(cls, head: Sequence[Cell], rows: Sequence[Sequence[Cell]]) -> ReportTable:
        """Return the table of these rows; columns in which no row says anything are left out."""
        shown = [column for column in range(len(head)) if any(row[column].said for row in rows)]
        return cls(
            tuple(head[column] for column in shown),
            tuple(tuple(row[column] for column in shown) for row in rows),
        )


def number(value: float, unit: str, words: Words) -> str:
    """Return a figure as people read it, with three digits that tell. unit: "s", or what stands behind it."""
    return seconds(value, words) if unit == "s" else on_scale(value, unit, words)


def on_scale(value: float, unit: str, words: Words) -> str:
    """Return a figure with three digits that tell, in the unit that its scale has."""
    said = f"{value:,.0f}"
    if abs(value) < 1000:
        said = np.format_float_positional(value, precision=3, fractional=False, trim="-")
    return words.number(f"{said} {unit}".rstrip())


def facts_of(compared: Comparison, words: Words) -> list[tuple[str, str]]:
    """Return when, how and how much was compared: names and what is said, "" where nothing is."""
    figures = figures_of(compared)
    failed = int((~figures.finished).sum())
    answers = words.number(f"{len(compared.results):,}")
    if failed:
        answers = words("report.of-which-unfinished", answers=answers, count=failed)
    facts = {
        "when": f"{compared.created:%Y-%m-%d %H:%M} {compared.created:%Z}".rstrip(),
        "what": words(f"report.what-{compared.mode or 'run'}"),
        "order": words(f"report.order-{compared.order}"),
        "blind": "" if compared.mode is None else words(f"report.{'was' if compared.blind else 'not'}-blind"),
        "lanes": ", ".join(lane.label for lane in compared.lanes),
        "messages": str(figures.messages),
        "answers": answers,
        "repeats": str(compared.repeats) if compared.repeats > 1 else "",
    }
    return [
        *((words(f"report.fact-{name}"), said) for name, said in facts.items()),
        *(
            (words("report.judge", name=one.name), judge_said(one, partial(_amount, words), words))
            for one in judges(compared)
        ),
    ]


def redacted_said(compared: Comparison, words: Words) -> list[str]:
    """Return what was taken out, and where: sentences."""
    found = []
    for what, count in compared.redacted.items():
        said = words.translated(what)
        found.append(f"{said}: {count}" if count else words("report.not-found", what=said))
    return found


_LANES_HEAD = ("lane", "backend", "model", "answered-by", "endpoint", "parameters", "system", "sent-as")


def head(names: Iterable[str], words: Words, kinds: Mapping[str, str] | None = None) -> tuple[Cell, ...]:
    """Return a table's headings. names: the ends of their keys. kinds: of cells, by name; "" of the rest."""
    kinds = kinds or {}
    return tuple(Cell(words(f"report.column-{name}"), kinds.get(name, kinds.get("", ""))) for name in names)


def lane_table(compared: Comparison, words: Words) -> ReportTable:
    """Return each lane, as it was set and as the receipts say it was."""
    found = LanesSaid(compared, words)
    for result in compared.results:
        found.add(result)
    return found.table


_SAID: Mapping[str, Callable[[Receipt], str | None]] = {
    "model": lambda one: one.model,
    "answered": lambda one: one.model_answered,
    "endpoint": lambda one: one.endpoint,
    "system": lambda one: next((m.text for m in one.messages if m.role == "system"), None),
    "identity": lambda one: one.identity,
}


class LanesSaid:
    """The table of lanes, which the results are added to one by one."""

    def __init__(self, compared: Comparison, words: Words) -> None:
        self._words = words
        run = compared.mode is None
        self._lanes: dict[str, _LaneFacts] = {
            one.id: _LaneFacts(one, words, run=run) for one in compared.lanes
        }

    def add(self, result: Result) -> None:
        """Take what a result says of its lane."""
        if result.lane in self._lanes:
            self._lanes[result.lane].add(result)

    @property
    def table(self) -> ReportTable:
        """Return the table of what was added."""
        columns = head(_LANES_HEAD, self._words, {"system": "long"})
        return ReportTable.of(columns, [one.row for one in self._lanes.values()])


class _LaneFacts:
    """Everything that the answers of one lane say of it. run: whether they are of a run, whose prompts may
    set parameters.
    """

    def __init__(self, lane: Lane, words: Words, *, run: bool) -> None:
        self._lane = lane
        self._words = words
        self._run = run
        self._said: dict[str, dict[str, None]] = {name: {} for name in ("kind", *_SAID)}  # in their order
        self._sent: dict[str, object] = {}
        self._of_prompts: set[str] = set()

    def add(self, one: Result) -> None:
        own = _set_by_prompt(self._lane, one) if self._run else set()
        self._of_prompts |= own
        self._said["kind"][one.turn.kind] = None
        if one.receipt is None:
            return
        self._sent |= {name: value for name, value in one.receipt.parameters.items() if name not in own}
        for name, value_of in _SAID.items():
            self._said[name][value_of(one.receipt) or ""] = None

    @property
    def row(self) -> list[Cell]:
        """Return the lane's row."""
        said = {name: ", ".join(filter(None, values)) for name, values in self._said.items()}
        lane, kinds = self._lane, said["kind"]
        return [
            Cell(lane.label),
            Cell(f"{lane.backend} ({kinds})" if kinds and kinds != lane.backend else lane.backend),
            Cell(said["model"]),
            Cell(said["answered"]),
            Cell(said["endpoint"]),
            Cell(self._parameters()),
            Cell(said["system"] or lane.system or "", "long"),
            Cell(said["identity"]),
        ]

    def _parameters(self) -> str:
        """Return what the receipts say the lane was sent, but for what prompts of a run set, of which only
        the names are said. A session's prompts set nothing: there it is what the lane was sent last.
        """
        sent = self._sent or self._lane.parameters
        said = ", ".join(f"{name} = {value}" for name, value in sent.items())
        if not self._of_prompts:
            return said
        names = ", ".join(sorted(self._of_prompts))
        return f"{said} {self._words('report.prompts-set', names=names)}".lstrip()


def _set_by_prompt(lane: Lane, one: Result) -> set[str]:
    """Return the parameters of an answer of a run that are not as the lane has them: its prompt set them."""
    return {
        name
        for name, value in one.turn.parameters.items()
        if name not in lane.parameters or lane.parameters[name] != value
    }


_SUMMARY_HEAD = (
    *("lane", "answers", "unfinished", "checks-passed", "first-token-median", "total-median"),
    *("tokens-in", "tokens-out", "cost"),
)


def summary_table(compared: Comparison, words: Words) -> ReportTable:
    """Return each lane's figures."""
    columns = head(_SUMMARY_HEAD, words, {"lane": "", "": "number"})
    return ReportTable.of(columns, [_summary_row(one, words) for one in summarise(compared, by_check=False)])


def _summary_row(one: LaneSummary, words: Words) -> list[Cell]:
    passed = ""
    if one.passed is not None and one.interval is not None:
        low, high = words.share(one.interval.low), words.share(one.interval.high)
        passed = words("compare.interval", score=words.share(one.passed), low=low, high=high)
    return [
        Cell(one.lane.label),
        *(
            Cell(said, "number")
            for said in (
                str(one.answers),
                str(one.failed or ""),
                passed,
                _seconds(one.first_token, words),
                _seconds(one.total, words),
                "" if one.tokens_in is None else words.number(f"{one.tokens_in:,}"),
                "" if one.tokens_out is None else words.number(f"{one.tokens_out:,}"),
                "" if one.cost is None else _amount(words, one.cost),
            )
        ),
    ]


def _amount(words: Words, cost: float) -> str:
    return words.number(f"{cost:.6g}")


def _seconds(times: Times | None, words: Words) -> str:
    return "" if times is None else f"{number(times.median, 's', words)} ({number(times.p95, 's', words)})"


_FIGURES = (
    ("first-token", "s", "first_token"),
    ("total", "s", "total"),
    ("longest-stall", "s", "longest_stall"),
    ("speed", "", "tokens_per_second"),
    ("cost", "", "cost"),
)
"""Each with its unit, and its column of the figures."""


def measured(compared: Comparison, words: Words) -> Iterator[tuple[str, str, list[tuple[str, list[float]]]]]:
    """Yield each figure's name, unit, and values by lane, of the answers that finished.

    Lanes without any value are left out, and so are figures without any lane.
    """
    of = figures_of(compared)
    for name, unit, column in _FIGURES:
        values = [
            (lane.label, known(of.rows[column][of.finished & (of.lane == number)]))
            for number, lane in enumerate(compared.lanes)
        ]
        if any(found for _, found in values):
            yield words(f"report.figure-{name}"), unit, [(label, found) for label, found in values if found]


def differences_said(compared: Comparison, words: Words) -> list[str]:
    """Return what is said of every two lanes in every measure."""
    return [line for name, found in differences(compared) for line in said_of_differences(name, found, words)]


def verdicts_said(compared: Comparison, words: Words) -> list[str]:
    """Return how often the judge preferred which lane, and how often its verdict was none: sentences."""
    found = []
    for criterion, a, b, count in verdict_counts(compared):
        named = {"a": a, "b": b, **{key: words(f"report.judged-{key}") for key in ("tie", "flip", "unclear")}}
        counted = ", ".join(f"{name} {count[key]}" for key, name in named.items() if count.get(key))
        about = {"criterion": words.vote_word(criterion), "a": a, "b": b}
        found.append(words("report.judge-of", **about, counted=counted))
    return found


def repeats_said(compared: Comparison, words: Words) -> list[str]:
    """Return how far answers of one lane to the same message lie apart, by its repeats: sentences."""
    of = figures_of(compared)
    found = []
    for name, unit, column in _FIGURES[:2]:
        values = of.rows[column]
        for place, lane in enumerate(compared.lanes):
            there = np.flatnonzero((of.lane == place) & of.finished & ~np.isnan(values))
            there = there[np.lexsort((of.step[there], of.item[there]))]
            message = of.item[there].astype(np.int64) << 32 | of.step[there]
            begins = np.flatnonzero(np.diff(message, prepend=-1))
            if not len(begins):
                continue
            low, high = (do.reduceat(values[there], begins) for do in (np.minimum, np.maximum))
            ranges = (high - low)[np.diff(begins, append=len(there)) > 1].tolist()
            if ranges:
                said = {
                    "name": words(f"report.figure-{name}"),
                    "apart": number(median(ranges), unit, words),
                    "most": number(max(ranges), unit, words),
                }
                found.append(words("report.repeats-apart", lane=lane.label, count=len(ranges), **said))
    return found
