"""Amounts that people spent, in the database."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, delete, select

from chatlab.store._database import Database
from chatlab.store._insert import insert_or_add
from chatlab.store.schema import spent
from chatlab.store.spending import Spending, Spent


class SqlSpending(Spending):
    """See `Spending`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, amounts: Sequence[Spent]) -> None:
        await self._database.write(_add, amounts)

    async def since(self, hour: int) -> Sequence[Spent]:
        return await self._database.read(_since, hour)


def _add(connection: Connection, amounts: Sequence[Spent]) -> None:
    for one in sorted(amounts, key=lambda one: (one.owner, one.hour)):  # so that no two wait for each other
        row = {"owner": one.owner, "hour": one.hour, "tokens": one.tokens, "cost": one.cost}
        connection.execute(insert_or_add(connection, spent, row, "tokens", "cost"))
    if amounts:
        newest = max(one.hour for one in amounts)
        connection.execute(delete(spent).where(spent.c.hour < newest - _REMEMBERED))


def _since(connection: Connection, hour: int) -> Sequence[Spent]:
    rows = connection.execute(select(spent).where(spent.c.hour > hour))
    return [Spent(row.owner, row.hour, row.tokens, row.cost) for row in rows]


_REMEMBERED = 48  # hours
