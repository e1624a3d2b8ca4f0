"""The input of commands: parameters as NAME=VALUE, and standard input."""

from __future__ import annotations

import json
import select
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import click

from chatlab.backend import Parameter
from chatlab.text_files import decoded


def parse_parameters(given: Sequence[str], known: Sequence[Parameter]) -> dict[str, Any]:
    """`name=value` pairs as the backend's parameters have them. Raises UsageError.

    A name the backend does not know is kept: the turn leaves it out and says so.
    """
    types = {parameter.name: parameter for parameter in known}
    parsed: dict[str, Any] = {}
    for pair in given:
        name, equals, value = pair.partition("=")
        name = name.strip()
        if not equals or not name:
            raise click.UsageError(f"{pair!r} is not name=value, such as temperature=0.2")
        parameter = types.get(name)
        parsed[name] = _value(value, parameter)
        problem = parameter.problem(parsed[name]) if parameter is not None else None
        if problem is not None:
            raise click.UsageError(f"the parameter {name}={value} {problem}")
    return parsed


def _value(text: str, parameter: Parameter | None) -> Any:
    if parameter is not None and parameter.type == "string":
        return text
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    if parameter is not None and parameter.type == "strings" and not isinstance(value, list):
        return [text]
    return value


_HINT_AFTER = 2.0  # seconds without anything on standard input


def read_stdin() -> str:
    """Standard input to its end. Raises UsageError if it is not text."""
    if sys.stdin is None:  # closed by whoever started us
        return ""
    stream = sys.stdin.buffer
    with suppress(OSError, ValueError):  # not a descriptor, or a system that selects sockets only
        if not sys.stdin.isatty() and not select.select([stream], [], [], _HINT_AFTER)[0]:
            click.echo("waiting for standard input to end (</dev/null if there is none)", err=True)
    try:
        return decoded(stream.read())
    except ValueError as exc:
        raise click.UsageError("standard input is not UTF-8 text: attach a file with --file") from exc
