"""Open pages: whose each is, what it shows, the answers that run for it, and what an owner's pages share.

The event loop owns every page: all listeners run on it, and what runs for a page does too. Finding one is
under a lock, so that it may be asked for from any thread.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import OrderedDict
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from chatlab.conversations.tree import Conversation, TurnNode, TurnSettings
from chatlab.ids import ConversationId, TurnId
from chatlab.secret import scrubbed_traceback
from chatlab.store import Store
from chatlab.web.chat.elsewhere import AnswerElsewhere
from chatlab.web.chat.shown_answer import ShownAnswer
from chatlab.words import ENGLISH, WordedError, Words

log = logging.getLogger(__name__)

_Answer = TypeVar("_Answer", bound=ShownAnswer)


@dataclass(slots=True, eq=False)
class OpenPage:
    """One open page: whose it is, what it shows, and the answers that run for it, by their turns' ids.

    conversation_id: of the conversation in the store; None for one that is new, or in memory alone.
    last: the turn with which the branch ends that the page shows.
    view: how often the page has turned to something else; who showed what it was before shows no more.
    window: how many messages are painted, if not as many as the configuration says.
    window_end: the turn with which the window ends, if that is not `last`.
    newest_request: the number of the newest thing that the page's scripts asked to be shown.
    watching: the turn whose answer the page's scripts are told of as it grows, and of which view.
    sent: what the page sent to have `last` answered.
    starting: how many answers are about to be among `running`.
    beginning: those whose message is being committed, by their turns' ids: a stop waits for them.
    turning: held while a message is taken from it, and while it turns to something else: either is whole
    before the other begins.
    """

    owner: str | None = None
    conversation: Conversation = field(default_factory=Conversation)
    conversation_id: ConversationId | None = None
    last: TurnNode | None = None
    running: dict[TurnId, ShownAnswer] = field(default_factory=dict)
    view: int = 0
    window: int | None = None
    window_end: TurnId | None = None
    newest_request: int = 0
    closed: bool = False
    watching: tuple[TurnId, int] | None = None
    sent: Any = None
    starting: int = 0
    beginning: dict[TurnId, asyncio.Task[Any]] = field(default_factory=dict)
    turning: asyncio.Lock = field(default_factory=asyncio.Lock)

    def hold(self, answer: ShownAnswer) -> None:
        """Have an answer run for this page: it goes on at least as long as the page is open."""
        if answer.over:
            return
        self.running[answer.node.id] = answer
        answer.hold(self)
        if self.closed:
            answer.release(self)

    def ended(self, answer: ShownAnswer) -> None:
        """One of its answers runs no more."""
        self.running.pop(answer.node.id, None)

    @contextmanager
    def place(self, most: int) -> Iterator[None]:
        """Take one of `most` places for running answers, until the answer is among them. Raise WordedError
        if there is none; nothing is awaited between seeing that and taking it."""
        if len(self.running) + self.starting >= most:
            raise WordedError("refusal.too-many", most=most)
        self.starting += 1
        try:
            yield
        finally:
            self.starting -= 1

    async def begun(self, turn: TurnId, beginning: Coroutine[Any, Any, _Answer]) -> _Answer:
        """Return an answer that begins. Who is cancelled meanwhile, by a stop or a lost connection, does not
        leave a message that is shown and neither stored nor answered: it begins, and `stopped` waits for it.
        """
        task = self.beginning[turn] = asyncio.create_task(beginning)
        task.add_done_callback(lambda _: self.beginning.pop(turn))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(_log_failure)
            raise

    def show(
        self,
        conversation: Conversation,
        conversation_id: ConversationId | None = None,
        last: TurnNode | None = None,
    ) -> None:
        """Turn to another conversation; by default to a new one."""
        self.conversation, self.conversation_id, self.last = conversation, conversation_id, last
        self.window = self.window_end = self.sent = None
        self.change_view()

    def change_view(self) -> None:
        """The page shows something else from now on. What runs goes on; whoever showed it ends."""
        self.view += 1
        for answer in self.running.values():
            answer.wake()

    @property
    def shown_answer(self) -> ShownAnswer | None:
        """Return the answer that runs where the page is."""
        return None if self.last is None else self.running.get(self.last.id)

    @property
    def settings(self) -> TurnSettings | None:
        """Return with what the branch that it shows was last asked; None where nobody knows."""
        node = self.last
        while node is not None and node.settings is None:
            node = self.conversation[node.parent] if node.parent is not None else None
        return None if node is None else node.settings

    def went_on(self, shared: SharedConversations) -> TurnId | None:
        """Return the turn that was asked last in its conversation, if the page does not know of it."""
        if self.owner is None or self.conversation_id is None:
            return None
        newest = shared.newest(self.owner, self.conversation_id)
        return None if newest in self.conversation else newest

    @property
    def busy(self) -> bool:
        """Return whether anything runs for it, or is about to."""
        return bool(self.running) or self.starting > 0

    @property
    def watched(self) -> bool:
        """Return whether the page's scripts are told of the answer that runs where it is."""
        return self.last is not None and self.watching == (self.last.id, self.view)

    def close(self) -> None:
        """The page is gone, and waits for nothing any more."""
        self.closed = True
        for answer in tuple(self.running.values()):
            answer.release(self)
        self.change_view()

    async def stopped(self, *turns: TurnId) -> None:
        """Stop these turns' answers, by default that which the page shows, and wait until what had arrived is
        part of the conversation."""
        shown = (self.last.id,) if self.last is not None else ()
        for turn in turns or shown:
            if turn in self.beginning:
                await asyncio.wait([self.beginning[turn]])
            if turn in self.running:
                await self.running[turn].stopped()


