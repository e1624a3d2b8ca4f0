"""Conversations, their turns, and what becomes of them."""

from __future__ import annotations

import asyncio
import re
import tracemalloc
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import Engine, event

from chatlab.errors import StoreError
from chatlab.ids import ConversationId
from chatlab.messages import FilePart, Finish, Message, TextPart, Usage
from chatlab.store import (
    BegunConversation,
    Conflict,
    NotStored,
    Store,
    StoredConversation,
    Unwanted,
    new_id,
    now,
)
from chatlab.store._turns import title_of
from chatlab.store.sql import open_store
from tests.store.values import finished, turn_in, with_file

ME, YOU = "owner-1", "owner-2"


async def listed(store: Store, owner: str = ME, limit: int = 50) -> list[StoredConversation]:
    """All chats of an owner, page by page."""
    page = await store.recent(owner, limit=limit)
    found = [*page.conversations]
    while page.next is not None:
        page = await store.recent(owner, after=page.next, limit=limit)
        assert 0 < len(page.conversations) <= limit
        found += page.conversations
    return found


async def test_a_new_conversation_is_empty_and_listed(store: Store) -> None:
    made = await store.create(ME, title="Cats", conversation_id="abc")
    assert (made.id, made.owner, made.title, made.head, made.pinned) == ("abc", ME, "Cats", None, False)
    assert await store.get(ME, "abc") == made
    assert await store.turns(ME, "abc") == []
    assert await listed(store) == [made]
    with pytest.raises(Conflict):
        await store.create(YOU, conversation_id="abc")


async def test_what_was_saved_is_there_in_the_order_it_was_asked(store: Store, url: str) -> None:
    chat = await store.create(ME)
    first = finished(chat, "one", "1")
    second = finished(chat, "two", "2", parent=first.id)
    other = turn_in(chat, "another two", parent=first.id)
    await store.save([other, second, first])
    expected = sorted([first, second, other], key=lambda turn: turn.created)
    assert await store.turns(ME, chat.id) == expected
    again = await open_store(url)
    assert await again.turns(ME, chat.id) == expected
    await again.aclose()


async def test_the_first_message_gives_the_title(store: Store) -> None:
    chat, named = await store.create(ME), await store.create(ME, title="Mine")
    await store.save([turn_in(chat, "  Which\n cat?  "), turn_in(named, "Dogs?")])
    await store.save([turn_in(chat, "And why?")])
    assert (await store.get(ME, chat.id)).title == "Which cat?"
    assert (await store.get(ME, named.id)).title == "Mine"
    long = await store.create(ME)
    await store.save([turn_in(long, "word " * 100)])
    assert len((await store.get(ME, long.id)).title) <= 80
    pictured = await store.create(ME)
    await store.save([replace(with_file(pictured, "ab"), user=Message("user", (FilePart(
        "image/png", "cat.png", url="sha256:ab"),)))])  # fmt: skip
    assert (await store.get(ME, pictured.id)).title == "cat.png"


def test_a_title_costs_the_same_however_long_the_message_is() -> None:
    """To go over all of it holds Python, and so everybody else, in whichever thread it happens."""
    message = Message.of("user", "\n a  b " * 1_000_000)
    tracemalloc.start()
    title = title_of(message)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert title == ("a b " * 20)[:79] + "…"
    assert peak < 100_000


async def test_a_new_turn_becomes_the_head_and_a_checkpoint_moves_nothing(store: Store) -> None:
    chat = await store.create(ME)
    first, second = finished(chat, "one", "1"), turn_in(chat, "two")
    await store.save([first, second])
    assert (await store.get(ME, chat.id)).head == second.id
    moved = await store.change(ME, chat.id, head=first.id)
    await store.save([replace(second, answer=(TextPart("so far"),))])
    assert await store.get(ME, chat.id) == moved
    await store.save([replace(second, status="finished")])
    assert (await store.get(ME, chat.id)).head == first.id
    with pytest.raises(NotStored):
        await store.change(ME, chat.id, head="of nothing")


