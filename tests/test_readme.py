"""The README's Python runs as it stands, in a script and in a notebook."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from pathlib import Path

import pytest

import chatlab

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def snippet() -> str:
    found = re.search(r"## From Python\n\n```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.S)
    assert found is not None
    return found[1]


def test_in_a_script(snippet: str) -> None:
    code = f"{snippet}\nprint(answer.text)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "Hello", done.stderr


async def test_in_a_notebook_whose_loop_runs(snippet: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    names: dict[str, object] = {}

    async def cell() -> None:
        exec(snippet, names)

    await asyncio.create_task(cell())
    assert getattr(names["answer"], "text", None) == "Hello"


def test_every_public_name_is_in_the_reference_of_python() -> None:
    said = set(re.findall(r"^::: chatlab\.(\w+)$", (ROOT / "docs" / "python.md").read_text("utf-8"), re.M))
    assert said == set(chatlab.__all__) - {"__version__"}
