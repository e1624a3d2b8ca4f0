"""What is sent to a browser compressed, and what is left out of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import gradio as gr
import httpx2
import pytest

from tests.web.shared.test_safety import at_url

CONFIG = "version: 1\nbackends: {echo: {kind: echo}}\n"


@pytest.fixture(scope="module", params=["launched", "mounted"])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    file = tmp_path_factory.mktemp("compression") / "config.yaml"
    file.write_text(CONFIG, "utf-8")
    with at_url(request.param, file) as url:
        yield url


def test_pages_and_their_scripts_are_compressed_and_nothing_else_is(url: str) -> None:
    with httpx2.Client(base_url=url) as browser:
        for path in ("/", "/compare", "/-/static/dom.js", "/-/static/sidebar/sidebar.css"):
            found = browser.get(path, headers={"accept-encoding": "gzip"})
            assert found.headers.get("content-encoding") == "gzip", path
            assert found.headers["vary"].lower() == "accept-encoding"
            plain = browser.get(path, headers={"accept-encoding": "identity"})
            assert "content-encoding" not in plain.headers
        script = browser.get("/-/static/dom.js")
        unchanged = browser.get("/-/static/dom.js", headers={"if-none-match": script.headers["etag"]})
        assert unchanged.status_code == 304
        linked = re.findall(r'href="\./(assets/[^"]+|-/static/v[^"]+)"', browser.get("/").text)
        for path in (linked[0], linked[-1]):
            found = browser.get(f"/{path}", headers={"accept-encoding": "gzip"})
            plain = browser.get(f"/{path}", headers={"accept-encoding": "identity"})
            assert found.headers.get("content-encoding") == "gzip", path
            assert "content-encoding" not in plain.headers
            assert plain.text == found.text
        other = browser.get("/config", headers={"accept-encoding": "gzip"})
        assert other.is_success
        assert "content-encoding" not in other.headers


def test_the_player_of_streams_that_no_answer_has_is_left_out_with_all_that_others_import_of_it(
    url: str,
) -> None:
    assets = Path(gr.__file__).parent / "templates" / "frontend" / "assets"
    for script in assets.glob("hls-*.js"):  # older Gradio has it in another one, where it stays
        sent = httpx2.get(f"{url}/assets/{script.name}").text
        assert len(sent) < 1000
        wanted = {
            name.split(" as ")[0].strip()
            for one in assets.glob("*.js")
            for names in re.findall(
                r"import\s*\{([^}]*)\}\s*from\s*\"\./" + re.escape(script.name), one.read_text("utf-8")
            )
            for name in names.split(",")
        }
        assert wanted
        assert wanted <= set(re.findall(r" as (\w+)", sent))