async def test_a_turn_grows_and_a_late_checkpoint_does_not_bring_it_back(store: Store) -> None:
    chat = await store.create(ME)
    turn = turn_in(chat)
    grown = replace(turn, answer=(TextPart("half"),), sent={"model": "m"})
    whole = replace(grown, status="finished", answer=(TextPart("whole"),), finish=Finish("stop", Usage(1, 2)))
    for state in (turn, grown, whole):
        await store.save([state])
        assert await store.turn(ME, turn.id) == state
    await store.save([grown])
    assert await store.turn(ME, turn.id) == whole


async def test_a_batch_is_saved_whole_or_not_at_all(store: Store) -> None:
    chat, others = await store.create(ME), await store.create(YOU)
    good = turn_in(chat)
    for bad in (
        turn_in(replace(chat, id="unknown")),
        turn_in(replace(others, owner=ME)),
        turn_in(chat, parent="unknown"),
        turn_in(chat, parent=good.id + "x"),
    ):
        with pytest.raises(NotStored):
            await store.save([good, bad])
        assert await store.turns(ME, chat.id) == []


async def test_a_parent_is_of_the_same_conversation(store: Store) -> None:
    one, two = await store.create(ME), await store.create(ME)
    turn = turn_in(one)
    await store.save([turn])
    with pytest.raises(NotStored):
        await store.save([turn_in(two, parent=turn.id)])
    with pytest.raises(NotStored):
        await store.save([replace(turn, conversation=two.id)])


async def test_a_turn_written_twice_in_a_batch_is_what_it_was_last(store: Store) -> None:
    chat = await store.create(ME)
    turn = turn_in(chat)
    await store.save([turn, replace(turn, status="stopped")])
    assert (await store.turn(ME, turn.id)).status == "stopped"
    await store.save([])


async def test_a_file_that_is_only_here_is_not_stored(store: Store) -> None:
    chat = await store.create(ME)
    for part in (FilePart("image/png", data=b"x"), FilePart("image/png", url="data:image/png;base64,eA==")):
        with pytest.raises(ValueError, match="sha256"):
            await store.save([turn_in(chat, user=Message("user", (part,)))])
        with pytest.raises(ValueError, match="sha256"):
            await store.save([turn_in(chat, answer=(part,))])
    assert await store.turns(ME, chat.id) == []


async def test_chats_are_listed_pinned_first_then_newest_page_by_page(store: Store) -> None:
    chats = [await store.create(ME, title=str(number)) for number in range(12)]
    await store.create(YOU)
    session = await store.create_comparison(ME)
    await store.create(ME, comparison=session.id)
    await store.change(ME, chats[3].id, pinned=True)
    await store.change(ME, chats[1].id, pinned=True)
    await store.save([turn_in(chats[5])])
    titles = ["3", "1", "5", "11", "10", "9", "8", "7", "6", "4", "2", "0"]
    for limit in (1, 3, 6, 12, 50):
        assert [chat.title for chat in await listed(store, limit=limit)] == titles


async def test_a_list_that_is_being_read_neither_repeats_nor_loses_what_stands_still(store: Store) -> None:
    chats = [await store.create(ME, title=str(number)) for number in range(10)]
    first = await store.recent(ME, limit=4)
    assert [chat.title for chat in first.conversations] == ["9", "8", "7", "6"]
    await store.create(ME, title="new")
    await store.save([turn_in(chats[2])])  # goes to the top
    await store.delete(ME, chats[4].id)
    await store.delete(ME, chats[6].id)  # the one the list is continued from
    rest = await store.recent(ME, after=first.next, limit=50)
    assert [chat.title for chat in rest.conversations] == ["5", "3", "1", "0"]


@pytest.mark.parametrize(
    "after", ["", "x", "1 2 3", "1 2020-01-01 x", "0 2020-01-01T00:00:00+00:00 a b", "\0"]
)
async def test_a_list_continued_from_nowhere_is_an_error_with_a_sentence(store: Store, after: str) -> None:
    with pytest.raises(StoreError):
        await store.recent(ME, after=after)
    with pytest.raises(StoreError):
        await store.comparisons(ME, after=after)


