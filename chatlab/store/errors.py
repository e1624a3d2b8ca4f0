"""The errors of a store: unknown, altered, in conflict, or not to be reached."""

from __future__ import annotations

from chatlab.errors import StoreError
from chatlab.words import ENGLISH, WordedError


class _Told(WordedError, StoreError):
    """A StoreError whose words anybody may read."""

    @property
    def sentence(self) -> str:
        """As it is: it names nothing of the server."""
        return str(self)


class NotStored(_Told):
    """There is no such thing, or it is somebody else's: the two cannot be told apart."""


class Altered(_Told):
    """A stored content is not any more what it was when it was stored."""


class Conflict(_Told):
    """Somebody else wrote meanwhile: read again, then try again."""


class Unreachable(StoreError):
    """The database does not answer. Nothing was written; trying again later may work."""

    says_all = True

    @property
    def sentence(self) -> str:
        """Without what the database's library says, which may name a host or a file."""
        return ENGLISH("refusal.database")
