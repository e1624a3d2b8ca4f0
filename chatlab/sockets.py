"""Stopping what runs in threads: the sockets a call uses are shut down, so that no read blocks any longer.

A synchronous Runnable (or a synchronous node, tool or chain within an asynchronous one) runs in a thread, and
a thread blocked in `recv` can be neither cancelled nor killed. What can be done from outside is to shut its
socket down: the upstream sees the end at once, the read returns, and the thread unwinds through the client's
own error path. To know the sockets, the methods through which every blocking client in Python must go before
it can wait for an answer (connect, handshake, send) note which call they ran for, as a context variable tells
it, which LangChain, LangGraph and `asyncio.to_thread` all carry into their threads.

Why not otherwise: an audit hook sees `connect`, but a call on a pooled connection connects nowhere; closing
the HTTP client means knowing every client there is, and ends other people's calls on it; a child process for
each call costs an import of LangChain, and an object with state of its own (a cache, a store, a checkpointer)
would have a different one each time. A client that does its network in C (gRPC, curl) is not seen: there the
turn ends at once for the person, the upstream when its next event arrives.

Python has no public way to be told of these (`sys.addaudithook` hears of `connect` alone, as said). Importing
this module changes nothing; the first call of `watch()` replaces the five methods of `WATCHED`.
"""

from __future__ import annotations

import _socket
import asyncio
import functools
import socket
import ssl
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar, copy_context
from typing import Any
from weakref import WeakKeyDictionary

_call: ContextVar[CallSockets | None] = ContextVar("chatlab_call_sockets", default=None)
_lock = threading.Lock()
# Who used a socket last. A pooled connection goes from call to call, and must be shut down for its present
# user only.
_user: WeakKeyDictionary[socket.socket, CallSockets] = WeakKeyDictionary()
_watching = False

WATCHED: tuple[tuple[type[socket.socket], str, bool], ...] = (
    (socket.socket, "connect", False),
    (socket.socket, "send", True),
    (socket.socket, "sendall", True),
    (ssl.SSLSocket, "do_handshake", False),
    (ssl.SSLSocket, "send", True),
)
"""The methods that are replaced, and whether each sends. Every other way to send goes through one of them,
which `tests/backends/langchain/test_contract.py` holds against the running Python."""

_AHEAD = 64  # items a thread may be ahead of whoever reads them


class CallSockets:
    """The blocking sockets that one call uses.

    connected: called once, from whichever thread it is, when the call first sends on a connection.
    """

    def __init__(self, connected: Callable[[], None]) -> None:
        self._connected = connected
        self._marked = False
        self._stopped = False

    @contextmanager
    def current(self) -> Iterator[None]:
        """Have what runs inside, and in threads and tasks started inside, run for this call."""
        token = _call.set(self)
        try:
            yield
        finally:
            _call.reset(token)

    def used(self, sock: socket.socket, sending: bool) -> None:
        """Note a use. Raises ConnectionAbortedError after `stop`, so that no client's own retry goes on."""
        if sock.gettimeout() == 0:  # not blocking: it belongs to an event loop, where cancelling works
            return
        with _lock:
            if self._stopped:
                raise ConnectionAbortedError("this turn was stopped")
            _user[sock] = self
        if sending and not self._marked:
            self._marked = True
            self._connected()

    def stop(self) -> None:
        """Shut down what the call still uses, and lets it use nothing from now on. May be called twice."""
        with _lock:
            self._stopped = True
            for sock, user in list(_user.items()):
                if user is self:
                    # Not SSLSocket.shutdown, which takes the TLS state from under the thread that reads.
                    with suppress(OSError):
                        _socket.socket.shutdown(sock, socket.SHUT_RDWR)

    def release(self) -> None:
        """Let the connections of a call that has ended well go on in their pools."""
        with _lock:
            for sock, user in list(_user.items()):
                if user is self:
                    del _user[sock]


def watch() -> None:
    """Make the blocking methods of sockets note their call. Costs others a look at a context variable."""
    global _watching
    with _lock:
        if _watching:
            return
        _watching = True
    for owner, name, sending in WATCHED:
        setattr(owner, name, _noting(getattr(owner, name), sending))


def _noting(method: Callable[..., Any], sending: bool) -> Callable[..., Any]:
    @functools.wraps(method)
    def noting(self: socket.socket, *args: Any, **kwargs: Any) -> Any:
        call = _call.get()
        if call is not None:
            call.used(self, sending)
        return method(self, *args, **kwargs)

    return noting


class _End:
    """The thread is done, with an exception or without."""

    __slots__ = ("error",)

    def __init__(self, error: Exception | None) -> None:
        self.error = error


async def in_thread(make: Callable[[], Iterator[Any]], sockets: CallSockets) -> AsyncGenerator[Any, None]:
    """Yield the items of a synchronous iterator, which runs in a thread of its own.

    Not in the event loop's executor: its few threads also look up host names, and some upstreams that stall
    must not hold up everybody else. Closing this generator stops the call's sockets and returns at once; the
    thread, which they blocked, ends by itself and closes the iterator.
    """
    loop = asyncio.get_running_loop()
    arrived: asyncio.Queue[Any] = asyncio.Queue()
    room = threading.Semaphore(_AHEAD)
    stopped = threading.Event()

    def deliver(item: Any) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(arrived.put_nowait, item)

    def run() -> None:
        error = None
        try:
            items = make()
            try:
                for item in items:
                    room.acquire()
                    if stopped.is_set():
                        break
                    deliver(item)
            finally:
                close = getattr(items, "close", None)
                if close is not None:
                    close()
        except Exception as exc:  # noqa: BLE001  # it is raised where the items are read
            error = exc
        deliver(_End(error))

    with sockets.current():
        context = copy_context()
    threading.Thread(target=context.run, args=(run,), name="chatlab langchain", daemon=True).start()
    ended = False
    try:
        while True:
            item = await arrived.get()
            if isinstance(item, _End):
                ended = item.error is None
                if item.error is not None:
                    raise item.error
                return
            room.release()
            yield item
    finally:
        if ended:
            sockets.release()
        else:
            stopped.set()
            room.release()
            sockets.stop()


async def in_loop(items: AsyncIterator[Any], sockets: CallSockets) -> AsyncIterator[Any]:
    """Yield the items of an asynchronous iterator, whose threads, if it uses any, run for this call.

    The variable is set only while the iterator runs: a generator shares its context with whoever reads it.
    """
    ended = False
    try:
        while True:
            try:
                with sockets.current():
                    item = await anext(items)
            except StopAsyncIteration:
                ended = True
                return
            yield item
    finally:
        if ended:
            sockets.release()
        else:
            sockets.stop()
            await close(items)


async def close(items: AsyncIterator[Any]) -> None:
    """Close an iterator that is left before its end, if it can be: not when the garbage is collected, until
    when its model goes on.
    """
    if (aclose := getattr(items, "aclose", None)) is not None:
        await aclose()
