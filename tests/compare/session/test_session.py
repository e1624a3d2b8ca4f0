"""Comparison sessions: what can be done with one, what it keeps, and that no lane feels another."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from chatlab.backend import CallContext
from chatlab.codec import message_to_json
from chatlab.compare.model import Lane
from chatlab.compare.report.from_session import comparison_of
from chatlab.compare.session.events import (
    EVENT_TYPES,
    Asked,
    CheckedOut,
    LaneAdded,
    Opened,
    Retried,
    SessionError,
    SessionEvent,
    TurnPosition,
    Voted,
    event_from_data,
    event_to_data,
)
from chatlab.compare.session.from_chat import chat_path
from chatlab.compare.session.open_sessions import OpenSessions
from chatlab.compare.session.reduce import reduce, reduce_log, reduced
from chatlab.compare.session.session import ComparisonSession
from chatlab.compare.session.state import SessionState, prompt
from chatlab.config.models import CompareLane
from chatlab.config.registry import Entry
from chatlab.conversations.saving import Saving
from chatlab.errors import ChatlabError, StoreError
from chatlab.ids import TurnId
from chatlab.messages import FilePart, Message, TextPart
from chatlab.store import Conflict, NotStored, Store, StoredTurn
from chatlab.store.files import Files
from chatlab.store.sql import open_store
from chatlab.turns.turn import Turn
from tests.compare.session.scripted import script, scripted


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await open_store(f"sqlite:{tmp_path}/sessions.db")
    yield opened
    await opened.aclose()


@pytest.fixture
async def saving(store: Store) -> AsyncIterator[Saving]:
    made = Saving(store)
    yield made
    await made.aclose()


def lane(session: ComparisonSession, label: str) -> Lane:
    return next(lane for lane in session.state.lanes if lane.label == label)


def head(session: ComparisonSession, label: str) -> Any:
    turn_id = session.state.heads[lane(session, label).id]
    assert turn_id is not None
    return session.turn(turn_id)


def text(session: ComparisonSession, label: str) -> str:
    return Message("assistant", head(session, label).answer).text


def sent(backends: dict[str, Entry], name: str) -> list[str]:
    """What a backend was sent last, the texts alone."""
    return [message.text for message in script(backends, name).requests[-1].messages]


async def made(
    backends: dict[str, Entry], store: Store | None, saving: Saving | None, **opened: Any
) -> ComparisonSession:
    return await ComparisonSession.create(
        backends, list(backends), owner="me", opened=Opened(**opened), store=store, saving=saving
    )


# -- lanes run beside each other


async def test_all_lanes_start_together_and_one_that_stalls_or_fails_harms_no_other() -> None:
    backends = scripted("a", "b", "stalls", "fails", "breaks")
    script(backends, "stalls").hold = asyncio.Event()
    script(backends, "fails").fail = "start"
    script(backends, "breaks").fail = "middle"
    session = await made(backends, None, None)
    await session.ask("Hello")
    assert session.running(lane(session, "stalls").id), "the call waits for no answer"
    async for _ in session.changes():
        if not any(session.running(lane(session, name).id) for name in ("a", "b", "fails", "breaks")):
            break
    assert (text(session, "a"), text(session, "b")) == ("a says 1", "b says 1")
    assert head(session, "fails").status == head(session, "breaks").status == "failed"
    assert "told to fail" in head(session, "fails").error
    assert text(session, "breaks") == "breaks", "what had arrived is kept"
    assert session.running(lane(session, "stalls").id) and text(session, "stalls") == "stalls"
    await session.ask("And you?", lanes=[lane(session, "a").id])
    with pytest.raises(SessionError, match="stalls is still answering"):
        await session.ask("All?")
    await session.aclose()
    assert head(session, "stalls").status == "stopped"
    assert script(backends, "stalls").open == 0, "its upstream is closed"


async def test_every_lane_has_started_when_the_call_returns_and_no_start_waits_for_an_answer() -> None:
    backends = scripted("a", "b", "c")
    hold = asyncio.Event()
    for name in backends:
        script(backends, name).hold = hold
    session = await made(backends, None, None)
    await session.ask("Hello")
    assert {task.get_name() for task in asyncio.all_tasks()} >= {f"turn {name}" for name in backends}
    hold.set()
    await session.settled()
    assert [text(session, name) for name in backends] == ["a says 1", "b says 1", "c says 1"]
    await session.aclose()


async def test_a_session_can_be_waited_for_and_stopped_while_its_lanes_start() -> None:
    backends = scripted("a", "b", "c")
    script(backends, "a").fail = "start"
    session = await made(backends, None, None)
    asking = asyncio.create_task(session.ask("Hello", repeats=5))
    while not session.running():
        await asyncio.sleep(0)
    await session.settled()
    assert asking.done() and not session.running()
    assert text(session, "c").startswith("c says")
    again = asyncio.create_task(session.ask("And you?", repeats=5))
    while not session.running():
        await asyncio.sleep(0)
    await session.stop()
    assert again.done() and not session.running()
    assert {session.turn(one).status for one in session.state.positions} <= {
        "finished",
        "failed",
        "stopped",
    }
    await session.aclose()


async def test_stopping_one_lane_closes_its_upstream_keeps_its_text_and_leaves_the_others() -> None:
    backends = scripted("a", "b")
    holds = [asyncio.Event(), asyncio.Event()]
    script(backends, "a").hold, script(backends, "b").hold = holds
    session = await made(backends, None, None)
    await session.ask("Hello")
    await asyncio.gather(script(backends, "a").half.wait(), script(backends, "b").half.wait())
    await session.stop(lane(session, "a").id)
    assert (head(session, "a").status, text(session, "a")) == ("stopped", "a sa")
    assert (script(backends, "a").open, script(backends, "b").open) == (0, 1)
    holds[1].set()
    await session.settled()
    assert (head(session, "b").status, text(session, "b")) == ("finished", "b says 1")
    script(backends, "a").hold = script(backends, "b").hold = asyncio.Event()
    await session.ask("Again")
    await session.stop()
    assert head(session, "a").status == head(session, "b").status == "stopped"
    await session.aclose()


async def test_a_message_that_got_no_answer_is_not_sent_again_and_the_lane_says_so() -> None:
    backends = scripted("a", "b")
    script(backends, "a").fail = "start"
    session = await made(backends, None, None)
    await session.ask("One")
    await session.settled()
    script(backends, "a").fail = ""
    await session.ask("Two")
    await session.settled()
    assert sent(backends, "a") == ["Two"]
    assert sent(backends, "b") == ["One", "b says 1", "Two"]
    assert [notice.kind for notice in head(session, "a").notices] == ["history_truncated"]
    await session.aclose()


async def test_readers_get_what_changed_at_their_own_pace_and_end_with_the_session() -> None:
    backends = scripted("a", "b")
    session = await made(backends, None, None)
    changes = session.changes()
    first = await anext(changes)
    assert first.state and not first.lanes
    for number in range(20):
        await session.ask(f"Message {number}")
        await session.settled()
    second = await anext(changes)
    assert second.state and second.lanes == {lane.id for lane in session.state.lanes}
    assert session.watched
    waiting = asyncio.ensure_future(anext(changes))
    await asyncio.sleep(0)
    assert not waiting.done(), "twenty rounds are one change to whoever did not look"
    await session.aclose()
    with pytest.raises(StopAsyncIteration):
        await waiting
    assert not session.watched


async def test_a_cancelled_caller_leaves_a_whole_round_behind(store: Store, saving: Saving) -> None:
    backends = scripted("a", "b")
    session = await made(backends, store, saving)
    asking = asyncio.create_task(session.ask("Hello"))
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await session.settled()
    assert (text(session, "a"), text(session, "b")) == ("a says 1", "b says 1")
    await session.ask("Again")
    await session.aclose()


async def test_the_identity_goes_with_the_call_and_is_stored_nowhere_but_with_the_turn() -> None:
    backends = scripted("a")
    session = await made(backends, None, None)
    round_id = await session.ask("Hello", ctx=CallContext(identity="ada@example.com"))
    await session.settled()
    assert script(backends, "a").contexts[-1].identity == "ada@example.com"
    (receipt,) = session.receipts(round_id).values()
    assert receipt.identity == head(session, "a").asked_by == "ada@example.com"
    assert head(session, "a").asked_as == "ada@example.com"
    await session.ask("Hello")
    await session.settled()
    assert script(backends, "a").contexts[-1].identity is None
    assert head(session, "a").asked_as is None
    await session.aclose()


# -- own and shared history


async def test_in_shared_mode_all_go_on_from_the_answer_that_was_picked(store: Store, saving: Saving) -> None:
    backends = scripted("a", "b", "c")
    script(backends, "c").fail = "start"
    session = await made(backends, store, saving, mode="shared")
    await session.ask("One")
    await session.settled()
    with pytest.raises(SessionError, match="Pick the answer"):
        await session.ask("Two")
    with pytest.raises(SessionError, match="nothing to go on from"):
        await session.pick(head(session, "c").id)
    mine, theirs = head(session, "a"), head(session, "b")
    await session.pick(mine.id)
    await session.pick(theirs.id)
    script(backends, "c").fail = ""
    await session.ask("Two")
    await session.settled()
    for name in backends:
        assert sent(backends, name) == ["One", "b says 1", "Two"]
    copy = session.turn(session.state.history(lane(session, "a").id)[0].turn)
    assert (copy.copied_from, copy.backend, copy.answer) == (theirs.id, "b", theirs.answer)
    conversation = session.state.conversations[lane(session, "a").id]
    kept = {turn.id: turn.answer for turn in await store.turns("me", conversation)}
    assert kept[mine.id] == mine.answer, "nothing was overwritten"
    with pytest.raises(SessionError, match="last message"):
        await session.pick(mine.id)
    await session.aclose()


async def test_a_lane_that_was_asked_more_than_the_picked_one_goes_back_to_the_picked_answer() -> None:
    backends = scripted("a", "b")
    session = await made(backends, None, None, mode="shared")
    await session.ask("One")
    await session.settled()
    picked = head(session, "a").id
    await session.pick(picked)
    await session.ask("Two", lanes=[lane(session, "b").id])
    await session.settled()
    await session.pick(picked)
    await session.ask("Three")
    await session.settled()
    assert sent(backends, "a") == sent(backends, "b") == ["One", "a says 1", "Three"]
    await session.aclose()


async def test_changing_to_shared_history_takes_one_pick_and_back_takes_none() -> None:
    backends = scripted("a", "b")
    session = await made(backends, None, None)
    for message in ("One", "Two"):
        await session.ask(message)
        await session.settled()
    await session.set_mode("shared")
    with pytest.raises(SessionError, match="Pick the answer"):
        await session.ask("Three")
    await session.pick(head(session, "b").id)
    await session.set_mode("own")
    await session.ask("Three")
    await session.settled()
    assert sent(backends, "a") == ["One", "b says 1", "Two", "b says 2", "Three"]
    assert sent(backends, "b") == ["One", "b says 1", "Two", "b says 2", "Three"]
    await session.aclose()


async def test_of_repeats_any_can_be_gone_on_from() -> None:
    backends = scripted("a", "b")
    session = await made(backends, None, None, repeats=3)
    round_id = await session.ask("One")
    await session.settled()
    ids = session.state.round(round_id).turns[lane(session, "a").id]
    assert len(ids) == 3 and len({session.turn(turn_id).answer for turn_id in ids}) == 3
    await session.pick(ids[2])
    await session.ask("Two", repeats=1)
    await session.settled()
    assert sent(backends, "a")[1] == Message("assistant", session.turn(ids[2]).answer).text
    assert len(script(backends, "a").requests) == 4
    await session.aclose()


# -- undo, edit, retry, lanes


async def test_edit_retry_and_undo_make_siblings_and_lose_nothing(store: Store, saving: Saving) -> None:
    backends = scripted("a", "b")
    session = await made(backends, store, saving)
    first = await session.ask("One")
    await session.settled()
    second = await session.ask("Two")
    await session.settled()
    await session.retry(second, lanes=[lane(session, "a").id])
    await session.settled()
    assert (sent(backends, "a"), text(session, "a")) == (["One", "a says 1", "Two"], "a says 3")
    assert text(session, "b") == "b says 2"
    edited = await session.edit(first, "One, but better")
    await session.settled()
    assert sent(backends, "a") == ["One, but better"]
    assert [one.id for one in session.state.visible] == [edited]
    assert (await session.undo()).text == "One, but better"
    assert session.state.visible == ()
    with pytest.raises(SessionError, match="nothing to take back"):
        await session.undo()
    conversation = session.state.conversations[lane(session, "a").id]
    assert len(await store.turns("me", conversation)) == 4
    await session.aclose()


async def test_versions_and_answers_are_checked_out_and_what_followed_them_is_there_again(
    store: Store, saving: Saving
) -> None:
    backends = scripted("a", "b")
    session = await made(backends, store, saving)
    first = await session.ask("One")
    await session.settled()
    await session.ask("Two")
    await session.settled()
    edited = await session.edit(first, "Three")
    await session.settled()
    a = lane(session, "a").id
    await session.retry(edited, lanes=[a])
    await session.settled()
    await session.to_version(first)
    assert [one.user.text for one in session.state.visible] == ["One", "Two"]
    assert (text(session, "a"), text(session, "b")) == ("a says 2", "b says 2")
    await session.to_answer(edited, a, 0)
    assert text(session, "a") == "a says 3" and text(session, "b") == "b says 2"
    assert [one.user.text for one in session.state.visible] == ["One", "Three", "Two"]
    await session.aclose()
    session = await ComparisonSession.open(backends, session.id, owner="me", store=store, saving=saving)
    await session.to_version(edited)
    assert [one.user.text for one in session.state.visible] == ["Three"]
    assert (text(session, "a"), text(session, "b")) == ("a says 3", "b says 3")
    seen = session.state.seq
    await session.to_version(edited)
    await session.to_answer(edited, a, 0)
    assert session.state.seq == seen, "they stand there"
    await session.ask("Four")
    await session.settled()
    assert sent(backends, "a") == ["Three", "a says 3", "Four"]
    with pytest.raises(SessionError, match="no such answer"):
        await session.to_answer(edited, a, 2)
    with pytest.raises(SessionError, match="no such message"):
        await session.to_version("nowhere")
    await session.aclose()


async def test_nobody_is_taken_away_from_an_answer_that_is_being_given() -> None:
    backends = scripted("a", "b")
    session = await made(backends, None, None)
    first = await session.ask("One")
    await session.settled()
    script(backends, "b").hold = asyncio.Event()
    edited = await session.edit(first, "Two")
    with pytest.raises(SessionError, match="is still answering"):
        await session.to_version(first)
    assert {place.round for one in session.state.lanes for place in session.state.history(one.id)} == {edited}
    await session.aclose()


async def test_while_names_are_hidden_no_refusal_tells_which_lane_is_still_answering() -> None:
    backends = scripted("a", "b")
    script(backends, "b").hold = asyncio.Event()
    session = await made(backends, None, None, blind=True, mode="shared")
    round_id = await session.ask("One")
    async for _ in session.changes():
        if not session.running(lane(session, "a").id):
            break
    said = set()
    for one in session.state.lanes:
        with pytest.raises(SessionError) as refused:
            await session.pick(session.state.round(round_id).turns[one.id][0])
        said.add(str(refused.value))
    with pytest.raises(SessionError) as refused:
        await session.ask("Two")
    assert said == {str(refused.value)} == {"The lanes are still answering: wait for them, or stop them"}
    await session.aclose()


async def test_a_mismatch_is_said_of_the_answer_that_was_sent_the_wrong_and_of_no_other() -> None:
    backends = scripted("a", "b")
    session = await made(backends, None, None)
    round_id = await session.ask("One")
    await session.settled()
    a = lane(session, "a").id
    given = session._record.receipts.by_turn[head(session, "a").id]
    wrong = replace(given, messages=(Message.of("user", "Another"),))
    session._record.receipts.by_turn[head(session, "a").id] = wrong
    await session.retry(round_id, lanes=[a])
    await session.settled()
    assert session.mismatches(round_id) == ()
    await session.to_answer(round_id, a, 0)
    assert {one.lanes[0] for one in session.mismatches(round_id)} == {a}
    await session.to_answer(round_id, a, 1)
    assert session.mismatches(round_id) == ()
    await session.aclose()


async def test_what_still_runs_is_stopped_when_its_message_is_edited_or_taken_back() -> None:
    backends = scripted("a", "b")
    script(backends, "a").hold = asyncio.Event()
    session = await made(backends, None, None)
    round_id = await session.ask("One")
    stopped = head(session, "a").id
    await session.edit(round_id, "Another")
    assert session.turn(stopped).status == "stopped"
    await session.undo()
    assert not session.running() and script(backends, "a").open == 0
    await session.aclose()


async def test_a_swapped_lane_is_another_lane_and_begins_without_the_old_ones_answers() -> None:
    backends = scripted("a", "b", "c")
    session = await ComparisonSession.create(backends, ["a", "b"], owner="me")
    await session.ask("One")
    await session.settled()
    old = lane(session, "a")
    new = await session.swap(old.id, CompareLane(backend="c", parameters={"temperature": 1}))
    assert new.id != old.id and [lane.label for lane in session.state.lanes] == ["c", "b"]
    assert session.state.removed == (old,)
    await session.rerun(new.id)
    await session.settled()
    await session.ask("Two")
    await session.settled()
    assert sent(backends, "c") == ["One", "c says 1", "Two"]
    assert script(backends, "c").requests[-1].parameters == {"temperature": 1}
    await session.aclose()


async def test_a_rerun_asks_one_after_the_other_and_ends_at_a_failure_or_a_stop() -> None:
    backends = scripted("a", "b")
    session = await made(backends, None, None)
    for message in ("One", "Two", "Three"):
        await session.ask(message)
        await session.settled()
    mine = lane(session, "a").id
    await session.rerun(mine)
    await session.settled()
    assert sent(backends, "a") == ["One", "a says 4", "Two", "a says 5", "Three"]
    script(backends, "a").fail = "middle"
    await session.rerun(mine)
    await session.settled()
    assert len(script(backends, "a").requests) == 7 and len(session.state.history(mine)) == 1
    script(backends, "a").fail, script(backends, "a").hold = "", asyncio.Event()
    script(backends, "a").half.clear()
    await session.rerun(mine)
    await script(backends, "a").half.wait()
    await session.stop(mine)
    await session.settled()
    assert len(script(backends, "a").requests) == 8 and not session.running(mine)
    await session.aclose()


async def test_the_same_backend_twice_has_two_labels_and_each_its_own_settings() -> None:
    backends = scripted("a")
    spec = CompareLane(backend="a", parameters={"temperature": 0.5}, system="Be brief.")
    session = await ComparisonSession.create(backends, ["a", spec], owner="me")
    assert [lane.label for lane in session.state.lanes] == ["a", "a (2)"]
    round_id = await session.ask("One")
    await session.settled()
    one, two = session.receipts(round_id).values()
    assert ([m.text for m in one.messages], dict(one.parameters)) == (["One"], {})
    assert ([m.text for m in two.messages], dict(two.parameters)) == (
        ["Be brief.", "One"],
        {"temperature": 0.5},
    )
    assert session.mismatches(round_id) == (), "they were not meant to be sent the same"
    with pytest.raises(SessionError, match="temperature of a should be at most 2"):
        await session.add_lane(CompareLane(backend="a", parameters={"temperature": 3}))
    with pytest.raises(SessionError, match="no parameter top_p"):
        await session.add_lane(CompareLane(backend="a", parameters={"top_p": 1}))
    for _ in range(6):
        await session.add_lane("a")
    with pytest.raises(SessionError, match="at most 8 lanes"):
        await session.add_lane("a")
    await session.change_lane(CompareLane(backend="a", label="colder"), session.state.lanes[0].id)
    await session.reorder([lane.id for lane in reversed(session.state.lanes)])
    assert session.state.lanes[-1].label == "colder"
    await session.aclose()


async def test_a_lane_goes_on_in_chat_and_the_session_stays_as_it_is(store: Store, saving: Saving) -> None:
    backends = scripted("a", "b")
    session = await made(backends, store, saving)
    for message in ("One", "Two"):
        await session.ask(message)
        await session.settled()
    state = session.state
    conversation = await session.continue_in_chat(lane(session, "b").id)
    turns = await store.turns("me", conversation)
    assert [(turn.user.text, Message("assistant", turn.answer).text) for turn in turns] == [
        ("One", "b says 1"),
        ("Two", "b says 2"),
    ]
    assert turns[1].parent == turns[0].id
    assert [one.id for one in (await store.recent("me")).conversations] == [conversation]
    assert session.state == state
    await session.aclose()


# -- votes


async def test_a_vote_can_be_changed_until_the_next_message_and_all_are_kept() -> None:
    backends = scripted("a", "b")
    hold = script(backends, "a").hold = asyncio.Event()
    session = await made(backends, None, None, criteria=("correct", "tone"), reasons=("clearer", "shorter"))
    round_id = await session.ask("One")
    with pytest.raises(SessionError, match="Wait for all answers"):
        await session.vote(round_id, "tie", voter="me")
    hold.set()
    await session.settled()
    await session.vote(round_id, "tie", voter="me")
    best = lane(session, "b").id
    await session.vote(round_id, best, voter="me", reasons=["clearer"], note="much")
    await session.vote(round_id, "bad", voter="you", criterion="tone")
    assert [vote.best for vote in session.state.votes] == ["tie", best, "bad"]
    assert [vote.best for vote in session.state.current_votes] == [best, "bad"]
    given = session.state.current_votes[0]
    assert given.shown == tuple(lane.id for lane in session.state.lanes)
    assert (given.criterion, given.reasons, given.blind, given.marked) == ("correct", ("clearer",), False, ())
    with pytest.raises(SessionError, match="no criterion “taste”"):
        await session.vote(round_id, "tie", voter="me", criterion="taste")
    with pytest.raises(SessionError, match="no reason “what was written by hand”"):
        await session.vote(round_id, "tie", voter="me", reasons=["shorter", "what was written by hand"])
    with pytest.raises(SessionError, match="Vote for a lane"):
        await session.vote(round_id, "somebody", voter="me")
    await session.ask("Two")
    await session.settled()
    with pytest.raises(SessionError, match="until the next message"):
        await session.vote(round_id, "tie", voter="me")
    await session.aclose()


async def test_a_vote_is_on_the_answers_it_was_given_on() -> None:
    backends = scripted("a", "b")
    session = await made(backends, None, None)
    round_id = await session.ask("One")
    await session.settled()
    a = lane(session, "a").id
    await session.vote(round_id, "tie", voter="me")
    await session.retry(round_id, lanes=[a])
    await session.settled()
    await session.vote(round_id, "bad", voter="me")

    def on_these() -> list[str]:
        return [vote.best for vote in session.state.votes if session.state.is_current(vote)]

    assert on_these() == ["bad"]
    await session.to_answer(round_id, a, 0)
    assert on_these() == ["tie"]
    assert [vote.best for vote in comparison_of(session).votes] == ["tie"]
    await session.aclose()


# -- the store


async def test_a_session_is_the_same_after_a_restart(store: Store, saving: Saving) -> None:
    backends = scripted("a", "b")
    session = await made(backends, store, saving, mode="shared", repeats=2)
    round_id = await session.ask("One")
    await session.settled()
    await session.pick(head(session, "b").id)
    await session.vote(round_id, "tie", voter="me")
    await session.aclose()
    again = await ComparisonSession.open(backends, session.id, owner="me", store=store, saving=saving)
    assert again.state == session.state
    assert {turn_id: again.turn(turn_id) for turn_id in again.state.positions} == {
        turn_id: session.turn(turn_id) for turn_id in session.state.positions
    }
    assert (
        dict(again.receipts(round_id)) == dict(session.receipts(round_id))
        and len(again.receipts(round_id)) == 4
    )
    with pytest.raises(NotStored):
        await ComparisonSession.open(backends, session.id, owner="you", store=store, saving=saving)
    await again.aclose()


async def test_a_server_killed_right_after_an_answer_leaves_it_with_its_receipt(tmp_path: Path) -> None:
    url = f"sqlite:{tmp_path}/killed.db"
    server = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "tests.compare.session.killed", url],
        cwd=Path(__file__).resolve().parents[3],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert server.returncode == -signal.SIGKILL, server.stderr
    store = await open_store(url)
    await store.recover()
    session = await ComparisonSession.open(scripted("a", "b"), server.stdout.strip(), owner="me", store=store)
    (asked,) = session.state.rounds
    finished = {one for one in session.state.positions if session.turn(one).status == "finished"}
    assert finished and finished <= session.receipts(asked).keys()
    await session.aclose()
    await store.aclose()


async def test_an_answer_is_not_written_as_ended_before_its_receipt_is_taken(store: Store) -> None:
    backends = scripted("a")
    seen: list[tuple[str, bool]] = []
    save = store.save

    async def noting(turns: Any, new: Any = (), receipts: Any = MappingProxyType({})) -> None:
        seen.extend((turn.status, turn.id in receipts) for turn in turns)
        await save(turns, new, receipts)

    store.save = noting  # type: ignore[method-assign]
    saving = Saving(store, every=0.001)  # checkpoints at any moment
    session = await made(backends, store, saving, repeats=3)
    for question in ("One", "Two", "Three"):
        await session.ask(question)
        await session.settled()
    await session.aclose()
    await saving.aclose()
    assert {with_receipt for status, with_receipt in seen if status == "finished"} == {True}


async def test_of_two_servers_one_is_told_that_the_other_was_faster(store: Store, saving: Saving) -> None:
    backends = scripted("a", "b")
    session = await made(backends, store, saving)
    other = await ComparisonSession.open(backends, session.id, owner="me", store=store, saving=saving)
    await session.ask("One")
    await session.settled()
    with pytest.raises(Conflict, match="changed elsewhere"):
        await other.ask("Two")
    assert other.state == session.state and len(script(backends, "a").requests) == 1
    await other.ask("Two")
    await other.settled()
    assert sent(backends, "a") == ["One", "a says 1", "Two"]
    await session.aclose()
    await other.aclose()


async def test_if_the_database_refuses_nothing_has_changed_and_nothing_was_sent(
    store: Store, saving: Saving
) -> None:
    backends = scripted("a", "b")
    session = await made(backends, store, saving)
    state = session.state
    await store.delete_comparison("me", session.id)
    with pytest.raises(StoreError):
        await session.ask("One")
    assert session.state == state and script(backends, "a").requests == []
    assert not session.running()
    await store.restore_comparison("me", session.id)
    await session.ask("One")
    await session.settled()
    assert text(session, "a") == "a says 1"
    await session.aclose()


async def test_a_turn_that_was_never_written_is_there_as_lost(store: Store, saving: Saving) -> None:
    backends = scripted("a", "b")
    session = await made(backends, store, saving)
    mine, theirs = (lane.id for lane in session.state.lanes)
    places = (TurnPosition("t1", mine, "r1", None), TurnPosition("t2", theirs, "r1", None))
    asked = Asked("r1", message_to_json(Message.of("user", "One")), places)
    await store.append("me", session.id, session.state.seq, [event_to_data(asked)])
    again = await ComparisonSession.open(backends, session.id, owner="me", store=store, saving=saving)
    assert {again.turn(turn_id).status for turn_id in ("t1", "t2")} == {"interrupted"}
    assert "lost" in str(again.turn("t1").error)
    await again.ask("Two")
    await again.settled()
    assert sent(backends, "a") == ["Two"]
    await session.aclose()
    await again.aclose()


async def test_a_lane_whose_backend_is_gone_is_named_and_can_be_removed(store: Store, saving: Saving) -> None:
    session = await made(scripted("a", "b"), store, saving)
    await session.aclose()
    again = await ComparisonSession.open(scripted("a"), session.id, owner="me", store=store, saving=saving)
    with pytest.raises(SessionError, match="b is not a backend that is configured here: remove it"):
        await again.ask("One")
    await again.remove_lane(lane(again, "b").id)
    await again.ask("One")
    await again.settled()
    assert text(again, "a") == "a says 1"
    await again.aclose()


async def test_two_tabs_have_the_same_session_and_another_person_has_none(
    store: Store, saving: Saving
) -> None:
    backends = scripted("a", "b")
    sessions = OpenSessions(backends, store=store, saving=saving, most=1)
    session = await sessions.create("me", ["a", "b"])
    assert await sessions.get("me", session.id) is session
    with pytest.raises(NotStored):
        await sessions.get("you", session.id)
    await sessions.create("you", ["a"])
    one, other = await asyncio.gather(sessions.get("me", session.id), sessions.get("me", session.id))
    assert one is other and one is not session, "it was idle, closed, and opened again"
    await sessions.aclose()


async def test_a_file_is_kept_by_its_content_and_sent_whole(
    store: Store, saving: Saving, tmp_path: Path
) -> None:
    files = Files("files", tmp_path)
    backends = scripted("sees") | scripted("blind", takes=())
    session = await ComparisonSession.create(
        backends, list(backends), owner="me", store=store, saving=saving, files=files
    )
    picture = FilePart("image/png", "sky.png", data=b"not really a picture")
    round_id = await session.ask(Message("user", (picture, TextPart("What is it?"))))
    await session.settled()
    (part, _) = script(backends, "sees").requests[-1].messages[-1].parts
    assert isinstance(part, FilePart) and part.read() == b"not really a picture"
    assert sent(backends, "blind") == ["What is it?"]
    receipt = session.receipts(round_id)[head(session, "sees").id]
    named = receipt.messages[-1].parts[0]
    assert isinstance(named, FilePart) and named == session.state.rounds[round_id].user.parts[0]
    (mismatch,) = session.mismatches(round_id)
    assert {session.state.lane(turn_id).label for turn_id in mismatch.lanes} == {"sees", "blind"}
    assert "sky.png was not sent: no image/png here" in mismatch.reason
    with pytest.raises(SessionError, match="Attach the file itself"):
        await session.ask(Message("user", (named, TextPart("And this?"))))
    await session.aclose()
    again = await ComparisonSession.open(
        backends, session.id, owner="me", store=store, saving=saving, files=files
    )
    await again.ask("Once more")
    await again.settled()
    (part, _) = script(backends, "sees").requests[-1].messages[0].parts
    assert isinstance(part, FilePart) and part.read() == b"not really a picture"
    await again.aclose()


# -- the log


def test_an_entry_of_an_unknown_type_or_shape_is_refused_in_words() -> None:
    with pytest.raises(SessionError, match="type teleported, which this version of chatlab does not know"):
        event_from_data({"type": "teleported"})
    with pytest.raises(SessionError, match="An entry of type mode_set of this session cannot be read"):
        event_from_data({"type": "mode_set", "mode": "sideways"})


async def test_the_state_is_what_the_log_folds_to(store: Store, saving: Saving) -> None:
    backends = scripted("a", "b")
    session = await made(backends, store, saving, blind=True)
    round_id = await session.ask("One")
    await session.settled()
    await session.vote(round_id, "tie", voter="me", note="no matter")
    await session.reveal()
    await session.set_mode("shared")
    await session.pick(head(session, "a").id)
    edited = await session.edit(round_id, "Another")
    await session.settled()
    await session.to_version(round_id)
    await session.to_version(edited)
    await session.undo()
    await session.change_lane(CompareLane(backend="a", label="other"), lane(session, "a").id)
    await session.swap(lane(session, "b").id, "a")
    await session.remove_lane(session.state.lanes[0].id)
    log = await store.log("me", session.id)
    assert reduce_log(log) == session.state
    assert reduce_log(log[5:], reduce_log(log[:5])) == session.state
    for entry in log:
        assert event_to_data(event_from_data(entry.data)) == entry.data
    await session.aclose()


def test_a_vote_of_a_log_from_before_votes_said_what_they_are_on_counts_as_it_did() -> None:
    at = "2026-06-01T10:00:00Z"
    old = {"round": "r", "criterion": "tone", "best": "tie", "shown": ["l"], "voter": "me", "at": at}
    entry = event_from_data({"type": "voted", "vote": {**old, "blind": False}})
    assert isinstance(entry, Voted) and entry.vote.answers == ()
    user = message_to_json(Message.of("user", "One"))
    state = SessionState()
    for one in (
        LaneAdded(Lane("l", "a", "a"), "c"),
        Asked("r", user, (TurnPosition("t", "l", "r", None),)),
        entry,
    ):
        state = reduce(state, one)
    assert state.is_current(entry.vote)
    with pytest.raises(SessionError, match="in its own conversation"):
        reduce(state, CheckedOut({"l": "elsewhere"}))


def test_what_a_lane_should_be_sent_is_a_function_of_state_and_turns() -> None:
    user = message_to_json(Message.of("user", "One"))
    entries: list[SessionEvent] = [
        Opened(),
        LaneAdded(Lane("l", "a", "a"), "c"),
        Asked("r", user, (TurnPosition("t", "l", "r", None),)),
    ]
    state = SessionState()
    for entry in entries:
        state = reduce(state, entry)
    assert prompt(state, {}, state.positions["t"]) == ((Message.of("user", "One"),), ())


def test_a_session_stored_before_positions_and_checkouts_had_their_names_is_read() -> None:
    stored = {
        "type": "asked",
        "round": "r",
        "user": message_to_json(Message.of("user", "One")),
        "places": [
            {"turn": "t", "lane": "l", "round": "r", "parent": None, "repeat": 0, "copied_from": None}
        ],
        "to_all": True,
        "replaces": None,
    }
    asked = event_from_data(stored)
    assert isinstance(asked, Asked) and [position.turn for position in asked.positions] == ["t"]
    written = event_to_data(asked)
    assert written == {"positions" if key == "places" else key: value for key, value in stored.items()}
    assert event_from_data({"type": "walked", "heads": {"l": "t"}}) == CheckedOut({"l": "t"})
    assert event_to_data(CheckedOut({"l": "t"}))["type"] == "checked_out"


def test_every_event_there_is_has_a_state_that_follows_from_it() -> None:
    assert {kind for kind in EVENT_TYPES if reduced.dispatch(kind) is reduced.dispatch(object)} == set()


async def test_a_change_that_is_refused_stops_nothing() -> None:
    backends = scripted("a", "b", "c")
    session = await made(backends, None, None)
    await session.ask("One")
    await session.settled()
    a = lane(session, "a").id
    await session.set_mode("shared")
    slow = script(backends, "a")
    slow.hold = asyncio.Event()
    await session.set_mode("own")
    round_id = await session.ask("Two", lanes=[a])
    await session.set_mode("shared")
    for refused in (
        session.swap(a, "c"),
        session.swap(a, CompareLane(backend="b", parameters={"heat": 1})),
        session.edit(round_id, " "),
        session.edit(round_id, "Three", places=Full()),
        session.retry(round_id, places=Full()),
        session.rerun(a, places=Full()),
        session.undo(lanes=["nobody"]),
    ):
        with pytest.raises(ChatlabError):
            await refused
        assert session.running(a)
    slow.hold.set()
    await session.settled()
    assert session.turn(session.state.heads[a] or "").status == "finished"
    await session.aclose()


class Full:
    """Places of which none is left."""

    async def charge(self, turns: int) -> None:
        raise ChatlabError("there is no room")

    def turn(self) -> AbstractAsyncContextManager[None]:
        raise AssertionError("nothing was charged")


async def test_a_question_that_is_refused_leaves_no_file(
    store: Store, saving: Saving, tmp_path: Path
) -> None:
    files = Files("files", tmp_path)
    backends = scripted("sees")
    session = await ComparisonSession.create(
        backends, list(backends), owner="me", store=store, saving=saving, files=files
    )
    picture = FilePart("image/png", "sky.png", data=b"not really a picture")
    with pytest.raises(ChatlabError, match="no room"):
        await session.ask(Message("user", (picture, TextPart("What is it?"))), places=Full())
    assert await files.stored() == [] and not session.state.visible
    await session.aclose()


async def test_a_lane_or_session_that_is_refused_leaves_nothing_in_the_store(
    store: Store, saving: Saving
) -> None:
    backends = scripted("a")
    session = await ComparisonSession.create(backends, ["a"] * 8, owner="me", store=store, saving=saving)
    with pytest.raises(SessionError, match="at most 8 lanes"):
        await session.add_lane("a")
    assert len(await store.lanes("me", session.id)) == 8
    with pytest.raises(SessionError, match="at most 8 lanes"):
        await ComparisonSession.create(backends, ["a"] * 9, owner="me", store=store, saving=saving)
    with pytest.raises(SessionError, match="no parameter"):
        await ComparisonSession.create(
            backends,
            ["a", CompareLane(backend="a", parameters={"heat": 1})],
            owner="me",
            store=store,
            saving=saving,
        )
    found, _ = await store.comparisons("me")
    assert [one.id for one in found] == [session.id]
    await session.aclose()


async def test_a_finished_answer_without_its_receipt_is_said_to_be_so(store: Store, saving: Saving) -> None:
    backends = scripted("a", "b")
    session = await made(backends, store, saving)
    round_id = await session.ask("One")
    await session.settled()
    turn = head(session, "a")
    await session.aclose()
    copy = await store.create("me", comparison=session.id)  # as after a kill: the turn is there, no receipt
    gone = replace(turn, id="without", conversation=copy.id, parent=None)
    await store.save([gone])
    new = Lane("l", "a", "late")
    positions = (TurnPosition("without", "l", round_id, None),)
    events = [event_to_data(LaneAdded(new, copy.id)), event_to_data(Retried(round_id, positions))]
    await store.append("me", session.id, session.state.seq, events)
    again = await ComparisonSession.open(backends, session.id, owner="me", store=store, saving=saving)
    (missing,) = again.mismatches(round_id)
    assert (missing.turns, missing.lanes) == (("without",), ("l",)) and "receipt is missing" in missing.reason
    await again.aclose()


async def test_turns_wait_for_their_places_and_a_stop_ends_the_waiting() -> None:
    backends = scripted("a", "b", "c")
    session = await ComparisonSession.create(backends, ["a", "b", "c"], owner="me")
    for name in "abc":
        script(backends, name).hold = asyncio.Event()
    places = OneAtATime()
    await session.ask("One", places=places)
    await script(backends, "a").half.wait()
    assert places.charged == 3 and sum(script(backends, name).open for name in "abc") == 1
    hold = script(backends, "a").hold
    assert hold is not None
    hold.set()
    await script(backends, "b").half.wait()
    await session.stop()
    await session.settled()
    assert [session.turn(head or "").status for head in session.state.heads.values()] == [
        "finished",
        "stopped",
        "stopped",
    ]
    assert not script(backends, "c").requests and not places.room.locked()
    await session.aclose()


class OneAtATime:
    """Places for one running turn."""

    def __init__(self) -> None:
        self.room = asyncio.Lock()
        self.charged = 0

    async def charge(self, turns: int) -> None:
        self.charged += turns

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        async with self.room:
            yield


async def test_a_lane_that_our_own_fault_breaks_off_ends_as_failed(caplog: pytest.LogCaptureFixture) -> None:
    backends = scripted("a", "b")
    session = await made(backends, None, None)

    class Broken:
        async def charge(self, turns: int) -> None:
            pass

        def turn(self) -> AbstractAsyncContextManager[None]:
            raise RuntimeError("a fault")

    await session.ask("One", places=Broken())
    await session.settled()
    assert {session.turn(head or "").status for head in session.state.heads.values()} == {"failed"}
    assert "unexpected RuntimeError" in (head(session, "a").error or "") and "a fault" in caplog.text
    await session.aclose()


# -- begun with a chat


async def test_a_session_begins_with_a_chat_and_asks_the_others_its_last_message(
    store: Store, saving: Saving
) -> None:
    backends = scripted("a", "b", "c")
    first = await ComparisonSession.create(backends, ["a", "b"], owner="me", store=store, saving=saving)
    for text in ("One", "Two"):
        await first.ask(text)
        await first.settled()
    chat = await first.continue_in_chat(lane(first, "a").id)
    await first.aclose()
    turns = await store.turns("me", chat)
    session = await ComparisonSession.create(
        backends, ["a", "b", "c"], owner="me", store=store, saving=saving, chat=chat_path(turns, turns[-1].id)
    )
    await session.ask_others()
    await session.settled()
    rounds = session.state.visible
    assert [one.user.text for one in rounds] == ["One", "Two"]
    assert [len(one.turns) for one in rounds] == [1, 3]
    assert [head(session, name).answer[0].text for name in "abc"] == ["a says 2", "b says 3", "c says 1"]
    for name in "bc":
        sent = [message.text for message in script(backends, name).requests[-1].messages]
        assert sent == ["One", "a says 1", "Two"], "what the chat had before, and then its last message"
    assert not any(session.mismatches(one.id) for one in rounds), "a chat takes no receipts"
    assert session.receipts(rounds[1].id).keys() == {head(session, name).id for name in "bc"}
    await session.ask_others()
    await session.ask("Three")
    await session.settled()
    assert [len(one.turns) for one in session.state.visible] == [1, 3, 3]
    again = await ComparisonSession.open(backends, session.id, owner="me", store=store)
    assert [one.turns for one in again.state.visible] == [one.turns for one in session.state.visible]
    assert len(await store.turns("me", chat)) == 2, "the chat stays as it is"
    await again.aclose()
    await session.aclose()


async def test_a_chat_is_compared_from_any_of_its_answers(store: Store) -> None:
    backends = scripted("a", "b")
    first = await ComparisonSession.create(backends, ["a", "b"], owner="me", store=store)
    for text in ("One", "Two"):
        await first.ask(text)
        await first.settled()
    turns = await store.turns("me", await first.continue_in_chat(lane(first, "a").id))
    await first.aclose()
    assert chat_path(turns, turns[0].id) == (turns[0],)
    with pytest.raises(SessionError, match="not in the chat any more"):
        chat_path(turns, "nowhere")
    with pytest.raises(SessionError, match="still being written"):
        chat_path([replace(turns[0], status="running")], turns[0].id)


async def test_a_text_file_reaches_every_lane_and_its_receipt_says_how(
    store: Store, saving: Saving, tmp_path: Path
) -> None:
    backends = {**scripted("a", takes=("text/*",)), **scripted("b", takes=())}
    files = Files("files", tmp_path)
    session = await ComparisonSession.create(
        backends, ["a", "b"], owner="me", store=store, saving=saving, files=files
    )
    note = FilePart("text/plain", "note.txt", data="é\nsecond".encode())
    for text in ("Read this", "And now?"):
        await session.ask(Message("user", (note, TextPart(text))))
        await session.settled()
    texts = [message.text for message in script(backends, "b").requests[-1].messages]
    assert texts[0].startswith("note.txt\n```\né\nsecond\n```") and "é" in texts[2]
    assert any(isinstance(part, FilePart) for part in script(backends, "a").requests[-1].messages[0].parts)
    first, second = (session.mismatches(one.id) for one in session.state.visible)
    # What is different between the lanes is said; and each was sent what its history comes to.
    assert [len(found.turns) for found in first] == [2] and second == ()
    await session.aclose()


class BrokenSaving(Saving):
    """Raises at one of its stages for the turns of one lane's backend."""

    def __init__(self, store: Store, stage: str) -> None:
        super().__init__(store)
        self.stage = stage

    def at(self, stage: str, label: str) -> None:
        if (stage, label) == (self.stage, "b"):
            raise ZeroDivisionError(f"a fault in {stage}")

    def end(self, begun: StoredTurn, turn: Turn, error: str | None = None) -> StoredTurn:
        self.at("end", begun.label)
        return super().end(begun, turn, error)

    def with_receipt(self, ended: StoredTurn, receipt: Mapping[str, Any] | None) -> None:
        self.at("with_receipt", ended.label)
        super().with_receipt(ended, receipt)

    async def written(self, turn_id: TurnId) -> None:
        if self.began:
            self.at("written", "b")
        await super().written(turn_id)

    began = False


@pytest.mark.parametrize("stage", ["end", "with_receipt", "written"])
async def test_whatever_fails_in_saving_a_lane_it_ends_and_the_others_are_as_they_were(
    store: Store, caplog: pytest.LogCaptureFixture, stage: str
) -> None:
    backends = scripted("a", "b")
    saving = BrokenSaving(store, stage)
    session = await ComparisonSession.create(backends, ["a", "b"], owner="me", store=store, saving=saving)
    for name in "ab":
        script(backends, name).hold = asyncio.Event()
    await session.ask("One")
    saving.began = True
    for name in "ab":
        script(backends, name).hold.set()  # type: ignore[union-attr]
    async with asyncio.timeout(60):
        await session.settled()
    first, second = (session.turn(head or TurnId("")) for head in session.state.heads.values())
    assert first.status == "finished" and not session.running()
    if stage == "end":
        assert second.status == "failed" and "this answer is not saved" in (second.error or "")
    else:
        assert second.status == "finished"
    assert f"ZeroDivisionError: a fault in {stage}" in caplog.text
    saving.stage = ""
    await session.aclose()
    await saving.aclose()
