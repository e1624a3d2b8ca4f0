"""Signing in at a Databricks workspace, whose endpoints are then asked as the person and as nobody else."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from chatlab.config.auth import Databricks
from chatlab.credentials import ProtectedResource
from chatlab.identity.databricks import DatabricksProvider
from chatlab.web.identity.gate import sign_in_service
from tests.servers.databricks import Workspace
from tests.servers.front import Front
from tests.web.identity.people import OPENS, somebody
from tests.web.identity.test_sign_in import ask
from tests.web.pages import Served, chunks

CONFIG = (Path(__file__).parents[3] / "configs" / "databricks_u2m.yaml").read_text("utf-8")
CANARY = "of-a-person-"  # in every access token of a person


@pytest.fixture
def workspace(monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    """A workspace with an endpoint that says who asks it."""
    with Workspace() as server:
        monkeypatch.setenv("DATABRICKS_INSTANCE", server.url)
        monkeypatch.setenv("ENDPOINT_NAME", "agent")
        monkeypatch.setenv("CLIENT_ID", "the-application")
        monkeypatch.setenv("CLIENT_SECRET", server.application("the-application"))
        # What must never be used in place of the person's own.
        monkeypatch.setenv("DATABRICKS_HOST", server.url)
        monkeypatch.setenv("DATABRICKS_TOKEN", server.person("the-service"))

        async def reply(request: Request, _: Any) -> Response:
            who = server.identity_of(request)
            return Response(b"".join(chunks([f"you are {who}"])), media_type="text/event-stream")

        server.serve("agent", "llm/v1/chat", reply)
        yield server


@pytest.fixture
def serve_file(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    running: list[Served] = []

    def start(more: str = "", name: str = "config.yaml", backends: str = "") -> Served:
        file = tmp_path / name
        text = CONFIG.replace("backends:\n", f"backends:\n{backends}")
        file.write_text(text.replace("  redirect_path: /callback\n", f"  redirect_path: /callback\n{more}"))
        running.append(Served(file))
        return running[-1]

    yield start
    for one in running:
        one.stop()


@contextmanager
def signed_in_as(url: str, workspace: Workspace, identity: str) -> Iterator[httpx2.Client]:
    workspace.visitor = identity
    with somebody(url) as client:
        landed = client.get("/config", headers=OPENS, follow_redirects=True)
        assert landed.status_code == 200 and landed.url.path == "/config", landed.text
        yield client


def asked_by(workspace: Workspace) -> list[str]:
    return [seen.headers["authorization"] for seen in workspace.invocations("agent")]


def test_the_sample_as_it_is_asks_the_endpoint_as_whoever_signed_in(
    workspace: Workspace, serve_file: Callable[..., Served]
) -> None:
    url = serve_file().url
    with somebody(url) as nobody:
        sent_to = nobody.get("/", headers=OPENS).headers["location"]
        assert sent_to.startswith(f"{workspace.url}/oidc/v1/authorize?")
        assert dict(httpx2.URL(sent_to).params)["redirect_uri"] == f"{url}/callback"
    with (
        signed_in_as(url, workspace, "ann@example.com") as ann,
        signed_in_as(url, workspace, "bob@example.com") as bob,
    ):
        said = ask(ann, "who am I?", "hash-of-ann")
        assert "you are ann@example.com" in said and "Databricks as ann@example.com" in said
        assert "you are bob@example.com" in ask(bob, "who am I?", "hash-of-bob")
        assert "you are ann@example.com" in ask(ann, "and now?", "hash-of-ann")
        assert CANARY not in said
    assert len(asked_by(workspace)) == 3


def test_who_signs_in_at_the_account_asks_the_workspace_as_themselves(
    workspace: Workspace, serve_file: Callable[..., Served]
) -> None:
    """The account is a server of its own: https://docs.databricks.com/dev-tools/auth/oauth-u2m."""
    account = Front()
    issuer = "/oidc/accounts/00000000-0000-0000-0000-000000000001"

    async def metadata(_: Request) -> Response:
        return JSONResponse(
            {
                "authorization_endpoint": f"{account.url}{issuer}/v1/authorize",
                "token_endpoint": f"{account.url}{issuer}/v1/token",
            }
        )

    account.on("GET", f"{issuer}/.well-known/oauth-authorization-server", metadata)
    account.on("GET", f"{issuer}/v1/authorize", workspace._authorize)
    account.on("POST", f"{issuer}/v1/token", workspace._token)
    with account:
        given = f"  account: {{host: '{account.url}', id: {issuer.rpartition('/')[2]}}}\n"
        with signed_in_as(serve_file(given).url, workspace, "ann@example.com") as ann:
            assert "you are ann@example.com" in ask(ann, "who am I?", "hash-of-ann")
            workspace.lifetime = 30  # of less than a minute: to be renewed at the next call
        with signed_in_as(serve_file(given).url, workspace, "ann@example.com") as ann:
            assert "you are ann@example.com" in ask(ann, "and now?", "other-hash-of-ann")
        assert workspace.renewals == 1
        assert [seen.path for seen in account.requests if seen.method == "POST"] == [f"{issuer}/v1/token"] * 3
    assert not any(path.startswith("/oidc/") for path in workspace.paths())


