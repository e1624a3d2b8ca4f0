"""Drives a Gradio chat page over HTTP as its own JavaScript does, and sees when each token arrives.

Run: page_driver.py URL PID STREAMS HISTORY QUICK SECONDS TOKENS; prints what was seen as JSON. `drive` says
what they mean.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import re
import secrets
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2

_COOKIES = iter(json.loads(os.environ.get("BENCH_COOKIES", "[]")))  # of people who signed in
_AFTER = float(os.environ.get("BENCH_AFTER", 0))  # seconds after the last answer that count as its CPU, too
_TOKEN = re.compile(r"w(\d+)@(\d+\.\d+)")


@dataclass
class Arrivals:
    """What one page saw of one answer.

    ages: seconds from the upstream's send to the page's event. first: seconds from the asking to the event
    with the first token. seconds: from joining the queue to the end.
    """

    ages: list[float] = field(default_factory=list)
    last: int = -1
    events: int = 0
    first: float | None = None
    seconds: float = 0.0
    shown: list[dict[str, Any]] = field(default_factory=list)
    """What the page shows when the answer has ended."""


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
        dependencies = [one for one in config["dependencies"] if one["outputs"]]
        # What a page does between a message and its answer, and what of it the server does.
        sent = [one for one in dependencies if [box, "submit"] in one["targets"]]
        step = next((one for one in sent if one["backend_fn"] and one["queue"] is not False), sent[0])
        self._before: list[dict[str, Any]] = []
        while step["queue"] is False or not step["backend_fn"]:
            self._before += [step] if step["backend_fn"] else []
            then = (one for one in dependencies if one.get("trigger_after") == step["id"])
            step = next(one for one in then if one["backend_fn"])
        self._answer = step
        self._after = [
            one
            for one in dependencies
            if one.get("trigger_after") == step["id"] and one["inputs"] == [chatbot]
        ]
        opened = ("load", "focus")  # the second is what our menu tells once it is shown
        asked = [one for one in dependencies if one["backend_fn"]]
        self._loads = [one for one in asked if (one["targets"] or [[None, None]])[0][1] in opened]
        self._chatbot, self._box = chatbot, box
        self._selector = next(
            (c["id"] for c in config["components"] if c["props"].get("elem_id") == "backend"), None
        )

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

    @asynccontextmanager
    async def present(self, client: httpx2.AsyncClient, session: str) -> AsyncIterator[None]:
        """Holds the page open as a browser does, by the connection that Gradio sees it leave with."""
        address = f"{self.url}/gradio_api/heartbeat/{session}"
        async with client.stream("GET", address, timeout=300) as reply:
            lines = reply.aiter_lines()  # held: the connection ends with it
            await anext(lines)
            yield
            await lines.aclose()

    async def load(self, client: httpx2.AsyncClient, session: str) -> None:
        """Asks what a page asks that is opened."""
        for event in self._loads:
            await self._call(client, event, {}, session)

    async def show(
        self, client: httpx2.AsyncClient, session: str, history: list[dict[str, Any]]
    ) -> list[dict[str, Any]]:
        """Has a page show this history, as one that loaded it would."""
        for event in self._after:
            await self._call(client, event, {self._chatbot: history}, session)
        return history

    async def ask(
        self,
        client: httpx2.AsyncClient,
        session: str,
        text: str,
        shown: list[dict[str, Any]],
        backend: str | None = None,
        on_message: Callable[[dict[str, Any]], None] | None = None,
    ) -> Arrivals:
        """One message on a page that shows `shown`. on_message: told of every message of Gradio's."""
        asked = time.monotonic()
        multimodal = self._components[self._box]["type"] == "multimodaltextbox"
        value: Any = {"text": text, "files": []} if multimodal else text
        for event in self._before:
            await self._call(client, event, {self._box: value, self._chatbot: shown}, session)
        seen, start = Arrivals(), time.monotonic()
        values: list[str] = []
        given = {self._answer["inputs"][0]: value, self._chatbot: [*shown, _painted("user", text)]}
        if backend is not None and self._selector is not None:
            given[self._selector] = backend
        body = {
            "data": self._data(self._answer, given),
            "fn_index": self._answer["id"],
            "session_hash": session,
            "event_data": None,
            "trigger_id": self._box,
        }
        joined = await client.post(f"{self.url}/gradio_api/queue/join", json=body)
        event, ended = f'"{joined.raise_for_status().json()["event_id"]}"', False
        stream = client.stream(
            "GET", f"{self.url}/gradio_api/queue/data", params={"session_hash": session}, timeout=300
        )
        async with stream as reply:
            async for line in reply.aiter_lines():
                # A page whose connection broke off is told of what it had asked before, too.
                if not line.startswith("data:") or (event not in line and '"close_stream"' not in line):
                    continue
                now = time.monotonic()
                if on_message is not None:
                    on_message(json.loads(line[5:]))
                if '"process_generating"' in line or '"process_completed"' in line:
                    seen.events += 1
                    values.append(line)
                    _note(line, now, seen)
                    if seen.first is None and seen.last >= 0:
                        seen.first = now - asked
                if '"process_completed"' in line:
                    if '"success":false' in line:
                        raise RuntimeError(line[:500])
                    ended = True
                if '"close_stream"' in line:
                    break
        if not ended:
            raise httpx2.RemoteProtocolError("the stream ended before the answer")
        seen.seconds = time.monotonic() - start
        seen.shown = shown_after(json.loads(line[5:]) for line in values)
        await self.show(client, session, seen.shown)
        return seen


