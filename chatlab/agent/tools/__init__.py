"""The tools of an agent, made for one call with the rights of that call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chatlab.agent.config import AgentConfig, FunctionTool, SearchTool, SqlTool, Tool, name_of
from chatlab.agent.rights import Rights
from chatlab.databricks_sdk import sdk_error
from chatlab.errors import AuthenticationFailed, BackendError

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool


@dataclass(frozen=True, slots=True)
class Toolset:
    """The tools of a call. whom: whose rights each one uses, in words. skipped: what is left out, and why."""

    tools: tuple[BaseTool, ...]
    whom: dict[str, str]
    skipped: tuple[str, ...]


def make_tools(config: AgentConfig, rights: Rights) -> Toolset:
    """Return the tools that can be made with these rights.

    What a workspace refuses or does not have is skipped and named. Raises AuthRequired, NotReady and
    AuthenticationFailed: a call whose credential is missing or refused has no tools at all.
    """
    tools: list[BaseTool] = []
    whom: dict[str, str] = {}
    skipped: list[str] = []
    clients: dict[str, Any] = {}
    for tool in config.tools:
        wanted = config.whom_of(tool)
        client = clients.setdefault(rights.whom(wanted), None) or rights.client(wanted)
        clients[rights.whom(wanted)] = client
        name = name_of(tool)
        try:
            made = _make(tool, client)
        except Exception as exc:
            error = exc if isinstance(exc, BackendError) else sdk_error(exc)
            if error is None or isinstance(error, AuthenticationFailed):
                raise error or exc from exc
            skipped.append(f"the tool {name} is left out, as {rights.described(wanted)}: {error.detail}")
            continue
        made.metadata = {"as": rights.whom(wanted)}
        made.handle_tool_error = str  # what went wrong is the call's result, for the model
        tools.append(made)
        whom[name] = rights.described(wanted)
    return Toolset(tuple(tools), whom, tuple(skipped))


def _make(tool: Tool, client: Any) -> BaseTool:
    # LangChain takes a second to import: not before a tool is made.
    if isinstance(tool, SearchTool):
        from chatlab.agent.tools.search import search_tool

        return search_tool(tool, client)
    if isinstance(tool, FunctionTool):
        from chatlab.agent.tools.functions import function_tool

        return function_tool(tool, client)
    assert isinstance(tool, SqlTool)
    from chatlab.agent.tools.sql import sql_tool

    return sql_tool(tool, client)
