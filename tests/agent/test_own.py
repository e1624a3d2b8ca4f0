"""An `agent.py` of somebody's own, written as notebooks have it: used as it is, and never as a person."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from langchain_core.messages import HumanMessage

import chatlab
from chatlab.agent.config import load_agent
from chatlab.agent.own import OwnAgent, agent_of
from chatlab.agent.rights import Rights
from chatlab.agent.steps import Answering, Piece, Said, ToolOutput
from chatlab.backend import CallContext
from chatlab.cli import main
from chatlab.errors import AuthRequired, ConfigError, Unavailable
from chatlab.messages import ToolCall, ToolResult
from tests.agent.test_agent import person
from tests.servers.data_of_workspace import DataOfWorkspace
from tests.servers.llama import TOOL

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
]
OWN = '''
import os

import mlflow
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.graph import END, StateGraph
from mlflow.langchain.chat_agent_langgraph import ChatAgentState, ChatAgentToolNode
from mlflow.pyfunc import ChatAgent
from mlflow.types.agent import ChatAgentChunk, ChatAgentMessage, ChatAgentResponse


@tool
def lookup(query: str) -> str:
    """Looks something up."""
    return "Lanes are columns."


def built():
    model = ChatOpenAI(
        model="table",
        base_url=os.environ["DATABRICKS_HOST"] + "/serving-endpoints",
        api_key=os.environ["DATABRICKS_TOKEN"],
    ).bind_tools([lookup])
    graph = StateGraph(ChatAgentState)
    graph.add_node("agent", lambda state, config: {"messages": [model.invoke(state["messages"], config)]})
    graph.add_node("tools", ChatAgentToolNode([lookup]))
    graph.set_entry_point("agent")
    graph.add_conditional_edges("agent", following)
    graph.add_edge("tools", "agent")
    return graph.compile()


def following(state):
    return "tools" if state["messages"][-1].get("tool_calls") else END


class Mine(ChatAgent):
    def predict(self, messages, context=None, custom_inputs=None):
        given = {"messages": self._convert_messages_to_dict(messages)}
        said = []
        for event in built().stream(given, stream_mode="updates"):
            for update in event.values():
                said += [ChatAgentMessage(**one) for one in update["messages"]]
        return ChatAgentResponse(messages=said)

    def predict_stream(self, messages, context=None, custom_inputs=None):
        given = {"messages": self._convert_messages_to_dict(messages)}
        for event in built().stream(given, stream_mode="updates"):
            for update in event.values():
                yield from (ChatAgentChunk(delta=one) for one in update["messages"])


AGENT = Mine()
mlflow.models.set_model(AGENT)
'''.replace("lookup", TOOL)


@pytest.fixture
def folder(data: DataOfWorkspace, mlflow: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with such an agent, in the environment of somebody who tries it as themselves."""
    monkeypatch.setenv("DATABRICKS_TOKEN", data.workspace.person("ann@example.com"))
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setitem(sys.modules, "agent", sys)  # so that what comes under this name goes again
    monkeypatch.delitem(sys.modules, "agent")
    (tmp_path / "agent.yaml").write_text("endpoint: table\nshape: chat\n")
    (tmp_path / "agent.py").write_text(OWN)
    return tmp_path


def test_it_answers_step_by_step_where_the_commands_ask_an_agent(folder: Path, llama: Any) -> None:
    agent = agent_of(load_agent(folder / "agent.yaml"), folder)
    assert isinstance(agent, OwnAgent)
    given = [HumanMessage(f"use the {TOOL}")]
    steps = list(Answering(agent, Rights("https://none.example.com"), given).steps())
    assert "".join(one.text for one in steps if isinstance(one, Piece)) == llama.text
    called, found, said = [one for one in steps if not isinstance(one, Piece)]
    assert isinstance(called, Said) and [call["name"] for call in called.calls] == [TOOL]
    assert isinstance(found, ToolOutput) and found.text == "Lanes are columns."
    assert isinstance(said, Said) and said.text == llama.text
    assert said.id in {one.message for one in steps if isinstance(one, Piece)}  # not to be shown twice


async def test_it_is_an_object_of_the_pages_but_answers_nobody_as_themselves(
    folder: Path, data: DataOfWorkspace, llama: Any
) -> None:
    config = folder / "chatlab.yaml"
    own = "kind: langchain, object: 'agent:AGENT'"
    config.write_text(f"storage: none\nbackends:\n  own: {{{own}}}\n  me: {{{own}, auth: {{type: user}}}}\n")
    async with chatlab.load(config) as lab:
        answer = await lab.answer("own", f"use the {TOOL}")
        assert answer.text == llama.text
        assert [type(one) for one in answer.message.parts[:2]] == [ToolCall, ToolResult]
        asked = len(data.calls)
        ctx, _ = person(data.workspace, "bob@example.com")
        for who in (CallContext(), ctx):
            with pytest.raises(AuthRequired):
                await lab.answer("me", "hello", ctx=who)
        assert len(data.calls) == asked


def test_it_is_served_to_oneself_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    refused = CliRunner().invoke(main, ["agent", "serve", "--port", "1"])
    assert refused.exit_code == 2 and "serve it with --as-me" in refused.output


@pytest.mark.parametrize(
    ("code", "error", "sentence"),
    [
        ("x = 1", ConfigError, "it makes no ChatAgent"),
        ("import nothing_of_this_name", Unavailable, "cannot be run"),
    ],
)
def test_what_is_no_agent_is_said(folder: Path, code: str, error: type[Exception], sentence: str) -> None:
    (folder / "agent.py").write_text(code)
    with pytest.raises(error, match=sentence):
        agent_of(load_agent(folder / "agent.yaml"), folder)
