"""What `telemetry:` costs a turn: off, on with a collector, and on with a collector that does not answer.

Servers are asked in pairs: one with telemetry off and another are asked turns of two tokens at the same
time, so that whatever else the machine does slows down both; then the next pair, and so on, some rounds.
What counts is the median of the rounds' ratios, and the interval of that; a pair that both has it off says
how far from 1 a ratio is by chance alone. The CPU is that of the whole process, all threads, from the first
turn until some seconds after the last, when what is told of it has been sent. The collector takes what is
sent, and answers; the one that is away takes connections and never answers.

    python benchmarks/telemetry.py            # nine minutes
    python benchmarks/telemetry.py --rounds 2 --turns 100
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import socket
import statistics
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from streaming import App, chatlab_app, free_port, line, process

_MODEL = "2-1000"  # tokens of an answer, and how many a second
_RATE = 20  # turns a second
_AFTER = 6.0  # seconds: spans are sent every five
_HEAD = (
    *("telemetry", "CPU ms a turn of off", "its own", "median ratio", "95 % interval of that", "all ratios"),
    *("first token p50 ms", "resident MB before", "after"),
)


class _Takes(BaseHTTPRequestHandler):
    """Answers 200 to whatever is sent."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


@contextlib.contextmanager
def collector() -> Iterator[str]:
    """Run a collector; yield its address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Takes) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.1,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


@contextlib.contextmanager
def silent() -> Iterator[str]:
    """Listen and never answer; yield the address."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def resident(pid: int) -> float:
    """Return the memory of a process that is resident, in MB."""
    said = Path(f"/proc/{pid}/status").read_text()
    return int(next(row for row in said.splitlines() if row.startswith("VmRSS")).split()[1]) / 1000


@dataclass
class Measured:
    """One server. ms: its CPU a turn, by round; firsts: the median ms to the first token, by round."""

    app: App
    pid: int
    ms: list[float] = field(default_factory=list)
    firsts: list[float] = field(default_factory=list)
    before: float = 0.0

    def round(self, turns: int) -> None:
        """Ask it so many turns."""
        run = self.app.measure(self.pid, turns, 0, 2, turns / _RATE)
        assert not run.lost, "tokens that were sent are missing"
        self.ms.append(1000 * run.cpu / turns)
        self.firsts.append(run.first(0.5))


def interval(values: list[float]) -> tuple[float, float]:
    """Return between what the median of such values is, in 95 of 100 drawings from these."""
    draw = random.Random(0)
    medians = sorted(statistics.median(draw.choices(values, k=len(values))) for _ in range(2_000))
    return medians[50], medians[-51]


def row(name: str, one: Measured, off: list[float]) -> str:
    """Return a server's line of the table. off: CPU of the server with telemetry off, at the same times."""
    ratios = [mine / other for mine, other in zip(one.ms, off, strict=True)]
    low, high = interval(ratios)
    return line(
        name,
        f"{statistics.median(off):.2f}",
        f"{statistics.median(one.ms):.2f}",
        f"{statistics.median(ratios):.3f}",
        f"{low:.3f} to {high:.3f}",
        f"{min(ratios):.3f} to {max(ratios):.3f}",
        f"{statistics.median(one.firsts):.0f}",
        f"{one.before:.0f}",
        f"{resident(one.pid):.0f}",
    )


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--turns", type=int, default=200)
    args = parser.parse_args()
    port = free_port()
    upstream = f"http://127.0.0.1:{port}/v1"
    with contextlib.ExitStack() as running:
        running.enter_context(process(str(Path(__file__).parent / "upstream.py"), str(port), port=port))
        there, away = running.enter_context(collector()), running.enter_context(silent())

        def server(more: str = "") -> Measured:
            app = chatlab_app(upstream, _MODEL, more)
            one = Measured(app, running.enter_context(process(*app.command, port=app.port)).pid)
            app.measure(one.pid, 20, 0, 2, 1.0)  # imports, first connections
            one.before = resident(one.pid)
            return one

        # Each has an "off" of its own, which has answered as much as itself: a turn costs more later on.
        pairs = {
            "off, too": (server(), server()),
            "on": (server(), server(f"telemetry: {{otlp: '{there}'}}\n")),
            "on, collector away": (server(), server(f"telemetry: {{otlp: '{away}'}}\n")),
        }
        os.environ["BENCH_AFTER"] = str(_AFTER)
        with ThreadPoolExecutor(2) as at_once:
            for number in range(args.rounds):
                for pair in pairs.values():
                    list(at_once.map(lambda one: one.round(args.turns), pair[:: (-1) ** number]))
        load = os.getloadavg()[0]
        print(f"{args.rounds} rounds of {args.turns} turns, {os.cpu_count()} cores, load {load:.1f}\n")
        print(line(*_HEAD) + "\n" + "| --- " * len(_HEAD) + "|")
        for name, (off, one) in pairs.items():
            print(row(name, one, off.ms))


if __name__ == "__main__":
    main()
