"""Who may do what on the comparison page: addresses and paid calls."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request

from chatlab.web.shared.limits import limits_of
from tests.web.compare.client import Person, Tab
from tests.web.pages import Served

CONFIG = """
storage: none
backends:
  alpha: {kind: echo, label: Alpha}
  beta: {kind: echo, label: Beta}
compare: {lanes: [alpha, "echo:", beta]}
limits:
  {turns_a_minute: {visitor: 20}, running_turns: {visitor: 2}, uploads: {visitor: 3}, sessions: {visitor: 2},
   reports: {visitor: 2, address: 3}}
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    file = tmp_path_factory.mktemp("config") / "config.yaml"
    file.write_text(CONFIG, "utf-8")
    running = Served(file)
    yield running
    running.stop()


@pytest.fixture
def me(served: Served) -> Iterator[Person]:
    person = Person(served)
    yield person
    person.close()


def test_a_visitor_has_so_many_sessions_open_and_no_more(me: Person) -> None:
    asked = me.begin("alpha", "beta")
    path = f"/-/compare{asked.path}/events"
    with Tab(asked), Tab(asked):
        refused = me.http.get(path).text
        assert refused.startswith("event: refused\n") and "2 sessions open: close one" in refused
    for _ in range(1_000):  # those that were closed count no more, once the server has seen it
        with me.http.stream("GET", path) as reply:
            first = next(reply.iter_lines())
        if first == "event: view":
            return
    raise AssertionError(first)


def test_a_visitor_has_so_many_reports_written_and_leaves_the_other_places_to_others(
    served: Served, me: Person
) -> None:
    limits, you = limits_of(served.lab), Person(served)

    def visitor(of: Person) -> Any:
        cookie = "; ".join(f"{name}={value}" for name, value in of.http.cookies.items())
        headers = [(b"cookie", cookie.encode())]
        return limits.visitor(Request({"type": "http", "headers": headers, "client": ("127.0.0.1", 1)}))

    asked, others = me.begin("alpha", "beta"), you.begin("alpha", "beta")
    asked.ask("hello")
    others.ask("hello")
    mine = [limits.hold_report(visitor(me)) for _ in range(2)]  # as two that are being written
    for path in ("/report?format=html", f"/lanes/{asked.lanes[0]}/recording"):
        status, sentence = me.refused("GET", f"{asked.path}{path}")
        assert status == 429 and sentence.startswith("One visitor may have 2 reports written at a time: ")
    assert "Alpha" in you.send("GET", f"{others.path}/report?format=html").text
    theirs = limits.hold_report(visitor(you))
    status, sentence = you.refused("GET", f"{others.path}/report?format=html")
    assert status == 429 and sentence.startswith("All visitors of your network address together may have 3")
    for place in (*mine, theirs):
        place.release()
    for _ in range(4):  # each gives its place back
        assert "Alpha" in me.send("GET", f"{asked.path}/report?format=html").text
        assert me.refused("GET", f"{asked.path}/report?redact=(")[0] == 400
    you.close()


@pytest.mark.parametrize(
    "named",
    [
        "openai:gpt-5-mini",
        "langchain:openai:gpt-5-mini",
        "databricks:anything",
        "huggingface:http://127.0.0.1:9/v1",
        "replay:/etc/passwd",
        "replay:/no/such/file",
        "nobody",
        "x" * 10_000,
    ],
)
def test_a_visitor_can_name_no_address(served: Served, me: Person, named: str) -> None:
    asked = me.begin("alpha", "beta")
    lane = asked.lanes[0]
    refusals = {
        me.refused("POST", "/sessions", {"lanes": [{"backend": "alpha"}, {"backend": named}]}),
        me.refused("POST", f"{asked.path}/lanes", {"backend": named}),
        me.refused("PATCH", f"{asked.path}/lanes/{lane}", {"backend": named}),
    }
    assert {status for status, _ in refusals} == {400}
    assert len({sentence for _, sentence in refusals}) == 1
    (sentence,) = {sentence for _, sentence in refusals}
    assert "is not a backend of this server: choose one of alpha, beta, echo:" in sentence
    assert len(sentence) < 300
    assert asked.lanes[0] == lane and len(asked.lanes) == 2
    assert named not in served.lab.backends.served()


def test_an_address_that_the_configuration_names_as_a_lane_may_be_asked(me: Person) -> None:
    asked = me.begin("alpha", "echo:")
    asked.ask("hello")
    assert all("hello" in answer for answer in asked.answers())


def test_a_round_that_is_more_than_a_visitor_may_begin_begins_not_at_all(me: Person) -> None:
    other = Person(me.served)
    asked: list[Any] = [other.begin("alpha", "beta") for _ in range(3)]
    wanted = {"text": "hello", "repeats": 5}
    other.post(f"{asked[0].path}/ask", wanted)
    other.post(f"{asked[1].path}/ask", wanted)
    status, sentence = other.refused("POST", f"{asked[2].path}/ask", wanted)
    assert (status, "20 answers a minute" in sentence) == (429, True)
    assert asked[2].view["rounds"] == []
    assert all(len(answers) == 5 for answers in asked[0].ended()["rounds"][0]["answers"].values())
    asked[1].ended()
    other.close()


def test_the_configuration_file_says_how_many_run_at_once(tmp_path: Path, me: Person) -> None:
    asked = me.begin("alpha", "beta")
    view = asked.ask("hello", repeats=3)
    assert {one["status"] for answers in view["rounds"][0]["answers"].values() for one in answers} == {
        "finished"
    }


def upload(person: Person) -> Any:
    headers = {"x-chatlab": "1", "x-filename": "a.txt", "content-type": "text/plain"}
    return person.http.post("/-/compare/uploads", content=b"some text", headers=headers)


def test_uploads_of_one_visitor_take_nothing_from_another(served: Served, me: Person) -> None:
    mine = upload(me).json()["id"]
    other = Person(served)
    answers = [upload(other) for _ in range(205)]
    assert [answer.status_code for answer in answers[:3]] == [200, 200, 200]
    assert {answer.status_code for answer in answers[3:]} == {429}
    asked = me.begin("alpha", "beta")
    asked.ask("what is this?", files=[mine])
    assert asked.view["rounds"][0]["files"] == ["a.txt"]
    theirs = other.begin("alpha", "beta")
    theirs.ask("and this?", files=[answers[0].json()["id"]])
    assert upload(other).status_code == 200, "one was sent"
    other.close()
