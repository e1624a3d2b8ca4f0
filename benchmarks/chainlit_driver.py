"""Drives a Chainlit app over its socket as its own JavaScript does, and sees when each token arrives.

Run by Chainlit's environment as page_driver.py is: chainlit_driver.py URL PID STREAMS 0 "" SECONDS TOKENS
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import socketio

_TOKEN = re.compile(r"w(\d+)@(\d+\.\d+)")


class Tab:
    """One open page. What it saw is as in `page_driver.Arrivals`."""

    def __init__(self) -> None:
        self.ages: list[float] = []
        self.numbers: list[int] = []
        self.events = 0
        self.first: float | None = None
        self.ended = asyncio.Event()
        self._asked = 0.0
        self._socket = socketio.AsyncClient(reconnection=False)
        self._socket.on("stream_start", self._started)
        self._socket.on("stream_token", self._token)
        self._socket.on("task_end", self._task_end)

    async def open(self, url: str) -> None:
        session = str(uuid.uuid4())
        auth = {
            "clientType": "webapp",
            "sessionId": session,
            "threadId": "",
            "userEnv": "{}",
            "chatProfile": "",
        }
        await self._socket.connect(url, auth=auth, socketio_path="/ws/socket.io", transports=["websocket"])
        await self._socket.emit("connection_successful")

    async def ask(self) -> None:
        message = {
            "id": str(uuid.uuid4()),
            "threadId": "",
            "name": "user",
            "type": "user_message",
            "output": "go",
            "createdAt": "2026-01-01T00:00:00Z",
        }
        self._asked = time.monotonic()
        await self._socket.emit("client_message", {"message": message, "fileReferences": []})
        await asyncio.wait_for(self.ended.wait(), 300)

    async def close(self) -> None:
        await self._socket.disconnect()

    async def _started(self, step: dict[str, Any]) -> None:
        self._note(str(step.get("output") or ""))

    async def _token(self, data: dict[str, Any]) -> None:
        self._note(data["token"])

    async def _task_end(self, *_: object) -> None:
        if self._asked and self.numbers:
            self.ended.set()

    def _note(self, text: str) -> None:
        now = time.monotonic()
        self.events += 1
        for number, sent in _TOKEN.findall(text):
            self.numbers.append(int(number))
            self.ages.append(now - float(sent))
            self.first = self.first or now - self._asked


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def drive(url: str, pid: int, streams: int, within: float, tokens: int) -> dict[str, Any]:
    """So many pages, whose starts are spread over `within` seconds."""
    tabs = [Tab() for _ in range(streams)]
    for tab in tabs:
        await tab.open(url)
    await asyncio.sleep(1)

    async def one(n: int, tab: Tab) -> None:
        await asyncio.sleep(n * within / streams)
        await tab.ask()

    cpu, start = cpu_seconds(pid), time.monotonic()
    await asyncio.gather(*(one(n, tab) for n, tab in enumerate(tabs)))
    cpu, end = cpu_seconds(pid) - cpu, time.monotonic()
    for tab in tabs:
        await tab.close()
    return {
        "cpu": cpu,
        "tokens": [len(tab.numbers) for tab in tabs],
        "ages": sorted(age for tab in tabs for age in tab.ages),
        "firsts": sorted(tab.first for tab in tabs if tab.first is not None),
        "events": sum(tab.events for tab in tabs),
        "seconds": end - start,
        "whole": sum(tab.numbers == list(range(tokens)) for tab in tabs),
        "stored": None,
    }


if __name__ == "__main__":
    url, pid, streams, _, _, within, tokens = sys.argv[1:]
    print(json.dumps(asyncio.run(drive(url, int(pid), int(streams), float(within), int(tokens)))))
