"""The record of a comparison session: its events, the state they come to, its turns and its receipts.

It belongs to the event loop: nothing here may be called from a worker thread. Whoever changes it does so
through `Serial`, one change after the other.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from chatlab.compare.session.events import SessionEvent, TurnPosition, event_to_data
from chatlab.compare.session.lanes import lost
from chatlab.compare.session.receipt_book import ReceiptBook
from chatlab.compare.session.reduce import reduce, reduce_log
from chatlab.compare.session.running import News
from chatlab.compare.session.state import SessionState
from chatlab.ids import ConversationId, TurnId
from chatlab.store import Conflict, LogEntry, Store, StoredTurn, new_id, now


class SessionRecord:
    """The record of one session, in the store or, without one, in memory only.

    state: frozen; replaced by each change. turns: those that have ended, copies, and those
    that other servers run. ended_here: turns whose end is known before the store has it. news: told of
    changes.
    """

    def __init__(self, session_id: str, owner: str, store: Store | None, news: News) -> None:
        self.id = session_id
        self.owner = owner
        self.store = store
        self.state = SessionState()
        self.turns: dict[TurnId, StoredTurn] = {}
        self.ended_here: set[TurnId] = set()
        self.receipts = ReceiptBook(store, owner)
        self._news = news

    async def append(self, *events: SessionEvent) -> None:
        """Append events to the log, from which moment on they are so.

        Raises SessionError for one that cannot follow, so that nothing is written that could not be read
        again, Conflict if somebody else wrote meanwhile, and StoreError.
        """
        state = self.state
        for event in events:
            state = reduce(state, event)
        data = [event_to_data(event) for event in events]
        logged: Sequence[LogEntry]
        if self.store is None:
            logged = [LogEntry(self.state.seq + number, now(), item) for number, item in enumerate(data, 1)]
        else:
            try:
                logged = await self.store.append(self.owner, self.id, self.state.seq, data)
            except Conflict as exc:
                await self.refresh()
                raise Conflict("refusal.changed-elsewhere") from exc
        self.state = reduce_log(logged, self.state)
        self._news.state()

    async def refresh(self, running: Collection[TurnId] = ()) -> None:
        """Read what the store has of the session and this object has not; running: turns to leave alone."""
        assert self.store is not None
        state = reduce_log(await self.store.log(self.owner, self.id, after=self.state.seq), self.state)
        for conversation in set(state.conversations.values()):
            for turn in await self.store.turns(self.owner, conversation):
                late = turn.id in self.ended_here and turn.status in ("running", "interrupted")
                if turn.id not in running and not late:
                    self.turns[turn.id] = turn
        for position in state.positions.values():
            if position.turn not in self.turns and position.turn not in running:
                self.turns[position.turn] = lost(state, position, self.owner)
        await self.receipts.read(state.positions)
        self.state = state
        self._news.state()

    async def new_conversation(self) -> ConversationId:
        """Make a conversation for a lane and return its id. Raises StoreError."""
        if self.store is None:
            return ConversationId(new_id())
        return (await self.store.create(self.owner, comparison=self.id)).id

    async def add_copies(self, made: Sequence[tuple[TurnPosition, StoredTurn]]) -> tuple[TurnPosition, ...]:
        """Store copies of turns, before the log names them; return their positions. Raises StoreError."""
        if made and self.store is not None:
            await self.store.save([copy for _, copy in made])
        self.turns.update({position.turn: copy for position, copy in made})
        return tuple(position for position, _ in made)
