"""docs/adding-a-backend.md does what it says: its very text is installed as a package and used."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from chatlab.config.models import BackendConfig
from chatlab.config.registry import Entry
from chatlab.errors import BackendError, BrokenStream, ModelNotFound
from chatlab.messages import Finish, Message, Usage
from chatlab.turns.turn import Turn, run_turn
from tests.servers.front import Front

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "adding-a-backend.md").read_text("utf-8")


def block(language: str, number: int = 0) -> str:
    return str(re.findall(rf"```{language}\n(.*?)```", TEXT, re.S)[number])


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A folder like site-packages, with the package of the page as an installer would leave it there."""
    points = tomllib.loads(block("toml"))["project"]["entry-points"]
    lines = [f"[{group}]\n{name} = {place}\n" for group in points for name, place in points[group].items()]
    info = tmp_path / "chatlab_shout-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: chatlab-shout\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("".join(lines))
    (tmp_path / "chatlab_shout.py").write_text(block("python"))
    (tmp_path / "config.yaml").write_text(block("yaml"))
    return tmp_path


def run(folder: Path, code: str) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_whole_backend_is_under_20_lines() -> None:
    assert len([line for line in block("python").splitlines() if line.strip()]) < 20


def test_it_answers_through_a_configuration(installed: Path) -> None:
    code = """
import asyncio, chatlab
async def main():
    async with chatlab.load("config.yaml") as lab:
        answer = await lab.answer("loud", "hello you")
        print(repr(answer.text), answer.finish.reason)
asyncio.run(main())
"""
    assert run(installed, code) == "'HELLO YOU !!!' stop\n"


def test_its_options_are_checked_and_it_is_in_the_schema(installed: Path) -> None:
    (installed / "wrong.yaml").write_text("backends: {loud: {kind: shout, makr: 1}}")
    code = """
import json
from chatlab.config.load import json_schema, load_config
from chatlab.errors import ConfigError
from chatlab.config.registry import kinds
try:
    load_config("wrong.yaml")
except ConfigError as exc:
    print(json.dumps([exc.problems, json_schema()["$defs"]["backend.shout"]["properties"]["mark"], kinds()]))
"""
    problems, mark, kinds = json.loads(run(installed, code))
    assert problems == ["wrong.yaml:1:32: backends.loud.makr: unknown key, did you mean mark?"]
    assert mark["description"] == "Put at the end."
    assert kinds["shout"] == "chatlab_shout:ShoutBackend"


def test_a_plugin_takes_no_built_in_kinds_name(installed: Path) -> None:
    points = installed / "chatlab_shout-1.0.dist-info" / "entry_points.txt"
    points.write_text("[chatlab.backends]\necho = chatlab_shout:ShoutBackend\n")
    code = "from chatlab.config.registry import backend_class; print(backend_class('echo').__module__)"
    assert run(installed, code) == "backends.echo\n"


@pytest.fixture
def parrot(front: Front) -> Entry:
    """The page's backend that calls a server, as a configuration's entry would be."""
    names: dict[str, Any] = {"__name__": "chatlab_parrot"}
    exec(compile(block("python", 1), "parrot", "exec", dont_inherit=True), names)
    cls = names["ParrotBackend"]
    return Entry("polly", BackendConfig(kind="parrot", options=cls.Options(url=front.url)), cls)


async def answer(entry: Entry, **parameters: Any) -> Turn:
    turn = run_turn(entry, [Message.of("user", "hello")], parameters=parameters)
    async with turn:
        async for _ in turn:
            pass
    return turn


async def test_the_one_that_calls_a_server_answers_with_what_it_declares(parrot: Entry, front: Front) -> None:
    chunks = [{"text": "hel"}, {"text": "lo"}, {"end": True, "tokens": 2}]
    front.stream("/say", [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks])
    turn = await answer(parrot, pitch=1.5, volume=3)
    assert turn.answer.message.text == "hello"
    assert turn.answer.finish == Finish("stop", Usage(output=2), "grey")
    assert turn.timing.connected is not None
    assert [notice.detail for notice in turn.answer.notices] == ["volume is not a parameter of this backend"]
    assert front.last.json == {"voice": "grey", "said": "hello", "pitch": 1.5}
    target = parrot.cls.target(parrot.config.options)
    assert (target.model, target.endpoint) == ("grey", front.url)
    await parrot.aclose()


async def test_the_one_that_calls_a_server_fails_in_sentences(parrot: Entry, front: Front) -> None:
    front.stream("/say", ['data: {"text": "hel"}\n\n', 'data: {"error": {"message": "no seeds"}}\n\n'])
    with pytest.raises(BackendError, match="no seeds"):
        await answer(parrot)
    front.stream("/say", ['data: {"text": "hel"}\n\n'])
    with pytest.raises(BrokenStream, match="ended without its end"):
        await answer(parrot)
    front.fail(404, {"message": "no such cage"})
    with pytest.raises(ModelNotFound, match="no such cage"):
        await answer(parrot)
    await parrot.aclose()
