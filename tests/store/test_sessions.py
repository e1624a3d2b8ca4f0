"""Comparison sessions, receipts, links, and who may read an attachment."""

from __future__ import annotations

import asyncio
from hashlib import sha256

import pytest
from sqlalchemy import select

from chatlab.messages import FilePart
from chatlab.store import Conflict, LinkReader, LogEntry, NotStored, Store, now
from chatlab.store.schema import shares
from chatlab.store.sql import SqlStore
from tests.store.values import turn_in, with_file

ME = "owner-1"


async def test_a_session_is_what_its_log_says(store: Store) -> None:
    session = await store.create_comparison(ME, title="Which?")
    assert session.entries == 0
    first = await store.append(ME, session.id, 0, [{"type": "lane"}, {"type": "prompt", "text": "\ud83d\0"}])
    assert [entry.seq for entry in first] == [1, 2]
    second = await store.append(ME, session.id, 2, [{"type": "vote", "weights": {1: 0.1}}])
    assert await store.log(ME, session.id) == [*first, *second]
    assert await store.log(ME, session.id, after=2) == second
    assert isinstance(second[0], LogEntry)
    found = await store.comparison(ME, session.id)
    assert (found.entries, found.title) == (3, "Which?")
    assert await store.append(ME, session.id, 3, []) == []


async def test_of_two_who_append_at_once_one_is_told_to_read_again(store: Store) -> None:
    session = await store.create_comparison(ME)
    for after in range(5):
        done = await asyncio.gather(
            *(store.append(ME, session.id, after, [{"by": who}]) for who in range(4)), return_exceptions=True
        )
        assert sorted(type(result).__name__ for result in done) == [
            "Conflict",
            "Conflict",
            "Conflict",
            "list",
        ]
    assert [entry.seq for entry in await store.log(ME, session.id)] == [1, 2, 3, 4, 5]
    for stale in (0, 4, 6):
        with pytest.raises(Conflict):
            await store.append(ME, session.id, stale, [{}])


async def test_sessions_are_listed_newest_first_page_by_page(store: Store) -> None:
    made = [await store.create_comparison(ME, title=str(number)) for number in range(5)]
    await store.create_comparison("owner-2")
    await store.append(ME, made[0].id, 0, [{}])
    titles, after = [], None
    while True:
        page, after = await store.comparisons(ME, after=after, limit=2)
        titles += [session.title for session in page]
        if after is None:
            break
    assert titles == ["4", "3", "2", "1", "0"]


async def test_a_session_goes_and_comes_back_with_its_lanes(store: Store) -> None:
    session = await store.create_comparison(ME)
    lane, dropped = [await store.create(ME, comparison=session.id) for _ in range(2)]
    await store.save([with_file(lane, "aa")])
    link = await store.share(ME, comparison=session.id)
    assert await store.shared(link.token) == (ME, "comparison", session.id)
    await store.delete(ME, dropped.id)
    await store.delete_comparison(ME, session.id)
    for read in (
        store.comparison(ME, session.id),
        store.log(ME, session.id),
        store.append(ME, session.id, 0, [{}]),
        store.retitle_comparison(ME, session.id, "x"),
        store.delete_comparison(ME, session.id),
        store.get(ME, lane.id),
        store.shared(link.token),
        store.create(ME, comparison=session.id),
    ):
        with pytest.raises(NotStored):
            await read
    assert await store.comparisons(ME) == ([], None)
    await store.restore_comparison(ME, session.id)
    assert len(await store.turns(ME, lane.id)) == 1
    with pytest.raises(NotStored):
        await store.get(ME, dropped.id)
    await store.retitle_comparison(ME, session.id, "Back")
    assert (await store.comparison(ME, session.id)).title == "Back"
    await store.delete_comparison(ME, session.id)
    assert await store.purge(deleted_before=now()) == ["aa"]
    with pytest.raises(NotStored):
        await store.restore_comparison(ME, session.id)


