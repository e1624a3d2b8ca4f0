"""A run of many prompts in the store: a comparison session with a round for each item, which begins anew.

results.jsonl is what a run goes on from; the store has the same for those who look at it on the page. So a
store that does not answer ends no run: nothing more is written to it, and that is said.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from chatlab.codec import message_to_json
from chatlab.compare.batch.folder import Plan, ResultKey, read_run
from chatlab.compare.batch.item import Item
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
    ids = {result.turn.id: TurnId(new_id()) for result in results.values()}
    copied = {}
    for key, result in results.items():
        parent = result.turn.parent
        turn = replace(
            result.turn,
            id=ids[result.turn.id],
            owner=owner,
            conversation=plan.conversations[result.lane],
            parent=None if parent is None else ids.get(parent),
        )
        copied[key] = replace(result, turn=turn)
    writing = BatchStore(store, owner, files)
    await writing.begin(plan, copied)
    if writing.problem is not None:
        raise StoreError(writing.problem)
    assert plan.comparison is not None
    return plan.comparison


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
        self._rounds: set[str] = set()
        self._numbers: dict[str, int] = {}
        self._writing = asyncio.Lock()

    async def begin(self, plan: Plan, results: Mapping[ResultKey, Result]) -> None:
        """Read what the session has already, and write what an earlier sitting could not."""
        if plan.comparison is None:
            self.problem = "the run was begun without a store"
            return
        self._plan = plan
        self._numbers = {item.id: number for number, item in enumerate(plan.items, 1)}
        try:
            for logged in await self._store.log(self.owner, plan.comparison):
                self._last = logged.seq
                event = event_from_data(logged.data)
                if isinstance(event, Asked):
                    self._rounds.add(event.round)
            for item in plan.items:
                if self._to_be_logged(plan, item, results):
                    for step in range(len(item.asked)):
                        for result in _results(plan, item, step, results):
                            await self._save(result)
                    await self._log_rounds(plan, item, results)
        except StoreError as exc:
            self.problem = str(exc)

    async def add(self, item: Item, result: Result, results: Mapping[ResultKey, Result]) -> None:
        """Write a result; and the item's rounds, once every lane has ended with it."""
        plan = self._plan
        if plan is None:
            return
        async with self._writing:
            if self.problem is not None:
                return
            try:
                await self._save(result)
                if self._to_be_logged(plan, item, results):
                    await self._log_rounds(plan, item, results)
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

    def _to_be_logged(self, plan: Plan, item: Item, results: Mapping[ResultKey, Result]) -> bool:
        return self._round(item, 0) not in self._rounds and _complete(plan, item, results)

    def _round(self, item: Item, step: int) -> RoundId:
        """Return the id of an item's round, which is the same in every sitting."""
        return RoundId(f"{self._numbers[item.id]}.{step + 1}")

    async def _log_rounds(self, plan: Plan, item: Item, results: Mapping[ResultKey, Result]) -> None:
        assert plan.comparison is not None
        events = []
        for step, number in enumerate(item.asked):
            round_id = self._round(item, step)
            positions = tuple(_position(one, round_id) for one in _results(plan, item, step, results))
            if positions:
                self._rounds.add(round_id)
                user = await self._taken(item.messages[number])
                events.append(event_to_data(Asked(round_id, message_to_json(user), positions)))
        logged = await self._store.append(self.owner, plan.comparison, self._last, events)
        self._last = logged[-1].seq


def _position(result: Result, round_id: RoundId) -> TurnPosition:
    return TurnPosition(result.turn.id, result.lane, round_id, result.turn.parent, result.repeat)


def _results(plan: Plan, item: Item, step: int, results: Mapping[ResultKey, Result]) -> list[Result]:
    """Return what there is of one step of an item, lane by lane."""
    keys = [(item.id, step, repeat, lane.id) for lane in plan.lanes for repeat in range(plan.repeats)]
    return [results[key] for key in keys if key in results]


def _complete(plan: Plan, item: Item, results: Mapping[ResultKey, Result]) -> bool:
    """Return whether every lane and repeat has ended with an item: with its last step, or with one that
    failed.
    """
    return all(
        any(
            (found := results.get((item.id, step, repeat, lane.id))) is not None
            and (step == len(item.asked) - 1 or found.turn.status != "finished")
            for step in range(len(item.asked))
        )
        for lane in plan.lanes
        for repeat in range(plan.repeats)
    )
