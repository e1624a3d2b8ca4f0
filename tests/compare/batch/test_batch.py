"""Runs of many prompts: order, limits, budget, what is on the disk, and going on after an end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatlab.compare.batch.append_log import AppendLog
from chatlab.compare.batch.batch import JUDGE, Batch, Listeners
from chatlab.compare.batch.budget import Budget
from chatlab.compare.batch.conflicts import judge_conflicts
from chatlab.compare.batch.engines.engine import Ran
from chatlab.compare.batch.folder import (
    Different,
    Plan,
    RunFolder,
    load,
    read_plan,
    read_run,
    refuse_differences,
    settings_of,
    write_plan,
)
from chatlab.compare.batch.item import CheckSpec, Item
from chatlab.compare.batch.on_disk import ResultsOnDisk
from chatlab.compare.batch.prompts import read_items
from chatlab.compare.batch.scheduler import LaneLimit
from chatlab.compare.batch.store import BatchStore, make_comparison
from chatlab.compare.model import UNCLEAR, Check, Comparison, Lane, Receipt, Result, Verdict, Vote
from chatlab.compare.model_json import (
    comparison_from_json,
    comparison_to_json,
    result_from_json,
    result_line,
    result_to_json,
    to_line,
    verdict_from_json,
    verdict_to_json,
)
from chatlab.compare.session.lanes import new_lane
from chatlab.compare.session.reduce import reduce_log
from chatlab.compare.statistics.summary import differences, judges, summarise, verdict_counts
from chatlab.config.load import load_config
from chatlab.config.models import CompareLane
from chatlab.config.registry import Backends, Entry
from chatlab.errors import StoreError
from chatlab.messages import Accumulator, Finish, Message, Notice, TextDelta, TextPart, Timing, Usage
from chatlab.recording.arrivals import Arrivals
from chatlab.store import Store, StoredTurn, now
from chatlab.store.sql import open_store
from chatlab.turns.ended import EndedTurn
from tests.compare.batch.upstream import Upstream
from tests.formats.strategies import assistants, audio_files, documents, image_files, users
from tests.servers.front import Front


@pytest.fixture
def front() -> Iterator[Front]:
    with Front() as server:
        yield server


class Rig:
    """A configuration, and runs of it."""

    def __init__(self, folder: Path, text: str) -> None:
        (folder / "lab.yaml").write_text(text)
        config = load_config(folder / "lab.yaml")
        self.folder = folder / "run"
        self.backends = Backends(config.backends, system=config.system)

    def plan(self, lanes: Sequence[str | CompareLane], items: Sequence[Item], **more: Any) -> Plan:
        made: list[Lane] = []
        for spec in lanes:
            made.append(new_lane(spec, self.backends, made))
        used = {lane.backend for lane in made}
        return Plan(
            "test",
            now(),
            tuple(made),
            tuple(items),
            more.pop("repeats", 1),
            more.pop("seed", 1),
            "interleaved",
            settings={name: settings_of(self.backends[name]) for name in used},
            **more,
        )

    @contextlib.contextmanager
    def batch(self, plan: Plan | None = None, *, budget: float | None = None, **more: Any) -> Iterator[Batch]:
        folder = RunFolder(self.folder) if plan is None else RunFolder.make(self.folder, plan)
        try:
            entries = {lane.id: self.backends[lane.backend] for lane in folder.plan.lanes}
            judge = None if folder.plan.judge is None else self.backends[folder.plan.judge]
            for entry in (*entries.values(), *((judge,) if judge else ())):
                entry.backend()  # imports its SDK, which would be taken for the upstream's time
            yield Batch(folder, entries, judge, Budget(budget, folder.ledger), **more)
        finally:
            folder.close()

    async def run(self, plan: Plan | None = None, **more: Any) -> bool:
        with self.batch(plan, **more) as batch:
            done = await batch.run()
        await self.backends.aclose()
        return done

    @property
    def results(self) -> tuple[Result, ...]:
        return load(self.folder).results

    def spent(self) -> float:
        folder = RunFolder(self.folder)
        try:
            return Budget(None, folder.ledger).spent
        finally:
            folder.close()


def prompts(count: int) -> list[Item]:
    return read_items("\n".join(f"prompt {n}" for n in range(count)), "p.txt")


ECHOES = """
backends:
  a: {kind: echo}
  b: {kind: echo, reply: "it is six"}
  broken: {kind: echo, fail: {after: 1, error: invalid_request}}
