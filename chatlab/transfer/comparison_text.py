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
from chatlab.words import Words


@dataclass(frozen=True, slots=True)
class ReadSession:
    """A session, its state and all its turns. words: of it. problem: why it cannot be shown."""

    about: StoredComparison
    state: SessionState
    turns: Mapping[TurnId, StoredTurn]
    words: Words
    problem: str | None = None

    def answers(self, asked_in: Round) -> Iterator[tuple[str, StoredTurn]]:
        """Yield who answered, and what, lane by lane."""
        for lane in in_order(self.state, asked_in):
            for number, turn_id in enumerate(asked_in.turns[lane], 1):
                label, several = self.state.lane(lane).label, len(asked_in.turns[lane])
                if several > 1:
                    label = self.words("export.number-of", lane=label, number=number, all=several)
                found = self.turns.get(turn_id) or lost(self.state, self.state.positions[turn_id], "")
                yield label, found

    @property
    def left(self) -> str:
        """Return what of it is not shown, as a sentence."""
        left = len(self.state.rounds) - len(rounds_shown(self.state))
        return self.words("export.left", count=left) if left else ""


async def read(store: Store, about: StoredComparison, words: Words) -> ReadSession:
    """Return a session out of the store."""
    try:
        state = state_of(await store.log(about.owner, about.id))
    except ValueError as exc:
        problem = words("export.cannot-be-shown", reason=words.translated(str(exc)))
        return ReadSession(about, SessionState(), {}, words, problem)
    if state.hidden:
        return ReadSession(
            about, SessionState(), {}, words, words("export.hidden", reason=words.translated(LEFT_OUT))
        )
    lanes = [await store.turns(about.owner, lane.id) for lane in await store.lanes(about.owner, about.id)]
    return ReadSession(about, state, {turn.id: turn for turns in lanes for turn in turns}, words)


def markdown(session: ReadSession) -> Iterator[str]:
    """Yield a session as Markdown, in pieces."""
    words = session.words
    title = scrub(session.about.title) or words("export.comparison")
    yield f"# {title}\n\n{_line(session)}\n\n"
    for one in rounds_shown(session.state):
        yield f"## {words('export.you')}\n\n{_transfer_markdown.parts(one.user.parts, words)}"
        for who, turn in session.answers(one):
            yield f"### {who}\n\n"
            yield from _transfer_markdown.answered(turn, words)
    if session.left:
        yield f"> {session.left}\n\n"


async def html(files: Files, session: ReadSession) -> AsyncIterator[str]:
    """Yield a session as the HTML of one article, in pieces."""
    words = session.words
    yield written(words, "opening", scrub(session.about.title) or words("export.comparison"), _line(session))
    for one in rounds_shown(session.state):
        yield await exchange(files, one.user, session.answers(one), settings=True, words=words)
    if session.left:
        yield written(words, "note", session.left)
    yield written(words, "closing")


def _line(session: ReadSession) -> str:
    when = moment_text(session.about.created)
    if session.problem is not None:
        return session.words("export.problem", when=when, problem=session.problem)
    lanes = ", ".join(lane.label for lane in session.state.lanes)
    return session.words("export.of", when=when, lanes=lanes or session.words("export.no-lanes"))
