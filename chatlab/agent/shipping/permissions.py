"""Rights that an agent needs where it is served, derived from its tools: resources and API scopes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from chatlab.agent.config import AgentConfig, FunctionTool, SearchTool, Tool, name_of
from chatlab.agent.rights import endpoint_of

# What MLflow calls each kind of resource, and its one argument.
_CLASSES = {
    "endpoint": ("DatabricksServingEndpoint", "endpoint_name"),
    "index": ("DatabricksVectorSearchIndex", "index_name"),
    "function": ("DatabricksFunction", "function_name"),
    "warehouse": ("DatabricksSQLWarehouse", "warehouse_id"),
    "connection": ("DatabricksUCConnection", "connection_name"),
    "table": ("DatabricksTable", "table_name"),
    "genie": ("DatabricksGenieSpace", "genie_space_id"),
    "app": ("DatabricksApp", "app_name"),
}
_SEARCH = ("vectorsearch.vector-search-endpoints", "vectorsearch.vector-search-indexes")
_SQL = ("sql.warehouses", "sql.statement-execution")


def resources_of(config: AgentConfig) -> list[tuple[str, str]]:
    """Return what the service itself uses, as (type, name), each once.

    What is used with the rights of the person who asks is not among it: the service needs no right to that.
    """
    found = [("endpoint", endpoint_of(config))] if config.model_as == "service" else []
    for tool in config.tools:
        if config.whom_of(tool) == "service":
            found += _used_by(tool)
    return list(dict.fromkeys([*found, *((one.type, one.name) for one in config.resources)]))


def _used_by(tool: Tool) -> list[tuple[str, str]]:
    if isinstance(tool, SearchTool):
        return [("index", tool.index)]
    if isinstance(tool, FunctionTool):
        return [("function", tool.function), ("warehouse", tool.warehouse)]
    return [("warehouse", tool.warehouse)]


def scopes_of(config: AgentConfig) -> dict[str, str]:
    """Return the API scopes that the token of the person who asks needs, each with what needs it."""
    found: dict[str, str] = {}
    for scope, reason in (
        *_scopes(config),
        *((scope, "scopes in the agent's file") for scope in config.scopes),
    ):
        found.setdefault(scope, reason)
    return found


def _scopes(config: AgentConfig) -> Iterator[tuple[str, str]]:
    if config.model_as == "user":
        yield "serving.serving-endpoints", "the model is called as the person"
    for tool in config.tools:
        if config.whom_of(tool) == "user":
            for scope in _SEARCH if isinstance(tool, SearchTool) else _SQL:
                yield scope, f"{name_of(tool)} runs as the person"


def auth_policy(config: AgentConfig) -> Any:
    """Return MLflow's AuthPolicy with both."""
    from mlflow.models import resources
    from mlflow.models.auth_policy import AuthPolicy, SystemAuthPolicy, UserAuthPolicy

    made = []
    for kind, name in resources_of(config):
        cls, argument = _CLASSES[kind]
        made.append(getattr(resources, cls)(**{argument: name}))
    return AuthPolicy(
        system_auth_policy=SystemAuthPolicy(resources=made),
        user_auth_policy=UserAuthPolicy(api_scopes=list(scopes_of(config))),
    )
