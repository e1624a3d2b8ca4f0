"""A LangGraph graph with a tool and without a model, for configs/langchain.yaml: it looks words up."""

from typing import Any

from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition

WORDS = {
    "lane": "One backend of a comparison: its own conversation, its own task, its own clock.",
    "delta": "The next piece of an answer. Deltas are never cumulative.",
    "notice": "What the person is told next to an answer: what was dropped, changed or waited for.",
}


@tool
def look_up(word: str) -> str:
    """What a word means here."""
    return WORDS.get(word, f"I know only {', '.join(WORDS)}.")


def assistant(state: MessagesState) -> dict[str, Any]:
    """Asks for the tool first, and answers with its result."""
    last = state["messages"][-1]
    if isinstance(last, ToolMessage):
        return {"messages": [AIMessage(str(last.content))]}
    asked = str(last.text).lower()
    word = next((known for known in WORDS if known in asked), asked.strip(" ?"))
    call = {"name": "look_up", "args": {"word": word}, "id": f"look-up-{len(state['messages'])}"}
    return {"messages": [AIMessage("", tool_calls=[call])]}


graph = (
    StateGraph(MessagesState)
    .add_node("assistant", assistant)
    .add_node("tools", ToolNode([look_up]))
    .add_edge(START, "assistant")
    .add_conditional_edges("assistant", tools_condition)
    .add_edge("tools", "assistant")
    .compile()
)
