"""One line of figures, in the same words on the pages, a terminal, in exports and reports."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from chatlab.messages import Finish, Message, Timing, Usage
from chatlab.render.figures import (
    UNKNOWN,
    Measured,
    count,
    figures,
    figures_line,
    money,
    seconds,
    speed,
)
from chatlab.store import StoredTurn


def stored(timing: Timing, *, cost: float | None = None, usage: Usage | None = None) -> StoredTurn:
    """A stored turn that took this."""
    return StoredTurn(
        *("t", "anna", "c", None, datetime.now(UTC), Message.of("user", "hi"), "gpt", "openai", "GPT"),
        timing=timing,
        finish=Finish("stop", usage or Usage(), model="gpt-5"),
        cost=cost,
    )


def test_figures_have_their_units() -> None:
    timing = Timing(first_token=0.4204, total=3.14159, tokens_per_second=56.78)
    assert figures_line("gpt", timing, Usage(input=12, output=0), 0.00123) == (
        "gpt · first token 420 ms · total 3.14 s · 56.8 tokens/s · 12 tokens in, 0 out · cost 0.00123"
    )
    assert figures_line("gpt", Timing(total=0.5), Usage(output=1234), None, "stopped") == (
        "gpt · total 500 ms · 1,234 tokens out · stopped"
    )


def test_what_is_not_known_is_left_out_of_the_line_and_never_zero() -> None:
    assert figures_line("gpt", Timing(), None, None) == "gpt"
    assert figures_line("", Timing(), Usage(output=1), None) == "1 token out"
    assert figures_line("", Timing(), Usage(input=3), 0.0) == "3 tokens in · cost 0"


def test_what_is_not_known_has_one_sign_in_a_table() -> None:
    assert {seconds(None), count(None), speed(None), money(None), UNKNOWN} == {"–"}


@pytest.mark.parametrize(
    ("value", "said"),
    [(0.0, "under 1 ms"), (0.0008, "1 ms"), (0.0042, "4 ms"), (0.9996, "1.00 s"), (75, "75.00 s")],
)
def test_a_duration_is_read_at_one_look(value: float, said: str) -> None:
    assert seconds(value) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (12.34, "12.3 tokens/s"),
        (99.97, "100 tokens/s"),
        (18_612.3, "18,612 tokens/s"),
        (2_000_000, "over 100,000 tokens/s"),
        (0.5, "0.5 tokens/s"),
    ],
)
def test_a_speed_has_three_digits_that_count(value: float, said: str) -> None:
    assert speed(value) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0.0, "0"),
        (0.0000031, "0.0000031"),
        (0.0125, "0.0125"),
        (0.5, "0.5"),
        (1.5, "1.50"),
        (11, "11"),
        (1234.567, "1,234.57"),
    ],
)
def test_a_small_cost_is_neither_rounded_away_nor_written_with_an_exponent(value: float, said: str) -> None:
    assert money(value) == said


def test_a_stored_turn_says_its_model_unless_somebody_else_is_named() -> None:
    turn = stored(Timing(total=2.0, longest_stall=0.25), cost=2)
    assert figures(turn, stall=True) == "gpt-5 · total 2.00 s · longest stall 250 ms · cost 2"
    assert figures(turn, label="") == "total 2.00 s · cost 2"


def test_several_answers_are_drawn_as_the_median_of_what_is_known() -> None:
    turns = [stored(Timing(first_token=first, total=2.0)) for first in (0.1, 0.3, None)]
    measured = Measured.of(turns)
    assert measured.first_token == pytest.approx(0.2)
    assert measured.said == "200 ms / 2.00 s · median of 3"
    assert measured.spoken == "first token 200 ms, total 2.00 s"
    assert Measured.of([stored(Timing())]).said == "– / –"
