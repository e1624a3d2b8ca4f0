"""The chat page's turns and the store: turns are saved as they run, and conversations are opened."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from chatlab.backend import CallContext
from chatlab.conversations.saving import NewConversation
from chatlab.conversations.service import StorageService
from chatlab.conversations.tree import Conversation, TurnNode
from chatlab.conversations.turn_state import stored
from chatlab.errors import StoreError
from chatlab.ids import ConversationId, TurnId
from chatlab.messages import FilePart, Message, Notice
from chatlab.store import NotStored, StoredTurn, new_id
from chatlab.turns.turn import Turn
from chatlab.web.chat.pages import OpenPage, SharedConversations


async def lent(storage: StorageService, message: Message, folder: Path) -> list[Path]:
    """Return copies of a message's attachments below a folder, as if they had just been uploaded there."""
    copies = []
    for part in (await storage.files.given(message)).parts:
        if isinstance(part, FilePart) and part.path is not None:
            copy = folder / new_id() / (Path(part.name).name if part.name else "attachment")
            await asyncio.to_thread(copy.parent.mkdir, parents=True)
            await asyncio.to_thread(shutil.copyfile, part.path, copy)
            copies.append(copy)
    return copies


@dataclass(frozen=True, slots=True)
class SavedTurn:
    """A turn of the page that is saved while it runs."""

    storage: StorageService
    begun: StoredTurn
    turn: Turn

    def end(self, error: str | None) -> StoredTurn:
        """Return the turn as it ended, which is written at once. error: the sentence the person read."""
        return self.storage.saving.end(self.begun, self.turn, error)

    async def unsaved(self) -> str | None:
        """Return why it is not saved, as a sentence for the page, once that is known."""
        await self.storage.saving.written(self.begun.id)
        return self.storage.saving.unsaved(self.begun.id)

    def looked_on(self) -> bool:
        """Return whether a page of another server shows it."""
        return self.storage.saving.looked_on(self.begun.id)


async def begin(
    storage: StorageService,
    page: OpenPage,
    node: TurnNode,
    turn: Turn,
    *,
    parameters: Mapping[str, Any],
    system: str | None,
    notices: Iterable[Notice],
    ctx: CallContext,
) -> SavedTurn:
    """Commit the person's message, before its backend is called; the first one makes the conversation.

    notices: what the page says of the turn, beside what the turn itself will say.
    """
    assert page.owner is not None
    new = None
    if page.conversation_id is None:
        page.conversation_id, new = ConversationId(new_id()), NewConversation()
    begun = stored(
        node.id,
        page.owner,
        page.conversation_id,
        node.parent,
        node.user,
        turn,
        parameters=parameters,
        system=system,
        ctx=ctx,
    )
    saved = SavedTurn(storage, replace(begun, notices=tuple(notices)), turn)
    node.in_store = True
    await storage.saving.begin(saved.begun, turn, new)
    return saved


async def opened(
    storage: StorageService,
    owner: str,
    conversation_id: ConversationId,
    turn: TurnId | None = None,
    *,
    shared: SharedConversations,
) -> tuple[Conversation, TurnNode | None]:
    """Return a conversation, and the last turn of the branch that was last shown, or of that which `turn` is
    on.

    shared: knows more than the store of the turns that run.
    Raise NotStored for one that is not the owner's.
    """
    running = dict.fromkeys(shared.running(owner, conversation_id))
    head = (await storage.store.get(owner, conversation_id)).head
    turns = await storage.store.turns(owner, conversation_id)
    conversation = Conversation(TurnNode.of(one) for one in turns)
    for answer in running | dict.fromkeys(shared.running(owner, conversation_id)):
        for node in answer.conversation:
            if node is answer.node or node.id not in conversation:
                conversation.add(node)
    last = conversation[head] if head is not None and head in conversation else None
    if turn is not None and turn in conversation:
        shown = {node.id for node in conversation.path(head)}
        if turn not in shown:
            last = conversation.end(turn)
    return conversation, last


async def found(storage: StorageService, page: OpenPage, turn: TurnId, shared: SharedConversations) -> bool:
    """Return whether a turn is one of the owner's. If so, its conversation is what the page shows from now
    on."""
    assert page.owner is not None
    try:
        conversation_id = (await storage.store.turn(page.owner, turn)).conversation
        conversation, _ = await opened(storage, page.owner, conversation_id, shared=shared)
    except NotStored:
        return False
    page.show(conversation, conversation_id)
    hold_running(storage, page, shared)
    return True


def hold_running(storage: StorageService, page: OpenPage, shared: SharedConversations) -> None:
    """Have a page hold all answers that run in the stored conversation which it shows, wherever they run."""
    assert page.owner is not None and page.conversation_id is not None
    shared.look_on(storage.store, page.owner, page.conversation_id, page.conversation)
    for answer in shared.running(page.owner, page.conversation_id):
        page.hold(answer)


async def went_on(
    storage: StorageService | None, page: OpenPage, shared: SharedConversations
) -> TurnId | None:
    """Return the turn that was asked last in a page's conversation, here or on another server, if the page
    does not know of it."""
    newest = page.went_on(shared)
    if newest is not None or storage is None or not storage.store.replicas.several:
        return newest
    if page.owner is None or page.conversation_id is None:
        return None
    try:
        head = (await storage.store.get(page.owner, page.conversation_id)).head
    except StoreError:
        return None  # whoever goes on there is told
    return None if head in page.conversation else head
