"""Reads files: our JSONL (docs/export-format.md), ChatGPT's data export, OpenAI message lists.

A conversation or comparison session is taken in whole or not at all; one that cannot be is an
`ImportProblem`, and the others go on.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import chain
from typing import Any, BinaryIO, TypeAlias

from chatlab.errors import UnsupportedContent
from chatlab.formats import from_openai
from chatlab.ids import ConversationId, TurnId
from chatlab.messages import Finish, Message, Part
from chatlab.store import Store, StoredConversation, StoredTurn, new_id, now
from chatlab.store.files import Files
from chatlab.transfer.chatgpt import from_chatgpt, is_chatgpt
from chatlab.transfer.comparisons import SessionDraft
from chatlab.transfer.drafts import ConversationDraft, content
from chatlab.transfer.jsonl import (
    FORMAT,
    VERSION,
    comparison_from_json,
    conversation_from_json,
    object_from_line,
)


@dataclass(frozen=True, slots=True)
class ImportProblem:
    """A reason why something was not imported. where: the file and the line or the conversation in it."""

    where: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.where}: {self.sentence}"


@dataclass(slots=True)
class ImportResult:
    """The outcome of an import. already: conversations and sessions that were there with the same id, and
    stay as they are. noticed: on how many turns there is something to read that was left out. unused: how
    many of the imported ones nobody wrote to since the moment that was named."""

    conversations: int = 0
    comparisons: int = 0
    turns: int = 0
    already: int = 0
    noticed: int = 0
    unused: int = 0
    problems: list[ImportProblem] = field(default_factory=list)


_Draft: TypeAlias = ConversationDraft | SessionDraft

_MOST_PROBLEMS = 1_000  # after so many a file is no export of anything


async def import_file(
    store: Store,
    files: Files,
    owner: str,
    source: BinaryIO,
    name: str,
    *,
    unused_since: datetime | None = None,
    progress: Callable[[ImportResult], object] = lambda _: None,
) -> ImportResult:
    """Takes in what a file holds as this owner's; the format is told by the content. Ids are kept; where one
    is taken by somebody else, the whole of it gets new ones. Raises StoreError where the store fails.

    name: what the file is called in problems. unused_since: counts what retention would remove. progress:
    told what it came to so far, each time that something was taken in.
    """
    result = ImportResult()
    async with aclosing(_read(files, owner, source, name)) as found:
        async for read in found:
            if len(result.problems) >= _MOST_PROBLEMS:
                sentence = f"has {_MOST_PROBLEMS:,} problems, so the rest of it was not read"
                result.problems.append(ImportProblem(name, sentence))
                break
            if isinstance(read, ImportProblem):
                result.problems.append(read)
                continue
            try:
                read.check()
                if not await read.take_in(store, files):
                    result.already += 1
                    continue
            except (ValueError, UnsupportedContent) as exc:
                title = f" ({read.title[:60]})" if isinstance(read, SessionDraft) and read.title else ""
                result.problems.append(ImportProblem(read.where + title, str(exc)))
                continue
            _count(result, read, unused_since)
            progress(result)
    return result


def _count(result: ImportResult, taken: _Draft, unused_since: datetime | None) -> None:
    """Add what was taken in to the outcome."""
    if isinstance(taken, SessionDraft):
        result.comparisons += 1
    else:
        result.conversations += 1
    result.turns += len(taken.turns)
    result.unused += unused_since is not None and taken.unused_since(unused_since)
    result.noticed += sum(1 for turn in taken.turns if turn.notices)


async def _read(
    files: Files, owner: str, source: BinaryIO, name: str
) -> AsyncGenerator[_Draft | ImportProblem, None]:
    number, first = _first_line(source)
    if not first:
        yield ImportProblem(name, "is empty")
    elif first.startswith(b"PK"):
        yield ImportProblem(name, "is a ZIP archive: unpack it and import the conversations.json in it")
    else:
        opening = _json(first) if first.lstrip().startswith(b"{") else None  # a list may be the whole file
        if isinstance(opening, dict) and "format" in opening:
            if (opening["format"], opening.get("version")) == (FORMAT, VERSION):
                async for read in _ours(files, owner, source, name, number):
                    yield read
            else:
                said = f"this chatlab reads {FORMAT} of version {VERSION}, not this"
                yield ImportProblem(f"{name}:{number}", said)
        elif isinstance(opening, dict) and "messages" in opening:
            for read in _from_lines(enumerate(chain([first], source), number), owner, name):
                yield read
        else:
            for read in _from_whole(first + source.read(), owner, name, number):
                yield read


def _first_line(source: BinaryIO) -> tuple[int, bytes]:
    """Return the first line that has anything on it, without a byte order mark, and its number; b"" if none
    has.
    """
    for number, line in enumerate(source, 1):
        shown = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
        if shown.strip():
            return number, shown
    return 0, b""


def _json(line: bytes) -> Any:
    """Return the value on a line, or None if it is no JSON by itself."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _from_lines(
    lines: Iterable[tuple[int, bytes]], owner: str, name: str
) -> Iterator[_Draft | ImportProblem]:
    """Conversations of OpenAI messages, one a line."""
    for number, line in lines:
        if not line.strip():
            continue
        try:
            value = object_from_line(line)
        except ValueError as exc:
            yield ImportProblem(f"{name}:{number}", str(exc))
        else:
            yield _from_value(value, owner, f"{name}:{number}")


