"""Reports: one file that loads nothing, with everything a comparison came to in it."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import operator
import re
import signal
from collections import Counter
from dataclasses import replace
from functools import partial
from html.parser import HTMLParser

import pytest

from chatlab.compare.model import Check, Lane, Vote
from chatlab.compare.model_json import comparison_from_json
from chatlab.compare.report import report, session_recording, session_report
from chatlab.compare.report.apart import ReportsBusy, ReportTooLong, is_long, redacted_report, written_apart
from chatlab.compare.report.from_session import comparison_of
from chatlab.compare.report.recording import lane_recording
from chatlab.compare.session.events import Opened, SessionError
from chatlab.compare.session.session import ComparisonSession
from chatlab.compare.statistics.judgements import from_votes
from chatlab.compare.statistics.ranking import rank
from chatlab.compare.statistics.summary import differences
from chatlab.compare.statistics.votes_csv import from_csv
from chatlab.config.limits import ReportLimits
from chatlab.errors import StoreError
from chatlab.known_secrets import remember
from chatlab.messages import Message, TextPart
from chatlab.redaction.texts import WrongPattern, parse_patterns
from tests.compare.report.samples import LANES, comparison, run_of_many
from tests.compare.session.scripted import script, scripted


class Page(HTMLParser):
    """A document as its elements and texts."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.pieces: list[str] = []
        self.open: list[str] = []
        self.unclosed: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in ("meta", "img", "br", "hr", "input"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.unclosed.append(tag)

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.pieces.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.pieces).split())


def test_the_page_has_no_script_and_loads_nothing() -> None:
    page = Page(report(comparison()))
    assert not page.tags.keys() & {"script", "link", "iframe", "object", "embed", "form", "base"}
    assert not [name for _, name, _ in page.attributes if name.startswith("on") or name == "srcset"]
    sources = [value for _, name, value in page.attributes if name in ("src", "data", "poster")]
    assert len(sources) == 1 and sources[0].startswith("data:image/png;base64,")
    assert all(value.startswith("#") for _, name, value in page.attributes if name == "href")
    assert "url(" not in report(comparison()) and "@import" not in report(comparison())
    assert not page.unclosed and not page.open


def test_everything_of_the_comparison_is_on_the_page() -> None:
    whole = comparison()
    page = Page(report(whole))
    for result in whole.results:
        assert result.turn.user.text in page.text
        assert f"{result.item[1:]} of {result.turn.backend}" in page.text
        assert result.receipt is not None and result.receipt.sha256 in page.text
        assert all(name in page.text for name in (*result.turn.parameters, result.receipt.endpoint or ""))
    for vote in whole.votes:
        assert f"“{vote.note}”" in page.text and "(blind)" in page.text and "clear" in page.text
    for sentence in (
        *(
            "2026-11-21 09:30 UTC",
            "own history",
            "parallel:",
            "Blindyes",
            "Be brief.",
            "gpt-2026",
            *whole.notes,
        ),
        *("thought hard", "Qwen is not reachable", "seed was ignored", *whole.mismatches),
        *("✓ contains sky: it says", "0.000428", "chatlab 9.9", "no preference: it flipped with the order"),
        *("The exact request", "parameter temperature: not sent | 0.2", "message 1 (system)", " kB, made by"),
        *("first token: GPT mini is sooner than Qwen", "Votes and judge agree on", "Position (a session"),
    ):
        assert sentence in page.text, sentence
    assert page.tags["svg"] >= 2 * 5 + 2 * 2  # every lane in every figure, and in both rankings


def test_what_people_and_models_wrote_is_text_and_never_markup() -> None:
    evil = "<script>alert(1)</script> <img src=x onerror=alert(1)> ![p](https://evil.example/p) </div></html>"
    whole = comparison(1, title=evil, notes=(evil,), mismatches=(evil,))
    results = tuple(
        replace(one, item=evil, tags=(evil,), turn=replace(one.turn, answer=(TextPart(evil),), error=evil))
        for one in whole.results
    )
    lanes = tuple(replace(lane, label=f"{evil}{lane.id}", system=evil) for lane in LANES)
    votes = tuple(replace(vote, round=evil, voter=evil, note=evil, criterion=evil) for vote in whole.votes)
    page = Page(report(replace(whole, results=results, lanes=lanes, votes=votes)))
    assert "script" not in page.tags and not page.unclosed and not page.open
    assert not [
        value for _, name, value in page.attributes if name == "src" and "data:image/png" not in value
    ]
    markdown = report(replace(whole, results=results, lanes=lanes, votes=votes), "markdown")
    outside = re.sub(r"^```text$.*?^```$", "", markdown, flags=re.M | re.S)
    assert not re.search(r"(?<!\\)<(?:script|img)", outside) and not re.search(r"(?<!\\)\]\(", outside)
    assert outside.count("alert") > 10


