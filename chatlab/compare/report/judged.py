"""Rankings of a comparison's lanes by votes and by verdicts, for each criterion, with their audit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from chatlab.compare.model import Comparison, Verdict
from chatlab.compare.report.words import Cell, ReportTable
from chatlab.compare.statistics.audit import (
    Agreement,
    Lean,
    by_length,
    by_order,
    by_position,
    by_source,
    by_voter,
)
from chatlab.compare.statistics.intervals import Interval
from chatlab.compare.statistics.judgements import Judgement, Source, from_verdicts, from_votes
from chatlab.compare.statistics.ranking import Ranked, Ranking, rank
from chatlab.messages import TextPart
from chatlab.spelling import count
from chatlab.words import ENGLISH

_WHO: Mapping[Source, str] = {"vote": "votes", "judge": "the judge's verdicts", "check": "checks"}


@dataclass(frozen=True, slots=True)
class Judged:
    """One criterion, judged by people or by a judge. audit: sentences."""

    criterion: str
    source: Source
    judgements: tuple[Judgement, ...]
    ranking: Ranking
    audit: tuple[str, ...]

    @property
    def title(self) -> str:
        """Return what was ranked, and by what."""
        return f"{self.criterion}: ranking by {_WHO[self.source]}"

    @property
    def summary_title(self) -> str:
        """Return what was judged, and by what, as a row's heading."""
        return f"{self.criterion}, by {_WHO[self.source]}"


def judgements_of(compared: Comparison) -> list[Judgement]:
    """Return every vote and verdict as judgements of two lanes each, lanes by their labels."""
    names: dict[str, str] = {lane.id: lane.label for lane in compared.lanes}
    for lane_id in {lane for vote in compared.votes for lane in (*vote.shown, vote.best)} - {"tie", "bad"}:
        names.setdefault(lane_id, f"a lane that was removed ({lane_id[:6]})")
    if not compared.votes and not compared.verdicts:
        return []
    courses: Counter[tuple[str, int, str]] = Counter()  # what is judged is all answers of a conversation
    for result in compared.results:
        size = sum(len(part.text) for part in result.turn.answer if isinstance(part, TextPart))
        courses[result.item, result.repeat, result.lane] += size
    lengths: dict[tuple[str, str], int] = {}
    for (item, _, lane), size in courses.items():
        lengths.setdefault((item, lane), size)  # a vote is on the first of several repeats
    return [
        *from_votes(compared.votes, names, lengths, session=compared.session, apart=compared.mode is None),
        *from_verdicts(compared.verdicts, names, courses),
    ]


def judged_criteria(compared: Comparison) -> list[Judged]:
    """Return each criterion and source by itself: neither is averaged with another."""
    lanes = [lane.label for lane in compared.lanes]
    groups: dict[tuple[str, Source], list[Judgement]] = {}
    for one in judgements_of(compared):
        groups.setdefault((one.criterion, one.source), []).append(one)
    found = []
    for (criterion, source), given in groups.items():
        place = _by_place(given) if source == "vote" else _by_order(compared.verdicts, criterion)
        audit = (place, _lean("Length", "prompt", "longer", by_length(given)), *_by_voter(source, given))
        found.append(Judged(criterion, source, tuple(given), rank(given, lanes), audit))
    return found


def _by_place(votes: Sequence[Judgement]) -> str:
    same_places = any(one.session for one in votes)
    return _lean("Position", "session" if same_places else "prompt", "further left", by_position(votes))


def _by_order(verdicts: Sequence[Verdict], criterion: str) -> str:
    winners = [one.winner for one in verdicts if one.criterion == criterion]
    lean = by_order(one for one in verdicts if one.criterion == criterion)
    said = _lean("Order", "prompt", "shown first", lean)
    return f"{said} {winners.count('flip')} of {len(winners)} verdicts flipped with the order."


