"""The ends of a request to a workspace."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

_REST_TIMEOUT = 0.2  # seconds a body may stay open after its stream said that it is done


async def read_rest(pieces: AsyncIterator[bytes]) -> None:
    """Reads to the end of a body whose stream is done, so that its connection can serve again."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_REST_TIMEOUT):
            async for _ in pieces:
                pass


async def close_request(sending: asyncio.Task[Any]) -> None:
    """Ends the request wherever it is, so that the workspace sees the connection close."""
    if not sending.done():
        sending.cancel()
        await asyncio.wait({sending})
    if not sending.cancelled() and sending.exception() is None:
        await sending.result().aclose()
