"""The bytes of an answer as JSON chunks: server-sent events as model servers really write them.

See https://html.spec.whatwg.org/multipage/server-sent-events.html. Lines end at LF, CR or both and nowhere
else: a text may hold U+2028 or a form feed, at which `str.splitlines` would cut a JSON payload in two. What
is tolerated beyond the standard is a table in docs/wire.md, made from the tests.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any, NamedTuple

from chatlab.errors import BrokenStream
from chatlab.quick_json import loader
from chatlab.upstream.bodies import error_from_body, is_error

DONE = "[DONE]"
"""The payload with which OpenAI-compatible servers say that nothing more comes."""

_BOM = b"\xef\xbb\xbf"
# Sent so that a connection stays open, or that its client knows that it is; as an event's name or as data.
_KEEP_ALIVE = {"ping", "pong", "keepalive", "keep-alive", "heartbeat"}
_ENDS = {"done", "end", "close", "complete", "completed", "finish"}
_MARKS = "\ufeff\x1e"  # a byte order mark; what begins each record of application/json-seq
_FIELDS = ("data", "event", "")
_DONE = DONE.encode()
_DONE_EVENT = b"data: " + _DONE
_FIELD = re.compile(rb"[\s\x1e]*(?::|(?i:data|event|id|retry|error)\s*:|[\[{])")
_LOOKS_LIKE_JSON = re.compile(r"\{|\[\s*(?:[\[{\"\d-]|$)")  # not `[ERROR] what happened`
_SENTENCE = 2_000  # bytes of a text that may say what went wrong
_LONG = 64 * 2**10  # bytes of JSON without a line's end after which it is taken for a document
_LONGEST = 64 * 2**20  # bytes of one line, or of an answer that is one document


class SseEvent(NamedTuple):
    """An event: its name, empty if it has none, and its payload."""

    name: str
    data: str


class SseDecoder:
    """Turns the bytes of an event stream into its events, as they come."""

    __slots__ = ("_after_cr", "_begun", "_data", "_name", "_rest", "_size")

    def __init__(self) -> None:
        self._rest: list[bytes] = []  # of a line whose end has not come
        self._size = 0
        self._begun = False
        self._after_cr = False
        self._name = ""
        self._data: list[str] = []

    def feed(self, piece: bytes) -> list[str]:
        """Return the payloads that this piece completed. Raises BrokenStream for what is no event stream."""
        return [event.data for event in self.events(piece)]

    def end(self) -> list[str]:
        """Return the payload of an event that the stream ended in, without its empty line."""
        return [event.data for event in self.last_events()]

    def events(self, piece: bytes) -> Iterator[SseEvent]:
        """Yield the events that this piece completed. Raises BrokenStream for what is no event stream."""
        for line in self._lines(piece):
            event = self.line(line.decode("utf-8", "replace"))
            if event is not None:
                yield event

    def plain(self, piece: bytes) -> tuple[list[bytes], bytes]:
        """Return the payloads of the events that this piece begins with, as far as each is a line of JSON, as
        nearly all are, or `[DONE]`, and what comes behind them, which is for `events`."""
        found: list[bytes] = []
        if self._data or self._name or any(self._rest) or self._after_cr or b"\r" in piece:
            return found, piece
        *events, rest = piece.split(b"\n\n")
        for event in events:
            if (event[:7] != b"data: {" and event != _DONE_EVENT) or b"\n" in event:
                rest = b"\n\n".join((*events[len(found) :], rest))
                break
            found.append(event[6:])
        self._begun = self._begun or bool(found)
        return found, rest

    def last_events(self) -> list[SseEvent]:
        """Return the events that were under way when the stream ended."""
        rest, self._rest = b"".join(self._rest), []
        text = rest.removeprefix(_BOM).decode("utf-8", "replace")
        found = [self.line(text), self.line("")] if text else [self.line("")]
        return [event for event in found if event is not None]

    def line(self, line: str) -> SseEvent | None:
        """Return the event that this line completed, if it did."""
        line = line.rstrip("\r").lstrip(_MARKS)
        if not line:
            return self._complete()
        name, _, value = line.partition(":")
        if name not in _FIELDS:  # as a person would read it
            name = name.strip().lower()
        value = value.removeprefix(" ")
        if name == "data":
            # Some servers leave out the empty line between two events.
            earlier = self._complete() if self._data and _is_object(self._data[-1]) else None
            self._data.append(value)
            return earlier
        if name == "event":
            self._name = value.strip()
        elif name == "error":  # some servers send errors as a field of that name
            self._name = "error"
            self._data.append(value)
        elif line.startswith(("{", "[{", DONE)):  # JSON on a line of its own, that forgot to be an event
            return SseEvent("", line)
        elif name.lstrip().startswith("<"):
            raise BrokenStream("the upstream sent a web page instead of an answer")
        return None

    def _complete(self) -> SseEvent | None:
        name, self._name = self._name, ""
        if not self._data:
            return None
        event = SseEvent(name, "\n".join(self._data))
        self._data.clear()
        return event

    def _lines(self, piece: bytes) -> list[bytes]:
        if self._after_cr and piece:
            self._after_cr = False
            piece = piece.removeprefix(b"\n")
        if b"\r" in piece:
            self._after_cr = piece.endswith(b"\r")
            piece = piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if b"\n" not in piece:
            self._size += len(piece)
            if self._size > _LONGEST:
                raise BrokenStream("the upstream sent a line that does not end")
            self._rest.append(piece)
            return []
        *lines, rest = piece.split(b"\n")
        lines[0] = b"".join((*self._rest, lines[0]))
        self._rest, self._size = [rest], len(rest)
        if not self._begun:
            self._begun = True
            lines[0] = lines[0].removeprefix(_BOM)
        return lines


class ChunkReader:
    """Turns the bytes of an answer into decoded chunks, by what they are and not by how they are labelled.

    An event stream gives its chunks as they come, a document (one JSON value, however it is laid out) one
    chunk at its end, lines of JSON one each. Errors, in whatever form they come, are chunks for which
    `is_error` holds. Raises BackendError for a web page, for text and for what is no JSON.
    """

    __slots__ = ("_decoder", "_document", "_head", "_size", "_start", "done")

    def __init__(self) -> None:
        self.done = False
        """Whether the upstream said that nothing more comes, with `[DONE]` or an event of such a name."""
        self._decoder = SseDecoder()
        self._head: bytes | None = b""  # what came while it was not clear what this is
        self._start = b""  # of what looks like no stream, while no event has come
        self._size = 0
        self._document: list[bytes] | None = None  # one JSON value, or a page, that ends with the answer

    def feed(self, piece: bytes) -> Iterator[dict[str, Any]]:
        """Yield the chunks that this piece completed; none after the end was said. To be read to its end."""
        if self.done:
            return
        if self._head is not None:
            piece = self._begin(self._head + piece)
        elif self._document is not None:
            self._document.append(piece)
            self._size += len(piece)
            if self._size > _LONGEST:
                raise BrokenStream("the upstream sent an answer that does not end")
            return
        payloads, rest = self._decoder.plain(piece)
        if payloads:
            self._start = b""
            load = loader(piece)
        for payload in payloads:
            if payload == _DONE:
                self.done = True
                return
            try:
                value = load(payload)
            except ValueError:  # such as half an emoji, which the other way takes
                value = None
            if value is None:
                yield from self._chunks([SseEvent("", payload.decode("utf-8", "replace"))])
            elif value:
                yield value
        if rest:
            yield from self._chunks(self._decoder.events(rest))

    def end(self) -> Iterator[dict[str, Any]]:
        """Yield the chunks that were under way when the bytes ended."""
        if self.done:
            return
        if self._head is not None and self._head.strip():
            self._document = [self._head]
        if self._document is None:
            yield from self._chunks(self._decoder.last_events())
            if self._start:  # a sentence, where a stream belongs
                raise error_from_body(None, self._start.decode("utf-8", "replace").strip())
        else:
            raw = b"".join(self._document).removeprefix(_BOM)
            yield from self._decoded("", raw.decode("utf-8", "replace").strip())

    def _begin(self, head: bytes) -> bytes:
        """Return what of the beginning can be read as a stream: nothing while that is not clear."""
        kind = _kind(head)
        self._head = head if kind is None else None
        self._document = [head] if kind == "document" else None
        if kind == "stream" and not _FIELD.match(head.removeprefix(_BOM)):
            self._start = head[:_SENTENCE]
        return head.removeprefix(_BOM).lstrip() if kind == "stream" else b""

    def _chunks(self, events: Iterable[SseEvent]) -> Iterator[dict[str, Any]]:
        for name, data in events:
            self._start = b""
            if not name and data.startswith("{"):  # nearly every event
                try:
                    value = json.loads(data)
                except (ValueError, RecursionError):
                    value = None  # the slow way says what is wrong
                if value is not None:
                    if value:
                        yield value
                    continue
            text = data.strip()
            if not text or name in _KEEP_ALIVE or text.lower() in _KEEP_ALIVE:
                continue
            if text.startswith(":"):  # a comment that became data
                continue
            if text.startswith(("data:", "event:")):  # an event that was put into another
                yield from self._chunks(self._inner(text))
                continue
            if text.strip('"').upper() in (DONE, "DONE") or (name in _ENDS and not _holds_answer(text)):
                self.done = True
                break
            yield from self._decoded(name, text)

    @staticmethod
    def _inner(text: str) -> list[SseEvent]:
        decoder = SseDecoder()
        return [*decoder.events(text.encode()), *decoder.last_events()]

    def _decoded(self, name: str, text: str) -> Iterable[dict[str, Any]]:
        try:
            value = json.loads(text)
        except RecursionError as exc:
            raise BrokenStream("the upstream sent a chunk that is not JSON") from exc
        except ValueError as exc:
            if values := _values(text):
                return self._chunks([SseEvent(name, json.dumps(value)) for value in values])
            if name == "error":
                return [{"error": text}]
            if _LOOKS_LIKE_JSON.match(text):
                raise BrokenStream("the upstream sent a chunk that is not JSON") from exc
            raise error_from_body(None, text) from exc  # a sentence, or a web page
        if name == "error" and not (isinstance(value, dict) and is_error(value)):
            return [{"error": value}]
        return (_chunk(item, name) for item in (value if isinstance(value, list) else [value]) if item)


def _values(text: str) -> list[Any]:
    """Return the objects of a text that is several of them, one behind the other; none if it is not."""
    decoder, found, at = json.JSONDecoder(), list[Any](), 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        try:
            value, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            return []
        if not isinstance(value, dict):
            return []
        found.append(value)
    return found


def _holds_answer(text: str) -> bool:
    """Return whether the data of an event that says the end is a last chunk, or an error."""
    if text[:1] != "{":
        return False
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return True  # whoever decodes it says what is wrong
    return isinstance(value, dict) and (not value.keys().isdisjoint(("choices", "type")) or is_error(value))


def _chunk(value: Any, name: str) -> dict[str, Any]:
    if isinstance(value, str):
        raise error_from_body(None, value)
    if not isinstance(value, dict):
        raise BrokenStream(f"the upstream sent a {type(value).__name__} where a chunk belongs")
    if name.startswith("response") and "type" not in value:  # the type is told by the event's name alone
        value["type"] = name
    return value


def _kind(head: bytes) -> str | None:
    """Return whether what begins so is a "stream" or a "document"; None if that is not clear yet."""
    start = head.removeprefix(_BOM).lstrip()
    if not start or _BOM.startswith(head):
        return None
    if start[:1] not in (b"{", b"[", b"<") or start.startswith(DONE.encode()):
        return "stream"
    line, ended, _ = start.replace(b"\r", b"\n").partition(b"\n")
    if not ended:
        return None if len(head) < _LONG else "document"
    # Lines of JSON, or an error before the stream: each is whole. Otherwise it is laid out over many lines.
    return "stream" if _is_object(line.decode("utf-8", "replace")) else "document"


def _is_object(text: str) -> bool:
    if not text.lstrip().startswith("{"):
        return False
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


async def sse(lines: AsyncIterator[str]) -> AsyncIterator[str]:
    """Yield the payloads of an event stream that comes as lines."""
    decoder = SseDecoder()
    async for line in lines:
        event = decoder.line(line)
        if event is not None:
            yield event.data
    for payload in decoder.end():
        yield payload


def decode(payload: str) -> dict[str, Any]:
    """Return a payload as the JSON object it should be. Raises BrokenStream; the payload is not repeated."""
    try:
        chunk = json.loads(payload)
    except (ValueError, RecursionError) as exc:
        raise BrokenStream("the upstream sent a chunk that is not JSON") from exc
    if not isinstance(chunk, dict):
        raise BrokenStream(f"the upstream sent a {type(chunk).__name__} where a chunk belongs")
    return chunk
