"""A person, as the provider knows them, and whether the pages are for them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, Self
from urllib.parse import urlsplit

from chatlab.config.auth import Allowed
from chatlab.identity.errors import SignInRefused

_ENTRA = ("login.microsoftonline.com", "login.microsoftonline.us", "login.partner.microsoftonline.cn")
_LONGEST_NAME = 100  # characters


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who is signed in.

    issuer, subject: together they are one person, whatever else changes. email: None unless the provider says
    that it verified it, since anybody can claim any other.
    """

    issuer: str
    subject: str
    name: str
    email: str | None = None
    groups: tuple[str, ...] = ()
    proof: str | None = None

    @classmethod
    def of(cls, claims: Mapping[str, Any], groups_claim: str) -> Self:
        """Return the person whom the claims of a checked ID token are about."""
        issuer, subject = str(claims["iss"]), str(claims["sub"])
        if urlsplit(issuer).hostname in _ENTRA and _text(claims, "oid"):
            subject = f"{_text(claims, 'tid')}/{_text(claims, 'oid')}"  # `sub` differs from app to app
        email = _text(claims, "email").lower() if claims.get("email_verified") is True else ""
        names = (_text(claims, key) for key in ("name", "preferred_username", "nickname"))
        name = next(filter(None, names), "") or email or subject
        groups = claims.get(groups_claim)
        listed = [groups] if isinstance(groups, str) else groups if isinstance(groups, list) else []
        # Hugging Face has an object for each organization, of which this is its name in addresses.
        called = (_text(one, "preferred_username") if isinstance(one, dict) else one for one in listed)
        own = tuple(group for group in called if isinstance(group, str) and group)
        return cls(issuer, subject, name[:_LONGEST_NAME], email or None, own)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return the person of whom `as_dict` gave this."""
        return cls(**{**values, "groups": tuple(values["groups"])})

    def as_dict(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        return asdict(self)

    @property
    def owner(self) -> str:
        """Return whose the person's conversations are: derived, so that it says nothing about the person."""
        return _owner(self.issuer, self.subject)

    def require_allowed(self, allowed: Allowed) -> None:
        """Raise SignInRefused if the pages are for others only."""
        if not (allowed.people or allowed.domains or allowed.groups):
            return
        people = [name.lower() for name in allowed.people]
        if self.subject in allowed.people or (self.email and self.email in people):
            return
        if self.email and self.email.rpartition("@")[2] in [domain.lower() for domain in allowed.domains]:
            return
        if set(self.groups) & set(allowed.groups):
            return
        raise SignInRefused("refusal.for-others" if self.email else "refusal.not-verified")


@lru_cache(maxsize=10_000)
def _owner(issuer: str, subject: str) -> str:
    whole = f"{issuer}\n{subject}".encode("utf-8", "surrogatepass")
    return "person-" + hashlib.sha256(whole).hexdigest()[:32]


def _text(claims: Mapping[str, Any], key: str) -> str:
    value = claims.get(key)
    return value.strip() if isinstance(value, str) else ""
