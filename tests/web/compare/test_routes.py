"""What the comparison page asks for, over HTTP as a browser does it."""

from __future__ import annotations

import gc
import inspect
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from chatlab.cli import main
from chatlab.web.compare.routes import CompareRoutes
from chatlab.web.compare.shown_runs import runs_of
from tests.web.compare.client import Asked, Person, Tab
from tests.web.pages import Served

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c6360606060000000050001a5f64540"
    "0000000049454e44ae426082"
)
CONFIG = """\
version: 1
storage: {storage}
backends:
  alpha: {{kind: echo, label: Alpha, model: alpha-1, prices: {{input: 1, output: 2}}}}
  beta: {{kind: echo, label: Beta, model: beta-1, reply: "Something else is said here.", reasoning: I think,
          tools: [{{name: look, arguments: {{at: it}}, result: seen}}],
          citations: [{{title: The moon, url: "https://moon.example/a"}}]}}
  gamma: {{kind: echo, label: Gamma, rate: 400}}
  slow: {{kind: echo, label: Slow, rate: 4}}
  brisk: {{kind: echo, label: Brisk, rate: 100}}
  broken: {{kind: echo, label: Broken, fail: {{error: unavailable, after: 2}}, retries: 0}}
  textual: {{kind: openai, label: No pictures, model: some, base_url: "http://127.0.0.1:9/v1", retries: 0}}
compare: {{criteria: [correct, tone], reasons: [shorter]}}
"""
LONG = " ".join(f"word{n}" for n in range(200))


def storage(folder: Path) -> str:
    return f'{{url: "sqlite:{folder}/kept.db", files: {folder}/files, sharing: true}}'


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Served]]:
    running: list[Served] = []

    def begun(storage: str) -> Served:
        file = tmp_path_factory.mktemp("config") / "config.yaml"
        file.write_text(CONFIG.format(storage=storage), "utf-8")
        running.append(Served(file))
        return running[-1]

    yield begun
    for served in running:
        served.stop()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kept")


@pytest.fixture(scope="module")
def served(start: Callable[[str], Served], folder: Path) -> Served:
    return start(storage(folder))


@pytest.fixture
def me(served: Served) -> Iterator[Person]:
    person = Person(served)
    yield person
    person.close()


@pytest.fixture
def you(served: Served) -> Iterator[Person]:
    person = Person(served)
    yield person
    person.close()


def test_all_lanes_answer_one_message_and_each_answer_has_its_figures(me: Person) -> None:
    asked = me.begin("alpha", "beta", {"backend": "alpha", "label": "Short", "parameters": {"max_tokens": 2}})
    view = asked.ask("Why is the **sky** blue?")
    assert [lane["name"] for lane in view["lanes"]] == ["Alpha", "Beta", "Short"]
    assert view["title"] == "Why is the **sky** blue?"
    (asked_round,) = view["rounds"]
    assert asked_round["only"] is None
    assert asked_round["text_html"] == (
        '<div class="typed"><div dir="auto">Why is the **sky** blue?</div></div>'
    )
    answers = [asked_round["answers"][lane][0] for lane in asked.lanes]
    assert [re.sub("<.*?>", "", answer["html"]).strip() for answer in answers] == [
        *("Why is the sky blue?", "Something else is said here.", "Why is")
    ]
    assert [answer["figures"]["finish"] for answer in answers] == ["stop", "stop", "length"]
    assert answers[0]["figures"]["cost"] == pytest.approx((5 * 1 + 5 * 2) / 1_000_000)
    assert answers[0]["figures"]["total"] >= answers[0]["figures"]["first_token"] > 0
    assert [thought["title"] for thought in answers[1]["thoughts"]] == ["Thought"]
    (tool,) = answers[1]["tools"]
    assert (tool["name"], tool["result"]) == ("look", "seen")


def test_a_message_to_one_lane_leaves_the_others_as_they_are(me: Person) -> None:
    asked = me.begin("alpha", "gamma")
    first = asked.lanes[0]
    view = asked.ask("only you", lanes=[first])
    assert list(view["rounds"][0]["answers"]) == view["rounds"][0]["only"] == [first]
    view = asked.ask("both")
    assert [len(asked_round["answers"]) for asked_round in view["rounds"]] == [1, 2]
    receipts = asked.get(f"/rounds/{view['rounds'][1]['id']}/receipts")
    assert [len(one["receipt"]["messages"]) for one in receipts["receipts"]] == [3, 1]
    assert receipts["mismatches"] == []