def test_the_ranking_is_that_of_one_criterion_and_source_at_a_time() -> None:
    whole = comparison()
    more = tuple(replace(vote, criterion="tone", best="l2") for vote in whole.votes)
    page = Page(report(replace(whole, votes=(*whole.votes, *more))))
    names = {lane.id: lane.label for lane in LANES}
    for criterion, votes in (("overall", whole.votes), ("tone", more)):
        ranking = rank(from_votes(votes, names, session="s1"))
        assert f"{criterion}: ranking by votes" in page.text
        for note in ranking.notes:
            assert note in page.text
        for pair in ranking.pairs:
            assert str(pair) in page.text
        for one in ranking.lanes:
            strength = f"{one.strength:+.2f} ({one.interval.low:+.2f} to" if one.interval else ""
            assert strength.replace("-", "−") in page.text
    assert re.search("−[0-9]", page.text) and not re.search(r"[ (]-[0-9]", page.text)
    assert "pooled" not in page.text
    assert "overall: ranking by the judge's verdicts" in page.text


def test_a_lane_that_nobody_judged_is_named_in_the_ranking_as_such() -> None:
    whole = comparison()
    page = Page(report(replace(whole, lanes=(*LANES, Lane("l3", "down", "Always down")))))
    assert page.text.count("Without any judgement, and so without a place: Always down.") == 2
    assert "Always downnever judged" in page.text and "2 lanes, judged on 8 prompts" in page.text
    assert "groups with none between them" not in page.text


def test_a_judge_that_likes_the_longer_or_the_first_answer_is_told_by_the_audit() -> None:
    whole = comparison(8)
    results = tuple(
        replace(one, turn=replace(one.turn, answer=(TextPart("long " * (9 if one.lane == "l1" else 2)),)))
        for one in whole.results
    )
    held, flipped = ("first", "second"), ("first", "first")
    verdicts = tuple(replace(one, winner="l1", preferred=held) for one in whole.verdicts)
    made = report(replace(whole, results=results, verdicts=verdicts, votes=()))
    assert (
        "Length (a prompt counts once): in 8 of 8, most preferences were for an answer that was longer "
        "(100%, 95% interval 68% to 100%, p = 0.0078)." in Page(made).text
    )
    assert "Order: no preference tells; neither 8, unknown 0. 0 of 8 verdicts flipped" in Page(made).text
    verdicts = tuple(replace(one, winner="flip", preferred=flipped) for one in whole.verdicts)
    text = Page(report(replace(whole, results=results, verdicts=verdicts, votes=()))).text
    assert (
        "Order (a prompt counts once): in 8 of 8, most preferences were for an answer that was shown first"
        in text
    )
    assert "8 of 8 verdicts flipped with the order." in text
    old = Page(report(replace(whole, votes=()))).text
    assert "Order: no preference tells; neither 0, unknown 8. 1 of 8 verdicts flipped with the order." in old


def test_the_length_of_a_conversation_is_that_of_all_its_answers() -> None:
    whole = comparison(1)
    last = tuple(
        replace(one, step=1, turn=replace(one.turn, answer=(TextPart("x" * size),)))
        for one, size in zip(whole.results, (5, 500), strict=True)
    )
    made = report(replace(whole, mode=None, session="", results=(*whole.results, *last)), "votes")
    for row in csv.DictReader(io.StringIO(made)):
        assert int(row["length_b"]) - int(row["length_a"]) > 480, row["source"]


