"""The configuration of an agent: one YAML file with its model, prompt and tools, and as whom they run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, ValidationError, field_validator

from chatlab.config.load import read_document
from chatlab.config.model import Model
from chatlab.config.models import Prices
from chatlab.config.problems import literal_credentials, problems, render
from chatlab.errors import ConfigError

Whom: TypeAlias = Literal["user", "service"]
"""Whose rights are used: those of the person who asks, or the agent's own."""

_NAME = r"^[A-Za-z_][A-Za-z0-9_-]{0,63}$"
_SECRET = re.compile(r"(^|_)(key|secret|password|token)$", re.I)
_OF_A_SCOPE = re.compile(r"\{\{secrets/[^/{}]+/[^/{}]+\}\}")
_THREE = r"^[^.\s]+\.[^.\s]+\.[^.\s]+$"


class Variable(Model):
    """The value is in this variable."""

    env: str = Field(description="Name of the variable that holds it.")


class _Tool(Model):
    description: str | None = Field(None, description="What the model is told that it does.")
    whom: Whom | None = Field(
        None, alias="as", description="Whose rights it uses; the agent's `as` if not given."
    )
    approve: bool = Field(False, description="Ask the person before each call.")


class SearchTool(_Tool):
    """Search in an index of Databricks Vector Search (AI Search). What it finds are the answer's sources."""

    type: Literal["search"] = Field(description="A search in an index.")
    name: str = Field("search_documents", pattern=_NAME, description="Name that the model calls it by.")
    index: str = Field(pattern=_THREE, description="The index: `catalog.schema.name`.")
    columns: tuple[str, ...] = Field(min_length=1, description="Columns to return.")
    text: str | None = Field(
        None, description="Column with the text; the first one of `columns` if not given."
    )
    title: str | None = Field(None, description="Column with the title of a source.")
    url: str | None = Field(None, description="Column with the address of a source.")
    results: int = Field(5, ge=1, le=50, description="Most results of a search.")
    filters: Mapping[str, Any] = Field(
        default_factory=dict, description="Filter of each search, such as {team: support}."
    )
    query_type: Literal["ANN", "HYBRID", "FULL_TEXT"] | None = Field(
        None, description="The way of searching."
    )


class FunctionTool(_Tool):
    """A function of Unity Catalog, run by a SQL warehouse. Its parameters are those of the catalog."""

    type: Literal["function"] = Field(description="A function of Unity Catalog.")
    function: str = Field(pattern=_THREE, description="The function: `catalog.schema.name`.")
    name: str | None = Field(
        None, pattern=_NAME, description="Name that the model calls it by; the function's if not given."
    )
    warehouse: str = Field(min_length=1, description="Id of the SQL warehouse that runs it.")
    timeout: int = Field(30, ge=5, le=50, description="Seconds a call may take.")
    max_rows: int = Field(100, ge=1, le=10_000, description="Most rows of a function that returns a table.")

    @property
    def called(self) -> str:
        """Return the name that the model calls it by."""
        return self.name or self.function.rpartition(".")[2]


class SqlTool(_Tool):
    """A query of the model's own to a SQL warehouse. Statements that only read are run, and no others."""

    type: Literal["sql"] = Field(description="Queries of the model's own.")
    name: str = Field("query_tables", pattern=_NAME, description="Name that the model calls it by.")
    warehouse: str = Field(min_length=1, description="Id of the SQL warehouse.")
    catalog: str | None = Field(None, description="Catalog of names without one.")
    schema_name: str | None = Field(None, alias="schema", description="Schema of names without one.")
    max_rows: int = Field(100, ge=1, le=10_000, description="Most rows of a result.")
    max_statements: int = Field(5, ge=1, le=100, description="Most statements for one answer.")
    max_characters: int = Field(10_000, ge=100, description="Longest statement.")
    timeout: int = Field(30, ge=5, le=50, description="Seconds a statement may take.")


Tool: TypeAlias = Annotated[SearchTool | FunctionTool | SqlTool, Field(discriminator="type")]


