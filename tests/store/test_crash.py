"""A server killed in the middle of a stream: what it had saved is there, and nothing is half there."""

from __future__ import annotations

import multiprocessing
import random
import signal
import time
from multiprocessing.connection import Connection
from typing import Any

import pytest

from chatlab.messages import Finish, TextPart
from chatlab.store.sql import open_store
from tests.store.crashing import WORDS, stream, text_of

# Processes of their own, forked from one that has imported already what takes them most of their time.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(
    ["tests.store.crashing", "sqlalchemy.dialects.postgresql.psycopg", "psycopg"]
)
ROUNDS, AT_ONCE = 5, 4  # twenty are killed, four of them while the others write to the same database


def stream_and_kill(url: str, chance: random.Random) -> list[dict[str, tuple[int, bool]]]:
    """What each of some servers had acknowledged, by turn, when it was killed at a random moment."""
    servers = []
    for number in range(AT_ONCE):
        said, saying = PROCESSES.Pipe(duplex=False)
        server = PROCESSES.Process(target=stream, args=(url, f"owner-{number}", saying))
        server.start()
        saying.close()
        servers.append((server, said))
    acknowledged = []
    for server, said in servers:
        lines = [said.recv() for _ in range(chance.randint(2, 60))]
        time.sleep(chance.random() * 0.01)  # not at the moment of an acknowledgement, but at any
        server.kill()
        lines += rest(said)
        server.join()
        assert server.exitcode == -signal.SIGKILL
        assert set(lines[0]) == {"conversation"}
        acknowledged.append({line["turn"]: (line["words"], line["finished"]) for line in lines[1:]})
    return acknowledged


def rest(said: Connection) -> list[dict[str, Any]]:
    """What a server that was killed had said until then, its last message only if it is whole."""
    lines = []
    with said:
        while True:
            try:
                lines.append(said.recv())
            except (EOFError, OSError):
                return lines


@pytest.mark.timeout(240)
async def test_nothing_acknowledged_is_lost_and_nothing_is_half_written(url: str) -> None:
    chance = random.Random(3)
    first = await open_store(url)  # the tables are there before the servers race for them
    await first.aclose()
    interrupted = 0
    for _ in range(ROUNDS):
        acknowledged = stream_and_kill(url, chance)
        store = await open_store(url)
        lost = await store.recover()
        assert lost <= AT_ONCE
        interrupted += lost
        for number, turns in enumerate(acknowledged):
            owner = f"owner-{number}"
            newest = (await store.recent(owner)).conversations[0]
            stored = {turn.id: turn for turn in await store.turns(owner, newest.id)}
            # At most one more than was said: killed between the commit and the saying.
            assert turns.keys() <= stored.keys()
            assert len(stored) <= len(turns) + 1
            previous = None
            for turn_id, turn in stored.items():
                words, finished = turns.get(turn_id, (0, False))
                assert (turn.user.text, turn.parent) == ("Count!", previous)
                previous = turn_id
                text = turn.answer[0].text if turn.answer else ""  # type: ignore[union-attr]
                arrived = text.count(" ")
                assert words <= arrived <= words + 1
                assert turn.answer == ((TextPart(text_of(arrived)),) if arrived else ())
                assert turn.status == ("finished" if arrived == len(WORDS) else "interrupted")
                assert turn.finish == (Finish("stop") if turn.status == "finished" else None)
                assert not finished or turn.status == "finished"
            assert newest.head == previous
            assert await store.search(owner, "count word0") or len(stored) == 1
        assert await store.recover() == 0
        await store.aclose()
    assert interrupted > ROUNDS  # most were killed in the middle of a turn
