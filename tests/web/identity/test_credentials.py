"""Backends that are asked as whoever signed in at a provider: by its token, or by one in exchange for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import parse_qsl

import httpx2
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tests.servers.databricks import Workspace
from tests.servers.exchanging import CANARY, Exchanging
from tests.servers.front import Front
from tests.servers.oidc import CLIENT, SECRET
from tests.web.identity.people import OPENS, signed_in, somebody
from tests.web.identity.test_sign_in import ask
from tests.web.pages import Served, chunks

BACKENDS = """
  as-it-is:
    kind: openai
    base_url: {gateway}/v1
    model: m
    auth: {{type: user}}
  exchanged:
    kind: openai
    base_url: {gateway}/v1
    model: m
    auth: {{type: user, by: exchange, audience: the-gateway}}
  federated:
    kind: databricks
    host: {workspace}
    endpoint: agent
    task: chat
    auth: {{type: user, by: federation}}
  on-behalf:
    kind: databricks
    host: {workspace}
    endpoint: agent
    task: chat
    auth: {{type: user, by: on_behalf_of}}
"""


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[Exchanging]:
    monkeypatch.setenv("CHATLAB_TEST_CLIENT", SECRET)
    monkeypatch.setenv("DATABRICKS_TOKEN", "ambient-dapi")
    monkeypatch.setenv("OPENAI_API_KEY", "ambient-openai")
    with Exchanging() as server:
        yield server


@pytest.fixture
def gateway(provider: Exchanging) -> Iterator[Front]:
    """A gateway of one's own, which says who asks it, and for whom their token was meant."""

    async def reply(request: Request) -> Response:
        claims = provider.of(request.headers["authorization"].removeprefix("Bearer "))
        said = f"{claims['sub']} to {claims['aud']}"
        return Response(b"".join(chunks([said])), media_type="text/event-stream")

    with Front() as server:
        yield server.on("POST", "/v1/chat/completions", reply)


@pytest.fixture
def workspace(provider: Exchanging) -> Iterator[Workspace]:
    """A workspace that takes the provider's tokens, as they are and in exchange."""
    with Workspace() as server:

        async def federate(request: Request) -> Response:
            form = dict(parse_qsl((await request.body()).decode()))
            claims = {"sub": provider.of(form["subject_token"])["sub"], "aud": "federation"}
            return JSONResponse({"access_token": provider.access(**claims), "expires_in": 3600})

        async def reply(request: Request) -> Response:
            claims = provider.of(request.headers["authorization"].removeprefix("Bearer "))
            said = f"{claims['sub']} to {claims['aud']}"
            return Response(b"".join(chunks([said])), media_type="text/event-stream")

        server.front.on("POST", "/oidc/v1/token", federate)
        server.front.on("POST", "/serving-endpoints/agent/invocations", reply)
        yield server


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[str], Served]]:
    running: list[Served] = []

    def start(text: str) -> Served:
        file = tmp_path / "config.yaml"
        file.write_text(text, "utf-8")
        running.append(Served(file))
        return running[-1]

    yield start
    for one in running:
        one.stop()


