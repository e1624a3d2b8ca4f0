"""A person's own tokens: encrypted in the store, and renewed once however many ask at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from time import monotonic, time
from typing import Any, Self
from weakref import WeakValueDictionary

from chatlab.errors import AuthRequired
from chatlab.identity.errors import ProviderAway
from chatlab.identity.sealing import Seal
from chatlab.secret import remember
from chatlab.store import now
from chatlab.store.sign_ins import SignIns
from chatlab.words import ENGLISH

EARLY = 60.0
"""Seconds before its end from which a token is renewed."""

_LEASE = timedelta(seconds=30)  # for one renewal; longer than the provider may take
_PATIENCE = 40.0  # seconds of waiting for somebody else's renewal
_LOOK = 0.1  # seconds between two looks at it

ENDED = ENGLISH("refusal.signed-out")


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens that the provider gave for a person. ends: by the clock of `time.time`. identity: the ID
    token."""

    access: str = field(repr=False)
    ends: float
    refresh: str | None = field(default=None, repr=False)
    identity: str | None = field(default=None, repr=False)

    @classmethod
    def of(cls, said: Any, before: Tokens | None = None) -> Self:
        """Return the tokens of a provider's answer. before: those that were renewed; a provider that does not
        send a new refresh token leaves the old one good."""
        lasts = said.get("expires_in")
        seconds = float(lasts) if isinstance(lasts, int | float) else 3_600.0
        refresh = said.get("refresh_token") or (before.refresh if before else None)
        identity = said.get("id_token") or (before.identity if before else None)
        return cls(str(said["access_token"]), time() + seconds, refresh, identity)


class PersonTokens:
    """The tokens of all who are signed in. Used in the event loop alone.

    renew: asks the provider for new ones; raises AuthRequired where it gives none any more, ProviderAway
    where it does not answer.
    """

    def __init__(
        self,
        seal: Seal,
        rows: Callable[[], Awaitable[SignIns]],
        renew: Callable[[Tokens], Awaitable[Tokens]],
    ) -> None:
        self._seal = seal
        self._rows = rows
        self._renew = renew
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def sealed(self, key: str, tokens: Tokens) -> str:
        """Return tokens encrypted for the sign-in of a key."""
        return self._seal.sealed({"key": key, **asdict(tokens)})

    async def access(self, key: str) -> str:
        """Return the access token of a sign-in, renewed if it is about to end.

        Raise AuthRequired where the sign-in has ended, ProviderAway, StoreError.
        """
        return (await self.current(key)).access

    async def current(self, key: str) -> Tokens:
        """Return the tokens of a sign-in, renewed as `access` does."""
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with lock:  # of this server, one asks; of several servers, the lease decides
            tokens = await self._current(key)
        remember(tokens.access, source="tokens of people")
        return tokens

    async def _current(self, key: str) -> Tokens:
        rows, leased, patience = await self._rows(), False, monotonic() + _PATIENCE
        while True:
            tokens = await self._stored(rows, key)
            if tokens.ends - EARLY > time():
                if leased:
                    await rows.release(key)
                return tokens
            if leased:
                return await self._renewed(rows, key, tokens)
            moment = now()
            leased = await rows.lease(key, moment, moment + _LEASE)
            if not leased:
                if monotonic() > patience:
                    raise ProviderAway("refusal.provider-away")
                await asyncio.sleep(_LOOK)

    async def _stored(self, rows: SignIns, key: str) -> Tokens:
        row = await rows.get(key)
        opened = self._seal.opened(row.tokens) if row is not None and row.tokens is not None else None
        if opened is None or opened.pop("key") != key:
            raise AuthRequired(ENDED)
        return Tokens(**opened)

    async def _renewed(self, rows: SignIns, key: str, tokens: Tokens) -> Tokens:
        try:
            new = await self._renew(tokens)
        except AuthRequired:
            await rows.end(key)
            raise
        except BaseException:
            await rows.release(key)
            raise
        if not await rows.release(key, self.sealed(key, new)):
            raise AuthRequired(ENDED)  # they signed out meanwhile
        return new
