"""Reads what a page asks: its message, checked, with the conversation it belongs to, ready to be sent."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from chatlab.config.registry import Entry
from chatlab.conversations.service import StorageService
from chatlab.conversations.tree import Conversation, TurnNode
from chatlab.errors import StoreError
from chatlab.formats import from_gradio
from chatlab.ids import TurnId
from chatlab.messages import FilePart, Message, Notice, Part, TextPart
from chatlab.secret import scrub
from chatlab.store.check import FileLimits, check
from chatlab.web.chat import stored_turns
from chatlab.web.chat.pages import OpenPage, SharedConversations
from chatlab.web.chat.paint_messages import NO_TURN, paint_message, settled, turn_of
from chatlab.web.shared.stored_room import StoredRoom, size_of
from chatlab.web.shared.uploads import UploadOwners
from chatlab.words import ENGLISH, WordedError


@dataclass(frozen=True, slots=True)
class BrowserMessage:
    """A message as it came from a browser. sender: whose browser it is; None for a client without a cookie.

    message and history: in Gradio's terms. storage: where the page's conversations are stored, None if they
    are not.
    """

    message: Any
    history: list[Any]
    sender: str | None
    entry: Entry
    storage: StorageService | None


@dataclass(frozen=True, slots=True)
class Question:
    """A question that is to be answered: `messages` are those that the backend gets.

    storage: where it is to be stored; None if it is not. notices: what the page says beside the answer.
    """

    node: TurnNode
    conversation: Conversation
    messages: tuple[Message, ...]
    storage: StorageService | None
    notices: list[Notice] = field(default_factory=list)


class Asking:
    """Reads what pages ask.

    uploads: whose the files are that messages come with. limits: what those files may be. shared: what an
    owner's other pages do. room: what may be stored.
    """

    def __init__(
        self,
        uploads: UploadOwners,
        limits: FileLimits,
        shared: SharedConversations,
        room: StoredRoom,
    ) -> None:
        self._room = room
        self._uploads = uploads
        self._limits = limits
        self._shared = shared

    async def question(self, page: OpenPage, asked: BrowserMessage) -> Question:
        """Return what is to be answered. Raise ChatlabError with the sentence that says why it cannot be."""
        elsewhere = await stored_turns.went_on(asked.storage, page, self._shared)
        again = any(_asked_before(page.conversation, asked.message))  # it is another version anyway
        parent, adopted = await self._parent(page, asked)
        notices = []
        if elsewhere not in (None, parent) and not again and asked.storage is not None:
            notices.append(Notice("other", ENGLISH("notice.forked")))
            if parent is not None:  # with what the other tab wrote
                await stored_turns.found(asked.storage, page, parent, self._shared)
        if parent in page.running:
            raise WordedError("refusal.still-runs")
        conversation = page.conversation
        user = await self._user(page, asked)
        # What follows on something that is not in the store cannot be there either.
        storage = asked.storage if parent is None or conversation[parent].in_store else None
        node = TurnNode(parent, user, asked.entry.label)
        messages, left_out = conversation.messages(node)
        earlier = await _sendable(asked.storage, messages[:-1])
        if storage is not None:
            await self._room.hold(storage, page.owner, size_of(user))
            try:  # nothing is left that could refuse it
                node.user = await storage.files.taken(user)
            except StoreError as exc:
                storage = None
                notices.append(not_saved(exc))
        messages = (*earlier, *await _sendable(asked.storage, [node.user]))
        return Question(node, conversation, messages, storage, [*notices, *adopted, *left_out])

    async def _user(self, page: OpenPage, asked: BrowserMessage) -> Message:
        """Return the person's message.

        One that is asked again is taken from the conversation, not from the page.
        """
        again, edits = _asked_before(page.conversation, asked.message)
        if again is not None:
            return again.user
        if edits is not None:
            return edited(edits.user, str(asked.message.get("text") or ""))
        if not asked.message:
            raise WordedError("refusal.nothing-to-send")
        user = from_gradio([], asked.message)[0][-1]
        self._uploads.check(user, asked.sender)
        return await _checked(user, self._limits)

    async def _parent(
        self, page: OpenPage, asked: BrowserMessage
    ) -> tuple[TurnId | None, tuple[Notice, ...]]:
        """Return the turn this one follows: that which a message asked again follows; else the last painted
        one, whatever was undone. If that is not the end of what the page shows a part of, it is that end.

        Where conversations are stored, one that this page does not hold is looked up, for its owner alone.
        """
        for before in _asked_before(page.conversation, asked.message):
            if before is not None:
                return before.parent, ()
        for named in named_turns(asked.history):
            if named == page.window_end and page.last is not None:
                return page.last.id, ()
            if named in page.conversation:
                return named, ()
            if asked.storage is not None:
                if await stored_turns.found(asked.storage, page, named, self._shared):
                    return named, ()
                raise WordedError("refusal.not-there")
        return self._adopt(page.conversation, asked)

    def _adopt(
        self, conversation: Conversation, asked: BrowserMessage
    ) -> tuple[TurnId | None, tuple[Notice, ...]]:
        """Takes over a history this server does not hold: an API client's, or one it has forgotten."""
        last: TurnNode | None = None
        history = [one.model_dump() if isinstance(one, BaseModel) else one for one in asked.history]
        messages, notices = from_gradio(history)
        for message in messages:
            self._uploads.check(message, asked.sender)
            if message.role == "user":
                last = TurnNode(last.id if last else None, message, asked.entry.label)
                conversation.add(last)
            elif last is not None:
                last.answer += message.parts
                last.painted.append(settled(paint_message(message)))
        return (last.id if last else None), notices


