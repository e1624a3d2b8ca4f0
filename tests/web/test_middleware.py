"""The protections around the pages are the same, in the same order, however they are served."""

from __future__ import annotations

from collections.abc import Iterator

import httpx2
import pytest

from tests.web.shared.test_safety import at_url

CONFIG = "version: 1\nbackends: {echo: {kind: echo}}\n"


@pytest.fixture(scope="module", params=["launched", "mounted"])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    file = tmp_path_factory.mktemp("middleware") / "config.yaml"
    file.write_text(CONFIG, "utf-8")
    with at_url(request.param, file) as url:
        yield url


@pytest.mark.parametrize("path", ["/-/conversations", "/-/import", "/-/compare/sessions", "/compare"])
def test_no_other_origin_may_ask_our_own_routes_with_a_browsers_cookie(url: str, path: str) -> None:
    asked = {"origin": "http://localhost:9999", "access-control-request-method": "POST"}
    answered = httpx2.options(f"{url}{path}", headers=asked)
    assert not answered.is_success
    allowed = [name for name in answered.headers if name.startswith("access-control-allow")]
    assert allowed == []
    plain = httpx2.get(f"{url}{path}", headers={"origin": "http://localhost:9999"})
    assert "access-control-allow-origin" not in plain.headers
