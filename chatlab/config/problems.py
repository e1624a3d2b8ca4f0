"""Makes sentences for whoever wrote the YAML of what pydantic found wrong. None repeats a value."""

from __future__ import annotations

import re
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from typing_extensions import TypeAliasType

from chatlab.config.yaml_positions import Document, Path, Problem
from chatlab.secret import SecretRef, is_credential, scrub
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
    """Return the problems of `data`, validated as `model` and written at `prefix` of the document.

    other_keys: keys that are allowed beside the model's own, for close matches.
    """
    found: dict[Path, list[ErrorDetails]] = {}
    for error in exc.errors(include_url=False):
        found.setdefault(written(error, data), []).append(error)
    keys = _Keys(model, tuple(other_keys))
    meant = keys.meant(found)
    return [
        _problem(path, errors, keys, document, prefix)
        for path, errors in found.items()
        if not _is_said_elsewhere(path, errors, found, meant)
    ]


@dataclass(frozen=True, slots=True)
class _Keys:
    """The keys a model knows. beside: keys that are allowed beside its own."""

    model: type[BaseModel]
    beside: tuple[str, ...]

    def close_to(self, path: Path) -> str | None:
        """The key that the last step of a path may have been meant to be."""
        return closest(str(path[-1]), _known(self.model, path, self.beside))

    def meant(self, found: Mapping[Path, list[ErrorDetails]]) -> set[Path]:
        """Return the paths of keys that are there, though misspelt."""
        unknown = [path for path, errors in found.items() if errors[0]["type"] == "extra_forbidden"]
        return {(*path[:-1], close) for path in unknown if (close := self.close_to(path)) is not None}


def _is_said_elsewhere(
    path: Path, errors: list[ErrorDetails], found: Mapping[Path, list[ErrorDetails]], meant: set[Path]
) -> bool:
    """Return whether another problem says already what these errors say, since one key is misspelt, or since
    each branch of a union has errors of its own.
    """
    misspelt = {other[:-1] for other in meant}
    if errors[0]["type"] == "missing" and (
        path in meant or (path[:-1] in misspelt and _in_union(errors, path))
    ):
        return True  # it is there, misspelt; or it belongs to another branch of a union
    if not path:
        return path in misspelt and bool(errors[0]["loc"])  # of a field that is there, misspelt
    further = any(other[: len(path)] == path and other != path for other in found)
    return further and _in_union(errors, path)  # another branch took the value's shape and has said more


def _problem(
    path: Path, errors: list[ErrorDetails], keys: _Keys, document: Document, prefix: Path
) -> Problem:
    whole = (*prefix, *path)
    secret = _secret_above(keys.model, path)
    if secret is not None:
        text = "; ".join(dict.fromkeys(_secret_sentence(error) for error in errors))
        return Problem(document.at(whole), (*prefix, *secret), text)
    unknown = errors[0]["type"] == "extra_forbidden"
    # One that is close to no key is none that anybody meant to write: it may be a secret.
    shown = guarded(whole) if unknown and keys.close_to(path) is None else whole
    texts = [_sentence(error, keys.model, path, keys.beside) for error in errors]
    is_key = unknown or "[key]" in errors[0]["loc"]
    position = document.key(whole) if is_key else document.at(whole)
    return Problem(position, shown, ", or ".join(dict.fromkeys(texts)))


def literal_credentials(
    document: Document, data: Any, prefix: Path, known: Sequence[Problem]
) -> list[Problem]:
    """Return a problem for each text below `prefix` that is plainly a credential, wherever it stands.

    known: problems that were found already; no place is told twice.
    """
    return [
        Problem(document.at(where), guarded(where), BY_REFERENCE)
        for where, text in _texts(data, prefix)
        if is_credential(text) and not any(where[: len(one.path)] == one.path for one in known)
    ]


