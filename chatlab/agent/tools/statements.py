"""A statement run by a SQL warehouse, its result as text, and whether a statement only reads."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from langchain_core.tools import ToolException

_READS = {"select", "with", "values", "show", "describe", "desc", "explain", "table", "from"}
# Words that change something wherever they stand; as the name of a column they have to be quoted.
_CHANGES = frozenset(
    re.findall(
        r"\w+",
        """insert update delete merge drop alter create replace truncate copy grant revoke deny call execute
        set reset use refresh msck optimize vacuum cache uncache load put remove restore undrop analyze sync
        clone declare begin""",
    )
)
_QUOTED = re.compile(
    r"'(?:[^'\\]|\\.|'')*'|\"(?:[^\"\\]|\\.|\"\")*\"|`(?:[^`]|``)*`|--[^\n]*|/\*.*?\*/", re.S
)
_WORD = re.compile(r"[a-z_]+", re.I)


def not_only_reading(statement: str) -> str | None:
    """Return why a statement is not run, or None if it is one statement that only reads.

    A guard against mistakes of a model: what the credential may do is what limits it.
    """
    bare = _QUOTED.sub(lambda found: " " if found[0][:2] in ("--", "/*") else " q ", statement)
    bare = bare.strip().rstrip(";").strip()
    if not bare:
        return "it is empty"
    if ";" in bare:
        return "it is more than one statement"
    if any(quote in bare for quote in "'\"`") or "/*" in bare:
        return "a quotation or a comment in it has no end"
    words = [word.lower() for word in _WORD.findall(bare)]
    if not words or words[0] not in _READS:
        begins = words[0] if words else bare[:10]
        return f"it begins with {begins}: queries begin with SELECT, WITH, SHOW or DESCRIBE"
    # `replace(...)` is a function of texts, too.
    changing = next(
        (word for word in words if word in _CHANGES and not re.search(rf"\b{word}\s*\(", bare, re.I)), None
    )
    return None if changing is None else f"it has the word {changing}, which only statements that change have"


def run_statement(
    client: Any,
    warehouse: str,
    statement: str,
    *,
    timeout: int,
    max_rows: int,
    parameters: Sequence[Any] = (),
    catalog: str | None = None,
    schema: str | None = None,
) -> str:
    """Return the rows of a statement as lines of JSON, behind a line with the columns.

    timeout: seconds after which the warehouse cancels it. Raises ToolException, and what the SDK raises.
    """
    from databricks.sdk.service import sql

    reply = client.statement_execution.execute_statement(
        statement,
        warehouse,
        wait_timeout=f"{timeout}s",
        on_wait_timeout=sql.ExecuteStatementRequestOnWaitTimeout.CANCEL,
        row_limit=max_rows,
        parameters=list(parameters) or None,
        catalog=catalog,
        schema=schema,
        disposition=sql.Disposition.INLINE,
        format=sql.Format.JSON_ARRAY,
    )
    state = reply.status.state if reply.status else None
    if state is None or state.value != "SUCCEEDED":
        raise ToolException(_why(reply, timeout))
    return _table(reply)


def _why(reply: Any, timeout: int) -> str:
    status = reply.status
    if status is not None and status.error is not None and status.error.message:
        return f"the warehouse refused the statement: {status.error.message}"
    state = status.state.value.lower() if status is not None and status.state is not None else "unknown"
    if state in ("canceled", "pending", "running"):
        return f"the statement took longer than {timeout} seconds and was cancelled"
    return f"the statement ended as {state}"


def _table(reply: Any) -> str:
    manifest = reply.manifest
    columns = [
        column.name for column in (manifest.schema.columns if manifest and manifest.schema else None) or ()
    ]
    rows = (reply.result.data_array if reply.result else None) or []
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    if manifest is not None and manifest.truncated:
        lines.append(f"(only the first {len(rows)} rows)")
    return "\n".join([json.dumps(columns, ensure_ascii=False), *lines])
