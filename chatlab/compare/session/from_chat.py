"""Beginning a session with a chat: its messages are rounds, which the first lane has answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from chatlab.codec import message_to_json
from chatlab.compare.session.events import Asked, SessionError, TurnPosition
from chatlab.ids import ConversationId, LaneId, RoundId, TurnId
from chatlab.store import StoredTurn, new_id


def chat_path(turns: Sequence[StoredTurn], last: TurnId) -> tuple[StoredTurn, ...]:
    """Return the turns of a chat that lead to one of them, and it. Raises SessionError."""
    by_id = {turn.id: turn for turn in turns}
    found: list[StoredTurn] = []
    at: TurnId | None = last
    while at is not None and at in by_id:
        found.append(by_id[at])
        at = by_id[at].parent
    if not found:
        raise SessionError("refusal.answer-gone")
    if found[0].status == "running":
        raise SessionError("refusal.answer-runs")
    return tuple(reversed(found))


def rounds_of_chat(
    path: Sequence[StoredTurn], lane: LaneId, conversation: ConversationId
) -> tuple[list[Asked], list[tuple[TurnPosition, StoredTurn]]]:
    """Return the rounds that a chat's turns are in a session, and the turns as the lane's answers, copied."""
    asked: list[Asked] = []
    copies: list[tuple[TurnPosition, StoredTurn]] = []
    parent: TurnId | None = None
    for turn in path:
        position = TurnPosition(TurnId(new_id()), lane, RoundId(new_id()), parent)
        asked.append(Asked(position.round, message_to_json(turn.user), (position,)))
        copy = replace(turn, id=position.turn, conversation=conversation, parent=parent, copied_from=turn.id)
        copies.append((position, copy))
        parent = position.turn
    return asked, copies
