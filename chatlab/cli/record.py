"""Records a backend's answers to a list of prompts, as `chatlab.recording.format` defines recordings."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any, TextIO

from chatlab.config.registry import Entry
from chatlab.errors import ChatlabError, StoreError
from chatlab.formats import from_openai
from chatlab.messages import Message
from chatlab.recording.format import Header, Writer
from chatlab.turns.fit import fit
from chatlab.turns.turn import Turn, run_turn


@dataclass(frozen=True, slots=True)
class Prompt:
    """One conversation to be answered, with its own system prompt and parameters if it has any."""

    messages: tuple[Message, ...]
    system: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)


def read_prompts(lines: Iterable[str], name: str) -> list[Prompt]:
    """The prompts of a file: one a line. A name that ends in .jsonl has JSON lines, any other plain text.

    A JSON line is a string, or an object with `prompt` or OpenAI `messages`, and with `system` and
    `parameters` if wanted. Blank lines are skipped. Raises StoreError with file and line.
    """
    as_json = name.lower().endswith((".jsonl", ".ndjson"))
    prompts = []
    for number, line in enumerate(lines, 1):
        text = line.rstrip("\r\n")
        if not text.strip():
            continue
        try:
            prompts.append(_from_json(text) if as_json else Prompt((Message.of("user", text),)))
        except (ValueError, ChatlabError) as exc:
            raise StoreError(f"{name}:{number}: {exc}") from exc
    if not prompts:
        raise StoreError(f"{name} has no prompts: write one a line")
    return prompts


def _from_json(line: str) -> Prompt:
    try:
        value = json.loads(line)
    except ValueError as exc:
        raise ValueError("this line is not JSON") from exc
    if isinstance(value, str):
        return Prompt((Message.of("user", value),))
    if not isinstance(value, dict) or ("prompt" in value) == ("messages" in value):
        raise ValueError("a prompt is a JSON string, or an object with either prompt or messages")
    unknown = value.keys() - {"prompt", "messages", "system", "parameters"}
    if unknown:
        raise ValueError(
            f"{', '.join(sorted(unknown))}: only prompt, messages, system and parameters are known"
        )
    system, parameters = value.get("system"), value.get("parameters", {})
    if not isinstance(system, str | None) or not isinstance(parameters, dict):
        raise ValueError("system is a text, parameters an object")
    if "prompt" in value:
        if not isinstance(value["prompt"], str):
            raise ValueError("prompt is a text; a conversation goes under messages")
        return Prompt((Message.of("user", value["prompt"]),), system, parameters)
    if not isinstance(value["messages"], list):
        raise ValueError("messages is a list of OpenAI messages")
    return Prompt(from_openai(value["messages"]), system, parameters)


async def record(
    entry: Entry,
    prompts: Sequence[Prompt],
    out: TextIO,
    *,
    system: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    done: Callable[[int, Turn], None] | None = None,
) -> int:
    """Writes a recording of the answers, one prompt after the other, and returns how many failed.

    A failed answer is part of the recording. done: called after each prompt with its number, from 1, and its
    turn. Raises NotReady and MissingExtra before anything is written.
    """
    entry.backend()
    options, field_name = entry.config.options, entry.cls.address_field
    model = getattr(options, field_name, None) if field_name else None
    writer = Writer(
        out, Header(entry.config.kind, str(model) if model is not None else None, label=entry.config.label)
    )
    failures = 0
    for number, prompt in enumerate(prompts, 1):
        wanted = {**(parameters or {}), **prompt.parameters}
        own_system = system if prompt.system is None else prompt.system
        turn = run_turn(entry, prompt.messages, parameters=wanted, system=own_system)
        messages, sent = _sent(entry, prompt.messages, wanted, own_system)
        started = perf_counter()
        async with turn:
            await writer.record(turn, messages, sent, started=started)
        failures += turn.error is not None
        if done is not None:
            done(number, turn)
    return failures


def _sent(
    entry: Entry, messages: tuple[Message, ...], parameters: Mapping[str, Any], system: str | None
) -> tuple[tuple[Message, ...], Mapping[str, Any]]:
    """What the backend will be given: a recording says what was sent, not what was meant."""
    given = {**entry.config.parameters, **parameters}
    try:
        request, _ = fit(entry.capabilities, messages, given, entry.system if system is None else system)
    except ChatlabError:  # the turn fails with it too, which is what is recorded
        return messages, given
    return request.messages, request.parameters


def file_name(backend: str) -> str:
    """A file name for the recording of a backend of this name or address."""
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in backend).strip(".-") + ".jsonl"


def output_paths(out: Path, backends: Sequence[str]) -> list[Path]:
    """Where each backend's recording goes: `out` itself for one, files in the folder `out` for several."""
    return [out] if len(backends) == 1 else [out / file_name(name) for name in backends]