def not_saved(error: StoreError) -> Notice:
    """Return the notice of an answer that is not stored."""
    return Notice("other", ENGLISH("notice.not-saved", reason=scrub(str(error))))


def named_turns(shown: Sequence[Any]) -> list[TurnId]:
    """Return the turns that painted messages name, the last one first."""
    found: list[TurnId] = []
    for message in reversed(shown):
        known = message.get("metadata") if isinstance(message, dict) else getattr(message, "metadata", None)
        named = turn_of((known or {}).get("id"))
        if named is not None and named != NO_TURN and named not in found:
            found.append(named)
    return found


def edited(message: Message, text: str) -> Message:
    """Return the message with another text and the same files."""
    files = [part for part in message.parts if isinstance(part, FilePart)]
    return Message(message.role, (*files, *([TextPart(text)] if text else [])))


def _asked_before(conversation: Conversation, message: Any) -> tuple[TurnNode | None, TurnNode | None]:
    """Return the turns whose messages are asked again, as they are and with another text."""
    known = message if isinstance(message, dict) else {}
    found = (known.get("again"), known.get("edits"))
    again, edits = (conversation[one] if one is not None and one in conversation else None for one in found)
    return again, edits


async def _checked(message: Message, limits: FileLimits) -> Message:
    """Return the message with each file's media type as its content says. Raises UnsupportedContent."""
    return Message(message.role, tuple([await _checked_part(part, limits) for part in message.parts]))


async def _checked_part(part: Part, limits: FileLimits) -> Part:
    if not isinstance(part, FilePart) or part.url is not None:
        return part
    if part.path is not None:
        return replace(
            part, media_type=await asyncio.to_thread(check, part.path, part.name, part.media_type, limits)
        )
    with tempfile.NamedTemporaryFile() as file:
        file.write(part.data or b"")
        file.flush()
        media_type = await asyncio.to_thread(
            check, Path(file.name), part.name or "file", part.media_type, limits
        )
    return replace(part, media_type=media_type)


async def _sendable(storage: StorageService | None, messages: Sequence[Message]) -> tuple[Message, ...]:
    """Return the messages as a backend takes them.

    Raises WordedError for an attachment that is gone.
    """
    if storage is None:
        for part in (part for message in messages for part in message.parts):
            if isinstance(part, FilePart) and part.path is not None and not part.path.exists():
                if part.name:
                    raise WordedError("refusal.gone-attachment", name=part.name)
                raise WordedError("refusal.some-attachment-gone")
        return tuple(messages)
    return tuple(
        [
            await storage.files.given(message)
            if any(isinstance(part, FilePart) for part in message.parts)
            else message
            for message in messages
        ]
    )
