"""How often the ranking is wrong, and how often it tells lanes apart: simulated votes of known strengths.

    python -m benchmarks.ranking                        # prints the table, some minutes
    python -m benchmarks.ranking --write docs/methodology.md

Votes are drawn from Luce's choice model. Of lanes that are all equal, the family error is the share of
sessions in which any two are told apart. Of lanes whose strengths are spread evenly from +1 to -1, the power
is the share of pairs that are told apart. Far apart are strengths from +2 to -2. Beside it stand the same
figures of a plain multinomial fit: log ratios of the counts (with one half added to each), normal p-values,
Holm's correction.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path

import numpy as np

from chatlab.compare.model import Vote
from chatlab.compare.statistics.intervals import LEVEL, holm, normal_p
from chatlab.compare.statistics.judgements import Judgement, from_votes
from chatlab.compare.statistics.ranking import Ranking, rank

BEGIN, END = "<!-- made by benchmarks/ranking.py -->", "<!-- end -->"
_AT = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Scenario:
    """How votes come about.

    voters: how many judge each prompt; repeats count as such. agree: how likely a later one says what the
    first said. tie: the odds of a tie between equals, as Davidson's parameter. by: "vote" among all lanes,
    or a "judge" who compares every two lanes of each prompt, by one order of them that it has for the prompt.
    """

    name: str
    voters: int = 1
    agree: float = 0.0
    tie: float = 0.0
    by: str = "vote"


SCENARIOS = (
    Scenario("one vote a prompt"),
    Scenario("many ties", tie=1.0),
    Scenario("three repeats a prompt", voters=3, agree=0.9),
    Scenario("five voters a prompt", voters=5, agree=0.6),
    Scenario("a judge, every two lanes", by="judge"),
)


@dataclass(frozen=True, slots=True)
class Figures:
    """Shares. family_error: None where lanes differ; power: None where they are equal. coverage: of the 95 %
    intervals of strengths and of differences together. multinomial_*: of the plain fit; None where it has no
    meaning, since prompts have several votes or ties."""

    scenario: str
    lanes: int
    prompts: int
    family_error: float | None
    power: float | None
    coverage: float
    multinomial_error: float | None
    multinomial_power: float | None


def strengths(lanes: int, spread: float) -> np.ndarray:
    """Return strengths from `spread` down to minus it, in equal steps."""
    return np.linspace(spread, -spread, lanes)


def votes(
    scenario: Scenario, true: np.ndarray, prompts: int, rng: np.random.Generator
) -> tuple[list[Judgement], np.ndarray]:
    """Return the judgements of one session, and how often each lane was chosen."""
    lanes = [f"lane {number}" for number in range(len(true))]
    if scenario.by == "judge":
        return _verdicts(lanes, true, prompts, rng), np.zeros(len(true))
    odds = np.append(np.exp(true), scenario.tie * len(true) / 2 * np.exp(true.mean()))
    chance = odds / odds.sum()
    cast, counts = [], np.zeros(len(true))
    for prompt in range(prompts):
        first = None
        for voter in range(scenario.voters):
            said = first if first is not None and rng.random() < scenario.agree else None
            chosen = int(rng.choice(len(chance), p=chance)) if said is None else said
            first = chosen if first is None else first
            best = "tie" if chosen == len(lanes) else lanes[chosen]
            cast.append(Vote(f"p{prompt}", "", best, tuple(lanes), f"v{voter}", _AT, blind=True))
            if best != "tie":
                counts[chosen] += 1
    return from_votes(cast, {lane: lane for lane in lanes}), counts


def _verdicts(
    lanes: Sequence[str], true: np.ndarray, prompts: int, rng: np.random.Generator
) -> list[Judgement]:
    """Luce's model as random utilities: the better of two is the one with the higher one for this prompt."""
    found = []
    for prompt in range(prompts):
        worth = true + rng.gumbel(size=len(true))
        for a, b in combinations(range(len(lanes)), 2):
            winner = "model_a" if worth[a] > worth[b] else "model_b"
            found.append(Judgement(lanes[a], lanes[b], winner, item=f"p{prompt}", source="judge"))
    return found


