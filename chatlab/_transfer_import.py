"""Conversations from files: our JSONL (docs/export-format.md), ChatGPT's data export, OpenAI message lists.

A conversation is taken in whole or not at all; one that cannot be is a `Problem`, and the others go on.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import chain
from typing import Any, BinaryIO

from chatlab._transfer_chatgpt import from_chatgpt, is_chatgpt
from chatlab._transfer_json import (
    FORMAT,
    VERSION,
    conversation_from_json,
    object_from_line,
    turn_from_json,
)
from chatlab.errors import UnsupportedContent
from chatlab.history import from_openai
from chatlab.messages import FilePart, Finish, Message, Notice, Part
from chatlab.store import (
    FILE_SCHEME,
    Conflict,
    NotStored,
    Store,
    StoredConversation,
    StoredTurn,
    new_id,
    now,
)
from chatlab.store.files import Files


@dataclass(frozen=True, slots=True)
class Problem:
    """Why something was not imported. where: the file and the line or the conversation in it."""

    where: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.where}: {self.sentence}"


@dataclass(slots=True)
class Imported:
    """What an import came to. already: conversations that were there with the same id, and stay as they are.
    notices: on how many turns there is something to read that was left out."""

    conversations: int = 0
    turns: int = 0
    already: int = 0
    noticed: int = 0
    problems: list[Problem] = field(default_factory=list)


@dataclass(slots=True)
class _Draft:
    """A conversation that was read. contents: hashes of the attachments that came with it."""

    where: str
    conversation: StoredConversation
    turns: list[StoredTurn] = field(default_factory=list)
    contents: set[str] = field(default_factory=set)


async def import_file(store: Store, files: Files, owner: str, source: BinaryIO, name: str) -> Imported:
    """Takes in what a file holds as this owner's; the format is told by the content. Ids are kept; where one
    is taken by somebody else, the conversation gets new ones. Raises StoreError where the store fails.

    name: what the file is called in problems.
    """
    result = Imported()
    async for read in _read(files, owner, source, name):
        if isinstance(read, Problem):
            result.problems.append(read)
            continue
        try:
            _check(read)
            if not await _take_in(store, files, read):
                result.already += 1
                continue
        except (ValueError, UnsupportedContent) as exc:
            result.problems.append(Problem(read.where, str(exc)))
            continue
        result.conversations += 1
        result.turns += len(read.turns)
        result.noticed += sum(1 for turn in read.turns if turn.notices)
    return result


async def _read(files: Files, owner: str, source: BinaryIO, name: str) -> AsyncIterator[_Draft | Problem]:
    first = b""
    number = 0
    for first_line in source:
        number += 1
        first = first_line.removeprefix(b"\xef\xbb\xbf") if number == 1 else first_line
        if first.strip():
            break
    if not first.strip():
        yield Problem(name, "is empty")
        return
    if first.startswith(b"PK"):
        yield Problem(name, "is a ZIP archive: unpack it and import the conversations.json in it")
        return
    try:
        opening = json.loads(first)
    except (ValueError, RecursionError):
        opening = None
    if isinstance(opening, dict) and "format" in opening:
        if opening["format"] != FORMAT or opening.get("version") != VERSION:
            yield Problem(f"{name}:{number}", f"this chatlab reads {FORMAT} of version {VERSION}, not this")
            return
        async for read in _ours(files, owner, source, name, number):
            yield read
    elif isinstance(opening, dict) and "messages" in opening:
        for at, line in enumerate(chain([first], source), number):
            if line.strip():
                try:
                    value = object_from_line(line)
                except ValueError as exc:
                    yield Problem(f"{name}:{at}", str(exc))
                else:
                    yield _from_value(value, owner, f"{name}:{at}")
    else:
        try:
            whole = json.loads(first + source.read())
        except (ValueError, RecursionError) as exc:
            place = f":{number - 1 + exc.lineno}" if isinstance(exc, json.JSONDecodeError) else ""
            yield Problem(f"{name}{place}", "is not JSON: the file may have been cut short or changed")
            return
        if isinstance(whole, list) and whole and all(isinstance(i, dict) and "role" in i for i in whole):
            whole = {"messages": whole}
        if isinstance(whole, dict):
            yield _from_value(whole, owner, name)
        elif isinstance(whole, list):
            for at, value in enumerate(whole, 1):
                yield _from_value(value, owner, f"{name}, conversation {at}")
        else:
            yield Problem(name, _UNKNOWN)


_UNKNOWN = "is no conversation of ours, of ChatGPT's export, or of OpenAI messages (objects with a role)"


def _from_value(value: Any, owner: str, where: str) -> _Draft | Problem:
    if isinstance(value, dict) and isinstance(value.get("title"), str) and value["title"]:
        where = f"{where} ({value['title'][:60]})"
    try:
        if is_chatgpt(value):
            conversation, turns = from_chatgpt(value, owner)
            return _Draft(where, conversation, turns)
        if isinstance(value, dict) and isinstance(value.get("messages"), list):
            return _from_messages(value, owner, where)
    except (ValueError, UnsupportedContent) as exc:
        return Problem(where, str(exc))
    return Problem(where, _UNKNOWN)


def _from_messages(value: Mapping[str, Any], owner: str, where: str) -> _Draft:
    """A plain list of messages: every message of the person begins a turn."""
    title, model = value.get("title"), value.get("model")
    begun = now()
    draft = _Draft(
        where, StoredConversation(new_id(), owner, title if isinstance(title, str) else "", begun, begun)
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
                new_id(),
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
) -> AsyncIterator[_Draft | Problem]:
    draft: _Draft | None = None
    broken = False
    for number, line in enumerate(lines, before + 1):
        if not line.strip():
            continue
        where = f"{name}:{number}"
        try:
            value = object_from_line(line)
            if value.get("type") == "conversation":
                if draft is not None:
                    yield draft
                draft, broken = None, False
                draft = _Draft(where, conversation_from_json(value, owner))
            elif broken:
                continue
            elif value.get("type") not in ("file", "turn"):
                raise ValueError("type should be conversation, file or turn")
            elif draft is None:
                raise ValueError("stands before the conversation that it belongs to")
            elif value["type"] == "turn":
                draft.turns.append(turn_from_json(value, owner, draft.conversation.id))
            else:
                draft.contents.add(await _content(files, value))
        except ValueError as exc:
            title = f" ({draft.conversation.title[:60]})" if draft is not None else ""
            yield Problem(where + title, f"{exc}; this conversation was not imported")
            draft, broken = None, True
    if draft is not None:
        yield draft


async def _content(files: Files, value: Mapping[str, Any]) -> str:
    data = value.get("data")
    if not isinstance(data, str):
        raise ValueError("data is missing")
    content = base64.b64decode(data, validate=True)
    sha256 = hashlib.sha256(content).hexdigest()
    if sha256 != value.get("sha256"):
        raise ValueError("the content is not the one that its sha256 names")
    return await files.put(content)


def _check(draft: _Draft) -> None:
    """Raises ValueError unless the turns are trees."""
    parents = {turn.id: turn.parent for turn in draft.turns}
    if len(parents) != len(draft.turns):
        raise ValueError("two of its turns have the same id")
    if any(parent is not None and parent not in parents for parent in parents.values()):
        raise ValueError("a turn follows one that is not there")
    if draft.conversation.head is not None and draft.conversation.head not in parents:
        raise ValueError("its head is not one of its turns")
    rooted: set[str] = set()
    for turn in parents:
        way: dict[str, None] = {}
        at: str | None = turn
        while at is not None and at not in rooted:
            if at in way:
                raise ValueError("turns follow each other in a circle")
            way[at] = None
            at = parents[at]
        rooted |= way.keys()


async def _take_in(store: Store, files: Files, draft: _Draft) -> bool:
    """Whether it was taken in: it may be there already."""
    owner = draft.conversation.owner
    try:
        await store.get(owner, draft.conversation.id)
    except NotStored:
        pass
    else:
        return False
    draft.turns = [await _with_own_files(store, files, turn, draft.contents) for turn in draft.turns]
    try:
        await store.adopt(draft.conversation, draft.turns)
    except Conflict:
        await store.adopt(*_with_new_ids(draft.conversation, draft.turns))
    return True


async def _with_own_files(store: Store, files: Files, turn: StoredTurn, contents: set[str]) -> StoredTurn:
    """The turn with its files in the file store. One that is only named, and did not come with it, is left
    out unless the owner has it: a name is no right to read it."""
    notices = list(turn.notices)

    async def own(parts: Sequence[Part]) -> tuple[Part, ...]:
        kept: list[Part] = []
        for part in parts:
            if isinstance(part, FilePart) and part.url is not None and part.url.startswith(FILE_SCHEME):
                sha256 = part.url.removeprefix(FILE_SCHEME)
                if sha256 not in contents and await store.may_read(turn.owner, sha256) is None:
                    notices.append(
                        Notice("file_dropped", f"{part.name or 'an attachment'} was not in the file")
                    )
                    continue
            kept.append(part)
        return (await files.taken(Message("user", tuple(kept)))).parts

    user, answer = await own(turn.user.parts), await own(turn.answer)
    return replace(turn, user=Message("user", user), answer=answer, notices=tuple(notices))


def _with_new_ids(
    conversation: StoredConversation, turns: Sequence[StoredTurn]
) -> tuple[StoredConversation, list[StoredTurn]]:
    ids = {turn.id: new_id() for turn in turns}
    renamed = replace(
        conversation, id=new_id(), head=None if conversation.head is None else ids[conversation.head]
    )
    return renamed, [
        replace(
            turn,
            id=ids[turn.id],
            conversation=renamed.id,
            parent=None if turn.parent is None else ids[turn.parent],
        )
        for turn in turns
    ]
