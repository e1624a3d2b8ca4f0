"""The ranking of a session's lanes by its votes, for its page."""

from __future__ import annotations

from collections.abc import Callable

from chatlab.compare.report.from_session import stale_votes, standing_votes
from chatlab.compare.session.state import SessionState
from chatlab.compare.statistics.judgements import from_votes
from chatlab.compare.statistics.ranking import rank
from chatlab.ids import TurnId
from chatlab.store import StoredTurn
from chatlab.web.compare.view import text_of
from chatlab.web.compare.view_model import RankedCriterion, RankedRow, RankingView
from chatlab.words import Words

_ELO = 173.7178  # points of Elo's scale a unit of log-odds: 400 / ln 10


def ranking(state: SessionState, turn: Callable[[TurnId], StoredTurn], words: Words) -> RankingView:
    """Return by criterion the lanes that votes are on, with scores on Elo's scale, intervals and notes."""
    names: dict[str, str] = {lane.id: lane.id for lane in (*state.lanes, *state.removed)}
    labels: dict[str, str] = {lane.id: lane.label for lane in (*state.lanes, *state.removed)}
    lengths: dict[tuple[str, str], int] = {
        (asked.id, lane): len(text_of(turn(turns[0])))
        for asked in state.rounds.values()
        for lane, turns in asked.turns.items()
    }
    votes = standing_votes(state, turn)
    judged = from_votes(votes, names, lengths)
    criteria: list[RankedCriterion] = []
    for criterion in state.opened.criteria:
        found = [one for one in judged if one.criterion == criterion]
        if not found:
            continue
        ranked = rank(found, [lane.id for lane in state.lanes])
        rows: list[RankedRow] = [
            {
                "rank": str(one.rank) if one.best == one.worst else f"{one.best}–{one.worst}",
                "lane": labels[one.lane],
                "score": one.strength * _ELO,
                "low": one.interval.low * _ELO if one.interval else None,
                "high": one.interval.high * _ELO if one.interval else None,
                "count": words(
                    "compare.won-and-lost",
                    won=words.number(f"{one.wins:g}"),
                    lost=words.number(f"{one.losses:g}"),
                    neither=words.number(f"{one.ties + one.both_bad:g}"),
                ),
            }
            for one in ranked.lanes
            if one.judged
        ]
        # Before the labels are in them, which may be words of a sentence themselves.
        notes = [*map(words.translated, ranked.notes)]
        notes += [f"{words.translated(str(pair))}." for pair in ranked.pairs]
        for lane, label in labels.items():
            notes = [note.replace(lane, label) for note in notes]
        criteria.append({"criterion": criterion, "rows": rows, "notes": notes})
    stale = len(state.votes) - len(votes)
    said = [words("compare.no-votes")] if not criteria and not stale else []
    if stale:
        said.append(words.translated(stale_votes(stale)))
    return {"sentence": " ".join(said) or None, "criteria": criteria}
