"""Tokens of a service principal: OAuth 2.0 client credentials (RFC 6749, section 4.4) at a workspace.

Asked for over the backend's own HTTP client, so that its authorities, proxies and timeouts hold here too, and
a call that is stopped stops asking.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from chatlab.backend import current_call
from chatlab.errors import AuthenticationFailed, BackendError, Unavailable
from chatlab.secret import remember
from chatlab.upstream import error_before_answer, error_from_body, sentence_of

SIGN_IN_TIMEOUT = 5.0  # seconds for each question
_EARLY = 40.0  # seconds before its end after which a token is replaced, as the Databricks SDK does
_WELL_KNOWN = "/.well-known/oauth-authorization-server"


class PrincipalTokens:
    """The token of one service principal, asked for anew before it ends. Owned by the event loop."""

    def __init__(self, http: Any) -> None:
        self._http = http  # httpx2.AsyncClient
        self._lock = asyncio.Lock()
        self._held: tuple[int, str, float] | None = None  # hash of whose it is, the token, its end

    def __repr__(self) -> str:
        return "<PrincipalTokens>"

    async def token(self, host: str, client_id: str, client_secret: str) -> str:
        """Return a token that is good now. Raises BackendError, and never repeats the secret."""
        whose = hash((host, client_id, client_secret))
        async with self._lock:
            if self._held is None or self._held[0] != whose or self._held[2] <= time.monotonic():
                endpoint = await self._token_endpoint(host)
                self._held = (whose, *await self._asked(endpoint, client_id, client_secret))
            return self._held[1]

    async def _token_endpoint(self, host: str) -> str:
        found = await self._get(f"{host}/oidc{_WELL_KNOWN}")
        if found is None:  # a host that is no workspace's own says where its sign-in is
            said = await self._get(f"{host}/.well-known/databricks-config") or {}
            root = str(said.get("oidc_endpoint") or f"{host}/oidc").rstrip("/")
            root = root.replace("{account_id}", str(said.get("account_id") or ""))
            found = await self._get(f"{root}{_WELL_KNOWN}")
        endpoint = (found or {}).get("token_endpoint")
        if not isinstance(endpoint, str):
            raise AuthenticationFailed("the workspace gave no token: it does not say where it signs in")
        return endpoint

    async def _asked(self, endpoint: str, client_id: str, client_secret: str) -> tuple[str, float]:
        form = {"grant_type": "client_credentials", "scope": "all-apis"}
        asked_at = time.monotonic()
        reply = await self._send("POST", endpoint, data=form, auth=(client_id, client_secret))
        body = _json(reply)
        if reply.status_code != 200 or not isinstance(body.get("access_token"), str):
            raise _refused(reply.status_code, body, reply.content)
        token = body["access_token"]
        remember(token)
        lasts = body.get("expires_in")
        return token, asked_at + (float(lasts) if isinstance(lasts, int | float) else 0.0) - _EARLY

    async def _get(self, url: str) -> Mapping[str, Any] | None:
        reply = await self._send("GET", url)
        if reply.status_code in (404, 405, 501):
            return None
        if reply.status_code != 200:
            raise _refused(reply.status_code, _json(reply), reply.content)
        return _json(reply)

    async def _send(self, method: str, url: str, **beside: Any) -> Any:
        import httpx2

        # The sign-in's own connection is not the one that a turn's `connected` is about.
        outside = current_call.set(None)
        try:
            return await self._http.request(method, url, timeout=SIGN_IN_TIMEOUT, **beside)
        except (httpx2.HTTPError, httpx2.InvalidURL) as exc:
            if isinstance(exc, httpx2.TimeoutException):
                detail = "the workspace's sign-in service did not answer in time"
            else:
                detail = (
                    f"the workspace's sign-in service could not be reached: {error_before_answer(exc).detail}"
                )
            raise Unavailable(detail, retryable=True) from exc
        finally:
            current_call.reset(outside)


def _json(reply: Any) -> Mapping[str, Any]:
    try:
        body = reply.json()
    except ValueError:
        return {}
    return body if isinstance(body, Mapping) else {}


def _refused(status: int, body: Mapping[str, Any], raw: bytes) -> BackendError:
    code, said = body.get("error"), body.get("error_description")
    sentence = f"{code}: {said}" if isinstance(code, str) and isinstance(said, str) else sentence_of(raw)
    if status >= 500 or not body:  # a body that is not JSON is a proxy or an outage
        return Unavailable(
            f"the workspace's sign-in service failed: {sentence}",
            status=status if status >= 400 else None,
            retryable=True,
        )
    if status in (400, 401, 403) or status < 400:
        return AuthenticationFailed(f"the workspace gave no token: {sentence}", status=status)
    return error_from_body(status, raw)
