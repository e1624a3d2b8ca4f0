"""Checks ID tokens: https://openid.net/specs/openid-connect-core-1_0.html#IDTokenValidation."""

from __future__ import annotations

import hmac
import json
from base64 import urlsafe_b64decode
from collections.abc import Mapping, Sequence
from time import time
from typing import Any

from chatlab.identity.errors import SignInRefused

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Signatures that only the provider can make: neither none, nor one made with a secret that is shared."""

SKEW = 60
"""Seconds by which the provider's clock may differ."""

_KINDS = {"R": "RSA", "P": "RSA", "E": "EC"}


def checked_claims(
    token: str, keys: Mapping[str, Any], *, issuer: str, client_id: str, nonce: str
) -> dict[str, Any]:
    """Return the claims of an ID token that one of the provider's keys signed for this very sign-in.

    keys: the provider's JWK set. Raise SignInRefused for any other.
    """
    claims = _signed(token, keys)
    moment = time()
    audience = claims.get("aud")
    audiences = [audience] if isinstance(audience, str) else audience
    party = claims.get("azp")
    if claims.get("iss") != issuer:
        raise _refused("the ID token is of another issuer")
    if not isinstance(audiences, list) or client_id not in audiences:
        raise _refused("the ID token is for another application")
    if (len(audiences) > 1 or party is not None) and party != client_id:
        raise _refused("the ID token was given to another application")
    if _seconds(claims, "exp") <= moment - SKEW:
        raise _refused("the ID token has expired: try again, and look at the server's clock if that stays")
    if _seconds(claims, "iat") > moment + SKEW or (
        "nbf" in claims and _seconds(claims, "nbf") > moment + SKEW
    ):
        raise _refused("the ID token is of the future: look at the server's clock")
    given = claims.get("nonce")
    if not isinstance(given, str) or not hmac.compare_digest(_bytes(given), _bytes(nonce)):
        raise _refused("the ID token belongs to another sign-in")
    if not isinstance(claims.get("sub"), str) or not claims["sub"]:
        raise _refused("the ID token does not say who it is about")
    return claims


def _refused(reason: str) -> SignInRefused:
    return SignInRefused("refusal.not-believed", reason=reason)


def _signed(token: str, keys: Mapping[str, Any]) -> dict[str, Any]:
    from joserfc import jws
    from joserfc.errors import JoseError
    from joserfc.jwk import import_key

    header = _header(token)
    algorithm = header.get("alg")
    if algorithm not in ALGORITHMS:
        raise _refused("the ID token is not signed in a way that is believed")
    registry = jws.JWSRegistry(algorithms=[algorithm])
    for key in _candidates(keys, algorithm, header.get("kid")):
        try:
            signed = jws.deserialize_compact(token, import_key(dict(key)), registry=registry)
            claims = json.loads(signed.payload)
        except (JoseError, ValueError):
            continue
        if isinstance(claims, dict):
            return claims
    raise _refused("the ID token is not signed by a key that the provider has now")


def _header(token: str) -> dict[str, Any]:
    part = token.partition(".")[0]
    try:
        header = json.loads(urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except ValueError:
        header = None
    return header if isinstance(header, dict) else {}


def _candidates(keys: Mapping[str, Any], algorithm: str, kid: Any) -> Sequence[Mapping[str, Any]]:
    """Return the provider's keys that may have signed this: of the algorithm's own kind, so that a public key
    is never taken for a shared secret, and with the name that the token says, if it says one."""
    kind = "OKP" if algorithm == "EdDSA" else _KINDS[algorithm[0]]
    listed = keys.get("keys")
    return [
        key
        for key in (listed if isinstance(listed, list) else [])
        if isinstance(key, dict)
        and key.get("kty") == kind
        and key.get("use", "sig") == "sig"
        and key.get("alg", algorithm) == algorithm
        and (kid is None or key.get("kid") == kid)
    ]


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _seconds(claims: Mapping[str, Any], name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _refused(f"the ID token has no {name}")
    return value
