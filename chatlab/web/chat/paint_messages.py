"""Paints all of a conversation but its answers as Gradio messages: what people wrote, windows, sentences.

Every painted message carries an id that names its turn, which is how the page is matched with the
conversation that the server holds. Text is always a typed part: a bare string would lose its indentation.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from gradio.components.chatbot import TextMessage

from chatlab.formats import OWN_IDS
from chatlab.ids import ConversationId, TurnId
from chatlab.messages import FilePart, Message, TextPart
from chatlab.render.markdown import one_line
from chatlab.store import FILE_SCHEME
from chatlab.web.chat.gradio_patches.shown_text import SettledMessage
from chatlab.words import ENGLISH, Words

Painted: TypeAlias = dict[str, Any]
TURN, WINDOW = OWN_IDS
NO_TURN = "none"
"""What `turn_of` says of a sentence in place of an answer."""


def branch_mark(turn: TurnId, conversation: ConversationId, number: int, of: int) -> str:
    """Return what page scripts are told of a turn, as classes: its id, its conversation, which of how many
    versions of its message it is.
    """
    return (
        f"chatlab-at chatlab-turn-{turn} chatlab-in-{conversation} chatlab-version-{number} chatlab-of-{of}"
    )


def paint_message(message: Message) -> Painted:
    """Return a person's message as the page shows it. Stored files are links to their route."""
    files = [part for part in message.parts if isinstance(part, FilePart)]
    content: list[Any] = [{"path": str(part.path)} for part in files if part.path is not None]
    attached = paint_attachments(message)
    if attached:  # one part with the text: Gradio would answer an edit of two parts twice
        content.append({"type": "text", "text": attached + message.text})
    else:
        content += [{"type": "text", "text": p.text} for p in message.parts if isinstance(p, TextPart)]
    return {"role": message.role, "content": content}


def paint_attachments(message: Message) -> str:
    """Return Markdown for a message's stored files, which its text follows; empty if it has none."""
    files = [part for part in message.parts if isinstance(part, FilePart) and in_store(part)]
    return "".join(f"{attachment(part)}\n\n" for part in files)


def in_store(part: FilePart) -> bool:
    """Return whether a file is in the store."""
    return part.url is not None and part.url.startswith(FILE_SCHEME)


def attachment(part: FilePart) -> str:
    """Return Markdown for a stored file. Its address is relative, so that it is right below any prefix."""
    assert part.url is not None
    address = f"-/files/{part.url.removeprefix(FILE_SCHEME)}"
    name = one_line(part.name or "attachment")
    shown = part.media_type.startswith("image/")
    return f"![{name}]({address})" if shown else f"[📎 {name}]({address})"


def settled(painted: Painted) -> Painted | SettledMessage:
    """Return a painted message that will not change any more, validated once instead of at every
    later paint.
    """
    content = painted["content"]
    if any(part.get("type") != "text" for part in content):
        return painted  # Gradio has yet to take its files into the cache
    return SettledMessage(
        role=painted["role"],
        metadata=painted.get("metadata"),
        content=[TextMessage(text=part["text"]) for part in content],
    )


def paint_earlier(count: int, first_shown: str, *, more: bool = False, words: Words = ENGLISH) -> Painted:
    """Return the line above a window: earlier turns that are sent, though not shown.

    more: page scripts may offer to show more of them.
    """
    title = words("answer.earlier", count=count)
    if more:
        title += ' <span class="chatlab-more"></span>'
    return {
        **painted_text("assistant", ""),
        "metadata": {"title": title, "id": f"{WINDOW}{first_shown}", "status": "done"},
    }


def paint_later(count: int, last_shown: str, words: Words = ENGLISH) -> Painted:
    """Return the line below a window that ends before the conversation does."""
    title = words("answer.later", count=count)
    return {
        **painted_text("assistant", ""),
        "metadata": {
            "title": f'{title} <span class="chatlab-later"></span>',
            "id": f"{WINDOW}{last_shown}",
            "status": "done",
        },
    }


def paint_error(sentence: str) -> Painted:
    """Return a sentence in place of an answer that never began."""
    return {
        **painted_text("assistant", ""),
        "metadata": {"title": bare(alarm(sentence)), "id": f"{TURN}{NO_TURN}", "status": "done"},
    }


def paint_plainly(turn_id: TurnId, text: str, *sentences: str | None) -> list[Painted]:
    """Return an answer that cannot be painted as it should: its text, and what is to be said of it."""
    said = [
        {
            **painted_text("assistant", ""),
            "metadata": {"title": bare(alarm(sentence)), "id": f"{TURN}{turn_id}:e{n}", "status": "done"},
        }
        for n, sentence in enumerate(sentences)
        if sentence is not None
    ]
    return [painted_text("assistant", text), *said]


def turn_of(metadata_id: object) -> TurnId | None:
    """Return the turn that a painted message's id names, if it names one."""
    if isinstance(metadata_id, str) and metadata_id.startswith(OWN_IDS):
        return TurnId(metadata_id.split(":")[1])
    return None


def painted_text(role: str, text: str) -> Painted:
    """Return a message of one text."""
    return {"role": role, "content": [{"type": "text", "text": text}]}


def alarm(sentence: str) -> str:
    """Return a title that says what went wrong."""
    return f'<span class="chatlab-error">⚠ {one_line(sentence)}</span>'


def bare(title: str) -> str:
    """Return a title below which there is nothing: no arrow offers to open it."""
    return f'{title} <span class="chatlab-bare"></span>'
