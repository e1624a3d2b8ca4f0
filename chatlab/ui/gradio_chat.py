"""Answers on the chat page: from what Gradio hands over to what it paints.

The page shows a window of the conversation; the conversation itself is the server's (see
`chatlab.ui.conversation`). So a token costs the same however long the conversation is, and what a backend
is sent never depends on what became of it on its way through the browser.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder
from pydantic import BaseModel

from chatlab.backend import Parameter
from chatlab.chat import Turn, run_turn
from chatlab.config import Ui
from chatlab.errors import BackendError, ChatlabError, StoreError, UnsupportedContent
from chatlab.history import from_gradio
from chatlab.kept import Kept
from chatlab.messages import FilePart, Message, Notice
from chatlab.registry import Backends, Entry
from chatlab.secret import scrub, scrubbed_traceback
from chatlab.store import NotStored
from chatlab.store.check import Limits
from chatlab.ui import kept_turns
from chatlab.ui.conversation import Conversation, Exchange, Session, Sessions
from chatlab.ui.gradio_controls import values
from chatlab.ui.gradio_paint import (
    NO_TURN,
    Painted,
    Painter,
    branch_mark,
    paint_earlier,
    paint_error,
    paint_message,
    paint_stored,
    settled,
    turn_of,
)
from chatlab.ui.kept_turns import Running
from chatlab.ui.owner import owner_of

log = logging.getLogger(__name__)


class Chat:
    """Answers the messages of one page; every browser tab has a Session of its own.

    kept: opens where conversations are kept; without it, and for a client without a cookie, they are in
    memory alone.
    """

    def __init__(
        self,
        backends: Backends,
        ui: Ui,
        parameters: Sequence[Parameter],
        kept: Callable[[], Awaitable[Kept | None]] | None = None,
    ) -> None:
        self._backends = backends
        self._ui = ui
        self._parameters = parameters
        self._open_kept = kept
        self._limits = Limits(max_bytes=int(ui.max_file_mb * 1_000_000))
        self._sessions = Sessions()
        self.window_size = ui.window

    def session(self, request: gr.Request) -> Session:
        """The session of the page that a request is from."""
        return self._sessions.get(request.session_hash, self._owner(request))

    def _owner(self, request: gr.Request) -> str | None:
        return None if self._open_kept is None else owner_of(getattr(request, "cookies", {}))

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
            parent, adopted = await self._parent(session, history, entry, kept)
            conversation = session.conversation
            user = await self._user(session, message)
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
        session.last, session.asked = exchange, message
        system_prompt = system if system.strip() else None
        turn = run_turn(entry, messages, parameters=said, system=system_prompt)
        saved = None
        if kept is not None and saves:
            saved = await kept_turns.begin(
                kept, session, exchange, turn, parameters=said, system=system_prompt, notices=notices
            )
        painter = Painter(exchange.id, entry.label, self._mark(session, exchange))
        for notice in notices:
            painter.add(notice)
        before, opened = self.before(session, exchange), session.opened
        async with aclosing(self._paints(session, exchange, turn, painter, saved)) as paints:
            async for painted in paints:
                if session.opened == opened:
                    yield painted, [*before, *painted]
        session.asked = None  # it ended: nobody has to tell it from one that was refused
        if session.opened != opened:  # meanwhile the page turned to another conversation: it shows that one
            yield [], self.window(session)

    async def _paints(
        self, session: Session, exchange: Exchange, turn: Turn, painter: Painter, saved: Running | None
    ) -> AsyncGenerator[list[Painted], None]:
        """The answer at the first token, then as often as the load allows, and at its end."""

        def settle() -> None:
            for event in turn.take():
                painter.add(event)
            exchange.answer = turn.answer.parts
            if saved is not None:
                exchange.stored = saved.end(error)
            exchange.painted = [settled(message) for message in painter.messages(turn, error, unsaved)]
            exchange.mark = self._mark(session, exchange)

        error: str | None = None
        unsaved: str | None = None
        session.running[turn] = settle
        try:
            async with turn:
                try:
                    async with aclosing(turn.batches()) as batches:
                        async for batch in batches:
                            for event in batch:
                                painter.add(event)
                            yield painter.messages(turn)
                            await turn.pause(self._pace())
                except ChatlabError as exc:
                    error = _sentence(exc)
        finally:
            del session.running[turn]
            settle()
        yield painter.messages(turn, error)
        if saved is not None:
            unsaved = await saved.unsaved()
            if unsaved is not None:
                exchange.painted = [settled(message) for message in painter.messages(turn, error, unsaved)]
                yield painter.messages(turn, error, unsaved)

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

    def refused(self, message: Any, shown: list[Any], request: gr.Request) -> tuple[Any, Any]:
        """The message box and the conversation after an answer that the full queue refused: as they were.

        Gradio comes here after a stop, too; that answer had begun, so it stays on the page.
        """
        session = self.session(request)
        began = session.last is not None and message == session.asked
        box = {"interactive": True, "submit_btn": self._ui.labels.get("submit", True), "stop_btn": False}
        return (gr.update(**box), gr.skip()) if began else (gr.update(value=message, **box), shown)

    def closed(self, request: gr.Request) -> None:
        """The tab was closed."""
        self._sessions.close(request.session_hash, self._owner(request))

    # -- what the page shows

    def window(self, session: Session) -> list[Any]:
        """What the page shows of its conversation."""
        last = session.last
        return [] if last is None else [*self.before(session, last), *self.painted(session, last)]

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
        """The answer of an exchange that has ended, as the page shows it."""
        mark = self._mark(session, exchange)
        if exchange.stored is not None and (not exchange.painted or exchange.mark != mark):
            exchange.painted = [settled(message) for message in paint_stored(exchange.stored, mark)]
            exchange.mark = mark
        return exchange.painted

    def _mark(self, session: Session, exchange: Exchange) -> str:
        """What the page's scripts are told of an exchange; nothing of one that is not kept."""
        if not exchange.kept or session.kept is None:
            return ""
        versions = session.conversation.versions(exchange)
        elsewhere = exchange.stored is not None and exchange.stored.status == "running"
        return branch_mark(
            exchange.id, session.kept, versions.index(exchange.id) + 1, len(versions), running=elsewhere
        )

    # -- what is asked

    async def _user(self, session: Session, message: Any) -> Message:
        """The person's message. One that is asked again is taken from the conversation, not from the page."""
        known = message if isinstance(message, dict) else {}
        again, edits = known.get("again"), known.get("edits")
        if again is not None and again in session.conversation:
            return session.conversation[again].user
        if edits is not None and edits in session.conversation:
            return kept_turns.edited(session.conversation[edits].user, str(known.get("text") or ""))
        user = from_gradio([], message)[0][-1]
        check_files(user)
        return await kept_turns.checked(user, self._limits)

    async def _parent(
        self, session: Session, history: list[Any], entry: Entry, kept: Kept | None
    ) -> tuple[str | None, tuple[Notice, ...]]:
        """The exchange this one follows: the last painted one, whatever was undone, edited or retried.

        Where conversations are kept, one that this page does not hold is looked up, for its owner alone.
        """
        for named in self.named(history):
            if named in session.conversation:
                return named, ()
            if kept is not None:
                if await kept_turns.found(kept, session, named):
                    return named, ()
                raise NotStored("this conversation is not there any more: begin a new chat")
        return self._adopt(session.conversation, history, entry)

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
        self, conversation: Conversation, history: list[Any], entry: Entry
    ) -> tuple[str | None, tuple[Notice, ...]]:
        """Takes over a history this server does not hold: an API client's, or one it has forgotten."""
        last: Exchange | None = None
        messages, notices = from_gradio([m.model_dump() if isinstance(m, BaseModel) else m for m in history])
        for message in messages:
            check_files(message)
            if message.role == "user":
                last = Exchange(last.id if last else None, message, entry.label)
                conversation.add(last)
            elif last is not None:
                last.answer += message.parts
                last.painted.append(settled(paint_message(message)))
        return (last.id if last else None), notices


def check_files(message: Message) -> None:
    """Only what was uploaded may be read: a client can claim any path."""
    uploads = Path(get_upload_folder()).resolve()
    for part in message.parts:
        if isinstance(part, FilePart) and part.path and not part.path.resolve().is_relative_to(uploads):
            raise UnsupportedContent("that file was not uploaded here: attach it again")


def _plain(message: str | dict[str, Any]) -> list[dict[str, str]]:
    text = message if isinstance(message, str) else str(message.get("text") or "")
    return [{"type": "text", "text": text}]


def _sentence(error: ChatlabError) -> str:
    """What the person reads; what only the log has can be found by the incident's id."""
    incident = secrets.token_hex(4)
    log.error("incident %s: %s\n%s", incident, error, scrubbed_traceback(error))
    return f"{error}, incident {incident}" if isinstance(error, BackendError) else str(error)
