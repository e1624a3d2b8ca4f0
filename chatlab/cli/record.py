"""`chatlab record`: backends' answers to a list of prompts, in the format of `chatlab.recording.format`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, TextIO, TypeAlias

import click

from chatlab.backend import ParameterValue
from chatlab.cli.inputs import parse_parameters, read_stdin
from chatlab.cli.program import FAILED, OK, say
from chatlab.cli.target import chosen, entry, open_lab, target_of
from chatlab.cli.terminal_text import one_line
from chatlab.compare.batch.item import Item
from chatlab.compare.batch.prompts import PromptsError, load_items, read_items
from chatlab.config.registry import Entry
from chatlab.errors import BackendError, ChatlabError
from chatlab.lab import Lab
from chatlab.messages import Message, TextPart
from chatlab.recording.format import Header, Writer
from chatlab.turns.turn import Turn, run_turn


async def record_answers(
    who: Entry,
    prompts: Sequence[Item],
    out: TextIO,
    *,
    system: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    done: Callable[[int, Turn], None] | None = None,
) -> int:
    """Write a recording of the answers, one prompt after the other, and return how many failed.

    The messages of one prompt are asked in turn, until one of them fails. A failed answer is part of the
    recording. done: called after each prompt with its number, from 1, and its last turn. Raises NotReady and
    MissingExtra before anything is written.
    """
    who.backend()
    options, field_name = who.config.options, who.cls.address_field
    model = getattr(options, field_name, None) if field_name else None
    writer = Writer(
        out, Header(who.config.kind, str(model) if model is not None else None, label=who.config.label)
    )
    failures = 0
    for number, prompt in enumerate(prompts, 1):
        turn = await _record_one(who, prompt, writer, system, {**(parameters or {}), **prompt.parameters})
        failures += turn.error is not None
        if done is not None:
            done(number, turn)
    return failures


async def _record_one(
    who: Entry, prompt: Item, writer: Writer, system: str | None, parameters: Mapping[str, Any]
) -> Turn:
    """Record what comes of one prompt, and return the last of its turns."""
    answers: list[Message] = []
    given = {**who.config.parameters, **parameters}
    while True:
        messages = prompt.conversation(answers)
        turn = run_turn(who, messages, parameters=parameters, system=system)
        started = perf_counter()
        async with turn:
            await writer.record(turn, messages, given, started=started)
        answers.append(_answer(turn))
        if turn.error is not None or len(answers) == len(prompt.asked):
            return turn


def _answer(turn: Turn) -> Message:
    """Return what of an answer is sent with the next message."""
    parts = turn.answer.message.parts
    return Message("assistant", tuple(part for part in parts if isinstance(part, TextPart)))


def file_name(backend: str) -> str:
    """Return a file name for the recording of a backend of this name or address."""
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in backend).strip(".-") + ".jsonl"


def output_paths(out: Path | None, backends: Sequence[str]) -> list[Path] | list[None]:
    """Return where each backend's recording goes: `out` itself for one, files in the folder `out` for
    several.

    Raises UsageError for several on standard output: a recording is of one backend.
    """
    if out is None and len(backends) > 1:
        raise click.UsageError("several recordings need a folder: name it with --output")
    if out is None:
        return [None]
    return [out] if len(backends) == 1 else [out / file_name(name) for name in backends]


def record(
    targets: tuple[str, ...],
    named: tuple[str, ...],
    *,
    prompts: str,
    output: Path | None,
    system: str | None,
    parameters: tuple[str, ...],
    force: bool,
) -> int:
    """Runs `chatlab record` and returns its exit code."""
    target = target_of(targets)
    try:
        asked = read_items(read_stdin(), "standard input") if prompts == "-" else load_items(Path(prompts))
    except PromptsError as exc:
        for problem in exc.problems:
            say(problem)
        return FAILED
    lab = open_lab(target.config)
    names = (*target.names, *named)
    entries = [entry(lab, name) for name in dict.fromkeys(names)] or [chosen(lab)]
    jobs = []
    for who, path in zip(entries, output_paths(output, [who.name for who in entries]), strict=True):
        if path is not None:
            if path.exists() and not force:
                raise click.UsageError(f"{path} is there already: --force replaces it")
            path.parent.mkdir(parents=True, exist_ok=True)
        jobs.append((who, path, parse_parameters(parameters, who.capabilities.parameters)))
    failures = asyncio.run(_record_all(lab, jobs, asked, system))
    return FAILED if failures else OK


_Job: TypeAlias = tuple[Entry, Path | None, dict[str, ParameterValue]]


async def _record_all(lab: Lab, jobs: Sequence[_Job], prompts: Sequence[Item], system: str | None) -> int:
    failures = 0
    async with lab:
        for who, path, parameters in jobs:
            who.backend()  # said to be not ready before an empty file is left behind
            with nullcontext(sys.stdout) if path is None else path.open("w", encoding="utf-8") as out:
                failures += await record_answers(
                    who,
                    prompts,
                    out,
                    system=system,
                    parameters=parameters,
                    done=partial(_say_done, who.name, len(prompts)),
                )
            if path is not None:
                click.echo(f"wrote {path}", err=True)
    return failures


def _say_done(name: str, prompts: int, number: int, turn: Turn) -> None:
    how = f"{turn.timing.total:.2f} s" if turn.error is None else one_line(_problem(turn.error))
    click.echo(f"{one_line(name, 60)}: {number} of {prompts}: {how}", err=True)


def _problem(error: ChatlabError) -> str:
    return error.detail if isinstance(error, BackendError) else str(error)
