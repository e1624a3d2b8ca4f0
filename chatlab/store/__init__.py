"""Conversations that last: what is stored, and the interface to it. `chatlab.store.sql` implements it.

A conversation is a tree of turns: a turn is one message of the person and what came of it. Edit, retry and
undo make siblings; nothing is overwritten. Every row has an owner, and no question is asked without one: an
id of somebody else's is as unknown as one that does not exist.

Attachments are not in the database. A stored message names them by their content (`sha256:<hex>` as the URL
of a `FilePart`); `chatlab.store.files` stores the content.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from secrets import token_hex
from types import MappingProxyType
from typing import Any, Literal

from chatlab.ids import ConversationId, TurnId
from chatlab.store.allowances import Allowances
from chatlab.store.errors import Altered as Altered
from chatlab.store.errors import Conflict as Conflict
from chatlab.store.errors import NotStored as NotStored
from chatlab.store.errors import Unreachable as Unreachable
from chatlab.store.replicas import Replicas
from chatlab.store.sign_ins import SignIns
from chatlab.store.spending import Spending
from chatlab.store.values import Audience as Audience
from chatlab.store.values import BegunConversation as BegunConversation
from chatlab.store.values import Hit as Hit
from chatlab.store.values import LinkReader as LinkReader
from chatlab.store.values import Listed as Listed
from chatlab.store.values import LogEntry as LogEntry
from chatlab.store.values import Movable as Movable
from chatlab.store.values import OwnerSummary as OwnerSummary
from chatlab.store.values import Share as Share
from chatlab.store.values import Status as Status
from chatlab.store.values import StoredComparison as StoredComparison
from chatlab.store.values import StoredConversation as StoredConversation
from chatlab.store.values import StoredTurn as StoredTurn
from chatlab.store.values import Unwanted as Unwanted
from chatlab.store.values import WholeComparison as WholeComparison

FILE_SCHEME = "sha256:"

UNDO = timedelta(seconds=60)
"""How long a deletion can be undone before `purge` is to remove it."""


def now() -> datetime:
    """Return the time that is stored: in UTC, with its zone."""
    return datetime.now(UTC)


def unused_since(keep_days: int | None) -> datetime | None:
    """Return the moment since which a conversation must have been written to, to stay; None if all stay."""
    return None if keep_days is None else now() - timedelta(days=keep_days)


def new_id() -> str:
    """Return a random id, long enough that nobody guesses one."""
    return token_hex(10)


class Store(ABC):
    """The interface to stored conversations and comparison sessions. Every method may raise Unreachable."""

    sign_ins: SignIns
    """Who is signed in, in the same database."""

    replicas: Replicas
    """The other servers of the same database."""

    spending: Spending
    """The amounts that people spent, in the same database."""

    allowances: Allowances
    """The allowances of visitors, in the same database."""

    # conversations

    @abstractmethod
    async def create(
        self,
        owner: str,
        *,
        title: str = "",
        comparison: str | None = None,
        conversation_id: ConversationId | None = None,
    ) -> StoredConversation:
        """Make and return a new, empty conversation. Without a title, the first message gives it one."""

    @abstractmethod
    async def get(self, owner: str, conversation: ConversationId) -> StoredConversation:
        """Return a conversation. Raise NotStored if there is none."""

    @abstractmethod
    async def recent(self, owner: str, *, after: str | None = None, limit: int = 50) -> Listed:
        """Return the owner's chats: pinned ones first, then by when they were last written to, newest
        first."""

    @abstractmethod
    async def search(self, owner: str, text: str, *, limit: int = 20) -> Sequence[Hit]:
        """Return chats with a title or a turn (its message and answer) in which all the words occur: titles
        first, then by turn, newest first. Words may be cut short at their end, to two letters at least
        ("compar" finds "comparison"); case and accents do not count; no text can break the search."""

    @abstractmethod
    async def change(
        self,
        owner: str,
        conversation: ConversationId,
        *,
        title: str | None = None,
        pinned: bool | None = None,
        head: TurnId | None = None,
    ) -> StoredConversation:
        """Change what is given, and return the conversation. Raise NotStored."""

    @abstractmethod
    async def delete(self, owner: str, conversation: ConversationId) -> None:
        """Delete a conversation at once: from lists, search, links and reads. For `UNDO` it can be
        restored; then `purge` removes it for good. Raises NotStored."""

    @abstractmethod
    async def restore(self, owner: str, conversation: ConversationId) -> StoredConversation:
        """Undo a deletion. Raise NotStored once it is gone for good."""

    @abstractmethod
    async def adopt(self, conversation: StoredConversation, turns: Sequence[StoredTurn]) -> None:
        """Add a conversation from elsewhere, all or nothing, with its ids, its times and its head as
        they are; as a chat, whatever it was. None of the turns is running. Raises Conflict if an id is taken,
        NotStored if a turn follows one that is not there.
        """

    # turns

    @abstractmethod
    async def turns(self, owner: str, conversation: ConversationId) -> Sequence[StoredTurn]:
        """Return all turns of a conversation, in the order they were asked. Raise NotStored if there is
        none."""

    @abstractmethod
    async def turn(self, owner: str, turn: TurnId) -> StoredTurn:
        """Raises NotStored."""

    @abstractmethod
    async def save(
        self,
        turns: Sequence[StoredTurn],
        new: Sequence[BegunConversation] = (),
        receipts: Mapping[TurnId, Mapping[str, Any]] = MappingProxyType({}),
    ) -> None:
        """Write turns as they are now, new or known, all or none; each new one becomes the head of its
        conversation. new: conversations that are made first, with the turns, unless they are there already.
        receipts: what turns among these were sent, by turn; one that is there already stays as it is.
        What `save` returned from survives a crash. A turn of a conversation that the owner does not have is
        NotStored, and so is one whose parent is not in that conversation; a turn that has ended is never
        turned back to "running". Of a deleted conversation only known turns are written, so that one that was
        running is whole if the deletion is undone."""

    @abstractmethod
    async def recover(self) -> int:
        """Mark turns whose server died as "interrupted", and return their number. Called when a server
        starts."""

    # comparison sessions

    @abstractmethod
    async def create_comparison(self, owner: str, *, title: str = "") -> StoredComparison:
        """Make and return a new, empty comparison session."""

    @abstractmethod
    async def comparison(self, owner: str, comparison: str) -> StoredComparison:
        """Raises NotStored."""

    @abstractmethod
    async def comparisons(
        self, owner: str, *, after: str | None = None, limit: int = 50
    ) -> tuple[Sequence[StoredComparison], str | None]:
        """Return the owner's sessions, newest first, and what continues the list."""

    @abstractmethod
    async def retitle_comparison(self, owner: str, comparison: str, title: str) -> None:
        """Raises NotStored."""

    @abstractmethod
    async def delete_comparison(self, owner: str, comparison: str) -> None:
        """Delete a session and its lanes' conversations, restorable as a conversation is."""

    @abstractmethod
    async def restore_comparison(self, owner: str, comparison: str) -> None:
        """Undo the deletion of a session."""

    @abstractmethod
    async def lanes(self, owner: str, comparison: str) -> Sequence[StoredConversation]:
        """Return the conversations of a session's lanes, those of removed ones too, in the order they were
        made. Raises NotStored."""

    @abstractmethod
    async def adopt_comparison(self, whole: WholeComparison) -> None:
        """Add a session from elsewhere, all or nothing, with its ids and times as they are. None of the
        turns is running. Raises what `adopt` raises."""

    @abstractmethod
    async def log(self, owner: str, comparison: str, *, after: int = 0) -> Sequence[LogEntry]:
        """Return the entries of a session's log after an entry. Raise NotStored."""

    @abstractmethod
    async def append(
        self, owner: str, comparison: str, after: int, entries: Sequence[Mapping[str, Any]]
    ) -> Sequence[LogEntry]:
        """Append to a session's log, if `after` is still its last entry; otherwise raises Conflict and
        writes nothing."""

    @abstractmethod
    async def save_receipt(self, owner: str, turn: TurnId, receipt: Mapping[str, Any]) -> None:
        """Store what a turn was sent. A second one for the same turn is a Conflict: they do not change."""

    @abstractmethod
    async def receipts(self, owner: str, turns: Sequence[TurnId]) -> Mapping[TurnId, Mapping[str, Any]]:
        """Return the receipts of these turns, by turn; a turn without one is left out."""

    # sharing

    @abstractmethod
    async def share(
        self,
        owner: str,
        *,
        conversation: ConversationId | None = None,
        comparison: str | None = None,
        audience: Audience = None,
    ) -> Share:
        """Make and return a new link to exactly one of the two, as it is at any later time it is looked
        at."""

    @abstractmethod
    async def shares(
        self, owner: str, *, conversation: ConversationId | None = None, comparison: str | None = None
    ) -> Sequence[Audience]:
        """Return for whom each link to it is, the first that was made first."""

    @abstractmethod
    async def revoke(
        self, owner: str, *, conversation: ConversationId | None = None, comparison: str | None = None
    ) -> None:
        """End every link to it."""

    @abstractmethod
    async def revoke_all(self, owner: str) -> int:
        """End every link of an owner, and return how many there were. For whoever runs the server."""

    @abstractmethod
    async def shared(
        self, token: str, reader: LinkReader | None = None
    ) -> tuple[str, Literal["conversation", "comparison"], str]:
        """Return whom a link belongs to, and what it leads to, to be read with the methods above. The only
        question asked without an owner: the token is the right to ask it.

        reader: who asks; None for somebody who did not sign in. Raise NotStored, for a link that is for
        others as for one that there is not. Whoever made it may follow it.
        """

    # attachments

    @abstractmethod
    async def may_read(self, owner: str, sha256: str) -> str | None:
        """Return the media type of a file that one of the owner's stored turns names; None if none does."""

    @abstractmethod
    async def unused(self, sha256s: Sequence[str]) -> Sequence[str]:
        """Return those hashes that no stored turn of anybody names."""

    # whose things are

    @abstractmethod
    async def movable(self, owner: str) -> Movable:
        """Return the number of an owner's chats and sessions that are not deleted and in which nothing
        runs."""

    @abstractmethod
    async def move(self, owner: str, to: str) -> Movable:
        """Hand these over to another owner, and return how many that were: each with its turns, lanes, files,
        receipts, log and links at once. Between many, others write. However often and by whom it is called
        at a time, each goes to one owner."""

    # removing what is no longer wanted

    @abstractmethod
    async def owners(self) -> Sequence[OwnerSummary]:
        """Return everybody who has anything, who wrote last first. For whoever runs the server, never for a
        request."""

    @abstractmethod
    async def size(self, owner: str | None = None) -> int:
        """Return how many bytes an owner's turns, receipts and logs take, without what was deleted; without
        an owner, the whole database."""

    @abstractmethod
    async def files_of(self, owner: str) -> Sequence[str]:
        """Return the hashes of the files that an owner's turns name."""

    @abstractmethod
    async def owner_of_comparison(self, comparison: str) -> str:
        """Return the owner of a session. For whoever runs the server, never for a request.

        Raise NotStored if there is no such session.
        """

    @abstractmethod
    async def unwanted(self, *, deleted_before: datetime, unused_since: datetime | None = None) -> Unwanted:
        """Return the number of what `purge` would remove."""

    @abstractmethod
    async def purge(self, *, deleted_before: datetime, unused_since: datetime | None = None) -> Sequence[str]:
        """Remove for good what was deleted before one moment and, if given, what is not pinned and was not
        written to since another. Returns the hashes of files that nobody names any more."""

    @abstractmethod
    async def ping(self) -> None:
        """Return if the database answers. Raise Unreachable otherwise."""

    @abstractmethod
    async def aclose(self) -> None:
        """Close the connections."""