def test_the_report_begins_with_who_is_ahead_in_what_and_how_sure_that_is() -> None:
    whole = run_of_many(3)
    text = Page(report(whole)).text
    summary = text[text.index("Summary") : text.index("Prompt by prompt")]
    assert "3 lanes answered 12 prompts on 2026-11-21: 36 answers, of which 1 did not finish." in text
    for said in (
        "answers that passGPT mini: 92% (95% interval 65% to 99%)more often right than Haiku; "
        "not distinguishable from Qwen 8B (local)",
        "first tokenGPT mini: 116 ms, mediansooner than all others",
        "totalGPT mini: 465 ms, medianfaster than all others",
        "cost of an answerGPT mini: 0.0000465 on averagecheaper than all others",
        "overall, by the judge's verdictsGPT mini: won 12, lost 0, neither 0preferred to Haiku",
    ):
        assert said in summary, summary
    assert text.index("Summary") < text.index("Prompt by prompt") < text.index("How it was made")
    assert "Judge judge-112 verdicts, cost 3" in text
    alone = Page(report(run_of_many(1))).text
    assert "Summary" not in alone and "1 lane answered 12 prompts" in alone
    two = Page(report(run_of_many(2))).text
    assert "GPT mini is faster than Haiku by 1 s (95% interval 1 s to 1 s; 12 prompts)" in two


def test_two_lanes_that_are_alike_are_said_to_be_so_at_the_beginning() -> None:
    whole = run_of_many(2)
    same = tuple(replace(one, turn=whole.results[0].turn, checks=()) for one in whole.results)
    text = Page(report(replace(whole, results=same, verdicts=()))).text
    assert "totalGPT mini: 410 ms, mediannot distinguishable from Haiku" in text


def test_every_prompt_stands_with_what_every_lane_did_with_it() -> None:
    made = report(run_of_many(3))
    rows = re.findall(r'<tr(?: class="([a-z ]+)")?><th scope="row"><a href="#item-(\d+)">', made)
    assert [int(number) for _, number in rows] == list(range(1, 13))
    marks = {int(number): kinds for kinds, number in rows}
    assert [number for number, kinds in marks.items() if "failing" in kinds] == [2, 3, 4, 5, 6, 8, 9, 10, 12]
    assert [number for number, kinds in marks.items() if "differing" in kinds] == [2, 3, 4, 5, 8, 9, 10, 12]
    text = Page(made).text
    assert "only where a lane failed (9)" in text and "only where the lanes' checks differ (8)" in text
    assert "line✓ passed won 1✓ passednot finished" in text
    markdown = report(run_of_many(3), "markdown")
    row = "| 5 Question 5, which is long enough to be more than a line | ✓ passed won 1 | ✓ passed | "
    assert row + "not finished |" in markdown
    assert markdown.index("## Summary") < markdown.index("## Prompt by prompt") < markdown.index("## Lanes")


def test_without_checks_prompts_differ_where_wins_or_answers_do() -> None:
    whole = run_of_many(2)
    bare = tuple(replace(one, checks=()) for one in whole.results)
    won = Page(report(replace(whole, results=bare, verdicts=whole.verdicts[:4])))
    assert "only where the lanes' wins differ (4)" in won.text and "a lane failed" not in won.text
    texts = Page(report(replace(whole, results=bare, verdicts=())))
    assert "only where the lanes' answers differ (5)" in texts.text


def test_a_changed_vote_counts_once() -> None:
    whole = comparison(1)
    first = whole.votes[0]
    later = replace(first, best="l2", at=first.at.replace(hour=10), note="second thoughts")
    page = Page(report(replace(whole, votes=(first, later))))
    assert "second thoughts" in page.text and "note 1" not in page.text


def test_repeats_are_shown_and_noise_is_called_noise() -> None:
    whole = comparison(7)
    again = tuple(
        replace(one, repeat=1, turn=replace(one.turn, id=one.turn.id + "-2")) for one in whole.results
    )
    page = Page(report(replace(whole, results=(*whole.results, *again), repeats=2, votes=(), verdicts=())))
    assert "Repeat 2 of 2" in page.text and "Spread over repeats" in page.text
    assert "answers that pass: not distinguishable, since" in page.text


def test_six_checks_passed_of_six_against_none_have_an_interval_of_some_width() -> None:
    whole = comparison(6, votes=(), verdicts=())
    results = tuple(
        replace(
            one,
            turn=replace(one.turn, status="finished"),
            checks=(Check("right", one.lane == "l1", float(one.lane == "l1")),),
        )
        for one in whole.results
    )
    said = "GPT mini is more often right than Qwen by 100% (95% interval 8% to 100%; 6 prompts)"
    assert said in Page(report(replace(whole, results=results))).text


