"""Results as lines of JSON, and exactly the same values again. docs/results-format.md describes the lines."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import is_dataclass
from datetime import datetime
from typing import Any, TypeAlias

from chatlab.codec import fields_of, from_plain, message_from_json, message_to_json, parts_to_json
from chatlab.compare.model import Comparison, Lane, Receipt, Result, Verdict, Vote
from chatlab.quick_json import as_text, compact, exactly, number
from chatlab.store import StoredTurn

VERSION = 1
"""Of the lines and of whole comparisons. A reader takes lines of its version only."""


def result_to_json(result: Result) -> dict[str, Any]:
    """One line of results.jsonl. Fields at their default are left out; a local file becomes its content."""
    return _result(result, _as_it_is)


def result_line(result: Result) -> bytes:
    """Return the same as `to_line` gives it, in UTF-8, for a third of what that takes."""
    try:
        return compact(_result(result, number)) + b"\n"
    except TypeError:
        return to_line(result_to_json(result)).encode("utf-8")


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
    try:
        return compact(exactly(value)).decode() + "\n"
    except TypeError:
        text = as_text(value)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:  # half a surrogate pair, which models do write
        text = _in_ascii(value)
    return text + "\n"


_in_ascii = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


def _of_version(value: Mapping[str, Any]) -> Mapping[str, Any]:
    if not isinstance(value, Mapping) or value.get("version") != VERSION:
        found = value.get("version") if isinstance(value, Mapping) else None
        raise ValueError(f"this is version {json.dumps(found)}, and version {VERSION} is expected")
    return value


_Number: TypeAlias = Callable[[float], Any]


def _as_it_is(value: float) -> float:
    return value


def _result(result: Result, number: _Number) -> dict[str, Any]:
    found = {
        "version": VERSION,
        "item": result.item,
        "step": result.step,
        "repeat": result.repeat,
        "lane": result.lane,
        "turn": _turn(result.turn, number),
        "receipt": None if result.receipt is None else _receipt(result.receipt, number),
    }
    if result.checks:
        found["checks"] = _json(result.checks, number)
    if result.tags:
        found["tags"] = list(result.tags)
    return found


def _turn(turn: StoredTurn, number: _Number) -> dict[str, Any]:
    user, answer = message_to_json(turn.user), parts_to_json(turn.answer)
    return _plain(turn, number, user=user, answer=answer)


def _turn_again(value: Any) -> StoredTurn:
    if not isinstance(value, dict):
        raise ValueError("turn: it is a JSON object")
    answer = message_from_json({"role": "assistant", "parts": value.get("answer", [])})
    return from_plain(
        StoredTurn, {**value, "user": message_from_json(value.get("user")), "answer": answer.parts}
    )


def _plain(value: Any, number: _Number = _as_it_is, **written: Any) -> dict[str, Any]:
    """Return the fields of a dataclass that are not at their default, as JSON; those in `written` are so
    already. number: gives what stands for a float.
    """
    found: dict[str, Any] = {}
    names, values_of, defaults = fields_of(value.__class__, made=True)
    for name, held, default in zip(names, values_of(value), defaults, strict=True):
        if held is not default and held != default:
            kind = type(held)
            if kind is float:
                held = number(held)
            elif kind not in _LEAVES:
                held = written[name] if name in written else _json(held, number)
            found[name] = held
    return found


_LEAVES = frozenset((str, int, bool, type(None)))


def _json(value: Any, number: _Number) -> Any:
    kind = type(value)
    if kind in _LEAVES:
        return value
    if kind is float:
        return number(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if kind is not dict and is_dataclass(value):
        return _plain(value, number)
    if kind is dict or isinstance(value, Mapping):
        return {key: _json(item, number) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json(item, number) for item in value]
    return value


def receipt_to_json(receipt: Receipt) -> dict[str, Any]:
    """Return the receipt as JSON values."""
    return {**_receipt(receipt, _as_it_is), "parameters": dict(receipt.parameters)}


def _receipt(receipt: Receipt, number: _Number) -> dict[str, Any]:
    return {
        "backend": receipt.backend,
        "kind": receipt.kind,
        "messages": [message_to_json(message) for message in receipt.messages],
        "parameters": _json(receipt.parameters, number),
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
