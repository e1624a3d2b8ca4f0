"""Signing in with a browser at a certified provider, shaped like Entra ID, Databricks and Hugging Face.

Its login is a form that is filled in. Access tokens last for less than a minute, so that each call renews
them, and a refresh token that is used twice ends the sign-in there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2
import pytest

from chatlab.web.identity.gate import sign_in_service
from tests.servers.certified_provider import (
    CLIENT,
    SECRET,
    TENANT,
    CertifiedProvider,
    Profile,
)
from tests.web.identity.people import OPENS
from tests.web.identity.test_sign_in import ask
from tests.web.pages import ChatPage, Served, expect, free_port

pytestmark = pytest.mark.browser

CONFIGS = Path(__file__).parents[3] / "configs"
Start = Callable[..., tuple[Served, CertifiedProvider]]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Starts a provider in a shape, and the page of a configuration that is made for it."""
    monkeypatch.setenv("CHATLAB_TEST_CLIENT", SECRET)
    with ExitStack() as running:

        def both(profile: Profile, path: str, config: Callable[[CertifiedProvider], str]) -> Any:
            port = free_port()
            page = f"http://127.0.0.1:{port}"
            provider = running.enter_context(CertifiedProvider(profile, page, path))
            file = tmp_path / "config.yaml"
            file.write_text(config(provider), "utf-8")
            served = Served(file, port)
            running.callback(served.stop)
            assert served.url == page
            return served, provider

        yield both


@pytest.fixture
def tab(browser: Any) -> Iterator[Any]:
    """A tab of a browser that nobody signed in with."""
    context = browser.new_context()
    yield context.new_page()
    context.close()


def fill_in(tab: Any, name: str) -> None:
    """Signs in at the provider's own form."""
    tab.fill("input[name=login]", name)
    tab.click("button")


def sent_on(tab: Any, served: Served) -> httpx2.Client:
    """A client with the session of a browser."""
    cookies = {one["name"]: one["value"] for one in tab.context.cookies()}
    return httpx2.Client(
        base_url=served.url,
        timeout=60,
        headers={"x-chatlab": "1"},
        cookies={"chatlab-session": cookies["chatlab-session"]},
    )


def test_of_entra_id_a_person_is_the_tenant_and_the_object_and_comes_in_by_a_group(
    start: Start, tab: Any
) -> None:
    def config(provider: CertifiedProvider) -> str:
        auth = f"type: oidc, discovery: '{provider.discovery}', client_id: {CLIENT}"
        more = "client_secret: {env: CHATLAB_TEST_CLIENT}, allowed: {groups: [readers]}"
        backend = f"kind: openai, base_url: '{provider.url}/v1', model: m, auth: {{type: user}}"
        return f"backends: {{gateway: {{{backend}}}}}\nauth: {{{auth}, {more}}}\nstorage: {{sharing: true}}\n"

    served, provider = start("entra", "/auth/callback", config)
    returned: list[str] = []
    tab.on("request", lambda sent: "/auth/callback?" in sent.url and returned.append(sent.url))
    tab.goto(f"{served.url}/compare?x=a%2Fb")
    assert f"{provider.url}/{TENANT}/" in tab.url
    fill_in(tab, "ann")
    tab.wait_for_url(f"{served.url}/compare?x=a%2Fb")
    expect(tab.locator(".chatlab-person span")).to_have_text("Ann")
    chat = ChatPage(tab, served)
    chat.open()
    chat.ask("who am I?")
    assert chat.answers == ["you are ann"]
    with sent_on(tab, served) as ann:
        # Each of them finds a token that is about to end, and no refresh token is used twice.
        with ThreadPoolExecutor(6) as threads:
            asked = [threads.submit(ask, ann, "who?", f"hash-{number}") for number in range(6)]
            assert all("you are ann" in said.result(60) for said in asked)
        assert provider.seen["refreshed"] >= 2 and provider.seen["refused"] == []
        shares = ann.get("/-/conversations").json()["conversations"][0]["id"]
        assert ann.get(f"/-/conversations/{shares}/shares").json()["groups"] == ["readers", "writers"]
    (session,) = sign_in_service(served.lab).sessions.known
    assert session.person.subject == f"{TENANT}/object-of-ann"
    # The address that the browser was sent back to is worth nothing to whoever saw it, nor once more to her.
    with httpx2.Client(base_url=served.url) as thief:
        assert "has not begun to sign in" in thief.get(returned[0], headers=OPENS).text
    tab.goto(returned[0])
    expect(tab.locator("main")).to_contain_text("has not begun to sign in")
    tab.goto(served.url)
    chat.wait_ready()
    tab.click(".chatlab-person button")
    tab.wait_for_url(f"{provider.url}/{TENANT}/session/end?**")
    tab.click("button")
    tab.wait_for_url(f"{served.url}/-/signed-out**")
    tab.goto(served.url)
    fill_in(tab, "bob")
    expect(tab.locator("main")).to_contain_text("this page is for others")
    assert chat.errors == []


