"""`chatlab check --probe`: as whom each backend is asked."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from chatlab.cli import main
from tests.servers.databricks import Workspace
from tests.servers.front import Front


@pytest.fixture
def workspace() -> Iterator[Workspace]:
    with Workspace() as server:
        server.serve("agent", "llm/v1/chat")
        yield server


def test_it_says_as_whom_each_backend_is_asked_with_the_tokens_of_a_person_for_their_own_service_alone(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    claims = base64.urlsafe_b64encode(json.dumps({"preferred_username": "ann@example.org"}).encode())
    own = f"e30.{claims.decode().rstrip('=')}.c2ln"

    async def models(request: Request) -> Response:
        assert request.headers["authorization"] == f"Bearer {own}"
        return JSONResponse({"data": [{"id": "m"}]})

    with Front() as gateway:
        gateway.on("GET", "/v1/models", models)
        monkeypatch.setenv("DATABRICKS_TOKEN", workspace.person("the-service@example.org"))
        monkeypatch.setenv("TOKEN_OF_ANN", workspace.person("ann@example.org"))
        (tmp_path / "token").write_text(own)
        agent = f"kind: databricks, host: '{workspace.url}', endpoint: agent"
        (tmp_path / "c.yaml").write_text(
            "backends:\n"
            f"  service: {{{agent}}}\n"
            f"  me: {{{agent}, auth: {{type: user}}}}\n"
            f"  gateway: {{kind: openai, base_url: '{gateway.url}/v1', model: m, auth: {{type: user}}}}\n"
            f"  open: {{kind: openai, base_url: '{workspace.url}/v1', model: m}}\n"
            "  echo: {kind: echo}\n"
        )
        args = ["check", str(tmp_path / "c.yaml"), "--probe", "--as", f"{workspace.url}=env:TOKEN_OF_ANN"]
        both = CliRunner().invoke(main, [*args, "--as", f"{gateway.url}=file:{tmp_path / 'token'}"])
        lines = {line.split()[1]: line for line in both.output.splitlines() if line.startswith("ready ")}
        assert "as the-service@example.org" in lines["service"], both.output
        assert "as ann@example.org" in lines["me"] and "as ann@example.org" in lines["gateway"]
        assert "as the service" in lines["open"] and " as " not in lines["echo"]
        gateway.requests.clear()
        one = CliRunner().invoke(main, args)
        assert f"give their token by --as {gateway.url}=env:NAME" in one.output
        assert gateway.requests == []
    for token in (own, workspace.issued, *workspace.people):
        assert str(token) not in both.output + one.output


@pytest.mark.parametrize(
    "given", ["token-itself", "https://x.example=dapi-itself", "=env:X", "https://x=env:"]
)
def test_a_token_itself_is_no_way_to_give_one(given: str) -> None:
    found = CliRunner().invoke(main, ["check", "echo:", "--probe", "--as", given])
    assert found.exit_code == 2 and "https://HOST=env:NAME" in found.output
    assert "itself" not in found.output
