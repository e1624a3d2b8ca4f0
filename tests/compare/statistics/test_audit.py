"""The audit: a bias that was put in is found, one that was not is not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import combinations
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatlab.compare.model import Verdict, Vote
from chatlab.compare.statistics.audit import Agreement, by_length, by_order, by_position, by_source, by_voter
from chatlab.compare.statistics.judgements import WINNERS, Judgement, Source, from_verdicts, from_votes
from tests.compare.statistics.judging import LANES, judgements


def votes(number: int, left: float, seed: int = 0) -> list[Judgement]:
    """Votes between two lanes shown in random order, of which the left one wins with a probability."""
    random = Random(seed)
    found = []
    for n in range(number):
        place = random.randrange(2)
        wins_left = random.random() < left
        winner = WINNERS[0] if wins_left == (place == 0) else WINNERS[1]
        found.append(Judgement("a", "b", winner, item=f"p{n}", position_a=place, position_b=1 - place))
    return found


# Place


def test_a_preference_for_the_left_is_found() -> None:
    lean = by_position(votes(300, left=0.65))
    assert lean.toward + lean.away == 300
    assert lean.p is not None and lean.p < 0.001
    assert lean.interval is not None and lean.interval.low > 0.5
    assert lean.share == lean.toward / 300


def test_without_one_the_test_is_wrong_about_5_times_in_100() -> None:
    found = [by_position(votes(100, left=0.5, seed=seed)).p for seed in range(300)]
    assert np.mean([p is not None and p < 0.05 for p in found]) <= 0.08


def test_the_best_of_many_lanes_is_one_preference_not_one_for_each_it_beats() -> None:
    at = datetime(2026, 11, 21, tzinfo=UTC)
    names = {lane: lane for lane in LANES}
    cast = [
        Vote("r1", "", "ada", ("ada", "bob", "cyd", "dot"), "v", at, True),
        Vote("r2", "", "dot", ("ada", "bob", "cyd", "dot"), "v", at, True),
        Vote("r3", "", "bob", ("ada", "bob", "cyd"), "v", at, True),
        Vote("r4", "", "tie", ("ada", "bob", "cyd"), "v", at, True),
    ]
    lean = by_position(from_votes(cast, names))
    assert (lean.toward, lean.away, lean.neither, lean.unknown) == (1, 1, 1, 0)


def test_a_good_lane_that_kept_its_place_for_a_session_is_no_liking_for_that_place() -> None:
    at = datetime(2026, 11, 21, tzinfo=UTC)
    cast = [Vote(f"r{n}", "", "ada", ("ada", "bob"), "v", at, True) for n in range(40)]
    names = {"ada": "ada", "bob": "bob"}
    lean = by_position(from_votes(cast, names, session="s1"))
    assert (lean.toward, lean.away, lean.p) == (1, 0, 1.0)
    assert by_position(from_votes(cast, names)).toward == 40


def test_unknown_places_and_undecided_votes_are_not_counted_as_either_side() -> None:
    lean = by_position(
        [Judgement("a", "b", "model_a"), Judgement("a", "b", "tie", position_a=0, position_b=1)]
    )
    assert (lean.toward, lean.away, lean.unknown) == (0, 0, 1)
    assert (lean.share, lean.interval, lean.p) == (None, None, None)


@settings(max_examples=40)
@given(st.lists(judgements(), max_size=20))
def test_the_same_votes_the_other_way_round_lean_the_other_way(given: list[Judgement]) -> None:
    random = Random(1)
    placed = [(one, *random.sample(range(4), 2)) for one in given]
    ahead = [_placed(one, a, b) for one, a, b in placed]
    back = [_placed(one, 3 - a, 3 - b) for one, a, b in placed]
    one, other = by_position(ahead), by_position(back)
    assert (one.toward, one.away, one.neither) == (other.away, other.toward, other.neither)


def _placed(one: Judgement, a: int, b: int) -> Judgement:
    return Judgement(
        one.model_a, one.model_b, one.winner, one.voter, one.criterion, one.item, a, b, source=one.source
    )


# Length


def test_how_often_the_longer_answer_won_is_counted() -> None:
    given = [
        Judgement("a", "b", "model_a", item="1", length_a=900, length_b=100),
        Judgement("a", "b", "model_b", item="2", length_a=100, length_b=101),
        Judgement("a", "b", "model_b", item="3", length_a=500, length_b=20),
        Judgement("a", "b", "model_b", item="4", length_a=20, length_b=20),
        Judgement("a", "b", "model_b", item="5", length_a=20),
        Judgement("a", "b", "tie", item="6", length_a=20, length_b=40),
    ]
    lean = by_length(given)
    assert (lean.toward, lean.away, lean.neither, lean.unknown) == (2, 1, 1, 1)
    assert lean.p == 1.0


def test_an_item_counts_once_however_many_voters_and_repeats_judged_it() -> None:
    given = [
        Judgement(
            "a",
            "b",
            "model_a",
            item=f"p{n}",
            voter=f"v{v}",
            length_a=9,
            length_b=1,
            position_a=0,
            position_b=1,
        )
        for n in range(6)
        for v in range(20)
    ]
    for lean in (by_length(given), by_position(given)):
        assert (lean.toward, lean.away, lean.p) == (6, 0, 2 * 0.5**6)


# A judge's order


def verdict(item: str, winner: str, preferred: tuple[str, str], repeat: int = 0) -> Verdict:
    return Verdict(item, 0, repeat, "x", "y", winner, "judge", "", preferred=preferred)


def test_a_judges_liking_for_the_answer_shown_first_is_found_in_what_flipped() -> None:
    said = [verdict(f"f{n}", "flip", ("first", "first"), r) for n in range(7) for r in range(3)]
    said += [verdict("s", "flip", ("second", "tie")), verdict("x", "x", ("first", "second"))]
    said += [verdict("u", "unclear", ("first", ""))]
    lean = by_order(said)
    assert (lean.toward, lean.away, lean.neither, lean.unknown) == (7, 1, 1, 0)
    assert lean.p == pytest.approx(2 * 9 / 2**8)
    before = by_order([Verdict("p", 0, 0, "x", "y", "flip", "judge", "")])
    assert (before.share, before.unknown) == (None, 1)


# Voters


def test_each_voters_wins_and_share_are_shown_the_busiest_first() -> None:
    given = [
        *[Judgement("a", "b", "model_a", voter="ann")] * 6,
        Judgement("a", "b", "tie", voter="ann"),
        Judgement("a", "b", "model_b", voter="ben", weight=2.0),
        Judgement("a", "b", "tie (bothbad)", voter="judge-1", source="judge"),
    ]
    ann, ben, judge = by_voter(given)
    assert (ann.voter, ann.judged, ann.share, ann.wins, ann.ties) == ("ann", 7, 0.7, {"a": 6}, 1)
    assert (ben.voter, ben.judged, ben.wins) == ("ben", 2, {"b": 2})
    assert (judge.source, judge.both_bad, judge.wins) == ("judge", 1, {})
    assert by_voter([]) == ()


# Votes and judges


def both(pairs: list[tuple[str, str]], lanes: tuple[str, str] = ("a", "b")) -> list[Judgement]:
    """A vote and a judge's verdict on each of some prompts."""
    sources: tuple[Source, Source] = ("vote", "judge")
    return [
        Judgement(*lanes, winner, item=f"{lanes}{n}", source=source)  # type: ignore[arg-type]
        for n, pair in enumerate(pairs)
        for winner, source in zip(pair, sources, strict=True)
    ]


