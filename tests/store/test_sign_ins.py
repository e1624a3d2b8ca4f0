"""Who is signed in, on both databases."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

from chatlab.store import now
from chatlab.store.sign_ins import StoredSignIn
from chatlab.store.sql import SqlStore

MOMENT = now()
ANN = StoredSignIn("key-1", "person-ann", "Ann", "sealed", MOMENT, MOMENT, MOMENT + timedelta(hours=1))


async def test_a_sign_in_is_there_until_it_is_ended_or_replaced(store: SqlStore) -> None:
    rows = store.sign_ins
    await rows.add(ANN)
    assert await rows.get("key-1") == ANN
    await rows.add(replace(ANN, key="key-2"), instead_of="key-1")
    assert await rows.get("key-1") is None
    later = MOMENT + timedelta(minutes=3)
    await rows.use(["key-2"], later)
    found = await rows.get("key-2")
    assert found is not None and found.used == later
    await rows.end("key-2")
    assert await rows.get("key-2") is None


async def test_all_of_a_person_end_at_once_and_nobody_elses(store: SqlStore) -> None:
    rows = store.sign_ins
    for number in range(3):
        await rows.add(replace(ANN, key=f"ann-{number}"))
    await rows.add(replace(ANN, key="bob", owner="person-bob"))
    assert await rows.end_all("person-ann") == 3
    assert [one.key for one in await rows.all()] == ["bob"]


async def test_what_has_ended_or_was_not_used_is_removed(store: SqlStore) -> None:
    rows = store.sign_ins
    hour = timedelta(hours=1)
    await rows.add(replace(ANN, key="ended", ends=MOMENT - hour))
    await rows.add(replace(ANN, key="idle", used=MOMENT - hour))
    await rows.add(ANN)
    assert await rows.prune(ended_before=MOMENT, unused_since=MOMENT - hour / 2) == 2
    assert [one.key for one in await rows.all()] == ["key-1"]


async def test_of_many_that_bring_a_state_back_at_once_one_is_the_first(store: SqlStore) -> None:
    rows = store.sign_ins
    spent = await asyncio.gather(*(rows.spend("state", MOMENT + timedelta(hours=1)) for _ in range(20)))
    assert spent.count(True) == 1
    await rows.prune(ended_before=MOMENT, unused_since=MOMENT)
    assert not await rows.spend("state", MOMENT + timedelta(hours=1))
    await rows.prune(ended_before=MOMENT + timedelta(hours=2), unused_since=MOMENT)
    assert await rows.spend("state", MOMENT + timedelta(hours=1))
