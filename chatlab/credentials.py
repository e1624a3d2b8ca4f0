"""People's own credentials, as backends ask for them: for a named resource, and for nothing else."""

from __future__ import annotations

import asyncio
import json
from base64 import b64decode
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias
from urllib.parse import urlsplit

from pydantic import SecretStr

from chatlab.errors import AuthenticationFailed, AuthRequired
from chatlab.secret import remember
from chatlab.words import ENGLISH

Grant: TypeAlias = Literal["own", "pass_through", "exchange", "on_behalf_of", "federation"]
"""The way from a person's sign-in to their token for a resource: the token that the resource itself gave them
(`own`), the provider's as it is (`pass_through`), one that the provider gives in exchange for it (`exchange`,
RFC 8693, and `on_behalf_of`, Entra ID), or one that a Databricks workspace gives for it (`federation`)."""

_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class ProtectedResource:
    """A service that is to be called with a person's own rights.

    url: of the service. scope, audience: what is asked for in an exchange.
    """

    url: str
    grant: Grant = "own"
    scope: str | None = None
    audience: str | None = None

    @property
    def origin(self) -> str:
        """Return the scheme and host of the service, with its port."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def encrypted(self) -> bool:
        """Return whether a token travels there encrypted, or does not leave this machine."""
        scheme = urlsplit(self.url).scheme
        return scheme == "https" or (scheme == "http" and self.on_this_machine)

    @property
    def on_this_machine(self) -> bool:
        """Return whether the service is on the machine that asks it."""
        return urlsplit(self.url).hostname in _LOOPBACK


Credential: TypeAlias = Callable[[ProtectedResource], Awaitable[SecretStr]]
"""A provider of one person's credentials: returns their own token for a resource, anew for each call. Raises
AuthRequired where they have none for it."""


def one_token(token: SecretStr) -> Credential:
    """Return a credential for `CallContext` that is this token, whatever service it is asked for: for
    programs that call backends of one service alone."""

    async def credential(_: ProtectedResource) -> SecretStr:
        return token

    return credential


async def token_of(credential: Credential | None, resource: ProtectedResource) -> str:
    """Return a person's own token for a resource. Raise AuthRequired where there is none: nothing else is
    ever used in its place."""
    if not resource.encrypted:
        raise AuthRequired(ENGLISH("refusal.https-only"))
    given = None if credential is None else await credential(resource)
    token = given.get_secret_value().strip() if given is not None else ""
    if not token:
        raise AuthRequired(ENGLISH("refusal.sign-in-first"))
    remember(token, source="tokens of people")
    return sendable(token)


class PersonCredential:
    """The credentials of whoever asks, for one run of an object of the kind `langchain`, which finds them as
    `chatlab_credential` in its `configurable`."""

    def __init__(
        self, credential: Credential, resource: Callable[[str], ProtectedResource] = ProtectedResource
    ) -> None:
        self._credential = credential
        self._resource = resource  # of a URL, as the backend's configuration has it
        self._loop = asyncio.get_running_loop()

    def __repr__(self) -> str:
        return "<PersonCredential>"

    async def __call__(self, service: str | ProtectedResource) -> SecretStr:
        """Return the person's own token for a service, by its URL. Raise AuthRequired without one."""
        resource = self._resource(service) if isinstance(service, str) else service
        return SecretStr(await token_of(self._credential, resource))

    def wait(self, service: str | ProtectedResource) -> SecretStr:
        """Return the same in a thread: for objects that are not asynchronous."""
        return asyncio.run_coroutine_threadsafe(self(service), self._loop).result()


def name_in(token: str) -> str | None:
    """Return whom a token is of, as it says itself, for showing: nothing is checked. None if it is no JSON
    web token, or does not say it."""
    try:
        body = token.split(".")[1]
        claims = json.loads(b64decode(body + "=" * (-len(body) % 4), b"-_"))
        names = (
            claims.get(name)
            for name in ("preferred_username", "upn", "email", "app_displayname", "appid", "sub")
        )
        return next((name for name in names if isinstance(name, str) and name), None)
    except (LookupError, ValueError, AttributeError):
        return None


def sendable(token: str) -> str:
    """Return a token as it is. HTTP libraries repeat a header that they refuse: none gets so far."""
    if not (token.isascii() and token.isprintable()):
        raise AuthenticationFailed(ENGLISH("refusal.bad-token"))
    return token
