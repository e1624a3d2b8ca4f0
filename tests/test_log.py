"""The log of a server, where programs read it."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

import pytest

from chatlab.errors import Unavailable
from chatlab.log import JsonFormatter, current_trace, incident
from chatlab.secret import SecretRef
from chatlab.store import Unreachable

VALUE = "canary-4e1c09ab77d2"


def told(message: str, *args: object, exc_info: Any = None, **extra: object) -> dict[str, Any]:
    record = logging.makeLogRecord(
        {"name": "chatlab.x", "levelname": "ERROR", "msg": message, "args": args, "exc_info": exc_info}
        | extra
    )
    line = JsonFormatter().format(record)
    assert "\n" not in line and line.isascii()
    found: dict[str, Any] = json.loads(line)
    return found


def test_a_record_is_one_line_with_its_time_in_utc() -> None:
    line = told("%d lines:\n\u2028\x1b \ud800", 2, created=1_790_000_000.25)
    assert line == {
        "time": datetime.fromtimestamp(1_790_000_000.25, UTC).isoformat(timespec="milliseconds"),
        "level": "ERROR",
        "logger": "chatlab.x",
        "message": "2 lines:\n\u2028\x1b \ud800",
    }
    assert line["time"].endswith("+00:00")


def test_neither_a_message_nor_a_traceback_has_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", VALUE)
    SecretRef(env="SOME_KEY").resolve()
    try:
        raise RuntimeError(f"refused {VALUE}")
    except RuntimeError:
        line = told("with %s", VALUE, exc_info=sys.exc_info())
    assert line["message"] == "with ***"
    assert line["exception"].startswith("Traceback") and line["exception"].endswith("refused ***")


def test_an_incident_is_found_by_the_number_that_people_are_told(caplog: pytest.LogCaptureFixture) -> None:
    error = Unavailable("no connection")
    error.trace_id = "c0ffee"
    number = incident(logging.getLogger("chatlab.x"), error)
    line = json.loads(JsonFormatter().format(caplog.records[0]))
    assert (line["incident"], line["trace_id"]) == (number, "c0ffee")
    assert line["message"].startswith(f"incident {number}: no connection")


def test_what_is_away_is_one_line_each_time_that_somebody_asks_for_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    away = Unreachable("the database does not answer (connection refused): try again later")
    away.__cause__ = OSError("connection refused")
    number = incident(logging.getLogger("chatlab.x"), away)
    assert caplog.records[0].getMessage() == f"incident {number}: {away}"


def test_a_line_names_the_trace_that_its_task_works_for() -> None:
    token = current_trace.set("beef")
    try:
        assert told("x")["trace_id"] == "beef"
    finally:
        current_trace.reset(token)
    assert "trace_id" not in told("x")
