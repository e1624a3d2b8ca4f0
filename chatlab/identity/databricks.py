"""Signing in at a Databricks workspace or account (OAuth, user to machine)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from chatlab.config.auth import Databricks
from chatlab.credentials import ProtectedResource
from chatlab.errors import NotReady
from chatlab.identity.errors import SignInRefused
from chatlab.identity.person import Person
from chatlab.identity.provider import BegunSignIn, CodeFlowProvider, Discovered, discovered

_APPS = ".databricksapps.com"


class DatabricksProvider(CodeFlowProvider):
    """A Databricks workspace, or the account it is of. The workspace says who somebody is when it is asked
    with their token.
    """

    def __init__(self, config: Databricks) -> None:
        try:
            self.resource = config.workspace()
        except LookupError as exc:
            raise NotReady(f"auth.host: {exc}") from exc
        account = config.account
        self._issuer = (
            f"{self.resource}/oidc" if account is None else f"{account.host}/oidc/accounts/{account.id}"
        )
        super().__init__(config, f"{self._issuer}/.well-known/oauth-authorization-server", config.scopes)

    def passes_on(self, resource: ProtectedResource) -> bool:
        """Return whether an agent is asked that asks the workspace itself: on this machine, or as an app."""
        return resource.on_this_machine or (
            resource.encrypted and (urlsplit(resource.url).hostname or "").endswith(_APPS)
        )

    def _read(self, said: Mapping[str, Any]) -> Discovered:
        return discovered({"issuer": self._issuer, **said})

    async def _person(self, known: Discovered, begun: BegunSignIn, tokens: Mapping[str, Any]) -> Person:
        token = tokens.get("access_token")
        if not isinstance(token, str) or not token:
            raise SignInRefused("refusal.no-token")
        bearer = {"authorization": f"Bearer {token}"}
        me = await self._json(f"{self.resource}/api/2.0/preview/scim/v2/Me", bearer)
        user, identity = me.get("userName"), me.get("id")
        if not isinstance(user, str) or not isinstance(identity, str) or not (user and identity):
            raise SignInRefused("refusal.no-person")
        listed = me["groups"] if isinstance(me.get("groups"), list) else []
        groups = [one.get("display") for one in listed if isinstance(one, dict)]
        # A user name is what the workspace knows the person by, not what they wrote about themselves.
        claims = {
            "iss": self.resource,
            "sub": identity,
            "name": me.get("displayName") or user,
            "groups": groups,
        }
        email = {"email": user, "email_verified": True} if "@" in user else {}
        return Person.of({**claims, **email}, "groups")
