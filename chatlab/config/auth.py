"""The configuration's models for signing in."""

from __future__ import annotations

import re
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from chatlab.config.model import Model
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


class Oidc(Model):
    """Sign-in at any provider that speaks OpenID Connect. Needs the extra `auth`."""

    type: Literal["oidc"] = Field(description="How people sign in.")
    discovery: str = Field(
        description="The provider's discovery URL, which ends with `/.well-known/openid-configuration`."
    )
    client_id: str | SecretRef = Field(description="The id that the provider gave chatlab.")
    client_secret: SecretRef | None = Field(
        None, description="The secret that the provider gave chatlab; none for a public client."
    )
    scopes: tuple[str, ...] = Field(
        ("openid", "profile", "email"), description="What the provider is asked for."
    )
    public_url: str | None = Field(
        None,
        description="The address of the chat page as browsers know it, such as `https://chat.example.org`. "
        "Without it, the address by which the page was asked for.",
    )
    redirect_path: str = Field(
        "/auth/callback",
        description="Where the provider sends people back to, below the page's address: with it, that is the "
        "redirect URI to register at the provider.",
    )
    groups_claim: str = Field("groups", min_length=1, description="The claim that has a person's groups.")
    allowed: Allowed = Field(
        default_factory=Allowed,
        description="Whom the pages are for; everybody whom the provider signs in if nobody is named.",
    )
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

    @field_validator("discovery", "public_url")
    @classmethod
    def _encrypted(cls, url: str | None) -> str | None:
        if url is None:
            return None
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

    @field_validator("scopes")
    @classmethod
    def _openid(cls, scopes: tuple[str, ...]) -> tuple[str, ...]:
        if "openid" not in scopes or any(not scope or re.search(r"\s", scope) for scope in scopes):
            raise ValueError("scopes are words, and openid is one of them")
        return scopes

    @field_validator("redirect_path")
    @classmethod
    def _own_path(cls, path: str) -> str:
        if _PATH.fullmatch(path) is None or f"{path}/".startswith(tuple(f"{taken}/" for taken in _TAKEN)):
            raise ValueError("should be a path of its own, such as /auth/callback")
        return path
