"""Judgements of two answers each, which votes, judges and checks are made into before anything is counted."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Literal, TypeAlias, get_args

from chatlab.compare.model import UNCLEAR, Verdict, Vote

Winner: TypeAlias = Literal["model_a", "model_b", "tie", "tie (bothbad)"]
Source: TypeAlias = Literal["vote", "judge", "check"]

WINNERS: tuple[Winner, ...] = get_args(Winner)
SOURCES: tuple[Source, ...] = get_args(Source)


@dataclass(frozen=True, slots=True)
class Judgement:
    """One preference between the answers of two lanes; the first three names are those that arena data use.

    voter: who; of a judge its backend, of a check its name. item: the prompt or round, within which
    judgements are not independent; "" is one of its own. position_a, position_b: places on the page from the
    left, from 0. length_a, length_b: characters of the answers. session: where the places were drawn once and
    stayed; "" if they were drawn for this judgement. weight: how many judgements it counts for. vote: of a
    voter and item, the choice among several lanes that it follows from, which is one observation; "" if it
    was made by itself. None is unknown.
    """

    model_a: str
    model_b: str
    winner: Winner
    voter: str = ""
    criterion: str = ""
    item: str = ""
    position_a: int | None = None
    position_b: int | None = None
    length_a: int | None = None
    length_b: int | None = None
    source: Source = "vote"
    session: str = ""
    weight: float = 1.0
    vote: str = ""

    def __post_init__(self) -> None:
        if self.model_a == self.model_b:
            raise ValueError(f"a judgement needs two lanes, but both are {self.model_a!r}")
        if not (math.isfinite(self.weight) and self.weight > 0):
            raise ValueError(f"a judgement's weight is a number above 0, not {self.weight}")

    @property
    def preferred(self) -> str | None:
        """Return the lane that won; None for a tie of either sort."""
        match self.winner:
            case "model_a":
                return self.model_a
            case "model_b":
                return self.model_b
            case "tie" | "tie (bothbad)":
                return None


def from_votes(
    votes: Iterable[Vote],
    names: Mapping[str, str],
    lengths: Mapping[tuple[str, str], int] | None = None,
    session: str = "",
    *,
    apart: bool = False,
) -> list[Judgement]:
    """Return what some votes say of each two lanes.

    names: of lanes by id, distinct. lengths: by round and lane id.
    session: the id of the session they are of, if its lanes kept their places. apart: a voter may have judged
    several sets of lanes of one round, each by itself.

    Only the last vote of a voter for a round and criterion counts (if apart, of the same lanes). The best of
    N lanes beats each of the others; a tie or "all bad" is one between each two, and weighs 2/N each, so that
    every vote weighs N - 1. `vote` says which of them are one vote.
    """
    last = {
        (vote.voter, vote.round, vote.criterion, frozenset(vote.shown) if apart else None): vote
        for vote in sorted(votes, key=lambda vote: vote.at)
    }
    length = lengths or {}
    found = []
    for number, vote in enumerate(last.values(), 1):
        undecided = vote.best in ("tie", "bad")
        for (place_a, a), (place_b, b) in combinations(enumerate(vote.shown), 2):
            if not undecided and vote.best not in (a, b):
                continue
            winner: Winner = "model_a" if vote.best == a else "model_b"
            if undecided:
                winner = "tie" if vote.best == "tie" else "tie (bothbad)"
            found.append(
                Judgement(
                    model_a=names[a],
                    model_b=names[b],
                    winner=winner,
                    voter=vote.voter,
                    criterion=vote.criterion,
                    item=vote.round,
                    position_a=place_a,
                    position_b=place_b,
                    length_a=length.get((vote.round, a)),
                    length_b=length.get((vote.round, b)),
                    session=session,
                    weight=2 / len(vote.shown) if undecided else 1.0,
                    vote=str(number) if len(vote.shown) > 2 else "",
                )
            )
    return found


def from_verdicts(
    verdicts: Iterable[Verdict],
    names: Mapping[str, str],
    lengths: Mapping[tuple[str, int, str], int] | None = None,
) -> list[Judgement]:
    """Return what a judge's verdicts say.

    One that flipped with the order is a tie, for it shows no preference; one that could not be read is left
    out. lengths: by item, repeat and lane id.
    """
    length = lengths or {}
    return [
        Judgement(
            model_a=names[one.lane_a],
            model_b=names[one.lane_b],
            winner=_winner(one),
            voter=one.judge,
            criterion=one.criterion,
            item=one.item,
            length_a=length.get((one.item, one.repeat, one.lane_a)),
            length_b=length.get((one.item, one.repeat, one.lane_b)),
            source="judge",
        )
        for one in verdicts
        if one.winner != UNCLEAR
    ]


def _winner(verdict: Verdict) -> Winner:
    if verdict.winner == verdict.lane_a:
        return "model_a"
    return "model_b" if verdict.winner == verdict.lane_b else "tie"