def test_one_lane_is_stopped_while_the_others_go_on(me: Person) -> None:
    asked = me.begin("slow", "brisk")
    slow, brisk = asked.lanes
    with Tab(asked) as tab:
        asked.post("/ask", {"text": LONG})
        tab.wait(
            lambda: {paint["lane"] for paints in tab.named("paint") for paint in paints} == {slow, brisk}
        )
        asked.post("/stop", {"lane": slow})
        tab.wait(lambda: slow in [one["lane"] for one in tab.named("answer")])
        (stopped,) = (one for one in tab.named("answer") if one["lane"] == slow)
        assert stopped["answer"]["status"] == "stopped"
        assert stopped["running"]
        tab.wait(lambda: brisk in [one["lane"] for one in tab.named("answer")])
    answers = asked.view["rounds"][0]["answers"]
    assert answers[brisk][0]["status"] == "finished"
    assert "word199" in answers[brisk][0]["html"]
    assert "word0" in answers[slow][0]["html"]
    asked.post("/ask", {"text": LONG})
    asked.post("/stop")
    assert {
        one["status"] for lane in (slow, brisk) for one in asked.ended()["rounds"][1]["answers"][lane]
    } == {"stopped"}


def test_retry_edit_and_undo(me: Person) -> None:
    asked = me.begin("alpha", "gamma")
    first, second = asked.lanes
    (asked_round,) = asked.ask("one")["rounds"]
    turns = {lane: answers[0]["turn"] for lane, answers in asked_round["answers"].items()}
    asked.post("/retry", {"round": asked_round["id"], "lanes": [first]})
    (asked_round,) = asked.ended()["rounds"]
    assert asked_round["answers"][first][0]["turn"] != turns[first]
    assert asked_round["answers"][second][0]["turn"] == turns[second]
    asked.post("/edit", {"round": asked_round["id"], "text": "two"})
    (edited,) = asked.ended()["rounds"]
    assert edited["text"] == "two"
    assert (edited["version"], edited["versions"]) == (2, 2)
    assert (edited["previous"], edited["next"]) == (asked_round["id"], None)
    asked.post("/checkout", {"round": asked_round["id"]})
    (first_version,) = asked.view["rounds"]
    assert (first_version["text"], first_version["previous"]) == ("one", None)
    assert (first_version["next"], first_version["message"]) == (edited["id"], edited["message"])
    assert first_version["given"] == {first: [2, 2]}
    asked.post("/checkout", {"round": asked_round["id"], "lane": first, "answer": 0})
    (first_version,) = asked.view["rounds"]
    assert first_version["given"] == {first: [1, 2]}
    assert {lane: answers[0]["turn"] for lane, answers in first_version["answers"].items()} == turns
    asked.post("/checkout", {"round": edited["id"]})
    asked.ask("three")
    assert asked.post("/undo") == {"text": "three"}
    assert [one["text"] for one in asked.view["rounds"]] == ["two"]


def test_lanes_are_added_changed_swapped_moved_asked_again_and_removed(me: Person) -> None:
    asked = me.begin("alpha", "gamma")
    first, second = asked.lanes
    asked.ask("one")
    third = asked.post("/lanes", {"backend": "beta", "history_from": first})["lane"]
    view = asked.view
    assert view["rounds"][0]["copied"] == {third: "Alpha"}
    asked.post("/order", {"lanes": [third, first, second]})
    assert asked.lanes == [third, first, second]
    patch = me.send(
        "PATCH", f"{asked.path}/lanes/{first}", {"backend": "alpha", "label": "Again", "system": "Be kind"}
    )
    assert patch.json() == {"lane": first}
    swapped = me.send("PATCH", f"{asked.path}/lanes/{second}", {"backend": "beta"}).json()["lane"]
    assert swapped != second
    assert [lane["name"] for lane in asked.view["lanes"]] == ["Beta", "Again", "Beta (2)"]
    asked.post(f"/lanes/{swapped}/rerun")
    assert swapped in asked.ended()["rounds"][0]["answers"]
    assert me.send("DELETE", f"{asked.path}/lanes/{swapped}").status_code == 200
    assert asked.lanes == [third, first]


