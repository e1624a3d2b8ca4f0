"""What probes are told: that the process lives, whether it can take requests, and its metrics."""

from __future__ import annotations

import asyncio
import re
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2

import chatlab
from chatlab.lab import Lab
from chatlab.web.server import create_app
from chatlab.web.shared.limits import Visitor, limits_of
from tests.web.pages import Served
from tests.web.shared.test_tabs import begin, browser


@asynccontextmanager
async def served(
    tmp_path: Path, more: str = "", host: str | None = None
) -> AsyncIterator[tuple[Lab, httpx2.AsyncClient]]:
    """A lab, and a client of its page."""
    file = tmp_path / "chatlab.yaml"
    file.write_text(
        "backends:\n"
        "  echo: {kind: echo}\n"
        "  away: {kind: openai, base_url: 'http://127.0.0.1:9/v1', model: m}\n" + more
    )
    async with chatlab.load(file) as lab:
        transport = httpx2.ASGITransport(create_app(lab, host=host), client=("127.0.0.1", 1))
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost:7860") as client:
            yield lab, client


async def once_ready(client: httpx2.AsyncClient) -> httpx2.Response:
    """What `/readyz` says once the storage had the time to be opened."""
    for _ in range(30):
        said = await client.get("/readyz")
        if said.status_code == 200:
            break
    return said


async def test_a_server_that_can_answer_is_alive_and_ready_whatever_its_backends_do(tmp_path: Path) -> None:
    async with served(tmp_path) as (_, client):
        assert (await client.get("/healthz")).json() == {"status": "ok"}
        ready = await once_ready(client)
        assert (ready.status_code, ready.json()) == (200, {"status": "ready"})
        assert ready.headers["cache-control"] == "no-store" and "set-cookie" not in ready.headers


async def test_without_its_database_or_its_files_a_server_is_alive_and_not_ready(tmp_path: Path) -> None:
    async with served(tmp_path, "storage: {url: 'postgresql://nobody@127.0.0.1:9/none'}") as (_, client):
        assert (await client.get("/healthz")).status_code == 200
        ready = await client.get("/readyz")
        assert ready.status_code == 503 and ready.json()["status"] == "not ready"
        assert "127.0.0.1" not in ready.text
    async with served(tmp_path) as (_, client):
        assert (await once_ready(client)).status_code == 200
        shutil.rmtree(tmp_path / ".chatlab" / "files")
        (tmp_path / ".chatlab" / "files").write_text("no folder")
        assert (await client.get("/readyz")).status_code == 503


async def test_a_probe_may_ask_by_address_where_the_server_listens_on_all(tmp_path: Path) -> None:
    async with served(tmp_path, host="0.0.0.0") as (_, client):
        assert (await client.get("/healthz", headers={"host": "10.1.2.3:7860"})).status_code == 200
    async with served(tmp_path) as (_, client):
        assert (await client.get("/healthz", headers={"host": "rebound.example"})).status_code == 421


async def test_metrics_are_for_those_who_are_named(tmp_path: Path) -> None:
    async with served(tmp_path) as (_, client):
        assert (await client.get("/metrics")).status_code == 404
    readers = "telemetry: {prometheus: [127.0.0.1, 10.0.0.0/8]}"
    async with served(tmp_path, readers) as (lab, client):
        await lab.answer("echo", "hello")
        said = await client.get("/metrics")
        assert 'gen_ai_client_operation_duration_seconds_count{chatlab_backend="echo"' in said.text
        assert said.headers["content-type"].startswith("text/plain")
        # A visitor behind the proxy on this machine is not the proxy.
        visitor = {"x-forwarded-for": "203.0.113.7"}
        assert (await client.get("/metrics", headers=visitor)).status_code == 404
        inner = {"x-forwarded-for": "10.2.3.4"}
        assert (await client.get("/metrics", headers=inner)).status_code == 200


async def test_turns_that_wait_for_their_place_are_measured(tmp_path: Path) -> None:
    more = "telemetry: {prometheus: [127.0.0.1]}\nlimits: {running_turns: {total: 1}}"
    async with served(tmp_path, more) as (lab, client):
        limits = limits_of(lab)
        ann, bob = Visitor("ann", "192.0.2.1"), Visitor("bob", "192.0.2.2")

        async def wait() -> None:
            async with limits.turn(bob, wait=True):
                pass

        async with limits.turn(ann):
            waiting = asyncio.create_task(wait())
            await asyncio.sleep(0)
            assert _waiting((await client.get("/metrics")).text) == {"chat": 0, "compare": 1}
        await waiting
        assert _waiting((await client.get("/metrics")).text) == {"chat": 0, "compare": 0}


def test_answers_that_wait_in_the_queue_are_measured(tmp_path: Path) -> None:
    file = tmp_path / "chatlab.yaml"
    file.write_text(
        "backends: {slow: {kind: echo, rate: 2}}\nstorage: none\nserver: {concurrency: 1}\n"
        "telemetry: {prometheus: [127.0.0.1]}\n"
    )
    page = Served(file)
    try:
        asking = [browser(page.url, name) for name in ("one", "two", "three")]
        for one in asking:
            begin(one)
        limit = time.monotonic() + 30
        while (waiting := _waiting(asking[0].client.get("/metrics").text)["chat"]) != 2:
            assert time.monotonic() < limit, waiting
            time.sleep(0.05)
    finally:
        page.stop()


def _waiting(metrics: str) -> dict[str, int]:
    found = re.findall(r'chatlab_turns_waiting\{chatlab_page="(\w+)"[^}]*\} ([\d.]+)', metrics)
    return {page: int(float(count)) for page, count in found}
