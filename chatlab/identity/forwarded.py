"""People whom a platform signs in, which says by headers who asks.

On these platforms nobody reaches a program but through the platform, which takes away what a client itself
sends under these names. Anywhere else anybody can send them, so each class looks first whether it is there.
"""

from __future__ import annotations

import hashlib
import json
import os
from abc import ABC, abstractmethod
from base64 import b64decode
from dataclasses import dataclass
from typing import Any

from pydantic import SecretStr
from starlette.datastructures import Headers

from chatlab.config.auth import AzureAppService, DatabricksApps, Forwarded, workspace_url
from chatlab.credentials import ProtectedResource
from chatlab.errors import AuthRequired, NotReady
from chatlab.identity.errors import SignInRefused
from chatlab.identity.exchange import Exchanges
from chatlab.identity.person import Person
from chatlab.identity.provider import OidcProvider, SignInProvider
from chatlab.identity.tokens import Tokens
from chatlab.secret import remember
from chatlab.words import ENGLISH


@dataclass(frozen=True, slots=True)
class PlatformVisitor:
    """Somebody who asks, as the platform says. token: their own, for as long as the request is answered; None
    where none was forwarded. resource: the URL of the service that it is for. on_behalf_of: returns one for
    another service in exchange for it; None where nothing does."""

    person: Person
    token: SecretStr | None
    resource: str | None
    on_behalf_of: OnBehalfOf | None = None

    async def credential(self, resource: ProtectedResource) -> SecretStr:
        """Return the person's own token for a resource. Raise AuthRequired for any other than the one that it
        is for or can be exchanged for, and without a token; PermissionDenied, ProviderAway."""
        exchange = self.on_behalf_of if resource.grant == "on_behalf_of" else None
        as_it_is = resource.grant in ("own", "pass_through") and resource.origin == self.resource
        if exchange is None and not as_it_is:
            raise AuthRequired(ENGLISH("refusal.other-token"))
        if self.token is None:
            raise AuthRequired(ENGLISH("refusal.not-forwarded"))
        return self.token if exchange is None else await exchange(resource, self.token)


class Platform(ABC):
    """A platform that signs people in. Raise NotReady where this is not it.

    name: as it is said to people. sign_out: the address there that signs somebody out; None if it has none.
    """

    name: str
    sign_out: str | None = None

    @abstractmethod
    def visitor(self, headers: Headers) -> PlatformVisitor:
        """Return who asks. Raise SignInRefused where the headers do not say it, or not once."""

    def _required(self, headers: Headers, name: str) -> str:
        value = one(headers, name)
        if value is None:
            raise SignInRefused("refusal.who-missing", platform=self.name, name=name)
        return value


class DatabricksAppsPlatform(Platform):
    """Databricks Apps: the headers `X-Forwarded-User`, `-Email`, `-Preferred-Username`, `-Access-Token`."""

    name = "Databricks Apps"

    def __init__(self, config: DatabricksApps) -> None:
        if not os.environ.get("DATABRICKS_APP_NAME"):
            raise NotReady("auth: databricks_apps is for an app there, which has DATABRICKS_APP_NAME set")
        try:
            self._workspace = workspace_url(os.environ.get("DATABRICKS_HOST", ""))
        except ValueError:
            raise NotReady("auth: set DATABRICKS_HOST to the URL of the workspace") from None

    def visitor(self, headers: Headers) -> PlatformVisitor:
        subject, email = (self._required(headers, name) for name in ("x-forwarded-user", "x-forwarded-email"))
        claims = {
            "iss": self._workspace,
            "sub": subject,
            "name": one(headers, "x-forwarded-preferred-username") or "",
            "email": email,
            "email_verified": True,  # by the workspace, as whose user they are signed in
        }
        token = one(headers, "x-forwarded-access-token")
        return PlatformVisitor(
            Person.of(claims, "groups"), SecretStr(token) if token else None, self._workspace
        )


