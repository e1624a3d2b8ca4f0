"""Comparison sessions of the JSONL that docs/export-format.md describes: out of the store and into it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from chatlab.codec import message_to_json
from chatlab.compare.model_json import receipt_from_json
from chatlab.compare.session.events import (
    Asked,
    SessionError,
    event_from_data,
    event_to_data,
    positions_of,
    with_ids,
)
from chatlab.compare.session.reduce import reduce_log
from chatlab.compare.session.state import SessionState
from chatlab.ids import ConversationId, TurnId
from chatlab.messages import Message
from chatlab.store import (
    Conflict,
    LogEntry,
    NotStored,
    Store,
    StoredComparison,
    StoredConversation,
    StoredTurn,
    WholeComparison,
    new_id,
)
from chatlab.store.files import Files
from chatlab.transfer.drafts import OwnFiles, require_tree
from chatlab.transfer.jsonl import (
    comparison_to_json,
    conversation_from_json,
    conversation_to_json,
    entry_from_json,
    entry_to_json,
    stored_receipt_from_json,
    stored_receipt_to_json,
    to_line,
    turn_from_json,
    turn_lines,
    user_from_json,
)
from chatlab.words import ENGLISH

LEFT_OUT = ENGLISH("said.names-hidden")
"""Why a session is not in an export that must not tell which lane is which."""


async def session_lines(
    store: Store, files: Files, about: StoredComparison, *, hidden: bool
) -> AsyncIterator[str]:
    """Yield a session as lines: its log, its lanes with their turns, and the receipt of each turn. hidden:
    even if its names are hidden; without, of such a session there is one line. Raises NotStored.
    """
    # The log first: whatever turns it names were stored before it.
    log = await store.log(about.owner, about.id)
    reason = None if hidden else _withheld(log)
    if reason is not None:
        yield to_line({**comparison_to_json(about), "left_out": reason})
        return
    yield to_line(comparison_to_json(about))
    for entry in log:
        yield to_line(entry_to_json(entry))
    written: set[str] = set()
    for lane in await store.lanes(about.owner, about.id):
        yield to_line({**conversation_to_json(lane), "type": "lane"})
        turns = await store.turns(about.owner, lane.id)
        async for line in turn_lines(files, turns, written):
            yield line
        for turn, receipt in (await receipts_of(store, about.owner, turns)).items():
            yield to_line(stored_receipt_to_json(turn, receipt))
    yield to_line({"type": "end"})


def _withheld(log: Sequence[LogEntry]) -> str | None:
    """Return why a session must not be told to whoever may vote in it."""
    try:
        return LEFT_OUT if state_of(log).hidden else None
    except ValueError as exc:  # it may be blind
        return str(exc)


async def receipts_of(
    store: Store, owner: str, turns: Sequence[StoredTurn]
) -> dict[TurnId, Mapping[str, Any]]:
    """Return the receipts of some turns, in the turns' order."""
    found: dict[TurnId, Mapping[str, Any]] = {}
    for start in range(0, len(turns), 500):  # as many as any database takes in one question
        found.update(await store.receipts(owner, [turn.id for turn in turns[start : start + 500]]))
    return {turn.id: found[turn.id] for turn in turns if turn.id in found}


