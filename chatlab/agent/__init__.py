"""An agent that answers with the rights of whoever asks: tried here, compared, logged, deployed.

    object: chatlab.agent:graph       # in a configuration, kind `langchain`: the agent of ./agent.yaml

Nothing is imported here but what a configuration needs; LangChain, the Databricks SDK and MLflow are imported
when an agent is made, asked or logged. It runs in Model Serving and in Databricks Apps as it does here.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from chatlab.agent.agent import Agent

__all__ = ["Agent", "graph", "set_model"]


def graph() -> Any:
    """Return the graph of the agent whose file CHATLAB_AGENT names, or of ./agent.yaml."""
    return Agent.load(os.environ.get("CHATLAB_AGENT") or "agent.yaml").graph()


def set_model(agent: Agent) -> None:
    """Give MLflow the model of an agent, where MLflow is what runs the module ("models from code")."""
    if "mlflow" in sys.modules:
        from chatlab.agent.served import set_model as give

        give(agent)
