"""The events of an answer whose bytes arrive, streamed or whole, whatever its label says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import suppress

from backends._openai_wire.chat import ChatStream
from backends._openai_wire.responses import ResponsesStream
from chatlab.messages import StreamEvent
from chatlab.upstream import ChunkReader

_DRAIN = 0.1  # seconds given to a server to end its body after [DONE], so that the connection can be kept


async def read_answer(
    pieces: AsyncIterator[bytes],
    stream: ChatStream | ResponsesStream,
    ended: Callable[[], bool] = lambda: False,
) -> AsyncGenerator[StreamEvent, None]:
    """Yield the events of an answer's bytes. Raises BackendError for what is none.

    ended: whether nothing is left to be read, as far as that can be told without waiting.
    """
    reader = ChunkReader()
    async for piece in pieces:
        for chunk in reader.feed(piece):
            for event in stream.feed(chunk):
                yield event
        if reader.done:
            break
    for chunk in reader.end():
        for event in stream.feed(chunk):
            yield event
    for event in stream.end(marked=reader.done):
        yield event
    if reader.done and not ended():  # after the answer's end, to whose time it does not belong
        await _drain(pieces)


async def _drain(pieces: AsyncIterator[bytes]) -> None:
    """Read what follows [DONE], nothing as a rule, so that the connection can serve the next turn."""
    with suppress(Exception):  # whatever happens to it, the answer is complete
        async with asyncio.timeout(_DRAIN):
            async for _ in pieces:
                pass
