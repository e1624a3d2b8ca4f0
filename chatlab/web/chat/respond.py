"""Answers on the chat page: from what Gradio hands over to what it paints.

The page shows a window of the conversation; the conversation itself is the server's (see
`chatlab.conversations.tree`). So a token costs the same however long the conversation is, and what a backend
is sent never depends on what became of it on its way through the browser.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Any

import gradio as gr
from pydantic import BaseModel

from chatlab.backend import Parameter
from chatlab.config.models import Ui
from chatlab.config.registry import Backends, Entry
from chatlab.conversations.service import Kept
from chatlab.conversations.tree import Conversation, Exchange
from chatlab.errors import BackendError, ChatlabError, StoreError
from chatlab.formats import from_gradio
from chatlab.messages import Message, Notice
from chatlab.secret import scrub, scrubbed_traceback
from chatlab.store import NotStored
from chatlab.store.check import Limits
from chatlab.turns.turn import run_turn
from chatlab.web.chat import stored_turns as kept_turns
from chatlab.web.chat.answering import Answering
from chatlab.web.chat.controls import values
from chatlab.web.chat.pages import Session, Sessions
from chatlab.web.chat.paint import (
    NO_TURN,
    Painted,
    Painter,
    branch_mark,
    paint_earlier,
    paint_error,
    paint_later,
    paint_message,
    paint_stored,
    settled,
    turn_of,
)
from chatlab.web.shared.owner import owner_of
from chatlab.web.shared.uploads import Uploads

log = logging.getLogger(__name__)

_AT_ONCE = 5  # answers that one page has running


class Chat:
    """Answers the messages of one page; every browser tab has a Session of its own.

    uploads: whose the files are that messages come with. kept: opens where conversations are kept; without
    it, and for a client without a cookie, they are in memory alone.
    """

    def __init__(
        self,
        backends: Backends,
        ui: Ui,
        parameters: Sequence[Parameter],
        uploads: Uploads,
        kept: Callable[[], Awaitable[Kept | None]] | None = None,
    ) -> None:
        self._backends = backends
        self._ui = ui
        self._parameters = parameters
        self.uploads = uploads
        self._open_kept = kept
        self._limits = Limits(max_bytes=int(ui.max_file_mb * 1_000_000))
        self._sessions = Sessions()
        self.window_size = ui.window

    def session(self, request: gr.Request) -> Session:
        """The session of the page that a request is from."""
        return self._sessions.get(request.session_hash, self._owner(request))

    def _owner(self, request: gr.Request) -> str | None:
        return None if self._open_kept is None else browser_of(request)

    async def kept(self, session: Session) -> Kept | None:
        """Where the conversations of a page are kept; None if they are not. Raises StoreError."""
        return None if self._open_kept is None or session.owner is None else await self._open_kept()

    async def respond(
        self,
        message: str | dict[str, Any],
        history: list[Any],
        request: gr.Request,
        backend: str,
        system: str,
        *controls: Any,
    ) -> AsyncGenerator[tuple[list[Painted], list[Any]], None]:
        """The answer as it grows: alone, and as the end of what the page shows.

        Never raises: an exception would leave the page's message box dead, so what goes wrong is painted.
        """
        session = self.session(request)
        notices: list[Notice] = []
        kept: Kept | None = None
        try:
            entry = self._backends[backend]
            said = values(self._parameters, controls)
            try:
                kept = await self.kept(session)
            except StoreError as exc:
                notices.append(Notice("other", f"this answer is not saved: {scrub(str(exc))}"))
            if len(session.running) >= _AT_ONCE:
                raise ChatlabError(f"{_AT_ONCE} answers of this page still run: wait for one, or stop one")
            browser = browser_of(request)
            parent, adopted = await self._parent(session, message, history, entry, kept, browser)
            if parent in session.running:
                raise ChatlabError("the answer before this message still runs: wait for it, or stop it")
            conversation = session.conversation
            user = await self._user(session, message, browser)
            # What follows on something that is not in the store cannot be there either.
            saves = kept is not None and (parent is None or conversation[parent].kept)
            if kept is not None and saves:
                try:
                    user = await kept.files.taken(user)
                except StoreError as exc:
                    saves = False
                    notices.append(Notice("other", f"this answer is not saved: {scrub(str(exc))}"))
            exchange = Exchange(parent, user, entry.label)
            messages, left_out = conversation.messages(exchange)
            messages = await kept_turns.sendable(kept, messages)
        except ChatlabError as exc:
            refused = paint_error(_sentence(exc))
            yield [refused], [*history, {"role": "user", "content": _plain(message)}, refused]
            return
        notices += [*adopted, *left_out]
        conversation.add(exchange)
        session.last, session.until, session.asked = exchange, None, message
        session.turn()
        opened, chat = session.opened, session.kept
        system_prompt = system if system.strip() else None
        turn = run_turn(entry, messages, parameters=said, system=system_prompt)
        saved = None
        if kept is not None and saves:
            saved = await kept_turns.begin(
                kept, session, exchange, turn, parameters=said, system=system_prompt, notices=notices
            )
            chat = saved.begun.conversation
        painter = Painter(exchange.id, entry.label, _mark(conversation, chat, exchange))
        for notice in notices:
            painter.add(notice)
        answering = Answering(exchange, conversation, chat, turn, painter, saved, _sentence)
        session.running[exchange.id] = answering
        await answering.start(self._pace, lambda: session.running.pop(exchange.id, None))
        if session.closed:  # while the message was committed
            answering.stop()
        async with aclosing(self._watch(session, answering, opened)) as paints:
            async for paint in paints:
                yield paint

    async def follow(self, request: gr.Request) -> AsyncGenerator[tuple[list[Painted], list[Any]], None]:
        """The answer that runs where the page is, to which it has come back."""
        session = self.session(request)
        answering = session.answering
        if answering is None:
            yield [], self.window(session) if session.last is not None else gr.skip()
        elif answering.watched == session.opened:
            yield [], gr.skip()  # it is shown already; an event that yields nothing empties the page
        else:
            async with aclosing(self._watch(session, answering, session.opened, at_once=True)) as paints:
                async for paint in paints:
                    yield paint

    async def _watch(
        self, session: Session, answering: Answering, opened: int, *, at_once: bool = False
    ) -> AsyncGenerator[tuple[list[Painted], list[Any]], None]:
        """What the page shows while an answer grows, until it ends or the page turns to something else.

        If it ends here before either, somebody stopped it, or the page is gone. An answer that is not kept
        cannot be come back to, so it ends when the page turns away.
        """
        exchange = answering.exchange

        def shown() -> bool:
            return session.opened == opened

        answering.watched = opened
        try:
            before = self.before(session, exchange) if shown() else []
            async with aclosing(answering.paints(shown, at_once=at_once)) as paints:
                async for painted in paints:
                    yield painted, [*before, *painted]
        finally:
            if not answering.over and (shown() or not exchange.kept):
                await answering.stopped()
        if shown():
            session.asked = None  # it ended: nobody has to tell it from one that was refused
        else:
            yield [], self.window(session)

    def _pace(self) -> float:
        """Seconds between two paints: 20 a second for one stream, 6 for each of many."""
        return min(0.16, 0.05 + 0.015 * (self._sessions.running - 1))

    async def warm(self, backend: str) -> None:
        """Makes a chosen backend before its first message: importing an SDK can take seconds."""
        entry = self._backends[backend]
        if entry.not_ready is None and not entry.made:
            try:
                await asyncio.to_thread(entry.backend)
            except Exception as exc:  # noqa: BLE001 - whoever asks it reads the sentence; nobody did yet
                log.info("backend %s cannot be made: %s", backend, scrub(str(exc)))

    async def stopped(self, request: gr.Request) -> list[Any]:
        """What the page shows after a stop, once the upstream is closed."""
        session = self.session(request)
        await session.stopped()
        return self.window(session)

    def busy_box(self, request: gr.Request) -> Any:
        """The message box of a page that comes to see an answer that runs, which it can stop."""
        return self.box(busy=self.session(request).answering is not None)

    def idle_box(self, request: gr.Request) -> Any:
        """The message box once an answer is not looked at any more, if not another one is."""
        session = self.session(request)
        answering = session.answering
        watched = answering is not None and answering.watched == session.opened
        return gr.skip() if watched else self.box()

    def box(self, *, busy: bool = False) -> Any:
        """How the message box is, its text apart."""
        labels = self._ui.labels
        return gr.update(
            interactive=not busy,
            submit_btn=False if busy else labels.get("submit", True),
            stop_btn=labels.get("stop", True) if busy else False,
        )

    def refused(self, message: Any, shown: list[Any], request: gr.Request) -> tuple[Any, Any]:
        """The message box and the conversation after an answer that the full queue refused: as they were.

        Gradio comes here after a stop, too; that answer had begun, so it stays on the page.
        """
        session = self.session(request)
        began = session.last is not None and message == session.asked
        return (self.box(), gr.skip()) if began else ({**self.box(), "value": message}, shown)

    def closed(self, request: gr.Request) -> None:
        """The tab was closed."""
        self._sessions.close(request.session_hash, self._owner(request))

    # -- what the page shows

    def window(self, session: Session) -> list[Any]:
        """What the page shows of its conversation."""
        if session.last is None:
            return []
        path = session.conversation.path(session.last.id)
        at = next((n for n, one in enumerate(path) if one.id == session.until), len(path) - 1)
        shown = [*self.before(session, path[at]), *self.painted(session, path[at])]
        if at < len(path) - 1:
            shown.append(paint_later(2 * (len(path) - 1 - at), path[at].id))
        return shown

    def before(self, session: Session, exchange: Exchange) -> list[Any]:
        """What stands before the answer of this exchange, its own message included."""
        path = session.conversation.path(exchange.parent)
        shown = session.window or self.window_size
        hidden = max(0, len(path) + 1 - shown // 2)  # a message and its answer are two
        before: list[Any] = []
        if hidden:
            before.append(paint_earlier(2 * hidden, path[hidden - 1].id, more=path[hidden - 1].kept))
        for earlier in path[hidden:]:
            before += [settled(paint_message(earlier.user)), *self.painted(session, earlier)]
        return [*before, paint_message(exchange.user)]

    def painted(self, session: Session, exchange: Exchange) -> list[Any]:
        """The answer of an exchange, as the page shows it now."""
        mark = _mark(session.conversation, session.kept, exchange)
        answering = session.running.get(exchange.id)
        if answering is not None:
            return answering.painted(mark)
        if exchange.stored is not None and (not exchange.painted or exchange.mark != mark):
            exchange.painted = [settled(message) for message in paint_stored(exchange.stored, mark)]
            exchange.mark = mark
        return exchange.painted

    # -- what is asked

    async def _user(self, session: Session, message: Any, browser: str | None) -> Message:
        """The person's message. One that is asked again is taken from the conversation, not from the page."""
        again, edits = _asked_before(session.conversation, message)
        if again is not None:
            return again.user
        if edits is not None:
            return kept_turns.edited(edits.user, str(message.get("text") or ""))
        user = from_gradio([], message)[0][-1]
        self.uploads.check(user, browser)
        return await kept_turns.checked(user, self._limits)

    async def _parent(
        self,
        session: Session,
        message: Any,
        history: list[Any],
        entry: Entry,
        kept: Kept | None,
        browser: str | None,
    ) -> tuple[str | None, tuple[Notice, ...]]:
        """The exchange this one follows: that which a message asked again follows; else the last painted one,
        whatever was undone. If that is not the end of what the page shows a part of, it is that end.

        Where conversations are kept, one that this page does not hold is looked up, for its owner alone.
        """
        for before in _asked_before(session.conversation, message):
            if before is not None:
                return before.parent, ()
        for named in self.named(history):
            if named == session.until and session.last is not None:
                return session.last.id, ()
            if named in session.conversation:
                return named, ()
            if kept is not None:
                if await kept_turns.found(kept, session, named):
                    return named, ()
                raise NotStored("this conversation is not there any more: begin a new chat")
        return self._adopt(session.conversation, history, entry, browser)

    @staticmethod
    def named(shown: Sequence[Any]) -> list[str]:
        """The turns that painted messages name, the last one first."""
        found = []
        for message in reversed(shown):
            known = (
                message.get("metadata") if isinstance(message, dict) else getattr(message, "metadata", None)
            )
            named = turn_of((known or {}).get("id"))
            if named is not None and named != NO_TURN and named not in found:
                found.append(named)
        return found

    def _adopt(
        self, conversation: Conversation, history: list[Any], entry: Entry, browser: str | None
    ) -> tuple[str | None, tuple[Notice, ...]]:
        """Takes over a history this server does not hold: an API client's, or one it has forgotten."""
        last: Exchange | None = None
        messages, notices = from_gradio([m.model_dump() if isinstance(m, BaseModel) else m for m in history])
        for message in messages:
            self.uploads.check(message, browser)
            if message.role == "user":
                last = Exchange(last.id if last else None, message, entry.label)
                conversation.add(last)
            elif last is not None:
                last.answer += message.parts
                last.painted.append(settled(paint_message(message)))
        return (last.id if last else None), notices


