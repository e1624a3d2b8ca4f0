"""Queries of the model's own, run by a SQL warehouse: those that only read, a few for an answer."""

from __future__ import annotations

import threading
from typing import Any

from langchain_core.tools import BaseTool, StructuredTool, ToolException

from chatlab.agent.config import SqlTool
from chatlab.agent.tools.errors import told
from chatlab.agent.tools.statements import not_only_reading, run_statement


def sql_tool(tool: SqlTool, client: Any) -> BaseTool:
    """Return the tool, for one answer. Raises what the SDK raises where the warehouse cannot be looked at."""
    client.warehouses.get(tool.warehouse)
    left = threading.Semaphore(tool.max_statements)

    def query(statement: str) -> str:
        if len(statement) > tool.max_characters:
            raise ToolException(f"{tool.name}: a statement has at most {tool.max_characters} characters")
        if (reason := not_only_reading(statement)) is not None:
            raise ToolException(f"{tool.name} only reads, and this was not run: {reason}")
        if not left.acquire(blocking=False):
            raise ToolException(f"{tool.name}: {tool.max_statements} statements were run, which is the limit")
        with told(tool.name):
            return run_statement(
                client,
                tool.warehouse,
                statement,
                timeout=tool.timeout,
                max_rows=tool.max_rows,
                catalog=tool.catalog,
                schema=tool.schema_name,
            )

    described = tool.description or (
        "Runs one SQL query that only reads, and returns its columns and rows as lines of JSON."
    )
    return StructuredTool.from_function(query, name=tool.name, description=described)
