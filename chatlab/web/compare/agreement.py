"""How far a round's answers agree, and how far repeats spread. It takes time: it is made in a thread, once a
round has ended, and asked for by the page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations

from chatlab.compare.session.session import ComparisonSession
from chatlab.compare.session.state import Round, SessionState
from chatlab.compare.statistics.spread import Measure, Measurement, spread
from chatlab.compare.statistics.text_diff import agreement
from chatlab.ids import TurnId
from chatlab.store import StoredTurn
from chatlab.web.compare.view import text_of
from chatlab.web.compare.view_model import Agreement, Spread

_LONGEST = 20_000  # characters of an answer up to which its agreement with others is told

_MEASURES: Sequence[tuple[Measure, Callable[[StoredTurn], float | None]]] = (
    (Measure("first token", "s", "sooner", "later"), lambda turn: turn.timing.first_token),
    (Measure("total", "s", "faster", "slower"), lambda turn: turn.timing.total),
)


class RoundAgreement:
    """The agreement of the answers of one session; what was found once is remembered.

    `of` runs in worker threads. It reads frozen values, and two threads that find the same store the same.
    """

    def __init__(self, session: ComparisonSession) -> None:
        self._session = session
        self._agreements: dict[tuple[TurnId, TurnId], float] = {}

    def of(self, asked: Round, state: SessionState) -> Agreement:
        """Return the agreement of each pair, by what the lanes are called on the page, and the spread.

        spread: of a round with repeats, while names are told.
        """
        shown = [
            (state.letters[lane] if state.hidden else lane, state.lane(lane).label, asked.turns[lane])
            for lane in state.shown(asked)
        ]
        repeated = any(len(ids) > 1 for _, _, ids in shown)
        return {
            "agreement": self._agreement([(name, ids[0]) for name, _, ids in shown]),
            "spread": self._spread(shown) if repeated and not state.hidden else [],
        }

    def _agreement(self, shown: Sequence[tuple[str, TurnId]]) -> dict[str, float]:
        found = {}
        texts = {turn_id: self._text(turn_id) for _, turn_id in shown}
        for (name_a, a), (name_b, b) in combinations(shown, 2):
            ours, theirs = texts[a], texts[b]
            if ours and theirs:
                if (a, b) not in self._agreements:
                    self._agreements[a, b] = agreement(ours, theirs)
                found[f"{name_a}|{name_b}"] = self._agreements[a, b]
        return found

    def _text(self, turn_id: TurnId) -> str | None:
        turn = self._session.turn(turn_id)
        text = text_of(turn)
        return text if turn.status == "finished" and len(text) <= _LONGEST else None

    def _spread(self, shown: Sequence[tuple[str, str, Sequence[TurnId]]]) -> list[Spread]:
        found: list[Spread] = []
        for measure, value_of in _MEASURES:
            measured = [
                Measurement(label, "", value)
                for _, label, ids in shown
                for turn in map(self._session.turn, ids)
                if turn.status == "finished" and (value := value_of(turn)) is not None
            ]
            if measured:
                made = spread(measured, measure)
                found.append(
                    {
                        "measure": measure.name,
                        "lanes": [
                            f"{one.lane}: median {measure.text(one.centre)}, "
                            f"half of {one.values} within {measure.text(one.low_quartile)} to "
                            f"{measure.text(one.high_quartile)}"
                            for one in made.lanes
                        ],
                        "differences": [str(one) for one in made.differences],
                    }
                )
        return found
