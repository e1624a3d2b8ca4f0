"""One answer on a terminal: painted while it arrives, and stopped by Ctrl-C."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

import click

from chatlab.cli.program import INTERRUPTED, OK
from chatlab.cli.terminal import painter_for_terminal, show
from chatlab.cli.terminal_text import how_it_ended, one_line
from chatlab.formats import media
from chatlab.messages import FilePart, Message, TextPart
from chatlab.render.figures import figures_line
from chatlab.turns.turn import Turn

_TERMINATED = 143


@dataclass(frozen=True, slots=True)
class Settings:
    """The options of the command line beside the target and the prompt."""

    system: str | None
    parameters: Mapping[str, Any]
    plain: bool
    reasoning: bool


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
        usage = finish.usage if finish else None
        label = one_line(turn.entry.label, 80)
        click.secho(figures_line(label, turn.timing, usage, turn.cost), dim=True)
    if turn.outcome == "stopped":
        click.echo("stopped", err=True)
        return stopped_by[0] if stopped_by else INTERRUPTED
    return OK


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
    """Return a message of the person: attachments first, as the page has them."""
    return Message("user", (*files, *((TextPart(text),) if text else ())))


def file_part(where: str) -> FilePart:
    """Return an attachment from a path or a URL. Raises UsageError for a file that cannot be read."""
    try:
        return media.file_part(where)
    except OSError as exc:
        raise click.UsageError(f"the file {where!r} cannot be attached: {exc.strerror}") from exc
