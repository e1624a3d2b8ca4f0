"""By which name a page is asked for, from which site, in which frame, and with what in the request."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import gradio as gr
import httpx2
import pytest
from gradio.routes import App

import chatlab
from chatlab.web.server import create_app
from chatlab.web.shared.request_guard import RequestGuard
from chatlab.web.shared.safety import SafetyHeaders
from tests.web.pages import Served
from tests.words.other_language import left_in_english, other_texts, readable

CONFIG = "version: 1\nbackends: {echo: {kind: echo}}\nstorage: none\n"


@asynccontextmanager
async def client(folder: Path, more: str = "", host: str | None = None) -> AsyncIterator[httpx2.AsyncClient]:
    file = folder / "config.yaml"
    file.write_text(CONFIG + more, "utf-8")
    async with chatlab.load(file) as lab:
        transport = httpx2.ASGITransport(create_app(lab, host=host))
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as found:
            yield found


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    file = tmp_path_factory.mktemp("guards") / "config.yaml"
    file.write_text(CONFIG, "utf-8")
    page = Served(file)
    yield page.url
    page.stop()


PATHS = ["/", "/compare", "/config", "/-/compare/options", "/gradio_api/info", "/gradio_api/file=/etc/passwd"]


# -- names


@pytest.mark.parametrize("path", PATHS)
def test_a_foreign_name_that_leads_here_is_served_nothing(served: str, path: str) -> None:
    for name in ("evil.example", "localhost.evil.example", "203.0.113.9", "evil.example:7860", "a b", ""):
        refused = httpx2.get(served + path, headers={"host": name})
        assert refused.status_code == 421
        assert "server.allowed_hosts" in refused.text and "example" not in refused.text
        assert "frame-ancestors" in refused.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("more", "host", "allowed", "refused"),
    [
        ("", None, ["localhost:7860", "LOCALHOST", "127.0.0.1:1", "[::1]:7860", "a.localhost"], ["10.0.0.1"]),
        ("server: {allowed_hosts: ['*.example.org']}", None, ["a.example.org", "localhost"], ["example.org"]),
        ("server: {host: chat.example.org}", None, ["chat.example.org:7860"], ["example.org"]),
        ("server: {root_path: 'https://example.org/chat'}", None, ["example.org"], ["www.example.org"]),
        ("server: {host: 0.0.0.0}", None, ["192.168.1.7:7860", socket.gethostname()], ["evil.example"]),
        ("", "192.168.1.7", ["192.168.1.7:7860"], ["192.168.1.8:7860"]),
    ],
)
async def test_the_names_that_a_server_has_are_allowed(
    tmp_path: Path, more: str, host: str | None, allowed: list[str], refused: list[str]
) -> None:
    async with client(tmp_path, more, host) as browser:
        for name in allowed:
            assert (await browser.get("/compare", headers={"host": name})).status_code == 200, name
        for name in refused:
            assert (await browser.get("/compare", headers={"host": name})).status_code == 421, name


async def test_a_space_is_served_by_its_own_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPACE_HOST", "someone-chatlab.hf.space,chat.example.org")
    async with client(tmp_path) as browser:
        for name in ("someone-chatlab.hf.space", "chat.example.org"):
            assert (await browser.get("/compare", headers={"host": name})).status_code == 200


def test_two_hosts_in_one_request_are_none(served: str) -> None:
    port = urlsplit(served).port
    said = exchange(served, f"GET / HTTP/1.1\r\nHost: localhost:{port}\r\nHost: evil.example\r\n\r\n")
    assert said.startswith(b"HTTP/1.1 4")


# -- origins


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/gradio_api/queue/join"),
        ("POST", "/gradio_api/upload"),
        ("POST", "/-/compare/sessions"),
        ("POST", "/-/import"),
        ("GET", "/-/conversations"),
        ("GET", "/gradio_api/queue/data?session_hash=x"),
        ("OPTIONS", "/gradio_api/queue/join"),
        ("OPTIONS", "/-/compare/sessions"),
    ],
)
@pytest.mark.parametrize(
    "sent",
    [
        {"origin": "http://localhost:9999"},
        {"origin": "http://127.0.0.1:7860"},  # another origin than localhost, if the same machine
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://localhost:9999", "sec-fetch-site": "same-site"},
    ],
)
def test_a_page_of_another_origin_asks_in_vain(
    served: str, method: str, path: str, sent: dict[str, str]
) -> None:
    preflight = {"access-control-request-method": "POST"} if method == "OPTIONS" else {}
    headers = {"host": "localhost:7860", "x-chatlab": "1", **sent, **preflight}
    refused = httpx2.request(method, served + path, headers=headers)
    assert refused.status_code == 403 and "another site" in refused.text
    assert not [name for name in refused.headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    "sent",
    [
        {},
        {"origin": "http://localhost:7860"},
        {"origin": "null", "sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "none"},
        {"origin": "https://chat.example.org"},  # a proxy in front of us has that name
    ],
)
async def test_its_own_page_and_clients_that_are_no_page_may_ask(
    tmp_path: Path, sent: dict[str, str]
) -> None:
    async with client(tmp_path, "server: {allowed_hosts: [chat.example.org]}") as browser:
        await browser.get("/", headers={"accept": "text/html"})
        body = {"event_id": "x", "session_hash": "mine"}
        headers = {"host": "localhost:7860", **sent}
        asked = await browser.post("/gradio_api/reset", json=body, headers=headers)
        assert asked.status_code == 200


async def test_a_form_of_another_site_changes_nothing_even_where_the_browser_sends_no_origin(
    tmp_path: Path,
) -> None:
    async with client(tmp_path) as browser:
        for site in ("cross-site", "same-site"):
            headers = {"sec-fetch-site": site}
            assert (await browser.post("/gradio_api/reset", headers=headers)).status_code == 403
            linked = await browser.get("/compare", headers={**headers, "sec-fetch-mode": "navigate"})
            assert linked.status_code == 200  # a link to the page leads to the page


# -- frames


@pytest.mark.parametrize(
    ("ui", "space", "rule"),
    [
        ("", False, "frame-ancestors 'self'"),
        ("", True, "frame-ancestors 'self' https://huggingface.co"),
        (
            "ui: {framed_by: [intranet.example.org, '*.example.net']}",
            False,
            "frame-ancestors 'self' intranet.example.org *.example.net",
        ),
    ],
)
async def test_who_may_show_a_page_in_a_frame_is_one_rule_for_all_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ui: str, space: bool, rule: str
) -> None:
    if space:
        monkeypatch.setenv("SYSTEM", "spaces")
    async with client(tmp_path, ui) as browser:
        for path in ("/", "/compare", "/-/static/compare.js", "/nothing", "/-/compare/options"):
            answered = await browser.get(path)
            policies = answered.headers.get_list("content-security-policy")
            assert len(policies) == 1, path
            rules = [part.strip() for part in policies[0].split(";")]
            assert [part for part in rules if part.startswith("frame-ancestors")] == [rule], path


# -- requests that are none


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=%00",
        "/gradio_api/file/a%00b",
        "/gradio_api/file=%0a",
        "/gradio_api/file=" + "a" * 300,
        "/gradio_api/file=" + "a/" * 4_000,
        "/gradio_api/file=%ff%fe",
        "/static/%00",
        "/assets/%00",
        "/-/static/%00",
        "/-/files/%00",
        "/%00",
        "/monitoring/summary",
        "/gradio_api/call/chat/nothing",
    ],
)
def test_nonsense_is_the_clients_mistake_and_answered_with_every_header(served: str, path: str) -> None:
    answered = httpx2.get(served + path, headers={"cookie": f"chatlab-browser={'x' * 40}"})
    assert 400 <= answered.status_code < 500
    for header in ("content-security-policy", "referrer-policy", "x-content-type-options"):
        assert answered.headers[header]
    assert "/tmp" not in answered.text and "Traceback" not in answered.text


def exchange(url: str, head: str, body: bytes = b"") -> bytes:
    """Send a request as it is and return the beginning of the answer."""
    address = urlsplit(url)
    with socket.create_connection((address.hostname, address.port), timeout=20) as connection:
        connection.sendall(head.encode() + body)
        return connection.recv(4_096)


@pytest.mark.parametrize(
    "path",
    ["/gradio_api/queue/join", "/gradio_api/run/predict", "/gradio_api/upload", "/gradio_api/cancel", "/"],
)
def test_a_body_of_200_megabytes_is_refused_before_any_of_it_is_read(served: str, path: str) -> None:
    length = "Content-Length: 210000000\r\nContent-Type: application/json\r\n"
    said = exchange(served, f"POST {path} HTTP/1.1\r\nHost: localhost\r\n{length}\r\n")
    assert said.startswith(b"HTTP/1.1 413")


def test_a_body_without_a_length_is_refused_once_it_is_too_long(served: str) -> None:
    def pieces() -> Iterator[bytes]:
        for _ in range(40):
            yield b" " * 1_000_000

    try:
        answered = httpx2.post(f"{served}/gradio_api/queue/join", content=pieces(), timeout=30)
        assert answered.status_code == 413
    except httpx2.TransportError:
        pass  # it hung up on us, in the middle of what we had to say
    answered = httpx2.post(f"{served}/gradio_api/upload", content=pieces(), timeout=30)
    assert answered.status_code == 411


@pytest.mark.parametrize("body", ['{"data":[' + "[]," * 500_000 + "[]]}", "[" * 100_000])
def test_a_body_of_too_many_values_is_refused(served: str, body: str) -> None:
    headers = {"content-type": "application/json"}
    answered = httpx2.post(f"{served}/gradio_api/queue/join", content=body, headers=headers)
    assert answered.status_code in (413, 422)


@pytest.mark.parametrize("route", ["queue/join", "run/predict"])
@pytest.mark.parametrize("event", [0, 2, 9_999, -1, None])
def test_an_event_that_no_page_sends_is_refused_and_is_no_error_of_the_server(
    served: str, route: str, event: int | None, caplog: pytest.LogCaptureFixture
) -> None:
    body = {"data": [], "fn_index": event, "session_hash": f"{route}{event}"}
    answered = httpx2.post(f"{served}/gradio_api/{route}", json=body)
    assert answered.status_code == 422
    assert not caplog.records


_FILE = {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}
_VALUES: list[Any] = [
    *(
        None,
        5,
        10**400,
        "x" * 50,
        [],
        [[]],
        {},
        {"__type__": "update", "value": 5},
        _FILE,
        {**_FILE, "path": 5},
    ),
    *([{"role": "user", "content": 5}], [{"role": "assistant", "metadata": 5, "content": []}]),
    *(
        {"text": 5, "files": 5},
        {"text": "x", "files": [5]},
        {"text": "x", "files": [{**_FILE, "path": "\0"}]},
    ),
]
_TOLD: list[Any] = [
    None,
    5,
    [],
    {},
    {"index": "a", "value": 5},
    {"index": [], "value": None, "previous_value": 0},
]


def test_values_that_no_page_sends_are_refused_in_a_sentence_and_are_no_errors_of_the_server(
    served: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    refused = 0
    with httpx2.Client(base_url=f"{served}/", timeout=60) as page:
        config = page.get("config").json()
        initial = {one["id"]: one["props"].get("value") for one in config["components"]}
        for event in (one for one in config["dependencies"] if one["backend_fn"]):
            own = [initial[one] for one in event["inputs"]]
            sent = [([*own[:n], value, *own[n + 1 :]], {}) for n in range(len(own)) for value in _VALUES]
            for values, told in [*sent, *((own, told) for told in _TOLD)]:
                body = {"data": values, "fn_index": event["id"], "session_hash": "mine", "event_data": told}
                answered = page.post("gradio_api/run/predict", json=body)
                assert answered.status_code < 500, (event["id"], values, told)
                if answered.status_code >= 400:
                    refused += 1
                    said = answered.json()
                    assert "reload" in (said.get("error") or said["detail"])
    assert refused > 100
    assert "Traceback" not in caplog.text + "".join(capfd.readouterr())


_BODIES: list[bytes] = [
    *(b"", b"[", b'"\\ud800"', b"{}"),
    *(
        json.dumps({"data": ["x", None, "echo"], "session_hash": "mine", "event_id": "e", **odd}).encode()
        for odd in (
            {"fn_index": True, "session_hash": ""},
            {"fn_index": 0, "simple_format": {"a": 5}, "data": 5},
            {"fn_index": -1, "event_id": [], "message": {"text": 5, "files": [_FILE]}},
        )
    ),
]


def _routes(router: Any) -> Iterator[tuple[str, str]]:
    for route in router.routes:
        if hasattr(route, "original_router"):
            yield from _routes(route.original_router)
        else:
            yield from ((method, route.path) for method in getattr(route, "methods", None) or ())


def test_every_route_of_gradios_answers_garbage_with_a_sentence_and_every_header(
    served: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    async def listed() -> set[tuple[str, str]]:
        return set(_routes(App.create_app(gr.Blocks()).router))

    routes = asyncio.run(listed())  # outside of a loop Gradio opens some that it never closes
    assert len(routes) > 50 and ("POST", "/gradio_api/call/v2/{api_name}") in routes
    with httpx2.Client(base_url=served, timeout=60) as page:
        page.get("/", headers={"accept": "text/html"})
        for method, path in sorted(routes):
            for filled in ("nothing", "chat", "9" * 300) if "{" in path else ("",):
                address = re.sub(r"\{[^}]*\}", filled, path)
                if method != "POST":
                    address += "?session_hash=%ED%A0%80&event_id=%00"
                for body in _BODIES if method == "POST" and len(filled) < 300 else [None]:
                    headers = {"content-type": "application/json"}
                    with page.stream(method, address, content=body, headers=headers) as answered:
                        said = "" if answered.status_code < 400 else answered.read().decode()
                    assert answered.status_code < 500, (method, address, body, said)
                    assert len(said) < 200 and not set("\n[") & set(said), (method, address, body, said)
                    for header in ("content-security-policy", "referrer-policy", "x-content-type-options"):
                        assert answered.headers[header]
    assert "Traceback" not in caplog.text + "".join(capfd.readouterr())


async def test_whatever_is_refused_is_refused_in_the_words_of_the_page(tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text(json.dumps(other_texts()), "utf-8")
    asked: list[tuple[str, str, dict[str, str], bytes | None]] = [
        ("GET", "/", {"host": "evil.example"}, None),
        ("GET", "/" + "x" * 300, {}, None),
        ("GET", "/monitoring/summary", {}, None),
        ("GET", "/gradio_api/nothing", {}, None),
        ("GET", "/gradio_api/queue/data?session_hash=" + "x" * 65, {}, None),
        ("POST", "/gradio_api/reset", {"origin": "https://evil.example"}, b"{}"),
        ("POST", "/gradio_api/reset", {}, b"[]"),
        ("POST", "/gradio_api/reset", {}, b"[" * 300_000),
        ("POST", "/-/compare/sessions", {}, b"{}"),
    ]
    async with client(tmp_path, "ui: {language: other.json}") as browser:
        for method, path, headers, body in asked:
            answered = await browser.request(method, path, headers=headers, content=body)
            assert answered.status_code >= 400, path
            assert left_in_english(readable(answered.text)) - {"error", "evil", "example"} == set(), path


async def test_what_fails_here_is_told_by_an_incident_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: Any) -> None:
        raise OSError(f"no such file: {tmp_path}/database at host db.internal")

    transport = httpx2.ASGITransport(SafetyHeaders(RequestGuard(broken, 1)))
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as browser:
        answered = await browser.get("/")
    assert answered.status_code == 500 and answered.headers["content-security-policy"]
    assert "Something went wrong here, incident" in answered.text and "db.internal" not in answered.text
    incident = answered.text.rpartition(" ")[2]
    assert incident in caplog.text and "db.internal" in caplog.text
