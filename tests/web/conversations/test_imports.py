"""A file that takes long to read holds up whoever imports it, and nobody else."""

from __future__ import annotations

import asyncio
import gc
import json
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
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
async def client(folder: Path, limits: str = "{}") -> AsyncIterator[httpx2.AsyncClient]:
    file = folder / "config.yaml"
    file.write_text(f"version: 1\nbackends: {{echo: {{kind: echo}}}}\nlimits: {limits}\n", "utf-8")
    async with chatlab.load(file) as lab:
        transport = httpx2.ASGITransport(create_app(lab))
        async with httpx2.AsyncClient(
            transport=transport, base_url="http://localhost", headers=HEADERS, timeout=110
        ) as found:
            await found.get("/")
            yield found


@asynccontextmanager
async def busiest_slot() -> AsyncIterator[list[float]]:
    """Collect the seconds of processor time that this loop's thread takes between two looks, with what was
    there before out of sight of the collector of garbage, as a server has it."""
    slots: list[float] = []
    gc.freeze()

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
        gc.unfreeze()


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


@pytest.mark.parametrize("form", ["jsonl", "html", "markdown"])
async def test_while_a_long_conversation_is_exported_the_loop_is_free(tmp_path: Path, form: str) -> None:
    async with client(tmp_path) as browser:
        await browser.post("/-/import", content=conversation_of(4_000))
        async with busiest_slot() as slots:
            exported = await browser.get("/-/export", params={"format": form})
        assert exported.text.count("yo") >= 4_000
        assert max(slots) < 0.1


@pytest.mark.parametrize("form", ["jsonl", "html", "markdown"])
async def test_a_store_that_cannot_be_read_is_said_in_place_of_a_file(tmp_path: Path, form: str) -> None:
    async with client(tmp_path) as browser:
        await browser.post("/-/import", content=conversation_of(10))
        with closing(sqlite3.connect(tmp_path / ".chatlab" / "chatlab.db")) as other:
            other.execute("alter table turns rename to elsewhere")
        exported = await browser.get("/-/export", params={"format": form})
        assert exported.status_code == 500
        assert exported.json()["error"].startswith("Conversations cannot be read or written just now")


def _list_of(things: int) -> bytes:
    return b'{"messages": [' + b'{"role": "user", "content": [{"a": [1]}]},' * things + b"{}]}"


@pytest.mark.parametrize(
    ("limits", "content", "status", "says"),
    [
        ("{mb: 0.5}", b" " * 600_000, 413, "A file to import may have 0.5 MB (limits.imports.mb)"),
        ("{memory_mb: 300}", _list_of(700_000), 200, "300 MB of memory (limits.imports.memory_mb)"),
        ("{seconds: 0.2}", conversation_of(5_000), 200, "took more than 0.2 s (limits.imports.seconds)"),
    ],
)
async def test_a_file_that_takes_more_than_it_may_is_refused_by_the_limits_name(
    tmp_path: Path, limits: str, content: bytes, status: int, says: str
) -> None:
    async with client(tmp_path, f"{{imports: {limits}}}") as browser:
        answered = await browser.post("/-/import", content=content)
        assert answered.status_code == status
        said = answered.json()
        assert says in (said["error"] if status != 200 else said["problems"][0])
        assert (await browser.get("/-/conversations")).json()["conversations"] == []
        assert (await browser.post("/-/import", content=conversation_of(1))).json()["turns"] == 1


async def test_a_file_that_is_too_large_is_refused_before_it_arrives(tmp_path: Path) -> None:
    async def content() -> AsyncIterator[bytes]:
        raise AssertionError("it is read")
        yield b""

    async with client(tmp_path) as browser:
        headers = {"content-length": "600000000"}
        assert (await browser.post("/-/import", content=content(), headers=headers)).status_code == 413


async def test_who_imports_is_told_how_far_it_is(tmp_path: Path) -> None:
    one = json.loads(conversation_of(40))
    async with client(tmp_path) as browser:
        assert (await browser.get("/-/import")).json() == {"turns": None, "most_mb": 500}
        sent = browser.post("/-/import", content=json.dumps([one] * 60).encode())
        importing = asyncio.create_task(sent)
        seen = set()
        while not importing.done():
            seen.add((await browser.get("/-/import")).json()["turns"])
            await asyncio.sleep(0.02)
        assert (await importing).json()["turns"] == 2_400
        assert any(turns for turns in seen)


async def test_a_second_import_of_the_same_visitor_is_refused_with_a_sentence(tmp_path: Path) -> None:
    async with client(tmp_path) as browser:
        asked = (browser.post("/-/import", content=conversation_of(3_000)) for _ in range(3))
        answered = sorted(await asyncio.gather(*asked), key=lambda answer: answer.status_code)
        assert [one.status_code for one in answered] == [200, 429, 429]
        assert answered[0].json()["turns"] == 3_000
        assert answered[1].json()["error"] == "One visitor may have one import running: wait for it to end"
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
