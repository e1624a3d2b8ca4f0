"""Answers on the chat page: from what Gradio hands over to what it paints.

The page shows a window of the conversation; the conversation itself is the server's (see
`chatlab.ui.conversation`). So a token costs the same however long the conversation is, and what a backend
is sent never depends on what became of it on its way through the browser.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder
from pydantic import BaseModel

from chatlab.backend import Parameter
from chatlab.chat import Turn, run_turn
from chatlab.config import Ui
from chatlab.errors import BackendError, ChatlabError, UnsupportedContent
from chatlab.history import from_gradio
from chatlab.messages import FilePart, Message, Notice
from chatlab.registry import Backends, Entry
from chatlab.secret import scrub, scrubbed_traceback
from chatlab.ui.conversation import Conversation, Exchange, Session, Sessions
from chatlab.ui.gradio_controls import values
from chatlab.ui.gradio_paint import (
    Painted,
    Painter,
    paint_earlier,
    paint_error,
    paint_message,
    settled,
    turn_of,
)

log = logging.getLogger(__name__)


class Chat:
    """Answers the messages of one page; every browser tab has a Session of its own."""

    def __init__(self, backends: Backends, ui: Ui, parameters: Sequence[Parameter]) -> None:
        self._backends = backends
        self._ui = ui
        self._parameters = parameters
        self._sessions = Sessions()

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
        session = self._sessions.get(request.session_hash)
        conversation = session.conversation
        try:
            entry = self._backends[backend]
            user = from_gradio([], message)[0][-1]
            check_files(user)
            said = values(self._parameters, controls)
            parent, adopted = self._parent(conversation, history, entry)
            exchange = Exchange(parent, user, entry.label)
        except ChatlabError as exc:
            refused = paint_error(_sentence(exc))
            yield [refused], [*history, {"role": "user", "content": _plain(message)}, refused]
            return
        conversation.add(exchange)
        session.last = exchange
        before = self._before(conversation, exchange)
        messages, notices = conversation.messages(exchange)
        painter = Painter(exchange.id, entry.label)
        for notice in (*adopted, *notices):
            painter.add(notice)
        turn = run_turn(entry, messages, parameters=said, system=system if system.strip() else None)
        async with aclosing(self._paints(session, exchange, turn, painter)) as paints:
            async for painted in paints:
                yield painted, [*before, *painted]

    async def _paints(
        self, session: Session, exchange: Exchange, turn: Turn, painter: Painter
    ) -> AsyncGenerator[list[Painted], None]:
        """The answer at the first token, then as often as the load allows, and at its end."""

        def settle() -> None:
            for event in turn.take():
                painter.add(event)
            exchange.answer = turn.answer.parts
            painted = painter.messages(turn, error)
            exchange.painted = [settled(message) for message in painted]

        error: str | None = None
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
        session = self._sessions.get(request.session_hash)
        await session.stopped()
        if session.last is None:
            return []
        return [*self._before(session.conversation, session.last), *session.last.painted]

    def refused(self, message: Any, shown: list[Any], request: gr.Request) -> tuple[Any, Any]:
        """The message box and the conversation after an answer that the full queue refused: as they were.

        Gradio comes here after a stop, too; that answer had begun, so it stays on the page.
        """
        last = self._sessions.get(request.session_hash).last
        try:
            began = last is not None and from_gradio([], message)[0][-1] == last.user
        except ChatlabError:
            began = False
        box = {"interactive": True, "submit_btn": self._ui.labels.get("submit", True), "stop_btn": False}
        return (gr.update(**box), gr.skip()) if began else (gr.update(value=message, **box), shown)

    def closed(self, request: gr.Request) -> None:
        """The tab was closed."""
        self._sessions.close(request.session_hash)

    def _before(self, conversation: Conversation, exchange: Exchange) -> list[Any]:
        """What stands before the answer of this exchange, its own message included."""
        path = conversation.path(exchange.parent)
        hidden = max(0, len(path) + 1 - self._ui.window // 2)  # a message and its answer are two
        before: list[Any] = [paint_earlier(2 * hidden, path[hidden - 1].id)] if hidden else []
        for earlier in path[hidden:]:
            before += [settled(paint_message(earlier.user)), *earlier.painted]
        return [*before, paint_message(exchange.user)]

    def _parent(
        self, conversation: Conversation, history: list[Any], entry: Entry
    ) -> tuple[str | None, tuple[Notice, ...]]:
        """The exchange this one follows: the last painted one, whatever was undone, edited or retried."""
        for shown in reversed(history):
            metadata = shown.get("metadata") if isinstance(shown, dict) else getattr(shown, "metadata", None)
            named = turn_of((metadata or {}).get("id"))
            if named is not None and named in conversation:
                return named, ()
        return self._adopt(conversation, history, entry)

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
