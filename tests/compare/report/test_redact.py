"""What is taken out of a comparison: everywhere, said where, and in bounded time."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from chatlab.compare.model import Comparison
from chatlab.compare.report import Format, report
from chatlab.compare.report.redact import BUILT_IN, WrongPattern, parse_patterns, redacted
from chatlab.messages import FilePart, Message, TextPart, ToolCall, ToolResult
from chatlab.secret import remember
from tests.compare.report.samples import LANES, WHEN, comparison, result


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
    [("(", "is not a regular expression"), ("x*", "matches nothing at all"), ("", "matches nothing at all")],
)
def test_a_pattern_that_cannot_be_used_is_refused(pattern: str, problem: str) -> None:
    with pytest.raises(WrongPattern, match=problem):
        parse_patterns([pattern])


def test_a_pattern_that_takes_forever_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chatlab.compare.report.redact._LONGEST", 0.3)
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
    ]
    whole = comparison(1, notes=tuple(texts), created=WHEN)
    began = time.monotonic()
    redacted(whole, parse_patterns(list(BUILT_IN)))
    assert time.monotonic() - began < 5
