"""What `chatlab compare` costs for many prompts to three lanes: memory, CPU and rate, on a loopback upstream.

- Memory: the command's peak for a growing number of prompts, and what each prompt more adds to it.
- Rate: calls a second at 200 ms latency and 64 at once, from the first request to the last answer as the
  upstream saw them, beside the ideal of 320. Beside other work on the machine the CPU of a call tells more.
- promptfoo on the same upstream, if it is there: `npm install --no-package-lock promptfoo` in a folder that
  is named with --promptfoo. Its telemetry and its look for updates are off. chatlab streams each answer and
  writes a receipt and a report; promptfoo asks for each answer in one piece.

    python benchmarks/batch.py                                                    # two minutes
    python benchmarks/batch.py --prompts 2000 6000 20000 --promptfoo ~/promptfoo  # ten minutes or more
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))  # a bare checkout will do

from streaming import HERE, free_port, process

LANES = ("a", "b", "c")
AT_ONCE = 64
LATENCY = 0.2  # seconds
IDEAL = AT_ONCE / LATENCY  # calls a second
QUICK = "5-100000"  # what the upstream is told to do: five tokens at once
SLOW = f"{QUICK},wait={LATENCY}"
QUIET = {
    "PROMPTFOO_DISABLE_TELEMETRY": "1",
    "PROMPTFOO_DISABLE_UPDATE": "1",
    "PROMPTFOO_DISABLE_REMOTE_GENERATION": "1",
    "PROMPTFOO_DISABLE_SHARING": "1",
    "CI": "1",
}


@dataclass(frozen=True)
class Cost:
    """What one command came to. peak: bytes of memory at the most. cpu: seconds, of its child processes too.
    rate: calls a second while it asked."""

    calls: int
    peak: int
    cpu: float
    rate: float

    @property
    def cpu_ms_a_call(self) -> float:
        """Return milliseconds; the command's start and end are in it."""
        return 1000 * self.cpu / self.calls


def chatlab(base: str, model: str, prompts: int, judge: bool = False) -> Cost:
    """Ask every lane everything by the command line. judge: have each two answers judged, in both orders."""
    models = {lane: f"{model},name={lane}" for lane in LANES}
    if judge:
        models["judge"] = f"{QUICK},winner=first"
    backends = {name: {"kind": "openai", "model": asked, "base_url": base} for name, asked in models.items()}
    files = {"bench.json": json.dumps({"version": 1, "backends": backends})}
    files["prompts.txt"] = "".join(f"{text}\n" for text in texts(prompts))
    command = [sys.executable, "-m", "chatlab", "compare", "bench.json", "--lanes", ",".join(LANES)]
    command += ["--prompts", "prompts.txt", "--concurrency", str(AT_ONCE), "--out", "run"]
    if judge:
        command += ["--judge", "judge"]
    calls = prompts * (len(LANES) + judge * 2 * len(list(combinations(LANES, 2))))
    return measured(base, command, files, calls, {"PYTHONPATH": str(HERE.parent)})


def promptfoo(base: str, model: str, prompts: int, where: Path) -> Cost:
    """The same by promptfoo, which is installed there."""
    config = {
        "prompts": ["{{prompt}}"],
        "providers": [
            {
                "id": f"openai:chat:{model},name={lane}",
                "label": lane,
                "config": {"apiBaseUrl": base, "apiKey": "none"},
            }
            for lane in LANES
        ],
        "tests": [{"vars": {"prompt": text}} for text in texts(prompts)],
    }
    command = [str(where / "node_modules" / ".bin" / "promptfoo"), "eval", "-c", "config.json", "--no-cache"]
    command += ["--max-concurrency", str(AT_ONCE), "--no-progress-bar", "--no-table", "-o", "out.json"]
    return measured(base, command, {"config.json": json.dumps(config)}, prompts * len(LANES), QUIET)


def texts(prompts: int) -> list[str]:
    """Return different prompts of about eighty characters."""
    return [
        f"Prompt {n}: say in a sentence what stands in row {n} of the table, and why." for n in range(prompts)
    ]


