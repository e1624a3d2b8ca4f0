"""Every credential that a backend can have, and the services that are asked with them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tests.servers.databricks import Workspace
from tests.servers.exchanging import Exchanging
from tests.servers.front import Front
from tests.servers.machine import Authority, Machine
from tests.servers.oidc import SECRET
from tests.telemetry.collector import Collector, collector
from tests.web.pages import chunks

# As whom each backend is asked: a person, or the service by the name that the service asked has for it.
SERVICE = {
    "key": "the key",
    "file": "the key of a file",
    "pat": "the-pat",
    "m2m": "a service principal",
    "profile": "the-profile",
    "managed": "the machine",
    "workload": "the pod",
    "default": "the machine",
}
PERSON = ("federated", "on-behalf", "as-it-is", "exchanged", "on-behalf-openai", "space", "graph")
THERE = "signed-in-there"  # at the workspace, or with a token for it that a platform forwards
BACKENDS = """
version: 1
backends:
  key: {{kind: openai, base_url: '{gateway}/v1', model: key, api_key: {{env: KEY_OF_TEST}}}}
  file: {{kind: openai, base_url: '{gateway}/v1', model: file, api_key: {{file: key-of-test}}}}
  pat: {{kind: databricks, host: '{workspace}', endpoint: pat, task: chat, auth: {{type: pat}}}}
  m2m: {{kind: databricks, host: '{workspace}', endpoint: m2m, task: chat, auth: {{type: oauth-m2m}}}}
  profile:
    kind: databricks
    endpoint: profile
    task: chat
    auth: {{type: profile, profile: TEST, config_file: databrickscfg}}
  managed:
    kind: openai
    azure: {{endpoint: '{gateway}', deployment: managed}}
    auth: {{type: managed_identity}}
  workload:
    kind: openai
    azure: {{endpoint: '{gateway}', deployment: workload}}
    auth: {{type: workload_identity}}
  default:
    kind: openai
    azure: {{endpoint: '{gateway}', deployment: default}}
    auth: {{type: azure_default}}
  federated:
    kind: databricks
    host: '{workspace}'
    endpoint: federated
    task: chat
    auth: {{type: user, by: federation}}
  on-behalf:
    kind: databricks
    host: '{workspace}'
    endpoint: on-behalf
    task: chat
    auth: {{type: user, by: on_behalf_of}}
  as-it-is: {{kind: openai, base_url: '{gateway}/v1', model: as-it-is, auth: {{type: user}}}}
  exchanged:
    kind: openai
    base_url: '{gateway}/v1'
    model: exchanged
    auth: {{type: user, by: exchange, audience: the-gateway}}
  on-behalf-openai:
    kind: openai
    base_url: '{gateway}/v1'
    model: on-behalf-openai
    auth: {{type: user, by: on_behalf_of, scope: 'api://the-gateway/.default'}}
  space: {{kind: huggingface, endpoint: '{gateway}/v1', auth: {{type: user}}}}
  graph: {{kind: langchain, object: 'graph_of_test:graph', auth: {{type: user, by: pass_through}}}}
  signed-in-there:
    kind: databricks
    host: '{workspace}'
    endpoint: signed-in-there
    task: chat
    auth: {{type: user}}
limits:
  running_turns: {{visitor: null, address: null, total: null}}
  turns_a_minute: {{visitor: null, address: null, total: null}}
storage: {{sharing: true}}
telemetry: {{otlp: '{collector}', content: {{}}}}
server: {{log: json}}
"""
GRAPH = """
import httpx2
from langchain_core.runnables import RunnableConfig, RunnableLambda

async def asks(messages, config: RunnableConfig):
    token = await config["configurable"]["chatlab_credential"]("{gateway}")
    async with httpx2.AsyncClient() as client:
        answer = await client.post(
            "{gateway}/graph",
            json={{"model": "graph", "messages": [{{"role": "user", "content": messages[-1].content}}]}},
            headers={{"authorization": f"Bearer {{token.get_secret_value()}}"}},
        )
    return answer.raise_for_status().text

