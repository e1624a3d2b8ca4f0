"""Until the names are taken off, nothing that reaches a browser tells one lane from another."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from chatlab.compare.session.open_sessions import OpenSessions
from chatlab.compare.session.session import ComparisonSession
from tests.servers.front import Front
from tests.web.compare.client import Asked, Person, Tab
from tests.web.pages import Served, chunks, says

CHAT = "/v1/chat/completions"
LANES: list[str | dict[str, Any]] = [
    "kumquat",
    {"backend": "tamarind", "label": "Grapefruit", "parameters": {"max_tokens": 40}, "system": "Persimmon"},
    "durian",
    "medlar",
]
# Names, labels, models, parameters, prices, kinds, and the words of figures, receipts and errors.
TELLING = (
    *("kumquat", "tamarind", "grapefruit", "durian", "medlar", "loquat", "salak", "rambutan", "physalis"),
    *("persimmon", "max_tokens", "12.75", "0.0127", "51.25", "echo", "openai", "base_url", "soursop"),
    *('"figures"', "first_token", "tokens_per_second", "longest_stall", '"usage"', "sha256", '"receipt"'),
    *('"backend"', '"model"', '"parameters"', "not_ready", '"notices"', '"thoughts"', '"tools"', "told to"),
)
QUESTION = " ".join(f"w{n}" for n in range(30))


@pytest.fixture(scope="module")
def upstream() -> Iterator[Front]:
    with Front() as front:
        front.on("POST", CHAT, says(chunks([f"w{n} " for n in range(30)], model="physalis-2")))
        yield front


@pytest.fixture(scope="module")
def served(upstream: Front, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("blind")
    (folder / "config.yaml").write_text(
        f"""\
version: 1
storage: {{url: "sqlite:{folder}/kept.db", files: {folder}/files, sharing: true}}
ui: {{title: Tasting}}
backends:
  kumquat: {{kind: echo, label: Loquat, model: salak-7b, rate: 300, prices: {{input: 12.75, output: 51.25}}}}
  tamarind: {{kind: echo, rate: 20, delay: 0.2, reasoning: soursop thoughts, model: rambutan,
              tools: [{{name: soursop, result: soursop}}]}}
  durian: {{kind: echo, rate: 100, retries: 0, fail: {{error: rate_limited, after: 5}}}}
  medlar: {{kind: openai, model: physalis, base_url: "{upstream.url}/v1", retries: 0}}
