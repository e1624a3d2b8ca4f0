"""A turn as it is stored: what was asked, and what came of it so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from chatlab.backend import CallContext
from chatlab.ids import ConversationId, TurnId
from chatlab.messages import Message, Notice
from chatlab.secret import scrub
from chatlab.store import StoredTurn, now
from chatlab.turns.ended import EndedTurn
from chatlab.turns.turn import Turn


def stored(
    turn_id: TurnId,
    owner: str,
    conversation: ConversationId,
    parent: TurnId | None,
    user: Message,
    turn: Turn | EndedTurn,
    *,
    parameters: Mapping[str, Any] | None = None,
    system: str | None = None,
    created: datetime | None = None,
    error: str | None = None,
    ctx: CallContext | None = None,
    copied_from: TurnId | None = None,
) -> StoredTurn:
    """Return a turn as it is now, to be stored; it need not have begun. parameters and system: as asked
    for."""
    return StoredTurn(
        turn_id,
        owner,
        conversation,
        parent,
        created or now(),
        user,
        turn.entry.name,
        turn.entry.config.kind,
        turn.entry.label,
        parameters=dict(parameters or {}),
        system=system,
        asked_by=None if ctx is None else ctx.identity,
        asked_as=None if ctx is None else turn.entry.asked_as(ctx),
        copied_from=copied_from,
        **_outcome((), turn, error),
    )


def as_it_is(begun: StoredTurn, turn: Turn | EndedTurn, error: str | None = None) -> StoredTurn:
    """Return what was asked, with what came of it so far. Costs the same however long the conversation is.

    Notices that `begun` has already, from whoever shows the turn, stay before the turn's own.
    """
    return replace(begun, **_outcome(begun.notices, turn, error))


def _outcome(notices: Sequence[Notice], turn: Turn | EndedTurn, error: str | None) -> dict[str, Any]:
    """Return the fields that say what came of a turn so far. notices: those before its own."""
    answer = turn.answer
    if error is None and turn.error is not None:
        error = scrub(turn.error.sentence)
    return {
        "sent": None if turn.request is None else dict(turn.request.parameters),
        "status": turn.outcome,
        "answer": answer.parts,
        "notices": tuple(dict.fromkeys((*notices, *answer.notices))),
        "citations": tuple(answer.citations),
        "traces": tuple(answer.traces),
        "finish": answer.finish,
        "timing": turn.timing,
        "tool_seconds": dict(turn.tool_seconds),
        "cost": turn.cost,
        "error": error,
    }