"""


@pytest.fixture
def echoes(tmp_path: Path) -> Rig:
    return Rig(tmp_path, ECHOES)


def upstreams(front: Front, *names: str, more: str = "") -> str:
    one = f'{{kind: openai, base_url: "{front.url}/v1", model: MODEL, retries: 0{more}}}'
    return "backends:\n" + "".join(f"  {name}: {one.replace('MODEL', name)}\n" for name in names)


# -- what comes of it


async def test_every_item_goes_to_every_lane_as_often_as_wanted(echoes: Rig) -> None:
    assert await echoes.run(echoes.plan(["a", "b"], prompts(3), repeats=2))
    found = load(echoes.folder)
    labels = {lane.id: lane.label for lane in found.lanes}
    assert [(r.item, r.repeat, labels[r.lane], r.turn.answer) for r in found.results] == [
        (str(n + 1), repeat, lane, (TextPart(f"prompt {n}" if lane == "a" else "it is six"),))
        for n in range(3)
        for repeat in range(2)
        for lane in ("a", "b")
    ]
    for result in found.results:
        assert result.receipt is not None and len(result.receipt.sha256) == 64
        assert result.turn.status == "finished" and result.turn.timing.total is not None
    assert (found.order, found.repeats, found.mode) == ("interleaved", 2, None)


async def test_lanes_that_are_sent_the_same_have_the_same_receipt_and_others_have_not(echoes: Rig) -> None:
    other = CompareLane(backend="a", label="brief", system="be brief", parameters={"max_tokens": 1})
    assert await echoes.run(echoes.plan(["a", "b", other], prompts(1)))
    a, b, brief = echoes.results
    assert a.receipt and b.receipt and brief.receipt
    assert a.receipt.sha256 == b.receipt.sha256 != brief.receipt.sha256
    assert [m.text for m in brief.receipt.messages] == ["be brief", "prompt 0"]
    assert brief.turn.answer == (TextPart("prompt"),) and brief.receipt.parameters == {"max_tokens": 1}


async def test_each_step_follows_the_lanes_own_answers(tmp_path: Path, front: Front) -> None:
    upstream = Upstream(front, lambda body: f"{body['model']} says {len(body['messages'])}")
    rig = Rig(tmp_path, upstreams(front, "m1", "m2"))
    items = read_items('{"prompt": ["one", "two"]}', "p.jsonl")
    assert await rig.run(rig.plan(["m1", "m2"], items))
    sent = {
        (body["model"], len(body["messages"])): [message["content"] for message in body["messages"]]
        for body in (seen.json for seen in front.requests)
    }
    for model in ("m1", "m2"):
        assert sent[model, 1] == ["one"]
        assert sent[model, 3] == ["one", f"{model} says 1", "two"]
    assert len(upstream.asked) == 4
    first, second = rig.results[:2]
    assert (first.step, second.step, second.turn.parent) == (0, 1, first.turn.id)


async def test_an_expected_answer_is_checked_and_so_is_what_was_asked_for(echoes: Rig) -> None:
    items = read_items(
        '{"prompt": "six", "expected": "six"}\n{"prompt": "q", "checks": ["contains:six"]}', "p.jsonl"
    )
    plan = echoes.plan(["a", "b"], items)
    assert await echoes.run(plan)
    labels = {lane.id: lane.label for lane in plan.lanes}
    assert {
        (labels[r.lane], r.item, check.name, check.passed) for r in echoes.results for check in r.checks
    } == {
        ("a", "1", "expected", True),
        ("b", "1", "expected", True),
        ("a", "2", "contains six", False),
        ("b", "2", "contains six", True),
    }
    a, b = summarise(load(echoes.folder))
    assert (a.passed, b.passed, b.by_check) == (0.5, 1.0, {"expected": (1, 1), "contains six": (1, 1)})
    assert a.interval is not None and a.interval.low < 0.5 < a.interval.high


async def test_checks_of_the_run_are_made_of_every_answer(echoes: Rig) -> None:
    assert await echoes.run(echoes.plan(["a"], prompts(2), checks=(CheckSpec("contains", "prompt 1"),)))
    assert [[check.passed for check in result.checks] for result in echoes.results] == [[False], [True]]


async def test_a_difference_within_the_noise_is_said_to_be_none(echoes: Rig) -> None:
    assert await echoes.run(echoes.plan(["a", "b"], prompts(2)))
    found = {name: two for name, two in differences(load(echoes.folder))}
    assert set(found) == {"first token", "total"} and not found["total"][0].distinguishable


# -- order and limits


async def test_the_order_is_random_by_the_seed_and_mixes_the_lanes(tmp_path: Path, front: Front) -> None:
    upstream = Upstream(front)
    rig = Rig(tmp_path, upstreams(front, "m1", "m2", "m3"))
    orders = []
    for number, seed in enumerate((1, 1, 2)):
        rig.folder = tmp_path / str(number)
        front.requests.clear()
        assert await rig.run(rig.plan(["m1", "m2", "m3"], prompts(8), seed=seed), concurrency=1)
        orders.append(upstream.asked)
    assert orders[0] == orders[1] != orders[2]
    blocks = [orders[0][n : n + 3] for n in range(0, 24, 3)]
    for block in blocks:
        assert len({asked.split(": ")[1] for asked in block}) == 1, "a prompt goes to all lanes in turn"
    assert len({tuple(asked.split(": ")[0] for asked in block) for block in blocks}) > 1
    assert [block[0].split(": ")[1] for block in blocks] != [f"prompt {n}" for n in range(8)]


async def test_no_more_calls_run_at_once_than_allowed(tmp_path: Path, front: Front) -> None:
    upstream = Upstream(front)
    upstream.seconds = 0.05
    rig = Rig(tmp_path, upstreams(front, "m1", "m2"))
    plan = rig.plan(["m1", "m2"], prompts(8))
    limits = {plan.lanes[0].id: LaneLimit(concurrency=1)}
    assert await rig.run(plan, concurrency=4, limits=limits)
    assert upstream.at_once["m1"] == 1
    assert upstream.at_once[""] == 4, "the other lane uses what is left"
    assert len(upstream.asked) == 16


async def test_answers_that_come_a_little_apart_are_brought_to_the_disk_together(
    tmp_path: Path, front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []

    def fsync(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_size)

    one_at_a_time = asyncio.Lock()

    async def engine(entry: Entry, *about: Any) -> Ran:
        async with one_at_a_time:
            for _ in range(10):  # threads have the time to write a line
                await asyncio.to_thread(len, "")
        answer = Accumulator()
        answer.add(TextDelta("fine"))
        turn = EndedTurn(entry, "finished", None, None, answer, Arrivals(), Timing(), {}, None)
        return Ran(turn, None, 1)

    rig = Rig(tmp_path, upstreams(front, "m1", "m2"))
    items = [replace(item, expected="fine" if n % 2 else None) for n, item in enumerate(prompts(16))]
    with rig.batch(rig.plan(["m1", "m2"], items), concurrency=16, engine=engine) as batch:
        monkeypatch.setattr("chatlab.compare.batch.bursts._TOGETHER", 600)
        monkeypatch.setattr(os, "fsync", fsync)
        async with asyncio.timeout(20):
            assert await batch.run()
    size = rig.folder.joinpath("results.jsonl").stat().st_size
    assert len(synced) <= 32 / 4 and synced[-1] == size, "checked in threads or not"
    await rig.backends.aclose()


async def test_requests_a_minute_are_spaced_and_hold_up_no_other_lane(tmp_path: Path, front: Front) -> None:
    upstream = Upstream(front)
    rig = Rig(tmp_path, upstreams(front, "slow", "free"))
    plan = rig.plan(["slow", "free"], prompts(6))
    assert await rig.run(plan, concurrency=2, limits={plan.lanes[0].id: LaneLimit(rpm=300)})
    times = {
        model: [seen.received_at for seen in front.requests if seen.json["model"] == model]
        for model in ("slow", "free")
    }
    assert len(times["slow"]) == len(times["free"]) == 6
    whole = times["slow"][-1] - times["slow"][0]
    assert whole >= 5 * 0.2 - 0.2, "six requests at five a second take a second"
    assert times["free"][-1] < times["slow"][-2]
    assert len(upstream.asked) == 12


async def test_retries_of_a_turn_count_as_requests(tmp_path: Path, front: Front) -> None:
    Upstream(front)
    front.fail(503, times=1, headers={"retry-after": "0"})
    rig = Rig(tmp_path, upstreams(front, "m").replace("retries: 0", "retries: 2"))
    plan = rig.plan(["m"], prompts(2))
    assert await rig.run(plan, limits={plan.lanes[0].id: LaneLimit(rpm=60)})
    first, second, third = [seen.received_at for seen in front.requests]
    assert second - first < 1 and third - first > 1.5, "the second prompt waits for two seconds"


# -- the budget

PRICED = """
backends:
  dear:
    {kind: echo, reply: one two three four, parameters: {max_tokens: 4}, prices: {input: 0, output: 250000}}
  free: {kind: echo}
