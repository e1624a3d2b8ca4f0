"""Checks by a function of the person's own: `module:attribute` or `file.py:attribute`."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chatlab.compare.batch.checks.problem import WrongCheck, short
from chatlab.compare.model import Check

if TYPE_CHECKING:
    from chatlab.compare.batch.item import Item


@cache
def function_of(place: str) -> Callable[..., Any]:
    """Return the function at `module:attribute` or `file.py:attribute`. Raises WrongCheck."""
    module, colon, attribute = place.rpartition(":")
    if not colon:
        raise WrongCheck(f"{place!r} is not module:attribute or file.py:attribute")
    try:
        if module.endswith(".py"):
            spec = importlib.util.spec_from_file_location(Path(module).stem, module)
            assert spec is not None and spec.loader is not None
            loaded = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(loaded)
        else:
            loaded = importlib.import_module(module)
        found = getattr(loaded, attribute)
    except Exception as exc:  # somebody's own code may fail in any way
        raise WrongCheck(f"{place} cannot be imported: {type(exc).__name__}: {exc}") from exc
    if not callable(found):
        raise WrongCheck(f"{place} is not a function")
    function: Callable[..., Any] = found
    return function


def result_of(name: str, function: Callable[..., Any], answer: str, item: Item) -> Check:
    """Return what a function says of an answer. It gets the answer and the item, and returns true or false, a
    score from 0 to 1, which passes from 0.5, or a Check.
    """
    try:
        said = function(answer, item)
    except Exception as exc:  # noqa: BLE001 - an error in it is a failed check, with the reason
        return Check(name, False, 0.0, f"{type(exc).__name__}: {exc}")
    if isinstance(said, Check):
        return said
    if isinstance(said, bool):
        return Check(name, said, float(said))
    if isinstance(said, int | float) and 0 <= said <= 1:
        return Check(name, said >= 0.5, float(said))
    returned = f"it returned {short(repr(said))} instead of true, false or a score of 0 to 1"
    return Check(name, False, 0.0, returned)
