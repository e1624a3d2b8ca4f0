"""A server killed in the middle of a stream: what it had saved is there, and nothing is half there."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from chatlab.messages import Finish, TextPart
from chatlab.store.sql import open_store
from tests.store.crashing import WORDS, text_of

ROOT = Path(__file__).resolve().parents[2]
ROUNDS, AT_ONCE = 5, 4  # twenty are killed, four of them while the others write to the same database


def stream_and_kill(url: str, chance: random.Random) -> list[dict[str, tuple[int, bool]]]:
    """What each of some servers had acknowledged, by turn, when it was killed at a random moment."""
    servers = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.store.crashing", url, f"owner-{number}"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
        )
        for number in range(AT_ONCE)
    ]
    acknowledged = []
    for server in servers:
        assert server.stdout is not None
        lines = [server.stdout.readline() for _ in range(chance.randint(2, 60))]
        time.sleep(chance.random() * 0.01)  # not at the moment of an acknowledgement, but at any
        server.send_signal(signal.SIGKILL)
        lines += server.stdout.readlines()
        server.stdout.close()
        assert server.wait() == -signal.SIGKILL
        if lines[-1][-1:] != b"\n":
            lines.pop()
        said: list[dict[str, Any]] = [json.loads(line) for line in lines]
        assert set(said[0]) == {"conversation"}
        acknowledged.append({line["turn"]: (line["words"], line["finished"]) for line in said[1:]})
    return acknowledged


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
