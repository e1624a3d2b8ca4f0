"""A stored conversation as HTML without scripts: for the export, and for whoever was given a link."""

from __future__ import annotations

import base64
import html
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import assert_never

from chatlab.errors import StoreError
from chatlab.messages import (
    FilePart,
    Message,
    Part,
    ReasoningPart,
    TextPart,
    ToolCall,
    ToolResult,
)
from chatlab.render.figures import figures, outcome
from chatlab.render.markdown import document, render
from chatlab.store import FILE_SCHEME, NotStored, Store, StoredConversation, StoredTurn
from chatlab.store.files import Files
from chatlab.text import well_formed

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
        """The tree of a conversation's turns."""
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

    def next(self, parent: str | None) -> tuple[StoredTurn | None, list[StoredTurn]]:
        """The turn shown after this one, and the other versions of it."""
        versions = self.children.get(parent, [])
        if not versions:
            return None, []
        first = next((turn for turn in versions if turn.id in self.shown), versions[-1])
        return first, [turn for turn in versions if turn is not first]

    def branch(self) -> list[StoredTurn]:
        """The turns shown, from the first to the last."""
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
) -> AsyncIterator[str]:
    """A conversation as the HTML of one article, in pieces. branches: the other versions too, collapsed;
    and the settings that were asked for."""
    tree = Tree.of(conversation, turns)
    yield (
        f"<article>\n<header><h1>{plain_text(conversation.title or 'Conversation')}</h1>\n"
        f'<p class="faint">{moment_text(conversation.created)}</p></header>\n'
    )
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
        yield await _turn(files, turn, settings=branches)
        todo.append(turn)
        for other in reversed(others) if branches else ():
            opening = f"Another version: {plain_text(other.label)}, {moment_text(other.created)}"
            whole = await _turn(files, other, settings=True)
            todo += ["</details>\n", other, f'<details class="branch"><summary>{opening}</summary>\n{whole}']
    yield "</article>\n"


async def shared_html(store: Store, files: Files, token: str) -> str:
    """The page of a read-only link to a conversation: what is shown of it now, without its owner, its other
    versions or its settings. Raises NotStored for a token that leads to no conversation (any more).
    """
    owner, kind, conversation_id = await store.shared(token)
    if kind != "conversation":
        raise NotStored("this link does not lead to a conversation")
    conversation = await store.get(owner, conversation_id)
    turns = await store.turns(owner, conversation_id)
    body = [piece async for piece in pieces(files, conversation, turns, branches=False)]
    return document(conversation.title or "Conversation", "".join(body), css=CSS)


async def _turn(files: Files, turn: StoredTurn, *, settings: bool) -> str:
    said = await asked(files, turn.user)
    return f"<section>\n{said}{await answered(files, turn, turn.label, settings=settings)}</section>\n"


async def asked(files: Files, user: Message) -> str:
    """A message of the person as HTML."""
    return f'<div class="user">{"".join([await _part(files, part) for part in user.parts])}</div>\n'


async def answered(files: Files, turn: StoredTurn, who: str, *, settings: bool) -> str:
    """What came of a turn as HTML, with what it took. settings: those that were asked for too."""
    made = [f'<p class="who">{plain_text(who)}</p>\n']
    given = {name: value for name, value in turn.parameters.items() if value is not None}
    if settings and (given or turn.system):
        listed = [f"{name} = {value}" for name, value in given.items()]
        listed += [f"system prompt: {turn.system}"] if turn.system else []
        made.append(
            f"<details><summary>Settings</summary><pre>{plain_text(chr(10).join(listed))}</pre></details>\n"
        )
    made += [await _part(files, part) for part in turn.answer]
    trouble = outcome(turn)
    if trouble is not None:
        made.append(f'<p class="trouble">{plain_text(trouble)}</p>\n')
    if turn.citations:
        listed = [f"{source.title} {source.url or ''}".strip() for source in turn.citations]
        made.append(
            "<p>Sources:</p><ol>" + "".join(f"<li>{plain_text(source)}</li>" for source in listed) + "</ol>\n"
        )
    made += [f'<p class="faint">{plain_text(notice.detail)}</p>\n' for notice in turn.notices]
    took = figures(turn)
    if took:
        made.append(f'<p class="figures">{plain_text(took)}</p>\n')
    return "".join(made)


async def _part(files: Files, part: Part) -> str:
    if isinstance(part, TextPart):
        return render(part.text)
    if isinstance(part, ReasoningPart):
        return f"<details><summary>Thoughts</summary>{render(part.text)}</details>\n"
    if isinstance(part, ToolCall):
        return _folded(f"Called {plain_text(part.name)}", part.arguments)
    if isinstance(part, ToolResult):
        title = f"{plain_text(part.name or 'The tool')} {'failed' if part.is_error else 'answered'}"
        return _folded(title, part.content)
    if isinstance(part, FilePart):
        return await _file(files, part)
    assert_never(part)


def _folded(title: str, text: str) -> str:
    return f"<details><summary>{title}</summary><pre>{plain_text(text)}</pre></details>\n"


async def _file(files: Files, part: FilePart) -> str:
    name = plain_text(part.name or "attachment")
    about = f'<p class="faint">[{name}, {plain_text(part.media_type)}'
    if part.url is None or not part.url.startswith(FILE_SCHEME):
        return f"{about}: {plain_text(part.url or '')}]</p>\n"
    try:
        path = await files.path(part.url.removeprefix(FILE_SCHEME))
        size = path.stat().st_size
        if part.media_type in _PICTURES and size <= LARGEST_PICTURE:
            data = base64.b64encode(path.read_bytes()).decode("ascii")
            return f'<p><img src="data:{part.media_type};base64,{data}" alt="{name}"></p>\n'
    except NotStored:
        return f"{about}: no longer stored]</p>\n"
    except OSError as exc:
        raise StoreError(f"the attachment {part.name} cannot be read: {exc.strerror}") from exc
    return f"{about}, {size / 1000:.0f} kB]</p>\n"


def plain_text(text: str) -> str:
    """Text as HTML."""
    return html.escape(well_formed(text))


def moment_text(moment: datetime) -> str:
    """A time, for people."""
    return f"{moment:%Y-%m-%d %H:%M} UTC"
