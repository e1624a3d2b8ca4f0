"""A file that takes long to read holds up whoever imports it, and nobody else."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest

import chatlab
from chatlab.errors import StoreError
from chatlab.store import NotStored, StoredConversation, StoredTurn, now
from chatlab.store.sql import open_store
from chatlab.web.server import create_app
from tests.store.values import finished

HEADERS = {"accept": "text/html", "x-chatlab": "1"}


@asynccontextmanager
async def client(folder: Path) -> AsyncIterator[httpx2.AsyncClient]:
    file = folder / "config.yaml"
    file.write_text("version: 1\nbackends: {echo: {kind: echo}}\n", "utf-8")
    async with chatlab.load(file) as lab:
        transport = httpx2.ASGITransport(create_app(lab))
        async with httpx2.AsyncClient(
            transport=transport, base_url="http://localhost", headers=HEADERS, timeout=110
        ) as found:
            await found.get("/")
            yield found


@asynccontextmanager
async def busiest_slot() -> AsyncIterator[list[float]]:
    """Collect the seconds of processor time that this loop's thread takes between two looks."""
    slots: list[float] = []

    async def look() -> None:
        while True:
            before = time.thread_time()
            await asyncio.sleep(0.001)
            slots.append(time.thread_time() - before)

    looking = asyncio.create_task(look())
    try:
        yield slots
    finally:
        looking.cancel()


def conversation_of(turns: int) -> bytes:
    pair = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yo"}]
    return json.dumps({"messages": pair * turns}).encode()


@pytest.mark.parametrize("content", [conversation_of(20_000), b"[" + b'{"a": [1]},' * 700_000 + b"{}]"])
async def test_while_a_large_file_is_imported_the_loop_is_free(tmp_path: Path, content: bytes) -> None:
    async with client(tmp_path) as browser:
        await browser.get("/-/conversations")
        async with busiest_slot() as slots:
            answered = await browser.post("/-/import", content=content)
        assert answered.status_code == 200, answered.text
        assert max(slots) < 0.1
        if b"messages" in content[:20]:
            assert (answered.json()["turns"], answered.json()["problems"]) == (20_000, [])
            listed = (await browser.get("/-/conversations")).json()["conversations"]
            assert len(listed) == 1
        else:
            assert answered.json()["problems"]


async def test_a_second_import_of_the_same_visitor_is_refused_with_a_sentence(tmp_path: Path) -> None:
    async with client(tmp_path) as browser:
        asked = (browser.post("/-/import", content=conversation_of(3_000)) for _ in range(3))
        answered = sorted(await asyncio.gather(*asked), key=lambda answer: answer.status_code)
        assert [one.status_code for one in answered] == [200, 429, 429]
        assert answered[0].json()["turns"] == 3_000
        assert answered[1].json()["error"] == "one visitor may have one import running: wait for it to end"
        assert (await browser.post("/-/import", content=conversation_of(1))).json()["turns"] == 1


async def test_a_conversation_that_is_adopted_in_slices_is_seen_whole_or_not_at_all(tmp_path: Path) -> None:
    store = await open_store("sqlite:chatlab.db", tmp_path)
    try:
        whole = StoredConversation("theirs", "you", "Long", now(), now())
        turns: list[StoredTurn] = []
        for number in range(450):
            parent = turns[-1].id if turns else None
            turns.append(finished(whole, f"turn {number}", "yes", parent=parent))
        whole = replace(whole, head=turns[-1].id)
        adopting = asyncio.create_task(store.adopt(whole, turns[::-1]))
        while not adopting.done():
            for _ in (await store.recent("you")).conversations:
                assert len(await store.turns("you", "theirs")) == 450
        await adopting
        assert await store.get("you", "theirs") == whole
        again = replace(whole, id="again")
        clash = [replace(turn, id=f"{turn.id}-", parent=None, conversation="again") for turn in turns]
        with pytest.raises(StoreError):
            await store.adopt(replace(again, head=None), [*clash, replace(turns[0], conversation="again")])
        assert [one.id for one in (await store.recent("you")).conversations] == ["theirs"]
        with pytest.raises(NotStored):
            await store.restore("you", "again")
    finally:
        await store.aclose()