compare: {{lanes: [kumquat, medlar], criteria: [taste]}}
""",
        "utf-8",
    )
    running = Served(folder / "config.yaml")
    yield running
    running.stop()


@pytest.fixture
def me(served: Served) -> Iterator[Person]:
    person = Person(served)
    yield person
    person.close()


def session_of(asked: Asked) -> ComparisonSession:
    closing = (getattr(close, "__self__", None) for close in asked.person.served.lab.at_close)
    (sessions,) = (one for one in closing if isinstance(one, OpenSessions))
    return sessions._open[asked.id]


def telling(asked: Asked, upstream: Front, received: list[str]) -> list[str]:
    """What is among the things received that must not be."""
    state = session_of(asked).state
    ids = [
        *state.positions,
        *state.conversations.values(),
        *(lane.id for lane in (*state.lanes, *state.removed)),
    ]
    assert len(ids) >= 8
    port = upstream.url.rpartition(":")[2]
    everything = "\n".join(received).lower()
    return [word for word in (*TELLING, *ids, f":{port}") if word.lower() in everything]


@pytest.mark.parametrize("reveal", ["together", "paced", "as they come"])
@pytest.mark.parametrize("mode", ["own", "shared"])
def test_nothing_that_a_browser_receives_names_a_lane_before_the_reveal(
    me: Person, upstream: Front, reveal: str, mode: str
) -> None:
    asked = me.begin(*LANES, blind=True, reveal=reveal, mode=mode)
    with Tab(asked) as tab:
        view = asked.ask(QUESTION)
        (asked_round,) = view["rounds"]
        assert [lane["name"] for lane in view["lanes"]] == list("ABCD") == list(asked_round["answers"])
        best = next(letter for letter, (one,) in asked_round["answers"].items() if "w29" in one["html"])
        asked.get(f"/rounds/{asked_round['id']}/difference?a=A&b=B")
        assert asked.get(f"/rounds/{asked_round['id']}/agreement")["spread"] == []
        asked.post("/votes", {"round": asked_round["id"], "criterion": "taste", "best": best})
        asked.post("/retry", {"round": asked_round["id"]})
        (asked_round,) = asked.ended()["rounds"]
        best = next(letter for letter, (one,) in asked_round["answers"].items() if "w29" in one["html"])
        if mode == "shared":
            asked.post("/pick", {"round": asked_round["id"], "lane": best})
            assert asked.view["rounds"][0]["picked"] == best
        asked.ask(f"{QUESTION} again")
        asked.post("/edit", {"round": asked_round["id"], "text": "w7"})
        (edited,) = asked.ended()["rounds"]
        assert edited["previous"] == asked_round["id"]
        asked.post("/checkout", {"round": asked_round["id"]})
        assert [one["votes"] for one in asked.view["rounds"]] == [{}, {}], "it was on other answers"
        asked.post("/checkout", {"round": edited["id"]})
        asked.post("/checkout", {"round": asked_round["id"]})
        if reveal == "as they come":
            for answer in (0, 1, 0):
                asked.post("/checkout", {"round": asked_round["id"], "lane": "B", "answer": answer})
            assert asked.view["rounds"][0]["given"] == {"A": [2, 2], "B": [1, 2], "C": [2, 2], "D": [2, 2]}
        else:
            me.refused(
                "POST", f"{asked.path}/checkout", {"round": asked_round["id"], "lane": "B", "answer": 0}
            )
            assert asked.view["rounds"][0]["given"] == {}
        for method, path, body in (
            *(("GET", f"/rounds/{asked_round['id']}/receipts", None), ("GET", "/ranking", None)),
            *(("GET", "/report", None), ("GET", "/lanes/A/recording", None), ("POST", "/shares", {})),
            *(
                ("POST", "/lanes/A/rerun", {}),
                ("POST", "/lanes/A/chat", {}),
                ("POST", "/order", {"lanes": ["A"]}),
            ),
            ("POST", "/lanes", {"backend": "x"}),
            ("PATCH", "/lanes/A", {"backend": "x"}),
            ("POST", "/stop", {"lane": session_of(asked).state.lanes[0].id}),
            ("DELETE", f"/lanes/{session_of(asked).state.lanes[0].id}", None),
        ):
            me.refused(method, f"{asked.path}{path}", body)
        me.get("/options")
        me.get("/sessions")
        me.http.get("/compare", params={"s": asked.id}, headers={"accept": "text/html"})
        me.http.get("/-/conversations")
        me.http.get("/-/conversations", params={"q": "w7"})
        # The addresses that were tried above have lane ids in them, which a browser cannot know.
        received = [one for one in me.received if "/stop" not in one and "/lanes/" not in one]
        assert telling(asked, upstream, [*received, *tab.raw]) == []
        asked.post("/reveal")
        tab.wait(lambda: not tab.named("view")[-1]["hidden"])
    assert set(telling(asked, upstream, tab.raw)) >= {"loquat", "grapefruit", "salak", '"figures"', "durian"}
    assert asked.view["rounds"][0]["answers"]


def test_answers_that_appear_together_are_told_in_one_event_after_the_last(me: Person) -> None:
    asked = me.begin(*LANES, blind=True, reveal="together")
    with Tab(asked) as tab:
        asked.ask(QUESTION)
        tab.wait(lambda: bool(tab.named("view")[-1]["rounds"]) and not tab.named("view")[-1]["running"])
        assert {name for _, name, _ in tab.events} == {"view"}
        for view in tab.named("view"):
            for asked_round in view["rounds"]:
                shown = [one for answers in asked_round["answers"].values() for one in answers]
                waiting = {one["status"] == "waiting" for one in shown}
                assert len(waiting) == 1
                if waiting == {True}:
                    assert all(one == {"status": "waiting", "html": ""} for one in shown)


def test_paced_answers_are_never_one_ahead_of_another(me: Person) -> None:
    asked = me.begin("kumquat", "medlar", {"backend": "tamarind"}, blind=True, reveal="paced")
    with Tab(asked) as tab:
        asked.ask(QUESTION)
        shown = dict.fromkeys("ABC", "")
        lengths = set()
        for paints in tab.named("paint"):
            for paint in paints:
                shown[paint["lane"]] = re.sub("<.*?>", "", paint["add"] + paint["tail"]).strip()
            assert len({len(text) for text in shown.values()}) == 1
            lengths.add(len(shown["A"]))
        assert len(lengths) > 3


@pytest.mark.parametrize("reveal", ["together", "paced"])
def test_a_lane_that_fails_in_its_answer_is_told_as_one_that_never_began(me: Person, reveal: str) -> None:
    asked = me.begin("kumquat", "durian", "medlar", blind=True, reveal=reveal, mode="shared")
    with Tab(asked) as tab:
        (asked_round,) = asked.ask(QUESTION)["rounds"]
        shown = dict.fromkeys("ABC", "")
        for paints in tab.named("paint"):
            for paint in paints:
                shown[paint["lane"]] = re.sub("<.*?>", "", paint["add"] + paint["tail"]).strip()
            assert len({len(text) for text in shown.values()}) == 1
    answers = {letter: one for letter, (one,) in asked_round["answers"].items()}
    (failed,) = (letter for letter, one in answers.items() if not one["html"])
    assert answers[failed] == {"status": "finished", "html": "", "error": "no answer", "names": False}
    told = asked.get(f"/rounds/{asked_round['id']}/agreement")["agreement"]
    assert list(told) == ["|".join(letter for letter in "ABC" if letter != failed)]
    status, sentence = me.refused("POST", f"{asked.path}/pick", {"round": asked_round["id"], "lane": failed})
    assert (status, "nothing to go on from" in sentence) == (409, True)
    asked.post("/reveal")
    (named,) = (one for (one,) in asked.view["rounds"][0]["answers"].values() if one["error"])
    assert "w4" in named["html"], "what had arrived is shown with the names"


@pytest.mark.parametrize("reveal", ["together", "paced"])
def test_one_lane_alone_is_not_asked_nor_stopped_where_its_time_would_tell(me: Person, reveal: str) -> None:
    asked = me.begin("kumquat", "tamarind", blind=True, reveal=reveal)
    (asked_round,) = asked.ask("one")["rounds"]
    for path, body in (
        ("ask", {"text": "x", "lanes": ["A"]}),
        ("retry", {"round": asked_round["id"], "lanes": ["A"]}),
        ("edit", {"round": asked_round["id"], "text": "x", "lanes": ["A"]}),
        ("stop", {"lane": "A"}),
    ):
        status, sentence = me.refused("POST", f"{asked.path}/{path}", body)
        assert (status, "Reveal the names first" in sentence) == (409, True)


def test_stopping_all_shows_of_each_no_more_than_of_the_slowest(me: Person) -> None:
    asked = me.begin("kumquat", "tamarind", blind=True, reveal="paced")
    with Tab(asked) as tab:
        asked.post("/ask", {"text": QUESTION})
        tab.wait(lambda: any(paint["tail"] for paints in tab.named("paint") for paint in paints))
        asked.post("/stop")
    one, other = asked.ended()["rounds"][0]["answers"].values()
    assert one == other


def test_an_answer_that_names_a_model_is_flagged_and_the_vote_is_marked(me: Person) -> None:
    asked = me.begin("kumquat", "medlar", blind=True)
    (asked_round,) = asked.ask("Say Loquat")["rounds"]
    flags = {letter: one["names"] for letter, (one,) in asked_round["answers"].items()}
    assert sorted(flags.values()) == [False, True]
    asked.post("/votes", {"round": asked_round["id"], "criterion": "taste", "best": "tie"})
    assert asked.view["rounds"][0]["votes"]["taste"]["marked"] == []
    asked.post("/reveal")
    (letter,) = (letter for letter, named in flags.items() if named)
    assert asked.view["rounds"][0]["votes"]["taste"]["marked"] == [f"{letter} names a model"]
    assert [one["names"] for (one,) in asked.view["rounds"][0]["answers"].values()].count(True) == 1


def test_the_flag_does_not_tell_which_of_two_lanes_has_a_name(me: Person) -> None:
    asked = me.begin("kumquat", {"backend": "kumquat", "label": "Mangosteen"}, blind=True)
    (asked_round,) = asked.ask("Say Mangosteen")["rounds"]
    assert [one["names"] for (one,) in asked_round["answers"].values()] == [True, True]


def test_lanes_get_their_letters_by_chance(me: Person) -> None:
    orders = set()
    for _ in range(40):
        asked = me.begin("kumquat", "medlar", blind=True)
        state = session_of(asked).state
        orders.add(tuple(state.letters[lane.id] for lane in state.lanes))
        if len(orders) == 2:
            return
    pytest.fail(f"40 sessions had the same letters: {orders}")
