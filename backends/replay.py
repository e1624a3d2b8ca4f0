"""replay: plays a recording, at its own pace or another. docs/recording-format.md describes the file.

It keeps no state between calls: which exchange is played follows from the conversation alone, so that the
same conversation gets the same answer, and two people at once do not disturb each other.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import lru_cache
from pathlib import Path
from typing import Literal

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
from chatlab.errors import BrokenStream, ChatlabError, InvalidRequest
from chatlab.messages import Finish, Notice, StreamEvent
from chatlab.paths import ConfigPath
from chatlab.recording.format import Exchange, Header, Recording
from chatlab.words import ENGLISH

_EMPTY = "the recording {} has no exchange in it"


class ReplayOptions(Options):
    """Options of the kind `replay`."""

    recording: ConfigPath = Field(description="The recording, a file of JSON lines.")
    speed: float = Field(
        1, ge=0, description="How many times faster than recorded it plays; 0 is as fast as possible."
    )
    choose: Literal["match", "order"] = Field(
        "match",
        description="Which exchange answers: `match` is the one whose last user message is the one asked, or "
        "else that in order; `order` is the first for the first user message, and so on, over and over.",
    )


class ReplayBackend(Backend):
    """Gives recorded answers."""

    Options = ReplayOptions
    address_field = "recording"

    options: ReplayOptions

    def __init__(self, options: ReplayOptions) -> None:
        super().__init__(options)
        self._recording = Recording.load(options.recording)

    @classmethod
    def capabilities(cls, options: ReplayOptions) -> Capabilities:
        """Return text, and the speed as a parameter."""
        speed = Parameter("speed", "float", ENGLISH("parameter.speed"), minimum=0, maximum=100, advanced=True)
        return Capabilities(parameters=(speed,))

    @classmethod
    def target(cls, options: ReplayOptions) -> Target:
        """Return the recording's file name stands for a model: nothing is called."""
        return Target(options.recording.name)

    @classmethod
    def not_ready(cls, options: ReplayOptions) -> str | None:
        """Return how to get the file, or what is wrong with it, or None."""
        try:
            found = options.recording.stat()
        except OSError:
            found = None
        if found is None or not options.recording.is_file():
            return f"make the recording {options.recording} with `chatlab record`, or correct its path"
        return _broken(options.recording, found.st_mtime_ns, found.st_size)

    async def stream(self, request: ChatRequest, ctx: CallContext) -> AsyncIterator[StreamEvent]:
        """Yield the chosen exchange. A recorded failure is raised again, at the moment it happened."""
        exchange, matched = self._choose(request)
        yield _provenance(self._recording.header)
        if not matched:
            yield Notice("other", ENGLISH("notice.not-recorded", asked=_short(exchange.asked)))
        speed = request.parameters.get("speed", self.options.speed)
        factor = 1 / speed if speed else 0.0
        pace = Pace()
        ended = False
        for timed in exchange.events:
            await pace.until(timed.at * factor)
            yield timed.event
            ended = isinstance(timed.event, Finish)
        if exchange.failure is not None:
            await pace.until(exchange.failure.at * factor)
            raise exchange.failure.exception()
        if not ended:
            raise BrokenStream("the recording of this answer stops here")

    def _choose(self, request: ChatRequest) -> tuple[Exchange, bool]:
        """Return the exchange to play, and whether it is the answer to what was asked (in order: always)."""
        exchanges = self._recording.exchanges
        if not exchanges:
            raise InvalidRequest(_EMPTY.format(self.options.recording))
        asked = [message.text for message in request.messages if message.role == "user"]
        in_order = exchanges[(len(asked) - 1) % len(exchanges)] if asked else exchanges[0]
        if self.options.choose == "order":
            return in_order, True
        wanted = _normal(asked[-1]) if asked else ""
        if _normal(in_order.asked) == wanted:  # the same question twice: each time its own answer
            return in_order, True
        match = next((exchange for exchange in exchanges if _normal(exchange.asked) == wanted), None)
        return (in_order, False) if match is None else (match, True)

    async def probe(self, ctx: CallContext) -> Probe:
        """Return what the recording is."""
        header = self._recording.header
        return Probe(
            reachable=True,
            model_known=True,
            detail=f"{len(self._recording.exchanges)} recorded answers of {_recorded(header)}",
        )


@lru_cache(maxsize=64)
def _broken(path: Path, _modified: int, _size: int) -> str | None:
    """Return why a recording cannot be played, or None. Read once for each state of the file."""
    try:
        exchanges = Recording.load(path).exchanges
    except ChatlabError as exc:
        return str(exc)
    return None if exchanges else _EMPTY.format(path)


def _provenance(header: Header) -> Notice:
    """Return a notice of where the answer is from, so that nobody takes a recording for a live model."""
    if header.sample:
        return Notice(
            "sample", f"{header.label or 'a sample'}: {header.origin or 'a recording made as a sample'}"
        )
    said = ENGLISH("notice.recording", name=_recorded(header), when=header.created)
    return Notice("other", f"{said}; {header.origin}" if header.origin else said)


def _recorded(header: Header) -> str:
    if header.model and header.kind:
        return f"{header.model} ({header.kind})"
    return header.model or header.kind or "an unnamed backend"


def _normal(text: str) -> str:
    return " ".join(text.split()).casefold()


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return repr(flat if len(flat) <= 60 else flat[:59] + "…")
