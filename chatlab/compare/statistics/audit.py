"""The audit of a ranking: does anything beside the answers tell, such as place, voter, length or source?"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from chatlab.compare.model import UNCLEAR, Verdict
from chatlab.compare.statistics.intervals import (
    FEWEST,
    Interval,
    percentile_interval,
    sign_p,
    unanimous_interval,
    wilson,
)
from chatlab.compare.statistics.judgements import Judgement, Source


@dataclass(frozen=True, slots=True)
class Lean:
    """On how many items most preferences fell on one side of something that should not matter.

    An item counts once, however many preferences it has, for these are not independent. toward, away: items
    of each side. neither: as many preferences of one side as of the other. unknown: the side is not known of
    any. share: toward / (toward + away), with Wilson's interval. p: exact, two-sided, of "either side alike".
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
    """Return the lean to the left. Toward: the preferred answer stood left of most it was preferred to.

    A session whose lanes kept their places is one draw of places, so it counts once: as most of its
    preferences. Counting each would take a good lane that happened to stand left for a liking of the left.
    """

    def left(one: Judgement) -> int | None:
        a, b = one.position_a, one.position_b
        return None if a is None or b is None else int(a < b) - int(a > b)

    return _lean(_choices(judgements, left, of=lambda one: one.session or one.item))


def by_length(judgements: Iterable[Judgement]) -> Lean:
    """Return the lean to length. Toward: the preferred answer was longer than most it was preferred to."""

    def longer(one: Judgement) -> int | None:
        a, b = one.length_a, one.length_b
        return None if a is None or b is None else int(a > b) - int(a < b)

    return _lean(_choices(judgements, longer, of=lambda one: one.item))


def by_order(verdicts: Iterable[Verdict]) -> Lean:
    """Return the lean to an order.

    Toward: of its two replies about the same answers, a judge preferred the one shown first more often than
    the one shown second. A preference that held in both orders is of neither side.
    """
    sides: list[tuple[object, int | None]] = []
    for one in verdicts:
        if one.winner != UNCLEAR:
            side = one.preferred.count("first") - one.preferred.count("second")
            sides.append((one.item, side if all(one.preferred) else None))
    return _lean(sides)


def _choices(
    judgements: Iterable[Judgement],
    side_of_a: Callable[[Judgement], int | None],
    of: Callable[[Judgement], str],
) -> Iterator[tuple[object, int | None]]:
    """Yield what each preference is counted with, and its side: 1, -1, 0 for neither, None if unknown.

    Preferences, not pairs: the best of eight lanes is one choice, though it beats seven. of: what preferences
    are counted together with; "" is one of its own.
    """
    choices: dict[tuple[object, object], int] = defaultdict(int)
    unknown: set[tuple[object, object]] = set()
    for number, one in enumerate(judgements):
        if one.preferred is not None:
            said = (one.source, one.voter, one.criterion, one.item or number, one.preferred)
            choice: tuple[object, object] = (of(one) or number, said)
            side = side_of_a(one)
            if side is None:
                unknown.add(choice)
            else:
                choices[choice] += side if one.winner == "model_a" else -side
    yield from ((unit, None) for unit, _ in unknown)
    for choice in choices.keys() - unknown:
        yield choice[0], (choices[choice] > 0) - (choices[choice] < 0)


def _lean(sides: Iterable[tuple[object, int | None]]) -> Lean:
    known: dict[object, int] = defaultdict(int)
    seen: set[object] = set()
    for unit, side in sides:
        seen.add(unit)
        if side is not None:
            known[unit] += (side > 0) - (side < 0)
    signs = [(total > 0) - (total < 0) for total in known.values()]
    return Lean(signs.count(1), signs.count(-1), signs.count(0), len(seen - known.keys()))


@dataclass(frozen=True, slots=True)
class Voter:
    """One voter's judgements, in weights. share: of all judgements."""

    voter: str
    source: Source
    judged: float
    share: float
    wins: Mapping[str, float]
    ties: float
    both_bad: float


def by_voter(judgements: Sequence[Judgement]) -> tuple[Voter, ...]:
    """Return every voter, those with most judgements first."""
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
    """The agreement of two sources on the same two answers: lane a, lane b, or no preference.

    compared: pairs of judgements, one of each source. items: prompts they are of. agreed: the raw share.
    kappa: Cohen's, with chance taken within each two lanes; None where chance alone would agree fully. The
    intervals resample prompts; None below six. Where every prompt says the same, the raw share's is an exact
    one, and kappa has none.
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
    """Return the agreement of two sources, votes and judges unless others are named.

    Only judgements with items can be compared.
    """
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
        agreed_interval=_interval(drawn_agreed, len(items), (0.0, 1.0)),
        kappa=None if np.isnan(kappa[0]) else float(kappa[0]),
        kappa_interval=None if np.isnan(kappa[0]) else _interval(drawn_kappa, len(items)),
    )


def _agreement(counts: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the raw agreement and kappa of each of several sets of 3 x 3 tables, one table for each two
    lanes.
    """
    of_pair = counts.sum(axis=(2, 3))
    total = of_pair.sum(axis=1)
    agreed = np.trace(counts, axis1=2, axis2=3).sum(axis=1) / total
    by_chance = (counts.sum(axis=3) * counts.sum(axis=2)).sum(axis=2) / np.maximum(of_pair, 1)
    chance = by_chance.sum(axis=1) / total
    room = np.where(1 - chance > 1e-12, 1 - chance, np.nan)
    return agreed, (agreed - chance) / room


def _interval(
    draws: NDArray[np.float64], items: int, bounds: tuple[float, float] | None = None
) -> Interval | None:
    """bounds: of a mean over items. Of anything else that no sample varies there is no interval."""
    known = draws[~np.isnan(draws)]
    if items < FEWEST or not len(known):
        return None
    if float(np.ptp(known)) < 1e-12:
        return unanimous_interval(float(known[0]), items, *bounds) if bounds else None
    return percentile_interval(known, items)
