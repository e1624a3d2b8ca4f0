"""A session of the page as one comparison: what is there now, and notes on what is missing."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from chatlab.compare.model import Comparison, Lane, Receipt, Result, Vote
from chatlab.compare.session.events import SessionError
from chatlab.compare.session.session import ComparisonSession
from chatlab.compare.session.state import Round, SessionState, in_order, is_run, rounds_shown
from chatlab.compare.versions import versions
from chatlab.ids import LaneId, TurnId
from chatlab.messages import FilePart, Message, Part
from chatlab.store import FILE_SCHEME, NotStored, StoredTurn, now
from chatlab.store.files import Files
from chatlab.words import ENGLISH, Words

_MOST_PICTURES = 30_000_000  # bytes of pictures from a session's attachments in one report


def comparison_of(
    session: ComparisonSession, *, title: str = "", created: datetime | None = None, words: Words = ENGLISH
) -> Comparison:
    """Return a session as it stands: the answers that its rounds have now, with their receipts and votes.

    Rounds that no lane goes on from any more, answers that were replaced by others and votes on those are not
    in it; `notes` says how many. created: when the session was begun, its first answer if not given.
    words: of the title, if none is given.
    Raises SessionError while names are hidden: a report names the lanes.
    """
    state = session.state
    if state.hidden:
        raise SessionError("refusal.report-tells")
    run = is_run(state)
    rounds = rounds_shown(state)
    results, running = _results(session, rounds, run=run)
    lanes = _distinct(
        lane
        for lane in (*state.lanes, *state.removed)
        if lane in state.lanes or any(result.lane == lane.id for result in results)
    )
    labels: dict[str, str] = {lane.id: lane.label for lane in lanes}
    votes = _named(standing_votes(state, session.turn))
    left, stale = len(state.rounds) - len(rounds), len(state.votes) - len(votes)
    return Comparison(
        title or words("report.of", lanes=words.listed([lane.label for lane in lanes], 3)),
        created or min((result.turn.created for result in results), default=now()),
        None if run else state.mode,
        "interleaved" if run else "parallel",
        state.opened.blind,
        lanes,
        results,
        votes,
        versions=versions(),
        repeats=max((len(turns) for one in rounds for turns in one.turns.values()), default=1),
        session=session.id,
        # A run's prompts may have system prompts that no round has.
        mismatches=() if run else tuple(_mismatches(session, rounds, labels)),
        notes=tuple(_notes(session, left, running, stale, results, labels)),
    )


def _results(
    session: ComparisonSession, rounds: Sequence[Round], *, run: bool
) -> tuple[tuple[Result, ...], int]:
    """Return the answers that have ended, and how many have not."""
    results, running = [], 0
    for asked in rounds:
        receipts = session.receipts(asked.id)
        for lane in in_order(session.state, asked):
            for repeat, turn in enumerate(map(session.turn, asked.turns[lane])):
                if turn.status == "running":
                    running += 1
                else:
                    results.append(_result(asked, lane, repeat, turn, receipts, run=run))
    return tuple(results), running


def _result(
    asked: Round,
    lane: LaneId,
    repeat: int,
    turn: StoredTurn,
    receipts: Mapping[TurnId, Receipt],
    *,
    run: bool,
) -> Result:
    item, step = str(asked.id), 0
    if run:
        prompt, _, message = asked.id.partition(".")
        item, step = prompt, int(message) - 1
    # Whose it is in the store is nobody else's business; as whom it was asked is in the receipt.
    return Result(item, step, repeat, lane, replace(turn, owner=""), receipts.get(turn.id))


def _mismatches(
    session: ComparisonSession, rounds: Sequence[Round], labels: Mapping[str, str]
) -> Iterator[str]:
    for number, asked in enumerate(rounds, 1):
        for one in session.mismatches(asked.id):
            lane, *others = (labels.get(lane, "?") for lane in one.lanes)
            said = {"number": number, "lane": lane, "reason": one.reason}
            for other in others[:1]:
                yield ENGLISH("said.mismatch-of-two", other_lane=other, **said)
            if not others:
                yield ENGLISH("said.mismatch", **said)


def _distinct(lanes: Iterable[Lane]) -> tuple[Lane, ...]:
    """Return the lanes with labels of their own: everything that is counted goes by them."""
    found: dict[str, Lane] = {}
    for lane in lanes:
        label, number = lane.label, 1
        while label in found:
            number += 1
            label = f"{lane.label} ({number})"
        found[label] = replace(lane, label=label)
    return tuple(found.values())


def standing_votes(state: SessionState, turn: Callable[[TurnId], StoredTurn]) -> tuple[Vote, ...]:
    """Return the votes, changed ones too, on the answers that are shown now. turn: a turn by its id."""
    answered = {}
    for asked in rounds_shown(state):
        turns = [turn(one) for of_lane in asked.turns.values() for one in of_lane]
        answered[asked.id] = max((one.created for one in turns), default=None)
    return tuple(
        vote
        for vote in state.votes
        if (latest := answered.get(vote.round)) is not None
        and (state.is_current(vote) if vote.answers else vote.at >= latest)
    )


def stale_votes(count: int) -> str:
    """Return what is said of votes that do not stand any more."""
    return ENGLISH("ranking.stale", count=count)


def _named(votes: Sequence[Vote]) -> tuple[Vote, ...]:
    """Return the votes with numbers for the voters who did not sign in, who are browsers."""
    browsers = dict.fromkeys(vote.voter for vote in votes if vote.voter.startswith("browser-"))
    names = {voter: ENGLISH("said.voter", number=number) for number, voter in enumerate(browsers, 1)}
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
        yield ENGLISH("said.left-behind", count=left)
    if running:
        yield ENGLISH("said.still-running", count=running)
    if stale:
        yield stale_votes(stale)
    settings: dict[str, set[str]] = defaultdict(set)
    for result in () if is_run(session.state) else results:  # what differs in a run, its prompts have set
        settings[result.lane].add(repr((sorted(result.turn.parameters.items()), result.turn.system)))
    changed = [labels[lane] for lane, seen in settings.items() if len(seen) > 1]
    if changed:
        yield ENGLISH("said.settings-changed", names=", ".join(changed))
    removed = [labels[lane.id] for lane in session.state.removed if lane.id in labels]
    if removed:
        yield ENGLISH("said.removed", names=", ".join(removed))


async def with_pictures(compared: Comparison, files: Files) -> Comparison:
    """Return the same with the content of attached pictures, which a session only names, up to a bound."""
    pictures = _Pictures(files)
    seen: set[tuple[str, int]] = set()
    results = []
    for result in compared.results:
        # Of an item the first result's message is what is shown.
        first = (result.item, result.step) not in seen
        seen.add((result.item, result.step))
        if first:
            parts = [await pictures.filled(part) for part in result.turn.user.parts]
            result = replace(result, turn=replace(result.turn, user=Message("user", tuple(parts))))
        results.append(result)
    return replace(compared, results=tuple(results))


class _Pictures:
    """Reads each picture once, until there are too many bytes of them."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._left = _MOST_PICTURES
        self._known: dict[str, FilePart] = {}

    async def filled(self, part: Part) -> Part:
        """Return the part with its content if it is a stored picture for which there is room."""
        if not isinstance(part, FilePart) or not (part.url or "").startswith(FILE_SCHEME):
            return part
        sha256 = (part.url or "").removeprefix(FILE_SCHEME)
        if sha256 not in self._known and part.media_type.startswith("image/"):
            try:
                path = await self._files.path(sha256)
            except (NotStored, OSError):
                return part
            if path.stat().st_size <= self._left:
                data = await asyncio.to_thread(path.read_bytes)
                self._left -= len(data)
                self._known[sha256] = FilePart(part.media_type, part.name, data=data)
        return self._known.get(sha256, part)
