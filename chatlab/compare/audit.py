"""What a ranking's judgements may owe to something other than the answers: place, voter, length, source."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from chatlab.compare.intervals import FEWEST, Interval, percentile_interval, sign_p, wilson
from chatlab.compare.judgements import Judgement, Source


@dataclass(frozen=True, slots=True)
class Lean:
    """How often preferences fell on one side of something that should not matter.

    toward, away: preferences of each side. neither: decided, but on no side. unknown: decided, but the side
    is not known. share: toward / (toward + away), with Wilson's interval. p: exact, two-sided, of "either
    side alike".
    """

    toward: int
    away: int
    neither: int
    unknown: int

    @property
    def share(self) -> float | None:
        return self.toward / (self.toward + self.away) if self.toward + self.away else None

    @property
    def interval(self) -> Interval | None:
        return wilson(self.toward, self.toward + self.away)

    @property
    def p(self) -> float | None:
        return sign_p(self.toward, self.toward + self.away) if self.toward + self.away else None


def by_position(judgements: Iterable[Judgement]) -> Lean:
    """Toward: the preferred answer stood left of most answers it was preferred to.

    A session whose lanes kept their places is one draw of places, so it counts once: as most of its
    preferences. Counting each would take a good lane that happened to stand left for a liking of the left.
    """

    def left(one: Judgement) -> int | None:
        a, b = one.position_a, one.position_b
        return None if a is None or b is None else int(a < b) - int(a > b)

    return _lean(judgements, left, of=lambda one: one.session)


def by_length(judgements: Iterable[Judgement]) -> Lean:
    """Toward: the preferred answer was longer than most answers it was preferred to."""

    def longer(one: Judgement) -> int | None:
        a, b = one.length_a, one.length_b
        return None if a is None or b is None else int(a > b) - int(a < b)

    return _lean(judgements, longer)


def _lean(
    judgements: Iterable[Judgement],
    side_of_a: Callable[[Judgement], int | None],
    of: Callable[[Judgement], str] = lambda one: "",
) -> Lean:
    """Count preferences, not pairs: the best of eight lanes is one choice, though it beats seven.

    side_of_a: 1, -1, 0 for neither, None if unknown. of: what preferences are counted as one with, if not "".
    """
    choices: dict[tuple[str, object], int] = defaultdict(int)
    unknown: set[tuple[str, object]] = set()
    for number, one in enumerate(judgements):
        if one.preferred is not None:
            said = (one.source, one.voter, one.criterion, one.item or number, one.preferred)
            choice: tuple[str, object] = (of(one), said)
            side = side_of_a(one)
            if side is None:
                unknown.add(choice)
            else:
                choices[choice] += side if one.winner == "model_a" else -side
    sums: dict[object, int] = defaultdict(int)
    for known in choices.keys() - unknown:
        sums[known[0] or known] += (choices[known] > 0) - (choices[known] < 0)
    signs = [(total > 0) - (total < 0) for total in sums.values()]
    return Lean(signs.count(1), signs.count(-1), signs.count(0), len(unknown))


@dataclass(frozen=True, slots=True)
class Voter:
    """What one voter's judgements come to, in weights. share: of all judgements."""

    voter: str
    source: Source
    judged: float
    share: float
    wins: Mapping[str, float]
    ties: float
    both_bad: float


def by_voter(judgements: Sequence[Judgement]) -> tuple[Voter, ...]:
    """Every voter, those with most judgements first."""
    judged: Counter[tuple[str, Source]] = Counter()
    won: dict[tuple[str, Source], Counter[str]] = defaultdict(Counter)
    undecided: dict[tuple[str, Source], Counter[str]] = defaultdict(Counter)
    for one in judgements:
        who = (one.voter, one.source)
        judged[who] += one.weight  # type: ignore[assignment]
        tally, what = (undecided, one.winner) if one.preferred is None else (won, one.preferred)
        tally[who][what] += one.weight  # type: ignore[assignment]
    total = sum(judged.values())
    return tuple(
        Voter(
            voter=who[0],
            source=who[1],
            judged=count,
            share=count / total,
            wins=dict(sorted(won[who].items())),
            ties=undecided[who]["tie"],
            both_bad=undecided[who]["tie (bothbad)"],
        )
        for who, count in sorted(judged.items(), key=lambda row: (-row[1], row[0]))
    )


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far two sources agree on the same two answers: lane a, lane b, or no preference.

    compared: pairs of judgements, one of each source. items: prompts they are of. agreed: the raw share.
    kappa: Cohen's, with chance taken within each two lanes; None where chance alone would agree fully. The
    intervals resample prompts; None below six.
    """

    compared: int
    items: int
    agreed: float | None
    agreed_interval: Interval | None
    kappa: float | None
    kappa_interval: Interval | None


def by_source(
    judgements: Iterable[Judgement],
    one: Source = "vote",
    other: Source = "judge",
    *,
    samples: int = 2000,
    seed: int = 0,
) -> Agreement:
    """The agreement of two sources, votes and judges unless others are named. Needs judgements with items."""
    said: dict[Source, dict[tuple[str, str, str, str], list[int]]] = {one: {}, other: {}}
    for each in judgements:
        if each.item and each.source in said:
            a, b = sorted((each.model_a, each.model_b))
            outcome = (a, b, None).index(each.preferred)
            said[each.source].setdefault((each.item, each.criterion, a, b), []).append(outcome)
    shared = sorted(said[one].keys() & said[other].keys())
    items = {item: row for row, item in enumerate(sorted({key[0] for key in shared}))}
    lanes = {pair: column for column, pair in enumerate(sorted({key[2:] for key in shared}))}
    counts = np.zeros((len(items), len(lanes), 3, 3))
    for key in shared:
        for x in said[one][key]:
            for y in said[other][key]:
                counts[items[key[0]], lanes[key[2:]], x, y] += 1
    if not shared:
        return Agreement(0, 0, None, None, None, None)

    agreed, kappa = _agreement(counts.sum(axis=0, keepdims=True))
    drawn = np.random.default_rng(seed).multinomial(len(items), [1 / len(items)] * len(items), size=samples)
    drawn_agreed, drawn_kappa = _agreement(np.tensordot(drawn, counts, axes=1))
    return Agreement(
        compared=int(counts.sum()),
        items=len(items),
        agreed=float(agreed[0]),
        agreed_interval=_interval(drawn_agreed, len(items)),
        kappa=None if np.isnan(kappa[0]) else float(kappa[0]),
        kappa_interval=None if np.isnan(kappa[0]) else _interval(drawn_kappa, len(items)),
    )


def _agreement(counts: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The raw agreement and kappa of each of several sets of 3 x 3 tables, one table for each two lanes."""
    of_pair = counts.sum(axis=(2, 3))
    total = of_pair.sum(axis=1)
    agreed = np.trace(counts, axis1=2, axis2=3).sum(axis=1) / total
    by_chance = (counts.sum(axis=3) * counts.sum(axis=2)).sum(axis=2) / np.maximum(of_pair, 1)
    chance = by_chance.sum(axis=1) / total
    room = np.where(1 - chance > 1e-12, 1 - chance, np.nan)
    return agreed, (agreed - chance) / room


def _interval(draws: NDArray[np.float64], items: int) -> Interval | None:
    known = draws[~np.isnan(draws)]
    return percentile_interval(known, items) if items >= FEWEST and len(known) else None
