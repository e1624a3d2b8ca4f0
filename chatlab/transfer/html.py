"""A stored conversation as HTML without scripts: for the export, and for whoever was given a link."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from typing import Any, assert_never, cast

from markupsafe import Markup

from chatlab.errors import StoreError
from chatlab.ids import ConversationId, TurnId
from chatlab.messages import (
    Citation,
    FilePart,
    Message,
    Part,
    ReasoningPart,
    TextPart,
    ToolCall,
    ToolResult,
)
from chatlab.render.document import document
from chatlab.render.figures import figures, outcome
from chatlab.render.html_templates import environment
from chatlab.render.markdown import as_typed, render, render_ahead
from chatlab.render.notes import Note, notes
from chatlab.render.sources import sources
from chatlab.secret import scrub
from chatlab.slices import Slices
from chatlab.store import FILE_SCHEME, LinkReader, NotStored, Store, StoredConversation, StoredTurn
from chatlab.store.files import Files
from chatlab.words import ENGLISH, Words

LARGEST_PICTURE = 10_000_000  # bytes
_PICTURES = ("image/png", "image/jpeg", "image/gif", "image/webp")

CSS = """\
header h1 { margin-bottom: 0; }
.faint, .figures { color: var(--faint); font-size: .875rem; }
.user { background: var(--box); border: 1px solid var(--line); border-radius: 10px; padding: .1rem 1rem;
  margin: 1.5rem 0 .5rem; }