graph = RunnableLambda(asks)
"""


@dataclass
class Services:
    """Everything that backends ask. asked: by backend, who asked by their token, and what."""

    provider: Exchanging
    gateway: Front
    workspace: Workspace
    told: Collector
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)

    def answer(self, request: Request, backend: str, body: Any) -> str:
        """Note who asks, and return it. What is asked to fail says the token in its refusal."""
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        service = {
            "key-of-a-test-4711": "the key",
            "file-of-a-test-4711": "the key of a file",
            "token-of-a-pod": "the pod",
        }
        who = service.get(token) or self.workspace.identity_of(request)
        if token.startswith("of-the-machine"):
            who = "the machine"
        if who == "the-principal":  # which is taken out of what is shown, as all that is given by reference
            who = "a service principal"
        if who is None:
            who = str(self.provider.of(token)["sub"])
        said = body["messages"][-1]["content"]
        text = said if isinstance(said, str) else said[0]["text"]
        self.tokens.add(token)
        self.asked.append((backend, who, text))
        return who if "fail" not in text else f"!{token}"


@contextmanager
def all_services(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Iterator[Services]:
    """All of them, and what this process needs to ask them. folder: where the configuration is."""
    from huggingface_hub import constants

    with (
        Exchanging() as provider,
        Front() as gateway,
        Workspace() as workspace,
        Machine(monkeypatch),
        Authority(monkeypatch, folder),
        collector() as told,
    ):
        found = Services(provider, gateway, workspace, told)

        async def reply(request: Request) -> Response:
            body = json.loads(await request.body())
            path = request.url.path.split("/")
            backend = path[2] if path[1] == "serving-endpoints" else str(body["model"])
            who = found.answer(
                request, "space" if backend not in {*SERVICE, *PERSON, THERE} else backend, body
            )
            if who.startswith("!"):
                return JSONResponse({"error": {"message": f"the token {who[1:]} may not"}}, 400)
            if backend == "graph":
                return Response(f"you are {who}")
            return Response(b"".join(chunks([f"you are {who}"])), media_type="text/event-stream")

        async def federate(request: Request) -> Response:
            form = dict(parse_qsl((await request.body()).decode()))
            if "subject_token" not in form:
                return await workspace._token(request)
            claims = {"sub": provider.of(form["subject_token"])["sub"], "aud": "federation"}
            return JSONResponse({"access_token": provider.access(**claims), "expires_in": 3600})

        for path in ("/v1/chat/completions", "/openai/v1/chat/completions", "/graph"):
            gateway.on("POST", path, reply)
        for name in ("pat", "m2m", "profile", "federated", "on-behalf", THERE):
            workspace.front.on("POST", f"/serving-endpoints/{name}/invocations", reply)
        workspace.front.on("POST", "/oidc/v1/token", federate)
        monkeypatch.setattr(constants, "ENDPOINT", provider.issuer)  # where people sign in is Hugging Face
        monkeypatch.setenv("CHATLAB_TEST_CLIENT", SECRET)
        monkeypatch.setenv("KEY_OF_TEST", "key-of-a-test-4711")
        monkeypatch.setenv("DATABRICKS_TOKEN", workspace.person("the-pat"))
        monkeypatch.setenv("DATABRICKS_CLIENT_ID", "the-principal")
        monkeypatch.setenv("DATABRICKS_CLIENT_SECRET", workspace.principal("the-principal"))
        for name in ("OPENAI_API_KEY", "HF_TOKEN", "AZURE_OPENAI_API_KEY"):
            monkeypatch.setenv(name, "ambient")
        (folder / "key-of-test").write_text("file-of-a-test-4711")
        profile = f"[TEST]\nhost = {workspace.url}\ntoken = {workspace.person('the-profile')}\n"
        (folder / "databrickscfg").write_text(profile)
        (folder / "graph_of_test.py").write_text(GRAPH.format(gateway=gateway.url))
        yield found
        sys.modules.pop("graph_of_test", None)  # the next one has another gateway
