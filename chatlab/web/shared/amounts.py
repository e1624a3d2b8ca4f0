"""Counts of all that visitors hold and begin in this process: by visitor, network address, for everybody."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Literal, TypeAlias

from chatlab.words import ENGLISH, WordedError

Scope: TypeAlias = Literal["visitor", "address", "total"]

SUBJECT: dict[Scope, str] = {
    "visitor": ENGLISH("refusal.one-visitor"),
    "address": ENGLISH("refusal.of-address"),
    "total": ENGLISH("refusal.all-visitors"),
}
"""Whom a refusal is about."""
_BUCKETS = 50_000  # keys of a rate, of which the full ones are forgotten first


class LimitReached(WordedError):
    """A visitor, an address or everybody together asks for more than is allowed."""

    http_status = 429


@dataclass(frozen=True, slots=True)
class Visitor:
    """A visitor: whoever asks. owner: None for a client without a cookie, who is limited by address alone."""

    owner: str | None
    address: str

    def counts_in(self) -> tuple[tuple[Scope, str], ...]:
        """Return the scopes that this visitor counts in, each with a key."""
        own: tuple[tuple[Scope, str], ...] = () if self.owner is None else (("visitor", self.owner),)
        return (*own, ("address", self.address), ("total", ""))


class Amounts:
    """The amounts of one thing that each visitor, each address and everybody holds.

    refusal: the key of its sentence.
    """

    def __init__(self, most: dict[Scope, float | None], refusal: str) -> None:
        self.most = most
        self._refusal = refusal
        self._held: dict[tuple[Scope, str], float] = {}

    def check(self, visitor: Visitor, amount: float) -> None:
        """Raise LimitReached if there is no room for so much more."""
        full = self._full(visitor, amount)
        if full is not None:
            raise self.refused(full, self.most)

    def refused(self, scope: Scope, most: Mapping[Scope, float | None]) -> LimitReached:
        """Return the refusal of somebody who would have more than this."""
        return LimitReached(self._refusal, who=SUBJECT[scope], most=f"{most[scope]:g}")

    def has_room(self, visitor: Visitor, amount: float) -> bool:
        """Return whether there is room for so much more."""
        return self._full(visitor, amount) is None

    def _full(self, visitor: Visitor, amount: float) -> Scope | None:
        for scope, key in visitor.counts_in():
            most = self.most[scope]
            if most is not None and self._held.get((scope, key), 0) + amount > most:
                return scope
        return None

    def add(self, visitor: Visitor, amount: float) -> None:
        """Count so much more, or less."""
        for key in visitor.counts_in():
            held = self._held.get(key, 0) + amount
            if held > 0:
                self._held[key] = held
            else:
                self._held.pop(key, None)


class Rate:
    """The rates at which each visitor, each address and everybody begins something: buckets that fill within
    a minute. name: of what, among other rates. refusal: the key of its sentence."""

    def __init__(self, name: str, most: dict[Scope, float | None], refusal: str) -> None:
        self.name = name
        self.most = most
        self._refusal = refusal
        self._left: dict[tuple[Scope, str], tuple[float, float]] = {}  # what is left, and when that was so

    def refused(self, scope: Scope) -> LimitReached:
        """Return the refusal of somebody who would take more than there is."""
        return LimitReached(self._refusal, who=SUBJECT[scope], most=f"{self.most[scope]:g}")

    def take(self, visitor: Visitor, amount: float) -> None:
        """Take so much, of every bucket or of none. Raise LimitReached."""
        moment = monotonic()
        taken: dict[tuple[Scope, str], tuple[float, float]] = {}
        for key in visitor.counts_in():
            most = self.most[key[0]]
            if most is None:
                continue
            left, since = self._left.get(key, (most, moment))
            left = min(most, left + (moment - since) * most / 60)
            if amount > left:
                raise self.refused(key[0])
            taken[key] = (left - amount, moment)
        self._left.update(taken)
        if len(self._left) > _BUCKETS:
            self._left = {key: one for key, one in self._left.items() if moment - one[1] < 60}
