"""A session of the page as one value, for a report: what is there now, and what is said to be missing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from chatlab.compare.model import Comparison, Lane, Receipt, Result, Vote
from chatlab.compare.session.events import SessionError
from chatlab.compare.session.session import ComparisonSession
from chatlab.compare.session.state import Round, SessionState, in_order, is_run, rounds_shown
from chatlab.compare.versions import versions
from chatlab.store import StoredTurn, now


def comparison_of(
    session: ComparisonSession, *, title: str = "", created: datetime | None = None
) -> Comparison:
    """A session as it stands: the answers that its rounds have now, with their receipts and votes.

    Rounds that no lane goes on from any more, answers that were replaced by others and votes on those are not
    in it; `notes` says how many. created: when the session was begun, its first answer if not given.
    Raises SessionError while names are hidden: a report names the lanes.
    """
    state = session.state
    if state.hidden:
        raise SessionError("take the letters off first: a report says which lane gave which answer")
    run = is_run(state)
    rounds = rounds_shown(state)
    results: list[Result] = []
    running = 0
    for round in rounds:
        receipts = session.receipts(round.id)
        for lane in in_order(state, round):
            for repeat, id in enumerate(round.turns[lane]):
                turn = session.turn(id)
                if turn.status == "running":
                    running += 1
                else:
                    results.append(_result(round, lane, repeat, turn, receipts, run=run))
    lanes = _distinct(
        lane
        for lane in (*state.lanes, *state.removed)
        if lane in state.lanes or any(result.lane == lane.id for result in results)
    )
    votes = _named(standing_votes(state, session.turn))
    stale = len(state.votes) - len(votes)
    labels = {lane.id: lane.label for lane in lanes}
    number = {round.id: place for place, round in enumerate(rounds, 1)}
    mismatches = [
        f"message {number[round.id]}, {' and '.join(labels.get(id, '?') for id in one.lanes)}: {one.reason}"
        for round in (() if run else rounds)  # a run's prompts may have system prompts that no round has
        for one in session.mismatches(round.id)
    ]
    return Comparison(
        title or "Comparison",
        created or min((result.turn.created for result in results), default=now()),
        None if run else state.mode,
        "interleaved" if run else "parallel",
        state.opened.blind,
        lanes,
        tuple(results),
        votes,
        versions=versions(),
        repeats=max((len(ids) for round in rounds for ids in round.turns.values()), default=1),
        session=session.id,
        mismatches=tuple(mismatches),
        notes=tuple(_notes(session, len(state.rounds) - len(rounds), running, stale, results, labels)),
    )


def _result(
    round: Round, lane: str, repeat: int, turn: StoredTurn, receipts: Mapping[str, Receipt], *, run: bool
) -> Result:
    item, step = round.id, 0
    if run:
        prompt, _, message = round.id.partition(".")
        item, step = prompt, int(message) - 1
    # Whose it is in the store is nobody else's business; as whom it was asked is in the receipt.
    return Result(item, step, repeat, lane, replace(turn, owner=""), receipts.get(turn.id))


def _distinct(lanes: Iterable[Lane]) -> tuple[Lane, ...]:
    """The lanes with labels of their own: everything that is counted goes by them."""
    found: dict[str, Lane] = {}
    for lane in lanes:
        label, number = lane.label, 1
        while label in found:
            number += 1
            label = f"{lane.label} ({number})"
        found[label] = replace(lane, label=label)
    return tuple(found.values())


def standing_votes(state: SessionState, turn: Callable[[str], StoredTurn]) -> tuple[Vote, ...]:
    """The votes, changed ones too, on the answers that are shown now. turn: a stored turn by its id."""
    answered = {}
    for round in rounds_shown(state):
        ids = [id for ids in round.turns.values() for id in ids]
        answered[round.id] = max((turn(id).created for id in ids), default=None)
    return tuple(
        vote
        for vote in state.votes
        if (latest := answered.get(vote.round)) is not None
        and (state.judges(vote) if vote.answers else vote.at >= latest)
    )


def stale_votes(count: int) -> str:
    """What is said of votes that do not stand any more."""
    return f"Votes on answers that were asked anew or left behind since are not counted: {count}."


def _named(votes: Sequence[Vote]) -> tuple[Vote, ...]:
    """The votes with numbers for the voters who did not sign in, who are browsers."""
    browsers = dict.fromkeys(vote.voter for vote in votes if vote.voter.startswith("browser-"))
    names = {voter: f"voter {number}" for number, voter in enumerate(browsers, 1)}
    return tuple(replace(vote, voter=names.get(vote.voter, vote.voter)) for vote in votes)


def _notes(
    session: ComparisonSession,
    left: int,
    running: int,
    stale: int,
    results: Iterable[Result],
    labels: Mapping[str, str],
) -> Iterable[str]:
    if left:
        yield (
            f"Messages that were edited or taken back, and so left behind, are not in it: {left}. "
            "The session keeps them."
        )
    if running:
        yield f"Answers that were still being given are not in it: {running}."
    if stale:
        yield stale_votes(stale)
    settings: dict[str, set[str]] = defaultdict(set)
    for result in () if is_run(session.state) else results:  # what differs in a run, its prompts have set
        settings[result.lane].add(repr((sorted(result.turn.parameters.items()), result.turn.system)))
    changed = [labels[lane] for lane, seen in settings.items() if len(seen) > 1]
    if changed:
        yield (
            f"Settings were changed in the course of the session: {', '.join(changed)}. The receipt of each "
            "answer has those it was given with."
        )
    removed = [labels[lane.id] for lane in session.state.removed if lane.id in labels]
    if removed:
        yield f"Removed in the course of the session: {', '.join(removed)}."
