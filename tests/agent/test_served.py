"""An agent in MLflow's two shapes: what it answers, as whom, and what its traces have."""

from __future__ import annotations

import importlib
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from chatlab.agent import Agent
from chatlab.errors import AuthRequired
from tests.heavy import needed
from tests.servers.data_of_workspace import DataOfWorkspace
from tests.servers.llama import TOOL

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
]
ASK = {"role": "user", "content": f"use the {TOOL}"}
Project = Callable[..., Path]


@pytest.fixture
def token(data: DataOfWorkspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The token of ann, with which the request of AgentServer comes."""
    utils = needed("mlflow.genai.agent_server")
    token = data.workspace.person("ann@example.com")
    utils.set_request_headers({"x-forwarded-access-token": token})
    yield token
    utils.set_request_headers({})


def made(file: Path, more: str = "") -> Any:
    file.write_text(file.read_text() + more)
    return importlib.import_module("chatlab.agent.served").model_of(Agent.load(file))


def last_trace(mlflow: Any) -> Any:
    mlflow.flush_trace_async_logging()
    return mlflow.get_trace(mlflow.get_last_active_trace_id())


def test_a_responses_agent_streams_deltas_tools_sources_and_as_whom_they_ran(
    mlflow: Any, data: DataOfWorkspace, project: Project, token: str, llama: Any
) -> None:
    model = made(project("search"))
    events = [one.model_dump() for one in model.predict_stream({"input": [ASK]})]
    deltas = [one["delta"] for one in events if one["type"] == "response.output_text.delta"]
    items = [one["item"] for one in events if one["type"] == "response.output_item.done"]
    assert "".join(deltas) == llama.text and len(deltas) > 5
    assert [one["type"] for one in items] == ["function_call", "function_call_output", "message"]
    (content,) = items[-1]["content"]
    assert content["text"] == llama.text
    assert [(one["title"], one["url"]) for one in content["annotations"]] == [
        ("Lanes", "https://docs.example.com/lanes")
    ]
    assert events[-1]["custom_outputs"]["ran_as"] == {"search_documents": "the person who asks"}
    assert {seen.token for seen in data.calls} == {token}
    whole = model.predict({"input": [ASK]}).model_dump()
    assert [one["type"] for one in whole["output"]] == [one["type"] for one in items]


def test_a_chat_agent_streams_deltas_and_repeats_nothing(
    mlflow: Any, data: DataOfWorkspace, project: Project, token: str, llama: Any
) -> None:
    model = made(project("search"), "shape: chat\n")
    chunks = list(model.predict_stream({"messages": [ASK]}))
    assert "".join(one.delta.content or "" for one in chunks if one.delta.role == "assistant") == llama.text
    assert [one.delta.name for one in chunks if one.delta.role == "tool"] == ["search_documents"]
    sources = json.loads(chunks[-1].delta.attachments["sources"])
    assert [one["title"] for one in sources] == ["Lanes", "Private"]
    whole = model.predict({"messages": [ASK]}).messages
    assert [one.role for one in whole] == ["assistant", "tool", "assistant"]
    assert whole[0].tool_calls[0].function.name == "search_documents" and whole[-1].content == llama.text


@pytest.mark.parametrize("reply", ["approve", "no"])
def test_a_call_is_approved_in_the_next_request(
    mlflow: Any, data: DataOfWorkspace, project: Project, token: str, llama: Any, reply: str
) -> None:
    model = made(project("search if approved"))
    asked = model.predict({"input": [ASK]}).model_dump(exclude_none=True)["output"]
    assert "May search_documents run with" in asked[-1]["content"][0]["text"]
    assert "search" not in [seen.what for seen in data.calls]
    after = model.predict({"input": [ASK, *asked, {"role": "user", "content": reply}]}).model_dump()
    ran = [seen.what for seen in data.calls].count("search")
    assert after["output"][-1]["content"][0]["text"] == llama.text
    assert (ran, after["custom_outputs"]["ran_as"]) == (
        (1, {"search_documents": "the person who asks"}) if reply == "approve" else (0, {})
    )


@pytest.mark.parametrize("reply", ["approve", "no"])
def test_the_question_alone_says_what_is_approved(
    mlflow: Any, data: DataOfWorkspace, project: Project, token: str, llama: Any, reply: str
) -> None:
    """As from a client that hands no call on that has no result."""
    model = made(project("search if approved"))
    asked = model.predict({"input": [ASK]}).model_dump(exclude_none=True)["output"]
    question = {"role": "assistant", "content": asked[-1]["content"][0]["text"]}
    given = {"input": [ASK, question, {"role": "user", "content": reply}]}
    after = model.predict(given).model_dump()
    searched = [seen.body["query_text"] for seen in data.calls if seen.what == "search"]
    assert after["output"][-1]["content"][0]["text"] == llama.text
    assert searched == ([json.loads(asked[0]["arguments"])["query"]] if reply == "approve" else [])


def test_without_a_person_nothing_is_asked(mlflow: Any, data: DataOfWorkspace, project: Project) -> None:
    with pytest.raises(AuthRequired, match="sign in first"):
        made(project("search")).predict({"input": [ASK]})
    assert data.workspace.front.requests == []


def test_model_serving_gives_the_token_of_whoever_calls(
    mlflow: Any, data: DataOfWorkspace, project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the SDK's own code has it: a file for the endpoint's token, and the main thread for the caller's."""
    own = data.workspace.person("the-endpoint")
    (tmp_path / "model-dependencies-oauth-token").write_text(
        json.dumps({"OAUTH_TOKEN": [{"oauthTokenValue": own}]})
    )
    monkeypatch.setenv("SERVING_CREDENTIALS_DIR", str(tmp_path))
    monkeypatch.setenv("IS_IN_DB_MODEL_SERVING_ENV", "true")
    monkeypatch.setenv("DB_MODEL_SERVING_HOST_URL", data.workspace.url)
    model = made(project("search"), "endpoint_as: service\n")
    caller = data.workspace.person("ann@example.com")
    monkeypatch.setattr(threading.main_thread(), "invokers_token", caller, raising=False)
    model.predict({"input": [ASK]})
    assert {(seen.what, seen.token) for seen in data.calls} == {("model", own), ("search", caller)}
    monkeypatch.setattr(threading.main_thread(), "invokers_token", None, raising=False)
    before = len(data.workspace.front.requests)
    with pytest.raises(AuthRequired, match="gave no token of theirs"):
        model.predict({"input": [ASK]})
    assert len(data.workspace.front.requests) == before


def test_traces_have_each_step_and_as_whom_it_ran_and_no_token(
    mlflow: Any, data: DataOfWorkspace, project: Project, token: str, llama: Any, tmp_path: Path
) -> None:
    made(project("search")).predict({"input": [ASK]})
    trace = last_trace(mlflow)
    spans = {span.name: span for span in trace.data.spans}
    assert spans["search_documents"].span_type == "TOOL"
    assert '"as": "user"' in json.dumps(spans["search_documents"].to_dict(), default=str).replace("\\", "")
    assert "Lanes are columns." in trace.to_json()
    stored = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    assert token.encode() not in stored and token not in trace.to_json()


def test_traces_without_content_have_none(
    mlflow: Any, data: DataOfWorkspace, project: Project, token: str
) -> None:
    made(project("search"), "trace_content: false\n").predict({"input": [ASK]})
    told = last_trace(mlflow).to_json()
    assert "search_documents" in told
    assert "Lanes are columns." not in told and "before noon" not in told and "use the" not in told
