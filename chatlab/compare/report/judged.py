"""Rankings of a comparison's lanes by votes and by verdicts, for each criterion, with their audit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from chatlab.compare.model import Comparison, Verdict
from chatlab.compare.report.tables import Cell, ReportTable, head
from chatlab.compare.statistics.audit import (
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
from chatlab.words import ENGLISH, Words


@dataclass(frozen=True, slots=True)
class Judged:
    """One criterion, judged by people or by a judge. audit: sentences."""

    criterion: str
    source: Source
    judgements: tuple[Judgement, ...]
    ranking: Ranking
    audit: tuple[str, ...]

    def title(self, words: Words) -> str:
        """Return what was ranked, and by what."""
        return words(f"report.ranking-by-{self.source}", criterion=words.vote_word(self.criterion))

    def summary_title(self, words: Words) -> str:
        """Return what was judged, and by what, as a row's heading."""
        return words(f"report.by-{self.source}", criterion=words.vote_word(self.criterion))


def judgements_of(compared: Comparison) -> list[Judgement]:
    """Return every vote and verdict as judgements of two lanes each, lanes by their labels."""
    names: dict[str, str] = {lane.id: lane.label for lane in compared.lanes}
    for lane_id in {lane for vote in compared.votes for lane in (*vote.shown, vote.best)} - {"tie", "bad"}:
        names.setdefault(lane_id, ENGLISH("said.removed-lane", id=lane_id[:6]))
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


def judged_criteria(compared: Comparison, judged: Sequence[Judgement], words: Words) -> list[Judged]:
    """Return each criterion and source by itself: neither is averaged with another. judged: the comparison's
    judgements.
    """
    lanes = [lane.label for lane in compared.lanes]
    groups: dict[tuple[str, Source], list[Judgement]] = {}
    for one in judged:
        groups.setdefault((one.criterion, one.source), []).append(one)
    found = []
    for (criterion, source), given in groups.items():
        by_votes = source == "vote"
        place = _by_place(given, words) if by_votes else _by_order(compared.verdicts, criterion, words)
        length = _lean("length", "prompt", by_length(given), words)
        audit = (place, length, *_by_voter(source, given, words))
        found.append(Judged(criterion, source, tuple(given), rank(given, lanes), audit))
    return found


def _by_place(votes: Sequence[Judgement], words: Words) -> str:
    same_places = any(one.session for one in votes)
    return _lean("position", "session" if same_places else "prompt", by_position(votes), words)


def _by_order(verdicts: Sequence[Verdict], criterion: str, words: Words) -> str:
    winners: Counter[str] = Counter()

    def of_criterion() -> Iterator[Verdict]:  # read once: they may be on the disk
        for one in verdicts:
            if one.criterion == criterion:
                winners[one.winner] += 1
                yield one

    said = _lean("order", "prompt", by_order(of_criterion()), words)
    return f"{said} {words('report.flips', count=winners['flip'], all=winners.total())}"


def _by_voter(source: Source, judgements: Sequence[Judgement], words: Words) -> list[str]:
    found = []
    for voter in by_voter(judgements):
        wins = ", ".join(
            f"{words.translated(lane)} {_count(count, words)}" for lane, count in voter.wins.items()
        )
        found.append(
            words(
                "report.of-voter",
                who=_named(source, voter.voter, words),
                share=words.share(voter.share),
                wins=wins or words("report.none"),
                ties=_count(voter.ties, words),
                bad=_count(voter.both_bad, words),
            )
        )
    return found


def _named(source: Source, name: str, words: Words) -> str:
    """Return who judged, as a sentence begins: those without a name are called "voter 1" already."""
    if name.startswith("voter "):
        said = words.translated(name)
        return said[:1].upper() + said[1:]
    key = "report.voter" if source == "vote" else "report.judge"
    return words(key, name=name or words("report.unnamed"))


def _count(value: float, words: Words) -> str:
    return words.number(f"{value:g}")


def _lean(what: str, unit: str, lean: Lean, words: Words) -> str:
    """Return whether preferences lean to one side. what: of which kind. unit: what counts once."""
    other = ""
    if lean.neither or lean.unknown:
        other = words("report.lean-other", neither=lean.neither, unknown=lean.unknown)
    named = words(f"report.lean-{what}")
    if lean.share is None or lean.interval is None or lean.p is None:
        return words("report.lean-none", what=named, other=other)
    return words(
        "report.lean",
        what=named,
        unit=words(f"report.lean-{unit}"),
        toward=lean.toward,
        all=lean.toward + lean.away,
        side=words(f"report.side-{what}"),
        share=words.share(lean.share),
        low=words.share(lean.interval.low),
        high=words.share(lean.interval.high),
        p=words.number(f"{lean.p:.2g}"),
        other=other,
    )


def agreement(judged: Sequence[Judgement], words: Words = ENGLISH) -> str:
    """Return how far votes and judge agree, as a sentence; "" if they judged nothing in common."""
    found = by_source(judged)
    if found.agreed is None:
        return ""
    kappa = ""
    if found.kappa is not None:
        value = within(_plain(found.kappa, words), found.kappa_interval, partial(_plain, words=words), words)
        kappa = words("report.kappa", value=value)
    return words(
        "report.agree",
        share=within(words.share(found.agreed), found.agreed_interval, words.share, words),
        comparisons=words.counted("count.comparison", found.compared),
        prompts=words.counted("count.prompt", found.items),
        kappa=kappa,
    )


def within(said: str, interval: Interval | None, written: Callable[[float], str], words: Words) -> str:
    """Return an estimate with its interval, if there is one. written: how a number is."""
    if interval is None:
        return said
    return words("report.within", value=said, low=written(interval.low), high=written(interval.high))


def _plain(value: float, words: Words) -> str:
    return words.number(f"{value:z.2f}")


_PLACES_HEAD = ("lane", "rank", "ranks", "strength", "won", "lost", "tied", "both-bad")


def strength(one: Ranked, words: Words) -> str:
    """Return a lane's strength with its interval, in log-odds."""
    said, interval = f"{one.strength:+z.2f}", one.interval
    if interval is None:
        return words("report.no-interval", value=words.number(said))
    low, high = f"{interval.low:+z.2f}", f"{interval.high:+z.2f}"
    written = {"score": said, "low": low, "high": high}
    return words("compare.interval", **{key: words.number(value) for key, value in written.items()})


def places(ranking: Ranking, words: Words) -> ReportTable:
    """Return each lane's rank, its strength and what it rests on; one that was never judged has none."""
    rows = []
    for one in ranking.lanes:
        said = [words("report.never-judged")]
        if one.judged:
            ranks = str(one.best)
            if one.best != one.worst:
                ranks = words("report.ranks-from-to", best=one.best, worst=one.worst)
            counts = (one.wins, one.losses, one.ties, one.both_bad)
            said = [str(one.rank), ranks, strength(one, words), *(_count(count, words) for count in counts)]
        said += [""] * (len(_PLACES_HEAD) - 1 - len(said))
        rows.append([Cell(words.translated(one.lane)), *(Cell(text, "number") for text in said)])
    return ReportTable.of(head(_PLACES_HEAD, words, {"lane": "", "": "number"}), rows)


def pairs(ranking: Ranking, words: Words) -> tuple[list[str], list[str]]:
    """Return what is said of the two lanes that differ, and of those that are not distinguishable."""
    return (
        [words.translated(str(pair)) for pair in ranking.pairs if pair.distinguishable],
        [words.translated(str(pair)) for pair in ranking.pairs if not pair.distinguishable],
    )
