"""`run_turn`: the only way a turn is ever run. Times it, retries it, bounds it, and closes it.

A turn has a task of its own that reads the backend, so that its times are those of arrival whatever its
reader does meanwhile, and so that a stop reaches the upstream even when nobody reads any more.
docs/timing.md defines every figure.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from time import perf_counter
from types import TracebackType
from typing import Any, ClassVar, Literal, Self, TypeAlias

from chatlab.backend import Backend, CallContext, ChatRequest, current_call
from chatlab.config.models import cost
from chatlab.config.registry import Entry
from chatlab.errors import BackendError, BrokenStream, ChatlabError, Unavailable
from chatlab.log import current_trace
from chatlab.messages import Accumulator, Message, Notice, StreamEvent, Timing
from chatlab.observation import UNOBSERVED, Observation, Observer
from chatlab.recording.arrivals import Arrivals
from chatlab.secret import scrubbed_traceback
from chatlab.turns.fit import fit
from chatlab.turns.incoming import Incoming
from chatlab.turns.patience import Patience
from chatlab.turns.stopwatch import Stopwatch
from chatlab.turns.watchdog import Watchdog
from chatlab.words import ENGLISH

log = logging.getLogger(__name__)

Outcome: TypeAlias = Literal["running", "finished", "stopped", "failed"]

_MAX_UNREAD = 10_000  # events; a reader that far behind makes the upstream wait
_AT_ONCE = 1_000  # events that come together, after which the others on the event loop have their turn
# A read costs about as much as all that is done with the token in it, so that many turns share these.
_CROWD = 20  # turns up to which every turn is read whenever something has arrived
_READS = 1000  # a second, for all turns of a crowd together
_LONGEST_REST = 0.08  # seconds
_SHORTEST_REST = 0.001  # seconds; less is not worth a timer
_OVER = CallContext()  # of a turn that has ended
_LONGEST_WAIT = 30.0  # seconds a retry may wait, whatever Retry-After says


def run_turn(
    entry: Entry,
    messages: Sequence[Message],
    *,
    parameters: Mapping[str, Any] | None = None,
    system: str | None = None,
    ctx: CallContext | None = None,
) -> Turn:
    """Return a turn with this backend. The last of `messages`, the whole conversation, is to be answered.

    parameters go over those of the configuration; system replaces its system prompt. It starts when entered:

        async with run_turn(entry, messages) as turn:
            async for event in turn: ...
    """
    return Turn(
        entry, messages, {**entry.config.parameters, **(parameters or {})}, system, ctx or CallContext()
    )


class Turn:
    """One running turn. Reading it raises what made it fail; what had arrived stays in `answer`."""

    _running: ClassVar[int] = 0

    def __init__(
        self,
        entry: Entry,
        messages: Sequence[Message],
        parameters: Mapping[str, Any],
        system: str | None,
        ctx: CallContext,
    ) -> None:
        self.entry = entry
        self.answer = Accumulator()
        self.outcome: Outcome = "running"
        self.error: ChatlabError | None = None
        self.request: ChatRequest | None = None
        """What the backend was given, once the turn has started."""
        self._given = (messages, parameters, entry.system if system is None else system)
        self.arrivals = Arrivals()
        """When its events arrived."""
        self._stopwatch = Stopwatch()
        timeouts, watch = entry.config.timeouts, self._stopwatch
        self._ctx = replace(
            ctx, connect_timeout=timeouts.connect, mark=watch.mark, rest=self._rest, arrived=watch.read
        )
        self._unread: list[StreamEvent] = []
        self._news = asyncio.Event()
        self._urgent = asyncio.Event()  # the first visible token, or the end, is there
        self._room: asyncio.Event | None = None  # while the upstream waits for a reader
        self._task: asyncio.Task[None] | None = None
        self._over = asyncio.Event()  # its upstream is closed, and all that follows from that was done
        self._observation: Observation = UNOBSERVED

    async def __aenter__(self) -> Self:
        self._stopwatch.start()
        if self.entry.observer is not None:
            self._observe(self.entry.observer)
        self._task = asyncio.create_task(self._run(), name=f"turn {self.entry.name}")
        Turn._running += 1
        self.entry.turns += 1
        self._watchdog = Watchdog.enter()
        self._task.add_done_callback(self._cut_short)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def _observe(self, observer: Observer) -> None:
        config = self.entry.config
        target = self.entry.cls.target(config.options)
        self._observation = observer.began(self.entry.name, config.kind, target, self._ctx)
        self._ctx = replace(self._ctx, headers=self._observation.headers)

    def stop(self) -> None:
        """End the turn and its upstream connection now. What had arrived stays. May be called any time."""
        if self._task is not None and not self._task.done():
            self._task.cancel()

    async def aclose(self) -> None:
        """Stop the turn and wait until its upstream is closed."""
        self.stop()
        if self._task is not None:
            await self._over.wait()

    @property
    def timing(self) -> Timing:
        """Return the times so far, or for good once the turn has ended."""
        return self._stopwatch.timing(self.answer)

    @property
    def cost(self) -> float | None:
        """Return usage times prices; None while either is unknown."""
        finish = self.answer.finish
        return cost(finish.usage, self.entry.config.prices) if finish else None

    async def batches(self) -> AsyncGenerator[list[StreamEvent], None]:
        """Yield the events in order, all that arrived since the last batch together."""
        while batch := await self.batch():
            yield batch

    async def batch(self) -> list[StreamEvent]:
        """Return the events that arrived since the last batch, once there are some; none at the end."""
        while not self._unread:
            if self.outcome == "running":
                self._news.clear()
                await self._news.wait()
            elif self.error is not None:
                raise self.error
            else:
                break
        return self.take()

    def take(self) -> list[StreamEvent]:
        """Return the events that arrived and were not read yet; they count as read from now on."""
        batch, self._unread = self._unread, []
        if self._room is not None:
            self._room.set()
        return batch

    async def pause(self, seconds: float) -> None:
        """Let events gather for a while; cut short by the first visible token and by the end."""
        try:
            async with asyncio.timeout(seconds):
                await self._urgent.wait()
        except TimeoutError:
            return
        if self.outcome == "running":
            self._urgent.clear()

    @property
    def tool_seconds(self) -> Mapping[str, float]:
        """Return how long each tool call took, from the call to its result, by the call's id."""
        return self._stopwatch.tool_seconds

    @property
    def tool_times(self) -> Mapping[str, tuple[float, float]]:
        """Return when each tool was called, in seconds from the turn's zero, and how many seconds it took."""
        return self._stopwatch.tool_times

    async def __aiter__(self) -> AsyncGenerator[StreamEvent, None]:
        async with aclosing(self.batches()) as batches:
            async for batch in batches:
                for event in batch:
                    yield event

    async def _run(self) -> None:
        current_trace.set(self._observation.trace_id)
        try:
            await self._attempts()
            self._end("finished")
        except asyncio.CancelledError as exc:
            if self._cancelled():
                self._end("stopped")
                raise
            self._unexpected(exc)
        except ChatlabError as exc:
            if isinstance(exc, BackendError):
                self.entry.failed(exc)
            self._fail(exc)
        except BaseException as exc:  # a bug in a backend is no answer and no stop, and ends no page
            if not self._alive():  # the loop is gone, and nobody reads
                raise
            self._unexpected(exc)

    def _alive(self) -> bool:
        """Return whether it is the turn's task that runs, and not the end of its loop that closes it."""
        try:
            return asyncio.current_task() is self._task
        except RuntimeError:
            return False

    @staticmethod
    def _cancelled() -> bool:
        """Return whether somebody ended the turn, rather than the backend something of its own."""
        task = asyncio.current_task()
        return task is not None and task.cancelling() > 0

    def _unexpected(self, exc: BaseException) -> None:
        log.error("unexpected error in backend %s\n%s", self.entry.name, scrubbed_traceback(exc))
        failure = BackendError(f"unexpected {type(exc).__name__} in the backend")
        self.entry.failed(failure)
        failure.__cause__ = exc
        self._fail(failure)

    def _fail(self, error: ChatlabError) -> None:
        error.trace_id = self._observation.trace_id
        self.error = error
        self._end("failed")

    def _cut_short(self, _: asyncio.Task[None]) -> None:
        """End the turn whose task was cancelled before its first step, and so ran nothing."""
        if self.outcome == "running":
            self._end("stopped")

    def _rest(self) -> float:
        """Return the seconds in which tokens may gather before they are read: none until the first one, then
        no more than the text has been streaming, so that a short answer ends soon after its last token."""
        if Turn._running <= _CROWD:
            return 0.0
        rest = min(_LONGEST_REST, Turn._running / _READS, self._stopwatch.streaming)
        return rest if rest >= _SHORTEST_REST else 0.0

    def _end(self, outcome: Outcome) -> None:
        """Do all that follows from the end, so that whoever reads finds it done when it learns of the end."""
        self.outcome = outcome
        self._stopwatch.stop()
        Turn._running -= 1
        self.entry.turns -= 1
        self._watchdog.leave()
        # What names the turn in a circle, and would stay with all it holds until garbage is looked for.
        self._task = None
        self._ctx = _OVER
        self._observation.ended(self)
        self._over.set()
        self._news.set()
        self._urgent.set()

    async def _attempts(self) -> None:
        messages, parameters, system = self._given
        self.request, notices = fit(self.entry.capabilities, messages, parameters, system)
        for notice in notices:
            self._deliver(notice)
        timeouts, retries = self.entry.config.timeouts, self.entry.config.retries
        clock, watch = perf_counter, self._stopwatch
        deadline = clock() + timeouts.total
        current_call.set(self._ctx)
        while True:
            watch.lap()
            first_token = clock() + timeouts.first_token
            try:
                with self._observation.attempt():
                    async with asyncio.timeout(None) as timer:
                        with Patience(timer, watch, first_token, timeouts.idle, deadline) as patience:
                            await self._attempt(patience)
                return
            except TimeoutError as exc:
                if timer.expired() and self.answer.finish is not None:
                    log.warning("the backend %s did not end its stream after its Finish", self.entry.name)
                    return
                own = "a call of the backend's own took longer than that allows"
                late = timer.expired()
                raise Unavailable(self._too_late(clock() >= deadline) if late else own) from exc
            except BackendError as exc:
                done = watch.attempts
                wait = exc.retry_after
                if wait is None:
                    wait = 0.5 * 2 ** (done - 1) * random.uniform(0.5, 1)  # noqa: S311
                if (
                    not exc.retryable
                    or watch.delta_seen
                    or done > retries
                    or wait > min(_LONGEST_WAIT, deadline - clock())
                ):
                    raise
                again = {"detail": exc.detail, "attempt": done + 1, "attempts": retries + 1}
                self._deliver(Notice("retried", ENGLISH("notice.retried", **again, seconds=f"{wait:.1f}")))
                await asyncio.sleep(wait)
                watch.attempts += 1

    async def _attempt(self, patience: Patience) -> None:
        assert self.request is not None
        entry, watch = self.entry, self._stopwatch
        backend = entry.backend() if entry.made else await self._made(patience)
        incoming = Incoming(entry.config.kind)
        try:
            async with aclosing(incoming.opened(backend.stream(self.request, self._ctx))) as stream:
                watch.called()
                waiting = watch.waiting
                async for event in stream:
                    arrived = watch.arrival(event)
                    if waiting and not watch.waiting:
                        waiting = False
                        self._urgent.set()
                    for made in incoming.take(event):
                        self._deliver(made, arrived)
                    watch.handled(arrived)
                    if self.answer.finish is not None:
                        patience.finished()
                    unread = len(self._unread)
                    if unread >= _MAX_UNREAD:
                        self._room = asyncio.Event()
                        await patience.without_reader(self._room)
                        self._room = None
                    elif unread and unread % _AT_ONCE == 0:
                        await asyncio.sleep(0)
        finally:
            for rest in incoming.end():
                self._deliver(rest)
        if self.answer.finish is None:
            raise BrokenStream(ENGLISH("said.ended-early"))

    async def _made(self, patience: Patience) -> Backend:
        """Return the backend, made now. Importing an SDK can take seconds, in which other people's streams go
        on, and which are no part of any figure, nor of the wait for the first token.
        """
        begun = perf_counter()
        backend = await self.entry.prepared()
        took = perf_counter() - begun
        self._stopwatch.set_up(took)
        patience.lengthen(took)
        return backend

    def _deliver(self, event: StreamEvent, arrived: float | None = None) -> None:
        if isinstance(event, Notice) and event in self.answer.notices:
            return  # a second attempt says again what the first one said
        self.answer.add(event)
        self.arrivals.add(self._stopwatch.since_start(arrived), event)
        if not self._unread:  # otherwise whoever waits has been told already
            self._news.set()
        self._unread.append(event)

    def _too_late(self, whole_turn: bool) -> str:
        timeouts = self.entry.config.timeouts
        if whole_turn:
            return ENGLISH("said.too-late", seconds=f"{timeouts.total:g}")
        if self._stopwatch.delta_seen:
            return ENGLISH("said.silent", seconds=f"{timeouts.idle:g}")
        return ENGLISH("said.no-token", seconds=f"{timeouts.first_token:g}")
