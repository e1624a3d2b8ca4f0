"""The configuration's models for signing in."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, TypeAlias
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from chatlab.config.model import Model
from chatlab.paths import ConfigPath
from chatlab.secret import SecretRef

LOOPBACK = ("localhost", "127.0.0.1", "::1")
"""Hosts that may be asked without encryption."""

_PATH = re.compile(r"(/[A-Za-z0-9_~][A-Za-z0-9._~-]*)+")
_TAKEN = ("/-", "/gradio_api", "/compare", "/healthz", "/readyz", "/metrics", "/config", "/static", "/assets")
_DOMAIN = re.compile(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")


class Allowed(Model):
    """Those whom the pages are for, of all whom the provider signs in: who is in any one of these lists."""

    people: tuple[str, ...] = Field(
        (), description="E-mail addresses, if the provider verified them, or its own ids of people."
    )
    domains: tuple[str, ...] = Field(
        (), description="Domains of e-mail addresses that the provider verified, such as `example.org`."
    )
    groups: tuple[str, ...] = Field((), description="Groups, as the claim `groups_claim` names them.")

    @field_validator("people", "domains")
    @classmethod
    def _stripped(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(name.strip() for name in names)

    @field_validator("domains")
    @classmethod
    def _domains(cls, domains: tuple[str, ...]) -> tuple[str, ...]:
        if any(_DOMAIN.fullmatch(domain) is None for domain in domains):
            raise ValueError("domains are names, such as example.org")
        return domains


class WayIn(Model):
    """The options of every way of coming in."""

    public_url: str | None = Field(
        None,
        description="The address of the chat page as browsers know it, such as `https://chat.example.org`. "
        "Without it, the address by which the page was asked for.",
    )
    allowed: Allowed = Field(
        default_factory=Allowed,
        description="Whom the pages are for; everybody whom the provider signs in if nobody is named.",
    )

    audit: ConfigPath | None = Field(
        None,
        description="A file to which it is written who signed in and out, who was refused, and who asked "
        "which backend as whom, a JSON object a line; the server's log says the same. No content, no token. "
        "`chatlab users audit` reads it.",
    )

    @field_validator("public_url")
    @classmethod
    def _public(cls, url: str | None) -> str | None:
        return None if url is None else encrypted_url(url)


class SignIn(WayIn):
    """The options of every way of signing in here."""

    keys: tuple[SecretRef, ...] = Field(
        (),
        description="Keys that encrypt what is stored of people who are signed in, each of 32 random "
        "characters or more. The first one encrypts, all of them decrypt. Without any, everybody has to "
        "sign in again after a restart, and a second server does not know who is signed in.",
    )
    idle_minutes: float = Field(
        720, gt=0, description="Minutes without any request after which a person has to sign in again."
    )
    session_hours: float = Field(
        168, gt=0, description="Hours after which a person has to sign in again anyway."
    )


class AtProvider(SignIn):
    """The options of every way of signing in at a provider."""

    client_id: str | SecretRef = Field(description="The id that the provider gave chatlab.")
    client_secret: SecretRef | None = Field(
        None, description="The secret that the provider gave chatlab; none for a public client."
    )
    redirect_path: str = Field(
        "/auth/callback",
        description="Where the provider sends people back to, below the page's address: with it, that is the "
        "redirect URI to register at the provider.",
    )

    @field_validator("redirect_path")
    @classmethod
    def _own_path(cls, path: str) -> str:
        if _PATH.fullmatch(path) is None or f"{path}/".startswith(tuple(f"{taken}/" for taken in _TAKEN)):
            raise ValueError("should be a path of its own, such as /auth/callback")
        return path


class Oidc(AtProvider):
    """Sign-in at any provider that speaks OpenID Connect. Needs the extra `auth`."""

    type: Literal["oidc"] = Field(description="How people sign in.")
    discovery: str = Field(
        description="The provider's discovery URL, which ends with `/.well-known/openid-configuration`."
    )
    scopes: tuple[str, ...] = Field(
        ("openid", "profile", "email"), description="What the provider is asked for."
    )
    groups_claim: str = Field("groups", min_length=1, description="The claim that has a person's groups.")

    @field_validator("discovery")
    @classmethod
    def _discovery(cls, url: str) -> str:
        return encrypted_url(url)

    @field_validator("scopes")
    @classmethod
    def _openid(cls, scopes: tuple[str, ...]) -> tuple[str, ...]:
        if "openid" not in scopes or any(not scope or re.search(r"\s", scope) for scope in scopes):
            raise ValueError("scopes are words, and openid is one of them")
        return scopes


class HostVariable(Model):
    """The workspace's URL is in this variable, with or without `https://`."""

    env: str = Field(description="Name of the variable that holds the workspace's URL.")


