"""An agent whose `agent.py` is somebody's own, as notebooks have it: a ChatAgent beside an `agent.yaml`."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from typing import Any

from chatlab.agent.agent import FILE, Agent, AgentOfCall
from chatlab.agent.config import AgentConfig
from chatlab.agent.rights import Rights
from chatlab.agent.shipping.log import mlflow_of, told
from chatlab.errors import ConfigError
from chatlab.formats.chat_agents import graph_of, is_chat_agent

_OF_CHATLAB = re.compile(r"^\s*(from|import)\s+chatlab\b", re.M)


class OwnAgent(Agent):
    """An agent that is made by code of its own, and finds its credential by itself: whoever's is in the
    environment. Its file says what it is logged and deployed with."""

    def __init__(self, config: AgentConfig, made: Any) -> None:
        super().__init__(config)
        self._made = made

    def make(self, rights: Rights, *, checkpointer: Any = None, **clients: Any) -> AgentOfCall:
        """Return the agent for one call. None of the rights come to it."""
        from chatlab.agent.tools import Toolset

        return AgentOfCall(graph_of(self._made), Toolset((), {}, ()), {})


def agent_of(config: AgentConfig, folder: Path) -> Agent:
    """Return the agent of a folder: of its `agent.py`, if that does not itself take it from `agent.yaml`.

    Raises ConfigError where that has no ChatAgent, NotReady without MLflow, and Unavailable where it raises.
    """
    code = folder / "agent.py"
    if not code.is_file() or _OF_CHATLAB.search(code.read_text("utf-8")):
        return Agent(config)
    mlflow_of()
    spec = importlib.util.spec_from_file_location("agent", code)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.path.append(str(folder))  # where its own modules are
    sys.modules["agent"] = module
    with told(f"{code} cannot be run"):
        spec.loader.exec_module(module)
    made = [one for one in vars(module).values() if is_chat_agent(one)]
    if not made:
        raise ConfigError([f"{code}: it makes no ChatAgent, and takes no agent from {FILE} either"])
    return OwnAgent(config, made[-1])