def test_in_shared_mode_all_go_on_from_the_picked_answer(me: Person) -> None:
    asked = me.begin("alpha", "beta", mode="shared")
    _, second = asked.lanes
    (asked_round,) = asked.ask("one")["rounds"]
    status, sentence = me.refused("POST", f"{asked.path}/ask", {"text": "two"})
    assert (status, sentence) == (409, "Pick the answer from which all lanes go on, then ask")
    asked.post("/pick", {"round": asked_round["id"], "lane": second})
    assert asked.view["rounds"][0]["picked"] == second
    last = asked.ask("two")["rounds"][-1]["id"]
    sent = [one["receipt"]["messages"] for one in asked.get(f"/rounds/{last}/receipts")["receipts"]]
    assert sent[0] == sent[1]
    assert sent[0][1]["parts"][0]["text"] == "Something else is said here."
    asked.post("/mode", {"mode": "own"})
    assert asked.view["mode"] == "own"


def test_votes_change_until_the_next_message_and_come_to_a_ranking(me: Person) -> None:
    asked = me.begin("alpha", "beta")
    first, second = asked.lanes
    (asked_round,) = asked.ask("one")["rounds"]
    assert asked.get("/ranking")["sentence"] == "There are no votes yet."
    ballot = {
        "round": asked_round["id"],
        "criterion": "tone",
        "best": first,
        "reasons": ["shorter"],
        "note": "well",
    }
    asked.post("/votes", ballot)
    asked.post("/votes", {**ballot, "best": second})
    vote = asked.view["rounds"][0]["votes"]["tone"]
    assert (vote["best"], vote["reasons"], vote["note"], vote["changes"]) == (second, ["shorter"], "well", 1)
    assert me.refused("POST", f"{asked.path}/votes", {**ballot, "criterion": "taste"})[0] == 409
    (tone,) = asked.get("/ranking")["criteria"]
    assert tone["criterion"] == "tone"
    assert {row["lane"] for row in tone["rows"]} == {"Alpha", "Beta"}
    asked.post("/lanes", {"backend": "gamma", "label": "Late"})
    (tone,) = asked.get("/ranking")["criteria"]
    assert {row["lane"] for row in tone["rows"]} == {"Alpha", "Beta"}
    assert "Without any judgement, and so without a place: Late." in tone["notes"]
    asked.post("/retry", {"round": asked_round["id"]})
    asked.ended()
    found = asked.get("/ranking")
    said = "Votes on answers that were asked anew or left behind since are not counted: 2."
    assert (found["sentence"], found["criteria"]) == (said, []), "as the report has it"
    asked.ask("two")
    status, sentence = me.refused("POST", f"{asked.path}/votes", ballot)
    assert (status, sentence) == (409, "A vote can be given and changed only until the next message")


def test_the_difference_and_agreement_of_two_answers(me: Person) -> None:
    asked = me.begin("alpha", "beta", "gamma")
    a, b, c = asked.lanes
    (asked_round,) = asked.ask("Something else was said there.")["rounds"]
    found = asked.get(f"/rounds/{asked_round['id']}/difference?a={a}&b={b}")
    assert {"kind": "only_a", "text": "was "} in found["spans"]
    assert (
        "".join(one["text"] for one in found["spans"] if one["kind"] != "only_a")
        == "Something else is said here."
    )
    assert found["agreement"] == 0.6
    agreement = asked.get(f"/rounds/{asked_round['id']}/agreement")
    assert agreement == {"agreement": {f"{a}|{b}": 0.6, f"{a}|{c}": 1.0, f"{b}|{c}": 0.6}, "spread": []}
    assert me.refused("GET", f"{asked.path}/rounds/{asked_round['id']}/difference?a={a}&b=nobody")[0] == 409


