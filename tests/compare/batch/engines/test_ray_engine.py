"""Runs by workers of Ray, as `chatlab compare --engine ray` starts and ends them."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from backends.echo import EchoOptions
from chatlab import __version__
from chatlab.compare.batch.engines.engine import Lost, Meter
from chatlab.compare.batch.engines.ray_engine import RayEngine
from chatlab.config.models import BackendConfig
from chatlab.config.registry import Backends
from chatlab.errors import NotReady
from chatlab.messages import Message
from tests.compare.batch.upstream import Upstream
from tests.servers.front import Front

pytestmark = pytest.mark.heavy

# Of this process alone: by it `of_ray` tells this test's workers from those of one that runs beside it.
KEY = f"sk-only-in-the-environment-{os.getpid():010}"
RPM = 1200  # of the lane `evenly`: a request each 50 ms
PROMPTS = 24
CONFIG = """
storage: none
backends:
  priced:
    {{kind: openai, base_url: "{url}/v1", model: priced, api_key: {{env: CHATLAB_TEST_KEY}}, retries: 0,
      parameters: {{max_tokens: 8}}, prices: {{input: 0, output: 1000000}}}}
  evenly: {{kind: openai, base_url: "{url}/v1", model: evenly, api_key: {{env: CHATLAB_TEST_KEY}}}}
  broken: {{kind: echo, fail: {{after: 1, error: invalid_request}}}}
  mine: {{kind: langchain, object: "mine:answer"}}
"""
MINE = "def answer(messages):\n    return f'mine says {messages[-1].content}'\n"
OF_A_RUN = {"id", "created", "timing", "arrivals", "lane"}  # drawn, or measured


@pytest.fixture
def upstream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Upstream]:
    pytest.importorskip("ray")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("CHATLAB_TEST_KEY", KEY)
    monkeypatch.setenv("RAY_AUTH_TOKEN", "of-this-test-0123456789abcdef0123456789")
    with Front() as front:
        (tmp_path / "lab.yaml").write_text(CONFIG.format(url=front.url))
        (tmp_path / "mine.py").write_text(MINE)
        (tmp_path / "p.txt").write_text("".join(f"prompt {n}\n" for n in range(PROMPTS)))
        found = Upstream(front, lambda body: f"said of {body['messages'][-1]['content']}")
        found.seconds = 0.2
        yield found


def begun(out: str, lanes: str, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "chatlab", "compare", "lab.yaml", "--lanes", lanes, "--prompts", "p.txt"]
    return subprocess.Popen([*command, "--out", out, *more], stderr=subprocess.PIPE, text=True)


def ended(run: subprocess.Popen[str]) -> tuple[int, str]:
    _, said = run.communicate(timeout=100)
    return run.returncode, said


def until_written(file: Path, lines: int) -> None:
    for _ in range(6000):
        if file.is_file() and file.read_bytes().count(b"\n") >= lines:
            return
        time.sleep(0.01)
    pytest.fail(f"{file} has no {lines} lines")


def until_at_once(upstream: Upstream, requests: int) -> None:
    for _ in range(6000):
        if upstream.there >= requests:
            return
        time.sleep(0.01)
    pytest.fail(f"there were no {requests} requests at once")


def of_ray(workers: bool = False) -> set[int]:
    """Return the processes of Ray that their parameters or environment show to be of this test."""
    found = set()
    for process in Path("/proc").iterdir():
        try:
            title = (process / "cmdline").read_bytes()
            ours = KEY.encode() in (process / "environ").read_bytes()
        except OSError:
            continue
        if ours and (title.startswith(b"ray::RayWorker") if workers else b"ray" in title.split(b"\0")[0]):
            found.add(int(process.name))
    return found


def written(folder: str) -> dict[tuple[str, str], Any]:
    """Return the results of a run by prompt and lane, without what is drawn or measured."""
    plan = json.loads(Path(folder, "run.json").read_text())
    label = {lane["id"]: lane["label"] for lane in plan["lanes"]}
    lines = [json.loads(line) for line in Path(folder, "results.jsonl").read_text().splitlines()]
    return {(one["item"], label[one["lane"]]): without(one) for one in lines}


def without(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without(one) for name, one in value.items() if name not in OF_A_RUN}
    return [without(one) for one in value] if isinstance(value, list) else value


def test_a_killed_worker_costs_its_calls_a_second_try_and_the_results_are_the_same(
    upstream: Upstream,
) -> None:
    lanes = "priced,evenly,broken,mine"
    limits = ("--seed", "3", "--concurrency", "8", "--rpm", f"evenly={RPM}", "--budget", "1000")
    run = begun("by-ray", lanes, *limits, "--engine", "ray", "--workers", "2")
    until_written(Path("by-ray/results.jsonl"), PROMPTS)
    until_at_once(upstream, 5)  # of 8 calls, of which each worker makes no more than four
    killed = min(of_ray(workers=True))
    os.kill(killed, signal.SIGKILL)
    code, said = ended(run)
    assert (code, "1 Ray worker died: the calls that were being made were made again" in said) == (1, True)
    assert f"{PROMPTS} answers failed" in said  # those of `broken`, and no others
    asked = Counter(upstream.asked)
    starts = [seen.received_at for seen in upstream.front.requests if seen.json["model"] == "evenly"]
    assert len(asked) == 2 * PROMPTS and max(asked.values()) <= 2
    again = asked.total() - 2 * PROMPTS
    assert 0 < again <= 8  # those that were under way
    ledger = [json.loads(line) for line in Path("by-ray/ledger.jsonl").read_text().splitlines()]
    mine = sum(count for name, count in asked.items() if name.startswith("priced"))
    assert len({line["call"] for line in ledger}) == mine
    assert sum(line.get("cost", 0) for line in ledger) == 5 * PROMPTS + 8 * (mine - PROMPTS)
    # With a limit of its own for each worker, they would be through in half the time.
    assert (len(starts) - 2) * 60 / RPM <= starts[-1] - starts[0]
    files = (*Path("/tmp/ray").rglob("*"), *Path("by-ray").iterdir())
    texts = [file.read_bytes() for file in files if file.is_file()]
    assert len(texts) > 10 and not any(KEY.encode() in text for text in texts)
    assert not of_ray()
    assert ended(begun("here", lanes, *limits[:4]))[0] == 1
    assert written("by-ray") == written("here")


@pytest.fixture
def cluster(upstream: Upstream) -> Iterator[str]:
    """The address of a Ray that runs already."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(Path(sys.executable).with_name("ray")), "start", "--head", "--block"]
    command += ["--port", str(port), "--num-cpus", "2", "--include-dashboard", "false"]
    environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "token"}
    head = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(600):
            with socket.socket() as there:
                if there.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield f"127.0.0.1:{port}"
        assert head.poll() is None
    finally:
        head.terminate()
        head.wait(20)


