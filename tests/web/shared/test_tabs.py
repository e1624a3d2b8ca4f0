"""A page's stream, and what it runs, is its browser's alone, however a request names the page."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from benchmarks.page_driver import shown_after
from chatlab.web.chat.gradio_patches.refusals import UNREADABLE
from chatlab.web.shared.limits import LimitReached
from chatlab.web.shared.tabs import TabOwners
from tests.web.conversations.test_routes import Browser
from tests.web.pages import Served

CONFIG = """\
version: 1
backends: {slow: {kind: echo, rate: 20}}
storage: none
"""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    file = tmp_path_factory.mktemp("tabs") / "config.yaml"
    file.write_text(CONFIG, "utf-8")
    served = Served(file)
    yield served.url
    served.stop()


def browser(url: str, name: str) -> Browser:
    return Browser.at(url, f"{name}{time.monotonic_ns()}")


@pytest.fixture
def mine(url: str) -> Iterator[Browser]:
    one = browser(url, "mine")
    yield one
    one.client.close()


@pytest.fixture
def other(url: str) -> Iterator[Browser]:
    one = browser(url, "other")
    yield one
    one.client.close()


def begin(mine: Browser, words: int = 20) -> dict[str, Any]:
    """Begin an answer of two words in 0.1 s, and return what names it."""
    text = {"multimodaltextbox": {"text": "word " * words, "files": []}}
    event = mine.event("_submit_fn")
    data = [mine.value(component, text) for component in event["inputs"]]
    body = {"data": data, "fn_index": event["id"], "session_hash": mine.hash}
    joined = mine.client.post("/gradio_api/queue/join", json=body).json()
    return {"session_hash": mine.hash, "fn_index": event["id"], "event_id": joined["event_id"]}


def messages(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    for line in lines:
        if line.startswith("data:"):
            yield json.loads(line[5:])


def stream(of: Browser) -> Any:
    return of.client.stream("GET", "/gradio_api/queue/data", params={"session_hash": of.hash})


def ends_whole(mine: Browser, attack: Any, words: int = 20) -> None:
    """While an answer of `mine` runs, the attack is made, and nothing of the answer is cut."""
    named = begin(mine, words)
    with stream(mine) as own:
        said = messages(own.iter_lines())
        told = [next(message for message in said if message["msg"] == "process_generating")]
        attack(named)
        while told[-1]["msg"] != "process_completed":
            told.append(next(said))
    assert told[-1]["success"] and "word word" in json.dumps(shown_after(told))


@pytest.mark.parametrize("name", ["session_hash", "session%5Fhash", "%73ession_hash"])
@pytest.mark.parametrize("first", ["mine", "theirs"])
def test_a_page_named_twice_in_an_address_gives_nobody_elses_stream(
    mine: Browser, other: Browser, name: str, first: str
) -> None:
    def attack(_: Any) -> None:
        pair = (other.hash, mine.hash) if first == "mine" else (mine.hash, other.hash)
        address = f"/gradio_api/queue/data?session_hash={pair[0]}&{name}={pair[1]}"
        with other.client.stream("GET", address) as taken:
            assert taken.status_code == 400

    ends_whole(mine, attack)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("order", [("mine", "theirs"), ("theirs", "mine")])
@pytest.mark.parametrize("route", ["cancel", "reset"])
def test_a_page_named_twice_in_a_body_ends_nobody_elses_answer(
    mine: Browser, other: Browser, order: tuple[str, str], encoding: str, route: str
) -> None:
    def attack(named: dict[str, Any]) -> None:
        hashes = {"mine": other.hash, "theirs": mine.hash}
        pages = ", ".join(f'"session_hash": "{hashes[who]}"' for who in order)
        body = f'{{{pages}, "fn_index": {named["fn_index"]}, "event_id": "{named["event_id"]}"}}'
        headers = {"content-type": "application/json"}
        refused = other.client.post(f"/gradio_api/{route}", content=body.encode(encoding), headers=headers)
        assert refused.status_code in (403, 422)

    ends_whole(mine, attack)


def test_an_event_of_another_page_is_not_ended_or_read_by_its_id(mine: Browser, other: Browser) -> None:
    def attack(named: dict[str, Any]) -> None:
        for body in (
            {**named, "session_hash": other.hash},
            {"event_id": named["event_id"]},
            {"event_id": named["event_id"], "session_hash": None},
        ):
            for route in ("cancel", "reset"):
                assert other.client.post(f"/gradio_api/{route}", json=body).status_code == 403
        for route in ("call/chat", "call/v2/chat"):
            assert other.client.get(f"/gradio_api/{route}/{named['event_id']}").status_code == 403

    ends_whole(mine, attack)


WORDS = "word " * 20
CALL = {"text": WORDS, "files": []}
# That Gradio forgets its own hidden value, the conversation, in any call by an event's name.
ANSWERED = UNREADABLE if gr.__version__.startswith("6.17.") else WORDS.strip()


@pytest.mark.parametrize(("message", "said"), [(CALL, ANSWERED), (5, UNREADABLE)])
def test_a_program_asks_by_the_names_of_values(mine: Browser, message: Any, said: str) -> None:
    asked = mine.client.post("/gradio_api/call/v2/chat", json={"message": message})
    event = asked.raise_for_status().json()["event_id"]
    assert said in mine.client.get(f"/gradio_api/call/v2/chat/{event}").raise_for_status().text
    for name, body in (("nothing", {}), ("chat", {"nothing": 1})):
        refused = mine.client.post(f"/gradio_api/call/v2/{name}", json=body)
        assert (refused.status_code, refused.json()) == (422, {"detail": UNREADABLE})


@pytest.mark.parametrize(
    ("route", "body"),
    [
        ("call/chat", {"data": [CALL, "slow", None, None, None]}),
        ("call/v2/chat", {"message": CALL}),
        ("call/v2/chat", {"message": CALL, "session_hash": "x"}),
    ],
)
def test_the_answer_of_a_call_is_read_and_ended_by_its_browser_alone(
    mine: Browser, other: Browser, route: str, body: dict[str, Any]
) -> None:
    event = mine.client.post(f"/gradio_api/{route}", json=body).raise_for_status().json()["event_id"]
    for one in ({"event_id": event}, {"event_id": event, "session_hash": event, "fn_index": 0}):
        for path in ("cancel", "reset"):
            assert other.client.post(f"/gradio_api/{path}", json=one).status_code == 403
    for path in ("call/chat", "call/v2/chat", "call/v2"):
        assert other.client.get(f"/gradio_api/{path}/{event}").status_code == 403
    with other.client.stream("GET", f"/gradio_api/queue/data?session_hash={event}") as nothing:
        assert "Not Found" in nothing.read().decode()
    assert ANSWERED in mine.client.get(f"/gradio_api/{route}/{event}").raise_for_status().text


def test_nothing_is_put_into_the_stream_of_another_page(mine: Browser, other: Browser) -> None:
    def attack(named: dict[str, Any]) -> None:
        body = {"data": [None] * 9, "fn_index": named["fn_index"], "session_hash": mine.hash}
        for route in ("queue/join", "run/predict", "api/predict", "call/chat"):
            assert other.client.post(f"/gradio_api/{route}", json=body).status_code == 403
        with other.client.stream("GET", f"/gradio_api/heartbeat/{mine.hash}") as beat:
            assert beat.status_code == 403

    ends_whole(mine, attack)


def test_what_a_page_holds_is_not_to_be_had_by_its_hash(mine: Browser, other: Browser) -> None:
    ends_whole(mine, lambda _: None)
    for who in (mine, other):
        for route in ("deep_link", "stream/x/1/2/playlist.m3u8", "proxy=http://127.0.0.1:1/"):
            assert who.client.get(f"/gradio_api/{route}?session_hash={mine.hash}").status_code == 404
    body = {"session_hash": mine.hash, "component_id": 1, "fn_name": "ls", "data": None}
    assert other.client.post("/gradio_api/component_server", json=body).status_code == 404


def test_a_hash_longer_than_any_page_makes_is_refused(mine: Browser) -> None:
    long = "x" * 65
    assert mine.client.get("/gradio_api/queue/data", params={"session_hash": long}).status_code == 400
    assert mine.client.get(f"/gradio_api/heartbeat/{long}").status_code == 400
    refused = mine.client.post("/gradio_api/reset", json={"session_hash": long, "event_id": "x"})
    assert (refused.status_code, refused.text) == (
        400,
        "An id of a page or an event is a text of at most 64 characters",
    )
    assert mine.client.post("/gradio_api/reset", json={"event_id": long}).status_code == 400


def test_many_cheap_requests_let_no_stranger_in_and_lock_no_owner_out(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(CONFIG + "limits: {sessions: {visitor: 3, address: 5, total: 8}}\n", "utf-8")
    served = Served(file)
    mine, other = browser(served.url, "mine"), browser(served.url, "other")
    try:

        def attack(named: dict[str, Any]) -> None:
            for number in range(30):
                body = {"session_hash": f"flood{number}", "event_id": "x"}
                cookie = {"cookie": f"chatlab-browser={'many' * 8}{number % 7}"} if number % 2 else {}
                asked = other.client.post("/gradio_api/reset", json=body, headers=cookie)
                assert asked.status_code in (200, 429)
            assert other.client.post("/gradio_api/cancel", json=named).status_code == 403
            with other.client.stream(
                "GET", "/gradio_api/queue/data", params={"session_hash": mine.hash}
            ) as taken:
                assert taken.status_code == 403

        ends_whole(mine, attack, words=120)
        ends_whole(mine, lambda _: None)
    finally:
        for one in (mine, other):
            one.client.close()
        served.stop()


def test_of_the_pages_that_are_known_none_that_is_connected_is_forgotten() -> None:
    tabs = TabOwners(most=20_000)
    assert tabs.admit("mine", "me", "192.0.2.1")
    with tabs.connected("mine"):
        for number in range(50_000):
            assert tabs.admit(f"{number}", f"stranger{number % 700}", f"198.51.100.{number % 250}")
        assert not tabs.admit("mine", "you", "192.0.2.2") and tabs.admit("mine", "me", "192.0.2.1")


def test_who_opens_too_many_pages_forgets_their_own_and_nobody_elses() -> None:
    tabs = TabOwners(most=100, per_owner=3, per_address=50)
    assert tabs.admit("mine", "me", "192.0.2.1")
    for number in range(1_000):
        assert tabs.admit(f"{number}", "flood", "198.51.100.1")
    assert not tabs.admit("mine", "flood", "198.51.100.1")


def test_where_every_page_is_connected_a_new_one_is_refused_with_a_sentence() -> None:
    tabs = TabOwners(per_owner=2)
    assert tabs.admit("a", "me") and tabs.admit("b", "me")
    with tabs.connected("a"), tabs.connected("b"):
        with pytest.raises(LimitReached, match="One visitor may have 2 pages open: close one"):
            tabs.admit("c", "me")
        assert tabs.admit("c", "you")
    assert tabs.admit("d", "me")
