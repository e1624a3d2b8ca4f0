"""The stored amounts that people spent, for limits a day."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spent:
    """An amount that somebody spent within one hour, by its number since 1970. cost: in the currency of the
    prices."""

    owner: str
    hour: int
    tokens: float
    cost: float

    def plus(self, other: Spent | None) -> Spent:
        """Return both together, of the same person and hour."""
        if other is None:
            return self
        return Spent(self.owner, self.hour, self.tokens + other.tokens, self.cost + other.cost)


class Spending(ABC):
    """The amounts of everybody. Every method raises StoreError where the database cannot be used."""

    @abstractmethod
    async def add(self, amounts: Sequence[Spent]) -> None:
        """Add to what there is, whoever else does at the same time: all or nothing."""

    @abstractmethod
    async def since(self, hour: int) -> Sequence[Spent]:
        """Return the amounts after an hour, and forget older ones."""