def measured(
    base: str, command: Sequence[str], files: Mapping[str, str], calls: int, env: Mapping[str, str]
) -> Cost:
    """Run a command to its end in a folder with these files. Raises RuntimeError if it or a call failed."""
    served(base)  # what was there before
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            Path(folder, name).write_text(content)
        log = Path(folder, "log.txt")
        with log.open("wb") as out:
            own = {**os.environ, "HOME": folder, **env}
            child = subprocess.Popen(command, cwd=folder, stdout=out, stderr=out, env=own)
            _, status, used = os.wait4(child.pid, 0)  # of it, and of the processes that it waited for
            child.returncode = os.waitstatus_to_exitcode(status)
        asked = served(base)
        if status or len(asked) != calls or any(one["done"] is None for one in asked):
            raise RuntimeError(
                f"{len(asked)} of {calls} calls, {status}:\n{log.read_text('utf-8', 'replace')[-2000:]}"
            )
    seconds = max(one["done"] for one in asked) - min(one["received"] for one in asked)
    return Cost(calls, used.ru_maxrss * 1024, used.ru_utime + used.ru_stime, calls / seconds)


def served(base: str) -> list[dict[str, float]]:
    """Return what the upstream answered since this was last asked."""
    with urllib.request.urlopen(base) as reply:
        found: list[dict[str, float]] = json.load(reply)
    return found


def rate(base: str, prompts: int, where: Path | None) -> tuple[Cost, Cost | None]:
    """Return what chatlab and promptfoo come to at 200 ms latency."""
    ours = chatlab(base, SLOW, prompts)
    if where is None or not (where / "node_modules" / "promptfoo").is_dir() or shutil.which("node") is None:
        print("promptfoo is left out: name the folder that it is installed in with --promptfoo")
        return ours, None
    return ours, promptfoo(base, SLOW, prompts, where)


def memory(base: str, sizes: Sequence[int], *, judge: bool) -> None:
    """Print what runs of these many prompts take, and what each prompt more does."""
    found = []
    for prompts in sizes:
        found.append((prompts, one := chatlab(base, QUICK, prompts, judge)))
        print(
            f"{prompts} prompts x {len(LANES)}{', judged' if judge else ''}: peak {one.peak / 1e6:.0f} MB, "
            f"{one.cpu_ms_a_call:.2f} ms of CPU a call",
            flush=True,
        )
    for (few, a), (many, b) in pairwise(found):
        print(f"{few} to {many}: {(b.peak - a.peak) / (many - few):.0f} bytes a prompt more")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--prompts", type=int, nargs="*", default=[500, 2000], help="for the memory")
    parser.add_argument("--judged", type=int, nargs="*", default=[500], help="for the memory with a judge")
    parser.add_argument("--rate-prompts", type=int, default=1000, help="for rate and CPU")
    parser.add_argument("--promptfoo", type=Path, help="the folder that has it in node_modules")
    args = parser.parse_args()
    for proxy in [name for name in os.environ if name.upper().endswith("_PROXY")]:
        del os.environ[proxy]  # the upstream is on this machine
    port, started = free_port(), time.monotonic()
    base = f"http://127.0.0.1:{port}/v1"
    with process(str(HERE / "upstream.py"), str(port), port=port):
        print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}", flush=True)
        memory(base, args.prompts, judge=False)
        memory(base, args.judged, judge=True)
        if args.rate_prompts:
            ours, theirs = rate(base, args.rate_prompts, args.promptfoo)
            for name, cost in (("chatlab", ours), ("promptfoo", theirs)):
                if cost is not None:
                    print(
                        f"{name}, {cost.calls} calls at {LATENCY:g} s: {cost.rate:.0f} a second "
                        f"({cost.rate / IDEAL:.0%} of the ideal), {cost.cpu_ms_a_call:.2f} ms of CPU a call, "
                        f"peak {cost.peak / 1e6:.0f} MB"
                    )
        print(f"load {os.getloadavg()[0]:.1f}; {time.monotonic() - started:.0f} s in all")


if __name__ == "__main__":
    main()