def test_repeats_show_their_spread_and_which_one_is_gone_on_from(me: Person) -> None:
    asked = me.begin("alpha", "gamma", repeats=3)
    first = asked.lanes[0]
    (asked_round,) = asked.ask("one two three")["rounds"]
    assert [len(answers) for answers in asked_round["answers"].values()] == [3, 3]
    (sooner, total) = asked.get(f"/rounds/{asked_round['id']}/agreement")["spread"]
    assert sooner["measure"] == "first token"
    assert [line.partition(":")[0] for line in total["lanes"]] == ["Alpha", "Gamma"]
    assert "not distinguishable" in total["differences"][0]
    asked.post("/pick", {"round": asked_round["id"], "lane": first, "repeat": 2})
    assert asked.view["rounds"][0]["chosen"][first] == 2


def test_a_receipt_says_what_was_sent_and_how_it_differs(me: Person) -> None:
    asked = me.begin("alpha", {"backend": "alpha", "parameters": {"max_tokens": 3}, "system": "Be brief"})
    (asked_round,) = asked.ask("one")["rounds"]
    found = asked.get(f"/rounds/{asked_round['id']}/receipts")
    plain, brief = (one["receipt"] for one in found["receipts"])
    assert [message["role"] for message in brief["messages"]] == ["system", "user"]
    assert plain["sha256"] != brief["sha256"]
    assert len(plain["sha256"]) == 64
    ((difference),) = found["differences"]
    assert "parameter max_tokens: not sent | 3" in difference["lines"]


def test_a_failed_lane_shows_its_error_beside_what_the_others_say(me: Person) -> None:
    asked = me.begin("broken", "alpha")
    broken, fine = asked.ask("one two three")["rounds"][0]["answers"].values()
    assert broken[0]["status"] == "failed"
    assert "one two" in broken[0]["html"]
    assert broken[0]["error"].startswith("Broken: echo was told to fail")
    assert asked.view["lanes"][0]["answers"] == "Broken"
    assert fine[0]["status"] == "finished"


def test_an_upload_is_checked_by_its_content_and_said_for_which_lanes_it_is_not(
    me: Person, you: Person
) -> None:
    asked = me.begin("alpha", "textual")

    def upload(content: bytes, name: str, kind: str, person: Person = me) -> Any:
        headers = {"x-chatlab": "1", "x-filename": name, "content-type": kind}
        path = f"/-/compare/uploads?session={asked.id}"
        return person.http.post(path, content=content, headers=headers)

    picture = upload(PNG, "dot.png", "image/png").json()
    assert picture["media_type"] == "image/png"
    assert picture["not_for"] == "dot.png (image/png) is not for No pictures: asked without it"
    assert upload(b"MZ\x90\x00" + bytes(200), "dot.png", "image/png").status_code == 422
    assert upload(PNG, "dot.png", "image/png", you).status_code == 404
    assert me.refused("POST", f"{asked.path}/ask", {"text": "x", "files": ["nothing"]})[0] >= 400
    with_yours = Asked(you, you.begin("alpha", "beta").id)
    assert you.refused("POST", f"{with_yours.path}/ask", {"text": "x", "files": [picture["id"]]})[0] >= 400
    view = asked.ask("", files=[picture["id"]])
    assert view["rounds"][0]["files"] == ["dot.png"]
    assert view["title"] == "dot.png"
    assert "with dot.png (image/png)" in asked.answers()[0]


def test_a_session_is_listed_renamed_deleted_and_brought_back(me: Person) -> None:
    asked = me.begin("alpha", "beta")
    asked.ask("one")
    asked.post("/title", {"title": "  My   own title "})
    assert [one["title"] for one in me.get("/sessions")["sessions"]] == ["My own title"]
    assert me.refused("POST", f"{asked.path}/title", {"title": "  "})[0] == 400
    with Tab(asked) as tab:
        assert me.send("DELETE", asked.path).status_code == 200
        tab.wait_ended()
    assert me.refused("GET", asked.path)[0] == 404
    assert me.get("/sessions")["sessions"] == []
    asked.post("/restore")
    view = asked.view
    assert view["title"] == "My own title"
    assert "one" in asked.answers()[0]


