"""What a lane reports of its times fits what its upstream did, and what whoever asked could see of it.

By one clock, so that the order of moments is certain; how close the figures are is `benchmarks/compare.py`'s.
"""

from __future__ import annotations

import asyncio
from time import perf_counter

from chatlab.compare.session.session import ComparisonSession
from chatlab.messages import Timing
from tests.compare.session.gated_upstream import Lane
from tests.compare.session.test_isolation import answer, comparison, id_of, until

HELD = 0.3


async def asked(session: ComparisonSession) -> tuple[float, dict[str, Timing]]:
    """Asks all lanes and waits for them; the seconds that took, and what each lane reports."""
    start = perf_counter()
    await session.ask("Hello")
    await until(session, *(lane.label for lane in session.state.lanes))
    overall = perf_counter() - start
    return overall, {lane.label: answer(session, lane.label).timing for lane in session.state.lanes}


async def test_figures_are_at_least_the_upstreams_and_at_most_what_the_asker_saw() -> None:
    lanes = {
        "waits": Lane(gates={0: HELD}),
        "stalls": Lane(gates={2: HELD}),
        "swift": Lane(),
    }
    async with comparison(lanes) as (session, _):
        overall, timings = await asked(session)
        for name, lane in lanes.items():
            timing = timings[name]
            assert timing.first_token is not None
            assert timing.total is not None
            assert timing.longest_stall is not None
            assert lane.written[0] - lane.received <= timing.first_token <= timing.total <= overall
            assert lane.done - lane.received <= timing.total
            assert timing.longest_stall <= timing.total - timing.first_token
        assert (timings["waits"].first_token or 0) >= HELD
        assert (timings["stalls"].longest_stall or 0) >= HELD / 2, "a late reader hides part of it at most"
        assert (timings["stalls"].total or 0) >= HELD


async def test_a_lane_is_charged_for_its_own_upstream_and_for_no_other() -> None:
    swift_is_done = asyncio.Event()
    lanes = {"slow": Lane(gates={0: swift_is_done}), "swift": Lane()}
    async with comparison(lanes) as (session, _):
        start = perf_counter()
        await session.ask("Hello")
        await until(session, "swift")
        seen = perf_counter() - start
        await asyncio.sleep(HELD)  # the slow one takes its time, of which the other is to show nothing
        released = perf_counter()
        swift_is_done.set()
        await until(session, "slow")
        slow, swift = answer(session, "slow").timing, answer(session, "swift").timing
        assert swift.total is not None and swift.total <= seen
        assert slow.first_token is not None
        assert released - lanes["slow"].received <= slow.first_token <= perf_counter() - start


async def test_a_lane_that_failed_broke_off_or_was_stopped_reports_what_there_was() -> None:
    lanes = {
        "fails": Lane(end="refuse"),
        "breaks": Lane(("one ", "two "), gates={0: HELD}, end="break"),
        "stopped": Lane(gates={1: asyncio.Event()}),
    }
    async with comparison(lanes) as (session, _):
        start = perf_counter()
        await session.ask("Hello")
        async for _changed in session.changes():
            if answer(session, "stopped").answer:
                break
        await session.stop(id_of(session, "stopped"))
        await until(session, *lanes)
        overall = perf_counter() - start
        fails, breaks, stopped = (answer(session, name).timing for name in lanes)
        assert fails.first_token is None and fails.longest_stall is None
        assert fails.total is not None and 0 < fails.total < overall
        assert breaks.first_token is not None and breaks.total is not None
        assert HELD <= breaks.first_token <= breaks.total <= overall
        assert stopped.first_token is not None and stopped.total is not None
        assert lanes["stopped"].written[0] - lanes["stopped"].received <= stopped.first_token <= stopped.total
        assert stopped.total <= overall and answer(session, "stopped").finish is None


async def test_a_server_that_keeps_its_body_open_after_the_end_does_not_lengthen_the_total() -> None:
    lanes = {"lingers": Lane(end="linger")}
    async with comparison(lanes) as (session, _):
        overall, timings = await asked(session)
        lane, total = lanes["lingers"], timings["lingers"].total
        assert total is not None
        assert lane.done - lane.received <= total
        assert total < overall - 0.05, "the wait for the body's end is not the answer's"
