"""Whose a request is."""

from __future__ import annotations

from starlette.requests import Request

from chatlab.web.shared.owner import COOKIE, browser_of, owner_of


class _Read(Request):
    """A request that counts how often its cookies are read."""

    times = 0

    @property
    def cookies(self) -> dict[str, str]:
        """Return them."""
        _Read.times += 1
        return super().cookies


def test_the_cookie_of_a_request_is_read_once_and_again_in_the_next() -> None:
    _Read.times = 0
    found = set()
    for token in ("a" * 40, "b" * 40, "too short"):
        scope = {"type": "http", "headers": [(b"cookie", f"{COOKIE}={token}".encode())]}
        owner = browser_of(_Read(scope))
        assert owner == owner_of(_Read({**scope, "path": "/elsewhere"})) == browser_of(_Read(scope))
        found.add(owner)
    assert _Read.times == 3
    assert len(found) == 3 and None in found