.who { font-weight: 600; margin: .5rem 0; }
.trouble { border-inline-start: 3px solid #cf222e; padding-inline-start: .8em; }
details { margin: .5rem 0; }
details.branch { border-inline-start: 3px solid var(--line); padding-inline-start: 1rem; }
summary { cursor: pointer; color: var(--faint); }
article + article { border-top: 2px solid var(--line); margin-top: 3rem; }
"""


@dataclass(frozen=True, slots=True)
class Tree:
    """The turns of a conversation by what they follow, and which of them are shown first.

    shown: the way from the first turn to the head. Below other turns the last one asked is shown first.
    """

    children: dict[str | None, list[StoredTurn]] = field(default_factory=dict)
    shown: frozenset[str] = frozenset()

    @classmethod
    def of(cls, conversation: StoredConversation, turns: Sequence[StoredTurn]) -> Tree:
        """Return the tree of a conversation's turns."""
        children: dict[str | None, list[StoredTurn]] = {}
        for turn in turns:
            children.setdefault(turn.parent, []).append(turn)
        by_id = {turn.id: turn for turn in turns}
        shown: set[str] = set()
        at = conversation.head
        while at is not None and at in by_id and at not in shown:
            shown.add(at)
            at = by_id[at].parent
        return cls(children, frozenset(shown))

    def next(self, parent: TurnId | None) -> tuple[StoredTurn | None, list[StoredTurn]]:
        """Return the turn shown after this one, and the other versions of it."""
        versions = self.children.get(parent, [])
        if not versions:
            return None, []
        first = next((turn for turn in versions if turn.id in self.shown), versions[-1])
        return first, [turn for turn in versions if turn is not first]

    def branch(self) -> list[StoredTurn]:
        """Return the turns shown, from the first to the last."""
        turns: list[StoredTurn] = []
        turn, _ = self.next(None)
        while turn is not None:
            turns.append(turn)
            turn, _ = self.next(turn.id)
        return turns


async def pieces(
    files: Files,
    conversation: StoredConversation,
    turns: Sequence[StoredTurn],
    *,
    branches: bool = True,
    words: Words = ENGLISH,
) -> AsyncIterator[str]:
    """Yield a conversation as the HTML of one article, in pieces. branches: the other versions too,
    collapsed; and the settings that were asked for.
    """
    tree = Tree.of(conversation, turns)
    title = scrub(conversation.title) or words("export.conversation")
    yield written(words, "opening", title, moment_text(conversation.created))
    # No recursion: a conversation is as deep as it has turns.
    todo: list[str | StoredTurn | None] = [None]
    while todo:
        at = todo.pop()
        if isinstance(at, str):
            yield at
            continue
        turn, others = tree.next(None if at is None else at.id)
        if turn is None:
            continue
        yield await exchange(files, turn.user, [(turn.label, turn)], settings=branches, words=words)
        todo.append(turn)
        for other in reversed(others) if branches else ():
            begun = written(words, "version", other.label, moment_text(other.created))
            answers = [(other.label, other)]
            answered = await exchange(files, other.user, answers, settings=True, words=words)
            todo += [written(words, "version_closing"), other, begun + answered]
    yield written(words, "closing")


async def shared_html(
    store: Store, files: Files, token: str, reader: LinkReader | None = None, words: Words = ENGLISH
) -> str:
    """Return the page of a read-only link to a conversation: what is shown of it now, without its owner, its
    other versions or its settings. Raises NotStored for a token that leads to no conversation (any more), and
    for a link that is not for this reader.
    """
    owner, kind, target = await store.shared(token, reader)
    if kind != "conversation":
        raise NotStored("refusal.no-chat-link")
    conversation = await store.get(owner, ConversationId(target))
    turns = await store.turns(owner, conversation.id)
    body = []
    with Slices() as slices:
        async for piece in pieces(files, conversation, turns, branches=False, words=words):
            body.append(piece)
            await slices.rest()
    title = scrub(conversation.title) or words("export.conversation")
    return document(title, "".join(body), css=CSS, lang=words.language)


@dataclass(frozen=True, slots=True)
class _Part:
    """A part of a message. kind: "text", "thoughts", "folded", "picture" or "file"."""

    kind: str
    title: str = ""
    text: str = ""
    html: Markup = Markup()  # noqa: RUF009 - a value that nobody can change


@dataclass(frozen=True, slots=True)
class _Answer:
    who: str
    settings: str
    parts: Sequence[_Part]
    trouble: str | None
    sources: Markup
    notes: Sequence[Note]
    figures: str


async def exchange(
    files: Files,
    user: Message,
    answers: Iterable[tuple[str, StoredTurn]],
    *,
    settings: bool,
    words: Words = ENGLISH,
) -> str:
    """Return a message of the person and what came of it as HTML, with what that took.

    answers: who answered, and the turn. settings: those that were asked for too.
    """
    said = [
        _Part("text", html=Markup(as_typed(scrub(part.text))))  # noqa: S704 - it escapes
        if isinstance(part, TextPart)
        else await _part(files, part, words)
        for part in user.parts
    ]
    made = [await _answer(files, who, turn, settings, words) for who, turn in answers]
    return written(words, "exchange", said, made)


async def _answer(files: Files, who: str, turn: StoredTurn, settings: bool, words: Words) -> _Answer:
    given = [f"{name} = {value}" for name, value in turn.parameters.items() if value is not None]
    given += [words("export.system", text=turn.system)] if turn.system else []
    return _Answer(
        who,
        scrub("\n".join(given)) if settings else "",
        [await _part(files, part, words) for part in turn.answer],
        outcome(turn, words),
        _safe(sources(map(_scrubbed, turn.citations)), words),
        notes([replace(notice, detail=scrub(notice.detail)) for notice in turn.notices], words),
        figures(turn, words=words),
    )


def _scrubbed(source: Citation) -> Citation:
    return Citation(scrub(source.title), *(text and scrub(text) for text in (source.url, source.snippet)))


def written(words: Words, macro: str, *values: object) -> str:
    """Return what a macro of the template makes of these values."""
    return str(getattr(_template(words), macro)(*values))


@lru_cache(maxsize=4)
def _template(words: Words) -> object:
    template = environment("chatlab.transfer").get_template("conversation.html.j2")
    return template.make_module({"say": words})


def to_be_read(part: Part) -> Part:
    """Return a part without credentials: what is to be read is handed on, as reports are."""
    held = ((name, getattr(part, name, None)) for name in ("text", "name", "arguments", "content"))
    return cast(Part, replace(cast(Any, part), **{name: scrub(text) for name, text in held if text}))


async def _part(files: Files, part: Part, words: Words) -> _Part:
    part = to_be_read(part)
    if isinstance(part, TextPart | ReasoningPart):
        await render_ahead((part.text,), words=words)
    if isinstance(part, TextPart):
        return _Part("text", html=_safe(part.text, words))
    if isinstance(part, ReasoningPart):
        return _Part("thoughts", html=_safe(part.text, words))
    if isinstance(part, ToolCall):
        return _Part("folded", words("answer.tool", name=part.name), part.arguments)
    if isinstance(part, ToolResult):
        return _Part("folded", result_said(part, words), part.content)
    if isinstance(part, FilePart):
        return await _file(files, part, words)
    assert_never(part)


def result_said(part: ToolResult, words: Words) -> str:
    """Return what came of a tool, as a title."""
    key = "answer.error" if part.is_error else "answer.result"
    return words(key, name=part.name or words("answer.the-tool"))


def _safe(text: str, words: Words) -> Markup:
    return Markup(render(text, words=words))  # noqa: S704 - it has been cleaned


async def _file(files: Files, part: FilePart, words: Words) -> _Part:
    name = part.name or words("notice.a-file")
    if part.url is None or not part.url.startswith(FILE_SCHEME):
        return _Part("file", name, f", {part.media_type}: {part.url or ''}")
    try:
        path = await files.path(part.url.removeprefix(FILE_SCHEME))
        size = path.stat().st_size
        if part.media_type in _PICTURES and size <= LARGEST_PICTURE:
            data = base64.b64encode(path.read_bytes()).decode("ascii")
            return _Part("picture", name, f"data:{part.media_type};base64,{data}")
    except NotStored:
        return _Part("file", name, f", {part.media_type}: {words('export.not-stored')}")
    except OSError as exc:
        raise StoreError(f"the attachment {part.name} cannot be read: {exc.strerror}") from exc
    return _Part("file", name, f", {part.media_type}, {size / 1000:.0f} kB")


def moment_text(moment: datetime) -> str:
    """Return a time as people read it."""
    return f"{moment:%Y-%m-%d %H:%M} UTC"
