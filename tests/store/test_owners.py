"""Nobody reads, changes or removes what is another's: every method of the interface is tried."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest

from chatlab.messages import TextPart
from chatlab.store import (
    Conflict,
    LogEntry,
    NotStored,
    Store,
    StoredComparison,
    StoredConversation,
    StoredTurn,
    WholeComparison,
    now,
)
from tests.store.values import finished, with_file

ME = "owner-1"
OTHERS = ("owner-2", "", "owner-1 ", "OWNER-1", "%", "owner-1\0", "owner-1\ud800")
SHA = "ab" * 32


@dataclass
class Mine:
    chat: StoredConversation
    deleted: StoredConversation
    turn: StoredTurn
    session: str
    lane: StoredConversation
    gone: str


async def _mine(store: Store) -> Mine:
    chat, deleted = await store.create(ME), await store.create(ME, title="Deleted")
    turn = with_file(chat, SHA, status="finished", answer=(TextPart("the secret is 4711"),))
    await store.save([turn])
    await store.save_receipt(ME, turn.id, {"secret": 4711})
    session, gone = await store.create_comparison(ME, title="Mine"), await store.create_comparison(ME)
    await store.append(ME, session.id, 0, [{"secret": 4711}])
    lane = await store.create(ME, comparison=session.id)
    await store.save([finished(lane, "4711?", "4711!")])
    await store.share(ME, conversation=chat.id)
    await store.share(ME, comparison=session.id)
    await store.delete(ME, deleted.id)
    await store.delete_comparison(ME, gone.id)
    return Mine(
        await store.get(ME, chat.id), deleted, turn, session.id, await store.get(ME, lane.id), gone.id
    )


async def _all(store: Store, mine: Mine) -> list[Any]:
    """Everything the owner has."""
    return [
        await store.recent(ME),
        await store.comparisons(ME),
        [await store.turns(ME, chat.id) for chat in (mine.chat, mine.lane)],
        [await store.get(ME, chat.id) for chat in (mine.chat, mine.lane)],
        await store.log(ME, mine.session),
        await store.lanes(ME, mine.session),
        await store.receipts(ME, [mine.turn.id]),
        await store.shares(ME, conversation=mine.chat.id),
        await store.shares(ME, comparison=mine.session),
        await store.may_read(ME, SHA),
        await store.search(ME, "4711"),
    ]


Try = Callable[[Store, Mine, str], Awaitable[Any]]

# What somebody else tries with each method, knowing every id, and what must come of it: an error, or nothing.
TRIES: dict[str, list[tuple[Try, Any]]] = {
    "adopt": [
        (lambda s, m, owner: s.adopt(replace(m.chat, owner=owner), [replace(m.turn, owner=owner)]), Conflict),
        (lambda s, m, owner: s.adopt(_chat(owner), [replace(m.turn, owner=owner)]), Conflict),
        (
            lambda s, m, owner: s.adopt(
                _chat(owner), [replace(m.turn, owner=owner, conversation=_chat(owner).id)]
            ),
            Conflict,
        ),
    ],
    "adopt_comparison": [
        (lambda s, m, owner: s.adopt_comparison(_session(owner, m.session, _chat(owner))), Conflict),
        (
            lambda s, m, owner: s.adopt_comparison(_session(owner, "new", replace(m.lane, owner=owner))),
            Conflict,
        ),
        (
            lambda s, m, owner: s.adopt_comparison(
                _session(owner, "new", _chat(owner), replace(m.turn, owner=owner, conversation="theirs"))
            ),
            Conflict,
        ),
        (
            lambda s, m, owner: s.adopt_comparison(
                _session(owner, "new", _chat(owner), receipts={m.turn.id: {"secret": 0}})
            ),
            Conflict,
        ),
        (lambda s, m, owner: s.adopt_comparison(_session(owner, m.gone, _chat(owner))), Conflict),
    ],
    "create": [(lambda s, m, owner: s.create(owner, comparison=m.session), NotStored)],
    "get": [
        (lambda s, m, owner: s.get(owner, m.chat.id), NotStored),
        (lambda s, m, owner: s.get(owner, m.lane.id), NotStored),
    ],
    "recent": [(lambda s, m, owner: s.recent(owner), "nothing")],
    "search": [(lambda s, m, owner: s.search(owner, "4711 secret"), "nothing")],
    "change": [
        (lambda s, m, owner: s.change(owner, m.chat.id, title="Taken", pinned=True), NotStored),
        (lambda s, m, owner: s.change(owner, m.chat.id, head=m.turn.id), NotStored),
        (lambda s, m, owner: s.change(owner, m.chat.id), NotStored),
    ],
    "delete": [(lambda s, m, owner: s.delete(owner, m.chat.id), NotStored)],
    "restore": [(lambda s, m, owner: s.restore(owner, m.deleted.id), NotStored)],
    "turns": [(lambda s, m, owner: s.turns(owner, m.chat.id), NotStored)],
    "turn": [(lambda s, m, owner: s.turn(owner, m.turn.id), NotStored)],
    "save": [
        (lambda s, m, owner: s.save([replace(m.turn, owner=owner)]), NotStored),
        (lambda s, m, owner: s.save([finished(replace(m.chat, owner=owner), "a", "b")]), NotStored),
        (lambda s, m, owner: _in_my_own(s, m, owner, id=m.turn.id), NotStored),
        (lambda s, m, owner: _in_my_own(s, m, owner, parent=m.turn.id), NotStored),
    ],
    "create_comparison": [],  # names nothing
    "comparison": [(lambda s, m, owner: s.comparison(owner, m.session), NotStored)],
    "comparisons": [(lambda s, m, owner: s.comparisons(owner), "nothing")],
    "retitle_comparison": [(lambda s, m, owner: s.retitle_comparison(owner, m.session, "x"), NotStored)],
    "delete_comparison": [(lambda s, m, owner: s.delete_comparison(owner, m.session), NotStored)],
    "restore_comparison": [(lambda s, m, owner: s.restore_comparison(owner, m.gone), NotStored)],
    "lanes": [(lambda s, m, owner: s.lanes(owner, m.session), NotStored)],
    "log": [(lambda s, m, owner: s.log(owner, m.session), NotStored)],
    "append": [
        (lambda s, m, owner: s.append(owner, m.session, 1, [{}]), NotStored),
        (lambda s, m, owner: s.append(owner, m.session, 7, [{}]), NotStored),
    ],
    "save_receipt": [(lambda s, m, owner: s.save_receipt(owner, m.turn.id, {}), NotStored)],
    "receipts": [(lambda s, m, owner: s.receipts(owner, [m.turn.id]), "nothing")],
    "share": [
        (lambda s, m, owner: s.share(owner, conversation=m.chat.id), NotStored),
        (lambda s, m, owner: s.share(owner, comparison=m.session), NotStored),
    ],
    "shares": [
        (lambda s, m, owner: s.shares(owner, conversation=m.chat.id), NotStored),
        (lambda s, m, owner: s.shares(owner, comparison=m.session), NotStored),
    ],
    "revoke": [
        (lambda s, m, owner: s.revoke(owner, conversation=m.chat.id), NotStored),
        (lambda s, m, owner: s.revoke(owner, comparison=m.session), NotStored),
    ],
    "revoke_all": [(lambda s, m, owner: s.revoke_all(owner), "nothing")],
    "may_read": [(lambda s, m, owner: s.may_read(owner, SHA), "nothing")],
    "size": [(lambda s, m, owner: s.size(owner), "nothing")],
    "files_of": [(lambda s, m, owner: s.files_of(owner), "nothing")],
    "movable": [(lambda s, m, owner: s.movable(owner), "nothing")],
    "move": [(lambda s, m, owner: s.move(owner, "owner-3"), "nothing")],
}
WITHOUT_OWNER = {
    "recover",
    "owners",
    "owner_of_comparison",
    "shared",
    "unused",
    "unwanted",
    "purge",
    "ping",
    "aclose",
}


def _chat(owner: str) -> StoredConversation:
    return StoredConversation("theirs", owner, "", now(), now())


def _session(
    owner: str,
    known_id: str,
    lane: StoredConversation,
    *turns: StoredTurn,
    receipts: Mapping[str, Mapping[str, Any]] | None = None,
) -> WholeComparison:
    about = StoredComparison(known_id, owner, "", now(), now(), 1)
    log = [LogEntry(1, now(), {"mine": True})]
    return WholeComparison(about, log, [replace(lane, comparison=known_id)], turns, receipts or {})


async def _in_my_own(store: Store, mine: Mine, owner: str, **fields: Any) -> None:
    """Tries to take a turn over by its id, or to hang one below it."""
    own = await store.create(owner)
    try:
        await store.save([finished(own, "a", "b", **fields)])
    finally:
        await store.delete(owner, own.id)


def _nothing(result: Any) -> bool:
    if isinstance(result, tuple):
        return all(map(_nothing, result))
    return not (result.conversations if hasattr(result, "conversations") else result)


@pytest.mark.parametrize("method", sorted(Store.__abstractmethods__ - WITHOUT_OWNER))
async def test_another_owner_finds_and_changes_nothing(store: Store, method: str) -> None:
    mine = await _mine(store)
    before = await _all(store, mine)
    for owner in OTHERS:
        impossible = any(sign in owner for sign in "\0\ud800")
        for attempt, expected in TRIES[method]:
            if expected == "nothing":
                try:
                    assert _nothing(await attempt(store, mine, owner))
                except NotStored:
                    assert impossible
            else:
                with pytest.raises(NotStored if impossible else expected):
                    await attempt(store, mine, owner)
    assert await _all(store, mine) == before


def test_every_method_with_an_owner_is_tried() -> None:
    assert set(TRIES) == Store.__abstractmethods__ - WITHOUT_OWNER
    for name in Store.__abstractmethods__:
        asked = set(inspect.signature(getattr(Store, name)).parameters)
        named = "owner" in asked or name in ("save", "adopt", "adopt_comparison")  # or by what is written
        assert named == (name not in WITHOUT_OWNER), name


async def test_what_is_asked_about_above_would_be_seen(store: Store) -> None:
    mine = await _mine(store)
    for tries in TRIES.values():
        for attempt, expected in tries:
            if expected == "nothing":
                assert not _nothing(await attempt(store, mine, ME))
    assert await store.purge(deleted_before=now()) == []
