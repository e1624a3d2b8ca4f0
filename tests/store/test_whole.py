"""Conversations taken in whole, and who has any, on both databases."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from chatlab.store import Conflict, NotStored, OwnerSummary, StoredConversation
from chatlab.store.sql import SqlStore
from tests.store.values import finished, with_file

WHEN = datetime(2025, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
CHAT = StoredConversation("c1", "ann", "Cats", WHEN, WHEN.replace(year=2026), pinned=True, head="t1")
TURNS = [
    finished(CHAT, "is it a cat?", "yes", id="t1", created=WHEN),
    with_file(CHAT, "a" * 64, id="t2", parent="t1", created=WHEN.replace(year=2026), status="stopped"),
]


async def test_a_conversation_is_taken_in_as_it_is_and_can_be_found(store: SqlStore) -> None:
    await store.adopt(CHAT, TURNS)
    assert await store.get("ann", "c1") == CHAT
    assert await store.turns("ann", "c1") == TURNS
    assert [hit.conversation.id for hit in await store.search("ann", "cat yes")] == ["c1"]
    assert await store.may_read("ann", "a" * 64) == "image/png"


@pytest.mark.parametrize("taken", ["conversation", "turn", "turn of the same owner"])
async def test_an_id_that_is_taken_is_a_conflict_and_nothing_is_written(store: SqlStore, taken: str) -> None:
    await store.adopt(CHAT, TURNS)
    owner = "ann" if taken == "turn of the same owner" else "bob"
    other = replace(CHAT, owner=owner, id="c1" if taken == "conversation" else "c2", head=None)
    clash = [replace(turn, owner=owner, conversation=other.id) for turn in TURNS]
    with pytest.raises(Conflict):
        await store.adopt(other, [] if taken == "conversation" else clash)
    assert await store.turns("ann", "c1") == TURNS
    assert [(one.owner, one.conversations) for one in await store.owners()] == [("ann", 1)]


async def test_a_turn_that_follows_none_that_is_there_is_refused_with_all_that_came_with_it(
    store: SqlStore,
) -> None:
    lost = finished(CHAT, "go on", "gladly", id="t3", parent="nowhere", created=WHEN)
    with pytest.raises(NotStored, match="no such answer before this one"):
        await store.adopt(CHAT, [*TURNS, lost])
    assert list(await store.owners()) == []


async def test_owners_are_listed_by_when_they_last_wrote(store: SqlStore) -> None:
    assert list(await store.owners()) == []
    await store.adopt(CHAT, TURNS)
    later = replace(CHAT, owner="bob", id="c2", head=None, updated=WHEN.replace(year=2027))
    await store.adopt(later, [])
    session = await store.create_comparison("cat")
    await store.create("cat", comparison=session.id)
    other = await store.create_comparison("dan")
    await store.delete_comparison("dan", other.id)
    gone = await store.create("dan")
    await store.delete("dan", gone.id)
    assert list(await store.owners()) == [
        OwnerSummary("bob", 1, 0, 0, WHEN.replace(year=2027)),
        OwnerSummary("cat", 0, 0, 1, session.updated),
        OwnerSummary("ann", 1, 2, 0, WHEN.replace(year=2026)),
    ]
