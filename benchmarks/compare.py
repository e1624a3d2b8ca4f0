"""What a comparison promises about time: no lane feels another, the figures are true, and it is cheap.

Starts an upstream, the app and a plain chat app as processes of their own, all on loopback, and prints one
table, with a target where there is one.

- Isolation: eight lanes, of which one stalls for ten seconds, one fails at the start and one in the middle.
  Each of the other five is asked alone and beside the seven, in turns, in an order drawn anew each time; what
  counts is the median of the differences between the two, in what the lane reports (docs/timing.md). From the
  asking it is more: there are more messages to save, and lanes start milliseconds after each other. Shown
  beside it: the same from the asking with lanes that are read in turn, as the classic arena does it.
- Agreement: first token, total and longest stall as a lane reports them, beside what the upstream wrote down
  by the same clock, for every answer of these rounds.
- Cost: the comparison page's server with eight lanes, beside eight plain chats and eight of chatlab's own.
- Batch: `chatlab compare` with a thousand prompts to three lanes at 200 ms latency and 64 at once, beside the
  ideal rate, and beside promptfoo on the same upstream where it is (see batch.py, which measures memory too).

    python benchmarks/compare.py             # everything but promptfoo, two minutes if nothing else runs
    python benchmarks/compare.py --skip-cost --rounds 30
    python benchmarks/compare.py --only-batch --promptfoo ~/promptfoo
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))  # a bare checkout will do

import httpx2
from batch import IDEAL, rate
from in_turn import read_in_turn
from openai import OpenAI
from page_driver import cpu_seconds
from streaming import HERE, RATE, apps_of, free_port, process

from chatlab.compare.session.session import ComparisonSession
from chatlab.config.models import BackendConfig
from chatlab.config.registry import Backends, backend_class
from chatlab.conversations.saving import Saving
from chatlab.messages import TextPart, Timing
from chatlab.store.sql import open_store

STALL = 10  # seconds
STEADY = {  # lane: what the upstream is told to do, in the name of the model
    "a": "10-100,wait=0.05",
    "b": "10-50,wait=0.1",
    "c": "10-50,wait=0.1",
    "d": "10-50,wait=0.2",
    "e": "20-100,wait=0.2",
}
HARMFUL = {
    "stalls": f"10-50,wait=0.05,stall={STALL}",
    "refuses": "10-50,end=refuse",
    "breaks": "10-50,wait=0.05,end=break",
}
MODELS = {name: f"{how},name={name}" for name, how in (STEADY | HARMFUL).items()}
MOVE = AGREE = 5.0  # milliseconds
PAINTS = 21  # events a second: about 20


@dataclass
class Seen:
    """When one lane's first text and its whole answer were there for a reader. Seconds from the asking.

    reported: the lane's own figures.
    """

    first: float = 0.0
    total: float = 0.0
    reported: Timing = field(default_factory=Timing)

    @property
    def figures(self) -> dict[str, float]:
        """All of them, in milliseconds, by what they are called in the table."""
        found = {"first token from the asking": self.first, "total from the asking": self.total}
        if self.reported.first_token is not None and self.reported.total is not None:
            found |= {"first token": self.reported.first_token, "total": self.reported.total}
        return {what: 1000 * seconds for what, seconds in found.items()}


@dataclass
class Moves:
    """Of one lane, by round: its figures alone, and beside the seven others."""

    alone: list[dict[str, float]] = field(default_factory=list)
    beside: list[dict[str, float]] = field(default_factory=list)

    def moved(self, what: str) -> tuple[float, float, float]:
        """Medians: alone, beside the others, and of the differences."""
        alone, beside = ([one[what] for one in side] for side in (self.alone, self.beside))
        differences = [b - a for a, b in zip(alone, beside, strict=True)]
        return statistics.median(alone), statistics.median(beside), statistics.median(differences)


@dataclass
class Table:
    """The one table. A row with a target is met or missed."""

    missed: int = 0

    def head(self) -> None:
        self.row("what", "of", "alone or upstream", "here", "difference", "target", "")
        print("| --- " * 7 + "|")

    def row(self, *cells: object) -> None:
        print("| " + " | ".join(map(str, cells)) + " |", flush=True)

    def judged(self, *cells: object, value: float, limit: float) -> None:
        """A row whose value is to be below a limit."""
        met = value < limit
        self.missed += not met
        self.row(*cells, f"< {limit:g}", "met" if met else "MISSED")


# -- isolation


class Ours:
    """Sessions of chatlab in this process, saved to SQLite as an app's are."""

    def __init__(self, backends: Backends, store: Any, saving: Saving) -> None:
        self._backends, self._store, self._saving = backends, store, saving

    async def ask(self, lanes: Sequence[str], until: Sequence[str]) -> dict[str, Seen]:
        """Asks lanes together in a new session, and reads it until some of them have ended."""
        session = await ComparisonSession.create(
            self._backends, lanes, owner="bench", store=self._store, saving=self._saving
        )
        changes = session.changes()
        await anext(changes)  # reads from now on
        names = {lane.id: lane.backend for lane in session.state.lanes}
        seen: dict[str, Seen] = {name: Seen() for name in lanes}
        start = time.perf_counter()
        await session.ask("go")
        waiting = set(until)
        async for changed in changes:
            now = time.perf_counter() - start
            for lane in changed.lanes:
                head = session.state.heads[lane]
                assert head is not None
                turn, one = session.turn(head), seen[names[lane]]
                if not one.first and any(isinstance(part, TextPart) for part in turn.answer):
                    one.first = now
                if turn.status != "running":
                    one.total, one.reported = now, turn.timing
                    waiting.discard(names[lane])
            if not waiting:
                break
        await changes.aclose()
        await session.aclose()
        return seen