def test_a_session_leaves_the_page_as_a_report_a_recording_a_chat_and_a_link(me: Person, you: Person) -> None:
    asked = me.begin("alpha", "beta")
    asked.ask("Call 555 now, with sk-abcdef123456ghi or sk&#45;zyxwvu987654")
    report = me.send("GET", f"{asked.path}/report?format=html&redact=555")
    assert report.headers["content-type"].startswith("text/html")
    assert "script" not in report.headers["content-security-policy"]
    assert "Alpha" in report.text
    assert "555" not in report.text
    source = re.compile(r'<li><a title="https://moon.example/a"[^>]*>The moon</a>.*moon.example</a>')
    assert source.search(report.text)
    assert (
        "Source: The moon https://moon.example/a"
        in me.send("GET", f"{asked.path}/report?format=markdown").text
    )
    assert me.send("GET", f"{asked.path}/report?format=jsonl").text.count("\n") > 2
    assert me.refused("GET", f"{asked.path}/report?format=doc")[0] == 400
    recording = me.send("GET", f"{asked.path}/lanes/{asked.lanes[1]}/recording")
    assert '"kind": "text"' in recording.text or "else" in recording.text
    assert "555" in recording.text
    assert "abcdef123456" not in recording.text and "zyxwvu987654" not in recording.text
    chat = asked.post(f"/lanes/{asked.lanes[0]}/chat")["conversation"]
    assert chat in [one["id"] for one in me.http.get("/-/conversations").json()["conversations"]]
    token = asked.post("/shares")["token"]
    assert asked.get("/shares") == {"links": 1}
    link = f"/-/shared/comparison/{token}"
    shared = you.http.get(link)
    assert source.search(shared.text)
    assert "Call 555 now" in shared.text
    assert (
        "sandbox" in shared.headers["content-security-policy"]
        or "default-src 'none'" in shared.headers["content-security-policy"]
    )
    assert me.send("DELETE", f"{asked.path}/shares").json() == {"links": 0}
    assert you.http.get(link).status_code == 404


# -- who may


def test_all_that_a_person_exports_another_imports_and_goes_on_with(me: Person, you: Person) -> None:
    asked = me.begin("alpha", "beta", mode="own", blind=True)
    asked.ask("Which of you?")
    for file_format in ("jsonl", "markdown", "html"):
        told = me.http.get(f"/-/export?format={file_format}").text
        assert "Which of you?" in told and "names are still hidden" in told
        assert "Alpha" not in told and "Something else" not in told and "echo" not in told
    asked.post("/reveal")
    exported = me.http.get("/-/export?format=jsonl")
    done = you.http.post("/-/import", content=exported.content, headers={"x-chatlab": "1"}).json()
    assert (done["conversations"], done["comparisons"], done["problems"]) == (0, 1, [])
    (listed,) = you.get("/sessions")["sessions"]
    assert listed["id"] != asked.id and listed["title"] == "Which of you?"
    theirs = Asked(you, listed["id"])
    assert theirs.answers() == asked.answers()
    assert len(theirs.ask("And now?")["rounds"]) == 2 and len(asked.view["rounds"]) == 1


def test_a_stored_run_of_many_prompts_is_opened_on_the_page_by_whoever_imports_it(
    me: Person, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "p.txt").write_text("one two\nthree four\nfive six\n", "utf-8")
    config = str(tmp_path / "lab.yaml")
    Path(config).write_text(CONFIG.format(storage=storage(folder)), "utf-8")
    chosen = ("--lanes", "alpha,beta", "--prompts", f"{tmp_path}/p.txt", "--out", f"{tmp_path}/run")
    done = CliRunner().invoke(main, ("compare", config, "--json", *chosen))
    assert done.exit_code == 0, done.output
    found_id = json.loads(done.stdout)["comparison"]
    assert me.get("/sessions")["sessions"] == [], "it is nobody's on the page"
    assert me.refused("GET", f"/sessions/{found_id}")[0] == 404
    exported = CliRunner().invoke(main, ("export", config, "--comparison", found_id))
    taken = me.http.post("/-/import", content=exported.stdout_bytes, headers={"x-chatlab": "1"}).json()
    assert (taken["comparisons"], taken["problems"]) == (1, [])
    (listed,) = me.get("/sessions")["sessions"]
    run = Asked(me, listed["id"])
    assert [asked_round["text"] for asked_round in run.view["rounds"]] == [
        "one two",
        "three four",
        "five six",
    ]
    assert ["three four" in answer for answer in run.answers(1)] == [True, False]
    assert "Something else is said here." in run.answers(0)[1]


