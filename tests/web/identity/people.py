"""People who sign in, as a browser does it: by following where they are sent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx2

from tests.servers.oidc import Oidc

OPENS = {"accept": "text/html", "sec-fetch-mode": "navigate", "sec-fetch-site": "none"}
"""What a browser sends when a person opens an address."""


@contextmanager
def somebody(url: str) -> Iterator[httpx2.Client]:
    """Somebody's browser, signed out at first. It follows no redirect by itself."""
    with httpx2.Client(base_url=url, timeout=60, headers={"x-chatlab": "1"}) as client:
        yield client


@contextmanager
def signed_in(url: str, provider: Oidc, sub: str, **claims: Any) -> Iterator[httpx2.Client]:
    """The browser of somebody who is signed in."""
    with somebody(url) as client:
        sign_in(client, provider, sub, **claims)
        yield client


def sign_in(client: httpx2.Client, provider: Oidc, sub: str, **claims: Any) -> None:
    """Signs in, by the address that is opened, and comes back to it."""
    provider.person = {"sub": sub, "name": sub.title(), **claims}
    landed = client.get("/config", headers=OPENS, follow_redirects=True)
    assert landed.status_code == 200 and landed.url.path == "/config", landed.text


def began(client: httpx2.Client, path: str = "/") -> dict[str, str]:
    """What the provider is asked when somebody who is signed out opens a page."""
    answer = client.get(path, headers=OPENS)
    assert answer.status_code == 303, answer.text
    return dict(parse_qsl(urlsplit(answer.headers["location"]).query))


def comes_back(
    client: httpx2.Client, provider: Oidc, query: dict[str, str], **answer: Any
) -> httpx2.Response:
    """What is answered when the provider sends somebody back; `answer` changes what it says."""
    given = {"code": provider.code(query), "state": query["state"], "iss": provider.issuer, **answer}
    return client.get("/auth/callback", params=given, headers=OPENS)


def session_of(client: httpx2.Client) -> str | None:
    """The id of somebody's session."""
    return client.cookies.get("chatlab-session")