def ask_in_turn(client: OpenAI, lanes: Sequence[str]) -> dict[str, Seen]:
    """The same with lanes that are read in turn."""
    seen = {name: Seen() for name in lanes}
    shown = dict.fromkeys(lanes, "")
    start = time.perf_counter()
    for texts in read_in_turn(client, {name: MODELS[name] for name in lanes}):
        now = time.perf_counter() - start
        for name, text in texts.items():
            if text != shown[name] and text.startswith("w"):  # the upstream's first token, not the cursor
                shown[name] = text
                seen[name].first = seen[name].first or now
                seen[name].total = now
    return seen


def mixed(names: Sequence[str]) -> list[str]:
    return random.sample(list(names), len(names))


async def isolation_of_ours(
    base: str, folder: str, rounds: int
) -> tuple[dict[str, Moves], dict[str, list[float]]]:
    """And the differences between what the lanes reported and what the upstream wrote down, in ms."""
    options = backend_class("openai").Options
    backends = Backends(
        {
            name: BackendConfig(
                kind="openai",
                retries=0,
                options=options.model_validate({"model": model, "base_url": f"{base}/v1"}),
            )
            for name, model in MODELS.items()
        }
    )
    store = await open_store(f"sqlite:{folder}/bench.db")
    saving = Saving(store)
    ours, moves = Ours(backends, store, saving), {name: Moves() for name in STEADY}
    differences: dict[str, list[float]] = defaultdict(list)
    async with httpx2.AsyncClient() as client:

        async def ask(lanes: Sequence[str], until: Sequence[str]) -> dict[str, Seen]:
            seen = await ours.ask(lanes, until)
            served = {one["model"]: one for one in (await client.get(base)).json()}
            for name in set(until) - {"refuses", "breaks"}:
                for figure, ms in disagreement(seen[name].reported, served[MODELS[name]]).items():
                    differences[figure].append(ms)
            return seen

        await ask(tuple(MODELS), tuple(STEADY))  # imports, first connections
        differences.clear()
        for number in range(rounds):
            for name in mixed(tuple(STEADY)):
                moves[name].alone.append((await ask([name], [name]))[name].figures)
            # In the last round the lane that stalls is waited for too: its own figures must be right.
            last = number == rounds - 1
            beside = await ask(mixed(tuple(MODELS)), tuple(MODELS) if last else tuple(STEADY))
            for name in STEADY:
                moves[name].beside.append(beside[name].figures)
    await saving.aclose()
    await store.aclose()
    await backends.aclose()
    return moves, differences


def disagreement(timing: Timing, served: dict[str, Any]) -> dict[str, float]:
    """What a lane reported less what the upstream wrote down, in milliseconds."""
    tokens, done = served["tokens"], served["done"]
    moments = [*tokens, done]
    stall = max(after - before for before, after in pairwise(moments))
    assert timing.first_token is not None and timing.total is not None and timing.longest_stall is not None
    assert timing.connected is not None
    return {
        "first token": 1000 * (timing.first_token - (tokens[0] - served["received"])),
        "total": 1000 * (timing.total - (done - served["received"])),
        "longest stall": 1000 * (timing.longest_stall - stall),
        "first token, from the request's sending": 1000
        * (timing.first_token - timing.connected - (tokens[0] - served["received"])),
    }


