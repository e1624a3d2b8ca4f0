"""LangChain's messages and chunks of messages as chatlab's events, one message after the other."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from langchain_core.documents import Document
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, ToolMessage

from backends.langchain.content import as_message, content_events, refuses, tool_text
from backends.langchain.reasons import SAYS_ITS_END, reason_of
from backends.langchain.streaming import StreamingMessage
from backends.langchain.usage import ModelRuns, total, usage_of
from chatlab.errors import BrokenStream
from chatlab.messages import (
    Citation,
    Finish,
    FinishReason,
    Notice,
    StreamEvent,
    TextDelta,
    ToolCall,
    ToolResult,
    Usage,
)
from chatlab.words import ENGLISH

_CUT_OFF = "the model's stream ended without saying that it ended"


class MessageEvents:
    """Turns what one call of a Runnable or graph streams into events, and keeps account for its Finish.

    Nodes of a graph that run at the same time stream at the same time: their messages are told one after the
    other, the first one as it arrives, with a blank line between their texts.
    """

    def __init__(self, runs: ModelRuns, *, accounts: bool = True, apart: bool = False) -> None:
        """runs: hears of the models. apart: whether several messages may make up the answer.

        accounts: whether reasons and ends are taken from the messages that are fed; otherwise from the runs.
        """
        self._runs = runs
        self._accounts = accounts
        self._apart = apart
        self._open: dict[str | None, StreamingMessage] = {}
        self._speaking: object = None  # the message whose text is told as it arrives
        self._waiting: dict[object, list[Any]] = {}  # what others have for afterwards
        self._whole: set[str] = set()  # ids of messages that need no second look
        self._texts: set[str] = set()  # what was streamed
        self._calls: set[str] = set()
        self._results: set[str] = set()  # the calls that were answered
        self._sources: set[tuple[str, str | None]] = set()
        self._usages: list[Usage] = []
        self._reason: FinishReason | None = None
        self._model: str | None = None
        self._hollow = False  # a message began that showed nothing and did not end
        self._ended = False  # a message ended
        self._refused = False
        self._pieces = 0
        self._from_chunks = False
        self._last: tuple[object, str] = (None, "")  # the message that spoke last, and the end of its text
        self._unknown: list[str] = []
        self.answered = False
        """Whether anything came that is an answer, be it an empty one."""
        self.spoke = False
        """Whether any text came."""

    def known(self, ids: Iterable[str | None]) -> None:
        """Note messages that were there before, which some graphs send back."""
        self._whole.update(filter(None, ids))

    def told(self, results: Iterable[Any]) -> None:
        """Note what nodes gave in a step that had not ended with the turn before: its messages come again."""
        for message in _messages_in(results):
            if message.id is not None:
                self._whole.add(message.id)
            else:
                self._texts.add(message.text.strip())

    def feed(self, item: Any, task: str = "") -> Iterator[StreamEvent]:
        """Yield the events of text, of a message or a chunk of one, of documents, or of a list of these.

        task: which of a graph's nodes it is from.
        """
        if isinstance(item, str):
            yield from self._text(item)
        elif isinstance(item, AIMessage | ToolMessage):
            yield from self._in_turn(item, (task, item.id if isinstance(item, AIMessageChunk) else None))
        elif isinstance(item, Document):
            yield from self._source(item)
        elif isinstance(item, list | tuple):
            for each in item:
                message = each if isinstance(each, Document) else as_message(each)
                if message is not None:
                    yield from self.feed(message, task)

    def whole(self, message: BaseMessage) -> Iterator[StreamEvent]:
        """Yield the events of a message that stands in a graph's state, unless they have been told."""
        if message.id is None or message.id not in self._whole:
            yield from self.feed(message)

    def say(self, text: str) -> Iterator[StreamEvent]:
        """Yield text that is no model's, apart from what came before."""
        yield from self._apart_from_before(TextDelta(text), object())
        self.answered = self.spoke = True

    def has_said(self, structured: str) -> bool:
        """Return whether a message was this text, or the same JSON but for what it left out."""
        return any(_is_json_of(text, structured) for text in self._texts)

    def settle(self) -> Iterator[StreamEvent]:
        """Yield what is still open at the end of the stream. Raises BrokenStream if a model was cut off."""
        while self._open or self._waiting:
            for message in list(self._open.values()):
                yield from self._close(message)
            yield from self._next()
        if not self._accounts:
            for said in self._runs.messages:
                self._note(said.response_metadata)
        if self._hollow and not self._ended:
            raise BrokenStream(_CUT_OFF)

    def end(self) -> Iterator[StreamEvent]:
        """Yield the Finish, and before it what the person should know."""
        if self._pieces == 1 and not self._from_chunks:
            yield Notice("not_streamed", ENGLISH("notice.one-piece"))
        for word in dict.fromkeys(self._unknown):
            yield Notice("other", f"the model ended its answer for the reason {word!r}")
        usage = self._runs.usage()
        if usage is None:
            usage = total(self._usages)
        reason: FinishReason = "content_filter" if self._refused else self._reason or "stop"
        yield Finish(reason, usage, self._model, max(1, self._runs.count or len(self._usages)))

    # -- whose turn it is

    def _in_turn(self, item: AIMessage | ToolMessage, source: object) -> Iterator[StreamEvent]:
        """Yield the events of an item now, or once the message that is being told has ended."""
        self.answered = True
        if self._apart and self._speaking is not None and source != self._speaking:
            self._waiting.setdefault(source, []).append(item)
            return
        yield from self._tell(item, source)
        if self._speaking is None:
            yield from self._next()

    def _tell(self, item: AIMessage | ToolMessage, source: object) -> Iterator[StreamEvent]:
        if isinstance(item, AIMessageChunk):
            yield from self._chunk(item, source)
            self._speaking = source if self._apart and item.id in self._open else None
        elif isinstance(item, AIMessage):
            yield from self._message(item)
        else:
            yield from self._tool_message(item)

    def _next(self) -> Iterator[StreamEvent]:
        """Yield what waited, up to the first message that is still arriving."""
        self._speaking = None
        while self._waiting and self._speaking is None:
            source = next(iter(self._waiting))
            for item in self._waiting.pop(source):
                yield from self._tell(item, source)

    # -- text and messages

    def _text(self, text: str) -> Iterator[StreamEvent]:
        self.answered = True
        if text:
            self._pieces += 1
            self.spoke = True
            yield from self._apart_from_before(TextDelta(text), None)

    def _apart_from_before(self, event: TextDelta, source: object) -> Iterator[StreamEvent]:
        """Yield text, after a blank line if another message spoke before."""
        before, end = self._last
        text = event.text
        if self._apart and end and before != source:
            # An empty line is there already where the one ends, or the other begins, with it.
            breaks = len(end) - len(end.rstrip("\n")) + len(text) - len(text.lstrip("\n"))
            event = TextDelta("\n" * max(0, 2 - breaks) + text)
        self._last = (source, (end + text)[-2:] if before == source else text[-2:])
        yield event

    def _content(self, message: AIMessage, source: object) -> Iterator[StreamEvent]:
        self._refused = self._refused or refuses(message)
        for event in content_events(message):
            if isinstance(event, TextDelta):
                self._pieces += 1
                self.spoke = True
                yield from self._apart_from_before(event, source)
            else:
                yield event

    def _chunk(self, chunk: AIMessageChunk, source: object) -> Iterator[StreamEvent]:
        message = self._open.get(chunk.id)
        if message is None:
            message = self._open[chunk.id] = StreamingMessage(chunk.id)
        for event in self._content(chunk, source):
            message.shown = True
            if isinstance(event, TextDelta):
                self._from_chunks = True
                message.text.append(event.text)
            yield event
        for piece in chunk.tool_call_chunks:
            message.add(piece)
            message.shown = True
        message.counter.add(chunk.usage_metadata)
        if chunk.response_metadata:
            message.metadata.update(chunk.response_metadata)
        if chunk.chunk_position == "last":
            yield from self._close(message)

    def _close(self, message: StreamingMessage) -> Iterator[StreamEvent]:
        """Yield the end of a message that was streaming."""
        del self._open[message.id]
        yield from self._calls_of(message)
        if message.id is not None:
            self._whole.add(message.id)
        self._texts.add("".join(message.text).strip())
        if message.counter.usage is not None:
            self._usages.append(message.counter.usage)
        if not self._accounts:
            return
        if message.shown or reason_of(message.metadata)[0] is not None:
            self._note(message.metadata)
        else:
            # The Responses API's first chunk has an id of its own. Unless no other message comes, that is.
            self._hollow = self._hollow or message.metadata.get("model_provider") in SAYS_ITS_END

    def _calls_of(self, message: StreamingMessage) -> Iterator[StreamEvent]:
        for identity, call in message.take():
            yield from self._call(identity, call.name, call.arguments)

    def _call(self, identity: str | None, name: str, arguments: str) -> Iterator[StreamEvent]:
        identity = identity or f"call_{len(self._calls) + 1}"
        if identity not in self._calls:
            self._calls.add(identity)
            yield ToolCall(identity, name, arguments)

    def _message(self, message: AIMessage) -> Iterator[StreamEvent]:
        if not self._new(message):
            return
        if message.tool_calls and all(call["id"] in self._results for call in message.tool_calls):
            return  # it asked for approval in the turn before: a result comes before its call there alone
        if not (message.text.strip() and message.text.strip() in self._texts):
            # Otherwise a node made a new message of what its model had streamed.
            yield from self._content(message, message.id or object())
            self._texts.add(message.text.strip())
            if message.usage_metadata:
                self._usages.append(usage_of(message.usage_metadata))
        for call in message.tool_calls:
            yield from self._call(call["id"], call["name"], json.dumps(call["args"], ensure_ascii=False))
        if self._accounts:
            self._note(message.response_metadata, "tool_calls" if message.tool_calls else None)

    def _tool_message(self, message: ToolMessage) -> Iterator[StreamEvent]:
        if not self._new(message):
            return
        for streaming in list(self._open.values()):
            if streaming.calls(message.tool_call_id):
                yield from self._calls_of(streaming)
        self._reason = None  # the call was answered, so the turn does not end with it
        failed = message.status == "error"
        self._results.add(message.tool_call_id)
        yield ToolResult(message.tool_call_id, tool_text(message.content), message.name, failed)
        if isinstance(message.artifact, list | tuple | Document):
            yield from self.feed(message.artifact)  # a retriever tool's documents

    def _new(self, message: BaseMessage) -> bool:
        """Return whether this message was neither sent nor seen before."""
        if message.id is not None:
            if message.id in self._whole:
                return False
            self._whole.add(message.id)
        return True

    def _source(self, document: Document) -> Iterator[StreamEvent]:
        data = document.metadata
        place = next((str(data[key]) for key in ("url", "source", "file_path") if data.get(key)), None)
        title = str(data.get("title") or place or document.id or "source")
        url = place if place and place.startswith(("http://", "https://")) else None
        snippet = document.page_content[:500] or None
        if (title, snippet) not in self._sources:
            self._sources.add((title, snippet))
            yield Citation(title, url, snippet)

    def _note(self, metadata: Mapping[str, Any], otherwise: FinishReason | None = None) -> None:
        """Take the reason and the model of a message that has ended; the last one's are the answer's."""
        model = metadata.get("model_name") or metadata.get("model") or metadata.get("model_id")
        if isinstance(model, str):
            self._model = model
        reason, unknown = reason_of(metadata)
        self._reason = reason or otherwise
        if unknown is not None:
            self._unknown.append(unknown)
        if self._reason is None and metadata.get("model_provider") in SAYS_ITS_END:
            raise BrokenStream(_CUT_OFF)
        self._ended = True


def _is_json_of(text: str, structured: str) -> bool:
    if text == structured:
        return True
    try:
        said, whole = json.loads(text), json.loads(structured)
    except ValueError:
        return False
    if not (isinstance(said, dict) and isinstance(whole, dict)):
        return bool(said == whole)
    return bool(said) and all(name in whole and whole[name] == value for name, value in said.items())


def _messages_in(value: Any) -> Iterator[BaseMessage]:
    """Yield the messages in what nodes gave: states, lists of them, or messages in any form."""
    # A checkpoint gives ("ai", text) back as a list.
    pair = isinstance(value, list) and len(value) == 2 and all(isinstance(item, str) for item in value)
    message = as_message(tuple(value) if pair else value)
    if message is not None:
        yield message
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _messages_in(item)
    elif isinstance(value, Iterable) and not isinstance(value, str | bytes):
        for item in value:
            yield from _messages_in(item)