def test_kappa_is_cohens_for_two_lanes() -> None:
    # Cohen's formula by hand: agreed 0.70; by chance 0.6 * 0.5 + 0.4 * 0.5 = 0.50; kappa 0.40.
    given = both(
        [("model_a", "model_a")] * 40
        + [("model_a", "model_b")] * 20
        + [("model_b", "model_a")] * 10
        + [("model_b", "model_b")] * 30
    )
    found = by_source(given)
    assert (found.compared, found.items) == (100, 100)
    assert found.agreed == pytest.approx(0.70)
    assert found.kappa == pytest.approx(0.40)
    assert found.kappa_interval is not None and found.agreed_interval is not None
    # The usual standard error, sqrt(0.7 * 0.3 / 100) / 0.5 = 0.092, gives 0.22 to 0.58.
    assert found.kappa_interval.low == pytest.approx(0.22, abs=0.03)
    assert found.kappa_interval.high == pytest.approx(0.58, abs=0.03)


def test_no_preference_is_a_category_whichever_sort_of_tie_it_is() -> None:
    found = by_source(both([("tie", "tie (bothbad)")] * 10 + [("model_a", "tie")] * 10))
    assert found.agreed == 0.5


def test_six_prompts_that_all_agree_are_not_sure_of_the_seventh() -> None:
    found = by_source(both([("model_a", "model_a")] * 3 + [("model_b", "model_b")] * 3))
    assert (found.agreed, found.kappa, found.kappa_interval) == (1.0, 1.0, None)
    assert found.agreed_interval is not None
    assert (found.agreed_interval.low, found.agreed_interval.high) == pytest.approx((0.541, 1.0), abs=0.001)


