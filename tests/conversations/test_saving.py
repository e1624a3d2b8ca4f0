"""Saving: the message first, the answer as it grows, its end, and a database that goes away meanwhile."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, closing
from dataclasses import replace
from pathlib import Path
from time import perf_counter, thread_time
from typing import Any

import pytest

from backends.echo import EchoBackend
from chatlab.config.models import BackendConfig
from chatlab.config.registry import Entry
from chatlab.conversations.saving import NewConversation, Saving
from chatlab.conversations.turn_state import as_it_is, stored
from chatlab.errors import BackendError
from chatlab.messages import Message, TextDelta, TextPart
from chatlab.store import (
    BegunConversation,
    NotStored,
    Store,
    StoredConversation,
    StoredTurn,
    Unreachable,
    new_id,
    now,
)
from chatlab.store.sql import open_store
from chatlab.turns.turn import Turn, run_turn

OWNER = "ann"


class Memory(Store):
    """Conversations and turns in memory, in a database that can be told to go away."""

    def __init__(self) -> None:
        self.known: dict[str, StoredConversation] = {}
        self.rows: dict[str, StoredTurn] = {}
        self.saves: list[list[StoredTurn]] = []
        self.created: list[str] = []
        self.trouble: Callable[[], Awaitable[None]] | None = None
        self.poison: Exception | None = None
        self.asked = asyncio.Semaphore(0)

    async def _reached(self) -> None:
        self.asked.release()
        if self.trouble is not None:
            await self.trouble()

    def _make(self, one: BegunConversation) -> None:
        if one.id not in self.known:
            self.created.append(one.id)
            self.known[one.id] = StoredConversation(
                one.id, one.owner, one.title, now(), now(), comparison=one.comparison
            )

    async def create(self, owner: str, *, conversation_id: str, **_: Any) -> StoredConversation:  # type: ignore[override]
        self._make(BegunConversation(conversation_id, owner))
        return self.known[conversation_id]

    async def get(self, owner: str, conversation: str) -> StoredConversation:
        if conversation not in self.known:
            raise NotStored("refusal.no-conversation")
        return self.known[conversation]

    async def save(
        self, turns: Sequence[StoredTurn], new: Sequence[BegunConversation] = (), receipts: Any = None
    ) -> None:
        await self._reached()
        if any(turn.conversation not in {*self.known, *(one.id for one in new)} for turn in turns):
            raise NotStored("refusal.no-conversation")
        if self.poison and any(turn.user.text == "poison" for turn in turns):
            raise self.poison
        for one in new:
            self._make(one)
        self.saves.append(list(turns))
        self.rows |= {turn.id: turn for turn in turns}

    async def aclose(self) -> None:
        return None


Memory.__abstractmethods__ = frozenset()  # type: ignore[attr-defined]  # saving asks for nothing else


async def refuse_connections() -> None:
    raise Unreachable("connection refused")


def entry(**options: Any) -> Entry:
    return Entry("echo", BackendConfig(kind="echo", options=EchoBackend.Options(**options)), EchoBackend)


def ask(text: str = "one two three", conversation: str = "c", **options: Any) -> tuple[StoredTurn, Turn]:
    user = Message.of("user", text)
    turn = run_turn(entry(**options), [user])
    return stored(new_id(), OWNER, conversation, None, user, turn), turn


async def play(saving: Saving, begun: StoredTurn, turn: Turn, new: NewConversation | None = None) -> None:
    """As a front end does it."""
    await saving.begin(begun, turn, new)
    error = None
    try:
        async with turn:
            try:
                async for _ in turn.batches():
                    pass
            except BackendError as exc:
                error = f"{exc}, incident 1"
    finally:
        saving.end(begun, turn, error)
    await saving.written(begun.id)


@pytest.fixture
async def memory() -> Memory:
    store = Memory()
    await store.create(OWNER, conversation_id="c")
    return store


async def test_the_message_is_committed_before_the_backend_is_called(memory: Memory) -> None:
    saving = Saving(memory)
    begun, turn = ask()
    await saving.begin(begun, turn)
    assert turn.request is None
    kept = memory.rows[begun.id]
    assert (kept.user.text, kept.status, kept.answer) == ("one two three", "running", ())
    await saving.aclose()


async def test_a_finished_turn_is_kept_whole(memory: Memory) -> None:
    saving = Saving(memory)
    begun, turn = ask(
        reasoning="hm", tools=({"name": "f", "result": "1"},), citations=({"title": "a source"},)
    )
    await play(saving, begun, turn)
    kept = memory.rows[begun.id]
    assert kept.status == "finished"
    assert kept.answer == turn.answer.parts
    assert kept.finish == turn.answer.finish
    assert kept.timing == turn.timing
    assert list(kept.citations) == turn.answer.citations
    assert set(kept.tool_seconds) == {"call_1"}
    assert kept.sent == {}
    assert (kept.backend, kept.kind, kept.label) == ("echo", "echo", "echo")
    assert saving.unsaved(begun.id) is None


async def test_a_failed_turn_keeps_what_arrived_and_the_sentence_the_person_read(memory: Memory) -> None:
    saving = Saving(memory)
    begun, turn = ask(fail={"after": 2})
    await play(saving, begun, turn)
    kept = memory.rows[begun.id]
    assert kept.status == "failed"
    assert kept.answer == (TextPart("one two"),)
    assert kept.error is not None and kept.error.endswith(", incident 1")


async def test_a_growing_answer_is_checkpointed_and_never_written_without_news(memory: Memory) -> None:
    saving = Saving(memory, every=0.02)
    begun, turn = ask(stall={"seconds": 60, "after": 2})
    await saving.begin(begun, turn)
    async with turn:
        while memory.rows[begun.id].answer != (TextPart("one two"),):
            await memory.asked.acquire()
        writes = len(memory.saves)
        await asyncio.sleep(0.1)  # five checkpoints in which nothing arrives
        assert len(memory.saves) == writes
    saving.end(begun, turn)
    await saving.written(begun.id)
    assert memory.rows[begun.id].status == "stopped"


async def test_all_running_turns_are_checkpointed_in_one_transaction(memory: Memory) -> None:
    saving = Saving(memory, every=0.1)
    turns = [ask(stall={"seconds": 60, "after": 1}) for _ in range(20)]
    for begun, turn in turns:
        await saving.begin(begun, turn)
    begun_with = len(memory.saves)
    for _, turn in turns:
        await turn.__aenter__()
    while not all(row.answer for row in memory.rows.values()):
        await memory.asked.acquire()
    assert len(memory.saves) - begun_with <= 3
    await saving.aclose()
    assert {row.status for row in memory.rows.values()} == {"interrupted"}
    assert all(row.answer == (TextPart("one"),) for row in memory.rows.values())


async def test_nothing_runs_when_nothing_streams(memory: Memory) -> None:
    saving = Saving(memory)
    await play(saving, *ask())
    while [task for task in asyncio.all_tasks() if task.get_name() == "saving"]:
        await asyncio.sleep(0)
    await play(saving, *ask())
    assert len(memory.rows) == 2


async def test_a_conversation_is_made_with_its_first_turn(memory: Memory) -> None:
    saving = Saving(memory)
    begun, turn = ask(conversation="fresh")
    await play(saving, begun, turn, NewConversation("A title"))
    assert memory.known["fresh"].title == "A title"
    assert memory.rows[begun.id].status == "finished"


async def test_an_outage_from_before_the_message_costs_the_person_nothing(memory: Memory) -> None:
    saving = Saving(memory)
    memory.trouble = refuse_connections
    begun, turn = ask(conversation="fresh")
    await play(saving, begun, turn, NewConversation())
    assert turn.answer.message.text == "one two three"
    assert saving.unsaved(begun.id) == (
        "this answer is not saved: the database does not answer; it will be saved when it does"
    )
    follow_up, second = ask(conversation="fresh")
    follow_up = replace(follow_up, parent=begun.id)
    await play(saving, follow_up, second)
    memory.trouble = None
    await until(lambda: follow_up.id in memory.rows)
    assert [turn.id for turn in memory.saves[-1]] == [begun.id, follow_up.id], "a parent before its child"
    assert memory.rows[begun.id].status == memory.rows[follow_up.id].status == "finished"
    assert saving.unsaved(begun.id) is None


async def test_an_outage_in_the_middle_of_a_stream_is_made_good(memory: Memory) -> None:
    saving = Saving(memory, every=0.02)
    begun, turn = ask(rate=100, reply="word " * 30)
    await saving.begin(begun, turn)
    memory.trouble = refuse_connections
    async with turn:
        async for _ in turn.batches():
            pass
    saving.end(begun, turn)
    await saving.written(begun.id)
    assert memory.rows[begun.id].status == "running"
    assert saving.unsaved(begun.id)
    memory.trouble = None
    await until(lambda: memory.rows[begun.id].status == "finished")
    assert memory.rows[begun.id].answer == turn.answer.parts
    assert saving.unsaved(begun.id) is None


async def test_a_database_that_hangs_is_waited_for_briefly_and_told(memory: Memory) -> None:
    hanging = asyncio.Event()
    saving = Saving(memory, patience=0.05)

    async def hang() -> None:
        await hanging.wait()

    memory.trouble = hang
    begun, turn = ask()
    start = perf_counter()
    await play(saving, begun, turn)
    assert perf_counter() - start < 10
    assert turn.outcome == "finished"
    assert saving.unsaved(begun.id)
    hanging.set()
    await until(lambda: begun.id in memory.rows and memory.rows[begun.id].status == "finished")
    assert saving.unsaved(begun.id) is None


async def test_a_write_that_never_returns_is_given_up_and_tried_again(memory: Memory) -> None:
    saving = Saving(memory, patience=0.02, answers_within=0.05)

    async def hang_once() -> None:
        memory.trouble = None
        await asyncio.Event().wait()

    memory.trouble = hang_once
    begun, turn = ask(conversation="fresh")
    await play(saving, begun, turn, NewConversation())
    await until(lambda: begun.id in memory.rows and memory.rows[begun.id].status == "finished")


async def test_a_conversation_whose_creation_came_through_unheard_is_used(memory: Memory) -> None:
    saving = Saving(memory)
    begun, turn = ask(conversation="c")  # is there already
    await saving.begin(begun, turn, NewConversation())
    assert memory.rows[begun.id].status == "running"
    await saving.aclose()


async def test_a_turn_that_the_database_refuses_keeps_no_other_from_being_saved(
    memory: Memory, caplog: pytest.LogCaptureFixture
) -> None:
    saving = Saving(memory)
    memory.poison = ValueError("cannot be encoded")
    memory.trouble = refuse_connections  # so that all of them wait together
    turns = [ask("good"), ask("poison"), ask("fine")]
    for begun, turn in turns:
        await play(saving, begun, turn)
    memory.trouble = None
    good, bad, fine = (begun.id for begun, _ in turns)
    await until(lambda: saving.unsaved(bad) == "this answer is not saved: ValueError")
    await until(lambda: fine in memory.rows)
    assert good in memory.rows and bad not in memory.rows
    assert f"turn {bad} of conversation c is not saved" in caplog.text
    assert saving.unsaved(good) is None


async def test_a_conversation_deleted_in_mid_stream_is_not_brought_back(memory: Memory) -> None:
    saving = Saving(memory)
    begun, turn = ask()
    await saving.begin(begun, turn)
    del memory.known["c"], memory.rows[begun.id]
    async with turn:
        async for _ in turn.batches():
            pass
    saving.end(begun, turn)
    await saving.written(begun.id)
    assert not memory.rows
    assert saving.unsaved(begun.id) == "this answer is not saved: its conversation is gone"


async def test_an_answer_is_given_up_after_a_while_and_that_is_said(
    memory: Memory, caplog: pytest.LogCaptureFixture
) -> None:
    saving = Saving(memory, waits_for=0)
    memory.trouble = refuse_connections
    begun, turn = ask()
    await play(saving, begun, turn)
    too_long = "this answer is not saved: the database did not answer for too long"
    await until(lambda: saving.unsaved(begun.id) == too_long)
    assert begun.id in caplog.text


async def test_what_waits_for_the_database_has_a_bound(memory: Memory) -> None:
    saving = Saving(memory, most=10_000)
    memory.trouble = refuse_connections
    turns = [ask("x" * 1_000) for _ in range(20)]
    for begun, turn in turns:
        await play(saving, begun, turn)
    lost = [begun.id for begun, _ in turns[:17]]
    await until(lambda: all("too many" in (saving.unsaved(turn_id) or "") for turn_id in lost))
    memory.trouble = None
    await until(lambda: turns[-1][0].id in memory.rows)
    assert not set(lost) & set(memory.rows)
    assert saving.unsaved(turns[-1][0].id) is None


async def test_a_person_who_leaves_before_the_message_is_saved_leaves_no_running_turn(memory: Memory) -> None:
    saving = Saving(memory)
    go_on = asyncio.Event()

    async def slow() -> None:
        await go_on.wait()

    memory.trouble = slow
    memory.asked = asyncio.Semaphore(0)
    begun, turn = ask()
    asking = asyncio.create_task(saving.begin(begun, turn))
    await memory.asked.acquire()
    asking.cancel()
    await asyncio.wait([asking])
    go_on.set()
    await until(lambda: begun.id in memory.rows and memory.rows[begun.id].status == "stopped")


async def test_shutting_down_saves_what_runs_as_interrupted(memory: Memory) -> None:
    saving = Saving(memory)
    begun, turn = ask(stall={"seconds": 60, "after": 2})
    await saving.begin(begun, turn)
    await turn.__aenter__()
    async for _ in turn.batches():
        if turn.answer.message.text == "one two":
            break
    await saving.aclose()
    assert turn.outcome == "stopped"
    assert memory.rows[begun.id].status == "interrupted"
    assert memory.rows[begun.id].answer == (TextPart("one two"),)
    saving.end(begun, turn)  # what the front end does next; there is nothing left to do
    assert len([task for task in asyncio.all_tasks() if task.get_name() == "saving"]) == 0


async def test_shutting_down_in_an_outage_ends_and_says_what_is_lost(
    memory: Memory, caplog: pytest.LogCaptureFixture
) -> None:
    saving = Saving(memory)
    memory.trouble = refuse_connections
    begun, turn = ask()
    await play(saving, begun, turn)
    await saving.aclose()
    assert f"turn {begun.id} of conversation c is not saved" in caplog.text
    assert not memory.rows


async def test_all_of_it_with_a_real_database(tmp_path: Path) -> None:
    """A database that somebody else has locked is away; when the lock is gone, nothing is lost."""
    async with AsyncExitStack() as opened:
        store = await open_store("sqlite:chats.db", tmp_path)
        opened.push_async_callback(store.aclose)
        saving = Saving(store, every=0.05, patience=1)
        begun, turn = ask(conversation="fresh", rate=50, reply="word " * 60)
        await saving.begin(begun, turn, NewConversation())
        async with turn:
            while not (await store.turn(OWNER, begun.id)).answer:
                await turn.pause(0.01)
            with closing(sqlite3.connect(tmp_path / "chats.db", isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                async for _ in turn.batches():
                    pass
                saving.end(begun, turn)
                await saving.written(begun.id)
                assert saving.unsaved(begun.id)
        await until(lambda: saving.unsaved(begun.id) is None)
        again, second = ask(conversation="fresh")
        await play(saving, replace(again, parent=begun.id), second)
        await saving.aclose()
    store = await open_store("sqlite:chats.db", tmp_path)
    kept = await store.turns(OWNER, "fresh")
    await store.aclose()
    assert [turn.status for turn in kept] == ["finished", "finished"]
    assert kept[0].answer == turn.answer.parts


async def test_without_a_store_everything_works_and_nothing_is_kept() -> None:
    saving = Saving(None)
    begun, turn = ask()
    await play(saving, begun, turn, NewConversation())
    assert turn.outcome == "finished"
    assert saving.unsaved(begun.id) is None
    await saving.aclose()


async def test_a_look_at_fifty_long_answers_holds_nobody_up(memory: Memory) -> None:
    """In CPU time of this thread: what a shared machine does meanwhile is not counted."""
    turns = [ask() for _ in range(50)]
    costs = []
    for _ in range(5):
        for _, turn in turns:
            for _ in range(1_000):  # about 100 tokens a second for ten seconds
                turn.answer.add(TextDelta("some more words "))
        start = thread_time()
        for begun, turn in turns:
            as_it_is(begun, turn)
        costs.append(thread_time() - start)
    assert sorted(costs)[2] < 0.02


async def until(holds: Callable[[], bool]) -> None:
    """Waits for what the writing task does on its own; pytest's timeout ends it otherwise."""
    while not holds():
        await asyncio.sleep(0.005)


