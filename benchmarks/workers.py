"""A run by the workers of a Ray cluster, one of which is killed in its midst.

Starts a counting upstream, then `chatlab compare --engine ray --workers 2`, which starts a Ray of its own on
this machine, and kills one worker (SIGKILL) once a third of the answers is written. Then the same run with
the engine `local`. Prints how often prompts were asked and what the ledger of the budget has, and whether
what docs/scale.md promises holds: nothing that is finished is lost, or asked and paid for again, and the
results are those of the other engine. Leaves with 1 if that does not hold.

    python benchmarks/workers.py                  # 2,000 prompts: two minutes
    python benchmarks/workers.py --prompts 300
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))  # a bare checkout will do

from tests.compare.batch.upstream import Upstream
from tests.servers.front import Front

CONFIG = """
backends:
  m:
    kind: openai
    base_url: "{url}/v1"
    model: m
    prices: {{input: 1, output: 1}}
    parameters: {{max_tokens: 16}}
storage: none
"""
TIMES = {"created", "timing", "arrivals", "id", "parent", "lane"}  # what differs between any two runs


def main() -> int:
    """Run it, and return the exit code."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--prompts", type=int, default=2000)
    asked.add_argument("--concurrency", type=int, default=16)
    options = asked.parse_args()
    with tempfile.TemporaryDirectory() as place, Front() as front:
        folder = Path(place)
        upstream = Upstream(front, lambda body: f"said of {body['messages'][-1]['content']}")
        upstream.seconds = 0.1
        (folder / "c.yaml").write_text(CONFIG.format(url=front.url))
        (folder / "p.txt").write_text("".join(f"prompt {n}\n" for n in range(options.prompts)))
        others = processes_of_ray()
        began = time.monotonic()
        workers = begun(folder, "ray", options.concurrency, "--engine", "ray", "--workers", "2")
        killed, in_flight = kill_one(folder / "ray" / "results.jsonl", options.prompts // 3, upstream)
        workers.wait()
        by_ray, took = Counter(upstream.asked), time.monotonic() - began
        began = time.monotonic()
        front.requests.clear()
        begun(folder, "local", options.concurrency).wait()
        by_local, took_local = Counter(upstream.asked), time.monotonic() - began
        ray, local = (results(folder / name / "results.jsonl") for name in ("ray", "local"))
        twice = sum(count - 1 for count in by_ray.values())
        ledger = [json.loads(line) for line in (folder / "ray" / "ledger.jsonl").read_text().splitlines()]
        facts = {
            "prompts": options.prompts,
            "killed worker": killed,
            "calls it was making": f"at most {in_flight}",
            "requests": by_ray.total(),
            "asked a second time": twice,
            "asked more often": sum(count > 2 for count in by_ray.values()),
            "calls in the ledger": sum("aside" in line for line in ledger),
            "seconds with Ray, its start and end included": round(took, 1),
            "seconds without": round(took_local, 1),
        }
        promises = {
            "the run ended well": workers.returncode == 0,
            "one result of each prompt": len(ray) == options.prompts == len(by_ray),
            "what was asked twice was in flight at the kill": 0 < twice <= in_flight,
            "every request is in the ledger": facts["calls in the ledger"] >= by_ray.total(),
            "results equal those of the local engine": ray == local,
            "the local engine asks each once": by_local.total() == options.prompts,
            "nothing of Ray runs any more": not processes_of_ray() - others,
        }
    for name, value in facts.items():
        print(f"{name:46} {value}")
    for name, holds in promises.items():
        print(f"{name:46} {'holds' if holds else 'DOES NOT HOLD'}")
    return 0 if all(promises.values()) else 1


def begun(folder: Path, name: str, concurrency: int, *more: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "chatlab", "compare", "c.yaml", "--lanes", "m", "--prompts", "p.txt"]
    command += ["--out", name, "--seed", "1", "--budget", "100", "--concurrency", str(concurrency), *more]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)


def kill_one(file: Path, lines: int, upstream: Upstream) -> tuple[int, int]:
    """Kill a worker once so many results are written. Return its id, and how many calls ran at the most."""
    while not file.is_file() or file.read_bytes().count(b"\n") < lines:
        time.sleep(0.02)
    killed = min(process for process, title in processes_of_ray() if title.startswith("ray::RayWorker"))
    os.kill(killed, signal.SIGKILL)
    return killed, upstream.at_once[""]


def processes_of_ray() -> set[tuple[int, str]]:
    """Return what runs of Ray on this machine, by id and command line."""
    found = set()
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            with contextlib.suppress(OSError):
                title = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                if title.startswith("ray::") or "/ray/core/src/ray/" in title:
                    found.add((int(process.name), title))
    return found


def results(file: Path) -> dict[str, Any]:
    """Return what was written of each prompt, without what differs between any two runs."""
    found = [without_times(json.loads(line)) for line in file.read_text("utf-8").splitlines()]
    return {one["item"]: one for one in found}


def without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without_times(one) for name, one in value.items() if name not in TIMES}
    return [without_times(one) for one in value] if isinstance(value, list) else value


if __name__ == "__main__":
    sys.exit(main())
