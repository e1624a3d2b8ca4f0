"""The values every front end and backend speaks: messages made of parts, and the events of a stream.

Nothing here has an identity: ids belong to whoever stores a message. Everything is immutable, so a value
that was handed to one lane of a comparison cannot be changed by another.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias, assert_never

from chatlab.text import well_formed

Role: TypeAlias = Literal["system", "user", "assistant", "tool"]
FinishReason: TypeAlias = Literal["stop", "length", "tool_calls", "content_filter"]

NoticeKind: TypeAlias = Literal[
    "file_dropped",  # a backend cannot take this file
    "file_as_text",  # a backend takes no such file, so its text went into the message
    "parameter_ignored",  # a backend does not know this parameter
    "system_folded",  # the system prompt went into the first user message
    "history_truncated",  # older messages were left out of what was sent
    "thoughts_dropped",  # reasoning and tool displays of earlier turns are not part of the prompt
    "retried",  # a first attempt failed before any output and was repeated
    "waking",  # the endpoint is starting, the first token will take longer
    "not_streamed",  # the endpoint answered whole, so timings between tokens mean nothing
    "sample",  # this is a recording shipped as a sample, not a live model
    "other",
]


def _well_form(value: Any, *names: str) -> None:
    """Have these fields of a frozen value hold well-formed text; `chatlab.text` says what that is."""
    for name in names:
        text = getattr(value, name)
        if isinstance(text, str) and (formed := well_formed(text)) is not text:
            object.__setattr__(value, name, formed)


@dataclass(frozen=True, slots=True)
class TextPart:
    """Text exactly as written, as far as it is text: white space is never changed."""

    text: str

    def __post_init__(self) -> None:
        _well_form(self, "text")


@dataclass(frozen=True, slots=True)
class ReasoningPart:
    """A model's reasoning before its answer. Not part of the prompt of later turns."""

    text: str

    def __post_init__(self) -> None:
        _well_form(self, "text")


@dataclass(frozen=True, slots=True)
class FilePart:
    """An attachment, by exactly one of: a local path, bytes in memory, or an http(s) URL."""

    media_type: str
    name: str | None = None
    path: Path | None = None
    data: bytes | None = field(default=None, repr=False)
    url: str | None = None

    def __post_init__(self) -> None:
        if sum(source is not None for source in (self.path, self.data, self.url)) != 1:
            raise ValueError("a FilePart has exactly one of path, data and url")
        _well_form(self, "media_type", "name", "url")

    def read(self) -> bytes:
        """Return the content. Raises ValueError for a URL: the upstream fetches it, never chatlab."""
        if self.data is not None:
            return self.data
        if self.path is not None:
            return self.path.read_bytes()
        raise ValueError(f"{self.url} is not a local file")

    def data_url(self) -> str:
        """Return the content as a `data:` URL (RFC 2397); a part that is a URL already, as it is."""
        if self.url is not None:
            return self.url
        return f"data:{self.media_type};base64,{base64.b64encode(self.read()).decode('ascii')}"


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A model asked for a tool. `arguments` is the JSON text exactly as the model wrote it.

    Part of a message, and event of a stream once its last argument byte has arrived.
    """

    id: str
    name: str
    arguments: str

    def __post_init__(self) -> None:
        _well_form(self, "id", "name", "arguments")


@dataclass(frozen=True, slots=True)
class ToolResult:
    """The result of a tool for the call of this id.

    Part of a message, and event of a stream where the backend itself (an agent, a graph) ran the tool.
    """

    id: str
    content: str
    name: str | None = None
    is_error: bool = False

    def __post_init__(self) -> None:
        _well_form(self, "id", "content", "name")


Part: TypeAlias = TextPart | ReasoningPart | FilePart | ToolCall | ToolResult


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation."""

    role: Role
    parts: tuple[Part, ...]

    @classmethod
    def of(cls, role: Role, text: str) -> Message:
        """Return a message of one text part."""
        return cls(role, (TextPart(text),))

    @property
    def text(self) -> str:
        """Return the text parts, joined without anything between them."""
        return "".join(part.text for part in self.parts if isinstance(part, TextPart))


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the upstream counted them. None means unknown, never zero.

    `input` is all of the prompt: `cached` is the part of it that was read from a prompt cache, and
    `cache_written` the part that was written to one. `reasoning` is the part of `output` that was thought and
    not shown.
    """

    input: int | None = None
    output: int | None = None
    cached: int | None = None
    reasoning: int | None = None
    cache_written: int | None = None


@dataclass(frozen=True, slots=True)
class TextDelta:
    """More visible text. Never cumulative. It may end with half a character: a turn joins the halves."""

    text: str


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """More of the model's reasoning. Never cumulative."""

    text: str


