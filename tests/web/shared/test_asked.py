"""What is noted of every turn: who asked which backend as whom, and that they may not ask without end."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from chatlab.cli import main
from chatlab.identity.passwords import password_hash
from tests.web.identity.gates.test_passwords import PASSWORD, opened, sent
from tests.web.identity.people import somebody
from tests.web.identity.test_sign_in import ask
from tests.web.pages import Served

CONFIG = """backends: {{echo: {{kind: echo}}, other: {{kind: echo}}}}
limits: {{tokens_a_day: {{visitor: 3}}}}
auth:
  type: basic
  audit: audit.jsonl
  users: {{ann: {{hash: '{hash}'}}, bob: {{hash: '{hash}', email: bob@example.org}}}}
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("asked") / "config.yaml"
    file.write_text(CONFIG.format(hash=password_hash(PASSWORD)), "utf-8")
    return file


@pytest.fixture(scope="module")
def served(file: Path) -> Iterator[Served]:
    page = Served(file)
    yield page
    page.stop()


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (file.parent / "audit.jsonl").read_text("utf-8").splitlines()]


def test_who_came_and_went_and_who_asked_what_as_whom_is_written_and_read(served: Served, file: Path) -> None:
    with somebody(served.url) as bob:
        sent(bob, opened(bob), "bob", "a wrong password")
        assert sent(bob, opened(bob), "bob").status_code == 303
        assert "zebra" in ask(bob, "zebra", "hash-of-bob")
        lanes = {"lanes": [{"backend": "echo"}, {"backend": "other"}]}
        session = bob.post("/-/compare/sessions", json=lanes).json()["id"]
        refused = bob.post(f"/-/compare/sessions/{session}/ask", json={"text": "zebra zebra"})
        while bob.get(f"/-/compare/sessions/{session}").json()["running"]:
            time.sleep(0.05)
        bob.post("/-/sign-out", headers={"origin": served.url})
    while (said := lines(file))[-1]["event"] != "signed out":
        time.sleep(0.05)  # nobody waits for the log's disk, but this test
    assert refused.is_success
    told = [(one["event"], one.get("name"), one.get("backend"), one.get("as")) for one in said]
    who = "bob@example.org"
    assert told[0] == ("refused", "bob", None, None) and told[1] == ("signed in", who, None, None)
    assert told[2] == ("asked", who, "echo", "the service")
    assert {one[2] for one in told[3:5]} == {"echo", "other"} and told[-1][:2] == ("signed out", who)
    assert "zebra" not in str(said) and "password" not in str(told)
    shown = CliRunner().invoke(main, ["users", "audit", str(file)], prog_name="chatlab")
    assert len(shown.stdout.splitlines()) == len(said) and "as: the service" in shown.stdout
    person = ["--person", str(said[1]["person"])]
    own = CliRunner().invoke(main, ["users", "audit", str(file), *person], prog_name="chatlab")
    assert len(own.stdout.splitlines()) == len(said) - 1


def test_whose_tokens_of_a_day_are_used_up_reads_so_and_nobody_else_does(served: Served) -> None:
    with somebody(served.url) as ann:
        assert sent(ann, opened(ann), "ann").status_code == 303
        assert "one two" in ask(ann, "one two", "hash-of-ann")
        said = ask(ann, "three", "hash-of-ann")
        for own in ('\\">three<', '\\"three\\"', '"three"'):  # what she wrote, as the page shows it
            said = said.replace(own, "")
        assert "may take 3 tokens a day" in said and "three" not in said
