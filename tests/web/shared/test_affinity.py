"""A browser is told with the page it opens which server it was."""

from __future__ import annotations

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from chatlab.web.shared.affinity import NAME_VARIABLE, AffinityCookie

PAGE = {"accept": "text/html"}


async def client(name: str, monkeypatch: pytest.MonkeyPatch) -> httpx2.AsyncClient:
    monkeypatch.setenv(NAME_VARIABLE, "pod-1")
    app = Starlette(routes=[Route("/", lambda _: PlainTextResponse("a page"), methods=["GET", "POST"])])
    transport = httpx2.ASGITransport(AffinityCookie(app, name))
    return httpx2.AsyncClient(transport=transport, base_url="https://chat.example")


async def test_a_page_tells_its_browser_which_server_it_was_until_it_knows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with await client("chatlab-replica", monkeypatch) as browser:
        told = (await browser.get("/", headers=PAGE)).headers["set-cookie"]
        assert told.startswith("chatlab-replica=pod-1;") and "HttpOnly" in told and "Secure" in told
        assert "set-cookie" not in (await browser.get("/", headers=PAGE)).headers
        browser.cookies.clear()
        browser.cookies.set("chatlab-replica", "pod-2", domain="chat.example")  # that one is gone
        assert "set-cookie" not in (await browser.get("/")).headers
        assert "set-cookie" not in (await browser.post("/", headers=PAGE)).headers
        assert "pod-1" in (await browser.get("/", headers=PAGE)).headers["set-cookie"]


async def test_without_a_name_there_is_no_cookie(monkeypatch: pytest.MonkeyPatch) -> None:
    async with await client("", monkeypatch) as browser:
        assert "set-cookie" not in (await browser.get("/", headers=PAGE)).headers
