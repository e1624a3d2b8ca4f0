"""Files of JSON lines that survive a crash: what a run has, and has paid for, is on the disk line by line."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Coroutine, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from chatlab.compare.model_json import to_line
from chatlab.errors import StoreError

T = TypeVar("T")


class AppendLog:
    """An append-only file of JSON lines, made if it is not there; one process at a time has it open.

    Raises StoreError if another process does.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("a+b", buffering=0)
        self._turn = asyncio.Lock()
        try:
            _lock(self._file.fileno())
        except OSError as exc:
            self._file.close()
            raise StoreError(f"{path} is being written by another run: wait until it has ended") from exc

    def read(self) -> Iterator[tuple[int, Any]]:
        """Every line with its number. A last line that was not written to its end is taken away.

        Raises StoreError with file and line for any other line that is not JSON.
        """
        self._file.seek(0)
        content = self._file.readall()
        lines, whole = _parsed(self._path, content)
        if whole < len(content):
            self._file.truncate(whole)
        return iter(lines)

    def damaged(self, number: int, reason: str) -> StoreError:
        """Return what to raise for a line that is JSON, and not what stands in this file."""
        return StoreError(f"{self._path}:{number}: {reason}")

    async def append(self, value: Mapping[str, Any]) -> None:
        """Returns once the line is on the disk. The event loop goes on meanwhile: others' times are taken."""
        line = to_line(value).encode("utf-8")
        async with self._turn:
            await to_its_end(asyncio.to_thread(self._write, line))

    def _write(self, line: bytes) -> None:
        rest = memoryview(line)
        while rest:
            rest = rest[self._file.write(rest) :]
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Lets another process have it."""
        self._file.close()


def read_only(path: Path) -> Iterator[tuple[int, Any]]:
    """Return the lines of a journal that may be written meanwhile, or nobody may write; none if there is no
    file.

    Raises StoreError as `AppendLog.read`; nothing is changed.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        content = b""
    return iter(_parsed(path, content)[0])


def _parsed(path: Path, content: bytes) -> tuple[list[tuple[int, Any]], int]:
    """Return the lines with their numbers, and how many bytes of the content they are."""
    lines = content.split(b"\n")
    whole = len(content) - len(lines.pop())  # what stands behind the last line's end
    found = []
    for number, line in enumerate(lines, 1):
        try:
            found.append((number, json.loads(line)))
        except ValueError as exc:
            if number < len(lines):
                raise StoreError(f"{path}:{number}: this line is not JSON") from exc
            whole -= len(line) + 1  # a machine that lost its power may leave any bytes
    return found, whole


async def to_its_end(work: Coroutine[Any, Any, T]) -> T:
    """Does this whole, even if the task is cancelled meanwhile; that is raised afterwards."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


def _lock(descriptor: int) -> None:
    """Raises OSError if another process has the file. Where there are no such locks, none is held."""
    try:
        import fcntl
    except ModuleNotFoundError:
        return
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
