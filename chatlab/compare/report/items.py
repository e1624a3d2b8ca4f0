"""The prompts of a comparison with their answers, votes and verdicts, for every format of a report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

import numpy as np

from chatlab.compare.figures import figures_of
from chatlab.compare.model import Comparison, Result, Verdict, Vote


def items_of(compared: Comparison) -> Iterator[tuple[str, list[Result]]]:
    """Yield the results by what was asked, in their order; those of one prompt at a time are in memory."""
    figures = figures_of(compared)
    order = np.argsort(figures.item, kind="stable")
    begin = 0
    for item, size in zip(figures.items, np.bincount(figures.item).tolist(), strict=True):
        yield item, [compared.results[place] for place in order[begin : begin + size].tolist()]
        begin += size


def steps_of(compared: Comparison, results: Sequence[Result]) -> list[tuple[int, list[Result]]]:
    """Return an item's results by step, and in each the lanes in their order."""
    order = {lane.id: number for number, lane in enumerate(compared.lanes)}
    by_step = sorted(results, key=lambda one: (one.step, order.get(one.lane, len(order)), one.repeat))
    return [(step, list(group)) for step, group in groupby(by_step, key=lambda one: one.step)]


def current_votes(compared: Comparison) -> dict[str, list[Vote]]:
    """Return the votes that count, by round: the last of each voter and criterion."""
    apart = compared.mode is None  # of a run each two lanes are voted on by themselves
    last = {
        (vote.round, vote.criterion, vote.voter, frozenset(vote.shown) if apart else None): vote
        for vote in compared.votes
    }
    found: dict[str, list[Vote]] = {}
    for vote in last.values():
        found.setdefault(vote.round, []).append(vote)
    return found


def vote_sentence(vote: Vote, labels: Mapping[str, str]) -> str:
    """Return a vote in one line. labels: of lanes by id."""
    best = {"tie": "a tie", "bad": "all bad"}.get(vote.best) or labels.get(
        vote.best, "a lane that was removed"
    )
    among = ", ".join(labels.get(lane, "a lane that was removed") for lane in vote.shown)
    of = f" ({among})" if len(vote.shown) < len(labels) else ""
    made = f"Vote of {vote.voter or 'somebody'}, {vote.criterion}{of}: {best}" + (
        " (blind)" if vote.blind else ""
    )
    made += f"; {', '.join(vote.reasons)}" if vote.reasons else ""
    made += f"; “{vote.note}”" if vote.note else ""
    return made + (f"; to be taken with care: {', '.join(vote.marked)}" if vote.marked else "")


def verdict_sentence(one: Verdict, labels: Mapping[str, str]) -> str:
    """Return a verdict in one line. labels: of lanes by id."""
    a, b = labels.get(one.lane_a, "?"), labels.get(one.lane_b, "?")
    said = {
        "tie": "a tie",
        "flip": "no preference: it flipped with the order",
        "unclear": "unclear",
    }.get(one.winner) or labels.get(one.winner, "?")
    repeat = f", repeat {one.repeat + 1}" if one.repeat else ""
    reasons = " | ".join(filter(None, one.reasons))
    return (
        f"Judge {one.judge}, {one.criterion}, {a} and {b}{repeat}: {said}{'; ' + reasons if reasons else ''}"
    )
