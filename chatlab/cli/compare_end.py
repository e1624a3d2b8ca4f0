"""The end of `chatlab compare`: what it writes and prints, and its exit code."""

from __future__ import annotations

import errno
import json
import shlex
from pathlib import Path

import click

from chatlab.cli.compare_output import money, print_summary, summary_json
from chatlab.cli.program import BUDGET, FAILED, INTERRUPTED, JUDGE_UNREADABLE, OK, say
from chatlab.cli.transfer import replaced
from chatlab.compare.batch.batch import JUDGE, MOST_UNREAD, Batch
from chatlab.compare.batch.budget import Budget
from chatlab.compare.batch.folder import Plan, RunFolder, comparison_of_run
from chatlab.compare.report import report_pieces
from chatlab.spelling import count
from chatlab.words import ENGLISH, Words

SPENT_COUNTS = (
    "every call of this run, in all its sittings, to backends with prices, the judge's too: an answer that "
    "was asked for again each time, and a call that broke off with the most it may have cost"
)


def finish(
    folder: RunFolder, budget: Budget, batch: Batch, *, whole: bool, as_json: bool, words: Words = ENGLISH
) -> int:
    """Write report.html and summary.json, print the summary, and return the exit code.

    whole: whether the budget had room for everything. words: of the report.
    """
    found = comparison_of_run(folder.plan, folder.results, folder.verdicts)
    page = folder.path / "report.html"
    summary = {
        "folder": str(folder.path),
        "report": str(page),
        "comparison": folder.plan.comparison,
        "seed": folder.plan.seed,
        "order": folder.plan.order,
        "complete": whole and _judge_stopped(batch) is None,
        "left": batch.calls_left(),
        "verdicts_left": batch.verdicts_left(),
        "budget": budget.limit,
        "spent": budget.spent,
        "spent_on": _spent_on(budget),
        "spent_counts": SPENT_COUNTS,
        **summary_json(found),
    }
    written = json.dumps(summary, ensure_ascii=False, indent=2)
    if as_json:
        click.echo(written)
    else:
        print_summary(found)
        _print_spent(budget)
        _print_places(folder, judged=bool(found.verdicts))
    for path, pieces in (
        (page, report_pieces(found, words=words)),
        (folder.path / "summary.json", (written, "\n")),
    ):
        with replaced(path, 0o666) as file:  # as what stands beside it
            file.writelines(pieces)
    return _say_end(folder, budget, batch, whole=whole)


def _spent_on(budget: Budget) -> dict[str, float]:
    """Return what was spent on answers and on the judge; "unknown" is of a ledger that does not say."""
    found: dict[str, float] = {"answers": 0.0, "judge": 0.0}
    for who, amount in budget.spent_by.items():
        what = {"": "unknown", JUDGE: "judge"}.get(who, "answers")
        found[what] = found.get(what, 0.0) + amount
    return found


def _print_spent(budget: Budget) -> None:
    if not budget.spent_by:
        return
    on = ", ".join(f"{what} {money(amount)}" for what, amount in _spent_on(budget).items())
    click.echo(f"spent: {money(budget.spent)} ({on}), which counts {SPENT_COUNTS}")


def _print_places(folder: RunFolder, *, judged: bool) -> None:
    """Say where what the run came to can be read."""
    if judged:
        click.echo(f"the judge's agreement with people: chatlab report {folder.path} --votes FILE")
    click.echo(f"results: {folder.path / 'results.jsonl'}")
    click.echo(f"report: {folder.path / 'report.html'}")
    config = "" if folder.plan.config is None else f"{shlex.quote(folder.plan.config)} "
    click.echo(f"on the page: chatlab serve {config}--run {shlex.quote(str(folder.path))}")
    if folder.plan.comparison is not None:
        click.echo(f"stored: comparison session {folder.plan.comparison}, see 'chatlab export --help'")


def broken_off(folder: Path, why: KeyboardInterrupt | OSError) -> int:
    """Say how a run goes on that was interrupted, or had no room on its disk; return the exit code. Raises
    any other error again.
    """
    if isinstance(why, OSError) and why.errno != errno.ENOSPC:
        raise why
    there = (folder / "run.json").exists()
    next_ = f": chatlab compare --resume {folder} goes on" if there else ", nothing was asked yet"
    if isinstance(why, KeyboardInterrupt):
        say(f"interrupted{next_}")
        return INTERRUPTED
    say(f"{why.filename or folder}: {why.strerror}, make room{next_}")
    return FAILED


def _say_end(folder: RunFolder, budget: Budget, batch: Batch, *, whole: bool) -> int:
    """Say why not everything is there, if it is not; return the exit code."""
    if not whole:
        say(
            f"the budget of {budget.limit:g} has no room for another call: {money(budget.spent)} are spent"
            f"{_next_call(folder.plan, batch)}; chatlab compare --resume {folder.path} --budget X goes on"
        )
        return BUDGET
    again = f"chatlab compare --resume {folder.path} --retry-failed asks again"
    if (reason := _judge_stopped(batch)) is not None:
        say(
            f"the judge was stopped, since {MOST_UNREAD} of its replies in a row said no preference: "
            f"{count(batch.verdicts_left(), 'verdict')} less. The last one: {reason}; {again}"
        )
        return JUDGE_UNREADABLE
    failed, unclear = folder.results.failed(), folder.verdicts.unclear()
    if not failed and not unclear:
        return OK
    said = [f"{count(len(failed), 'answer')} failed"] if failed else []
    said += [f"{count(len(unclear), 'verdict')} of the judge could not be used"] if unclear else []
    reason = failed[0].turn.error if failed else next(filter(None, unclear[0].reasons), "")
    say(f"{' and '.join(said)}. The first: {reason}; {again}")
    return FAILED


def _judge_stopped(batch: Batch) -> str | None:
    """Return why the judge was stopped before it was through; None if it was not."""
    return batch.judge_stopped if batch.verdicts_left() else None


def _next_call(plan: Plan, batch: Batch) -> str:
    if batch.no_room is None:
        return ""
    who, most = batch.no_room
    label = next((f"the lane {lane.label}" for lane in plan.lanes if lane.id == who), "the judge")
    return f", and the next call of {label} may cost {money(most)}"
