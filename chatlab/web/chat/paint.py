"""Paints a turn as Gradio chat messages: text, thoughts, tool calls, notices, errors, and figures.

A turn from the store is painted by the same code as one that runs, so the two cannot differ.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, assert_never

from chatlab.config.registry import SERVICE
from chatlab.formats import fenced
from chatlab.ids import TurnId
from chatlab.messages import (
    Citation,
    FilePart,
    Finish,
    Notice,
    Part,
    ReasoningDelta,
    ReasoningPart,
    StreamEvent,
    TextDelta,
    TextPart,
    Timing,
    ToolCall,
    ToolResult,
    Trace,
    Usage,
)
from chatlab.render.figures import UNKNOWN, count, figures_line, money, seconds, speed
from chatlab.render.markdown import PlainTable, one_line
from chatlab.render.notes import QUIET, notes
from chatlab.render.sources import sources
from chatlab.store import StoredTurn
from chatlab.turns.turn import Turn
from chatlab.web.chat.paint_messages import (
    TURN,
    Painted,
    alarm,
    attachment,
    bare,
    in_store,
    painted_text,
    settled,
)
from chatlab.words import ENGLISH, Words


@dataclass(frozen=True, slots=True)
class TurnStatus:
    """The state of a turn, beside its events: one that runs here, or one from the store."""

    outcome: str
    running: bool
    timing: Timing
    tool_seconds: Mapping[str, float]
    finish: Finish | None
    cost: float | None

    @classmethod
    def of(cls, turn: Turn | StoredTurn) -> TurnStatus:
        """Return the state of either. A stored turn that runs does so on another server."""
        if isinstance(turn, StoredTurn):
            outcome, finish = turn.status, turn.finish
        else:
            outcome, finish = turn.outcome, turn.answer.finish
        return cls(outcome, outcome == "running", turn.timing, turn.tool_seconds, finish, turn.cost)


@dataclass(slots=True)
class _Run:
    """Adjacent deltas of one kind."""

    kind: Literal["text", "reasoning"]
    pieces: list[str] = field(default_factory=list)

    def text(self) -> str:
        if len(self.pieces) > 1:
            self.pieces = ["".join(self.pieces)]
        return self.pieces[0] if self.pieces else ""


class AnswerPainter:
    """Takes the events of one turn and says how the answer looks at any moment."""

    def __init__(
        self,
        turn_id: TurnId,
        label: str,
        mark: str = "",
        *,
        asked_as: str | None = None,
        words: Words = ENGLISH,
    ) -> None:
        """label: who answers. asked_as: as whom it is asked, if somebody is signed in."""
        self.mark = mark
        """What page scripts are told of the turn."""
        self._words = words
        self._turn_id = turn_id
        self._asked_as = asked_as
        self._label = label
        if asked_as not in (None, SERVICE):
            self._label = words("chat.as-person", label=label, person=asked_as)
        self._blocks: list[_Run | ToolCall | ToolResult] = []
        self._notices: list[Notice] = []
        self._citations: list[Citation] = []
        self._traces: list[Trace] = []
        self._ended: tuple[object, tuple[str, str]] = None, ("", "")
        """How the turn ended when that was last worded, and the line of figures with its table."""

    def add(self, event: StreamEvent) -> None:
        """Takes the next event."""
        if isinstance(event, TextDelta):
            self._extend("text", event.text)
        elif isinstance(event, ReasoningDelta):
            self._extend("reasoning", event.text)
        elif isinstance(event, ToolCall | ToolResult):
            self._blocks.append(event)
        elif isinstance(event, Notice):
            self._notices.append(event)
        elif isinstance(event, Citation):
            self._citations.append(event)
        elif isinstance(event, Trace):
            self._traces.append(event)
        elif isinstance(event, Finish):
            pass  # its figures come with the turn
        else:
            assert_never(event)

    def _extend(self, kind: Literal["text", "reasoning"], text: str) -> None:
        last = self._blocks[-1] if self._blocks else None
        if not isinstance(last, _Run) or last.kind != kind:
            last = _Run(kind)
            self._blocks.append(last)
        last.pieces.append(text)

    def messages(
        self, turn: Turn | StoredTurn, error: str | None = None, unsaved: str | None = None
    ) -> list[Painted]:
        """Return the answer as it is now.

        error, unsaved: the sentences for a turn that failed, or is not saved.
        """
        words, standing = self._words, TurnStatus.of(turn)
        running = standing.running
        results = {block.id: block for block in self._blocks if isinstance(block, ToolResult)}
        painted = [
            self._thought(
                f"n{n}",
                words("answer.note", detail=one_line(note.line)),
                "\n\n".join(one_line(more) for more in note.more),
            )
            for n, note in enumerate(notes(self._notices, words))
        ]
        for n, block in enumerate(self._blocks):
            if isinstance(block, ToolCall):
                pending = running and block.id not in results
                failed = block.id in results and results[block.id].is_error
                title = words("answer.tool", name=one_line(block.name))
                painted.append(
                    self._thought(
                        f"t{block.id}",
                        alarm(words("answer.tool-failed", name=block.name)) if failed else title,
                        fenced(block.arguments, "json"),
                        duration=standing.tool_seconds.get(block.id),
                        pending=pending,
                    )
                )
            elif isinstance(block, ToolResult):
                name = one_line(block.name or words("answer.the-tool"))
                title = words("answer.error" if block.is_error else "answer.result", name=name)
                painted.append(self._thought(f"r{n}", title, fenced(block.content), below=f"t{block.id}"))
            elif block.kind == "text":
                painted.append(painted_text("assistant", block.text()))
            else:
                thinking = running and block is self._blocks[-1]
                painted.append(
                    self._thought(
                        f"k{n}",
                        words("answer.thinking" if thinking else "answer.thought"),
                        block.text(),
                        duration=None if thinking else standing.timing.reasoning,
                        pending=thinking,
                    )
                )
        if self._citations:
            painted.append(
                self._thought(
                    "c", words("answer.sources", count=len(self._citations)), sources(self._citations)
                )
            )
        if error is not None:
            painted.append(self._thought("e", alarm(words.translated(error))))
        if unsaved is not None:
            painted.append(self._thought("u", alarm(words.translated(unsaved))))
        painted.append(self._footer(standing))
        return painted

    def settled(self, turn: Turn | StoredTurn, error: str | None, unsaved: str | None = None) -> list[Any]:
        """Return the answer as it ended, to be shown again and again."""
        return [settled(message) for message in self.messages(turn, error, unsaved)]

    def _footer(self, standing: TurnStatus) -> Painted:
        if standing.running:
            return self._thought("", self._marked(one_line(self._label), "chatlab-pending"), pending=True)
        known = standing, len(self._notices), len(self._traces)
        if self._ended[0] != known:
            self._ended = known, self._figures(standing)
        said, details = self._ended[1]
        return self._thought("", self._marked(said), details)

    def _figures(self, standing: TurnStatus) -> tuple[str, str]:
        """Return the line of figures of a turn that has ended, and the table below it."""
        usage = standing.finish.usage if standing.finish else None
        words, outcome = self._words, standing.outcome
        ended = () if outcome == "finished" else (words(f"answer.{outcome}"),)
        label = one_line(self._label)
        said = figures_line(label, standing.timing, usage, standing.cost, *ended, words=words)
        return said, _details(standing, self._asked_as, self._notices, self._traces, words)

    def _marked(self, line: str, state: str = "") -> str:
        """Return a line with what page scripts read beside it.

        All of that is our own: nothing that a model or a person wrote is in it, and in their text it does not
        count.
        """
        classes = html.escape(f"{self.mark} {state}".strip())
        return f'{line} <span class="{classes}"></span>' if self.mark else line

    def _thought(
        self,
        key: str,
        title: str,
        content: str = "",
        *,
        below: str | None = None,
        duration: float | None = None,
        pending: bool = False,
    ) -> Painted:
        metadata: dict[str, Any] = {
            "title": title if content or pending else bare(title),
            "id": f"{TURN}{self._turn_id}:{key}",
            "status": "pending" if pending else "done",
        }
        if below is not None:
            metadata["parent_id"] = f"{TURN}{self._turn_id}:{below}"
        if duration is not None:
            metadata["duration"] = round(duration, 2)
        return {**painted_text("assistant", content), "metadata": metadata}


def paint_stored(turn: StoredTurn, mark: str = "", words: Words = ENGLISH) -> list[Painted]:
    """Return an answer from the store, as the page showed it when it ended."""
    painter = AnswerPainter(turn.id, turn.label, mark, asked_as=turn.asked_as, words=words)
    events = [event for part in turn.answer if (event := _event(part)) is not None]
    for event in (*turn.notices, *events, *turn.citations, *turn.traces):
        painter.add(event)
    return painter.messages(turn, turn.error)


def _event(part: Part) -> StreamEvent | None:
    if isinstance(part, TextPart):
        return TextDelta(part.text)
    if isinstance(part, ReasoningPart):
        return ReasoningDelta(part.text)
    if isinstance(part, ToolCall | ToolResult):
        return part
    if isinstance(part, FilePart):  # only in conversations from elsewhere
        return TextDelta(f"\n\n{attachment(part)}\n\n") if in_store(part) else None
    assert_never(part)


def _details(
    standing: TurnStatus,
    asked_as: str | None,
    notices: Sequence[Notice],
    traces: Sequence[Trace],
    words: Words,
) -> str:
    """Return a table of all that is known of a turn."""
    timing, finish = standing.timing, standing.finish
    usage = Usage() if finish is None else finish.usage
    known: list[tuple[str, str]] = [
        ("model", (finish and finish.model) or UNKNOWN),
        ("asked-as", asked_as or UNKNOWN),
        ("finish-reason", words.translated(finish.reason) if finish else UNKNOWN),
        ("input-tokens", count(usage.input, words)),
        ("cached-input-tokens", count(usage.cached, words)),
        ("output-tokens", count(usage.output, words)),
        ("reasoning-tokens", count(usage.reasoning, words)),
        ("cost", money(standing.cost, words)),
        ("credentials", seconds(timing.credentials, words)),
        ("connected", seconds(timing.connected, words)),
        ("first-event", seconds(timing.first_event, words)),
        ("first-token", seconds(timing.first_token, words)),
        ("total", seconds(timing.total, words)),
        ("speed", speed(timing.tokens_per_second, words)),
        ("longest-stall", seconds(timing.longest_stall, words)),
        ("own-part", seconds(timing.overhead, words)),
        ("before-once", seconds(timing.setup, words)),
    ]
    rows = [(name, value) for name, value in known if value != UNKNOWN]
    if timing.attempts > 1:
        rows.append(("attempts", str(timing.attempts)))
    rows += [("trace", f"{trace.id} {trace.url or ''}".strip()) for trace in traces]
    rows += [("note", words.translated(notice.detail)) for notice in notices if notice.kind in QUIET]
    head = words("answer.figure"), words("answer.value")
    return PlainTable([head, *((words(f"detail.{name}"), value) for name, value in rows)])
