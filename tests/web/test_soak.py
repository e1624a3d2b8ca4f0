"""A soak of bounded length: many chats, comparisons, clients that vanish, and a visitor who misbehaves.

What was sent is what is shown and what is stored, and nobody else waits long. SOAK_SECONDS says how long
people begin something new (60 in CI, otherwise none: it takes the whole machine); each then sees its answer
to the end.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest

from benchmarks.page_driver import PageDriver, whole
from benchmarks.streaming import free_port, process
from chatlab.paths import PACKAGE

SECONDS = float(os.environ.get("SOAK_SECONDS", "60" if os.environ.get("CI") else "0"))
pytestmark = [
    pytest.mark.soak,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not SECONDS, reason="set SOAK_SECONDS, such as 60"),
]
CHATS, COMPARISONS, LANES, VANISHING = 100, 10, 4, 10
TOKENS, RATE = 20, 10
LONGEST_WAIT = float(os.environ.get("SOAK_LONGEST_WAIT", "3"))  # seconds, beside this process's own lag
UPSTREAM = PACKAGE.parent / "benchmarks" / "upstream.py"
CONFIG = """\
backends:
  chat: {{kind: openai, model: "{tokens}-{rate}", base_url: "{upstream}"}}
{lanes}
server: {{concurrency: 400}}
limits:
  running_turns: {{visitor: 24, address: null, total: null}}
  turns_a_minute: {{visitor: 200, address: null, total: null}}
