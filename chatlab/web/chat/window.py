"""The window of a conversation that a page shows, so that a token costs the same however long that is."""

from __future__ import annotations

from typing import Any

from chatlab.conversations.tree import Conversation, TurnNode
from chatlab.ids import ConversationId
from chatlab.web.chat.pages import OpenPage
from chatlab.web.chat.paint import paint_stored
from chatlab.web.chat.paint_messages import branch_mark, paint_earlier, paint_later, paint_message, settled
from chatlab.words import Words


def shown_window(page: OpenPage, size: int, words: Words) -> list[Any]:
    """Return what the page shows. size: messages that are painted, if the page asked for no other number."""
    if page.last is None:
        return []
    path = page.conversation.path(page.last.id)
    at = next((n for n, one in enumerate(path) if one.id == page.window_end), len(path) - 1)
    shown = [*before_answer(page, path[at], size, words), *painted(page, path[at], words)]
    if at < len(path) - 1:
        shown.append(paint_later(2 * (len(path) - 1 - at), path[at].id, words))
    return shown


def before_answer(page: OpenPage, node: TurnNode, size: int, words: Words) -> list[Any]:
    """Return what is before the answer of this turn, its own message included."""
    path = page.conversation.path(node.parent)
    hidden = max(0, len(path) + 1 - (page.window or size) // 2)  # a message and its answer are two
    before: list[Any] = []
    if hidden:
        last = path[hidden - 1]
        before.append(paint_earlier(2 * hidden, last.id, more=last.in_store, words=words))
    for earlier in path[hidden:]:
        before += [settled(paint_message(earlier.user)), *painted(page, earlier, words)]
    return [*before, paint_message(node.user)]


def painted(page: OpenPage, node: TurnNode, words: Words) -> list[Any]:
    """Return the answer of a turn, as the page shows it now."""
    mark = mark_of(page.conversation, page.conversation_id, node)
    answer = page.running.get(node.id)
    if answer is not None:
        return answer.painted(mark)
    if node.stored is not None and (not node.painted or node.mark != mark):
        node.painted = [settled(message) for message in paint_stored(node.stored, mark, words)]
        node.mark = mark
    return node.painted


def mark_of(conversation: Conversation, conversation_id: ConversationId | None, node: TurnNode) -> str:
    """Return what the page's scripts are told of a turn; nothing of one that is not in the store."""
    if not node.in_store or conversation_id is None:
        return ""
    versions = conversation.versions(node)
    number = versions.index(node.id) + 1
    return branch_mark(node.id, conversation_id, number, len(versions))
