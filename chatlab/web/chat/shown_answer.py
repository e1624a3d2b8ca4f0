"""An answer that runs, as the pages that show it know it, wherever it runs."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable
from typing import Any, Protocol

from chatlab.conversations.tree import Conversation, TurnNode
from chatlab.ids import ConversationId


class Holder(Protocol):
    """A page that shows an answer, or may come back to it."""

    def ended(self, answer: ShownAnswer) -> None:
        """The answer runs no more."""


class ShownAnswer(ABC):
    """An answer that grows until it is `over`, and looks at any moment as `painted` says.

    conversation: the one it is part of, and conversation_id: that one's id in the store, whatever the page
    shows meanwhile.
    """

    def __init__(
        self, node: TurnNode, conversation: Conversation, conversation_id: ConversationId | None
    ) -> None:
        self.node = node
        self.conversation = conversation
        self.conversation_id = conversation_id
        self.over = False
        self._news = asyncio.Event()
        self._changes = 0
        self._ended = asyncio.Event()
        self._known_to: set[Holder] = set()
        self._held_by: set[Holder] = set()

    @abstractmethod
    def stop(self) -> None:
        """End the turn and its upstream connection now."""

    @abstractmethod
    def painted(self, mark: str) -> list[dict[str, Any]]:
        """Return how it looks now. mark: what page scripts are told of it, from now on."""

    @abstractmethod
    def _messages(self) -> list[dict[str, Any]]:
        """Return how it looks now."""

    @abstractmethod
    def _nobody_looks(self) -> None:
        """Decide what becomes of it, as no page holds it any more."""

    def hold(self, page: Holder) -> None:
        """An open page shows it, or may come back to it; it is told of the end."""
        self._known_to.add(page)
        self._held_by.add(page)

    def release(self, page: Holder) -> None:
        """A page that held it is gone."""
        self._held_by.discard(page)
        if not self._held_by and not self.over:
            self._nobody_looks()

    async def stopped(self) -> None:
        """End the turn and wait until what had arrived is part of the conversation."""
        self.stop()
        await self._ended.wait()

    async def paints(
        self, shown: Callable[[], bool], *, at_once: bool = False
    ) -> AsyncGenerator[list[dict[str, Any]], None]:
        """Yield how it looks: at the first token, then as often as the pace allows, and at its end, as long
        as it is shown. at_once: as it is now, too."""
        seen = -1 if at_once else 0
        while shown():
            if self._changes != seen:
                seen = self._changes
                yield self._messages()
            elif self.over:
                return
            else:
                await self._news.wait()

    def wake(self) -> None:
        """Have whoever looks on see whether it is still shown."""
        self._news.set()
        self._news = asyncio.Event()

    def _changed(self) -> None:
        self._changes += 1
        self.wake()

    def _finish(self) -> None:
        """It runs no more: tell all that know of it."""
        self.over = True
        for page in self._known_to:
            page.ended(self)
        self._known_to.clear()
        self._held_by.clear()
        self._ended.set()
        self.wake()
