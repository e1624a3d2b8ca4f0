"""Repeated measurements: how far they spread, and whether two lanes differ by more than the noise.

docs/methodology.md has the formulas and their sources.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from chatlab.compare.statistics.intervals import (
    FEWEST,
    LEVEL,
    Interval,
    bootstrap_p,
    holm,
    percentile_interval,
    unanimous_interval,
    unanimous_p,
)
from chatlab.compare.statistics.sentences import COVERS_ZERO, not_distinguishable
from chatlab.words import ENGLISH

Array = NDArray[np.float64]
Unit: TypeAlias = Literal["prompts", "repeats"]

SAMPLES = 4000
_AT_ONCE = 100  # prompts that are drawn together, 3 MB


@dataclass(frozen=True, slots=True)
class Measurement:
    """One value of one lane for one prompt; a repeat is another with the same lane and item."""

    lane: str
    item: str
    value: float

    def __post_init__(self) -> None:
        if not math.isfinite(self.value):
            raise ValueError(f"a measurement is a finite number, not {self.value}: leave unknown ones out")


@dataclass(frozen=True, slots=True)
class Measure:
    """A measured quantity. unit: as people read it, "s", "tokens", "", or "%" for shares of 1. lower, higher:
    what a lane with lower or higher values is called next to another: "faster" and "slower". centre: the mean
    suits scores of a few values, whose median says nothing. range: of a mean, the least and the greatest
    value there can be; None if there are none."""

    name: str
    unit: str
    lower: str = "lower"
    higher: str = "higher"
    centre: Literal["median", "mean"] = "median"
    range: tuple[float, float] | None = None

    def text(self, value: float) -> str:
        """Return a value with three digits that tell, never as a power of ten."""
        if self.unit == "%":
            return f"{value:.0%}"
        return f"{np.format_float_positional(float(f'{value:.3g}'), trim='-')} {self.unit}".rstrip()


@dataclass(frozen=True, slots=True)
class Summary:
    """One lane's values. low_quartile, high_quartile, p95: of all of them. centre: over the prompts, of each
    prompt's own centre over its repeats, so that every prompt counts once; interval: of this."""

    lane: str
    values: int
    items: int
    low_quartile: float
    centre: float
    high_quartile: float
    p95: float
    interval: Interval | None


@dataclass(frozen=True, slots=True)
class Difference:
    """Two lanes of one measure, on the prompts both have.

    difference: a - b, the centre over prompts of each prompt's difference. unit: what was resampled; with
    "repeats" it is said of these prompts only. units: how many of them, for each lane and prompt.
    reason: why they are not distinguishable, "" if they are.
    """

    measure: Measure
    a: str
    b: str
    difference: float | None
    interval: Interval | None
    p: float | None
    p_holm: float | None
    unit: Unit
    units: int
    reason: str

    @property
    def distinguishable(self) -> bool:
        return not self.reason

    def __str__(self) -> str:
        if self.reason or self.difference is None or self.interval is None:
            return not_distinguishable(self.a, self.b, self.reason)
        word = self.measure.lower if self.difference < 0 else self.measure.higher
        low, high = sorted((abs(self.interval.low), abs(self.interval.high)))
        text, unit = self.measure.text, ENGLISH(f"spread.of-{self.unit}")
        return ENGLISH(
            "spread.differs",
            **{"a": self.a, "b": self.b, "word": word, "difference": text(abs(self.difference))},
            **{"low": text(low), "high": text(high), "count": self.units, "unit": unit},
        )


@dataclass(frozen=True, slots=True)
class Spread:
    """lanes: by name. differences: every two lanes; `p_holm` is corrected for all of them."""

    measure: Measure
    lanes: tuple[Summary, ...]
    differences: tuple[Difference, ...]
    seed: int
    samples: int = SAMPLES


