"""Sentences, tables and figures of a report, whichever format it is written in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from chatlab.compare.figures import figures_of, known
from chatlab.compare.model import Comparison, Lane, Order, Receipt, Result
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
from chatlab.words import ENGLISH

_ORDER: Mapping[Order, str] = {
    "parallel": "parallel: the lanes of a message started together, and shared machine and network",
    "interleaved": "interleaved: prompts, repeats and lanes in random order, a few calls at a time",
    "sequential": "sequential: lane after lane; what drifted meanwhile did not hit all alike",
}

METHOD = (
    "A lane is a backend with its own parameters and system prompt: lanes are compared, not models.",
    "Times are taken in chatlab, in the task that reads the backend, from the moment a turn begins: first "
    "token is the first visible text, total the end of the stream. The way to a browser is not in it.",
    "The dots of a plot are single answers; the box has the quartiles, the thick line is the median, and the "
    "whisker ends at the 95th percentile. Failed and stopped answers are left out of it.",
    "The SHA-256 of a receipt is that of the messages and parameters as canonical JSON (sorted keys, no "
    "spaces, UTF-8); files are named by their content. Equal hashes mean that the same was sent.",
    "A difference counts as one if its 95% interval, from a bootstrap over prompts (exact where all prompts "
    "say the same of the checks), excludes zero and it outlasts Holm's correction for all pairs of "
    "lanes; otherwise the two are not distinguishable, which is not to say that they are the same. Below six "
    "prompts (or repeats) no interval is given.",
    "Rankings are Luce's choice model with Davidson's ties (of two lanes Bradley and Terry's), regularised; "
    "strengths are log-odds against an average lane. A vote among several lanes is one observation, and "
    "several judgements of one prompt on the same lanes weigh as one. Two lanes that met the same others are "
    "told apart by an exact sign test over prompts. Votes and judges, and each criterion, are ranked by "
    "themselves. A judge was asked in both orders; a verdict that flipped counts as no preference.",
    "docs/methodology.md and docs/timing.md of chatlab have the formulas and their sources.",
)

HASHES_STAY = (
    "Something was taken out of this report. The hashes of receipts are those of what was really sent, "
    "before that, so they cannot be computed again from what is shown here."
)


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


def number(value: float, unit: str = "") -> str:
    """Return a figure as people read it, with three digits that tell. unit: "s", or what stands behind it."""
    return seconds(value) if unit == "s" else on_scale(value, unit)


def on_scale(value: float, unit: str) -> str:
    """Return a figure with three digits that tell, in the unit that its scale has."""
    said = f"{value:,.0f}"
    if abs(value) < 1000:
        said = np.format_float_positional(value, precision=3, fractional=False, trim="-")
    return ENGLISH.number(f"{said} {unit}".rstrip())


def facts_of(compared: Comparison) -> list[tuple[str, str]]:
    """Return when, how and how much was compared: names and what is said, "" where nothing is."""
    figures = figures_of(compared)
    failed = int((~figures.finished).sum())
    kind = {
        "own": "session, own history: each lane went on from its own answers",
        "shared": "session, shared history: all lanes went on from the answer that was picked",
        None: "run of many prompts, each a conversation of its own",
    }[compared.mode]
    answers = f"{len(compared.results)}" + (f", of which {failed} did not finish" if failed else "")
    blind = "yes: names were hidden until the vote" if compared.blind else "no"
    return [
        ("When", f"{compared.created:%Y-%m-%d %H:%M} {compared.created:%Z}".rstrip()),
        ("What", kind),
        ("Order", _ORDER[compared.order]),
        ("Blind", blind if compared.mode is not None else ""),
        ("Lanes", ", ".join(lane.label for lane in compared.lanes)),
        ("Messages", str(figures.messages)),
        ("Answers", answers),
        ("Repeats", str(compared.repeats) if compared.repeats > 1 else ""),
        *((f"Judge {one.name}", judge_said(one, _amount)) for one in judges(compared)),
    ]


def redacted_said(compared: Comparison) -> list[str]:
    """Return what was taken out, and where: sentences."""
    return [
        f"{what}: {count}" if count else f"{what}: not found" for what, count in compared.redacted.items()
    ]


_LANES_HEAD = tuple(
    Cell(name, kind)
    for name, kind in (
        *(("lane", ""), ("backend", ""), ("model asked", ""), ("answered by", ""), ("endpoint", "")),
        *(("parameters", ""), ("system prompt", "long"), ("sent as", "")),
    )
)


def lane_table(compared: Comparison) -> ReportTable:
    """Return each lane, as it was set and as the receipts say it was."""
    found = {lane.id: _LaneFacts(lane, run=compared.mode is None) for lane in compared.lanes}
    for result in compared.results:
        if result.lane in found:
            found[result.lane].add(result)
    return ReportTable.of(_LANES_HEAD, [found[lane.id].row for lane in compared.lanes])


_SAID: Mapping[str, Callable[[Receipt], str | None]] = {
    "model": lambda one: one.model,
    "answered": lambda one: one.model_answered,
    "endpoint": lambda one: one.endpoint,
    "system": lambda one: next((m.text for m in one.messages if m.role == "system"), None),
    "identity": lambda one: one.identity,
}


class _LaneFacts:
    """Everything that the answers of one lane say of it. run: whether they are of a run, whose prompts may
    set parameters.
    """

    def __init__(self, lane: Lane, *, run: bool) -> None:
        self._lane = lane
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
        return f"{said} (prompts set: {', '.join(sorted(self._of_prompts))})".lstrip()


def _set_by_prompt(lane: Lane, one: Result) -> set[str]:
    """Return the parameters of an answer of a run that are not as the lane has them: its prompt set them."""
    return {
        name
        for name, value in one.turn.parameters.items()
        if name not in lane.parameters or lane.parameters[name] != value
    }


_SUMMARY_HEAD = tuple(
    Cell(name, "number" if name != "lane" else "")
    for name in (
        *("lane", "answers", "not finished", "checks passed (95%)", "first token, median (p95)"),
        *("total, median (p95)", "tokens in", "tokens out", "cost"),
    )
)


def summary_table(compared: Comparison) -> ReportTable:
    """Return each lane's figures."""
    return ReportTable.of(_SUMMARY_HEAD, [_summary_row(one) for one in summarise(compared)])


