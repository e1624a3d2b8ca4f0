"""A stored conversation that goes on in a terminal: what is asked there is saved as the pages save it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import click

from chatlab.cli.program import say
from chatlab.cli.transfer import NOBODY, chosen_owner, nothing_yet
from chatlab.conversations.saving import NewConversation
from chatlab.conversations.service import StorageService
from chatlab.conversations.tree import Conversation, TurnNode
from chatlab.conversations.turn_state import stored
from chatlab.ids import ConversationId
from chatlab.lab import Lab
from chatlab.messages import Message
from chatlab.store import StoredConversation, new_id
from chatlab.turns.turn import Turn


class StoredChat:
    """One conversation of the store. Use it in the event loop of its lab, which closes the storage."""

    def __init__(self, storage: StorageService, about: StoredConversation, turns: Conversation) -> None:
        self._storage = storage
        self._owner = about.owner
        self._id = about.id
        self._new = False
        self.title = about.title
        self.turns = turns
        self.last = about.head if about.head in turns else None
        """The turn that the next one follows."""

    @classmethod
    async def latest(cls, lab: Lab, owner: str | None) -> StoredChat:
        """Return the conversation that was last written to, of this owner or of the only one there is.

        Raises UsageError where there is none, StoreError where it cannot be read.
        """
        wanted = lab.config.storage if lab.config is not None else None
        if wanted is None:
            raise click.UsageError("no conversation is stored here: the configuration has storage: none")
        if await nothing_yet(wanted):
            raise click.UsageError("there is no stored conversation to go on with")
        storage = await lab.storage()
        assert storage is not None
        whose = await chosen_owner(storage.store, owner, new=False)
        found = (await storage.store.recent(whose, limit=200)).conversations  # pinned ones stand first
        if not found:
            raise click.UsageError(f"{NOBODY.partition(',')[0]}: there is none to go on with")
        about = max(found, key=lambda one: one.updated)
        nodes = map(TurnNode.of, await storage.store.turns(whose, about.id))
        return cls(storage, about, Conversation(nodes))

    @property
    def backend(self) -> str | None:
        """Return the name of the backend that answered last."""
        turn = self.turns[self.last].stored if self.last is not None else None
        return None if turn is None else turn.backend

    def begin_anew(self) -> None:
        """Have the next turn begin a conversation of its own."""
        self._id, self._new = ConversationId(new_id()), True
        self.turns, self.last, self.title = Conversation(), None, ""

    async def given(self, messages: Sequence[Message]) -> list[Message]:
        """Return the messages with the content of their stored attachments, to be sent."""
        return [await self._storage.files.given(message) for message in messages]

    async def saved(
        self,
        node: TurnNode,
        turn: Turn,
        answering: Callable[[], Awaitable[int]],
        *,
        parameters: Mapping[str, Any],
        system: str | None,
    ) -> int:
        """Return what `answering`, which runs the turn, comes to; the turn is stored before and after it."""
        saving = self._storage.saving
        user = await self._storage.files.taken(node.user)
        begun = stored(
            *(node.id, self._owner, self._id, node.parent, user, turn),
            parameters=parameters,
            system=system,
        )
        await saving.begin(begun, turn, NewConversation() if self._new else None)
        self._new = False
        try:
            return await answering()
        finally:
            saving.end(begun, turn)
            await saving.written(begun.id)
            reason = saving.unsaved(begun.id)
            if reason is not None:
                say(f"this answer is not saved: {reason}")
