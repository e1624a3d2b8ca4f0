"""Sign-ins in the database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection, delete, insert, or_, select, update

from chatlab.store._database import Database
from chatlab.store._insert import insert_unless_there
from chatlab.store.schema import sign_ins, spent_states
from chatlab.store.sign_ins import SignIns, SignInTimes, StoredSignIn


class SqlSignIns(SignIns):
    """See `SignIns`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def spend(self, state_hash: str, until: datetime) -> bool:
        return await self._database.write(_spend, state_hash, until)

    async def add(self, sign_in: StoredSignIn, *, instead_of: str | None = None) -> None:
        await self._database.write(_add, sign_in, instead_of)

    async def get(self, key: str) -> StoredSignIn | None:
        return await self._database.read(_get, key)

    async def times(self, keys: Sequence[str]) -> Mapping[str, SignInTimes]:
        return await self._database.read(_times, keys)

    async def use(self, keys: Sequence[str], moment: datetime) -> None:
        await self._database.write(_use, keys, moment)

    async def lease(self, key: str, moment: datetime, until: datetime) -> bool:
        return await self._database.write(_lease, key, moment, until)

    async def release(self, key: str, tokens: str | None = None) -> bool:
        return await self._database.write(_release, key, tokens)

    async def end(self, key: str) -> None:
        await self._database.write(_end, key)

    async def all(self) -> Sequence[StoredSignIn]:
        return await self._database.read(_all)

    async def end_all(self, owner: str) -> int:
        return await self._database.write(_end_all, owner)

    async def prune(self, *, ended_before: datetime, unused_since: datetime) -> int:
        return await self._database.write(_prune, ended_before, unused_since)


def _spend(connection: Connection, state_hash: str, until: datetime) -> bool:
    row = {"hash": state_hash, "ends": until}
    spent = insert_unless_there(connection, spent_states).values(row).returning(spent_states.c.hash)
    return connection.execute(spent).one_or_none() is not None


def _add(connection: Connection, sign_in: StoredSignIn, instead_of: str | None) -> None:
    if instead_of is not None:
        _end(connection, instead_of)
    row = {column.name: getattr(sign_in, column.name) for column in sign_ins.columns}
    connection.execute(insert(sign_ins).values(row))


def _get(connection: Connection, key: str) -> StoredSignIn | None:
    row = connection.execute(select(sign_ins).where(sign_ins.c.key == key)).one_or_none()
    return None if row is None else StoredSignIn(**row._mapping)


def _times(connection: Connection, keys: Sequence[str]) -> Mapping[str, SignInTimes]:
    query = select(sign_ins.c.key, sign_ins.c.used, sign_ins.c.ends).where(sign_ins.c.key.in_(keys))
    return {key: SignInTimes(used, ends) for key, used, ends in connection.execute(query)}


def _use(connection: Connection, keys: Sequence[str], moment: datetime) -> None:
    connection.execute(update(sign_ins).where(sign_ins.c.key.in_(keys)).values(used=moment))


def _lease(connection: Connection, key: str, moment: datetime, until: datetime) -> bool:
    free = or_(sign_ins.c.leased.is_(None), sign_ins.c.leased < moment)
    leased = update(sign_ins).where(sign_ins.c.key == key, free).values(leased=until)
    return connection.execute(leased).rowcount == 1


def _release(connection: Connection, key: str, tokens: str | None) -> bool:
    new = {} if tokens is None else {"tokens": tokens}
    released = update(sign_ins).where(sign_ins.c.key == key).values(leased=None, **new)
    return connection.execute(released).rowcount == 1


def _end(connection: Connection, key: str) -> None:
    connection.execute(delete(sign_ins).where(sign_ins.c.key == key))


def _all(connection: Connection) -> Sequence[StoredSignIn]:
    rows = connection.execute(select(sign_ins).order_by(sign_ins.c.used.desc()))
    return [StoredSignIn(**row._mapping) for row in rows]


def _end_all(connection: Connection, owner: str) -> int:
    return connection.execute(delete(sign_ins).where(sign_ins.c.owner == owner)).rowcount


def _prune(connection: Connection, ended_before: datetime, unused_since: datetime) -> int:
    connection.execute(delete(spent_states).where(spent_states.c.ends < ended_before))
    old = or_(sign_ins.c.ends < ended_before, sign_ins.c.used < unused_since)
    return connection.execute(delete(sign_ins).where(old)).rowcount
