"""Results as lines of JSON, and exactly the same values again. docs/results-format.md describes the lines."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, is_dataclass
from datetime import datetime
from typing import Any

from chatlab.codec import defaults_of, from_plain, message_from_json, message_to_json
from chatlab.compare.model import Comparison, Lane, Receipt, Result, Verdict, Vote
from chatlab.messages import Message
from chatlab.store import StoredTurn

VERSION = 1
"""Of the lines and of whole comparisons. A reader takes lines of its version only."""


def result_to_json(result: Result) -> dict[str, Any]:
    """One line of results.jsonl. Fields at their default are left out; a local file becomes its content."""
    receipt = None if result.receipt is None else receipt_to_json(result.receipt)
    return {"version": VERSION, **_plain(result, turn=_turn(result.turn), receipt=receipt)}


def result_from_json(value: Mapping[str, Any]) -> Result:
    """Return the result again. Raises ValueError with a sentence for another version or a wrong field."""
    value = _of_version(value)
    receipt = value.get("receipt")
    return from_plain(
        Result,
        {
            **value,
            "turn": _turn_again(value.get("turn")),
            "receipt": None if receipt is None else receipt_from_json(receipt),
        },
    )


def verdict_to_json(verdict: Verdict) -> dict[str, Any]:
    """One line of verdicts.jsonl."""
    return {"version": VERSION, **_plain(verdict)}


def verdict_from_json(value: Mapping[str, Any]) -> Verdict:
    """Return the verdict again. Raises ValueError with a sentence."""
    return from_plain(Verdict, _of_version(value))


def lane_to_json(lane: Lane) -> dict[str, Any]:
    """Return a lane as JSON."""
    return _plain(lane)


def lane_from_json(value: Mapping[str, Any]) -> Lane:
    """Return the lane again. Raises ValueError with a sentence."""
    return from_plain(Lane, value)


def comparison_to_json(compared: Comparison) -> dict[str, Any]:
    """Return a whole comparison as one object."""
    return {
        "format": "chatlab-comparison",
        "version": VERSION,
        **_plain(
            compared,
            lanes=[_plain(lane) for lane in compared.lanes],
            results=[result_to_json(result) for result in compared.results],
            votes=[_plain(vote) for vote in compared.votes],
            verdicts=[_plain(verdict) for verdict in compared.verdicts],
        ),
    }


def comparison_from_json(value: Mapping[str, Any]) -> Comparison:
    """Return the comparison again. Raises ValueError with a sentence."""
    value = _of_version(value)
    return from_plain(
        Comparison,
        {
            **value,
            "lanes": [lane_from_json(lane) for lane in value.get("lanes", ())],
            "results": tuple(result_from_json(result) for result in value.get("results", ())),
            "votes": [from_plain(Vote, vote) for vote in value.get("votes", ())],
            "verdicts": tuple(from_plain(Verdict, verdict) for verdict in value.get("verdicts", ())),
        },
    )


def to_line(value: Mapping[str, Any]) -> str:
    """One line of JSON, its end included, that UTF-8 can always encode."""
    text = _as_it_is(value)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:  # half a surrogate pair, which models do write
        text = _in_ascii(value)
    return text + "\n"


_as_it_is = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode
_in_ascii = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


def _of_version(value: Mapping[str, Any]) -> Mapping[str, Any]:
    if not isinstance(value, Mapping) or value.get("version") != VERSION:
        found = value.get("version") if isinstance(value, Mapping) else None
        raise ValueError(f"this is version {json.dumps(found)}, and version {VERSION} is expected")
    return value


def _turn(turn: StoredTurn) -> dict[str, Any]:
    answer = message_to_json(Message("assistant", turn.answer))["parts"]
    return _plain(turn, user=message_to_json(turn.user), answer=answer)


def _turn_again(value: Any) -> StoredTurn:
    if not isinstance(value, dict):
        raise ValueError("turn: it is a JSON object")
    answer = message_from_json({"role": "assistant", "parts": value.get("answer", [])})
    return from_plain(
        StoredTurn, {**value, "user": message_from_json(value.get("user")), "answer": answer.parts}
    )


def _plain(value: Any, **written: Any) -> dict[str, Any]:
    """Return the fields of a dataclass that are not at their default, as JSON; those in `written` are so
    already.
    """
    found: dict[str, Any] = {}
    for name, default, factory in defaults_of(value.__class__):
        held = getattr(value, name)
        if factory is not MISSING:
            default = factory()
        if default is MISSING or held != default:
            found[name] = written[name] if name in written else _json(held)
    return found


def _json(value: Any) -> Any:
    if value is None or isinstance(value, str | float | int):  # most are
        return value
    if is_dataclass(value):
        return _plain(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {key: _json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json(item) for item in value]
    return value


def receipt_to_json(receipt: Receipt) -> dict[str, Any]:
    """Return the receipt as JSON values."""
    return {
        "backend": receipt.backend,
        "kind": receipt.kind,
        "messages": [message_to_json(message) for message in receipt.messages],
        "parameters": dict(receipt.parameters),
        "sha256": receipt.sha256,
        "model": receipt.model,
        "model_answered": receipt.model_answered,
        "endpoint": receipt.endpoint,
        "identity": receipt.identity,
        "dropped": list(receipt.dropped),
        "wire_sha256": receipt.wire_sha256,
        "arrivals": receipt.arrivals,
    }


def receipt_from_json(value: Mapping[str, Any]) -> Receipt:
    """Return the receipt again. Raises ValueError with a sentence for a wrong shape."""
    messages = value.get("messages")
    if not isinstance(messages, list):
        raise ValueError("a receipt has a list of messages")
    return from_plain(Receipt, {**value, "messages": [message_from_json(message) for message in messages]})
