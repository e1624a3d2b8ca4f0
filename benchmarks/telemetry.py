"""What `telemetry:` costs a turn: off, on with a collector, and on with a collector that does not answer.

Each is a server of its own that is asked the same turns of two tokens, one server after the other, several
times; what counts is the least CPU of all times. The collector takes what is sent and answers; the one that
is away takes connections and never answers. Machines are noisy: the ratios of one run mean something, and no
figure by itself.

    python benchmarks/telemetry.py            # three minutes
    python benchmarks/telemetry.py --rounds 2 --turns 100
"""

from __future__ import annotations

import argparse
import contextlib
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from streaming import chatlab_app, free_port, line, process

_MODEL = "2-1000"  # tokens of an answer, and how many a second


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


def main() -> None:
    """Measure, and print a table and the ratios."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--turns", type=int, default=200)
    args = parser.parse_args()
    port = free_port()
    upstream = f"http://127.0.0.1:{port}/v1"
    cpu: dict[str, list[float]] = {}
    firsts: dict[str, list[float]] = {}
    memory: dict[str, tuple[float, float]] = {}
    with contextlib.ExitStack() as running:
        running.enter_context(process(str(Path(__file__).parent / "upstream.py"), str(port), port=port))
        there, away = running.enter_context(collector()), running.enter_context(silent())
        told = {
            "off": "",
            "on": f"telemetry: {{otlp: '{there}'}}\n",
            "away": f"telemetry: {{otlp: '{away}'}}\n",
        }
        apps = {name: chatlab_app(upstream, _MODEL, more) for name, more in told.items()}
        pids = {
            name: running.enter_context(process(*one.command, port=one.port)).pid
            for name, one in apps.items()
        }
        for name, one in apps.items():
            one.measure(pids[name], 20, 0, 2, 1.0)  # imports, first connections
        before = {name: resident(pid) for name, pid in pids.items()}
        for _ in range(args.rounds):
            for name, one in apps.items():
                run = one.measure(pids[name], args.turns, 0, 2, args.turns / 20)
                assert not run.lost, f"{name} lost tokens that were sent"
                cpu.setdefault(name, []).append(1000 * run.cpu / args.turns)
                firsts.setdefault(name, []).append(run.first(0.5))
        memory = {name: (before[name], resident(pid)) for name, pid in pids.items()}
    head = (
        "telemetry",
        "server CPU ms a turn",
        "of off",
        "first token p50 ms",
        "resident MB before",
        "after",
    )
    print(line(*head) + "\n" + "| --- " * len(head) + "|")
    for name, costs in cpu.items():
        ratio, (then, now) = min(costs) / min(cpu["off"]), memory[name]
        figures = (
            f"{min(costs):.2f}",
            f"{ratio:.3f}",
            f"{min(firsts[name]):.0f}",
            f"{then:.0f}",
            f"{now:.0f}",
        )
        print(line(name, *figures))


if __name__ == "__main__":
    main()
