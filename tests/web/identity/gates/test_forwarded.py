"""People whom a platform signs in: whom it names gets in, as nobody else, with their own token."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.requests import Request
from starlette.responses import Response

import chatlab
from chatlab.errors import ConfigError
from chatlab.web.server import create_app
from tests.identity.test_forwarded import principal
from tests.servers.databricks import Workspace
from tests.web.identity.people import OPENS, somebody
from tests.web.identity.test_sign_in import ask
from tests.web.pages import Served, chunks
from tests.web.shared.test_forwarded import FORWARDED

BACKENDS = """backends:
  echo: {kind: echo}
  endpoint: {kind: databricks, label: Databricks, endpoint: agent, task: chat, auth: {type: user}}
"""


@pytest.fixture(scope="module")
def workspace() -> Iterator[Workspace]:
    """A workspace with an endpoint that says who asks it."""
    with Workspace() as server:

        async def reply(request: Request, _: Any) -> Response:
            who = server.identity_of(request)
            return Response(b"".join(chunks([f"you are {who}"])), media_type="text/event-stream")

        server.serve("agent", "llm/v1/chat", reply)
        yield server


@pytest.fixture(scope="module")
def served(workspace: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """An app of the workspace, beside whose credential of its own each person has theirs."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("DATABRICKS_APP_NAME", "chat")
        environment.setenv("DATABRICKS_HOST", workspace.url)
        environment.setenv("DATABRICKS_TOKEN", workspace.person("the-service"))
        file = tmp_path_factory.mktemp("apps") / "config.yaml"
        allowed = "allowed: {domains: [example.com]}"
        file.write_text(
            f"version: 1\ndefault: endpoint\n{BACKENDS}auth: {{type: databricks_apps, {allowed}}}\n", "utf-8"
        )
        page = Served(file)
        yield page
        page.stop()


def forwarded(workspace: Workspace, name: str) -> dict[str, str]:
    email = f"{name}@example.com"
    return {
        "x-forwarded-user": f"{name}@1",
        "x-forwarded-email": email,
        "x-forwarded-access-token": workspace.person(email),
    }


def test_each_person_is_answered_with_their_own_rights_and_has_what_is_theirs(
    served: Served, workspace: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    with somebody(served.url) as ann, somebody(served.url) as bob:
        for client, name in ((ann, "ann"), (bob, "bob")):
            client.headers.update(forwarded(workspace, name))
        said = ask(ann, "who am I?", "hash-of-ann")
        assert "you are ann@example.com" in said and "Databricks as ann@example.com" in said
        assert "you are bob@example.com" in ask(bob, "who am I?", "hash-of-bob")
        assert ann.get("/-/me").json() == {"name": "ann@example.com"}
        assert "who am I?" in ann.get("/-/conversations").text
        assert "you are ann" not in bob.get("/-/export").text
        assert (
            "sign out there, and you are signed out here"
            in ann.post("/-/sign-out", headers={"origin": served.url}).text
        )
        tokens = [client.headers["x-forwarded-access-token"] for client in (ann, bob)]
    assert served.lab.config is not None and served.lab.config.storage is not None
    folder = Path(str(served.lab.config.storage.url).removeprefix("sqlite:")).parent
    stored = b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())
    for token in tokens:
        assert token not in said + caplog.text and token.encode() not in stored


def test_without_a_token_of_the_person_the_endpoint_is_not_asked(
    served: Served, workspace: Workspace
) -> None:
    before = len(workspace.invocations("agent"))
    with somebody(served.url) as cleo:
        cleo.headers.update({**forwarded(workspace, "cleo"), "x-forwarded-access-token": ""})
        assert "did not forward" in ask(cleo, "who am I?", "hash-of-cleo")
    assert len(workspace.invocations("agent")) == before


def test_whom_the_platform_does_not_name_or_the_page_is_not_for_gets_nothing(
    served: Served, workspace: Workspace
) -> None:
    azure = {name: value for name, value in FORWARDED.items() if not name.startswith("x-forwarded")}
    other = {**forwarded(workspace, "eve"), "x-forwarded-email": "eve@evil.example"}
    with somebody(served.url) as client:
        for headers, sentence in (
            ({}, "did not say who you are"),
            (azure, "did not say"),
            (other, "for others"),
        ):
            for path in ("/config", "/-/me", "/gradio_api/queue/data?session_hash=x"):
                answer = client.get(path, headers=headers)
                assert answer.status_code == 403 and sentence in answer.json()["error"]
            page = client.get("/", headers={**OPENS, **headers})
            assert page.status_code == 403 and sentence in page.text and "<html" in page.text
        cookies = {"chatlab-session": "x" * 43, "chatlab-browser": "a" * 43}
        assert client.get(
            "/-/me", headers={"cookie": "; ".join(f"{k}={v}" for k, v in cookies.items())}
        ).is_error


def test_somebody_whom_azure_names_gets_in_and_signs_out_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEBSITE_AUTH_ENABLED", "True")
    file = tmp_path / "config.yaml"
    file.write_text("backends: {echo: {kind: echo}}\nauth: {type: azure_app_service}\n", "utf-8")
    served = Served(file)
    headers = {"x-ms-client-principal": principal(("oid", "o"), ("tid", "t"), ("name", "Ann"))}
    with httpx2.Client(base_url=served.url, headers=headers, timeout=60) as ann:
        assert ann.get("/-/me").json() == {"name": "Ann"}
        assert "/.auth/logout" in ann.post("/-/sign-out", headers={"origin": served.url}).text
        of_apps = {name: value for name, value in FORWARDED.items() if name.startswith("x-forwarded")}
        assert ann.get("/-/me", headers=of_apps).json() == {"name": "Ann"}
        assert httpx2.get(f"{served.url}/-/me", headers=of_apps).status_code == 403
    served.stop()


def test_elsewhere_a_page_that_believes_headers_is_not_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DATABRICKS_APP_NAME", "WEBSITE_AUTH_ENABLED", "CONTAINER_APP_NAME"):
        monkeypatch.delenv(name, raising=False)
    for way, sentence in (("databricks_apps", "DATABRICKS_APP_NAME"), ("azure_app_service", "WEBSITE_AUTH")):
        file = tmp_path / f"{way}.yaml"
        file.write_text(f"backends: {{echo: {{kind: echo}}}}\nauth: {{type: {way}}}\n", "utf-8")
        with pytest.raises(ConfigError, match=sentence):
            create_app(chatlab.load(file))
