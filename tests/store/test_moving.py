"""Things that go over from one owner to another: whole, once, and nobody else's, on both databases."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from chatlab.messages import TextPart
from chatlab.store import Movable, NotStored, Store, StoredComparison, StoredConversation
from chatlab.store.schema import metadata
from chatlab.store.sql import SqlStore, open_store
from tests.store.values import finished, turn_in, with_file

BROWSER, ANN, BOB = "browser-1", "person-ann", "person-bob"
SHA = "cd" * 32


async def chat_of(store: Store, owner: str, word: str = "zebra") -> StoredConversation:
    """A chat with an edited turn, a file, a receipt and a link."""
    chat = await store.create(owner, title=f"About a {word}")
    first = with_file(chat, SHA, status="finished", answer=(TextPart(word),))
    second = finished(chat, f"And a second {word}?", "Yes.", parent=first.id)
    await store.save([first, second, finished(chat, "Or a third?", "No.", parent=first.id)])
    await store.save_receipt(owner, first.id, {"sent": word})
    return await store.change(owner, chat.id, head=second.id, pinned=True)


async def session_of(store: Store, owner: str) -> StoredComparison:
    """A session with a log and two lanes, one of them removed."""
    session = await store.create_comparison(owner, title="Which?")
    await store.append(
        owner,
        session.id,
        0,
        [{"type": "opened"}, {"type": "vote", "voter": owner, "note": f'"voter":"{owner}"'}],
    )
    lanes = [await store.create(owner, comparison=session.id) for _ in range(2)]
    await store.save([finished(lane, "4711?", "4711!") for lane in lanes])
    await store.delete(owner, lanes[1].id)
    return await store.comparison(owner, session.id)


async def whole(store: Store, owner: str, chat: str, session: str) -> list[Any]:
    """Everything that belongs to a chat and a session, without saying whose."""
    asked = [turn.id for turn in await store.turns(owner, chat)]
    lanes = await store.lanes(owner, session)
    found: list[Any] = [
        await store.get(owner, chat),
        *await store.turns(owner, chat),
        await store.comparison(owner, session),
        *lanes,
        *[turn for lane in lanes for turn in await store.turns(owner, lane.id)],
    ]
    return [
        *[replace(one, owner="") for one in found],
        await store.receipts(owner, asked),
        [{**one.data, "voter": one.data.get("voter") == owner} for one in await store.log(owner, session)],
        await store.may_read(owner, SHA),
        [hit.snippet for hit in await store.search(owner, "zebra")],
        [one.id for one in (await store.recent(owner)).conversations],
    ]


async def test_what_a_browser_has_goes_over_to_a_person_with_all_that_belongs_to_it(store: Store) -> None:
    chat, session = await chat_of(store, BROWSER), await session_of(store, BROWSER)
    links = [
        await store.share(BROWSER, conversation=chat.id),
        await store.share(BROWSER, comparison=session.id),
    ]
    before = await whole(store, BROWSER, chat.id, session.id)
    assert await store.movable(BROWSER) == Movable(1, 1)
    assert await store.move(BROWSER, ANN) == Movable(1, 1)
    assert await whole(store, ANN, chat.id, session.id) == before
    assert [await store.shared(link.token) for link in links] == [
        (ANN, "conversation", chat.id),
        (ANN, "comparison", session.id),
    ]
    assert [owner.owner for owner in await store.owners()] == [ANN]
    assert not await store.search(BROWSER, "zebra")
    assert await store.may_read(BROWSER, SHA) is None
    # And it goes on there.
    await store.save([finished(await store.get(ANN, chat.id), "More?", "More.", parent=chat.head)])
    await store.append(ANN, session.id, 2, [{"type": "title"}])
    assert await store.movable(BROWSER) == await store.move(BROWSER, BOB) == Movable(0, 0)


def test_every_table_that_names_an_owner_is_known_to_those_that_move() -> None:
    named = {table.name for table in metadata.tables.values() if "owner" in table.c}
    moved = {"conversations", "turns", "documents", "attachments", "receipts", "onlookers"}
    moved |= {"comparisons", "log_entries", "shares"}
    assert named - moved == {"sign_ins", "spent"}  # which are of people, and stay theirs


async def test_nobody_elses_things_go_over_and_what_is_deleted_stays(store: Store) -> None:
    others, deleted = await chat_of(store, BOB), await chat_of(store, BROWSER)
    await store.delete(BROWSER, deleted.id)
    assert await store.move(BROWSER, ANN) == Movable(0, 0)
    assert (await store.get(BOB, others.id)).owner == BOB
    assert (await store.restore(BROWSER, deleted.id)).id == deleted.id
    assert await store.move(BROWSER, ANN) == Movable(1, 0)


async def test_an_answer_that_runs_stays_with_whoever_runs_it_until_it_has_ended(store: Store) -> None:
    chat, session = await chat_of(store, BROWSER), await session_of(store, BROWSER)
    (lane,) = await store.lanes(BROWSER, session.id)
    running = [turn_in(one, "Still?", parent=None) for one in (chat, lane)]
    await store.save(running)
    await store.replicas.look_on(BROWSER, [one.id for one in running])
    assert await store.movable(BROWSER) == await store.move(BROWSER, ANN) == Movable(0, 0)
    await store.save([replace(one, status="finished", answer=(TextPart("Done."),)) for one in running])
    assert await store.move(BROWSER, ANN) == Movable(1, 1)
    assert (await store.turn(ANN, running[0].id)).answer == (TextPart("Done."),)


async def test_of_many_who_take_at_once_each_thing_goes_to_one(store: SqlStore, url: str) -> None:
    chats = [await chat_of(store, BROWSER) for _ in range(120)]
    session = await session_of(store, BROWSER)
    other = await open_store(url)
    try:
        async with asyncio.timeout(60):
            moved = await asyncio.gather(
                *(each.move(BROWSER, who) for each in (store, other) for who in (ANN, BOB)),
                chat_of(other, BOB),
            )
    finally:
        await other.aclose()
    assert sum(one.conversations for one in moved[:4] if isinstance(one, Movable)) == len(chats)
    assert sum(one.comparisons for one in moved[:4] if isinstance(one, Movable)) == 1
    for chat in chats:
        owners = [owner for owner in (ANN, BOB, BROWSER) if await there(store, owner, chat.id)]
        assert len(owners) == 1 and owners != [BROWSER]
    found = [owner for owner in (ANN, BOB) if any((await store.comparisons(owner))[0])]
    assert len(found) == 1 and len(await store.lanes(found[0], session.id)) == 1


async def there(store: Store, owner: str, chat: str) -> bool:
    """Whether somebody has a chat, with all of its turns."""
    try:
        return len(await store.turns(owner, chat)) == 3
    except NotStored:
        return False