def test_a_budget_holds_for_all_workers_of_a_cluster_that_goes_on_running(
    upstream: Upstream, cluster: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_ADDRESS", cluster)
    options = ("--concurrency", "6", "--budget", "61", "--engine", "ray", "--workers", "2")
    code, said = ended(begun("run", "priced", *options))
    assert (code, "the budget of 61 has no room for another call" in said) == (5, True), said
    spent = json.loads(Path("run/summary.json").read_text())["spent"]
    assert spent == 5 * len(upstream.asked) == 5 * len(written("run"))
    assert 61 - 8 < spent <= 61
    assert not of_ray(workers=True)


async def test_a_worker_that_does_not_come_back_is_said() -> None:
    """Its handle is of this test: it dies at its first call, and comes back with another chatlab."""
    ray = pytest.importorskip("ray")
    versions = iter((__version__, "0.0"))

    async def ready() -> tuple[str, tuple[str, ...]]:
        return next(versions), ()

    async def begin(*_: object) -> None:
        raise ray.exceptions.RayActorError

    async def more(_: float) -> float | None:
        return None

    handle = SimpleNamespace(ready=SimpleNamespace(remote=ready), begin=SimpleNamespace(remote=begin))
    said: list[str] = []
    engine = RayEngine(ray, [handle], said.append)
    await engine.start()
    backends = Backends({"a": BackendConfig(kind="echo", options=EchoOptions())})
    entry, asked, meter = backends["a"], (Message.of("user", "hello"),), Meter(None, 1.0, more)
    with pytest.raises(Lost, match="died"):
        await engine(entry, asked, {}, None, meter)
    with pytest.raises(NotReady, match="no Ray worker is left"):
        await engine(entry, asked, {}, None, meter)
    assert engine.lost == 1
    assert said == [
        f"one Ray worker less: a Ray worker has chatlab 0.0, and this is {__version__}: install the same"
    ]
