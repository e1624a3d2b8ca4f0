"""`python app.py`: it listens where the configuration says, and says in sentences what is wrong with it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

APP = Path(__file__).parent.parent / "app.py"


def started(config: Path, **variables: str) -> subprocess.Popen[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GRADIO_SERVER_")}
    return subprocess.Popen(
        [sys.executable, "-u", APP],
        env={**kept, "CHATLAB_CONFIG": str(config), **variables},
        cwd=config.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def answers(port: int, app: subprocess.Popen[str]) -> bool:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and app.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}", timeout=5) as reply:
                return "Ported" in reply.read().decode()
        except OSError:
            time.sleep(0.1)
    return False


def test_it_listens_where_the_configuration_says_unless_a_variable_says_otherwise(tmp_path: Path) -> None:
    config, written, named = tmp_path / "lab.yaml", free_port(), free_port()
    config.write_text(
        f"backends: {{e: {{kind: echo}}}}\nui: {{title: Ported}}\nserver: {{port: {written}}}\n"
    )
    first, second = started(config), started(config, GRADIO_SERVER_PORT=str(named))
    try:
        assert answers(written, first)
        assert answers(named, second)
    finally:
        for app in (first, second):
            app.terminate()
            app.communicate(timeout=20)


def test_every_mistake_is_a_line_and_none_a_traceback(tmp_path: Path) -> None:
    config = tmp_path / "lab.yaml"
    config.write_text("backends: {e: {kind: echo, rat: 1}}\ndefalt: e\n")
    with started(config) as app:
        said, _ = app.communicate(timeout=60)
    assert app.returncode == 1
    assert said.splitlines() == [
        f"chatlab: {config}:1:28: backends.e.rat: unknown key, did you mean rate?",
        f"chatlab: {config}:2:1: defalt: unknown key, did you mean default?",
    ]
