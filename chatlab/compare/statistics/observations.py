"""Observations of lanes: one choice out of a set for each vote, gathered by prompt.

A vote among N lanes is one observation, though it implies N - 1 judgements of two lanes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from chatlab.compare.statistics.bradley_terry import Array, Design
from chatlab.compare.statistics.judgements import Judgement


@dataclass(frozen=True, slots=True)
class Choice:
    """One observation. among: the lanes there were, in order. best: the one chosen; None for a tie.
    weight: how many choices it counts for. item: what it is independent of other observations by."""

    among: tuple[str, ...]
    best: str | None
    weight: float
    item: Hashable


def choices(judgements: Iterable[Judgement]) -> list[Choice]:
    """Return the choices that some judgements of two lanes each follow from."""
    by_vote: dict[Hashable, list[tuple[int, Judgement]]] = defaultdict(list)
    for number, one in enumerate(judgements):
        named = (one.vote, one.item, one.voter, one.criterion, one.source, one.session)
        by_vote[named if one.vote else number].append((number, one))
    return [choice for group in by_vote.values() for choice in _choices(group)]


def _choices(group: Sequence[tuple[int, Judgement]]) -> Iterator[Choice]:
    """Yield the one choice of a vote. What cannot be one, in a file of somebody's own, is a choice each."""
    item = group[0][1].item or group[0][0]
    lanes = {lane for _, one in group for lane in (one.model_a, one.model_b)}
    pairs = {frozenset((one.model_a, one.model_b)) for _, one in group}
    best = {one.preferred for _, one in group}
    whole = len(lanes) - 1 if best != {None} else len(lanes) * (len(lanes) - 1) // 2
    if len(best) == 1 and len(pairs) == len(group) == whole:
        weight = sum(one.weight for _, one in group) / (len(lanes) - 1)
        yield Choice(tuple(sorted(lanes)), next(iter(best)), weight, item)
        return
    for number, one in group:
        among = tuple(sorted((one.model_a, one.model_b)))
        yield Choice(among, one.preferred, one.weight, one.item or number)


@dataclass(frozen=True, slots=True)
class Observations:
    """The choices of some prompts, counted.

    units: one row for each sort of prompt, the counts of each outcome of the design. repeated: how many
    prompts are of each sort. tied: whether anything was a tie.
    """

    names: tuple[str, ...]
    design: Design
    units: Array
    repeated: NDArray[np.intp]
    tied: bool

    @property
    def items(self) -> int:
        """Return how many prompts were judged: the independent units."""
        return int(self.repeated.sum())

    @property
    def whole(self) -> Array:
        """The counts of all prompts together, as `fit` takes them."""
        return (self.repeated @ self.units).reshape(1, self.units.shape[1])


def observe(found: Sequence[Choice], names: tuple[str, ...]) -> Observations:
    """Return the choices by prompt.

    A prompt's choices out of the same lanes are split, so that together they weigh what one does on average:
    repeats and voters tell more of this prompt, but not of others.
    """
    number = {name: place for place, name in enumerate(names)}
    sets = sorted({tuple(number[lane] for lane in one.among) for one in found})
    design = Design.build(len(names), sets)
    set_of = {members: place for place, members in enumerate(sets)}
    row_of: dict[Hashable, int] = {}
    at = np.zeros((3, len(found)), dtype=np.intp)
    for place, one in enumerate(found):
        members = tuple(number[lane] for lane in one.among)
        of = set_of[members]
        outcome = len(members) if one.best is None else members.index(number[one.best])
        at[:, place] = row_of.setdefault(one.item, len(row_of)), design.begins[of] + outcome, of
    counts = np.zeros((len(row_of), len(design.of)))
    judged = np.zeros((len(row_of), len(sets)))
    np.add.at(counts, (at[0], at[1]), [one.weight for one in found])
    np.add.at(judged, (at[0], at[2]), 1)
    counts /= np.maximum(judged, 1)[:, design.of]
    units, repeated = np.unique(counts, axis=0, return_counts=True)
    return Observations(names, design, units, repeated, any(one.best is None for one in found))
