"""echo: answers with what was asked, for demos and tests. No model, no network, no key.

Its token is a whitespace-separated word together with the white space around it, so its usage is exact:
nothing is estimated. Everything else an upstream can do, stalling and failing included, it does by options.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import math
import re
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from pydantic import Field

from backends._pace import Pace
from chatlab.backend import (
    Backend,
    CallContext,
    Capabilities,
    ChatRequest,
    Options,
    Parameter,
    Probe,
    Target,
)
from chatlab.errors import (
    AuthenticationFailed,
    BackendError,
    BackendMistake,
    BrokenStream,
    ContentFiltered,
    ContextTooLong,
    InvalidRequest,
    ModelNotFound,
    PermissionDenied,
    RateLimited,
    SignInRejected,
    Unavailable,
)
from chatlab.messages import (
    Citation,
    FilePart,
    Finish,
    FinishReason,
    Message,
    Notice,
    ReasoningDelta,
    StreamEvent,
    TextDelta,
    ToolCall,
    ToolResult,
    Usage,
)
from chatlab.words import ENGLISH

ErrorName: TypeAlias = Literal[
    "authentication_failed",
    "sign_in_rejected",
    "permission_denied",
    "rate_limited",
    "invalid_request",
    "context_too_long",
    "model_not_found",
    "content_filtered",
    "unavailable",
    "broken_stream",
    "backend_mistake",
]

_ERRORS: Mapping[ErrorName, tuple[type[BackendError], int | None]] = {
    "authentication_failed": (AuthenticationFailed, 401),
    "sign_in_rejected": (SignInRejected, 401),
    "permission_denied": (PermissionDenied, 403),
    "rate_limited": (RateLimited, 429),
    "invalid_request": (InvalidRequest, 400),
    "context_too_long": (ContextTooLong, 400),
    "model_not_found": (ModelNotFound, 404),
    "content_filtered": (ContentFiltered, 400),
    "unavailable": (Unavailable, 503),
    "broken_stream": (BrokenStream, None),
    "backend_mistake": (BackendMistake, None),
}

# A word with the white space before it; the last one takes the white space at the end as well.
_TOKEN = re.compile(r"\s*\S+(?:\s+\Z)?|\s+\Z")

_PARAMETERS = (
    Parameter("max_tokens", "int", ENGLISH("parameter.max_words"), minimum=1),
    Parameter("rate", "float", ENGLISH("parameter.rate"), minimum=0, maximum=1000),
)


class EchoFailure(Options):
    """A failure to show or to test with."""

    error: ErrorName = Field("unavailable", description="Which error.")
    after: int = Field(0, ge=0, description="Tokens that come before it; 0 fails at the start.")
    status: int | None = Field(
        None, description="HTTP status it carries; the error's usual one if not given."
    )
    retry_after: float | None = Field(None, ge=0, description="Seconds the upstream asks to wait.")
    detail: str = Field("echo was told to fail", description="What the person reads.")
    times: int | None = Field(
        None, ge=1, description="Only the first so many calls fail; all of them if not given."
    )

    def exception(self) -> BackendError:
        """Return a new exception of this kind, retryable where a real upstream's same reply would be."""
        cls, usual = _ERRORS[self.error]
        status = usual if self.status is None else self.status
        retryable = cls is RateLimited or (cls is Unavailable and status in (502, 503))
        return cls(self.detail, status=status, retry_after=self.retry_after, retryable=retryable)


class EchoStall(Options):
    """A silence in the middle of an answer."""

    seconds: float = Field(gt=0, description="How long it lasts.")
    after: int = Field(0, ge=0, description="Tokens that come before it.")


class EchoTool(Options):
    """A tool call in the answer."""

    name: str = Field(description="The tool's name.")
    arguments: Mapping[str, Any] = Field(default_factory=dict, description="Its arguments.")
    result: str | None = Field(
        None,
        description="What it returned; without one the turn ends with the call, as with a client's own tool.",
    )
    error: bool = Field(False, description="Whether the result is an error.")


class EchoSource(Options):
    """A citation in the answer."""

    title: str = Field(description="What it is called.")
    url: str | None = Field(None, description="Where it is.")
    snippet: str | None = Field(None, description="What it says.")


class EchoOptions(Options):
    """Options of the kind `echo`."""

    rate: float | None = Field(
        None, ge=0, description="Tokens (words) a second; as fast as possible if 0 or not given."
    )
    delay: float = Field(0, ge=0, description="Seconds before the first token.")
    whole: bool = Field(False, description="Answer in one piece instead of streaming.")
    reply: str | None = Field(None, description="Answer this instead of the last message.")
    reasoning: str | None = Field(None, description="Reasoning that comes before the answer.")
    tools: tuple[EchoTool, ...] = Field((), description="Tool calls that come before the answer.")
    citations: tuple[EchoSource, ...] = Field((), description="Sources named after the answer.")
    stall: EchoStall | None = Field(None, description="A silence in the middle.")
    fail: EchoFailure | None = Field(None, description="A failure, at the start or in the middle.")
    model: str = Field("echo", description="The model name it answers under.")


