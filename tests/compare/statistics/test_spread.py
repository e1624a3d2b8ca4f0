"""Repeats: what differs is said to differ, by how much; what lies within the noise is not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatlab.compare.statistics.intervals import FEWEST
from chatlab.compare.statistics.spread import Measure, Measurement, _resampled, spread

TIME = Measure("first token", "s", lower="faster", higher="slower")
SCORE = Measure("score", "", lower="worse", higher="better", centre="mean", range=(0.0, 1.0))


def timed(
    lanes: dict[str, float], *, prompts: int, repeats: int = 1, noise: float = 0.2, seed: int = 0
) -> list[Measurement]:
    """Skewed times: prompts differ a lot, all lanes alike; each call has noise of its own."""
    rng = np.random.default_rng(seed)
    found = []
    for p in range(prompts):
        base = rng.lognormal(0, 1)
        for lane, added in lanes.items():
            values = base + added + noise * rng.lognormal(size=repeats)
            found += [Measurement(lane, f"p{p}", float(value)) for value in values]
    return found


def test_a_lane_is_described_by_median_quartiles_and_95th_percentile() -> None:
    values = [3.0, 1.0, 2.0, 5.0, 4.0, 100.0, 6.0]
    (lane,) = spread([Measurement("a", str(n), value) for n, value in enumerate(values)], TIME).lanes
    assert (lane.lane, lane.values, lane.items, lane.centre) == ("a", 7, 7, 4.0)
    assert (lane.low_quartile, lane.high_quartile) == (2.5, 5.5)
    assert lane.p95 == pytest.approx(np.percentile(values, 95))
    assert lane.interval is not None and lane.interval.covers(4.0)


def test_every_prompt_counts_once_however_often_it_was_repeated() -> None:
    given = [Measurement("a", "often", 9.0)] * 50 + [Measurement("a", str(n), 1.0) for n in range(4)]
    assert spread(given, TIME).lanes[0].centre == 1.0


def test_a_difference_smaller_than_that_between_prompts_is_found_by_pairing() -> None:
    (found,) = spread(timed({"a": 0.0, "b": 0.2}, prompts=60), TIME).differences
    assert found.distinguishable
    assert (found.unit, found.units) == ("prompts", 60)
    assert found.difference == pytest.approx(-0.2, abs=0.1)
    assert str(found).startswith("a is faster than b by 0.")
    assert str(found).endswith("; 60 prompts)")


def test_the_sentence_says_who_by_how_much_and_how_sure() -> None:
    given = [Measurement(lane, str(n), value) for n in range(20) for lane, value in (("a", 2.5), ("b", 1.0))]
    (found,) = spread(given, TIME).differences
    assert str(found) == "a is slower than b by 1.5 s (95% interval 1.5 s to 1.5 s; 20 prompts)"


@pytest.mark.parametrize(("prompts", "repeats"), [(6, 1), (6, 20), (1, 6)])
def test_six_right_answers_of_six_are_not_sure_of_the_seventh(prompts: int, repeats: int) -> None:
    given = [
        Measurement(lane, str(n), value)
        for n in range(prompts)
        for lane, value in (("a", 1.0), ("b", 0.0), ("c", 1.0))
        for _ in range(repeats)
    ]
    best, worst, _ = spread(given, SCORE).lanes
    assert best.interval is not None and worst.interval is not None
    assert (best.interval.low, best.interval.high) == pytest.approx((0.541, 1.0), abs=0.001)
    assert (worst.interval.low, worst.interval.high) == pytest.approx((0.0, 0.459), abs=0.001)
    (found,) = spread([one for one in given if one.lane != "c"], SCORE).differences
    assert found.interval is not None and found.distinguishable
    assert (found.p, found.interval.low) == pytest.approx((2 * 0.5**6, 0.0816), abs=0.001)
    alike = {(two.a, two.b): two for two in spread(given, SCORE).differences}["a", "c"]
    assert alike.interval is not None and alike.interval.high == pytest.approx(0.459, abs=0.001)
    assert str(alike) == "a and c are not distinguishable: the interval of their difference covers zero"


def test_a_difference_within_the_noise_is_not_distinguishable() -> None:
    (found,) = spread(timed({"a": 0.0, "b": 0.0}, prompts=30), TIME).differences
    assert not found.distinguishable
    assert str(found) == "a and b are not distinguishable: the interval of their difference covers zero"


def test_too_few_prompts_and_repeats_are_said() -> None:
    (found,) = spread(timed({"a": 0.0, "b": 9.0}, prompts=3, repeats=2), TIME).differences
    assert found.interval is None and found.p is None
    assert found.difference == pytest.approx(-9, abs=1)
    assert found.reason == "there are only 3 shared prompts and 2 repeats, and it takes 6 of either"


def test_one_prompt_repeated_often_is_compared_over_its_repeats_and_says_so() -> None:
    (found,) = spread(timed({"a": 0.0, "b": 1.0}, prompts=1, repeats=15), TIME).differences
    assert found.distinguishable
    assert (found.unit, found.units) == ("repeats", 15)
    assert str(found).endswith("; 15 repeats)")


def test_lanes_without_a_common_prompt_are_not_compared() -> None:
    given = [Measurement("a", f"x{n}", 1.0) for n in range(9)]
    given += [Measurement("b", f"y{n}", 5.0) for n in range(9)]
    (found,) = spread(given, TIME).differences
    assert str(found) == "a and b are not distinguishable: they share no prompt"


def test_only_prompts_of_both_are_paired() -> None:
    given = [*timed({"a": 0.0, "b": 0.5}, prompts=20), Measurement("a", "alone", 1e6)]
    (found,) = spread(given, TIME).differences
    assert found.units == 20


def test_many_lanes_must_outlast_the_correction_for_all_pairs() -> None:
    weak = [(f"p{n}", 0.1 if n < 9 else -0.05) for n in range(11)]
    given = [Measurement("a", item, 1.0) for item, _ in weak]
    given += [Measurement("b", item, 1.0 + more) for item, more in weak]
    alone = spread(given, TIME).differences[0]
    assert alone.distinguishable and alone.p == alone.p_holm
    rng = np.random.default_rng(0)
    crowd = [Measurement(f"z{k}", item, rng.normal()) for k in range(6) for item, _ in weak]
    found = spread(given + crowd, TIME).differences
    assert len(found) == 28
    first = found[0]
    assert (first.a, first.b) == ("a", "b")
    assert first.interval is not None and not first.interval.covers(0)
    assert first.reason == "the difference does not outlast Holm's correction for 28 comparisons"


def test_scores_of_right_or_wrong_are_compared_by_their_mean() -> None:
    rng = np.random.default_rng(0)
    given = [
        Measurement(lane, f"p{n}", float(rng.random() < share))
        for n in range(150)
        for lane, share in (("a", 0.9), ("b", 0.6))
    ]
    result = spread(given, SCORE)
    (found,) = result.differences
    assert found.distinguishable and str(found).startswith("a is better than b by 0.")
    assert result.lanes[0].centre == pytest.approx(0.9, abs=0.06)


@pytest.mark.parametrize(
    ("prompts", "repeats", "measure"),
    [(8, 1, TIME), (40, 1, TIME), (41, 3, TIME), (1, 12, TIME), (15, 1, SCORE)],
)
def test_intervals_cover_the_true_difference_about_95_times_in_100(
    prompts: int, repeats: int, measure: Measure
) -> None:
    covered = []
    for seed in range(150):
        given = timed({"a": 0.0, "b": 0.3}, prompts=prompts, repeats=repeats, seed=seed)
        (found,) = spread(given, measure, seed=seed).differences
        assert found.interval is not None
        covered.append(found.interval.covers(-0.3))
    assert np.mean(covered) >= 0.92


@pytest.mark.parametrize("n", [6, 7, 20, 31])
def test_drawing_the_middle_of_a_sample_is_drawing_the_sample(n: int) -> None:
    rng = np.random.default_rng(5)
    values = rng.lognormal(size=n)
    whole = np.median(values[rng.integers(n, size=(40_000, n))], axis=1)
    middle = np.concatenate([_resampled(values, TIME, rng) for _ in range(10)])
    at = np.quantile(whole, [0.05, 0.25, 0.5, 0.75, 0.95])
    assert [np.mean(middle <= x) for x in at] == pytest.approx([np.mean(whole <= x) for x in at], abs=0.012)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.floats(0, 100), min_size=FEWEST, max_size=25),
    st.sampled_from([lambda x: x, lambda x: x + 7, lambda x: 3 * x]),
)
def test_seconds_or_milliseconds_are_the_same(values: list[float], change: Callable[[float], float]) -> None:
    ours = [Measurement("a", str(n), value) for n, value in enumerate(values)]
    (plain,) = spread(ours, TIME).lanes
    (changed,) = spread([Measurement("a", one.item, change(one.value)) for one in ours], TIME).lanes
    assert plain.interval is not None and changed.interval is not None
    assert changed.centre == pytest.approx(change(plain.centre))
    assert changed.interval.low == pytest.approx(change(plain.interval.low))
    assert changed.interval.high == pytest.approx(change(plain.interval.high))


def test_the_same_seed_gives_the_same_figures() -> None:
    given = timed({"a": 0.0, "b": 0.1, "c": 0.2}, prompts=12)
    assert spread(given, TIME, seed=3) == spread(list(reversed(given)), TIME, seed=3)


def test_nothing_measured_is_nothing() -> None:
    result = spread([], TIME)
    assert (result.lanes, result.differences) == ((), ())


def test_an_unknown_value_is_refused() -> None:
    with pytest.raises(ValueError, match="leave unknown ones out"):
        Measurement("a", "p", float("nan"))