def _log_failure(task: asyncio.Task[Any]) -> None:
    if not task.cancelled() and (exc := task.exception()) is not None:
        log.error("an answer that nobody waits for did not begin\n%s", scrubbed_traceback(exc))


class OpenPages:
    """The open pages by session hash and owner: who knows the hash of somebody else's page still has a page
    of their own. The oldest idle ones go when there are too many."""

    def __init__(self, most: int = 5_000) -> None:
        self._lock = threading.Lock()
        self._open: dict[tuple[str, str | None], OpenPage] = {}
        self._most = most

    def get(self, session_hash: str | None, owner: str | None = None) -> OpenPage:
        """Return a page's state, made when first asked for. A client without a hash gets a new one each
        time."""
        if not session_hash:
            return OpenPage(owner)
        with self._lock:
            page = self._open.pop((session_hash, owner), None) or OpenPage(owner)
            self._open[session_hash, owner] = page  # last again: the dict's order is that of use
            if len(self._open) > self._most:
                idle = (one for one, candidate in self._open.items() if not candidate.busy)
                oldest = next(idle, None)
                if oldest is not None and oldest != (session_hash, owner):
                    del self._open[oldest]
        return page

    def close(self, session_hash: str | None, owner: str | None = None) -> None:
        """The page was closed: its turns end, what it held is forgotten."""
        with self._lock:
            page = self._open.pop((session_hash or "", owner), None)
        if page is not None:
            page.close()

    def __len__(self) -> int:
        return len(self._open)


class SharedConversations:
    """Tells the open pages of one owner of each other: the answers that run, and with which turn each
    conversation went on last. Of stored conversations alone; the event loop owns it.

    most: conversations that are remembered, those first forgotten in which nobody asked for longest.
    """

    def __init__(self, most: int = 10_000, words: Words = ENGLISH) -> None:
        self._words = words
        self._running: dict[tuple[str, ConversationId], dict[TurnId, ShownAnswer]] = {}
        self._newest: OrderedDict[tuple[str, ConversationId], TurnId] = OrderedDict()
        self._most = most

    def began(self, owner: str, conversation_id: ConversationId, answer: ShownAnswer) -> None:
        """Note that an answer begins to run, to be told by `ended` when it does no more."""
        where = (owner, conversation_id)
        self._running.setdefault(where, {})[answer.node.id] = answer
        self._newest[where] = answer.node.id
        self._newest.move_to_end(where)
        if len(self._newest) > self._most:
            self._newest.popitem(last=False)

    def look_on(
        self, store: Store, owner: str, conversation_id: ConversationId, conversation: Conversation
    ) -> None:
        """Note what the store says that it runs, and does not run here: another server has it."""
        where = (owner, conversation_id)
        for node in conversation:
            known = node.id in self._running.get(where, {})
            if not known and node.stored is not None and node.stored.status == "running":
                self._running.setdefault(where, {})[node.id] = AnswerElsewhere(
                    *(store, node, conversation, conversation_id, self._words),
                    lambda answer: self.ended(owner, conversation_id, answer),
                )

    def ended(self, owner: str, conversation_id: ConversationId, answer: ShownAnswer) -> None:
        """Forget an answer that ran."""
        running = self._running.get((owner, conversation_id), {})
        if running.get(answer.node.id) is answer:
            del running[answer.node.id]
        if not running:
            self._running.pop((owner, conversation_id), None)

    def running(self, owner: str, conversation_id: ConversationId) -> tuple[ShownAnswer, ...]:
        """Return the answers that run in a conversation of an owner."""
        return tuple(self._running.get((owner, conversation_id), {}).values())

    def newest(self, owner: str, conversation_id: ConversationId) -> TurnId | None:
        """Return the turn that was asked last in a conversation; None if nobody knows."""
        return self._newest.get((owner, conversation_id))
