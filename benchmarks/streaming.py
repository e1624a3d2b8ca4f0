"""What a streamed token costs: chatlab beside a plain one-yield-a-token `gr.ChatInterface`, and Chainlit.

Starts an upstream, the apps and a driver as processes of their own, all on loopback, and prints one table of
streams, one of bursts (so many starts within a second) and one of turns of two tokens. Every token that was
sent has to be shown, and by chatlab stored; otherwise the table says so and the benchmark fails. Machines are
noisy, so what counts are the ratios of one run. Chainlit gets a virtual environment of its own, made in
--chainlit FOLDER if it is not there.

    python benchmarks/streaming.py            # everything but Chainlit, about six minutes
    python benchmarks/streaming.py --seconds 4 --streams 20 --bursts 50
    python benchmarks/streaming.py --chainlit /tmp/chainlit
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
limits:  # one address is everybody here, and each asks a whole history first
  running_turns: {{visitor: null, address: null}}
  turns_a_minute: {{visitor: null, address: null}}
"""


@dataclass
class Run:
    """One app under one load.

    ages: seconds from the upstream's send to the page's event, sorted. firsts: seconds from each asking to
    its first token on the page, sorted. whole, stored: answers that were shown, and stored, with every token;
    stored is None for an app that does not store.
    """

    app: str
    streams: int
    history: int
    shown: int
    sent: int
    ages: list[float]
    firsts: list[float]
    events: int
    cpu: float
    seconds: float
    whole: int
    stored: int | None

    @property
    def cpu_ms_a_token(self) -> float:
        return 1000 * self.cpu / self.sent

    @property
    def lost(self) -> bool:
        """Whether a token that was sent is missing."""
        return self.whole != self.streams or self.stored not in (None, self.streams)

    def age(self, quantile: float) -> float:
        """Milliseconds."""
        return 1000 * quantile_of(self.ages, quantile)

    def first(self, quantile: float) -> float:
        """Milliseconds."""
        return 1000 * quantile_of(self.firsts, quantile)

    def row(self) -> str:
        kept = "–" if self.stored is None else f"{self.stored}/{self.streams}"
        return line(
            self.app,
            self.streams,
            self.history,
            f"{self.shown}/{self.sent}",
            f"{self.whole}/{self.streams}",
            kept,
            f"{self.cpu_ms_a_token:.3f}",
            f"{self.events / self.streams / self.seconds:.1f}",
            f"{self.age(0.5):.0f}",
            f"{self.age(0.95):.0f}",
            f"{self.first(0.5):.0f}",
            f"{self.seconds:.1f}",
        )

    def burst_row(self) -> str:
        kept = "–" if self.stored is None else f"{self.stored}/{self.streams}"
        figures = (self.first(0.5), self.first(0.95), self.age(0.95), 1000 * self.cpu / self.streams)
        shown = f"{self.whole}/{self.streams}"
        return line(self.app, self.streams, shown, kept, *(f"{figure:.0f}" for figure in figures))


STREAMS_HEAD = (
    *("app", "streams", "history", "tokens shown", "whole answers shown", "stored", "server CPU ms a token"),
    *("paints a second", "age p50 ms", "age p95 ms", "first token p50 ms", "wall s"),
)
BURSTS_HEAD = (
    *("app", "starts in a second", "whole answers shown", "stored", "first token p50 ms"),
    *("first token p95 ms", "age p95 ms", "server CPU ms a turn"),
)


TURNS_HEAD = ("app", "turns in ten seconds", "first token p50 ms", "server CPU ms a turn")
TURNS, _FEW = 200, 2  # turns, and tokens of each: what a turn costs beside its tokens


def line(*cells: object) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"


def quantile_of(values: list[float], quantile: float) -> float:
    return values[min(len(values) - 1, int(quantile * len(values)))] if values else float("nan")


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


@contextlib.contextmanager
def process(*command: str, port: int, python: str = sys.executable) -> Iterator[subprocess.Popen[bytes]]:
    """Runs a server until the block ends; waits until it listens."""
    env = {**os.environ, "PYTHONPATH": str(HERE.parent)}
    with tempfile.TemporaryFile() as log:
        child = subprocess.Popen([python, *command], stdout=log, stderr=log, env=env)
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
            try:
                child.wait(30)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
                raise


