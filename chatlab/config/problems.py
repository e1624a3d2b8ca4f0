"""What pydantic found wrong, as sentences for whoever wrote the YAML. No sentence repeats a value."""

from __future__ import annotations

import re
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from typing_extensions import TypeAliasType

from chatlab.config.yaml_positions import Document, Path, Problem
from chatlab.secret import SecretRef, scrub
from chatlab.spelling import closest, did_you_mean

BY_REFERENCE = "a secret is given by reference, {env: NAME} or {file: PATH}, never literally"

UNKNOWN_KEY = "unknown key"

_SECRETIVE = re.compile(r"key|token|secret|passw|credential|auth|^pat$", re.I)

_EXPECTED = {
    "string": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "path": "a path",
    "model": "a mapping (key: value)",
    "dict": "a mapping (key: value)",
    "mapping": "a mapping (key: value)",
    "tuple": "a list",
    "list": "a list",
}
# Patterns of the built-in kinds, for people.
_PATTERNS = {
    r"^https?://": "should begin with http:// or https://",
    r"^[A-Za-z_][\w.]*:[A-Za-z_][\w.]*$": "should be module:attribute, such as my_agent:graph",
}
_BOUNDS = {
    "greater_than_equal": "should be at least {ge:g}",
    "greater_than": "should be more than {gt:g}",
    "less_than_equal": "should be at most {le:g}",
    "less_than": "should be less than {lt:g}",
}


def problems(
    exc: ValidationError,
    model: type[BaseModel],
    document: Document,
    data: Any,
    prefix: Path = (),
    other_keys: Iterable[str] = (),
) -> list[Problem]:
    """The problems of `data`, validated as `model` and written at `prefix` of the document.

    other_keys: keys that are allowed beside the model's own, for close matches.
    """
    found: dict[Path, list[ErrorDetails]] = {}
    for error in exc.errors(include_url=False):
        found.setdefault(written(error, data), []).append(error)
    suggested: set[Path] = set()
    result = []
    for path, errors in found.items():
        if errors[0]["type"] == "extra_forbidden":
            close = closest(str(path[-1]), _known(model, path, other_keys))
            if close is not None:
                suggested.add((*path[:-1], close))
    misspelt = {path[:-1] for path in suggested}
    for path, errors in found.items():
        if errors[0]["type"] == "missing" and (
            path in suggested or (path[:-1] in misspelt and _in_union(errors, path))
        ):
            continue  # it is there, misspelt; or it belongs to another branch of a union
        if not path and path in misspelt and errors[0]["loc"]:
            continue  # of a field that is not there, or rather is there, misspelt
        further = any(other[: len(path)] == path and other != path for other in found)
        if path and further and _in_union(errors, path):
            continue  # another branch of the union took the value's shape and has said more
        secret = _secret_above(model, path)
        if secret is not None:
            text = "; ".join(dict.fromkeys(_secret_sentence(error) for error in errors))
            result.append(Problem(document.at((*prefix, *path)), (*prefix, *secret), text))
            continue
        shown = path
        if (
            errors[0]["type"] == "extra_forbidden"
            and closest(str(path[-1]), _known(model, path, other_keys)) is None
        ):
            shown = guarded((*prefix, *path))[len(prefix) :]  # it is no key that anybody meant to write
        texts = [_sentence(error, model, path, other_keys) for error in errors]
        is_key = errors[0]["type"] == "extra_forbidden" or "[key]" in errors[0]["loc"]
        position = document.key((*prefix, *path)) if is_key else document.at((*prefix, *path))
        result.append(Problem(position, (*prefix, *shown), ", or ".join(dict.fromkeys(texts))))
    return result


def render(file: str, problem: Problem) -> str:
    """`file:line:column: path: what is wrong`, on one line and without credentials."""
    where = "".join(
        f"[{step}]" if isinstance(step, int) else f".{_printable(step)}" for step in problem.path
    ).removeprefix(".")
    text = f"{where}: {problem.text}" if where else problem.text
    return f"{file}:{problem.position.line}:{problem.position.column}: {scrub(text)}"


def guarded(path: Path) -> Path:
    """The path up to a key that may hold a secret: what is written below it may be the secret itself."""
    for number, step in enumerate(path):
        # The name of a backend is free: one called "keys" hides nothing.
        if isinstance(step, str) and (number, path[0]) != (1, "backends") and _SECRETIVE.search(step):
            return path[: number + 1]
    return path


def _printable(step: str) -> str:
    step = step if len(step) <= 60 else f"{step[:59]}…"
    return step if step.isprintable() and step else repr(step)


def written(error: ErrorDetails, data: Any) -> Path:
    """The error's path in what was written: pydantic's also has the branches of unions in it."""
    path: list[str | int] = []
    loc = error["loc"]
    for number, step in enumerate(loc):
        in_mapping = isinstance(data, Mapping) and step in data
        if in_mapping or (isinstance(data, list) and isinstance(step, int) and 0 <= step < len(data)):
            data = data[step]
        elif not (error["type"] == "missing" and number == len(loc) - 1):
            continue
        path.append(step)
    return tuple(path)


