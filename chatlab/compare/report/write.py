"""The formats of a report, and each of them written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, TypeAlias, assert_never

from chatlab.compare.model import Comparison
from chatlab.compare.report.html import report_html
from chatlab.compare.report.jsonl import report_jsonl, report_votes
from chatlab.compare.report.markdown import report_markdown
from chatlab.compare.report.redact import redacted
from chatlab.redaction.texts import Pattern
from chatlab.words import ENGLISH, Words

Format: TypeAlias = Literal["html", "markdown", "jsonl", "votes"]


def title_words(form: Format, words: Words) -> Words:
    """Return the words of a title that nobody gave: those of a document, and English for data."""
    return words if form in ("html", "markdown") else ENGLISH


def report(
    compared: Comparison,
    form: Format = "html",
    patterns: Sequence[Pattern] = (),
    words: Words = ENGLISH,
) -> str:
    """Return the whole report. Takes seconds for thousands of answers: a server calls it in a thread.
    words: of HTML and Markdown; what is for programs is in English.

    Raises WrongPattern if a pattern takes too long.
    """
    return "".join(report_pieces(compared, form, patterns, words))


def report_pieces(
    compared: Comparison,
    form: Format = "html",
    patterns: Sequence[Pattern] = (),
    words: Words = ENGLISH,
) -> Iterator[str]:
    """Yield the same piece by piece. Of a run's answers a few at a time are in memory while a page is
    written; the other formats are one piece.
    """
    compared = redacted(compared, patterns)
    match form:
        case "html":
            yield from report_html(compared, words)
        case "markdown":
            yield report_markdown(compared, words)
        case "jsonl":
            yield report_jsonl(compared)
        case "votes":
            yield report_votes(compared)
        case _:
            assert_never(form)
