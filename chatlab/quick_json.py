"""JSON read and written by orjson, which is several times as quick as Python's own, and by that where orjson
refuses, or is not exact: halves of surrogate pairs, numbers of more than 64 bits, NaN."""

from __future__ import annotations

import json
from collections.abc import Callable
from math import isfinite
from typing import Any

import orjson

_ZEROS = bytes.maketrans(b"0123456789", b"0" * 10)  # digits in a row are found sooner by it
_LONG = b"0" * 19
# What Python's own writer refuses, or writes in its own way, is not orjson's.
_STRICTLY = (
    orjson.OPT_PASSTHROUGH_SUBCLASS | orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME
)
_LEAVES = frozenset((str, int, bool, type(None)))
_DEEPEST = 250  # levels; orjson goes no deeper than 254


def load_if_quick(text: bytes) -> Any:
    """Return the value of a JSON text. Raises ValueError for all that orjson cannot read, or not exactly."""
    if _has_long_number(text):
        raise ValueError("a number may be too long")
    return orjson.loads(text)


def loader(texts: bytes) -> Callable[[bytes], Any]:
    """Return what does as `load_if_quick` does with any part of a text, in which it looks but once."""
    return load_if_quick if _has_long_number(texts) else orjson.loads


def _has_long_number(text: bytes) -> bool:
    """Return whether a whole number may stand there of which orjson would make a float. Behind a point there
    may be any number of digits: a time of less than a hundredth of a second has 19.
    """
    zeros = text.translate(_ZEROS)
    at = zeros.find(_LONG)
    while at > 0 and zeros[at - 1 : at] == b".":
        at += len(_LONG)
        while zeros[at : at + 1] == b"0":
            at += 1
        at = zeros.find(_LONG, at)
    return at >= 0


def load_quickly(line: bytes) -> Any:
    """Return the value of a JSON text. Raises ValueError if it is none."""
    try:
        return load_if_quick(line)
    except ValueError:
        return json.loads(line)


def compact(value: Any, *, sort_keys: bool = False) -> bytes:
    """Return a value of JSON in UTF-8 without spaces, to the letter as Python's own writer writes it.

    Raises TypeError for what orjson refuses; where it would write a float in another way, `exactly` is to go
    over the value before.
    """
    return orjson.dumps(value, option=_STRICTLY | (orjson.OPT_SORT_KEYS if sort_keys else 0))


def exactly(value: Any) -> Any:
    """Return a value of JSON such that `compact` writes its floats as Python does: the value itself, or else
    a copy. Raises TypeError for a float that is no JSON, for what may be none, and for what is nested deeper
    than orjson writes.
    """
    return _exactly(value, _DEEPEST)


def _exactly(value: Any, deeper: int) -> Any:
    """deeper: how many levels there may be below this one."""
    kind = type(value)
    if kind is dict:
        entries = value.items()
    elif kind is list or kind is tuple:
        entries = enumerate(value)
    elif kind in _LEAVES:
        return value
    elif kind is float:
        return number(value)
    else:
        raise TypeError(f"{kind.__name__} may be no JSON")
    if not deeper:
        raise TypeError("the value is nested too deep")
    changed = {}
    for key, held in entries:
        of = type(held)
        if of in _LEAVES or (of is float and 1e-4 <= held < 1e15):  # as `number` leaves them
            continue
        if (made := _exactly(held, deeper - 1)) is not held:
            changed[key] = made
    if not changed:
        return value
    if kind is dict:
        return {**value, **changed}
    return [changed.get(place, held) for place, held in enumerate(value)]


def number(value: float) -> Any:
    """Return a float such that `compact` writes it as Python does, which has an exponent sooner. Raises
    TypeError for one that is no JSON.
    """
    if 1e-4 <= value < 1e15 or value == 0:  # nearly all are, and have the same digits in both
        return value
    if not isfinite(value):
        raise TypeError(f"{value} is no JSON")
    return orjson.Fragment(repr(value))


as_text = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode
"""Return a value of JSON without spaces, by Python's own writer. Raises ValueError for a float that is no
JSON, and TypeError for what is none."""


def indented(value: Any) -> str:
    """Return a value of JSON as a text for people."""
    try:
        return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
    except TypeError:
        return json.dumps(value, ensure_ascii=False, indent=2)
