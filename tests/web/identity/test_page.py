"""Signing in and out in a browser."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from tests.servers.oidc import Oidc
from tests.web.pages import ChatPage, Served, expect


@pytest.fixture
def chat(browser: Any, served: Served, provider: Oidc) -> Iterator[ChatPage]:
    """The page of somebody who opened it and was signed in on the way."""
    provider.person = {"sub": "browser", "name": "Ann <b>Example</b>"}
    context = browser.new_context()
    page = ChatPage(context.new_page(), served)
    page.open()
    yield page
    assert page.errors == []
    context.close()


def session_of(chat: ChatPage) -> str:
    cookies = chat.page.context.cookies()
    return next(str(one["value"]) for one in cookies if one["name"] == "chatlab-session")


@pytest.mark.browser
def test_a_person_sees_who_they_are_and_signs_out(chat: ChatPage, provider: Oidc) -> None:
    chat.ask("hello")
    expect(chat.page.locator(".chatlab-person span")).to_have_text("Ann <b>Example</b>")
    assert chat.page.evaluate("document.cookie") == ""
    chat.page.goto(f"{chat.served.url}/compare")
    expect(chat.page.locator(".chatlab-person span")).to_have_text("Ann <b>Example</b>")
    chat.page.click(".chatlab-person button")
    chat.page.wait_for_url(f"{provider.issuer}/end?**")
    with httpx2.Client(base_url=chat.served.url) as nobody:
        assert nobody.get("/-/me").status_code == 401
    assert not [one for one in chat.page.context.cookies() if one["name"] == "chatlab-session"]


@pytest.mark.browser
def test_a_sign_in_that_ends_in_the_middle_is_said_and_what_was_typed_can_be_sent_after_signing_in_again(
    chat: ChatPage,
) -> None:
    chat.ask("before")
    origin = chat.served.url
    httpx2.post(
        f"{origin}/-/sign-out", cookies={"chatlab-session": session_of(chat)}, headers={"origin": origin}
    )
    chat.ask("what was typed", wait=False)
    expect(chat.page.locator("#chatlab-signed-out")).to_contain_text("Your sign-in has ended")
    expect(chat.page.locator("#message textarea")).to_have_value("what was typed")
    assert chat.answers == ["before"]
    with chat.page.expect_navigation():  # Gradio loads the page anew
        with chat.page.context.expect_page() as opened:
            chat.page.click("#chatlab-signed-out a")
        expect(opened.value.locator("main")).to_contain_text("You are signed in as Ann")
        opened.value.close()
    chat.wait_ready()
    expect(chat.page.locator(".chatlab-row").first).to_be_visible()
    expect(chat.page.locator("#message textarea")).to_have_value("what was typed")
    chat.page.press("#message textarea", "Enter")
    chat.wait_ended(2)
    assert chat.answers == ["before", "what was typed"]
    expect(chat.page.locator("#chatlab-signed-out")).to_have_count(0)
