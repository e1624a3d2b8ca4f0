"""The command line. Only click is imported here: what a command needs is imported when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

import chatlab
from chatlab.cli.agent_commands import agent
from chatlab.cli.options import CODES, DEFAULT, OUTPUT, PARAMETERS, SEVERAL, SYSTEM, WHERE, file_or_stdout
from chatlab.cli.program import Program, debug_option
from chatlab.cli.stored_commands import STORED_COMMANDS


@click.group(
    cls=Program,
    params=[debug_option()],
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=f"{DEFAULT}\n{CODES}",
    no_args_is_help=True,
)
@click.version_option(chatlab.__version__, message="chatlab %(version)s")
def main() -> None:
    """Chat backends of one YAML file: on a page, in a terminal, checked and recorded.

    \b
    Try a backend without any configuration:
      chatlab chat openai:gpt-5-mini "hello"
    Write a configuration of your own and open it as a page:
      chatlab init
      chatlab serve
    """


@main.command(short_help="Open the chat page.", epilog=DEFAULT)
@click.argument("config", required=False)
@click.option("--host", metavar="ADDRESS", help="Address to listen on, instead of the configured one.")
@click.option(
    "--port", type=click.IntRange(0, 65535), metavar="PORT", help="Port to listen on; 0 takes a free one."
)
@click.option(
    "--run",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Show the results of this run of chatlab compare too, at an address of their own.",
)
def serve(config: str | None, host: str | None, port: int | None, run: Path | None) -> None:
    """Open the chat page of a configuration file; of the default one if CONFIG is not given.

    A backend that is not ready is shown with what it lacks. Ctrl-C ends the server.
    """
    from chatlab.cli.target import config_of

    path = config_of(config)
    from chatlab.config.load import load_config

    # What is wrong is said at once, not after the seconds that importing the page takes.
    wanted = load_config(path)
    if run is not None:
        from chatlab.compare.batch.folder import read_plan

        read_plan(run)
        if wanted.storage is None:
            raise click.UsageError("--run: without storage the page has no sessions: configure `storage`")
    from chatlab.cli.address import refuse_taken_address
    from chatlab.cli.db import refuse_other_tables

    refuse_other_tables(wanted.storage)
    refuse_taken_address(host or wanted.server.host, wanted.server.port if port is None else port)
    if wanted.server.log == "text":
        from chatlab.cli.program import starting

        starting(wanted.ui.title)
    from chatlab.web.server import serve as serve_page

    try:
        serve_page(path, host, port, run)
    except SystemExit as exc:  # uvicorn leaves with a code of its own, which means something else here
        if exc.code:
            raise click.ClickException(
                "the server could not start, for the reason above; --port 0 takes a free port"
            ) from exc


@main.command(short_help="Ask a backend, or talk to it.", epilog=f"{WHERE}\n{DEFAULT}")
@click.argument("words", nargs=-1, metavar="[TARGET] [PROMPT]")
@click.option(
    "-b",
    "--backend",
    metavar="NAME",
    help="A backend of the configuration, or an address, instead of the configured default.",
)
@SYSTEM
@PARAMETERS
@click.option(
    "-f",
    "--file",
    "files",
    multiple=True,
    metavar="PATH|URL",
    help="Attach a file to the message; may be repeated.",
)
@click.option(
    "-c",
    "--continue",
    "go_on",
    is_flag=True,
    help="Go on with the stored conversation that was last written to; the answers are stored too.",
)
@click.option("--owner", metavar="OWNER", help="With --continue: whose, if several have conversations.")
@click.option("--json", "as_json", is_flag=True, help="Print every event as a line of JSON, figures last.")
@click.option("--plain", is_flag=True, help="Print the text as it is, not as Markdown, on a terminal too.")
@click.option("--no-reasoning", is_flag=True, help="Leave out, on a terminal, what the model thinks.")
def chat(words: tuple[str, ...], **options: Any) -> None:
    """Ask a backend, or talk to it.

    With PROMPT, one answer: to standard output as it arrives, as Markdown if that is a terminal; notices go
    to standard error. What is piped in is the prompt, or comes after it. Without either, a conversation, in
    which /help lists the commands. Ctrl-C stops an answer and closes the connection; what had arrived stays.

    \b
      chatlab chat openai:gpt-5-mini "hello"
      chatlab chat chatlab.yaml --backend gpt
      git diff | chatlab chat openai:gpt-5-mini "review this" > review.md
      chatlab chat openai:gpt-5-mini -f chart.png -p reasoning_effort=low "what does it show?"
    """
    from chatlab.cli.chat import chat as run

    raise click.exceptions.Exit(run(words, **options))


@main.command(short_help="Check a configuration and its backends.", epilog=f"{SEVERAL}\n{DEFAULT}")
@click.argument("targets", nargs=-1)
@click.option("--probe", is_flag=True, help="Ask the upstreams too. Nothing is generated.")
@click.option(
    "--timeout",
    default=30.0,
    show_default=True,
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="Longest wait for a probe.",
)
@click.option(
    "--as",
    "tokens",
    multiple=True,
    metavar="URL=env:NAME",
    help="A person's token (or =file:PATH) for the service at a URL, where a backend is asked as a person.",
)
@click.option("--strict", is_flag=True, help="Every backend of the configuration must be ready.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def check(
    targets: tuple[str, ...],
    probe: bool,
    timeout: float,
    tokens: tuple[str, ...],
    strict: bool,
    as_json: bool,
) -> None:
    """Check a configuration, and say of each backend whether it can be used.

    First every mistake of the file, with line and column; then which backends are ready, and what is to be
    done about the others. With --probe also whether each can be reached and knows its model, as whom it was
    asked, and how long that took.

    Leaves with 0 if all backends named are ready (if none is named: at least one of the configuration's, or
    with --strict all), else with 4; and with 1 if a probe failed.

    \b
      chatlab check chatlab.yaml --probe
      chatlab check chatlab.yaml --probe --as https://dbc-1234.cloud.databricks.com=env:MY_TOKEN
      chatlab check openai:gpt-5-mini huggingface:org/model
    """
    from chatlab.cli.check import print_check

    code = print_check(targets, probe=probe, longest=timeout, strict=strict, as_json=as_json, tokens=tokens)
    raise click.exceptions.Exit(code)


@main.command(short_help="List the kinds of backends.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
def backends(as_json: bool) -> None:
    """List the kinds of backends: what each is, whether its SDK is installed, how it is addressed."""
    from chatlab.cli.check import print_kinds

    print_kinds(as_json=as_json)


@main.command(short_help="Print the JSON Schema of configurations.")
@OUTPUT
def schema(output: Path | None) -> None:
    """Print the JSON Schema of configuration files, plugins' kinds included.

    Editors complete and check a configuration by it, if the file's first line is
    "# yaml-language-server: $schema=PATH". "chatlab init" sees to that.
    """
    from chatlab.cli.files import write_schema

    write_schema(output)


@main.command(short_help="Write a configuration to start from.")
@click.argument("path", default="chatlab.yaml", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Replace a file that is there already.")
def init(path: Path, force: bool) -> None:
    """Write a configuration to start from, with comments, to PATH; to chatlab.yaml if not given.

    It runs as it is, without any key. The JSON Schema goes beside it, as chatlab.schema.json.
    """
    from chatlab.cli.files import write_starter

    write_starter(path, force=force)


@main.command(short_help="Record backends' answers to prompts.", epilog=f"{SEVERAL}\n{DEFAULT}")
@click.argument("targets", nargs=-1)
@click.option(
    "-b",
    "--backend",
    "named",
    multiple=True,
    metavar="NAME",
    help="A backend of the configuration, or an address; may be repeated.",
)
@click.option("--prompts", required=True, metavar="FILE", help="File with the prompts; - is standard input.")
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    callback=file_or_stdout,
    metavar="FILE",
    help="Recording to write, - for standard output; of several backends the folder that gets one each.",
)
@SYSTEM
@PARAMETERS
@click.option("--force", is_flag=True, help="Replace recordings that are there already.")
def record(targets: tuple[str, ...], named: tuple[str, ...], **options: Any) -> None:
    """Record the answers of backends to a list of prompts, with the times at which they arrived.

    A prompts file is what "chatlab compare" reads too: one prompt a line; .jsonl has on each line a JSON
    string, or an object with prompt or (OpenAI) messages, and with system and parameters if wanted; .csv has
    columns. A backend of the kind replay plays the recording, and so does "chatlab chat replay:FILE".

    \b
      chatlab record chatlab.yaml --backend gpt --prompts prompts.txt -o gpt.jsonl
      chatlab record openai:gpt-5-mini openai:gpt-5 --prompts prompts.txt -o recordings
    """
    from chatlab.cli.record import record as run

    raise click.exceptions.Exit(run(targets, named, **options))


@main.command(short_help="Compare backends on many prompts.", epilog=DEFAULT)
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
    from chatlab.cli.compare import CompareOptions
    from chatlab.cli.compare import compare as run

    raise click.exceptions.Exit(run(config, CompareOptions(**options)))


@main.command(short_help="Write a comparison as one file to hand on.", epilog=DEFAULT)
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


for _command in (*STORED_COMMANDS, agent):
    main.add_command(_command)