"""


@pytest.mark.parametrize("concurrency", [1, 3, 20])
async def test_the_budget_is_used_up_and_never_passed(tmp_path: Path, concurrency: int) -> None:
    rig = Rig(tmp_path, PRICED)  # an answer is four tokens, and costs exactly 1
    plan = rig.plan(["dear"], prompts(20))
    costs: list[float] = []
    progress = Listeners(result=lambda result: costs.append(result.turn.cost or 0))
    assert not await rig.run(plan, budget=7.5, concurrency=concurrency, progress=progress)
    assert sum(costs) == rig.spent() == 7
    assert not await rig.run(budget=10, concurrency=concurrency), "what was spent before counts"
    assert rig.spent() == 10
    assert await rig.run(budget=20, concurrency=concurrency)
    assert len(rig.results) == 20 and rig.spent() == 20


async def test_a_budget_without_room_leaves_the_lanes_that_cost_nothing_their_answers(tmp_path: Path) -> None:
    rig = Rig(tmp_path, PRICED)
    plan = rig.plan(["dear", "free"], prompts(6))
    # So that it also waits for its turn, with nothing running.
    limits = {plan.lanes[1].id: LaneLimit(rpm=6000)}
    with rig.batch(plan, budget=2.5, concurrency=1, limits=limits) as batch:
        assert not await batch.run()
        assert batch.no_room == (plan.lanes[0].id, 1.0)
    answered = [result.lane for result in rig.results]
    assert [answered.count(lane.id) for lane in plan.lanes] == [2, 6]
    assert rig.spent() == 2


async def test_a_call_that_could_pass_the_budget_is_not_made_though_it_would_not(tmp_path: Path) -> None:
    rig = Rig(tmp_path, PRICED.replace("max_tokens: 4", "max_tokens: 8"))
    assert not await rig.run(rig.plan(["dear"], prompts(5)), budget=3.5, concurrency=1)
    assert rig.spent() == 2, "2 are spent, and the third call could come to 2 more"


async def test_without_max_tokens_the_longest_answer_seen_counts_twice(tmp_path: Path) -> None:
    rig = Rig(tmp_path, PRICED.replace("parameters: {max_tokens: 4}, ", ""))
    assert not await rig.run(rig.plan(["dear"], prompts(9)), budget=1023, concurrency=1)
    assert not rig.results, "nothing is known of it: 4096 tokens"
    assert await rig.run(budget=1024, concurrency=1)
    assert rig.spent() == 9
    lines = (rig.folder / "results.jsonl").read_bytes().splitlines(keepends=True)
    (rig.folder / "results.jsonl").write_bytes(b"".join(lines[:7]))
    assert not await rig.run(budget=10, concurrency=1), "9 are spent, and an answer may come to 2"
    assert await rig.run(budget=12, concurrency=1)


async def test_what_a_killed_call_had_set_aside_counts_as_spent(tmp_path: Path) -> None:
    rig = Rig(tmp_path, PRICED)
    write_folder = rig.plan(["dear"], prompts(5))
    RunFolder.make(rig.folder, write_folder).close()
    (rig.folder / "ledger.jsonl").write_text(
        '{"call":"x","aside":3}\n{"call":"y","aside":1}\n{"call":"y","cost":0}\n'
    )
    assert not await rig.run(budget=5)
    assert len(rig.results) == 2


async def test_refused_calls_cost_nothing_and_broken_ones_what_was_set_aside(tmp_path: Path) -> None:
    failing = (
        "fail: {after: AFTER, error: KIND}, parameters: {max_tokens: 4}, prices: {input: 0, output: 250000}"
    )
    text = f"backends:\n  x: {{kind: echo, {failing}}}\n"
    rig = Rig(tmp_path, text.replace("AFTER", "2").replace("KIND", "broken_stream"))
    assert await rig.run(rig.plan(["x"], prompts(1)))
    assert [result.turn.status for result in rig.results] == ["failed"] and rig.spent() == 1
    (tmp_path / "two").mkdir()
    rig = Rig(tmp_path / "two", text.replace("AFTER", "0").replace("KIND", "invalid_request"))
    assert await rig.run(rig.plan(["x"], prompts(1)))
    assert [result.turn.status for result in rig.results] == ["failed"] and rig.spent() == 0


# -- going on


async def test_a_run_that_was_stopped_asks_only_for_what_is_left(tmp_path: Path, front: Front) -> None:
    upstream = Upstream(front)
    rig = Rig(tmp_path, upstreams(front, "m1", "m2"))
    plan = rig.plan(["m1", "m2"], prompts(6))
    some = asyncio.Event()
    done: list[Result] = []

    def note(result: Result) -> None:
        done.append(result)
        if len(done) == 5:
            upstream.seconds = 60  # those that run now will not have ended when it is stopped
            some.set()

    task = asyncio.create_task(rig.run(plan, concurrency=2, progress=Listeners(result=note)))
    await some.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await rig.backends.aclose()
    kept = {(result.item, result.lane): result.turn.id for result in rig.results}
    assert len(kept) >= 5
    upstream.seconds = 0
    front.requests.clear()
    assert await rig.run()
    # As a set: a request of the first run may be noted only now.
    assert len(set(upstream.asked)) == 12 - len(kept)
    assert len(rig.results) == 12
    assert kept.items() <= {(result.item, result.lane): result.turn.id for result in rig.results}.items()
    front.requests.clear()
    assert await rig.run() and not front.requests


async def test_a_conversation_goes_on_in_its_middle(tmp_path: Path, front: Front) -> None:
    Upstream(front, lambda body: f"answer {len(body['messages'])}")
    rig = Rig(tmp_path, upstreams(front, "m"))
    items = read_items('{"prompt": ["one", "two", "three"]}', "p.jsonl")
    assert await rig.run(rig.plan(["m"], items))
    lines = (rig.folder / "results.jsonl").read_bytes().splitlines(keepends=True)
    (rig.folder / "results.jsonl").write_bytes(lines[0] + lines[1][:-20])
    front.requests.clear()
    assert await rig.run()
    assert [[m["content"] for m in seen.json["messages"]] for seen in front.requests] == [
        ["one", "answer 1", "two"],
        ["one", "answer 1", "two", "answer 3", "three"],
    ]


async def test_failed_answers_are_asked_again_only_if_wanted(tmp_path: Path, front: Front) -> None:
    upstream = Upstream(front)
    upstream.fails = lambda body: body["messages"][-1]["content"] == "prompt 1"
    rig = Rig(tmp_path, upstreams(front, "m"))
    assert await rig.run(rig.plan(["m"], prompts(3)))
    failed = rig.results[1].turn
    assert failed.status == "failed" and failed.error and failed.answer == ()
    assert rig.results[1].checks == () and summarise(load(rig.folder))[0].failed == 1
    upstream.fails = lambda body: False
    front.requests.clear()
    assert await rig.run() and not front.requests
    assert await rig.run(retry_failed=True)
    assert upstream.asked == ["m: prompt 1"]
    assert [result.turn.status for result in rig.results] == ["finished"] * 3


async def test_a_failing_step_ends_its_conversation_and_no_other(tmp_path: Path, front: Front) -> None:
    upstream = Upstream(front)
    upstream.fails = lambda body: body["model"] == "m1" and body["messages"][-1]["content"] == "one"
    rig = Rig(tmp_path, upstreams(front, "m1", "m2"))
    assert await rig.run(rig.plan(["m1", "m2"], read_items('{"prompt": ["one", "two"]}', "p.jsonl")))
    assert [(result.step, result.turn.status) for result in rig.results] == [
        (0, "failed"),
        (0, "finished"),
        (1, "finished"),
    ]


def test_a_line_that_was_not_written_to_its_end_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    for rest in (b'{"a": 3', b'{"a"\x00\x00}\n'):
        path.write_bytes(b'{"a": 1}\n{"a": 2}\n' + rest)
        journal = AppendLog(path)
        assert [value for _, value in journal.read()] == [{"a": 1}, {"a": 2}]
        asyncio.run(journal.append({"a": 4}))
        journal.close()
        assert path.read_text() == '{"a": 1}\n{"a": 2}\n{"a":4}\n'


def test_any_other_broken_line_is_said(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text('{"a": 1}\nnonsense\n{"a": 2}\n')
    journal = AppendLog(tmp_path / "x.jsonl")
    with pytest.raises(StoreError, match=r"x\.jsonl:2"):
        list(journal.read())
    journal.close()


def test_two_runs_cannot_go_on_in_one_folder(echoes: Rig) -> None:
    first = RunFolder.make(echoes.folder, echoes.plan(["a"], prompts(1)))
    with pytest.raises(StoreError, match="by another run"):
        RunFolder(echoes.folder)
    first.close()
    RunFolder(echoes.folder).close()
    with pytest.raises(StoreError, match="has a run already"):
        RunFolder.make(echoes.folder, first.plan)


def test_a_plan_is_the_same_after_it_was_written(echoes: Rig, tmp_path: Path) -> None:
    lane = CompareLane(backend="a", label="hot", parameters={"max_tokens": 3}, system="s")
    checks = (CheckSpec("exact"), CheckSpec("json_schema", {"type": "object"}))
    plan = echoes.plan(["a", lane], prompts(2), repeats=3, checks=checks, judge="b", criteria=("x", "y"))
    write_plan(tmp_path, plan)
    assert read_plan(tmp_path) == plan


def test_another_run_is_refused_and_everything_that_differs_is_named(echoes: Rig) -> None:
    was = echoes.plan(["a", "b"], prompts(2))
    refuse_differences(was, replace(was, created=now()))
    same_lanes = tuple(replace(lane, id=f"{n}") for n, lane in enumerate(was.lanes))
    refuse_differences(was, replace(was, lanes=same_lanes))
    now_other = replace(
        was,
        lanes=was.lanes[:1],
        items=was.items[:1],
        seed=9,
        repeats=2,
        judge="b",
        settings={**was.settings, "a": "other"},
    )
    with pytest.raises(Different) as caught:
        refuse_differences(was, now_other)
    for word in ("the lanes were a, b and are a", "settings of a have", "prompts", "seed was 1 and is 9"):
        assert word in str(caught.value)
    assert "repeats was 1" in str(caught.value) and 'judge was null and is "b"' in str(caught.value)


def test_settings_are_the_same_until_they_would_change_an_answer(tmp_path: Path) -> None:
    def settings(text: str) -> str:
        return settings_of(Rig(tmp_path, f"backends:\n  a: {{kind: echo{text}}}\n").backends["a"])

    same = settings("")
    assert settings(", label: X, retries: 1, prices: {input: 1, output: 1}") == same
    for other in (", reply: x", ", system: x", ", parameters: {max_tokens: 1}"):
        assert settings(other) != same


# -- the judge


def prefers(word: str) -> Any:
    """A judge that prefers the answer with a word in it; without one, the first."""

    def reply(body: Mapping[str, Any]) -> str:
        if body["model"] != "judge":
            return f"{body['model']} answer"
        first, second = body["messages"][-1]["content"].split("second answer")
        said = "second" if word in second and word not in first else "first"
        return f'Well. {{"reason": "has {word}", "winner": "{said}"}}'

    return reply


@pytest.mark.parametrize(("word", "winner"), [("m2", "m2"), ("m1", "m1"), ("nothing", "flip")])
async def test_a_judge_is_asked_in_both_orders(tmp_path: Path, front: Front, word: str, winner: str) -> None:
    upstream = Upstream(front, prefers(word))
    rig = Rig(tmp_path, upstreams(front, "m1", "m2", "judge", more=", prices: {input: 0, output: 1000}"))
    plan = rig.plan(["m1", "m2"], prompts(3), judge="judge", criteria=("tone", "overall"))
    assert await rig.run(plan, limits={JUDGE: LaneLimit(concurrency=1)})
    found = load(rig.folder)
    names = {lane.id: lane.label for lane in plan.lanes} | {"flip": "flip"}
    assert [(names[one.winner], one.criterion) for one in found.verdicts if one.item == "1"] == [
        (winner, "tone"),
        (winner, "overall"),
    ]
    assert len(found.verdicts) == 6 and found.verdicts[0].cost == pytest.approx(2 * 5 * 0.001)
    assert upstream.at_once["judge"] == 1
    side = {"m1": "a", "m2": "b", "flip": "flip"}[winner]
    assert verdict_counts(found) == [(criterion, "m1", "m2", {side: 3}) for criterion in ("tone", "overall")]
    assert rig.spent() == pytest.approx((6 + 12) * 5 * 0.001)
    front.requests.clear()
    assert await rig.run() and not front.requests, "a verdict is not paid for again"


async def test_a_judge_that_fails_or_rambles_gives_no_verdict_and_may_be_asked_again(
    tmp_path: Path, front: Front
) -> None:
    upstream = Upstream(front, lambda body: "hm" if body["model"] == "judge" else "x")
    rig = Rig(tmp_path, upstreams(front, "m1", "m2", "judge"))
    assert await rig.run(rig.plan(["m1", "m2"], prompts(1), judge="judge"))
    (said,) = load(rig.folder).verdicts
    assert said.winner == "unclear" and "cannot be read as a verdict: 'hm'" in said.reasons[0]
    upstream.fails = lambda body: True
    assert await rig.run(retry_failed=True)
    assert "the judge failed" in load(rig.folder).verdicts[0].reasons[1]
    upstream.fails = lambda body: False
    upstream.reply = prefers("m2")
    assert await rig.run(retry_failed=True)
    assert [one.winner for one in load(rig.folder).verdicts] == ["flip"], "both answers are the same"


async def test_the_budget_holds_for_the_judge_too(tmp_path: Path, front: Front) -> None:
    Upstream(front, prefers("m1"))
    priced = upstreams(
        front, "judge", more=", parameters: {max_tokens: 5}, prices: {input: 0, output: 200000}"
    )
    rig = Rig(tmp_path, priced + upstreams(front, "m1", "m2").removeprefix("backends:\n"))
    plan = rig.plan(["m1", "m2"], prompts(5), judge="judge")
    assert not await rig.run(plan, budget=5.5, concurrency=1)
    assert rig.spent() == 5 and len(load(rig.folder).verdicts) == 2
    assert len(rig.results) == 10


# -- the store


async def test_a_run_is_in_the_store_as_a_session(tmp_path: Path, echoes: Rig) -> None:
    items = read_items('{"prompt": ["one", "two"]}\n"three"', "p.jsonl")
    store = await open_store("sqlite:s.db", tmp_path)
    try:
        plan = await make_comparison(store, "me", echoes.plan(["a", "broken"], items, repeats=2))
        keep = BatchStore(store, "me")
        assert await echoes.run(plan, store=keep)
        assert keep.problem is None and plan.comparison is not None
        state = reduce_log(await store.log("me", plan.comparison))
        assert [lane.label for lane in state.lanes] == ["a", "broken"]
        assert sorted(one.user.text for one in state.rounds.values()) == ["one", "three", "two"]
        for lane in plan.lanes:
            turns = await store.turns("me", plan.conversations[lane.id])
            assert {turn.id for turn in turns} == {r.turn.id for r in echoes.results if r.lane == lane.id}
            receipts = await store.receipts("me", [turn.id for turn in turns])
            assert len(receipts) == len(turns) == (6 if lane.label == "a" else 4)
        before = len(await store.log("me", plan.comparison))
        again = BatchStore(store, "me")
        assert await echoes.run(store=again, retry_failed=False) and again.problem is None
        assert len(await store.log("me", plan.comparison)) == before
    finally:
        await store.aclose()


async def about_to_be_stored(
    store: Store, echoes: Rig, empty: Path, count: int
) -> tuple[str, BatchStore, ResultsOnDisk, list[Result]]:
    """Return the session of a run that has ended and of which nothing is stored, what stores it, and the
    run's results: on the disk, and as they are added. empty: a folder for it, as if nothing had come yet."""
    plan = await make_comparison(store, "me", echoes.plan(["a"], prompts(count)))
    assert plan.comparison is not None and await echoes.run(plan)
    keep = BatchStore(store, "me")
    RunFolder.make(empty, plan).close()
    await keep.begin(plan, read_run(empty)[1])
    _, results = read_run(echoes.folder)
    return plan.comparison, keep, results, owned(results)


