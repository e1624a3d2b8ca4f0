"""ChatGPT's data export (`conversations.json`) as our trees of turns.

There a conversation is a tree of nodes, one message each; here it is a tree of turns, a turn being a message
of the person and all that follows until the next one. So each way through the nodes between two messages of
the person is a turn of its own, and an answer that was asked for again is a sibling. What has no place here,
or is not in the file (uploads, pictures), is said in a notice of the turn it belongs to.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from chatlab.formats import fenced
from chatlab.ids import ConversationId, TurnId
from chatlab.messages import (
    Citation,
    Finish,
    FinishReason,
    Message,
    Notice,
    Part,
    ReasoningPart,
    TextPart,
    ToolCall,
    ToolResult,
)
from chatlab.store import Status, StoredConversation, StoredTurn, new_id, now
from chatlab.text import well_formed
from chatlab.transfer.chatgpt_marks import explained
from chatlab.words import ENGLISH

_ID = re.compile(r"[\w-]{8,100}")
_SEEN = ("user", "assistant", "tool")
_TEXTUAL = {
    *("text", "multimodal_text", "code", "execution_output", "system_error"),
    *("tether_quote", "tether_browsing_display"),
}


def is_chatgpt(value: Any) -> bool:
    """Return whether this is a conversation of such an export."""
    return isinstance(value, dict) and isinstance(value.get("mapping"), dict)


def from_chatgpt(value: Mapping[str, Any], owner: str) -> tuple[StoredConversation, list[StoredTurn]]:
    """Return a conversation of the export as this owner's. Raises ValueError with a sentence."""
    return _Conversion(value, owner).result()


@dataclass(frozen=True, slots=True)
class _OpenTurn:
    """A turn as far as its nodes have been read."""

    user: Message
    parent: TurnId | None
    created: datetime
    answer: tuple[Part, ...] = ()
    notices: tuple[Notice, ...] = ()
    citations: tuple[Citation, ...] = ()
    model: str | None = None
    status: Status = "finished"
    reason: FinishReason = "stop"