def test_each_backend_gets_a_token_of_whoever_asks_meant_for_it_and_nobody_reads_one(
    provider: Exchanging,
    gateway: Front,
    workspace: Workspace,
    serve: Callable[[str], Served],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG")
    backends = BACKENDS.format(gateway=gateway.url, workspace=workspace.url)
    served = serve(f"backends:{backends}\n{provider.config()}")
    expected = {
        "as-it-is": "chatlab",
        "exchanged": "the-gateway",
        "federated": "federation",
        "on-behalf": "2ff814a6-3304-4ab8-85cb-cd0e6f879c1d/.default",
    }
    seen: list[str] = []
    lanes = {"lanes": [{"backend": name} for name in expected]}

    def asks(client: httpx2.Client, name: str, number: int) -> None:
        session = client.post("/-/compare/sessions", json=lanes).json()["id"]
        one = f"/-/compare/sessions/{session}"
        client.post(f"{one}/ask", json={"text": f"who am I? {number}"})
        while (view := client.get(one).json())["running"]:
            pass
        answers = view["rounds"][0]["answers"]
        for lane, audience in zip(view["lanes"], expected.values(), strict=True):
            assert lane["asked_as"] == f"{name}@example.org"
            assert f"{name} to {audience}" in str(answers[lane["id"]]), view
        seen.extend(client.get(f"{one}/report?format={form}").text for form in ("html", "jsonl"))
        seen.extend((str(view), client.get(f"{one}/lanes/{view['lanes'][0]['id']}/recording").text))

    def email(name: str) -> dict[str, object]:
        return {"email": f"{name}@example.org", "email_verified": True}

    with (
        signed_in(served.url, provider, "ann", **email("ann")) as ann,
        signed_in(served.url, provider, "bob", **email("bob")) as bob,
        ThreadPoolExecutor(6) as threads,
    ):
        people = {"ann": ann, "bob": bob}
        for done in [threads.submit(asks, people[name], name, n) for n in range(5) for name in people]:
            done.result(90)
        assert "ann to chatlab" in ask(ann, "who am I?", "hash-of-ann")
        seen += [
            ann.get(path).text for path in ("/", "/config", "/compare", "/-/me", "/-/export?format=jsonl")
        ]
        # Five turns of two people at four backends: each exchange was asked for once a person.
        assert len(provider.exchanges) == 4
        form = next(one for one in provider.exchanges if "assertion" in one)
        assert form["scope"].startswith("2ff814a6")
    tokens = {one.headers["authorization"].removeprefix("Bearer ") for one in gateway.requests}
    assert len(tokens) == 4
    everything = "\n".join((*seen, caplog.text))
    stored = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    for token in tokens:
        body = token.split(".")[1]
        assert token not in everything and body not in everything and body.encode() not in stored
    assert CANARY not in everything and "ambient" not in str([one.headers for one in gateway.requests])


def test_in_a_space_hugging_face_is_asked_with_the_visitors_own_token_or_not_at_all(
    provider: Exchanging, serve: Callable[[str], Served], monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setenv("OPENID_PROVIDER_URL", provider.issuer)
    monkeypatch.setenv("OAUTH_CLIENT_ID", CLIENT)
    monkeypatch.setenv("OAUTH_CLIENT_SECRET", SECRET)
    monkeypatch.setenv("SPACE_HOST", "ann-chat.hf.space")
    monkeypatch.setenv("HF_TOKEN", "hf_of-the-space-itself")
    monkeypatch.setattr(constants, "ENDPOINT", provider.issuer)  # which is Hugging Face, where people sign in

    async def reply(request: Request) -> Response:
        claims = provider.of(request.headers["authorization"].removeprefix("Bearer "))
        return Response(b"".join(chunks([f"you are {claims['sub']}"])), media_type="text/event-stream")

    with Front() as endpoint:
        endpoint.on("POST", "/v1/chat/completions", reply)
        config = (
            f"backends: {{it: {{kind: huggingface, endpoint: '{endpoint.url}/v1', auth: {{type: user}}}}}}\n"
        )
        served = serve(f"{config}auth: {{type: huggingface_space}}\n")
        there = {**OPENS, "host": "ann-chat.hf.space"}
        with somebody(served.url) as ann:
            sent_to = ann.get("/", headers=there)
            query = dict(httpx2.URL(sent_to.headers["location"]).params)
            code = provider.code(query, {"sub": "ann", "name": "Ann"})
            given = {"code": code, "state": query["state"], "iss": provider.issuer}
            began = sent_to.headers["set-cookie"].partition(";")[0]
            back = ann.get("/login/callback", params=given, headers={**there, "cookie": began})
            own = next(one for one in back.headers.get_list("set-cookie") if "chatlab-session" in one)
            ann.cookies.clear()
            ann.headers |= {"host": "ann-chat.hf.space", "cookie": own.partition(";")[0]}
            assert "you are ann" in ask(ann, "who am I?", "hash-of-ann")
        assert all("of-the-space" not in str(one.headers) for one in endpoint.requests)