def simulate(
    scenario: Scenario, lanes: int, prompts: int, *, spread: float, sessions: int, samples: int, seed: int
) -> Figures:
    """Return what came of some sessions, whose lanes are equal where `spread` is 0."""
    rng = np.random.default_rng([seed, lanes, prompts, round(100 * spread)])
    true = strengths(lanes, spread)
    plain = scenario.by == "vote" and scenario.voters == 1 and not scenario.tie
    told, plainly, covered = [], [], []
    for session in range(sessions):
        judgements, counts = votes(scenario, true, prompts, rng)
        ranking = rank(judgements, samples=samples, seed=session)
        told.append(sum(pair.distinguishable for pair in ranking.pairs))
        covered += list(_covered(ranking, true))
        plainly.append(_multinomial(counts))
    pairs = lanes * (lanes - 1) / 2
    error, power = float(np.mean(np.array(told) > 0)), float(np.mean(told)) / pairs
    plain_error, plain_power = float(np.mean(np.array(plainly) > 0)), float(np.mean(plainly)) / pairs
    equal = spread == 0
    return Figures(
        scenario.name,
        lanes,
        prompts,
        error if equal else None,
        None if equal else power,
        float(np.mean(covered)),
        plain_error if equal and plain else None,
        plain_power if plain and not equal else None,
    )


def _covered(ranking: Ranking, true: np.ndarray) -> Iterator[bool]:
    of = {f"lane {number}": float(value) for number, value in enumerate(true)}
    for one in ranking.lanes:
        if one.interval is not None:
            yield one.interval.covers(of[one.lane])
    for pair in ranking.pairs:
        if pair.interval is not None:
            yield pair.interval.covers(of[pair.a] - of[pair.b])


def _multinomial(counts: np.ndarray) -> int:
    """How many pairs a plain multinomial fit tells apart."""
    p_values = []
    for i, j in combinations(counts + 0.5, 2):
        p_values.append(normal_p(float(np.log(i / j) / np.sqrt(1 / i + 1 / j))))
    return sum(p < 1 - LEVEL for p in holm(p_values))


def table(
    sessions: int, samples: int, seed: int, lanes: Sequence[int], prompts: Sequence[int]
) -> Iterator[tuple[Figures, Figures, Figures]]:
    """Yield for each scenario, number of lanes and of prompts the figures of lanes that are equal, different,
    and far apart."""
    for scenario in SCENARIOS:
        for number in lanes:
            for count in prompts:
                if scenario is not SCENARIOS[0] and count not in (
                    prompts[0],
                    prompts[len(prompts) // 2],
                    prompts[-1],
                ):
                    continue
                null, other, far = (
                    simulate(
                        scenario,
                        number,
                        count,
                        spread=spread,
                        sessions=sessions,
                        samples=samples,
                        seed=seed,
                    )
                    for spread in (0.0, 1.0, 2.0)
                )
                yield null, other, far


HEAD = (
    "| votes | lanes | prompts | family error | coverage, equal | different | far apart | power "
    "| multinomial: family error | power |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n"
)


def row(null: Figures, other: Figures, far: Figures) -> str:
    """Return a row of the table."""

    def share(value: float | None) -> str:
        return "" if value is None else f"{value:.1%}"

    cells = (
        *(null.scenario, str(null.lanes), str(null.prompts), share(null.family_error)),
        *(share(null.coverage), share(other.coverage), share(far.coverage), share(other.power)),
        *(share(null.multinomial_error), share(other.multinomial_power)),
    )
    return f"| {' | '.join(cells)} |\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sessions", type=int, default=400, help="sessions of each row (400)")
    parser.add_argument("--samples", type=int, default=200, help="bootstrap samples of each ranking (200)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--lanes", type=int, nargs="+", default=[2, 3, 5, 8])
    parser.add_argument("--prompts", type=int, nargs="+", default=[6, 12, 20, 50, 100])
    parser.add_argument("--write", type=Path, help="the page whose table is replaced")
    given = parser.parse_args()
    made = HEAD
    sys.stdout.write(HEAD)
    for figures in table(given.sessions, given.samples, given.seed, given.lanes, given.prompts):
        made += row(*figures)
        sys.stdout.write(row(*figures))
        sys.stdout.flush()
    if given.write:
        page = given.write.read_text("utf-8")
        before, _, rest = page.partition(BEGIN)
        _, _, after = rest.partition(END)
        given.write.write_text(f"{before}{BEGIN}\n\n{made}\n{END}{after}", "utf-8")


if __name__ == "__main__":
    main()
