"""A report as one HTML page: no script, nothing loaded, light or dark, for any screen and for paper.

The templates are in `templates/`. Whatever is put into them is escaped, unless it is `Markup`: that is only
what `chatlab.render.markdown` made safe, and what a template made.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from markupsafe import Markup

from chatlab.compare.model import Comparison
from chatlab.compare.report import overview, plots, tables
from chatlab.compare.report.items import items_of
from chatlab.compare.report.judged import (
    Judged,
    agreement,
    judged_criteria,
    judgements_of,
    pairs,
    places,
    strength,
)
from chatlab.compare.report.plots import Plot
from chatlab.compare.report.sections import Sections, shown_size
from chatlab.compare.report.spool import ScrubbedText
from chatlab.compare.report.tables import ReportTable
from chatlab.render.document import document
from chatlab.render.html_templates import environment
from chatlab.words import Words

_SIZE = "\ufdd0"  # stands for the page's size until it is known: no character, so no text has it
# They stand where the matrix and the prompts are put. No text has them, since texts are escaped.
_ROWS, _ITEMS = Markup("<!-- rows -->"), Markup("<!-- items -->")
_MANY = 60  # answers from which on a browser lays out only what is looked at


@dataclass(frozen=True, slots=True)
class RankingSection:
    """The ranking by one criterion, as the report shows it. scope: how many lanes and prompts, in words."""

    title: str
    scope: str
    forest: Plot
    places: ReportTable
    notes: tuple[str, ...]
    pairs: tuple[str, ...]
    audit: tuple[str, ...]


def report_html(compared: Comparison, words: Words) -> Iterator[str]:
    """Yield the whole page piece by piece, each without secrets.

    The results are read once, prompt by prompt. The prompts are written first, since only then is it known
    what the page's beginning says of them.
    """
    templates = environment("chatlab.compare.report")
    write: Any = templates.get_template("item.html.j2").make_module({"say": words})
    matrix, lanes = overview.matrix(compared, words), tables.LanesSaid(compared, words)
    sections = Sections(compared, words)
    rows, items = ScrubbedText(), ScrubbedText()
    for number, (item, results) in enumerate(items_of(compared), 1):
        for result in results:
            lanes.add(result)
        marks = ""
        if matrix is not None:
            row = matrix.row(number, results)
            rows.add(write.matrix_row(row))
            marks = row.marks
        items.add(write.section(sections.section(number, item, results, marks)))
    values = _values(compared, lanes.table, matrix, sections.requests.left_out, words)
    body = templates.get_template("report.html.j2").render(values)
    page = document(compared.title, body, css=_style(), lang=words.language)
    before, after = page.split(_ITEMS)
    head, *middle = before.split(_ROWS)
    parts = [ScrubbedText(head), rows, *map(ScrubbedText, middle), items, ScrubbedText(after)]
    for part in parts:
        part.end()
    size = shown_size(sum(part.octets for part in parts), words)
    for part in parts:
        for piece in part:
            yield piece.replace(_SIZE, size, 1)


@cache
def _style() -> str:
    return (resources.files("chatlab.compare.report") / "templates" / "report.css").read_text("utf-8")


def _values(
    compared: Comparison, lanes: ReportTable, matrix: overview.Matrix | None, left_out: int, words: Words
) -> dict[str, Any]:
    """Return what the page's template shows."""
    notes = list(map(words.translated, compared.notes))
    if left_out:
        notes.append(words("report.requests-left-out", count=left_out))
    page = (words("report.this-page"), words("report.about-page", size=_SIZE))
    judgements = judgements_of(compared)
    judged = judged_criteria(compared, judgements, words)
    return {
        "comparison": compared,
        "say": words,
        "compared_said": overview.compared_said(compared, words),
        "mismatches": list(map(words.translated, compared.mismatches)),
        "findings": overview.findings(compared, judged, words),
        "facts_of": [*tables.facts_of(compared, words), page],
        "notes": notes,
        "taken_out": tables.redacted_said(compared, words),
        "lanes": lanes,
        "matrix": matrix,
        "rows": _ROWS,
        "summary": tables.summary_table(compared, words),
        "distributions": [
            (name, plots.distributions(name, unit, lanes, words))
            for name, unit, lanes in tables.measured(compared, words)
        ],
        "differences": tables.differences_said(compared, words),
        "repeats": tables.repeats_said(compared, words),
        "verdicts": tables.verdicts_said(compared, words),
        "rankings": [_ranking_section(one, words) for one in judged],
        "agreement": agreement(judgements, words),
        "many": len(compared.results) > _MANY,
        "items": _ITEMS,
        "method": [words(f"report.method-{name}") for name in tables.METHOD],
        "versions": ", ".join(f"{name} {version}" for name, version in compared.versions.items()),
    }


def _ranking_section(one: Judged, words: Words) -> RankingSection:
    ranking = one.ranking
    placed = [row for row in ranking.lanes if row.judged]
    different, alike = pairs(ranking, words)
    lanes, prompts = words.counted("count.lane", len(placed)), words.counted("count.prompt", ranking.items)
    drawn = [(words.translated(row.lane), row.strength, row.interval, strength(row, words)) for row in placed]
    return RankingSection(
        one.title(words),
        words("report.judged-on", lanes=lanes, prompts=prompts),
        plots.forest(drawn, words),
        places(ranking, words),
        tuple(map(words.translated, ranking.notes)),
        (*different, *alike),
        one.audit,
    )
