"""Signing in, staying signed in, and signing out, as people do it."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from chatlab.errors import ConfigError
from chatlab.web.identity.gate import sign_in_service
from tests.servers.oidc import CLIENT, SECRET, Oidc
from tests.web.conversations.test_routes import HELLO, Browser
from tests.web.identity.conftest import CONFIG
from tests.web.identity.people import OPENS, began, comes_back, session_of, sign_in, signed_in, somebody
from tests.web.pages import Served
from tests.web.shared.test_safety import at_url


def test_whoever_opens_a_page_signs_in_and_is_back_at_that_very_page(url: str, provider: Oidc) -> None:
    with somebody(url) as ann:
        provider.person = {"sub": "ann", "name": "Ann"}
        query = began(ann, "/compare?session=a%2Fb&x=1")
        back = comes_back(ann, provider, query)
        assert back.headers["location"] == f"{url}/compare?session=a%2Fb&x=1"
        page = ann.get("/compare")
        assert "Sign out" in page.text and "Ann" in page.text
        assert ann.get("/-/me").json() == {"name": "Ann"}


def test_the_cookie_is_an_id_that_no_script_reads_and_no_other_site_sends(
    url: str, provider: Oidc, folder: Path
) -> None:
    with somebody(url) as ann:
        query = began(ann)
        answer = comes_back(ann, provider, query)
        cookies = answer.headers.get_list("set-cookie")
        given = next(one for one in cookies if one.startswith("chatlab-session="))
        assert "HttpOnly" in given and "SameSite=Lax" in given and "Path=/" in given
        taken = [one for one in cookies if one.startswith("chatlab-sign-in-")]
        assert taken and "Max-Age=0" in taken[0]
        secret = session_of(ann)
        assert secret is not None
        for file in folder.rglob("*"):
            assert not file.is_file() or secret.encode() not in file.read_bytes()


def test_behind_https_the_cookies_are_secure_and_of_this_host_alone(url: str, provider: Oidc) -> None:
    https = {"x-forwarded-proto": "https"}  # from a loopback address, as uvicorn takes it from a proxy
    with somebody(url) as ann:
        answer = ann.get("/", headers={**OPENS, **https})
        assert "Secure" in answer.headers["set-cookie"]
        query = dict(httpx2.URL(answer.headers["location"]).params)
        assert query["redirect_uri"] == url.replace("http:", "https:") + "/auth/callback"
        cookie = answer.headers["set-cookie"].partition(";")[0]
        back = {"code": provider.code(query), "state": query["state"], "iss": provider.issuer}
        landed = ann.get("/auth/callback", params=back, headers={**OPENS, **https, "cookie": cookie})
        given = next(one for one in landed.headers.get_list("set-cookie") if "chatlab-session" in one)
        assert given.startswith("__Host-chatlab-session=") and "Secure" in given
        own = given.partition(";")[0].partition("=")[2]
        assert ann.get("/-/me", headers={**https, "cookie": f"chatlab-session={own}"}).status_code == 401
        assert ann.get("/-/me", headers={**https, "cookie": f"__Host-chatlab-session={own}"}).is_success


def test_two_tabs_can_sign_in_at_once(url: str, provider: Oidc) -> None:
    with somebody(url) as ann:
        one, other = began(ann, "/compare"), began(ann, "/config")
        assert comes_back(ann, provider, one).headers["location"].endswith("/compare")
        assert comes_back(ann, provider, other).headers["location"].endswith("/config")


def test_signing_out_ends_the_session_here_and_leads_to_the_provider(url: str, provider: Oidc) -> None:
    with signed_in(url, provider, "ann") as ann, somebody(url) as thief:
        stolen = session_of(ann)
        thief.cookies.set("chatlab-session", str(stolen))
        assert thief.get("/-/me").is_success
        out = ann.post("/-/sign-out", headers={"origin": url})
        assert out.is_success and f"{provider.issuer}/end?client_id=" in out.text
        assert "id_token" not in out.text and out.headers["cache-control"] == "no-store"
        assert ann.get("/-/me").status_code == thief.get("/-/me").status_code == 401
        assert "You are signed out" in ann.get("/-/signed-out").text


def test_a_stream_that_is_open_ends_with_the_session(url: str, provider: Oidc) -> None:
    with signed_in(url, provider, "ann") as ann:
        made = ann.post("/-/compare/sessions", json={"lanes": [{"backend": "echo"}, {"backend": "other"}]})
        session = made.json()["id"]
        with ann.stream("GET", f"/-/compare/sessions/{session}/events") as events:
            lines = events.iter_lines()
            next(lines)
            assert ann.post("/-/sign-out", headers={"origin": url}).is_success
            for _ in lines:  # a stream of a session that goes on never ends
                pass
        assert ann.get(f"/-/compare/sessions/{session}").status_code == 401


def test_pages_are_not_left_in_the_browser_for_whoever_comes_next(url: str, provider: Oidc) -> None:
    with signed_in(url, provider, "ann") as ann:
        for path in ("/", "/compare"):
            assert ann.get(path, headers={"accept": "text/html"}).headers["cache-control"] == "no-store"


# -- people


def conversations(client: httpx2.Client) -> str:
    return client.get("/-/conversations").text


def as_browser(client: httpx2.Client, session_hash: str) -> Browser:
    config = client.get("/config").json()
    components = {one["id"]: one for one in config["components"]}
    return Browser(client, session_hash, components, config["dependencies"])


def ask(client: httpx2.Client, text: str, session_hash: str) -> str:
    browser, given = as_browser(client, session_hash), {"multimodaltextbox": {**HELLO, "text": text}}
    return browser.fire(browser.event("_submit_fn"), given, None)


def test_a_person_has_their_conversations_in_every_browser_and_nobody_elses(url: str, provider: Oidc) -> None:
    with signed_in(url, provider, "cleo") as laptop, signed_in(url, provider, "dora") as other:
        assert "zebra-4711" in ask(laptop, "zebra-4711", "hash-of-cleo")
        with signed_in(url, provider, "cleo") as phone:
            assert "zebra-4711" in conversations(phone)
        found = json.loads(conversations(laptop))["conversations"][0]["id"]
        assert "zebra-4711" not in conversations(other)
        assert other.get(f"/-/conversations/{found}/export").status_code == 404
        assert other.delete(f"/-/conversations/{found}").status_code == 404
        assert other.get("/-/export").text.count("zebra-4711") == 0


def test_the_hash_of_somebody_elses_page_is_worth_nothing(url: str, provider: Oidc) -> None:
    with signed_in(url, provider, "emma") as emma, signed_in(url, provider, "finn") as finn:
        ask(emma, "what only emma wrote", "hash-of-emma")
        for path in ("queue/data?session_hash=hash-of-emma", "heartbeat/hash-of-emma"):
            assert finn.get(f"/gradio_api/{path}").status_code == 403
        for path in ("cancel", "reset"):
            body = {"session_hash": "hash-of-emma", "fn_index": 0, "event_id": "x"}
            assert finn.post(f"/gradio_api/{path}", json=body).status_code == 403
        said = ask(finn, "hello", "hash-of-emma")
        assert "only emma" not in said and "somebody else's" in said


def test_the_id_of_somebody_elses_call_is_worth_nothing(url: str, provider: Oidc) -> None:
    with signed_in(url, provider, "nora") as nora, signed_in(url, provider, "owen") as owen:
        asked = nora.post("/gradio_api/call/v2/chat", json={"message": {"text": "of nora", "files": []}})
        event = asked.raise_for_status().json()["event_id"]
        for path in ("call/chat", "call/v2/chat"):
            assert owen.get(f"/gradio_api/{path}/{event}").status_code == 403
        assert owen.post("/gradio_api/cancel", json={"event_id": event}).status_code == 403
        assert "event: " in nora.get(f"/gradio_api/call/v2/chat/{event}").raise_for_status().text


def test_an_upload_is_its_persons_alone(url: str, provider: Oidc) -> None:
    with signed_in(url, provider, "gina") as gina, signed_in(url, provider, "hugo") as hugo:
        sent = gina.post("/gradio_api/upload", files={"files": ("own.txt", b"of gina", "text/plain")})
        file = sent.json()[0]
        assert gina.get(f"/gradio_api/file={file}").text == "of gina"
        assert hugo.get(f"/gradio_api/file={file}").status_code == 404


def test_a_comparison_is_its_persons_alone(url: str, provider: Oidc) -> None:
    with signed_in(url, provider, "ines") as ines, signed_in(url, provider, "jan") as jan:
        body = {"lanes": [{"backend": "echo"}, {"backend": "other"}]}
        session = ines.post("/-/compare/sessions", json=body).json()["id"]
        assert jan.get(f"/-/compare/sessions/{session}").status_code == 404
        assert jan.get(f"/-/compare/sessions/{session}/events").status_code == 404
        assert session not in jan.get("/-/compare/sessions").text
        with signed_in(url, provider, "ines") as again:
            assert session in again.get("/-/compare/sessions").text


def test_a_browsers_id_from_before_gives_nobody_what_others_have(url: str, provider: Oidc) -> None:
    with signed_in(url, provider, "kai") as kai, signed_in(url, provider, "lea") as lea:
        ask(kai, "of kai alone", "hash-of-kai")
        for client in (kai, lea):
            client.cookies.set("chatlab-browser", "a" * 43)
        assert "of kai alone" in conversations(kai) and "of kai alone" not in conversations(lea)


# -- who may come in


@pytest.fixture
def serve_with(
    provider: Oidc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], Served]]:
    """Serves a page with more of `auth`."""
    running: list[Served] = []

    def start(more: str = "", beside: str = "") -> Served:
        file = tmp_path / "config.yaml"
        file.write_text(CONFIG + beside + provider.config(more), "utf-8")
        running.append(Served(file))
        return running[-1]

    yield start
    for one in running:
        one.stop()


def test_only_those_come_in_whom_the_page_is_for(provider: Oidc, serve_with: Callable[[str], Served]) -> None:
    served = serve_with(
        ", allowed: {people: [Ann@example.org, the-id], domains: [team.example], groups: [staff]}"
    )
    inside: list[dict[str, Any]] = [
        {"sub": "1", "email": "ann@example.org", "email_verified": True},
        {"sub": "the-id"},
        {"sub": "3", "email": "x@Team.example", "email_verified": True},
        {"sub": "4", "groups": ["others", "staff"]},
    ]
    outside: list[dict[str, Any]] = [
        {"sub": "5", "email": "ann@example.org"},  # whom anybody could claim to be
        {"sub": "6", "email": "ann@example.org", "email_verified": False},
        {"sub": "7", "email": "ann@example.org", "email_verified": "true"},
        {"sub": "8", "email": "x@team.example.evil.example", "email_verified": True},
        {"sub": "9", "email": "x@notteam.example", "email_verified": True},
        {"sub": "10", "groups": ["staffing"]},
        {"sub": "11", "groups": {"staff": 1}},
        {"sub": "12", "preferred_username": "ann@example.org", "name": "Ann"},
    ]
    for claims in (*inside, *outside):
        provider.person = claims
        with somebody(served.url) as client:
            status = comes_back(client, provider, began(client)).status_code
            assert status == (303 if claims in inside else 403), claims


def test_details_that_the_provider_gives_only_when_asked_count(
    provider: Oidc, serve_with: Callable[[str], Served]
) -> None:
    served = serve_with(", allowed: {domains: [team.example]}")
    provider.person = {"sub": "1"}
    provider.userinfo = {"email": "one@team.example", "email_verified": True, "name": "One"}
    with somebody(served.url) as client:
        assert comes_back(client, provider, began(client)).status_code == 303
        assert client.get("/-/me").json() == {"name": "One"}
    provider.person = {"sub": "1", "email": "one@team.example"}  # this one, nobody verified
    provider.userinfo = {"email": "other@team.example", "email_verified": True, "name": "One"}
    with somebody(served.url) as client:
        assert comes_back(client, provider, began(client)).status_code == 403


def test_with_a_key_people_stay_signed_in_over_a_restart_and_without_it_nobody_reads_who_they_are(
    provider: Oidc, serve_with: Callable[[str], Served], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    old, new = "the first key, of more than 32 characters", "the second key, of more than 32 characters"
    monkeypatch.setenv("CHATLAB_TEST_OLD", old)
    monkeypatch.setenv("CHATLAB_TEST_NEW", new)
    served = serve_with(", keys: [{env: CHATLAB_TEST_OLD}]")
    with somebody(served.url) as ann:
        sign_in(ann, provider, "ann", email="ann@example.org", email_verified=True)
        served.stop()
        stored = b"".join(file.read_bytes() for file in (tmp_path / ".chatlab").glob("chatlab.db*"))
        assert b"ann@example.org" not in stored
        for keys, status in (("CHATLAB_TEST_NEW}, {env: CHATLAB_TEST_OLD", 200), ("CHATLAB_TEST_NEW", 401)):
            again = serve_with(f", keys: [{{env: {keys}}}]")
            cookie = f"chatlab-session={session_of(ann)}"
            answer = httpx2.get(f"{again.url}/-/me", headers={"cookie": cookie})
            assert answer.status_code == status
            again.stop()


def test_a_session_ends_when_it_is_not_used_and_ends_anyway(
    provider: Oidc, serve_with: Callable[[str], Served]
) -> None:
    for more, field in ((", idle_minutes: 5", "used"), (", session_hours: 0.1", "ends")):
        served = serve_with(more)
        with somebody(served.url) as ann:
            sign_in(ann, provider, "ann")
            assert ann.get("/-/me").is_success
            sessions = sign_in_service(served.lab).sessions
            session = next(iter(sessions.known))
            setattr(session, field, getattr(session, field) - timedelta(minutes=7))
            assert ann.get("/-/me").status_code == 401
        served.stop()


# -- what whoever runs it reads


def test_a_secret_that_is_missing_or_a_key_that_is_short_is_said_before_anything_is_served(
    provider: Oidc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import chatlab
    from chatlab.web.server import LaunchedPage, create_app

    file = tmp_path / "config.yaml"
    file.write_text(CONFIG + provider.config(", keys: [{env: CHATLAB_TEST_SHORT}]"), "utf-8")
    monkeypatch.setenv("CHATLAB_TEST_SHORT", "short")
    for serve in (LaunchedPage, create_app):
        with pytest.raises(ConfigError, match=r"auth.keys\[0\] has fewer than 32 characters"):
            serve(chatlab.load(file))
    monkeypatch.delenv("CHATLAB_TEST_CLIENT")
    with pytest.raises(ConfigError, match=r"auth.client_secret: set CHATLAB_TEST_CLIENT"):
        create_app(chatlab.load(file))


def test_a_provider_that_is_away_is_said_in_a_sentence(
    provider: Oidc, serve_with: Callable[[str], Served], caplog: pytest.LogCaptureFixture
) -> None:
    provider.said = {"issuer": "https://login.microsoftonline.com/{tenantid}/v2.0"}
    served = serve_with("")
    with somebody(served.url) as client:
        answer = client.get("/", headers=OPENS)
        assert answer.status_code == 503 and "names the tenant" in answer.text
        provider.said = {}
        provider.front.fail(500)
        answer = client.get("/", headers=OPENS)
        assert answer.status_code == 503 and "does not answer as it should" in answer.text
        assert began(client)["client_id"]


def test_steps_of_signing_in_are_limited_by_address(
    provider: Oidc, serve_with: Callable[..., Served]
) -> None:
    served = serve_with("", "limits: {sign_ins_a_minute: {address: 3}}\n")
    with somebody(served.url) as client:
        assert [client.get("/", headers=OPENS).status_code for _ in range(4)] == [303, 303, 303, 429]


def test_no_token_code_or_secret_is_in_the_log(
    url: str, provider: Oidc, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    seen: list[str] = []
    provider.sign = lambda claims: seen.append(provider.signed(claims)) or seen[-1]  # type: ignore[func-returns-value]
    with somebody(url) as ann:
        query = began(ann)
        code = provider.code(query)
        assert comes_back(ann, provider, query, code=code).status_code == 303
        secrets = [*seen, code, SECRET, str(session_of(ann)), query["state"], query["nonce"]]
    ours = "\n".join(
        one.getMessage() for one in caplog.records if one.name.startswith(("chatlab", "authlib"))
    )
    assert "person-" in ours  # who signed in
    assert not [one for one in secrets if one in ours]


@pytest.mark.filterwarnings("ignore")  # of its own code
def test_a_provider_of_somebody_elses_making_works_too(
    serve_with: Callable[..., Served], tmp_path: Path
) -> None:
    from oidc_provider_mock import User, run_server_in_thread

    ann = User(sub="ann", claims={"name": "Ann", "email": "ann@example.org"})
    with run_server_in_thread(require_nonce=True, user_claims=[ann]) as server:
        issuer = f"http://localhost:{server.server_port}"
        file = tmp_path / "mock.yaml"
        auth = f"auth: {{type: oidc, discovery: '{issuer}/.well-known/openid-configuration', "
        file.write_text(
            CONFIG + auth + "client_id: chatlab, client_secret: {env: CHATLAB_TEST_CLIENT}}\n", "utf-8"
        )
        served = Served(file)
        try:
            with somebody(served.url) as client:
                asked = client.get("/config", headers=OPENS)
                form = httpx2.post(asked.headers["location"], data={"sub": "ann"})
                landed = client.get(form.headers["location"], headers=OPENS, follow_redirects=True)
                assert landed.status_code == 200 and landed.url.path == "/config"
                assert client.get("/-/me").json() == {"name": "Ann"}
                out = client.post("/-/sign-out", headers={"origin": served.url})
                assert f"{issuer}/oauth2/end_session" in out.text
        finally:
            served.stop()


def test_in_a_space_people_sign_in_with_what_the_space_has_and_in_a_tab_of_its_own(
    provider: Oidc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENID_PROVIDER_URL", provider.issuer)
    monkeypatch.setenv("OAUTH_CLIENT_ID", CLIENT)
    monkeypatch.setenv("OAUTH_CLIENT_SECRET", SECRET)
    monkeypatch.setenv("SPACE_HOST", "ann-chat.hf.space")
    monkeypatch.setenv("SYSTEM", "spaces")
    file = tmp_path / "space.yaml"
    file.write_text(CONFIG + "auth: {type: huggingface_space, allowed: {groups: [team]}}\n", "utf-8")
    served, there = Served(file), {**OPENS, "host": "ann-chat.hf.space"}
    with somebody(served.url) as ann:
        framed = ann.get("/compare?x=1", headers={**there, "sec-fetch-dest": "iframe"})
        assert 'href="https://ann-chat.hf.space/compare?x=1" target="_blank"' in framed.text
        sent_to = ann.get("/compare", headers=there)
        query = dict(httpx2.URL(sent_to.headers["location"]).params)
        assert query["redirect_uri"] == "https://ann-chat.hf.space/login/callback"
        provider.person = {"sub": "1", "name": "Ann"}
        provider.userinfo = {"orgs": [{"sub": "2", "preferred_username": "team"}]}
        given = {"code": provider.code(query), "state": query["state"], "iss": provider.issuer}
        began = sent_to.headers["set-cookie"].partition(";")[0]
        back = ann.get("/login/callback", params=given, headers={**there, "cookie": began})
        assert back.headers["location"] == "https://ann-chat.hf.space/compare"
        own = next(one for one in back.headers.get_list("set-cookie") if "chatlab-session" in one)
        for word in ("SameSite=None", "Secure", "Partitioned", "HttpOnly"):
            assert word in own
    served.stop()


def test_a_page_that_gradio_launches_is_behind_sign_in_too(
    running: Oidc, provider: Oidc, tmp_path: Path
) -> None:
    file = tmp_path / "launched.yaml"
    file.write_text(CONFIG + provider.config(), "utf-8")
    with at_url("launched", file) as url:
        for path in ("/config", "/gradio_api/info", "/-/conversations"):
            assert httpx2.get(f"{url}{path}").status_code == 401
        with signed_in(url, provider, "ann") as ann:
            assert ann.get("/-/me").json() == {"name": "Ann"}
