"""An agent as its file describes it: made anew for each call, with the rights of that call."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from chatlab.agent.config import AgentConfig, load_agent
from chatlab.agent.rights import Rights, endpoint_of, host_of
from chatlab.agent.tools import Toolset, make_tools
from chatlab.backend import current_call
from chatlab.errors import AuthRequired, ConfigError, UnsupportedContent
from chatlab.words import ENGLISH

if TYPE_CHECKING:
    from langchain_core.messages import BaseMessage

FILE = "agent.yaml"


@dataclass(frozen=True, slots=True)
class AgentOfCall:
    """The agent of one call: its graph, its tools, and the `RunnableConfig` that limits it."""

    graph: Any
    toolset: Toolset
    config: dict[str, Any]


class Agent:
    """An agent by its configuration. It holds no credential, and nothing of any call."""

    def __init__(self, config: AgentConfig) -> None:
        self.config = config

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Return the agent of a file. Raises ConfigError."""
        return cls(load_agent(path))

    @classmethod
    def beside(cls, module: str) -> Self:
        """Return the agent whose `agent.yaml` is beside a module, given its `__file__`.

        In a logged model the file is gone, and MLflow has what was in it. Raises ConfigError.
        """
        path = Path(module).with_name(FILE)
        if path.is_file() or "mlflow" not in sys.modules:
            return cls.load(path)
        from mlflow.exceptions import MlflowException
        from mlflow.models import ModelConfig

        try:
            return cls(AgentConfig.model_validate(ModelConfig().to_dict()))
        except (FileNotFoundError, MlflowException) as exc:
            raise ConfigError([f"{path}: there is no such file, and MLflow has no configuration"]) from exc

    def make(self, rights: Rights, *, checkpointer: Any = None, **clients: Any) -> AgentOfCall:
        """Return the agent for one call.

        clients: `http_client` or `http_async_client`, by which the model is called; the caller closes it.
        Asks the workspace for what the tools are made of. Raises AuthRequired, NotReady, BackendError.
        """
        from chatlab.agent.tool_calling import build_graph

        toolset = make_tools(self.config, rights)
        graph = build_graph(
            self._model(rights, clients),
            toolset.tools,
            self.config.system,
            approved=self.config.approved,
            checkpointer=checkpointer,
        )
        return AgentOfCall(graph, toolset, {"recursion_limit": self.config.max_steps})

    def _model(self, rights: Rights, clients: Mapping[str, Any]) -> Any:
        """Return the chat model: the endpoint, by OpenAI's protocol, with the rights of this call."""
        from langchain_openai import ChatOpenAI

        limits = {"temperature": self.config.temperature, "max_completion_tokens": self.config.max_tokens}
        return ChatOpenAI(
            model=endpoint_of(self.config),
            base_url=f"{rights.host}/serving-endpoints",
            api_key=rights.token(self.config.model_as),
            use_responses_api=False,
            **clients,
            **{name: value for name, value in limits.items() if value is not None},
        )

    # -- in chatlab

    def graph(self) -> Any:
        """Return the graph that chatlab's kind `langchain` runs in this process.

        Its one node makes the agent anew for each call, with the credential of that call: the signed-in
        person's where the backend has `auth: {type: user}`, the service's everywhere else.
        """
        from langchain_core.runnables import RunnableConfig
        from langgraph.checkpoint.memory import InMemorySaver
        from langgraph.config import get_stream_writer
        from langgraph.graph import END, START, MessagesState, StateGraph

        from chatlab.http import async_client

        async def agent(state: MessagesState, config: RunnableConfig) -> dict[str, Any]:
            write = get_stream_writer()
            rights = await self._rights_of_call(config.get("configurable") or {})
            before = state["messages"]
            asked: list[Any] = []

            async def note(request: Any) -> None:
                asked.append(request)

            async with async_client() as http:
                http.event_hooks = {"request": [note]}
                made = await asyncio.to_thread(self.make, rights, http_async_client=http)
                for skipped in made.toolset.skipped:
                    write({"notice": skipped})
                found = await made.graph.ainvoke({"messages": before}, {**config, **made.config})
            new = found["messages"][len(before) :]
            if not asked:  # at a retry or an edit of a reply: the graph within is past its question
                raise UnsupportedContent(
                    "this call was decided already, and is not decided anew: ask your question again"
                )
            if ran := ran_as(new, made.toolset):
                write({"notice": ran})
            return {"messages": new}

        # The names are looked up where the graph's types are, not in this function.
        agent.__annotations__ = {"state": MessagesState, "config": RunnableConfig, "return": dict}
        built = StateGraph(MessagesState).add_node("answer", agent)
        built.add_edge(START, "answer").add_edge("answer", END)
        return built.compile(checkpointer=InMemorySaver() if self.config.approved else None)

    async def _rights_of_call(self, configurable: Mapping[str, Any]) -> Rights:
        rights = Rights(host_of(self.config))
        if configurable.get("chatlab_auth") != "user":
            return replace(rights, only="service")
        credential = configurable.get("chatlab_credential")
        if credential is None:
            raise AuthRequired(ENGLISH("refusal.sign-in-first"))
        ctx = current_call.get()
        name = ctx.identity if ctx is not None else None
        return replace(rights, user=await credential(rights.host), name=name)


def ran_as(messages: Sequence[BaseMessage], toolset: Toolset) -> str | None:
    """Return as whom the tools of an answer ran, in words; None if none ran."""
    names = dict.fromkeys(one.name for one in messages if ran(one) and one.name in toolset.whom)
    said = [f"{name} as {toolset.whom[str(name)]}" for name in names]
    return f"ran {', '.join(said)}" if said else None


def ran(message: BaseMessage) -> bool:
    """Return whether a message is the result of a tool that ran: not of a call that the person refused."""
    return message.type == "tool" and not message.additional_kwargs.get("refused")
