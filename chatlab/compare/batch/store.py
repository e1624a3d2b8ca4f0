"""A run of many prompts in the store: a comparison session with a round for each item, which begins anew.

results.jsonl is what a run goes on from; the store has the same for those who look at it on the page. So a
store that does not answer ends no run: nothing more is written to it, and that is said.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from chatlab.codec import message_to_json
from chatlab.compare.batch.folder import Plan, read_run
from chatlab.compare.batch.item import Item
from chatlab.compare.batch.on_disk import ResultKey, ResultsOnDisk, key_of
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
from chatlab.messages import FilePart, Message
from chatlab.store import Store, new_id
from chatlab.store.files import Files

# Each result stands in several indexes at random places: of many that are written in one transaction, a page
# of the database is written once where of few it is written for each.
_TOGETHER = 0.5  # seconds of which the results are written in one
_ENOUGH = 200  # results that are written sooner
_MOST_WAITING = 500  # results


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
    event loop. Results are written half a second later, those of that time together; of a run that is killed,
    the next sitting writes what is left.
    """

    def __init__(self, store: Store, owner: str, files: Files | None = None) -> None:
        self.owner = owner
        self.problem: str | None = None
        self._store = store
        self._files = files
        self._plan: Plan | None = None
        self._last = 0  # the log's last entry
        self._logged = bytearray()  # by the items' numbers, whether their rounds are in the log
        self._writing: asyncio.Task[None] | None = None
        self._over = False
        self._hurry = asyncio.Event()  # what waits is to be written now
        self._waiting: list[tuple[int, Result]] = []  # with their prompts' numbers, to be written next
        self._positions: dict[ResultKey, TurnPosition] = {}  # of what was written, until its rounds are
        self._change: Callable[[Result], Result] = lambda result: result

    async def begin(
        self, plan: Plan, results: ResultsOnDisk, change: Callable[[Result], Result] | None = None
    ) -> None:
        """Read what the session has already, and write what an earlier sitting could not. change: makes a
        result into what is stored of it in a copy, which is without the prompts that not all lanes have ended
        with.
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
            wanted = results.begun if change is None else results.ended
            for number in range(len(plan.items)):
                if not self._logged[number] and wanted(number):
                    item = plan.items[number]
                    keys = [key for step in range(len(item.asked)) for key in _keys(plan, item, step)]
                    await self._save([(number, results[key]) for key in keys if key in results])
                    if results.ended(number):
                        await self._log_rounds(plan, [number], results)
        except StoreError as exc:
            self.problem = str(exc)

    async def add(self, item: int, result: Result, results: ResultsOnDisk) -> None:
        """Have a result of the prompt of this number written soon; and its rounds, once every lane has ended
        with it. Waits if too many are to be written before.
        """
        plan = self._plan
        if plan is None or self.problem is not None:
            return
        self._waiting.append((item, result))
        if self._writing is None or self._writing.done():
            if self._writing is not None:
                self._writing.result()  # raises what is no trouble of the store: the run ends with it
            self._writing = asyncio.create_task(self._write(plan, results), name="store a run")
        if len(self._waiting) >= _ENOUGH:
            self._hurry.set()
        if len(self._waiting) >= _MOST_WAITING:
            await asyncio.wait([self._writing])

    async def end(self) -> None:
        """Write what waits, now."""
        self._over = True
        self._hurry.set()
        if self._writing is not None:
            await self._writing

    async def _write(self, plan: Plan, results: ResultsOnDisk) -> None:
        """Write what waits, until nothing does."""
        while self._waiting:
            with suppress(TimeoutError):
                async with asyncio.timeout(_TOGETHER):
                    await self._hurry.wait()
            written, self._waiting = self._waiting, []
            if not self._over:
                self._hurry.clear()
            try:
                await self._save(written)
                # An answer that waits is on the disk already, but not in the store.
                stored = dict(written).keys() - dict(self._waiting)
                ended = [one for one in dict(written) if one in stored and self._to_be_logged(one, results)]
                await self._log_rounds(plan, ended, results)
            except StoreError as exc:
                self.problem = str(exc)
                self._waiting.clear()

    async def _save(self, results: Sequence[tuple[int, Result]]) -> None:
        turns, receipts = [], {}
        for item, one in results:
            result = self._change(one)
            turn = result.turn
            if any(isinstance(part, FilePart) for part in (*turn.user.parts, *turn.answer)):
                answer = await self._taken(Message("assistant", turn.answer))
                turn = replace(turn, user=await self._taken(turn.user), answer=answer.parts)
            turns.append(turn)
            if result.receipt is not None:
                receipts[turn.id] = receipt_to_json(result.receipt)
            if not self._logged[item]:
                self._positions[key_of(result)] = _position(item, result)
        await self._store.save(turns, receipts=receipts)

    async def _taken(self, message: Message) -> Message:
        return message if self._files is None else await self._files.taken(message)

    def _to_be_logged(self, item: int, results: ResultsOnDisk) -> bool:
        return not self._logged[item] and results.ended(item)

    async def _log_rounds(self, plan: Plan, numbers: Sequence[int], results: ResultsOnDisk) -> None:
        assert plan.comparison is not None
        events = []
        for number in numbers:
            item = plan.items[number]
            for step, asked in enumerate(item.asked):
                found = (self._position(number, key, results) for key in _keys(plan, item, step))
                positions = tuple(one for one in found if one is not None)
                if positions:
                    user = await self._taken(item.messages[asked])
                    events.append(event_to_data(Asked(positions[0].round, message_to_json(user), positions)))
            self._logged[number] = True
        if events:
            logged = await self._store.append(self.owner, plan.comparison, self._last, events)
            self._last = logged[-1].seq

    def _position(self, item: int, key: ResultKey, results: ResultsOnDisk) -> TurnPosition | None:
        """Return where an answer stands, read from the disk if it is of an earlier sitting; None if there is
        none.
        """
        known = self._positions.pop(key, None)
        return known or (_position(item, self._change(results[key])) if key in results else None)


def _keys(plan: Plan, item: Item, step: int) -> list[ResultKey]:
    """Return what the answers to one step of a prompt are found by, lane by lane."""
    return [(item.id, step, repeat, lane.id) for lane in plan.lanes for repeat in range(plan.repeats)]


def _position(item: int, result: Result) -> TurnPosition:
    """Return where an answer to the prompt of this number stands: in a round that is the same in every
    sitting.
    """
    round_id = RoundId(f"{item + 1}.{result.step + 1}")
    return TurnPosition(result.turn.id, result.lane, round_id, result.turn.parent, result.repeat)
