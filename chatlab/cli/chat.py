"""`chatlab chat`: one answer, painted, piped or as JSON lines. Conversations are in `repl`."""

from __future__ import annotations

import asyncio
import json
import mimetypes
import re
import select
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import urlsplit

import click

from chatlab.backend import Parameter
from chatlab.cli.program import FAILED, INTERRUPTED, OK, say
from chatlab.cli.target import chat_target, chosen, entry, open_lab
from chatlab.cli.terminal import painter_for_terminal, show
from chatlab.cli.terminal_text import footer, how_it_ended
from chatlab.codec import event_to_json, to_plain
from chatlab.config.registry import Entry
from chatlab.errors import ChatlabError
from chatlab.lab import Lab
from chatlab.messages import FilePart, Message, TextPart
from chatlab.recording.format import Failure
from chatlab.turns.turn import Turn, run_turn

_TERMINATED = 143


@dataclass(frozen=True, slots=True)
class Settings:
    """What was asked for on the command line, beside the target and the prompt."""

    system: str | None
    parameters: Mapping[str, Any]
    plain: bool
    reasoning: bool


def chat(
    words: tuple[str, ...],
    *,
    backend: str | None,
    system: str | None,
    parameters: Sequence[str],
    files: Sequence[str],
    as_json: bool,
    plain: bool,
    no_reasoning: bool,
) -> int:
    """Runs the command and returns its exit code."""
    attached = tuple(map(file_part, files))
    lab, who, prompt = _resolve(words, backend)
    given = parse_parameters(parameters, who.capabilities.parameters)
    settings = Settings(system, given, plain, not no_reasoning)
    piped = None if sys.stdin is not None and sys.stdin.isatty() else read_stdin()
    # "-" is standard input, as elsewhere; it is read anyway.
    text = "\n\n".join(filter(None, ("" if prompt == "-" else prompt, piped)))
    with asyncio.Runner() as runner:
        try:
            if prompt is None and piped is None and sys.stdout.isatty() and not as_json:
                from chatlab.cli.repl import ChatSession

                return ChatSession(lab, who, settings, attached, runner).run()
            if not text and piped is None:
                click.echo("type the prompt, then Ctrl-D", err=True)
                text = read_stdin()
            if not text.strip() and not attached:
                raise click.UsageError("there is no prompt: give one, or pipe it in")
            question = user_message(text, attached)
            turn = run_turn(who, [question], parameters=given, system=system)
            return runner.run(_as_json(turn) if as_json else answer(turn, settings))
        finally:
            runner.run(lab.aclose())


def _resolve(words: tuple[str, ...], backend: str | None) -> tuple[Lab, Entry, str | None]:
    target = chat_target(words)
    lab = open_lab(target.config)
    names, rest = target.names, target.rest
    if not names and rest and words == rest:  # no target, unless the first word is a backend's name
        if rest[0] in lab.backends:
            names, rest = rest[:1], rest[1:]
        elif len(rest) > 1:
            configured = ", ".join(lab.backends)
            raise click.UsageError(
                f"{rest[0]!r} is no configuration file, address or configured backend ({configured}); "
                "a prompt of several words goes in quotes"
            )
    elif rest and rest[0] in lab.backends and backend is None:
        say(f"note: {rest[0]!r} is sent as the prompt; --backend {rest[0]} would choose that backend")
    if names and backend is not None:
        raise click.UsageError(f"both {names[0]} and --backend {backend} are given: choose one")
    name = names[0] if names else backend
    who = entry(lab, name) if name is not None else chosen(lab)
    return lab, who, rest[0] if rest else None


async def answer(turn: Turn, settings: Settings) -> int:
    """Paints one turn; returns the exit code. Raises what the turn raises, after what had arrived."""
    painter = painter_for_terminal(plain=settings.plain, reasoning=settings.reasoning)
    with stopping(turn) as stopped_by:
        async with turn:
            await show(turn, painter)
    finish = turn.answer.finish
    if finish is not None and (note := how_it_ended(finish)) is not None:
        click.echo(note, err=True)
    if sys.stdout.isatty():
        line = footer(turn.entry.label, turn.timing, finish.usage if finish else None, turn.cost)
        click.secho(line, dim=True)
    if turn.outcome == "stopped":
        click.echo("stopped", err=True)
        return stopped_by[0] if stopped_by else INTERRUPTED
    return OK


