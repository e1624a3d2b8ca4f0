"""Attachments of a session: named by their content where they are stored, whole where they are sent."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from chatlab.compare.session.events import SessionError
from chatlab.compare.session.receipt import by_content
from chatlab.messages import FilePart, Message, Part
from chatlab.store import FILE_SCHEME
from chatlab.store.files import Files


def asked_for(message: str | Message) -> Message:
    """Return what a person asks as a message. Raises SessionError for one that cannot be sent."""
    user = Message.of("user", message) if isinstance(message, str) else message
    if user.role != "user" or not any(isinstance(part, FilePart) or user.text.strip() for part in user.parts):
        raise SessionError("refusal.nothing-to-send")
    for part in user.parts:
        if isinstance(part, FilePart) and part.url is not None and part.url.startswith(FILE_SCHEME):
            raise SessionError("refusal.only-a-hash")
    return user


class Attachments:
    """The files of one session, stored in `files`; in memory without it."""

    def __init__(self, files: Files | None) -> None:
        self._files = files
        self._in_memory: dict[str, FilePart] = {}

    async def stored(self, message: Message) -> Message:
        """Store the files of a message from outside; return it with each of them named by its content."""
        if self._files is not None:
            return await self._files.taken(message)
        if not any(isinstance(part, FilePart) for part in message.parts):
            return message
        by_hash = await asyncio.to_thread(by_content, message)
        for part, named in zip(message.parts, by_hash.parts, strict=True):
            if isinstance(part, FilePart) and isinstance(named, FilePart) and named.url is not None:
                self._in_memory[named.url] = part
        return by_hash

    async def to_send(self, messages: Sequence[Message]) -> tuple[Message, ...]:
        """Return stored messages as they are sent. Raises UnsupportedContent for a file that is gone."""
        if self._files is not None:
            return tuple([await self._files.given(message) for message in messages])
        return tuple(Message(one.role, tuple(self._part(part) for part in one.parts)) for one in messages)

    def _part(self, part: Part) -> Part:
        return self._in_memory.get(part.url or "", part) if isinstance(part, FilePart) else part
