"""What a browser had before its person signed in: theirs to take along, and nobody else's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest

from chatlab.web.shared.owner import COOKIE
from tests.servers.oidc import Oidc
from tests.web.conversations.test_routes import HELLO, Browser
from tests.web.identity.conftest import CONFIG
from tests.web.identity.people import session_of, sign_in, signed_in, somebody
from tests.web.pages import ChatPage, Served, expect

LANES = {"lanes": [{"backend": "echo"}, {"backend": "other"}]}
NOTHING = {"conversations": 0, "comparisons": 0}
Had = Callable[..., str]


@pytest.fixture(scope="module")
def had(tmp_path_factory: pytest.TempPathFactory, running: Oidc) -> Iterator[tuple[Had, list[Served]]]:
    """Has a new browser chat and compare where nobody signs in: its cookie. Then the page with sign-in."""
    folder = tmp_path_factory.mktemp("before")
    for name, auth in (("open", ""), ("behind", running.config())):
        limits = "limits: {sign_ins_a_minute: {address: null}}\n"
        (folder / f"{name}.yaml").write_text(CONFIG + limits + auth, "utf-8")
    opened = [Served(folder / f"{name}.yaml") for name in ("open", "behind")]

    def chats(*texts: str, sessions: int = 0) -> str:
        browser = Browser.at(opened[0].url, f"hash-of-{texts[0]}")
        for text in texts:
            message = {"multimodaltextbox": {**HELLO, "text": text}}
            page = Browser(browser.client, f"hash-of-{text}", browser.components, browser.dependencies)
            assert text in page.fire(page.event("_submit_fn"), message, None)
        for _ in range(sessions):
            assert browser.client.post("/-/compare/sessions", json=LANES).is_success
        cookie = str(browser.client.cookies.get(COOKIE))
        browser.client.close()
        return cookie

    yield chats, opened
    for served in opened:
        served.stop()


@pytest.fixture
def url(had: tuple[Had, list[Served]]) -> str:
    return had[1][1].url


def titles(client: httpx2.Client) -> list[str]:
    return [one["title"] for one in client.get("/-/conversations").json()["conversations"]]


def test_a_person_takes_along_what_this_browser_had(
    had: tuple[Had, list[Served]], url: str, provider: Oidc
) -> None:
    cookie, others = had[0]("first", "second", sessions=1), had[0]("somebody else's")
    with signed_in(url, provider, "ann-takes") as ann, signed_in(url, provider, "bob-takes") as bob:
        assert ann.get("/-/along").json() == NOTHING
        ann.cookies.set(COOKIE, cookie)
        assert ann.get("/-/along").json() == {"conversations": 2, "comparisons": 1}
        assert titles(ann) == []  # nothing is taken that nobody asked for
        assert ann.post("/-/along").json() == {"conversations": 2, "comparisons": 1}
        assert sorted(titles(ann)) == ["first", "second"]
        assert len(ann.get("/-/compare/sessions").json()["sessions"]) == 1
        assert ann.post("/-/along").json() == ann.get("/-/along").json() == NOTHING
        # Whoever has the cookie afterwards, or any other right but this one, gets nothing of it.
        bob.cookies.set(COOKIE, cookie)
        assert bob.post("/-/along").json() == NOTHING and titles(bob) == []
        assert sorted(titles(ann)) == ["first", "second"]
        bob.cookies.set(COOKIE, others)
        assert bob.get("/-/along").json()["conversations"] == 1


def test_what_is_left_stays_and_is_offered_to_this_person_no_more(
    had: tuple[Had, list[Served]], url: str, provider: Oidc
) -> None:
    cookie = had[0]("left behind")
    with signed_in(url, provider, "ann-leaves") as ann, signed_in(url, provider, "bob-stays") as bob:
        for person in (ann, bob):
            person.cookies.set(COOKIE, cookie)
        assert ann.delete("/-/along").is_success
        assert ann.get("/-/along").json() == NOTHING and titles(ann) == []
        assert bob.get("/-/along").json()["conversations"] == 1
        ann.cookies.delete("chatlab-session")
        sign_in(ann, provider, "ann-leaves-too")  # somebody else in that browser
        assert ann.get("/-/along").json()["conversations"] == 1


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_nothing_is_taken_without_the_browsers_own_cookie_or_by_another_site(
    had: tuple[Had, list[Served]], url: str, provider: Oidc, method: str
) -> None:
    cookie = had[0](f"nobody's {method}")
    with signed_in(url, provider, "mallory") as mallory, signed_in(url, provider, "victim") as victim:
        had_by_victim = "person-" + "0" * 25
        owner = "browser-" + "0" * 32
        for forged in (
            owner,
            had_by_victim,
            cookie[:-1],
            cookie[::-1],
            f"{cookie}x",
            str(session_of(victim)),
        ):
            mallory.cookies.set(COOKIE, forged)
            assert mallory.request(method, "/-/along").json() == NOTHING, forged
        mallory.cookies.set(COOKIE, cookie)
        foreign = {"origin": "https://evil.example", "sec-fetch-site": "cross-site"}
        with somebody(url) as nobody:
            nobody.cookies.set(COOKIE, cookie)
            assert nobody.request(method, "/-/along").status_code == 401
        if method != "GET":
            for headers in (foreign, {"x-chatlab": ""}):
                asked = mallory.build_request(method, "/-/along", headers=headers)
                if "x-chatlab" in headers:
                    del asked.headers["x-chatlab"]
                assert mallory.send(asked).status_code == 403
        assert mallory.get("/-/along").json()["conversations"] == 1
        assert titles(mallory) == []


def test_where_nobody_signs_in_there_is_nothing_to_take(had: tuple[Had, list[Served]]) -> None:
    cookie = had[0]("mine already")
    with somebody(had[1][0].url) as browser:
        browser.cookies.set(COOKIE, cookie)
        assert [browser.request(how, "/-/along").json() for how in ("GET", "POST")] == [NOTHING] * 2
        assert titles(browser) == ["mine already"]


@pytest.mark.browser
def test_a_row_of_the_sidebar_offers_it_and_says_what_was_taken(
    browser: Any, had: tuple[Had, list[Served]], provider: Oidc
) -> None:
    opened, behind = had[1]
    provider.person = {"sub": "page", "name": "Paul"}
    context = browser.new_context()
    context.add_cookies([{"name": COOKIE, "value": had[0]("from before", sessions=2), "url": opened.url}])
    page = ChatPage(context.new_page(), behind)
    page.open()
    row = page.page.locator(".chatlab-along")
    expect(row).to_contain_text("This browser has 1 conversation and 2 comparison sessions from before")
    row.get_by_text("Take along").click()
    expect(page.page.locator(".chatlab-told")).to_have_text(
        "Taken along: 1 conversation and 2 comparison sessions."
    )
    expect(page.page.locator(".chatlab-list .chatlab-title").first).to_have_text("from before")
    expect(row).to_be_empty()
    page.page.goto(f"{behind.url}/compare")
    expect(page.page.locator(".chatlab-row")).to_have_count(2)
    expect(row).to_be_empty()
    assert page.errors == []
    context.close()
