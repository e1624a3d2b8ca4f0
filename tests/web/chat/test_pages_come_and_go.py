"""Pages that are opened and closed leave nothing behind."""

from __future__ import annotations

import asyncio
import os
import secrets
from pathlib import Path

import httpx2

from benchmarks.page_driver import PageDriver
from benchmarks.streaming import free_port, process

CONFIG = "backends: {echo: {kind: echo}}\nserver: {concurrency: 50}\nstorage: none\n"
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


def test_500_pages_that_came_and_went_leave_less_than_10_mb(tmp_path: Path) -> None:
    file, port = tmp_path / "c.yaml", free_port()
    file.write_text(CONFIG)
    serve = f"from chatlab.web.server import serve; serve({str(file)!r}, port={port})"
    with process("-c", serve, port=port) as server:
        url = f"http://127.0.0.1:{port}"
        asyncio.run(come_and_go(url, WARM, talking=5))
        before = memory(server.pid)
        asyncio.run(come_and_go(url, PAGES, talking=5))
        grown = memory(server.pid) - before
    assert grown < MOST, f"{grown / 1e6:.1f} MB more after {PAGES} pages"
