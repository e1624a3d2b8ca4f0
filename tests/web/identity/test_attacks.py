"""Each way in that is not a sign-in: tried, and refused."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest
from joserfc.jwk import RSAKey

from tests.servers.oidc import CLIENT, SECRET, Oidc
from tests.web.identity.people import OPENS, began, comes_back, session_of, sign_in, signed_in, somebody
from tests.web.shared.test_forwarded import FORWARDED


def refused(answer: httpx2.Response, sentence: str, status: int = 403) -> None:
    assert answer.status_code == status, answer.text
    assert sentence in answer.text
    assert "chatlab-session" not in answer.headers.get("set-cookie", "")


def test_a_browser_that_did_not_begin_cannot_be_signed_in_by_somebody_elses_answer(
    url: str, provider: Oidc
) -> None:
    """Login CSRF: the attacker has their own, valid answer opened by the victim's browser."""
    with somebody(url) as attacker, somebody(url) as victim:
        refused(comes_back(victim, provider, began(attacker)), "has not begun to sign in")
        began(victim)  # that it began something of its own changes nothing
        refused(comes_back(victim, provider, began(attacker)), "has not begun to sign in")
        assert session_of(victim) is None


def test_of_a_hundred_who_sign_in_at_once_each_is_who_they_are(url: str, provider: Oidc) -> None:
    def signs_in(number: int) -> tuple[str, str]:
        with somebody(url) as one:
            query = began(one, "/compare")
            person = {"sub": f"of-{number}", "name": f"Person {number}", "email": f"{number}@example.org"}
            code = provider.code(query, person)
            assert comes_back(one, provider, query, code=code).status_code == 303
            return one.get("/-/me").json()["name"], str(session_of(one))

    with ThreadPoolExecutor(20) as threads:
        found = list(threads.map(signs_in, range(100)))
    assert [name for name, _ in found] == [f"Person {number}" for number in range(100)]
    assert len({session for _, session in found}) == 100


def test_of_answers_that_come_back_at_once_one_signs_in(url: str, provider: Oidc) -> None:
    with somebody(url) as ann:
        query = began(ann)
        given = {"code": provider.code(query), "state": query["state"], "iss": provider.issuer}
        cookies = dict(ann.cookies)

    def back(_: int) -> int:
        return httpx2.get(f"{url}/auth/callback", params=given, headers=OPENS, cookies=cookies).status_code

    with ThreadPoolExecutor(10) as threads:
        assert sorted(threads.map(back, range(10))) == [303, *[403] * 9]


def test_what_began_once_cannot_come_back_twice(url: str, provider: Oidc) -> None:
    with somebody(url) as client:
        query = began(client)
        kept = dict(client.cookies)
        assert comes_back(client, provider, query).status_code == 303
        for name, value in kept.items():
            client.cookies.set(name, value)
        provider.front.requests.clear()
        refused(comes_back(client, provider, query), "was used already")
        assert provider.front.requests == []


def test_a_code_that_was_used_is_refused_for_another_sign_in(url: str, provider: Oidc) -> None:
    with somebody(url) as client:
        query = began(client)
        code = provider.code(query)
        assert comes_back(client, provider, query, code=code).status_code == 303
        client.cookies.clear()
        refused(comes_back(client, provider, began(client), code=code), "refused the code")


def test_a_code_of_another_sign_in_is_refused_by_pkce_and_by_nonce(url: str, provider: Oidc) -> None:
    with somebody(url) as attacker, somebody(url) as victim:
        stolen, own = began(victim), began(attacker)
        refused(comes_back(attacker, provider, own, code=provider.code(stolen)), "refused the code")
        # Of a provider that does not look at PKCE, the nonce still tells.
        own = began(attacker)
        code = provider.code({**stolen, "code_challenge": own["code_challenge"]})
        refused(comes_back(attacker, provider, own, code=code), "belongs to another sign-in")


@pytest.mark.parametrize(
    "path",
    [
        *("//evil.example/x", "/\\evil.example", "/%5Cevil.example", "/%2F/evil.example"),
        *("/javascript:alert(1)", "/%09//evil.example", "/https:%2F%2Fevil.example", "/@evil.example"),
    ],
)
def test_whoever_signs_in_comes_back_to_this_very_server(url: str, provider: Oidc, path: str) -> None:
    with somebody(url) as client:
        answer = client.send(client.build_request("GET", f"{url}{path}", headers=OPENS))
        if answer.status_code == 400:
            return
        assert answer.status_code == 303
        query = dict(httpx2.URL(answer.headers["location"]).params)
        back = comes_back(client, provider, query)
        assert back.status_code == 303
        assert back.headers["location"].startswith(f"{url}/")


