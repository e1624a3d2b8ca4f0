"""The same backends from Python, in three lines."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeAlias, TypedDict, Unpack

from chatlab.backend import CallContext
from chatlab.blocking import Awaited, LoopThread, Streamed
from chatlab.config.load import load_config
from chatlab.config.models import Config
from chatlab.config.registry import Backends
from chatlab.conversations.service import StorageService, storage_service
from chatlab.errors import StoreError, UnsupportedContent
from chatlab.formats import from_openai
from chatlab.messages import Citation, Finish, Message, Notice, StreamEvent, Timing, Usage
from chatlab.observation import Observer
from chatlab.turns.turn import Turn, run_turn

if TYPE_CHECKING:
    from chatlab.telemetry.export import Exporting

Conversation: TypeAlias = str | Sequence[Message] | Sequence[Mapping[str, Any]]
"""What is to be answered: a text, messages, or OpenAI message dicts."""


_ANSWER = "write `await lab.answer(...)`, or `lab.answer_blocking(...)` where nothing is awaited"
_STREAM = (
    "write `async for event in lab.stream(...)`, or `for event in lab.stream_blocking(...)` where nothing is "
    "awaited"
)


class AskOptions(TypedDict, total=False):
    """Options of a call beside the conversation; see `Lab.turn`."""

    system: str | None
    parameters: Mapping[str, Any] | None
    conversation_id: str | None


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer with how it came about. `cost` is in the currency of the prices; None is unknown."""

    message: Message
    finish: Finish
    notices: tuple[Notice, ...]
    citations: tuple[Citation, ...]
    timing: Timing
    cost: float | None

    @property
    def text(self) -> str:
        """Return the visible text."""
        return self.message.text

    @property
    def usage(self) -> Usage:
        """Tokens, as the upstream counted them."""
        return self.finish.usage

    @property
    def model(self) -> str | None:
        """Return the model that answered, as the upstream says."""
        return self.finish.model

    @classmethod
    def of(cls, turn: Turn) -> Answer:
        """Return the answer of a turn that finished."""
        assert turn.answer.finish is not None
        return cls(
            turn.answer.message,
            turn.answer.finish,
            tuple(turn.answer.notices),
            tuple(turn.answer.citations),
            turn.timing,
            turn.cost,
        )


