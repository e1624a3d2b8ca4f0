"""Luce's choice model with Davidson's ties, fitted to many sets of counts at once.

Out of a set S of lanes with strengths s (log-odds), and with a tie parameter t,

    P(i is chosen) = e^(s_i) / Z    P(no choice) = (|S| / 2) e^(t + mean of s over S) / Z    Z = their sum

(Luce 1959; ties as Davidson 1970, for more than two as Firth, Kosmidis and Turner 2019). Of two lanes this is
the Bradley-Terry model (1952) with Davidson's ties. Between equals the share of ties is e^t / (2 + e^t),
however many lanes there are. With a normal prior around 0 on each strength and on t the penalised likelihood
is strictly concave: there is one answer, it is finite, and Newton's method finds it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

PRIOR = 1.5
"""Standard deviation, in log-odds, of the prior on a strength; docs/methodology.md says what it does."""

TIE_PRIOR = 3.0
"""The same of the prior on the log of the tie parameter: very wide."""


@dataclass(frozen=True, slots=True)
class Design:
    """The sets of lanes that were judged.

    lanes: how many there are. sets: the lanes of each. begins: where the outcomes of each set begin among all
    outcomes, which are a choice of each of its lanes, and then none. of: the set of each outcome. features:
    (outcomes, lanes + 1), what an outcome adds of each strength, above the mean of its set, and of the tie
    parameter, which is last. offsets: the constant part, of each outcome.
    """

    lanes: int
    sets: tuple[tuple[int, ...], ...]
    begins: NDArray[np.intp]
    of: NDArray[np.intp]
    features: Array
    offsets: Array

    @classmethod
    def build(cls, lanes: int, sets: Sequence[tuple[int, ...]]) -> Design:
        """Return the design of these sets."""
        sizes = [len(one) + 1 for one in sets]
        begins = np.cumsum([0, *sizes])[:-1].astype(np.intp)
        features = np.zeros((sum(sizes), lanes + 1))
        offsets = np.zeros(sum(sizes))
        for begin, members in zip(begins, sets, strict=True):
            for place, lane in enumerate(members):
                features[begin + place, list(members)] = -1 / len(members)
                features[begin + place, lane] += 1.0
            features[begin + len(members), lanes] = 1.0
            offsets[begin + len(members)] = math.log(len(members) / 2)
        of = np.repeat(np.arange(len(sets)), sizes)
        return cls(lanes, tuple(sets), begins, of, features, offsets)

    @property
    def ties(self) -> NDArray[np.bool_]:
        """Return which outcomes mean that none was chosen."""
        return np.asarray(self.features[:, self.lanes] > 0)

    def per_set(self, values: Array) -> Array:
        """Return the sums over the outcomes of each set, which are the last axis of `values`."""
        if not self.sets:
            return values[..., :0]
        return np.asarray(np.add.reduceat(values, self.begins, axis=-1))

    def halved(self, counts: Array) -> Array:
        """Return the counts with every tie as an equal part of a choice of each of its lanes."""
        shares = np.zeros((len(self.of), len(self.of)))
        for begin, members in zip(self.begins, self.sets, strict=True):
            size = len(members)
            shares[begin : begin + size, begin : begin + size] = np.eye(size)
            shares[begin + size, begin : begin + size] = 1 / size
        return np.asarray(counts @ shares)


@dataclass(frozen=True, slots=True)
class Fit:
    """strengths: (sets of counts, lanes). tie: (sets of counts,), the log of the tie parameter. information:
    the negative Hessian of the penalised likelihood at the answer, the tie parameter last."""

    strengths: Array
    tie: Array
    information: Array


def fit(design: Design, counts: Array, *, davidson: bool, start: Fit | None = None) -> Fit:
    """Return the strengths that make some counts most likely.

    counts: (sets of counts, outcomes of the design). davidson: whether ties are an outcome of their own; if
    not, each counts as an equal part of a win for all, as the public arenas have it. start: where to begin.
    """
    size = design.lanes + 1
    features = design.features
    outer = (features[:, :, None] * features[:, None, :]).reshape(len(features), size * size)
    precision = np.append(np.full(design.lanes, PRIOR**-2), TIE_PRIOR**-2)
    offsets = design.offsets
    if not davidson:
        counts, offsets = design.halved(counts), np.where(design.ties, -np.inf, offsets)
    total = design.per_set(counts)

    at = np.zeros((len(counts), size))
    if start is not None:
        at[:] = np.append(start.strengths[0], start.tie[0])
    for _ in range(200):
        chance = _probabilities(design, at, offsets)
        expected = total[:, design.of] * chance
        gradient = (counts - expected) @ features - precision * at
        means = design.per_set(chance[:, None, :] * features.T).transpose(0, 2, 1)
        information = (expected @ outer).reshape(len(counts), size, size)
        information -= means.transpose(0, 2, 1) @ (total[:, :, None] * means)
        information += np.diag(precision)

        step = np.linalg.solve(information, gradient[:, :, None])[:, :, 0]
        # What a step promises to gain; in a flat part of the curve a full one can overshoot.
        gain = (gradient * step).sum(axis=1)
        at += step / np.maximum(np.abs(step).max(axis=1, keepdims=True), 1.0)
        if (gain <= 1e-18 * (1 + total.sum(axis=1))).all():
            return Fit(at[:, : design.lanes], at[:, design.lanes], information)
    raise ArithmeticError(
        "the ranking did not converge; this is a defect of chatlab, please report the votes"
    )


def _probabilities(design: Design, at: Array, offsets: Array) -> Array:
    """Return the probability of each outcome within its set."""
    if not design.sets:
        return np.zeros((len(at), 0))
    odds = at @ design.features.T + offsets
    odds = np.exp(odds - np.maximum.reduceat(odds, design.begins, axis=1)[:, design.of])
    return np.asarray(odds / design.per_set(odds)[:, design.of])


def expected_score(difference: float, tie: float, *, davidson: bool) -> float:
    """Return what the model expects of a lane `difference` stronger than one other: a win is 1, a tie 1/2."""
    odds_tie = float(np.exp(tie)) if davidson else 0.0
    odds = float(np.exp(difference / 2))
    return (odds + odds_tie / 2) / (odds + 1 / odds + odds_tie)
