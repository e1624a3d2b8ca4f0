"""A journal writes lines that come together at once, each whole and none twice."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from pathlib import Path

import pytest

from chatlab.compare.batch.append_log import AppendLog, line_at, read_only
from chatlab.errors import StoreError


async def test_lines_that_come_together_are_brought_to_the_disk_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = 0
    real = os.fsync

    def fsync(descriptor: int) -> None:
        nonlocal synced
        synced += 1
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    path = tmp_path / "x.jsonl"
    journal = AppendLog(path)
    begins = await asyncio.gather(*(journal.append({"n": n, "text": "ö" * n}) for n in range(40)))
    journal.close()
    assert [line_at(path, begin)["n"] for begin in begins] == list(range(40))
    assert synced <= 2, "the first by itself, at most, and all others"


async def test_who_is_cancelled_takes_no_line_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writing, disk, real = asyncio.Event(), threading.Event(), os.fsync
    loop = asyncio.get_running_loop()

    def fsync(descriptor: int) -> None:
        loop.call_soon_threadsafe(writing.set)
        disk.wait(10)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    journal = AppendLog(tmp_path / "x.jsonl")
    tasks = [asyncio.create_task(journal.append({"n": 0}))]
    await asyncio.wait_for(writing.wait(), 10)
    tasks += [asyncio.create_task(journal.append({"n": n})) for n in range(1, 6)]  # wait for that
    await asyncio.sleep(0)
    for n in (0, 1, 3):
        tasks[n].cancel()
    for _ in range(10):
        await asyncio.sleep(0)
    assert not tasks[0].done() and not tasks[1].done(), "each goes on until what it writes is on the disk"
    disk.set()
    said = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 10)
    journal.close()
    assert [n for n, one in enumerate(said) if isinstance(one, asyncio.CancelledError)] == [0, 1, 3]
    assert [line.value["n"] for line in read_only(tmp_path / "x.jsonl")] == list(range(6))


async def test_what_is_no_trouble_of_the_disk_is_told_to_everybody_too(tmp_path: Path) -> None:
    journal = AppendLog(tmp_path / "x.jsonl")
    journal.close()
    said = await asyncio.gather(*(journal.append({"n": n}) for n in range(3)), return_exceptions=True)
    assert [type(one) for one in said] == [ValueError] * 3


async def test_a_full_disk_is_told_to_everybody_and_nothing_is_written_again() -> None:
    journal = AppendLog(Path("/dev/full"))
    said = await asyncio.gather(*(journal.append({"n": n}) for n in range(5)), return_exceptions=True)
    journal.close()
    assert [type(one) for one in said] == [OSError] * 5
    assert {getattr(one, "filename", None) for one in said} == {"/dev/full"}


async def test_no_line_stands_behind_half_of_one_that_a_full_disk_took(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.jsonl"
    journal = AppendLog(path)
    await journal.append({"n": 0})
    real, full = os.fsync, OSError(errno.ENOSPC, "No space left on device")

    def fsync(descriptor: int) -> None:
        monkeypatch.setattr(os, "fsync", real)
        os.truncate(path, path.stat().st_size - 3)  # so much of it there was room for
        raise full

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match=r"No space left on device: '.*x\.jsonl'"):
        await journal.append({"n": 1})
    begin = await journal.append({"n": 2})  # of what ran beside it: meanwhile there is room again
    journal.close()
    assert line_at(path, begin) == {"n": 2}
    assert [line.value for line in read_only(path)] == [{"n": 0}, {"n": 2}]


def test_a_line_that_is_nested_without_end_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text("[" * 100_000 + "\n{}\n")
    with pytest.raises(StoreError, match=r"x\.jsonl:1: this line is not JSON"):
        list(read_only(path))
