"""The commands of runs: compare, and report of a run or a session. Only click is imported here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from chatlab.cli.options import DEFAULT, OUTPUT
from chatlab.cli.program import Command


@click.command(cls=Command, short_help="Compare backends on many prompts.", epilog=DEFAULT)
@click.argument("config", required=False)
@click.option(
    "--lanes",
    metavar="A,B,C",
    help="What is compared: backends by name, addresses, or labels of compare.lanes, also as BACKEND@LABEL; "
    "all of compare.lanes if not given.",
)
@click.option(
    "--prompts",
    metavar="FILE",
    help="Prompts as text, .jsonl or .csv; - is standard input, text or JSON lines.",
)
@click.option("--repeats", type=click.IntRange(1, 20), metavar="K", help="How often each is asked a lane.")
@click.option(
    "--concurrency",
    type=click.IntRange(min=1),
    metavar="N",
    help="Calls at once, over all lanes; 4 if not given.",
)
@click.option(
    "--lane-concurrency",
    multiple=True,
    metavar="[LANE=]N",
    help="Calls at once of one lane, or of each; may be repeated.",
)
@click.option(
    "--rpm",
    multiple=True,
    metavar="[LANE=]N",
    help="Requests a minute of one lane, or of each, evenly spaced; the judge's are judge=N.",
)
@click.option(
    "--check",
    "checks",
    multiple=True,
    metavar="KIND[:VALUE]",
    help="Check of every answer: expected, exact, contains:TEXT, not_contains:TEXT, regex:PATTERN, "
    "numeric:TOLERANCE, json_schema:FILE, python:MODULE:FUNCTION.",
)
@click.option("--judge", metavar="BACKEND", help="Backend that says which of two answers is better.")
@click.option(
    "--budget",
    type=click.FloatRange(min=0),
    metavar="MONEY",
    help="Stop before more than this is spent, earlier sittings included; in the currency of the prices. "
    "--resume keeps it; inf lifts it.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="New folder for the results; compare-DATE-TIME if not given.",
)
@click.option(
    "--resume",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Go on with the run in this folder, within its limits; what it has is not asked for again.",
)
@click.option("--retry-failed", is_flag=True, help="With --resume: ask again for answers that failed.")
@click.option(
    "--seed", type=click.IntRange(min=0), metavar="N", help="Of the random order; drawn if not given."
)
@click.option(
    "--engine",
    default="local",
    metavar="ENGINE",
    help="What makes the calls: local, this process, which is the default; ray, workers on each CPU of this "
    "machine or of the Ray cluster of RAY_ADDRESS; ray://HOST:PORT, those of another one.",
)
@click.option("--workers", type=click.IntRange(min=1), metavar="N", help="Workers of --engine ray.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as one JSON object.")
def compare(config: str | None, **options: Any) -> None:
    """Compare backends on many prompts, with checks, a judge and a budget.

    Every prompt goes to every lane, in random order, so that whatever drifts meanwhile hits all alike. The
    answers are in DIR/results.jsonl as they come, each with a receipt of what was sent. A run that was ended,
    however it was, goes on with --resume; nothing that has been answered is asked and paid for again. Without
    a check of its own, a prompt with an expected answer has the check "expected".

    Leaves with 1 if an answer failed (not if a check did), with 5 if the budget had no room for all, and with
    6 if the judge was stopped, since ten of its replies in a row said no preference.

    \b
      chatlab compare chatlab.yaml --lanes gpt,gpt@hot,qwen --prompts questions.jsonl --out run
      chatlab compare chatlab.yaml --lanes gpt,qwen --prompts q.csv --repeats 3 --judge gpt --budget 2
      chatlab compare --resume run
    """
    from chatlab.garbage import importing_for_good

    with importing_for_good():
        from chatlab.cli.compare import CompareOptions
        from chatlab.cli.compare import compare as run

    raise click.exceptions.Exit(run(config, CompareOptions(**options)))


@click.command(cls=Command, short_help="Write a comparison as one file to hand on.", epilog=DEFAULT)
@click.argument("what", metavar="DIR|SESSION_ID")
@click.argument("config", required=False)
@click.option(
    "--format",
    "output_format",
    type=click.Choice(["html", "markdown", "jsonl", "votes"]),
    default="html",
    show_default=True,
    help="html is one page without scripts; jsonl is complete; votes is CSV as arena tools read it.",
)
@click.option(
    "--redact",
    "patterns",
    multiple=True,
    metavar="NAME|PATTERN",
    help="Take out what matches: email, phone, iban, ipv4, url-userinfo, api-key, or a regular expression; "
    "may be repeated.",
)
@click.option(
    "--votes",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="People's votes on a run's answers, as --format votes writes them: ranked, and held against the "
    "judge's verdicts.",
)
@click.option(
    "--recording", metavar="LANE", help="Write one lane as a recording for the backend replay instead."
)
@OUTPUT
@click.option("--force", is_flag=True, help="Replace a file that is there already.")
def report(what: str, config: str | None, **options: Any) -> None:
    """Write a comparison as one file to hand on: the folder of a run, or a stored session of the page.

    It has prompts, answers side by side, votes and verdicts, figures with their distributions, rankings with
    intervals, and the hash of what each lane was sent. Credentials are always taken out. Of a blind session
    there is no report before its names are shown. CONFIG is for a session: it says where they are stored.

    \b
      chatlab report run -o report.html
      chatlab report run --format markdown --redact email --redact "(?i)project x"
      chatlab report 5f0c2ab19d0e44c7a1b2 chatlab.yaml -o report.html
      chatlab report run --votes ours.csv -o report.html
      chatlab report run --recording gpt -o gpt.jsonl
    """
    from chatlab.cli.report import print_report as run

    raise click.exceptions.Exit(run(what, config, **options))


COMPARE_COMMANDS = (compare, report)
