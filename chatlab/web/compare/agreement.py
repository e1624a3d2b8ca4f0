"""The agreement of a round's answers, and the spread of repeats. It takes time: it is made in a thread, once
a round has ended, and asked for by the page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations

from chatlab.compare.session.blind import blind_round
from chatlab.compare.session.session import ComparisonSession
from chatlab.compare.session.state import Round, SessionState
from chatlab.compare.statistics.spread import Measure, Measurement, Summary, spread
from chatlab.compare.statistics.text_diff import agreement
from chatlab.ids import TurnId
from chatlab.store import StoredTurn
from chatlab.web.compare.view import text_of
from chatlab.web.compare.view_model import AgreementView, SpreadView
from chatlab.words import ENGLISH, Words

_LONGEST = 20_000  # characters of an answer up to which its agreement with others is told

_MEASURES: Sequence[tuple[str, Measure, Callable[[StoredTurn], float | None]]] = (
    (
        "detail.first-token",
        Measure("first token", "s", ENGLISH("spread.sooner"), ENGLISH("spread.later")),
        lambda turn: turn.timing.first_token,
    ),
    (
        "detail.total",
        Measure("total", "s", ENGLISH("spread.faster"), ENGLISH("spread.slower")),
        lambda turn: turn.timing.total,
    ),
)
"""By the keys of their names on the page."""


class RoundAgreement:
    """The agreement of the answers of one session; what was found once is remembered.

    `of` runs in worker threads. It reads frozen values, and two threads that find the same store the same.
    """

    def __init__(self, session: ComparisonSession, words: Words) -> None:
        self._session = session
        self._words = words
        self._agreements: dict[tuple[str, str], float] = {}

    def of(self, asked: Round, state: SessionState) -> AgreementView:
        """Return the agreement of each pair, by what the lanes are called on the page, and the spread.

        spread: of a round with repeats, while names are told.
        """
        if state.hidden:
            blind = blind_round(state, asked, self._session.turn)
            texts = {one.letter: one.text for one in blind.answers if not one.repeat and not one.waiting}
            return {"agreement": self._agreement(texts), "spread": []}
        lanes = state.shown(asked)
        turns = {lane: self._session.turn(asked.turns[lane][0]) for lane in lanes}
        texts = {lane: text_of(turn) for lane, turn in turns.items() if turn.status == "finished"}
        repeated = any(len(asked.turns[lane]) > 1 for lane in lanes)
        shown = [(state.lane(lane).label, asked.turns[lane]) for lane in lanes]
        return {
            "agreement": self._agreement(texts),
            "spread": self._spread(shown) if repeated else [],
        }

    def _agreement(self, texts: Mapping[str, str]) -> dict[str, float]:
        """Return the agreement of each pair of texts that are not empty or too long, by the pair's names."""
        found = {}
        told = {name: text for name, text in texts.items() if text and len(text) <= _LONGEST}
        for (name_a, ours), (name_b, theirs) in combinations(told.items(), 2):
            if (ours, theirs) not in self._agreements:
                self._agreements[ours, theirs] = agreement(ours, theirs)
            found[f"{name_a}|{name_b}"] = self._agreements[ours, theirs]
        return found

    def _spread(self, shown: Sequence[tuple[str, Sequence[TurnId]]]) -> list[SpreadView]:
        found: list[SpreadView] = []
        for name, measure, value_of in _MEASURES:
            measured = [
                Measurement(label, "", value)
                for label, ids in shown
                for turn in map(self._session.turn, ids)
                if turn.status == "finished" and (value := value_of(turn)) is not None
            ]
            if measured:
                made = spread(measured, measure)
                found.append(
                    {
                        "measure": self._words(name),
                        "lanes": [self._of_lane(one, measure) for one in made.lanes],
                        "differences": [self._words.translated(str(one)) for one in made.differences],
                    }
                )
        return found

    def _of_lane(self, one: Summary, measure: Measure) -> str:
        values = {"median": one.centre, "low": one.low_quartile, "high": one.high_quartile}
        said = {name: self._words.number(measure.text(value)) for name, value in values.items()}
        return self._words("compare.spread-of", lane=one.lane, count=one.values, **said)
