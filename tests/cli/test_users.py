"""`chatlab users`, as a shell sees it."""

from __future__ import annotations

import asyncio
import os
import pty
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from chatlab.cli import main
from chatlab.cli.program import FAILED, OK, USAGE
from chatlab.identity.passwords import is_password
from chatlab.store import LinkReader, NotStored, now
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


def test_the_links_of_somebody_who_is_to_share_no_more_are_ended_with_their_sessions() -> None:
    async def shared() -> list[str]:
        store = await open_store("sqlite:.chatlab/chatlab.db")
        tokens = []
        for owner in ("person-ann", "person-ann", "person-bob"):
            chat = await store.create(owner)
            tokens.append((await store.share(owner, conversation=chat.id, audience=())).token)
        await store.aclose()
        return tokens

    async def read(token: str) -> str:
        store = await open_store("sqlite:.chatlab/chatlab.db")
        try:
            return (await store.shared(token, LinkReader("person-cleo", ())))[0]
        except NotStored:
            return "nowhere"
        finally:
            await store.aclose()

    asyncio.run(signed_in("person-ann", "person-bob"))
    tokens = asyncio.run(shared())
    assert run("end", "lab.yaml", "--person", "person-ann").exit_code == OK
    assert asyncio.run(read(tokens[0])) == "person-ann"
    ended = run("end", "lab.yaml", "--person", "person-ann", "--links")
    assert (ended.exit_code, ended.stdout.splitlines()[0]) == (OK, "ended 2 links")
    assert [asyncio.run(read(token)) for token in tokens] == ["nowhere", "nowhere", "person-bob"]
    assert run("list", "lab.yaml", "--links").exit_code == USAGE


def test_whom_to_end_is_said() -> None:
    assert run("end", "lab.yaml").exit_code == USAGE
    assert run("list", "lab.yaml", "--person", "x").exit_code == USAGE


def test_where_no_audit_log_is_it_is_said_what_to_do() -> None:
    assert "auth.audit says where to" in run("audit", "lab.yaml").stderr
    auth = "auth: {type: databricks_apps, audit: audit.jsonl}\n"
    Path("lab.yaml").write_text("backends: {a: {kind: echo}}\n" + auth)
    missing = run("audit", "lab.yaml")
    assert missing.exit_code == FAILED and "it is there once somebody signed in" in missing.stderr


def test_the_hash_of_a_password_is_printed_and_the_password_is_not() -> None:
    hashed = CliRunner().invoke(main, ["users", "hash"], input="correct horse\n", prog_name="chatlab")
    assert hashed.exit_code == OK and is_password("correct horse", hashed.stdout.strip())
    assert "correct horse" not in hashed.output
    short = CliRunner().invoke(main, ["users", "hash"], input="short\n", prog_name="chatlab")
    assert short.exit_code == FAILED and short.stdout == ""
    assert run("hash", "lab.yaml").exit_code == USAGE


def test_a_password_is_typed_twice_and_never_shown(tmp_path: Path) -> None:
    leader, follower = pty.openpty()
    shown = b""
    with subprocess.Popen(
        [sys.executable, "-m", "chatlab", "users", "hash"],
        stdin=follower, stderr=follower, stdout=subprocess.PIPE, start_new_session=True,
    ) as running:  # fmt: skip
        os.close(follower)
        for prompt in (b"Password: ", b"Repeat for confirmation: "):
            while not shown.endswith(prompt):
                shown += os.read(leader, 1_000)
            os.write(leader, b"correct horse\n")
        assert running.stdout is not None
        hashed = running.stdout.read().decode().strip()
    os.close(leader)
    assert running.returncode == 0 and is_password("correct horse", hashed)
    assert b"horse" not in shown
