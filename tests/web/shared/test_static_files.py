"""The pages' own scripts and styles: where they are, and what of them a page loads."""

from __future__ import annotations

import httpx2
from starlette.applications import Starlette
from starlette.routing import Mount

from chatlab.web.shared.static_files import FOLDER, STATIC, OwnStatic, with_imported


def _client() -> httpx2.AsyncClient:
    app = Starlette(routes=[Mount("/-/static", OwnStatic())])
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://127.0.0.1")


async def test_what_is_at_an_address_of_its_version_is_stored_for_good_and_nothing_else_is() -> None:
    text = (FOLDER / "dom.js").read_text("utf-8")
    async with _client() as client:
        found = await client.get(f"/{STATIC}/dom.js")
        assert found.text == text
        assert "immutable" in found.headers["cache-control"]
        assert found.headers["content-type"].startswith("text/javascript")
        for other in ("/-/static/dom.js", "/-/static/v0123456789ab/dom.js"):  # one of another server
            found = await client.get(other)
            assert found.text == text
            assert "cache-control" not in found.headers
        for missing in (f"/{STATIC}/nothing.js", f"/{STATIC}/../page.py", f"/{STATIC}/"):
            assert (await client.get(missing)).status_code == 404, missing


def test_what_a_module_imports_is_found_through_all_that_it_imports() -> None:
    loaded = with_imported("sidebar/along.js", "sidebar/sidebar.css", "title.js")
    assert loaded == ["sidebar/along.js", "sidebar/sidebar.css", "title.js", "dom.js"]
    assert {"dialog.js", "dom.js", "sidebar/list.js"} <= set(with_imported("chat/conversations.js"))