def test_many_at_once_are_never_taken_for_each_other(
    workspace: Workspace, serve_file: Callable[..., Served]
) -> None:
    url = serve_file().url
    with (
        signed_in_as(url, workspace, "ann@example.com") as ann,
        signed_in_as(url, workspace, "bob@example.com") as bob,
        ThreadPoolExecutor(8) as threads,
    ):
        people = {"ann@example.com": ann, "bob@example.com": bob}
        asked = [
            (name, threads.submit(ask, client, "who?", f"{name}-{number}"))
            for number in range(10)
            for name, client in people.items()
        ]
        for name, said in asked:
            other = next(one for one in people if one != name)
            assert f"you are {name}" in said.result(60) and f"you are {other}" not in said.result()


@pytest.mark.parametrize("rotates", [True, False, None])
def test_a_token_that_ends_is_renewed_once_however_many_ask(
    workspace: Workspace, serve_file: Callable[..., Served], rotates: bool | None
) -> None:
    """rotates: whether a renewal makes the old refresh token worthless; None: it says nothing of it."""
    keys = "  keys: [{env: CHATLAB_TEST_KEY}]\n"
    workspace.rotates_refresh, workspace.hold = rotates, 0.1
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("CHATLAB_TEST_KEY", "a key of thirty-two characters or more")
        one, other = serve_file(keys), serve_file(keys, "second.yaml")
        workspace.lifetime = 30  # of less than a minute: to be renewed at the next call
        with signed_in_as(one.url, workspace, "ann@example.com") as ann, somebody(other.url) as there:
            there.cookies.set("chatlab-session", str(ann.cookies.get("chatlab-session")), "127.0.0.1")
            workspace.lifetime = 3_600
            with ThreadPoolExecutor(8) as threads:
                asked = [
                    threads.submit(ask, client, "who?", f"hash-{number}")
                    for number in range(4)
                    for client in (ann, there)
                ]
                assert all("you are ann@example.com" in said.result(60) for said in asked)
            assert workspace.renewals == 1
            workspace.lifetime = 3_600


def test_a_sign_in_that_has_ended_at_the_workspace_ends_here_and_nobody_else_is_asked(
    workspace: Workspace, serve_file: Callable[..., Served]
) -> None:
    workspace.lifetime = 30
    url = serve_file().url
    with signed_in_as(url, workspace, "ann@example.com") as ann:
        workspace.end_all()
        said = ask(ann, "who am I?", "hash-of-ann")
        assert "Your sign-in has ended" in said
        assert workspace.invocations("agent") == []


def test_whose_token_the_workspace_takes_no_more_is_told_to_sign_in_again(
    workspace: Workspace, serve_file: Callable[..., Served]
) -> None:
    workspace.lifetime = 3_600
    url = serve_file().url
    with signed_in_as(url, workspace, "ann@example.com") as ann:
        workspace.end_all()  # long before the end that it said
        said = ask(ann, "who am I?", "hash-of-revoked")
        assert "sign out here, and sign in again" in said
        assert "backend's key" not in said