def browser_of(request: gr.Request) -> str | None:
    """Whose a request is, whether or not conversations are kept; None for a client without a cookie."""
    return owner_of(getattr(request, "cookies", {}))


def _asked_before(conversation: Conversation, message: Any) -> tuple[Exchange | None, Exchange | None]:
    """The exchanges whose messages are asked again, as they are and with another text."""
    known = message if isinstance(message, dict) else {}
    found = (known.get("again"), known.get("edits"))
    again, edits = (conversation[one] if one is not None and one in conversation else None for one in found)
    return again, edits


def _mark(conversation: Conversation, kept: str | None, exchange: Exchange) -> str:
    """What the page's scripts are told of an exchange; nothing of one that is not kept."""
    if not exchange.kept or kept is None:
        return ""
    versions = conversation.versions(exchange)
    elsewhere = exchange.stored is not None and exchange.stored.status == "running"
    return branch_mark(exchange.id, kept, versions.index(exchange.id) + 1, len(versions), running=elsewhere)


def _plain(message: str | dict[str, Any]) -> list[dict[str, str]]:
    text = message if isinstance(message, str) else str(message.get("text") or "")
    return [{"type": "text", "text": text}]


def _sentence(error: ChatlabError) -> str:
    """What the person reads; what only the log has can be found by the incident's id."""
    incident = secrets.token_hex(4)
    log.error("incident %s: %s\n%s", incident, error, scrubbed_traceback(error))
    return f"{error.sentence}, incident {incident}" if isinstance(error, BackendError) else error.sentence
