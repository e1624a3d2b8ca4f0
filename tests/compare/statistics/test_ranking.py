"""The ranking: right on known data, the same as other implementations, silent where there is no telling."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import combinations
from time import thread_time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatlab.compare.statistics.bradley_terry import PRIOR, TIE_PRIOR
from chatlab.compare.statistics.intervals import normal_quantile
from chatlab.compare.statistics.judgements import WINNERS, Judgement
from chatlab.compare.statistics.ranking import Ranking, rank
from tests.compare.statistics.judging import LANES, drawn, judged, judgements
from tests.compare.statistics.peers import choix, scipy

COUNTS = {
    ("a", "b"): (31, 12, 9),
    ("a", "c"): (25, 20, 14),
    ("a", "d"): (40, 3, 2),
    ("b", "c"): (11, 19, 21),
    ("b", "d"): (17, 9, 5),
    ("c", "d"): (22, 6, 11),
}

# Davidson (1970), table 1, as the R package PlackettLuce has it: brands of chocolate pudding.
PUDDING = {
    ("1", "2"): (19, 22, 16),
    ("1", "3"): (16, 19, 12),
    ("2", "3"): (19, 19, 10),
    ("1", "4"): (18, 23, 13),
    ("2", "4"): (23, 19, 9),
    ("3", "4"): (19, 20, 15),
    ("1", "5"): (13, 19, 18),
    ("2", "5"): (16, 20, 12),
    ("3", "5"): (16, 15, 17),
    ("4", "5"): (17, 14, 16),
    ("1", "6"): (18, 21, 12),
    ("2", "6"): (22, 20, 12),
    ("3", "6"): (13, 18, 10),
    ("4", "6"): (14, 19, 18),
    ("5", "6"): (11, 21, 12),
}

HEAVY = 1e6  # so much data that the prior says nothing: the maximum of the plain likelihood


def strengths(ranking: Ranking) -> dict[str, float]:
    return {one.lane: one.strength for one in ranking.lanes}


# The same numbers as others


def test_davidsons_own_data_give_the_numbers_published_for_them() -> None:
    ranking = rank(judged(PUDDING, weight=HEAVY), samples=1)
    worth = np.exp([strength for _, strength in sorted(strengths(ranking).items())])
    # PlackettLuce's vignette, which stops after the seven iterations that Davidson made.
    published = [0.1388005, 0.1729985, 0.1617420, 0.1653930, 0.1586805, 0.2023855]
    assert worth / worth.sum() == pytest.approx(published, abs=3e-5)
    assert ranking.tie == pytest.approx(0.7468147, abs=3e-5)


def test_with_ties_as_half_wins_the_numbers_are_those_of_arena_rank() -> None:
    """Version 0.1.1 on COUNTS, in log-odds. It pins jax and numpy exactly, so the tests cannot install it."""
    theirs = {"a": 0.6927962, "b": -0.1150403, "c": 0.2922506, "d": -0.8700066}
    assert strengths(rank(judged(COUNTS, weight=HEAVY), ties="half", samples=1)) == pytest.approx(
        theirs, abs=2e-6
    )


def test_where_ties_are_half_wins_intervals_are_a_little_wider_than_arena_ranks_sandwich() -> None:
    """Ours are at least as wide as the likelihood says, which takes half a win to vary as much as a win."""
    theirs = {"a": (0.466, 0.920), "b": (-0.350, 0.120), "c": (0.074, 0.511), "d": (-1.151, -0.589)}
    for one in rank(judged(COUNTS, items=False), ties="half").lanes:
        low, high = theirs[one.lane]
        assert one.interval is not None
        assert 1.0 <= (one.interval.high - one.interval.low) / (high - low) <= 1.2


@pytest.mark.heavy
@pytest.mark.parametrize("counts", [COUNTS, {("a", "b"): (5, 0, 0), ("b", "c"): (3, 1, 2)}])
def test_ties_as_half_wins_are_what_choix_finds_for_each_judgement_twice(
    counts: dict[tuple[str, str], tuple[int, int, int]],
) -> None:
    names = sorted({name for pair in counts for name in pair})
    data = []
    for (a, b), (won, lost, tied) in counts.items():
        i, j = names.index(a), names.index(b)
        data += [(i, j)] * (2 * won + tied) + [(j, i)] * (2 * lost + tied)
    found = choix.opt_pairwise(len(names), data, alpha=2 / (2 * PRIOR**2), tol=1e-12)
    ours = strengths(rank(judged(counts), ties="half", samples=1))
    assert [ours[name] for name in names] == pytest.approx(found.tolist(), abs=1e-6)


@pytest.mark.heavy
def test_without_ties_the_model_is_the_bradley_terry_model_of_choix() -> None:
    counts = {pair: (won, lost, 0) for pair, (won, lost, _) in COUNTS.items()}
    data = [("abcd".index(one.preferred or ""), "abcd".index(_loser(one))) for one in judged(counts)]
    found = choix.opt_pairwise(4, data, alpha=1 / (2 * PRIOR**2), tol=1e-12)
    ranking = rank(judged(counts), samples=1)
    assert ranking.tie == 0
    assert [strengths(ranking)[name] for name in "abcd"] == pytest.approx(found.tolist(), abs=1e-6)


def _loser(one: Judgement) -> str:
    return one.model_b if one.winner == "model_a" else one.model_a


@pytest.mark.heavy
@settings(max_examples=25, deadline=None)
@given(st.lists(judgements(), min_size=1, max_size=30))
def test_any_judgements_give_what_a_general_optimiser_finds_for_davidsons_likelihood(
    given: list[Judgement],
) -> None:
    """The probabilities are written here as Davidson has them, with worths and their geometric mean."""

    def loss(at: np.ndarray) -> float:
        worth, tie = np.exp(at[:4]), np.exp(at[4])
        total = (at[:4] ** 2).sum() / (2 * PRIOR**2) + at[4] ** 2 / (2 * TIE_PRIOR**2)
        for one in given:
            a, b = worth[LANES.index(one.model_a)], worth[LANES.index(one.model_b)]
            between = tie * np.sqrt(a * b) if tied else 0.0
            chosen = {one.model_a: a, one.model_b: b, None: between}[one.preferred]
            total -= one.weight / weighs_as_one[about(one)] * np.log(chosen / (a + b + between))
        return float(total)

    def about(one: Judgement) -> object:
        return (one.item, frozenset((one.model_a, one.model_b))) if one.item else id(one)

    given = [replace(one) for one in given]  # each its own: hypothesis may give one object twice
    weighs_as_one = Counter(map(about, given))
    tied = any(one.preferred is None for one in given)
    found = scipy.optimize.minimize(loss, np.zeros(5), method="BFGS", options={"gtol": 1e-7}).x
    ranking = rank(given, LANES, samples=1)
    assert [strengths(ranking)[lane] for lane in LANES] == pytest.approx(found[:4].tolist(), abs=1e-4)
    if tied:
        assert ranking.tie == pytest.approx(np.exp(found[4]), rel=1e-3)


# What must hold for any judgements


@settings(max_examples=40, deadline=None)
@given(st.lists(judgements(), max_size=30), st.permutations(LANES), st.sampled_from(["davidson", "half"]))
def test_other_names_change_nothing_but_the_names(
    given: list[Judgement], others: list[str], ties: str
) -> None:
    other = dict(zip(LANES, others, strict=True))
    renamed = [replace(one, model_a=other[one.model_a], model_b=other[one.model_b]) for one in given]
    before = strengths(rank(given, LANES, samples=1, ties=ties))  # type: ignore[arg-type]
    after = strengths(rank(renamed, LANES, samples=1, ties=ties))  # type: ignore[arg-type]
    assert {other[lane]: value for lane, value in before.items()} == pytest.approx(after, abs=1e-7)


@settings(max_examples=40, deadline=None)
@given(st.lists(judgements(), max_size=30), st.randoms())
def test_which_lane_is_called_a_and_the_order_of_the_judgements_change_nothing(
    given: list[Judgement], random: object
) -> None:
    other = {"model_a": "model_b", "model_b": "model_a"}
    swapped = [
        replace(one, model_a=one.model_b, model_b=one.model_a, winner=other.get(one.winner, one.winner))
        for one in given
    ]
    random.shuffle(swapped)  # type: ignore[attr-defined]
    assert strengths(rank(given, samples=1)) == pytest.approx(strengths(rank(swapped, samples=1)), abs=1e-7)


@settings(max_examples=60, deadline=None)
@given(st.lists(judgements(), max_size=30))
def test_another_win_never_lowers_the_winner_nor_raises_the_loser(given: list[Judgement]) -> None:
    before = strengths(rank(given, LANES, ties="half", samples=1))
    after = strengths(rank([*given, Judgement("ada", "bob", "model_a")], LANES, ties="half", samples=1))
    assert after["ada"] > before["ada"]
    assert after["bob"] < before["bob"]


@settings(max_examples=40, deadline=None)
@given(st.lists(judgements(), max_size=40))
def test_every_figure_is_finite_and_consistent(given: list[Judgement]) -> None:
    ranking = rank(given, LANES, samples=50)
    assert sorted(one.lane for one in ranking.lanes) == sorted(LANES)
    for one in ranking.lanes:
        group = ranking.groups[one.group]
        assert one.lane in group
        assert 1 <= one.best <= one.rank <= one.worst <= len(group)
        assert np.isfinite(one.strength)
        assert one.interval is None or one.interval.covers(one.strength)
    for group in ranking.groups:
        assert sum(strengths(ranking)[lane] for lane in group) == pytest.approx(0, abs=1e-7)
    assert all(0 < pair.expected < 1 and pair.difference >= -1e-9 for pair in ranking.pairs)
    for pair in ranking.pairs:
        assert (pair.p is None) == (pair.interval is None)
        if pair.p is not None and pair.interval is not None and abs(pair.p - 0.05) > 1e-6:
            assert pair.p > 0.05 or not pair.interval.covers(0)
            assert pair.p_holm is not None and pair.distinguishable is (pair.p_holm < 0.05)
    assert len(ranking.pairs) == sum(len(list(combinations(group, 2))) for group in ranking.groups)


@settings(max_examples=20, deadline=None)
@given(st.lists(judgements(), min_size=1, max_size=30))
def test_one_seed_gives_one_ranking(given: list[Judgement]) -> None:
    assert rank(given, samples=20, seed=7) == rank(given, samples=20, seed=7)


def test_extreme_counts_converge() -> None:
    for counts in ({("a", "b"): (1, 0, 0)}, {("a", "b"): (0, 0, 1)}, {("a", "b"): (1, 1, 1), **COUNTS}):
        for weight in (1e-6, 1.0, 1e9):
            assert np.isfinite(list(strengths(rank(judged(counts, weight=weight), samples=5)).values())).all()


# Known strengths


def test_known_strengths_are_recovered_in_order_and_told_apart() -> None:
    ranking = rank(drawn((1.2, 0.4, -0.4, -1.2), tie=0.5, items=2000, seed=1), samples=300)
    assert [one.lane for one in ranking.lanes] == list(LANES)
    assert [(one.best, one.rank, one.worst) for one in ranking.lanes] == [(n, n, n) for n in range(1, 5)]
    assert all(pair.distinguishable for pair in ranking.pairs)
    assert str(ranking.pairs[0]).startswith("ada is preferred to bob: 0.")
    assert ranking.tie == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("copies", [1, 5])
def test_intervals_cover_the_truth_about_95_times_in_100_also_when_voters_of_a_prompt_agree(
    copies: int,
) -> None:
    true = (0.8, 0.3, -0.2, -0.9)
    covered = []
    for seed in range(100):
        ranking = rank(drawn(true, tie=0.5, items=150, copies=copies, seed=seed), samples=200)
        covered += [one.interval.covers(true[LANES.index(one.lane)]) for one in ranking.lanes if one.interval]
    assert len(covered) == 400
    assert 0.92 <= np.mean(covered) <= 0.985


def test_equal_lanes_are_rarely_told_apart_even_among_many_pairs() -> None:
    wrong = 0
    for seed in range(100):
        ranking = rank(drawn((0.0, 0.0, 0.0, 0.0), tie=0.5, items=60, seed=seed), samples=200)
        wrong += any(pair.distinguishable for pair in ranking.pairs)
    assert wrong <= 10


@pytest.mark.parametrize("copies", [3, 20])
def test_repeats_and_voters_who_say_the_same_of_an_item_make_nothing_more_certain(copies: int) -> None:
    once = rank(drawn((0.5, 0.0, 0.0, -0.5), tie=0.5, items=80, seed=3))
    many = rank(drawn((0.5, 0.0, 0.0, -0.5), tie=0.5, items=80, copies=copies, seed=3))
    assert once.items == many.items == 80 and many.judgements == copies * once.judgements
    for a, b in zip(once.pairs, many.pairs, strict=True):
        assert a.interval is not None and b.interval is not None
        assert (b.p, b.interval.low, b.interval.high) == pytest.approx((a.p, a.interval.low, a.interval.high))


@pytest.mark.parametrize("repeats", [1, 3, 20])
def test_six_unanimous_items_are_six_however_often_each_was_judged(repeats: int) -> None:
    given = [
        Judgement("a", "b", "model_a", item=str(n), voter=str(v)) for n in range(6) for v in range(repeats)
    ]
    (pair,) = rank(given).pairs
    assert pair.p == 0.03125  # the exact sign test's
    # Its end towards zero is as near as that p-value would have it.
    near = pair.difference * (1 - normal_quantile(0.05) / normal_quantile(0.03125))
    assert pair.interval is not None and pair.interval.low == pytest.approx(near)


def test_one_repeated_item_weighs_no_more_than_one_that_was_judged_once() -> None:
    once = [Judgement("a", "b", "model_a" if n else "model_b", item=str(n)) for n in range(8)]
    often = once + [replace(once[0], voter=str(n)) for n in range(100)]
    assert strengths(rank(often, samples=1)) == pytest.approx(strengths(rank(once, samples=1)))


# Little, nothing, or nothing but


def test_nothing_judged_is_no_ranking() -> None:
    assert rank([]).lanes == ()
    ranking = rank([], ["a", "b"])
    assert ranking.groups == (("a",), ("b",))
    assert [one.interval for one in ranking.lanes] == [None, None]
    assert ranking.notes == ("Nothing was judged, so there is no ranking.",)


def test_one_lane_is_alone() -> None:
    (only,) = rank([], ["a"]).lanes
    assert (only.strength, only.rank, only.best, only.worst) == (0, 1, 1, 1)


@pytest.mark.parametrize("winner", ["tie", "tie (bothbad)"])
def test_nothing_but_ties_is_a_draw(winner: str) -> None:
    given = [Judgement("a", "b", winner, item=str(n)) for n in range(30)]  # type: ignore[arg-type]
    ranking = rank(given)
    assert list(strengths(ranking).values()) == [0, 0]
    assert [one.rank for one in ranking.lanes] == [1, 1]
    (pair,) = ranking.pairs
    assert not pair.distinguishable
    assert str(pair) == "a and b are not distinguishable: the interval of their difference covers zero"
    assert ranking.tie is not None and np.isfinite(ranking.tie)


def test_both_bad_counts_as_a_tie_or_is_left_out_and_is_told_apart_in_the_table() -> None:
    given = judged({("a", "b"): (20, 10, 5)}) + [Judgement("b", "a", "tie (bothbad)", item="x")] * 9
    kept, left = rank(given, samples=20), rank(given, both_bad="left out", samples=20)
    assert (kept.judgements, left.judgements) == (44, 35)
    assert kept.table.both_bad == ((0, 9), (9, 0))
    assert kept.table.ties == ((0, 5), (5, 0))
    assert kept.lanes[0].both_bad == 9
    assert kept.tie is not None and left.tie is not None and kept.tie > left.tie
    assert kept.table.wins[0][1] == 20 and kept.table.judged(0, 1) == 44


@pytest.mark.heavy
@pytest.mark.parametrize(("prompts", "told"), [(5, False), (6, True), (12, True)])
def test_a_lane_that_always_wins_is_told_apart_from_as_many_prompts_as_by_an_exact_sign_test(
    prompts: int, told: bool
) -> None:
    (pair,) = rank([Judgement("a", "b", "model_a", item=str(n)) for n in range(prompts)]).pairs
    assert pair.distinguishable is told
    assert 0 < pair.difference < 5
    assert (scipy.stats.binomtest(prompts, prompts).pvalue < 0.05) == told


def test_a_lane_without_wins_is_finite_with_a_wide_interval_and_it_is_said() -> None:
    given = judged({("a", "b"): (30, 30, 0), ("b", "c"): (12, 0, 0)})
    ranking = rank(given)
    last = ranking.lanes[-1]
    assert last.lane == "c" and last.interval is not None
    assert -6 < last.strength < -1
    assert last.interval.high - last.interval.low > 1.5
    assert any("regularisation" in note for note in ranking.notes)
    assert not any("regularisation" in note for note in rank(judged(COUNTS), samples=5).notes)


def test_many_votes_on_few_prompts_give_no_interval() -> None:
    ranking = rank([Judgement("a", "b", "model_a", item=f"p{n % 5}", voter=str(n)) for n in range(500)])
    assert ranking.items == 5
    assert all(one.interval is None for one in ranking.lanes)
    (pair,) = ranking.pairs
    assert pair.reason == "5 prompts were judged, and an interval needs 6"
    assert "Only 5 prompts were judged: no intervals are given below 6." in ranking.notes


def test_lanes_never_compared_are_ranked_apart() -> None:
    given = judged({("a", "b"): (9, 3, 1), ("c", "d"): (2, 8, 1), ("d", "e"): (5, 5, 0)})
    ranking = rank(given, samples=50)
    assert ranking.groups == (("c", "d", "e"), ("a", "b"))
    assert [(one.lane, one.group, one.rank) for one in ranking.lanes[3:]] == [("a", 1, 1), ("b", 1, 2)]
    assert {(pair.a, pair.b) for pair in ranking.pairs} & {("a", "c"), ("c", "a")} == set()
    assert any(
        "2 groups with none between them" in note and "c, d, e; a, b" in note for note in ranking.notes
    )
    alone = strengths(rank(judged({("a", "b"): (9, 3, 0)}), samples=1))
    assert alone["a"] == pytest.approx(
        rank(judged({("a", "b"): (9, 3, 0)}), ["z"], samples=1).lanes[0].strength
    )


def test_a_lane_that_was_never_judged_is_named_and_has_no_place() -> None:
    ranking = rank(judged({("a", "b"): (9, 3, 1)}), ["z", "a", "b"], samples=50)
    assert [(one.lane, one.judged) for one in ranking.lanes] == [("a", True), ("b", True), ("z", False)]
    assert "Without any judgement, and so without a place: z." in ranking.notes
    assert not any("groups" in note for note in ranking.notes)


def test_pooled_criteria_and_sources_are_said() -> None:
    given = [
        Judgement("a", "b", "model_a", criterion="tone", source="judge"),
        Judgement("a", "b", "model_b", criterion="correct"),
    ]
    notes = rank(given, samples=5).notes
    assert "Judgements of several criteria are pooled: 'correct', 'tone'." in notes
    assert "Judgements of several sources are pooled: 'judge', 'vote'." in notes


def test_a_judgement_needs_two_lanes_and_a_weight() -> None:
    with pytest.raises(ValueError, match="two lanes"):
        Judgement("a", "a", "tie")
    for weight in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="weight"):
            Judgement("a", "b", "tie", weight=weight)


def test_ten_thousand_judgements_of_eight_lanes_take_a_few_seconds_at_most() -> None:
    rng = np.random.default_rng(0)
    given = []
    for n in range(10_000):
        i, j = rng.choice(8, 2, replace=False)
        given.append(Judgement(f"m{i}", f"m{j}", WINNERS[rng.choice(4)], item=f"p{n // 4}"))
    start = thread_time()
    assert rank(given, samples=1000).items == 2500
    assert thread_time() - start < 5


def test_one_prompt_is_one_prompt_in_words() -> None:
    ranking = rank([Judgement("a", "b", "model_a", item="p", voter=str(n)) for n in range(3)])

    assert "Only 1 prompt was judged: no intervals are given below 6." in ranking.notes
