"""The uncertainty of a ranking's strengths: by the model, by resampling prompts, and by an exact test.

docs/methodology.md says why it takes all three, and what came of it in simulations.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from chatlab.compare.statistics.bradley_terry import PRIOR, Array, Fit, fit
from chatlab.compare.statistics.intervals import (
    FEWEST,
    LEVEL,
    NORMAL_QUANTILE,
    Interval,
    normal_p,
    normal_quantile,
    sign_p,
    student_p,
    student_quantile,
    wilson_log_odds,
)
from chatlab.compare.statistics.observations import Observations

# How much of a squared error is the bootstrap's where the model's is the larger; see docs/methodology.md.
_SAMPLED_PART = 3 / 8
_MOST_DRAWN = 0.9  # of a prior's squared error, the most that is believed to remain after the votes


@dataclass(frozen=True, slots=True)
class Records:
    """The votes on each pair of lanes by themselves, in arrays of (lanes, lanes).

    p: the two-sided p-value of "equally strong" below which nothing else may bring it. exact: whether it is
    that of an exact test, so that nothing else is needed. leads: in how many more prompts the first did
    better than the second.
    """

    p: Array
    leads: Array
    exact: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Errors:
    """The errors of contrasts of strengths, by the bootstrap and by the model.

    The bootstrap sees that choices of one prompt go together; it sees nothing where all choices agree, for
    every sample is then the same, and there the curvature of the penalised likelihood remains.
    dispersion: how much prompts vary, as a part of what single votes would.
    """

    covariance: Array
    draws: Array
    items: int
    records: Records
    dispersion: float

    def difference(self, i: int, j: int, estimate: float) -> tuple[Interval, float] | None:
        """Return the interval of how much stronger lane i is than lane j, and the two-sided p-value of
        "equally strong". None where too few prompts were judged.
        """
        contrast = np.zeros(self.draws.shape[1])
        contrast[i], contrast[j] = 1.0, -1.0
        interval = self.interval(contrast, estimate)
        if interval is None:
            return None
        sampled, modelled = self._both(contrast)
        by_sample = student_p(estimate / sampled if sampled else math.inf, self.items - 1)
        record = float(self.records.p[i, j])
        p = record
        # A lane may lead in most prompts, by a little, and be behind on the whole.
        if not self.records.exact[i, j] or self.records.leads[i, j] * estimate < 0:
            p = max(by_sample, normal_p(estimate / modelled), record)
        return _agreeing(interval, estimate, p), p

    def interval(self, contrast: Array, estimate: float) -> Interval | None:
        """Return the interval of a contrast of strengths; None where too few prompts were judged.

        It is Wilson's in log-odds. Its end away from zero takes the larger of the two errors, the more the
        further out the estimate is, and lies beyond by as much as the prior has drawn the estimate.
        """
        if self.items < FEWEST:
            return None
        # A lane against the mean of all is a part of that lane against the mean of the others.
        scale = float(contrast[contrast > 0].sum())
        contrast, estimate = contrast / scale, estimate / scale
        sampled, modelled = (error**2 for error in self._both(contrast))
        drawn = min(modelled / (PRIOR**2 * float(contrast @ contrast)), _MOST_DRAWN)
        sampled *= (student_quantile(self.items - 1) / NORMAL_QUANTILE) ** 2
        mixed = _SAMPLED_PART * sampled + (1 - _SAMPLED_PART) * self.dispersion * modelled
        found = wilson_log_odds(estimate, max(sampled, mixed))
        wide = wilson_log_odds(estimate, max(sampled, modelled))
        out = math.tanh(abs(estimate))
        shift = estimate * drawn / (1 - drawn)
        low, high = found.low, found.high
        if estimate > 0:
            high += out * (wide.high - high) + shift
        elif estimate < 0:
            low += out * (wide.low - low) + shift
        return Interval(scale * low, scale * high)

    def _both(self, contrast: Array) -> tuple[float, float]:
        n = len(contrast)
        sampled = float(np.std(self.draws @ contrast)) * math.sqrt(self.items / (self.items - 1))
        return sampled, math.sqrt(contrast @ self.covariance[:n, :n] @ contrast)


def _agreeing(interval: Interval, estimate: float, p: float) -> Interval:
    """Return the interval made to say no more of zero than the test does, and to exclude it where that does:
    its end towards zero is then that of the interval whose width would give this p-value, or nearer to zero.
    """
    if p >= 1 - LEVEL:
        return interval
    near = estimate * (1 - NORMAL_QUANTILE / normal_quantile(p))
    if estimate > 0:
        return Interval(near if interval.low <= 0 else min(near, interval.low), interval.high)
    return Interval(interval.low, near if interval.high >= 0 else max(near, interval.high))


def errors_of(observed: Observations, point: Fit, *, davidson: bool, samples: int, seed: int) -> Errors:
    """Return the errors of the strengths in `point`. samples: how many bootstrap samples of the prompts."""
    design, items = observed.design, observed.items
    sorts, chances = _resampled_sorts(observed)
    # Prompts with the same counts are interchangeable: drawing how many of each sort is drawing them.
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(items, chances, size=samples) if items else np.zeros((samples, 0))
    counts = (drawn @ sorts).reshape(samples, len(design.of))
    draws = fit(design, counts, davidson=davidson, start=point).strengths
    covariance = np.linalg.inv(point.information[0])
    return Errors(covariance, draws, items, records_of(observed), _dispersion(observed, davidson=davidson))


def _dispersion(observed: Observations, *, davidson: bool) -> float:
    """Return how much prompts vary, as a part of what one vote at each would: at most 1.

    The votes of a prompt together weigh as one. Where they differ, their shares vary less than one vote does;
    so does a tie that counts as half a win for each.
    """
    design, items = observed.design, observed.items
    counts = observed.units if davidson else design.halved(observed.units)
    weights = design.per_set(counts)
    shares = counts / np.maximum(weights, 1e-300)[:, design.of]
    whole = observed.repeated @ weights
    mean = observed.repeated @ counts / np.maximum(whole, 1e-300)[design.of]
    # The variance of an outcome that is one of several is 1 less the sum of their squared chances.
    within = float((observed.repeated @ (weights * (1 - design.per_set(shares**2)))).sum())
    total = float((whole * (1 - design.per_set(mean**2))).sum())
    if items < 2 or total <= 1e-12 * float(whole.sum()):
        return 1.0
    return min(1.0, (1 - within / total) * items / (items - 1))


def _resampled_sorts(observed: Observations) -> tuple[Array, Array]:
    """Return the sorts of prompts that samples are drawn of, and how likely each is.

    A lane that was never chosen out of several would never be in any sample, and so would seem certain. One
    more prompt is taken to be there, at which each lane of such a set is as likely to be chosen.
    """
    design = observed.design
    sorts: list[Array] = [observed.units]
    weights = [observed.repeated.astype(np.float64)]
    judged = design.per_set((observed.units > 0).astype(np.float64)) > 0
    shares = observed.repeated @ judged / max(observed.items, 1)
    for begin, members, share in zip(design.begins, design.sets, shares, strict=True):
        if len(members) > 2:
            sorts.append(np.eye(len(design.of))[begin : begin + len(members)])
            weights.append(np.full(len(members), float(share) / len(members)))
    chances = np.concatenate(weights)
    return np.concatenate(sorts), chances / max(float(chances.sum()), 1e-300)


def records_of(observed: Observations) -> Records:
    """Return what every two lanes' record says by itself.

    A prompt is for lane i if i did better in it than j, against j or against others. Where both met the same
    lanes in most of such prompts, as in votes among all of them, it is the two-sided sign test on prompts,
    which holds however few they are. Elsewhere it is the p-value that so many prompts reach when they all
    agree: below six of them none is below 5 %.
    """
    design = observed.design
    scores = observed.units @ design.features[:, : design.lanes]
    alike = _same_opponents(observed)
    p = np.ones((design.lanes, design.lanes))
    exact = np.zeros(p.shape, dtype=bool)
    lead = np.zeros(p.shape)
    for i in range(design.lanes):
        for j in range(i):
            leads = scores[:, i] - scores[:, j]
            tells = np.abs(leads) > 1e-9
            trials, for_i = (int(observed.repeated[which].sum()) for which in (tells, tells & (leads > 0)))
            shared = int(observed.repeated[tells & alike[:, i, j]].sum())
            best = for_i if 2 * shared > trials else trials
            p[i, j] = p[j, i] = sign_p(best, trials)
            exact[i, j] = exact[j, i] = shared == trials
            lead[i, j], lead[j, i] = 2 * for_i - trials, trials - 2 * for_i
    return Records(p, lead, exact)


def _same_opponents(observed: Observations) -> NDArray[np.bool_]:
    """Of each sort of prompt, whether two lanes met the same others: (sorts, lanes, lanes)."""
    design = observed.design
    judged = design.per_set((observed.units > 0).astype(np.float64)) > 0
    member = np.zeros((len(design.sets), design.lanes))
    for place, members in enumerate(design.sets):
        member[place, list(members)] = 1.0
    together = np.einsum("uk,ki,kj->uij", judged.astype(np.float64), member, member)
    apart = np.abs(together[:, :, None, :] - together[:, None, :, :])  # by a third lane, the last axis
    lanes = np.arange(design.lanes)
    apart[:, lanes, :, lanes] = 0.0
    apart[:, :, lanes, lanes] = 0.0
    return np.asarray(apart.sum(axis=3) < 0.5)
