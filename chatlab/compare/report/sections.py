"""The prompts of a report: each with the answers to it, and what every lane was sent."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple, assert_never

from markupsafe import Markup

from chatlab.compare.model import Check, Comparison, Result
from chatlab.compare.report.items import current_votes, steps_of, verdict_sentence, vote_sentence
from chatlab.compare.report.sent import Requests, Sent
from chatlab.messages import FilePart, Part, ReasoningPart, TextPart, ToolCall, ToolResult
from chatlab.render.figures import figures, outcome
from chatlab.render.markdown import as_typed, render
from chatlab.render.sources import sources
from chatlab.words import Words

_LARGEST_PICTURE = 3_000_000  # bytes
_PICTURES = ("image/png", "image/jpeg", "image/gif", "image/webp")


class ShownText(NamedTuple):
    """A part of a message. kind: "text", "thoughts", "folded", "picture" or "file"."""

    kind: str
    body: str
    title: str = ""


class AnswerCell(NamedTuple):
    """One answer. repeat: which of several it is, in words; trouble: why it did not finish."""

    repeat: str
    parts: tuple[ShownText, ...]
    trouble: str | None
    checks: tuple[Check, ...]
    sources: Markup
    notices: tuple[str, ...]
    figures: str


class LaneAnswers(NamedTuple):
    """The answers of one lane to a message. best: whether a vote preferred it."""

    label: str
    best: bool
    answers: tuple[AnswerCell, ...]


class Step(NamedTuple):
    """One message with the answers to it."""

    asked: tuple[ShownText, ...]
    lanes: tuple[LaneAnswers, ...]
    sent: Sent


class ItemSection(NamedTuple):
    """One prompt, of one message or several. marks: the classes by which the filters find it."""

    number: int
    title: str
    marks: str
    tags: tuple[str, ...]
    steps: tuple[Step, ...]
    votes: tuple[str, ...]
    verdicts: tuple[str, ...]


class Sections:
    """Makes the sections of one report. requests: those that are shown so far."""

    def __init__(self, compared: Comparison, words: Words) -> None:
        self._compared = compared
        self._words = words
        self._labels: dict[str, str] = {lane.id: lane.label for lane in compared.lanes}
        self._what = "message" if compared.session and compared.mode is not None else "prompt"
        self._votes = current_votes(compared)
        self._verdicts: dict[str, list[int]] = {}  # their places: with their reasons they may be on the disk
        for place, verdict in enumerate(compared.verdicts):
            self._verdicts.setdefault(verdict.item, []).append(place)
        self.requests = Requests(self._labels, words)

    def section(self, number: int, item: str, results: Sequence[Result], marks: str) -> ItemSection:
        """Return the section of a prompt. number: its place, from 1. marks: its classes for the filters."""
        words, labels, compared = self._words, self._labels, self._compared
        named = "" if compared.session or item == str(number) else f" · {item}"
        cast = self._votes.get(item, [])
        best = {vote.best for vote in cast}
        return ItemSection(
            number,
            words(f"report.{self._what}-number", number=number) + named,
            marks,
            tuple(results[0].tags),
            tuple(
                Step(
                    tuple(_asked(part, words) for part in group[0].turn.user.parts),
                    tuple(_lane_answers(group, labels, best, words)),
                    self.requests.sent(f"r{number}-{step + 1}", group),
                )
                for step, group in steps_of(compared, results)
            ),
            tuple(vote_sentence(vote, labels, words) for vote in cast),
            tuple(
                verdict_sentence(compared.verdicts[place], labels, words)
                for place in self._verdicts.get(item, ())
            ),
        )


def shown_size(octets: int, words: Words) -> str:
    """Return a size as people read it."""
    return words.number(f"{octets / 1e6:.1f} MB" if octets >= 1e6 else f"{octets / 1e3:.0f} kB")


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
    size = "" if part.data is None else f", {shown_size(len(part.data), words)}"
    return ShownText("file", f"{part.media_type}{size}", name)
