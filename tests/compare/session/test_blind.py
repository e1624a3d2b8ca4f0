"""Blind comparison: nothing that a browser may be given tells the lanes apart before the letters fall."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from chatlab.compare.session.blind import blind_view, draw, lane_of, names_itself, turn_of
from chatlab.compare.session.events import Opened, SessionError
from chatlab.compare.session.session import ComparisonSession
from chatlab.config.models import CompareLane
from chatlab.config.registry import Entry
from chatlab.conversations.saving import Saving
from chatlab.messages import TextPart
from chatlab.store.sql import open_store
from tests.compare.session.scripted import Script, script, scripted

NAMES = ("gpt-secret", "claude-secret", "llama-secret")


async def hidden(backends: dict[str, Entry], **opened: Any) -> ComparisonSession:
    lanes = [CompareLane(backend=name, label=f"The {name}") for name in backends]
    return await ComparisonSession.create(backends, lanes, owner="me", opened=Opened(blind=True, **opened))


def view(session: ComparisonSession) -> Any:
    return blind_view(session.state, session.turn)


async def test_the_blind_view_holds_no_name_id_figure_or_error_of_any_lane() -> None:
    backends = scripted(*NAMES, reply="Because of scattering", model="model-secret")
    script(backends, "llama-secret").fail = "start"
    session = await hidden(backends)
    round_id = await session.ask("Why is the sky blue?")
    await session.settled()
    await session.vote(round_id, session.state.lanes[0].id, voter="me")
    shown = repr(asdict(view(session)))
    state = session.state
    ids = {lane.id for lane in state.lanes} | set(state.positions) | set(state.conversations.values())
    told = {"secret", "scripted", "told to fail", "failed", "Usage", "timing", *ids}
    assert [word for word in told if word in shown] == []
    assert "Because of scattering" in shown and round_id in shown
    answers = view(session).rounds[0].answers
    assert sorted(answer.letter for answer in answers) == ["A", "B", "C"]
    assert sum(answer.empty for answer in answers) == 1
    (vote,) = view(session).votes
    assert vote.best == state.letters[state.lanes[0].id]
    await session.aclose()


async def test_answers_stand_in_the_order_of_letters_and_belong_to_their_lanes() -> None:
    backends = scripted("a", "b", "c", "d")
    session = await hidden(backends)
    round_id = await session.ask("Hello")
    await session.settled()
    answers = view(session).rounds[0].answers
    assert [answer.letter for answer in answers] == ["A", "B", "C", "D"]
    for answer in answers:
        lane = session.state.lane(lane_of(session.state, answer.letter))
        assert answer.text == f"{lane.backend} says 1"
        assert session.turn(turn_of(session.state, round_id, answer.letter)).backend == lane.backend
    with pytest.raises(SessionError, match="no such lane"):
        lane_of(session.state, session.state.lanes[0].id)
    with pytest.raises(SessionError, match="no such answer"):
        turn_of(session.state, round_id, "A", 1)
    await session.reveal()
    assert lane_of(session.state, session.state.lanes[0].id) == session.state.lanes[0].id
    with pytest.raises(SessionError, match="no such lane"):
        lane_of(session.state, "A")
    await session.aclose()


def test_every_order_of_letters_is_drawn_about_as_often_as_any_other() -> None:
    orders = Counter("".join(sorted("xyz", key=draw("xyz").__getitem__)) for _ in range(6_000))
    assert len(orders) == 6
    # Six cells of 1000 expected; chi-squared with 5 degrees of freedom exceeds 35 once in 600,000 runs.
    assert sum((count - 1_000) ** 2 / 1_000 for count in orders.values()) < 35


async def test_letters_stay_for_the_session_and_lanes_cannot_be_changed_behind_them() -> None:
    backends = scripted("a", "b")
    session = await hidden(backends)
    await session.add_lane("a")
    assert sorted(session.state.letters.values()) == ["A", "B", "C"]
    letters = session.state.letters
    await session.ask("One")
    await session.settled()
    mine = session.state.lanes[0].id
    for change in (
        session.add_lane("b"),
        session.swap(mine, "b"),
        session.change_lane(CompareLane(backend="a", label="x"), mine),
        session.reorder([lane.id for lane in reversed(session.state.lanes)]),
    ):
        with pytest.raises(SessionError, match="while their names are hidden"):
            await change
    await session.ask("Two")
    await session.settled()
    await session.remove_lane(lane_of(session.state, "B"))
    assert session.state.letters == letters and view(session).letters == ("A", "C")
    assert [answer.letter for answer in view(session).rounds[0].answers] == ["A", "C"]
    with pytest.raises(SessionError, match="Reveal the names"):
        await session.continue_in_chat(mine)
    await session.aclose()


async def held(reveal: str) -> tuple[ComparisonSession, list[Script]]:
    backends = scripted("a", "b")
    scripts = [script(backends, name) for name in backends]
    for one in scripts:
        one.hold = asyncio.Event()
    session = await hidden(backends, reveal=reveal)
    await session.ask("Hello")
    await asyncio.gather(*(one.half.wait() for one in scripts))
    assert scripts[0].hold is not None
    scripts[0].hold.set()
    async for _ in session.changes():
        if not session.running(session.state.lanes[0].id):
            break
    return session, scripts


@pytest.mark.parametrize(
    ("reveal", "texts"),
    [("together", {""}), ("paced", {"a sa", "b sa"}), ("as they come", {"a says 1", "b sa"})],
)
async def test_speed_tells_nothing_unless_it_is_meant_to(reveal: str, texts: set[str]) -> None:
    session, scripts = await held(reveal)
    answers = view(session).rounds[0].answers
    assert {answer.text for answer in answers} == texts
    assert {answer.waiting for answer in answers} == ({True, False} if reveal == "as they come" else {True})
    with pytest.raises(SessionError, match="Wait for all answers"):
        await session.reveal()
    assert scripts[1].hold is not None
    scripts[1].hold.set()
    await session.settled()
    answers = view(session).rounds[0].answers
    assert {answer.text for answer in answers} == {"a says 1", "b says 1"}
    assert not any(answer.waiting or answer.empty for answer in answers)
    await session.aclose()


async def test_in_shared_mode_the_letter_of_the_picked_answer_is_known() -> None:
    backends = scripted("a", "b")
    session = await hidden(backends, mode="shared")
    round_id = await session.ask("Hello")
    await session.settled()
    assert view(session).rounds[0].picked is None
    await session.pick(turn_of(session.state, round_id, "B"))
    assert view(session).rounds[0].picked == "B"
    await session.aclose()


async def test_a_blind_vote_is_marked_where_an_answer_names_its_model() -> None:
    backends = {
        **scripted("first", reply="As an AI model made by OpenAI I say so"),
        **scripted("second", reply="I say so"),
    }
    session = await hidden(backends)
    round_id = await session.ask("Who are you?")
    await session.settled()
    letter = session.state.letters[session.state.lanes[0].id]
    vote = await session.vote(round_id, "tie", voter="me")
    assert (vote.blind, vote.marked) == (True, (f"{letter} names a model",))
    assert vote.shown == tuple(sorted(session.state.letters, key=session.state.letters.__getitem__))
    await session.reveal()
    changed = await session.vote(round_id, "bad", voter="me")
    assert (changed.blind, changed.marked) == (False, ())
    await session.aclose()


@pytest.mark.parametrize(
    ("text", "names", "expected"),
    [
        ("I am ChatGPT, how can I help?", ("mystery",), True),
        ("I'm a language model trained by Google.", ("mystery",), True),
        ("Hello from gpt-5-mini!", ("gpt-5-mini",), True),
        ("My maker is Anthropic.", ("claude-sonnet",), True),
        ("Anthropic is a company.", ("gpt-5-mini",), False),
        ("Llama3 here.", ("meta-llama/Llama-3-8B",), True),
        ("Llamas live in the Andes.", ("llama-3",), False),
        ("Databricks has DBRX.", ("databricks-dbrx-instruct",), True),
        ("Qwen2.5 says hi.", ("qwen",), True),
        ("The sky is blue.", ("gpt-5-mini", "Our fast one"), False),
        ("Our fast one says hi.", ("Our Fast One",), True),
        ("I am sure that a model made by hand lasts.", ("ab",), False),
        ("", ("gpt",), False),
    ],
)
def test_an_answer_that_names_itself_is_recognised(text: str, names: tuple[str, ...], expected: bool) -> None:
    assert names_itself(text, names) is expected


def test_no_answer_makes_the_look_for_names_take_long() -> None:
    began = time.thread_time()
    for text in ("i am " * 20_000, "as a language " * 7_000, "google " * 14_000):
        names_itself(text, ("gpt-5-mini", "Our fast one"))
    assert time.thread_time() - began < 5


async def test_what_is_shown_after_all_were_stopped_stays_when_a_lane_is_removed() -> None:
    session, _ = await held("together")
    with pytest.raises(SessionError, match="wait for them, or stop them"):
        await session.remove_lane(session.state.lanes[0].id)
    await session.stop()
    await session.settled()
    before = {answer.letter: answer.text for answer in view(session).rounds[0].answers}
    assert {len(text) for text in before.values()} == {4}, "as far as the slower one had come"
    await session.remove_lane(session.state.lanes[1].id)
    (left,) = view(session).rounds[0].answers
    assert left.text == before[left.letter]
    await session.aclose()


async def test_answers_that_a_dying_upstream_cut_short_tell_no_more_than_the_shortest() -> None:
    backends = scripted("a", "b")
    session = await hidden(backends, reveal="paced")
    await session.ask("Hello")
    await session.settled()
    backends["b"].config.options.__dict__["reply"] = "b says at length"
    for name in ("a", "b"):
        script(backends, name).fail = "middle"
    await session.ask("Again")
    await session.settled()
    answers = view(session).rounds[1].answers
    assert [len(answer.text) for answer in answers] == [4, 4]
    script(backends, "a").fail = ""
    await session.ask("Once more")
    await session.settled()
    assert {answer.text for answer in view(session).rounds[2].answers} == {"a says 3", ""}
    await session.aclose()


@pytest.mark.parametrize(("reveal", "length"), [("together", 0), ("paced", 1)])
async def test_how_far_a_lane_came_that_failed_beside_others_is_not_seen_before_the_names(
    reveal: str, length: int
) -> None:
    backends = scripted("a", "b", "c")
    backends["b"].config.options.__dict__["reply"] = "b"
    script(backends, "b").fail = "middle"
    hold = asyncio.Event()
    for name in ("a", "c"):
        script(backends, name).hold = hold
    session = await hidden(backends, reveal=reveal)
    await session.ask("Hello")
    await asyncio.gather(*(script(backends, name).half.wait() for name in backends))
    async for _ in session.changes():
        if not session.running(session.state.lanes[1].id):
            break
    answers = view(session).rounds[0].answers
    assert {len(answer.text) for answer in answers} == {length}
    assert all(answer.waiting and not answer.empty for answer in answers)
    hold.set()
    await session.settled()
    answers = view(session).rounds[0].answers
    assert {(answer.text, answer.empty) for answer in answers} == {
        ("a says 1", False),
        ("", True),
        ("c says 1", False),
    }
    await session.reveal()
    head = session.state.heads[session.state.lanes[1].id]
    assert head is not None and session.turn(head).answer == (TextPart("b"),), "it is there with the names"
    await session.aclose()


async def test_answers_that_a_dying_server_cut_short_tell_no_more_than_the_shortest(tmp_path: Path) -> None:
    store = await open_store(f"sqlite:{tmp_path}/blind.db")
    backends = scripted("a", "b")
    saving = Saving(store)
    opened = Opened(blind=True, reveal="together")
    session = await ComparisonSession.create(
        backends, ["a", "b"], owner="me", opened=opened, store=store, saving=saving
    )
    await session.ask("Hello")
    await session.settled()
    short, whole = (session.turn(head) for head in session.state.heads.values() if head is not None)
    await store.save([replace(short, status="interrupted", answer=(TextPart("a sa"),), finish=None), whole])
    await session.aclose()
    again = await ComparisonSession.open(backends, session.id, owner="me", store=store, saving=saving)
    assert {answer.text for answer in view(again).rounds[0].answers} == {"a sa", "b sa"}
    await again.aclose()
    await saving.aclose()
    await store.aclose()