class Lab:
    """The backends of one configuration, ready to be called. Use it in one event loop, and close it:

        async with chatlab.load("chatlab.yaml") as lab:
            print((await lab.answer("gpt", "Hello")).text)

    or, where nothing is awaited, as in a script or a cell of a notebook:

        with chatlab.load("chatlab.yaml") as lab:
            print(lab.answer_blocking("gpt", "Hello").text)

    Wherever a backend's name is expected, an address such as "openai:gpt-5-mini" works too.
    """

    def __init__(self, config: Config | None = None, *, observer: Observer | None = None) -> None:
        """observer: observes all turns, in the place of the configured telemetry."""
        self.config = config
        self.backends = Backends(config.backends if config else {}, system=config.system if config else None)
        self.telemetry = _telemetry(config) if observer is None else None
        self._observer = self.telemetry.observer if self.telemetry is not None else observer
        if self._observer is not None:
            self.backends.observe(self._observer)
        self._opening = asyncio.Lock()
        self._starting = threading.Lock()
        self._thread: tuple[LoopThread, Lab] | None = None  # for the blocking calls, once there is one
        self._open = AsyncExitStack()
        self._storage: StorageService | None = None
        self.at_close: list[Callable[[], Awaitable[None]]] = []
        """Called first when the lab is closed: by what runs turns of its own and must end them."""

    @classmethod
    def without_config(cls) -> Lab:
        """Return a lab of addresses alone."""
        return cls()

    def turn(
        self,
        name: str,
        conversation: Conversation,
        *,
        system: str | None = None,
        parameters: Mapping[str, Any] | None = None,
        conversation_id: str | None = None,
        ctx: CallContext | None = None,
    ) -> Turn:
        """Return a turn to be entered: for whoever wants to stop it or read its timing.

        conversation_id: the same for every turn of one conversation, so that a backend with a memory, such as
        a LangGraph graph with a checkpointer, goes on where it was.
        """
        ctx = ctx or CallContext()
        if conversation_id is not None:
            ctx = replace(ctx, conversation=conversation_id)
        return run_turn(
            self.backends[name], _messages(conversation), system=system, parameters=parameters, ctx=ctx
        )

    def stream(
        self, name: str, conversation: Conversation, **asked: Unpack[AskOptions]
    ) -> Streamed[StreamEvent]:
        """Return the events of one answer, for `async for`; `stream_blocking` is for a usual `for`.

        Leaving the loop closes the upstream. Raises ChatlabError.
        """
        return Streamed(self._stream(name, conversation, **asked), _STREAM)

    async def _stream(
        self, name: str, conversation: Conversation, **asked: Unpack[AskOptions]
    ) -> AsyncGenerator[StreamEvent, None]:
        async with (
            self.turn(name, conversation, **asked) as turn,
            aclosing(turn.__aiter__()) as events,
        ):
            async for event in events:
                yield event

    def answer(self, name: str, conversation: Conversation, **asked: Unpack[AskOptions]) -> Awaited[Answer]:
        """Return one whole answer when it is awaited; `answer_blocking` returns it at once.

        It is the same stream, accumulated. Raises ChatlabError.
        """
        return Awaited(self._answer(name, conversation, **asked), _ANSWER)

    async def _answer(self, name: str, conversation: Conversation, **asked: Unpack[AskOptions]) -> Answer:
        async with self.turn(name, conversation, **asked) as turn:
            async for _ in turn.batches():
                pass
            return Answer.of(turn)

    def answer_blocking(self, name: str, conversation: Conversation, **asked: Unpack[AskOptions]) -> Answer:
        """Return one whole answer: `answer` for scripts and notebooks, where nothing is awaited.

        It runs in a thread of its own, with connections of its own. Raises ChatlabError.
        """
        thread, lab = self._in_thread()
        return thread.run(lab._answer(name, conversation, **asked))

    def stream_blocking(
        self, name: str, conversation: Conversation, **asked: Unpack[AskOptions]
    ) -> Iterator[StreamEvent]:
        """Yield the events of one answer: `stream` for scripts and notebooks, with a usual `for`.

        Leaving the loop closes the upstream. Raises ChatlabError.
        """
        thread, lab = self._in_thread()
        return thread.iterate(lab._stream(name, conversation, **asked))

    def _in_thread(self) -> tuple[LoopThread, Lab]:
        """Return the thread for blocking calls, and a lab of the same configuration that is used in
        it alone.
        """
        with self._starting:
            if self._thread is None:
                self._thread = (LoopThread(), Lab(self.config, observer=self._observer))
            return self._thread

    async def storage(self) -> StorageService | None:
        """Return the storage of the configuration, opened when first asked for; None for `storage: none`.

        Raises StoreError, saying what to do, where the database or the files cannot be used.
        """
        if self._storage is not None or self.config is None or self.config.storage is None:
            return self._storage
        async with self._opening:
            if self._storage is None:
                self._storage = await self._open.enter_async_context(storage_service(self.config.storage))
        return self._storage

    async def warm_up(self) -> None:
        """Do what the first turns would otherwise wait for: open the storage, and make the backends that are
        ready. What fails is told by whatever needs it.
        """
        if self.telemetry is not None:
            self.telemetry.start()
        with suppress(StoreError):
            await self.storage()
        for name in self.backends:
            await self.backends[name].warm()

    async def aclose(self) -> None:
        """Closes the backends' connections, and the storage once everything is saved."""
        while self.at_close:
            await self.at_close.pop()()
        await self._open.aclose()
        self._storage = None
        await self.backends.aclose()
        await asyncio.to_thread(self._close_thread)
        if self.telemetry is not None:
            await self.telemetry.aclose()

    def close(self) -> None:
        """Close what the blocking calls opened, and send what telemetry has of them. `aclose` closes
        everything.
        """
        self._close_thread()
        if self.telemetry is not None:
            self.telemetry.flush()

    def _close_thread(self) -> None:
        with self._starting:
            running, self._thread = self._thread, None
        if running is not None:
            thread, lab = running
            thread.run(lab.aclose())
            thread.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()


def _telemetry(config: Config | None) -> Exporting | None:
    if config is None or config.telemetry is None or not config.telemetry.observes:
        return None
    from chatlab.telemetry.export import exporting  # brings OpenTelemetry

    return exporting(config.telemetry)


def load(path: str | os.PathLike[str]) -> Lab:
    """Return the lab of a configuration file. Raises ConfigError with all its mistakes by line and column."""
    return Lab(load_config(Path(path)))


def _messages(conversation: Conversation) -> tuple[Message, ...]:
    if isinstance(conversation, str):
        return (Message.of("user", conversation),)
    if not isinstance(conversation, Sequence):
        raise UnsupportedContent(
            f"a conversation is a text or a list of messages, not of type {type(conversation).__name__}"
        )
    items: Sequence[Any] = conversation
    if all(isinstance(item, Message) for item in items):
        return tuple(items)
    if any(isinstance(item, Message) for item in items):
        raise UnsupportedContent("a conversation has either Message objects or dicts, not both")
    return from_openai(items)
