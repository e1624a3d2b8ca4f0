"""Whether every lane of a round was sent what it should have been, told from receipts alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chatlab.codec import message_to_json
from chatlab.compare.model import Receipt
from chatlab.compare.session.events import Mismatch
from chatlab.compare.session.receipt import SentDifference, canonical, difference, digest
from chatlab.compare.session.state import SessionState, prompt
from chatlab.config.registry import Entry
from chatlab.errors import ChatlabError
from chatlab.store import StoredTurn
from chatlab.turns.fit import fit


@dataclass(frozen=True, slots=True)
class _Sent:
    """A turn that was sent something, and what it was meant to be sent."""

    turn: str
    lane: str
    receipt: Receipt
    meant: bytes  # history, prompt and system prompt, before anything was left out for the backend's sake
    parameters: Mapping[str, Any]


def find_mismatches(
    state: SessionState,
    turns: Mapping[str, StoredTurn],
    receipts: Mapping[str, Receipt],
    backends: Mapping[str, Entry],
    round: str,
) -> tuple[Mismatch, ...]:
    """The turns of a round that were not sent what the lane's history and the prompt come to, and the pairs
    that were meant to be sent the same and were not. A turn that was sent nothing is left out of account.
    """
    found: list[Mismatch] = []
    alike: dict[bytes, _Sent] = {}
    for lane, ids in state.round(round).turns.items():
        for id in ids:
            if id not in receipts:
                continue
            sent, problem = _examined(state, turns, receipts[id], backends, lane, id)
            if problem:
                found.append(Mismatch((id,), (lane,), problem))
            first = alike.setdefault(sent.meant, sent)
            reason = _unlike(first, sent)
            if reason:
                found.append(Mismatch((first.turn, id), (first.lane, lane), reason))
    return tuple(found)


def _examined(
    state: SessionState,
    turns: Mapping[str, StoredTurn],
    receipt: Receipt,
    backends: Mapping[str, Entry],
    lane: str,
    id: str,
) -> tuple[_Sent, str]:
    turn = turns[id]
    messages, _ = prompt(state, turns, state.places[id])
    system, parameters = turn.system, dict(turn.parameters)
    problem = ""
    try:
        entry = backends[turn.backend]
        system = entry.system if system is None else system
        parameters = {**entry.config.parameters, **parameters}
        expected, _notices = fit(entry.capabilities, messages, parameters, system)
        problem = _sentence(difference(expected, receipt))
    except ChatlabError as exc:
        problem = f"what should have been sent cannot be told: {exc}"
    if not problem and digest(receipt.messages, receipt.parameters) != receipt.sha256:
        problem = "the receipt's hash is not that of its content"
    meant = canonical([system, *(message_to_json(message) for message in messages)])
    return _Sent(id, lane, receipt, meant, parameters), problem


def _unlike(a: _Sent, b: _Sent) -> str:
    """Why two that were meant to be sent the same were not; parameters count if they were chosen alike."""
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
