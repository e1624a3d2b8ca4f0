"""A comparison as something one can hand on: one HTML file that needs no network and no script, Markdown,
JSON lines with everything, or the votes as other arena tools read them.

Everything goes through `redact`, which takes credentials out even if nothing else is to be.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Literal, TypeAlias, assert_never

from chatlab.compare.model import Comparison
from chatlab.compare.model_json import comparison_to_json, result_to_json, to_line
from chatlab.compare.report import words
from chatlab.compare.report.from_session import comparison_of
from chatlab.compare.report.html import CSS, Cell, distributions, facts, forest, listed, table, text
from chatlab.compare.report.items import (
    Items,
    current_votes,
    items_of,
    said_of,
    steps_of,
    verdict_said,
)
from chatlab.compare.report.judged import (
    PLACES_HEAD,
    Judged,
    agreement,
    judged,
    judgements_of,
    pairs,
    places,
    strength,
)
from chatlab.compare.report.redact import Pattern, parse_patterns, redact
from chatlab.compare.session.session import ComparisonSession
from chatlab.compare.statistics.votes_csv import to_csv
from chatlab.messages import FilePart, Message, TextPart
from chatlab.render.figures import figures, outcome
from chatlab.render.markdown import document
from chatlab.secret import scrub
from chatlab.store import FILE_SCHEME, NotStored
from chatlab.store.files import Files

Format: TypeAlias = Literal["html", "markdown", "jsonl", "votes"]

_PICTURES_IN_ALL = 30_000_000  # bytes of pictures from a session's attachments in one report
_SIZE = "\ufdd0"  # stands for the page's size until it is known: no character, so no text has it


def report(compared: Comparison, format: Format = "html", patterns: Sequence[Pattern] = ()) -> str:
    """The whole report. Takes seconds for thousands of answers: a server calls it in a thread.

    Raises WrongPattern if a pattern takes too long.
    """
    compared = redact(compared, patterns)
    match format:
        case "html":
            return report_html(compared)
        case "markdown":
            return report_markdown(compared)
        case "jsonl":
            return report_jsonl(compared)
        case "votes":
            return report_votes(compared)
    assert_never(format)


async def session_report(
    session: ComparisonSession,
    format: Format = "html",
    redact: Sequence[str] = (),
    *,
    title: str = "",
    created: datetime | None = None,
    files: Files | None = None,
) -> str:
    """The report of a session on the page. redact: names and patterns as for `--redact`.

    Raises SessionError while names are hidden, WrongPattern for a pattern that cannot be used.
    """
    patterns = parse_patterns(redact)
    found = comparison_of(session, title=title, created=created)
    if files is not None and format == "html" and not patterns:
        found = await with_pictures(found, files)
    return await asyncio.to_thread(report, found, format, patterns)


async def with_pictures(compared: Comparison, files: Files) -> Comparison:
    """The same with the content of attached pictures, which a session only names, up to a bound."""
    left = _PICTURES_IN_ALL
    known: dict[str, FilePart] = {}
    seen: set[tuple[str, int]] = set()
    results = []
    for result in compared.results:
        parts = list(result.turn.user.parts)
        # Of an item the first result's message is what is shown.
        first = (result.item, result.step) not in seen
        seen.add((result.item, result.step))
        for number, part in enumerate(parts if first else ()):
            if not isinstance(part, FilePart) or not (part.url or "").startswith(FILE_SCHEME):
                continue
            sha256 = (part.url or "").removeprefix(FILE_SCHEME)
            if sha256 not in known and part.media_type.startswith("image/"):
                try:
                    path = await files.path(sha256)
                except (NotStored, OSError):
                    continue
                if path.stat().st_size <= left:
                    data = await asyncio.to_thread(path.read_bytes)
                    left -= len(data)
                    known[sha256] = FilePart(part.media_type, part.name, data=data)
            parts[number] = known.get(sha256, part)
        user = Message("user", tuple(parts))
        results.append(replace(result, turn=replace(result.turn, user=user)))
    return replace(compared, results=tuple(results))


# -- HTML


def report_html(compared: Comparison) -> str:
    """One HTML document: no script, nothing loaded, light or dark, for screens of any size and for paper."""
    items = Items(compared)
    # The prompts are written first, since only then is it known what had no room.
    many = ' class="many"' if len(compared.results) > 60 else ""
    body = f"<div{many}>{''.join(items.pieces())}</div>\n"
    head = "".join(_head(compared, items.left_out))
    whole = document(
        compared.title,
        f"{head}<h2>Prompts and answers</h2>\n{_contents(compared)}{body}{_foot(compared)}",
        css=CSS,
    )
    whole = scrub(whole)
    size = f"{len(whole.encode('utf-8', 'replace')) / 1e6:.1f} MB"
    return whole.replace(_SIZE, size, 1)


def _head(compared: Comparison, left_out: int) -> Iterator[str]:
    yield f"<header><h1>{text(compared.title)}</h1>\n"
    rows = [(name, text(said)) for name, said in words.facts_of(compared)]
    yield facts([*rows, ("This page", f"{_SIZE}, made by chatlab; it loads nothing and has no script")])
    yield "</header>\n"
    notes = list(compared.notes)
    if left_out:
        notes.append(
            f"For its size this page leaves out {left_out} of the exact requests, not their hashes; the "
            "report as JSON lines has them all."
        )
    yield listed(notes, "note")
    if compared.mismatches:
        yield "<h2>Lanes that were not sent what they should have been</h2>\n"
        yield listed(compared.mismatches, "trouble")
    if compared.redacted:
        yield "<h2>Taken out</h2>\n<p>Each place is marked in the text.</p>\n"
        yield listed(words.redacted_said(compared))
        yield f'<p class="faint">{text(words.HASHES_STAY)}</p>\n'
    yield "<h2>Lanes</h2>\n" + table(words.LANES_HEAD, words.lane_rows(compared))
    yield "<h2>Figures</h2>\n" + table(words.SUMMARY_HEAD, words.summary_rows(compared))
    for name, unit, lanes in words.measured(compared):
        yield f"<h3>{text(name)}</h3>\n{distributions(name, unit, lanes)}"
    yield _told("What differs, and what is noise", words.differences_said(compared))
    yield _told("Spread over repeats", words.repeats_said(compared))
    yield from _judged(compared)


def _told(title: str, sentences: Sequence[str]) -> str:
    return f"<h3>{text(title)}</h3>\n{listed(sentences)}" if sentences else ""


def _judged(compared: Comparison) -> Iterator[str]:
    found = judged(compared)
    verdicts = words.verdicts_said(compared)
    if not found and not verdicts:
        return
    yield "<h2>Votes and verdicts</h2>\n" + listed(verdicts)
    for one in found:
        yield f"<h3>{text(one.title)}</h3>\n"
        ranking = one.ranking
        placed = [row for row in ranking.lanes if row.judged]
        yield f'<p class="faint">{len(placed)} lanes, {ranking.items} prompts judged</p>\n'
        yield forest([(row.lane, row.strength, row.interval, strength(row)) for row in placed])
        yield table(*_places(one))
        yield listed(ranking.notes, "note")
        different, alike = pairs(ranking)
        yield listed([*different, *alike])
        yield "<p>Does anything beside the answers tell?</p>\n" + listed(one.audit)
    agreed = agreement(compared)
    if agreed:
        yield f"<p>{text(agreed)}</p>\n"


def _places(one: Judged) -> tuple[list[Cell], list[list[Cell]]]:
    head = [Cell(name, "number" if number else "") for number, name in enumerate(PLACES_HEAD)]
    rows = [
        [Cell(said, "number" if number else "") for number, said in enumerate(row)]
        for row in places(one.ranking)
    ]
    return head, rows


def _contents(compared: Comparison) -> str:
    items = items_of(compared)
    if len(items) < 8:
        return ""
    links = []
    for number, (_, results) in enumerate(items, 1):
        asked = " ".join(results[0].turn.user.text.split())
        short = asked if len(asked) <= 80 else asked[:79] + "…"
        links.append(f'<li><a href="#item-{number}">{number}: {text(short)}</a></li>')
    return f"<nav><details><summary>{len(items)} prompts</summary><ul>{''.join(links)}</ul></details></nav>\n"


def _foot(compared: Comparison) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in compared.versions.items())
    return (
        f"<h2>How to read this</h2>\n{listed(words.METHOD)}"
        f'<footer><p class="faint">Versions where this report was made: {text(versions)}</p></footer>\n'
    )


# -- Markdown


def report_markdown(compared: Comparison) -> str:
    """The same as Markdown. What people and models wrote stands in fences, as it is: nothing in it is a
    heading, or loads a picture, wherever the file is shown."""
    return scrub("\n".join(_markdown(compared)) + "\n")


def _markdown(compared: Comparison) -> Iterator[str]:
    yield f"# {_line(compared.title)}\n"
    for name, said in words.facts_of(compared):
        if said:
            yield f"- {name}: {_line(said)}"
    yield ""
    yield from _bullets("", compared.notes)
    yield from _bullets("## Lanes that were not sent what they should have been", compared.mismatches)
    if compared.redacted:
        yield from _bullets("## Taken out", [*words.redacted_said(compared), words.HASHES_STAY])
    yield "## Lanes\n"
    yield from _rows(words.LANES_HEAD, words.lane_rows(compared))
    yield "## Figures\n"
    yield from _rows(words.SUMMARY_HEAD, words.summary_rows(compared))
    yield from _bullets("### What differs, and what is noise", words.differences_said(compared))
    yield from _bullets("### Spread over repeats", words.repeats_said(compared))
    yield from _bullets("## Verdicts", words.verdicts_said(compared))
    for one in judged(compared):
        different, alike = pairs(one.ranking)
        yield f"## {_line(one.title)}\n"
        yield from _rows(*_places(one))
        yield from _bullets("", [*one.ranking.notes, *different, *alike, *one.audit])
    agreed = agreement(compared)
    if agreed:
        yield f"{_line(agreed)}\n"
    yield "## Prompts and answers\n"
    yield from _items(compared)
    yield from _bullets("## How to read this", words.METHOD)
    versions = ", ".join(f"{name} {version}" for name, version in compared.versions.items())
    yield f"Versions where this report was made: {_line(versions)}"


def _items(compared: Comparison) -> Iterator[str]:
    labels = {lane.id: lane.label for lane in compared.lanes}
    votes = current_votes(compared)
    for number, (item, results) in enumerate(items_of(compared), 1):
        yield f"### {number}\n"
        for _, group in steps_of(compared, results):
            yield _fenced(group[0].turn.user.text)
            for result in group:
                repeat = f", repeat {result.repeat + 1}" if compared.repeats > 1 else ""
                yield f"**{_line(labels.get(result.lane, '?'))}{repeat}**: {_line(figures(result.turn))}\n"
                yield _fenced("".join(part.text for part in result.turn.answer if isinstance(part, TextPart)))
                said = [f"{'✓' if one.passed else '✗'} {one.name} {one.detail}" for one in result.checks]
                trouble = outcome(result.turn)
                said += [] if trouble is None else [trouble]
                if result.receipt is not None:
                    said.append(f"sent: SHA-256 {result.receipt.sha256}")
                yield from _bullets("", said)
        said = [said_of(vote, labels) for vote in votes.get(item, [])]
        said += [verdict_said(one, labels) for one in compared.verdicts if one.item == item]
        yield from _bullets("", said)


def _line(said: str) -> str:
    """Text on one line of Markdown, in which nothing is markup."""
    return re.sub(r"([\\`*_\[\]<>|#&!~])", r"\\\1", " ".join(said.split()))


def _bullets(title: str, sentences: Iterable[str]) -> Iterator[str]:
    lines = [f"- {_line(one)}" for one in sentences]
    if lines:
        yield "\n".join([*([title, ""] if title else []), *lines, ""])


def _rows(head: Sequence[Cell], rows: Sequence[Sequence[Cell]]) -> Iterator[str]:
    shown = [number for number in range(len(head)) if any(row[number].said for row in rows)]
    for cells in (head, None, *rows):
        yield (
            "| "
            + " | ".join("---" if cells is None else _line(cells[number].said) for number in shown)
            + " |"
        )
    yield ""


def _fenced(said: str) -> str:
    longest = max((len(run) for run in re.findall(r"`+", said)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{said}\n{fence}\n"


# -- data


def report_jsonl(compared: Comparison) -> str:
    """Everything as JSON lines, as docs/reports.md has it: comparison, results, votes and verdicts."""
    return scrub("".join(map(to_line, _lines(compared))))


def _lines(compared: Comparison) -> Iterator[dict[str, object]]:
    empty = comparison_to_json(replace(compared, results=(), votes=(), verdicts=()))
    yield {
        "type": "comparison",
        **{k: v for k, v in empty.items() if k not in ("results", "votes", "verdicts")},
    }
    for result in compared.results:
        yield {"type": "result", **result_to_json(result)}
    whole = comparison_to_json(replace(compared, results=()))
    for vote in whole.get("votes", ()):
        yield {"type": "vote", **vote}
    for verdict in whole.get("verdicts", ()):
        yield {"type": "verdict", **verdict}


def report_votes(compared: Comparison) -> str:
    """Votes and verdicts as CSV, in the schema of arena tools: model_a, model_b, winner, and more columns."""
    return scrub(to_csv(judgements_of(compared)))