def isolation_in_turn(base: str, rounds: int) -> dict[str, Moves]:
    moves = {name: Moves() for name in STEADY}
    with OpenAI(base_url=f"{base}/v1", api_key="none", max_retries=0) as client:
        ask_in_turn(client, ("a", "refuses"))  # first connections
        for _ in range(rounds):
            for name in mixed(tuple(STEADY)):
                moves[name].alone.append(ask_in_turn(client, [name])[name].figures)
            beside = ask_in_turn(client, mixed(tuple(MODELS)))
            for name in STEADY:
                moves[name].beside.append(beside[name].figures)
    return moves


LATENESS = """
import select, sys, time
late = []
while True:
    start = time.perf_counter()
    if select.select([sys.stdin], [], [], 0.005)[0]:
        break
    late.append(1000 * (time.perf_counter() - start) - 5)
late.sort()
print(*(f"{late[int(q * (len(late) - 1))]:.1f}" for q in (0.5, 0.95, 1)))
"""


@contextlib.contextmanager
def machine(table: Table) -> Iterator[None]:
    """Also measures how late a process that does nothing is woken: nothing here can agree better."""
    command = [sys.executable, "-c", LATENESS]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        yield
        p50, p95, latest = child.communicate()[0].split()
    lateness = f"median {p50} ms", f"p95 {p95} ms, max {latest} ms"
    table.row("the machine: an idle process woken late", "every 5 ms", "–", *lateness, "–", "")


def show_moves(table: Table, ours: dict[str, Moves], in_turn: dict[str, Moves] | None) -> None:
    for what in ("first token", "total"):
        for name, moves in ours.items():
            alone, beside, moved = moves.moved(what)
            cells = (
                f"isolation: {what}",
                f"lane {name}",
                f"{alone:.1f} ms",
                f"{beside:.1f} ms",
                f"{moved:+.1f} ms",
            )
            table.judged(*cells, value=abs(moved), limit=MOVE)
    for what in ("first token from the asking", "total from the asking"):
        for how, lanes in (("chatlab", ours), ("read in turn", in_turn or {})):
            found = {name: moves.moved(what) for name, moves in lanes.items()}
            if found:
                name, (alone, beside, moved) = max(found.items(), key=lambda item: abs(item[1][2]))
                cells = f"{alone:.1f} ms", f"{beside:.1f} ms", f"{moved:+.1f} ms"
                table.row(f"{what}, {how}", f"lane {name}, moved most", *cells, "–", "")


# -- cost


@dataclass
class Paints:
    """What one comparison page was sent while its lanes were answered."""

    cpu: float
    events: int
    bytes: int
    tokens: int
    seconds: float


async def compare_page(url: str, pid: int, lanes: int) -> Paints:
    """Asks on the comparison page as its script does, and reads its stream of events to the end."""
    headers = {"x-chatlab": "1"}
    async with httpx2.AsyncClient(base_url=url, headers=headers, timeout=60) as client:
        (await client.get("/compare", headers={"accept": "text/html"})).raise_for_status()
        chosen = [{"backend": "bench", "label": f"lane {n}"} for n in range(lanes)]
        begun = await client.post("/-/compare/sessions", json={"lanes": chosen})
        begun.raise_for_status()
        one = f"/-/compare/sessions/{begun.json()['id']}"
        seen = Paints(cpu_seconds(pid), 0, 0, 0, 0.0)
        start = time.monotonic()
        async with client.stream("GET", f"{one}/events") as reply:
            asking = asyncio.create_task(client.post(f"{one}/ask", json={"text": "go"}))
            event = ""
            async for line in reply.aiter_lines():
                seen.bytes += len(line) + 1
                if line.startswith("event:"):
                    event = line[6:].strip()
                    seen.events += event == "paint"
                elif line.startswith("data:") and event == "view":
                    told = json.loads(line[5:])
                    answers = [a for r in told["rounds"] for of in r["answers"].values() for a in of]
                    if len(answers) == lanes and all(a["status"] != "running" for a in answers):
                        seen.tokens = sum(a["html"].count("@") for a in answers)
                        break
        (await asking).raise_for_status()
        seen.seconds, seen.cpu = time.monotonic() - start, cpu_seconds(pid) - seen.cpu
    return seen


