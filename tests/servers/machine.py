"""A machine in Azure: its metadata service, which gives tokens of its identity and numbers them."""

from __future__ import annotations

import time
from urllib.parse import parse_qsl

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tests.servers.front import Front

_OTHERS = ("IDENTITY_ENDPOINT", "IDENTITY_HEADER", "MSI_ENDPOINT", "AZURE_CLIENT_ID", "AZURE_TENANT_ID")


class Machine(Front):
    """The service. A context manager. lasts: seconds until its tokens end."""

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
