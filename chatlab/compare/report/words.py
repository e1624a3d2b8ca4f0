"""Sentences, tables and figures of a report, whichever format it is written in."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

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
    "A difference counts as one if its 95 % interval, from a bootstrap over prompts (exact where all prompts "
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
    failed = sum(result.turn.status != "finished" for result in compared.results)
    prompts = len({(result.item, result.step) for result in compared.results})
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
        ("Messages", str(prompts)),
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
    by_lane: dict[str, list[Result]] = defaultdict(list)
    for result in compared.results:
        by_lane[result.lane].append(result)
    rows = [_lane_row(lane, by_lane[lane.id], run=compared.mode is None) for lane in compared.lanes]
    return ReportTable.of(_LANES_HEAD, rows)


def _lane_row(lane: Lane, results: Sequence[Result], *, run: bool) -> list[Cell]:
    receipts = [one.receipt for one in results if one.receipt is not None]

    def all_of(value_of: Callable[[Receipt], str | None]) -> str:
        return ", ".join(dict.fromkeys(said for one in receipts if (said := value_of(one))))

    system = all_of(lambda one: next((m.text for m in one.messages if m.role == "system"), None))
    kinds = ", ".join(dict.fromkeys(one.turn.kind for one in results if one.turn.kind))
    return [
        Cell(lane.label),
        Cell(f"{lane.backend} ({kinds})" if kinds and kinds != lane.backend else lane.backend),
        Cell(all_of(lambda one: one.model)),
        Cell(all_of(lambda one: one.model_answered)),
        Cell(all_of(lambda one: one.endpoint)),
        Cell(_parameters(lane, results, run=run)),
        Cell(system or lane.system or "", "long"),
        Cell(all_of(lambda one: one.identity)),
    ]


def _parameters(lane: Lane, results: Sequence[Result], *, run: bool) -> str:
    """Return what the receipts say the lane was sent, but for what prompts of a run set, of which only the
    names are said. A session's prompts set nothing: there it is what the lane was sent last.
    """
    sent: dict[str, object] = {}
    of_prompts: set[str] = set()
    for one in results:
        own = _set_by_prompt(lane, one) if run else set()
        of_prompts |= own
        if one.receipt is not None:
            sent |= {name: value for name, value in one.receipt.parameters.items() if name not in own}
    said = ", ".join(f"{name} = {value}" for name, value in (sent or lane.parameters).items())
    return f"{said} (prompts set: {', '.join(sorted(of_prompts))})".lstrip() if of_prompts else said


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
        *("lane", "answers", "not finished", "checks passed (95 %)", "first token, median (p95)"),
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


_FIGURES: Sequence[tuple[str, str, Callable[[Result], float | None]]] = (
    ("First token", "s", lambda one: one.turn.timing.first_token),
    ("Total", "s", lambda one: one.turn.timing.total),
    ("Longest stall", "s", lambda one: one.turn.timing.longest_stall),
    ("Tokens a second", "", lambda one: one.turn.timing.tokens_per_second),
    ("Cost of an answer", "", lambda one: one.turn.cost),
)


def measured(compared: Comparison) -> list[tuple[str, str, list[tuple[str, list[float]]]]]:
    """Return each figure's name, unit, and values by lane, of the answers that finished.

    Lanes without any value are left out, and so are figures without any lane.
    """
    values: dict[str, dict[str, list[float]]] = {name: defaultdict(list) for name, _, _ in _FIGURES}
    for result in compared.results:
        if result.turn.status == "finished":
            for name, _, value_of in _FIGURES:
                if (value := value_of(result)) is not None:
                    values[name][result.lane].append(value)
    return [
        (
            name,
            unit,
            [(lane.label, values[name][lane.id]) for lane in compared.lanes if values[name][lane.id]],
        )
        for name, unit, _ in _FIGURES
        if values[name]
    ]


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
    found = []
    for name, unit, value_of in _FIGURES[:2]:
        for lane in compared.lanes:
            groups: dict[tuple[str, int], list[float]] = defaultdict(list)
            for one in compared.results:
                if one.lane == lane.id and one.turn.status == "finished":
                    value = value_of(one)
                    if value is not None:
                        groups[one.item, one.step].append(value)
            ranges = [max(values) - min(values) for values in groups.values() if len(values) > 1]
            if ranges:
                found.append(
                    f"{name}, {lane.label}: repeats of one message are {number(median(ranges), unit)} apart "
                    f"(median of {len(ranges)}; at most {number(max(ranges), unit)})"
                )
    return found
