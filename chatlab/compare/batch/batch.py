"""Many prompts at once: every item to every lane, as often as wanted, and then to a judge.

The order is drawn at random: the items and repeats as blocks, and within a block the lanes, so that whatever
drifts in the course of a day hits all lanes alike. The steps of an item of several turns follow each other.
"""

from __future__ import annotations

import asyncio
import random
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from itertools import combinations, product

from chatlab.compare.batch.budget import Budget
from chatlab.compare.batch.bursts import Bursts
from chatlab.compare.batch.checks import check
from chatlab.compare.batch.engines.engine import Engine, run_here
from chatlab.compare.batch.folder import Plan, RunFolder
from chatlab.compare.batch.item import CheckSpec, Item
from chatlab.compare.batch.judge import Reply, question, read_reply, verdict
from chatlab.compare.batch.scheduler import LaneLimit, ModelCall, Scheduler
from chatlab.compare.batch.store import BatchStore
from chatlab.compare.model import Lane, Result, Verdict
from chatlab.compare.session.receipt import receipt_of
from chatlab.config.registry import Entry
from chatlab.conversations.turn_state import stored
from chatlab.ids import ConversationId, TurnId
from chatlab.messages import FilePart, Message, TextPart
from chatlab.observation import together
from chatlab.store import new_id, now
from chatlab.turns.ended import EndedTurn

_EXPECTED = (CheckSpec("expected"),)

JUDGE = "judge"
"""Whose limits the calls of a judge are under."""

MOST_UNREAD = 10
"""Replies of a judge in a row that say no preference, after which it is asked no more."""


@dataclass(frozen=True, slots=True)
class Listeners:
    """Functions that are told of each result and verdict, once it is on the disk; judging is told before the
    first verdict how many there are to be."""

    result: Callable[[Result], None] = lambda _: None
    judging: Callable[[int], None] = lambda _: None
    verdict: Callable[[Verdict], None] = lambda _: None


