"""A comparison as a file: one HTML page that needs no network and no script, Markdown, JSON lines with
everything, or the votes as other arena tools read them.

Every format is made of a comparison that `redact` went over: credentials are taken out even if nothing else
is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from chatlab.compare.report.write import Format, report, report_pieces, title_words
from chatlab.config.limits import ReportLimits
from chatlab.ids import LaneId
from chatlab.redaction.texts import parse_patterns
from chatlab.words import ENGLISH, Words

if TYPE_CHECKING:
    from chatlab.compare.session.session import ComparisonSession
    from chatlab.store.files import Files

__all__ = ["Format", "report", "report_pieces", "session_recording", "session_report", "title_words"]


async def session_report(
    session: ComparisonSession,
    form: Format = "html",
    redact: Sequence[str] = (),
    *,
    title: str = "",
    created: datetime | None = None,
    files: Files | None = None,
    limits: ReportLimits | None = None,
    words: Words = ENGLISH,
) -> str:
    """Return the report of a session on the page. redact: names and patterns as for `--redact`. words: as for
    `report`. A
    long one is written by a process of its own, within limits (by default those of a configuration).

    Raises SessionError while names are hidden, WrongPattern for a pattern that cannot be used, and what
    `written_apart` raises.
    """
    from chatlab.compare.report.apart import is_long, redacted_report, written_apart
    from chatlab.compare.report.from_session import comparison_of, with_pictures

    patterns = parse_patterns(redact)
    found = comparison_of(session, title=title, created=created, words=title_words(form, words))
    if files is not None and form == "html" and not patterns:
        found = await with_pictures(found, files)
    if is_long(found):
        work = partial(redacted_report, found, form, tuple(redact), words)
        return await written_apart(work, limits or ReportLimits())
    return await asyncio.to_thread(report, found, form, patterns, words)


async def session_recording(
    session: ComparisonSession, lane: LaneId, *, title: str = "", limits: ReportLimits | None = None
) -> str:
    """Return a lane's answers as the file that the kind `replay` plays; else as `session_report`."""
    from chatlab.compare.report.apart import is_long, written_apart
    from chatlab.compare.report.from_session import comparison_of
    from chatlab.compare.report.recording import lane_recording

    work = partial(lane_recording, comparison_of(session, title=title), lane)
    if is_long(work.args[0]):
        return await written_apart(work, limits or ReportLimits())
    return await asyncio.to_thread(work)
