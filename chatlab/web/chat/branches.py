"""Another conversation or branch: what the sidebar and the controls under an answer ask of the chat page."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.components.chatbot import Message as ShownMessage
from gradio.utils import get_upload_folder

from chatlab.conversations.tree import Conversation, TurnNode
from chatlab.errors import ChatlabError, StoreError
from chatlab.ids import ConversationId, TurnId
from chatlab.secret import scrub
from chatlab.store import Unreachable
from chatlab.web.chat import stored_turns
from chatlab.web.chat.asking import edited, named_turns
from chatlab.web.chat.pages import OpenPage
from chatlab.web.chat.paint_messages import paint_attachments, paint_error, paint_message
from chatlab.web.chat.respond import Chat, browser_of
from chatlab.web.shared.assessments import Assessment, Assessments
from chatlab.words import WordedError

log = logging.getLogger(__name__)

_MORE = 100  # messages that are painted more, each time somebody asks to see earlier or later ones
_MOST = 1_000  # painted at once: beyond that, the window moves
_FOUND = 50  # nodes before the end, from which on all is painted if a search found one of them
_AFTER = 5  # nodes that are painted after one that a search found before those


class BranchNavigation:
    """Opens conversations and moves between their branches, each page for its owner alone.

    What a page asks for is checked here: ids come from the browser, and somebody else's are unknown.
    """

    def __init__(self, chat: Chat, assessments: Assessments | None = None) -> None:
        """assessments: who is told what people say of answers."""
        self._chat = chat
        self.assessments = assessments

    async def asked(self, event: gr.EventData, request: gr.Request) -> tuple[Any, ...]:
        """Return what the page shows once the sidebar, or a control of the conversation, has asked for
        another one, or for another part of it; and with what another one was last asked.
        """
        page, asked = self._chat.page(request), _fields(event)
        number = int(asked.get("number", "0"))
        page.newest_request = max(page.newest_request, number)
        async with page.turning:  # a message that is being taken is in the store by then
            before = page.conversation_id
        if "newest" in asked and not await self._chat.went_on(page):
            return gr.skip(), gr.skip(), *self._chat.choices(None)
        shown = await self._asked(page, asked, number)
        opened = page.conversation_id != before
        return shown, self._chat.box(), *self._chat.choices(page.settings if opened else None)

    async def _asked(self, page: OpenPage, asked: Mapping[str, str], number: int) -> Any:
        conversation, turn = asked.get("conversation"), _turn_id(asked.get("turn"))
        if "newest" in asked:
            conversation = page.conversation_id
        if conversation:
            return await self._show(page, ConversationId(conversation), turn, number)
        if where := asked.get("part"):
            self._move(page, where)
            return self._chat.window(page)
        if turn:
            async with page.turning:
                return await self._step(page, turn, int(asked.get("step", "1")))
        return [] if await self._turned(page, number) else gr.skip()

    async def again(self, event: gr.EventData, request: gr.Request) -> tuple[Any, Any, Any, Any]:
        """A message is to be answered once more, by a backend that becomes the chosen one: what the page
        shows until then, what is handed to `Chat.respond`, and the choice."""
        page = self._chat.page(request)
        asked = _fields(event)
        turn, backend = TurnId(asked.get("turn", "")), self._chat.chosen(asked.get("backend", ""))
        try:
            async with page.turning:
                if not await self._holds(page, turn):
                    raise WordedError("refusal.not-there")
        except (StoreError, WordedError) as exc:
            shown = [*self._chat.window(page), paint_error(self._said(exc))]
            return shown, _as_state(shown), gr.skip(), gr.skip()
        page.change_view()
        node = page.conversation[turn]
        before = self._chat.before(page, node)
        message = {"text": node.user.text, "files": [], "again": node.id}
        return before, _as_state(before[:-1]), message, backend

    async def cleared(self, request: gr.Request) -> None:
        """The page was emptied: what comes next is a new conversation."""
        page = self._chat.page(request)
        async with page.turning:
            await page.stopped()
            page.show(Conversation())

    async def undone(self, shown: Sequence[Any], request: gr.Request) -> None:
        """The last node of what is shown was taken back: it stays, but the conversation opens at the one
        before it."""
        page = self._chat.page(request)
        last = next((one for one in named_turns(shown) if one in page.conversation), None)
        if last is None or page.window_end is not None:  # what is before the end is not taken back
            return
        async with page.turning:
            await page.stopped(last)
            page.last = None
            parent = page.conversation[last].parent
            if parent is not None:
                page.last = page.conversation[parent]
                await self._remember(page)

    async def liked(self, shown: list[Any], event: gr.LikeData, request: gr.Request) -> None:
        """Have it noted what somebody says of an answer, at the trace that its backend named."""
        page = self._chat.page(request)
        first = event.index if isinstance(event.index, int) else event.index[0]
        answer = takewhile(lambda message: message["role"] == "assistant", shown[first:])
        turn = next((one for one in named_turns(list(answer)) if one in page.conversation), None)
        stored = None if turn is None else page.conversation[turn].stored
        if self.assessments is not None and stored is not None and page.owner is not None:
            said = Assessment(None if event.liked in (None, "") else event.liked)
            self.assessments.note(stored.traces, "thumb", page.owner, said)

    # -- what is taken from the page to be asked again

    async def taken_back(self, shown: Sequence[Any], message: Any, request: gr.Request) -> Any:
        """Return the message of what was taken off the page, by retry or undo, exactly as it was asked."""
        page = self._chat.page(request)
        turn = next((one for one in named_turns(shown) if one in page.conversation), None)
        if turn is None or not isinstance(message, dict):
            return message
        await page.stopped(turn)
        node = page.conversation[turn]
        files = message["files"]
        try:
            storage = await self._chat.storage(page) if node.in_store else None
            if storage is not None:
                copies = await stored_turns.lent(storage, node.user, Path(get_upload_folder()))
                for copy in copies:
                    self._chat.uploads.lend(copy, browser_of(request))
                files = [str(copy) for copy in copies]
        except ChatlabError as exc:
            log.error("attachments cannot be given back: %s", scrub(str(exc)))
        return {"text": node.user.text, "files": files, "again": node.id}

    async def edited(self, shown: Sequence[Any], text: Any, request: gr.Request) -> Any:
        """Return the message of an node with another text; shown is what the edit takes off the page."""
        page = self._chat.page(request)
        turns = [one for one in named_turns(shown) if one in page.conversation]
        if not turns or not isinstance(text, str):
            return text
        await page.stopped(*turns)
        painted = paint_attachments(page.conversation[turns[-1]].user)
        return {"text": text.removeprefix(painted), "files": [], "edits": turns[-1]}

    def paint(self, message: Any, request: gr.Request) -> Any:
        """Return how a message that was taken from the page is shown until its answer begins."""
        if not isinstance(message, dict):
            return message
        conversation = self._chat.page(request).conversation
        again, edits = message.get("again"), message.get("edits")
        if again is not None and again in conversation:
            return paint_message(conversation[again].user)
        if edits is not None and edits in conversation:
            return paint_message(edited(conversation[edits].user, message["text"]))
        return message

    # --

    async def _holds(self, page: OpenPage, turn: TurnId) -> bool:
        """Return whether a page has a turn; if it is in the store alone, the page turns to it."""
        if turn in page.conversation:
            return True
        storage = await self._chat.storage(page)
        return storage is not None and await stored_turns.found(storage, page, turn, self._chat.shared)

    async def _show(
        self,
        page: OpenPage,
        conversation_id: ConversationId,
        turn: TurnId | None,
        number: int,
    ) -> Any:
        try:
            storage = await self._chat.storage(page)
            if storage is None:
                raise WordedError("refusal.not-stored")
            assert page.owner is not None
            conversation, last = await stored_turns.opened(
                storage, page.owner, conversation_id, turn, shared=self._chat.shared
            )
        except (StoreError, WordedError) as exc:
            return [paint_error(self._said(exc))] if await self._turned(page, number) else gr.skip()
        if not await self._turned(page, number, conversation, conversation_id, last):
            return gr.skip()
        stored_turns.hold_running(storage, page, self._chat.shared)
        if turn is not None and last is not None:
            path = [one.id for one in conversation.path(last.id)]
            if turn in path[-_FOUND:]:
                page.window = max(self._chat.window_size, 2 * (len(path) - path.index(turn)) + 2)
            elif turn in path:
                page.window_end = path[path.index(turn) + _AFTER]
            await self._remember(page)
        return self._chat.window(page)

    async def _turned(
        self,
        page: OpenPage,
        number: int,
        conversation: Conversation | None = None,
        conversation_id: ConversationId | None = None,
        last: TurnNode | None = None,
    ) -> bool:
        """Return whether the page has turned to a conversation, by default a new one: not if the person asked
        for something else meanwhile."""
        async with page.turning:
            if number < page.newest_request:
                return False
            page.show(Conversation() if conversation is None else conversation, conversation_id, last)
        return True

    def _move(self, page: OpenPage, where: str) -> None:
        """Paints more of the conversation before or after what is shown of it, or turns to its end."""
        if page.last is None:
            return
        size = page.window or self._chat.window_size
        path = [one.id for one in page.conversation.path(page.last.id)]
        end = path.index(page.window_end) if page.window_end in path else len(path) - 1
        if where == "newest":
            page.window, end = None, len(path) - 1
        elif where == "later":
            end += _MORE // 2
        elif size + _MORE > _MOST:
            end = max(0, end - _MORE // 2)
        if where != "newest":
            page.window = min(_MOST, size + _MORE)
        page.window_end = path[end] if 0 <= end < len(path) - 1 else None
        page.change_view()

    async def _step(self, page: OpenPage, turn: TurnId, step: int) -> Any:
        """Shows the branch of the version before or after this one."""
        if turn not in page.conversation:
            return gr.skip()
        versions = page.conversation.versions(page.conversation[turn])
        at = min(max(versions.index(turn) + (1 if step > 0 else -1), 0), len(versions) - 1)
        page.last, page.window_end = page.conversation.end(versions[at]), None
        page.change_view()
        await self._remember(page)
        return self._chat.window(page)

    async def _remember(self, page: OpenPage) -> None:
        """The conversation opens at what the page shows now."""
        if page.conversation_id is None or page.last is None or not page.last.in_store:
            return
        try:
            storage = await self._chat.storage(page)
            if storage is not None and page.owner is not None:
                await storage.store.change(page.owner, page.conversation_id, head=page.last.id)
        except StoreError as exc:
            log.warning("the branch shown is not remembered: %s", scrub(str(exc)))

    def _said(self, error: StoreError | WordedError) -> str:
        words = self._chat.words
        if isinstance(error, Unreachable):
            return words("chat.try-again-soon", reason=scrub(str(error)))
        return words.told(error)


def _turn_id(sent: str | None) -> TurnId | None:
    return None if sent is None else TurnId(sent)


def _fields(event: gr.EventData) -> dict[str, str]:
    """Return what the page's scripts sent along, as far as it is text and not longer than a name."""
    data = getattr(event, "_data", None)
    if not isinstance(data, dict):
        return {}
    return {name: value for name, value in data.items() if isinstance(value, str) and len(value) <= 200}


def _as_state(shown: Sequence[Any]) -> list[Any]:
    return [one.model_dump() if isinstance(one, ShownMessage) else one for one in shown]
