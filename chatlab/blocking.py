"""Asynchronous calls for whoever does not await: they run in a thread with an event loop of its own.

So they also work where a loop runs already, as in a notebook.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Generator, Iterator
from typing import Any, NoReturn, TypeVar

T = TypeVar("T")

_END = object()


class LoopThread:
    """A thread with an event loop, which ends with the program or when it is closed."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="chatlab", daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Return what a coroutine returns, run in the thread. An interrupt cancels it."""
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def iterate(self, items: AsyncGenerator[T, None]) -> Iterator[T]:
        """Yield what an asynchronous generator yields. It is closed with the iterator."""

        async def following() -> Any:
            return await anext(items, _END)

        try:
            while (item := self.run(following())) is not _END:
                yield item
        finally:
            self.run(_closed(items))

    def close(self) -> None:
        """End the thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _closed(items: AsyncGenerator[Any, None]) -> None:
    await items.aclose()


class Awaited(Coroutine[Any, Any, T]):
    """A coroutine that says what it is when it is taken for its result. instead: what to write."""

    def __init__(self, coroutine: Coroutine[Any, Any, T], instead: str) -> None:
        self._coroutine = coroutine
        self._instead = instead

    def __await__(self) -> Generator[Any, Any, T]:
        return self._coroutine.__await__()

    def send(self, value: Any) -> Any:
        """Run it on, as the event loop does."""
        return self._coroutine.send(value)

    def throw(self, *args: Any) -> Any:
        """Raise an error in it, as the event loop does."""
        return self._coroutine.throw(*args)

    def close(self) -> None:
        """End it."""
        self._coroutine.close()

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("_"):  # what Python and its libraries look for
            raise AttributeError(name)
        self._coroutine.close()
        raise AttributeError(f"this has no {name} yet, since it was not awaited: {self._instead}")


class Streamed(AsyncIterator[T]):
    """An asynchronous generator that says what it is when it is taken for a usual one."""

    def __init__(self, items: AsyncGenerator[T, None], instead: str) -> None:
        self._items = items
        self._instead = instead

    def __aiter__(self) -> Streamed[T]:
        return self

    async def __anext__(self) -> T:
        return await anext(self._items)

    async def aclose(self) -> None:
        """Close it."""
        await self._items.aclose()

    def __iter__(self) -> NoReturn:
        raise TypeError(f"this is a stream that is waited for: {self._instead}")

    def __await__(self) -> NoReturn:
        raise TypeError(f"this is a stream, not a result: {self._instead}")
