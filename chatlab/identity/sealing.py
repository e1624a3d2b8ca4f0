"""Encryption of what is stored of people, and of what their browsers carry while they sign in."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from secrets import token_urlsafe
from typing import Any

from chatlab.errors import NotReady
from chatlab.secret import SecretRef

_SHORTEST = 32  # characters of a key


class Seal:
    """Encrypts JSON objects, and decrypts what it encrypted itself.

    keys: the first one encrypts, all of them decrypt. purpose: what was sealed for another one is not opened.
    """

    def __init__(self, keys: Sequence[str], purpose: str) -> None:
        from base64 import urlsafe_b64encode

        from cryptography.fernet import Fernet, InvalidToken, MultiFernet
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        def derived(key: str) -> Fernet:
            # https://www.rfc-editor.org/rfc/rfc5869: one key for each purpose, of the length that is needed.
            material = HKDF(SHA256(), 32, salt=None, info=f"chatlab {purpose}".encode()).derive(key.encode())
            return Fernet(urlsafe_b64encode(material))

        self._fernet = MultiFernet([derived(key) for key in keys])
        self._invalid = InvalidToken

    def sealed(self, value: Mapping[str, Any]) -> str:
        """Return an object encrypted, with the time."""
        return self._fernet.encrypt(json.dumps(value).encode()).decode("ascii")

    def opened(self, text: str, *, most_seconds: int | None = None) -> dict[str, Any] | None:
        """Return what was sealed; None if it was changed, is older, or was sealed with a key that is gone."""
        try:
            value = json.loads(self._fernet.decrypt(text.encode("utf-8", "surrogatepass"), most_seconds))
        except self._invalid:
            return None
        return value if isinstance(value, dict) else None


def session_keys(references: Sequence[SecretRef]) -> tuple[str, ...]:
    """Return the keys of a configuration; one of this process alone if there are none. Raise NotReady."""
    keys = []
    for number, reference in enumerate(references):
        try:
            key = reference.text().get_secret_value()
        except LookupError as exc:
            raise NotReady(f"auth.keys[{number}]: {exc}") from exc
        if len(key) < _SHORTEST:
            raise NotReady(
                f"auth.keys[{number}] has fewer than {_SHORTEST} characters: make a longer, random one"
            )
        keys.append(key)
    return tuple(keys) or (token_urlsafe(32),)
