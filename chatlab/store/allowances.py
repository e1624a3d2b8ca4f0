"""The allowances of visitors that hold for all servers of a database together: a minute's, and at once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Part:
    """A part of one allowance that somebody asks for.

    key: whose it is, and of what. amount: how much of `a_minute` is taken. places: how many of those
    `at_once` are taken, until they are given back. None: there is no limit.
    """

    key: str
    amount: float = 0
    a_minute: float | None = None
    places: int = 0
    at_once: float | None = None


@dataclass(frozen=True, slots=True)
class Exceeded:
    """A part that is more than there is. at_once: of places; otherwise of a minute's amount."""

    part: Part
    at_once: bool


class Allowances(ABC):
    """The allowances of everybody. Every method raises StoreError where the database cannot be used."""

    @abstractmethod
    async def take(
        self, asked: Sequence[Sequence[Part]], held: Mapping[str, int]
    ) -> Sequence[Exceeded | None]:
        """Take what several ask for, each all or nothing, whoever else does at the same time.

        Return for each what refused it. held: how many places this server has of each key that is asked for,
        and of others whose number changed.
        """
