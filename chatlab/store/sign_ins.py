"""Stored sign-ins."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class StoredSignIn:
    """One sign-in of one person in one browser.

    key: a hash of the id that the browser has, so that who reads the database cannot pretend to be it.
    sealed: what is known of the person, encrypted. used: when something was last asked, to the minute.
    ends: when the person has to sign in again, whatever they do. tokens: the person's own, encrypted; None
    where none are kept. leased: until when one server renews them.
    """

    key: str
    owner: str
    name: str
    sealed: str
    begun: datetime
    used: datetime
    ends: datetime
    tokens: str | None = None
    leased: datetime | None = None


@dataclass(frozen=True, slots=True)
class SignInTimes:
    """The times of a sign-in, which change; see `StoredSignIn`."""

    used: datetime
    ends: datetime


class SignIns(ABC):
    """The sign-ins of everybody. Every method raises StoreError where the database cannot be used."""

    @abstractmethod
    async def spend(self, state_hash: str, until: datetime) -> bool:
        """Return whether this is the first time that a state comes back; only one of several that come at
        once is. until: when it would not be taken any more anyway."""

    @abstractmethod
    async def add(self, sign_in: StoredSignIn, *, instead_of: str | None = None) -> None:
        """Store a new sign-in, in place of the one that has this key."""

    @abstractmethod
    async def get(self, key: str) -> StoredSignIn | None:
        """Return the sign-in of a key; None if it was ended or never was."""

    @abstractmethod
    async def times(self, keys: Sequence[str]) -> Mapping[str, SignInTimes]:
        """Return the times of those sign-ins of these keys that were not ended, by their keys."""

    @abstractmethod
    async def use(self, keys: Sequence[str], moment: datetime) -> None:
        """Note that something was asked in the sign-ins of these keys."""

    @abstractmethod
    async def lease(self, key: str, moment: datetime, until: datetime) -> bool:
        """Return whether a sign-in's tokens are for the asker alone to renew until then: they are, if nobody
        else's time for that is running."""

    @abstractmethod
    async def release(self, key: str, tokens: str | None = None) -> bool:
        """End the time for renewing, with new tokens if there are any. Return whether the sign-in is
        there."""

    @abstractmethod
    async def end(self, key: str) -> None:
        """End a sign-in, if it is there."""

    @abstractmethod
    async def all(self) -> Sequence[StoredSignIn]:
        """Return every sign-in, who was there last first. For whoever runs the server, not for a request."""

    @abstractmethod
    async def end_all(self, owner: str) -> int:
        """End every sign-in of a person, and return how many there were."""

    @abstractmethod
    async def prune(self, *, ended_before: datetime, unused_since: datetime) -> int:
        """Remove what ended before one moment or was not used since another; return how many sign-ins that
        were."""
