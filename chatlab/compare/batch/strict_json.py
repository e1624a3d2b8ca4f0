"""JSON as its standard has it: Python's reader takes NaN and infinities, which nothing else reads."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn


def load_json(text: str) -> Any:
    """Return the value of a JSON text. Raises ValueError with what is wrong, for nesting without end too."""
    try:
        return json.loads(text, parse_constant=_refused, parse_float=_finite)
    except RecursionError as exc:
        raise ValueError("it is nested too deeply") from exc


def _refused(word: str) -> NoReturn:
    raise ValueError(f"{word} is no JSON")


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"the number {digits[:40]} is too large")
    return value