def test_a_persons_token_is_for_the_workspace_where_they_signed_in_alone(
    workspace: Workspace, serve_file: Callable[..., Served], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Workspace() as foreign:
        served = serve_file()
        with signed_in_as(served.url, workspace, "ann@example.com") as ann:
            monkeypatch.setenv("DATABRICKS_INSTANCE", foreign.url)  # as if the backend were elsewhere
            said = ask(ann, "who am I?", "hash-of-ann")
        assert "did not sign in there" in said
        assert foreign.front.requests == []


def test_a_persons_token_is_passed_on_to_an_agent_here_or_in_databricks_apps_alone(
    workspace: Workspace,
) -> None:
    secret = {"client_id": {"env": "CLIENT_ID"}, "client_secret": {"env": "CLIENT_SECRET"}}
    config = Databricks.model_validate({"type": "databricks", "host": workspace.url, **secret})
    provider = DatabricksProvider(config)
    passed = ["http://127.0.0.1:8001", "http://localhost:8001/v1", "https://agent-1.aws.databricksapps.com"]
    refused = [
        "https://gateway.example",
        "http://agent.databricksapps.com",
        "https://databricksapps.com.example",
    ]
    for url in (*passed, *refused):
        assert provider.passes_on(ProtectedResource(url, "pass_through")) is (url in passed), url


def test_no_token_is_in_a_page_a_log_or_the_database_in_clear(
    workspace: Workspace,
    serve_file: Callable[..., Served],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG", "chatlab")
    served = serve_file()
    with signed_in_as(served.url, workspace, "ann@example.com") as ann:
        seen = [ask(ann, "who am I?", "hash-of-ann")]
        seen += [ann.get(path).text for path in ("/", "/config", "/compare", "/-/me", "/-/export")]
        seen += [str(dict(ann.cookies)), caplog.text]
        seen.append(repr(sign_in_service(served.lab).sessions.known))
    tokens = [header.removeprefix("Bearer ") for header in asked_by(workspace)]
    assert tokens and all(CANARY in token for token in tokens)
    everything = "\n".join(seen)
    assert CANARY not in everything and "refresh-0" not in everything
    stored = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    assert CANARY.encode() not in stored and b"refresh-0" not in stored


def test_each_lane_and_answer_and_receipt_says_as_whom_it_was_asked(
    workspace: Workspace, serve_file: Callable[..., Served]
) -> None:
    served = serve_file(backends="  echo: {kind: echo, label: Echo}\n")
    with signed_in_as(served.url, workspace, "ann@example.com") as ann:
        lanes = {"lanes": [{"backend": "endpoint"}, {"backend": "endpoint"}, {"backend": "echo"}]}
        session = ann.post("/-/compare/sessions", json=lanes).json()["id"]
        one = f"/-/compare/sessions/{session}"
        made = ann.post(f"{one}/ask", json={"text": "who am I?"}).json()["round"]
        while (view := ann.get(one).json())["running"]:
            time.sleep(0.05)
        assert str(view).count("you are ann@example.com") >= 2
        whom = ["ann@example.com", "ann@example.com", "the service"]
        assert [lane["asked_as"] for lane in view["lanes"]] == whom
        answers = [view["rounds"][0]["answers"][lane["id"]][0] for lane in view["lanes"]]
        for answer, name in zip(answers, whom, strict=True):
            assert f" · as {name}" in answer["figures"]["line"]
        receipts = ann.get(f"{one}/rounds/{made}/receipts").json()["receipts"]
        assert sorted(found["receipt"]["identity"] for found in receipts) == sorted(whom)
        formats = ("html", "markdown", "jsonl")
        reports = [ann.get(f"{one}/report?format={name}") for name in formats]
        assert all(report.is_success and "the service" in report.text for report in reports)
        recording = ann.get(f"{one}/lanes/{view['lanes'][0]['id']}/recording")
        exported = ann.get("/-/export?format=jsonl").text
        assert recording.is_success and "you are ann@example.com" in exported
        told = [report.text for report in reports] + [recording.text, exported, str(view), str(receipts)]
        assert CANARY not in "".join(told)
        made_blind = ann.post("/-/compare/sessions", json={**lanes, "blind": True}).json()["id"]
        blind = f"/-/compare/sessions/{made_blind}"
        ann.post(f"{blind}/ask", json={"text": "who am I?"})
        while (hidden := ann.get(blind).json())["running"]:
            time.sleep(0.05)
        assert "asked_as" not in str(hidden) and "the service" not in str(hidden)
