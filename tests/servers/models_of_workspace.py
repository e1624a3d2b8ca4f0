"""The Unity Catalog models of a workspace on loopback, and what `databricks.agents.deploy` asks of it.

Routes and fields are those that MLflow 3.17 and databricks-agents 1.13 send and read. Files of a version go
by the Files API, as in a workspace that says so. docs/agent.md lists what only a real workspace can confirm.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx2
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from tests.servers.databricks import Reply, Workspace

_MLFLOW = "/api/2.0/mlflow/unity-catalog"
_FILES = "/api/2.0/fs/files/Models"
_FOLDERS = "/api/2.0/fs/directories/Models"
_ENDPOINTS = "/api/2.0/serving-endpoints"


class ModelsOfWorkspace:
    """Adds them to a workspace. An endpoint that is created answers by `reply`, and is ready when it has been
    looked at `looks` times.
    """

    def __init__(self, workspace: Workspace, reply: Reply, looks: int = 2) -> None:
        self.workspace = workspace
        self.files: dict[str, bytes] = {}
        self.versions: dict[str, dict[str, Any]] = {}
        self.created: list[dict[str, Any]] = []  # the bodies that endpoints were created with
        self.deployed: list[dict[str, Any]] = []
        self.permitted: list[tuple[str, dict[str, Any]]] = []  # id of an endpoint, and the body
        self.judged: list[dict[str, Any]] = []
        self._reply, self._looks = reply, looks
        on = workspace.front.on
        on("POST", f"{_MLFLOW}/registered-models/create", self._model)
        on("POST", f"{_MLFLOW}/model-versions/create", self._version)
        on("POST", f"{_MLFLOW}/model-versions/finalize", self._finalized)
        on("GET", f"{_MLFLOW}/model-versions/get", self._finalized)
        on(
            "GET",
            f"{_MLFLOW}/registered-models:is-databricks-sdk-models-artifact-repository-enabled",
            self._by_files,
        )
        on("POST", f"{_MLFLOW}/model-versions/emit-lineage", self._noted)
        on("PUT", f"{_FILES}/*", self._put)
        on("POST", "/api/2.0/fs/create-download-url", self._download_url)
        on("GET", "/storage/Models/*", self._get)
        on("HEAD", f"{_FOLDERS}/*", self._is_folder)
        on("GET", f"{_FOLDERS}/*", self._folder)
        on("GET", f"{_ENDPOINTS}/*", self._nothing)
        on("POST", _ENDPOINTS, self._create)
        on("GET", "/api/2.1/unity-catalog/tables/*", self._no_table)
        on("POST", "/api/2.0/agents/deployments", self._deployment)
        on("GET", "/api/2.0/agents/deployments/*", self._deployments)
        on("POST", "/api/2.0/agents/chat-assessments", self._judged)
        on("PATCH", "/api/2.0/permissions/serving-endpoints/*", self._permit)

    async def _nothing(self, request: Request) -> Response:
        return JSONResponse(
            {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "There is no such thing."}, 404
        )

    async def _model(self, request: Request) -> Response:
        return JSONResponse({"registered_model": {"name": json.loads(await request.body())["name"]}})

    async def _version(self, request: Request) -> Response:
        body = json.loads(await request.body())
        version = str(1 + sum(key.rpartition("/")[0] == body["name"] for key in self.versions))
        made = {
            "name": body["name"],
            "version": version,
            "source": body["source"],
            "status": "PENDING_REGISTRATION",
        }
        self.versions[f"{body['name']}/{version}"] = made
        return JSONResponse({"model_version": made})

    async def _finalized(self, request: Request) -> Response:
        asked = json.loads(await request.body() or b"{}") or dict(request.query_params)
        found = self.versions[f"{asked['name']}/{asked['version']}"]
        found["status"] = "READY"
        return JSONResponse({"model_version": found})

    async def _by_files(self, request: Request) -> Response:
        return JSONResponse({"is_databricks_sdk_models_artifact_repository_enabled": True})

    async def _put(self, request: Request) -> Response:
        self.files[request.url.path.removeprefix(_FILES)] = await request.body()
        return Response(status_code=204)

    async def _download_url(self, request: Request) -> Response:
        url = f"{self.workspace.url}/storage{request.query_params['path']}"
        return JSONResponse({"url": url, "headers": []})

    async def _noted(self, request: Request) -> Response:
        return JSONResponse({})

    async def _get(self, request: Request) -> Response:
        found = self.files.get(request.url.path.removeprefix("/storage/Models"))
        return await self._nothing(request) if found is None else Response(found)

    async def _is_folder(self, request: Request) -> Response:
        below = request.url.path.removeprefix(_FOLDERS).rstrip("/") + "/"
        return Response(status_code=200 if any(one.startswith(below) for one in self.files) else 404)

    async def _folder(self, request: Request) -> Response:
        below = request.url.path.removeprefix(_FOLDERS).rstrip("/") + "/"
        names = {one[len(below) :].partition("/") for one in self.files if one.startswith(below)}
        entries = [
            {"path": f"/Models{below}{name}", "name": name, "is_directory": bool(slash)}
            for name, slash, _ in names
        ]
        return JSONResponse({"contents": list({one["path"]: one for one in entries}.values())})

    async def _no_table(self, request: Request) -> Response:
        return JSONResponse({"table_exists": False})

    async def _create(self, request: Request) -> Response:
        body = json.loads(await request.body())
        self.created.append(body)
        endpoint = self.workspace.serve(body["name"], "agent/v1/responses", self._reply, ready="NOT_READY")
        endpoint.config_update = "IN_PROGRESS"
        looks = iter(range(self._looks))

        async def look(request: Request) -> Response:
            if next(looks, None) is None:
                endpoint.ready, endpoint.config_update = "READY", "NOT_UPDATING"
            return JSONResponse({**endpoint.body(), "tags": body["tags"]})

        self.workspace.front.on("GET", f"{_ENDPOINTS}/{body['name']}", look)
        return JSONResponse(endpoint.body())

    async def _deployments(self, request: Request) -> Response:
        review = {"review_app_url": f"{self.workspace.url}/review-v2/chat"}
        wanted = request.query_params["model_name"]
        found = [{**one, **review} for one in self.deployed if one["model_name"] == wanted]
        return JSONResponse({"chain_deployments": found})

    async def _judged(self, request: Request) -> Response:
        """Says of harm that there is none, and yes to all else that has the expected text in it."""
        body = json.loads(await request.body())
        self.judged.append(body)
        said, (wanted,) = body["assessment_input"], body["requested_assessments"]
        expected = said.get("ground_truth", {}).get("expected_chat_response", "")
        right = wanted["assessment_name"] != "harmfulness" and expected in said["chat_response"]
        value = {"categorical_value": "yes" if right else "no", "justification": "As it is there."}
        rating = {wanted["assessment_name"]: {"value": value}}
        return JSONResponse(
            {"result": {"response_assessment": {"ratings": rating}, "retrieval_assessment": {}}}
        )

    async def _permit(self, request: Request) -> Response:
        self.permitted.append((request.url.path.rpartition("/")[2], json.loads(await request.body())))
        return JSONResponse({})

    async def _deployment(self, request: Request) -> Response:
        body = json.loads(await request.body())
        self.deployed.append(body)
        review = f"{self.workspace.url}/review-v2/{body['endpoint_name']}"
        return JSONResponse({"deployed_chain": {**body, "review_app_url": review}})


def behind(url: str) -> Reply:
    """Answers by MLflow's AgentServer there, with the token of whoever asks, as Model Serving gives it on."""

    async def reply(request: Request, body: Mapping[str, Any]) -> Response:
        headers = {"authorization": request.headers["authorization"]}
        client = httpx2.AsyncClient(timeout=None, trust_env=False)
        asked = client.build_request("POST", f"{url}/invocations", json=dict(body), headers=headers)
        answer = await client.send(asked, stream=True)

        async def pieces() -> AsyncIterator[bytes]:
            try:
                async for piece in answer.aiter_raw():
                    yield piece
            finally:
                await answer.aclose()
                await client.aclose()

        return StreamingResponse(pieces(), answer.status_code, media_type=answer.headers.get("content-type"))

    return reply
