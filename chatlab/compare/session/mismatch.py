"""Finds lanes of a round that were not sent what they should have been, from receipts alone."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from chatlab.codec import message_to_json
from chatlab.compare.model import Receipt
from chatlab.compare.session.events import Mismatch
from chatlab.compare.session.receipt import SentDifference, canonical, difference, digest
from chatlab.compare.session.state import SessionState, prompt
from chatlab.config.registry import Entry
from chatlab.errors import ChatlabError, ConfigError
from chatlab.ids import LaneId, RoundId, TurnId
from chatlab.messages import FilePart, TextPart
from chatlab.store import FILE_SCHEME, StoredTurn
from chatlab.turns.fit import fit
from chatlab.turns.text_attachments import text_in
from chatlab.words import ENGLISH

MISSING = ENGLISH("sent.missing")


@dataclass(frozen=True, slots=True)
class _Sent:
    """A turn that was sent something, and what it was meant to be sent."""

    turn: TurnId
    lane: LaneId
    receipt: Receipt
    meant: bytes  # history, prompt and system prompt, before anything was left out for the backend's sake
    parameters: Mapping[str, Any]


def find_mismatches(
    state: SessionState,
    turns: Mapping[TurnId, StoredTurn],
    receipts: Mapping[TurnId, Receipt],
    backends: Mapping[str, Entry],
    round_id: RoundId,
    pending: Collection[TurnId] = (),
) -> tuple[Mismatch, ...]:
    """Return the turns of a round that were not sent what they should have been, each with the reason.

    Those that were not sent what the lane's history and the prompt come to, and the pairs that were meant to
    be sent the same and were not, and finished answers whose receipt is missing. pending: turns whose
    receipts are still to be taken. A turn that was sent nothing is left out of account.
    """
    found = list(missing_receipts(state, turns, receipts, round_id, pending))
    alike: dict[bytes, _Sent] = {}
    for lane_id, ids in state.round(round_id).turns.items():
        for turn_id in ids:
            if turn_id not in receipts:
                continue
            sent, problem = _examined(state, turns, receipts[turn_id], backends, lane_id, turn_id)
            if problem:
                found.append(Mismatch((turn_id,), (lane_id,), problem))
            first = alike.setdefault(sent.meant, sent)
            reason = _unlike(first, sent)
            if reason:
                found.append(Mismatch((first.turn, turn_id), (first.lane, lane_id), reason))
    return tuple(found)


def missing_receipts(
    state: SessionState,
    turns: Mapping[TurnId, StoredTurn],
    receipts: Mapping[TurnId, Receipt],
    round_id: RoundId,
    pending: Collection[TurnId],
) -> tuple[Mismatch, ...]:
    """Return the finished answers to a round that have no receipt, apart from those still to be taken, and
    from those that a chat gave, which takes none."""
    return tuple(
        Mismatch((turn_id,), (lane_id,), MISSING)
        for lane_id, ids in state.round(round_id).turns.items()
        for turn_id in ids
        if turn_id not in receipts and turn_id not in pending
        if (turn := turns.get(turn_id)) is not None and turn.status == "finished" and not turn.copied_from
    )


def _examined(
    state: SessionState,
    turns: Mapping[TurnId, StoredTurn],
    receipt: Receipt,
    backends: Mapping[str, Entry],
    lane_id: LaneId,
    turn_id: TurnId,
) -> tuple[_Sent, str]:
    turn = turns[turn_id]
    messages, _ = prompt(state, turns, state.positions[turn_id])
    system, parameters = turn.system, dict(turn.parameters)
    problem = ""
    try:
        entry = backends[turn.backend]
        system = entry.system if system is None else system
        parameters = {**entry.config.parameters, **parameters}
        expected, _notices = fit(
            entry.capabilities, messages, parameters, system, text_of=_text_sent(receipt)
        )
        problem = _sentence(difference(expected, receipt))
    except ConfigError:
        pass  # a backend that is not configured here, or not any more: nobody can say what it takes
    except ChatlabError as exc:
        problem = ENGLISH("sent.unknown", detail=exc)
    if not problem and digest(receipt.messages, receipt.parameters) != receipt.sha256:
        problem = ENGLISH("sent.unlike-hash")
    meant = canonical([system, *(message_to_json(message) for message in messages)])
    return _Sent(turn_id, lane_id, receipt, meant, parameters), problem


def _text_sent(receipt: Receipt) -> Callable[[FilePart], str | None]:
    """Return what finds the text of a stored file, of which only the hash is known, in what was sent."""
    parts = (part for message in receipt.messages for part in message.parts if isinstance(part, TextPart))
    texts = [text for part in parts if (text := text_in(part)) is not None]
    by_content = {FILE_SCHEME + sha256(text.encode("utf-8")).hexdigest(): text for text in texts}
    return lambda file: by_content.get(file.url or "")


def _unlike(a: _Sent, b: _Sent) -> str:
    """Return why two that should have been sent the same were not; parameters count if chosen alike."""
    found = difference(a.receipt, b.receipt)
    if canonical(dict(a.parameters)) != canonical(dict(b.parameters)):
        found = tuple(one for one in found if one.where == "messages")
    if not found:
        return ""
    left_out = "; ".join(dict.fromkeys((*a.receipt.dropped, *b.receipt.dropped)))
    return _sentence(found) + (f" ({left_out})" if left_out else "")


def _sentence(found: tuple[SentDifference, ...]) -> str:
    more = f" and {len(found) - 3} more" if len(found) > 3 else ""
    return "; ".join(str(one) for one in found[:3]) + more
