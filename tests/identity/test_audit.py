"""The audit log: what is in it, and what never is."""

from __future__ import annotations

import asyncio
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from chatlab.identity.audit import AuditLog, audited
from chatlab.secret import remember, scrub


async def test_what_happened_is_a_line_without_secrets_that_nobody_else_reads(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    file, token = tmp_path / "audit.jsonl", "canary-token-4711-of-ann"
    remember(token)
    log = AuditLog(file)
    log.write("signed in", "person-1", name="Ann\nforged", address=None)
    log.write("refused", None, why=f"not with {token}")
    await log.flush()
    first, second = (json.loads(line) for line in file.read_text("utf-8").splitlines())
    assert (first["event"], first["person"], first["name"]) == ("signed in", "person-1", "Ann\nforged")
    assert second["person"] is None and "address" not in first
    assert token not in file.read_text("utf-8") + caplog.text
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.write_text(file.read_text("utf-8") + "[1]\nhalf a li", "utf-8")
    assert [one["event"] for one in audited(file)] == ["signed in", "refused"]


async def test_a_log_that_was_moved_away_begins_anew_and_one_that_cannot_be_written_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "audit.jsonl"
    log = AuditLog(file)
    log.write("asked", "person-1")
    await log.flush()
    file.rename(tmp_path / "old.jsonl")
    log.write("asked", "person-1")
    await log.flush()
    assert len(file.read_text("utf-8").splitlines()) == 1
    folder = tmp_path / "missing"
    log = AuditLog(folder / "audit.jsonl")
    for _ in range(3):
        log.write("asked", "person-1")
    await log.flush()
    assert caplog.text.count("cannot be written") == 1
    folder.mkdir()
    log.write("asked", "person-1")
    await log.flush()
    assert "can be written again, and 3 lines of it are missing" in caplog.text
    assert len(list(audited(folder / "audit.jsonl"))) == 1


async def test_the_file_is_not_opened_for_each_line_that_a_moment_brings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, opened, plainly = tmp_path / "audit.jsonl", 0, os.open

    def count(path: Any, *args: Any, **kwargs: Any) -> int:
        nonlocal opened
        opened += path == file
        return plainly(path, *args, **kwargs)

    monkeypatch.setattr(os, "open", count)
    log = AuditLog(file)
    for number in range(200):
        log.write("asked", f"person-{number}")
    await log.flush()
    assert [one["person"] for one in audited(file)] == [f"person-{number}" for number in range(200)]
    assert opened < 20


async def test_nobody_waits_for_the_disk_and_the_lines_stay_in_their_order(tmp_path: Path) -> None:
    pipe = tmp_path / "audit.jsonl"
    os.mkfifo(pipe)  # opening it waits for a reader, as a disk may that does not answer
    log = AuditLog(pipe)
    for number in range(200):
        log.write("asked", f"person-{number}")

    def read() -> list[str]:
        found: list[str] = []
        while len(found) < 200:
            found += pipe.read_text("utf-8").splitlines()
        return found

    lines = await asyncio.to_thread(read)
    await log.flush()
    assert [json.loads(line)["person"] for line in lines] == [f"person-{number}" for number in range(200)]


async def test_what_is_said_again_is_not_searched_for_secrets_again_until_another_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched: list[str] = []

    def noted(text: str) -> str:
        searched.append(text)
        return scrub(text)

    monkeypatch.setattr("chatlab.identity.audit.scrub", noted)
    log, name = AuditLog(tmp_path / "audit.jsonl"), "canary-name-0815"
    for _ in range(5):
        log.write("asked", "person-1", name=name, backend="quick")
    assert searched == [name, "quick"]
    remember(name)
    log.write("asked", "person-1", name=name, backend="quick")
    await log.flush()
    assert [one["name"] for one in audited(tmp_path / "audit.jsonl")] == [*[name] * 5, "***"]