class DatabricksAccount(Model):
    """The Databricks account at which people sign in."""

    host: str = Field(
        description="URL of the account console, such as `https://accounts.cloud.databricks.com` or "
        "`https://accounts.azuredatabricks.net`."
    )
    id: str = Field(pattern=r"^[\w-]+$", description="The account's id.")

    @field_validator("host")
    @classmethod
    def _url(cls, url: str) -> str:
        return workspace_url(url)


class Databricks(AtProvider):
    """Sign-in at a Databricks workspace or account (OAuth, user to machine). Backends of the kind
    `databricks` with `auth: {type: user}` are then asked with the person's own rights. Needs the extra
    `auth`.
    """

    type: Literal["databricks"] = Field(description="How people sign in.")
    host: str | HostVariable = Field(description="URL of the workspace, or {env: NAME}.")
    account: DatabricksAccount | None = Field(
        None,
        description="The account at which people sign in, in place of the workspace; the workspace still "
        "says who they are, and is what is asked with their rights.",
    )
    scopes: tuple[str, ...] = Field(
        ("all-apis", "offline_access"),
        description="What the workspace is asked for; without `offline_access` a sign-in lasts an hour.",
    )

    @field_validator("host")
    @classmethod
    def _literal(cls, host: str | HostVariable) -> str | HostVariable:
        return host if isinstance(host, HostVariable) else workspace_url(host)

    def workspace(self) -> str:
        """Return the workspace's URL without a slash at its end. Raise LookupError with what to do."""
        if isinstance(self.host, str):
            return self.host
        try:
            return workspace_url(os.environ.get(self.host.env, ""))
        except ValueError:
            raise LookupError(f"set {self.host.env} to the URL of a workspace") from None


class User(Model):
    """Somebody who signs in with a password."""

    hash: SecretRef | str = Field(
        description="What `chatlab users hash` printed, as it is or as {env: NAME} or {file: PATH}."
    )
    name: str | None = Field(
        None, description="What the person is called; the name they sign in with if not given."
    )
    email: str | None = Field(None, description="The person's e-mail address, for `allowed`.")
    groups: tuple[str, ...] = Field((), description="The person's groups, for `allowed`.")

    @field_validator("hash")
    @classmethod
    def _hashed(cls, given: SecretRef | str) -> SecretRef | str:
        if isinstance(given, str) and not is_password_hash(given):
            raise ValueError("should be what `chatlab users hash` printed, never a password")
        return given


class Basic(SignIn):
    """Sign-in with a name and a password on a page of chatlab's own, for a lab. Needs the extra `auth`."""

    redirect_path: ClassVar[str] = "/-/sign-in"

    type: Literal["basic"] = Field(description="How people sign in.")
    users: Mapping[str, User] = Field(
        min_length=1, description="Who may sign in, by the name that they sign in with."
    )

    @field_validator("users")
    @classmethod
    def _names(cls, users: Mapping[str, User]) -> Mapping[str, User]:
        if any(not name.strip() or name != name.strip() or len(name) > LONGEST_NAME for name in users):
            raise ValueError(f"names have 1 to {LONGEST_NAME} characters, without space around them")
        return users


LONGEST_NAME = 100  # characters


class HuggingFaceSpace(SignIn):
    """Sign-in with Hugging Face in a Space that has `hf_oauth: true`: what `oidc` needs is in the variables
    of the Space. Needs the extra `auth`.
    """

    redirect_path: ClassVar[str] = "/login/callback"

    type: Literal["huggingface_space"] = Field(description="How people sign in.")

    def oidc(self) -> Oidc:
        """Return the same as `oidc`, with the variables of the Space. Raise LookupError with what to do."""
        names = ("SPACE_HOST", "OPENID_PROVIDER_URL", "OAUTH_CLIENT_ID", "OAUTH_CLIENT_SECRET")
        missing = [name for name in names if not os.environ.get(name)]
        if missing:
            raise LookupError(
                f"{missing[0]} is not set: this is for a Space with `hf_oauth: true` in its README.md"
            )
        host, provider, client_id, _ = (os.environ[name].strip() for name in names)
        own = {name: getattr(self, name) for name in SignIn.model_fields}
        local = host.rpartition(":")[0] in LOOPBACK
        url = f"{'http' if local else 'https'}://{host.partition(',')[0]}"
        return Oidc(
            **{**own, "public_url": self.public_url or url},
            type="oidc",
            discovery=f"{provider.rstrip('/')}/.well-known/openid-configuration",
            client_id=client_id,
            client_secret=SecretRef(env="OAUTH_CLIENT_SECRET"),
            redirect_path=self.redirect_path,
            scopes=tuple(os.environ.get("OAUTH_SCOPES", "openid profile").split()),
            groups_claim="orgs",
        )