def test_the_redirect_uri_is_not_what_a_client_asks_for(url: str, provider: Oidc) -> None:
    with somebody(url) as client:
        forged = {**OPENS, "x-forwarded-host": "evil.example", "forwarded": "host=evil.example"}
        answer = client.get("/", headers=forged)
        assert dict(httpx2.URL(answer.headers["location"]).params)["redirect_uri"] == f"{url}/auth/callback"
        assert client.get("/", headers={**OPENS, "host": "evil.example"}).status_code == 421


def test_a_session_id_from_before_the_sign_in_is_worth_nothing_after_it(url: str, provider: Oidc) -> None:
    """Session fixation: the attacker knows an id that the victim's browser has."""
    known = "x" * 43
    with somebody(url) as victim, somebody(url) as attacker:
        for client in (victim, attacker):
            client.cookies.set("chatlab-session", known, "127.0.0.1")
        sign_in(victim, provider, "victim")
        assert session_of(victim) not in (None, known)
        assert attacker.get("/-/me").status_code == 401


def test_signing_in_again_ends_what_was_before(url: str, provider: Oidc) -> None:
    with signed_in(url, provider, "ann") as ann, somebody(url) as thief, somebody(url) as other_tab:
        thief.cookies.set("chatlab-session", str(session_of(ann)), "127.0.0.1")
        query = began(other_tab)
        for cookie in other_tab.cookies.jar:
            ann.cookies.set(cookie.name, str(cookie.value), "127.0.0.1")
        assert thief.get("/-/me").is_success
        assert comes_back(ann, provider, query).status_code == 303
        assert ann.get("/-/me").is_success and thief.get("/-/me").status_code == 401


def test_no_header_makes_anybody_a_person(url: str) -> None:
    with somebody(url) as client:
        for headers in (FORWARDED, {"chatlab.person": "ann"}, {"cookie": "chatlab-browser=" + "a" * 43}):
            assert client.get("/-/me", headers=headers).status_code == 401
            assert client.get("/config", headers=headers).status_code == 401
            assert client.get("/", headers={**OPENS, **headers}).status_code == 303


def in_base64(part: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


def none(_: Oidc, claims: dict[str, Any]) -> str:
    parts = ({"alg": "none", "typ": "JWT"}, claims)
    return ".".join(in_base64(part) for part in parts) + "."


def with_a_shared_secret(key: bytes, claims: dict[str, Any]) -> str:
    signed = f"{in_base64({'alg': 'HS256', 'kid': 'first'})}.{in_base64(claims)}"
    signature = hmac.new(key, signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def confused(provider: Oidc, claims: dict[str, Any]) -> str:
    """Signed with the public key, as if that were a shared secret."""
    return with_a_shared_secret(provider.key.as_pem(private=False), claims)


def with_the_clients_secret(_: Oidc, claims: dict[str, Any]) -> str:
    return with_a_shared_secret(SECRET.encode(), claims)


def of_an_unknown_key(provider: Oidc, claims: dict[str, Any]) -> str:
    return provider.signed(claims, RSAKey.generate_key(2048, {"kid": "first"}, private=True))


def that_brings_its_key(provider: Oidc, claims: dict[str, Any]) -> str:
    own = RSAKey.generate_key(2048, {"kid": "own"}, private=True)
    return provider.signed(claims, own, {"kid": "own", "jwk": own.as_dict(private=False)})


def changed(provider: Oidc, claims: dict[str, Any]) -> str:
    head, _, signature = provider.signed(claims).split(".")
    return f"{head}.{in_base64({**claims, 'sub': 'admin'})}.{signature}"


NOT_SIGNED = "is not signed in a way that is believed"
NOT_OURS = "is not signed by a key that the provider has now"


@pytest.mark.parametrize(
    ("sign", "sentence"),
    [
        (none, NOT_SIGNED),
        (confused, NOT_SIGNED),
        (with_the_clients_secret, NOT_SIGNED),
        (of_an_unknown_key, NOT_OURS),
        (that_brings_its_key, NOT_OURS),
        (changed, NOT_OURS),
        (lambda _, claims: "nonsense", NOT_SIGNED),
        (lambda _, claims: "", NOT_SIGNED),
    ],
)
def test_a_token_that_the_provider_did_not_sign_signs_nobody_in(
    url: str, provider: Oidc, sign: Callable[[Oidc, dict[str, Any]], str], sentence: str
) -> None:
    provider.sign = lambda claims: sign(provider, claims)
    with somebody(url) as client:
        refused(comes_back(client, provider, began(client)), sentence)
        assert session_of(client) is None


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"iss": "https://evil.example"}, "of another issuer"),
        ({"aud": "another-application"}, "for another application"),
        ({"aud": [CLIENT, "another"]}, "given to another application"),
        ({"azp": "another"}, "given to another application"),
        ({"aud": {CLIENT: 1}}, "for another application"),
        ({"exp": time.time() - 120}, "has expired"),
        ({"exp": None}, "has no exp"),
        ({"exp": True}, "has no exp"),
        ({"iat": None}, "has no iat"),
        ({"iat": time.time() + 3_600}, "of the future"),
        ({"nbf": time.time() + 3_600}, "of the future"),
        ({"nonce": "another"}, "belongs to another sign-in"),
        ({"nonce": None}, "belongs to another sign-in"),
        ({"sub": ""}, "does not say who"),
        ({"sub": 7}, "does not say who"),
    ],
)
def test_a_token_for_somebody_or_something_else_signs_nobody_in(
    url: str, provider: Oidc, change: dict[str, Any], sentence: str
) -> None:
    provider.claims = lambda claims: {**claims, **change}
    with somebody(url) as client:
        refused(comes_back(client, provider, began(client)), sentence)
        assert session_of(client) is None


