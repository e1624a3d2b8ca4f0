"""A Hugging Face Space: `requirements.txt` alone is installed, then app.py runs from the checkout."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
import tomllib
import urllib.request
import venv
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
MAKE = "python -m tests.test_space > requirements.txt"


def requirements() -> str:
    """What requirements.txt should say: the project's own dependencies (a Space cannot install `-e .`)."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        dependencies = tomllib.load(file)["project"]["dependencies"]
    head = f"# Generated from pyproject.toml for a Hugging Face Space: {MAKE}\n"
    return head + "\n".join(sorted(dependencies, key=str.lower)) + "\n"


def test_requirements_are_the_projects_own() -> None:
    assert (ROOT / "requirements.txt").read_text() == requirements(), f"run: {MAKE}"


def test_the_readme_carries_the_spaces_front_matter() -> None:
    front = (ROOT / "README.md").read_text("utf-8").split("---\n")[1]
    said = yaml.safe_load(front)
    assert (said["sdk"], said["app_file"]) == ("gradio", "app.py")
    newest = Requirement(next(line for line in requirements().splitlines() if line.startswith("gradio")))
    assert newest.specifier.contains(said["sdk_version"])


def closure(names: list[str]) -> set[str]:
    """The installed distributions that these requirements bring, by name."""
    found: set[str] = set()
    todo = [Requirement(name) for name in names]
    while todo:
        requirement = todo.pop()
        key = re.sub(r"[-_.]+", "-", requirement.name).lower()
        extras = requirement.extras or {""}
        if requirement.marker and not any(requirement.marker.evaluate({"extra": e}) for e in extras):
            continue
        try:
            brings = distribution(key).requires or []
        except PackageNotFoundError:
            continue
        if key in found and not requirement.extras:
            continue
        found.add(key)
        for text in brings:
            needed = Requirement(text)
            if needed.marker is None or any(needed.marker.evaluate({"extra": e}) for e in extras):
                todo.append(needed)
    return found


def install(names: set[str], environment: Path) -> Path:
    """An environment that has these installed distributions and nothing else."""
    venv.create(environment, with_pip=False, symlinks=True)
    site = next(environment.glob("lib/python*/site-packages"))
    for name in names:
        for file in distribution(name).files or []:
            top = file.parts[0]
            target = Path(distribution(name).locate_file(top))  # type: ignore[arg-type]
            if top != ".." and not (site / top).exists() and target.exists():
                (site / top).symlink_to(target)
    return environment / "bin" / "python"


@pytest.fixture(scope="module")
def space_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    names = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if line[0] != "#"]
    return install(closure(names), tmp_path_factory.mktemp("space") / "env")


def test_a_space_has_nothing_but_its_requirements(space_python: Path) -> None:
    code = "from importlib.util import find_spec; print(*map(find_spec, ('pytest', 'databricks', 'chatlab')))"
    ran = subprocess.run([space_python, "-c", code], capture_output=True, text=True, cwd="/", check=True)
    assert ran.stdout.strip() == "None None None"


def test_a_space_answers(space_python: Path, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "SYSTEM": "spaces",
        "SPACE_ID": "someone/chatlab",
        "SPACE_AUTHOR_NAME": "someone",
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_SERVER_NAME": "127.0.0.1",
        "GRADIO_ANALYTICS_ENABLED": "False",
    }
    log = (tmp_path / "log").open("w+")
    space = subprocess.Popen([space_python, ROOT / "app.py"], cwd=tmp_path, env=env, stdout=log, stderr=log)
    try:
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 110
        while True:
            try:
                with urllib.request.urlopen(url, timeout=5) as reply:
                    page = reply.read().decode()
                break
            except OSError:
                assert space.poll() is None and time.monotonic() < deadline, (tmp_path / "log").read_text()
                time.sleep(0.1)
        assert "chatlab" in page
        from gradio_client import Client

        client = Client(url, verbose=False, analytics_enabled=False)
        try:
            answer = client.predict({"text": "hello space", "files": []}, "echo", "", api_name="/chat")
        finally:
            client.close()
        assert any("hello space" in str(message["content"]) for message in answer)
    finally:
        space.terminate()
        space.wait(20)
        log.close()


if __name__ == "__main__":
    sys.stdout.write(requirements())