async def test_a_change_changes_what_it_says_only(store: Store) -> None:
    chat = await store.create(ME, title="Cats")
    assert await store.change(ME, chat.id) == chat
    assert await store.change(ME, chat.id, title="Dogs") == replace(chat, title="Dogs")
    assert await store.change(ME, chat.id, pinned=True) == replace(chat, title="Dogs", pinned=True)
    assert await store.get(ME, chat.id) == replace(chat, title="Dogs", pinned=True)
    await store.change(ME, chat.id, title="NUL \0 and half a \ud83d")
    assert (await store.get(ME, chat.id)).title == "NUL \ufffd and half a \ufffd"


async def test_what_is_deleted_is_nowhere_and_comes_back_as_it_was(store: Store) -> None:
    chat = await store.create(ME, title="Cats")
    turn = with_file(chat, "ab", status="finished")
    await store.save([turn])
    await store.save_receipt(ME, turn.id, {"model": "m"})
    link = await store.share(ME, conversation=chat.id)
    chat = await store.get(ME, chat.id)
    await store.delete(ME, chat.id)
    assert await listed(store) == []
    assert await store.search(ME, "cats") == []
    assert await store.receipts(ME, [turn.id]) == {}
    assert await store.may_read(ME, "ab") is None
    for read in (
        store.get(ME, chat.id),
        store.turns(ME, chat.id),
        store.turn(ME, turn.id),
        store.change(ME, chat.id, title="x"),
        store.shared(link.token),
        store.share(ME, conversation=chat.id),
        store.shares(ME, conversation=chat.id),
        store.delete(ME, chat.id),
        store.save_receipt(ME, turn.id, {}),
        store.save([turn_in(chat)]),
    ):
        with pytest.raises(NotStored):
            await read
    assert await store.unused(["ab"]) == []
    assert await store.restore(ME, chat.id) == chat
    assert await listed(store) == [chat]
    assert await store.turns(ME, chat.id) == [turn]
    assert await store.shared(link.token) == (ME, "conversation", chat.id)
    assert await store.may_read(ME, "ab") == "image/png"
    assert await store.restore(ME, chat.id) == chat


async def test_a_turn_that_runs_while_its_conversation_is_deleted_is_whole_when_that_is_undone(
    store: Store,
) -> None:
    chat = await store.create(ME)
    turn = turn_in(chat)
    await store.save([turn])
    await store.delete(ME, chat.id)
    whole = replace(turn, status="finished", answer=(TextPart("all of it"),))
    await store.save([whole])
    await store.restore(ME, chat.id)
    assert await store.turns(ME, chat.id) == [whole]


async def test_purging_removes_what_was_deleted_and_says_which_files_nobody_names(store: Store) -> None:
    gone, kept = await store.create(ME), await store.create(YOU)
    tree = turn_in(gone)
    await store.save([with_file(gone, "aa"), with_file(gone, "bb"), tree, turn_in(gone, parent=tree.id)])
    await store.save([with_file(kept, "bb")])
    link = await store.share(ME, conversation=gone.id)
    before = now()
    await store.delete(ME, gone.id)
    assert await store.purge(deleted_before=before) == []
    await store.restore(ME, gone.id)
    await store.delete(ME, gone.id)
    assert await store.purge(deleted_before=now()) == ["aa"]
    for read in (store.restore(ME, gone.id), store.turn(ME, tree.id), store.shared(link.token)):
        with pytest.raises(NotStored):
            await read
    assert await store.unused(["bb", "aa", "cc", "aa"]) == ["aa", "cc"]
    assert len(await store.turns(YOU, kept.id)) == 1


