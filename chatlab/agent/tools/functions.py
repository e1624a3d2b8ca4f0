"""Functions of Unity Catalog: their parameters are the catalog's, and a SQL warehouse runs them."""

from __future__ import annotations

import json
from typing import Any

from langchain_core.tools import BaseTool, StructuredTool
from pydantic import BaseModel, Field, create_model

from chatlab.agent.config import FunctionTool
from chatlab.agent.tools.errors import told
from chatlab.agent.tools.statements import run_statement

_TYPES: dict[str, Any] = {
    "BOOLEAN": bool,
    "BYTE": int,
    "SHORT": int,
    "INT": int,
    "LONG": int,
    "FLOAT": float,
    "DOUBLE": float,
    "ARRAY": list[Any],
    "MAP": dict[str, Any],
    "STRUCT": dict[str, Any],
}


def function_tool(tool: FunctionTool, client: Any) -> BaseTool:
    """Return the tool. Raises what the SDK raises where the function cannot be looked at."""
    info = client.functions.get(tool.function)
    parameters = sorted(
        (info.input_params.parameters if info.input_params else None) or (), key=lambda one: one.position
    )
    types = {one.name: one.type_text for one in parameters}
    table = info.data_type is not None and info.data_type.value == "TABLE_TYPE"

    def call(**given: Any) -> str:
        from databricks.sdk.service.sql import StatementParameterListItem

        names = [name for name in types if given.get(name) is not None]
        with told(tool.called):
            return run_statement(
                client,
                tool.warehouse,
                _statement(tool.function, {name: types[name] for name in names}, table=table),
                timeout=tool.timeout,
                max_rows=tool.max_rows,
                parameters=[
                    StatementParameterListItem(name=name, value=_text(given[name]), type=_plain(types[name]))
                    for name in names
                ],
            )

    described = tool.description or info.comment or f"Calls {tool.function}."
    return StructuredTool.from_function(
        call, name=tool.called, description=described, args_schema=_schema(tool.called, parameters)
    )


def _schema(name: str, parameters: Any) -> type[BaseModel]:
    """Return the arguments, as the model is told them."""
    fields: dict[str, Any] = {}
    for one in parameters:
        kind = _TYPES.get(one.type_name.value if one.type_name else "", str)
        about = one.comment or one.type_text
        if one.parameter_default is None:
            fields[one.name] = (kind, Field(description=about))
        else:
            about = f"{about} ({one.parameter_default} if not given)"
            fields[one.name] = (kind | None, Field(None, description=about))
    return create_model(name, **fields)


def _complex(type_text: str) -> bool:
    return type_text.lower().startswith(("array", "map", "struct"))


def _plain(type_text: str) -> str:
    """Return the type that a value is sent as: what has parts goes as JSON text."""
    return "STRING" if _complex(type_text) else type_text.upper()


def _statement(function: str, types: dict[str, str], *, table: bool) -> str:
    """Return the call with named arguments, each a parameter of the statement and never part of its text."""
    name = ".".join(f"`{part.replace('`', '``')}`" for part in function.split("."))
    values = {
        one: f"from_json(:{one}, '{text.replace(chr(39), '')}')" if _complex(text) else f":{one}"
        for one, text in types.items()
    }
    arguments = ", ".join(f"{one} => {value}" for one, value in values.items())
    if table:
        return f"SELECT * FROM {name}({arguments})"  # noqa: S608  # values are parameters
    return f"SELECT {name}({arguments}) AS result"


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else str(value)
