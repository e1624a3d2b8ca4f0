"""Turns to store."""

from __future__ import annotations

from typing import Any

from chatlab.messages import FilePart, Message, TextPart
from chatlab.store import StoredConversation, StoredTurn, new_id, now


def turn_in(conversation: StoredConversation, text: str = "Hello", **fields: Any) -> StoredTurn:
    """A new turn that has just been asked, unless the fields say otherwise."""
    given: dict[str, Any] = {
        "id": new_id(),
        "parent": None,
        "created": now(),
        "user": Message.of("user", text),
        "backend": "echo",
        "kind": "echo",
        "label": "Echo",
    }
    return StoredTurn(owner=conversation.owner, conversation=conversation.id, **(given | fields))


def finished(conversation: StoredConversation, text: str, answer: str, **fields: Any) -> StoredTurn:
    """A turn that was asked and answered."""
    return turn_in(conversation, text, status="finished", answer=(TextPart(answer),), **fields)


def with_file(conversation: StoredConversation, sha256: str, **fields: Any) -> StoredTurn:
    """A turn whose message has an attachment."""
    part = FilePart("image/png", "cat.png", url=f"sha256:{sha256}")
    return turn_in(conversation, user=Message("user", (part, TextPart("Look"))), **fields)
