"""What one visitor takes leaves room for the others, however many requests come together."""

from __future__ import annotations

import asyncio
import threading
import tracemalloc
from contextlib import AsyncExitStack, suppress
from typing import Any

import pytest
from starlette.requests import Request

from chatlab.config.models import Config
from chatlab.web.shared.limits import LimitReached, Visitor, VisitorLimits

ANN = Visitor("ann", "198.51.100.1")
BOB = Visitor("bob", "198.51.100.1")
EVE = Visitor("eve", "203.0.113.9")


def limits(server: dict[str, Any] | None = None, **limits: Any) -> VisitorLimits:
    backend = {"kind": "echo", "options": {}}
    config = {"backends": {"e": backend}, "storage": "none", "limits": limits, "server": server or {}}
    return VisitorLimits(Config.model_validate(config))


async def test_of_many_requests_that_come_together_no_more_get_in_than_there_is_room_for() -> None:
    mine = limits(running_turns={"visitor": 5})
    refused: list[str] = []
    inside = most_inside = 0

    async def join() -> None:
        nonlocal inside, most_inside
        try:
            async with mine.turn(ANN):
                inside += 1
                most_inside = max(most_inside, inside)
                await asyncio.sleep(0)
                inside -= 1
        except LimitReached as exc:
            refused.append(str(exc))

    await asyncio.gather(*(join() for _ in range(40)))
    assert most_inside == 5 and len(refused) == 35
    assert set(refused) == {
        "One visitor may have 5 answers running at a time: wait for one to end, or stop one"
    }
    async with mine.turn(ANN):
        pass  # all of it was given back


def test_threads_that_take_places_together_get_no_more_than_there_are() -> None:
    mine = limits(running_turns={"visitor": 50, "address": 50}, turns_a_minute={"visitor": None})
    taken: list[Any] = []

    def take() -> None:
        for _ in range(40):
            with suppress(LimitReached):
                taken.append(mine.take_turn(ANN))

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == 50


@pytest.mark.parametrize(
    ("most", "others"), [({"visitor": 1}, [BOB, EVE]), ({"address": 1}, [EVE]), ({"total": 1}, [])]
)
async def test_a_limit_stops_whom_it_is_for_and_nobody_else(
    most: dict[str, int], others: list[Visitor]
) -> None:
    mine = limits(running_turns=most)
    async with mine.turn(ANN):
        for visitor in (ANN, BOB, EVE):
            if visitor in others:
                mine.take_turn(visitor).release()
            else:
                with pytest.raises(LimitReached):
                    mine.take_turn(visitor)


def test_all_together_run_no_more_answers_than_the_server_may() -> None:
    mine = limits(server={"concurrency": 2})
    mine.take_turn(ANN)
    mine.take_turn(BOB)
    with pytest.raises(LimitReached, match="All visitors together may have 2 answers running"):
        mine.take_turn(EVE)


async def test_a_round_of_turns_is_charged_whole_or_not_at_all() -> None:
    mine = limits(turns_a_minute={"visitor": 160, "address": 200})
    await mine.charge(ANN, 150)
    for _ in range(5):
        with pytest.raises(LimitReached, match="One visitor may begin 160 answers a minute"):
            await mine.charge(ANN, 160)
    await mine.charge(ANN, 10)  # the refused rounds took nothing
    with pytest.raises(LimitReached, match="your network address"):
        await mine.charge(BOB, 60)
    await mine.charge(EVE, 160)


async def test_who_waits_gets_the_next_place_in_the_order_of_asking() -> None:
    mine = limits(running_turns={"visitor": 2})
    order: list[int] = []

    async def lane(number: int) -> None:
        async with mine.turn(ANN, charged=True, wait=True):
            order.append(number)
            await asyncio.sleep(0)

    async with AsyncExitStack() as held:
        for _ in range(2):
            await held.enter_async_context(mine.turn(ANN))
        lanes = [asyncio.create_task(lane(number)) for number in range(6)]
        await asyncio.sleep(0)
        lanes[1].cancel()
        await asyncio.sleep(0)
        assert order == []
        async with mine.turn(EVE, wait=True):
            pass  # nobody waits for what is another's
    await asyncio.gather(*lanes, return_exceptions=True)
    assert order == [0, 2, 3, 4, 5]
    async with mine.turn(ANN), mine.turn(ANN):
        pass  # who was cancelled holds nothing


