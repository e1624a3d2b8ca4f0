"""A small load balancer with cookie affinity: what a gateway does before several servers."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import count

import httpx2

COOKIE = "chatlab-replica"
_SENT = re.compile(rb"^cookie:.*?\b" + COOKIE.encode() + rb"=([\w-]+)", re.I | re.M)
_CONNECTION = re.compile(rb"^(connection|keep-alive):.*\r\n", re.I | re.M)


class Balancer:
    """Leads each request to the server that its cookie names, or else to the next one that is ready.

    ports: of the servers, by the names in their cookies; may be changed at any time. affinity: whether the
    cookie counts. connections: how many each server has. Each connection is of one request.
    """

    def __init__(self, ports: dict[str, int]) -> None:
        self.ports = ports
        self.affinity = True
        self.url = ""
        self.ready: list[str] = list(ports)
        self.connections: Counter[str] = Counter()
        self._turn = count()
        self._leading: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """Yield the address."""
        server = await asyncio.start_server(self._lead, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        looking = asyncio.create_task(self._look())
        try:
            yield self.url
        finally:
            server.close()
            ended = [looking, *self._leading]
            for task in ended:
                task.cancel()
            await asyncio.wait(ended)
            await asyncio.sleep(0)  # in which the connections that were closed end

    async def _look(self) -> None:
        async with httpx2.AsyncClient(timeout=2) as client:

            async def ready(port: int) -> bool:
                try:
                    return (await client.get(f"http://127.0.0.1:{port}/readyz")).status_code == 200
                except httpx2.TimeoutException:
                    return True  # it is there, and slow
                except httpx2.HTTPError:
                    return False

            while True:
                names = list(self.ports)
                found = await asyncio.gather(*(ready(self.ports[name]) for name in names))
                self.ready = [name for name, is_ready in zip(names, found, strict=True) if is_ready]
                await asyncio.sleep(0.3)

    async def _connected(self, head: bytes) -> tuple[str, asyncio.StreamReader, asyncio.StreamWriter]:
        sent = _SENT.search(head)
        wanted = sent[1].decode() if sent and self.affinity else ""
        while True:
            while not self.ready:
                await asyncio.sleep(0.1)
            name = wanted if wanted in self.ready else self.ready[next(self._turn) % len(self.ready)]
            try:
                return name, *(await asyncio.open_connection("127.0.0.1", self.ports[name]))
            except OSError:
                self.ready = [one for one in self.ready if one != name]

    async def _lead(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._leading.add(task)
        passing: list[asyncio.Task[None]] = []
        ends, name = [writer], ""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            name, there, back = await self._connected(head)
            self.connections[name] += 1
            ends.append(back)
            back.write(_alone(head))
            passing.append(asyncio.create_task(_pass(reader, back)))
            writer.write(_alone(await there.readuntil(b"\r\n\r\n")))
            passing.append(asyncio.create_task(_pass(there, writer)))
            await asyncio.wait(passing, return_when=asyncio.FIRST_COMPLETED)
        except (OSError, asyncio.IncompleteReadError):
            pass  # whoever asked finds the connection ended
        finally:
            for one in passing:
                one.cancel()
            for end in ends:
                end.close()
            self._leading.discard(task)
            self.connections[name] -= bool(name)


def _alone(head: bytes) -> bytes:
    """Return the head of a request or an answer after which the connection ends."""
    return _CONNECTION.sub(b"", head)[:-2] + b"connection: close\r\n\r\n"


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
