"""A page whose server dies, behind a load balancer, as a browser shows it."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.balancer import COOKIE
from benchmarks.replicas import Servers
from tests.servers.front import Front
from tests.store.databases import Postgres
from tests.web.chat.test_goes_on import held
from tests.web.chat.test_page import CHAT
from tests.web.chat.test_stored import answer, config, link
from tests.web.pages import Served, expect

pytestmark = pytest.mark.browser

SHARED = """\
server: {{affinity_cookie: {cookie}}}
storage: {{url: {{env: CHATLAB_BENCH_DATABASE}}, files: {files}, notify: {notify}}}
# {users}
"""


class Balanced(Served):
    """Two servers of one database, behind a balancer that runs in a thread."""

    def __init__(self, servers: Servers) -> None:
        self._servers = servers
        self._ready, self._over = threading.Event(), threading.Event()
        self._balancing = threading.Thread(target=lambda: asyncio.run(self._balance()), name="balancer")
        self._balancing.start()
        assert self._ready.wait(90)

    async def _balance(self) -> None:
        for name in ("one", "two"):
            self._servers.start(name)
        async with self._servers.balancer.serving() as self.url:
            await self._servers.ready("one", "two")
            self._ready.set()
            await asyncio.to_thread(self._over.wait)

    def kill(self, name: str) -> None:
        """End one of the servers as a power loss would."""
        self._servers.end(name, signal.SIGKILL)

    def stop(self) -> None:
        self._over.set()
        self._balancing.join(20)
        self._servers.close()


@pytest.fixture
def upstream() -> Iterator[Front]:
    with Front() as front:
        front.on("POST", CHAT, answer)
        yield front


@pytest.fixture
def balanced(upstream: Front, postgres_of_this_version: Postgres, tmp_path: Path) -> Iterator[Balanced]:
    database = postgres_of_this_version.new()
    template = config(upstream).replace("{", "{{").replace("}", "}}") + SHARED
    balanced = Balanced(Servers(tmp_path, database, config=template))
    yield balanced
    balanced.stop()
    postgres_of_this_version.drop(database)


def test_a_page_whose_server_is_killed_goes_on_at_another_with_all_that_was_there(
    upstream: Front, balanced: Balanced, open_page: Any
) -> None:
    go_on = held(upstream)
    page = open_page(balanced)
    page.ask("go", wait=False)
    page.wait_text("partial")
    link(page)
    cookies = page.page.context
    (runs_there,) = (one for one in cookies.cookies() if one["name"] == COOKIE)
    other = {"one": "two", "two": "one"}[runs_there["value"]]
    cookies.add_cookies([{**runs_there, "value": other}])
    page.page.reload()
    growing = page.page.locator("#conversation").get_by_text("partial", exact=True)
    expect(growing).to_be_visible()
    page.page.wait_for_selector("#message .stop-button")
    page.page.fill("#message textarea", "not sent yet")
    balanced.kill(other)
    expect(page.page.locator("#chatlab-away")).to_have_text("Reconnected.")
    expect(page.page.locator("#message textarea")).to_have_value("not sent yet")
    page.page.wait_for_selector("#message .stop-button")
    expect(growing).to_be_visible()
    upstream.on("POST", CHAT, answer)
    go_on.set()
    page.wait_ended(1)
    page.page.press("#message textarea", "Enter")
    page.wait_ended(2)
    assert page.answers == ["partial and the rest", "answer to not sent yet"]
    page.errors.clear()  # what the browser says of requests that were cut