def _in_union(errors: list[ErrorDetails], path: Path) -> bool:
    return any(len(error["loc"]) > len(path) for error in errors)


def _sentence(error: ErrorDetails, model: type[BaseModel], path: Path, other_keys: Iterable[str]) -> str:
    kind, context, value = error["type"], error.get("ctx") or {}, error["input"]
    if kind == "missing":
        return "is missing"
    if kind == "extra_forbidden":
        return unknown_key(str(path[-1]), _known(model, path, other_keys))
    if kind == "literal_error":
        choices = re.findall(r"'([^']*)'", context["expected"])
        if "[key]" in error["loc"]:
            return unknown_key(str(path[-1]), choices)
        close = did_you_mean(value, choices) if isinstance(value, str) else ""
        several = "one of " if len(choices) > 1 else ""
        return f"should be {several}{', '.join(choices) or context['expected']}{close}"
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        key, tags = (
            context["discriminator"].strip("'"),
            re.findall(r"'([^']*)'", context.get("expected_tags", "")),
        )
        close = did_you_mean(str(context.get("tag")), tags)
        return f"{key} should be one of {', '.join(tags)}{close}" if tags else f"{key} is missing"
    if kind in _BOUNDS:
        return _BOUNDS[kind].format(**context)
    if kind == "string_pattern_mismatch":
        return _PATTERNS.get(context["pattern"], f"should match the pattern {context['pattern']}")
    if kind == "string_too_short" and context["min_length"] == 1:
        return "should not be empty"
    if kind == "too_short":
        return f"should have at least {context['min_length']} of them"
    if kind == "value_error":
        return str(context.get("error") or error["msg"].removeprefix("Value error, "))
    expected = _EXPECTED.get(kind.split("_")[0])
    if expected is not None and kind.endswith(("_type", "_parsing", "_from_float", "_attributes_type")):
        if value is None:
            return f"has no value: it should be {expected}"
        quoted = kind == "string_type" and isinstance(value, bool | int | float)
        return f"should be {expected}{': put it in quotes' if quoted else ''}"
    return error["msg"].replace("Input should", "should").replace("Value should", "should")


def _secret_sentence(error: ErrorDetails) -> str:
    if error["type"] == "value_error":
        return str((error.get("ctx") or {}).get("error"))
    return BY_REFERENCE


def unknown_key(key: str, known: list[str], what: str = "key") -> str:
    """Says that there is no such key, and which one was meant or which there are."""
    close = closest(key, known)
    if close is not None:
        return f"unknown {what}, did you mean {close}?"
    return f"unknown {what}: there {'is' if len(known) == 1 else 'are'} {', '.join(known) or 'none here'}"


def _known(model: type[BaseModel], path: Path, other_keys: Iterable[str]) -> list[str]:
    """The keys allowed where the last step of the path is one too many."""
    beside = other_keys if len(path) == 1 else ()
    own = [
        field.alias or name
        for found in _types_at(model, path[:-1])
        if isinstance(found, type) and issubclass(found, BaseModel)
        for name, field in found.model_fields.items()
    ]
    return list(dict.fromkeys((*own, *beside)))


def _secret_above(model: type[BaseModel], path: Path) -> Path | None:
    """The part of a path that leads to a secret, or None where there is none on the way."""
    for length in range(1, len(path) + 1):
        if SecretRef in _types_at(model, path[:length]):
            return path[:length]
    return None


def _types_at(annotation: Any, path: Path) -> list[Any]:
    found = list(_members(annotation))
    for step in path:
        found = [inner for outer in found for inner in _step(outer, step)]
    return found


def _step(annotation: Any, step: str | int) -> Iterator[Any]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        for name, field in annotation.model_fields.items():
            if step in (name, field.alias):
                yield from _members(field.annotation)
        return
    origin, inner = get_origin(annotation), get_args(annotation)
    if not isinstance(origin, type):
        return
    if issubclass(origin, Mapping) and isinstance(step, str):
        yield from _members(inner[1])
    elif issubclass(origin, Sequence) and isinstance(step, int):
        fixed = issubclass(origin, tuple) and Ellipsis not in inner
        yield from _members(inner[step] if fixed and step < len(inner) else inner[0])


def _members(annotation: Any) -> Iterator[Any]:
    """A type, or each of those of a union, out of aliases and annotations."""
    if isinstance(annotation, TypeAliasType):
        yield from _members(annotation.__value__)
        return
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _members(get_args(annotation)[0])
    elif origin in (Union, types.UnionType):
        for member in get_args(annotation):
            yield from _members(member)
    elif origin is not Literal:
        yield annotation