def test_the_databricks_sample_leads_to_the_workspace_and_back_and_asks_as_the_person(
    start: Start, tab: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENDPOINT_NAME", "agent")
    monkeypatch.setenv("CLIENT_ID", CLIENT)
    monkeypatch.setenv("CLIENT_SECRET", SECRET)
    monkeypatch.setenv("DATABRICKS_TOKEN", "ambient-dapi")

    def config(provider: CertifiedProvider) -> str:
        monkeypatch.setenv("DATABRICKS_INSTANCE", provider.url)
        return (CONFIGS / "databricks_u2m.yaml").read_text("utf-8")

    served, provider = start("databricks", "/callback", config)
    tab.goto(served.url)
    assert f"{provider.url}/oidc/" in tab.url
    fill_in(tab, "ann")
    chat = ChatPage(tab, served)
    chat.wait_ready()
    chat.ask("who am I?")
    chat.ask("and now?")
    assert chat.answers == ["you are ann", "you are ann"]
    expect(tab.locator(".chatlab-person span")).to_have_text("Ann")
    assert provider.seen["refreshed"] >= 2 and provider.seen["refused"] == []
    # A client that is not registered with this address is refused there, before anybody is asked anything.
    elsewhere = f"{provider.url}/oidc/v1/authorize?client_id={CLIENT}&response_type=code&scope=all-apis"
    assert httpx2.get(f"{elsewhere}&redirect_uri={served.url}/other").status_code == 400
    assert chat.errors == []


def test_in_a_space_a_visitor_comes_in_by_an_organization_and_asks_with_their_own_token(
    start: Start, tab: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setenv("OAUTH_CLIENT_ID", CLIENT)
    monkeypatch.setenv("OAUTH_CLIENT_SECRET", SECRET)
    monkeypatch.setenv("OAUTH_SCOPES", "openid profile inference-api")
    monkeypatch.setenv("HF_TOKEN", "hf_of-the-space-itself")

    def config(provider: CertifiedProvider) -> str:
        monkeypatch.setenv("OPENID_PROVIDER_URL", provider.url)
        monkeypatch.setenv("SPACE_HOST", provider.page.removeprefix("http://"))
        monkeypatch.setattr(constants, "ENDPOINT", provider.url)  # where people sign in is Hugging Face
        backend = f"kind: huggingface, endpoint: '{provider.url}/v1', auth: {{type: user}}"
        auth = "type: huggingface_space, allowed: {groups: [guests]}"
        return f"backends: {{it: {{{backend}}}}}\nauth: {{{auth}}}\n"

    served, provider = start("huggingface", "/login/callback", config)
    tab.goto(served.url)
    assert tab.url.startswith(provider.url)
    fill_in(tab, "bob")
    chat = ChatPage(tab, served)
    chat.wait_ready()
    chat.ask("who am I?")
    assert chat.answers == ["you are bob"]
    assert provider.seen["refused"] == []
    assert chat.errors == []
