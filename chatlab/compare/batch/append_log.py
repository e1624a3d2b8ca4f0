"""Files of JSON lines that survive a crash: what a run has, and has paid for, is on the disk line by line."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Coroutine, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeVar

from chatlab.compare.model_json import to_line
from chatlab.errors import StoreError
from chatlab.file_lock import lock
from chatlab.quick_json import load_quickly

T = TypeVar("T")


class JournalLine(NamedTuple):
    """One line of a journal: its number from 1, the byte it begins at, and its value."""

    number: int
    begin: int
    value: Any


@dataclass(slots=True)
class _Group:
    """Lines that are written at once. over: set when they are on the disk, or not. begins: where each begins
    there. problem: why they are not."""

    lines: list[bytes] = field(default_factory=list)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    begins: Sequence[int] = ()
    problem: Exception | None = None


class AppendLog:
    """An append-only file of JSON lines, made if it is not there; one process at a time has it open.

    Raises StoreError if another process has the file open.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("a+b", buffering=0)
        self._turn = asyncio.Lock()
        self._next = _Group()
        try:
            lock(self._file.fileno())
        except OSError as exc:
            self._file.close()
            raise StoreError(f"{path} is being written by another run: wait until it has ended") from exc

    def lines(self) -> Iterator[JournalLine]:
        """Yield every line, of which one at a time is in memory. When all were read, a last line that was not
        written to its end is taken away.

        Raises StoreError with file and line for any other line that is not JSON.
        """
        with self._path.open("rb") as file:
            whole = yield from _whole_lines(self._path, file)
        if whole < self._file.seek(0, os.SEEK_END):
            self._file.truncate(whole)

    def read(self) -> Iterator[tuple[int, Any]]:
        """Yield every line's number and value, else as `lines`."""
        return ((line.number, line.value) for line in self.lines())

    def damaged(self, number: int, reason: str) -> StoreError:
        """Return what to raise for a line that is JSON, and not what stands in this file."""
        return StoreError(f"{self._path}:{number}: {reason}")

    async def append(self, value: Mapping[str, Any]) -> int:
        """Append the line of a value as `append_line` does."""
        return await self.append_line(to_line(value).encode("utf-8"))

    async def append_line(self, line: bytes) -> int:
        """Return where the line begins, once it is on the disk. The event loop goes on meanwhile: others'
        times are taken. Lines that come while others are written are then written together.
        """
        group, place = self._next, len(self._next.lines)
        group.lines.append(line)
        if place == 0:  # who comes first has them written for all
            await to_its_end(self._written(group))
        else:
            await group.over.wait()
        if group.problem is not None:
            raise group.problem
        return group.begins[place]

    async def _written(self, group: _Group) -> None:
        try:
            async with self._turn:
                self._next = _Group()
                group.begins = await asyncio.to_thread(self._write, group.lines)
        except Exception as exc:  # noqa: BLE001 - whatever it is, all are told
            group.problem = exc
        finally:
            group.over.set()

    def _write(self, lines: Sequence[bytes]) -> Sequence[int]:
        begin = self._file.seek(0, os.SEEK_END)
        try:
            rest = memoryview(b"".join(lines))
            while rest:
                rest = rest[self._file.write(rest) :]
            os.fsync(self._file.fileno())
        except OSError as exc:  # what of it was written is not known: nobody writes it again
            with contextlib.suppress(OSError):  # behind half a line the next one would be no JSON
                self._file.truncate(begin)
            raise OSError(exc.errno, exc.strerror, str(self._path)) from exc
        return list(accumulate(map(len, lines[:-1]), initial=begin))

    def close(self) -> None:
        """Lets another process have it."""
        self._file.close()


def read_only(path: Path) -> Iterator[JournalLine]:
    """Yield the lines of a journal that may be written meanwhile, or nobody may write; none if there is no
    file.

    Raises StoreError as `AppendLog.lines`; nothing is changed.
    """
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        yield from _whole_lines(path, file)


def line_at(path: Path, begin: int, file: BinaryIO | None = None) -> Any:
    """Return the value of the line of a journal that begins at this byte. file: the journal, where it is open
    already. Raises StoreError if none does any more.
    """
    if file is None:
        with path.open("rb") as opened:
            return line_at(path, begin, opened)
    file.seek(begin)
    try:
        return load_quickly(file.readline())
    except ValueError as exc:
        raise StoreError(f"{path} was changed while it was read: read it again") from exc


def _whole_lines(path: Path, file: BinaryIO) -> Generator[JournalLine, None, int]:
    """Yield the lines of a file, and return how many bytes they are."""
    begin = 0
    for number, line in enumerate(iter(file.readline, b""), 1):
        if not line.endswith(b"\n"):
            break
        try:
            value = load_quickly(line)
        except (ValueError, RecursionError) as exc:
            if file.readline().endswith(b"\n"):
                raise StoreError(f"{path}:{number}: this line is not JSON") from exc
            break  # a machine that lost its power may leave any bytes
        yield JournalLine(number, begin, value)
        begin += len(line)
    return begin


async def to_its_end(work: Coroutine[Any, Any, T]) -> T:
    """Does this whole, even if the task is cancelled meanwhile; that is raised afterwards."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise
