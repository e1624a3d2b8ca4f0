"""Sessions on the server: what ends one, whoever looks it up meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from chatlab.config.auth import Oidc
from chatlab.errors import StoreError
from chatlab.identity import sessions as module
from chatlab.identity.errors import SignInRefused
from chatlab.identity.person import Person
from chatlab.identity.sealing import Seal
from chatlab.identity.sessions import Sessions, key_of
from chatlab.store.sign_ins import SignIns, SignInTimes, StoredSignIn
from chatlab.store.sql import SqlStore

ANN, BOB = Person("https://a.example", "ann", "Ann"), Person("https://a.example", "bob", "Bob")
SEAL = Seal(["a key of thirty-two characters or more"], "session")


def sessions_of(rows: SignIns, **settings: Any) -> Sessions:
    given = {
        "type": "oidc",
        "discovery": "https://a.example/.well-known/openid-configuration",
        "client_id": "x",
    }

    async def opened() -> SignIns:
        return rows

    return Sessions(Oidc.model_validate({**given, **settings}), SEAL, opened)


class Slow(SignIns):
    """Reads that can be held up between the database and whoever asked."""

    def __init__(self, rows: SignIns) -> None:
        self._rows = rows
        self.read = asyncio.Event()
        self.go_on = asyncio.Event()

    async def get(self, key: str) -> StoredSignIn | None:
        row = await self._rows.get(key)
        self.read.set()
        await self.go_on.wait()
        return row

    def __getattr__(self, name: str) -> Any:
        return getattr(self._rows, name)

    async def times(self, keys: Sequence[str]) -> Mapping[str, SignInTimes]:
        return await self._rows.times(keys)

    async def end(self, key: str) -> None:
        await self._rows.end(key)


class Counted(Slow):
    """Notes how often, and for which keys, times are asked for or uses noted. away: it does not answer."""

    def __init__(self, rows: SignIns) -> None:
        super().__init__(rows)
        self.go_on.set()
        self.asked: list[Sequence[str]] = []
        self.used: list[Sequence[str]] = []
        self.away = False

    async def use(self, keys: Sequence[str], moment: datetime) -> None:
        self.used.append(keys)
        await self._rows.use(keys, moment)

    async def times(self, keys: Sequence[str]) -> Mapping[str, SignInTimes]:
        self.asked.append(keys)
        await asyncio.sleep(0)
        if self.away:
            raise StoreError("the database does not answer")
        return await self._rows.times(keys)


Slow.__abstractmethods__ = Counted.__abstractmethods__ = frozenset()  # type: ignore[attr-defined]


async def test_a_look_that_began_before_the_end_of_a_session_does_not_bring_it_back(store: SqlStore) -> None:
    session_id = await sessions_of(store.sign_ins).begin(ANN)
    slow = Slow(store.sign_ins)
    mine = sessions_of(slow)
    looking = asyncio.create_task(mine.find(session_id))
    await slow.read.wait()
    ending = asyncio.create_task(mine.end(session_id))
    await asyncio.sleep(0)
    slow.go_on.set()
    await asyncio.gather(looking, ending)
    assert await mine.find(session_id) is None
    assert mine.known == ()


async def test_a_session_that_ends_on_another_server_ends_here_once_it_is_looked_up_again(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = sessions_of(store.sign_ins), sessions_of(store.sign_ins)
    session_id = await here.begin(ANN)
    found = await there.find(session_id)
    assert found is not None and found.person == ANN
    await here.end(session_id)
    monkeypatch.setattr(module, "LOOKED_AT_EVERY", -1.0)  # as if that much time had gone by
    assert not await there.goes_on(found)
    assert await there.find(session_id) is None


async def test_sessions_are_looked_up_again_all_at_once_and_each_ends_where_it_has_ended(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = sessions_of(store.sign_ins), sessions_of(counted := Counted(store.sign_ins))
    ids = [await here.begin(person) for person in (ANN, BOB, ANN)]
    found = [await there.find(one) for one in ids]
    assert counted.asked == []
    await here.end(ids[1])
    monkeypatch.setattr(module, "LOOKED_AT_EVERY", -1.0)
    await asyncio.gather(*(there.find(one) for one in (ids[0], ids[0], ids[2])))
    assert [len(keys) for keys in counted.asked] == [3], "one question for all in which something was asked"
    assert [session is not None and session.over for session in found] == [False, True, False]
    assert [session.person for session in there.known] == [ANN, ANN]


async def test_that_sessions_were_used_is_noted_by_one_statement_for_all_of_that_minute(
    store: SqlStore,
) -> None:
    sessions = sessions_of(counted := Counted(store.sign_ins))
    ids = [await sessions_of(store.sign_ins).begin(person) for person in (ANN, BOB, ANN)]
    for one in ids:
        await sessions.find(one)
    assert counted.used == []
    unused = next(one for one in sessions.known if one.key == key_of(ids[2]))
    unused.asked_for -= 120
    for one in sessions.known:
        one.used -= timedelta(minutes=2)
    for one in (ids[0], ids[1], ids[0]):
        assert await sessions.find(one) is not None
    assert [sorted(keys) for keys in counted.used] == [sorted(key_of(one) for one in ids[:2])]
    stored = {one.key: one.used for one in await store.sign_ins.all()}
    assert stored[key_of(ids[0])] == stored[key_of(ids[1])] > stored[key_of(ids[2])]


async def test_a_database_that_is_away_is_said_to_all_who_ask_and_asked_again_later(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = sessions_of(counted := Counted(store.sign_ins))
    session_id = await sessions_of(store.sign_ins).begin(ANN)
    await mine.find(session_id)
    monkeypatch.setattr(module, "LOOKED_AT_EVERY", -1.0)
    counted.away = True
    told = await asyncio.gather(*(mine.find(session_id) for _ in range(3)), return_exceptions=True)
    assert [type(one) for one in told] == [StoreError] * 3
    counted.away = False
    assert await mine.find(session_id) is not None


async def test_who_can_write_the_database_but_has_no_key_cannot_be_somebody_else(store: SqlStore) -> None:
    mine = sessions_of(store.sign_ins)
    ann, bob = await mine.begin(ANN), await mine.begin(BOB)
    of_ann, of_bob = [await store.sign_ins.get(key_of(one)) for one in (ann, bob)]
    assert of_ann is not None and of_bob is not None
    await store.sign_ins.add(replace(of_ann, sealed=of_bob.sealed), instead_of=of_ann.key)
    assert await mine.find(ann) is None
    await store.sign_ins.add(replace(of_ann, owner=of_bob.owner), instead_of=of_ann.key)
    found = await mine.find(ann)
    assert found is not None and found.person.owner == ANN.owner


async def test_who_is_taken_out_of_the_configuration_is_out(store: SqlStore) -> None:
    session_id = await sessions_of(store.sign_ins).begin(ANN)
    assert await sessions_of(store.sign_ins, allowed={"people": ["ann"]}).find(session_id) is not None
    later = sessions_of(store.sign_ins, allowed={"people": ["bob"]})
    assert await later.find(session_id) is None
    with pytest.raises(SignInRefused):
        await later.begin(ANN)


def test_what_was_sealed_for_one_purpose_or_with_another_key_is_not_opened() -> None:
    text = SEAL.sealed({"a": 1})
    assert SEAL.opened(text) == {"a": 1}
    assert Seal(["a key of thirty-two characters or more"], "another purpose").opened(text) is None
    assert Seal(["another key of thirty-two characters or more"], "session").opened(text) is None
    assert SEAL.opened(text[:-8] + "AAAAAAA=") is None and SEAL.opened("é\ud800") is None
    assert SEAL.opened(text, most_seconds=-1) is None


def test_a_person_of_entra_is_the_same_in_every_application() -> None:
    tenant = {"iss": "https://login.microsoftonline.com/t/v2.0", "tid": "t", "oid": "o"}
    one, other = (Person.of({**tenant, "sub": sub}, "groups") for sub in ("for-one-app", "for-another"))
    assert one.owner == other.owner and one.subject == "t/o"
    elsewhere = Person.of({"iss": "https://evil.example", "tid": "t", "oid": "o", "sub": "s"}, "groups")
    assert elsewhere.subject == "s" and elsewhere.owner != one.owner