@dataclass(frozen=True, slots=True)
class Citation:
    """A source the backend named for its answer."""

    title: str
    url: str | None = None
    snippet: str | None = None

    def __post_init__(self) -> None:
        _well_form(self, "title", "url", "snippet")


@dataclass(frozen=True, slots=True)
class Trace:
    """The upstream's own trace of this answer."""

    id: str
    url: str | None = None

    def __post_init__(self) -> None:
        _well_form(self, "id", "url")


@dataclass(frozen=True, slots=True)
class Notice:
    """Something the person should see next to the answer: what was dropped, changed or waited for."""

    kind: NoticeKind
    detail: str

    def __post_init__(self) -> None:
        _well_form(self, "detail")


@dataclass(frozen=True, slots=True)
class Finish:
    """The last event of every stream that ended well.

    `model` is the model the upstream says answered. `runs` is how many calls of models `usage` counts: an
    agent makes several, of which only the last one's text may be the answer.
    """

    reason: FinishReason
    usage: Usage = Usage()
    model: str | None = None
    runs: int = 1

    def __post_init__(self) -> None:
        _well_form(self, "model")


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds from the start of a turn, on a monotonic clock, as docs/timing.md defines them.

    None means unknown or not reached. All are taken in `chatlab.turns.turn`, alike for every backend.
    """

    credentials: float | None = None
    connected: float | None = None
    first_event: float | None = None
    first_token: float | None = None
    reasoning: float | None = None  # from the first to the last reasoning delta
    total: float | None = None
    longest_stall: float | None = None  # longest wait between two events after the first token
    tokens_per_second: float | None = None  # output tokens after the first, over the time they took
    overhead: float | None = None  # chatlab's own part of `total`
    attempts: int = 1
    setup: float | None = None  # before zero: what is done once, such as the import of an SDK


StreamEvent: TypeAlias = (
    TextDelta | ReasoningDelta | ToolCall | ToolResult | Citation | Trace | Notice | Finish
)


class Accumulator:
    """Folds a stream's events into an answer. Adding a delta costs the same however long the answer is."""

    __slots__ = ("_all", "_open", "_open_type", "_parts", "citations", "finish", "notices", "traces")

    def __init__(self) -> None:
        self._parts: list[Part] = []
        self._open: list[str] = []
        self._open_type: type[TextPart] | type[ReasoningPart] = TextPart
        self._all: tuple[Part, ...] | None = ()
        self.citations: list[Citation] = []
        self.traces: list[Trace] = []
        self.notices: list[Notice] = []
        self.finish: Finish | None = None

    def add(self, event: StreamEvent) -> None:
        """Take the next event, in order."""
        self._all = None
        if isinstance(event, TextDelta):
            self._extend(TextPart, event.text)
        elif isinstance(event, ReasoningDelta):
            self._extend(ReasoningPart, event.text)
        elif isinstance(event, ToolCall | ToolResult):
            self._close()
            self._parts.append(event)
        elif isinstance(event, Citation):
            self.citations.append(event)
        elif isinstance(event, Trace):
            self.traces.append(event)
        elif isinstance(event, Notice):
            self.notices.append(event)
        elif isinstance(event, Finish):
            self.finish = event
        else:
            assert_never(event)

    def _extend(self, kind: type[TextPart] | type[ReasoningPart], text: str) -> None:
        if not text:
            return
        if self._open_type is not kind:
            self._close()
            self._open_type = kind
        self._open.append(text)

    def _close(self) -> None:
        if self._open:
            self._parts.append(self._open_type("".join(self._open)))
            self._open = []

    @property
    def parts(self) -> tuple[Part, ...]:
        """Return everything so far, adjacent deltas of one kind joined."""
        if self._all is None:  # not made since the last event: at the end it is looked at several times
            if len(self._open) > 1:  # keep what was joined, so that repeated looks do not join it again
                self._open = ["".join(self._open)]
            tail: tuple[Part, ...] = (self._open_type(self._open[0]),) if self._open else ()
            self._all = (*self._parts, *tail)
        return self._all

    @property
    def message(self) -> Message:
        """Return the assistant message so far."""
        return Message("assistant", self.parts)