def test_the_messages_of_one_conversation_are_one_observation() -> None:
    whole = comparison(8)
    steps = tuple(replace(one, item="r1", step=int(one.item[1:]) - 1) for one in whole.results)
    (said,) = (found for name, found in differences(replace(whole, results=steps)) if name == "total")
    assert "there is only 1 shared prompt and 1 repeat, and it takes 6 of either" in str(said[0])
    assert "7 prompts" in str(dict(differences(whole))["total"][0])


def test_thousands_of_answers_make_a_page_of_a_size_that_is_said() -> None:
    whole = comparison(400, votes=(), verdicts=())
    made = report(whole)
    assert made.count('<article class="answer') == 800
    assert f"{len(made.encode()) / 1e6:.1f} MB" in made and len(made) < 3_000 * 800
    assert 'class="many"' in made


def test_requests_beyond_the_bound_are_left_out_and_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chatlab.compare.report.sent._MOST_REQUESTS", 1000)
    whole = comparison(4)
    page = Page(report(whole))
    assert "leaves out" in page.text and "left out here for its size" in page.text
    assert all(one.receipt is not None and one.receipt.sha256 in page.text for one in whole.results)


def test_markdown_has_the_same_and_keeps_answers_as_they_are() -> None:
    whole = comparison()
    made = report(whole, "markdown")
    for one in whole.results:
        assert one.turn.user.text in made and one.receipt is not None and one.receipt.sha256 in made
        assert "".join(part.text for part in one.turn.answer if isinstance(part, TextPart)) in made
    assert "| GPT mini | 8 |" in made and "## overall: ranking by votes" in made


def test_the_lines_of_json_are_the_whole_comparison() -> None:
    whole = comparison()
    lines = [json.loads(line) for line in report(whole, "jsonl").splitlines()]
    head = lines[0]
    assert head["type"] == "comparison"
    again = {
        **head,
        **{
            f"{kind}s": [one for one in lines if one["type"] == kind]
            for kind in ("result", "vote", "verdict")
        },
    }
    assert comparison_from_json(again) == whole


def test_votes_are_written_as_arena_tools_read_them() -> None:
    made = report(comparison(), "votes")
    rows = list(csv.DictReader(io.StringIO(made)))
    assert [row["winner"] for row in rows[:5]] == ["model_a", "model_a", "model_a", "model_b", "tie"]
    assert {row["model_a"] for row in rows} == {"GPT mini"}
    assert len(from_csv(made)) == len(rows) == 16


# -- sessions of the page


async def asked(*names: str, **opened: object) -> tuple[ComparisonSession, str]:
    backends = scripted(*names)
    session = await ComparisonSession.create(backends, list(backends), owner="me", opened=Opened(**opened))  # type: ignore[arg-type]
    asked_round = await session.ask("First question")
    await session.settled()
    return session, asked_round


async def test_a_session_can_be_reported_with_its_votes() -> None:
    session, asked_round = await asked("a", "b")
    await session.vote(asked_round, session.state.lanes[0].id, voter="browser-0123", note="it is better")
    page = Page(await session_report(session, title="A session"))
    await session.aclose()
    assert "A session" in page.text and "First question" in page.text and "own history" in page.text
    assert "Vote of voter 1, overall: a" in page.text and "it is better" in page.text
    assert "browser-0123" not in page.text
    for receipt in session.receipts(asked_round).values():
        assert receipt.sha256 in page.text


async def test_a_blind_session_has_no_report_before_its_names_are_shown() -> None:
    session, _ = await asked("a", "b", blind=True)
    with pytest.raises(SessionError, match="Reveal the names"):
        await session_report(session)
    await session.reveal()
    page = Page(await session_report(session))
    assert "Blindyes" in page.text and page.text.startswith("Comparison of a and b")
    await session.aclose()


async def test_what_was_left_behind_is_not_in_it_and_counted() -> None:
    session, asked_round = await asked("a", "b")
    await session.vote(asked_round, "tie", voter="me")
    await session.retry(asked_round)
    await session.settled()
    page = Page(await session_report(session))
    assert "Votes on answers that were asked anew or left behind since are not counted: 1." in page.text
    assert "ranking by votes" not in page.text
    await session.edit(asked_round, "Second question")
    await session.settled()
    page = Page(await session_report(session))
    await session.aclose()
    assert "Second question" in page.text and "First question" not in page.text
    assert "Messages that were edited or taken back, and so left behind, are not in it: 1." in page.text


