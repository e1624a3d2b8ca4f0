"""Server-sent events, as far as model servers use them.

See https://html.spec.whatwg.org/multipage/server-sent-events.html.

Only `data` matters. Lines end at a line feed and nowhere else: a text may hold U+2028 or a form feed, at
which `str.splitlines` would cut a JSON payload in two.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

from chatlab.errors import BrokenStream

DONE = "[DONE]"
"""The payload with which OpenAI-compatible servers say that nothing more comes."""


class SseDecoder:
    """Turns the bytes of an event stream into its payloads, as they come."""

    __slots__ = ("_data", "_rest")

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[str] = []

    def feed(self, piece: bytes) -> list[str]:
        """The payloads that this piece completed. Raises BrokenStream for what is no event stream."""
        *lines, self._rest = (self._rest + piece).split(b"\n")
        found = []
        for line in lines:
            payload = self.line(line.decode("utf-8", "replace"))
            if payload is not None:
                found.append(payload)
        return found

    def end(self) -> list[str]:
        """The payload of an event that the stream ended in, without its empty line."""
        rest, self._rest = self._rest, b""
        found = [self.line(rest.decode("utf-8", "replace")), self.line("")] if rest else [self.line("")]
        return [payload for payload in found if payload is not None]

    def line(self, line: str) -> str | None:
        """The payload that this line completed, if it did."""
        line = line.rstrip("\r")
        if not line:
            if not self._data:
                return None
            payload = "\n".join(self._data)
            self._data.clear()
            return payload
        name, _, value = line.partition(":")
        if name in ("data", "error"):  # some servers send errors as a field of that name
            self._data.append(value.removeprefix(" "))
        elif name.startswith("{"):  # a JSON body on a line of its own: an error that forgot to be an event
            return line
        elif name.lstrip().startswith("<"):
            raise BrokenStream("the upstream sent a web page instead of an answer")
        return None


async def sse(lines: AsyncIterator[str]) -> AsyncIterator[str]:
    """The payloads of an event stream that comes as lines."""
    decoder = SseDecoder()
    async for line in lines:
        payload = decoder.line(line)
        if payload is not None:
            yield payload
    for payload in decoder.end():
        yield payload


def decode(payload: str) -> dict[str, Any]:
    """A payload as the JSON object it should be. Raises BrokenStream; what was sent is not repeated."""
    try:
        chunk = json.loads(payload)
    except ValueError as exc:
        raise BrokenStream("the upstream sent a chunk that is not JSON") from exc
    if not isinstance(chunk, dict):
        raise BrokenStream(f"the upstream sent a {type(chunk).__name__} where a chunk belongs")
    return chunk
