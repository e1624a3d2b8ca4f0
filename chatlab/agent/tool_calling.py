"""The whole agent: a graph of messages that asks a model, runs the tools it calls, and asks it again.

Before a tool runs that a person has to approve, the graph stops and asks (`interrupt`). What they refuse is
answered to the model as the result of that call.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from langchain_core.messages import AIMessage, AnyMessage, SystemMessage, ToolMessage
from langchain_core.runnables import Runnable, RunnableLambda
from langchain_core.tools import BaseTool
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import Command, Send, interrupt


def build_graph(
    model: Any,
    tools: Sequence[BaseTool],
    system_prompt: str = "",
    *,
    approved: Collection[str] = (),
    checkpointer: Any = None,
) -> Any:
    """Return the compiled graph. approved: names of the tools whose calls a person has to approve."""

    def prompt(state: MessagesState) -> list[AnyMessage]:
        said = state["messages"]
        system = [one.text for one in said if isinstance(one, SystemMessage)]
        text = "\n\n".join(filter(None, (system_prompt.strip(), *system)))
        others = [one for one in said if not isinstance(one, SystemMessage)]
        return [SystemMessage(text), *others] if text else others

    def next_step(state: MessagesState) -> str:  # no lambda: by this name it is traced
        return "approve" if _last(state).tool_calls else END

    def approve(state: MessagesState) -> Command[Any]:
        calls = list(_last(state).tool_calls)
        asked = [call for call in calls if call["name"] in approved]
        refused: dict[str, str] = {}
        if asked:
            requests = [{"name": call["name"], "args": call["args"]} for call in asked]
            decisions = interrupt({"action_requests": requests})["decisions"]
            for call, decision in zip(asked, decisions, strict=True):
                if decision.get("type") != "approve":
                    refused[str(call["id"])] = str(decision.get("message") or "no reason was given")
        answers = [_refusal(call, refused[call["id"]]) for call in asked if call["id"] in refused]
        left = [call for call in calls if call["id"] not in refused]
        return Command(update={"messages": answers}, goto=[Send("tools", left)] if left else "agent")

    bound: Runnable[Any, Any] = model.bind_tools(tools) if tools else model
    graph = StateGraph(MessagesState)
    graph.add_node("agent", RunnableLambda(prompt) | bound | RunnableLambda(_update))
    graph.add_node("approve", approve, destinations=("tools", "agent"))
    graph.add_node("tools", ToolNode(tools))
    graph.add_edge(START, "agent")
    graph.add_conditional_edges("agent", next_step)
    graph.add_edge("tools", "agent")
    return graph.compile(checkpointer=checkpointer)


def _update(message: Any) -> dict[str, Any]:
    return {"messages": [message]}


def _last(state: MessagesState) -> AIMessage:
    found = state["messages"][-1]
    assert isinstance(found, AIMessage)
    return found


def _refusal(call: Any, why: str) -> ToolMessage:
    text = f"The person refused this call: {why}"
    return ToolMessage(
        text,
        tool_call_id=call["id"],
        name=call["name"],
        status="error",
        additional_kwargs={"refused": True},
    )