@dataclass(frozen=True)
class App:
    """One of the apps that are compared.

    command: how it is run, by which Python, and where it is once it listens. driver: how it is driven.
    """

    name: str
    port: int
    command: tuple[str, ...]
    python: str = sys.executable
    driver: str = "page_driver.py"

    def measure(self, pid: int, streams: int, history: int, tokens: int, within: float) -> Run:
        quick = "quick" if self.name == "chatlab" else ""
        asked = (f"http://127.0.0.1:{self.port}", pid, streams, history, quick, within, tokens)
        driver = [self.python, str(HERE / self.driver), *map(str, asked)]
        done = subprocess.run(driver, capture_output=True, text=True, timeout=400, check=False)
        if done.returncode:
            raise RuntimeError(done.stderr)
        seen = json.loads(done.stdout)
        return Run(
            self.name, streams, history, sum(seen["tokens"]), streams * tokens, seen["ages"], seen["firsts"],
            seen["events"], seen["cpu"], seen["seconds"], seen["whole"], seen["stored"],
        )  # fmt: skip

    def run(self, streams: int, history: int, tokens: int, within: float) -> Run:
        """A fresh process each time, so that no run pays for what an earlier one left behind."""
        with process(*self.command, port=self.port, python=self.python) as server:
            self.measure(server.pid, 1, 0, tokens, 0.02)  # imports, first connections
            return self.measure(server.pid, streams, history, tokens, within)


def chainlit(folder: Path, upstream: str, model: str) -> App:
    """Chainlit in an environment of its own, which is made first."""
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        wanted = ["chainlit>=2,<3", "openai>=3.50,<4", "python-socketio[asyncio_client]"]
        subprocess.run([str(python), "-m", "pip", "install", "-q", *wanted], check=True)
    port = free_port()
    os.environ |= {"BENCH_UPSTREAM": upstream, "BENCH_MODEL": model, "CHAINLIT_APP_ROOT": tempfile.mkdtemp()}
    app = str(HERE / "chainlit_app.py")
    command = ("-m", "chainlit", "run", app, "--headless", "--port", str(port))
    return App("chainlit", port, command, str(python), "chainlit_driver.py")


def chatlab_app(upstream: str, model: str, more: str = "") -> App:
    """chatlab, asking this model. more: lines of configuration beside those that every benchmark has."""
    port = free_port()
    config = Path(tempfile.mkdtemp()) / "bench.yaml"
    config.write_text(CHATLAB.format(model=model, upstream=upstream) + more)
    serve = f"from chatlab.web.server import serve; serve({str(config)!r}, port={port})"
    return App("chatlab", port, ("-c", serve))


def apps_of(upstream: str, model: str, chainlit_folder: Path | None) -> list[App]:
    """The apps that are compared, asking this model."""
    plain_port = free_port()
    return [
        App("plain", plain_port, (str(HERE / "plain_app.py"), str(plain_port), upstream, model)),
        *([chainlit(chainlit_folder, upstream, model)] if chainlit_folder else []),
        chatlab_app(upstream, model),
    ]


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
    parser.add_argument("--streams", type=int, nargs="*", default=[1, 20, 50, 100])
    parser.add_argument("--bursts", type=int, nargs="*", default=[50, 100])
    parser.add_argument("--skip-history", action="store_true")
    parser.add_argument("--chainlit", type=Path, help="the folder of Chainlit's virtual environment")
    args = parser.parse_args()
    tokens = int(args.seconds * RATE)
    upstream_port = free_port()
    upstream = f"http://127.0.0.1:{upstream_port}/v1"
    apps = apps_of(upstream, f"{tokens}-{RATE}", args.chainlit)
    loads = [(streams, 0) for streams in args.streams]
    if not args.skip_history:
        loads += [(4, 0), (4, 400)]
    load = os.getloadavg()[0]
    print(f"{RATE} tokens/s a stream, {tokens} tokens an answer, {os.cpu_count()} cores, load {load:.1f}\n")
    runs: dict[tuple[str, int, int], Run] = {}
    with process(str(HERE / "upstream.py"), str(upstream_port), port=upstream_port):
        print(line(*STREAMS_HEAD) + "\n" + "| --- " * len(STREAMS_HEAD) + "|")
        for streams, history in loads:
            for app in apps:
                if app.name == "chainlit" and history:
                    continue
                within = 0.02 * streams
                runs[app.name, streams, history] = run = app.run(streams, history, tokens, within)
                print(run.row(), flush=True)
        print("\n" + line(*BURSTS_HEAD) + "\n" + "| --- " * len(BURSTS_HEAD) + "|")
        bursts = [app.run(starts, 0, tokens, 1.0) for starts in args.bursts for app in apps]
        print("\n".join(run.burst_row() for run in bursts), flush=True)
        print("\n" + line(*TURNS_HEAD) + "\n" + "| --- " * len(TURNS_HEAD) + "|")
        for app in apps_of(upstream, f"{_FEW}-1000", args.chainlit):
            run = app.run(TURNS, 0, _FEW, 10.0)
            print(line(app.name, TURNS, f"{run.first(0.5):.0f}", f"{1000 * run.cpu / TURNS:.1f}"), flush=True)
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
    if any(run.lost for run in [*runs.values(), *bursts] if run.app == "chatlab"):
        sys.exit("chatlab lost tokens that were sent")


if __name__ == "__main__":
    main()