class Batch:
    """One sitting of a run. Everything that was there when it began is not asked for again.

    entries: the backend of each lane, by the lane's id. retry_failed: what failed before is asked again.
    engine: makes the calls.
    """

    def __init__(
        self,
        folder: RunFolder,
        entries: Mapping[str, Entry],
        judge: Entry | None,
        budget: Budget,
        *,
        concurrency: int = 4,
        limits: Mapping[str, LaneLimit] | None = None,
        retry_failed: bool = False,
        store: BatchStore | None = None,
        progress: Listeners | None = None,
        engine: Engine = run_here,
    ) -> None:
        self._folder = folder
        self._plan = folder.plan
        self._entries = entries
        self._judge = judge
        self._retry_failed = retry_failed
        self._store = store
        self._progress = progress or Listeners()
        self._results = folder.results
        self._bursts = Bursts(max(1, concurrency // 4))  # of few calls at once none waits
        self._unread = 0  # the judge's last replies that said no preference
        self._judgements_left = 0
        self.judge_stopped: str | None = None
        """Why the judge was asked no more, if it was not: what its last reply that said no preference was."""
        self._scheduler = Scheduler(
            concurrency=concurrency,
            limits=limits or {},
            budget=budget,
            longest=self._results.longest(),
            engine=engine,
        )

    async def run(self) -> bool:
        """Runs what is left. False: the budget did not allow all of it.

        When cancelled, what runs is stopped; it is asked again in the next sitting.
        """
        observer = next((entry.observer for entry in self._entries.values()), None)
        about = {
            "items": len(self._plan.items),
            "lanes": len(self._plan.lanes),
            "repeats": self._plan.repeats,
        }
        one = together(observer, "compare run", about)
        try:
            with one.within():
                return await self._run()
        finally:
            one.end()
            if self._store is not None:
                await self._store.end()

    async def _run(self) -> bool:
        if self._store is not None:
            await self._store.begin(self._plan, self._results)
        if not await self._scheduler.run(self._calls()):
            return False
        if self._judge is None:
            return True
        self._judgements_left = sum(1 for _ in self._judgements(self._judge))
        self._progress.judging(self._judgements_left)
        return await self._scheduler.run({JUDGE: self._judge_calls(self._judge)})

    @property
    def no_room(self) -> tuple[str, float] | None:
        """Return whose call the budget had no room for last, a lane's id or `JUDGE`, and the most it may
        cost.
        """
        return self._scheduler.no_room

    def verdicts_left(self) -> int:
        """Return how many verdicts this sitting meant to have and has not, once it is over."""
        return self._judgements_left

    def calls_left(self) -> int:
        """Return how many answers are still to be asked for."""
        left = 0
        for item, repeat, lane in product(*map(range, self._size)):
            done, failed = self._results.progress(item, repeat, lane)
            if not failed or self._retry_failed:
                left += self._results.steps(item) - done
        return left

    @property
    def _size(self) -> tuple[int, int, int]:
        """Return how many items, repeats and lanes there are."""
        return len(self._plan.items), self._plan.repeats, len(self._plan.lanes)

    def _calls(self) -> dict[str, Iterator[ModelCall]]:
        """Return the next call of each conversation, by lane, in the order of the plan's seed."""
        items, repeats, lanes = self._size
        rng = random.Random(self._plan.seed)  # noqa: S311 - an order that can be drawn again, no secret
        blocks = array("I", range(items * repeats))
        rng.shuffle(blocks)
        orders = bytearray()  # of the lanes, block by block: there are no more than eight
        for _ in blocks:
            orders += bytes(rng.sample(range(lanes), lanes))
        return {
            lane.id: self._of_lane(number, blocks, orders) for number, lane in enumerate(self._plan.lanes)
        }

    def _of_lane(self, lane: int, blocks: Sequence[int], orders: bytearray) -> Iterator[ModelCall]:
        lanes = len(self._plan.lanes)
        for place, block in enumerate(blocks):
            item, repeat = divmod(block, self._plan.repeats)
            call = self._next(item, repeat, lane, place=orders.index(lane, place * lanes) + 1)
            if call is not None:
                yield call

    def _next(
        self, item: int, repeat: int, lane: int, *, place: int = 0, again: bool = True
    ) -> ModelCall | None:
        """Return the call for the next step; None if there is none, or it has failed and is not to be
        retried. item, lane: their numbers in the plan. place: in the order of all calls.
        """
        step, failed = self._results.progress(item, repeat, lane)
        if step == self._results.steps(item) or (failed and not (again and self._retry_failed)):
            return None
        asked, to = self._plan.items[item], self._plan.lanes[lane]
        before = self._results.conversation(item, repeat, lane) if step else []
        about = _LaneMessage(item, asked, step, repeat, to, before[-1].turn.id if before else None)
        following = partial(self._next, item, repeat, lane, again=False)
        return ModelCall(
            to.id,
            self._entries[to.id],
            asked.conversation([_answer(result) for result in before]),
            partial(self._ended, about, following),
            {**to.parameters, **asked.parameters},
            to.system,
            place=place,
            last=about.last,
        )

    async def _ended(
        self,
        about: _LaneMessage,
        following: Callable[[], ModelCall | None],
        turn: EndedTurn,
        wire: str | None,
    ) -> Sequence[ModelCall]:
        created = now() - timedelta(seconds=turn.timing.total or 0)
        specs = about.checks(self._plan) if turn.error is None else ()
        files = turn.request is not None and any(
            isinstance(part, FilePart) for message in turn.request.messages for part in message.parts
        )
        made = partial(self._result, about, turn, wire, specs, created)
        if specs or files:  # either may take its time
            result = await asyncio.to_thread(made)
            await self._bursts.next()
        else:
            await self._bursts.next()
            result = made()
        await self._folder.add_result(result)
        if self._store is not None:
            await self._store.add(about.number, result, self._results)
        self._progress.result(result)
        call = None if about.last else following()
        return () if call is None else (call,)

    def _result(
        self,
        about: _LaneMessage,
        turn: EndedTurn,
        wire: str | None,
        specs: Sequence[CheckSpec],
        created: datetime,
    ) -> Result:
        item, lane = about.item, about.lane
        answered = stored(
            TurnId(new_id()),
            self._store.owner if self._store is not None else "",
            self._plan.conversations.get(lane.id, ConversationId("")),
            about.parent,
            item.messages[item.asked[about.step]],
            turn,
            parameters={**lane.parameters, **item.parameters},
            system=lane.system,
            created=created,
        )
        text = turn.answer.message.text if specs else ""
        checks = tuple(said for spec in specs if (said := check(spec, text, item)) is not None)
        receipt = receipt_of(turn, turn.entry, wire_sha256=wire)
        return Result(item.id, about.step, about.repeat, lane.id, answered, receipt, checks, item.tags)

    def _judgements(self, judge: Entry) -> Iterator[tuple[_Judgement, int, int, int]]:
        """Yield each verdict that is to be had, with the numbers of its item and its two lanes."""
        items, repeats, lanes = self._size
        for item, repeat in product(range(items), range(repeats)):
            steps = self._results.steps(item)
            whole = [lane for lane in range(lanes) if self._results.progress(item, repeat, lane)[0] == steps]
            if len(whole) < 2:
                continue
            asked = self._plan.items[item]
            for (a, b), criterion in product(combinations(whole, 2), self._plan.criteria):
                lane_a, lane_b = self._plan.lanes[a], self._plan.lanes[b]
                one = _Judgement(judge, asked, repeat, lane_a, lane_b, criterion)
                unclear = self._folder.verdicts.is_unclear(one.key)
                if unclear is None or (unclear and self._retry_failed):
                    yield one, item, a, b

    def _judge_calls(self, judge: Entry) -> Iterator[ModelCall]:
        """Yield the first call of each verdict that is to be had; the other order follows from it."""
        for one, item, *lanes in self._judgements(judge):
            courses = (self._results.conversation(item, one.repeat, lane) for lane in lanes)
            yield self._judge_call(one, [_course(one.item, results) for results in courses], ())

    def _judge_call(
        self, about: _Judgement, sides: Sequence[Sequence[Message]], said: Sequence[EndedTurn]
    ) -> ModelCall:
        """Asks with a first, or with b first if that was said already."""
        item = about.item
        first, second = (sides[1], sides[0]) if said else (sides[0], sides[1])
        asked = item.messages[: item.asked[0] + 1]
        messages = question(about.criterion, asked, first, second, item.expected)
        judged = partial(self._judged, about, sides, said)
        return ModelCall(JUDGE, about.judge, messages, judged, last=bool(said))

    async def _judged(
        self,
        about: _Judgement,
        sides: Sequence[Sequence[Message]],
        said: Sequence[EndedTurn],
        turn: EndedTurn,
        _: str | None,
    ) -> Sequence[ModelCall]:
        reply = _reply(turn)
        self._unread = 0 if reply.preference is not None else self._unread + 1
        if self._unread >= MOST_UNREAD and self.judge_stopped is None:
            self.judge_stopped = reply.reason
            self._scheduler.drop(JUDGE)
        if not said:
            return (self._judge_call(about, sides, (turn,)),)
        self._judgements_left -= 1
        found = about.verdict(said[0], turn)
        await self._bursts.next()
        await self._folder.add_verdict(found)
        self._progress.verdict(found)
        return ()


@dataclass(frozen=True, slots=True)
class _LaneMessage:
    """One message that is asked in one lane. number: the prompt's in the plan. parent: the turn before it in
    its conversation.
    """

    number: int
    item: Item
    step: int
    repeat: int
    lane: Lane
    parent: TurnId | None

    @property
    def last(self) -> bool:
        """Return whether it is the last one of its conversation."""
        return self.step == len(self.item.asked) - 1

    def checks(self, plan: Plan) -> tuple[CheckSpec, ...]:
        """Return the checks of its answer: of the last one alone, and those it can have."""
        if not self.last:
            return ()
        specs = (*self.item.checks, *plan.checks) or _EXPECTED
        known = self.item.expected is not None
        return tuple(spec for spec in specs if known or not spec.needs_expected)


@dataclass(frozen=True, slots=True)
class _Judgement:
    """Two answers to one item that a judge is to compare by one criterion."""

    judge: Entry
    item: Item
    repeat: int
    lane_a: Lane
    lane_b: Lane
    criterion: str

    @property
    def key(self) -> tuple[str, int, str, str, str]:
        return self.item.id, self.repeat, self.lane_a.id, self.lane_b.id, self.criterion

    def verdict(self, a_first: EndedTurn, b_first: EndedTurn) -> Verdict:
        return verdict(
            (self.item.id, len(self.item.asked) - 1, self.repeat),
            self.lane_a.id,
            self.lane_b.id,
            (_reply(a_first), _reply(b_first)),
            judge=self.judge.name,
            criterion=self.criterion,
            costs=(a_first.cost, b_first.cost),
        )


def _reply(turn: EndedTurn) -> Reply:
    if turn.error is not None:
        return Reply(None, f"the judge failed: {turn.error}")
    return read_reply(turn.answer.message.text)


def _answer(result: Result) -> Message:
    """Return what later steps are sent of an answer: its text, as in a session."""
    return Message("assistant", tuple(part for part in result.turn.answer if isinstance(part, TextPart)))


def _course(item: Item, results: Sequence[Result]) -> tuple[Message, ...]:
    """Return how a conversation went on from its first question: the answer, or answers and what was asked
    next.
    """
    found: list[Message] = []
    places = item.asked
    for step, result in enumerate(results):
        if step:
            found += item.messages[places[step - 1] + 1 : places[step] + 1]
        found.append(_answer(result))
    return tuple(found)
