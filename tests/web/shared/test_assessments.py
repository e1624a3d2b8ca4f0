"""Thumbs and votes reach a real MLflow server, once each, and nobody waits for one that is away."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import aclosing
from secrets import token_hex
from typing import Any

import httpx2
import pytest

from benchmarks.streaming import free_port, process
from chatlab.config.telemetry import MlflowServer, Telemetry
from chatlab.messages import Trace
from chatlab.web.shared.assessments import Assessment, Assessments
from tests.heavy import needed

TRACES = "/api/3.0/mlflow/traces"


_SERVE = """
import sys
from mlflow.server import app
from werkzeug.serving import run_simple
run_simple("127.0.0.1", int(sys.argv[1]), app, threaded=True)
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an MLflow tracking server: its own app, in one process instead of several."""
    needed("mlflow")
    folder, port = tmp_path_factory.mktemp("mlflow"), free_port()
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("_MLFLOW_SERVER_FILE_STORE", f"sqlite:///{folder}/m.db")
        environment.setenv("_MLFLOW_SERVER_ARTIFACT_ROOT", str(folder))
        environment.setenv("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")
        with process("-c", _SERVE, str(port), port=port):
            yield f"http://127.0.0.1:{port}"


def a_trace(server: str) -> Trace:
    """Return a trace that the server has."""
    where = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "0"}}
    info = {"trace_id": f"tr-{token_hex(16)}", "trace_location": where, "state": "OK"}
    info["request_time"] = "2026-11-29T12:00:00Z"
    # The first request makes the tables.
    made = httpx2.post(server + TRACES, json={"trace": {"trace_info": info}}, timeout=60)
    made.raise_for_status()
    return Trace(str(info["trace_id"]))


def told(server: str, trace: Trace) -> list[dict[str, Any]]:
    """Return the assessments of a trace."""
    info = httpx2.get(f"{server}{TRACES}/{trace.id}").json()["trace"]["trace_info"]
    return [one for one in info.get("assessments", ()) if one.get("valid", True)]


async def all_told(assessments: Assessments) -> None:
    async with asyncio.timeout(60):
        while not assessments.idle:
            await asyncio.sleep(0.02)


@pytest.mark.heavy
async def test_of_what_one_person_says_the_newest_counts_and_a_thumb_can_be_taken_back(server: str) -> None:
    trace = await asyncio.to_thread(a_trace, server)
    async with aclosing(Assessments(server + "/", {})) as assessments:
        assessments.note([trace], "thumb", "ann", Assessment(True))
        await all_told(assessments)
        assessments.note([trace], "thumb", "bob", Assessment(True))
        assessments.note([trace], "vote: overall", "ann", Assessment("not best", "too long"))
        assessments.note([trace], "thumb", "ann", Assessment(False))
        await all_told(assessments)
    given = await asyncio.to_thread(told, server, trace)
    values = [(one["assessment_name"], one["feedback"]["value"], one.get("rationale", "")) for one in given]
    assert sorted(values, key=str) == [
        ("thumb", False, ""),
        ("thumb", True, ""),
        ("vote: overall", "not best", "too long"),
    ]
    assert {one["source"]["source_type"] for one in given} == {"HUMAN"}
    assert not {one["source"]["source_id"] for one in given} & {"ann", "bob"}
    async with aclosing(Assessments(server, {})) as assessments:  # such as after a restart
        assessments.note([trace], "thumb", "ann", Assessment(None))
        assessments.note([Trace("tr-unknown")], "thumb", "ann", Assessment(True))
        assessments.note([trace], "thumb", "bob", Assessment("a word of one's own"))
        await all_told(assessments)
    given = await asyncio.to_thread(told, server, trace)
    thumbs = [one["feedback"]["value"] for one in given if one["assessment_name"] == "thumb"]
    assert thumbs == ["a word of one's own"]


async def test_a_server_that_is_away_is_waited_for_by_nobody_and_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("chatlab.web.shared.assessments._PAUSES", (0.01,))
    monkeypatch.setattr("chatlab.web.shared.assessments._MOST", 20)
    away = f"http://127.0.0.1:{free_port()}"
    async with aclosing(Assessments(away, {"authorization": "Bearer verysecret4711"})) as assessments:
        for number in range(50):
            assessments.note([Trace(f"tr-{number}")], "thumb", "ann", Assessment(True))
        assert assessments.waiting == 20
        await all_told(assessments)
        assert assessments.waiting == 0
    assert caplog.text.count("MLflow is not told") == 1 and "verysecret" not in caplog.text


def test_to_tell_of_thumbs_alone_needs_nothing_of_opentelemetry() -> None:
    told = Telemetry(assessments=MlflowServer(mlflow="https://mlflow.example.com"))
    assert not told.observes and Telemetry().observes
    assert told.model_copy(update={"otlp": "http://localhost:4318"}).observes
