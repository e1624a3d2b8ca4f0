"""The messages of Gradio's queue on their way to a page."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Any

import orjson
from gradio.blocks import Blocks
from gradio.server_messages import (
    CloseStreamMessage,
    EventMessage,
    HeartbeatMessage,
    ProcessCompletedMessage,
    UnexpectedErrorMessage,
)
from gradio.utils import get_heartbeat_rate
from pydantic import BaseModel

_LONGEST = 10.0  # seconds after which a page is told that the server is there, and it is seen that it stops
_PIECE = 200_000  # bytes that are sent at once


async def messages_of(page: Blocks, session_hash: str) -> AsyncGenerator[bytes, None]:
    """Yield what the queue tells one page, until its events have ended: as Gradio's own stream, but what is
    there at the same time goes out together.

    Gradio's asks before each message whether the page is still there, which whoever sends this finds out
    itself, makes a task to wait for it, and sends it alone: a sixth of what a turn of two tokens costs.
    """
    waiting, events = page._queue.pending_messages_per_session, page._queue.pending_event_ids_session
    signs = _SignsOfLife()
    try:
        while True:
            messages = waiting.get(session_hash)
            if messages is None:
                yield _line(UnexpectedErrorMessage(message="404: Not Found", session_not_found=True))
                return
            signs.messages = messages
            told = await _next(messages)
            if page._queue.stopped:
                yield _line(UnexpectedErrorMessage(message="Server stopped unexpectedly."))
                return
            ended = [
                one.event_id for one in told if isinstance(one, ProcessCompletedMessage) and one.event_id
            ]
            left = events.get(session_hash, set())
            left.difference_update(ended)
            if ended and not left:
                told.append(CloseStreamMessage())
            lines = b"".join(map(_line, told))
            yield lines[:_PIECE]
            for start in range(_PIECE, len(lines), _PIECE):
                await asyncio.sleep(0)  # the others have their turn: who sends it makes copies
                yield lines[start : start + _PIECE]
            if ended and not left:
                return
    except BaseException:
        waiting.pop(session_hash, None)
        await page._queue.clean_events(session_hash=session_hash)
        raise
    finally:
        signs.end()


async def _next(messages: asyncio.Queue[EventMessage]) -> list[EventMessage]:
    """Return the messages that are there, as soon as there are any."""
    told = [await messages.get()]
    with contextlib.suppress(asyncio.QueueEmpty):
        while True:
            told.append(messages.get_nowait())
    return told


class _SignsOfLife:
    """Puts a sign of life among the messages of one page every few seconds: a timer for all of them, as one
    for each message that is waited for would cost more than to send it."""

    def __init__(self) -> None:
        self.messages: asyncio.Queue[EventMessage] | None = None
        """Those that are waited for."""
        self._seconds = min(_LONGEST, get_heartbeat_rate())
        self._timer = asyncio.get_running_loop().call_later(self._seconds, self._give)

    def _give(self) -> None:
        if self.messages is not None:
            self.messages.put_nowait(HeartbeatMessage())
        self._timer = asyncio.get_running_loop().call_later(self._seconds, self._give)

    def end(self) -> None:
        """Give no more."""
        self._timer.cancel()


def _line(message: BaseModel) -> bytes:
    """Return a message as the page reads it. `model_dump` would copy all of it, values that are plain anyway,
    only to have it written."""
    return b"".join((b"data: ", orjson.dumps(vars(message), default=_plain), b"\n\n"))


def _plain(value: Any) -> Any:
    return value.model_dump() if isinstance(value, BaseModel) else str(value)
