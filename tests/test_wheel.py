"""A wheel, built and installed elsewhere, has all that a checkout's commands need."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.test_space import ROOT, closure, install, requirements


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def elsewhere(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with the wheel and what it requires, and nothing of this checkout."""
    needed = [line for line in requirements().splitlines() if not line.startswith("#")]
    environment = tmp_path_factory.mktemp("elsewhere") / "env"
    python = install(closure(needed), environment)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(next(environment.glob("lib/python*/site-packages")))
    return python


def run(python: Path, folder: Path, *arguments: str) -> str:
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "GRADIO_ANALYTICS_ENABLED": "False"}
    done = subprocess.run(
        [python, "-m", "chatlab", *arguments], cwd=folder, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_file_of_the_packages_is_in_the_wheel(wheel: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "chatlab", "backends"], cwd=ROOT, capture_output=True, text=True
    )
    tracked = set(listed.stdout.split()) or {
        str(file.relative_to(ROOT))
        for package in ("chatlab", "backends")
        for file in (ROOT / package).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    with zipfile.ZipFile(wheel) as archive:
        assert tracked <= set(archive.namelist())


def test_its_commands_work_in_any_folder(elsewhere: Path, tmp_path: Path) -> None:
    assert run(elsewhere, tmp_path, "chat", "echo", "hello from a wheel").strip() == "hello from a wheel"
    assert "echo" in run(elsewhere, tmp_path, "backends")
    run(elsewhere, tmp_path, "check")
    run(elsewhere, tmp_path, "init")
    assert (tmp_path / "chatlab.yaml").is_file()


def test_its_page_has_its_scripts_and_styles(elsewhere: Path, tmp_path: Path) -> None:
    code = """
import asyncio, chatlab
from pathlib import Path
from chatlab.cli.target import default_config
from chatlab.web.server import create_app
from starlette.testclient import TestClient

with TestClient(create_app(chatlab.load(default_config())), base_url="http://127.0.0.1:7860") as browser:
    print(browser.get("/").status_code, browser.get("/compare").status_code)
"""
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "GRADIO_ANALYTICS_ENABLED": "False"}
    done = subprocess.run([elsewhere, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.stdout.split() == ["200", "200"], done.stderr