async def test_retention_removes_what_is_old_but_not_what_is_pinned(store: Store) -> None:
    old, pinned = await store.create(ME), await store.create(ME)
    await store.change(ME, pinned.id, pinned=True)
    session, lively = await store.create_comparison(ME), await store.create_comparison(ME)
    lane, lane_of_lively = (
        await store.create(ME, comparison=session.id),
        await store.create(ME, comparison=lively.id),
    )
    await store.save([with_file(old, "aa"), with_file(lane, "bb")])
    moment = now()
    fresh = await store.create(ME)
    await store.save([turn_in(lane_of_lively)])
    long_ago = moment - timedelta(days=1)
    assert await store.purge(deleted_before=long_ago) == []
    assert await store.purge(deleted_before=long_ago, unused_since=long_ago) == []
    assert await store.unwanted(deleted_before=long_ago, unused_since=long_ago) == Unwanted(0, 0)
    assert await store.unwanted(deleted_before=long_ago, unused_since=moment) == Unwanted(1, 1)
    assert sorted(await store.purge(deleted_before=long_ago, unused_since=moment)) == ["aa", "bb"]
    assert [chat.id for chat in await listed(store)] == [pinned.id, fresh.id]
    assert [found.id for found in (await store.comparisons(ME))[0]] == [lively.id]
    assert (await store.get(ME, lane_of_lively.id)).comparison == lively.id


async def test_purging_ends_however_much_there_is(store: Store) -> None:
    for number in range(120):
        chat = await store.create(ME)
        await store.save([with_file(chat, f"{number:02x}")])
        await store.delete(ME, chat.id)
    assert len(await store.purge(deleted_before=now())) == 120


async def test_fifty_at_once_save_and_nothing_is_lost(store: Store) -> None:
    chats = [await store.create(ME) for _ in range(50)]

    async def answer(chat: StoredConversation) -> None:
        turn = turn_in(chat)
        for length in range(5):
            await store.save([replace(turn, answer=(TextPart("x" * length),))])
        await store.save([replace(turn, status="finished", answer=(TextPart("done"),))])

    await asyncio.gather(*(answer(chat) for chat in chats))
    for chat in chats:
        [turn] = await store.turns(ME, chat.id)
        assert (turn.status, turn.answer) == ("finished", (TextPart("done"),))


async def test_batches_that_cross_do_not_wait_for_each_other(store: Store) -> None:
    one, two = await store.create(ME), await store.create(ME)
    await asyncio.gather(*(store.save([turn_in(a), turn_in(b)]) for a, b in [(one, two), (two, one)] * 20))
    assert len(await store.turns(ME, one.id)) == len(await store.turns(ME, two.id)) == 40


async def test_a_turn_takes_few_statements(store: Store) -> None:
    await store.save([turn_in(await store.create("ann"))])  # a server that is new says so first
    sent: list[str] = []

    def note(_: object, __: object, statement: str, *more: object) -> None:
        if re.search("(INTO|UPDATE|FROM) (turns|conversations|documents)", statement):
            sent.append(statement.split()[0])

    conversation = BegunConversation(ConversationId(new_id()), "ann")
    turn = turn_in(StoredConversation(conversation.id, "ann", "", now(), now()), "Is it a cat?")
    event.listen(Engine, "before_cursor_execute", note)
    try:
        await store.save([turn], [conversation])
        began = [*sent]
        sent.clear()
        await store.save([replace(turn, status="finished", answer=(TextPart("Yes"),))])
        ended = [*sent]
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    assert began == ["INSERT", "INSERT", "INSERT"]
    assert (await store.get("ann", conversation.id)).head == turn.id
    assert ended == ["UPDATE", "UPDATE", "UPDATE"]
    assert [hit.conversation.title for hit in await store.search("ann", "cat")] == ["Is it a cat?"]
    assert [hit.turn for hit in await store.search("ann", "yes")] == [turn.id]


@pytest.mark.parametrize("status", ["running", "finished"])
async def test_a_turn_of_another_conversation_is_not_written_over(store: Store, status: str) -> None:
    first = await store.create("ann")
    turn = turn_in(first)
    await store.save([turn])
    other = BegunConversation(ConversationId(new_id()), "ann")
    with pytest.raises(NotStored):
        await store.save([replace(turn, conversation=other.id, status=status)], [other])
    assert await store.turns("ann", first.id) == [turn]
    with pytest.raises(NotStored):
        await store.get("ann", other.id)


async def test_a_conversation_that_is_begun_with_a_title_is_found_by_it(store: Store) -> None:
    begun = BegunConversation(ConversationId(new_id()), ME, "Whiskers")
    await store.save([turn_in(StoredConversation(begun.id, ME, "", now(), now()))], [begun])
    assert [hit.conversation.title for hit in await store.search(ME, "whiskers")] == ["Whiskers"]
