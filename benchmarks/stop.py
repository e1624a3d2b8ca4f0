"""How long a stop takes to reach the upstream, for every way of every kind of backend.

Each has an upstream of its own on loopback that streams a first text and then stalls. A turn is stopped while
it is blocked in that read, by its stop button (`Turn.stop`) or by a page that goes away (its task is
cancelled); what is measured is the time until the upstream sees that the client left.

    pip install -e '.[test]'             # the upstreams are those of the tests
    python benchmarks/stop.py               # every kind, under a minute
    python benchmarks/stop.py openai --turns 200
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Literal

sys.path.insert(0, str(Path(__file__).parent.parent))  # a bare checkout will do

import pytest

from chatlab.config.models import BackendConfig
from chatlab.config.registry import Entry, backend_class
from chatlab.messages import Message
from chatlab.turns.turn import run_turn
from tests.backends.rig import FrontRig, Rig, rigs
from tests.backends.rig_langchain import LangChainSyncRig
from tests.servers.llama import LlamaServer

TARGET = 250  # milliseconds, for the 95th percentile
WAYS: tuple[Literal["stop button", "closed page"], ...] = ("stop button", "closed page")


class IteratorRig(LangChainSyncRig):
    """A plain synchronous iterator, which nothing can interrupt, blocked in a read of its own connection."""

    name = "langchain-iterator"

    def options(self) -> dict[str, Any]:
        source = f"""
import json, httpx2
client = httpx2.Client(timeout=None)
def thing(stream):
    for messages in stream:
        with client.stream("POST", "{self.url}{self.path}", json={{}}) as reply:
            for line in reply.iter_lines():
                if line:
                    yield json.loads(line.removeprefix("data: "))["choices"][0]["delta"]["content"]
"""
        (self.tmp_path / "iterator.py").write_text(source)
        return {"object": "iterator:thing", "python_path": str(self.tmp_path)}


async def measure(rig: FrontRig, turns: int) -> dict[str, list[float]]:
    """Milliseconds from each stop to its being seen, sorted, by the way of stopping."""
    rig.front.stream(rig.path, rig.beginning, end="hang")
    cls = backend_class(rig.kind)
    options = cls.Options.model_validate(rig.options())
    entry = Entry(rig.name, BackendConfig(kind=rig.kind, options=options), cls)
    try:
        return {way: sorted([await stopped(rig, entry, way) for _ in range(turns)]) for way in WAYS}
    finally:
        await entry.aclose()


async def stopped(rig: FrontRig, entry: Entry, way: str) -> float:
    """Milliseconds that one stop took."""
    turn = run_turn(entry, [Message.of("user", "go")], ctx=rig.context())
    stalled = asyncio.Event()

    async def read() -> None:
        async with turn:
            async for _ in turn:
                if turn.answer.message.text == "Some text":  # the rigs' beginning; nothing comes after it
                    stalled.set()

    reader = asyncio.create_task(read())
    waiting = asyncio.create_task(stalled.wait())
    await asyncio.wait([reader, waiting], timeout=20, return_when=asyncio.FIRST_COMPLETED)
    if not stalled.is_set():
        waiting.cancel()
        raise RuntimeError(f"{rig.name} did not begin to answer: {turn.error}")
    await asyncio.sleep(0.005)  # so that a thread, too, is back in its read
    start = time.perf_counter()
    if way == "stop button":
        turn.stop()
    else:
        reader.cancel()
    seen = await rig.saw_close(5)
    await asyncio.wait([reader])
    assert turn.outcome == "stopped"
    return 1000 * (seen - start)


def row(*cells: object) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="only those whose name begins so, such as openai")
    parser.add_argument("--turns", type=int, default=40, help="turns of each kind and way of stopping")
    args = parser.parse_args()
    print(f"{args.turns} turns each, {os.cpu_count()} cores; milliseconds until the upstream saw the stop\n")
    print(row("backend", "stopped by", "p50", "p95", "max", f"p95 within {TARGET} ms"))
    print("| --- " * 6 + "|")
    for proxy in [name for name in os.environ if name.upper().endswith("_PROXY")]:
        del os.environ[proxy]  # the upstreams are on this machine
    missed = False
    with tempfile.TemporaryDirectory() as folder, LlamaServer(Path(folder)) as llama:
        for number, cls in enumerate([*rigs(), IteratorRig]):
            if args.names and not cls.name.startswith(tuple(args.names)):
                continue
            reason = why_not(cls)
            if reason is not None or not issubclass(cls, FrontRig):
                print(row(cls.name, f"– ({reason})", "–", "–", "–", "–"))
                continue
            own = Path(folder, str(number))
            own.mkdir()
            with pytest.MonkeyPatch.context() as patch, cls(llama, own, patch) as rig:
                for way, times in asyncio.run(measure(rig, args.turns)).items():
                    p50, p95 = (times[min(len(times) - 1, int(q * len(times)))] for q in (0.5, 0.95))
                    within = p95 <= TARGET
                    missed |= not within
                    print(row(cls.name, way, f"{p50:.1f}", f"{p95:.1f}", f"{times[-1]:.1f}",
                              "yes" if within else "NO"), flush=True)  # fmt: skip
    return 1 if missed else 0


def why_not(cls: type[Rig]) -> str | None:
    """Why there is nothing to measure, or None."""
    for module in cls.needs:
        if importlib.util.find_spec(module) is None:
            return f"{module} is not installed"
    return cls.without.get("close")


if __name__ == "__main__":
    sys.exit(main())
