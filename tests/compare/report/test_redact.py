"""What is taken out of a comparison: everywhere, said where, and in bounded time."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from dataclasses import replace
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatlab.compare.figures import Figures, StoredResults, figures_of
from chatlab.compare.model import Comparison
from chatlab.compare.report import Format, report
from chatlab.compare.report.recording import lane_recording
from chatlab.compare.report.redact import redacted
from chatlab.messages import FilePart, Message, TextPart, ToolCall, ToolResult
from chatlab.redaction.patterns import BUILT_IN
from chatlab.redaction.texts import WrongPattern, parse_patterns
from chatlab.secret import remember
from chatlab.shown_text import replaced, spans_of, ways_to_see
from tests.compare.report.samples import LANES, WHEN, comparison, result, run_of_many


@pytest.mark.parametrize(
    ("name", "text", "left"),
    [
        ("email", "write to ann.b+c@mail.example.org.", "write to [redacted: email]."),
        ("email", "@home and a@b are none", "@home and a@b are none"),
        ("phone", "call +49 30 1234567 or (555) 123-4567", "call [redacted: phone] or [redacted: phone]"),
        ("phone", "on 2026-11-21 there were 12345678", "on 2026-11-21 there were 12345678"),
        ("iban", "to DE44 5001 0517 5407 3249 31, please", "to [redacted: iban], please"),
        ("iban", "GB29NWBK60161331926819", "[redacted: iban]"),
        ("ipv4", "at 10.0.0.1.", "at [redacted: ipv4]."),
        ("ipv4", "version 1.2.3 and 1.2.3.4.5 and 1.2.3.456", "version 1.2.3 and 1.2.3.4.5 and 1.2.3.456"),
        ("url-userinfo", "postgres://me:pw@host/db", "postgres://[redacted: url-userinfo]@host/db"),
        ("api-key", "AKIAABCDEFGHIJKLMNOP", "[redacted: api-key]"),
        ("api-key", "ghp_" + "a" * 36, "[redacted: api-key]"),
        ("api-key", "AKI\u0410ABCDEFGHIJKLMNOP", "[redacted: api-key]"),
        ("iban", "\u0412E71 0961 2345 6769", "[redacted: iban]"),
        ("email", "jane dot roe at mail dot host dot com.", "[redacted: email]."),
    ],
)
def test_the_patterns_with_a_name_find_what_they_are_for(name: str, text: str, left: str) -> None:
    found = redacted(comparison(1, title=text), parse_patterns([name]))
    assert found.title == left


def spread_everywhere(secret: str) -> Comparison:
    """A comparison that has a word in every place a text can stand in."""
    prompt = Message(
        "user", (TextPart(f"I am {secret}"), FilePart("text/plain", secret, data=secret.encode()))
    )
    answer = (
        TextPart(f"Hello {secret}"),
        ToolCall("1", "look_up", f'{{"who": "{secret}"}}'),
        ToolResult("1", f"{secret} is known", "look_up"),
    )
    system = f"You talk to {secret}"
    lanes = tuple(replace(lane, label=f"{secret} {lane.id}", system=system) for lane in LANES)
    base = comparison(1)
    results = tuple(
        replace(
            result(lane, secret, prompt, "x", 1.0, answer=answer, error=f"no {secret}", asked_by=secret),
            tags=(secret,),
        )
        for lane in lanes
    )
    votes = tuple(
        replace(vote, round=secret, voter=secret, note=f"by {secret}", reasons=(secret,))
        for vote in base.votes
    )
    verdicts = tuple(replace(one, item=secret, reasons=(secret, secret)) for one in base.verdicts)
    notes = (f"{secret} was here",)
    return comparison(
        1,
        title=f"Of {secret}",
        lanes=lanes,
        results=results,
        votes=votes,
        verdicts=verdicts,
        notes=notes,
        mismatches=notes,
    )


@pytest.mark.parametrize("form", ["html", "markdown", "jsonl", "votes"])
def test_what_matches_is_nowhere_in_any_format_and_its_places_are_said(form: Format) -> None:
    whole = spread_everywhere("Zaphod")
    assert "Zaphod" in report(whole, form)
    patterns = parse_patterns(["(?i)zaphod"])
    assert "zaphod" not in report(whole, form, patterns).lower()
    found = redacted(whole, patterns).redacted
    places = {what.partition(" in ")[2] for what in found}
    assert {"prompts", "receipts", "votes", "verdicts", "lanes", "the title", "notes"} <= places
    assert found["pattern 1 in the title"] == 1
    assert any(what.startswith("attachment in ") for what in found)
    if form in ("html", "markdown"):
        made = report(whole, form, patterns)
        assert "pattern 1 in the title: 1" in made.replace("\\", "")
        assert "those of what was really sent" in made


def test_the_hashes_stay_those_of_what_was_sent_and_what_is_counted_stays_countable() -> None:
    whole = spread_everywhere("Zaphod")
    found = redacted(whole, parse_patterns(["Zaphod"]))
    for before, after in zip(whole.results, found.results, strict=True):
        assert before.receipt is not None and after.receipt is not None
        assert after.receipt.sha256 == before.receipt.sha256
        assert after.turn.timing == before.turn.timing
        assert after.turn.status == before.turn.status
    assert {vote.round for vote in found.votes} == {one.item for one in found.results}
    assert len({lane.label for lane in found.lanes}) == 2


def test_names_that_become_the_same_stay_apart() -> None:
    votes = comparison(2).votes
    voters = ("ann@a.example", "bob@b.example")
    found = redacted(
        comparison(2, votes=tuple(replace(v, voter=w) for v, w in zip(votes, voters, strict=True))),
        parse_patterns(["email"]),
    )
    assert [vote.voter for vote in found.votes] == ["[redacted: email]", "[redacted: email] 2"]


def test_a_pattern_that_finds_nothing_says_so() -> None:
    assert redacted(comparison(1), parse_patterns(["iban"])).redacted["iban"] == 0
    assert "iban: not found" in report(comparison(1), "html", parse_patterns(["iban"]))


def test_credentials_go_without_being_asked_for() -> None:
    remember("a<secret>&value")
    prompt = Message.of("user", "use a<secret>&value or sk-abcdef123456")
    whole = comparison(
        results=(result(LANES[0], "r1", prompt, "```python\nkey = 'sk-abcdef123456'\n```", 1.0),)
    )
    for form in ("html", "markdown", "jsonl"):
        made = report(whole, form)
        assert "abcdef123456" not in made
        assert "secret" not in made.split("<body>")[-1]
    assert redacted(whole).redacted["credential in prompts"] == 2


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [("(", "is not a regular expression"), ("x*", "matches an empty text"), ("", "matches an empty text")],
)
def test_a_pattern_that_cannot_be_used_is_refused(pattern: str, problem: str) -> None:
    with pytest.raises(WrongPattern, match=problem):
        parse_patterns([pattern])


def test_a_pattern_that_takes_forever_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chatlab.redaction.texts._LONGEST", 0.3)
    began = time.monotonic()
    with pytest.raises(WrongPattern, match="takes too long"):
        redacted(comparison(1, title="x" * 3_000), parse_patterns(["(x+x+)+y"]))
    assert time.monotonic() - began < 20


def test_the_patterns_with_a_name_are_quick_on_texts_made_to_be_slow() -> None:
    texts = [
        "a@" * 30_000,
        "9 " * 30_000,
        "a." * 30_000,
        "+49" + " 1" * 30_000,
        "://" * 30_000,
        "AA11" * 20_000,
        "DE44\n" * 20_000,
        "+49\n" * 20_000,
        "<!--" * 30_000,
        '<a "' * 30_000,
        "](" * 30_000,
        "[" * 60_000,
        r"\100=40" * 10_000,
        "a(at)" * 20_000,
        "a at b dot " * 10_000,
        "a dot " * 15_000,
        "\u0430" * 60_000,
        "%ef%bc" * 10_000,
    ]
    whole = comparison(1, notes=tuple(texts), created=WHEN)
    began = time.process_time()
    redacted(whole, parse_patterns(list(BUILT_IN)))
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    "text",
    [
        "@app.route('/x')",
        "handler = first\n@app.get.cached\ndef f(): ...",
        "a@b",
        "left @ right.T and W@x.T",
        "look at this dot product, at the dot in the middle, and at a dot com bubble",
        "x = 40",
        "x=400.5 and page=40&size=20.5",
        "lodash@4.17.21, react@18.2.0-rc.1",
        "actions/checkout@v4.1.1",
        "std::vector<int>@x and rows[1](a)@b",
        r"C:\100\200 and \40 lines",
        "version 1.2.3 and v10.2.33",
        "12345678901234567890 and 100000000000000000000",
        "0x7fff5fbff8c0\n1234",
        "3.14159265358979",
        "0123\n4567\n8901",
        "1,2,030\n1234567,5",
        "100\n200-3000",
        "2026-11-29\n12:00",
        "GB12-ABCD-1234 and AT12 PEOPLE",
        "DE44\nis the plate",
    ],
)
def test_code_versions_and_numbers_are_no_addresses_accounts_or_phones(text: str) -> None:
    found = redacted(comparison(1, title=text), parse_patterns(["email", "iban", "phone"]))
    assert found.title == text


@pytest.mark.parametrize(
    "written",
    [
        "DE44 5001 0517 5407 3249 31",
        "DE44  5001  0517  5407  3249  31",
        "DE44-5001-0517-5407-3249-31",
        "DE44\u20115001\u20110517 5407 3249 31",
        "DE44.5001.0517.5407.3249.31",
        "DE44 5001 0517\n5407 3249 31",
        "DE44 500105175407324931",
        "de44500105175407324931",
        "DE44&nbsp;5001&nbsp;0517&nbsp;5407&nbsp;3249&nbsp;31",
        "DE44 <b>5001</b> 0517 5407 3249 31",
        "FR14-2004-1010-0505-0001-3M02-606",
        "NO93-8601-1117-947",
        "MT84MALT011000012345MTLCAST001S",
    ],
)
def test_an_account_is_found_however_it_is_grouped(written: str) -> None:
    found = redacted(comparison(1, title=f"To {written} PLEASE."), parse_patterns(["iban"]))
    assert found.title == "To [redacted: iban] PLEASE."


@pytest.mark.parametrize(
    "written",
    [
        "+49 30\n1234567",
        "+49 30 1234\n567",
        "+49\n30 1234567",
        "+49 (30)\r\n  1234-567",
        "+44 20 7946\n0958",
        "+49 30<br>1234567",
        "030\n1234567",
        "0171 234\n5678",
        "(030)\n123 456",
        "(555)\n123-4567",
        "555-123-\n4567",
        "555 123\n4567",
        "555\n123-4567",
    ],
)
def test_a_phone_number_is_found_over_the_end_of_a_line(written: str) -> None:
    found = redacted(comparison(1, title=f"Call {written} please"), parse_patterns(["phone"]))
    assert found.title == "Call [redacted: phone] please"


def test_a_number_that_is_whole_does_not_take_the_next_line_with_it() -> None:
    text = "Call +1 555-123-4567\n12 people did"
    found = redacted(comparison(1, title=text), parse_patterns(["phone"]))
    assert found.title == "Call [redacted: phone]\n12 people did"


# What a reader sees, not only what is written

HIDDEN = (
    "jane.roe&#64;mail.example",
    "jane.roe&#x40;mail.example",
    "jane.roe&#0064;mail.example",
    "jane.roe&commat;mail.example",
    "jane.roe&amp;#64;mail.example",
    r"jane\.roe\@mail\.example",
    r"jane.roe\u0040mail.example",
    "jane.roe%40mail.example",
    "jane.roe\uff20mail.example",
    "jane.roe@\u200bmail.example",
    "ja\u00adne.roe@mail.example",
    "jane&period;roe@mail&period;example",
    "**jane**.roe@mail.example",
    "`jane.roe`@mail.example",
    "jane.roe@mail&#46;example",
    "mailto:jane.roe%40mail.example",
    r"jane.roe\u{40}mail.example",
    r"jane.roe\x{40}mail.example",
    r"jane.roe\U00000040mail.example",
    r"jane.roe\N{COMMERCIAL AT}mail.example",
    r"jane.roe\100mail.example",
    r"\152ane.roe\100mail.exampl\145",
    r"jane.roe\40 mail.example",
    r"jane.roe\000040mail\2e example",
    "jane.roe=40mail.example",
    "jane.roe=40mail=2Eexample",
    "jane.r=\noe=40mail.example",
    "jane.roe%EF%BC%A0mail.example",
    "jane.roe%ef%bc%a0mail.example",
    "jane.roe%2540mail.example",
    "<b>jane</b>.roe@mail.example",
    "jane.roe@<em class='x>y'>mail</em>.example",
    "jane.roe@<wbr>mail.example",
    "jane<wbr/>.roe@mail.example",
    "jane.roe<!-- no mail -->@mail.example",
    "jane.roe@<!-- <a> \n -- > -->mail.example",
    "jane.roe@\nmail.example",
    "jane.roe@\r\n  mail.example",
    "jane.roe@<br>mail.example",
    "[jane.roe](x)@mail.example",
    "[jane.roe][1]@mail.example",
    "jane.roe[@](https://a.example/b(c))mail.example",
    "jane.roe![](x)@mail.example",
    "jane.roe [at] mail [dot] example",
    "jane.roe at mail dot example",
    "jane.roe AT mail dot example",
    "jаne.roe@mаil.example".replace("а", "\u0430"),
    "jane.roe(at)mail.example",
)


def seen_in(made: str) -> str:
    """What is seen of a file, as a browser, a Markdown viewer and a reader of JSON show it."""
    return ways_to_see(re.sub(r"<[^>]+>", "", made))[-1].text


@pytest.mark.parametrize("form", ["html", "markdown", "jsonl", "votes"])
def test_escapes_of_markdown_html_json_and_urls_hide_nothing(form: Format) -> None:
    whole = spread_everywhere(" and ".join(HIDDEN))
    made = seen_in(report(whole, form, parse_patterns(["email"])))
    assert "jane.roe" not in made and "mail.example" not in made
    assert "[redacted: email] and" in made


@pytest.mark.parametrize("written", HIDDEN)
def test_nothing_but_what_was_looked_for_goes(written: str) -> None:
    found = redacted(comparison(1, title=f"Ask {written} please"), parse_patterns(["email"]))
    title = re.sub(r"[*`]|<b>|\[(?!redacted)", "", found.title).replace(
        "mailto:", ""
    )  # marks around may stay
    assert title == "Ask [redacted: email] please"


@pytest.mark.parametrize(
    "written",
    [
        "sk-abcdef123456ghi",
        r"sk\-abcdef123456ghi",
        "sk&#45;abcdef123456ghi",
        "sk-abc**def123456ghi**",
        "sk-abc\u200bdef123456ghi",
        "ghp&lowbar;" + "abcdef" * 5,
        r"ghp\_" + "abcdef" * 5,
        "https://me:abcdef&#64;host",
        "Bearer&nbsp;abcdef123456",
        "known&#45;abcdef",
    ],
)
def test_a_credential_goes_from_page_text_data_and_recording_however_it_is_written(written: str) -> None:
    remember("known-abcdef")
    prompt = Message.of("user", f"use {written} now")
    whole = comparison(
        results=(result(LANES[0], "r1", prompt, f"I used {written} now", 1.0),), votes=(), verdicts=()
    )
    for form in ("html", "jsonl"):
        assert "abcdef" not in seen_in(report(whole, form))
    recording = lane_recording(whole, "GPT mini")
    assert "abcdef" not in seen_in(recording) and recording.count("now") >= 2


def test_what_only_looks_like_an_escape_stays_as_it_is_written() -> None:
    text = r"AT&T, R&D; 100%25 of \alpha \_x\_ &copy; *so* `code` ½ C:\users"
    assert redacted(comparison(1, title=text), parse_patterns(list(BUILT_IN))).title == text


def test_a_pattern_of_ones_own_finds_what_is_seen() -> None:
    for written in ("Project&nbsp;X", "Project\u00a0X", "**Project** X", "Pro&#106;ect X"):
        found = redacted(comparison(1, title=f"On {written}."), parse_patterns(["(?i)project x"]))
        assert found.title.replace("**", "") == "On [redacted: pattern 1]."


def test_data_and_recording_stay_json_where_a_secret_has_the_digits_of_a_number() -> None:
    remember("known-10750123456789")
    prompt = Message.of("user", "how long, known-10750123456789?")
    one = result(LANES[0], "r1", prompt, "10750123456789 ns", 0.10750123456789)
    whole = comparison(results=(one,), votes=(), verdicts=())
    for made in (report(whole, "jsonl"), lane_recording(whole, "GPT mini")):
        assert [json.loads(line) for line in made.splitlines()]
        assert "known-" not in made and '10750123456789"' not in made


def test_lines_of_json_stay_json_where_an_address_and_a_name_stand_beside_each_other() -> None:
    prompt = Message.of("user", 'see "http://127.0.0.1:9" or "me@host.example"')
    made = report(
        comparison(results=(result(LANES[0], "r1", prompt, "x", 1.0),), votes=(), verdicts=()), "jsonl"
    )
    assert [json.loads(line)["type"] for line in made.splitlines()] == ["comparison", "result"]
    assert "127.0.0.1:9" in made


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [
                "a",
                "&#64;",
                "<b>",
                "<br>",
                "<!--x-->",
                "[",
                "](y)",
                r"\100",
                "=40",
                "%EF%BC%A0",
                r"\_",
                "*",
                "\u00ad",
                "%40",
                "&amp;#64;",
                r"\u0040",
                "ﬁ",
                "@",
            ]
        )
    )
)
def test_where_something_is_seen_is_where_it_is_written(pieces: list[str]) -> None:
    text = "".join(pieces)
    for seen in ways_to_see(text):
        for start in range(len(seen.text)):
            begin, end = seen.written(start, start + 1)
            assert begin < end
            assert any(seen.text[start] in one.text for one in ways_to_see(text[begin:end]))
    assert replaced(text, spans_of(text, lambda _: []), "!") == text


class OnDisk(StoredResults):
    """Results of which each reading is counted, as those of a run are read from its journal."""

    def __init__(self, compared: Comparison) -> None:
        self._results = compared.results
        self._figures = figures_of(compared)
        self.read = Counter[int]()

    @property
    def figures(self) -> Figures:
        return self._figures

    def __len__(self) -> int:
        return len(self._results)

    def __getitem__(self, place: Any) -> Any:
        self.read[place] += 1
        return self._results[place]


def test_the_answers_of_a_run_are_read_once_for_its_page_and_what_is_taken_out_is_counted_once() -> None:
    whole = run_of_many(lanes=2, prompts=5)
    whole = replace(whole, verdicts=(), results=(*whole.results[5:], *whole.results[:5]))
    patterns = parse_patterns(["sky", "question \\d", "q[12]"])
    stored = OnDisk(whole)
    page = report(replace(whole, results=stored), "html", patterns)
    assert page == report(whole, "html", patterns)
    assert stored.read == dict.fromkeys(range(10), 1)
    for form in get_args(Format):
        again = report(replace(whole, results=OnDisk(whole)), form, patterns)
        assert again == report(whole, form, patterns)
