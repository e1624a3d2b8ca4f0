"""A report as one HTML page: no script, nothing loaded, light or dark, for any screen and for paper.

The templates are in `templates/`. Whatever is put into them is escaped, unless it is `Markup`: that is only
what `chatlab.render.markdown` made safe, and what a template made.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from itertools import chain, groupby
from typing import Any, assert_never

from markupsafe import Markup

from chatlab.compare.model import Check, Comparison, Result
from chatlab.compare.report import overview, plots, tables
from chatlab.compare.report.items import current_votes, items_of, steps_of, verdict_sentence, vote_sentence
from chatlab.compare.report.judged import Judged, agreement, judged_criteria, pairs, places, strength
from chatlab.compare.report.plots import Plot
from chatlab.compare.report.sent import Requests, Sent
from chatlab.compare.report.spool import many
from chatlab.compare.report.tables import ReportTable
from chatlab.messages import FilePart, Part, ReasoningPart, TextPart, ToolCall, ToolResult
from chatlab.render.document import document
from chatlab.render.figures import figures, outcome
from chatlab.render.html_templates import environment
from chatlab.render.markdown import as_typed, render
from chatlab.render.sources import sources
from chatlab.secret import scrub
from chatlab.words import Words

_LARGEST_PICTURE = 3_000_000  # bytes
_PICTURES = ("image/png", "image/jpeg", "image/gif", "image/webp")
_SIZE = "\ufdd0"  # stands for the page's size until it is known: no character, so no text has it
_BODY = "\ufdd1"  # stands for the page's body until it is written: no character either
_PIECE = 100_000  # characters
_MANY = 60  # answers from which on a browser lays out only what is looked at


@dataclass(frozen=True, slots=True)
class ShownText:
    """A part of a message. kind: "text", "thoughts", "folded", "picture" or "file"."""

    kind: str
    body: str
    title: str = ""


@dataclass(frozen=True, slots=True)
class AnswerCell:
    """One answer. repeat: which of several it is, in words; trouble: why it did not finish."""

    repeat: str
    parts: tuple[ShownText, ...]
    trouble: str | None
    checks: tuple[Check, ...]
    sources: Markup
    notices: tuple[str, ...]
    figures: str


@dataclass(frozen=True, slots=True)
class LaneAnswers:
    """The answers of one lane to a message. best: whether a vote preferred it."""

    label: str
    best: bool
    answers: tuple[AnswerCell, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """One message with the answers to it."""

    asked: tuple[ShownText, ...]
    lanes: tuple[LaneAnswers, ...]
    sent: Sent


@dataclass(frozen=True, slots=True)
class ItemSection:
    """One prompt, of one message or several. marks: the classes by which the filters find it."""

    number: int
    title: str
    marks: str
    tags: tuple[str, ...]
    steps: tuple[Step, ...]
    votes: tuple[str, ...]
    verdicts: tuple[str, ...]


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
    """Yield the whole page piece by piece, each without secrets."""
    # The prompts are written first, since only then is it known what had no room.
    requests = Requests({lane.id: lane.label for lane in compared.lanes}, words)
    templates = environment("chatlab.compare.report")
    template = templates.get_template("item.html.j2")
    by_prompt = overview.matrix(compared, words)
    sections = _item_sections(compared, requests, () if by_prompt is None else by_prompt.rows, words)
    items = many(compared, (template.render(item=one, say=words) for one in sections))
    shown = (Markup(item) for item in items)  # noqa: S704 - the template escaped it
    values = _values(compared, shown, requests.left_out, words)
    body = templates.get_template("report.html.j2").generate(**values, matrix=by_prompt)
    before, after = document(compared.title, _BODY, css=_style(), lang=words.language).split(_BODY)
    pieces = many(compared, map(scrub, _gathered(chain((before,), body, (after,)))))
    octets = sum(len(piece.encode("utf-8", "replace")) for piece in pieces)
    for piece in pieces:
        yield piece.replace(_SIZE, _size(octets, words), 1)


def _gathered(pieces: Iterable[str]) -> Iterator[str]:
    """Yield the same text in larger pieces, of whole lines: a credential is seen that stands in several of a
    template's.
    """
    held: list[str] = []
    size = 0
    for piece in pieces:
        held.append(piece)
        size += len(piece)
        if size > _PIECE and "\n" in piece:
            lines, _, rest = "".join(held).rpartition("\n")
            yield f"{lines}\n"
            held, size = [rest], len(rest)
    yield "".join(held)


def _size(octets: int, words: Words) -> str:
    """Return a size as people read it."""
    return words.number(f"{octets / 1e6:.1f} MB" if octets >= 1e6 else f"{octets / 1e3:.0f} kB")


@cache
def _style() -> str:
    return (resources.files("chatlab.compare.report") / "templates" / "report.css").read_text("utf-8")


def _values(compared: Comparison, items: Iterable[Markup], left_out: int, words: Words) -> dict[str, Any]:
    """Return what the page's template shows."""
    notes = list(map(words.translated, compared.notes))
    if left_out:
        notes.append(words("report.requests-left-out", count=left_out))
    page = (words("report.this-page"), words("report.about-page", size=_SIZE))
    judged = judged_criteria(compared, words)
    return {
        "comparison": compared,
        "say": words,
        "compared_said": overview.compared_said(compared, words),
        "mismatches": list(map(words.translated, compared.mismatches)),
        "findings": overview.findings(compared, judged, words),
        "facts_of": [*tables.facts_of(compared, words), page],
        "notes": notes,
        "taken_out": tables.redacted_said(compared, words),
        "lanes": tables.lane_table(compared, words),
        "summary": tables.summary_table(compared, words),
        "distributions": [
            (name, plots.distributions(name, unit, lanes, words))
            for name, unit, lanes in tables.measured(compared, words)
        ],
        "differences": tables.differences_said(compared, words),
        "repeats": tables.repeats_said(compared, words),
        "verdicts": tables.verdicts_said(compared, words),
        "rankings": [_ranking_section(one, words) for one in judged],
        "agreement": agreement(compared, words),
        "many": len(compared.results) > _MANY,
        "items": items,
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


# -- prompts and answers


def _item_sections(
    compared: Comparison, requests: Requests, rows: Sequence[overview.MatrixRow], words: Words
) -> Iterator[ItemSection]:
    labels: dict[str, str] = {lane.id: lane.label for lane in compared.lanes}
    what = "message" if compared.session and compared.mode is not None else "prompt"
    votes = current_votes(compared)
    verdicts: dict[str, list[int]] = {}  # their places: with their reasons they may be on the disk
    for place, verdict in enumerate(compared.verdicts):
        verdicts.setdefault(verdict.item, []).append(place)
    for number, (item, results) in enumerate(items_of(compared), 1):
        named = "" if compared.session or item == str(number) else f" · {item}"
        cast = votes.get(item, [])
        best = {vote.best for vote in cast}
        yield ItemSection(
            number,
            words(f"report.{what}-number", number=number) + named,
            rows[number - 1].marks if rows else "",
            tuple(results[0].tags),
            tuple(
                Step(
                    tuple(_asked(part, words) for part in group[0].turn.user.parts),
                    tuple(_lane_answers(group, labels, best, words)),
                    requests.sent(f"r{number}-{step + 1}", group),
                )
                for step, group in steps_of(compared, results)
            ),
            tuple(vote_sentence(vote, labels, words) for vote in cast),
            tuple(
                verdict_sentence(compared.verdicts[place], labels, words) for place in verdicts.get(item, ())
            ),
        )


def _lane_answers(
    results: Sequence[Result], labels: dict[str, str], best: set[str], words: Words
) -> Iterator[LaneAnswers]:
    for lane, group in groupby(results, key=lambda one: one.lane):
        answers = list(group)
        yield LaneAnswers(
            labels.get(lane, "?"), lane in best, tuple(_answer(one, len(answers), words) for one in answers)
        )


def _answer(result: Result, repeats: int, words: Words) -> AnswerCell:
    turn = result.turn
    number = {"number": result.repeat + 1, "all": repeats}
    return AnswerCell(
        words("report.repeat-of", **number) if repeats > 1 else "",
        tuple(_shown(part, words) for part in turn.answer),
        outcome(turn, words),
        tuple(result.checks),
        _safe(render(sources(turn.citations), words=words) if turn.citations else ""),
        tuple(words.translated(notice.detail) for notice in turn.notices),
        figures(turn, stall=True, words=words),
    )


def _asked(part: Part, words: Words) -> ShownText:
    if isinstance(part, TextPart):
        return ShownText("text", _safe(as_typed(part.text)))
    return _shown(part, words)


def _safe(html: str) -> Markup:
    return Markup(html)  # noqa: S704 - `chatlab.render.markdown` made it


def _shown(part: Part, words: Words) -> ShownText:
    if isinstance(part, TextPart):
        return ShownText("text", _safe(render(part.text, words=words)))
    if isinstance(part, ReasoningPart):
        return ShownText("thoughts", _safe(render(part.text, words=words)))
    if isinstance(part, ToolCall):
        return ShownText("folded", part.arguments, words("answer.tool", name=part.name))
    if isinstance(part, ToolResult):
        key = "answer.error" if part.is_error else "answer.result"
        name = part.name or words("answer.the-tool")
        return ShownText("folded", part.content, words(key, name=name))
    if isinstance(part, FilePart):
        return _file(part, words)
    assert_never(part)


def _file(part: FilePart, words: Words) -> ShownText:
    name = part.name or words("notice.a-file")
    if part.data is not None and part.media_type in _PICTURES and len(part.data) <= _LARGEST_PICTURE:
        data = base64.b64encode(part.data).decode("ascii")
        return ShownText("picture", f"data:{part.media_type};base64,{data}", name)
    size = "" if part.data is None else f", {_size(len(part.data), words)}"
    return ShownText("file", f"{part.media_type}{size}", name)
