"""A stored comparison session to be read: each message, and under it the answers by lane.

`chatlab.compare.report` says more of one, with figures and rankings; this is for a file that has everything.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass

from chatlab.compare.session.lanes import lost
from chatlab.compare.session.state import Round, SessionState, in_order, rounds_shown
from chatlab.ids import TurnId
from chatlab.secret import scrub
from chatlab.store import Store, StoredComparison, StoredTurn
from chatlab.store.files import Files
from chatlab.transfer import markdown as _transfer_markdown
from chatlab.transfer.comparisons import LEFT_OUT, state_of
from chatlab.transfer.html import exchange, moment_text, written


@dataclass(frozen=True, slots=True)
class ReadSession:
    """A session, its state and all its turns. problem: why it cannot be shown."""

    about: StoredComparison
    state: SessionState
    turns: Mapping[TurnId, StoredTurn]
    problem: str | None = None

    def answers(self, asked_in: Round) -> Iterator[tuple[str, StoredTurn]]:
        """Yield who answered, and what, lane by lane."""
        for lane in in_order(self.state, asked_in):
            for number, turn_id in enumerate(asked_in.turns[lane], 1):
                many = f", {number} of {len(asked_in.turns[lane])}" if len(asked_in.turns[lane]) > 1 else ""
                found = self.turns.get(turn_id) or lost(self.state, self.state.positions[turn_id], "")
                yield f"{self.state.lane(lane).label}{many}", found

    @property
    def left(self) -> str:
        """Return what of it is not shown, as a sentence."""
        left = len(self.state.rounds) - len(rounds_shown(self.state))
        return f"Messages that were edited or taken back since are not shown: {left}." if left else ""


async def read(store: Store, about: StoredComparison) -> ReadSession:
    """Return a session out of the store."""
    try:
        state = state_of(await store.log(about.owner, about.id))
    except ValueError as exc:
        return ReadSession(about, SessionState(), {}, f"Cannot be shown: {exc}.")
    if state.hidden:
        return ReadSession(about, SessionState(), {}, f"Not shown: {LEFT_OUT}.")
    lanes = [await store.turns(about.owner, lane.id) for lane in await store.lanes(about.owner, about.id)]
    return ReadSession(about, state, {turn.id: turn for turns in lanes for turn in turns})


def markdown(session: ReadSession) -> Iterator[str]:
    """Yield a session as Markdown, in pieces."""
    about = session.about
    yield f"# {scrub(about.title) or 'Comparison'}\n\n{_line(session)}\n\n"
    for one in rounds_shown(session.state):
        yield f"## You\n\n{_transfer_markdown.parts(one.user.parts)}"
        for who, turn in session.answers(one):
            yield f"### {who}\n\n"
            yield from _transfer_markdown.answered(turn)
    if session.left:
        yield f"> {session.left}\n\n"


async def html(files: Files, session: ReadSession) -> AsyncIterator[str]:
    """Yield a session as the HTML of one article, in pieces."""
    yield written("opening", scrub(session.about.title) or "Comparison", _line(session))
    for one in rounds_shown(session.state):
        yield await exchange(files, one.user, session.answers(one), settings=True)
    if session.left:
        yield written("note", session.left)
    yield written("closing")


def _line(session: ReadSession) -> str:
    when = moment_text(session.about.created)
    if session.problem is not None:
        return f"{when}. Comparison. {session.problem}"
    lanes = ", ".join(lane.label for lane in session.state.lanes)
    return f"{when}. Comparison of {lanes or 'no lanes'}."
