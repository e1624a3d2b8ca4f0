"""The types of the server's JSON, written for the pages' scripts from the models that the server has of it.

`python -m chatlab.web.typescript` writes `static/server.d.ts`; a test fails when the two differ. Only what a
page is told or sends is known here: a model with a type that JSON has no word for is refused.
"""

from __future__ import annotations

import inspect
import json
import types
from collections.abc import Iterator, Mapping, Sequence
from types import ModuleType, NoneType
from typing import (
    Annotated,
    Any,
    Literal,
    NotRequired,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from pydantic import BaseModel

from chatlab.paths import PACKAGE
from chatlab.web.compare import schemas, view_model
from chatlab.web.conversations import schemas as conversations
from chatlab.web.shared import schemas as shared
from chatlab.web.shared import sharing

FILE = PACKAGE / "web" / "static" / "server.d.ts"
_MODULES = (shared, sharing, view_model, conversations, schemas)
_SIMPLE: Mapping[Any, str] = {
    str: "string",
    bool: "boolean",
    int: "number",
    float: "number",
    NoneType: "null",
    Any: "unknown",
    object: "unknown",
}
_HEAD = (
    "// The server's JSON. Written by `python -m chatlab.web.typescript`: change the models, not this file.\n"
)


def declarations() -> str:
    """Return the text of `server.d.ts`: one interface for each model."""
    written: dict[str, str] = {}
    waiting = [model for module in _MODULES for model in _models(module)]
    for model in waiting:  # which grows by what a model refers to
        if model.__name__ not in written:
            written[model.__name__] = _interface(model, waiting)
    return "\n".join([_HEAD, *written.values()])


def _models(module: ModuleType) -> Iterator[type]:
    """Yield the models that a module defines itself, as they stand in it."""
    for found in vars(module).values():
        if isinstance(found, type) and found.__module__ == module.__name__ and _is_model(found):
            yield found


def _is_model(found: object) -> bool:
    if is_typeddict(found):
        return True
    return isinstance(found, type) and issubclass(found, BaseModel) and bool(found.model_fields)


def _interface(model: type, used: list[type]) -> str:
    lines = [f"  {name}: {_type(kind, used)};" for name, kind in _fields(model)]
    return "\n".join([*_comment(model), f"export interface {model.__name__} {{", *lines, "}", ""])


def _comment(model: type) -> list[str]:
    """Return the docstring that a model has itself as the lines of a comment."""
    said = inspect.cleandoc(model.__dict__.get("__doc__") or "").replace("None", "null")
    if "\n" not in said:
        return [f"/** {said} */"] if said else []
    return ["/**", *(f" * {line}".rstrip() for line in said.split("\n")), " */"]


def _fields(model: type) -> Iterator[tuple[str, Any]]:
    """Yield the name and the type of every field; a name ends with ? where the field may be absent."""
    if issubclass(model, BaseModel):
        for name, field in model.model_fields.items():
            yield name if field.is_required() else f"{name}?", field.annotation
        return
    total: bool = model.__total__  # type: ignore[attr-defined]
    for name, kind in get_type_hints(model, include_extras=True).items():
        if get_origin(kind) is NotRequired:
            yield f"{name}?", get_args(kind)[0]
        else:
            yield name if total else f"{name}?", kind


def _type(kind: Any, used: list[type]) -> str:
    """Return a Python type in TypeScript; models that it names are added to `used`. Raise TypeError."""
    kind = getattr(kind, "__supertype__", kind)  # an identifier is text in JSON
    if kind in _SIMPLE:
        return _SIMPLE[kind]
    if _is_model(kind):
        used.append(kind)
        return str(kind.__name__)
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _type(parts[0], used)
    if origin is Literal:
        return " | ".join(json.dumps(value) for value in parts)
    if origin in (Union, types.UnionType):
        return " | ".join(dict.fromkeys(_type(part, used) for part in parts))
    if origin in (list, Sequence):
        inner = _type(parts[0], used)
        return f"({inner})[]" if " | " in inner else f"{inner}[]"
    if origin in (dict, Mapping) and parts[0] is str:
        return f"Record<string, {_type(parts[1], used)}>"
    raise TypeError(f"{kind!r} has no type in {FILE.name}: describe it by a TypedDict or a pydantic model")


if __name__ == "__main__":
    FILE.write_text(declarations(), "utf-8")
