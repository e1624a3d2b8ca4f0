"""Open pages: whose each is, what it shows, and the answers that run for it.

The event loop owns every page: all listeners run on it, and what runs for a page does too. Finding one is
under a lock, so that it may be asked for from any thread.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from chatlab.conversations.tree import Conversation, TurnNode, TurnSettings
from chatlab.errors import ChatlabError
from chatlab.ids import ConversationId, TurnId
from chatlab.web.chat.answering import RunningAnswer


@dataclass(slots=True)
class OpenPage:
    """One open page: whose it is, what it shows, and the answers that run for it, by their turns' ids.

    conversation_id: of the conversation in the store; None for one that is new, or in memory alone.
    last: the turn with which the branch ends that the page shows.
    view: how often the page has turned to something else; who showed what it was before shows no more.
    window: how many messages are painted, if not as many as the configuration says.
    window_end: the turn with which the window ends, if that is not `last`.
    newest_request: the number of the newest thing that the page's scripts asked to be shown.
    sent: what the page sent to have `last` answered.
    starting: how many answers are about to be among `running`.
    """

    owner: str | None = None
    conversation: Conversation = field(default_factory=Conversation)
    conversation_id: ConversationId | None = None
    last: TurnNode | None = None
    running: dict[TurnId, RunningAnswer] = field(default_factory=dict)
    view: int = 0
    window: int | None = None
    window_end: TurnId | None = None
    newest_request: int = 0
    closed: bool = False
    sent: Any = None
    starting: int = 0

    @contextmanager
    def place(self, most: int) -> Iterator[None]:
        """Take one of `most` places for running answers, until the answer is among them. Raise ChatlabError
        if there is none; nothing is awaited between seeing that and taking it."""
        if len(self.running) + self.starting >= most:
            raise ChatlabError(f"{most} answers of this page still run: wait for one, or stop one")
        self.starting += 1
        try:
            yield
        finally:
            self.starting -= 1

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
    def shown_answer(self) -> RunningAnswer | None:
        """Return the answer that runs where the page is."""
        return None if self.last is None else self.running.get(self.last.id)

    @property
    def settings(self) -> TurnSettings | None:
        """Return with what the branch that it shows was last asked; None where nobody knows."""
        node = self.last
        while node is not None and node.settings is None:
            node = self.conversation[node.parent] if node.parent is not None else None
        return None if node is None else node.settings

    @property
    def busy(self) -> bool:
        """Return whether anything runs for it, or is about to."""
        return bool(self.running) or self.starting > 0

    def close(self) -> None:
        """The page is gone: close the upstream of every running answer."""
        self.closed = True
        for answer in tuple(self.running.values()):
            answer.stop()

    async def stopped(self, *turns: TurnId) -> None:
        """Stop these turns' answers, by default that which the page shows, and wait until what had arrived is
        part of the conversation."""
        shown = (self.last.id,) if self.last is not None else ()
        for turn in turns or shown:
            if turn in self.running:
                await self.running[turn].stopped()


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
