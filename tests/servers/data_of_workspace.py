"""The index, warehouse and functions of a workspace on loopback, and who may use them.

The routes and bodies are those of the Databricks SDK's own calls. docs/agent.md lists what of it only a real
workspace can confirm.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tests.servers.databricks import Workspace

INDEX = "main.docs.articles"
WAREHOUSE = "abcdef0123456789"
FUNCTION = "main.tools.shout"


@dataclass(frozen=True, slots=True)
class ToolCallSeen:
    """One call of a tool: what it was, and the token it came with."""

    what: str
    token: str
    body: Mapping[str, Any]


class DataOfWorkspace:
    """Adds them to a workspace. `allowed` names who may use what; everybody may use what is not named."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.documents: list[dict[str, Any]] = []
        self.allowed: dict[str, set[str]] = {}
        self.calls: list[ToolCallSeen] = []
        self.database = sqlite3.connect(":memory:", check_same_thread=False)
        on = workspace.front.on
        on("GET", f"/api/2.0/vector-search/indexes/{INDEX}", self._index)
        on("POST", f"/api/2.0/vector-search/indexes/{INDEX}/query", self._query)
        on(
            "GET", f"/api/2.0/vector-search/indexes/{INDEX}/query", self._query
        )  # as databricks-ai-search does
        on("GET", f"/api/2.0/sql/warehouses/{WAREHOUSE}", self._warehouse)
        on("POST", "/api/2.0/sql/statements", self._statement)
        on("GET", f"/api/2.1/unity-catalog/functions/{FUNCTION}", self._function)
        on("POST", "/serving-endpoints/chat/completions", self._completions)

    def _refused(self, request: Request, what: str) -> Response | None:
        identity = self.workspace.identity_of(request)
        if identity is None:
            return JSONResponse({"error_code": "UNAUTHENTICATED", "message": "The token is not valid."}, 401)
        if identity not in self.allowed.get(what, {identity}):
            message = f"{identity} has no permission on {what}."
            return JSONResponse({"error_code": "PERMISSION_DENIED", "message": message}, 403)
        return None

    def _seen(self, what: str, request: Request, body: Mapping[str, Any]) -> None:
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        self.calls.append(ToolCallSeen(what, token, body))

    async def _index(self, request: Request) -> Response:
        return self._refused(request, INDEX) or JSONResponse(
            {
                "name": INDEX,
                "endpoint_name": "search",
                "index_type": "DELTA_SYNC",
                "primary_key": "id",
                "delta_sync_index_spec": {"embedding_source_columns": [{"name": "text"}]},
                "status": {"ready": True},
            }
        )

    async def _query(self, request: Request) -> Response:
        body = json.loads(await request.body())
        self._seen("search", request, body)
        if (refused := self._refused(request, INDEX)) is not None:
            return refused
        identity = self.workspace.identity_of(request)
        visible = [one for one in self.documents if one.get("for") in (None, identity)]
        columns = [*body["columns"], "score"]
        rows = [[*(one.get(name) for name in body["columns"]), 0.5] for one in visible]
        rows = rows[: body.get("num_results", 10)]
        return JSONResponse(
            {
                "manifest": {"column_count": len(columns), "columns": [{"name": name} for name in columns]},
                "result": {"row_count": len(rows), "data_array": rows},
            }
        )

    async def _warehouse(self, request: Request) -> Response:
        return self._refused(request, WAREHOUSE) or JSONResponse({"id": WAREHOUSE, "state": "RUNNING"})

    async def _function(self, request: Request) -> Response:
        parameter = {"name": "what", "type_text": "string", "type_name": "STRING", "position": 0}
        info = {
            "full_name": FUNCTION,
            "name": "shout",
            "comment": "Says it louder.",
            "data_type": "STRING",
            "input_params": {"parameters": [{**parameter, "comment": "What to say."}]},
        }
        return self._refused(request, FUNCTION) or JSONResponse(info)

    async def _statement(self, request: Request) -> Response:
        body = json.loads(await request.body())
        self._seen("statement", request, body)
        if (refused := self._refused(request, WAREHOUSE)) is not None:
            return refused
        try:
            return JSONResponse(self._ran(body))
        except sqlite3.Error as exc:
            error = {"error_code": "BAD_REQUEST", "message": f"[PARSE_SYNTAX_ERROR] {exc}"}
            return JSONResponse({"statement_id": "1", "status": {"state": "FAILED", "error": error}})

    def _ran(self, body: Mapping[str, Any]) -> dict[str, Any]:
        given = {one["name"]: one.get("value") for one in body.get("parameters") or ()}
        if "`shout`" in body["statement"]:
            names, rows = ["result"], [[str(given["what"]).upper()]]
        else:
            cursor = self.database.execute(body["statement"], given)
            names, rows = [one[0] for one in cursor.description], [list(row) for row in cursor]
        limit = body.get("row_limit", len(rows))
        return statement_reply(names, rows[:limit], truncated=len(rows) > limit)

    async def _completions(self, request: Request) -> Response:
        """OpenAI's protocol for all chat endpoints: the model's name is the endpoint's."""
        body = json.loads(await request.body())
        endpoint = self.workspace.endpoints[body["model"]]
        self._seen("model", request, body)
        return self._refused(request, endpoint.name) or await endpoint.reply(request, body)


def statement_reply(
    names: Sequence[str], rows: Sequence[Sequence[Any]], *, truncated: bool
) -> dict[str, Any]:
    """What the warehouse says of a statement that succeeded: every value as text."""
    columns = [{"name": name, "type_name": "STRING", "position": n} for n, name in enumerate(names)]
    return {
        "statement_id": "01ef-0000",
        "status": {"state": "SUCCEEDED"},
        "manifest": {
            "format": "JSON_ARRAY",
            "schema": {"column_count": len(columns), "columns": columns},
            "truncated": truncated,
        },
        "result": {
            "row_count": len(rows),
            "data_array": [[None if value is None else str(value) for value in row] for row in rows],
        },
    }