def _texts(data: Any, path: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(data, str):
        yield path, data
    for key, value in items_of(data):
        yield from _texts(value, (*path, key))


def items_of(data: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the pairs of a mapping or the numbered items of a list; nothing of anything else."""
    if isinstance(data, dict):
        yield from data.items()
    elif isinstance(data, list):
        yield from enumerate(data)


def render(file: str, problem: Problem) -> str:
    """`file:line:column: path: what is wrong`, on one line and without credentials."""
    where = "".join(
        f"[{step}]" if isinstance(step, int) else f".{_printable(step)}" for step in problem.path
    ).removeprefix(".")
    text = f"{where}: {problem.text}" if where else problem.text
    return f"{file}:{problem.position.line}:{problem.position.column}: {scrub(text)}"


def guarded(path: Path) -> Path:
    """Return the path up to a key that may hold a secret: what is written below it may be the
    secret itself.
    """
    for number, step in enumerate(path):
        # The name of a backend is free: one called "keys" hides nothing.
        if isinstance(step, str) and (number, path[0]) != (1, "backends") and _SECRETIVE.search(step):
            return path[: number + 1]
    return path


def _printable(step: str) -> str:
    step = step if len(step) <= 60 else f"{step[:59]}…"
    return step if step.isprintable() and step else repr(step)


def written(error: ErrorDetails, data: Any) -> Path:
    """Return the error's path in what was written: pydantic's also has the branches of unions in it."""
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
    kind, context = error["type"], error.get("ctx") or {}
    if kind == "extra_forbidden":
        return unknown_key(str(path[-1]), _known(model, path, other_keys))
    if kind == "literal_error":
        return _choice(error, context, path)
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        return _tag(context)
    if kind in _BOUNDS:
        return _BOUNDS[kind].format(**context)
    if kind == "string_pattern_mismatch":
        return _PATTERNS.get(context["pattern"], f"should match the pattern {context['pattern']}")
    if kind == "value_error":
        return str(context.get("error") or error["msg"].removeprefix("Value error, "))
    return _of_length(kind, context) or _of_type(error) or _of_pydantic(error["msg"])


def _choice(error: ErrorDetails, context: Mapping[str, Any], path: Path) -> str:
    """Return what is said of a value that is none of those that are allowed."""
    choices = re.findall(r"'([^']*)'", context["expected"])
    if "[key]" in error["loc"]:
        return unknown_key(str(path[-1]), choices)
    value = error["input"]
    close = did_you_mean(value, choices) if isinstance(value, str) else ""
    several = "one of " if len(choices) > 1 else ""
    return f"should be {several}{', '.join(choices) or context['expected']}{close}"


def _tag(context: Mapping[str, Any]) -> str:
    """Return what is said of a mapping whose key, by which its kind is told, is missing or wrong."""
    key = context["discriminator"].strip("'")
    tags = re.findall(r"'([^']*)'", context.get("expected_tags", ""))
    close = did_you_mean(str(context.get("tag")), tags)
    return f"{key} should be one of {', '.join(tags)}{close}" if tags else f"{key} is missing"


def _of_length(kind: str, context: Mapping[str, Any]) -> str:
    if kind == "missing":
        return "is missing"
    if kind == "string_too_short" and context["min_length"] == 1:
        return "should not be empty"
    return f"should have at least {context['min_length']} of them" if kind == "too_short" else ""


def _of_type(error: ErrorDetails) -> str:
    kind, value = error["type"], error["input"]
    expected = _EXPECTED.get(kind.split("_")[0])
    if expected is None or not kind.endswith(("_type", "_parsing", "_from_float", "_attributes_type")):
        return ""
    if value is None:
        return f"has no value: it should be {expected}"
    quoted = kind == "string_type" and isinstance(value, bool | int | float)
    return f"should be {expected}{': put it in quotes' if quoted else ''}"


def _of_pydantic(message: str) -> str:
    return message.replace("Input should", "should").replace("Value should", "should")


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
    """Return the part of a path that leads to a secret, or None where there is none on the way."""
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
    """Yield a type, or each of those of a union, out of aliases and annotations."""
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
