"""What a streamed token costs: chatlab beside a plain one-yield-a-token `gr.ChatInterface`, in one run.

Starts an upstream, both apps and a page driver as processes of their own, all on loopback, and prints one
table. Machines are noisy, so what counts are the ratios of one run.

    python benchmarks/streaming.py            # everything, about four minutes
    python benchmarks/streaming.py --seconds 4 --streams 20
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))  # a bare checkout will do

HERE = Path(__file__).parent
RATE = 50  # tokens a second and stream

CHATLAB = """\
version: 1
backends:
  bench: {{kind: openai, model: "{model}", base_url: "{upstream}"}}
  quick: {{kind: echo}}
server: {{concurrency: 400}}
"""


@dataclass
class Run:
    """One app under one load. ages: seconds from the upstream's send to the page's event, sorted."""

    app: str
    streams: int
    history: int
    shown: int
    sent: int
    ages: list[float]
    events: int
    cpu_ms_a_token: float
    seconds: float

    def age(self, quantile: float) -> float:
        return (
            self.ages[min(len(self.ages) - 1, int(quantile * len(self.ages)))] if self.ages else float("nan")
        )

    def row(self) -> str:
        cells = (
            self.app,
            self.streams,
            self.history,
            f"{self.shown}/{self.sent}",
            f"{self.cpu_ms_a_token:.3f}",
            f"{self.events / max(1, self.shown):.2f}",
            f"{1000 * self.age(0.5):.0f}",
            f"{1000 * self.age(0.95):.0f}",
            f"{self.seconds:.1f}",
        )
        return "| " + " | ".join(map(str, cells)) + " |"


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


@contextlib.contextmanager
def process(*command: str, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Runs a server until the block ends; waits until it listens."""
    env = {**os.environ, "PYTHONPATH": str(HERE.parent)}
    with tempfile.TemporaryFile() as log:
        child = subprocess.Popen([sys.executable, *command], stdout=log, stderr=log, env=env)
        try:
            for _ in range(600):
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.2):
                    break
                if child.poll() is not None:
                    log.seek(0)
                    raise RuntimeError(f"{command} ended:\n{log.read().decode()}")
                time.sleep(0.1)
            yield child
        finally:
            child.terminate()
            child.wait(10)


def measure(app: str, pid: int, url: str, streams: int, history: int, tokens: int) -> Run:
    quick = "quick" if app == "chatlab" else ""
    driver = [sys.executable, str(HERE / "page_driver.py"), url, str(pid), str(streams), str(history), quick]
    done = subprocess.run(driver, capture_output=True, text=True, timeout=400, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    seen = json.loads(done.stdout)
    sent = streams * tokens
    return Run(
        app, streams, history, sum(seen["tokens"]), sent, seen["ages"], seen["events"],
        1000 * seen["cpu"] / sent, seen["seconds"],
    )  # fmt: skip


async def first_tokens(upstream: str, rounds: int) -> tuple[float, float]:
    """Median seconds to the first token: the bare SDK, and chatlab's run_turn, in turns."""
    from openai import AsyncOpenAI

    from backends.openai import OpenAIBackend
    from chatlab.config.models import BackendConfig
    from chatlab.config.registry import Backends
    from chatlab.messages import Message, TextDelta
    from chatlab.turns.turn import run_turn

    client = AsyncOpenAI(base_url=upstream, api_key="none", max_retries=0)
    options = OpenAIBackend.Options.model_validate({"model": "3-1000", "base_url": upstream})
    backends = Backends({"bench": BackendConfig(kind="openai", options=options)})
    bare, ours = [], []
    for _ in range(rounds):
        start = time.perf_counter()
        stream = await client.chat.completions.create(
            model="3-1000", messages=[{"role": "user", "content": "go"}], stream=True
        )
        async with stream:
            async for chunk in stream:
                if chunk.choices and chunk.choices[0].delta.content:
                    bare.append(time.perf_counter() - start)
                    break
        start = time.perf_counter()
        async with run_turn(backends["bench"], [Message.of("user", "go")]) as turn:
            async for event in turn:
                if isinstance(event, TextDelta):
                    ours.append(time.perf_counter() - start)
                    break
    await backends.aclose()
    await client.close()
    return statistics.median(bare), statistics.median(ours)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=8, help="how long each answer streams")
    parser.add_argument("--streams", type=int, nargs="*", default=[20, 50, 100])
    parser.add_argument("--skip-history", action="store_true")
    args = parser.parse_args()
    tokens = int(args.seconds * RATE)
    model = f"{tokens}-{RATE}"
    upstream_port, plain_port, ours_port = free_port(), free_port(), free_port()
    upstream = f"http://127.0.0.1:{upstream_port}/v1"
    config = Path(tempfile.mkdtemp()) / "bench.yaml"
    config.write_text(CHATLAB.format(model=model, upstream=upstream))
    serve = f"from chatlab.web.server import serve; serve({str(config)!r}, port={ours_port})"
    loads = [(streams, 0) for streams in args.streams]
    if not args.skip_history:
        loads += [(4, 0), (4, 400)]
    print(f"{RATE} tokens/s a stream, {tokens} tokens an answer, {os.cpu_count()} cores\n")
    print("| app | streams | history | tokens shown | server CPU ms a token | page events a token "
          "| age p50 ms | age p95 ms | wall s |")  # fmt: skip
    print("| --- " * 9 + "|")
    runs: dict[tuple[str, int, int], Run] = {}
    with process(str(HERE / "upstream.py"), str(upstream_port), port=upstream_port):
        for streams, history in loads:
            # A fresh process each, so that no run pays for what an earlier one left behind.
            for app, port, command in (
                ("plain", plain_port, (str(HERE / "plain_app.py"), str(plain_port), upstream, model)),
                ("chatlab", ours_port, ("-c", serve)),
            ):
                with process(*command, port=port) as server:
                    url = f"http://127.0.0.1:{port}"
                    measure(app, server.pid, url, 1, 0, tokens)  # imports, first connections
                    run = runs[app, streams, history] = measure(
                        app, server.pid, url, streams, history, tokens
                    )
                    print(run.row(), flush=True)
        bare, ours = asyncio.run(first_tokens(upstream, 100))
    print(f"\nfirst token, median of 100: bare SDK {1000 * bare:.2f} ms, run_turn {1000 * ours:.2f} ms\n")
    for streams, history in loads:
        ratio = (
            runs["chatlab", streams, history].cpu_ms_a_token / runs["plain", streams, history].cpu_ms_a_token
        )
        print(
            f"{streams} streams, {history} messages of history: "
            f"chatlab's CPU a token is {ratio:.3f} of the plain app's"
        )
    if not args.skip_history:
        with_history, without = runs["chatlab", 4, 400].cpu_ms_a_token, runs["chatlab", 4, 0].cpu_ms_a_token
        print(
            f"chatlab's own CPU a token with 400 messages is {with_history / without:.2f} of that with none"
        )


if __name__ == "__main__":
    main()
