"""What people spent, on both databases: added up, whoever adds, and forgotten once it counts no more."""

from __future__ import annotations

import asyncio

from chatlab.store.spending import Spent
from chatlab.store.sql import SqlStore, open_store


async def test_what_several_servers_add_at_once_is_added_up(store: SqlStore, url: str) -> None:
    other = await open_store(url)
    try:
        ann, bob = Spent("ann", 100, 3, 0.5), Spent("bob", 100, 1, 0.0)
        each = (one.spending.add(batch) for one in (store, other) for batch in ([ann, bob], [bob, ann]) * 5)
        await asyncio.gather(*each)
    finally:
        await other.aclose()
    found = {one.owner: one for one in await store.spending.since(99)}
    assert found == {"ann": Spent("ann", 100, 60, 10), "bob": Spent("bob", 100, 20, 0)}
    assert await store.spending.since(100) == []


async def test_old_hours_are_forgotten(store: SqlStore) -> None:
    await store.spending.add([Spent("ann", 100, 3, 0.5)])
    await store.spending.add([Spent("ann", 124, 1, 0)])
    assert len(await store.spending.since(0)) == 2
    await store.spending.add([Spent("ann", 149, 1, 0)])
    assert [one.hour for one in await store.spending.since(0)] == [124, 149]