def _summary_row(one: LaneSummary) -> list[Cell]:
    passed = ""
    if one.passed is not None and one.interval is not None:
        passed = f"{one.passed:.0%} ({one.interval.low:.0%} to {one.interval.high:.0%})"
    return [
        Cell(one.lane.label),
        *(
            Cell(said, "number")
            for said in (
                str(one.answers),
                str(one.failed or ""),
                passed,
                _seconds(one.first_token),
                _seconds(one.total),
                "" if one.tokens_in is None else f"{one.tokens_in:,}",
                "" if one.tokens_out is None else f"{one.tokens_out:,}",
                "" if one.cost is None else _amount(one.cost),
            )
        ),
    ]


def _amount(cost: float) -> str:
    return f"{cost:.6g}"


def _seconds(times: Times | None) -> str:
    return "" if times is None else f"{number(times.median, 's')} ({number(times.p95, 's')})"


_FIGURES = (
    ("First token", "s", "first_token"),
    ("Total", "s", "total"),
    ("Longest stall", "s", "longest_stall"),
    ("Tokens a second", "", "tokens_per_second"),
    ("Cost of an answer", "", "cost"),
)
"""Each with its unit, and its column of the figures."""


def measured(compared: Comparison) -> Iterator[tuple[str, str, list[tuple[str, list[float]]]]]:
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
            yield name, unit, [(label, found) for label, found in values if found]


def differences_said(compared: Comparison) -> list[str]:
    """Return what is said of every two lanes in every measure."""
    return [line for name, found in differences(compared) for line in said_of_differences(name, found)]


def verdicts_said(compared: Comparison) -> list[str]:
    """Return how often the judge preferred which lane, and how often its verdict was none: sentences."""
    found = []
    for criterion, a, b, count in verdict_counts(compared):
        named = [
            (a, "a"),
            (b, "b"),
            ("tie", "tie"),
            ("flipped with the order", "flip"),
            ("unclear", "unclear"),
        ]
        counted = ", ".join(f"{name} {count[key]}" for name, key in named if count.get(key))
        found.append(f"Judge, {criterion}, {a} and {b}: {counted}")
    return found


def repeats_said(compared: Comparison) -> list[str]:
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
                found.append(
                    f"{name}, {lane.label}: repeats of one message are {number(median(ranges), unit)} apart "
                    f"(median of {len(ranges)}; at most {number(max(ranges), unit)})"
                )
    return found
