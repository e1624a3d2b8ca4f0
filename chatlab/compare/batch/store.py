"""A run of many prompts in the store: a comparison session with a round for each item, which begins anew.

results.jsonl is what a run goes on from; the store has the same for those who look at it on the page. So a
store that does not answer ends no run: nothing more is written to it, and that is said.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from chatlab.codec import message_to_json
from chatlab.compare.batch.folder import Plan, read_run
from chatlab.compare.batch.item import Item
from chatlab.compare.batch.on_disk import ResultsOnDisk
from chatlab.compare.model import Result
from chatlab.compare.model_json import receipt_to_json
from chatlab.compare.session.events import (
    Asked,
    LaneAdded,
    Opened,
    SessionEvent,
    TurnPosition,
    event_from_data,
    event_to_data,
)
from chatlab.errors import StoreError
from chatlab.ids import ConversationId, LaneId, RoundId, TurnId
from chatlab.messages import Message
from chatlab.store import Store, new_id
from chatlab.store.files import Files


async def make_comparison(store: Store, owner: str, plan: Plan) -> Plan:
    """Return the plan, with a new session in the store that has its lanes, no rounds. Raises StoreError."""
    session = await store.create_comparison(owner, title=plan.title)
    conversations: dict[LaneId, ConversationId] = {}
    for lane in plan.lanes:
        made = await store.create(owner, title=lane.label, comparison=session.id)
        conversations[lane.id] = made.id
    events: list[SessionEvent] = [Opened(repeats=plan.repeats, criteria=plan.criteria)]
    events += [LaneAdded(lane, conversations[lane.id]) for lane in plan.lanes]
    await store.append(owner, session.id, 0, [event_to_data(event) for event in events])
    return replace(plan, comparison=session.id, conversations=conversations)


async def copy_run(store: Store, owner: str, path: Path, files: Files | None = None) -> str:
    """Make a session of its own of what the folder of a run has so far, and return its id.

    Prompts that not all lanes have ended with are left out. Takes seconds for thousands of answers. Raises
    StoreError.
    """
    plan, results = await asyncio.to_thread(read_run, path)
    plan = await make_comparison(store, owner, plan)
    writing = BatchStore(store, owner, files)
    await writing.begin(plan, results, _Copies(plan, owner))
    if writing.problem is not None:
        raise StoreError(writing.problem)
    assert plan.comparison is not None
    return plan.comparison


class _Copies:
    """Makes results into those of another session, whose turns have ids of their own."""

    def __init__(self, plan: Plan, owner: str) -> None:
        self._plan = plan
        self._owner = owner
        self._ids: dict[TurnId, TurnId] = {}

    def __call__(self, result: Result) -> Result:
        turn = result.turn
        new = self._ids.setdefault(turn.id, TurnId(new_id()))
        parent = None if turn.parent is None else self._ids.get(turn.parent)
        conversation = self._plan.conversations[result.lane]
        turn = replace(turn, id=new, owner=self._owner, conversation=conversation, parent=parent)
        return replace(result, turn=turn)


class BatchStore:
    """Writes a run's results to its session. problem: why it does so no longer.

    files: where attachments are stored, which the stored turns then name by their content. It belongs to the
    event loop; one result is written at a time.
    """

    def __init__(self, store: Store, owner: str, files: Files | None = None) -> None:
        self.owner = owner
        self.problem: str | None = None
        self._store = store
        self._files = files
        self._plan: Plan | None = None
        self._last = 0  # the log's last entry
        self._logged = bytearray()  # by the items' numbers, whether their rounds are in the log
        self._writing = asyncio.Lock()
        self._change: Callable[[Result], Result] = lambda result: result

    async def begin(
        self, plan: Plan, results: ResultsOnDisk, change: Callable[[Result], Result] | None = None
    ) -> None:
        """Read what the session has already, and write what an earlier sitting could not. change: makes a
        result into what is stored of it.
        """
        if plan.comparison is None:
            self.problem = "the run was begun without a store"
            return
        self._plan = plan
        self._change = change or self._change
        self._logged = bytearray(len(plan.items))
        try:
            for logged in await self._store.log(self.owner, plan.comparison):
                self._last = logged.seq
                event = event_from_data(logged.data)
                if isinstance(event, Asked):
                    self._logged[int(event.round.partition(".")[0]) - 1] = True
            for number, item in enumerate(plan.items):
                if self._to_be_logged(number, results):
                    for step in range(len(item.asked)):
                        for result in self._results(plan, item, step, results):
                            await self._save(result)
                    await self._log_rounds(plan, number, results)
        except StoreError as exc:
            self.problem = str(exc)

    async def add(self, item: Item, result: Result, results: ResultsOnDisk) -> None:
        """Write a result; and the item's rounds, once every lane has ended with it."""
        plan = self._plan
        if plan is None:
            return
        async with self._writing:
            if self.problem is not None:
                return
            try:
                await self._save(result)
                number = results.place(item.id)
                if self._to_be_logged(number, results):
                    await self._log_rounds(plan, number, results)
            except StoreError as exc:
                self.problem = str(exc)

    async def _save(self, result: Result) -> None:
        turn = result.turn
        answer = await self._taken(Message("assistant", turn.answer))
        stored = replace(turn, user=await self._taken(turn.user), answer=answer.parts)
        receipts = {} if result.receipt is None else {turn.id: receipt_to_json(result.receipt)}
        await self._store.save([stored], receipts=receipts)

    async def _taken(self, message: Message) -> Message:
        return message if self._files is None else await self._files.taken(message)

    def _to_be_logged(self, item: int, results: ResultsOnDisk) -> bool:
        return not self._logged[item] and results.ended(item)

    async def _log_rounds(self, plan: Plan, number: int, results: ResultsOnDisk) -> None:
        assert plan.comparison is not None
        events = []
        item = plan.items[number]
        for step, asked in enumerate(item.asked):
            round_id = RoundId(f"{number + 1}.{step + 1}")  # the same in every sitting
            positions = tuple(_position(one, round_id) for one in self._results(plan, item, step, results))
            if positions:
                user = await self._taken(item.messages[asked])
                events.append(event_to_data(Asked(round_id, message_to_json(user), positions)))
        self._logged[number] = True
        logged = await self._store.append(self.owner, plan.comparison, self._last, events)
        self._last = logged[-1].seq

    def _results(self, plan: Plan, item: Item, step: int, results: ResultsOnDisk) -> list[Result]:
        """Return what there is of one step of an item, lane by lane."""
        keys = [(item.id, step, repeat, lane.id) for lane in plan.lanes for repeat in range(plan.repeats)]
        return [self._change(results[key]) for key in keys if key in results]


def _position(result: Result, round_id: RoundId) -> TurnPosition:
    return TurnPosition(result.turn.id, result.lane, round_id, result.turn.parent, result.repeat)
