"""Intervals and p-values: those of SciPy, or of the definition where SciPy has none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatlab.compare.statistics.intervals import (
    Interval,
    bootstrap_p,
    holm,
    normal_p,
    percentile_interval,
    sign_p,
    student_p,
    student_quantile,
    unanimous_interval,
    unanimous_p,
    wilson,
    wilson_log_odds,
)
from tests.compare.statistics.peers import scipy


@pytest.mark.heavy
@settings(deadline=None)  # the first case imports SciPy
@given(st.floats(-30, 30), st.integers(1, 1500))
def test_students_t_is_scipys(t: float, df: int) -> None:
    # Above 1000 degrees it is the normal, which is off by less than 0.0004 there.
    tolerance = 1e-10 if df <= 1000 else 4e-4
    assert student_p(t, df) == pytest.approx(2 * scipy.stats.t.sf(abs(t), df), abs=tolerance)


@pytest.mark.heavy
@pytest.mark.parametrize("df", [1, 2, 3, 5, 30, 999, 1000, 1001])
def test_students_quantile_is_scipys(df: int) -> None:
    assert student_quantile(df) == pytest.approx(scipy.stats.t.ppf(0.975, df), abs=0.003)


@pytest.mark.heavy
@given(st.floats(-8, 8))
def test_the_normal_p_value_is_scipys(z: float) -> None:
    assert normal_p(z) == pytest.approx(2 * scipy.stats.norm.sf(abs(z)), abs=1e-12)


@pytest.mark.heavy
@given(st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_shares_are_judged_as_scipys_binomial_test_does(case: tuple[int, int]) -> None:
    successes, trials = case
    theirs = scipy.stats.binomtest(successes, trials)
    assert sign_p(successes, trials) == pytest.approx(theirs.pvalue, abs=1e-12)
    interval = wilson(successes, trials)
    assert interval is not None
    low, high = theirs.proportion_ci(method="wilson")
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=1e-12)


@pytest.mark.heavy
@pytest.mark.parametrize("units", [5, 6, 20])
def test_what_all_units_say_is_judged_as_by_clopper_and_pearson_and_the_sign_test(units: int) -> None:
    theirs = scipy.stats.binomtest(units, units)
    low, high = theirs.proportion_ci(method="exact")
    interval = unanimous_interval(1.0, units, 0.0, 1.0)
    assert (interval.low, interval.high) == pytest.approx((low, high))
    assert unanimous_p(1.0, units, 1.0) == unanimous_p(-1.0, units, 1.0) == pytest.approx(theirs.pvalue)
    assert unanimous_interval(1.0, units, -1.0, 1.0).covers(0) is (units < 6)
    assert unanimous_interval(0.0, units, -1.0, 1.0).covers(0) and unanimous_p(0.0, units, 1.0) == 1.0


@pytest.mark.heavy
@given(st.integers(1, 20).flatmap(lambda n: st.tuples(st.integers(1, 20), st.just(n))))
def test_the_same_interval_in_log_odds(case: tuple[int, int]) -> None:
    won, lost = case
    low, high = scipy.stats.binomtest(won, won + lost).proportion_ci(method="wilson")
    interval = wilson_log_odds(np.log(won / lost), 1 / won + 1 / lost)
    theirs = (np.log(low / (1 - low)), np.log(high / (1 - high)))
    assert (interval.low, interval.high) == pytest.approx(theirs, rel=1e-9, abs=1e-9)
    assert wilson_log_odds(np.log(lost / won), 1 / won + 1 / lost).low == pytest.approx(-interval.high)


def test_no_trials_have_no_share() -> None:
    assert wilson(0, 0) is None


@pytest.mark.heavy
def test_ten_thousand_votes_are_tested_exactly() -> None:
    assert sign_p(4900, 10_000) == pytest.approx(scipy.stats.binomtest(4900, 10_000).pvalue, rel=1e-9)


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holms_adjustment_steps_down(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    ordered = sorted(zip(p_values, adjusted, strict=True))
    assert [q for _, q in ordered] == sorted(adjusted)
    assert all(p <= q <= 1 for p, q in ordered)
    if ordered:
        assert ordered[0][1] == min(1.0, len(p_values) * ordered[0][0])
    # Rejecting at 5 % by the definition: while the k-th smallest stays below 5 % / (m - k).
    rejected = 0
    while rejected < len(ordered) and ordered[rejected][0] * (len(ordered) - rejected) < 0.05:
        rejected += 1
    assert sum(q < 0.05 for q in adjusted) == rejected


def test_holm_of_a_known_example() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


@pytest.mark.heavy
@pytest.mark.parametrize("units", [6, 12, 200])
def test_the_bootstrap_interval_of_a_mean_is_students(units: int) -> None:
    """What the expansion is for: percentiles alone would be too narrow by about a quarter for six units."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=units)
    draws = values[rng.integers(units, size=(20_000, units))].mean(axis=1)
    interval = percentile_interval(draws, units)
    theirs = scipy.stats.t.interval(0.95, units - 1, values.mean(), scipy.stats.sem(values))
    assert interval.high - interval.low == pytest.approx(theirs[1] - theirs[0], rel=0.1)


@given(st.integers(6, 200), st.floats(-3, 3), st.integers(0, 100))
def test_zero_is_excluded_where_the_p_value_is_below_5_percent(units: int, shift: float, seed: int) -> None:
    draws = np.random.default_rng(seed).normal(shift, 1, 4000)
    p = bootstrap_p(draws, units)
    if abs(p - 0.05) > 0.005:
        assert percentile_interval(draws, units).covers(0) is (p > 0.05)


def test_an_interval_covers_its_ends() -> None:
    assert Interval(0.0, 1.0).covers(0.0) and Interval(0.0, 1.0).covers(1.0)
    assert not Interval(0.0, 1.0).covers(1.1)