def owned(results: ResultsOnDisk) -> list[Result]:
    """Return the results of a run that had no store, as one that has gets them."""
    return [replace(one, turn=replace(one.turn, owner="me")) for one in results.in_order()]


async def test_results_that_come_together_are_stored_together(
    tmp_path: Path, echoes: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await open_store("sqlite:s.db", tmp_path)
    saved: list[int] = []
    save = store.save

    async def counted(turns: Sequence[StoredTurn], **more: Any) -> None:
        saved.append(len(turns))
        await save(turns, **more)

    try:
        comparison, keep, results, found = await about_to_be_stored(store, echoes, tmp_path / "empty", 12)
        monkeypatch.setattr(store, "save", counted)
        await asyncio.gather(*(keep.add(number, one, results) for number, one in enumerate(found)))
        await keep.end()
        assert keep.problem is None and saved == [12]
        assert len(reduce_log(await store.log("me", comparison)).rounds) == 12
    finally:
        await store.aclose()


async def test_many_results_are_stored_before_their_time(
    tmp_path: Path, echoes: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chatlab.compare.batch.store._TOGETHER", 600)
    monkeypatch.setattr("chatlab.compare.batch.store._ENOUGH", 3)
    store = await open_store("sqlite:s.db", tmp_path)
    saved: asyncio.Queue[int] = asyncio.Queue()
    save = store.save

    async def counted(turns: Sequence[StoredTurn], **more: Any) -> None:
        await save(turns, **more)
        saved.put_nowait(len(turns))

    try:
        _, keep, results, found = await about_to_be_stored(store, echoes, tmp_path / "empty", 7)
        monkeypatch.setattr(store, "save", counted)
        for begin in (0, 3):
            for number in range(begin, begin + 3):
                await keep.add(number, found[number], results)
            assert await asyncio.wait_for(saved.get(), 20) == 3
        await keep.add(6, found[6], results)
        await keep.end()
        assert keep.problem is None and saved.get_nowait() == 1
    finally:
        await store.aclose()


async def test_no_round_is_told_of_before_its_answers_are_stored(
    tmp_path: Path, echoes: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await open_store("sqlite:s.db", tmp_path)
    saved: set[str] = set()
    told: list[str] = []
    saving, go_on = asyncio.Event(), asyncio.Event()
    save, append = store.save, store.append

    async def slow_save(turns: Sequence[StoredTurn], **more: Any) -> None:
        saving.set()
        await go_on.wait()
        await save(turns, **more)
        saved.update(turn.id for turn in turns)

    async def checked(*args: Any) -> Any:
        for event in args[3]:
            positions = [one["turn"] for one in event["positions"]]
            assert saved.issuperset(positions), "the process may be killed here"
            told.extend(positions)
        return await append(*args)

    try:
        plan = await make_comparison(store, "me", echoes.plan(["a", "broken"], prompts(2)))
        assert await echoes.run(plan)
        _, results = read_run(echoes.folder)
        found = owned(results)
        first = found[0]
        # A sitting that was killed once one lane's answer was on the disk, and before it was stored.
        killed = tmp_path / "killed"
        RunFolder.make(killed, plan).close()
        (killed / "results.jsonl").write_bytes(result_line(first))
        monkeypatch.setattr(store, "save", slow_save)
        monkeypatch.setattr(store, "append", checked)
        go_on.set()
        keep = BatchStore(store, "me")
        await keep.begin(plan, read_run(killed)[1])
        assert saved == {first.turn.id}
        go_on.clear()
        saving.clear()
        _, second, third, last = found
        await keep.add(0, second, results)
        await keep.add(1, third, results)
        await asyncio.wait_for(saving.wait(), 20)
        await keep.add(1, last, results)  # while the other lane's answer is stored
        go_on.set()
        await keep.end()
        assert keep.problem is None and sorted(told) == sorted(one.turn.id for one in found)
    finally:
        await store.aclose()


async def test_a_fault_while_storing_that_is_not_the_stores_is_raised_at_the_next_result(
    tmp_path: Path, echoes: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await open_store("sqlite:s.db", tmp_path)

    async def faulty(turns: Sequence[StoredTurn], **more: Any) -> None:
        raise ValueError("a fault of ours")

    try:
        plan = await make_comparison(store, "me", echoes.plan(["a"], prompts(2)))
        assert await echoes.run(plan)
        keep = BatchStore(store, "me")
        RunFolder.make(tmp_path / "empty", plan).close()
        await keep.begin(plan, read_run(tmp_path / "empty")[1])
        monkeypatch.setattr(store, "save", faulty)
        _, results = read_run(echoes.folder)
        first, second = results.in_order()
        await keep.add(0, first, results)
        with pytest.raises(ValueError, match="a fault of ours"):
            await keep.end()
        with pytest.raises(ValueError, match="a fault of ours"):
            await keep.add(1, second, results)
    finally:
        await store.aclose()


async def test_a_store_that_fails_ends_no_run(tmp_path: Path, echoes: Rig) -> None:
    store = await open_store("sqlite:s.db", tmp_path)
    try:
        plan = await make_comparison(store, "me", echoes.plan(["a"], prompts(2)))
        assert plan.comparison is not None
        await store.delete_comparison("me", plan.comparison)
        keep = BatchStore(store, "me")
        assert await echoes.run(plan, store=keep)
        assert keep.problem and len(echoes.results) == 2
    finally:
        await store.aclose()


# -- the lines

messages = users(image_files | audio_files | documents) | assistants()
texts = st.text(max_size=20)
numbers = st.floats(0, 1e6)
values = st.dictionaries(texts, st.none() | st.booleans() | st.integers(-9, 9) | numbers | texts, max_size=3)
moments = st.datetimes().map(lambda moment: moment.replace(tzinfo=now().tzinfo))
turns = st.builds(
    StoredTurn,
    texts,
    texts,
    texts,
    st.none() | texts,
    moments,
    messages,
    texts,
    texts,
    texts,
    parameters=values,
    system=st.none() | texts,
    sent=st.none() | values,
    status=st.sampled_from(["finished", "failed"]),
    answer=messages.map(lambda message: message.parts),
    notices=st.lists(st.builds(Notice, st.just("other"), texts), max_size=2).map(tuple),
    finish=st.none() | st.builds(Finish, st.just("stop"), st.builds(Usage, st.none() | st.integers(0, 9))),
    timing=st.builds(Timing, total=st.none() | numbers, attempts=st.integers(1, 3)),
    tool_seconds=st.dictionaries(texts, numbers, max_size=2),
    cost=st.none() | numbers,
    error=st.none() | texts,
)
results = st.builds(
    Result,
    texts,
    st.integers(0, 3),
    st.integers(0, 3),
    texts,
    turns,
    st.none() | st.builds(Receipt, texts, texts, st.lists(messages, max_size=2).map(tuple), values, texts),
    st.lists(st.builds(Check, texts, st.booleans(), numbers, texts), max_size=2).map(tuple),
    st.lists(texts, max_size=2).map(tuple),
)
verdicts = st.builds(
    Verdict,
    *[texts, st.integers(0, 3), st.integers(0, 3)],
    *[texts] * 5,
    cost=st.none() | numbers,
    preferred=st.tuples(texts, texts),
)
votes = st.builds(
    Vote, texts, texts, texts, st.lists(texts, max_size=3).map(tuple), texts, moments, st.booleans()
)
lanes = st.builds(Lane, texts, texts, texts, values, st.none() | texts)


@settings(max_examples=60, deadline=None)
@given(results)
def test_a_result_is_the_same_after_its_line(result: Result) -> None:
    line = to_line(result_to_json(result)).encode("utf-8")
    assert line.count(b"\n") == 1
    assert result_from_json(json.loads(line)) == result
    assert result_line(result) == line


@pytest.mark.parametrize(
    "value", [2**70, "half a character: \ud83d", 5e-05, 1e22, {"a": [1e-7, {"b": -0.0}]}]
)
def test_a_journal_has_the_line_that_pythons_own_json_writes(value: Any) -> None:
    parameters = {"x": value}
    turn = StoredTurn("t", "me", "c", None, now(), Message.of("user", "Hi"), "a", "echo", "a", parameters)
    receipt = Receipt("a", "echo", (Message.of("user", "Hi"),), parameters, "0" * 64)
    result = Result("1", 0, 0, "l", turn, receipt)
    assert result_line(result) == to_line(result_to_json(result)).encode("utf-8")


@settings(max_examples=30, deadline=None)
@given(verdicts)
def test_a_verdict_is_the_same_after_its_line(verdict: Verdict) -> None:
    assert verdict_from_json(json.loads(to_line(verdict_to_json(verdict)))) == verdict


def test_a_verdict_from_before_the_replies_were_kept_is_read_without_them() -> None:
    line = (
        '{"version":1,"item":"1","step":0,"repeat":0,"lane_a":"l1","lane_b":"l2","winner":"flip","judge":"j",'
        '"criterion":"overall","reasons":["r1","r2"],"cost":0.5}'
    )
    old = verdict_from_json(json.loads(line))
    assert old == Verdict("1", 0, 0, "l1", "l2", "flip", "j", "overall", ("r1", "r2"), 0.5)
    assert old.preferred == ("", "")


@settings(max_examples=20, deadline=None)
@given(
    st.builds(
        Comparison,
        texts,
        moments,
        st.sampled_from([None, "own", "shared"]),
        st.sampled_from(["parallel", "interleaved"]),
        st.booleans(),
        *[st.lists(some, max_size=2).map(tuple) for some in (lanes, results)],
        votes=st.lists(votes, max_size=2).map(tuple),
        verdicts=st.lists(verdicts, max_size=2).map(tuple),
        versions=st.dictionaries(texts, texts, max_size=2),
    )
)
def test_a_comparison_is_the_same_after_json(compared: Comparison) -> None:
    assert comparison_from_json(json.loads(to_line(comparison_to_json(compared)))) == compared


def test_a_line_of_another_version_is_refused() -> None:
    with pytest.raises(ValueError, match="this is version 2, and version 1 is expected"):
        result_from_json({"version": 2})


# -- upstreams that do not heed max_tokens, and what was really sent

HEEDLESS = ", prices: {input: 0, output: 1000000}, parameters: {max_tokens: 2}"  # a token costs 1


async def test_a_budget_is_not_passed_by_answers_that_are_longer_than_allowed(
    tmp_path: Path, front: Front
) -> None:
    upstream = Upstream(front)
    upstream.usage = {"prompt_tokens": 1, "completion_tokens": 5, "total_tokens": 6}
    rig = Rig(tmp_path, upstreams(front, "a", "b", more=HEEDLESS))
    assert not await rig.run(rig.plan(["a", "b"], prompts(6)), budget=12, concurrency=4)
    assert rig.spent() == 10, "an answer of each; the next may cost 10"
    assert upstream.at_once[""] == 1
    assert await rig.run(budget=70, concurrency=4)
    assert rig.spent() == 60


async def test_no_more_than_one_answer_at_once_can_pass_the_budget_however_short_the_first_were(
    tmp_path: Path, front: Front
) -> None:
    def reply(_: object) -> str:
        tokens = 1 if len(front.requests) == 1 else 7
        upstream.usage = {"prompt_tokens": 1, "completion_tokens": tokens, "total_tokens": 1 + tokens}
        return "fine"

    upstream = Upstream(front, reply)
    rig = Rig(tmp_path, upstreams(front, "a", more=HEEDLESS))
    plan = rig.plan(["a"], prompts(12))
    assert not await rig.run(plan, budget=9, concurrency=4)
    assert rig.spent() == 8, "one of 1, one of 7, and none beside it"
    assert upstream.at_once["a"] == 1


async def test_calls_run_beside_each_other_where_the_limit_was_heeded_or_there_is_room(
    tmp_path: Path, front: Front
) -> None:
    upstream = Upstream(front)
    upstream.usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    upstream.reason = "length"
    rig = Rig(tmp_path, upstreams(front, "a", more=HEEDLESS))
    upstream.seconds = 0.2
    assert await rig.run(rig.plan(["a"], prompts(8)), budget=30, concurrency=4)
    assert upstream.at_once["a"] > 1

    upstream.reason, upstream.at_once["a"] = "stop", 0
    (tmp_path / "roomy").mkdir()
    roomy = Rig(tmp_path / "roomy", upstreams(front, "a", more=HEEDLESS))
    assert await roomy.run(roomy.plan(["a"], prompts(8)), budget=40_000, concurrency=4)
    assert upstream.at_once["a"] > 1


async def test_an_answer_in_large_pieces_is_ended_where_the_budget_has_no_room(
    tmp_path: Path, front: Front
) -> None:
    upstream = Upstream(front)
    upstream.pieces = lambda reply: ("x" * 1600 for n in range(50_000))
    rig = Rig(tmp_path, upstreams(front, "a", more=HEEDLESS))
    assert not await rig.run(rig.plan(["a"], prompts(1)), budget=500, concurrency=1)
    assert upstream.sent < 50_000 and not rig.results


async def test_a_stream_that_would_pass_the_budget_is_ended_and_asked_again_when_there_is_room(
    tmp_path: Path, front: Front
) -> None:
    upstream = Upstream(front)
    upstream.pieces = lambda reply: (f"word{n} " for n in range(50_000))
    upstream.usage = {"prompt_tokens": 1, "completion_tokens": 50_000, "total_tokens": 50_001}
    rig = Rig(tmp_path, upstreams(front, "a", more=HEEDLESS))
    plan = rig.plan(["a"], prompts(1))
    with rig.batch(plan, budget=20, concurrency=1) as batch:
        assert not await batch.run()
        assert batch.no_room is not None and batch.no_room[1] > 20
    assert rig.spent() <= 20 and not rig.results
    assert upstream.sent < 50_000, "the connection was closed"
    upstream.pieces = lambda reply: (reply,)
    upstream.usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    assert await rig.run(budget=60)
    assert [one.turn.status for one in rig.results] == ["finished"]


async def test_a_receipt_has_the_hash_of_the_request_that_went_out(tmp_path: Path, front: Front) -> None:
    Upstream(front)
    rig = Rig(tmp_path, upstreams(front, "a"))
    assert await rig.run(rig.plan(["a"], prompts(3)))
    hashes = {one.receipt.wire_sha256 for one in rig.results if one.receipt is not None}
    assert hashes == {sha256(seen.body).hexdigest() for seen in front.requests}


def test_a_judge_of_the_lanes_own_kin_is_said() -> None:
    lanes = [Lane("1", "gpt", "GPT"), Lane("2", "mini", "Mini"), Lane("3", "other", "Other")]
    models = {"1": "gpt-5", "2": "gpt-5-mini", "3": "qwen3-8b"}
    said = judge_conflicts("gpt", "gpt-5", lanes, models)
    assert said == (
        "The judge gpt is also the lane GPT: it may favour its own answers.",
        "The judge gpt and the lane Mini are of one family (gpt): it may favour answers of its own family.",
    )
    (same,) = judge_conflicts("referee", "qwen3-8b", lanes, models)
    assert same.startswith("The judge referee and the lane Other are the same model (qwen3-8b)")
    assert judge_conflicts("referee", "mistral-large", lanes, models) == ()


async def test_the_report_of_a_run_says_that_its_judge_is_a_lane(echoes: Rig) -> None:
    assert await echoes.run(echoes.plan(["a", "b"], prompts(1), judge="a"))
    (note,) = load(echoes.folder).notes
    assert note == "The judge a is also the lane a: it may favour its own answers."


# -- judges that cannot be read, and what a judge costs

JUDGED = """
backends:
  a: {kind: echo}
  b: {kind: echo, reply: "it is six"}
  judge: {kind: echo, reply: 'REPLY', prices: {input: 0, output: 1000000}}
"""


async def test_a_judge_that_cannot_be_read_is_asked_no_more_after_ten_replies(tmp_path: Path) -> None:
    rig = Rig(tmp_path, JUDGED.replace("REPLY", "I like both"))
    with rig.batch(rig.plan(["a", "b"], prompts(30), judge="judge"), concurrency=2) as batch:
        assert await batch.run()
        assert batch.judge_stopped is not None and "I like both" in batch.judge_stopped
        assert batch.verdicts_left() == 30 - len(load(rig.folder).verdicts) >= 24
    assert {one.winner for one in load(rig.folder).verdicts} == {UNCLEAR}
    asked = rig.spent() / 3  # a reply has three words
    assert 10 <= asked <= 11, "ten in a row, and what ran beside the tenth"


async def test_a_reply_that_can_be_read_begins_the_count_anew(tmp_path: Path, front: Front) -> None:
    replies = iter(range(1000))
    Upstream(front, lambda body: "no idea" if next(replies) % 10 else '{"winner": "first"}')
    rig = Rig(tmp_path, ECHOES + upstreams(front, "judge").removeprefix("backends:\n"))
    with rig.batch(rig.plan(["a", "b"], prompts(20), judge="judge"), concurrency=1) as batch:
        assert await batch.run() and batch.judge_stopped is None and batch.verdicts_left() == 0
    await rig.backends.aclose()
    assert len(load(rig.folder).verdicts) == 20


async def test_what_was_spent_says_whose_calls_it_was_spent_on(tmp_path: Path) -> None:
    rig = Rig(tmp_path, JUDGED.replace("REPLY", '{"winner": "first"}'))
    assert await rig.run(rig.plan(["a", "b"], prompts(3), judge="judge"))
    folder = RunFolder(rig.folder)
    assert dict(Budget(None, folder.ledger).spent_by) == {JUDGE: 12}, "two replies of two words a verdict"
    folder.close()
    (judge,) = judges(load(rig.folder))
    assert (judge.name, judge.verdicts, judge.unclear, judge.priced, judge.cost) == ("judge", 3, 0, 3, 12)
    path = rig.folder / "ledger.jsonl"
    path.write_text(path.read_text().replace(',"who":"judge"', ""))
    folder = RunFolder(rig.folder)
    assert dict(Budget(None, folder.ledger).spent_by) == {"": 12}, "older ledgers do not say"
    folder.close()
