"""Values as JSON text that any database takes, and exactly the same values again.

JSON itself loses three things that models and people write: keys that are not text, surrogates that stand
alone (a second half of one comes in the next delta), and which of two neighbours were one character. The
text has neither NUL nor surrogates, which PostgreSQL refuses; for all other values it is plain JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from chatlab.quick_json import compact, exactly

# JSON text never has a bare control character, so one of them can stand for "a surrogate follows, in hex".
_MARK = "\x1a"
_SURROGATE = re.compile("[\ud800-\udfff]")
_MARKED = re.compile(f"{_MARK}([0-9a-f]{{4}})")
_PAIRS = "$pairs"

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def to_text(value: Any) -> str:
    """Return a value as JSON text. Mappings become dicts and tuples lists; what JSON has no word for is
    TypeError."""
    try:
        text = compact(exactly(value)).decode()
        if _PAIRS not in text:
            return text
    except TypeError:
        pass  # not all of it is what orjson writes, and as Python does
    text = _encode(keyed(value))
    return _SURROGATE.sub(lambda found: f"{_MARK}{ord(found[0]):04x}", text)


def from_text(text: str) -> Any:
    """Return what `to_text` was given."""
    if _MARK in text:
        text = _MARKED.sub(lambda found: chr(int(found[1], 16)), text)
    value = json.loads(text)
    return unkeyed(value) if _PAIRS in text else value


def keyed(value: Any) -> Any:
    """Return the value with every key a text, as JSON has it."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict | Mapping):  # to ask for a Mapping takes longer, and most are dicts
        if _PAIRS in value or not all(isinstance(key, str) for key in value):
            return {_PAIRS: [[keyed(key), keyed(item)] for key, item in value.items()]}
        return {key: keyed(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [keyed(item) for item in value]
    return value


def unkeyed(value: Any) -> Any:
    """Return what `keyed` was given."""
    if isinstance(value, dict):
        if _PAIRS in value:
            return {key: unkeyed(item) for key, item in value[_PAIRS]}
        return {key: unkeyed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [unkeyed(item) for item in value]
    return value
