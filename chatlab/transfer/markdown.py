"""A stored conversation as Markdown, to be read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import assert_never

from chatlab.formats import fenced
from chatlab.messages import FilePart, Part, ReasoningPart, TextPart, ToolCall, ToolResult
from chatlab.render.figures import figures, outcome
from chatlab.secret import scrub
from chatlab.store import FILE_SCHEME, StoredConversation, StoredTurn
from chatlab.transfer.html import Tree, moment_text, result_said, to_be_read
from chatlab.words import Words


def conversation_markdown(
    conversation: StoredConversation, turns: Sequence[StoredTurn], words: Words
) -> Iterator[str]:
    """Yield a conversation as Markdown, in pieces: the branch shown last."""
    branch = Tree.of(conversation, turns).branch()
    title = scrub(conversation.title) or words("export.conversation")
    yield f"# {title}\n\n{moment_text(conversation.created)}\n\n"
    for turn in branch:
        yield f"## {words('export.you')}\n\n{parts(turn.user.parts, words)}## {turn.label}\n\n"
        yield from answered(turn, words)
    left = len(turns) - len(branch)
    if left:
        yield f"> {words.counted('export.not-shown', left)}\n\n"


def answered(turn: StoredTurn, words: Words) -> list[str]:
    """Return what came of a turn, with what it took."""
    ending = outcome(turn, words)
    said = [ending] if ending else []
    said += [words.translated(scrub(notice.detail)) for notice in turn.notices]
    named = (scrub(f"{source.title} {source.url or ''}".strip()) for source in turn.citations)
    said += [words("report.source", source=source) for source in named]
    took = figures(turn, words=words)
    return [parts(turn.answer, words), *(f"> {line}\n\n" for line in said), f"*{took}*\n\n" if took else ""]


def parts(parts: Sequence[Part], words: Words) -> str:
    """Return what was said, as Markdown."""
    return "".join(_part(to_be_read(part), words) for part in parts)


def _part(part: Part, words: Words) -> str:
    if isinstance(part, TextPart):
        return f"{part.text}\n\n"
    if isinstance(part, ReasoningPart):
        lines = (f"{words('answer.thought')}:", *part.text.splitlines())
        return "".join(f"> {line}\n" for line in lines) + "\n"
    if isinstance(part, ToolCall):
        called = words("answer.tool", name=f"`{part.name}`")
        return f"{called}\n\n{fenced(part.arguments)}\n\n"
    if isinstance(part, ToolResult):
        return f"{result_said(part, words)}:\n\n{fenced(part.content)}\n\n"
    if isinstance(part, FilePart):
        where = "" if part.url is None or part.url.startswith(FILE_SCHEME) else f": {part.url}"
        return f"[{part.name or words('notice.a-file')}, {part.media_type}{where}]\n\n"
    assert_never(part)
