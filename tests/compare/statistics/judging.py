"""Judgements drawn from known strengths, and strategies for arbitrary ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from hypothesis import strategies as st

from chatlab.compare.statistics.judgements import SOURCES, WINNERS, Judgement

LANES = ("ada", "bob", "cyd", "dot")

Counts = Mapping[tuple[str, str], tuple[int, int, int]]


def judged(counts: Counts, *, weight: float = 1.0, items: bool = True) -> list[Judgement]:
    """Judgements with these numbers of wins of the first, wins of the second and ties for each two lanes."""
    found: list[Judgement] = []
    for (a, b), numbers in counts.items():
        for winner, number in zip(WINNERS, numbers, strict=False):
            for _ in range(number):
                item = f"p{len(found)}" if items else ""
                found.append(Judgement(a, b, winner, item=item, weight=weight))
    return found


def drawn(
    strengths: Sequence[float], *, tie: float, items: int, copies: int = 1, seed: int
) -> list[Judgement]:
    """Judgements of random pairs by Davidson's model; `copies` voters say the same of each item."""
    rng = np.random.default_rng(seed)
    found = []
    for item in range(items):
        i, j = rng.choice(len(strengths), 2, replace=False)
        half = (strengths[i] - strengths[j]) / 2
        odds = np.array([np.exp(half), np.exp(-half), tie])
        winner = WINNERS[rng.choice(3, p=odds / odds.sum())]
        found += [Judgement(LANES[i], LANES[j], winner, item=f"p{item}")] * copies
    return found


@st.composite
def judgements(draw: st.DrawFn) -> Judgement:
    a, b = draw(st.permutations(LANES))[:2]
    return Judgement(
        a,
        b,
        draw(st.sampled_from(WINNERS)),
        item=draw(st.sampled_from(["", "p1", "p2", "p3", "p4", "p5", "p6", "p7"])),
        voter=draw(st.sampled_from(["", "v1", "v2"])),
        source=draw(st.sampled_from(SOURCES)),
        weight=draw(st.sampled_from([1.0, 0.5, 2.0])),
    )
