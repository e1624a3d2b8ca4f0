"""Commands against a real upstream: what it is sent, that it sees who leaves, what a probe finds."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from chatlab.cli import main
from tests.servers.front import Front
from tests.servers.llama import LlamaServer

ROOT = Path(__file__).resolve().parents[2]
KEY = "sk-never-to-be-shown-0123456789"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, front: Front) -> Path:
    config = f"""\
backends:
  local: {{kind: openai, base_url: "{front.url}/v1", model: MODEL, api_key: {{env: CHATLAB_TEST_KEY}}}}
  echo: {{kind: echo}}
  absent: {{kind: openai, model: m, api_key: {{env: CHATLAB_TEST_ABSENT}}}}
"""
    (tmp_path / "lab.yaml").write_text(config)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CHATLAB_TEST_KEY", KEY)
    return tmp_path


def run(*args: str, input: str = "") -> Result:
    return CliRunner().invoke(main, args, input=input, prog_name="chatlab")


def start(*args: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", "chatlab", *args],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def test_an_answer_of_a_model(front: Front, llama: LlamaServer) -> None:
    done = run("chat", "lab.yaml", "-b", "local", "hello", "--system", "be brief", "-p", "max_tokens=64")
    assert (done.stdout.strip(), done.exit_code) == (llama.text.strip(), 0)
    sent = front.last.json
    assert sent["messages"] == [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "hello"},
    ]
    assert (sent["stream"], front.last.headers["authorization"]) == (True, f"Bearer {KEY}")


@pytest.mark.parametrize("args", [[], ["--json"]])
@pytest.mark.parametrize("how", ["ctrl-c", "closed pipe"])
def test_whoever_leaves_closes_the_upstream(front: Front, args: list[str], how: str) -> None:
    front.delay = 0.05
    with start("chat", "lab.yaml", "-b", "local", *args, "tell me ENDLESS things") as process:
        assert process.stdout is not None and process.stderr is not None
        shown = b""
        while len(shown) < 10 or (args and b'"text"' not in shown):
            shown += os.read(process.stdout.fileno(), 1000)
        left = time.perf_counter()
        if how == "ctrl-c":
            process.send_signal(signal.SIGINT)
        else:
            process.stdout.close()
        assert front.last.closed.wait(5), "the upstream sees it"
        errors = process.stderr.read()
        process.wait(timeout=60)
    assert shown
    assert process.returncode == (130 if how == "ctrl-c" else 141)
    assert errors == (b"stopped\n" if how == "ctrl-c" and not args else b"")
    assert front.last.closed_at is not None
    if how == "ctrl-c":
        assert front.last.closed_at - left < 1


def test_ctrl_c_while_nothing_arrives_closes_the_upstream(front: Front) -> None:
    front.hang()
    with start("chat", "lab.yaml", "-b", "local", "hello") as process:
        asyncio.run(front.wait_for(1, 20))
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=60)
    assert front.last.closed.wait(5)
    assert (out, errors, process.returncode) == (b"", b"stopped\n", 130)


def test_ctrl_c_while_recording_keeps_what_was_recorded(front: Front, folder: Path) -> None:
    front.delay = 0.05
    (folder / "p.txt").write_text("ENDLESS\nnever asked\n")
    with start("record", "lab.yaml", "-b", "local", "--prompts", "p.txt", "-o", "out.jsonl") as process:
        asyncio.run(front.wait_for(1, 20))
        assert front.last.started.wait(10)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert front.last.closed.wait(5)
    assert process.returncode == 130 and b"Traceback" not in errors
    lines = [json.loads(line) for line in (folder / "out.jsonl").read_text().splitlines()]
    assert lines[1]["type"] == "prompt" and len(front.requests) == 1


def test_a_refused_key_is_a_sentence_without_the_key(front: Front) -> None:
    body = {"error": {"message": f"Incorrect API key provided: {KEY}.", "code": "invalid_api_key"}}
    front.fail(401, body, headers={"x-seen": KEY})  # which the HTTP library logs
    done = run("--debug", "chat", "lab.yaml", "-b", "local", "hello")
    assert done.exit_code == 1
    assert "check the backend's key or token" in done.stderr.splitlines()[-1]
    assert "Traceback" in done.stderr and "x-seen" in done.stderr
    assert KEY not in done.stderr


def test_the_key_is_not_in_the_log(front: Front) -> None:
    done = run("--debug", "chat", "lab.yaml", "-b", "local", "hello", "-p", "max_tokens=4")
    assert done.exit_code == 0
    assert "DEBUG" in done.stderr and KEY not in done.stderr and KEY[3:] not in done.stderr


def checked(*args: str) -> tuple[int, dict[str, Any]]:
    done = run("check", "--json", *args)
    assert done.stderr == ""
    return done.exit_code, json.loads(done.stdout)


def test_a_check_says_what_is_ready_and_what_is_to_be_done() -> None:
    done = run("check", "lab.yaml")
    assert done.stdout == (
        "lab.yaml is valid\n"
        "ready      local   openai\n"
        "ready      echo    echo\n"
        "not ready  absent  openai  set CHATLAB_TEST_ABSENT\n"
        "2 of 3 ready\n"
    )
    assert done.exit_code == 0, "one that is ready is enough for a configuration"


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (["lab.yaml"], 0),
        (["lab.yaml", "echo"], 0),
        (["lab.yaml", "absent"], 4),
        (["lab.yaml", "echo", "absent"], 4),
        (["lab.yaml", "--strict"], 4),
        (["echo:"], 0),
        (["echo:", "openai:m"], 4),
    ],
)
def test_the_exit_code_says_whether_what_was_named_is_ready(args: list[str], code: int) -> None:
    assert checked(*args)[0] == code


def test_a_check_without_a_probe_asks_nobody(front: Front) -> None:
    run("check", "lab.yaml")
    assert front.requests == []


def test_a_probe_finds_a_server_and_its_model(front: Front, folder: Path, llama: LlamaServer) -> None:
    code, report = checked("lab.yaml", "local", "--probe")
    [found] = report["backends"]
    assert (found["probe"]["reachable"], found["probe"]["model_known"]) == (True, False)
    assert (found["state"], code) == ("failed", 1), "the server does not have the model MODEL"
    known = json.loads(run("check", "--json", "lab.yaml", "echo").stdout)
    assert known["valid"] and known["config"] == "lab.yaml"
    assert front.last.path == "/v1/models" and front.last.headers["authorization"] == f"Bearer {KEY}"
    assert 0 < found["seconds"] < 30


def test_a_probe_that_fails_says_why_and_is_1(front: Front) -> None:
    front.fail(401, {"error": {"message": f"bad key {KEY}"}})
    done = run("check", "lab.yaml", "local", "echo", "--probe")
    first, second = done.stdout.splitlines()[1:3]
    assert first.startswith("failed     local  openai  ") and "check the backend's key" in first
    assert second.startswith("ready      echo   echo    reachable, model known, ")
    assert KEY not in done.stdout + done.stderr
    assert done.exit_code == 1


def test_a_probe_waits_no_longer_than_it_may(front: Front) -> None:
    front.hang()
    code, report = checked("lab.yaml", "local", "--probe", "--timeout", "1")
    assert report["backends"][0]["reason"] == "no reply within 1 s"
    assert code == 1
    assert front.last.closed.wait(5), "the upstream sees that nobody waits any more"


def test_a_server_that_is_not_there_is_a_finding(folder: Path) -> None:
    config = "backends: {gone: {kind: openai, model: m, base_url: 'http://127.0.0.1:9/v1'}}\n"
    (folder / "gone.yaml").write_text(config)
    done = run("check", "gone.yaml", "--probe")
    assert done.exit_code == 1
    assert done.stdout.splitlines()[1].startswith("failed  ") or "failed" in done.stdout


def test_a_wrong_configuration_is_json_too(folder: Path) -> None:
    (folder / "bad.yaml").write_text("backends: {}\nmodle: 1\n")
    done = run("check", "--json", "bad.yaml")
    report = json.loads(done.stdout)
    assert report["valid"] is False and len(report["problems"]) >= 1
    assert all(problem.startswith("bad.yaml:") for problem in report["problems"])
    assert done.exit_code == 3


def test_the_kinds_are_listed() -> None:
    kinds = {kind["kind"]: kind for kind in json.loads(run("backends", "--json").stdout)}
    assert list(kinds)[:6] == ["echo", "replay", "openai", "langchain", "huggingface", "databricks"]
    assert kinds["openai"]["address"] == "openai:MODEL" and kinds["openai"]["installed"] is True
    assert all(kind["description"] and kind["problem"] is None for kind in kinds.values())
    shown = run("backends").stdout
    assert all(kind["description"] in shown for kind in kinds.values())


def test_a_kind_whose_sdk_is_missing_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.util import find_spec

    monkeypatch.setattr(
        "importlib.util.find_spec",
        lambda name, *rest: None if name.startswith("databricks") else find_spec(name, *rest),
    )
    assert "not installed: pip install -e '.[databricks]'" in run("backends").stdout
