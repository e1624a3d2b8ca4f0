"""JSON as its standard has it: Python's reader takes NaN and infinities, which nothing else reads."""

from __future__ import annotations

import json
import math
from functools import partial
from typing import Any, NoReturn


def load_json(text: str | bytes, *, bits: int | None = None) -> Any:
    """Return the value of a JSON text. Raises ValueError with what is wrong, for nesting without end too.

    bits: of the integers that a database or a table has room for; None takes all.
    """
    whole = int if bits is None else partial(_within, bits)
    try:
        return json.loads(text, parse_constant=_refused, parse_float=_finite, parse_int=whole)
    except RecursionError as exc:
        raise ValueError("it is nested too deeply") from exc


def _refused(word: str) -> NoReturn:
    raise ValueError(f"{word} is no JSON")


def _finite(digits: str) -> float:
    value = float(digits)
    return value if math.isfinite(value) else _too_large(digits)


def _within(bits: int, digits: str) -> int:
    value = int(digits) if len(digits) <= bits else 1 << bits
    return value if value.bit_length() < bits else _too_large(digits)


def _too_large(digits: str) -> NoReturn:
    raise ValueError(f"the number {digits[:40]} is too large")