@dataclass(slots=True)
class SessionDraft:
    """A comparison session that was read. left_out: why the file has no more of it than its name.
    contents: hashes of the attachments that came with it."""

    where: str
    comparison: StoredComparison
    left_out: str | None = None
    log: list[LogEntry] = field(default_factory=list)
    lanes: list[tuple[StoredConversation, list[StoredTurn]]] = field(default_factory=list)
    receipts: dict[TurnId, dict[str, Any]] = field(default_factory=dict)
    contents: set[str] = field(default_factory=set)
    ended: bool = False
    _placed: set[TurnId] = field(default_factory=set)
    _ids: set[TurnId] = field(default_factory=set)

    noun = "comparison session"

    @property
    def title(self) -> str:
        """Return what it is called."""
        return self.comparison.title

    @property
    def turns(self) -> list[StoredTurn]:
        """Those of all lanes."""
        return [turn for _, turns in self.lanes for turn in turns]

    def unused_since(self, moment: datetime) -> bool:
        """Return whether retention from this moment on would remove it, as `Store.purge` does."""
        written = (self.comparison.updated, *(lane.updated for lane, _ in self.lanes))
        return max(written) < moment and not any(lane.pinned for lane, _ in self.lanes)

    def add(self, value: Mapping[str, Any]) -> None:
        """Takes up a line of it. Raises ValueError with a sentence."""
        owner = self.comparison.owner
        match value.get("type"):
            case _ if self.ended:
                raise ValueError("stands behind the end of its session")
            case "entry":
                self._log(entry_from_json(value))
            case "lane":
                lane = replace(conversation_from_json(value, owner), comparison=self.comparison.id)
                self.lanes.append((lane, []))
            case "turn" if self.lanes:
                lane, turns = self.lanes[-1]
                turns.append(turn_from_json(value, owner, lane.id))
                self._ids.add(turns[-1].id)
            case "receipt" if self.lanes:
                turn, receipt = stored_receipt_from_json(value)
                receipt_from_json(receipt)
                if turn in self.receipts or turn not in self._ids:
                    raise ValueError("a receipt belongs to one turn that stands before it")
                self.receipts[turn] = receipt
            case "end":
                self.ended = True
            case _:
                raise ValueError("type should be entry, lane, then file, turn or receipt, and at last end")

    def _log(self, entry: LogEntry) -> None:
        if entry.seq != len(self.log) + 1:
            raise ValueError(f"entry {len(self.log) + 1} of its log is missing")
        try:
            known = event_from_data(entry.data)
        except SessionError as exc:
            raise ValueError(str(exc)) from exc
        for place in positions_of(known):
            # So no lane's history, however it is made up, goes round in a circle.
            if place.turn in self._placed or (place.parent is not None and place.parent not in self._placed):
                raise ValueError("a turn of its log follows one that is not there")
            self._placed.add(place.turn)
        if isinstance(known, Asked):
            user_from_json(known.user)
        self.log.append(entry)

    def check(self) -> None:
        """Raises ValueError if it is not whole, or its log comes to nothing that can be shown."""
        if self.left_out is not None:
            raise ValueError(f"is not in this export: {self.left_out}")
        if not self.ended:
            raise ValueError("has no end: the file was cut short")
        for lane, turns in self.lanes:
            require_tree(lane, turns)
        lanes = {lane.id for lane, _ in self.lanes}
        if len(self._ids) < len(self.turns) or len(lanes) < len(self.lanes):
            raise ValueError("two of its turns or lanes have the same id")
        state = state_of(self.log)
        if not lanes >= set(state.conversations.values()):
            raise ValueError("a lane of its log is not there")

    async def take_in(self, store: Store, files: Files) -> bool:
        """Return whether it was taken in: it may be there already.

        Raises StoreError and UnsupportedContent.
        """
        try:
            await store.comparison(self.comparison.owner, self.comparison.id)
        except NotStored:
            pass
        else:
            return False
        own = OwnFiles(store, files, self.comparison.owner, self.contents)
        self.lanes = [(lane, [await own.turn(turn) for turn in turns]) for lane, turns in self.lanes]
        whole = WholeComparison(
            self.comparison,
            [await _with_own_files(own, entry) for entry in self.log],
            [lane for lane, _ in self.lanes],
            self.turns,
            self.receipts,
        )
        try:
            await store.adopt_comparison(whole)
        except Conflict:
            await store.adopt_comparison(_with_new_ids(whole))
        return True


def state_of(log: Sequence[LogEntry]) -> SessionState:
    """Return what a log comes to. Raises ValueError for one that comes to nothing."""
    try:
        return reduce_log(log)
    except SessionError as exc:
        raise ValueError(ENGLISH("said.log", reason=exc)) from exc
    except LookupError as exc:
        raise ValueError(ENGLISH("said.log", reason=ENGLISH("said.log-gap", what=exc))) from exc


async def _with_own_files(own: OwnFiles, logged: LogEntry) -> LogEntry:
    entry = event_from_data(logged.data)
    if not isinstance(entry, Asked):
        return logged
    parts, lost = await own.parts(user_from_json(entry.user).parts)
    if not lost:
        return logged
    user = message_to_json(Message("user", parts))
    return replace(logged, data=event_to_data(replace(entry, user=user)))


def _with_new_ids(whole: WholeComparison) -> WholeComparison:
    entries = [event_from_data(logged.data) for logged in whole.log]
    # Turns that only the log names, since the store had lost them, may be somebody else's here.
    named = [place.turn for entry in entries for place in positions_of(entry)]
    there = [*(turn.id for turn in whole.turns), *(lane.id for lane in whole.lanes)]
    ids: dict[str, str] = {old: new_id() for old in (*named, *there)}
    comparison = replace(whole.comparison, id=new_id())
    log = [replace(logged, data=with_ids(logged.data, ids)) for logged in whole.log]
    state_of(log)
    return WholeComparison(
        comparison,
        log,
        [
            replace(
                lane,
                id=ConversationId(ids[lane.id]),
                head=_renamed(lane.head, ids),
                comparison=comparison.id,
            )
            for lane in whole.lanes
        ],
        [
            replace(
                turn,
                id=TurnId(ids[turn.id]),
                conversation=ConversationId(ids[turn.conversation]),
                parent=_renamed(turn.parent, ids),
                copied_from=_renamed(turn.copied_from, ids),
            )
            for turn in whole.turns
        ],
        {TurnId(ids[turn]): receipt for turn, receipt in whole.receipts.items()},
    )


def _renamed(turn_id: TurnId | None, ids: Mapping[str, str]) -> TurnId | None:
    return None if turn_id is None else TurnId(ids.get(turn_id, turn_id))
