"""The command line. Only click is imported here: what a command needs is imported when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

import chatlab
from chatlab.cli.agent_commands import agent
from chatlab.cli.compare_commands import COMPARE_COMMANDS
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
    from chatlab.garbage import importing_for_good

    with importing_for_good():
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


for _command in (*COMPARE_COMMANDS, *STORED_COMMANDS, agent):
    main.add_command(_command)
