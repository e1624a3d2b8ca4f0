"""An answer that runs on another server of the same database, or in another program that uses it.

It is read from the store whenever the other server tells of news, and every few seconds in case one was lost,
for as long as a page here shows it. Its end, and that of a server that died, is in the store too.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from time import monotonic
from typing import Any

from chatlab.conversations.tree import Conversation, TurnNode
from chatlab.errors import StoreError
from chatlab.ids import ConversationId
from chatlab.secret import scrub
from chatlab.store import NotStored, Store, StoredTurn
from chatlab.store.replicas import LOOKS_ON, wait_for_any
from chatlab.web.chat.paint import paint_stored
from chatlab.web.chat.paint_messages import settled
from chatlab.web.chat.shown_answer import Holder, ShownAnswer
from chatlab.words import Words

log = logging.getLogger(__name__)

_COMES_BACK = 5.0  # seconds in which a page that left an answer may ask for it again, or have it stopped


class AnswerElsewhere(ShownAnswer):
    """One turn whose answer runs on another server. over: called when it does no more, or nobody looks on."""

    def __init__(
        self,
        store: Store,
        node: TurnNode,
        conversation: Conversation,
        conversation_id: ConversationId,
        words: Words,
        over: Callable[[AnswerElsewhere], object],
    ) -> None:
        super().__init__(node, conversation, conversation_id)
        assert node.stored is not None
        self._store = store
        self._turn: StoredTurn = node.stored
        self._words = words
        self._mark = ""
        self._stops = False
        self._leaving: asyncio.TimerHandle | None = None
        self._look = asyncio.Event()  # there is something to do before the other server tells of any
        self._task = asyncio.create_task(self._run(), name=f"answer {node.id} elsewhere")
        self._task.add_done_callback(lambda _: over(self))

    def stop(self) -> None:
        self._stops = True
        self._look.set()

    def painted(self, mark: str) -> list[dict[str, Any]]:
        self._mark = mark
        return self._messages()

    def _messages(self) -> list[dict[str, Any]]:
        return paint_stored(self._turn, self._mark, self._words)

    def hold(self, page: Holder) -> None:
        super().hold(page)
        if self._leaving is not None:
            self._leaving.cancel()
            self._leaving = None

    def _nobody_looks(self) -> None:
        """Look no more, if nobody comes back at once: who stops an answer leaves it first."""
        if self._leaving is None:
            self._leaving = asyncio.get_running_loop().call_later(_COMES_BACK, self._task.cancel)

    async def _run(self) -> None:
        looked_on = -LOOKS_ON
        try:
            with self._store.replicas.news(self.node.id) as news:
                while self._turn.status == "running":
                    try:
                        if self._stops:
                            await self._store.replicas.ask_to_stop(self._turn.owner, [self.node.id])
                        elif monotonic() - looked_on > LOOKS_ON / 3:
                            looked_on = monotonic()
                            await self._store.replicas.look_on(self._turn.owner, [self.node.id])
                        self._take(await self._store.turn(self._turn.owner, self.node.id))
                    except NotStored:
                        return  # it was deleted
                    except StoreError as exc:
                        log.warning("an answer of another server is not seen: %s", scrub(str(exc)))
                    await self._wait(news)
        finally:
            if self._leaving is not None:
                self._leaving.cancel()
            self._finish()

    async def _wait(self, news: asyncio.Event) -> None:
        if self._turn.status != "running":
            return
        await wait_for_any(news, self._look, seconds=self._store.replicas.patience)
        news.clear()
        self._look.clear()

    def _take(self, turn: StoredTurn) -> None:
        if turn == self._turn:
            return
        self._turn = self.node.stored = turn
        self.node.answer = turn.answer
        if turn.status != "running":
            self.node.painted = [settled(message) for message in self._messages()]
            self.node.mark = self._mark
        self._changed()
