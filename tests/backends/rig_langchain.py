"""The rigs of the kind `langchain`: a model by name, an asynchronous graph, and one that is synchronous."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar
from uuid import uuid4

import pytest

from chatlab.errors import Unavailable
from tests.backends.rig import FrontRig
from tests.backends.rig_openai import MESSAGES, delta, event
from tests.servers.llama import LlamaServer


class LangChainModelRig(FrontRig):
    """A model by name, with langchain-openai."""

    kind = "langchain"
    name = "langchain-model"
    path = "/v1/chat/completions"
    beginning = (delta("Some"), delta(" text"))
    error = (event({"error": {"message": "the GPU is on fire", "code": "server_error"}}),)
    error_in_stream = Unavailable
    secrets = ("sk-langchain-0123456789abcdef",)

    def __init__(self, llama: LlamaServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(llama, tmp_path, monkeypatch)
        monkeypatch.setenv("RIG_KEY", self.secrets[0])

    def options(self) -> dict[str, Any]:
        return {
            "model": "openai:table",
            "base_url": f"{self.url}/v1",
            "api_key": {"env": "RIG_KEY"},
            "model_options": {"extra_body": {"cache_prompt": False}},
        }

    def parameters(self) -> dict[str, Any]:
        return {
            "temperature": 0.5,
            "top_p": 0.9,
            "max_tokens": 200,
            "stop": ["§§"],
            "seed": 5,
            "presence_penalty": 0.25,
            "frequency_penalty": -0.25,
        }

    def check_sent(self) -> None:
        (sent,) = self.sent()
        assert sent.method == "POST"
        assert sent.query == ""
        assert sent.headers["authorization"] == f"Bearer {self.secrets[0]}"
        assert sent.json == self.body()

    def body(self) -> dict[str, Any]:
        """The whole JSON that is to go out; ChatOpenAI knows the newer name of max_tokens."""
        parameters = self.parameters()
        return {
            "model": "table",
            "messages": MESSAGES,
            "stream": True,
            "stream_options": {"include_usage": True},
            "cache_prompt": False,
            **({"max_completion_tokens": parameters.pop("max_tokens")} if "max_tokens" in parameters else {}),
            **parameters,
        }


GRAPH = """
import os
import httpx2
from langchain_core.runnables import RunnableConfig
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph

model = ChatOpenAI(
    model="table", base_url=os.environ["RIG_URL"], api_key=os.environ["RIG_KEY"], max_retries=0,
    stream_usage=True, extra_body={"cache_prompt": False},
    # Nothing closes an object's own clients, so none of their connections may outlive a call.
    http_async_client=httpx2.AsyncClient(timeout=None, limits=httpx2.Limits(max_keepalive_connections=0)),
    http_client=httpx2.Client(timeout=None, limits=httpx2.Limits(max_keepalive_connections=0)),
)

def chosen(config):
    names = "temperature", "seed"
    return {name: config["configurable"][name] for name in names if name in config["configurable"]}
"""
ASYNC_NODE = """
async def answer(state: MessagesState, config: RunnableConfig):
    return {"messages": [await model.bind(**chosen(config)).ainvoke(state["messages"], config)]}
"""
SYNC_NODE = """
def answer(state: MessagesState, config: RunnableConfig):
    return {"messages": [model.bind(**chosen(config)).invoke(state["messages"], config)]}
"""
COMPILED = """
graph = StateGraph(MessagesState).add_node(answer).add_edge(START, "answer")
graph = graph.compile(checkpointer=InMemorySaver())
"""


class LangChainGraphRig(LangChainModelRig):
    """A LangGraph graph of one's own, with a checkpointer."""

    name = "langchain-graph"
    node = ASYNC_NODE
    without: ClassVar[Mapping[str, str]] = {
        "marks": "whether an object has credentials, nobody but the object knows"
    }

    def options(self) -> dict[str, Any]:
        self.monkeypatch.setenv("RIG_URL", f"{self.url}/v1")
        module = f"rig_{uuid4().hex}"  # every rig has a server of its own, so its module is not another's
        (self.tmp_path / f"{module}.py").write_text(GRAPH + self.node + COMPILED)
        return {
            "object": f"{module}:graph",
            "python_path": str(self.tmp_path),
            "accepts": ["temperature", "seed"],
        }

    def parameters(self) -> dict[str, Any]:
        return {"temperature": 0.5, "seed": 5}


class LangChainSyncRig(LangChainGraphRig):
    """A graph that knows no asynchronous way: it runs in a thread, and blocks there in a read."""

    name = "langchain-sync"
    node = SYNC_NODE


RIGS = (LangChainModelRig, LangChainGraphRig, LangChainSyncRig)
