"""What the kind `langchain` takes for granted of Python's and LangChain's insides, each said as a sentence.

A test that fails here tells which version changed what, and which module of ours has to follow.
"""

from __future__ import annotations

import inspect
import platform
import socket
import ssl
import subprocess
import sys
from functools import partial
from importlib.metadata import version
from typing import Any

import pytest

from chatlab.sockets import WATCHED

PYTHON = f"Python {platform.python_version()}"
CORE = f"langchain-core {version('langchain-core')}"
OPENAI = f"langchain-openai {version('langchain-openai')}"
GRAPH = f"langgraph {version('langgraph')}"


def holds(fact: bool, changed: str, look: str) -> None:
    assert fact, f"{changed}; {look} has to follow"


def test_every_blocking_client_passes_through_the_watched_methods() -> None:
    look = "chatlab/sockets.py"
    for owner, name, _ in WATCHED:
        holds(hasattr(owner, name), f"{PYTHON} has no {owner.__name__}.{name}", look)
    # What an unpatched Python has, so that a test before this one cannot hide a change.
    source = (
        "import socket, ssl; print(sorted(n for c in (socket.socket, ssl.SSLSocket) for n in vars(c)));"
        "print('sendall' in vars(socket.socket), issubclass(ssl.SSLSocket, socket.socket))"
    )
    said = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True).stdout
    holds("False True" in said, f"{PYTHON} changed how sockets inherit", look)


@pytest.mark.parametrize(("name", "through"), [("sendall", "self.send("), ("write", "self._sslobj.write(")])
def test_tls_sends_through_what_is_watched(name: str, through: str) -> None:
    source = inspect.getsource(getattr(ssl.SSLSocket, name))
    changed = f"{PYTHON}: ssl.SSLSocket.{name} no longer calls {through}...)"
    holds(through in source, changed, "chatlab/sockets.py")


def test_a_send_reaches_the_replaced_method() -> None:
    """A method written in C is found on the class, so that an instance's own would not be asked."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        changed = f"{PYTHON}: a socket has slots of its own for its methods"
        holds(not hasattr(ours, "__dict__"), changed, "chatlab/sockets.py")


def test_langchain_runs_threads_in_the_context_of_their_call() -> None:
    from langchain_core.runnables.config import ContextThreadPoolExecutor, run_in_executor

    for carries in (ContextThreadPoolExecutor.submit, run_in_executor):
        source = inspect.getsource(carries)
        changed = f"{CORE}: {carries.__qualname__} no longer copies the context into its thread"
        holds("copy_context" in source, changed, "chatlab/sockets.py")


def test_a_chat_models_chunk_is_made_where_ours_adds_the_reasoning() -> None:
    from langchain_openai.chat_models.base import BaseChatOpenAI

    changed = f"{OPENAI}: BaseChatOpenAI._convert_chunk_to_generation_chunk takes other arguments or is gone"
    made = getattr(BaseChatOpenAI, "_convert_chunk_to_generation_chunk", None)
    expected = ["self", "chunk", "default_chunk_class", "base_generation_info"]
    found = list(inspect.signature(made).parameters) if made is not None else []
    holds(found == expected, changed, "backends/langchain/chat_openai.py")


def test_steps_of_runnables_are_found_where_they_were() -> None:
    from langchain_core.language_models import BaseChatModel, BaseLLM
    from langchain_core.runnables import RunnableGenerator, RunnableLambda, RunnableParallel
    from langchain_core.runnables.config import run_in_executor
    from langgraph.graph import START, MessagesState, StateGraph

    look = "backends/langchain/synchrony.py"
    for model in (BaseChatModel, BaseLLM):
        names = "_stream", "_astream", "_agenerate"
        changed = f"{CORE}: {model.__name__} no longer has {', '.join(names)}"
        holds(all(hasattr(model, name) for name in names), changed, look)
    parallel: Any = RunnableParallel(one=RunnableLambda(str))
    holds(list(parallel.steps__) == ["one"], f"{CORE}: RunnableParallel no longer has steps__", look)

    def generator(items: Any) -> Any:
        yield from items

    changed = f"{CORE}: RunnableGenerator no longer has _transform"
    holds(hasattr(RunnableGenerator(generator), "_transform"), changed, look)

    def node(state: MessagesState) -> dict[str, Any]:
        return {}

    graph: Any = StateGraph(MessagesState).add_node("node", node).add_edge(START, "node").compile()
    bound = graph.nodes["node"].bound
    native = isinstance(bound.afunc, partial) and bound.afunc.func is run_in_executor
    changed = f"{GRAPH}: a synchronous node's asynchronous form is no partial of run_in_executor"
    holds(bound.func is node and native, changed, look)


def test_a_graphs_input_is_described_where_it_was() -> None:
    from langgraph.graph import START, MessagesState, StateGraph

    def node(state: MessagesState) -> dict[str, Any]:
        return {}

    graph: Any = StateGraph(MessagesState).add_node("node", node).add_edge(START, "node").compile()
    changed = f"{GRAPH}: a compiled graph has no builder.schemas[builder.input_schema] with its channels"
    found = list(graph.builder.schemas[graph.builder.input_schema])
    holds(found == ["messages"], changed, "backends/langchain/objects.py")


def test_checkpoints_are_found_by_their_metadata() -> None:
    from langgraph.checkpoint.memory import InMemorySaver
    from langgraph.graph import START, MessagesState, StateGraph

    def node(state: MessagesState) -> dict[str, Any]:
        return {"messages": [("ai", "b")]}

    graph: Any = StateGraph(MessagesState).add_node("node", node).add_edge(START, "node")
    graph = graph.compile(checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "one"}, "metadata": {"mine": "x"}}
    graph.invoke({"messages": [("human", "a")]}, config)
    config = {"configurable": {"thread_id": "one"}}
    changed = f"{GRAPH}: a checkpoint's metadata no longer has that of the run that made it"
    holds(graph.get_state(config).metadata.get("mine") == "x", changed, "backends/langchain/threads.py")
    found = list(graph.get_state_history(config, filter={"mine": "x"}, limit=1))
    holds(len(found) == 1, f"{GRAPH}: history is no longer filtered", "backends/langchain/threads.py")


def test_models_take_a_client_where_they_are_given_ours() -> None:
    look = "backends/langchain/clients.py"
    anthropic = pytest.importorskip("langchain_anthropic").ChatAnthropic
    names = "_async_client", "_client_params"
    holds(
        all(hasattr(anthropic, name) for name in names), f"ChatAnthropic has no {' and '.join(names)}", look
    )
    mistral = pytest.importorskip("langchain_mistralai").ChatMistralAI
    holds("async_client" in mistral.model_fields, "ChatMistralAI has no async_client", look)
