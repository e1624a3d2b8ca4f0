"""What the chat page keeps: attachments checked and taken, turns saved as they run, conversations opened."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from chatlab.conversations.saving import NewConversation, stored
from chatlab.conversations.service import Kept
from chatlab.conversations.tree import Conversation, Exchange
from chatlab.errors import UnsupportedContent
from chatlab.messages import FilePart, Message, Notice, Part, TextPart
from chatlab.store import NotStored, StoredTurn, new_id
from chatlab.store.check import Limits, check
from chatlab.turns.turn import Turn
from chatlab.web.chat.answering import Answering
from chatlab.web.chat.pages import Session


async def checked(message: Message, limits: Limits) -> Message:
    """The message with each file's media type as its content says. Raises UnsupportedContent."""
    return Message(message.role, tuple([await _checked(part, limits) for part in message.parts]))


async def _checked(part: Part, limits: Limits) -> Part:
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


def edited(message: Message, text: str) -> Message:
    """The message with another text and the same files."""
    files = [part for part in message.parts if isinstance(part, FilePart)]
    return Message(message.role, (*files, *([TextPart(text)] if text else [])))


async def sendable(kept: Kept | None, messages: Sequence[Message]) -> tuple[Message, ...]:
    """The messages as a backend takes them. Raises UnsupportedContent for an attachment that is gone."""
    if kept is None:
        for part in (part for message in messages for part in message.parts):
            if isinstance(part, FilePart) and part.path is not None and not part.path.exists():
                name = part.name or "an attachment"
                raise UnsupportedContent(f"{name} is not here any more: begin a new chat and attach it again")
        return tuple(messages)
    return tuple(
        [
            await kept.files.given(message)
            if any(isinstance(part, FilePart) for part in message.parts)
            else message
            for message in messages
        ]
    )


async def lent(kept: Kept, message: Message, folder: Path) -> list[Path]:
    """Copies of a message's attachments below a folder, as if they had just been uploaded there."""
    copies = []
    for part in (await kept.files.given(message)).parts:
        if isinstance(part, FilePart) and part.path is not None:
            copy = folder / new_id() / (Path(part.name).name if part.name else "attachment")
            await asyncio.to_thread(copy.parent.mkdir, parents=True)
            await asyncio.to_thread(shutil.copyfile, part.path, copy)
            copies.append(copy)
    return copies


@dataclass(frozen=True, slots=True)
class Running:
    """A turn of the page that is saved while it runs."""

    kept: Kept
    begun: StoredTurn
    turn: Turn

    def end(self, error: str | None) -> StoredTurn:
        """The turn as it ended, which is written at once. error: the sentence the person read."""
        return self.kept.saving.end(self.begun, self.turn, error)

    async def unsaved(self) -> str | None:
        """Why it is not saved, as a sentence for the page, once that is known."""
        await self.kept.saving.written(self.begun.id)
        return self.kept.saving.unsaved(self.begun.id)


async def begin(
    kept: Kept,
    session: Session,
    exchange: Exchange,
    turn: Turn,
    *,
    parameters: Mapping[str, Any],
    system: str | None,
    notices: Sequence[Notice],
) -> Running:
    """Commits the person's message, before its backend is called; the first one makes the conversation.

    notices: what the page says of the turn, beside what the turn itself will say.
    """
    assert session.owner is not None
    new = None
    if session.kept is None:
        session.kept, new = new_id(), NewConversation()
    begun = stored(
        exchange.id,
        session.owner,
        session.kept,
        exchange.parent,
        exchange.user,
        turn,
        parameters=parameters,
        system=system,
    )
    running = Running(kept, replace(begun, notices=tuple(notices)), turn)
    exchange.kept = True
    await kept.saving.begin(running.begun, turn, new)
    return running


async def opened(
    kept: Kept, owner: str, id: str, turn: str | None = None, *, running: Iterable[Answering] = ()
) -> tuple[Conversation, Exchange | None]:
    """A conversation, and the last exchange of the branch that was last shown, or of that which a turn is on.

    running: the page's own answers that run; of their exchanges the page knows more than the store.
    Raises NotStored for one that is not the owner's.
    """
    head = (await kept.store.get(owner, id)).head
    conversation = Conversation(Exchange.of(one) for one in await kept.store.turns(owner, id))
    for answering in running:
        if answering.kept == id:
            for exchange in answering.conversation:
                if exchange is answering.exchange or exchange.id not in conversation:
                    conversation.add(exchange)
    last = conversation[head] if head is not None and head in conversation else None
    if turn is not None and turn in conversation:
        shown = {exchange.id for exchange in conversation.path(head)}
        if turn not in shown:
            last = conversation.end(turn)
    return conversation, last


async def found(kept: Kept, session: Session, turn: str) -> bool:
    """Whether a turn is one of the owner's. If so, its conversation is what the session shows from now on."""
    assert session.owner is not None
    try:
        id = (await kept.store.turn(session.owner, turn)).conversation
        conversation, _ = await opened(kept, session.owner, id, running=session.running.values())
    except NotStored:
        return False
    session.show(conversation, id)
    return True
