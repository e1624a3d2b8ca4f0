"""A comparison as a file: one HTML page that needs no network and no script, Markdown, JSON lines with
everything, or the votes as other arena tools read them.

Every format is made of a comparison that `redact` went over: credentials are taken out even if nothing else
is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Literal, TypeAlias, assert_never

from chatlab.compare.model import Comparison
from chatlab.compare.report.from_session import comparison_of, with_pictures
from chatlab.compare.report.html import report_html
from chatlab.compare.report.jsonl import report_jsonl, report_votes
from chatlab.compare.report.markdown import report_markdown
from chatlab.compare.report.redact import redacted
from chatlab.compare.session.session import ComparisonSession
from chatlab.redaction.texts import Pattern, parse_patterns
from chatlab.store.files import Files

__all__ = ["Format", "report", "session_report"]

Format: TypeAlias = Literal["html", "markdown", "jsonl", "votes"]


def report(compared: Comparison, form: Format = "html", patterns: Sequence[Pattern] = ()) -> str:
    """Return the whole report. Takes seconds for thousands of answers: a server calls it in a thread.

    Raises WrongPattern if a pattern takes too long.
    """
    compared = redacted(compared, patterns)
    match form:
        case "html":
            return report_html(compared)
        case "markdown":
            return report_markdown(compared)
        case "jsonl":
            return report_jsonl(compared)
        case "votes":
            return report_votes(compared)
    assert_never(form)


async def session_report(
    session: ComparisonSession,
    form: Format = "html",
    redact: Sequence[str] = (),
    *,
    title: str = "",
    created: datetime | None = None,
    files: Files | None = None,
) -> str:
    """Return the report of a session on the page. redact: names and patterns as for `--redact`.

    Raises SessionError while names are hidden, WrongPattern for a pattern that cannot be used.
    """
    patterns = parse_patterns(redact)
    found = comparison_of(session, title=title, created=created)
    if files is not None and form == "html" and not patterns:
        found = await with_pictures(found, files)
    return await asyncio.to_thread(report, found, form, patterns)
