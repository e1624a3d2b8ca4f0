"""Nobody becomes somebody by a header: what platforms forward about a person is not believed."""

from __future__ import annotations

import base64
import json
import logging
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.servers.front import Front
from tests.web.conversations.test_routes import HELLO, Browser
from tests.web.pages import Served

CANARY = "canary-5d0c7e21-of-a-person"
_PRINCIPAL = {"auth_typ": "aad", "claims": [{"typ": "tid", "val": CANARY}, {"typ": "oid", "val": CANARY}]}
FORWARDED = {
    # Databricks Apps
    "x-forwarded-user": CANARY,
    "x-forwarded-email": f"{CANARY}@example.com",
    "x-forwarded-preferred-username": CANARY,
    "x-forwarded-access-token": CANARY,
    # Azure App Service
    "x-ms-client-principal": base64.b64encode(json.dumps(_PRINCIPAL).encode()).decode(),
    "x-ms-client-principal-id": CANARY,
    "x-ms-client-principal-name": CANARY,
    "x-ms-token-aad-access-token": CANARY,
    "x-ms-token-aad-id-token": CANARY,
    # other proxies
    "authorization": f"Bearer {CANARY}",
    "remote-user": CANARY,
    "x-auth-request-access-token": CANARY,
}


def forging(url: str, name: str) -> Browser:
    browser = Browser.at(url, f"{name}{time.monotonic_ns()}")
    browser.client.headers.update(FORWARDED)
    return browser


def asked(browser: Browser) -> str:
    given = {"multimodaltextbox": HELLO}
    return browser.fire(browser.event("_submit_fn"), given, None)


def test_a_forwarded_token_asks_no_backend_as_that_person_and_nothing_else_takes_its_place(
    serve: Callable[[str], Served],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("DATABRICKS_TOKEN", "of-the-service")
    caplog.set_level(logging.DEBUG)
    with Front() as workspace:
        served = serve(
            "version: 1\nbackends:\n  agent: {kind: databricks, endpoint: agent, task: chat, "
            f"host: '{workspace.url}', auth: {{type: user}}}}\n"
        )
        browser = forging(served.url, "person")
        said = asked(browser)
        browser.client.close()
        assert workspace.requests == []
    assert "sign in first" in said
    assert CANARY not in said and CANARY not in caplog.text
    kept = [file for file in (tmp_path / ".chatlab").rglob("*") if file.is_file()]
    assert kept and not [file for file in kept if CANARY.encode() in file.read_bytes()]


def test_two_browsers_that_claim_to_be_the_same_person_do_not_see_each_others_conversations(
    serve: Callable[[str], Served],
) -> None:
    served = serve("version: 1\nbackends: {echo: {kind: echo}}\n")
    one, other = forging(served.url, "one"), forging(served.url, "other")
    assert "hello" in asked(one)
    seen = [browser.client.get("/-/conversations").text for browser in (one, other)]
    one.client.close()
    other.client.close()
    assert "hello" in seen[0] and "hello" not in seen[1]
