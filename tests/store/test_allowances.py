"""Allowances on both databases: what many take at once is never more than there is."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy.sql.compiler import SQLCompiler

from chatlab.store import _allowances
from chatlab.store.allowances import Exceeded, Part
from chatlab.store.sql import SqlStore, open_store
from tests.store.databases import on_machines_of_their_own


@pytest.fixture
async def other(store: SqlStore, url: str, monkeypatch: pytest.MonkeyPatch) -> SqlStore:
    """Another server on the database of `store`."""
    on_machines_of_their_own(monkeypatch)
    return await open_store(url)


async def test_what_servers_take_at_once_is_together_no_more_than_there_is(
    store: SqlStore, other: SqlStore
) -> None:
    part, all_of_it = Part("a", amount=1, a_minute=10), Part("b", amount=100, a_minute=100)
    batches = (one.allowances.take([[all_of_it, part]] * 2, {"a": 0, "b": 0}) for one in (store, other) * 3)
    taken = [one for batch in await asyncio.gather(*batches) for one in batch]
    assert taken.count(None) == 1 and taken.count(Exceeded(all_of_it, at_once=False)) == 11
    batches = (one.allowances.take([[part]] * 4, {"a": 0}) for one in (store, other) * 3)
    taken = [one for batch in await asyncio.gather(*batches) for one in batch]
    assert taken.count(None) == 9, "what was refused took nothing of what it had asked for besides"
    await other.aclose()


async def test_places_are_those_of_all_servers_and_a_server_that_is_gone_has_none(
    store: SqlStore, other: SqlStore
) -> None:
    part = Part("a", places=1, at_once=3)
    full = Exceeded(part, at_once=True)
    assert await other.allowances.take([[part], [part]], {"a": 0}) == [None, None]
    assert await store.allowances.take([[part], [part]], {"a": 0}) == [None, full]
    assert await other.allowances.take([[part], [part]], {"a": 1}) == [None, full], "one was given back"
    await other.aclose()
    assert await store.allowances.take([[part], [part], [part]], {"a": 1}) == [None, None, full]


async def test_to_take_again_compiles_nothing_anew(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [Part("a", amount=1, a_minute=10), Part("b", amount=1, a_minute=10)]
    await store.allowances.take([parts], {"a": 0, "b": 0})
    monkeypatch.setattr(SQLCompiler, "__init__", None)
    assert await store.allowances.take([parts], {"a": 0, "b": 0}) == [None]


async def test_what_limits_nobody_any_more_is_forgotten(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = Part("used", amount=5, a_minute=5)
    await store.allowances.take([[used], [Part("held", places=1, at_once=1)]], {"used": 0, "held": 0})
    await store._database.write(_allowances.forget)
    assert await store.allowances.take([[used]], {"used": 0}) == [Exceeded(used, at_once=False)]
    monkeypatch.setattr(_allowances, "_UNUSED", timedelta(0))
    await store._database.write(_allowances.forget)
    assert await store.allowances.take([[used]], {"used": 0}) == [None]
    held = Part("held", places=1, at_once=1)
    assert await store.allowances.take([[held]], {"held": 1}) == [Exceeded(held, at_once=True)]
