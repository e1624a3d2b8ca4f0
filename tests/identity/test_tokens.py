"""A person's own tokens: what becomes of them while they are renewed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from time import time

import pytest

from chatlab.errors import AuthRequired
from chatlab.identity.errors import ProviderAway
from chatlab.identity.sealing import Seal
from chatlab.identity.tokens import PersonTokens, Tokens
from chatlab.store import now
from chatlab.store.sign_ins import SignIns, StoredSignIn
from chatlab.store.sql import SqlStore

SEAL = Seal(["a key of thirty-two characters or more"], "tokens")
OLD = Tokens("old-access", time() - 1, "old-refresh")
NEW = Tokens("new-access", time() + 3_600, "new-refresh")


async def tokens_of(
    rows: SignIns, renew: Callable[[Tokens], Awaitable[Tokens]], key: str = "key"
) -> PersonTokens:
    """The tokens of somebody whose access token has ended."""

    async def opened() -> SignIns:
        return rows

    mine, moment = PersonTokens(SEAL, opened, renew), now()
    ends = moment + timedelta(hours=1)
    await rows.add(StoredSignIn(key, "ann", "Ann", "", moment, moment, ends, mine.sealed(key, OLD)))
    return mine


async def test_a_renewal_that_races_a_sign_out_brings_nothing_back(store: SqlStore) -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def renew(_: Tokens) -> Tokens:
        asked.set()
        await go_on.wait()
        return NEW

    mine = await tokens_of(store.sign_ins, renew)
    getting = asyncio.create_task(mine.access("key"))
    await asked.wait()
    await store.sign_ins.end("key")  # they sign out, here or on another server
    go_on.set()
    with pytest.raises(AuthRequired, match="Your sign-in has ended"):
        await getting
    assert await store.sign_ins.get("key") is None and list(await store.sign_ins.all()) == []
    with pytest.raises(AuthRequired):
        await mine.access("key")


async def test_a_provider_that_is_away_does_not_end_a_sign_in_and_the_next_call_renews_it(
    store: SqlStore,
) -> None:
    outcomes: list[Exception | Tokens] = [ProviderAway("refusal.provider-away"), NEW]

    async def renew(tokens: Tokens) -> Tokens:
        assert tokens.refresh == "old-refresh"
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    mine = await tokens_of(store.sign_ins, renew)
    with pytest.raises(ProviderAway):
        await mine.access("key")
    assert await mine.access("key") == "new-access" == await mine.access("key")


async def test_whom_the_provider_gives_nothing_any_more_is_signed_out(store: SqlStore) -> None:
    async def renew(_: Tokens) -> Tokens:
        raise AuthRequired("ended")

    mine = await tokens_of(store.sign_ins, renew)
    with pytest.raises(AuthRequired):
        await mine.access("key")
    assert await store.sign_ins.get("key") is None


async def test_fifty_calls_at_once_on_two_servers_renew_once(store: SqlStore) -> None:
    renewed: list[Tokens] = []

    async def renew(tokens: Tokens) -> Tokens:
        renewed.append(tokens)
        await asyncio.sleep(0)
        return NEW

    here = await tokens_of(store.sign_ins, renew)

    async def opened() -> SignIns:
        return store.sign_ins

    there = PersonTokens(SEAL, opened, renew)
    got = await asyncio.gather(*(one.access("key") for one in (here, there) for _ in range(25)))
    assert set(got) == {"new-access"} and len(renewed) == 1


async def test_tokens_that_were_stored_for_somebody_else_are_nobodys(store: SqlStore) -> None:
    async def renew(_: Tokens) -> Tokens:
        return NEW

    mine, moment = await tokens_of(store.sign_ins, renew), now()
    stolen = mine.sealed("key", NEW)
    ends = moment + timedelta(hours=1)
    await store.sign_ins.add(StoredSignIn("other", "bob", "Bob", "", moment, moment, ends, stolen))
    with pytest.raises(AuthRequired):
        await mine.access("other")
    assert "old-access" not in repr(OLD) and "old-refresh" not in repr(OLD)