@dataclass(frozen=True, slots=True, eq=False)
class Groups:
    """One lane's values: those of a prompt, which are its repeats, stand together. items: the prompts,
    by number, upwards. begins: where the values of each begin, and at last where they end.
    """

    items: NDArray[np.intp]
    begins: NDArray[np.intp]
    values: Array

    @classmethod
    def of(cls, items: NDArray[np.intp], values: Array) -> Groups:
        """Return the groups of these values, whose prompts stand beside them."""
        begins = np.flatnonzero(np.diff(items, prepend=-1))
        return cls(items[begins], np.append(begins, len(values)), values)

    def __len__(self) -> int:
        return len(self.items)

    def among(self, items: NDArray[np.intp]) -> Groups:
        """Return the groups of these prompts, all of which it has."""
        if len(items) == len(self.items):
            return self
        there = np.isin(self.items, items)
        sizes = self.sizes
        return Groups(items, np.append(0, sizes[there].cumsum()), self.values[np.repeat(there, sizes)])

    @property
    def sizes(self) -> NDArray[np.intp]:
        """Return how many values each prompt has."""
        return np.diff(self.begins)

    def each(self) -> list[Array]:
        """Return the values of each prompt."""
        return np.split(self.values, self.begins[1:-1])

    def centres(self, measure: Measure) -> Array:
        """Return the centre of each prompt's values."""
        found = self.values[self.begins[:-1]]
        for number in np.flatnonzero(self.sizes > 1).tolist():
            found[number] = _centre(self.values[self.begins[number] : self.begins[number + 1]], measure)
        return found


def spread(measurements: Iterable[Measurement], measure: Measure, *, seed: int = 0) -> Spread:
    """Return a description of every lane and a comparison of every two."""
    grouped: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for one in measurements:
        grouped[one.lane][one.item].append(one.value)
    number = {
        item: at for at, item in enumerate(sorted({item for items in grouped.values() for item in items}))
    }
    lanes = {}
    for lane, items in grouped.items():
        ordered = sorted(items)
        places = np.repeat([number[item] for item in ordered], [len(items[item]) for item in ordered])
        lanes[lane] = Groups.of(places, np.array([value for item in ordered for value in items[item]]))
    return spread_of(lanes, measure, seed=seed)


def spread_of(values: Mapping[str, Groups], measure: Measure, *, seed: int = 0) -> Spread:
    """Return the same of the values of each lane."""
    lanes = dict(sorted(values.items()))
    rng = np.random.default_rng(seed)
    summaries = tuple(_summary(lane, groups, measure, rng) for lane, groups in lanes.items())
    found = [_difference(measure, a, b, lanes[a], lanes[b], rng) for a, b in combinations(lanes, 2)]
    return Spread(measure, summaries, _corrected(found), seed)


def _summary(lane: str, items: Groups, measure: Measure, rng: np.random.Generator) -> Summary:
    every = items.values
    centre, draws, _, units = _bootstrap(items, None, measure, rng)
    interval = None
    if draws is not None:
        seen = _unanimous(draws, measure)
        interval = unanimous_interval(centre, units, *seen) if seen else percentile_interval(draws, units)
    low, high, p95 = np.quantile(every, [0.25, 0.75, 0.95])
    return Summary(
        lane=lane,
        values=len(every),
        items=len(items),
        low_quartile=float(low),
        centre=centre,
        high_quartile=float(high),
        p95=float(p95),
        interval=interval,
    )


