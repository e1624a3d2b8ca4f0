"""The Bradley-Terry model with Davidson's ties, fitted to many sets of counts at once.

For lanes i and j with strengths s (log-odds) and a tie parameter t, and d = s_i - s_j:

    P(i wins) = e^(d/2) / Z    P(j wins) = e^(-d/2) / Z    P(tie) = e^t / Z    Z = their sum

(Bradley and Terry 1952; Davidson 1970). With a normal prior around 0 on each strength and on t, the
penalised likelihood is strictly concave: there is one answer, it is finite, and Newton's method finds it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

PRIOR = 1.5
"""Standard deviation, in log-odds, of the prior on a strength; docs/methodology.md says what it does."""

TIE_PRIOR = 3.0
"""The same of the prior on the log of the tie parameter: very wide."""


@dataclass(frozen=True, slots=True)
class Fit:
    """strengths: (sets, lanes). tie: (sets,), the log of the tie parameter. information: the negative Hessian
    of the penalised likelihood at the answer, (sets, lanes + 1, lanes + 1), the tie parameter last."""

    strengths: Array
    tie: Array
    information: Array


def fit(pairs: NDArray[np.intp], lanes: int, counts: Array, *, davidson: bool) -> Fit:
    """The strengths that make some counts most likely.

    pairs: (pairs, 2), the two lanes of each. counts: (sets, 3, pairs): how often the first of each pair won,
    the second did, and neither. davidson: whether ties are an outcome of their own; if not, each counts as
    half a win for both, as the public arenas have it.
    """
    index = np.arange(len(pairs))
    incidence = np.zeros((len(pairs), lanes))
    incidence[index, pairs[:, 0]], incidence[index, pairs[:, 1]] = 1.0, -1.0
    outer = (incidence[:, :, None] * incidence[:, None, :]).reshape(len(pairs), lanes * lanes)
    first, second, tied = counts[:, 0], counts[:, 1], counts[:, 2]
    total = first + second + tied
    precision = np.append(np.full(lanes, PRIOR**-2), TIE_PRIOR**-2)

    sets = len(counts)
    at = np.zeros((sets, lanes + 1))
    gradient = np.empty((sets, lanes + 1))
    information = np.empty((sets, lanes + 1, lanes + 1))
    for _ in range(200):
        half = at[:, :lanes] @ incidence.T / 2
        odds_first, odds_second = np.exp(half), np.exp(-half)
        odds_tie = np.exp(at[:, lanes:]) if davidson else np.zeros((sets, 1))
        whole = odds_first + odds_second + odds_tie
        lead, tie = (odds_first - odds_second) / whole, odds_tie / whole

        gradient[:, :lanes] = (first - second - total * lead) / 2 @ incidence
        gradient[:, lanes] = (tied - total * tie).sum(axis=1) if davidson else 0.0
        gradient -= precision * at
        information[:, :lanes, :lanes] = (total * (1 - tie - lead**2) / 4 @ outer).reshape(sets, lanes, lanes)
        cross = -total * lead * tie / 2 @ incidence
        information[:, :lanes, lanes] = information[:, lanes, :lanes] = cross
        information[:, lanes, lanes] = (total * tie * (1 - tie)).sum(axis=1)
        information += np.diag(precision)

        step = np.linalg.solve(information, gradient[:, :, None])[:, :, 0]
        # What a step promises to gain; in a flat part of the curve a full one can overshoot.
        gain = (gradient * step).sum(axis=1)
        at += step / np.maximum(np.abs(step).max(axis=1, keepdims=True), 1.0)
        if (gain <= 1e-18 * (1 + total.sum(axis=1))).all():
            return Fit(at[:, :lanes], at[:, lanes], information)
    raise ArithmeticError(
        "the ranking did not converge; this is a defect of chatlab, please report the votes"
    )


def expected_score(difference: float, tie: float, *, davidson: bool) -> float:
    """What the model expects of a lane `difference` stronger than another: a win is 1, a tie one half."""
    odds_tie = float(np.exp(tie)) if davidson else 0.0
    odds = float(np.exp(difference / 2))
    return (odds + odds_tie / 2) / (odds + 1 / odds + odds_tie)