class Deployment(Model):
    """The deployment to Model Serving by `chatlab agent deploy`."""

    endpoint: str | None = Field(None, description="Name of the endpoint; made of the model's if not given.")
    scale_to_zero: bool = Field(True, description="Whether the endpoint may go to sleep.")
    workload_size: Literal["Small", "Medium", "Large"] = Field("Small", description="Size of the endpoint.")
    tags: Mapping[str, str] = Field(default_factory=dict, description="Tags of the endpoint.")
    can_query: tuple[str, ...] = Field(
        (), description="People (by their e-mail address) and groups who may ask the endpoint."
    )
    environment: Mapping[str, str] = Field(
        default_factory=dict, description="Variables of the endpoint; secrets as {{secrets/scope/key}}."
    )

    @field_validator("environment")
    @classmethod
    def _secrets_by_reference(cls, environment: Mapping[str, str]) -> Mapping[str, str]:
        for name, value in environment.items():
            if _SECRET.search(name) and not _OF_A_SCOPE.fullmatch(value.strip()):
                raise ValueError(
                    f"{name} belongs into a scope of secrets: write {{{{secrets/SCOPE/KEY}}}}, not its value"
                )
        return environment


class Resource(Model):
    """Something of the workspace that the service uses besides what the tools name."""

    type: Literal["endpoint", "index", "function", "warehouse", "connection", "table", "genie", "app"] = (
        Field(description="What it is.")
    )
    name: str = Field(min_length=1, description="Its name, or id.")


class AgentConfig(Model):
    """A whole `agent.yaml`."""

    name: str = Field("agent", pattern=_NAME, description="Name of the agent, and of the logged model.")
    host: Variable | str = Field(
        Variable(env="DATABRICKS_HOST"), description="URL of the workspace, or {env: NAME}."
    )
    endpoint: str | Variable = Field(description="Serving endpoint of the chat model, or {env: NAME}.")
    endpoint_as: Whom | None = Field(
        None, description="Whose rights the model is called with; the agent's `as` if not given."
    )
    temperature: float | None = Field(None, ge=0, le=2, description="Temperature of the model.")
    max_tokens: int | None = Field(None, ge=1, description="Most tokens of one reply of the model.")
    system: str = Field("", description="System prompt.")
    whom: Whom = Field("user", alias="as", description="Whose rights are used where nothing else is said.")
    tools: tuple[Tool, ...] = Field((), description="What the agent can do.")
    prices: Prices | None = Field(None, description="Prices of the model, for the cost in an evaluation.")
    max_steps: int = Field(25, ge=2, description="Steps after which an answer is given up.")
    shape: Literal["responses", "chat"] = Field(
        "responses", description="How it is logged: as a ResponsesAgent or as a ChatAgent."
    )
    trace_content: bool = Field(True, description="Whether traces have what was said, found and answered.")
    scopes: tuple[str, ...] = Field((), description="API scopes besides those that the tools need.")
    resources: tuple[Resource, ...] = Field((), description="Resources besides those that the tools name.")
    requirements: tuple[str, ...] = Field((), description="Python packages besides those of the agent.")
    model: str | None = Field(
        None, description="Name under which it is registered, in Unity Catalog `catalog.schema.name`."
    )
    registry: str = Field("databricks-uc", description="URI of the model registry.")
    deploy: Deployment = Field(default_factory=Deployment, description="How it is deployed.")

    @field_validator("tools")
    @classmethod
    def _each_name_once(cls, tools: tuple[Tool, ...]) -> tuple[Tool, ...]:
        names = [name_of(tool) for tool in tools]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two tools have the name {twice[0]}: give one another `name`")
        return tools

    def whom_of(self, tool: Tool) -> Whom:
        """Return whose rights a tool uses."""
        return tool.whom or self.whom

    @property
    def model_as(self) -> Whom:
        """Return whose rights the model is called with."""
        return self.endpoint_as or self.whom

    @property
    def approved(self) -> frozenset[str]:
        """Return the names of the tools whose calls a person has to approve."""
        return frozenset(name_of(tool) for tool in self.tools if tool.approve)


def name_of(tool: Tool) -> str:
    """Return the name that the model calls a tool by."""
    return tool.called if isinstance(tool, FunctionTool) else tool.name


def load_agent(path: Path | str) -> AgentConfig:
    """Return the agent of a file. Raises ConfigError with all its mistakes by line and column."""
    document = read_document(Path(path))
    data = document.value
    if not isinstance(data, dict):
        raise ConfigError([f"{path}: is not the file of an agent, which has at least the key endpoint"])
    found = list(document.problems)
    config: AgentConfig | None = None
    try:
        config = AgentConfig.model_validate(data)
    except ValidationError as exc:
        found += problems(exc, AgentConfig, document, data)
    found += literal_credentials(document, data, (), found)
    if config is None or found:
        raise ConfigError([render(str(path), one) for one in sorted(found, key=lambda one: one.position)])
    return config