class EchoBackend(Backend):
    """Says back what it is told, at a set pace."""

    Options = EchoOptions

    options: EchoOptions

    def __init__(self, options: EchoOptions) -> None:
        super().__init__(options)
        self._failures_left = options.fail.times if options.fail else None

    @classmethod
    def capabilities(cls, options: EchoOptions) -> Capabilities:
        """Return any file type, since files are only named, and two parameters."""
        return Capabilities(files=("*/*",), parameters=_PARAMETERS)

    @classmethod
    def target(cls, options: EchoOptions) -> Target:
        """Return the name it answers under, without an endpoint: it runs in this process."""
        return Target(options.model)

    async def stream(self, request: ChatRequest, ctx: CallContext) -> AsyncIterator[StreamEvent]:
        """Yield the last user message again, the files it came with named at the end."""
        options = self.options
        script = _Script.of(options, request)
        schedule = _Schedule(script.rate, options.stall, self._failure())
        await schedule.start(options.delay)
        for notice in script.notices:
            yield notice
        for token in script.thought:
            await schedule.before_token()
            yield ReasoningDelta(token)
        for event in script.tools:
            yield event
        said = 0
        collected: list[str] = []
        for token in itertools.islice(script.tokens, script.room):
            await schedule.before_token()
            said += 1
            if options.whole:
                collected.append(token)
            else:
                yield TextDelta(token)
        await schedule.at_end()
        if collected:
            yield TextDelta("".join(collected))
        for source in options.citations:
            yield Citation(source.title, source.url, source.snippet)
        yield script.finish(said)

    def _failure(self) -> EchoFailure | None:
        """Return the failure due in this call, if any."""
        if self._failures_left is None:
            return self.options.fail
        if self._failures_left == 0:
            return None
        self._failures_left -= 1
        return self.options.fail

    async def probe(self, ctx: CallContext) -> Probe:
        """Return that it is there: it runs in this process."""
        return Probe(reachable=True, model_known=True, detail="runs in this process")


@dataclass(frozen=True, slots=True)
class _Script:
    """The content of one answer, before its first token is due.

    thought: tokens of reasoning, cut where the limit is. cut: whether they were. tokens: all of the answer,
    made while they are read. room: how many of them may be said; None for all.
    """

    options: EchoOptions
    rate: float
    notices: tuple[Notice, ...]
    thought: tuple[str, ...]
    cut: bool
    tools: tuple[ToolCall | ToolResult, ...]
    tokens: Iterator[str]
    room: int | None
    words_asked: int

    @classmethod
    def of(cls, options: EchoOptions, request: ChatRequest) -> _Script:
        """Return the script for a request. Raises InvalidRequest if there is no user message."""
        rate = request.parameters.get("rate", options.rate) or 0
        limit = request.parameters.get("max_tokens")
        notices = []
        if any(message.role == "system" for message in request.messages):
            notices.append(Notice("other", ENGLISH("notice.no-model")))
        if options.whole:
            notices.append(Notice("not_streamed", ENGLISH("notice.echo-whole")))
        answer = options.reply if options.reply is not None else _said(request.messages)
        thoughts = tuple(match.group() for match in _TOKEN.finditer(options.reasoning or ""))
        thought = thoughts[:limit]
        cut = len(thought) < len(thoughts)
        return cls(
            options,
            0 if options.whole else rate,
            tuple(notices),
            thought,
            cut,
            () if cut else tuple(_tool_events(options.tools)),
            (match.group() for match in _TOKEN.finditer("" if _asks_client(options) else answer)),
            None if limit is None else limit - len(thought),
            sum(len(message.text.split()) for message in request.messages),
        )

    def finish(self, said: int) -> Finish:
        """Return the end of an answer of which so many tokens were said."""
        cut = self.cut or next(self.tokens, None) is not None
        reason: FinishReason = "length" if cut else "tool_calls" if _asks_client(self.options) else "stop"
        thought = len(self.thought)
        return Finish(reason, Usage(self.words_asked, thought + said, reasoning=thought), self.options.model)


def _asks_client(options: EchoOptions) -> bool:
    """Return whether the turn ends with a tool call that the client is to run."""
    return bool(options.tools) and options.tools[-1].result is None


def _tool_events(tools: Iterable[EchoTool]) -> Iterator[ToolCall | ToolResult]:
    for number, tool in enumerate(tools, 1):
        yield ToolCall(f"call_{number}", tool.name, json.dumps(dict(tool.arguments), ensure_ascii=False))
        if tool.result is not None:
            yield ToolResult(f"call_{number}", tool.result, tool.name, tool.error)


class _Schedule:
    """The times at which tokens are due, and where the stall and the failure happen. Times are in seconds."""

    __slots__ = ("_count", "_fail", "_interval", "_pace", "_stall")

    def __init__(self, rate: float, stall: EchoStall | None, fail: EchoFailure | None) -> None:
        self._pace = Pace()
        self._interval = 1 / rate if rate else 0.0
        self._stall = stall
        self._fail = fail
        self._count = 0

    async def start(self, delay: float) -> None:
        if delay:
            await asyncio.sleep(delay)
        self._pace.start()
        await self._trouble(0, 0)

    async def before_token(self) -> None:
        count = self._count
        if count:
            await self._trouble(count, count)
        self._count = count + 1
        await self._pace.until(count * self._interval)

    async def at_end(self) -> None:
        """An answer too short for where the stall or the failure was to be has it at its end."""
        await self._trouble(max(self._count, 1), math.inf)

    async def _trouble(self, first: int, last: float) -> None:
        """Stall and fail if that was to happen after `first` to `last` tokens."""
        if self._stall is not None and first <= self._stall.after <= last:
            await self._pace.pause(self._stall.seconds)
        if self._fail is not None and first <= self._fail.after <= last:
            raise self._fail.exception()


def _said(messages: tuple[Message, ...]) -> str:
    """Return the last user message's text, its files named after it. Raises InvalidRequest without one."""
    last = next((message for message in reversed(messages) if message.role == "user"), None)
    if last is None:
        raise InvalidRequest("there is no user message to answer")
    files = [part for part in last.parts if isinstance(part, FilePart)]
    named = ", ".join(f"{_name(part)} ({part.media_type})" for part in files)
    return "\n\n".join(filter(None, (last.text, f"with {named}" if named else "")))


def _name(part: FilePart) -> str:
    return part.name or (part.path.name if part.path else None) or "a file"
