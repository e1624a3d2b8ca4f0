"""The prompts of a comparison with their answers, votes and verdicts, for every format of a report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

import numpy as np

from chatlab.compare.figures import figures_of
from chatlab.compare.model import Comparison, Result, Verdict, Vote
from chatlab.compare.report.sent import named
from chatlab.words import Words


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


def vote_sentence(vote: Vote, labels: Mapping[str, str], words: Words) -> str:
    """Return a vote in one line. labels: of lanes by id."""
    removed = words("compare.removed-lane")
    best = {"tie": words("report.a-tie"), "bad": words("report.all-bad")}.get(vote.best)
    about = words.vote_word(vote.criterion)
    if len(vote.shown) < len(labels):
        among = ", ".join(labels.get(lane, removed) for lane in vote.shown)
        about = words("report.of-lanes", about=about, lanes=among)
    said = [
        words(
            "report.blind-vote" if vote.blind else "report.vote",
            voter=words.translated(vote.voter) or words("report.somebody"),
            about=about,
            best=best or labels.get(vote.best, removed),
        )
    ]
    if vote.reasons:
        said.append(", ".join(map(words.vote_word, vote.reasons)))
    if vote.note:
        said.append(words("report.quoted", note=vote.note))
    if vote.marked:
        said.append(words("report.care", marks=", ".join(map(words.translated, vote.marked))))
    return "; ".join(said)


def verdict_sentence(one: Verdict, labels: Mapping[str, str], words: Words) -> str:
    """Return a verdict in one line. labels: of lanes by id."""
    said = {
        "tie": words("report.a-tie"),
        "flip": words("report.flipped"),
        "unclear": words("report.judged-unclear"),
    }.get(one.winner) or labels.get(one.winner, "?")
    pair = words("both.and", a=labels.get(one.lane_a, "?"), b=labels.get(one.lane_b, "?"))
    about = {"criterion": words.vote_word(one.criterion), "lanes": named(pair, one.repeat, words)}
    verdict = words("report.verdict-of", judge=one.judge, **about, verdict=said)
    return "; ".join(filter(None, (verdict, " | ".join(filter(None, one.reasons)))))
