"""What gives a service tokens of its own in Azure: the metadata service of a machine, and Entra ID."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
import trustme
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tests.servers.front import Front

_OTHERS = ("IDENTITY_ENDPOINT", "IDENTITY_HEADER", "MSI_ENDPOINT", "AZURE_CLIENT_ID", "AZURE_TENANT_ID")


class Machine(Front):
    """The metadata service of a machine, which numbers its tokens. A context manager.

    lasts: seconds until they end.
    """

    def __init__(self, environment: pytest.MonkeyPatch) -> None:
        super().__init__()
        self.lasts = 86_400
        for name in (*_OTHERS, "AZURE_FEDERATED_TOKEN_FILE", "AZURE_CLIENT_SECRET"):
            environment.delenv(name, raising=False)
        environment.setenv("NO_PROXY", "*")
        environment.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", self.url)
        self.on("GET", "/metadata/identity/oauth2/token", self._token)

    @property
    def asked(self) -> list[dict[str, str]]:
        """What tokens were asked for; the first look at the service asks for none."""
        return [dict(parse_qsl(one.query)) for one in self.requests if "metadata" in one.headers]

    async def _token(self, request: Request) -> Response:
        if request.headers.get("metadata") != "true":
            return JSONResponse({"error": "invalid_request"}, 400)
        said = {"access_token": f"of-the-machine-{len(self.asked)}", "token_type": "Bearer"}
        ends = int(time.time()) + self.lasts
        return JSONResponse({**said, "expires_in": self.lasts, "expires_on": ends})


class Authority(Front):
    """Entra ID, which gives a pod's identity a token for what its service account signed. A context manager.

    folder: where its certificate and what the cluster signed are.
    """

    def __init__(self, environment: pytest.MonkeyPatch, folder: Path) -> None:
        super().__init__()
        certificates = trustme.CA()
        certificates.cert_pem.write_to_path(folder / "ca.pem")
        (folder / "federated").write_text("what the cluster signed")
        config: Any = self._server.config
        own = certificates.issue_cert("127.0.0.1")
        own.private_key_and_cert_chain_pem.write_to_path(folder / "own.pem")
        config.ssl_certfile = config.ssl_keyfile = folder / "own.pem"
        self.url = self.url.replace("http://", "https://")
        self.on("POST", "/the-tenant/oauth2/v2.0/token", self._token)
        environment.setenv("REQUESTS_CA_BUNDLE", str(folder / "ca.pem"))
        environment.setenv("AZURE_AUTHORITY_HOST", self.url)
        environment.setenv("AZURE_TENANT_ID", "the-tenant")
        environment.setenv("AZURE_CLIENT_ID", "of-the-pod")
        environment.setenv("AZURE_FEDERATED_TOKEN_FILE", str(folder / "federated"))

    async def _token(self, request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode()))
        assert form["grant_type"] == "client_credentials" and form["scope"] == SCOPE
        if form["client_assertion"] != "what the cluster signed" or form["client_id"] != "of-the-pod":
            said = {"error": "invalid_client", "error_description": "AADSTS700016: no such application"}
            return JSONResponse(said, 401)
        return JSONResponse({"access_token": "token-of-a-pod", "expires_in": 3_600, "token_type": "Bearer"})


SCOPE = "https://cognitiveservices.azure.com/.default"
