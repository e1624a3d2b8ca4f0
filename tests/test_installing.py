"""What people are told to install works where they read it, and never is the other project named chatlab."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from chatlab.errors import MissingExtra
from chatlab.installing import how_to_install, how_to_install_package
from tests.test_space import ROOT

ASK = "from chatlab.installing import how_to_install; print(how_to_install('databricks'))"


def test_in_a_checkout_it_is_the_checkout_that_is_installed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("SPACE_ID", raising=False)
    monkeypatch.chdir(ROOT)
    assert how_to_install("databricks") == "pip install -e '.[databricks]'"
    monkeypatch.chdir(tmp_path)
    said = how_to_install("databricks")
    assert said == "pip install -e '.[databricks]' in the folder of chatlab's checkout"


def test_from_a_wheel_it_is_the_distribution_by_its_name(tmp_path: Path) -> None:
    copy = tmp_path / "site"
    (copy / "chatlab").mkdir(parents=True)
    for file in ("__init__.py", "installing.py"):
        (copy / "chatlab" / file).write_text((ROOT / "chatlab" / file).read_text("utf-8"), "utf-8")
    env = {"PYTHONPATH": str(copy)}
    done = subprocess.run([sys.executable, "-c", ASK], cwd=copy, env=env, capture_output=True, text=True)
    assert done.stdout == "pip install 'chatlab-workbench[databricks]'\n"


def test_in_a_space_it_is_what_belongs_into_its_requirements(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPACE_ID", "someone/lab")
    said = how_to_install("databricks")
    assert re.fullmatch(r"add databricks-sdk>=\S+ to requirements.txt", said)
    assert str(MissingExtra("databricks", "databricks", "databricks.sdk")).endswith(said)
    assert how_to_install_package("sdk") == "add sdk to requirements.txt"


def test_no_text_of_ours_names_the_other_project() -> None:
    shown = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout.split()
    texts = [ROOT / name for name in shown if name.endswith((".py", ".md", ".yaml", ".toml", ".txt", ".js"))]
    named = re.compile(r"""(?:pip install|uv add|["'`])\s*["'`]?chatlab(?:\[|["'`]?\s*$)""", re.M)
    wrong = [
        f"{file.relative_to(ROOT)}: {found[0]}"
        for file in texts
        if file.is_file() and file != Path(__file__)
        for found in named.finditer(file.read_text("utf-8"))
        if "[" in found[0] or "install" in found[0]
    ]
    assert not wrong
