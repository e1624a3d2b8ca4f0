"""A stored conversation as Markdown, to be read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import assert_never

from chatlab.formats import fenced
from chatlab.messages import FilePart, Part, ReasoningPart, TextPart, ToolCall, ToolResult
from chatlab.render.figures import figures, outcome
from chatlab.secret import scrub
from chatlab.store import FILE_SCHEME, StoredConversation, StoredTurn
from chatlab.transfer.html import Tree, to_be_read


def conversation_markdown(conversation: StoredConversation, turns: Sequence[StoredTurn]) -> Iterator[str]:
    """Yield a conversation as Markdown, in pieces: the branch shown last."""
    branch = Tree.of(conversation, turns).branch()
    yield f"# {scrub(conversation.title) or 'Conversation'}\n\n{conversation.created:%Y-%m-%d %H:%M} UTC\n\n"
    for turn in branch:
        yield f"## You\n\n{parts(turn.user.parts)}## {turn.label}\n\n"
        yield from answered(turn)
    left = len(turns) - len(branch)
    if left:
        what = "turn of another version is" if left == 1 else "turns of other versions are"
        yield f"> {left} {what} not shown here.\n\n"


def answered(turn: StoredTurn) -> list[str]:
    """Return what came of a turn, with what it took."""
    ending = outcome(turn)
    said = [*([ending] if ending else []), *(scrub(notice.detail) for notice in turn.notices)]
    said += [scrub(f"Source: {source.title} {source.url or ''}".strip()) for source in turn.citations]
    took = figures(turn)
    return [parts(turn.answer), *(f"> {line}\n\n" for line in said), f"*{took}*\n\n" if took else ""]


def parts(parts: Sequence[Part]) -> str:
    """Return what was said, as Markdown."""
    return "".join(_part(to_be_read(part)) for part in parts)


def _part(part: Part) -> str:
    if isinstance(part, TextPart):
        return f"{part.text}\n\n"
    if isinstance(part, ReasoningPart):
        return "".join(f"> {line}\n" for line in ("Thoughts:", *part.text.splitlines())) + "\n"
    if isinstance(part, ToolCall):
        return f"Called `{part.name}`:\n\n{fenced(part.arguments)}\n\n"
    if isinstance(part, ToolResult):
        ended = "failed" if part.is_error else "answered"
        return f"`{part.name or 'The tool'}` {ended}:\n\n{fenced(part.content)}\n\n"
    if isinstance(part, FilePart):
        where = "" if part.url is None or part.url.startswith(FILE_SCHEME) else f": {part.url}"
        return f"[{part.name or 'attachment'}, {part.media_type}{where}]\n\n"
    assert_never(part)
