"""Visitors store no more than they may, however they do it and however many of them do it at once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest

from benchmarks.page_driver import PageDriver
from chatlab.config.limits import StoredMb
from chatlab.config.models import Storage
from chatlab.conversations.service import StorageService, storage_service
from chatlab.messages import FilePart, Message, TextPart
from chatlab.store import Unreachable
from chatlab.web.shared import stored_room
from chatlab.web.shared.stored_room import NoRoom, StoredRoom, size_of
from tests.store.values import finished
from tests.web.pages import Served


@asynccontextmanager
async def storage_in(folder: Path) -> AsyncIterator[StorageService]:
    wanted = Storage(url=f"sqlite:{folder}/chatlab.db", files=str(folder / "files"))
    async with storage_service(wanted) as storage:
        yield storage


async def _hold_many(room: StoredRoom, storage: StorageService, *owners: str) -> int:
    """Return how many of 40 requests that come together get 10 kB."""
    asked = (room.hold(storage, owners[n % len(owners)], 10_000) for n in range(40))
    done = await asyncio.gather(*asked, return_exceptions=True)
    assert all(one is None or isinstance(one, NoRoom) for one in done)
    return sum(one is None for one in done)


async def test_requests_that_come_together_get_no_more_room_than_there_is(tmp_path: Path) -> None:
    async with storage_in(tmp_path) as storage:
        there = await storage.store.size()
        room = StoredRoom(StoredMb(visitor=0.05, total=(there + 120_000) / 1e6))
        assert await _hold_many(room, storage, "ann") == 5
        with pytest.raises(
            NoRoom, match=r"One visitor may have 0\.05 MB stored \(limits\.stored_mb\.visitor\)"
        ):
            await room.hold(storage, "ann", 1)
        assert await _hold_many(room, storage, "bob", "eve") == 7
        with pytest.raises(NoRoom, match=r"All visitors together .*limits\.stored_mb\.total"):
            await room.hold(storage, "dan", 10_000)


async def test_what_is_stored_counts_with_its_files_until_it_is_deleted(tmp_path: Path) -> None:
    async with storage_in(tmp_path) as storage:
        chat = await storage.store.create("ann")
        attached = FilePart("text/plain", "a.txt", data=b"a" * 30_000)
        message = Message("user", (attached, TextPart("b" * 30_000)))
        assert size_of(message) == 60_000
        message = await storage.files.taken(message)
        assert size_of(message) == 30_000
        await storage.store.save([replace(finished(chat, "", "yes"), user=message)])
        limits = StoredMb(visitor=0.05)
        with pytest.raises(NoRoom):
            await StoredRoom(limits).hold(storage, "ann")
        await StoredRoom(limits).hold(storage, "bob", 40_000)
        await storage.store.delete("ann", chat.id)
        await StoredRoom(limits).hold(storage, "ann")


async def test_while_the_store_is_away_what_was_known_counts_and_nobody_is_refused_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked, clock = [], [1000.0]

    async def away(owner: str | None = None) -> int:
        asked.append(owner)
        raise Unreachable("the database does not answer")

    monkeypatch.setattr(stored_room, "monotonic", lambda: clock[0])
    async with storage_in(tmp_path) as storage:
        there = await storage.store.size()
        room = StoredRoom(StoredMb(visitor=None, total=(there + 35_000) / 1e6))
        await room.hold(storage, "ann", 10_000)
        with monkeypatch.context() as meanwhile:
            meanwhile.setattr(storage.store, "size", away)
            clock[0] += 61
            await room.hold(storage, "ann", 10_000)
            await room.hold(storage, "bob", 10_000)
            assert len(asked) == caplog.text.count("not measured just now") == 1
            with pytest.raises(NoRoom):
                await room.hold(storage, "ann", 10_000)
            clock[0] += 6
            with pytest.raises(NoRoom):
                await room.hold(storage, "ann", 10_000)
            assert len(asked) == 2
        clock[0] += 6
        await room.hold(storage, "ann", 10_000)


async def test_chats_comparisons_and_imports_are_refused_where_there_is_no_room(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("backends: {echo: {kind: echo}}\nlimits: {stored_mb: {visitor: 0.02}}\n", "utf-8")
    said = "One visitor may have 0.02 MB stored (limits.stored_mb.visitor)"
    pair = [{"role": "user", "content": "x" * 9_000}, {"role": "assistant", "content": "y" * 9_000}]
    lanes = {"lanes": [{"backend": "echo", "label": "a"}, {"backend": "echo", "label": "b"}]}
    served = Served(file)
    try:
        headers = {"x-chatlab": "1"}
        async with httpx2.AsyncClient(base_url=served.url, headers=headers, timeout=60) as browser:
            await browser.get("/", headers={"accept": "text/html"})
            one = json.dumps({"messages": pair}).encode()
            assert (await browser.post("/-/import", content=one)).status_code == 200
            refused = await browser.post("/-/import", content=one)
            assert refused.status_code == 507 and refused.json()["error"].startswith(said)
            session = (await browser.post("/-/compare/sessions", json=lanes)).json()["id"]
            asked = await browser.post(f"/-/compare/sessions/{session}/ask", json={"text": "z" * 5_000})
            assert asked.status_code == 507 and asked.json()["error"].startswith(said)
            page = await PageDriver.of(served.url, browser)
            shown = (await page.ask(browser, "tab", "z" * 5_000, [])).shown
            assert "One visitor may have 0.02 MB stored" in json.dumps(shown)
    finally:
        served.stop()