async def test_a_receipt_does_not_change(store: Store) -> None:
    chat = await store.create(ME)
    turn, other = turn_in(chat), turn_in(chat)
    await store.save([turn, other])
    sent = {"messages": [{"role": "user", "content": "\ud83d \0"}], "seed": 7, "bias": {50256: -1.5}}
    await store.save_receipt(ME, turn.id, sent)
    with pytest.raises(Conflict):
        await store.save_receipt(ME, turn.id, {})
    assert await store.receipts(ME, [turn.id, other.id, "unknown"]) == {turn.id: sent}
    with pytest.raises(NotStored):
        await store.save_receipt(ME, "unknown", {})


async def test_links_are_counted_followed_and_ended(store: Store) -> None:
    chat, other = await store.create(ME), await store.create(ME)
    one, two = await store.share(ME, conversation=chat.id), await store.share(ME, conversation=chat.id)
    kept = await store.share(ME, conversation=other.id)
    assert len(one.token) >= 32
    assert one.token != two.token
    assert await store.shares(ME, conversation=chat.id) == [None, None]
    assert await store.shared(two.token) == (ME, "conversation", chat.id)
    await store.revoke(ME, conversation=chat.id)
    assert await store.shares(ME, conversation=chat.id) == []
    for token in (one.token, two.token, "", "guessed", "\0\ud800"):
        with pytest.raises(NotStored):
            await store.shared(token)
    assert await store.shared(kept.token) == (ME, "conversation", other.id)
    for wrong in ({}, {"conversation": chat.id, "comparison": "x"}):
        with pytest.raises(ValueError, match="a link leads to"):
            await store.share(ME, **wrong)


async def test_a_link_for_some_leads_nowhere_for_others(store: Store) -> None:
    chat = await store.create(ME)
    everybody = await store.share(ME, conversation=chat.id)
    signed_in = await store.share(ME, conversation=chat.id, audience=())
    grouped = await store.share(ME, conversation=chat.id, audience=("red", "Blue \ud800"))
    assert await store.shares(ME, conversation=chat.id) == [None, (), ("red", "Blue \ud800")]
    of_red, of_other, mine = (
        LinkReader("you", ("green", "red")),
        LinkReader("you", ("Red", "")),
        LinkReader(ME, ()),
    )
    for share, readers in (
        (everybody, (None, of_red, of_other, mine)),
        (signed_in, (of_red, of_other, mine)),
        (grouped, (of_red, mine)),
    ):
        for reader in (None, of_red, of_other, mine):
            if reader in readers:
                assert await store.shared(share.token, reader) == (ME, "conversation", chat.id)
                continue
            with pytest.raises(NotStored) as refused:
                await store.shared(share.token, reader)
            with pytest.raises(NotStored) as guessed:
                await store.shared("guessed", reader)
            assert str(refused.value) == str(guessed.value)


async def test_a_server_of_before_which_asks_not_for_whom_a_link_is_finds_none_that_is_for_some(
    store: SqlStore,
) -> None:
    chat = await store.create(ME)
    links = [
        await store.share(ME, conversation=chat.id, audience=audience) for audience in (None, (), ("a",))
    ]
    hashes = [sha256(link.token.encode()).hexdigest() for link in links]
    query = select(shares.c.token_hash).where(shares.c.token_hash.in_(hashes))
    found = await store._database.read(lambda connection: connection.execute(query).scalars().all())
    assert found == hashes[:1]


async def test_a_file_may_be_read_by_whoever_has_a_turn_that_names_it(store: Store) -> None:
    chat, theirs = await store.create(ME), await store.create("owner-2")
    made = FilePart("image/webp", url="sha256:bb")
    await store.save([with_file(chat, "aa", status="finished", answer=(made,)), with_file(theirs, "cc")])
    assert await store.may_read(ME, "aa") == "image/png"
    assert await store.may_read(ME, "bb") == "image/webp"
    assert await store.may_read(ME, "cc") is None
    assert await store.may_read("owner-2", "cc") == "image/png"
    assert await store.may_read(ME, "\0") is None