def _difference(
    measure: Measure,
    a: str,
    b: str,
    of_a: Groups,
    of_b: Groups,
    rng: np.random.Generator,
) -> Difference:
    """Two lanes before the correction for many comparisons."""
    shared = np.intersect1d(of_a.items, of_b.items, assume_unique=True)
    if not len(shared):
        return Difference(measure, a, b, None, None, None, None, "prompts", 0, ENGLISH("spread.no-shared"))
    difference, draws, unit, units = _bootstrap(of_a.among(shared), of_b.among(shared), measure, rng)
    if draws is None:
        prompts = ENGLISH.counted("spread.prompt", len(shared))
        repeats = ENGLISH.counted("spread.repeat", units)
        few = "spread.too-few-one" if len(shared) == 1 else "spread.too-few"
        reason = ENGLISH(few, prompts=prompts, repeats=repeats, fewest=FEWEST)
        return Difference(measure, a, b, difference, None, None, None, unit, units, reason)
    if seen := _unanimous(draws, measure):
        reach = seen[1] - seen[0]
        interval = unanimous_interval(difference, units, -reach, reach)
        p = unanimous_p(difference, units, reach)
    else:
        interval, p = percentile_interval(draws, units), bootstrap_p(draws, units)
    reason = COVERS_ZERO if interval.covers(0) else ""
    return Difference(measure, a, b, difference, interval, p, None, unit, units, reason)


def _unanimous(draws: Array, measure: Measure) -> tuple[float, float] | None:
    """Return the measure's range, if it has one and all units said the same: resampling then sees no
    variation.
    """
    return measure.range if float(np.ptp(draws)) < 1e-12 else None


def _corrected(found: Sequence[Difference]) -> tuple[Difference, ...]:
    """Return the same with Holm's correction; an interval that excludes zero must also outlast it."""
    adjusted = holm([1.0 if one.p is None else one.p for one in found])
    done = []
    for one, p_holm in zip(found, adjusted, strict=True):
        reason = one.reason
        if not reason and p_holm >= 1 - LEVEL:
            reason = ENGLISH("ranking.holm", count=len(found))
        done.append(replace(one, p_holm=None if one.p is None else p_holm, reason=reason))
    return tuple(done)


def _bootstrap(
    a: Groups, b: Groups | None, measure: Measure, rng: np.random.Generator
) -> tuple[float, Array | None, Unit, int]:
    """Return the centre over prompts of a lane's values, or of their differences from another's.

    Also draws of it, what was resampled and how many: the prompts if
    they are enough, else the repeats of each prompt; with too few of both, nothing.
    """
    by_prompt = a.centres(measure)
    if b is not None:
        by_prompt -= b.centres(measure)
    estimate = float(_centre(by_prompt, measure))
    if len(by_prompt) >= FEWEST:
        return estimate, _resampled(by_prompt, measure, rng), "prompts", len(by_prompt)
    fewest = min(int(one.sizes.min()) for one in (a, b) if one is not None)
    if fewest < FEWEST:
        return estimate, None, "repeats", fewest
    drawn = np.array([_resampled(repeats, measure, rng) for repeats in a.each()])
    if b is not None:
        drawn -= [_resampled(repeats, measure, rng) for repeats in b.each()]
    return estimate, _centre(drawn, measure), "repeats", fewest


def _centre(values: Array, measure: Measure) -> Array:
    """Return the median or mean over the first axis."""
    found = np.median(values, axis=0) if measure.centre == "median" else np.mean(values, axis=0)
    return np.asarray(found)


def _resampled(values: Array, measure: Measure, rng: np.random.Generator) -> Array:
    """Return the centres of bootstrap samples of some values.

    A sample's median needs only its middle values, and those of uniform numbers are beta distributed (David
    and Nagaraja 2003): drawing these alone gives the same distribution as drawing all.
    """
    n = len(values)
    if measure.centre == "mean":
        total = np.zeros(SAMPLES)
        for drawn in range(0, n, _AT_ONCE):  # one prompt after the other, as adding up all of them would
            chosen = values[rng.integers(n, size=(min(_AT_ONCE, n - drawn), SAMPLES))]
            total = np.add.reduce(np.concatenate([total[None], chosen]))
        return total / n
    middle = (n + 1) // 2
    lower = rng.beta(middle, n + 1 - middle, SAMPLES)
    upper = lower if n % 2 else lower + (1 - lower) * rng.beta(1, n - middle, SAMPLES)
    at = np.minimum(np.array([lower, upper]) * n, n - 1).astype(int)
    return np.asarray(np.sort(values)[at].mean(axis=0))