def test_a_run_is_opened_on_the_page_by_its_address(
    served: Served, me: Person, you: Person, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "p.jsonl").write_text('"one two"\n{"prompt": ["three", "four"]}\n', "utf-8")
    config = str(tmp_path / "lab.yaml")
    Path(config).write_text(CONFIG.format(storage=storage(folder)), "utf-8")
    chosen = ("--lanes", "alpha,beta", "--prompts", f"{tmp_path}/p.jsonl", "--out", f"{tmp_path}/run")
    done = CliRunner().invoke(main, ("compare", config, *chosen))
    assert f"on the page: chatlab serve {config} --run {tmp_path}/run" in done.stdout
    token = runs_of(served.lab).add(tmp_path / "run")
    opened = Asked(me, me.post(f"/runs/{token}")["id"])
    assert [asked_round["text"] for asked_round in opened.view["rounds"]] == ["one two", "three", "four"]
    assert "three" in opened.answers(1)[0] and "Something else" in opened.answers(1)[1]
    receipts = opened.get(f"/rounds/{opened.view['rounds'][0]['id']}/receipts")["receipts"]
    assert len(receipts) == 2 and opened.view["title"] == "Alpha and Beta on p.jsonl"
    assert me.post(f"/runs/{token}")["id"] == opened.id, "it is made once for each person"
    assert you.post(f"/runs/{token}")["id"] != opened.id
    assert len(opened.ask("And now?")["rounds"]) == 4
    assert me.refused("POST", "/runs/other")[0] == 404
    me.send("DELETE", opened.path)
    assert me.post(f"/runs/{token}")["id"] != opened.id


def test_nobody_else_reaches_anything_of_a_session(served: Served, me: Person, you: Person) -> None:
    asked = me.begin("alpha", "beta")
    (asked_round,) = asked.ask("mine alone")["rounds"]
    lane = asked.lanes[0]
    bodies = {
        "ask": {"text": "x"},
        "edit": {"round": asked_round["id"], "text": "x"},
        "retry": {"round": asked_round["id"]},
        "checkout": {"round": asked_round["id"]},
        "lanes": {"backend": "alpha"},
        "order": {"lanes": asked.lanes},
        "mode": {"mode": "own"},
        "pick": {"round": asked_round["id"], "lane": lane},
        "votes": {"round": asked_round["id"], "criterion": "tone", "best": lane},
        "title": {"title": "x"},
        lane: {"backend": "alpha"},
    }
    reached = 0
    # Deleting comes last: what it closes would hide that something else was open to anybody.
    for route in sorted(CompareRoutes(served.lab).routes(), key=lambda one: "DELETE" in (one.methods or ())):
        if "{id}" not in route.path:
            continue
        path = route.path.format(id=asked.id, lane=lane, round=asked_round["id"])
        for method in (route.methods or set()) - {"HEAD"}:
            body = bodies.get(path.rpartition("/")[2], {})
            assert you.refused(method, path, body)[0] == 404, (method, path)
            unknown = path.replace(asked.id, "unknown")
            assert you.refused(method, unknown, body) == you.refused(method, path, body)
            reached += 1
    assert reached > 25
    assert [one["text"] for one in asked.view["rounds"]] == ["mine alone"]
    assert asked.id not in you.send("GET", "/sessions").text


def test_nothing_changes_without_the_header_that_other_sites_cannot_send(served: Served, me: Person) -> None:
    asked = me.begin("alpha", "beta")
    tried = 0
    for route in CompareRoutes(served.lab).routes():
        names = {"id": asked.id, "lane": asked.lanes[0], "round": "x", "token": "x"}
        path = "/-/compare" + route.path.format(**names)
        for method in (route.methods or set()) - {"HEAD", "GET"}:
            answer = me.http.request(method, path, json={})
            assert (answer.status_code, answer.json()) == (403, {"error": "The header x-chatlab is missing"})
            tried += 1
    assert tried > 20


