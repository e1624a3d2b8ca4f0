"""The scope that a reply's headers say is missing."""

from __future__ import annotations

import httpx2
import pytest

from chatlab.errors import AuthenticationFailed, BackendError, PermissionDenied
from chatlab.upstream import with_challenge

INSUFFICIENT = 'Bearer realm="x", error="insufficient_scope", scope="chat.read chat.write"'


@pytest.mark.parametrize("status", [401, 403])
def test_the_scope_that_is_missing_is_said_and_whom_to_ask(status: int) -> None:
    headers = httpx2.Headers({"WWW-Authenticate": INSUFFICIENT})
    error = with_challenge(AuthenticationFailed("refused", status=status), headers)
    assert type(error) is PermissionDenied and error.status == status
    assert "the token lacks the scope chat.read chat.write; whoever runs this page" in str(error)


@pytest.mark.parametrize("challenge", ["", "Bearer", 'Bearer error="invalid_token"', 'Basic realm="x"'])
def test_any_other_challenge_changes_nothing(challenge: str) -> None:
    error: BackendError = AuthenticationFailed("refused", status=401)
    assert with_challenge(error, httpx2.Headers({"www-authenticate": challenge})) is error
