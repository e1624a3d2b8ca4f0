"""`chatlab schema`, `chatlab init` and `chatlab record`: the commands that write files."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TypeAlias

import click

from chatlab.backend import ParameterValue
from chatlab.cli.inputs import parse_parameters, read_stdin
from chatlab.cli.program import FAILED, OK
from chatlab.cli.record import Prompt, output_paths, read_prompts
from chatlab.cli.record import record as record_one
from chatlab.cli.target import chosen, entry, open_lab, target_of
from chatlab.cli.terminal_text import one_line
from chatlab.config.registry import Entry
from chatlab.errors import BackendError, ChatlabError
from chatlab.lab import Lab
from chatlab.turns.turn import Turn

_SCHEMA_NAME = "chatlab.schema.json"
STARTER = Path(__file__).with_name("starter.yaml")


def _schema_text() -> str:
    from chatlab.config.load import json_schema

    return json.dumps(json_schema(), ensure_ascii=False, indent=2) + "\n"


def write_schema(output: Path | None) -> None:
    """Runs `chatlab schema`."""
    text = _schema_text()
    if output is None:
        click.echo(text, nl=False)
    else:
        output.write_text(text, "utf-8")
        click.echo(f"wrote {output}", err=True)


def write_starter(path: Path, *, force: bool) -> None:
    """Runs `chatlab init`. Raises UsageError instead of replacing a file without `force`."""
    if path.is_dir():
        path /= "chatlab.yaml"
    schema = path.with_name(_SCHEMA_NAME)
    try:
        with path.open("w" if force else "x", encoding="utf-8") as out:
            out.write(STARTER.read_text("utf-8"))
    except FileExistsError as exc:
        raise click.UsageError(f"{path} is there already: --force replaces it") from exc
    schema.write_text(_schema_text(), "utf-8")  # generated, so an older one is only out of date
    click.echo(f"wrote {path} and {schema}", err=True)
    click.echo(f"next: chatlab check {path}, then chatlab serve {path}", err=True)


def record(
    targets: tuple[str, ...],
    named: tuple[str, ...],
    *,
    prompts: str,
    output: Path,
    system: str | None,
    parameters: tuple[str, ...],
    force: bool,
) -> int:
    """Runs `chatlab record` and returns its exit code."""
    target = target_of(targets)
    text = read_stdin() if prompts == "-" else Path(prompts).read_text("utf-8")
    asked = read_prompts(text.split("\n"), "standard input" if prompts == "-" else prompts)
    lab = open_lab(target.config)
    names = (*target.names, *named)
    entries = [entry(lab, name) for name in dict.fromkeys(names)] or [chosen(lab)]
    jobs = []
    for who, path in zip(entries, output_paths(output, [who.name for who in entries]), strict=True):
        if path.exists() and not force:
            raise click.UsageError(f"{path} is there already: --force replaces it")
        path.parent.mkdir(parents=True, exist_ok=True)
        jobs.append((who, path, parse_parameters(parameters, who.capabilities.parameters)))
    failures = asyncio.run(_record_all(lab, jobs, asked, system))
    return FAILED if failures else OK


_Job: TypeAlias = tuple[Entry, Path, dict[str, ParameterValue]]


async def _record_all(lab: Lab, jobs: Sequence[_Job], prompts: Sequence[Prompt], system: str | None) -> int:
    failures = 0
    async with lab:
        for who, path, parameters in jobs:
            who.backend()  # said to be not ready before an empty file is left behind
            with path.open("w", encoding="utf-8") as out:
                failures += await record_one(
                    who,
                    prompts,
                    out,
                    system=system,
                    parameters=parameters,
                    done=partial(_say_done, who.name, len(prompts)),
                )
            click.echo(f"wrote {path}", err=True)
    return failures


def _say_done(name: str, prompts: int, number: int, turn: Turn) -> None:
    how = f"{turn.timing.total:.2f} s" if turn.error is None else one_line(_problem(turn.error))
    click.echo(f"{one_line(name, 60)}: {number} of {prompts}: {how}", err=True)


def _problem(error: ChatlabError) -> str:
    return error.detail if isinstance(error, BackendError) else str(error)
