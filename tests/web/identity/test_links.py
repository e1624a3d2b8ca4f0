"""Links that are for everybody who signs in, or for some of them."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from starlette.requests import Request
from starlette.responses import Response

from tests.servers.oidc import Oidc
from tests.web.identity.conftest import CONFIG
from tests.web.identity.people import OPENS, sign_in, signed_in, somebody
from tests.web.pages import ChatPage, Served, expect

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
SECRET = "4711 in the report"
FORMATS = ("html", "markdown", "jsonl", "votes")


def sharing(provider: Oidc) -> str:
    return f"{CONFIG}storage: {{sharing: true}}\n{provider.config()}"


def conversation(client: httpx2.Client) -> str:
    """A conversation with a picture, as an import has it."""
    image = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
    message = {
        "role": "user",
        "content": [{"type": "text", "text": SECRET}, {"type": "image_url", "image_url": {"url": image}}],
    }
    file = {"title": SECRET, "messages": [message, {"role": "assistant", "content": "answer"}]}
    answer = client.post("/-/import", json=[file], headers={"x-filename": "one.json"})
    assert answer.is_success and answer.json()["turns"] == 1, answer.text
    return str(client.get("/-/conversations").json()["conversations"][0]["id"])


def comparison(client: httpx2.Client) -> str:
    made = client.post("/-/compare/sessions", json={"lanes": [{"backend": "echo"}, {"backend": "other"}]})
    session = str(made.json()["id"])
    client.post(f"/-/compare/sessions/{session}/ask", json={"text": SECRET})
    while client.get(f"/-/compare/sessions/{session}").json()["running"]:
        pass
    return session


def test_a_link_for_a_group_is_read_by_its_people_and_leads_nowhere_for_all_others(
    provider: Oidc, serve: Callable[[str], Served]
) -> None:
    url = serve(sharing(provider)).url
    with (
        signed_in(url, provider, "ann", groups=["red", "blue"]) as ann,
        signed_in(url, provider, "bob", groups=["red"]) as bob,
        signed_in(url, provider, "eve", groups=["Red", "green"]) as eve,
        somebody(url) as nobody,
    ):
        for shares, shared in (
            (f"/-/conversations/{conversation(ann)}/shares", "/-/shared/{}"),
            (f"/-/compare/sessions/{comparison(ann)}/shares", "/-/shared/comparison/{}"),
        ):
            to_red = shared.format(ann.post(shares, json={"groups": ["red"]}).json()["token"])
            to_all = shared.format(ann.post(shares, json={}).json()["token"])
            guessed = shared.format("guessed")
            assert ann.get(shares).json() == {
                "links": 2,
                "audiences": [["red"], []],
                "groups": ["red", "blue"],
            }
            for reader in (bob, ann):
                assert SECRET in reader.get(to_red).text
            assert SECRET in eve.get(to_all).text
            for query in ("", *(f"?format={one}" for one in FORMATS)):
                refused, none = eve.get(to_red + query), eve.get(guessed + query)
                assert (
                    (refused.status_code, refused.text) == (none.status_code, none.text) == (404, none.text)
                )
            assert "for others" in refused.text and SECRET not in refused.text
            # Whoever is signed out is led to sign in, by a link there is as by one that there is not.
            asked = [nobody.get(one, headers=OPENS).status_code for one in (to_red, to_all, guessed)]
            assert asked == [303, 303, 303]
            assert {nobody.get(one).status_code for one in (to_red, guessed)} == {401}
            for groups, why in ((["green"], "“green”"), ([""], "“”"), ("red", "array"), ([1], "groups.0")):
                answer = ann.post(shares, json={"groups": groups})
                assert answer.status_code == 400 and why in answer.json()["error"]
            for client in (bob, eve):
                assert client.get(shares).status_code == client.post(shares).status_code == 404
            ann.delete(shares)
            assert ann.get(shares).json()["links"] == 0 and bob.get(to_red).status_code == 404
        picture = re.search(r'src="(data:image/png[^"]+)"', bob_reads(ann, bob))
        assert picture is not None, "what is attached comes with the page, and is asked for by no address"


def bob_reads(ann: httpx2.Client, bob: httpx2.Client) -> str:
    """The page of a link to Ann's conversation, as somebody of a group of hers has it."""
    one = f"/-/conversations/{ann.get('/-/conversations').json()['conversations'][0]['id']}/shares"
    token = ann.post(one, json={"groups": ["red", "red"]}).json()["token"]
    assert ann.get(one).json()["audiences"] == [["red"]]
    return bob.get(f"/-/shared/{token}").text


