"""Signing in with a name and a password, of which the configuration has a hash alone (scrypt)."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
import re
from base64 import b64decode, b64encode
from collections.abc import Mapping
from unicodedata import normalize
from urllib.parse import urlencode

from chatlab.config.auth import Basic, User, is_password_hash
from chatlab.errors import NotReady
from chatlab.identity.errors import SignInRefused
from chatlab.identity.person import Person
from chatlab.identity.provider import BegunSignIn, SignInProvider
from chatlab.identity.tokens import Tokens
from chatlab.secret import SecretRef, remember

SHORTEST, LONGEST = 8, 1_000
"""Characters of a password."""

_COST = "ln=15,r=8,p=3"  # 32 MB and about 0.2 s, which OWASP's Password Storage Cheat Sheet takes for enough
_AT_ONCE = 2  # passwords that are looked at at the same time


def password_hash(password: str) -> str:
    """Return the hash of a password, in the PHC string format; another one each time."""
    salt = os.urandom(16)
    return f"$scrypt${_COST}${_base64(salt)}${_base64(_derived(password, _COST, salt))}"


def is_password(password: str, hashed: str) -> bool:
    """Return whether a hash is one of this password. It takes as long if not."""
    _, _, cost, salt, expected = hashed.split("$")
    derived = _derived(password[: LONGEST + 1], cost, b64decode(salt + "=="))
    return hmac.compare_digest(_base64(derived), expected) and len(password) <= LONGEST


def _derived(password: str, cost: str, salt: bytes) -> bytes:
    log_n, r, p = map(int, re.findall(r"\d+", cost))
    n = 1 << log_n
    text = normalize("NFKC", password).encode(
        "utf-8", "surrogatepass"
    )  # however a keyboard composes a letter
    memory = 128 * r * (n + p + 2)
    return hashlib.scrypt(text, salt=salt, n=n, r=r, p=p, maxmem=2 * memory, dklen=32)


def _base64(some: bytes) -> str:
    return b64encode(some).decode("ascii").rstrip("=")


class PasswordProvider(SignInProvider):
    """The people of a configuration, who sign in on a page of chatlab's own."""

    def __init__(self, config: Basic) -> None:
        self._users = {name: (user, _read(name, user)) for name, user in config.users.items()}
        self._looking = asyncio.Semaphore(_AT_ONCE)

    async def sign_in_url(self, begun: BegunSignIn) -> str:
        return f"{begun.redirect_uri}?{urlencode({'state': begun.state})}"

    async def arrived(self, begun: BegunSignIn, answer: Mapping[str, str]) -> tuple[Person, Tokens | None]:
        begun.require_state_of(answer)
        name, password = answer.get("name", "").strip(), answer.get("password", "")
        known = self._users.get(name)
        # For a name that nobody has, the same is computed as for one that somebody has.
        _, hashed = known or next(iter(self._users.values()))
        async with self._looking:
            right = await asyncio.to_thread(is_password, password, hashed)
        if known is None or not right:
            raise SignInRefused("refusal.wrong-password")
        return self._person(name), None

    def require_known(self, person: Person) -> None:
        """Raise SignInRefused for somebody who is no user any more, or has another password."""
        if person.subject not in self._users or self._person(person.subject).proof != person.proof:
            raise SignInRefused("refusal.person-changed")

    def _person(self, name: str) -> Person:
        user, hashed = self._users[name]
        proof = hashlib.sha256(hashed.encode()).hexdigest()
        email = user.email.strip().lower() if user.email else None
        return Person("basic", name, user.name or name, email, user.groups, proof)


def _read(name: str, user: User) -> str:
    hashed = user.hash
    if isinstance(hashed, SecretRef):
        try:
            hashed = hashed.text().get_secret_value()
        except LookupError as exc:
            raise NotReady(f"auth.users.{name}.hash: {exc}") from exc
        if not is_password_hash(hashed):
            raise NotReady(f"auth.users.{name}.hash is not what `chatlab users hash` printed")
    remember(hashed, parts=False)
    return hashed
