"""An answer that runs, whether its page shows it or another conversation.

It has a task of its own, which reads the turn, has it painted, and has it saved at its end. Whoever shows it
looks on; nothing of it is lost while nobody does.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any, Protocol

from chatlab.conversations.tree import Conversation, TurnNode
from chatlab.errors import ChatlabError
from chatlab.messages import StreamEvent
from chatlab.store import StoredTurn
from chatlab.turns.turn import Turn


class Painting(Protocol):
    """Says how an answer looks at any moment."""

    mark: str

    def add(self, event: StreamEvent) -> None: ...

    def messages(
        self, turn: Turn | StoredTurn, error: str | None = None, unsaved: str | None = None
    ) -> list[dict[str, Any]]: ...

    def settled(self, turn: Turn, error: str | None, unsaved: str | None) -> list[Any]: ...


class SavesTurn(Protocol):
    """Has a turn saved while it runs."""

    def end(self, error: str | None) -> StoredTurn: ...

    async def unsaved(self) -> str | None: ...


class RunningAnswer:
    """One turn of a conversation whose answer runs.

    conversation: the one it is part of, and conversation_id: that one's id in the store, whatever the page
    shows meanwhile. worded: what a person reads of an error.
    """

    def __init__(
        self,
        node: TurnNode,
        conversation: Conversation,
        conversation_id: str | None,
        turn: Turn,
        painting: Painting,
        saved: SavesTurn | None,
        worded: Callable[[ChatlabError], str],
    ) -> None:
        self.node = node
        self.conversation = conversation
        self.conversation_id = conversation_id
        self.over = False
        self.watched: int | None = None
        """The page's `view` that shows it, or did last."""
        self._turn = turn
        self._painting = painting
        self._saved = saved
        self._worded = worded
        self._error: str | None = None
        self._unsaved: str | None = None
        self._news = asyncio.Event()
        self._changes = 0
        self._ended = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self, pace: Callable[[], float], over: Callable[[], object]) -> None:
        """Call the backend. pace: seconds between two paints; over: called when nothing runs any more."""
        await self._turn.__aenter__()
        self._task = asyncio.create_task(self._run(pace), name=f"answer {self.node.id}")
        self._task.add_done_callback(lambda _: over())

    def stop(self) -> None:
        """End the turn and its upstream connection now."""
        self._turn.stop()

    async def stopped(self) -> None:
        """End the turn and wait until what had arrived is part of the conversation."""
        self.stop()
        await self._ended.wait()

    def painted(self, mark: str) -> list[dict[str, Any]]:
        """Return how it looks now. mark: what page scripts are told of it, from now on."""
        self._painting.mark = mark
        return self._painting.messages(self._turn, self._error, self._unsaved)

    async def paints(
        self, shown: Callable[[], bool], *, at_once: bool = False
    ) -> AsyncGenerator[list[dict[str, Any]], None]:
        """Yield how it looks: at the first token, then as often as the pace allows, and at its end, as long
        as it is shown. at_once: as it is now, too."""
        seen = -1 if at_once else 0
        while shown():
            if self._changes != seen:
                seen = self._changes
                yield self._painting.messages(self._turn, self._error, self._unsaved)
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

    async def _run(self, pace: Callable[[], float]) -> None:
        try:
            try:
                async with aclosing(self._turn.batches()) as batches:
                    async for batch in batches:
                        for event in batch:
                            self._painting.add(event)
                        self._changed()
                        await self._turn.pause(pace())
            except ChatlabError as exc:
                self._error = self._worded(exc)
            finally:
                await self._turn.aclose()
                self._settle()
            if self._saved is not None:
                self._unsaved = await self._saved.unsaved()
                if self._unsaved is not None:
                    self._paint_for_good()
        finally:
            self.over = True
            self._ended.set()
            self.wake()

    def _settle(self) -> None:
        for event in self._turn.take():
            self._painting.add(event)
        self.node.answer = self._turn.answer.parts
        if self._saved is not None:
            self.node.stored = self._saved.end(self._error)
        self._paint_for_good()
        self._ended.set()

    def _paint_for_good(self) -> None:
        self.node.painted = self._painting.settled(self._turn, self._error, self._unsaved)
        self.node.mark = self._painting.mark
        self._changed()