def _from_whole(data: bytes, owner: str, name: str, line: int) -> Iterator[_Draft | ImportProblem]:
    """Yield a file that is one JSON value, which begins on this line: one conversation, or a list of them."""
    try:
        text = data.decode(json.detect_encoding(data), "surrogatepass")
        if not text.lstrip(_SPACE).startswith("["):
            yield _from_value(json.loads(text), owner, name)
            return
        for at, value in enumerate(_values(text), 1):
            if at == 1 and isinstance(value, dict) and "role" in value:
                yield _from_value({"messages": json.loads(text)}, owner, name)
                return
            yield _from_value(value, owner, f"{name}, conversation {at}")
    except (ValueError, RecursionError) as exc:
        place = f":{line - 1 + exc.lineno}" if isinstance(exc, json.JSONDecodeError) else ""
        yield ImportProblem(f"{name}{place}", "is not JSON: the file may have been cut short or changed")


_SPACE = " \t\n\r"
_NOTHING = re.compile(f"[{_SPACE}]*")


def _values(text: str) -> Iterator[Any]:
    """Yield the values of the list that a text is, each read when it is asked for, so that only one of them
    takes memory. Raise ValueError where it is no such list."""

    def after(at: int) -> int:
        found = _NOTHING.match(text, at)
        assert found is not None  # nothing is found everywhere
        return found.end()

    decoder = json.JSONDecoder()
    at = after(text.index("[") + 1)
    more = not text.startswith("]", at)
    while more:
        value, at = decoder.raw_decode(text, at)
        yield value
        at = after(at)
        more = text.startswith(",", at)
        at = after(at + 1) if more else at
    if not text.startswith("]", at) or after(at + 1) != len(text):
        raise json.JSONDecodeError("the list does not end here", text, at)


_UNKNOWN = "is no conversation of ours, of ChatGPT's export, or of OpenAI messages (objects with a role)"


def _from_value(value: Any, owner: str, where: str) -> _Draft | ImportProblem:
    if isinstance(value, dict) and isinstance(value.get("title"), str) and value["title"]:
        where = f"{where} ({value['title'][:60]})"
    try:
        if is_chatgpt(value):
            conversation, turns = from_chatgpt(value, owner)
            return ConversationDraft(where, conversation, turns)
        if isinstance(value, dict) and isinstance(value.get("messages"), list):
            return _from_messages(value, owner, where)
    except (ValueError, UnsupportedContent) as exc:
        return ImportProblem(where, str(exc))
    return ImportProblem(where, _UNKNOWN)


def _from_messages(value: Mapping[str, Any], owner: str, where: str) -> ConversationDraft:
    """Return a plain list of messages: every message of the person begins a turn."""
    title, model = value.get("title"), value.get("model")
    begun = now()
    draft = ConversationDraft(
        where,
        StoredConversation(
            ConversationId(new_id()), owner, title if isinstance(title, str) else "", begun, begun
        ),
    )
    system: list[str] = []
    parts: list[Part] = []
    user: Message | None = None

    def end_turn() -> None:
        nonlocal user
        if user is None and not parts:
            return
        number = len(draft.turns)
        draft.turns.append(
            StoredTurn(
                TurnId(new_id()),
                owner,
                draft.conversation.id,
                draft.turns[-1].id if draft.turns else None,
                begun + timedelta(microseconds=number),  # which says nothing but the order
                user or Message("user", ()),
                "imported",
                "imported",
                model if isinstance(model, str) else "imported",
                system="\n\n".join(system) or None,
                status="finished" if parts else "interrupted",
                answer=tuple(parts),
                finish=Finish("stop", model=model if isinstance(model, str) else None) if parts else None,
            )
        )
        user = None
        parts.clear()

    for message in from_openai(value["messages"]):
        if message.role == "user":
            end_turn()
            user = message
        elif message.role == "system":
            end_turn()
            system.append(message.text)
        else:
            parts += message.parts
    end_turn()
    if not draft.turns:
        raise ValueError("has no messages")
    draft.conversation = replace(draft.conversation, head=draft.turns[-1].id)
    return draft


async def _ours(
    files: Files, owner: str, lines: Iterable[bytes], name: str, before: int
) -> AsyncIterator[_Draft | ImportProblem]:
    draft: _Draft | None = None
    broken = False
    for number, line in enumerate(lines, before + 1):
        if not line.strip():
            continue
        where = f"{name}:{number}"
        try:
            value = object_from_line(line)
            kind = value.get("type")
            if kind in ("conversation", "comparison"):
                if draft is not None:
                    yield draft
                draft, broken = None, False
                if kind == "conversation":
                    draft = ConversationDraft(where, conversation_from_json(value, owner))
                else:
                    draft = SessionDraft(where, comparison_from_json(value, owner), value.get("left_out"))
            elif broken:
                continue
            elif draft is None:
                raise ValueError("stands before the conversation that it belongs to")
            elif kind == "file":
                draft.contents.add(await content(files, value))
            else:
                draft.add(value)
        except ValueError as exc:
            title = f" ({draft.title[:60]})" if draft is not None else ""
            noun = draft.noun if draft is not None else "conversation"
            yield ImportProblem(where + title, f"{exc}; this {noun} was not imported")
            draft, broken = None, True
    if draft is not None:
        yield draft
