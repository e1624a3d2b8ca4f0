"""An answer that runs here, whether its page shows it or another conversation.

It has a task of its own, which reads the turn, has it painted, and has it saved at its end. Whoever shows it
looks on; nothing of it is lost while nobody does. Once no page is open any more that could come back to it,
it goes on for a stated time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import aclosing
from typing import Any, Protocol

from chatlab.conversations.tree import Conversation, TurnNode
from chatlab.ids import ConversationId
from chatlab.messages import StreamEvent
from chatlab.secret import scrubbed_traceback
from chatlab.store import StoredTurn
from chatlab.turns.turn import Turn
from chatlab.web.chat.pacing import Pacing
from chatlab.web.chat.paint_messages import paint_plainly
from chatlab.web.chat.shown_answer import Holder, ShownAnswer
from chatlab.words import ENGLISH, Words

log = logging.getLogger(__name__)


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

    def looked_on(self) -> bool: ...


class RunningAnswer(ShownAnswer):
    """One turn of a conversation whose answer runs.

    conversation: the one it is part of, and conversation_id: that one's id in the store, whatever the page
    shows meanwhile. worded: what a person reads of an error; it logs what only the log has. orphan_seconds:
    how long it goes on without a page.

    Whatever raises, also in painting, pacing or saving, ends the answer as failed, with what had arrived and
    a sentence.
    """

    def __init__(
        self,
        node: TurnNode,
        conversation: Conversation,
        conversation_id: ConversationId | None,
        turn: Turn,
        painting: Painting,
        saved: SavesTurn | None,
        worded: Callable[[Exception], str],
        orphan_seconds: float = 0.0,
        words: Words = ENGLISH,
    ) -> None:
        super().__init__(node, conversation, conversation_id)
        self._words = words
        self._turn = turn
        self._painting = painting
        self._saved = saved
        self._worded = worded
        self._error: str | None = None
        self._plain: str | None = None
        """The sentence that says why it is no longer painted as it should be."""
        self._unsaved: str | None = None
        self._painted: tuple[tuple[int, str] | None, list[dict[str, Any]]] = None, []
        self._task: asyncio.Task[None] | None = None
        self._orphan_seconds = orphan_seconds
        self._stopping: asyncio.TimerHandle | None = None

    async def start(self, pacing: Pacing, over: Callable[[], object]) -> None:
        """Call the backend. pacing: how often it is painted; over: called when nothing runs any more."""
        await self._turn.__aenter__()
        self._task = asyncio.create_task(self._run(pacing), name=f"answer {self.node.id}")
        self._task.add_done_callback(lambda task: self._done(task, over))

    def _done(self, task: asyncio.Task[None], over: Callable[[], object]) -> None:
        over()
        if not task.cancelled() and (exc := task.exception()) is not None:
            log.error("%s did not end as it should\n%s", task.get_name(), scrubbed_traceback(exc))

    def stop(self) -> None:
        """End the turn and its upstream connection now."""
        self._turn.stop()

    def hold(self, page: Holder) -> None:
        super().hold(page)
        if self._stopping is not None:
            self._stopping.cancel()
            self._stopping = None

    def _nobody_looks(self) -> None:
        """Stop it, unless somebody comes in time."""
        if self._stopping is not None:
            return
        if self._orphan_seconds:
            loop = asyncio.get_running_loop()
            self._stopping = loop.call_later(self._orphan_seconds, self._stop_unless_seen)
        else:
            self.stop()

    def _stop_unless_seen(self) -> None:
        self._stopping = None
        if self._saved is not None and self._saved.looked_on():
            self._nobody_looks()  # on this server: a page of another one shows it
        else:
            self.stop()

    def painted(self, mark: str) -> list[dict[str, Any]]:
        """Return how it looks now. mark: what page scripts are told of it, from now on."""
        self._painting.mark = mark
        return self._messages()

    def _messages(self) -> list[dict[str, Any]]:
        now = self._changes, self._painting.mark
        if self._plain is None and self._painted[0] == now:
            return self._painted[1]  # for another page
        if self._plain is None:
            try:
                self._painted = now, self._painting.messages(self._turn, self._error, self._unsaved)
                return self._painted[1]
            except Exception as exc:  # noqa: BLE001 - who looks on must not end by it
                self._fail(exc)
                self.stop()
        told = (text and self._words.translated(text) for text in (self._plain, self._unsaved))
        return paint_plainly(self.node.id, self._turn.answer.message.text, *told)

    def _fail(self, exc: Exception) -> None:
        """Painting cannot go on: from now on the answer is shown plainly, with a sentence."""
        if self._plain is None:
            self._plain = self._error = self._worded(exc)

    async def _run(self, pacing: Pacing) -> None:
        try:
            await self._read(pacing)
        finally:
            try:
                await self._turn.aclose()
                self._settle()
                await self._see_whether_saved()
            finally:
                if self._stopping is not None:
                    self._stopping.cancel()
                self._finish()

    async def _read(self, pacing: Pacing) -> None:
        try:
            async with aclosing(self._turn.batches()) as batches:
                async for batch in batches:
                    for event in batch:
                        self._painting.add(event)
                    if self._turn.outcome == "running":  # else it is painted for good in a moment
                        self._changed()
                    await pacing.pause(self._turn)
        except Exception as exc:  # noqa: BLE001 - whatever it is, the answer ends with what had arrived
            if exc is self._turn.error:
                self._error = self._worded(exc)
            else:
                self._fail(exc)

    def _settle(self) -> None:
        """Make what had arrived part of the conversation, paint it for good, and have it written."""
        self.node.answer = self._turn.answer.parts
        try:
            for event in self._turn.take():
                self._painting.add(event)
        except Exception as exc:  # noqa: BLE001
            self._fail(exc)
        self._paint_for_good()
        if self._saved is not None:
            try:
                self.node.stored = self._saved.end(self._error)
            except Exception as exc:  # noqa: BLE001
                self._not_saved(exc)
                self._paint_for_good()
        self._ended.set()

    async def _see_whether_saved(self) -> None:
        if self._saved is None:
            return
        try:
            unsaved = await self._saved.unsaved()
        except Exception as exc:  # noqa: BLE001
            self._not_saved(exc)
        else:
            self._unsaved = self._unsaved or unsaved
        if self._unsaved is not None:
            self._paint_for_good()

    def _not_saved(self, exc: Exception) -> None:
        self._unsaved = ENGLISH("notice.not-saved", reason=self._worded(exc))

    def _paint_for_good(self) -> None:
        painted: list[Any] | None = None
        if self._plain is None:
            try:
                painted = self._painting.settled(self._turn, self._error, self._unsaved)
            except Exception as exc:  # noqa: BLE001
                self._fail(exc)
        if painted is None:
            self._turn.outcome = "failed"
            painted = self._messages()
        self.node.painted = painted
        self.node.mark = self._painting.mark
        self._changed()
