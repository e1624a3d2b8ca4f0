"""The audit log: what is in it, and what never is."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from chatlab.identity.audit import AuditLog, audited
from chatlab.secret import remember


def test_what_happened_is_a_line_without_secrets_that_nobody_else_reads(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    file, token = tmp_path / "audit.jsonl", "canary-token-4711-of-ann"
    remember(token)
    log = AuditLog(file)
    log.write("signed in", "person-1", name="Ann\nforged", address=None)
    log.write("refused", None, why=f"not with {token}")
    first, second = (json.loads(line) for line in file.read_text("utf-8").splitlines())
    assert (first["event"], first["person"], first["name"]) == ("signed in", "person-1", "Ann\nforged")
    assert second["person"] is None and "address" not in first
    assert token not in file.read_text("utf-8") + caplog.text
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.write_text(file.read_text("utf-8") + "[1]\nhalf a li", "utf-8")
    assert [one["event"] for one in audited(file)] == ["signed in", "refused"]


def test_a_log_that_was_moved_away_begins_anew_and_one_that_cannot_be_written_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "audit.jsonl"
    log = AuditLog(file)
    log.write("asked", "person-1")
    file.rename(tmp_path / "old.jsonl")
    log.write("asked", "person-1")
    assert len(file.read_text("utf-8").splitlines()) == 1
    AuditLog(tmp_path / "missing" / "audit.jsonl").write("asked", "person-1")
    assert "cannot be written" in caplog.text
