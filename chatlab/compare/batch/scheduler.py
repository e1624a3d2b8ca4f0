"""Starts the calls of a run: in the order they are given in, within each lane's limits and the budget.

The order is kept as far as the limits allow: a lane that may not start another call now holds up no other.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, NamedTuple, TypeAlias

from chatlab.compare.batch.budget import Budget, Estimate, counted, max_tokens, most
from chatlab.compare.batch.engines.engine import Engine, Lost, Meter, Ran, run_here
from chatlab.config.registry import Entry
from chatlab.messages import Message
from chatlab.store import new_id
from chatlab.turns.ended import EndedTurn

_TRIES = 3  # of a call whose engine loses it: more than a machine that goes away, less than for ever


@dataclass(frozen=True, slots=True)
class LaneLimit:
    """Of one lane. concurrency: calls at once. rpm: requests a minute, started evenly over it."""

    concurrency: int | None = None
    rpm: float | None = None


@dataclass(frozen=True, slots=True)
class ModelCall:
    """One call to be made. who: the lane's id, or the judge's, whose limits it is under. place: where it
    stands in the order of all calls.

    ended: gets the turn when it is over, and the SHA-256 of the request's body, where chatlab's own client
    sent it; says which calls follow from it, and those go first. tries: which one this is, from 1: a call is
    tried again where nobody knows what became of it. last: none follows from it, so that the next call need
    not wait until what came of this one is on the disk.
    """

    who: str
    entry: Entry
    messages: tuple[Message, ...]
    ended: Callable[[EndedTurn, str | None], Awaitable[Sequence[ModelCall]]]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    system: str | None = None
    tries: int = 1
    place: int = 0
    last: bool = False


_Task: TypeAlias = asyncio.Task[Sequence[ModelCall]]


class _Lane:
    """The calls of one lane that wait and that run."""

    def __init__(self, limit: LaneLimit, longest: int | None) -> None:
        self.limit = limit
        self.first: deque[ModelCall] = deque()  # those that follow from others, and the next of the rest
        self.rest: Iterator[ModelCall] = iter(())
        self.running = 0
        self.next_start = 0.0  # the loop's time before which no request may start
        self.longest = longest  # output tokens
        self.proven = longest is not None  # whether there was an answer
        self.held = False  # whether the last answer that could have been longer was ended at max_tokens
        self.tokens_a_delta = 1.0

    @property
    def next(self) -> ModelCall | None:
        """Return the call that is to start next; None if there is none. The rest is not drawn up before."""
        if not self.first:
            self.first.extend(islice(self.rest, 1))
        return self.first[0] if self.first else None

    def ready_in(self, time: float) -> float | None:
        """Seconds until its first waiting call may start; None if one that runs must end before."""
        if self.running >= (self.limit.concurrency or self.running + 1) or self.next is None:
            return None
        return max(0.0, self.next_start - time)

    def used(self, time: float, requests: int) -> None:
        """Requests were made, the first of them now or long ago; each takes its share of a minute."""
        if self.limit.rpm is not None:
            self.next_start = max(self.next_start, time) + requests * 60 / self.limit.rpm


class _Started(NamedTuple):
    """A call that runs. id: the budget's. unproven: whether its lane had not answered yet when it started."""

    lane: _Lane
    call: ModelCall
    id: str
    estimate: Estimate | None
    unproven: bool


