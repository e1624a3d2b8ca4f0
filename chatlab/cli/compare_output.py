"""The output of `chatlab compare`: progress while it runs, and a table at the end."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any, Protocol

import click
from rich.console import Console, RenderableType
from rich.constrain import Constrain
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from chatlab.cli.terminal_text import one_line
from chatlab.compare.figures import Figures
from chatlab.compare.model import UNCLEAR, Comparison, Lane, Result, Verdict
from chatlab.compare.statistics.sentences import differences_said
from chatlab.compare.statistics.summary import (
    LaneSummary,
    Times,
    differences,
    judge_said,
    judges,
    summarise,
    verdict_counts,
)


def money(value: float) -> str:
    """Return an amount with four decimals, and with as many more as a small one needs for two digits."""
    decimals = 4 if value <= 0 else max(4, 1 - math.floor(math.log10(value)))
    return f"{value:.{decimals}f}"


class Watch(Protocol):
    """Shows how far a run is. Used as a context manager."""

    def __enter__(self) -> Watch: ...
    def __exit__(self, *_: object) -> None: ...
    def result(self, result: Result) -> None:
        """A result is there."""

    def judging(self, verdicts: int) -> None:
        """So many verdicts are to be had."""

    def verdict(self, verdict: Verdict) -> None:
        """A verdict is there."""


class Count:
    """The progress of one lane or of the judge, its cost so far, and its expected cost by the mean so far.

    trouble: what those are called that came to nothing.
    """

    def __init__(self, name: str, whole: int, trouble: str = "failed") -> None:
        self.name = name
        self.whole = whole
        self.done = self._failed = self._priced = 0
        self.cost = 0.0
        self._trouble = trouble

    def add(self, cost: float | None, *, failed: bool) -> None:
        self.done += 1
        self._failed += failed
        if cost is not None:
            self.cost += cost
            self._priced += 1

    def result(self, result: Result) -> None:
        """Count an answer."""
        self.add(result.turn.cost, failed=result.turn.status != "finished")

    def verdict(self, verdict: Verdict) -> None:
        """Count a verdict."""
        self.add(verdict.cost, failed=verdict.winner == UNCLEAR)

    @property
    def money(self) -> str:
        """Cost so far and estimate of the whole; nothing if no cost is known."""
        if not self._priced:
            return ""
        estimate = self.cost / self._priced * max(self.whole, self.done)
        return f"cost {money(self.cost)}, about {money(estimate)} in all"

    @property
    def said(self) -> str:
        """Return the number that came to nothing, and the cost so far."""
        failed = f"{self._failed} {self._trouble}" if self._failed else ""
        return ", ".join(filter(None, (failed, self.money)))

    @property
    def line(self) -> str:
        return ", ".join(filter(None, (f"{self.name}: {self.done} of {self.whole}", self.said)))


def watch(lanes: Sequence[Lane], done: Figures, whole: int) -> Watch:
    """Bars on a terminal, lines elsewhere; both on standard error. done: by earlier sittings. whole: the
    answers of each lane.
    """
    counts: dict[str, Count] = {lane.id: Count(one_line(lane.label, 40), whole) for lane in lanes}
    counted = list(counts.values())
    for lane, finished, cost in zip(done.lane, done.finished, done.rows["cost"], strict=True):
        counted[lane].add(None if math.isnan(cost) else float(cost), failed=not finished)
    console = Console(stderr=True)
    return _Bars(console, counts) if console.is_terminal else _Lines(counts)


class _Lines:
    """A line whenever a lane, or the judge, has done another tenth."""

    def __init__(self, counts: Mapping[str, Count]) -> None:
        self._counts = counts
        self._judged = Count("judged", 0, "unclear")

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def result(self, result: Result) -> None:
        self._counts[result.lane].result(result)
        _echo_tenth(self._counts[result.lane])

    def judging(self, verdicts: int) -> None:
        self._judged.whole = verdicts

    def verdict(self, verdict: Verdict) -> None:
        self._judged.verdict(verdict)
        _echo_tenth(self._judged)


def _echo_tenth(count: Count) -> None:
    """Say how far it is, if its last one began another tenth."""
    whole = max(count.whole, 1)
    if 10 * (count.done - 1) // whole < 10 * count.done // whole:
        click.echo(count.line, err=True)


class _Narrower(Progress):
    """Leaves room for the ^C that a terminal shows where the cursor stands: on a line of its own it
    would have the bars drawn one line lower, and an old one left."""

    def __init__(self, *columns: ProgressColumn, console: Console) -> None:
        self._shown_on = console  # the base asks for the first bars before it has one
        super().__init__(*columns, console=console, refresh_per_second=4)

    def get_renderable(self) -> RenderableType:
        return Constrain(super().get_renderable(), self._shown_on.width - len("^C"))


class _Bars:
    """One bar a lane, and one for the judge once it begins."""

    def __init__(self, console: Console, counts: Mapping[str, Count]) -> None:
        self._counts = counts
        self._judged = Count("judge", 0, "unclear")
        self._judge: TaskID | None = None
        self._progress = _Narrower(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[said]}", markup=False),
            console=console,
        )
        self._bars = {
            lane: self._progress.add_task(
                count.name, total=count.whole, completed=count.done, said=count.said
            )
            for lane, count in counts.items()
        }

    def __enter__(self) -> Watch:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def result(self, result: Result) -> None:
        count = self._counts[result.lane]
        count.result(result)
        self._progress.update(self._bars[result.lane], completed=count.done, said=count.said)

    def judging(self, verdicts: int) -> None:
        self._judged.whole = verdicts
        if verdicts:
            self._judge = self._progress.add_task(self._judged.name, total=verdicts, said="")

    def verdict(self, verdict: Verdict) -> None:
        assert self._judge is not None
        self._judged.verdict(verdict)
        self._progress.update(self._judge, completed=self._judged.done, said=self._judged.said)


def print_summary(compared: Comparison) -> None:
    """The table, what differs by more than noise, and the judge's verdicts: on standard output."""
    lanes = summarise(compared, by_check=False)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("lane")
    shown = [column for column in _COLUMNS if any(column[1](one) != "-" for one in lanes)]
    for heading, _ in shown:
        table.add_column(heading, justify="right", overflow="fold")
    for one in lanes:
        table.add_row(Text(one_line(one.lane.label, 40)), *(cell(one) for _, cell in shown))
    # A pipe has no width: nothing is wrapped there.
    Console(file=sys.stdout, width=None if sys.stdout.isatty() else 240).print(table)
    for note in compared.notes:
        click.echo(one_line(note, 300))
    for name, found in differences(compared):
        for line in differences_said(
            name, found, sentence=partial(one_line, limit=300), label=partial(one_line, limit=40)
        ):
            click.echo(line)
    for criterion, a, b, count in verdict_counts(compared):
        said = [(a, "a"), (b, "b"), ("tie", "tie"), ("flip", "flip"), ("unclear", "unclear")]
        counted = ", ".join(f"{one_line(label, 40)} {count.get(key, 0)}" for label, key in said)
        click.echo(f"judge, {one_line(criterion, 60)}: {counted}")
    for judge in judges(compared):
        click.echo(f"judge {one_line(judge.name, 40)}: {judge_said(judge, money)}")