def shown_after(messages: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """What a page shows after these messages of one answer: a value, then edits of it, and at the end a value
    or nothing new."""
    shown: Any = None
    for message in messages:
        if message["msg"] not in ("process_generating", "process_completed"):
            continue
        value = message["output"]["data"][1]
        if message["msg"] == "process_generating" and shown is not None:
            for edit in value:
                _apply(shown, *edit)
        elif isinstance(value, list):
            shown = value
    return list(shown)


def _apply(shown: Any, what: str, path: list[Any], value: Any) -> None:
    *way, last = path
    for step in way:
        shown = shown[step]
    if what == "delete":
        del shown[last]
    elif what == "append":
        shown[last] += value
    elif what == "add" and isinstance(shown, list):
        shown.insert(last, value)
    else:
        shown[last] = value


def _note(line: str, now: float, seen: Arrivals) -> None:
    """Counts the tokens that this event shows for the first time."""
    start = line.find(f"w{seen.last + 1}@")
    if start < 0:
        return
    for number, sent in _TOKEN.findall(line, start):
        if int(number) == seen.last + 1:
            seen.last += 1
            seen.ages.append(now - float(sent))


def whole(shown: object, tokens: int) -> bool:
    """Whether the newest answer that is somewhere in `shown` has every token once, in order."""
    numbers = [int(number) for number, _ in _TOKEN.findall(json.dumps(shown))]
    return numbers[-tokens:] == list(range(tokens)) if tokens else not numbers


def history_of(messages: int) -> list[dict[str, Any]]:
    """A painted history of so many messages, as a page holds it."""
    return [
        _painted("assistant" if n % 2 else "user", f"message {n}: " + "some words of it " * 12)
        for n in range(messages)
    ]


def _painted(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "metadata": None, "content": [{"type": "text", "text": text}], "options": None}


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far, all its threads', to the nanosecond (Linux)."""
    clock = ctypes.c_int32()
    if failed := ctypes.CDLL(None).clock_getcpuclockid(pid, ctypes.byref(clock)):
        raise OSError(failed, os.strerror(failed))
    return time.clock_gettime(clock.value)


async def drive(
    url: str, pid: int, streams: int, history: int, quick: str, within: float, tokens: int
) -> dict[str, Any]:
    """So many pages at once, whose starts are spread over `within` seconds; how they got their history is not
    measured.

    quick: the backend that answers at once, with which an app that keeps its conversations on the server is
    brought to the history by real turns; empty for one whose page holds them, which is simply shown it.
    tokens: how many each answer has; it is checked that every one is shown, and stored by an app that stores.
    """
    async with AsyncExitStack() as stack:

        async def opened() -> httpx2.AsyncClient:
            """A browser of its own that has opened the page, so that what is said there is stored."""
            # No connection is used again that the server, after five idle seconds, is just about to close.
            limits = httpx2.Limits(keepalive_expiry=3)
            client = httpx2.AsyncClient(timeout=300, verify=False, limits=limits)
            if cookie := next(_COOKIES, ""):
                client.headers["cookie"] = cookie
            await stack.enter_async_context(client)
            (await client.get(url, headers={"accept": "text/html"})).raise_for_status()
            return client

        browsers = [(await opened(), secrets.token_hex(6)) for _ in range(streams)]
        page = await PageDriver.of(url, browsers[0][0])

        async def prepared(client: httpx2.AsyncClient, session: str) -> list[dict[str, Any]]:
            if not history:
                return []
            if not quick:
                return await page.show(client, session, history_of(history))
            shown: list[dict[str, Any]] = []
            for message in history_of(history)[::2]:
                text = message["content"][0]["text"]
                shown = (await page.ask(client, session, text, shown, quick)).shown
            return shown

        async def one(
            n: int, client: httpx2.AsyncClient, session: str, shown: list[dict[str, Any]]
        ) -> Arrivals:
            await asyncio.sleep(n * within / streams)
            return await page.ask(client, session, "go", shown)

        async def stored(client: httpx2.AsyncClient) -> object:
            return (await client.get(f"{url}/-/export", params={"format": "jsonl"})).text

        pages = [(*browser, await prepared(*browser)) for browser in browsers]
        cpu, start = cpu_seconds(pid), time.monotonic()
        seen = await asyncio.gather(*(one(n, *shown) for n, shown in enumerate(pages)))
        end = time.monotonic()
        await asyncio.sleep(_AFTER)
        cpu = cpu_seconds(pid) - cpu
        kept = [await stored(client) for client, _ in browsers] if quick else None
        return {
            "cpu": cpu,
            "tokens": [s.last + 1 for s in seen],
            "ages": sorted(age for s in seen for age in s.ages),
            "firsts": sorted(s.first for s in seen if s.first is not None),
            "events": sum(s.events for s in seen),
            "seconds": end - start,
            "whole": sum(whole(s.shown, tokens) for s in seen),
            "stored": None if kept is None else sum(whole(one, tokens) for one in kept),
        }


if __name__ == "__main__":
    url, pid, streams, history, quick, within, tokens = sys.argv[1:]
    done = drive(url, int(pid), int(streams), int(history), quick, float(within), int(tokens))
    print(json.dumps(asyncio.run(done)))