class _Conversion:
    def __init__(self, value: Mapping[str, Any], owner: str) -> None:
        self._value = value
        self._owner = owner
        self._nodes: dict[str, dict[str, Any]] = {
            node_id: node for node_id, node in value["mapping"].items() if isinstance(node, dict)
        }
        if len(self._nodes) != len(value["mapping"]):
            raise ValueError("mapping should be of nodes")
        given = value.get("conversation_id") or value.get("id")
        self._id = ConversationId(given if isinstance(given, str) and _ID.fullmatch(given) else new_id())
        self._begun = _moment(value.get("create_time")) or now()
        # What was left out that belongs to no turn: nodes, and what they are.
        self._contexts: dict[str, str] = {}
        self._hidden: dict[str, str] = {}

    def result(self) -> tuple[StoredConversation, list[StoredTurn]]:
        turns: list[StoredTurn] = []
        ends: dict[str, TurnId] = {}  # nodes that a turn ends with, and its id
        roots = [node_id for node_id, node in self._nodes.items() if node.get("parent") not in self._nodes]
        # No recursion: a conversation is as deep as it has messages.
        todo: list[tuple[str, _OpenTurn | None, TurnId | None]] = [
            (node_id, None, None) for node_id in reversed(self._shown(roots))
        ]
        seen: set[str] = set()
        while todo:
            node_id, begun, parent = todo.pop()
            if node_id in seen:
                raise ValueError("its nodes are not a tree")
            seen.add(node_id)
            open_turn = self._with(node_id, begun, parent)
            following = self._shown(self._children(node_id))
            if not following or any(self._role(next_id) == "user" for next_id in following):
                ends[node_id] = TurnId(node_id if _ID.fullmatch(node_id) else new_id())
                turns.append(self._turn(ends[node_id], open_turn))
            for next_id in reversed(following):
                if self._role(next_id) == "user":
                    todo.append((next_id, None, ends[node_id]))
                else:
                    todo.append((next_id, open_turn, None))
        # What no root leads to would be lost without a word, and a way through it might have no end.
        if any(node_id not in seen and self._role(node_id) is not None for node_id in self._nodes):
            raise ValueError("its nodes are not a tree")
        first = [turn for turn in turns if turn.parent is None]
        notices = tuple(Notice("other", said) for said in self._left_out())
        for turn in first:
            turns[turns.index(turn)] = replace(turn, notices=(*notices, *turn.notices))
        title = self._value.get("title")
        updated = _moment(self._value.get("update_time")) or self._begun
        return (
            StoredConversation(
                self._id,
                self._owner,
                well_formed(title) if isinstance(title, str) else "",
                self._begun,
                updated,
                pinned=self._value.get("is_starred") is True,
                head=self._head(ends),
            ),
            turns,
        )

    def _head(self, ends: Mapping[str, TurnId]) -> TurnId | None:
        """Return the turn that the person saw last: the one that the current node is in."""
        at = self._value.get("current_node")
        passed: set[str] = set()
        while isinstance(at, str) and at in self._nodes and self._role(at) is None and at not in passed:
            passed.add(at)
            at = self._nodes[at].get("parent")
        passed = set()
        while isinstance(at, str) and at in self._nodes and at not in ends and at not in passed:
            passed.add(at)
            following = self._shown(self._children(at))
            at = following[-1] if following else None
        return ends.get(at) if isinstance(at, str) else None

    def _children(self, node_id: str) -> list[str]:
        children = self._nodes[node_id].get("children")
        found = children if isinstance(children, list) else ()
        return [child for child in found if isinstance(child, str) and child in self._nodes]

    def _shown(self, ids: Sequence[str]) -> list[str]:
        """These nodes, in place of those that show nothing what comes after them."""
        shown: list[str] = []
        todo = list(reversed(ids))
        passed: set[str] = set()
        while todo:
            node_id = todo.pop()
            if self._role(node_id) is not None:
                shown.append(node_id)
            elif node_id not in passed:
                passed.add(node_id)
                self._leave_out(node_id)
                todo += reversed(self._children(node_id))
        return shown

    def _message(self, node_id: str) -> dict[str, Any]:
        found = self._nodes[node_id].get("message")
        return found if isinstance(found, dict) else {}

    def _role(self, node_id: str) -> str | None:
        """Return who wrote what is shown of a node; None if nothing of it is shown."""
        message = self._message(node_id)
        role = _of(message, "author").get("role")
        if role not in _SEEN or _of(message, "metadata").get("is_visually_hidden_from_conversation"):
            return None
        if not any(_read(node_id, message)) and not _of(message, "metadata").get("attachments"):
            return None
        return str(role)

    def _leave_out(self, node_id: str) -> None:
        message = self._message(node_id)
        kind = _of(message, "content").get("content_type")
        role = _of(message, "author").get("role")
        if kind in ("user_editable_context", "model_editable_context"):
            self._contexts[node_id] = "custom instructions" if kind == "user_editable_context" else "memories"
        elif any(_read(node_id, message)):
            self._hidden[node_id] = str(role)

    def _left_out(self) -> Iterator[str]:
        for what in dict.fromkeys(self._contexts.values()):
            yield ENGLISH("notice.no-context", name=what)
        if self._hidden:
            counted = Counter(self._hidden.values()).items()
            listed = ", ".join(f"{number} ({role})" for role, number in counted)
            yield ENGLISH("notice.hidden", names=listed)

    def _with(self, node_id: str, begun: _OpenTurn | None, parent: TurnId | None) -> _OpenTurn:
        message = self._message(node_id)
        metadata = _of(message, "metadata")
        parts, notices = _read(node_id, message)
        created = _moment(message.get("create_time"))
        for attached in _list(metadata.get("attachments")):
            name = attached.get("name") if isinstance(attached, dict) else None
            file = name or ENGLISH("notice.an-upload")
            notices.append(Notice("file_dropped", ENGLISH("notice.not-in-export", file=file)))
        if self._role(node_id) == "user":
            user = Message("user", tuple(parts))
            return _OpenTurn(user, parent, created or self._begun, notices=tuple(notices))
        if begun is None:
            begun = _OpenTurn(Message("user", ()), parent, created or self._begun)
        parts, citations, unknown = _without_marks(parts, metadata)
        if unknown:
            notices.append(Notice("other", ENGLISH.counted("notice.unexplained", unknown)))
        elif not citations and (metadata.get("citations") or metadata.get("content_references")):
            notices.append(Notice("other", ENGLISH("notice.no-sources")))
        slug = metadata.get("model_slug")
        details = _of(metadata, "finish_details").get("type")
        stopped = details == "interrupted" or message.get("status") == "finished_partial_completion"
        return replace(
            begun,
            # So that answers to one message are in the order they were given.
            created=begun.created if begun.answer or created is None else created,
            answer=(*begun.answer, *_named(begun.answer, parts)),
            notices=(*begun.notices, *notices),
            citations=(*begun.citations, *(one for one in citations if one not in begun.citations)),
            model=slug if isinstance(slug, str) else begun.model,
            status="stopped" if stopped else begun.status,
            reason="length" if details == "max_tokens" else "stop",
        )

    def _turn(self, turn_id: TurnId, read: _OpenTurn) -> StoredTurn:
        status: Status = read.status if read.answer else "interrupted"
        return StoredTurn(
            turn_id,
            self._owner,
            self._id,
            read.parent,
            read.created,
            read.user,
            "chatgpt",
            "imported",
            read.model or "ChatGPT",
            status=status,
            answer=read.answer,
            notices=read.notices,
            citations=read.citations,
            finish=Finish(read.reason, model=read.model) if status == "finished" else None,
        )