@pytest.fixture(autouse=True)
def _warnings(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)


async def test_people_who_begin_together_are_committed_in_one_transaction_each_with_a_conversation(
    tmp_path: Path,
) -> None:
    store = await open_store(f"sqlite:{tmp_path / 'db.sqlite'}")
    saving = Saving(store)
    commits: list[int] = []
    save = store.save

    async def counted(turns: Sequence[StoredTurn], new: Sequence[BegunConversation] = ()) -> None:
        commits.append(len(new))
        await save(turns, new)

    store.save = counted  # type: ignore[method-assign]  # it saves as before, and is counted
    asked = [ask(f"message {n}", f"c{n}") for n in range(50)]
    await asyncio.gather(*(saving.begin(*one, NewConversation()) for one in asked))
    assert sum(commits) == 50 and len(commits) <= 2
    listed = (await store.recent(OWNER, limit=100)).conversations
    assert {one.title for one in listed} == {f"message {n}" for n in range(50)}
    for one in asked:
        saving.end(*one)
    await saving.aclose()
    await store.aclose()


async def test_a_conversation_of_somebody_else_is_not_written_to_by_beginning_it_again(
    tmp_path: Path,
) -> None:
    store = await open_store(f"sqlite:{tmp_path / 'db.sqlite'}")
    await store.create("bob", title="Bob's", conversation_id="c")
    begun, turn = ask()
    with pytest.raises(NotStored):
        await store.save([begun], [BegunConversation("c", OWNER)])
    assert await store.turns("bob", "c") == []
    await turn.aclose()
    begun, turn = ask(conversation="mine")
    for _ in range(2):  # the answer to the first was lost on its way
        await store.save([begun], [BegunConversation("mine", OWNER)])
    assert [one.id for one in await store.turns(OWNER, "mine")] == [begun.id]
    await turn.aclose()
    await store.aclose()
