"""The drafts of an import, before it is in the store: conversations, and what they are made of."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from chatlab.ids import ConversationId, TurnId
from chatlab.messages import FilePart, Message, Notice, Part
from chatlab.store import (
    FILE_SCHEME,
    Conflict,
    NotStored,
    Store,
    StoredConversation,
    StoredTurn,
    new_id,
)
from chatlab.store.files import Files
from chatlab.transfer.jsonl import turn_from_json
from chatlab.words import ENGLISH


@dataclass(slots=True)
class ConversationDraft:
    """A conversation that was read. contents: hashes of the attachments that came with it."""

    where: str
    conversation: StoredConversation
    turns: list[StoredTurn] = field(default_factory=list)
    contents: set[str] = field(default_factory=set)

    noun = "conversation"

    @property
    def title(self) -> str:
        """Return what it is called."""
        return self.conversation.title

    def unused_since(self, moment: datetime) -> bool:
        """Return whether retention from this moment on would remove it, as `Store.purge` does."""
        return not self.conversation.pinned and self.conversation.updated < moment

    def add(self, value: Mapping[str, Any]) -> None:
        """Takes up a line of it. Raises ValueError with a sentence."""
        if value.get("type") != "turn":
            raise ValueError("type should be conversation, file or turn")
        self.turns.append(turn_from_json(value, self.conversation.owner, self.conversation.id))

    def check(self) -> None:
        """Raises ValueError if it is not whole."""
        require_tree(self.conversation, self.turns)

    async def take_in(self, store: Store, files: Files) -> bool:
        """Return whether it was taken in: it may be there already.

        Raises StoreError and UnsupportedContent.
        """
        try:
            await store.get(self.conversation.owner, self.conversation.id)
        except NotStored:
            pass
        else:
            return False
        own = OwnFiles(store, files, self.conversation.owner, self.contents)
        self.turns = [await own.turn(turn) for turn in self.turns]
        try:
            await store.adopt(self.conversation, self.turns)
        except Conflict:
            await store.adopt(*_with_new_ids(self.conversation, self.turns))
        return True


def require_tree(conversation: StoredConversation, turns: Sequence[StoredTurn]) -> None:
    """Raises ValueError unless the turns are trees, of which the conversation's head is one."""
    parents = {turn.id: turn.parent for turn in turns}
    if len(parents) != len(turns):
        raise ValueError("two of its turns have the same id")
    if any(parent is not None and parent not in parents for parent in parents.values()):
        raise ValueError("a turn follows one that is not there")
    if conversation.head is not None and conversation.head not in parents:
        raise ValueError("its head is not one of its turns")
    rooted: set[TurnId] = set()
    for turn in parents:
        way: dict[TurnId, None] = {}
        at: TurnId | None = turn
        while at is not None and at not in rooted:
            if at in way:
                raise ValueError("turns follow each other in a circle")
            way[at] = None
            at = parents[at]
        rooted |= way.keys()


def _with_new_ids(
    conversation: StoredConversation, turns: Sequence[StoredTurn]
) -> tuple[StoredConversation, list[StoredTurn]]:
    ids = {turn.id: TurnId(new_id()) for turn in turns}
    renamed = replace(
        conversation,
        id=ConversationId(new_id()),
        head=None if conversation.head is None else ids[conversation.head],
    )
    return renamed, [
        replace(
            turn,
            id=ids[turn.id],
            conversation=renamed.id,
            parent=None if turn.parent is None else ids[turn.parent],
        )
        for turn in turns
    ]


async def content(files: Files, value: Mapping[str, Any]) -> str:
    """Keeps an attachment's content; its hash. Raises ValueError with a sentence, and StoreError."""
    data = value.get("data")
    if not isinstance(data, str):
        raise ValueError("data is missing")
    found = base64.b64decode(data, validate=True)
    sha256 = hashlib.sha256(found).hexdigest()
    if sha256 != value.get("sha256"):
        raise ValueError("the content is not the one that its sha256 names")
    return await files.put(found)


@dataclass(frozen=True, slots=True)
class OwnFiles:
    """Tells the files that an owner may have: what came along, and what the owner's turns name already. One
    that is only named, and did not come along, is left out: a name is no right to read it."""

    store: Store
    files: Files
    owner: str
    contents: set[str]

    async def turn(self, turn: StoredTurn) -> StoredTurn:
        """Return the turn with its files in the file store, and notices of those that are left out."""
        user, lost = await self.parts(turn.user.parts)
        answer, also_lost = await self.parts(turn.answer)
        notices = [
            Notice("file_dropped", ENGLISH("notice.not-in-file", file=name)) for name in (*lost, *also_lost)
        ]
        return replace(
            turn,
            user=Message("user", await self._taken(user)),
            answer=await self._taken(answer),
            notices=(*turn.notices, *notices),
        )

    async def parts(self, parts: Sequence[Part]) -> tuple[tuple[Part, ...], list[str]]:
        """Those that the owner may have, and what the others are called."""
        kept: list[Part] = []
        lost: list[str] = []
        for part in parts:
            if isinstance(part, FilePart) and part.url is not None and part.url.startswith(FILE_SCHEME):
                sha256 = part.url.removeprefix(FILE_SCHEME)
                if sha256 not in self.contents and await self.store.may_read(self.owner, sha256) is None:
                    lost.append(part.name or "an attachment")
                    continue
            kept.append(part)
        return tuple(kept), lost

    async def _taken(self, parts: tuple[Part, ...]) -> tuple[Part, ...]:
        return (await self.files.taken(Message("user", parts))).parts
