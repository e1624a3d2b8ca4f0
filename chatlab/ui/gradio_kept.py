"""What the sidebar and the controls under an answer ask of the chat page: another conversation or branch."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.components.chatbot import Message as ShownMessage
from gradio.utils import get_upload_folder

from chatlab.errors import ChatlabError, StoreError
from chatlab.secret import scrub
from chatlab.store import NotStored, Unreachable
from chatlab.ui import kept_turns
from chatlab.ui.conversation import Conversation, Session
from chatlab.ui.gradio_chat import Chat
from chatlab.ui.gradio_paint import paint_attachments, paint_error, paint_message

log = logging.getLogger(__name__)

_MORE = 100  # messages that are painted more, each time somebody asks to see earlier ones
_MOST = 1_000
_FOUND = 200  # exchanges before the end, among which one that a search found is painted too

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

    async def asked(self, event: gr.EventData, request: gr.Request) -> Shown:
        """The sidebar, or a control of the conversation, asks for another one, or for another part of it."""
        session = self._chat.session(request)
        asked = _fields(event)
        conversation, turn = asked.get("conversation"), asked.get("turn")
        if conversation:
            return await self._show(session, conversation, turn)
        if asked.get("earlier"):
            session.window = min(_MOST, (session.window or self._chat.window_size) + _MORE)
            return self._shown(session)
        if turn:
            return await self._walk(session, turn, int(asked.get("step", "1")))
        await session.stopped()
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
        await session.stopped()
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
        if last is None:
            return
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
        exchange = session.conversation[turn]
        files = message["files"]
        try:
            kept = await self._chat.kept(session) if exchange.kept else None
            if kept is not None:
                folder = Path(get_upload_folder())
                files = [str(path) for path in await kept_turns.lent(kept, exchange.user, folder)]
        except ChatlabError as exc:
            log.error("attachments cannot be given back: %s", scrub(str(exc)))
        return {"text": exchange.user.text, "files": files, "again": exchange.id}

    def edited(self, shown: Sequence[Any], text: Any, request: gr.Request) -> Any:
        """The message of an exchange with another text; shown is what the edit takes off the page."""
        session = self._chat.session(request)
        turns = [one for one in self._chat.named(shown) if one in session.conversation]
        if not turns or not isinstance(text, str):
            return text
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

    async def _show(self, session: Session, id: str, turn: str | None = None) -> Shown:
        await session.stopped()
        try:
            kept = await self._chat.kept(session)
            if kept is None:
                raise NotStored("conversations are not kept here")
            assert session.owner is not None
            conversation, last = await kept_turns.opened(kept, session.owner, id, turn)
        except StoreError as exc:
            session.show(Conversation())
            shown = [paint_error(_said(exc))]
            return shown, _as_state(shown)
        session.show(conversation, id, last)
        if turn is not None:
            after = [one.id for one in conversation.path(last.id)][::-1] if last is not None else []
            if turn in after[:_FOUND]:
                session.window = max(self._chat.window_size, 2 * after.index(turn) + 4)
            await self._remember(session)
        return self._shown(session)

    async def _walk(self, session: Session, turn: str, step: int) -> Shown:
        """Shows the branch of the version before or after this one."""
        if turn not in session.conversation:
            return gr.skip(), gr.skip()
        await session.stopped()
        versions = session.conversation.versions(session.conversation[turn])
        at = min(max(versions.index(turn) + (1 if step > 0 else -1), 0), len(versions) - 1)
        session.last = session.conversation.end(versions[at])
        session.opened += 1
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
