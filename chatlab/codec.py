"""Messages and events as JSON, and back: what recordings are written in, and whoever else shows events."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from operator import attrgetter
from typing import Any, TypeVar
from urllib.parse import unquote_to_bytes

from pydantic import TypeAdapter, ValidationError

from chatlab.messages import (
    Citation,
    FilePart,
    Finish,
    Message,
    Notice,
    Part,
    ReasoningDelta,
    ReasoningPart,
    Role,
    StreamEvent,
    TextDelta,
    TextPart,
    ToolCall,
    ToolResult,
    Trace,
)

T = TypeVar("T")

_EVENTS: Mapping[str, type[StreamEvent]] = {
    "text": TextDelta,
    "reasoning": ReasoningDelta,
    "tool_call": ToolCall,
    "tool_result": ToolResult,
    "citation": Citation,
    "trace": Trace,
    "notice": Notice,
    "finish": Finish,
}
_PARTS: Mapping[str, type[Part]] = {
    "text": TextPart,
    "reasoning": ReasoningPart,
    "tool_call": ToolCall,
    "tool_result": ToolResult,
    "file": FilePart,
}
_EVENT_NAMES = {cls: name for name, cls in _EVENTS.items()}
_PART_NAMES = {cls: name for name, cls in _PARTS.items()}
_ROLES: tuple[Role, ...] = ("system", "user", "assistant", "tool")


def event_to_json(event: StreamEvent) -> dict[str, Any]:
    """Return the event as JSON: its `type`, and its fields as far as they are not the default."""
    return {"type": _EVENT_NAMES[type(event)], **to_plain(event)}


def event_from_json(value: Mapping[str, Any]) -> StreamEvent:
    """Return the event again. Raises ValueError with a sentence for an unknown type or a wrong field."""
    return from_plain(_of_type(_EVENTS, value), value)


def message_to_json(message: Message) -> dict[str, Any]:
    """Return the message as JSON. A local file becomes a `data:` URL, so that nothing points outside."""
    return {"role": message.role, "parts": parts_to_json(message.parts)}


def parts_to_json(parts: Sequence[Part]) -> list[dict[str, Any]]:
    """Return the parts of a message as JSON; else as `message_to_json`."""
    return [
        # nearly all are texts, and have no more than that
        {"type": "text", "text": part.text} if type(part) is TextPart else _part_to_json(part)
        for part in parts
    ]


def message_from_json(value: Any) -> Message:
    """Return the message again. Raises ValueError with a sentence for a wrong shape."""
    if (
        not isinstance(value, dict)
        or value.get("role") not in _ROLES
        or not isinstance(value.get("parts"), list)
    ):
        raise ValueError(f"a message has a role ({', '.join(_ROLES)}) and a list of parts")
    return Message(value["role"], tuple([_part_from_json(part) for part in value["parts"]]))


def _part_to_json(part: Part) -> dict[str, Any]:
    if isinstance(part, FilePart):
        name = part.path.name if part.name is None and part.path else part.name
        named = {} if name is None else {"name": name}
        return {"type": "file", "media_type": part.media_type, **named, "url": part.data_url()}
    return {"type": _PART_NAMES[type(part)], **to_plain(part)}


def _part_from_json(value: Any) -> Part:
    if not isinstance(value, dict):
        raise ValueError("a part is a JSON object")
    if value.get("type") == "text" and isinstance(value.get("text"), str):
        return TextPart(value["text"])  # nearly all are, and have no more than that
    cls = _of_type(_PARTS, value)
    if cls is not FilePart:
        return from_plain(cls, value)
    url = value.get("url")
    if not isinstance(url, str):
        raise ValueError("a file has a url")
    part = from_plain(FilePart, {**value, "path": None, "data": None})
    if not is_data_url(url):
        return part
    return FilePart(part.media_type, part.name, data=split_data_url(url)[1])


def is_data_url(url: str) -> bool:
    """Return whether this is a `data:` URL."""
    return url[:5].lower() == "data:"


def split_data_url(url: str) -> tuple[str, bytes]:
    """Return the media type and the content of a `data:` URL (RFC 2397). Raises ValueError if it is none."""
    scheme, _, rest = url.partition(":")
    header, comma, payload = rest.partition(",")
    if scheme.lower() != "data" or not comma:
        raise ValueError("not a data URL")
    media_type, *options = (item.strip() for item in header.split(";"))
    raw = unquote_to_bytes(payload)
    if any(option.lower() == "base64" for option in options):
        raw = decode_base64(raw)
    return media_type.lower() or "text/plain", raw


def decode_base64(text: str | bytes) -> bytes:
    """Return bytes from base64, line breaks allowed. Raises ValueError if it is none."""
    raw = text.encode("ascii", "replace") if isinstance(text, str) else text
    try:
        return base64.b64decode(b"".join(raw.split()), validate=True)
    except binascii.Error as exc:
        raise ValueError("not base64") from exc


def _of_type(known: Mapping[str, type[T]], value: Mapping[str, Any]) -> type[T]:
    found = known.get(value["type"]) if isinstance(value.get("type"), str) else None
    if found is None:
        raise ValueError(f"unknown type {json.dumps(value.get('type'))}: it is one of {', '.join(known)}")
    return found


def to_plain(value: Any) -> dict[str, Any]:
    """Return the fields of a dataclass that are not at their default, as JSON values."""
    plain: dict[str, Any] = {}
    names, values_of, defaults = fields_of(value.__class__)
    for name, found, default in zip(names, values_of(value), defaults, strict=True):
        if found is not default and found != default:
            plain[name] = to_plain(found) if type(found) not in _LEAVES and is_dataclass(found) else found
    return plain


_LEAVES = frozenset((str, int, float, bool, type(None)))


@cache
def fields_of(
    cls: type[Any], made: bool = False
) -> tuple[Sequence[str], Callable[[Any], Any], Sequence[Any]]:
    """Return the names of a dataclass's fields, what gets their values, and their defaults: MISSING, which
    nothing equals, where there is none. made: and for one that is made anew for each value, such as an empty
    dict, what it is then.
    """
    found = fields(cls)
    names = [item.name for item in found]
    defaults = [
        item.default_factory() if made and item.default_factory is not MISSING else item.default
        for item in found
    ]
    values_of = attrgetter(*names) if len(names) > 1 else lambda value: (getattr(value, names[0]),)
    return names, values_of, defaults


_adapters: dict[type[Any], TypeAdapter[Any]] = {}


def adapter_of(cls: type[T]) -> TypeAdapter[T]:
    """Return what reads and writes the values of a dataclass, made when it is first asked for: that takes a
    millisecond or more."""
    adapter = _adapters.get(cls)
    if adapter is None:
        adapter = _adapters[cls] = TypeAdapter(cls)
    return adapter


def from_plain(cls: type[T], value: Mapping[str, Any]) -> T:
    """Return the dataclass again from JSON values; keys it does not have are ignored.

    Raises ValueError with a sentence for a field that is missing or of another type.
    """
    try:
        return adapter_of(cls).validate_python(value if isinstance(value, dict) else dict(value))
    except ValidationError as exc:
        first = exc.errors(include_input=False, include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise ValueError(f"{where + ': ' if where else ''}{first['msg']}") from exc