class OnBehalfOf:
    """Gives tokens in exchange for those that were forwarded, each for that one alone. Used in the event loop
    alone. provider: is asked for them."""

    def __init__(self, provider: SignInProvider) -> None:
        self._provider = provider
        self._exchanges = Exchanges()

    async def __call__(self, resource: ProtectedResource, token: SecretStr) -> SecretStr:
        """Return a person's token for a resource. token: theirs. Raise AuthRequired, PermissionDenied,
        ProviderAway."""
        forwarded = token.get_secret_value()
        remember(forwarded, source="tokens of people")
        key = hashlib.sha256(forwarded.encode()).hexdigest()
        tokens = Tokens.of({"access_token": forwarded})
        return SecretStr(
            await self._exchanges.token(key, resource, lambda: self._provider.exchanged(resource, tokens))
        )


class AzurePlatform(Platform):
    """Azure App Service and Container Apps: the headers `X-MS-CLIENT-PRINCIPAL` and those beside it."""

    name = "Azure"
    sign_out = "/.auth/logout"

    def __init__(self, config: AzureAppService) -> None:
        on = os.environ.get("WEBSITE_AUTH_ENABLED", "").lower() == "true"
        if not on and not os.environ.get("CONTAINER_APP_NAME"):
            raise NotReady(
                "auth: azure_app_service is for a web app with authentication there, which has "
                "WEBSITE_AUTH_ENABLED=True set, or for a container app"
            )
        self._config = config
        application = config.application
        self._on_behalf_of = None if application is None else OnBehalfOf(OidcProvider(application.oidc()))

    def visitor(self, headers: Headers) -> PlatformVisitor:
        claims = self._claims(self._required(headers, "x-ms-client-principal"))
        first = {name: values[0] for name, values in claims.items()}
        provider = one(headers, "x-ms-client-principal-idp") or "aad"
        identity = one(headers, "x-ms-client-principal-id") or ""
        entra = provider == "aad" and first.get("tid") and first.get("oid")
        if not entra and not identity:
            raise SignInRefused("refusal.who-unknown", platform="Azure")
        person = Person.of(
            {
                **first,
                # As the provider itself is called, so that somebody is the same by `oidc`.
                "iss": f"https://login.microsoftonline.com/{first['tid']}/v2.0" if entra else provider,
                "sub": identity or first.get("oid"),
                "name": first.get("name") or one(headers, "x-ms-client-principal-name") or "",
                "email_verified": first.get("email_verified", "").lower() == "true",
                "groups": claims.get(self._config.groups_claim, []),
            },
            "groups",
        )
        token = one(headers, "x-ms-token-aad-access-token")
        return PlatformVisitor(
            person,
            SecretStr(token) if token else None,
            self._config.token_for,
            self._on_behalf_of,
        )

    @staticmethod
    def _claims(principal: str) -> dict[str, list[str]]:
        """Return the values of each claim, by its short name."""
        found: dict[str, list[str]] = {}
        try:
            listed: Any = json.loads(b64decode(principal + "=" * (-len(principal) % 4), validate=True))[
                "claims"
            ]
            for claim in listed:
                name, value = claim["typ"], claim["val"]
                if isinstance(name, str) and isinstance(value, str):
                    found.setdefault(_SHORT.get(name, name), []).append(value)
        except (ValueError, LookupError, TypeError):
            raise SignInRefused("refusal.who-unknown", platform="Azure") from None
        return found


_MICROSOFT, _SOAP = "http://schemas.microsoft.com", "http://schemas.xmlsoap.org/ws/2005/05/identity/claims"
_SHORT = {
    f"{_MICROSOFT}/identity/claims/objectidentifier": "oid",
    f"{_MICROSOFT}/identity/claims/tenantid": "tid",
    f"{_SOAP}/emailaddress": "email",
}
"""Claims that App Service names by an older name of theirs."""


def one(headers: Headers, name: str) -> str | None:
    """Return a header's value, None if there is none. Raise SignInRefused if there are several: one of them
    is not the platform's."""
    values = [value.strip() for value in headers.getlist(name)]
    if len(values) > 1:
        raise SignInRefused("refusal.twice", name=name)
    return values[0] or None if values else None


def platform_of(config: Forwarded) -> Platform:
    """Return the platform of a configuration. Raise NotReady where this is not it."""
    return DatabricksAppsPlatform(config) if isinstance(config, DatabricksApps) else AzurePlatform(config)