"""


@dataclass
class Soak:
    """What everybody saw.

    people: how many open a page before the time begins to run. waits: seconds of each request of an onlooker.
    late: by how much this process was late itself, at most, meanwhile.
    """

    url: str
    people: int
    until: float = float("inf")
    answers: int = 0
    lanes: int = 0
    vanished: int = 0
    refused: int = 0
    problems: list[str] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    late: float = 0.0
    begun: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def on(self) -> bool:
        return time.monotonic() < self.until

    @asynccontextmanager
    async def browser(self) -> AsyncIterator[httpx2.AsyncClient]:
        """A browser of its own, that has opened the page; the first ones wait for each other."""
        # A server ends connections that are idle for 5 s: a browser asks once more when that meets its
        # request, this client does not.
        idle = httpx2.Limits(keepalive_expiry=1)
        headers = {"x-chatlab": "1"}
        async with httpx2.AsyncClient(base_url=self.url, headers=headers, timeout=120, limits=idle) as client:
            (await client.get("/", headers={"accept": "text/html"})).raise_for_status()
            self.people -= 1
            if self.people == 0:
                self.until = time.monotonic() + SECONDS
                self.begun.set()
            await self.begun.wait()
            await asyncio.sleep(secrets.randbelow(3_000) / 1_000)  # people do not begin at the same instant
            yield client

    async def chat(self, page: PageDriver) -> None:
        """Asks again and again on one page, and looks at the end for what is stored."""
        async with self.browser() as client:
            session, asked = secrets.token_hex(6), 0
            async with page.present(client, session):
                while self.on:
                    seen = await page.ask(client, session, "go", [])
                    asked += 1
                    if not whole(seen.shown, TOKENS):
                        self.problems.append(f"shown: {seen.shown}")
            self.answers += asked
            # A database that is busy is waited for in memory: an answer is stored a little later then.
            for _ in range(60):
                stored = [json.loads(one) for one in (await client.get("/-/export")).text.splitlines()]
                kept = sum(json.dumps(one).count(f"w{TOKENS - 1}@") for one in stored)
                if kept >= asked and whole(stored, TOKENS):
                    return
                await asyncio.sleep(1)
            self.problems.append(f"stored: {kept} of {asked} answers whole")

    async def compare(self) -> None:
        """Asks lanes together again and again, and reads what the comparison page is told."""
        async with self.browser() as client:
            while self.on:
                lanes = [{"backend": f"lane{n}", "label": f"lane {n}"} for n in range(LANES)]
                begun = await client.post("/-/compare/sessions", json={"lanes": lanes})
                if begun.is_error:
                    self.problems.append(f"comparison: {begun.text}")
                    continue
                one = f"/-/compare/sessions/{begun.json()['id']}"
                async with client.stream("GET", f"{one}/events") as reply:
                    (await client.post(f"{one}/ask", json={"text": "go"})).raise_for_status()
                    answers = await _ended(reply)
                for answer in answers:
                    numbers = [int(number) for number in re.findall(r"w(\d+)@", answer["html"])]
                    if numbers != list(range(TOKENS)):
                        self.problems.append(f"lane: {answer}")
                self.lanes += len(answers)

    async def vanish(self, page: PageDriver) -> None:
        """Asks, and is gone in the middle of the answer."""
        while self.on:
            async with self.browser() as client:
                session = secrets.token_hex(6)
                async with page.present(client, session):
                    asking = asyncio.create_task(page.ask(client, session, "go", []))
                    await asyncio.wait([asking], timeout=secrets.randbelow(1_500) / 1_000)
                    asking.cancel()
                    await asyncio.wait([asking])
            self.vanished += 1

    async def misbehave(self, page: PageDriver) -> None:
        """Tries again and again what a visitor may not do, or what takes long."""
        small = json.dumps({"messages": [{"role": "user", "content": "a"}] * 20_000})
        async with self.browser() as client:
            mine, theirs = secrets.token_hex(6), secrets.token_hex(6)
            while self.on:
                tries: list[Any] = [
                    client.get("/gradio_api/file=%00"),
                    client.get("/gradio_api/queue/data", params=[("session_hash", "x" * 70)]),
                    client.post("/gradio_api/queue/join", content=b"{" + b"[" * 1_000),
                    client.post("/gradio_api/run/predict", json={"data": ["x" * 300_000], "fn_index": 0}),
                    client.post("/gradio_api/run/predict", json={"data": [], "session_hash": theirs}),
                    client.post("/-/compare/sessions", json={"lanes": [{"backend": "replay:/etc/passwd"}]}),
                    client.post("/-/import", content=small, headers={"x-filename": "many.jsonl"}),
                    *(page._call(client, page._loads[-1], {}, mine) for _ in range(20)),
                ]
                done = await asyncio.gather(*tries, return_exceptions=True)
                self.refused += sum(
                    isinstance(one, httpx2.Response) and one.status_code >= 400 for one in done
                )

    async def look_on(self) -> None:
        """Somebody else, who wants something small, and how long that takes."""
        async with self.browser() as client:
            while self.on:
                start = time.monotonic()
                (await client.get("/-/conversations")).raise_for_status()
                self.waits.append(time.monotonic() - start)
                await asyncio.sleep(0.05)

    async def know_own_lag(self) -> None:
        await self.begun.wait()
        while self.on:
            start = time.monotonic()
            await asyncio.sleep(0.02)
            self.late = max(self.late, time.monotonic() - start - 0.02)


async def _ended(reply: httpx2.Response) -> list[dict[str, Any]]:
    """The answers of a comparison once all lanes have ended."""
    event = ""
    async for line in reply.aiter_lines():
        if line.startswith("event:"):
            event = line[6:].strip()
        elif line.startswith("data:") and event == "view":
            told = json.loads(line[5:])
            answers = [a for r in told["rounds"] for of in r["answers"].values() for a in of]
            if len(answers) == LANES and all(a["status"] != "running" for a in answers):
                return answers
    raise AssertionError("the stream of a comparison ended before its lanes")


async def soak(url: str) -> Soak:
    seen = Soak(url, people=CHATS + COMPARISONS + VANISHING + 2)
    async with httpx2.AsyncClient(timeout=60) as client:
        page = await PageDriver.of(url, client)
    async with asyncio.TaskGroup() as everybody:
        for _ in range(CHATS):
            everybody.create_task(seen.chat(page))
        for _ in range(COMPARISONS):
            everybody.create_task(seen.compare())
        for _ in range(VANISHING):
            everybody.create_task(seen.vanish(page))
        for task in (seen.misbehave(page), seen.look_on(), seen.know_own_lag()):
            everybody.create_task(task)
    return seen


def test_whatever_happens_at_once_everything_sent_is_shown_and_stored_and_nobody_waits_long(
    tmp_path: Path, record_property: Any
) -> None:
    upstream, port, file = free_port(), free_port(), tmp_path / "c.yaml"
    address = f"http://127.0.0.1:{upstream}/v1"
    lanes = "\n".join(
        f'  lane{n}: {{kind: openai, model: "{TOKENS}-{RATE},name={n}", base_url: "{address}"}}'
        for n in range(LANES)
    )
    file.write_text(CONFIG.format(tokens=TOKENS, rate=RATE, upstream=address, lanes=lanes))
    serve = f"from chatlab.web.server import serve; serve({str(file)!r}, port={port})"
    with process(str(UPSTREAM), str(upstream), port=upstream), process("-c", serve, port=port):
        seen = asyncio.run(soak(f"http://127.0.0.1:{port}"))
    waits = sorted(seen.waits)
    for name, value in {
        "answers": seen.answers,
        "lanes": seen.lanes,
        "vanished": seen.vanished,
        "refused": seen.refused,
        "wait p50": waits[len(waits) // 2],
        "longest wait": waits[-1],
        "own lag": seen.late,
    }.items():
        record_property(name, value)
        print(f"{name}: {value}")
    assert seen.problems == []
    assert seen.answers >= CHATS and seen.lanes >= COMPARISONS * LANES
    assert seen.vanished >= VANISHING and seen.refused > 0
    assert waits[-1] < LONGEST_WAIT + 3 * seen.late  # each request waits for three processes
