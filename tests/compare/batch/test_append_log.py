"""A journal writes lines that come together at once, each whole and none twice."""

from __future__ import annotations

import asyncio
import errno
import os
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


async def test_lines_that_come_one_after_the_other_wait_for_as_many_as_are_worth_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_size)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr("chatlab.compare.batch.append_log._TOGETHER", 600)
    journal = AppendLog(tmp_path / "x.jsonl", together=3)
    tasks = []
    for n in range(6):
        tasks.append(asyncio.create_task(journal.append({"n": n})))
        while n % 3 == 2 and not tasks[-1].done():
            await asyncio.sleep(0)
        await asyncio.sleep(0)
    begins = await asyncio.wait_for(asyncio.gather(*tasks), 10)
    journal.close()
    assert [line_at(tmp_path / "x.jsonl", begin)["n"] for begin in begins] == list(range(6))
    assert synced == [24, 48]


async def test_a_line_that_no_other_follows_is_written_all_the_same(tmp_path: Path) -> None:
    journal = AppendLog(tmp_path / "x.jsonl", together=16)
    assert await asyncio.wait_for(journal.append({"n": 1}), 10) == 0
    journal.close()


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