def test_agreement_by_chance_is_none_in_kappa() -> None:
    random = Random(2)
    # Both prefer lane a nine times in ten, without looking: they agree on 82 %, which says nothing.
    pairs = [tuple(WINNERS[random.random() > 0.9] for _ in range(2)) for _ in range(2000)]
    found = by_source(both(pairs))  # type: ignore[arg-type]
    assert found.agreed == pytest.approx(0.82, abs=0.03)
    assert found.kappa == pytest.approx(0.0, abs=0.08)


def test_chance_is_taken_within_each_two_lanes() -> None:
    """Two pairs with a clear winner each: naming it is no merit, so agreement without more is none."""
    given = both([("model_a", "model_a")] * 20, ("a", "b")) + both([("model_b", "model_b")] * 20, ("c", "d"))
    found = by_source(given)
    assert found.agreed == 1.0
    assert (found.kappa, found.kappa_interval) == (None, None)


def test_what_only_one_of_them_judged_is_not_compared() -> None:
    given = [
        Judgement("a", "b", "model_a", item="1"),
        Judgement("a", "b", "model_a", item="2", source="judge"),
        Judgement("a", "b", "model_a", source="judge"),
        Judgement("a", "b", "model_a", item="1", criterion="tone", source="judge"),
    ]
    assert by_source(given) == Agreement(0, 0, None, None, None, None)


def test_lanes_named_the_other_way_round_are_the_same_two_lanes() -> None:
    given = [
        Judgement("a", "b", "model_a", item="1"),
        Judgement("b", "a", "model_b", item="1", source="judge"),
    ]
    found = by_source(given)
    assert (found.compared, found.agreed, found.agreed_interval) == (1, 1.0, None)


# From votes and verdicts


def test_a_vote_of_many_lanes_weighs_the_same_whatever_it_says() -> None:
    at = datetime(2026, 11, 21, tzinfo=UTC)
    names = {lane: lane.upper() for lane in LANES}
    for best in ("cyd", "tie", "bad"):
        given = from_votes([Vote("r", "tone", best, LANES, "v", at, True)], names)
        assert sum(one.weight for one in given) == pytest.approx(3)
    assert {one.winner for one in given} == {"tie (bothbad)"}
    assert len(given) == len(list(combinations(LANES, 2)))
    won = from_votes([Vote("r", "tone", "cyd", LANES, "v", at, True)], names, {("r", "cyd"): 12})
    assert {one.preferred for one in won} == {"CYD"}
    assert {(one.item, one.criterion, one.voter) for one in won} == {("r", "tone", "v")}
    assert [one.length_a or one.length_b for one in won] == [12, 12, 12]
    assert [(one.position_a, one.position_b) for one in won] == [(0, 2), (1, 2), (2, 3)]


def test_only_a_voters_last_vote_counts() -> None:
    at = datetime(2026, 11, 21, tzinfo=UTC)
    first = Vote("r", "", "ada", ("ada", "bob"), "v", at, True)
    last = Vote("r", "", "bob", ("ada", "bob"), "v", at + timedelta(seconds=9), True)
    other = Vote("r", "", "ada", ("ada", "bob"), "w", at, True)
    given = from_votes([last, first, other], {"ada": "ada", "bob": "bob"})
    assert [(one.voter, one.preferred) for one in given] == [("v", "bob"), ("w", "ada")]


def test_a_verdict_that_flips_with_the_order_is_no_preference_and_an_unclear_one_is_nothing() -> None:
    names = {"x": "ada", "y": "bob"}
    winners = ("x", "y", "tie", "flip", "unclear")
    said = [Verdict("p", 0, 0, "x", "y", winner, "judge", "") for winner in winners]
    given = from_verdicts(said, names, {("p", 0, "x"): 7, ("p", 0, "y"): 9})
    assert {(one.length_a, one.length_b) for one in given} == {(7, 9)}
    assert [one.winner for one in given] == ["model_a", "model_b", "tie", "tie"]
    assert {(one.source, one.voter, one.item) for one in given} == {("judge", "judge", "p")}
