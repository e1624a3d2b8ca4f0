"""A provider whose access tokens are JSON web tokens, and that gives others in exchange for them."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from joserfc import jws
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tests.servers.oidc import Oidc

CANARY = "canary-of-a-person"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ON_BEHALF_OF = "urn:ietf:params:oauth:grant-type:jwt-bearer"


@dataclass
class Exchanging(Oidc):
    """exchanges: the forms of those that were asked for. lifetime: of what it gives, in seconds. refuses:
    what is answered to an exchange instead of a token."""

    exchanges: list[dict[str, str]] = field(default_factory=list)
    lifetime: int = 3_600
    refuses: dict[str, str] | None = None

    def of(self, token: str) -> dict[str, Any]:
        """The claims of a token of this provider's. Raises for any other."""
        return dict(json.loads(jws.deserialize_compact(token, self.key).payload))

    def access(self, **claims: Any) -> str:
        """An access token of this provider's."""
        moment = time.time()
        return self.signed({"iss": self.issuer, "mark": CANARY, "at": moment, **claims})

    async def _token(self, request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode()))
        if form["grant_type"] == "authorization_code":
            answer = await super()._token(request)
            said = json.loads(bytes(answer.body))
            if "id_token" in said:
                sub = self.of(said["id_token"])["sub"]
                said |= {"access_token": self.access(sub=sub, aud="chatlab"), "expires_in": self.lifetime}
            return JSONResponse(said, answer.status_code)
        self.exchanges.append(form)
        if self.refuses is not None:
            return JSONResponse(self.refuses, 400)
        assert request.headers["authorization"].startswith("Basic ")
        if form["grant_type"] == ON_BEHALF_OF:
            assert form["requested_token_use"] == "on_behalf_of"
            subject, audience = form["assertion"], form["scope"]
        else:
            assert form["grant_type"] == EXCHANGE
            assert form["subject_token_type"] == "urn:ietf:params:oauth:token-type:access_token"
            subject, audience = form["subject_token"], form["audience"]
        claims = {"sub": self.of(subject)["sub"], "aud": audience}
        given = {"access_token": self.access(**claims), "token_type": "Bearer", "expires_in": self.lifetime}
        return JSONResponse({**given, "issued_token_type": "urn:ietf:params:oauth:token-type:access_token"})
