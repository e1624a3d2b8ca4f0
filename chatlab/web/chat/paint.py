"""Paints a turn as Gradio chat messages: text, thoughts, tool calls, notices, errors, and figures.

A turn from the store is painted by the same code as one that runs, so the two cannot differ.
"""

from __future__ import annotations

import html
from collections.abc import Mapping
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
from chatlab.store import StoredTurn
from chatlab.turns.turn import Turn
from chatlab.web.chat.paint_messages import (
    TURN,
    Painted,
    alarm,
    attachment,
    in_store,
    one_line,
    painted_text,
    settled,
)

# Shown only with the details: they say how chatting works, not that something went wrong.
_QUIET = frozenset({"thoughts_dropped"})


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
        """Return a stored turn that runs does so for another page, or for one that was just closed."""
        if isinstance(turn, StoredTurn):
            return cls(turn.status, False, turn.timing, turn.tool_seconds, turn.finish, turn.cost)
        running = turn.outcome == "running"
        return cls(turn.outcome, running, turn.timing, turn.tool_seconds, turn.answer.finish, turn.cost)


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

    def __init__(self, turn_id: TurnId, label: str, mark: str = "", *, asked_as: str | None = None) -> None:
        """label: who answers. asked_as: as whom it is asked, if somebody is signed in."""
        self.mark = mark
        """What page scripts are told of the turn."""
        self._turn_id = turn_id
        self._asked_as = asked_as
        self._label = label if asked_as in (None, SERVICE) else f"{label} as {asked_as}"
        self._blocks: list[_Run | ToolCall | ToolResult] = []
        self._notices: list[Notice] = []
        self._citations: list[Citation] = []
        self._traces: list[Trace] = []

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
        standing = TurnStatus.of(turn)
        running = standing.running
        results = {block.id: block for block in self._blocks if isinstance(block, ToolResult)}
        painted = [
            self._thought(f"n{n}", f"Note: {one_line(notice.detail)}")
            for n, notice in enumerate(self._notices)
            if notice.kind not in _QUIET
        ]
        for n, block in enumerate(self._blocks):
            if isinstance(block, ToolCall):
                pending = running and block.id not in results
                failed = block.id in results and results[block.id].is_error
                title = f"Tool: {one_line(block.name)}"
                painted.append(
                    self._thought(
                        f"t{block.id}",
                        alarm(f"Tool: {block.name} (failed)") if failed else title,
                        fenced(block.arguments, "json"),
                        duration=standing.tool_seconds.get(block.id),
                        pending=pending,
                    )
                )
            elif isinstance(block, ToolResult):
                title = f"{'Error' if block.is_error else 'Result'} of {one_line(block.name or 'the tool')}"
                painted.append(self._thought(f"r{n}", title, fenced(block.content), below=f"t{block.id}"))
            elif block.kind == "text":
                painted.append(painted_text("assistant", block.text()))
            else:
                thinking = running and block is self._blocks[-1]
                painted.append(
                    self._thought(
                        f"k{n}",
                        "Thinking" if thinking else "Thought",
                        block.text(),
                        duration=None if thinking else standing.timing.reasoning,
                        pending=thinking,
                    )
                )
        if self._citations:
            painted.append(self._thought("c", f"Sources ({len(self._citations)})", _sources(self._citations)))
        if error is not None:
            painted.append(self._thought("e", alarm(error)))
        if unsaved is not None:
            painted.append(self._thought("u", alarm(unsaved)))
        painted.append(self._footer(standing))
        return painted

    def settled(self, turn: Turn | StoredTurn, error: str | None, unsaved: str | None = None) -> list[Any]:
        """Return the answer as it ended, to be shown again and again."""
        return [settled(message) for message in self.messages(turn, error, unsaved)]

    def _footer(self, standing: TurnStatus) -> Painted:
        if standing.running:
            return self._thought("", self._marked(one_line(self._label), "chatlab-pending"), pending=True)
        usage = standing.finish.usage if standing.finish else None
        outcome = () if standing.outcome == "finished" else (standing.outcome,)
        said = figures_line(one_line(self._label), standing.timing, usage, standing.cost, *outcome)
        return self._thought(
            "", self._marked(said), _details(standing, self._asked_as, self._notices, self._traces)
        )

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
            "title": title,
            "id": f"{TURN}{self._turn_id}:{key}",
            "status": "pending" if pending else "done",
        }
        if below is not None:
            metadata["parent_id"] = f"{TURN}{self._turn_id}:{below}"
        if duration is not None:
            metadata["duration"] = round(duration, 2)
        return {**painted_text("assistant", content), "metadata": metadata}


def paint_stored(turn: StoredTurn, mark: str = "") -> list[Painted]:
    """Return an answer from the store, as the page showed it when it ended."""
    painter = AnswerPainter(turn.id, turn.label, mark, asked_as=turn.asked_as)
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


def _details(standing: TurnStatus, asked_as: str | None, notices: list[Notice], traces: list[Trace]) -> str:
    """Return a table of all that is known of a turn."""
    timing, finish = standing.timing, standing.finish
    usage = Usage() if finish is None else finish.usage
    known: list[tuple[str, str]] = [
        ("model", (finish and finish.model) or UNKNOWN),
        ("asked as", asked_as or UNKNOWN),
        ("finish reason", finish.reason if finish else UNKNOWN),
        ("input tokens", count(usage.input)),
        ("cached input tokens", count(usage.cached)),
        ("output tokens", count(usage.output)),
        ("reasoning tokens", count(usage.reasoning)),
        ("cost", money(standing.cost)),
        ("credentials", seconds(timing.credentials)),
        ("connected", seconds(timing.connected)),
        ("first event", seconds(timing.first_event)),
        ("first token", seconds(timing.first_token)),
        ("total", seconds(timing.total)),
        ("speed", speed(timing.tokens_per_second)),
        ("longest stall", seconds(timing.longest_stall)),
        ("chatlab's own part", seconds(timing.overhead)),
        ("before, once", seconds(timing.setup)),
    ]
    rows = [(name, value) for name, value in known if value != UNKNOWN]
    if timing.attempts > 1:
        rows.append(("attempts", str(timing.attempts)))
    rows += [("trace", f"{trace.id} {trace.url or ''}".strip()) for trace in traces]
    rows += [("note", notice.detail) for notice in notices if notice.kind in _QUIET]
    lines = [
        "| Figure | Value |",
        "| --- | --- |",
        *(f"| {name} | {one_line(value)} |" for name, value in rows),
    ]
    return "\n".join(lines)


def _sources(citations: list[Citation]) -> str:
    lines = []
    for citation in citations:
        where = f" — {one_line(citation.url)}" if citation.url else ""
        lines.append(f"- {one_line(citation.title)}{where}")
        if citation.snippet:
            lines.append(f"  > {one_line(citation.snippet)}")
    return "\n".join(lines)
