"""`chatlab chat`: one answer, painted, piped or as JSON lines. Conversations are in `repl`."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from chatlab.backend import CallContext
from chatlab.cli.answer import Settings, answer, file_part, stopping, user_message
from chatlab.cli.inputs import parse_parameters, read_stdin
from chatlab.cli.program import FAILED, INTERRUPTED, OK, say
from chatlab.cli.target import chat_target, chosen, entry, open_lab
from chatlab.cli.terminal_text import describe
from chatlab.codec import event_to_json, to_plain
from chatlab.config.registry import Entry
from chatlab.conversations.tree import TurnNode
from chatlab.errors import ChatlabError
from chatlab.lab import Lab
from chatlab.messages import Message
from chatlab.recording.format import Failure
from chatlab.turns.turn import Turn, run_turn

if TYPE_CHECKING:
    from chatlab.cli.stored_chat import StoredChat


def chat(
    words: tuple[str, ...],
    *,
    backend: str | None,
    system: str | None,
    parameters: Sequence[str],
    files: Sequence[str],
    as_json: bool,
    plain: bool,
    no_reasoning: bool,
    go_on: bool = False,
    owner: str | None = None,
) -> int:
    """Runs the command and returns its exit code."""
    attached = tuple(map(file_part, files))
    lab, who, prompt, named = _resolve(words, backend)
    if owner is not None and not go_on:
        raise click.UsageError("--owner says whose conversation --continue goes on with")
    given = parse_parameters(parameters, who.capabilities.parameters)
    settings = Settings(system, given, plain, not no_reasoning)
    piped = None if sys.stdin is not None and sys.stdin.isatty() else read_stdin()
    # "-" is standard input, as elsewhere; it is read anyway.
    text = "\n\n".join(filter(None, ("" if prompt == "-" else prompt, piped)))
    with asyncio.Runner() as runner:
        try:
            going_on = _latest(lab, owner, runner) if go_on else None
            last = None if going_on is None else going_on.backend
            if last is not None and not named and last in lab.backends:
                who = lab.backends[last]
            if prompt is None and piped is None and sys.stdout.isatty() and not as_json:
                from chatlab.cli.repl import ChatSession

                return ChatSession(lab, who, settings, attached, runner, going_on).run()
            if not text and piped is None:
                click.echo("type the prompt, then Ctrl-D", err=True)
                text = read_stdin()
            if not text.strip() and not attached:
                raise click.UsageError("there is no prompt: give one, or pipe it in")
            question = user_message(text, attached)
            if going_on is not None:
                return runner.run(_ask_on(going_on, who, question, settings, as_json=as_json))
            turn = run_turn(who, [question], parameters=given, system=system)
            return runner.run(_as_json(turn) if as_json else answer(turn, settings))
        finally:
            runner.run(lab.aclose())


def _latest(lab: Lab, owner: str | None, runner: asyncio.Runner) -> StoredChat:
    from chatlab.cli.stored_chat import StoredChat

    return runner.run(StoredChat.latest(lab, owner))


async def _ask_on(
    chat: StoredChat, who: Entry, question: Message, settings: Settings, *, as_json: bool
) -> int:
    """Ask one message more of a stored conversation."""
    node = TurnNode(chat.last, question, who.label)
    messages, notices = chat.turns.messages(node)
    for notice in notices:
        click.echo(describe(notice), err=True)
    ctx = CallContext(conversation=chat.turns.thread(node))
    turn = run_turn(
        *(who, await chat.given(messages)), parameters=settings.parameters, system=settings.system, ctx=ctx
    )
    return await chat.saved(
        *(node, turn, lambda: _as_json(turn) if as_json else answer(turn, settings)),
        parameters=settings.parameters,
        system=settings.system,
    )


def _resolve(words: tuple[str, ...], backend: str | None) -> tuple[Lab, Entry, str | None, bool]:
    """Return the lab, the backend, the prompt if there is one, and whether the backend was named."""
    target = chat_target(words)
    lab = open_lab(target.config)
    names, rest = target.names, target.rest
    if not names and rest and words == rest:  # no target, unless the first word is a backend's name
        if rest[0] in lab.backends:
            names, rest = rest[:1], rest[1:]
        elif len(rest) > 1:
            configured = ", ".join(lab.backends)
            raise click.UsageError(
                f"{rest[0]!r} is no configuration file, address or configured backend ({configured}); "
                "a prompt of several words goes in quotes"
            )
    elif rest and rest[0] in lab.backends and backend is None:
        say(f"note: {rest[0]!r} is sent as the prompt; --backend {rest[0]} would choose that backend")
    if names and backend is not None:
        raise click.UsageError(f"both {names[0]} and --backend {backend} are given: choose one")
    name = names[0] if names else backend
    who = entry(lab, name) if name is not None else chosen(lab)
    return lab, who, rest[0] if rest else None, name is not None


async def _as_json(turn: Turn) -> int:
    """Every event as a line of JSON, then one with all figures; null is unknown."""
    failure: ChatlabError | None = None
    with stopping(turn) as stopped_by:
        _json_line({"type": "start", "backend": turn.entry.name, "kind": turn.entry.config.kind})
        async with turn:
            try:
                async with aclosing(turn.batches()) as batches:
                    async for batch in batches:
                        for event in batch:
                            _json_line(event_to_json(event), flush=False)
                        sys.stdout.flush()
            except ChatlabError as exc:
                failure = exc
    finish, timing = turn.answer.finish, turn.timing
    if failure is not None:
        _json_line({"type": "error", **to_plain(Failure.of(timing.total or 0.0, failure))})
    _json_line(
        {
            "type": "end",
            "outcome": turn.outcome,
            "model": finish.model if finish else None,
            "usage": asdict(finish.usage) if finish else None,
            "timing": asdict(timing),
            "cost": turn.cost,
        }
    )
    if failure is not None:
        raise failure
    if turn.outcome == "stopped":
        return stopped_by[0] if stopped_by else INTERRUPTED
    return OK if turn.outcome == "finished" else FAILED


# Characters that JSON allows as they are but that a terminal obeys, that end a line for some readers, or that
# cannot be encoded.
_AWKWARD = re.compile(r"[\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def _json_line(value: Mapping[str, Any], *, flush: bool = True) -> None:
    text = json.dumps(value, ensure_ascii=False)
    sys.stdout.write(_AWKWARD.sub(lambda found: f"\\u{ord(found.group()):04x}", text) + "\n")
    if flush:
        sys.stdout.flush()