def _passed(one: LaneSummary) -> str:
    if one.passed is None or one.interval is None:
        return "-"
    return f"{one.passed:.0%} ({one.interval.low:.0%}-{one.interval.high:.0%})"


def _seconds(times: Times | None) -> str:
    return "-" if times is None else f"{times.median:.2f} / {times.p95:.2f}"


def _number(value: float | None, form: str = "") -> str:
    return "-" if value is None else format(value, form)


_COLUMNS = (
    ("answers", lambda one: str(one.answers)),
    ("failed", lambda one: str(one.failed)),
    ("checks passed (95%)", _passed),
    ("first token s (p95)", lambda one: _seconds(one.first_token)),
    ("total s (p95)", lambda one: _seconds(one.total)),
    ("tokens in", lambda one: _number(one.tokens_in)),
    ("tokens out", lambda one: _number(one.tokens_out)),
    ("cost", lambda one: "-" if one.cost is None else money(one.cost)),
)


def summary_json(compared: Comparison) -> dict[str, Any]:
    """Return the same as JSON values."""
    return {
        "notes": list(compared.notes),
        "lanes": [asdict(one) for one in summarise(compared)],
        "differences": [
            {
                "measure": name,
                "a": one.a,
                "b": one.b,
                "difference": one.difference,
                "interval": None if one.interval is None else asdict(one.interval),
                "distinguishable": one.distinguishable,
                "said": str(one),
            }
            for name, found in differences(compared)
            for one in found
        ],
        "verdicts": [
            {"criterion": criterion, "a": a, "b": b, "counts": dict(count)}
            for criterion, a, b, count in verdict_counts(compared)
        ],
        "judges": [asdict(one) for one in judges(compared)],
    }
