"""The votes of a comparison, told to MLflow as assessments of the answers' traces."""

from __future__ import annotations

from chatlab.compare.model import Vote
from chatlab.compare.session.session import ComparisonSession
from chatlab.web.shared.assessments import Assessment, Assessments


def note_vote(assessments: Assessments, session: ComparisonSession, vote: Vote) -> None:
    """Have it noted of each answer what a vote says of it: "best", "not best", "tie" or "bad"."""
    turns = session.state.round(vote.round).turns
    for lane in vote.shown:
        said = vote.best if vote.best in ("tie", "bad") else "best" if lane == vote.best else "not best"
        for turn in turns[lane]:
            traces = session.turn(turn).traces
            assessments.note(traces, f"vote: {vote.criterion}", vote.voter, Assessment(said, vote.note))