class Scheduler:
    """Runs calls. concurrency: at once, over all lanes. limits: by lane, where there are some. longest: the
    most tokens a lane has answered with before, by lane. engine: makes the calls."""

    def __init__(
        self,
        *,
        concurrency: int,
        limits: Mapping[str, LaneLimit],
        budget: Budget,
        longest: Mapping[str, int] | None = None,
        engine: Engine = run_here,
    ) -> None:
        self._engine = engine
        self._concurrency = concurrency
        self._limits = limits
        self._longest = longest or {}
        self._budget = budget
        self._lanes: dict[str, _Lane] = {}
        self.no_room: tuple[str, float] | None = None
        """Whose call the budget had no room for last, and the most that call may cost."""
        self._cut_short = False  # whether a call was ended since it would have passed the budget
        self._dropped: set[str] = set()
        self._before = -1  # the place of the next call that goes before all others
        self._unproven = 0  # calls that run of lanes that have not answered yet
        # Of calls that run and may not heed max_tokens: what each may cost beyond what was set aside.
        self._beyond: dict[str, float] = {}
        self._running = 0  # calls, each until its answer is there or, where others follow, written
        self._calling: set[_Task] = set()  # what makes calls: ended when the run is
        self._ending: set[_Task] = set()  # what writes what came of them: never ended
        self._broken: _Task | None = None  # the first of both that raised something
        self._news = asyncio.Event()

    async def run(self, calls: Mapping[str, Iterable[ModelCall]]) -> bool:
        """Makes all calls and those that follow from them. False: the budget had no room for all of them;
        those that cost nothing were made. calls: of each lane, or the judge, in their order; one is taken
        when it may start.

        When cancelled, it stops what runs, and waits until the upstreams are closed.
        """
        for who, of_lane in calls.items():
            self._lane(who).rest = iter(of_lane)
        try:
            while await self._start_what_may():
                pass
            return not self._cut_short and not any(lane.next for lane in self._lanes.values())
        finally:
            for task in self._calling:
                task.cancel()
            while unfinished := self._calling | self._ending:
                await asyncio.wait(unfinished)

    async def _start_what_may(self) -> bool:
        """Starts a call, or waits for what lets one start. False if nothing is left that may."""
        if self._broken is not None:
            self._broken.result()
        started, wait = await self._started()
        if started is not None:
            self._begin(self._calling, self._make(started), "calls of a run")
            return True
        if wait is None and not (self._calling or self._ending):
            return False
        with suppress(TimeoutError):
            async with asyncio.timeout(wait):
                await self._news.wait()
                self._news.clear()
        return True

    async def _started(self) -> tuple[_Started | None, float | None]:
        """Return the call that may start now, which runs from then on; if none may, the seconds until one may
        without the end of another."""
        # No more than so many answers are not written yet: those a crash would have paid for twice.
        full = self._running >= self._concurrency or len(self._ending) >= self._concurrency
        if full or self._broken is not None:
            return None, None
        now = asyncio.get_running_loop().time()
        waits = {who: wait for who, lane in self._lanes.items() if (wait := lane.ready_in(now)) is not None}
        ready = [who for who, wait in waits.items() if wait == 0]
        for who in sorted(ready, key=lambda who: self._lanes[who].first[0].place):
            if self._must_wait(who):
                del waits[who]  # the end of the call that it waits for wakes this up
                continue
            estimate = self._most(who)
            aside = None if estimate is None else estimate.amount
            # Once the budget is full, nothing that costs starts: cheaper calls would go before for ever.
            if not aside or (not full and self._budget.fits(aside)):
                return await self._start(self._lanes[who], estimate), None
            if not full:
                full, self.no_room = True, (who, aside)
        if full:  # only the end of a call can make room
            waits = {who: wait for who, wait in waits.items() if not self._costs(who)}
        return None, min(waits.values(), default=None)

    def _begin(self, among: set[_Task], work: Coroutine[Any, Any, Sequence[ModelCall]], name: str) -> _Task:
        """Begin a task; what it returns are calls that follow."""
        task = asyncio.create_task(work, name=name)
        among.add(task)

        def over(task: _Task) -> None:
            among.discard(task)
            if task.cancelled() or task.exception() is not None:
                self._broken = self._broken or task
            else:
                self._follow(task.result())
            if self._running < self._concurrency or self._broken is not None:  # or nothing may start anyway
                self._news.set()

        task.add_done_callback(over)
        return task

    def _follow(self, calls: Sequence[ModelCall]) -> None:
        """Have these calls start before all others."""
        for call in reversed(calls):
            if call.who not in self._dropped:
                self._lane(call.who).first.appendleft(replace(call, place=self._before))
                self._before -= 1

    def drop(self, who: str) -> None:
        """Start no more calls of a lane, or of the judge; those that run end as they would."""
        self._dropped.add(who)
        lane = self._lane(who)
        lane.first.clear()
        lane.rest = iter(())

    def _lane(self, who: str) -> _Lane:
        if who not in self._lanes:
            self._lanes[who] = _Lane(self._limits.get(who, LaneLimit()), self._longest.get(who))
        return self._lanes[who]

    def _first(self, who: str) -> ModelCall:
        """Return the next call of a lane that has one."""
        call = self._lanes[who].next
        assert call is not None
        return call

    def _most(self, who: str) -> Estimate | None:
        """Return the most that the lane's first call may cost; None without prices."""
        lane, call = self._lanes[who], self._first(who)
        prices = call.entry.config.prices
        if prices is None:
            return None
        return most(call.entry, prices, call.messages, call.parameters, call.system, lane.longest)

    def _costs(self, who: str) -> bool:
        estimate = self._most(who)
        return estimate is not None and estimate.amount > 0

    def _must_wait(self, who: str) -> bool:
        """Return whether the lane's first call must wait for another one, so that a budget holds.

        Until a lane has answered, nobody knows anything of its upstream: such calls are made one at a time.
        Until an answer was ended at `max_tokens`, nobody knows whether that is heeded: such calls are made
        beside each other only while the budget has room for far longer answers. So no more than one of them
        can cost what the budget had no room for.
        """
        if self._budget.limit is None or (estimate := self._most(who)) is None:
            return False
        lane = self._lanes[who]
        if not lane.proven and self._unproven > 0:
            return True
        if lane.held or not self._beyond:
            return False
        return not self._budget.fits(estimate.amount + estimate.beyond + sum(self._beyond.values()))

    async def _start(self, lane: _Lane, estimate: Estimate | None) -> _Started:
        """Take the lane's first call, for which the budget has room, as one that runs."""
        call_id = "" if estimate is None else new_id()
        call = lane.first.popleft()
        self._running += 1
        lane.running += 1
        lane.used(asyncio.get_running_loop().time(), 1)
        unproven = estimate is not None and not lane.proven
        self._unproven += unproven
        if estimate is not None and estimate.amount and not lane.held:
            self._beyond[call_id] = estimate.beyond
        if estimate is not None:  # last, since others may start meanwhile
            await self._budget.set_aside(call_id, estimate.amount, call.who)
        return _Started(lane, call, call_id, estimate, unproven)

    async def _make(self, started: _Started | None) -> Sequence[ModelCall]:
        """Make a call, and when it has ended the next one that may start, as long as there is one: it begins
        sooner than if others had to be told first."""
        while started is not None:
            await self._made(started)
            started, _ = await self._started()
        return ()

    async def _made(self, started: _Started) -> None:
        """Make a call, and begin to write what came of it; wait for that where others may follow from it."""
        lane, call, call_id, estimate, unproven = started
        aside = _Aside(self._budget, call_id, call.who, estimate)
        held = None if self._budget.limit is None else estimate
        meter = Meter(held, lane.tokens_a_delta, aside.more)
        try:
            try:
                ran = await self._engine(call.entry, call.messages, call.parameters, call.system, meter)
            except Lost as lost:
                ending = self._lost(call, aside, lost)
            else:
                self._learn(lane, call, ran)
                ending = self._end(call, ran, aside)
            finally:
                self._unproven -= unproven
                self._beyond.pop(call_id, None)
            ended = self._begin(self._ending, ending, f"end {call.who}")
            if not call.last:
                await asyncio.wait([ended])
        finally:
            self._running -= 1
            lane.running -= 1

    def _learn(self, lane: _Lane, call: ModelCall, ran: Ran) -> None:
        """Note what a call says of its lane."""
        turn = ran.turn
        if turn.timing.attempts > 1:  # the turn's own retries were requests too
            lane.used(asyncio.get_running_loop().time(), turn.timing.attempts - 1)
        finish = turn.answer.finish
        if finish is not None and call.entry.config.prices is not None:  # the rest is for what calls may cost
            lane.proven = True
            if finish.usage.output is not None:
                lane.longest = max(lane.longest or 0, finish.usage.output)
                limit = max_tokens(call.entry, call.parameters)
                if limit is not None and finish.usage.output > limit:
                    lane.held = False
                elif limit is not None and finish.reason == "length":
                    lane.held = True
                lane.tokens_a_delta = min(1.0, finish.usage.output / max(ran.deltas, 1))

    async def _end(self, call: ModelCall, ran: Ran, aside: _Aside) -> Sequence[ModelCall]:
        following: Sequence[ModelCall] = ()
        if aside.refused is None:
            following = await call.ended(ran.turn, ran.wire_sha256)
        else:  # nothing is written of it, so that a later sitting asks it again
            self._cut_short, self.no_room = True, (call.who, aside.refused)
        # After the result is on the disk: a crash in between counts more, not less.
        await aside.settle(ran.turn)
        return following

    async def _lost(self, call: ModelCall, aside: _Aside, lost: Lost) -> Sequence[ModelCall]:
        """Count what the call may have cost, and have it made again; or write that it failed."""
        following: Sequence[ModelCall] = (replace(call, tries=call.tries + 1),)
        if call.tries == _TRIES:
            following = await call.ended(EndedTurn.failed(call.entry, lost), None)
        await aside.settle(None)
        return following


class _Aside:
    """The money that is set aside for one call. refused: what the call would have cost when it was ended, if
    there was no room for that.
    """

    def __init__(self, budget: Budget, call_id: str, who: str, estimate: Estimate | None) -> None:
        self.refused: float | None = None
        self._amount = None if estimate is None else estimate.amount
        self._budget = budget
        self._call_id = call_id
        self._who = who

    async def more(self, needed: float) -> float | None:
        """Set more aside for the call, if there is room, and return what is set aside then."""
        assert self._amount is not None
        for wanted in (1.5 * needed, needed):  # so that the ledger is not written for each delta
            if self._budget.fits(wanted - self._amount):
                self._amount = wanted
                await self._budget.set_aside(self._call_id, wanted, self._who)
                return wanted
        self.refused = needed
        return None

    async def settle(self, turn: EndedTurn | None) -> None:
        """Count what the call came to. turn: None if nobody knows what became of it."""
        if self._amount is not None:
            cost = self._amount if turn is None else counted(turn, self._amount)
            await self._budget.settle(self._call_id, cost)
