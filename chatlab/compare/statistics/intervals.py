"""Intervals, p-values and the correction for many comparisons, which ranking, audit and repeats share.

Only NumPy and the standard library, so that nobody installs SciPy to read a ranking; the tests hold every
function to SciPy's. docs/methodology.md says why each was chosen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.95
"""The coverage every interval aims at; two things are distinguished at 1 - LEVEL."""

FEWEST = 6
"""The fewest prompts (or repeats) an interval is given for: below, not even an exact sign test on unanimous
data reaches 5 %."""

FEW = 20
"""Below this many prompts, intervals are given with the warning that they may be too narrow."""

_NORMAL = NormalDist()
NORMAL_QUANTILE = _NORMAL.inv_cdf((1 + LEVEL) / 2)


@dataclass(frozen=True, slots=True)
class Interval:
    """A 95 % interval, in the unit of what it is for."""

    low: float
    high: float

    def covers(self, value: float) -> bool:
        return self.low <= value <= self.high


def normal_p(z: float) -> float:
    """Return the two-sided p-value of a standard normal deviate."""
    return math.erfc(abs(z) / math.sqrt(2))


def normal_quantile(p: float) -> float:
    """Return the standard normal deviate, above 0, whose two-sided p-value this is."""
    return -_NORMAL.inv_cdf(max(p, 1e-300) / 2)


def student_p(t: float, df: int) -> float:
    """Return the two-sided p-value of Student's t with a whole number of degrees of freedom, at least 1.

    The finite sums of Abramowitz and Stegun (1964), 26.7.3 and 26.7.4; the normal above 1000 degrees.
    """
    if df > 1000 or math.isinf(t):
        return normal_p(t)
    angle = math.atan(abs(t) / math.sqrt(df))
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = df % 2
    term = cosine if odd else 1.0
    total = term if df > 1 else 0.0
    for k in range(2 + odd, df - 1, 2):
        term *= cosine**2 * (k - 1) / k
        total += term
    inside = (angle + sine * total) * 2 / math.pi if odd else sine * total
    return max(0.0, 1 - inside)


@lru_cache
def student_quantile(df: int) -> float:
    """Return the t that a Student variable stays within, in absolute value, with probability `LEVEL`."""
    low, high = 0.0, 20.0
    while high - low > 1e-12:
        middle = (low + high) / 2
        low, high = (middle, high) if student_p(middle, df) > 1 - LEVEL else (low, middle)
    return high


def wilson(successes: float, trials: float) -> Interval | None:
    """Return Wilson's (1927) score interval of a proportion; None without trials."""
    if not trials:
        return None
    z2 = NORMAL_QUANTILE**2
    share = successes / trials
    middle = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    half = math.sqrt(z2 * share * (1 - share) / trials + z2**2 / (4 * trials**2)) / (1 + z2 / trials)
    return Interval(max(0.0, middle - half), min(1.0, middle + half))


def wilson_log_odds(estimate: float, variance: float) -> Interval:
    """Return Wilson's interval in log-odds, of the share whose log-odds were estimated with this variance.

    The share is then p = 1 / (1 + e^-estimate), of 1 / (variance p (1 - p)) trials.
    """
    a = variance * NORMAL_QUANTILE**2
    b = math.sqrt(a * (a + 4))
    won, lost = 2 + 2 * math.exp(estimate) + a, 2 + 2 * math.exp(-estimate) + a
    return Interval(math.log((won - b) / (lost + b)), math.log((won + b) / (lost - b)))


def sign_p(successes: int, trials: int) -> float:
    """Return the exact two-sided binomial p-value of so many successes, both outcomes being as likely."""
    term = tail = 1
    for k in range(1, min(successes, trials - successes) + 1):
        term = term * (trials - k + 1) // k
        tail += term
    return min(1.0, float(2 * tail / 2**trials))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return Holm's (1979) adjusted p-values, in the order given: below 0.05 differs at 5 % over all."""
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for done, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - done) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def percentile_interval(draws: NDArray[np.float64], units: int) -> Interval:
    """Return the bootstrap percentile interval, expanded for few units (Hesterberg 2015, section 4.2).

    units: how many independent units (at least 2) were resampled.
    """
    tail = _NORMAL.cdf(-math.sqrt(units / (units - 1)) * student_quantile(units - 1))
    low, high = np.quantile(draws, [tail, 1 - tail])
    return Interval(float(low), float(high))


def unanimous_interval(value: float, units: int, low: float, high: float) -> Interval:
    """Return the interval of a mean.

    It is of something between `low` and `high` that was `value` in every one of some units.

    No resampling can tell what was not seen. Clopper and Pearson's (1934) exact bound is taken on the share
    of units that are otherwise, of which none was seen; those may be anything.
    """
    unseen = 1 - ((1 - LEVEL) / 2) ** (1 / units)
    return Interval(value + unseen * (low - value), value + unseen * (high - value))


def unanimous_p(value: float, units: int, reach: float) -> float:
    """Two-sided p-value of "the true mean is 0": where `unanimous_interval` between -reach and reach would
    just reach it. With `value` at an end, that of the exact sign test."""
    return min(1.0, 2 * (reach / (reach + abs(value))) ** units)


def bootstrap_p(draws: NDArray[np.float64], units: int) -> float:
    """Return the p-value of "the true value is 0", at which `percentile_interval` would just reach it."""
    beyond = min(int((draws <= 0).sum()), int((draws >= 0).sum()))
    raw = min(1.0, 2 * (beyond + 1) / (len(draws) + 1))
    return student_p(_NORMAL.inv_cdf(raw / 2) / math.sqrt(units / (units - 1)), units - 1)
