"""Writes long reports and recordings in a process of its own, within limits, so that nobody else waits.

A report of megabytes holds Python for seconds, in whichever thread it is written.

The task and what comes of it are pickled, between a server and its own process alone.
"""

from __future__ import annotations

import asyncio
import pickle
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from chatlab.compare.model import Comparison, Result
from chatlab.compare.report.recording import NoSuchLane
from chatlab.compare.report.write import Format, report
from chatlab.config.limits import ReportLimits
from chatlab.errors import ChatlabError, StoreError
from chatlab.known_secrets import known_secrets, remember
from chatlab.messages import ReasoningPart, TextPart, ToolResult
from chatlab.own_process import let_others_go_first, limit_memory, own_process
from chatlab.redaction.texts import WrongPattern, parse_patterns
from chatlab.words import ENGLISH, Words

_LONG = 300_000  # characters: more of them hold Python for longer than anybody should wait
_MAIN = "from chatlab.compare.report.apart import main; main()"


class ReportTooLong(ChatlabError):
    """A report that takes more than `limits.reports`."""

    http_status = 422

    def __init__(self, most: str) -> None:
        super().__init__(ENGLISH("refusal.report-long", what=most))


class ReportsBusy(ChatlabError):
    """Too many long reports are waited for."""

    http_status = 503

    def __init__(self) -> None:
        super().__init__(ENGLISH("refusal.reports-busy"))


@dataclass(slots=True)
class _Turns:
    """Has one written after the other. The event loop owns it."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    waiting: int = 0


_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, _Turns] = WeakKeyDictionary()


def is_long(compared: Comparison) -> bool:
    """Return whether what is written of it is to be written in a process of its own."""
    return sum(map(_length, compared.results)) > _LONG


def redacted_report(
    compared: Comparison, form: Format, redact: tuple[str, ...], words: Words = ENGLISH
) -> str:
    """Return the report of a comparison as `report` does. redact: as for `parse_patterns`."""
    return report(compared, form, parse_patterns(redact), words)


async def written_apart(work: partial[str], limits: ReportLimits) -> str:
    """Return what `work` returns, a function of a module with what it is called with, one after the other
    whoever asks. It is ended where this is cancelled.

    Raises WrongPattern if a pattern takes too long, NoSuchLane, ReportTooLong beyond a limit, ReportsBusy if
    too many wait.
    """
    turns = _turns.setdefault(asyncio.get_running_loop(), _Turns())
    if turns.waiting > limits.waiting:
        raise ReportsBusy
    turns.waiting += 1
    try:
        async with turns.lock:
            return await _written(work, limits)
    finally:
        turns.waiting -= 1


async def _written(work: partial[str], limits: ReportLimits) -> str:
    task = (known_secrets.values(), limits.memory_mb, work)
    async with own_process("-c", _MAIN) as process:
        try:
            async with asyncio.timeout(limits.seconds):
                said, _ = await process.communicate(await asyncio.to_thread(pickle.dumps, task))
        except TimeoutError:
            raise ReportTooLong(ENGLISH("refusal.report-seconds", seconds=f"{limits.seconds:g}")) from None
    if process.returncode:
        raise StoreError(f"a report ended with {process.returncode} before it was written")
    result = pickle.loads(said)  # noqa: S301 - of our own process
    if result is None:
        raise ReportTooLong(ENGLISH("refusal.report-memory", most=f"{limits.memory_mb:g}"))
    if isinstance(result, ChatlabError):
        raise result
    return str(result)


def _length(result: Result) -> int:
    """Return about how many characters of a result a report shows."""
    parts: list[Any] = [*result.turn.user.parts, *result.turn.answer]
    texts = (part.text for part in parts if isinstance(part, TextPart | ReasoningPart))
    given = (part.content for part in parts if isinstance(part, ToolResult))
    return sum(map(len, (*texts, *given)))


def main() -> None:
    """Read a task, and write what comes of it: a text, what is wrong, or None where memory did not do."""
    let_others_go_first()
    try:
        secrets, memory_mb, work = pickle.load(sys.stdin.buffer)  # noqa: S301
        limit_memory(memory_mb)
        for value, parts in secrets:
            remember(value, parts=parts)
        result = pickle.dumps(_result(work))
    except MemoryError:
        result = pickle.dumps(None)
    sys.stdout.buffer.write(result)


def _result(work: Callable[[], str]) -> str | ChatlabError:
    try:
        return work()
    except (WrongPattern, NoSuchLane) as exc:
        return exc
