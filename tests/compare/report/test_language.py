"""A report is in the language it was asked for: no sentence of chatlab's own is in English in another one."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from chatlab.compare.model import Comparison
from chatlab.compare.model_json import comparison_to_json
from chatlab.compare.report import Format, report
from chatlab.redaction.texts import parse_patterns
from chatlab.words import ENGLISH, words_of
from tests.compare.report.samples import WHEN, comparison, run_of_many
from tests.words.other_language import left_in_english, other_words, readable, texts_in

UNITS = {"UTC", "kB", "ms"}
NOTES = (
    ENGLISH("said.left-behind", count=1),
    ENGLISH("said.still-running", count=2),
    ENGLISH("said.settings-changed", names="Qwen"),
    ENGLISH("said.removed", names="Qwen"),
    ENGLISH("said.judge-is-lane", judge="gpt", lane="Qwen"),
)


def hard_to_say() -> Comparison:
    """A comparison with what the others have none of: nameless voters, repeats, ties of every kind, notes."""
    whole = comparison(notes=NOTES, mode="shared", blind=False, repeats=2)
    votes = [replace(vote, voter=f"voter {number % 3}") for number, vote in enumerate(whole.votes)]
    votes[1] = replace(votes[1], voter="", best="gone", marked=(ENGLISH("said.names-model", lane="A"),))
    votes[2] = replace(votes[2], best="bad", shown=votes[2].shown[:1])
    votes[3] = replace(votes[3], criterion="more correct")
    verdicts = [replace(one, winner="unclear", repeat=1, cost=0.1) for one in whole.verdicts[:2]]
    again = [
        replace(one, repeat=1, turn=replace(one.turn, timing=replace(one.turn.timing, total=2.0)))
        for one in whole.results
    ]
    status = replace(again[0], turn=replace(again[0].turn, status="interrupted", created=WHEN))
    bare = replace(again[1], receipt=None, turn=replace(again[1].turn, status="stopped"))
    results = (*whole.results, status, bare, *again[2:])
    return replace(whole, votes=tuple(votes), verdicts=(*verdicts, *whole.verdicts[2:]), results=results)


NAMES = ("messages", "parameters", "role", "parts", "type", "text", "temperature", "Python")
"""What an exact request and the settings of a lane are shown with."""


@pytest.mark.parametrize("form", ["html", "markdown"])
@pytest.mark.parametrize(
    "whole", [comparison(), run_of_many(), run_of_many(2, 5), hard_to_say(), comparison(1)]
)
def test_no_word_of_a_report_stays_in_english(whole: Comparison, form: Format) -> None:
    shown = report(whole, form, parse_patterns(["email"]), other_words())
    shown = readable(shown) if form == "html" else shown
    given = {word for text in texts_in(comparison_to_json(whole), *NAMES) for word in left_in_english(text)}
    shown = re.sub(r"[0-9a-f]{64}|\[redacted: attachment|```text", " ", shown.replace("\\", ""))
    assert left_in_english(shown) - given - UNITS - {"chatlab", "email"} == set()


def test_numbers_and_shares_are_written_as_the_language_writes_them() -> None:
    shown = " ".join(readable(report(comparison(), words=words_of("de"))).split())
    for said in (
        "2 Spuren, 8 Nachrichten, 2026-11-21: 16 Antworten, davon 1 nicht fertig.",
        "GPT mini ist um 0,25 s früher als Qwen (95-%-Intervall 0,25 s bis 0,25 s; 7 Prompts)",
        "0,000428",
        "Stimme von ann, insgesamt: GPT mini (blind); clear; „note 1“",
    ):
        assert said in shown, said
    assert '<html lang="de">' in report(comparison(), words=words_of("de"))