def test_who_left_a_group_or_signed_out_reads_nothing_more_by_its_links(
    provider: Oidc, serve: Callable[[str], Served]
) -> None:
    url = serve(sharing(provider)).url
    with (
        signed_in(url, provider, "ann", groups=["red"]) as ann,
        signed_in(url, provider, "bob", groups=["red"]) as bob,
    ):
        shares = f"/-/conversations/{conversation(ann)}/shares"
        link = f"/-/shared/{ann.post(shares, json={'groups': ['red']}).json()['token']}"
        assert bob.get(link).is_success
        assert bob.post("/-/sign-out", headers={"origin": url}).is_success
        assert bob.get(link).status_code == 401
        sign_in(bob, provider, "bob", groups=[])
        assert bob.get(link).status_code == 404
        assert ann.post("/-/sign-out", headers={"origin": url}).is_success
        sign_in(ann, provider, "ann")
        assert ann.get(link).is_success, "what somebody shared stays theirs"


def test_a_providers_groups_are_asked_for_where_its_token_has_none_and_it_may_say_nothing(
    provider: Oidc, serve: Callable[[str], Served]
) -> None:
    url = serve(sharing(provider)).url

    async def away(_: Request) -> Response:
        return Response(status_code=401)

    claims = {"email": "ann@example.org", "email_verified": True}
    provider.userinfo = {"groups": ["red"]}
    with signed_in(url, provider, "ann", **claims) as ann:
        shares = f"/-/conversations/{conversation(ann)}/shares"
        assert ann.get(shares).json()["groups"] == ["red"]
        assert ann.post("/-/sign-out", headers={"origin": url}).is_success
        provider.front.on("GET", "/userinfo", away)
        sign_in(ann, provider, "ann", **claims)
        assert ann.get(shares).json()["groups"] == []


def test_without_sign_in_no_link_is_for_a_group(serve: Callable[[str], Served]) -> None:
    url = serve(f"{CONFIG}storage: {{sharing: true}}\n").url
    with somebody(url) as one:
        one.get("/", headers=OPENS)
        shares = f"/-/conversations/{conversation(one)}/shares"
        answer = one.post(shares, json={"groups": ["red"]})
        assert answer.status_code == 400 and "Nobody signs in here" in answer.json()["error"]
        assert one.get(shares).json() == {"links": 0}


@pytest.mark.browser
def test_whom_a_link_is_for_is_chosen_on_both_pages_and_listed(
    browser: Any, provider: Oidc, serve: Callable[[str], Served]
) -> None:
    served = serve(sharing(provider))
    provider.person = {"sub": "ann", "name": "Ann", "groups": ["red", "blue"]}
    context = browser.new_context()
    chat = ChatPage(context.new_page(), served)
    chat.open()
    chat.ask("for some")
    page, dialog = chat.page, chat.page.locator("#dialog")
    page.locator(".chatlab-row summary").first.click()
    page.get_by_role("button", name="Links for others…").click()
    expect(dialog).to_contain_text("There is no link yet.")
    dialog.get_by_label("red").check()
    dialog.get_by_role("button", name="Make a link").click()
    expect(dialog.locator("li")).to_have_text(["For people of red"])
    link = dialog.locator("a").get_attribute("href")
    dialog.get_by_label("red").uncheck()
    dialog.get_by_role("button", name="Make a link").click()
    expect(dialog.locator("li")).to_have_text(["For people of red", "For everybody who signs in"])
    with signed_in(served.url, provider, "bob", groups=["red"]) as bob:
        assert "for some" in bob.get(link).text
        dialog.get_by_role("button", name="End all links").click()
        expect(dialog).to_contain_text("There is no link yet.")
        assert bob.get(link).status_code == 404
    assert chat.errors == []
    page.goto(f"{served.url}/compare")
    page.click(".setup button[type=submit]")
    page.fill("#composer textarea", "which one?")
    page.press("#composer textarea", "Enter")
    expect(page.locator(".figures")).to_have_count(2)
    page.get_by_role("button", name="Share", exact=True).click()
    expect(dialog).to_contain_text("Whoever signs in here")
    dialog.get_by_label("blue").check()
    dialog.get_by_role("button", name="Make a link").click()
    expect(dialog.locator("li")).to_have_text(["For people of blue"])
    context.close()
