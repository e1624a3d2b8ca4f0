"""A report as Markdown, for where HTML is not shown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from chatlab.compare.model import Comparison
from chatlab.compare.report import overview, words
from chatlab.compare.report.items import current_votes, items_of, steps_of, verdict_sentence, vote_sentence
from chatlab.compare.report.judged import agreement, judged_criteria, pairs, places
from chatlab.compare.report.words import Cell, ReportTable
from chatlab.messages import TextPart
from chatlab.render.figures import figures, outcome
from chatlab.secret import scrub


def report_markdown(compared: Comparison) -> str:
    """Return a report as Markdown.

    What people and models wrote stands in fences, as it is: nothing in it is a heading, or loads a picture,
    wherever the file is shown.
    """
    return scrub("\n".join(_markdown(compared)) + "\n")


def _markdown(compared: Comparison) -> Iterator[str]:
    judged = judged_criteria(compared)
    yield f"# {_line(compared.title)}\n"
    yield f"{_line(overview.compared_said(compared))}\n"
    yield from _bullets("## Lanes that were not sent what they should have been", compared.mismatches)
    found = overview.findings(compared, judged)
    if found is not None:
        yield "## Summary\n"
        yield from _rows(found)
        yield f"{_line(overview.HOW_SURE)}\n"
    yield from _bullets("", compared.notes)
    yield from _by_prompt(overview.matrix(compared))
    yield "## How it was made\n"
    for name, said in words.facts_of(compared):
        if said:
            yield f"- {name}: {_line(said)}"
    yield ""
    if compared.redacted:
        yield from _bullets("## Taken out", [*words.redacted_said(compared), words.HASHES_STAY])
    yield "## Lanes\n"
    yield from _rows(words.lane_table(compared))
    yield "## Figures\n"
    yield from _rows(words.summary_table(compared))
    yield from _bullets("### What differs, and what is noise", words.differences_said(compared))
    yield from _bullets("### Spread over repeats", words.repeats_said(compared))
    yield from _bullets("## Verdicts", words.verdicts_said(compared))
    for one in judged:
        different, alike = pairs(one.ranking)
        yield f"## {_line(one.title)}\n"
        yield from _rows(places(one.ranking))
        yield from _bullets("", [*one.ranking.notes, *different, *alike, *one.audit])
    agreed = agreement(compared)
    if agreed:
        yield f"{_line(agreed)}\n"
    yield "## Prompts and answers\n"
    yield from _items(compared)
    yield from _bullets("## How to read this", words.METHOD)
    versions = ", ".join(f"{name} {version}" for name, version in compared.versions.items())
    yield f"Versions where this report was made: {_line(versions)}"


def _by_prompt(matrix: overview.Matrix | None) -> Iterator[str]:
    if matrix is None:
        return
    yield "## Prompt by prompt\n"
    rows = [
        [Cell(f"{row.number} {row.asked}"), *(Cell(f"{cell.said} {cell.won}".strip()) for cell in row.cells)]
        for row in matrix.rows
    ]
    yield from _rows(ReportTable((Cell("prompt"), *map(Cell, matrix.lanes)), tuple(map(tuple, rows))))


def _items(compared: Comparison) -> Iterator[str]:
    labels: dict[str, str] = {lane.id: lane.label for lane in compared.lanes}
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
                said += [f"Source: {one.title} {one.url or ''}".strip() for one in result.turn.citations]
                if result.receipt is not None:
                    said.append(f"sent: SHA-256 {result.receipt.sha256}")
                yield from _bullets("", said)
        said = [vote_sentence(vote, labels) for vote in votes.get(item, [])]
        said += [verdict_sentence(one, labels) for one in compared.verdicts if one.item == item]
        yield from _bullets("", said)


def _line(said: str) -> str:
    """Text on one line of Markdown, in which nothing is markup."""
    return re.sub(r"([\\`*_\[\]<>|#&!~])", r"\\\1", " ".join(said.split()))


def _bullets(title: str, sentences: Iterable[str]) -> Iterator[str]:
    lines = [f"- {_line(one)}" for one in sentences]
    if lines:
        yield "\n".join([*([title, ""] if title else []), *lines, ""])


def _rows(table: ReportTable) -> Iterator[str]:
    head, *rows = [[_line(cell.said) for cell in cells] for cells in (table.head, *table.rows)]
    for cells in (head, ["---"] * len(head), *rows):
        yield f"| {' | '.join(cells)} |"
    yield ""


def _fenced(said: str) -> str:
    longest = max((len(run) for run in re.findall(r"`+", said)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{said}\n{fence}\n"