def _read(node_id: str, message: Mapping[str, Any]) -> tuple[list[Part], list[Notice]]:
    """Return what a message says, and what of it is left out."""
    content = _of(message, "content")
    kind = content.get("content_type")
    role = _of(message, "author").get("role")
    notices: list[Notice] = []
    if kind == "thoughts":
        thoughts = [thought for thought in _list(content.get("thoughts")) if isinstance(thought, dict)]
        texts = [
            "\n\n".join(filter(None, (_str(thought, "summary"), _str(thought, "content"))))
            for thought in thoughts
        ]
        return [ReasoningPart("\n\n".join(texts))] if any(texts) else [], notices
    if kind == "reasoning_recap":
        recap = _str(content, "content")
        return [], [Notice("other", recap)] if recap else []
    text = "".join(_texts(content, notices))
    name = _of(message, "author").get("name")
    recipient = message.get("recipient")
    if not text:
        return [], notices
    if role == "tool":
        failed = kind == "system_error"
        return [ToolResult(node_id, text, name if isinstance(name, str) else None, failed)], notices
    if role == "assistant" and isinstance(recipient, str) and recipient != "all":
        return [ToolCall(node_id, recipient, text)], notices
    if kind == "code":
        language = _str(content, "language")
        return [TextPart(fenced(text, language if re.fullmatch(r"[\w+#-]{1,20}", language) else ""))], notices
    return [TextPart(text)], notices


def _without_marks(
    parts: Sequence[Part], metadata: Mapping[str, Any]
) -> tuple[list[Part], list[Citation], int]:
    """Return the parts with what their marks stand for, the sources, and how many marks nothing is
    known of.
    """
    shown: list[Part] = []
    sources: list[Citation] = []
    unknown = 0
    for part in parts:
        if isinstance(part, TextPart):
            found = explained(part.text, metadata)
            sources += found.citations
            unknown += found.unknown
            if found.text:
                shown.append(TextPart(found.text))
        else:
            shown.append(part)
    return shown, sources, unknown


def _texts(content: Mapping[str, Any], notices: list[Notice]) -> Iterator[str]:
    kind = content.get("content_type")
    if kind not in _TEXTUAL and content:
        notices.append(Notice("other", ENGLISH("notice.no-content", type=str(kind)[:60])))
        return
    for name in ("text", "result"):
        yield _str(content, name)
    for part in _list(content.get("parts")):
        if isinstance(part, str):
            yield part
        elif isinstance(part, dict) and part.get("content_type") == "audio_transcription":
            yield _str(part, "text")
        elif isinstance(part, dict):
            what = str(part.get("content_type") or "a part").removesuffix("_asset_pointer").replace("_", " ")
            notices.append(Notice("file_dropped", ENGLISH("notice.not-in-export", file=what[:60])))


def _named(before: Sequence[Part], parts: Sequence[Part]) -> Iterator[Part]:
    """Yield the parts; a tool's result is named for the call it answers, the last one that has no
    result yet.
    """
    calls = [part.id for part in before if isinstance(part, ToolCall)]
    answered = {part.id for part in before if isinstance(part, ToolResult)}
    for part in parts:
        waiting = [call for call in calls if call not in answered]
        yield replace(part, id=waiting[-1]) if isinstance(part, ToolResult) and waiting else part


def _of(value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = value.get(name)
    return found if isinstance(found, dict) else {}


def _str(value: Mapping[str, Any], name: str) -> str:
    found = value.get(name)
    return found if isinstance(found, str) else ""


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _moment(value: Any) -> datetime | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError):
        return None