async def test_who_is_cancelled_in_the_moment_of_being_given_a_place_gives_it_back() -> None:
    mine = limits(running_turns={"visitor": 1})
    place = mine.take_turn(ANN)

    async def lane() -> None:
        async with mine.turn(ANN, wait=True):
            raise AssertionError("it was cancelled")

    waits = asyncio.create_task(lane())
    await asyncio.sleep(0)
    place.release()
    waits.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waits
    mine.take_turn(ANN).release()


def test_uploads_are_limited_by_number_and_by_bytes_and_given_back() -> None:
    mine = limits(uploads={"visitor": 2}, uploads_mb={"address": 10})
    first = mine.hold_upload(ANN, 4_000_000)
    mine.hold_upload(ANN, 1)
    with pytest.raises(LimitReached, match="One visitor may have 2 uploaded files"):
        mine.hold_upload(ANN, 1)
    with pytest.raises(LimitReached, match="10 MB"):
        mine.hold_upload(BOB, 7_000_000)
    first.release()
    first.release()
    mine.hold_upload(BOB, 7_000_000)


def asked(peer: str, forwarded: str | None = None) -> Request:
    headers = [] if forwarded is None else [(b"x-forwarded-for", forwarded.encode())]
    return Request(
        {"type": "http", "headers": headers, "client": (peer, 1), "path": "/", "query_string": b""}
    )


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("198.51.100.1", None, "198.51.100.1"),
        ("198.51.100.1", "203.0.113.9", "198.51.100.1"),  # nobody's word but a trusted proxy's
        ("127.0.0.1", "203.0.113.9", "203.0.113.9"),
        (
            "127.0.0.1",
            "203.0.113.9, 198.51.100.1",
            "198.51.100.1",
        ),  # what the client wrote itself comes first
        ("10.1.2.3", "203.0.113.9, 10.9.9.9", "203.0.113.9"),
        ("127.0.0.1", "nonsense", "127.0.0.1"),
        ("2001:db8:1:2:3:4:5:6", None, "2001:db8:1:2::/64"),
    ],
)
def test_an_address_is_that_which_no_trusted_proxy_has(
    peer: str, forwarded: str | None, address: str
) -> None:
    mine = limits(server={"trusted_proxies": ["127.0.0.1", "10.0.0.0/8"]})
    assert mine.visitor(asked(peer, forwarded)).address == address


async def test_what_a_visitor_spent_counts_for_a_day_and_holds_for_chats_and_comparisons_alike(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hours = 100.0
    monkeypatch.setattr("chatlab.web.shared.spent.time", lambda: hours * 3_600)
    mine = limits(tokens_a_day={"visitor": 10}, cost_a_day={"total": 2})
    mine.spend("ann", 9, 0.5)
    await mine.charge(ANN)
    mine.spend("ann", 1, 0.5)
    for begin in (mine.charge, mine.begin):
        with pytest.raises(LimitReached, match="One visitor may take 10 tokens a day"):
            await begin(ANN)
    await mine.charge(BOB)
    hours += 12
    mine.spend("bob", 1, 1.0)
    with pytest.raises(LimitReached, match="All visitors together may spend 2 a day"):
        await mine.charge(BOB)
    hours += 12  # what was spent first is over for a day now
    await mine.charge(ANN)
    await mine.charge(BOB)


async def test_what_was_spent_is_forgotten_once_it_counts_no_more_and_not_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hours = 100.0
    monkeypatch.setattr("chatlab.web.shared.spent.time", lambda: hours * 3_600)
    mine = limits(tokens_a_day={"visitor": 10})
    mine.spend("ann", 10, 0)
    tracemalloc.start()
    try:
        for number in range(2_000):
            mine.spend(f"somebody {number}", 1, 0)
        taken = tracemalloc.get_traced_memory()[0]
        hours += 23
        mine.spend("bob", 1, 0)
        with pytest.raises(LimitReached, match="One visitor may take 10 tokens a day"):
            await mine.charge(ANN)
        hours += 2
        mine.spend("bob", 1, 0)
        assert tracemalloc.get_traced_memory()[0] < taken / 2
    finally:
        tracemalloc.stop()
