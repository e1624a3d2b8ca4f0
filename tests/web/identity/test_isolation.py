"""Two people at every credential that a backend can have, at once: as whom it is asked, and what is seen.

Each of them asks sixty turns at a time. The services know by the token they get who asks, and by the text who
that has to be; every token is then looked for wherever something is told or stored.
"""

from __future__ import annotations

import base64
import json
import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import httpx2
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tests.servers.databricks import Workspace
from tests.servers.exchanging import CANARY, Exchanging
from tests.servers.front import Front
from tests.servers.machine import Authority, Machine
from tests.servers.oidc import SECRET
from tests.telemetry.collector import Collector, collector
from tests.web.identity.people import signed_in
from tests.web.identity.test_sign_in import ask
from tests.web.pages import Served, chunks

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


@pytest.fixture
def services(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Services]:
    from huggingface_hub import constants

    with (
        Exchanging() as provider,
        Front() as gateway,
        Workspace() as workspace,
        Machine(monkeypatch),
        Authority(monkeypatch, tmp_path),
        collector() as told,
    ):
        found = Services(provider, gateway, workspace, told)

        async def reply(request: Request) -> Response:
            body = json.loads(await request.body())
            path = request.url.path.split("/")
            backend = path[2] if path[1] == "serving-endpoints" else str(body["model"])
            who = found.answer(request, "space" if backend not in {*SERVICE, *PERSON} else backend, body)
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
        for name in ("pat", "m2m", "profile", "federated", "on-behalf"):
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
        (tmp_path / "key-of-test").write_text("file-of-a-test-4711")
        profile = f"[TEST]\nhost = {workspace.url}\ntoken = {workspace.person('the-profile')}\n"
        (tmp_path / "databrickscfg").write_text(profile)
        (tmp_path / "graph_of_test.py").write_text(GRAPH.format(gateway=gateway.url))
        yield found


@dataclass
class Asker:
    """Somebody who compares, and everything that they were told. name: as the provider knows them."""

    name: str
    client: httpx2.Client
    told: list[str] = field(default_factory=list)

    def get(self, path: str) -> httpx2.Response:
        """What is answered, which is remembered with its headers."""
        answer = self.client.get(path)
        self.told.append(f"{answer.headers}\n{answer.text}")
        return answer

    def compare(self, backends: tuple[str, ...], text: str) -> tuple[str, dict[str, Any]]:
        """The address of a session in which these were asked, and its view once all have answered."""
        lanes = {"lanes": [{"backend": name} for name in backends]}
        one = f"/-/compare/sessions/{self.client.post('/-/compare/sessions', json=lanes).json()['id']}"
        self.client.post(f"{one}/ask", json={"text": text})
        while (view := self.client.get(one).json())["running"]:
            time.sleep(0.1)
        self.told.append(str(view))
        return one, view

    def look(self, one: str, view: dict[str, Any]) -> None:
        """Ask for everything that a session can be told or exported as."""
        number = view["rounds"][0]["id"]
        paths = [f"{one}/rounds/{number}/receipts", f"{one}/ranking"]
        paths += [f"{one}/report?format={form}" for form in ("html", "markdown", "jsonl", "votes")]
        paths += [f"{one}/lanes/{lane['id']}/recording" for lane in view["lanes"]]
        token = self.client.post(f"{one}/shares").json()["token"]
        paths += [f"/-/shared/comparison/{token}"]
        assert {self.get(path).status_code for path in paths} == {200}

    def look_around(self) -> None:
        """Ask for everything else that a person can ask for."""
        paths = [f"/-/export?format={form}" for form in ("jsonl", "markdown", "html")]
        paths += ["/", "/config", "/compare", "/-/me", "/-/conversations", "/gradio_api/info"]
        assert {self.get(path).status_code for path in paths} == {200}
        self.told.append(str(self.client.cookies))


def test_at_every_credential_each_is_asked_as_whoever_asks_and_no_token_is_seen_anywhere(
    services: Services,
    serve: Callable[[str], Served],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.DEBUG)
    provider = services.provider
    urls = {"gateway": services.gateway.url, "workspace": services.workspace.url}
    config = BACKENDS.format(**urls, collector=services.told.url) + provider.config(", audit: audit.jsonl")
    served = serve(config)
    everybody = (*SERVICE, *PERSON)
    halves = everybody[:8], everybody[8:]
    with (
        signed_in(served.url, provider, "ann") as ann,
        signed_in(served.url, provider, "bob") as bob,
        ThreadPoolExecutor(16) as threads,
    ):
        people = [Asker("ann", ann), Asker("bob", bob)]
        # A pod's identity is looked up in the environment once; then this is a machine again.
        people[0].compare(("workload", "key"), "ann asks first")
        monkeypatch.delenv("AZURE_FEDERATED_TOKEN_FILE")
        asked = [
            (one, half, threads.submit(one.compare, half, f"{one.name} asks {number}"))
            for number in range(4)
            for one in people
            for half in halves
        ]
        for one, half, done in asked:
            session, view = done.result(120)
            for lane, backend in zip(view["lanes"], half, strict=True):
                answer = view["rounds"][0]["answers"][lane["id"]][0]
                assert f"you are {SERVICE.get(backend, one.name)}" in str(answer), (backend, answer)
                assert lane["asked_as"] == (one.name.title() if backend in PERSON else "the service")
        for one in people:
            failed = [one.compare(half, f"{one.name} asks to fail") for half in halves]
            assert str(failed).count("may not") >= len(everybody) - 1
            for session, view in failed:
                one.look(session, view)
            one.look_around()
            one.told.append(ask(one.client, f"{one.name} asks the chat", f"hash-of-{one.name}"))
    served.stop()
    # Who was asked as whom: by each token, in every turn.
    assert {backend for backend, _, _ in services.asked} == set(everybody)
    for backend, who, text in services.asked:
        assert who == SERVICE.get(backend, text.partition(" ")[0]), (backend, who, text)
    assert len(services.asked) >= 2 * 5 * len(everybody)
    # And what is seen of it: nothing.
    told = [text for one in people for text in one.told]
    told += [caplog.text, "\n".join(map(repr, caplog.records)), *capfd.readouterr()]
    traces = "\n".join(body.decode("latin-1") for body in services.told.bodies)
    told.append(traces)
    own = {"key-of-test", "databrickscfg", "ca.pem", "own.pem", "federated"}  # of whoever runs it
    files = [file for file in tmp_path.rglob("*") if file.is_file() and file.name not in own]
    stored = b"\n".join(file.read_bytes() for file in files).decode("latin-1")
    assert "asks to fail" in traces and "asks to fail" in stored and (tmp_path / "audit.jsonl") in files
    everything = "\n".join((*told, stored))
    secrets = {CANARY, "ambient", *services.tokens}
    secrets |= {part for token in services.tokens for part in token.split(".")[1:] if len(part) > 20}
    secrets |= {base64.b64encode(token.encode()).decode() for token in services.tokens}
    for secret in secrets:
        at = everything.find(secret)
        assert at < 0, everything[max(0, at - 200) : at + 100]
