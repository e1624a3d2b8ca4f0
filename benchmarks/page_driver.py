"""Drives a Gradio chat page over HTTP as its own JavaScript does, and sees when each token arrives."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import time
from dataclasses import dataclass, field
from typing import Any

import httpx2

_TOKEN = re.compile(r"w(\d+)@(\d+\.\d+)")


@dataclass
class Arrivals:
    """What one page saw of one answer. ages: seconds from the upstream's send to the page's event."""

    ages: list[float] = field(default_factory=list)
    last: int = -1
    events: int = 0
    seconds: float = 0.0


class PageDriver:
    """Knows one app's events by name, from its /config."""

    def __init__(self, url: str, config: dict[str, Any]) -> None:
        self.url = url
        self._components = {c["id"]: c for c in config["components"]}
        chatbot = next(c["id"] for c in config["components"] if c["type"] == "chatbot")
        box = next(
            d["targets"][0][0]
            for d in config["dependencies"]
            if d["targets"] and d["targets"][0][1] == "submit"
        )
        dependencies = config["dependencies"]
        self._clear = next(d for d in dependencies if [box, "submit"] in d["targets"] and d["outputs"])
        after = {d["trigger_after"]: d for d in reversed(dependencies) if d.get("trigger_after") is not None}
        self._append = after[self._clear["id"]]
        self._answer = after[self._append["id"]]
        self._synchronize = after[self._answer["id"]]
        self._chatbot, self._box = chatbot, box

    @classmethod
    async def of(cls, url: str, client: httpx2.AsyncClient) -> PageDriver:
        return cls(url, (await client.get(f"{url}/config")).json())

    def _data(self, dependency: dict[str, Any], values: dict[int, Any]) -> list[Any]:
        """A dependency's inputs: those given, else the components' own values."""
        return [values.get(i, self._components[i]["props"].get("value")) for i in dependency["inputs"]]

    async def _call(
        self, client: httpx2.AsyncClient, dependency: dict[str, Any], values: dict[int, Any], session: str
    ) -> Any:
        body = {
            "data": self._data(dependency, values),
            "fn_index": dependency["id"],
            "session_hash": session,
            "event_data": None,
            "trigger_id": self._box,
        }
        reply = await client.post(f"{self.url}/gradio_api/run/predict", json=body)
        reply.raise_for_status()
        return reply.json()["data"]

    async def ask(
        self, client: httpx2.AsyncClient, text: str, history: list[dict[str, Any]] | None = None
    ) -> Arrivals:
        """One message on a fresh page, whose conversation may already have a history."""
        session = secrets.token_hex(6)
        if history:
            await self._call(client, self._synchronize, {self._chatbot: history}, session)
        multimodal = self._components[self._box]["type"] == "multimodaltextbox"
        value: Any = {"text": text, "files": []} if multimodal else text
        await self._call(client, self._clear, {self._box: value}, session)
        await self._call(client, self._append, {self._chatbot: history or []}, session)
        seen, start = Arrivals(), time.monotonic()
        body = {
            "data": self._data(self._answer, {}),
            "fn_index": self._answer["id"],
            "session_hash": session,
            "event_data": None,
            "trigger_id": self._box,
        }
        (await client.post(f"{self.url}/gradio_api/queue/join", json=body)).raise_for_status()
        stream = client.stream(
            "GET", f"{self.url}/gradio_api/queue/data", params={"session_hash": session}, timeout=300
        )
        async with stream as reply:
            async for line in reply.aiter_lines():
                if not line.startswith("data:"):
                    continue
                now = time.monotonic()
                if '"process_generating"' in line or '"process_completed"' in line:
                    seen.events += 1
                    _note(line, now, seen)
                if '"process_completed"' in line and '"success":false' in line:
                    raise RuntimeError(line[:500])
                if '"close_stream"' in line:
                    break
        seen.seconds = time.monotonic() - start
        return seen


def _note(line: str, now: float, seen: Arrivals) -> None:
    """Counts the tokens that this event shows for the first time."""
    start = line.find(f"w{seen.last + 1}@")
    if start < 0:
        return
    for number, sent in _TOKEN.findall(line, start):
        if int(number) == seen.last + 1:
            seen.last += 1
            seen.ages.append(now - float(sent))


def history_of(messages: int) -> list[dict[str, Any]]:
    """A painted history of so many messages, as a page holds it."""
    return [
        {
            "role": "user" if n % 2 == 0 else "assistant",
            "metadata": None,
            "content": [{"type": "text", "text": f"message {n}: " + "some words of it " * 12}],
            "options": None,
        }
        for n in range(messages)
    ]


async def drive(
    url: str, streams: int, history: int = 0, stagger: float = 0.02
) -> tuple[list[Arrivals], float]:
    """So many pages at once, started shortly after each other: what they saw, and how long it took."""
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx2.AsyncClient(limits=limits, timeout=300) as client:
        page = await PageDriver.of(url, client)
        shown = history_of(history)

        async def one(n: int) -> Arrivals:
            await asyncio.sleep(n * stagger)
            return await page.ask(client, "go", shown)

        start = time.monotonic()
        seen = await asyncio.gather(*(one(n) for n in range(streams)))
        return seen, time.monotonic() - start


def main() -> None:
    """`page_driver.py URL STREAMS HISTORY`: prints what was seen as JSON."""
    import sys

    url, streams, history = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    seen, seconds = asyncio.run(drive(url, streams, history))
    print(
        json.dumps(
            {
                "tokens": [s.last + 1 for s in seen],
                "ages": sorted(age for s in seen for age in s.ages),
                "events": sum(s.events for s in seen),
                "seconds": seconds,
            }
        )
    )


if __name__ == "__main__":
    main()
