"""What the sidebar and the controls under an answer ask of the chat page: another conversation or branch."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.components.chatbot import Message as ShownMessage
from gradio.utils import get_upload_folder

from chatlab.conversations.tree import Conversation
from chatlab.errors import ChatlabError, StoreError
from chatlab.secret import scrub
from chatlab.store import NotStored, Unreachable
from chatlab.web.chat import stored_turns as kept_turns
from chatlab.web.chat.pages import Session
from chatlab.web.chat.paint import paint_attachments, paint_error, paint_message
from chatlab.web.chat.respond import Chat, browser_of

log = logging.getLogger(__name__)

_MORE = 100  # messages that are painted more, each time somebody asks to see earlier or later ones
_MOST = 1_000  # painted at once: beyond that, the window moves
_FOUND = 50  # exchanges before the end, from which on all is painted if a search found one of them
_AFTER = 5  # exchanges that are painted after one that a search found before those

Shown = tuple[Any, Any]
"""For the chatbot, and for the state that says what the chatbot shows."""


class Opening:
    """Opens conversations and walks their branches, each page for its owner alone.

    What a page asks for is checked here: ids come from the browser, and somebody else's are unknown.
    """

    def __init__(self, chat: Chat) -> None:
        self._chat = chat

    async def arrived(self, request: gr.Request) -> Shown:
        """A page was opened: by a link to a conversation, that is what it shows."""
        wanted = request.query_params.get("c")
        session = self._chat.session(request)
        if not wanted or session.owner is None:
            return gr.skip(), gr.skip()
        return await self._show(session, str(wanted), request.query_params.get("t"))

    async def asked(self, event: gr.EventData, request: gr.Request) -> tuple[Any, Any, Any]:
        """The sidebar, or a control of the conversation, asks for another one, or for another part of it."""
        return *await self._asked(self._chat.session(request), _fields(event)), self._chat.box()

    async def _asked(self, session: Session, asked: Mapping[str, str]) -> Shown:
        conversation, turn = asked.get("conversation"), asked.get("turn")
        number = int(asked.get("number", "0"))
        session.asks = max(session.asks, number)
        if conversation:
            return await self._show(session, conversation, turn, number)
        if where := asked.get("part"):
            self._move(session, where)
            return self._shown(session)
        if turn:
            return await self._walk(session, turn, int(asked.get("step", "1")))
        session.show(Conversation())
        return [], []

    async def again(self, event: gr.EventData, request: gr.Request) -> tuple[Any, Any, Any]:
        """A message is to be answered once more, by the backend chosen now: what the page shows until then,
        and what is handed to `Chat.respond`."""
        session = self._chat.session(request)
        turn = _fields(event).get("turn", "")
        try:
            if turn not in session.conversation:
                kept = await self._chat.kept(session)
                if kept is None or not await kept_turns.found(kept, session, turn):
                    raise NotStored("this conversation is not there any more: begin a new chat")
        except StoreError as exc:
            shown = [*self._chat.window(session), paint_error(_said(exc))]
            return shown, _as_state(shown), gr.skip()
        session.turn()
        exchange = session.conversation[turn]
        before = self._chat.before(session, exchange)
        asked = {"text": exchange.user.text, "files": [], "again": exchange.id}
        return before, _as_state(before[:-1]), asked

    async def cleared(self, request: gr.Request) -> None:
        """The page was emptied: what comes next is a new conversation."""
        session = self._chat.session(request)
        await session.stopped()
        session.show(Conversation())

    async def undone(self, shown: list[Any], request: gr.Request) -> None:
        """An exchange was taken back: it stays, but the conversation opens at the one before it."""
        session = self._chat.session(request)
        last = next((one for one in self._chat.named(shown) if one in session.conversation), None)
        if last is None or session.until is not None:  # what stands before the end is not taken back
            return
        await session.stopped(last)
        session.last = None
        parent = session.conversation[last].parent
        if parent is not None:
            session.last = session.conversation[parent]
            await self._remember(session)

    # -- what is taken from the page to be asked again

    async def taken_back(self, shown: Sequence[Any], message: Any, request: gr.Request) -> Any:
        """The message of what was taken off the page, by retry or undo, exactly as it was asked."""
        session = self._chat.session(request)
        turn = next((one for one in self._chat.named(shown) if one in session.conversation), None)
        if turn is None or not isinstance(message, dict):
            return message
        await session.stopped(turn)
        exchange = session.conversation[turn]
        files = message["files"]
        try:
            kept = await self._chat.kept(session) if exchange.kept else None
            if kept is not None:
                copies = await kept_turns.lent(kept, exchange.user, Path(get_upload_folder()))
                for copy in copies:
                    self._chat.uploads.lend(copy, browser_of(request))
                files = [str(copy) for copy in copies]
        except ChatlabError as exc:
            log.error("attachments cannot be given back: %s", scrub(str(exc)))
        return {"text": exchange.user.text, "files": files, "again": exchange.id}

    async def edited(self, shown: Sequence[Any], text: Any, request: gr.Request) -> Any:
        """The message of an exchange with another text; shown is what the edit takes off the page."""
        session = self._chat.session(request)
        turns = [one for one in self._chat.named(shown) if one in session.conversation]
        if not turns or not isinstance(text, str):
            return text
        await session.stopped(*turns)
        painted = paint_attachments(session.conversation[turns[-1]].user)
        return {"text": text.removeprefix(painted), "files": [], "edits": turns[-1]}

    def paint(self, message: Any, request: gr.Request) -> Any:
        """How a message that was taken from the page is shown until its answer begins."""
        if not isinstance(message, dict):
            return message
        conversation = self._chat.session(request).conversation
        again, edits = message.get("again"), message.get("edits")
        if again is not None and again in conversation:
            return paint_message(conversation[again].user)
        if edits is not None and edits in conversation:
            return paint_message(kept_turns.edited(conversation[edits].user, message["text"]))
        return message

    # --

    async def _show(
        self, session: Session, id: str, turn: str | None = None, number: int | None = None
    ) -> Shown:
        try:
            kept = await self._chat.kept(session)
            if kept is None:
                raise NotStored("conversations are not kept here")
            assert session.owner is not None
            running = session.running.values()
            conversation, last = await kept_turns.opened(kept, session.owner, id, turn, running=running)
            if number is not None and number < session.asks:  # meanwhile the person asked for something else
                return gr.skip(), gr.skip()
        except StoreError as exc:
            session.show(Conversation())
            shown = [paint_error(_said(exc))]
            return shown, _as_state(shown)
        session.show(conversation, id, last)
        if turn is not None and last is not None:
            path = [one.id for one in conversation.path(last.id)]
            if turn in path[-_FOUND:]:
                session.window = max(self._chat.window_size, 2 * (len(path) - path.index(turn)) + 2)
            elif turn in path:
                session.until = path[path.index(turn) + _AFTER]
            await self._remember(session)
        return self._shown(session)

    def _move(self, session: Session, where: str) -> None:
        """Paints more of the conversation before or after what is shown of it, or turns to its end."""
        if session.last is None:
            return
        size = session.window or self._chat.window_size
        path = [one.id for one in session.conversation.path(session.last.id)]
        end = path.index(session.until) if session.until in path else len(path) - 1
        if where == "newest":
            session.window, end = None, len(path) - 1
        elif where == "later":
            end += _MORE // 2
        elif size + _MORE > _MOST:
            end = max(0, end - _MORE // 2)
        if where != "newest":
            session.window = min(_MOST, size + _MORE)
        session.until = path[end] if 0 <= end < len(path) - 1 else None
        session.turn()

    async def _walk(self, session: Session, turn: str, step: int) -> Shown:
        """Shows the branch of the version before or after this one."""
        if turn not in session.conversation:
            return gr.skip(), gr.skip()
        versions = session.conversation.versions(session.conversation[turn])
        at = min(max(versions.index(turn) + (1 if step > 0 else -1), 0), len(versions) - 1)
        session.last, session.until = session.conversation.end(versions[at]), None
        session.turn()
        await self._remember(session)
        return self._shown(session)

    async def _remember(self, session: Session) -> None:
        """The conversation opens at what the page shows now."""
        if session.kept is None or session.last is None or not session.last.kept:
            return
        try:
            kept = await self._chat.kept(session)
            if kept is not None and session.owner is not None:
                await kept.store.change(session.owner, session.kept, head=session.last.id)
        except StoreError as exc:
            log.warning("the branch shown is not remembered: %s", scrub(str(exc)))

    def _shown(self, session: Session) -> Shown:
        shown = self._chat.window(session)
        return shown, _as_state(shown)


def _fields(event: gr.EventData) -> dict[str, str]:
    """What the page's scripts sent along, as far as it is text and not longer than an id."""
    data = getattr(event, "_data", None)
    if not isinstance(data, dict):
        return {}
    return {name: value for name, value in data.items() if isinstance(value, str) and len(value) <= 80}


def _as_state(shown: Sequence[Any]) -> list[Any]:
    return [one.model_dump() if isinstance(one, ShownMessage) else one for one in shown]


def _said(error: StoreError) -> str:
    if isinstance(error, Unreachable):
        return f"{scrub(str(error))}: try again soon"
    return scrub(str(error))