def test_a_client_without_a_cookie_is_told_what_to_do(served: Served, me: Person) -> None:
    me.http.cookies.clear()
    status, sentence = me.refused("GET", "/options")
    assert (status, "open the page first" in sentence) == (401, True)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("", {"lanes": [{"backend": "alpha"}]}),
        ("", {"lanes": [{"backend": "alpha"}] * 9}),
        ("", {"lanes": [{"backend": "nobody"}, {"backend": "alpha"}]}),
        ("", {"lanes": [{"backend": "alpha", "parameters": {"heat": 1}}, {"backend": "alpha"}]}),
        ("", {"lanes": [{"backend": "alpha", "parameters": {"max_tokens": "many"}}, {"backend": "alpha"}]}),
        ("", {"lanes": [{"backend": "alpha"}, {"backend": "beta"}], "mode": "other"}),
        ("", {"lanes": [{"backend": "alpha"}, {"backend": "beta"}], "repeats": 0}),
        ("", {"lanes": [{"backend": "alpha"}, {"backend": "beta"}], "more": 1}),
        ("", "text"),
        ("/ID/ask", {}),
        ("/ID/ask", {"text": 3}),
        ("/ID/ask", {"text": "x", "lanes": ["nobody"]}),
        ("/ID/ask", {"text": "x", "lanes": []}),
        ("/ID/edit", {"round": "none", "text": "x"}),
        ("/ID/retry", {"round": "none"}),
        ("/ID/undo", {}),
        ("/ID/checkout", {"round": "none"}),
        ("/ID/checkout", {"round": "none", "lane": "none", "answer": -1}),
        ("/ID/order", {"lanes": []}),
        ("/ID/mode", {"mode": None}),
        ("/ID/pick", {"round": "none", "lane": "none", "repeat": -1}),
        ("/ID/votes", {"round": "none", "criterion": "tone", "best": "tie"}),
        ("/ID/lanes/none/rerun", {}),
        ("/ID/lanes/none/chat", {}),
        ("/ID/lanes", {"backend": "alpha", "history_from": "none"}),
    ],
)
def test_what_cannot_be_done_is_refused_with_one_sentence(me: Person, path: str, body: Any) -> None:
    asked = me.begin("alpha", "beta")
    status, _ = me.refused("POST", "/sessions" + path.replace("ID", asked.id), body)
    assert 400 <= status < 500
    assert asked.view["rounds"] == []


# -- the news


def test_lanes_stream_at_once_with_at_most_twenty_paints_a_second_for_all_of_them(me: Person) -> None:
    asked = me.begin(*["brisk"] * 7, "alpha")
    with Tab(asked) as tab:
        asked.post("/ask", {"text": LONG})
        asked.ended()
        tab.wait(lambda: len(tab.named("answer")) >= 7)  # the eighth was done before it was painted
        paints = [(at, data) for at, name, data in tab.events if name == "paint"]
    first = {one["lane"]: at for at, data in reversed(paints) for one in data}
    assert len(first) >= 7
    begun = min(at for at, _ in paints)
    assert max(first.values()) - begun < 1.0  # of two seconds that the answers take
    took = paints[-1][0] - begun
    assert took > 1
    assert len(paints) <= 20 * took + 2
    quick = asked.lanes[-1]
    assert sum(quick in {one["lane"] for one in data} for _, data in paints) < 5  # it was done at once
    html: dict[str, str] = dict.fromkeys(asked.lanes, "")
    for _, data in paints:
        for one in data:
            html[one["lane"]] += one.get("add", "")
    assert not any(html.values())  # one paragraph: it was never settled, only its end was drawn anew
    for one in tab.named("answer"):
        assert "word199" in one["answer"]["html"]
    assert not any(paint["tail"] == "" for _, data in paints for paint in data if "tail" in paint)


def watched() -> int:
    """How many streams of news the server still writes."""
    found = (
        one for one in gc.get_objects() if inspect.isasyncgen(one) and one.__name__ in ("events", "read")
    )
    return sum(one.ag_frame is not None for one in found)


def test_two_tabs_see_the_same_and_leaving_one_leaves_nothing_behind(me: Person) -> None:
    asked = me.begin("alpha", "gamma")

    def ended(tab: Tab) -> bool:
        """By the last answer, or by the whole session where that changed with it."""
        views, answers = tab.named("view"), tab.named("answer")
        return any(one["rounds"] and not one["running"] for one in views) or any(
            not one["running"] for one in answers
        )

    with Tab(asked) as mine:
        with Tab(asked) as other:
            asked.post("/ask", {"text": "both see it"})
            for tab in (mine, other):
                tab.wait(lambda tab=tab: len(tab.named("answer")) + len(tab.named("view")) >= 3)
            asked.ended()
            for tab in (mine, other):
                tab.wait(lambda tab=tab: ended(tab))
            asked.post("/mode", {"mode": "shared"})
            for tab in (mine, other):
                tab.wait(lambda tab=tab: tab.named("view")[-1]["mode"] == "shared")
            assert mine.named("view")[-1] == other.named("view")[-1] == asked.view
        asked.post("/mode", {"mode": "own"})
        mine.wait(lambda: mine.named("view")[-1]["mode"] == "own")
    while watched():
        me.get("/options")  # the server notices in its own time


