"""The one stopwatch of every turn: one clock (`time.perf_counter`), one vantage point (the task that reads).

docs/timing.md defines every figure.
"""

from __future__ import annotations

from time import perf_counter

from chatlab.backend import Mark
from chatlab.messages import (
    Accumulator,
    Finish,
    Notice,
    ReasoningDelta,
    ReasoningPart,
    StreamEvent,
    TextDelta,
    Timing,
    ToolCall,
    ToolResult,
)

_DELTAS = (TextDelta, ReasoningDelta, ToolCall)
_TOOLS = (ToolCall, ToolResult)
# Seconds between two pieces of text that were read at once; only at 2,000 tokens a second a model is as fast.
_TOGETHER = 0.0005
_BURST = 0.1  # share of the pieces, or of large ones' text, that may have arrived at once at the beginning
_LARGE = 2  # tokens a piece, from which on the first one may be much more than the first token
_ENDS = 8  # tokens that are no text: the end of an answer, and what templates put around it


class Stopwatch:
    """Takes a turn's times, for every backend alike. All are in seconds."""

    def __init__(self) -> None:
        self.attempts = 1
        self.delta_seen = False
        self.heard = 0.0
        """The moment at which something came last, be it a keep-alive, as `perf_counter` tells it."""
        self.tool_seconds: dict[str, float] = {}
        self._tool_calls: dict[str, float] = {}
        self._thinking: tuple[float, float] | None = None
        self._start = self._lap = perf_counter()
        self._marks: dict[Mark, float] = {}
        self._first_event: float | None = None
        self._first_token: float | None = None
        self._last_event: float | None = None
        self._last_delta: float | None = None
        self._texts = 0  # pieces of text that arrived
        self._together = 0  # the first of them, as far as they arrived together
        self._bytes = 0  # of all text, and of calls of tools
        self._first_bytes = 0  # of the pieces that arrived together at first
        self._reads = 0  # from the connection
        self._reads_before = 0  # up to the last piece of text
        self._stall: float | None = None
        self._total: float | None = None
        self._own = 0.0
        self._setup: float | None = None

    @property
    def waiting(self) -> bool:
        """Return whether no visible token has arrived yet."""
        return self._first_token is None

    @property
    def streaming(self) -> float:
        """Return the seconds since the first visible token; none before it."""
        return 0.0 if self._first_token is None else perf_counter() - self._first_token

    def start(self) -> None:
        """Set zero to now."""
        self._start = self._lap = perf_counter()

    def set_up(self, seconds: float) -> None:
        """Note that so much was just done that no later turn waits for: zero moves behind it."""
        self._setup = (self._setup or 0.0) + seconds
        self._start += seconds
        self._lap += seconds

    def lap(self) -> None:
        """Begin an attempt: what is marked from here on is its own."""
        self._lap = perf_counter()
        if self.attempts == 1:
            self._own += self._lap - self._start
        self._marks.clear()

    def called(self) -> None:
        """Note that the backend has been called: what it took until here was chatlab's own work."""
        self._own += perf_counter() - self._lap

    def mark(self, what: Mark) -> None:
        """Note that the call has its credentials or its connection; only the first time counts."""
        self._marks.setdefault(what, perf_counter() - self._start)

    def arrival(self, event: StreamEvent) -> float:
        """Return the moment at which this event arrived, and take the times that it settles."""
        now = self.heard = perf_counter()
        if isinstance(event, Notice):  # chatlab's own words: nothing arrived
            return now
        text = event.text if isinstance(event, TextDelta) else None
        if self._first_token is not None:
            assert self._last_event is not None
            gap = now - self._last_event
            if self._stall is None or gap > self._stall:
                self._stall = gap
        else:
            if self._first_event is None:
                self._first_event = now
            if text:
                self._first_token = now
        self._last_event = now
        if text is None:
            self._take(event, now)
            return now
        # What is no text here is told as the backend's mistake by whoever looks at it next.
        if text and isinstance(text, str):
            size = len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
            if self._together == self._texts and self._at_once(now):
                self._together += 1
                self._first_bytes += size
            self._reads_before = self._reads
            self._texts += 1
            self._bytes += size
        self.delta_seen = True
        self._last_delta = now
        return now

    def _at_once(self, now: float) -> bool:
        """Return whether a piece of text arrived together with the one before it, if there is one."""
        if not self._texts or self._last_delta is None or now - self._last_delta < _TOGETHER:
            return True
        return 0 < self._reads == self._reads_before  # an SDK takes its time over what it has read

    def read(self) -> None:
        """Note that bytes were read from the upstream, where the backend's connection tells."""
        self._reads += 1
        self.heard = perf_counter()

    def _take(self, event: StreamEvent, now: float) -> None:
        """Take the times of thinking, of tools and of the end."""
        if isinstance(event, _DELTAS):
            self.delta_seen = True
            self._last_delta = now
        if isinstance(event, ReasoningDelta):
            self._thinking = (self._thinking[0] if self._thinking else now, now)
        elif isinstance(event, ToolCall):
            self._tool_calls[str(event.id)] = now
            self._bytes += len(f"{event.name}{event.arguments}".encode("utf-8", "replace"))
        elif isinstance(event, ToolResult):
            called = self._tool_calls.get(str(event.id))
            if called is not None:
                self.tool_seconds[event.id] = now - called
        elif isinstance(event, Finish):
            self._total = now - self._start

    def handled(self, arrived: float) -> None:
        """Note that an event that arrived then has been handled: chatlab's own work."""
        self._own += perf_counter() - arrived

    @property
    def tool_times(self) -> dict[str, tuple[float, float]]:
        """Return when each tool was called, in seconds since zero, and how many seconds it took."""
        return {
            call: (self.since_start(self._tool_calls[call]), took) for call, took in self.tool_seconds.items()
        }

    def stop(self) -> None:
        """Note the end of the turn, unless its Finish did."""
        if self._total is None:
            self._total = perf_counter() - self._start

    def timing(self, answer: Accumulator) -> Timing:
        """Return the figures of an answer as far as it has come, in seconds."""
        return Timing(
            credentials=self._marks.get("credentials"),
            connected=self._marks.get("connected"),
            first_event=self._since_start(self._first_event),
            first_token=self._since_start(self._first_token),
            reasoning=None if self._thinking is None else self._thinking[1] - self._thinking[0],
            total=self._total,
            longest_stall=self._stall,
            tokens_per_second=self._rate(answer),
            overhead=self._own,
            setup=self._setup,
            attempts=self.attempts,
        )

    def since_start(self, moment: float | None) -> float:
        """Return the seconds from zero to a moment, to now if none is given."""
        return (perf_counter() if moment is None else moment) - self._start

    def _since_start(self, moment: float | None) -> float | None:
        return None if moment is None else moment - self._start

    def _rate(self, answer: Accumulator) -> float | None:
        finish = answer.finish
        if finish is None or finish.usage.output is None or self._first_token is None:
            return None
        if any(notice.kind == "not_streamed" for notice in answer.notices):
            return None
        if not self._is_one_stream(finish, answer):
            return None
        hidden = finish.usage.reasoning
        if hidden is None:
            # Thoughts came before the first visible token; how many tokens they took is not known.
            if any(isinstance(part, ReasoningPart) for part in answer.parts):
                return None
            hidden = 0
        tokens = finish.usage.output - hidden - 1
        assert self._last_delta is not None
        seconds = self._last_delta - self._first_token
        return tokens / seconds if tokens > 0 and seconds > 0 else None

    def _is_one_stream(self, finish: Finish, answer: Accumulator) -> bool:
        """Return whether the tokens that were counted are those that arrived after the first one.

        An agent's usage counts the calls of its tools and its earlier models, whose time is not that of the
        text; where it does not say so, more tokens than bytes of text do, since no token is less than a byte.
        A proxy that delivers in bursts, or in large pieces, hides the time of what is in the first of them.
        """
        tokens = (finish.usage.output or 0) - (finish.usage.reasoning or 0)
        if finish.runs > 1 or tokens > self._bytes + _ENDS:
            return False
        large = tokens > _LARGE * self._texts  # pieces of several tokens each
        if large and self._first_bytes > _BURST * self._bytes:
            return False
        parts = answer.parts
        tools = [place for place, part in enumerate(parts) if isinstance(part, _TOOLS)]
        if tools and any(not isinstance(part, ToolCall) for part in parts[tools[0] :]):
            return False  # something followed a call of a tool
        return self._together <= 1 or self._together <= _BURST * self._texts
