"""Writes long reports in a process of its own, so that nobody else waits.

A report of megabytes holds Python for seconds, in whichever thread it is written.

The task and what comes of it are pickled, between a server and its own process alone.
"""

from __future__ import annotations

import asyncio
import pickle
import sys
from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

from chatlab.compare.model import Comparison, Result
from chatlab.compare.report.write import Format, report
from chatlab.errors import StoreError
from chatlab.known_secrets import known_secrets, remember
from chatlab.messages import ReasoningPart, TextPart, ToolResult
from chatlab.own_process import let_others_go_first, own_process
from chatlab.redaction.texts import WrongPattern, parse_patterns

_LONG = 300_000  # characters: more of them hold Python for longer than anybody should wait
_MAIN = "from chatlab.compare.report.apart import main; main()"

_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()


def is_long(compared: Comparison) -> bool:
    """Return whether a report of it is to be written in a process of its own."""
    return sum(map(_length, compared.results)) > _LONG


async def report_apart(compared: Comparison, form: Format, redact: Sequence[str]) -> str:
    """Return the report of a comparison as `report` does, one after the other whoever asks. redact: as for
    `parse_patterns`. It is ended where this is cancelled.

    Raises WrongPattern if a pattern takes too long.
    """
    task = (known_secrets.values(), compared, form, tuple(redact))
    turn = _turns.setdefault(asyncio.get_running_loop(), asyncio.Lock())
    async with turn, own_process("-c", _MAIN) as process:
        said, _ = await process.communicate(await asyncio.to_thread(pickle.dumps, task))
    if process.returncode:
        raise StoreError(f"a report ended with {process.returncode} before it was written")
    wrong, text = pickle.loads(said)  # noqa: S301 - of our own process
    if wrong is not None:
        raise WrongPattern(wrong)
    return str(text)


def _length(result: Result) -> int:
    """Return about how many characters of a result a report shows."""
    parts: list[Any] = [*result.turn.user.parts, *result.turn.answer]
    texts = (part.text for part in parts if isinstance(part, TextPart | ReasoningPart))
    given = (part.content for part in parts if isinstance(part, ToolResult))
    return sum(map(len, (*texts, *given)))


def main() -> None:
    """Read a task, and write what comes of it."""
    let_others_go_first()
    secrets, compared, form, redact = pickle.load(sys.stdin.buffer)  # noqa: S301
    for value, parts in secrets:
        remember(value, parts=parts)
    said: tuple[str | None, str]
    try:
        said = None, report(compared, form, parse_patterns(redact))
    except WrongPattern as exc:
        said = str(exc), ""
    sys.stdout.buffer.write(pickle.dumps(said))
