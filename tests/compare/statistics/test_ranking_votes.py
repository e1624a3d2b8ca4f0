"""The ranking of votes among several lanes: one vote is one observation, and little is called little."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from benchmarks.ranking import SCENARIOS, simulate
from chatlab.compare.model import Vote
from chatlab.compare.statistics.bradley_terry import PRIOR, TIE_PRIOR
from chatlab.compare.statistics.intervals import sign_p
from chatlab.compare.statistics.judgements import Judgement, from_votes
from chatlab.compare.statistics.observations import choices
from chatlab.compare.statistics.ranking import Ranking, rank
from chatlab.compare.statistics.votes_csv import from_csv, from_jsonl, to_csv, to_jsonl
from tests.compare.statistics.peers import scipy

AT = datetime(2026, 11, 21, tzinfo=UTC)


def cast(counts: Sequence[int], ties: int = 0, bad: int = 0, voters: int = 1) -> list[Judgement]:
    """Votes among all lanes, of which each was chosen so often, each by so many voters."""
    lanes = [f"lane {number}" for number in range(len(counts))]
    best = [lane for lane, count in zip(lanes, counts, strict=True) for _ in range(count)]
    best += ["tie"] * ties + ["bad"] * bad
    given = [
        Vote(f"r{number}", "overall", one, tuple(lanes), f"v{voter}", AT, blind=True)
        for number, one in enumerate(best)
        for voter in range(voters)
    ]
    return from_votes(given, {lane: lane for lane in lanes})


def told(ranking: Ranking) -> list[tuple[str, str]]:
    return [(pair.a, pair.b) for pair in ranking.pairs if pair.distinguishable]


@pytest.mark.parametrize(
    "counts", [(5, 3, 2, 2, 0), (4, 2, 0, 0), (4, 0, 2), (5, 0, 1), (4, 4, 4, 0), (3, 3, 3, 3, 4, 4, 0, 0)]
)
def test_counts_that_chance_gives_as_well_call_no_lane_preferred(counts: Sequence[int]) -> None:
    assert told(rank(cast(counts))) == []


@pytest.mark.parametrize(("counts", "number"), [((12, 0, 0, 0, 0), 4), ((20, 5, 5, 5), 3), ((30, 1), 1)])
def test_a_lane_that_is_clearly_preferred_is_called_so(counts: Sequence[int], number: int) -> None:
    assert sorted(told(rank(cast(counts)))) == [("lane 0", f"lane {other}") for other in range(1, number + 1)]


@pytest.mark.parametrize("lanes", [2, 3, 5, 8])
def test_below_six_of_six_no_two_lanes_differ_however_many_others_there_are(lanes: int) -> None:
    """Votes for others say nothing of two lanes, so four of four stay four of four."""
    for wins in range(1, 6):
        counts = [wins, 0, *[10] * (lanes - 2)]
        ranking = rank(cast(counts), samples=200)
        for pair in ranking.pairs:
            if {pair.a, pair.b} == {"lane 0", "lane 1"} and pair.interval is not None:
                assert pair.p is not None and pair.p >= sign_p(wins, wins)
                assert not pair.distinguishable
                assert (
                    pair.interval.covers(0)
                    or pair.reason == f"the difference may be chance (p = {pair.p:.2f})"
                )


def test_four_of_four_is_not_called_among_judgements_of_two_lanes_either() -> None:
    given = [Judgement("a", "b", "model_a", item=f"x{n}") for n in range(4)]
    for n in range(10):
        given.append(Judgement("b", "c", "model_a" if n % 2 else "model_b", item=f"y{n}"))
        given.append(Judgement("c", "d", "model_a" if n % 2 else "model_b", item=f"z{n}"))
    assert not [pair for pair in told(rank(given)) if set(pair) == {"a", "b"}]


@pytest.mark.heavy
@pytest.mark.parametrize("lanes", [2, 4, 8])
def test_a_vote_is_one_observation_of_the_multinomial_likelihood(lanes: int) -> None:
    """Held to a general optimiser of the likelihood as it is written in the docs."""
    rng = np.random.default_rng(lanes)
    counts, ties = rng.integers(0, 9, lanes), 4

    def loss(at: np.ndarray) -> float:
        strengths, tie = at[:-1], at[-1]
        odds = np.append(np.exp(strengths), lanes / 2 * np.exp(tie + strengths.mean()))
        chance = odds / odds.sum()
        prior = (strengths**2).sum() / (2 * PRIOR**2) + tie**2 / (2 * TIE_PRIOR**2)
        return float(prior - (np.append(counts, ties) * np.log(chance)).sum())

    found = scipy.optimize.minimize(loss, np.zeros(lanes + 1), method="BFGS", options={"gtol": 1e-8}).x
    ranking = rank(cast(counts.tolist(), ties), samples=1)
    ours = {one.lane: one.strength for one in ranking.lanes}
    assert [ours[f"lane {n}"] for n in range(lanes)] == pytest.approx(found[:-1].tolist(), abs=1e-4)
    assert ranking.tie == pytest.approx(np.exp(found[-1]), rel=1e-3)


def test_the_information_of_a_vote_does_not_grow_with_the_lanes_it_implies() -> None:
    """Between two lanes 10 to 10 tells the same, whether six others were there and never chosen or not."""
    two, eight = (rank(cast([10, 10, *[0] * others]), samples=400) for others in (0, 6))
    width = {}
    for ranking in (two, eight):
        (pair,) = (pair for pair in ranking.pairs if {pair.a, pair.b} == {"lane 0", "lane 1"})
        assert pair.interval is not None
        width[len(ranking.lanes)] = pair.interval.high - pair.interval.low
    assert width[8] >= 0.95 * width[2]


def test_a_lane_that_never_won_is_not_certain_to_be_last() -> None:
    ranking = rank(cast((10, 10, 10, 0)), samples=400)
    last = ranking.lanes[-1]
    assert last.lane == "lane 3" and last.interval is not None
    assert last.interval.high - last.interval.low > 2.0


@pytest.mark.parametrize("voters", [2, 7])
def test_voters_of_a_prompt_who_agree_make_nothing_more_certain(voters: int) -> None:
    once, often = (rank(cast((9, 4, 3, 1), ties=2, voters=count)) for count in (1, voters))
    for a, b in zip(once.pairs, often.pairs, strict=True):
        assert a.interval is not None and b.interval is not None
        assert (b.p, b.interval.low, b.interval.high) == pytest.approx((a.p, a.interval.low, a.interval.high))


def test_ties_and_both_bad_of_many_lanes_are_one_observation_each() -> None:
    given = cast((3, 1, 1), ties=2, bad=1)
    found = choices(given)
    assert len(found) == 8 and {len(one.among) for one in found} == {3}
    assert [one.best for one in found].count(None) == 3
    assert {one.weight for one in found} == {1.0}
    assert len(choices([one for one in given if one.winner != "tie (bothbad)"])) == 7


def test_what_is_one_vote_survives_a_file() -> None:
    given = cast((9, 4, 3, 1), ties=2)
    assert from_csv(to_csv(given)) == given == from_jsonl(to_jsonl(given))
    again = rank(from_csv(to_csv(given)))
    assert again == rank(given)


def test_judgements_that_cannot_be_one_vote_are_one_each() -> None:
    """In a file of somebody's own anything can stand."""
    first = Judgement("a", "b", "model_a", item="p", vote="1")
    for other in (
        Judgement("c", "d", "model_a", item="p", vote="1"),
        Judgement("b", "c", "model_a", item="p", vote="1"),
        replace(first),
        Judgement("a", "c", "tie", item="p", vote="1"),
    ):
        assert [len(one.among) for one in choices([first, other])] == [2, 2]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: one.name)
def test_equal_lanes_are_seldom_told_apart_and_intervals_cover(scenario: object) -> None:
    """`benchmarks/ranking.py` in small: 40 sessions of each, and no more than chance allows at 5 %."""
    for lanes, prompts in ((5, 12), (8, 20)):
        found = simulate(
            scenario,  # type: ignore[arg-type]
            *(lanes, prompts),
            spread=0.0,
            sessions=40,
            samples=100,
            seed=7,
        )
        assert found.family_error is not None and found.family_error <= 0.125  # 5 of 40: p = 0.048 at 5 %
        assert found.coverage >= 0.93


def test_known_differences_are_told_apart_about_as_often_as_by_a_plain_multinomial_fit() -> None:
    found = simulate(SCENARIOS[0], 4, 60, spread=1.0, sessions=40, samples=100, seed=3)
    assert found.power is not None and found.multinomial_power is not None
    assert found.power >= found.multinomial_power - 0.05 and found.power > 0.3
    assert 0.92 <= found.coverage <= 0.995
