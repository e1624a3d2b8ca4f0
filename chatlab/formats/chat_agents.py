"""A ChatAgent of MLflow's that somebody wrote themselves, as a graph of messages: it runs where graphs run.

It finds its credential by itself, in the environment: nothing that a graph is given in its `configurable`
comes to it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import Any

from chatlab.errors import AuthRequired

_MOST = 1_000  # messages of an answer


def is_chat_agent(found: Any) -> bool:
    """Return whether an object is a ChatAgent. MLflow is not imported: who made one has imported it."""
    pyfunc = sys.modules.get("mlflow.pyfunc")
    return pyfunc is not None and isinstance(found, pyfunc.ChatAgent)


def graph_of(agent: Any) -> Any:
    """Return the graph of a ChatAgent: its one node adds one message of the answer each time it runs.

    Raises AuthRequired, when it runs, where it is to answer as a person.
    """
    from langchain_core.messages import convert_to_messages, convert_to_openai_messages
    from langchain_core.runnables import RunnableConfig
    from langgraph.graph import START, MessagesState, StateGraph

    class State(MessagesState):  # type: ignore[misc]
        left: Any  # of the answer: an iterator; None once there is nothing

    def answer(state: State, config: RunnableConfig) -> dict[str, Any]:
        if (config.get("configurable") or {}).get("chatlab_auth") == "user":
            raise AuthRequired(
                "this object is a ChatAgent, which finds its credential by itself and takes nobody's: serve "
                "it as an endpoint, and ask that as the person (kind databricks)"
            )
        left = state.get("left")
        if left is None:
            given = convert_to_openai_messages(state["messages"], text_format="string", include_id=True)
            for message in given:
                if message["role"] == "tool":
                    message.setdefault("name", "tool")
            left = _whole(agent.predict_stream({"messages": given}))
        said = next(left, None)
        return {"left": None} if said is None else {"messages": convert_to_messages([said]), "left": left}

    def more(state: State) -> str:
        return "answer" if state.get("left") is not None else "__end__"

    # The names are looked up where the graph's types are, not in this function.
    answer.__annotations__ = {"state": State, "config": RunnableConfig, "return": dict}
    more.__annotations__ = {"state": State, "return": str}
    built = StateGraph(State).add_node("answer", answer)
    built.add_edge(START, "answer").add_conditional_edges("answer", more, ["answer", "__end__"])
    return built.compile().with_config(recursion_limit=_MOST)


def _whole(chunks: Iterable[Any]) -> Iterator[dict[str, Any]]:
    """Yield the messages of a stream, each once it is whole: chunks that share an id are one message, which
    ends with its calls of tools, or where another one begins. The result of a tool comes in one."""
    held: dict[str, Any] = {}
    for chunk in chunks:
        said = chunk.delta.model_dump(exclude_none=True)
        if held and (said.get("id"), said["role"]) != (held.get("id"), held["role"]):
            yield held
            held = {}
        held = {**held, **said, "content": f"{held.get('content') or ''}{said.get('content') or ''}"}
        if said["role"] == "tool" or said.get("tool_calls"):
            yield held
            held = {}
    if held:
        yield held
