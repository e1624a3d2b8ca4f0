"""No lane of a comparison feels another: one that never answers, fails, breaks off, floods, or is stopped."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import permutations

import pytest

from chatlab.compare.session.session import ComparisonSession
from chatlab.messages import Message
from chatlab.store import StoredTurn
from tests.compare.session.gated_upstream import GatedUpstream, Lane

FLOOD = 100_000


@asynccontextmanager
async def comparison(
    lanes: Mapping[str, Lane], order: Sequence[str] | None = None
) -> AsyncIterator[tuple[ComparisonSession, GatedUpstream]]:
    """A session whose lanes have the names of what they ask. Fails rather than hangs."""
    async with GatedUpstream(lanes) as upstream:
        backends = upstream.backends()
        session = await ComparisonSession.create(backends, order or list(lanes), owner="me")
        try:
            async with asyncio.timeout(60):
                yield session, upstream
        finally:
            async with asyncio.timeout(20):
                await session.aclose()
                await backends.aclose()


def id_of(session: ComparisonSession, name: str) -> str:
    return next(lane.id for lane in session.state.lanes if lane.label == name)


def answer(session: ComparisonSession, name: str) -> StoredTurn:
    head = session.state.heads[id_of(session, name)]
    assert head is not None
    return session.turn(head)


def text(session: ComparisonSession, name: str) -> str:
    return Message("assistant", answer(session, name).answer).text


async def until(session: ComparisonSession, *names: str) -> None:
    """Waits until these lanes, and the news of it, are there."""
    async for _ in session.changes():
        if not any(session.running(id_of(session, name)) for name in names):
            return


async def test_beside_lanes_that_hang_fail_break_flood_and_are_stopped_the_others_answer_whole() -> None:
    others_are_done = asyncio.Event()
    never = asyncio.Event()
    lanes = {
        "hangs": Lane(gates={0: never}),
        "fails": Lane(end="refuse"),
        "breaks": Lane(("some ", "text "), end="break"),
        "floods": Lane(["x "] * FLOOD, gates={FLOOD - 1: others_are_done}),
        "stopped": Lane(("begun ", "ended"), gates={1: never}),
        "a": Lane([f"a{n} " for n in range(50)]),
        "b": Lane([f"b{n} " for n in range(50)]),
        "c": Lane([f"c{n} " for n in range(50)]),
    }
    async with comparison(lanes) as (session, upstream):
        await session.ask("Hello")
        await lanes["stopped"].asked.wait()
        async for _ in session.changes():
            if text(session, "stopped"):
                break
        await session.stop(id_of(session, "stopped"))
        await until(session, "a", "b", "c", "fails", "breaks")
        for name in "abc":
            assert answer(session, name).status == "finished"
            assert text(session, name) == "".join(f"{name}{n} " for n in range(50))
        assert (answer(session, "fails").status, text(session, "fails")) == ("failed", "")
        assert (answer(session, "breaks").status, text(session, "breaks")) == ("failed", "some text ")
        assert (answer(session, "stopped").status, text(session, "stopped")) == ("stopped", "begun ")
        assert answer(session, "hangs").status == answer(session, "floods").status == "running"
        assert upstream.open == {"hangs", "floods"}
        others_are_done.set()
        await until(session, "floods")
        assert (answer(session, "floods").status, text(session, "floods")) == ("finished", "x " * FLOOD)
        assert session.running(id_of(session, "hangs"))


@pytest.mark.parametrize("released", list(permutations("abc")), ids="".join)
async def test_lanes_end_in_the_order_of_their_upstreams_whatever_their_own_order(
    released: tuple[str, ...],
) -> None:
    lanes = {name: Lane(gates={2: asyncio.Event()}) for name in "abc"}
    async with comparison(lanes) as (session, _):
        await session.ask("Hello")
        for number, name in enumerate(released):
            gate = lanes[name].gates[2]
            assert isinstance(gate, asyncio.Event)
            gate.set()
            await until(session, name)
            assert text(session, name) == "one two three"
            for later in released[number + 1 :]:
                assert answer(session, later).status == "running" and "three" not in text(session, later)


async def test_a_lane_that_never_connects_keeps_none_from_being_asked_again_and_again() -> None:
    lanes = {"hangs": Lane(gates={0: asyncio.Event()}), "a": Lane(), "b": Lane()}
    async with comparison(lanes, ["hangs", "a", "b"]) as (session, _):
        round_id = await session.ask("Hello")
        hanging = answer(session, "hangs").id
        await until(session, "a", "b")
        well = [id_of(session, "a"), id_of(session, "b")]
        await session.ask("And then?", lanes=well)
        await until(session, "a", "b")
        await session.undo(lanes=well)
        await session.retry(round_id, lanes=well)
        await until(session, "a", "b")
        assert text(session, "a") == text(session, "b") == "one two three"
        assert answer(session, "hangs").id == hanging and session.turn(hanging).status == "running"
        await session.stop()
        assert session.turn(hanging).status == "stopped"
        lanes["hangs"].gates = {}
        await session.ask("All together")
        await session.settled()
        assert [text(session, name) for name in lanes] == ["one two three"] * 3


async def test_what_a_reader_has_not_read_stays_one_set_of_lanes_however_much_happens() -> None:
    lanes = {name: Lane(["x "] * 5_000) for name in "abcd"}
    async with comparison(lanes) as (session, _):
        slow = session.changes()
        await anext(slow)
        seen = 0

        async def read() -> None:
            nonlocal seen
            async for _ in session.changes():
                seen += 1

        reading = asyncio.create_task(read())
        await session.ask("Hello")
        await session.settled()
        first = await anext(slow)
        assert first.lanes == {lane.id for lane in session.state.lanes} and first.state
        await session.aclose()
        assert [changed async for changed in slow] == [], "all that happened was one piece of news"
        await reading
        assert 4 <= seen < 2_000, "of 20,000 deltas"


async def test_a_session_that_is_closed_leaves_no_task_and_no_connection_behind() -> None:
    lanes = {
        "hangs": Lane(gates={0: asyncio.Event()}),
        "stalls": Lane(gates={1: asyncio.Event()}),
        "fails": Lane(end="refuse"),
        "breaks": Lane(end="break"),
        "a": Lane(),
    }
    before = asyncio.all_tasks()
    async with comparison(lanes) as (session, upstream):
        await session.ask("Hello", repeats=2)
        await until(session, "a", "fails", "breaks")
        await asyncio.gather(lanes["hangs"].asked.wait(), lanes["stalls"].asked.wait())
        assert upstream.open == {"hangs", "stalls"}
        await session.aclose()
        await asyncio.gather(lanes["hangs"].left.wait(), lanes["stalls"].left.wait())
        await upstream.closed()
        assert upstream.open == set()
        assert answer(session, "hangs").status == answer(session, "stalls").status == "stopped"
        assert text(session, "stalls") == "one "
    left = asyncio.all_tasks() - before
    assert not left, [task.get_name() for task in left]
