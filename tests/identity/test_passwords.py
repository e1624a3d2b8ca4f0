"""Passwords, of which there is a hash alone."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from chatlab.config.auth import Basic, is_password_hash
from chatlab.identity.errors import SignInRefused
from chatlab.identity.passwords import PasswordProvider, is_password, password_hash
from chatlab.identity.provider import BegunSignIn

HASH = password_hash("correct horse")
BEGUN = BegunSignIn.at("https://a.example/-/sign-in", "/")


def provider(**users: Any) -> PasswordProvider:
    return PasswordProvider(Basic.model_validate({"type": "basic", "users": users}))


def test_a_hash_says_whether_it_is_the_password_and_is_another_one_each_time() -> None:
    assert is_password_hash(HASH) and password_hash("correct horse") != HASH
    assert is_password("correct horse", HASH)
    for wrong in ("", "Correct horse", "correct horse ", "correct horse" + "x" * 5_000, "\ud800"):
        assert not is_password(wrong, HASH)


def test_a_letter_is_the_same_however_a_keyboard_composes_it() -> None:
    assert is_password("pa\u0308ssword", password_hash("p\u00e4ssword"))


def test_a_hash_is_what_its_format_says() -> None:
    """The PHC string format: ours are what any other library of scrypt computes."""
    _, _, _, salt, _ = HASH.split("$")
    import base64

    raw = base64.b64decode(salt + "==")
    derived = hashlib.scrypt(b"correct horse", salt=raw, n=2**15, r=8, p=3, maxmem=2**27, dklen=32)
    assert HASH.endswith(base64.b64encode(derived).decode().rstrip("="))


async def test_as_much_is_computed_for_somebody_who_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Any, ...]] = []
    scrypt = hashlib.scrypt

    def counted(password: bytes, **given: Any) -> bytes:
        asked.append((given["n"], given["r"], given["p"]))
        return scrypt(password, **given)

    monkeypatch.setattr(hashlib, "scrypt", counted)
    lab = provider(ann={"hash": HASH})
    sentences = set()
    for name in ("ann", "nobody", ""):
        with pytest.raises(SignInRefused) as caught:
            await lab.arrived(BEGUN, {"state": BEGUN.state, "name": name, "password": "wrong"})
        sentences.add(str(caught.value))
    assert asked == [(2**15, 8, 3)] * 3 and len(sentences) == 1


async def test_a_person_is_who_the_configuration_says_until_their_password_changes() -> None:
    given = {"name": "Ann A.", "email": "Ann@Example.org", "groups": ["staff"]}
    lab = provider(ann={"hash": HASH, **given})
    person, tokens = await lab.arrived(
        BEGUN, {"state": BEGUN.state, "name": "ann", "password": "correct horse"}
    )
    assert (person.subject, person.name, person.email, person.groups) == (
        "ann", "Ann A.", "ann@example.org", ("staff",),
    )  # fmt: skip
    assert tokens is None and "correct horse" not in repr(person) and HASH not in repr(person)
    lab.require_known(person)
    for changed in (provider(ann={"hash": password_hash("another one")}), provider(bob={"hash": HASH})):
        with pytest.raises(SignInRefused, match="was changed"):
            changed.require_known(person)


async def test_the_right_password_for_another_sign_in_is_refused() -> None:
    with pytest.raises(SignInRefused, match="not what this browser began"):
        await provider(ann={"hash": HASH}).arrived(
            BEGUN, {"state": "x", "name": "ann", "password": "correct horse"}
        )
