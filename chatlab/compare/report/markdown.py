"""A report as Markdown, for where HTML is not shown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from chatlab.compare.model import Comparison
from chatlab.compare.report import overview, tables
from chatlab.compare.report.items import current_votes, items_of, steps_of, verdict_sentence, vote_sentence
from chatlab.compare.report.judged import agreement, judged_criteria, judgements_of, pairs, places
from chatlab.compare.report.tables import Cell, ReportTable
from chatlab.messages import TextPart
from chatlab.render.figures import figures, outcome
from chatlab.secret import scrub
from chatlab.words import Words


def report_markdown(compared: Comparison, words: Words) -> str:
    """Return a report as Markdown.

    What people and models wrote stands in fences, as it is: nothing in it is a heading, or loads a picture,
    wherever the file is shown.
    """
    return scrub("\n".join(_markdown(compared, words)) + "\n")


def _markdown(compared: Comparison, words: Words) -> Iterator[str]:
    judgements = judgements_of(compared)
    judged = judged_criteria(compared, judgements, words)
    yield f"# {_line(compared.title)}\n"
    yield f"{_line(overview.compared_said(compared, words))}\n"
    yield from _bullets(f"## {words('report.mismatches')}", map(words.translated, compared.mismatches))
    found = overview.findings(compared, judged, words)
    if found is not None:
        yield f"## {words('report.summary')}\n"
        yield from _rows(found)
        yield f"{_line(words('report.about-how-sure'))}\n"
    yield from _bullets("", map(words.translated, compared.notes))
    yield from _by_prompt(compared, words)
    yield f"## {words('report.how-made')}\n"
    for name, said in tables.facts_of(compared, words):
        if said:
            yield f"- {name}: {_line(said)}"
    yield ""
    if compared.redacted:
        taken_out = [*tables.redacted_said(compared, words), words("report.hashes-stay")]
        yield from _bullets(f"## {words('report.taken-out')}", taken_out)
    yield f"## {words('report.lanes')}\n"
    yield from _rows(tables.lane_table(compared, words))
    yield f"## {words('report.figures')}\n"
    yield from _rows(tables.summary_table(compared, words))
    yield from _bullets(f"### {words('report.differences')}", tables.differences_said(compared, words))
    yield from _bullets(f"### {words('report.spread')}", tables.repeats_said(compared, words))
    yield from _bullets(f"## {words('report.verdicts')}", tables.verdicts_said(compared, words))
    for one in judged:
        different, alike = pairs(one.ranking, words)
        notes = map(words.translated, one.ranking.notes)
        yield f"## {_line(one.title(words))}\n"
        yield from _rows(places(one.ranking, words))
        yield from _bullets("", [*notes, *different, *alike, *one.audit])
    agreed = agreement(judgements, words)
    if agreed:
        yield f"{_line(agreed)}\n"
    yield f"## {words('report.items')}\n"
    yield from _items(compared, words)
    method = (words(f"report.method-{name}") for name in tables.METHOD)
    yield from _bullets(f"## {words('report.how-to-read')}", method)
    versions = ", ".join(f"{name} {version}" for name, version in compared.versions.items())
    yield _line(words("report.versions", versions=versions))


def _by_prompt(compared: Comparison, words: Words) -> Iterator[str]:
    matrix = overview.matrix(compared, words)
    if matrix is None:
        return
    yield f"## {words('report.by-prompt')}\n"
    rows = [
        [Cell(f"{row.number} {row.asked}"), *(Cell(f"{cell.said} {cell.won}".strip()) for cell in row.cells)]
        for row in (matrix.row(number, results) for number, (_, results) in enumerate(items_of(compared), 1))
    ]
    head = Cell(words("report.column-prompt")), *map(Cell, matrix.lanes)
    yield from _rows(ReportTable(head, tuple(map(tuple, rows))))


def _items(compared: Comparison, words: Words) -> Iterator[str]:
    labels: dict[str, str] = {lane.id: lane.label for lane in compared.lanes}
    votes = current_votes(compared)
    for number, (item, results) in enumerate(items_of(compared), 1):
        yield f"### {number}\n"
        for _, group in steps_of(compared, results):
            yield _fenced(group[0].turn.user.text)
            for result in group:
                lane = labels.get(result.lane, "?")
                if compared.repeats > 1:
                    lane = words("compare.repeat", lane=lane, number=result.repeat + 1)
                yield f"**{_line(lane)}**: {_line(figures(result.turn, words=words))}\n"
                yield _fenced("".join(part.text for part in result.turn.answer if isinstance(part, TextPart)))
                said = [f"{'✓' if one.passed else '✗'} {one.name} {one.detail}" for one in result.checks]
                trouble = outcome(result.turn, words)
                said += [] if trouble is None else [trouble]
                said += [
                    words("report.source", source=f"{one.title} {one.url or ''}".strip())
                    for one in result.turn.citations
                ]
                if result.receipt is not None:
                    said.append(words("report.sent-hash", hash=result.receipt.sha256))
                yield from _bullets("", said)
        said = [vote_sentence(vote, labels, words) for vote in votes.get(item, [])]
        said += [verdict_sentence(one, labels, words) for one in compared.verdicts if one.item == item]
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
