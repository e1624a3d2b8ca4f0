"""`chatlab users`, as a shell sees it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from chatlab.cli import main
from chatlab.cli.program import FAILED, OK, USAGE
from chatlab.store import now
from chatlab.store.sign_ins import StoredSignIn
from chatlab.store.sql import open_store


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lab.yaml").write_text("backends: {a: {kind: echo}}\n")
    monkeypatch.chdir(tmp_path)


def run(*args: str) -> Result:
    return CliRunner().invoke(main, ["users", *args], prog_name="chatlab")


async def signed_in(*people: str) -> None:
    store, moment = await open_store("sqlite:.chatlab/chatlab.db"), now()
    for number, owner in enumerate(people):
        name = f"{owner}\x1b[31m\nother"
        ends = moment + timedelta(hours=1)
        await store.sign_ins.add(StoredSignIn(str(number), owner, name, "sealed", moment, moment, ends))
    await store.aclose()


def test_who_is_signed_in_is_listed_and_ended() -> None:
    assert run("list", "lab.yaml").stderr == "chatlab: nobody is signed in\n"
    asyncio.run(signed_in("person-ann", "person-ann", "person-bob"))
    listed = run("list", "lab.yaml")
    assert listed.exit_code == OK and len(listed.stdout.splitlines()) == 3
    assert "sealed" not in listed.stdout and "\x1b" not in listed.stdout
    ended = run("end", "lab.yaml", "--person", "person-ann")
    assert (ended.exit_code, ended.stdout.startswith("ended 2 sessions;")) == (OK, True)
    assert [line.split("\t")[0] for line in run("list", "lab.yaml").stdout.splitlines()] == ["person-bob"]
    assert run("end", "lab.yaml", "--person", "person-ann").exit_code == FAILED


def test_whom_to_end_is_said() -> None:
    assert run("end", "lab.yaml").exit_code == USAGE
    assert run("list", "lab.yaml", "--person", "x").exit_code == USAGE