def test_a_clock_may_differ_by_a_minute_and_no_more(url: str, provider: Oidc) -> None:
    for seconds, status in ((30, 303), (90, 403)):
        with somebody(url) as client:
            provider.claims = lambda claims, ago=seconds: {**claims, "exp": time.time() - ago}
            assert comes_back(client, provider, began(client)).status_code == status


def test_a_new_key_of_the_provider_is_known_at_once_and_an_old_one_forgotten(
    url: str, provider: Oidc
) -> None:
    old, new = provider.key, RSAKey.generate_key(2048, {"kid": "second", "use": "sig"}, private=True)
    with somebody(url) as client:
        provider.published = [old, new]
        provider.sign = lambda claims: provider.signed(claims, new, {"kid": "second"})
        assert comes_back(client, provider, began(client)).status_code == 303
    with somebody(url) as client:
        provider.published = [new]
        provider.sign = provider.signed
        refused(comes_back(client, provider, began(client)), NOT_OURS)


def test_an_answer_of_another_provider_is_not_taken_to_this_one(url: str, provider: Oidc) -> None:
    with somebody(url) as client:
        refused(comes_back(client, provider, began(client), iss="https://evil.example"), "another provider")


def test_what_a_provider_says_of_an_error_is_not_shown_as_it_is(url: str, provider: Oidc) -> None:
    with somebody(url) as client:
        query = began(client)
        back = {
            "error": "<script>alert(1)</script>",
            "error_description": "call 555",
            "state": query["state"],
        }
        answer = client.get("/auth/callback", params={**back, "iss": provider.issuer}, headers=OPENS)
        refused(answer, "did not sign you in (an unknown error)")
        assert "script>alert" not in answer.text and "call 555" not in answer.text


def test_details_of_somebody_else_are_not_taken(url: str, provider: Oidc) -> None:
    provider.userinfo = {"sub": "admin", "email": "admin@example.org", "email_verified": True}
    with somebody(url) as client:
        refused(comes_back(client, provider, began(client)), "details of somebody else")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/gradio_api/cancel"),
        ("POST", "/gradio_api/reset"),
        ("GET", "/gradio_api/heartbeat/abc"),
        ("GET", "/gradio_api/queue/data?session_hash=abc"),
        ("POST", "/gradio_api/queue/join"),
        ("POST", "/gradio_api/run/predict"),
        ("POST", "/gradio_api/upload"),
        ("GET", "/gradio_api/file=/etc/passwd"),
        ("GET", "/-/static/dom.js"),
        ("GET", "/-/compare/sessions/x/events"),
        ("GET", "/-/shared/abc"),
        ("GET", "/config"),
        ("GET", "/favicon.ico"),
        ("HEAD", "/"),
        ("OPTIONS", "/config"),
        ("PROPFIND", "/"),
        ("POST", "/auth/callback"),
        ("GET", "/-/sign-out"),
        ("POST", "/-/signed-out"),
        ("GET", "/a-route-that-somebody-adds-later"),
        ("GET", "/-/../config"),
        ("GET", "/auth/callback/../../config"),
        ("GET", "//config"),
    ],
)
def test_nothing_is_answered_to_somebody_who_is_not_signed_in(url: str, method: str, path: str) -> None:
    with somebody(url) as client:
        answer = client.request(method, f"{url}{path}", headers={"origin": url})
        assert answer.status_code in (400, 401), (answer.status_code, answer.text[:200])
        if answer.status_code == 401 and method != "HEAD":
            assert answer.json() == {"error": "Your sign-in has ended: open this page anew to sign in again"}


def test_nobody_is_signed_out_by_a_page_of_another_site(url: str, provider: Oidc) -> None:
    with signed_in(url, provider, "ann") as ann:
        for foreign in ({"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}):
            assert ann.post("/-/sign-out", headers=foreign).status_code == 403
        assert ann.get("/-/me").json() == {"name": "Ann"}
