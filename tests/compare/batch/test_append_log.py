"""A journal writes lines that come together at once, each whole and none twice."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from chatlab.compare.batch.append_log import AppendLog, line_at


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


async def test_a_full_disk_is_told_to_everybody_and_nothing_is_written_again() -> None:
    journal = AppendLog(Path("/dev/full"))
    said = await asyncio.gather(*(journal.append({"n": n}) for n in range(5)), return_exceptions=True)
    journal.close()
    assert [type(one) for one in said] == [OSError] * 5