def _by_voter(source: Source, judgements: Sequence[Judgement]) -> list[str]:
    found = []
    who = "Voter" if source == "vote" else "Judge"
    for voter in by_voter(judgements):
        wins = ", ".join(f"{lane} {count:g}" for lane, count in voter.wins.items()) or "none"
        found.append(
            f"{_named(who, voter.voter)}: {voter.share:.0%} of all; "
            f"preferred {wins}; ties {voter.ties:g}, both bad {voter.both_bad:g}."
        )
    return found


def _named(who: str, name: str) -> str:
    """Return who judged, as a sentence begins: those without a name are called "voter 1" already."""
    return name.capitalize() if name.startswith(f"{who.lower()} ") else f"{who} {name or 'unnamed'}"


def _lean(what: str, unit: str, side: str, lean: Lean) -> str:
    """unit: what counts once."""
    other = f"; neither {lean.neither}, unknown {lean.unknown}" if lean.neither or lean.unknown else ""
    if lean.share is None or lean.interval is None or lean.p is None:
        return f"{what}: no preference tells{other}."
    return (
        f"{what} (a {unit} counts once): in {lean.toward} of {lean.toward + lean.away}, most preferences "
        f"were for an answer that was {side} ({lean.share:.0%}, 95% interval {lean.interval.low:.0%} to "
        f"{lean.interval.high:.0%}, p = {lean.p:.2g}){other}."
    )


def agreement(compared: Comparison) -> str:
    """Return how far votes and judge agree, as a sentence; "" if they judged nothing in common."""
    found = by_source(judgements_of(compared))
    if found.agreed is None:
        return ""
    kappa = (
        "" if found.kappa is None else f"; Cohen's kappa {_plain(found.kappa)}{_said(found.kappa_interval)}"
    )
    return (
        f"Votes and judge agree on {found.agreed:.0%}{_percent(found)} of "
        f"{count(found.compared, 'comparison')} of {count(found.items, 'prompt')}{kappa}."
    )


def _percent(found: Agreement) -> str:
    interval = found.agreed_interval
    return "" if interval is None else f" (95% interval {interval.low:.0%} to {interval.high:.0%})"


def _said(interval: Interval | None) -> str:
    return "" if interval is None else f" (95% interval {_plain(interval.low)} to {_plain(interval.high)})"


def _plain(value: float) -> str:
    return ENGLISH.number(f"{value:z.2f}")


_PLACES_HEAD = tuple(
    Cell(name, "number" if number else "")
    for number, name in enumerate(
        ("lane", "rank", "ranks not excluded", "strength (95%)", "won", "lost", "tied", "both bad")
    )
)


def strength(one: Ranked) -> str:
    """Return a lane's strength with its interval, in log-odds."""
    interval = one.interval
    within = "no interval" if interval is None else f"{interval.low:+z.2f} to {interval.high:+z.2f}"
    return ENGLISH.number(f"{one.strength:+z.2f} ({within})")


def places(ranking: Ranking) -> ReportTable:
    """Return each lane's rank, its strength and what it rests on; one that was never judged has none."""
    rows = []
    for one in ranking.lanes:
        said = ["never judged"]
        if one.judged:
            ranks = str(one.best) if one.best == one.worst else f"{one.best} to {one.worst}"
            counts = (one.wins, one.losses, one.ties, one.both_bad)
            said = [str(one.rank), ranks, strength(one), *(f"{count:g}" for count in counts)]
        said += [""] * (len(_PLACES_HEAD) - 1 - len(said))
        rows.append([Cell(one.lane), *(Cell(text, "number") for text in said)])
    return ReportTable.of(_PLACES_HEAD, rows)


def pairs(ranking: Ranking) -> tuple[list[str], list[str]]:
    """Return what is said of the two lanes that differ, and of those that are not distinguishable."""
    return (
        [str(pair) for pair in ranking.pairs if pair.distinguishable],
        [str(pair) for pair in ranking.pairs if not pair.distinguishable],
    )
