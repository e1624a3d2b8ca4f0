"""A server that is told to end lets what runs come to its end, and begins nothing new."""

from __future__ import annotations

import asyncio
import secrets
import signal
import sqlite3
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from benchmarks.page_driver import PageDriver, shown_after
from benchmarks.streaming import free_port, process

WORDS = " ".join(f"word{number}" for number in range(30))


@dataclass
class Answered:
    """A server in the middle of an answer. client: whose answer it is. other: another browser."""

    url: str
    server: subprocess.Popen[bytes]
    page: PageDriver
    other: httpx2.AsyncClient
    told: list[dict[str, Any]]


@asynccontextmanager
async def answering(tmp_path: Path, drain_seconds: float, rate: float = 10) -> AsyncIterator[Answered]:
    file, port = tmp_path / "c.yaml", free_port()
    server = f"server: {{drain_seconds: {drain_seconds}}}"
    file.write_text(f"backends: {{echo: {{kind: echo, rate: {rate}}}}}\n{server}\n")
    url = f"http://127.0.0.1:{port}"
    serve = f"from chatlab.web.server import serve; serve({str(file)!r}, port={port})"
    told: list[dict[str, Any]] = []
    began = asyncio.Event()

    def take(message: dict[str, Any]) -> None:
        told.append(message)
        if message["msg"] == "process_generating":
            began.set()

    with process("-c", serve, port=port) as child:
        async with httpx2.AsyncClient(timeout=60) as client, httpx2.AsyncClient(timeout=60) as other:
            await client.get(url, headers={"accept": "text/html"})
            page = await PageDriver.of(url, client)
            asking = asyncio.create_task(page.ask(client, secrets.token_hex(6), WORDS, [], on_message=take))
            await asyncio.wait_for(began.wait(), 60)
            yield Answered(url, child, page, other, told)
            with suppress(httpx2.HTTPError, KeyError):  # the server has gone
                await asking


async def test_after_sigterm_an_answer_comes_to_its_end_and_none_begins(tmp_path: Path) -> None:
    async with answering(tmp_path, drain_seconds=100) as one:
        assert (await one.other.get(f"{one.url}/readyz")).status_code == 200
        one.server.send_signal(signal.SIGTERM)
        while (await one.other.get(f"{one.url}/readyz")).status_code != 503:
            await asyncio.sleep(0.01)
        assert (await one.other.get(f"{one.url}/healthz")).status_code == 200
        refused = await one.page.ask(one.other, secrets.token_hex(6), "hello", [])
        assert "The server is about to restart" in str(refused.shown)
        await asyncio.to_thread(one.server.wait, 60)
        (end,) = [message for message in one.told if message["msg"] == "process_completed"]
        assert end["success"]
        assert WORDS in str(shown_after(one.told))


async def test_what_still_runs_when_the_time_is_over_is_stored_as_far_as_it_came(tmp_path: Path) -> None:
    async with answering(tmp_path, drain_seconds=0.1, rate=1) as one:
        one.server.send_signal(signal.SIGTERM)
        await asyncio.to_thread(one.server.wait, 60)
    with sqlite3.connect(tmp_path / ".chatlab" / "chatlab.db") as database:
        ((status, answer),) = database.execute("select status, answered from turns").fetchall()
    assert status == "interrupted" and "word0" in str(answer) and "word29" not in str(answer)
