"""Writes what is stored as JSONL, Markdown or one HTML file, and reads it from ours and others' files.

docs/export-format.md describes the JSONL, which alone is complete and comes back without loss.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, TypeAlias, assert_never

from chatlab.ids import ConversationId
from chatlab.render.document import document
from chatlab.secret import scrub
from chatlab.store import NotStored, Store, StoredComparison, StoredConversation, StoredTurn
from chatlab.store.files import Files
from chatlab.text import well_formed
from chatlab.transfer import comparison_text as session_text
from chatlab.transfer.comparisons import session_lines
from chatlab.transfer.html import CSS, pieces, shared_html
from chatlab.transfer.jsonl import FORMAT, VERSION, conversation_to_json, to_line, turn_lines
from chatlab.transfer.listing import all_comparisons, all_conversations
from chatlab.transfer.markdown import conversation_markdown
from chatlab.transfer.read import ImportProblem, ImportResult, import_file
from chatlab.words import ENGLISH, Words

__all__ = ["Format", "ImportProblem", "ImportResult", "export", "import_file", "shared_html"]

Format: TypeAlias = Literal["jsonl", "markdown", "html"]


async def export(
    store: Store,
    files: Files,
    owner: str,
    conversation: ConversationId | None = None,
    *,
    comparison: str | None = None,
    output_format: Format = "jsonl",
    hidden: bool = True,
    words: Words = ENGLISH,
) -> AsyncIterator[str]:
    """One conversation or comparison session of an owner, or all chats and sessions, as text in pieces to be
    written one after the other. At most one of them and one attachment are in memory. Raises NotStored.

    hidden: whether the JSONL has blind sessions whose names are hidden still. What is to be read never has.
    words: of what is to be read.
    """
    if conversation is not None:
        chosen = _Chosen([await store.get(owner, conversation)], [])
    elif comparison is not None:
        chosen = _Chosen([], [await store.comparison(owner, comparison)])
    else:
        chosen = _Chosen(await all_conversations(store, owner), await all_comparisons(store, owner))
    match output_format:
        case "jsonl":
            written = _jsonl(store, files, chosen, hidden)
        case "markdown":
            written = _markdown(store, chosen, words)
        case "html":
            several = conversation is None and comparison is None
            written = _html(store, files, chosen, words("export.all") if several else chosen.title, words)
        case _:
            assert_never(output_format)
    async for text in written:
        yield text


async def _jsonl(store: Store, files: Files, chosen: _Chosen, hidden: bool) -> AsyncIterator[str]:
    yield to_line({"format": FORMAT, "version": VERSION})
    # Sessions come first: a chatlab that does not know them leaves them out, says so, and reads the rest.
    for about in chosen.comparisons:
        with suppress(NotStored):  # it was deleted meanwhile
            async for line in session_lines(store, files, about, hidden=hidden):
                yield line
    async for stored, turns in _each(store, chosen.conversations):
        yield to_line(conversation_to_json(stored))
        async for line in turn_lines(files, turns, set()):
            yield line


async def _markdown(store: Store, chosen: _Chosen, words: Words) -> AsyncIterator[str]:
    async for stored, turns in _each(store, chosen.conversations):
        for text in conversation_markdown(stored, turns, words):
            yield _characters(text)
    async for session in _sessions(store, chosen.comparisons, words):
        for text in session_text.markdown(session):
            yield _characters(text)


async def _html(store: Store, files: Files, chosen: _Chosen, title: str, words: Words) -> AsyncIterator[str]:
    title = scrub(_characters(title)) or words("export.conversation")
    head, _, tail = document(title, "\0", css=CSS, lang=words.language).partition("\0")
    yield head
    async for stored, turns in _each(store, chosen.conversations):
        async for piece in pieces(files, stored, turns, words=words):
            yield piece
    async for session in _sessions(store, chosen.comparisons, words):
        async for piece in session_text.html(files, session):
            yield piece
    yield tail


@dataclass(frozen=True, slots=True)
class _Chosen:
    conversations: Sequence[StoredConversation]
    comparisons: Sequence[StoredComparison]

    @property
    def title(self) -> str:
        """Of the one thing that it is."""
        return [*(one.title for one in self.conversations), *(one.title for one in self.comparisons)][0]


async def _each(
    store: Store, chosen: Sequence[StoredConversation]
) -> AsyncIterator[tuple[StoredConversation, Sequence[StoredTurn]]]:
    """Yield the conversations with their turns, without those that were deleted meanwhile."""
    for stored in chosen:
        try:
            yield stored, await store.turns(stored.owner, stored.id)
        except NotStored:
            continue


async def _sessions(
    store: Store, chosen: Sequence[StoredComparison], words: Words
) -> AsyncIterator[session_text.ReadSession]:
    for about in chosen:
        with suppress(NotStored):
            yield await session_text.read(store, about, words)


def _characters(text: str) -> str:
    """The text as UTF-8 can say it."""
    return well_formed(text)