def test_a_silent_stream_says_that_all_is_well(me: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chatlab.web.compare.feed.HEARTBEAT", 0.05)
    asked = me.begin("alpha", "beta")
    with Tab(asked) as tab:
        while not any(line.startswith(": ") for line in tab.raw):
            me.get("/options")


# -- storage


def test_a_session_is_the_same_after_the_server_was_started_anew(
    start: Callable[[str], Served], tmp_path: Path
) -> None:
    first = start(storage(tmp_path))
    me = Person(first)
    asked = me.begin("alpha", "broken", "beta")
    (asked_round,) = asked.ask("one two three")["rounds"]
    asked.post("/votes", {"round": asked_round["id"], "criterion": "tone", "best": "tie"})
    asked.ask("more")
    before = asked.view
    receipts = asked.get(f"/rounds/{asked_round['id']}/receipts")
    first.stop()
    again = start(storage(tmp_path))
    later = Person(again)
    later.http.cookies = me.http.cookies
    reopened = Asked(later, asked.id)
    assert {**reopened.view, "seq": 0} == {**before, "seq": 0}  # what came last was the check of receipts
    assert reopened.get(f"/rounds/{asked_round['id']}/receipts") == receipts
    assert len(reopened.ask("and on")["rounds"]) == 3
    me.close()
    later.close()


def test_without_storage_a_session_lives_with_the_server(start: Callable[[str], Served]) -> None:
    me, you = (Person(served := start("none")), Person(served))
    assert me.get("/options")["storage"] is False
    asked = me.begin("alpha", "beta")
    asked.ask("kept in memory")
    asked.post("/title", {"title": "Mine"})
    assert "kept in memory" in asked.answers()[0]
    assert asked.view["title"] == "Mine"
    assert me.get("/sessions") == {"sessions": [], "next": None}
    assert me.refused("POST", f"{asked.path}/restore")[0] == 409
    assert me.refused("POST", f"{asked.path}/lanes/{asked.lanes[0]}/chat")[0] == 409
    assert me.refused("POST", f"{asked.path}/shares")[0] == 404
    assert you.refused("GET", asked.path)[0] == 404
    assert me.send("DELETE", asked.path).status_code == 200
    assert me.refused("GET", asked.path)[0] == 404
    me.close()
    you.close()


def test_a_chat_becomes_a_session_of_its_owner_alone(me: Person, you: Person) -> None:
    asked = me.begin({"backend": "alpha", "parameters": {"max_tokens": 2}}, "beta")
    asked.ask("Compare this")
    chat = asked.post(f"/lanes/{asked.lanes[0]}/chat")["conversation"]
    exported = me.http.get(f"/-/conversations/{chat}/export?format=jsonl").text
    (turn,) = (line["id"] for line in map(json.loads, exported.splitlines()) if line.get("user"))
    told = me.get(f"/chats/{chat}?turn={turn}")
    assert (told["lane"]["backend"], told["lane"]["parameters"]) == ("alpha", {"max_tokens": 2})
    wanted = {"lanes": [told["lane"], {"backend": "beta"}], "conversation": chat, "turn": turn, "blind": True}
    begun = Asked(me, me.post("/sessions", wanted)["id"])
    view = begun.ended()
    assert view["title"] == told["title"] and not view["hidden"]
    (only,) = view["rounds"]
    assert only["text"] == "Compare this" and not only["mismatches"]
    assert [len(only["answers"][lane]) for lane in begun.lanes] == [1, 1]
    assert me.refused("GET", f"/chats/{chat}?turn=other")[0] == 409
    assert you.refused("GET", f"/chats/{chat}?turn={turn}")[0] == 404
    assert you.refused("POST", "/sessions", wanted)[0] == 404