async def _as_json(turn: Turn) -> int:
    """Every event as a line of JSON, then one with all figures; null is unknown."""
    failure: ChatlabError | None = None
    with stopping(turn) as stopped_by:
        _json_line({"type": "start", "backend": turn.entry.name, "kind": turn.entry.config.kind})
        async with turn:
            try:
                async with aclosing(turn.batches()) as batches:
                    async for batch in batches:
                        for event in batch:
                            _json_line(event_to_json(event), flush=False)
                        sys.stdout.flush()
            except ChatlabError as exc:
                failure = exc
    finish, timing = turn.answer.finish, turn.timing
    if failure is not None:
        _json_line({"type": "error", **to_plain(Failure.of(timing.total or 0.0, failure))})
    _json_line(
        {
            "type": "end",
            "outcome": turn.outcome,
            "model": finish.model if finish else None,
            "usage": asdict(finish.usage) if finish else None,
            "timing": asdict(timing),
            "cost": turn.cost,
        }
    )
    if failure is not None:
        raise failure
    if turn.outcome == "stopped":
        return stopped_by[0] if stopped_by else INTERRUPTED
    return OK if turn.outcome == "finished" else FAILED


# Characters that JSON allows as they are but that a terminal obeys, that end a line for some readers, or that
# cannot be encoded.
_AWKWARD = re.compile(r"[\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def _json_line(value: Mapping[str, Any], *, flush: bool = True) -> None:
    text = json.dumps(value, ensure_ascii=False)
    sys.stdout.write(_AWKWARD.sub(lambda found: f"\\u{ord(found.group()):04x}", text) + "\n")
    if flush:
        sys.stdout.flush()


@contextmanager
def stopping(turn: Turn) -> Iterator[list[int]]:
    """While it lasts, Ctrl-C and SIGTERM stop the turn, its upstream included, instead of the program.

    Yields a list that gets the exit code for the signal. A second Ctrl-C is not waited for.
    """
    codes: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield codes
        return
    loop = asyncio.get_running_loop()

    def stop(number: int, _: FrameType | None) -> None:
        if codes:
            raise KeyboardInterrupt
        codes.append(INTERRUPTED if number == signal.SIGINT else _TERMINATED)
        loop.call_soon_threadsafe(turn.stop)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield codes
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def user_message(text: str, files: Sequence[FilePart]) -> Message:
    """A message of the person: attachments first, as the page has them."""
    return Message("user", (*files, *((TextPart(text),) if text else ())))


def file_part(where: str) -> FilePart:
    """An attachment from a path or a URL. Raises UsageError for a file that cannot be read."""
    if where.startswith(("http://", "https://")):
        name = Path(urlsplit(where).path).name
        return FilePart(_media_type(name), name or None, url=where)
    path = Path(where).expanduser()
    try:
        with path.open("rb"):
            pass
    except OSError as exc:
        raise click.UsageError(f"the file {where!r} cannot be attached: {exc.strerror}") from exc
    return FilePart(_media_type(path.name), path.name, path=path)


def _media_type(name: str) -> str:
    return mimetypes.guess_type(name)[0] or "application/octet-stream"


def parse_parameters(given: Sequence[str], known: Sequence[Parameter]) -> dict[str, Any]:
    """`name=value` pairs as the backend's parameters have them. Raises UsageError.

    A name the backend does not know is kept: the turn leaves it out and says so.
    """
    types = {parameter.name: parameter for parameter in known}
    parsed: dict[str, Any] = {}
    for pair in given:
        name, equals, value = pair.partition("=")
        name = name.strip()
        if not equals or not name:
            raise click.UsageError(f"{pair!r} is not name=value, such as temperature=0.2")
        parameter = types.get(name)
        parsed[name] = _value(value, parameter)
        problem = parameter.problem(parsed[name]) if parameter is not None else None
        if problem is not None:
            raise click.UsageError(f"the parameter {name}={value} {problem}")
    return parsed


def _value(text: str, parameter: Parameter | None) -> Any:
    if parameter is not None and parameter.type == "string":
        return text
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    if parameter is not None and parameter.type == "strings" and not isinstance(value, list):
        return [text]
    return value


_HINT_AFTER = 2.0  # seconds without anything on standard input


def read_stdin() -> str:
    """Standard input to its end. Raises UsageError if it is not text."""
    if sys.stdin is None:  # closed by whoever started us
        return ""
    stream = sys.stdin.buffer
    with suppress(OSError, ValueError):  # not a descriptor, or a system that selects sockets only
        if not sys.stdin.isatty() and not select.select([stream], [], [], _HINT_AFTER)[0]:
            click.echo("waiting for standard input to end (</dev/null if there is none)", err=True)
    try:
        return str(stream.read(), "utf-8")
    except UnicodeDecodeError as exc:
        raise click.UsageError("standard input is not UTF-8 text: attach a file with --file") from exc
