"""A person's tokens for other services, got in exchange for those of their sign-in.

https://www.rfc-editor.org/rfc/rfc8693 (at the provider, and at a Databricks workspace: token federation), and
https://learn.microsoft.com/entra/identity-platform/v2-oauth2-on-behalf-of-flow.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from time import time
from typing import Any
from urllib.parse import urlsplit
from weakref import WeakValueDictionary

from chatlab.credentials import ProtectedResource
from chatlab.errors import AuthRequired, ChatlabError, PermissionDenied
from chatlab.identity.errors import ProviderAway
from chatlab.identity.tokens import EARLY, Tokens
from chatlab.words import ENGLISH

_TYPES = "urn:ietf:params:oauth:token-type"
_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
_ON_BEHALF_OF = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_JWT = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+")
_CONSENT = re.compile(r"AADSTS(65001|65004|90094)|consent_required|interaction_required")
_MOST = 10_000  # tokens
_TIMEOUT = 10.0  # seconds of one request


class Exchanges:
    """Tokens for other services, each got once however many ask, until it is about to end.

    In the memory of this process alone, and used in the event loop alone.
    """

    def __init__(self) -> None:
        self._held: dict[tuple[str, ProtectedResource], Tokens] = {}
        self._locks: WeakValueDictionary[tuple[str, ProtectedResource], asyncio.Lock] = WeakValueDictionary()

    def __repr__(self) -> str:
        return f"<Exchanges with {len(self._held)} tokens>"

    async def token(self, key: str, resource: ProtectedResource, get: Callable[[], Awaitable[Tokens]]) -> str:
        """Return the token of a sign-in for a resource. get: asks for a new one."""
        place = (key, resource)
        lock = self._locks.setdefault(place, asyncio.Lock())
        async with lock:
            held = self._held.get(place)
            if held is None or held.ends - EARLY <= time():
                self._held.pop(place, None)
                held = await get()
                self._bound()
                self._held[place] = held
        return held.access

    def forget(self, key: str) -> None:
        """Let go of all tokens of a sign-in."""
        self._held = {place: held for place, held in self._held.items() if place[0] != key}

    def _bound(self) -> None:
        if len(self._held) >= _MOST:
            moment = time()
            self._held = {place: held for place, held in self._held.items() if held.ends > moment}
        while len(self._held) >= _MOST:
            self._held.pop(next(iter(self._held)))


def exchange_form(resource: ProtectedResource, tokens: Tokens) -> dict[str, str]:
    """Return what the provider's token endpoint is asked, in exchange for the tokens of a sign-in."""
    if resource.grant == "on_behalf_of":
        form = {
            "grant_type": _ON_BEHALF_OF,
            "assertion": tokens.access,
            "requested_token_use": "on_behalf_of",
        }
    else:
        form = {
            "grant_type": _EXCHANGE,
            "subject_token": tokens.access,
            "subject_token_type": f"{_TYPES}:access_token",
            "requested_token_type": f"{_TYPES}:access_token",
        }
    asked = {"scope": resource.scope, "audience": resource.audience}
    return form | {name: value for name, value in asked.items() if value is not None}


async def federated(resource: ProtectedResource, tokens: Tokens) -> Tokens:
    """Return the token that a Databricks workspace gives for a provider's: for the access token where that is
    a JSON web token, or else for the ID token.

    https://docs.databricks.com/aws/en/dev-tools/auth/oauth-federation-exchange. Raise PermissionDenied,
    ProviderAway.
    """
    from httpx2 import AsyncClient, HTTPError

    from chatlab.http import ssl_context

    own = next((token for token in (tokens.access, tokens.identity) if token and _JWT.fullmatch(token)), None)
    if own is None:
        raise AuthRequired(ENGLISH("refusal.no-jwt"))
    form = {
        "grant_type": _EXCHANGE,
        "subject_token": own,
        "subject_token_type": f"{_TYPES}:jwt",
        "scope": resource.scope or "all-apis",
    }
    try:
        async with AsyncClient(verify=ssl_context(), timeout=_TIMEOUT) as client:
            answer = await client.post(f"{resource.origin}/oidc/v1/token", data=form)
        said = answer.json()
    except (HTTPError, ValueError) as exc:
        raise ProviderAway("refusal.tokens-away", host=_host(resource.url)) from exc
    return tokens_of(resource, resource.origin, said)


def tokens_of(resource: ProtectedResource, giver: str, said: Any) -> Tokens:
    """Return the tokens of an answer to an exchange. giver: the URL of who was asked. Raise what `refusal`
    returns."""
    if isinstance(said, Mapping) and isinstance(said.get("access_token"), str) and said["access_token"]:
        return Tokens.of(said)
    known = said if isinstance(said, Mapping) else {}
    description = f"{known.get('error_description') or ''} {known.get('suberror') or ''}"
    raise refusal(resource, giver, str(known.get("error") or "no token"), description)


def refusal(resource: ProtectedResource, giver: str, code: str, description: str) -> ChatlabError:
    """Return the error for an exchange that was refused: who refused which scope, and whom to ask.

    Of what the provider wrote, its codes alone are repeated: what it writes may hold anything.
    """
    number = re.search(r"AADSTS\d{4,8}", description)
    codes = ", ".join(filter(None, (_word(code), number.group() if number else None)))
    wanted = resource.scope or resource.audience or _host(resource.url)
    said = f"{_host(giver)} gives no token for {wanted} in exchange for yours ({codes})"
    if resource.grant == "federation":
        policy = "an administrator of the Databricks account adds a federation policy for where you sign in"
        return PermissionDenied(f"{said}: sign in again; if that changes nothing, {policy}")
    if _CONSENT.search(f"{code} {description}"):
        return PermissionDenied(
            f"{said}: consent to {wanted} is missing; an administrator of the tenant grants it to this "
            "application"
        )
    if number is not None and number.group() == "AADSTS500131":
        return PermissionDenied(
            f"{said}: yours is not for this application; whoever runs this page adds a scope of its own, "
            "api://CLIENT-ID/NAME, to auth.scopes, or in App Service to its login parameters"
        )
    if code in ("invalid_grant", "invalid_token", "invalid_request"):
        given = {"host": _host(giver), "resource": wanted, "codes": codes}
        return AuthRequired(ENGLISH("refusal.no-exchange", **given))
    return PermissionDenied(f"{said}: whoever runs this page has the application allowed to ask for it there")


def _host(url: str) -> str:
    return urlsplit(url).netloc


def _word(code: str) -> str:
    word = code.replace("_", "").replace(" ", "")
    return code if len(code) <= 60 and word.isascii() and word.isalnum() else "an unknown error"
