"""Pages that are opened and closed leave nothing behind."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from benchmarks.page_driver import PageDriver
from benchmarks.streaming import free_port, process

CONFIG = """\
backends: {echo: {kind: echo}, slow: {kind: echo, rate: 20}}
server: {concurrency: 50}
storage: none
limits:
  running_turns: {visitor: null, address: null}
  turns_a_minute: {visitor: null, address: null}
"""
WARM, PAGES, AT_ONCE = 100, 500, 10
MOST = 10_000_000  # bytes


def memory(pid: int) -> int:
    """The memory of a process that is not shared, in bytes."""
    resident, shared = map(int, Path(f"/proc/{pid}/statm").read_text().split()[1:3])
    return (resident - shared) * os.sysconf("SC_PAGESIZE")


async def come_and_go(url: str, pages: int, talking: int) -> None:
    """Opens and closes so many pages; every `talking`th asks something before it goes."""
    async with httpx2.AsyncClient(timeout=60) as client:
        page = await PageDriver.of(url, client)
        turns = asyncio.Semaphore(AT_ONCE)

        async def visit(number: int) -> None:
            session = secrets.token_hex(6)
            async with turns, page.present(client, session):
                if number % talking == 0:
                    seen = await page.ask(client, session, "a message of some length " * 10, [])
                    assert "a message of some length" in str(seen.shown[1])
                else:
                    await page.load(client, session)

        await asyncio.gather(*(visit(number) for number in range(pages)))


async def vanish(url: str, pages: int) -> None:
    """Opens so many pages, each of which asks something and is gone in the middle of the answer, and has some
    requests on their way that come just after that."""
    async with httpx2.AsyncClient(timeout=60) as client:
        page = await PageDriver.of(url, client)
        turns = asyncio.Semaphore(AT_ONCE)

        async def visit() -> None:
            session = secrets.token_hex(6)
            async with turns:
                async with page.present(client, session):
                    began = asyncio.Event()
                    asking = asyncio.create_task(
                        page.ask(
                            client, session, "a message of some length " * 50, [], "slow", began_by(began)
                        )
                    )
                    await began.wait()
                    asking.cancel()
                    await asyncio.wait([asking])
                await page.load(client, session)

        await asyncio.gather(*(visit() for _ in range(pages)))


def began_by(event: asyncio.Event) -> Callable[[dict[str, Any]], None]:
    def noted(message: dict[str, Any]) -> None:
        if message["msg"] == "process_generating":
            event.set()

    return noted


@pytest.mark.parametrize("how", ["in peace", "in the middle of an answer"])
def test_500_pages_that_came_and_went_leave_less_than_10_mb(tmp_path: Path, how: str) -> None:
    file, port = tmp_path / "c.yaml", free_port()
    file.write_text(CONFIG)
    serve = f"from chatlab.web.server import serve; serve({str(file)!r}, port={port})"

    def come_and_go_again(pages: int) -> None:
        visits = come_and_go(url, pages, talking=5) if how == "in peace" else vanish(url, pages)
        asyncio.run(visits)

    with process("-c", serve, port=port) as server:
        url = f"http://127.0.0.1:{port}"
        come_and_go_again(WARM)
        before = memory(server.pid)
        come_and_go_again(PAGES)
        grown = memory(server.pid) - before
    assert grown < MOST, f"{grown / 1e6:.1f} MB more after {PAGES} pages"
