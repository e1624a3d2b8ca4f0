"""Checks what a backend yields, and makes it whole, before anybody else sees it.

A kind of backend may be anybody's plugin. What it does against docs/adding-a-backend.md is told as its own
mistake, with what belongs there, and never looks like an answer or like a fault of chatlab.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator
from dataclasses import replace
from types import AsyncGeneratorType
from typing import Any, cast, get_args

from chatlab.errors import BackendMistake
from chatlab.known_secrets import WithoutSecrets, known_secrets
from chatlab.messages import (
    Citation,
    Finish,
    FinishReason,
    Notice,
    NoticeKind,
    ReasoningDelta,
    StreamEvent,
    TextDelta,
    ToolCall,
    ToolResult,
    Trace,
    Usage,
)
from chatlab.text import Pieces
from chatlab.words import ENGLISH

CUMULATIVE = ENGLISH("notice.cumulative")

_EVENTS = (TextDelta, ReasoningDelta, ToolCall, ToolResult, Citation, Trace, Notice, Finish)
_REASONS = get_args(FinishReason)
_NOTICES = get_args(NoticeKind)
_TEXTS: dict[type, tuple[str, ...]] = {
    ToolCall: ("id", "name", "arguments"),
    ToolResult: ("id", "content"),
    Citation: ("title",),
    Trace: ("id",),
    Notice: ("detail",),
}
_SHOWN: dict[type, tuple[str, ...]] = {
    ToolCall: ("name", "arguments"),
    ToolResult: ("name", "content"),
    Citation: ("title", "url", "snippet"),
    Trace: ("url",),
    Notice: ("detail",),
}
_GROWN = 2  # deltas in a row, each longer than all before and beginning with it, that are no chance


class Incoming:
    """The events of one attempt, in the order in which they come."""

    def __init__(self, kind: str) -> None:
        """kind: the kind of backend, which its mistakes are told as."""
        self._kind = kind
        self._cleaned: dict[type[TextDelta] | type[ReasoningDelta], tuple[Pieces, WithoutSecrets]] = {}
        self._open: type[TextDelta] | type[ReasoningDelta] | None = None
        self._ended = False
        self._before: str | None = ""  # the last piece, as long as the pieces may be cumulative
        self._grown = 0

    def opened(self, stream: Any) -> AsyncGenerator[Any, None]:
        """Return what a backend's `stream` gave. Raises BackendMistake if it is no asynchronous generator."""
        if type(stream) is AsyncGeneratorType:  # nearly all are
            return stream
        if inspect.iscoroutine(stream):
            stream.close()
            raise self._mistake("has a stream() without a yield: it is an asynchronous generator")
        if not hasattr(stream, "__aiter__") or not hasattr(stream, "aclose"):
            raise self._mistake(
                f"gave {_named(stream)} as its stream: stream() is an asynchronous generator, "
                "an async def with yield"
            )
        return cast(AsyncGenerator[Any, None], stream)

    def take(self, event: Any) -> list[StreamEvent]:
        """Return what this event is, halves of characters joined. Raises BackendMistake for what is none."""
        if self._ended:
            raise self._mistake("went on after its end: Finish is the last event")
        if type(event) is TextDelta or type(event) is ReasoningDelta:
            return self._delta(event)
        self._check(event)
        before = [] if isinstance(event, Notice) else self.end()
        self._ended = isinstance(event, Finish)
        return [*before, _without_secrets(event)]

    def end(self) -> list[StreamEvent]:
        """Return U+FFFD for half a character that no other half followed, or what was no secret after all."""
        kind, self._open = self._open, None
        if kind is None:
            return []
        pieces, secrets = self._cleaned[kind]
        rest = secrets.add(pieces.end()) + secrets.end()
        return [kind(rest)] if rest else []

    def _delta(self, event: TextDelta | ReasoningDelta) -> list[StreamEvent]:
        kind, piece = type(event), event.text
        if type(piece) is not str:
            if not isinstance(event.text, str):
                raise self._mistake(
                    f"yielded a {kind.__name__} of {_named(event.text)}: its text is a str, never cumulative"
                )
            piece = str.__str__(piece)  # of LangChain's own class of texts, say
            event = kind(piece)
        made: list[StreamEvent] = []
        if self._open is not kind:
            made = self.end()
            self._open = kind
            if kind not in self._cleaned:
                self._cleaned[kind] = Pieces(), WithoutSecrets()
        pieces, secrets = self._cleaned[kind]
        text = secrets.add(pieces.add(piece))
        if text is piece:
            made.append(event)
        elif text:
            made.append(kind(text))
        if self._before is not None and kind is TextDelta and self._cumulative(piece):
            made.append(Notice("other", CUMULATIVE))
        return made

    def _cumulative(self, piece: str) -> bool:
        """Return whether it has just become clear that the pieces are cumulative."""
        before = self._before
        assert before is not None
        if not piece.startswith(before):
            self._before = None
            return False
        if before and len(piece) > len(before):
            self._grown += 1
        self._before = piece
        if self._grown < _GROWN:
            return False
        self._before = None
        return True

    def _check(self, event: Any) -> None:
        if not isinstance(event, _EVENTS):
            self._refuse(event)
        for name in _TEXTS.get(type(event), ()):
            if not isinstance(getattr(event, name), str):
                wrong = f"a {type(event).__name__} whose {name} is {_named(getattr(event, name))}"
                raise self._mistake(f"yielded {wrong}: it is a str")
        if isinstance(event, Notice) and event.kind not in _NOTICES:
            kinds = ", ".join(_NOTICES)
            raise self._mistake(f"yielded a Notice of the kind {_short(event.kind)}: the kinds are {kinds}")
        if isinstance(event, Finish):
            self._check_finish(event)

    def _refuse(self, event: Any) -> None:
        if isinstance(event, str):
            raise self._mistake("yielded a str: text is yielded as TextDelta(text)")
        if event is None:
            raise self._mistake("yielded None: a stream has events only, the last one a Finish")
        if isinstance(event, type) and issubclass(event, _EVENTS):
            raise self._mistake(f"yielded the class {event.__name__}: an instance of it belongs there")
        names = ", ".join(cls.__name__ for cls in _EVENTS)
        raise self._mistake(f"yielded {_named(event)}: the events are {names} of chatlab.messages")

    def _check_finish(self, event: Finish) -> None:
        if not isinstance(event.reason, str) or event.reason not in _REASONS:
            reasons = ", ".join(_REASONS)
            raise self._mistake(f"finished with the reason {_short(event.reason)}: the reasons are {reasons}")
        if not isinstance(event.usage, Usage):
            raise self._mistake(
                f"finished with {_named(event.usage)} as usage: it is a Usage of chatlab.messages"
            )
        for name in ("input", "output", "cached", "reasoning", "cache_written"):
            count = getattr(event.usage, name)
            if count is not None and (type(count) is not int or count < 0):
                raise self._mistake(
                    f"finished with {_short(count)} as usage.{name}: it is a number of tokens, or None "
                    "where it is not known"
                )
        if type(event.runs) is not int or event.runs < 1:
            raise self._mistake(f"finished with {_short(event.runs)} as runs: it is a number from 1")
        if event.model is not None and not isinstance(event.model, str):
            raise self._mistake(f"finished with {_named(event.model)} as model: it is a name, or None")

    def _mistake(self, what: str) -> BackendMistake:
        return BackendMistake(f"the backend of kind {self._kind} {what}")


def _without_secrets(event: StreamEvent) -> StreamEvent:
    """Return the event, in whose texts no secret of this process stands: an upstream may repeat what it was
    sent.
    """
    if isinstance(event, Finish):
        return event
    texts = {name: getattr(event, name) for name in _SHOWN.get(type(event), ())}
    changed = {
        name: taken
        for name, text in texts.items()
        if isinstance(text, str) and (taken := known_secrets.taken_out_of(text)) != text
    }
    return replace(cast(Any, event), **changed) if changed else event


def _named(value: object) -> str:
    return "None" if value is None else f"an object of type {type(value).__name__}"


def _short(value: object) -> str:
    text = repr(value) if isinstance(value, str | int | float | bool | None) else f"a {type(value).__name__}"
    return text if len(text) <= 40 else f"{text[:39]}…"
