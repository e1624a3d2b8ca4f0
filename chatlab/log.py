"""The log of a server: its lines as JSON, and the incidents that people are told the number of."""

from __future__ import annotations

import json
import logging
import secrets
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from chatlab.errors import ChatlabError
from chatlab.secret import scrub, scrubbed_traceback

current_trace: ContextVar[str | None] = ContextVar("current_trace", default=None)
"""The id of the trace that the running task works for, where `telemetry` is on: that of its turn."""


class JsonFormatter(logging.Formatter):
    """Formats a record as one JSON object on one line, without secrets.

    It has `time` (UTC, RFC 3339), `level`, `logger` and `message`, and as far as there are any `exception` (a
    traceback), `incident` (as people are told it) and `trace_id` (32 hex digits).
    """

    def format(self, record: logging.LogRecord) -> str:
        told: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": scrub(record.getMessage()),
            "exception": scrub(self.formatException(record.exc_info)) if record.exc_info else None,
            "incident": getattr(record, "incident", None),
            "trace_id": getattr(record, "trace_id", None) or current_trace.get(),
        }
        # Not scrubbed as a whole: what stands for a secret may not break the JSON.
        return json.dumps({name: value for name, value in told.items() if value is not None})


def incident(log: logging.Logger, exc: BaseException) -> str:
    """Return the number of an incident, for whoever is told of it: under it the log has the error, with its
    traceback, where that says more than the error."""
    number = secrets.token_hex(4)
    whole = isinstance(exc, ChatlabError) and exc.says_all
    more = "" if whole else f"\n{scrubbed_traceback(exc)}"
    log.error(
        *("incident %s: %s%s", number, scrub(str(exc)), more),
        extra={"incident": number, "trace_id": getattr(exc, "trace_id", None)},
    )
    return number
