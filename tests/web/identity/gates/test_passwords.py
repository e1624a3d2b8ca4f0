"""Signing in with a password, on a page of chatlab's own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from chatlab.identity.passwords import password_hash
from tests.web.identity.conftest import CONFIG
from tests.web.identity.people import OPENS, session_of, somebody
from tests.web.pages import Served, expect
from tests.web.shared.test_forwarded import FORWARDED

PASSWORD = "correct horse 4711"
HASH = password_hash(PASSWORD)
ANY = "passwords_a_minute: {person: null, address: null, total: null}"


def at(file: Path, passwords_a_minute: str = ANY) -> Served:
    people = ", ".join(f"{name}: {{hash: '{HASH}'}}" for name in ("ann", "bob"))
    limits = f"limits: {{sign_ins_a_minute: {{address: null}}, {passwords_a_minute}}}\n"
    file.write_text(f"{CONFIG}{limits}auth: {{type: basic, users: {{{people}}}}}\n", "utf-8")
    return Served(file)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    page = at(tmp_path_factory.mktemp("passwords") / "config.yaml")
    yield page
    page.stop()


def form_of(page: httpx2.Response) -> dict[str, str]:
    """What the form of a page has in it, hidden."""
    assert "<form" in page.text, page.text
    return dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page.text))


def opened(client: httpx2.Client, path: str = "/") -> dict[str, str]:
    return form_of(client.get(path, headers=OPENS, follow_redirects=True))


def sent(client: httpx2.Client, form: dict[str, str], name: str, password: str = PASSWORD) -> httpx2.Response:
    origin = {"origin": str(client.base_url).rstrip("/")}
    return client.post("/-/sign-in", data={**form, "name": name, "password": password}, headers=origin)


def test_whoever_knows_their_password_is_back_at_the_very_page_they_opened(served: Served) -> None:
    with somebody(served.url) as ann:
        page = ann.get("/compare?session=a%2Fb&x=1", headers=OPENS, follow_redirects=True)
        assert page.url.path == "/-/sign-in" and page.headers["cache-control"] == "no-store"
        landed = sent(ann, form_of(page), "ann")
        assert landed.status_code == 303
        assert landed.headers["location"] == f"{served.url}/compare?session=a%2Fb&x=1"
        assert ann.get("/-/me").json() == {"name": "ann"}
        assert [name for name in ann.cookies if name != "chatlab-session"] == []
        out = ann.post("/-/sign-out", headers={"origin": served.url})
        assert out.is_success and ann.get("/-/me").status_code == 401


def test_a_wrong_password_is_said_and_the_way_back_is_not_lost(served: Served) -> None:
    with somebody(served.url) as bob:
        first = opened(bob, "/compare?x=1")
        for name, password in (("bob", "wrong"), ('nobody" autofocus <b>', PASSWORD), ("bob", "")):
            page = sent(bob, first, name, password)
            assert page.status_code == 403 and session_of(bob) is None
            assert "The name or the password is wrong" in page.text and "<b>" not in page.text
            assert PASSWORD not in page.text
            first = form_of(page)
        assert sent(bob, first, "bob").headers["location"] == f"{served.url}/compare?x=1"


@pytest.mark.parametrize(
    "path", ["//evil.example/x", "/\\evil.example", "/@evil.example", "/%2F/evil.example"]
)
def test_whoever_signs_in_comes_back_to_this_very_server(served: Served, path: str) -> None:
    with somebody(served.url) as client:
        answer = client.send(client.build_request("GET", f"{served.url}{path}", headers=OPENS))
        if answer.status_code == 400:
            return
        form = form_of(client.get(answer.headers["location"], headers=OPENS))
        assert sent(client, form, "ann").headers["location"].startswith(f"{served.url}/")


def test_a_form_that_this_browser_did_not_open_or_that_another_site_sends_signs_nobody_in(
    served: Served,
) -> None:
    """Login CSRF: the attacker has a victim's browser send the attacker's own name and password."""
    with somebody(served.url) as attacker, somebody(served.url) as victim:
        own = opened(attacker)
        opened(victim)
        for form in (own, {}, {"state": "x"}):
            page = sent(victim, form, "ann")
            assert page.status_code == 403 and "has not begun to sign in" in page.text
        data = {**opened(victim), "name": "ann", "password": PASSWORD}
        for foreign in ({"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}):
            assert victim.post("/-/sign-in", data=data, headers=foreign).status_code == 403
        assert session_of(victim) is None


def test_a_form_is_taken_once(served: Served) -> None:
    with somebody(served.url) as ann:
        form = opened(ann)
        began = dict(ann.cookies)
        assert sent(ann, form, "ann").status_code == 303
        for name, value in began.items():
            ann.cookies.set(name, value)
        assert "was used already" in sent(ann, form, "ann").text


def test_a_session_id_from_before_the_sign_in_is_worth_nothing_after_it(served: Served) -> None:
    known = "x" * 43
    with somebody(served.url) as victim, somebody(served.url) as attacker:
        for client in (victim, attacker):
            client.cookies.set("chatlab-session", known, "127.0.0.1")
        assert sent(victim, opened(victim), "bob").status_code == 303
        assert session_of(victim) not in (None, known)
        assert attacker.get("/-/me").status_code == 401


def test_passwords_are_tried_a_few_times_a_minute_for_a_name_whoever_has_it(tmp_path: Path) -> None:
    served = at(tmp_path / "config.yaml", "passwords_a_minute: {person: 1}")
    with somebody(served.url) as client:
        for name in ("ann", "somebody"):
            pages = [sent(client, opened(client), name, password) for password in ("wrong", PASSWORD)]
            assert [page.status_code for page in pages] == [403, 429]  # the right one has to wait, too
            assert "Too many passwords" in pages[1].text
        assert sent(client, opened(client), "bob").status_code == 303  # nobody else has to
    served.stop()


def test_nothing_is_answered_to_somebody_who_is_not_signed_in(served: Served) -> None:
    with somebody(served.url) as client:
        for method, path in (("POST", "/gradio_api/queue/join"), ("GET", "/config"), ("HEAD", "/-/sign-in")):
            for headers in ({}, FORWARDED):
                answer = client.request(method, path, headers={"origin": served.url, **headers})
                assert answer.status_code == 401
        large = client.post("/-/sign-in", content=b"x" * 30_000, headers={"origin": served.url})
        assert large.status_code == 413


def test_no_password_and_no_hash_is_in_the_log_or_the_database(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    with somebody(served.url) as ann:
        sent(ann, opened(ann), "ann", PASSWORD + " wrong")
        assert sent(ann, opened(ann), "ann").status_code == 303
    assert "person-" in caplog.text
    assert served.lab.config is not None and served.lab.config.storage is not None
    folder = Path(str(served.lab.config.storage.url).removeprefix("sqlite:")).parent
    stored = b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())
    for secret in (PASSWORD, "scrypt$"):
        assert secret not in caplog.text and secret.encode() not in stored


@pytest.mark.browser
def test_the_page_is_filled_in_and_sent_in_a_browser(browser: Any, served: Served) -> None:
    context = browser.new_context(color_scheme="dark")
    page = context.new_page()
    page.goto(f"{served.url}/compare")
    expect(page.locator("input[name=name]")).to_be_focused()
    page.keyboard.type("bob")
    page.fill("input[name=password]", "wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("is wrong")
    expect(page.locator("input[name=password]")).to_be_focused()
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{served.url}/compare")
    expect(page.locator("form.chatlab-person span")).to_have_text("bob")
    context.close()
