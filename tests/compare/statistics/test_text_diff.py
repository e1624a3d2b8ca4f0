"""The word-level difference of two answers, and their agreement."""

from __future__ import annotations

import random
import time
import tracemalloc
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatlab.compare.statistics.text_diff import Span, agreement, word_difference

TEXTS = st.text(alphabet="ab \n,é👋", max_size=60) | st.text(max_size=40)


def sides(spans: tuple[Span, ...]) -> tuple[str, str]:
    return (
        "".join(span.text for span in spans if span.kind != "added"),
        "".join(span.text for span in spans if span.kind != "removed"),
    )


def test_a_changed_word_is_all_that_differs() -> None:
    assert word_difference("The sky is blue today.", "The sky is grey today.") == (
        Span("same", "The sky is "),
        Span("removed", "blue "),
        Span("added", "grey "),
        Span("same", "today."),
    )


def test_what_is_only_in_one_answer_is_removed_or_added() -> None:
    assert word_difference("one two", "one") == (Span("removed", "one two"), Span("added", "one"))
    assert word_difference("", "one") == (Span("added", "one"),)
    assert word_difference("one", "one") == (Span("same", "one"),)
    assert word_difference("", "") == ()


@given(TEXTS, TEXTS)
def test_both_answers_can_be_read_off_the_spans(a: str, b: str) -> None:
    spans = word_difference(a, b)
    assert sides(spans) == (a, b)
    assert all(span.text for span in spans)
    assert all(one.kind != other.kind for one, other in pairwise(spans))


def long_answer(seed: int, words: int) -> str:
    rnd = random.Random(seed)
    vocabulary = [f"word{number}" for number in range(2_000)]
    return "".join(rnd.choice(vocabulary) + ("\n" if number % 40 == 39 else " ") for number in range(words))


def test_long_answers_are_compared_in_bounded_time_and_memory() -> None:
    a, b = long_answer(1, 20_000), long_answer(2, 20_000)
    began = time.thread_time()
    spans = word_difference(a, b)
    assert time.thread_time() - began < 5
    assert sides(spans) == (a, b)
    tracemalloc.start()
    word_difference(a, b)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100 * len(a)


def test_a_line_put_into_a_long_answer_is_all_that_is_added() -> None:
    lines = long_answer(3, 20_000).splitlines(keepends=True)
    changed = [*lines[:250], "something quite new\n", *lines[250:400], *lines[405:]]
    spans = word_difference("".join(lines), "".join(changed))
    assert [span.text for span in spans if span.kind == "added"] == ["something quite new\n"]
    assert [span.text for span in spans if span.kind == "removed"] == ["".join(lines[400:405])]


def test_agreement_counts_words_in_order_and_nothing_else() -> None:
    assert agreement("It is blue.", "it is  BLUE!") == 1
    assert agreement("one two three", "four five") == 0
    assert agreement("one two three four", "one three five six") == pytest.approx(2 * 2 / 8)
    assert agreement("", "") == agreement("!", "") == 1
    assert agreement("word", "") == 0


@given(TEXTS, TEXTS)
def test_agreement_is_between_0_and_1_and_the_same_both_ways(a: str, b: str) -> None:
    assert 0 <= agreement(a, b) <= 1
    assert agreement(a, b) == agreement(b, a)
    assert agreement(a, a) == 1