async def test_lanes_that_were_removed_or_changed_are_told_apart_and_said() -> None:
    session, _ = await asked("a", "b", "c")
    (gone, *_) = session.state.lanes
    await session.remove_lane(gone.id)
    page = Page(await session_report(session))
    await session.aclose()
    assert "Removed in the course of the session: a." in page.text and "Lanesb, c, a" in page.text


async def test_a_failed_answer_is_in_the_report_of_a_session() -> None:
    backends = scripted("a", "b")
    script(backends, "b").fail = "middle"
    session = await ComparisonSession.create(backends, list(backends), owner="me")
    await session.ask("Hello")
    await session.settled()
    page = Page(await session_report(session))
    await session.aclose()
    assert "told to fail" in page.text and "2, of which 1 did not finish" in page.text


async def test_answers_that_still_come_are_left_out_and_said() -> None:
    backends = scripted("a", "b")
    script(backends, "b").hold = hold = asyncio.Event()
    session = await ComparisonSession.create(backends, list(backends), owner="me")
    await session.ask("Hello")
    await script(backends, "b").half.wait()
    while session.running(session.state.lanes[0].id):
        await asyncio.sleep(0)
    page = Page(await session_report(session))
    hold.set()
    await session.settled()
    await session.aclose()
    assert "Answers that were still being given are not in it: 1." in page.text


def test_a_vote_for_a_lane_that_is_gone_breaks_nothing() -> None:
    whole = comparison(1)
    vote = replace(whole.votes[0], shown=("l1", "gone"), best="gone")
    assert (
        isinstance(vote, Vote)
        and "a lane that was removed" in Page(report(replace(whole, votes=(vote,)))).text
    )


def test_a_comparison_without_any_answer_can_be_reported() -> None:
    page = Page(report(comparison(1, results=(), votes=(), verdicts=())))
    assert "Answers0" in page.text
    assert Message.of("user", "x").text not in report(
        comparison(1, results=(), votes=(), verdicts=()), "votes"
    )


async def test_a_long_report_is_written_apart_as_any_other_and_without_what_only_the_server_knows() -> None:
    remember("correct-horse-battery-staple-9")
    backends = scripted("a")
    session = await ComparisonSession.create(backends, ["a"], owner="me", opened=Opened())
    await session.ask("correct-horse-battery-staple-9 ann@example.org " + "words " * 60_000)
    await session.settled()
    found = comparison_of(session, title="Long")
    assert is_long(found) and not is_long(replace(found, results=()))
    patterns = ["email"]
    apart = asyncio.create_task(session_report(session, "markdown", patterns, title="Long"))
    assert await apart == await asyncio.to_thread(report, found, "markdown", parse_patterns(patterns))
    assert "[redacted: email]" in apart.result() and "battery" not in apart.result()
    with pytest.raises(WrongPattern, match="pattern 1 takes too long"):
        await session_report(session, "markdown", [r"(words |wor|ds )+x"], title="Long")
    lane = session.state.lanes[0].id
    assert await session_recording(session, lane, title="Long") == lane_recording(found, lane)


def long_work() -> partial[str]:
    """The writing of a report."""
    return partial(redacted_report, comparison(1), "markdown", ())


async def test_a_report_beyond_a_limit_is_ended_with_a_sentence_that_names_the_limit() -> None:
    with pytest.raises(ReportTooLong, match=r"more than 0.01 s \(limits.reports.seconds\)"):
        await written_apart(long_work(), ReportLimits(seconds=0.01))
    large = partial(operator.mul, "x", 1_000_000_000)
    with pytest.raises(ReportTooLong, match=r"more than 300 MB of memory \(limits.reports.memory_mb\)"):
        await written_apart(large, ReportLimits(memory_mb=300))
    assert await written_apart(long_work(), ReportLimits())


async def test_who_would_wait_for_too_many_reports_is_told_to_come_back() -> None:
    limits = ReportLimits(waiting=1)
    asked = [asyncio.create_task(written_apart(long_work(), limits)) for _ in range(4)]
    told = await asyncio.gather(*asked, return_exceptions=True)
    assert [isinstance(one, ReportsBusy) for one in told] == [False, False, True, True]
    assert told[0] == told[1] == await written_apart(long_work(), limits)


async def test_a_report_whose_process_is_killed_is_an_error_and_the_next_one_is_written() -> None:
    with pytest.raises(StoreError, match="ended with -9"):
        await written_apart(partial(signal.raise_signal, signal.SIGKILL), ReportLimits())  # type: ignore[arg-type]
    assert await written_apart(long_work(), ReportLimits())
