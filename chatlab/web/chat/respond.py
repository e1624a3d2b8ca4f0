"""Answers on the chat page: from what Gradio hands over to what it paints.

The page shows a window of the conversation; the conversation itself is the server's (see
`chatlab.conversations.tree`). So a token costs the same however long the conversation is, and what a backend
is sent never depends on what became of it on its way through the browser.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import gradio as gr

from chatlab.backend import CallContext, Parameter
from chatlab.config.models import Config
from chatlab.config.registry import Entry, ServedBackends
from chatlab.conversations.service import StorageService
from chatlab.conversations.tree import TurnNode, TurnSettings
from chatlab.errors import BackendError, ChatlabError, InvalidRequest, StoreError, UnsupportedContent
from chatlab.log import incident
from chatlab.messages import Notice
from chatlab.store.check import FileLimits
from chatlab.turns.turn import run_turn
from chatlab.web.chat import stored_turns
from chatlab.web.chat.answering import RunningAnswer
from chatlab.web.chat.asking import Asking, BrowserMessage, Question, not_saved
from chatlab.web.chat.controls import NO_PRESET, preset_values, values
from chatlab.web.chat.pacing import Pacing
from chatlab.web.chat.pages import OpenPage, OpenPages, SharedConversations
from chatlab.web.chat.paint import AnswerPainter
from chatlab.web.chat.paint_messages import Painted, paint_error
from chatlab.web.chat.shown_answer import ShownAnswer
from chatlab.web.chat.window import before_answer, mark_of, shown_window
from chatlab.web.shared.limits import Held, VisitorLimits
from chatlab.web.shared.owner import call_context, owner_of
from chatlab.web.shared.page_words import page_words
from chatlab.web.shared.stored_room import StoredRoom
from chatlab.web.shared.uploads import UploadOwners
from chatlab.words import ENGLISH, WordedError

log = logging.getLogger(__name__)

_AT_ONCE = 5  # answers that one page has running


class Chat:
    """Answers the messages of one configuration's page; every browser tab is an OpenPage of its own.

    uploads: whose the files are that messages come with. limits: what visitors may have running. storage:
    opens where conversations are stored; without it, and for a client without a cookie, they are in memory
    alone.
    """

    def __init__(
        self,
        backends: ServedBackends,
        config: Config,
        parameters: Sequence[Parameter],
        uploads: UploadOwners,
        limits: VisitorLimits,
        room: StoredRoom,
        storage: Callable[[], Awaitable[StorageService | None]] | None = None,
    ) -> None:
        self._backends = backends
        self._ui = ui = config.ui
        self.words = page_words(ui)
        self._orphan_seconds = config.server.orphan_seconds
        self._limits = limits
        self.shared = SharedConversations(words=self.words)
        self._parameters = parameters
        self.uploads = uploads
        self._open_storage = storage
        file_limits = FileLimits(max_bytes=int(ui.max_file_mb * 1_000_000))
        self._asking = Asking(uploads, file_limits, self.shared, room)
        self._pages = OpenPages()
        self._pacing = Pacing()
        self.window_size = ui.window

    def page(self, request: gr.Request) -> OpenPage:
        """Return the state of the page that a request is from."""
        return self._pages.get(request.session_hash, self._owner(request))

    def _owner(self, request: gr.Request) -> str | None:
        return None if self._open_storage is None else browser_of(request)

    async def storage(self, page: OpenPage) -> StorageService | None:
        """Return where the conversations of a page are stored; None if they are not. Raise StoreError."""
        return None if self._open_storage is None or page.owner is None else await self._open_storage()

    async def respond(
        self,
        message: str | dict[str, Any],
        history: list[Any],
        request: gr.Request,
        backend: str,
        system: str | None,
        *controls: Any,
    ) -> AsyncGenerator[tuple[list[Painted], list[Any]], None]:
        """Yield the answer as it grows: alone, and as the end of what the page shows.

        Never raises: an exception would leave the page's message box dead, so what goes wrong is painted.
        """
        page = self.page(request)
        try:
            with page.place(_AT_ONCE):
                async with page.turning:
                    place = await self._limits.begin(self._limits.visitor(request))
                    with place.released_on_failure():
                        entry = self._backends[backend]
                        parameters = values(self._parameters, controls, self.words)
                        question = await self._question(page, message, history, browser_of(request), entry)
                        question.conversation.add(question.node)
                        page.last, page.window_end, page.sent = question.node, None, message
                        page.change_view()
                        view, said = page.view, system if system and system.strip() else None
                        ctx = call_context(request)
                    begin = self._begin(page, question, entry, parameters, said, ctx, place)
                    answer = await page.begun(question.node.id, place.given_to(begin))
        except Exception as exc:  # noqa: BLE001 - whatever it is, the page goes on
            refused = paint_error(self._refusal(exc))
            yield [refused], [*history, {"role": "user", "content": _plain(message)}, refused]
            return
        # What is stored has an address, which the page is told before the first token: a reload comes back.
        async with aclosing(self._watch(page, answer, view, at_once=answer.node.in_store)) as paints:
            async for paint in paints:
                yield paint

    async def _question(
        self, page: OpenPage, message: Any, history: list[Any], sender: str | None, entry: Entry
    ) -> Question:
        notices: list[Notice] = []
        storage: StorageService | None = None
        try:
            storage = await self.storage(page)
        except StoreError as exc:
            notices.append(not_saved(exc))
        question = await self._asking.question(page, BrowserMessage(message, history, sender, entry, storage))
        question.notices[:0] = notices
        return question

    async def _begin(
        self,
        page: OpenPage,
        question: Question,
        entry: Entry,
        parameters: Mapping[str, Any],
        system: str | None,
        ctx: CallContext,
        place: Held,
    ) -> RunningAnswer:
        """Have the person's message committed, and the backend called. place: released at the answer's
        end."""
        node, conversation_id = question.node, page.conversation_id
        node.settings = TurnSettings(entry.name, entry.label, system, parameters)
        ctx = replace(ctx, conversation=question.conversation.thread(question.node))
        turn = run_turn(entry, question.messages, parameters=parameters, system=system, ctx=ctx)
        saved = None
        if question.storage is not None:
            saved = await stored_turns.begin(
                question.storage,
                page,
                node,
                turn,
                parameters=parameters,
                system=system,
                notices=question.notices,
                ctx=ctx,
            )
            conversation_id = saved.begun.conversation
        mark, asked_as = mark_of(question.conversation, conversation_id, node), entry.asked_as(ctx)
        painter = AnswerPainter(node.id, entry.label, mark, asked_as=asked_as, words=self.words)
        for notice in question.notices:
            painter.add(notice)
        stays = self._orphan_seconds if saved is not None else 0.0
        answer = RunningAnswer(
            *(node, question.conversation, conversation_id, turn, painter, saved),
            *(_sentence, stays, self.words),
        )

        def over() -> None:
            place.release()
            if saved is not None:
                self.shared.ended(saved.begun.owner, saved.begun.conversation, answer)

        await answer.start(self._pacing, over)
        if saved is not None:
            self.shared.began(saved.begun.owner, saved.begun.conversation, answer)
        page.hold(answer)
        return answer

    async def follow(self, request: gr.Request) -> AsyncGenerator[tuple[list[Painted], list[Any]], None]:
        """Yield the answer that runs where the page is, to which it has come back."""
        page = self.page(request)
        answer = page.shown_answer
        if answer is None:
            yield [], self.window(page) if page.last is not None else gr.skip()
        elif page.watched:
            yield [], gr.skip()  # it is shown already; an event that yields nothing empties the page
        else:
            async with aclosing(self._watch(page, answer, page.view, at_once=True)) as paints:
                async for paint in paints:
                    yield paint

    async def _watch(
        self, page: OpenPage, answer: ShownAnswer, view: int, *, at_once: bool = False
    ) -> AsyncGenerator[tuple[list[Painted], list[Any]], None]:
        """Yield what the page shows while an answer grows, until it ends or the page turns to something else.

        If it ends here before either, somebody stopped it, or the connection is lost. An answer that is not
        stored cannot be come back to, so it ends when the page turns away.
        """
        node = answer.node

        def shown() -> bool:
            return page.view == view

        page.watching = node.id, view
        page.hold(answer)
        try:
            before = self.before(page, node) if shown() else []
            async with aclosing(answer.paints(shown, at_once=at_once)) as paints:
                async for painted in paints:
                    yield painted, [*before, *painted]
        finally:
            if not answer.over and not node.in_store:
                await answer.stopped()
            elif not answer.over and shown():
                page.watching = None
                answer.release(page)
        if shown():
            page.sent = None  # it ended: nobody has to tell it from one that was refused
        else:
            yield [], self.window(page)

    async def went_on(self, page: OpenPage) -> bool:
        """Return whether somebody asked, in the conversation of a page, what that page does not know of."""
        try:
            storage = await self.storage(page)
        except StoreError:
            return False
        return await stored_turns.went_on(storage, page, self.shared) is not None

    async def warm(self, backend: str) -> None:
        """Make a chosen backend before its first message."""
        await self._backends[backend].warm()

    async def stopped(self, request: gr.Request) -> list[Any]:
        """Return what the page shows after a stop, once the upstream is closed."""
        page = self.page(request)
        async with page.turning:  # a message that is being taken is the one that it shows
            await page.stopped()
        return self.window(page)

    def window(self, page: OpenPage) -> list[Any]:
        """Return what the page shows of its conversation."""
        return shown_window(page, self.window_size, self.words)

    def before(self, page: OpenPage, node: TurnNode) -> list[Any]:
        """Return what is before the answer of this turn, its own message included."""
        return before_answer(page, node, self.window_size, self.words)

    def choices(self, asked: TurnSettings | None) -> list[Any]:
        """Return what the page's choices show for a conversation that was last asked with this: the backend,
        the line below it, the preset, the system prompt and each control. None leaves them as they are."""
        if asked is None:
            return [gr.skip()] * (4 + len(self._parameters))
        if asked.backend in self._backends:
            chosen, said = gr.update(value=asked.backend), gr.skip()
        else:
            chosen, said = gr.skip(), self.words("chat.gone", label=asked.label)
        given = (asked.system or "", dict(asked.parameters))
        presets = {name: (one.system or "", dict(one.parameters)) for name, one in self._ui.presets.items()}
        preset = next((name for name, one in presets.items() if one == given), NO_PRESET)
        return [chosen, said, preset, given[0], *preset_values(self._parameters, asked.parameters)]

    def chosen(self, backend: str) -> Any:
        """Return the choice of a backend by what a page calls it; what is none of ours changes nothing."""
        return gr.update(value=backend) if backend in self._backends else gr.skip()

    # -- the message box

    def busy_box(self, request: gr.Request) -> Any:
        """Return the message box of a page that comes to see an answer that runs, which it can stop."""
        return self.box(busy=self.page(request).shown_answer is not None)

    def idle_box(self, request: gr.Request) -> Any:
        """Return the message box once an answer is not looked at any more, if not another one is."""
        page = self.page(request)
        return gr.skip() if page.shown_answer is not None and page.watched else self.box()

    def box(self, *, busy: bool = False) -> Any:
        """Return how the message box is, its text apart."""
        labels = self._ui.labels
        return gr.update(
            submit_btn=False if busy else labels.get("submit", True),
            stop_btn=labels.get("stop", True) if busy else False,
        )

    def refused(self, message: Any, shown: list[Any], request: gr.Request) -> tuple[Any, Any]:
        """Return the message box and the conversation after an answer that the full queue refused: as they
        were.

        Gradio comes here after a stop, too; that answer had begun, so it stays on the page.
        """
        page = self.page(request)
        began = page.last is not None and message == page.sent
        return (self.box(), gr.skip()) if began else ({**self.box(), "value": message}, shown)

    def _refusal(self, error: Exception) -> str:
        return self.words.translated(_sentence(error))

    def closed(self, request: gr.Request) -> None:
        """The tab was closed: end what runs for it, and forget it."""
        self._pages.close(request.session_hash, self._owner(request))


def browser_of(request: gr.Request) -> str | None:
    """Return whose a request is, whether or not conversations are stored; None for a client without a
    cookie."""
    return owner_of(request)


def _plain(message: str | dict[str, Any] | None) -> list[dict[str, str]]:
    text = message if isinstance(message, str) else str((message or {}).get("text") or "")
    return [{"type": "text", "text": text}]


def _sentence(error: Exception) -> str:
    """Return what the person reads, in English; what only the log has can be found by the incident's id."""
    if isinstance(error, WordedError) and not isinstance(error, StoreError):
        return error.sentence
    if isinstance(error, UnsupportedContent) or (isinstance(error, InvalidRequest) and not error.backend):
        return error.sentence  # a mistake of whoever asks, seen before any backend was called
    number = incident(log, error)
    if not isinstance(error, ChatlabError):
        return ENGLISH("notice.wrong", type=type(error).__name__, incident=number)
    if isinstance(error, BackendError):
        return ENGLISH("notice.incident", sentence=error.sentence, incident=number)
    return error.sentence