def cost(table: Table, upstream: str, seconds: float) -> None:
    lanes, tokens = 8, int(seconds * RATE)
    of_plain, of_chatlab = apps_of(upstream, f"{tokens}-{RATE}", None)
    plain = of_plain.run(lanes, 0, tokens, 0.02)
    with process(*of_chatlab.command, port=of_chatlab.port) as server:
        url = f"http://127.0.0.1:{of_chatlab.port}"
        asyncio.run(compare_page(url, server.pid, 2))
        page = asyncio.run(compare_page(url, server.pid, lanes))
        chats = of_chatlab.measure(server.pid, lanes, 0, tokens, 0.02)
    of = f"{lanes} x {RATE} tokens/s"
    mine = 1000 * page.cpu / (lanes * tokens)
    for app, theirs in (("plain chats", plain.cpu_ms_a_token), ("chatlab chats", chats.cpu_ms_a_token)):
        cells = (f"server CPU a token, beside {app}", of, f"{theirs:.3f} ms", f"{mine:.3f} ms")
        ratio = mine / theirs
        if app == "plain chats":
            table.judged(*cells, f"{ratio:.2f} times", value=ratio, limit=1)
        else:
            table.row(*cells, f"{ratio:.2f} times", "–", "")
    rate = page.events / page.seconds
    table.judged("paint events a second, all lanes", of, "–", f"{rate:.1f}", "–", value=rate, limit=PAINTS)
    table.row("bytes a token", of, "–", f"{page.bytes / max(1, page.tokens):.0f}", "–", "–", "")
    lost = lanes * tokens - page.tokens
    table.judged("tokens missing", of, lanes * tokens, page.tokens, lost, value=abs(lost), limit=1)


# -- many prompts


def batch(table: Table, base: str, prompts: int, promptfoo: Path | None) -> None:
    ours, theirs = rate(f"{base}/v1", prompts, promptfoo)
    of = f"{ours.calls} calls at 200 ms, 64 at once"
    missing = 1 - ours.rate / IDEAL
    cells = ("batch: calls a second, beside the ideal", of, f"{IDEAL:.0f}", f"{ours.rate:.0f}")
    table.judged(*cells, f"{missing:.0%} less", value=missing, limit=0.1)
    what = "batch: CPU a call, beside promptfoo"
    if theirs is None:
        table.row(what, of, "–", f"{ours.cpu_ms_a_call:.2f} ms", "–", "–", "")
        return
    ratio = ours.cpu_ms_a_call / theirs.cpu_ms_a_call
    cells = (what, of, f"{theirs.cpu_ms_a_call:.2f} ms", f"{ours.cpu_ms_a_call:.2f} ms")
    table.judged(*cells, f"{ratio:.2f} times", value=ratio, limit=0.25)


def lanes_together(table: Table, base: str, args: argparse.Namespace) -> None:
    """Isolation, agreement and cost."""
    with tempfile.TemporaryDirectory() as folder:
        with machine(table):
            moves, differences = asyncio.run(isolation_of_ours(base, folder, args.rounds))
        show_moves(table, moves, None if args.skip_in_turn else isolation_in_turn(base, 1))
        for figure, values in differences.items():
            found = sorted(map(abs, values))
            p95 = found[min(len(found) - 1, int(0.95 * len(found)))]
            cells = f"agreement: {figure}", f"{len(found)} answers", "–"
            table.judged(
                *cells,
                f"median {statistics.median(found):.1f} ms",
                f"p95 {p95:.1f} ms, max {found[-1]:.1f} ms",
                value=p95,
                limit=AGREE,
            )
        if not args.skip_cost:
            cost(table, f"{base}/v1", args.seconds)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=8, help="of isolation: alone, and beside the others")
    parser.add_argument("--seconds", type=float, default=3, help="how long each answer of the cost streams")
    parser.add_argument("--skip-cost", action="store_true")
    parser.add_argument("--skip-in-turn", action="store_true")
    parser.add_argument("--only-batch", action="store_true")
    parser.add_argument("--prompts", type=int, default=1000, help="of the batch")
    parser.add_argument("--promptfoo", type=Path, help="the folder that has it in node_modules")
    args = parser.parse_args()
    for proxy in [name for name in os.environ if name.upper().endswith("_PROXY")]:
        del os.environ[proxy]  # the upstream is on this machine
    start, table, port = time.monotonic(), Table(), free_port()
    base = f"http://127.0.0.1:{port}"
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; medians of {args.rounds} rounds\n")
    table.head()
    with process(str(HERE / "upstream.py"), str(port), port=port):
        if not args.only_batch:
            lanes_together(table, base, args)
        batch(table, base, args.prompts, args.promptfoo)
    print(f"\n{table.missed} targets missed; {time.monotonic() - start:.0f} s in all")
    return 1 if table.missed else 0


if __name__ == "__main__":
    sys.exit(main())
