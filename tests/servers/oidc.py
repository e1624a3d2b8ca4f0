"""A provider of OpenID Connect that holds clients to the protocol, and that a test can make lie.

It signs everybody in at once, as `person`; what a real provider asks a person, nobody here needs.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode

from joserfc import jws
from joserfc.jwk import RSAKey
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from tests.servers.front import Front

CLIENT, SECRET = "chatlab-of-a-test", "the secret of a test, 4711"


@dataclass
class Given:
    """A code, and what it was given for."""

    query: Mapping[str, str]
    claims: Mapping[str, Any]


@dataclass
class Oidc:
    """The provider. A context manager. person: the claims of who signs in. Codes hold once.

    claims: changes the claims of an ID token. sign: makes the token of them. said: what its discovery
    document says beside, or otherwise.
    """

    person: dict[str, Any] = field(default_factory=lambda: {"sub": "ann", "name": "Ann"})
    claims: Callable[[dict[str, Any]], dict[str, Any]] = lambda claims: claims
    sign: Callable[[dict[str, Any]], str] | None = None
    said: dict[str, Any] = field(default_factory=dict)
    front: Front = field(default_factory=Front)

    def __post_init__(self) -> None:
        self.key = RSAKey.generate_key(2048, {"kid": "first", "use": "sig"}, private=True)
        self.published = [self.key]
        self.codes: dict[str, Given] = {}
        self.userinfo: dict[str, Any] = {}
        routes = {
            ("GET", "/.well-known/openid-configuration"): self._discovery,
            ("GET", "/keys"): self._keys,
            ("GET", "/authorize"): self._authorize,
            ("POST", "/token"): self._token,
            ("GET", "/userinfo"): self._userinfo,
        }
        for (method, path), handler in routes.items():
            self.front.on(method, path, handler)

    def __enter__(self) -> Oidc:
        self.front.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.front.__exit__()

    @property
    def issuer(self) -> str:
        return self.front.url

    def config(self, more: str = "") -> str:
        """The `auth` of a configuration for this provider; the secret is in CHATLAB_TEST_CLIENT."""
        return (
            f"auth: {{type: oidc, discovery: '{self.issuer}/.well-known/openid-configuration', "
            f"client_id: {CLIENT}, client_secret: {{env: CHATLAB_TEST_CLIENT}}{more}}}\n"
        )

    def signed(
        self, claims: Mapping[str, Any], key: Any = None, header: Mapping[str, Any] | None = None
    ) -> str:
        """A token as this provider makes it."""
        head = {"alg": "RS256", "kid": "first", **(header or {})}
        return jws.serialize_compact(head, json.dumps(claims), key or self.key)

    def code(self, query: Mapping[str, str], person: Mapping[str, Any] | None = None) -> str:
        """A code for a request to sign in, as if this person had said yes."""
        code = secrets.token_urlsafe(16)
        self.codes[code] = Given(dict(query), dict(person or self.person))
        return code

    # -- what it is asked

    async def _discovery(self, _: Request) -> Response:
        url = self.issuer
        said = {
            "issuer": url,
            "authorization_endpoint": f"{url}/authorize",
            "token_endpoint": f"{url}/token",
            "jwks_uri": f"{url}/keys",
            "userinfo_endpoint": f"{url}/userinfo",
            "end_session_endpoint": f"{url}/end",
            "authorization_response_iss_parameter_supported": True,
        }
        return JSONResponse({**said, **self.said})

    async def _keys(self, _: Request) -> Response:
        return JSONResponse({"keys": [key.as_dict(private=False) for key in self.published]})

    async def _authorize(self, request: Request) -> Response:
        query = dict(request.query_params)
        assert query["client_id"] == CLIENT and query["response_type"] == "code"
        assert query["code_challenge_method"] == "S256" and len(query["code_challenge"]) == 43
        assert "openid" in query["scope"].split() and query["nonce"] and query["state"]
        answer = {"code": self.code(query), "state": query["state"], "iss": self.issuer}
        return RedirectResponse(f"{query['redirect_uri']}?{urlencode(answer)}", 302)

    async def _token(self, request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode()))
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        name, _, secret = (
            base64.b64decode(given).decode().partition(":") if scheme == "Basic" else ("", "", "")
        )
        if (unquote(name), unquote(secret)) != (CLIENT, SECRET):
            return JSONResponse({"error": "invalid_client"}, 401)
        known = self.codes.pop(form.get("code", ""), None)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if (
            known is None
            or known.query["code_challenge"] != challenge
            or known.query["redirect_uri"] != form.get("redirect_uri")
        ):
            return JSONResponse({"error": "invalid_grant"}, 400)
        moment = int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": CLIENT,
            "iat": moment,
            "exp": moment + 300,
            "nonce": known.query["nonce"],
            **known.claims,
        }
        token = (self.sign or self.signed)(self.claims(claims))
        tokens = {"access_token": secrets.token_urlsafe(16), "token_type": "Bearer", "expires_in": 300}
        return JSONResponse({**tokens, "id_token": token})

    async def _userinfo(self, request: Request) -> Response:
        assert request.headers["authorization"].startswith("Bearer ")
        return JSONResponse({"sub": self.person["sub"], **self.userinfo})
