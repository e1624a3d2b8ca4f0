"""A comparison as a file: one HTML page that needs no network and no script, Markdown, JSON lines with
everything, or the votes as other arena tools read them.

Every format is made of a comparison that `redact` went over: credentials are taken out even if nothing else
is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime

from chatlab.compare.report.apart import is_long, report_apart
from chatlab.compare.report.from_session import comparison_of, with_pictures
from chatlab.compare.report.write import Format, report
from chatlab.compare.session.session import ComparisonSession
from chatlab.redaction.texts import parse_patterns
from chatlab.store.files import Files

__all__ = ["Format", "report", "session_report"]


async def session_report(
    session: ComparisonSession,
    form: Format = "html",
    redact: Sequence[str] = (),
    *,
    title: str = "",
    created: datetime | None = None,
    files: Files | None = None,
) -> str:
    """Return the report of a session on the page. redact: names and patterns as for `--redact`. A
    long one is written by a process of its own.

    Raises SessionError while names are hidden, WrongPattern for a pattern that cannot be used.
    """
    patterns = parse_patterns(redact)
    found = comparison_of(session, title=title, created=created)
    if files is not None and form == "html" and not patterns:
        found = await with_pictures(found, files)
    if is_long(found):
        return await report_apart(found, form, redact)
    return await asyncio.to_thread(report, found, form, patterns)