class DatabricksApps(WayIn):
    """Sign-in by Databricks Apps, whose headers say who asks; believed in an app there alone. Backends of the
    kind `databricks` with `auth: {type: user}` are asked with the token that is forwarded.
    """

    type: Literal["databricks_apps"] = Field(description="How people sign in.")

    @field_validator("allowed")
    @classmethod
    def _without_groups(cls, allowed: Allowed) -> Allowed:
        if allowed.groups:
            raise ValueError("Databricks Apps does not say who is in which group: name people or domains")
        return allowed


class EntraApplication(Model):
    """The application as which Azure signs people in there: their forwarded token is exchanged as this
    application, for one for another service, by Entra ID's on-behalf-of grant. Needs the extra `auth`.
    """

    discovery: str = Field(
        description="The tenant's discovery URL: `https://login.microsoftonline.com/TENANT/v2.0/"
        ".well-known/openid-configuration`."
    )
    client_id: str | SecretRef = Field(description="The application's id.")
    client_secret: SecretRef = Field(
        description="The application's secret, such as `{env: MICROSOFT_PROVIDER_AUTHENTICATION_SECRET}`, "
        "which the portal sets."
    )

    @field_validator("discovery")
    @classmethod
    def _discovery(cls, url: str) -> str:
        return encrypted_url(url)

    def oidc(self) -> Oidc:
        """Return the same as somebody would sign in at it."""
        return Oidc(type="oidc", **{name: getattr(self, name) for name in type(self).model_fields})


class AzureAppService(WayIn):
    """Sign-in by the built-in authentication of Azure App Service or Container Apps, whose headers say who
    asks; believed there alone.
    """

    type: Literal["azure_app_service"] = Field(description="How people sign in.")
    groups_claim: str = Field("groups", min_length=1, description="The claim that has a person's groups.")
    token_for: str | None = Field(
        None,
        description="URL of the Databricks workspace that the forwarded token of a person is for: backends "
        "of the kind `databricks` with `auth: {type: user}` there are asked with it. Without it, the token "
        "is sent there as it is to no service.",
    )
    application: EntraApplication | None = Field(
        None,
        description="The application as which the forwarded token is exchanged where a backend has "
        "`auth: {type: user, by: on_behalf_of}`. Without it, it is exchanged for no other.",
    )

    @field_validator("token_for")
    @classmethod
    def _workspace(cls, url: str | None) -> str | None:
        return None if url is None else workspace_url(url)


Forwarded: TypeAlias = DatabricksApps | AzureAppService
"""The ways in which a platform signs people in, and says by headers who asks."""

SignedIn: TypeAlias = Oidc | Databricks | Basic | HuggingFaceSpace
"""The ways in which people sign in here."""

Auth: TypeAlias = Annotated[SignedIn | Forwarded, Field(discriminator="type")]


_PASSWORD_HASH = re.compile(r"\$scrypt\$ln=(1[4-9]),r=8,p=([1-9])\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}")


def is_password_hash(text: str) -> bool:
    """Return whether a text is a hash of a password as `chatlab.identity.passwords` makes them: scrypt, of
    16 MB or more, a salt of 16 bytes and a hash of 32."""
    return _PASSWORD_HASH.fullmatch(text) is not None


def workspace_url(host: str) -> str:
    """Return the URL of a workspace that was given with or without `https://`. Raise ValueError."""
    url = encrypted_url(host.strip() if "://" in host else f"https://{host.strip()}")
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def encrypted_url(url: str) -> str:
    """Return a URL without a slash at its end. Raise ValueError for one that is not encrypted, or has more
    than a host and a path."""
    try:
        parts = urlsplit(url)
        right = parts.hostname and parts.port != 0 and parts.username is None
    except ValueError:
        right = False
    if not right or parts.query or parts.fragment:
        raise ValueError("should be a URL such as https://example.org, without user, query and fragment")
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOOPBACK):
        raise ValueError("should begin with https://; http:// is for localhost alone")
    return url.rstrip("/")
