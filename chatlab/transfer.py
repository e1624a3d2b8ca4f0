"""Conversations out of the store, as JSONL, Markdown or one HTML file, and into it from ours and others'.

docs/export-format.md describes the JSONL, which alone is complete and comes back without loss.
"""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Sequence
from typing import Literal, TypeAlias, assert_never

from chatlab._transfer_html import CSS, Tree, figures, outcome, pieces, shared_html
from chatlab._transfer_import import Imported, Problem, import_file
from chatlab._transfer_json import FORMAT, VERSION, conversation_to_json, to_line, turn_to_json
from chatlab.history import fenced
from chatlab.markup import document
from chatlab.messages import FilePart, Part, ReasoningPart, TextPart, ToolCallPart, ToolResultPart
from chatlab.store import FILE_SCHEME, NotStored, Store, StoredConversation, StoredTurn
from chatlab.store.files import Files

__all__ = ["Format", "Imported", "Problem", "export", "import_file", "shared_html"]

Format: TypeAlias = Literal["jsonl", "markdown", "html"]


async def export(
    store: Store, files: Files, owner: str, conversation: str | None = None, *, format: Format = "jsonl"
) -> AsyncIterator[str]:
    """One conversation of an owner, or all of the owner's chats, as text in pieces to be written one after
    the other. At most one conversation and one attachment are in memory. Raises NotStored.
    """
    chosen = await _all(store, owner) if conversation is None else [await store.get(owner, conversation)]
    if format == "jsonl":
        yield to_line({"format": FORMAT, "version": VERSION})
        async for kept, turns in _each(store, chosen):
            async for line in _lines(files, kept, turns):
                yield line
    elif format == "markdown":
        async for kept, turns in _each(store, chosen):
            for text in _markdown(kept, turns):
                yield _characters(text)
    elif format == "html":
        title = chosen[0].title if conversation is not None else "Conversations"
        head, _, tail = document(_characters(title) or "Conversation", "\0", css=CSS).partition("\0")
        yield head
        async for kept, turns in _each(store, chosen):
            async for piece in pieces(files, kept, turns):
                yield piece
        yield tail
    else:
        assert_never(format)


async def _all(store: Store, owner: str) -> list[StoredConversation]:
    found: list[StoredConversation] = []
    after: str | None = None
    while True:
        page = await store.recent(owner, after=after, limit=200)
        found += page.conversations
        after = page.next
        if after is None:
            return list({kept.id: kept for kept in found}.values())  # one may move while the list is read


async def _each(
    store: Store, chosen: Sequence[StoredConversation]
) -> AsyncIterator[tuple[StoredConversation, Sequence[StoredTurn]]]:
    """The conversations with their turns, without those that were deleted meanwhile."""
    for kept in chosen:
        try:
            yield kept, await store.turns(kept.owner, kept.id)
        except NotStored:
            continue


async def _lines(
    files: Files, conversation: StoredConversation, turns: Sequence[StoredTurn]
) -> AsyncIterator[str]:
    yield to_line(conversation_to_json(conversation))
    written: set[str] = set()
    for turn in turns:
        for sha256 in _named(turn):
            if sha256 not in written:
                written.add(sha256)
                try:
                    path = await files.path(sha256)
                except NotStored:
                    continue  # the turn still names it; an import says that it was not there
                data = base64.b64encode(path.read_bytes()).decode("ascii")
                yield to_line({"type": "file", "sha256": sha256, "data": data})
        yield to_line(turn_to_json(turn))


def _named(turn: StoredTurn) -> list[str]:
    urls = [part.url for part in (*turn.user.parts, *turn.answer) if isinstance(part, FilePart)]
    return [url.removeprefix(FILE_SCHEME) for url in urls if url is not None and url.startswith(FILE_SCHEME)]


def _markdown(conversation: StoredConversation, turns: Sequence[StoredTurn]) -> list[str]:
    branch = Tree.of(conversation, turns).branch()
    made = [f"# {conversation.title or 'Conversation'}\n\n{conversation.created:%Y-%m-%d %H:%M} UTC\n\n"]
    for turn in branch:
        made.append(f"## You\n\n{_parts(turn.user.parts)}## {turn.label}\n\n{_parts(turn.answer)}")
        ending = outcome(turn)
        said = [*([ending] if ending else []), *(notice.detail for notice in turn.notices)]
        said += [f"Source: {source.title} {source.url or ''}".strip() for source in turn.citations]
        made += [f"> {line}\n\n" for line in said]
        took = figures(turn)
        made.append(f"*{took}*\n\n" if took else "")
    left = len(turns) - len(branch)
    if left:
        what = "turn of another version is" if left == 1 else "turns of other versions are"
        made.append(f"> {left} {what} not shown here.\n\n")
    return made


def _parts(parts: Sequence[Part]) -> str:
    return "".join(_part(part) for part in parts)


def _part(part: Part) -> str:
    if isinstance(part, TextPart):
        return f"{part.text}\n\n"
    if isinstance(part, ReasoningPart):
        return "".join(f"> {line}\n" for line in ("Thoughts:", *part.text.splitlines())) + "\n"
    if isinstance(part, ToolCallPart):
        return f"Called `{part.name}`:\n\n{fenced(part.arguments)}\n\n"
    if isinstance(part, ToolResultPart):
        ended = "failed" if part.is_error else "answered"
        return f"`{part.name or 'The tool'}` {ended}:\n\n{fenced(part.content)}\n\n"
    if isinstance(part, FilePart):
        where = "" if part.url is None or part.url.startswith(FILE_SCHEME) else f": {part.url}"
        return f"[{part.name or 'attachment'}, {part.media_type}{where}]\n\n"
    assert_never(part)


def _characters(text: str) -> str:
    """The text as UTF-8 can say it."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
