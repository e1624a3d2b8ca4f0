"""Allowances of visitors in the database: a row for each visitor, address or everybody."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any

from sqlalchemy import Connection, delete, select

from chatlab.store import now
from chatlab.store._database import Database
from chatlab.store._insert import insert_or_update
from chatlab.store._replicas import SqlReplicas
from chatlab.store._servers import clock_of, database_clock
from chatlab.store.allowances import Allowances, Exceeded, Part
from chatlab.store.schema import allowances, servers

_UNUSED = timedelta(minutes=2)  # after which nothing of a minute counts any more
_LONGEST = timedelta(days=1)  # after which a place is nobody's: its server died, and no other was there
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)  # when nothing was taken yet
_EVERY = 60.0  # seconds between two looks for rows that are of no use


class SqlAllowances(Allowances):
    """See `Allowances`."""

    def __init__(self, database: Database, replicas: SqlReplicas) -> None:
        self._database = database
        self._replicas = replicas
        self._swept = monotonic()

    async def take(
        self, asked: Sequence[Sequence[Part]], held: Mapping[str, int]
    ) -> Sequence[Exceeded | None]:
        await self._replicas.keep_alive()  # the places of a server that is not there are nobody's
        exceeded = await self._database.write(_take, self._replicas.server.token, asked, held)
        if monotonic() - self._swept > _EVERY:
            self._swept = monotonic()
            await self._database.write(forget)
        return exceeded


@dataclass(slots=True)
class _Row:
    """An allowance. taken: of the minute, at `since`. held: the places of each server that is alive."""

    taken: float
    since: datetime
    held: dict[str, int]

    def take(self, part: Part, server: str, moment: datetime) -> None:
        self.taken = self._taken(part, moment) + part.amount
        self.since = max(self.since, moment)  # who waited for the row began earlier
        self.held[server] = self.held.get(server, 0) + part.places

    def exceeded_by(self, part: Part, moment: datetime) -> Exceeded | None:
        if part.at_once is not None and part.places and sum(self.held.values()) + part.places > part.at_once:
            return Exceeded(part, at_once=True)
        left = None if part.a_minute is None else part.a_minute - self._taken(part, moment)
        return Exceeded(part, at_once=False) if left is not None and 0 < part.amount > left else None

    def _taken(self, part: Part, moment: datetime) -> float:
        passed = max(0.0, (moment - self.since).total_seconds())
        return max(0.0, self.taken - passed * (part.a_minute or 0) / 60)


def _take(
    connection: Connection, server: str, asked: Sequence[Sequence[Part]], held: Mapping[str, int]
) -> Sequence[Exceeded | None]:
    rows, moment = _locked(connection, sorted(held))
    others = {token for row in rows.values() for token in row.held} - {server}
    query = select(servers.c.token).where(servers.c.token.in_(others))
    alive = set(connection.execute(query).scalars()) if others else set()
    for key, row in rows.items():
        row.held = {token: places for token, places in row.held.items() if token in alive}
        row.held[server] = held[key]
    exceeded = []
    for parts in asked:
        refused = next(filter(None, (rows[one.key].exceeded_by(one, moment) for one in parts)), None)
        exceeded.append(refused)
        if refused is None:
            for one in parts:
                rows[one.key].take(one, server, moment)
    changed: list[Mapping[str, Any]] = [
        {
            "key": key,
            "taken": row.taken,
            "since": row.since,
            "held": {token: places for token, places in row.held.items() if places > 0},
        }
        for key, row in rows.items()
    ]
    if changed:
        connection.execute(insert_or_update(connection, allowances, "taken", "since", "held"), changed)
    return exceeded


def _locked(connection: Connection, keys: Sequence[str]) -> tuple[dict[str, _Row], datetime]:
    """Return rows by their keys, made where they are not there, and nobody else's until the transaction
    ends; and the time by the clock that all servers share."""
    if not keys:
        return {}, now()
    new = [{"key": key, "taken": 0.0, "since": _LONG_AGO, "held": {}} for key in keys]
    query = insert_or_update(connection, allowances, "key").returning(
        *allowances.c, clock_of(connection).label("clock")
    )
    found = connection.execute(query, new).all()
    return {row.key: _Row(row.taken, row.since, dict(row.held)) for row in found}, found[0].clock


def forget(connection: Connection) -> None:
    """Remove what limits nobody any more."""
    moment = database_clock(connection)
    unused = (allowances.c.since < moment - _UNUSED) & (allowances.c.held == {})
    rows = (
        select(allowances.c.key)
        .where(unused | (allowances.c.since < moment - _LONGEST))
        .with_for_update(skip_locked=True)  # who waits for none makes nobody wait in a circle
    )
    connection.execute(delete(allowances).where(allowances.c.key.in_(rows)))
