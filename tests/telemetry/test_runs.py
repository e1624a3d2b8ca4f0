"""Turns that belong together are one trace: those of a run, and those of a round of a session."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

import chatlab
from chatlab.cli import main
from chatlab.compare.session.events import Opened
from chatlab.compare.session.session import ComparisonSession
from tests.telemetry.collector import attributes, collector

CONFIG = """\
storage: none
backends: {{a: {{kind: echo}}, b: {{kind: echo}}, judge: {{kind: echo, reply: '{{"winner": "tie"}}'}}}}
telemetry: {{otlp: '{url}'}}
"""


def test_a_run_is_one_trace_with_its_judge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("p.txt").write_text("one\ntwo\n")
    with collector() as told:
        Path("lab.yaml").write_text(CONFIG.format(url=told.url))
        given = ("--lanes", "a,b", "--prompts", "p.txt", "--judge", "judge", "--out", "run")
        done = CliRunner().invoke(main, ("compare", "lab.yaml", *given), prog_name="chatlab")
    assert done.exit_code == 0, done.stderr
    (run,) = told.named("compare run")
    assert attributes(run) == {"chatlab.items": 2, "chatlab.lanes": 2, "chatlab.repeats": 1}
    turns = told.named("chat ")
    assert [attributes(turn)["chatlab.backend"] for turn in turns].count("judge") == 4 and len(turns) == 8
    assert {turn.parent_span_id for turn in turns} == {run.span_id}
    assert {turn.trace_id for turn in turns} == {run.trace_id}
    assert all(turn.end_time_unix_nano <= run.end_time_unix_nano for turn in turns)


async def test_a_round_of_a_session_is_one_trace_and_the_next_another(tmp_path: Path) -> None:
    with collector() as told:
        file = tmp_path / "lab.yaml"
        file.write_text(CONFIG.format(url=told.url))
        async with chatlab.load(file) as lab:
            session = await ComparisonSession.create(lab.backends, ["a", "b"], owner="me", opened=Opened())
            for text in ("one", "two"):
                await session.ask(text)
                await session.settled()
            await session.aclose()
    rounds = told.named("compare round")
    assert [attributes(one)["chatlab.turns"] for one in rounds] == [2, 2]
    assert [attributes(one)["chatlab.round"] for one in rounds] == [
        one.id for one in session.state.rounds.values()
    ]
    for one in rounds:
        turns = [turn for turn in told.named("chat ") if turn.parent_span_id == one.span_id]
        assert {attributes(turn)["chatlab.backend"] for turn in turns} == {"a", "b"}
        assert all(turn.end_time_unix_nano <= one.end_time_unix_nano for turn in turns)
