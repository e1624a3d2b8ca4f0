"""Values of decoded JSON that may be of any type: servers send strings for objects, and null for lists."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def mapping(value: object) -> Mapping[str, Any]:
    """Return the value if it is an object, else an empty one."""
    if type(value) is dict:  # quicker to tell, as None is: most values are one of the two
        return value
    return value if value is not None and isinstance(value, Mapping) else {}


def mappings(value: object) -> list[Mapping[str, Any]]:
    """Return the objects of a list; an object counts as a list of one, anything else as none."""
    if value is None:
        return []
    if isinstance(value, list | tuple):
        return [item for item in value if type(item) is dict or isinstance(item, Mapping)]
    return [value] if isinstance(value, Mapping) else []


def text(value: object) -> str:
    """Return the value if it is text, else an empty text."""
    return value if isinstance(value, str) else ""


def text_or_none(value: object) -> str | None:
    """Return the value if it is text that is not empty."""
    return value if isinstance(value, str) and value else None
