"""Says what may be done in a comparison session as it is, and calls lanes in refusals as the page does."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from chatlab.compare.model import Lane
from chatlab.compare.session.events import SessionError
from chatlab.compare.session.record import SessionRecord
from chatlab.compare.session.runner import LaneRunner
from chatlab.compare.session.state import SessionState
from chatlab.ids import LaneId, RoundId, TurnId
from chatlab.words import ENGLISH


class Rules:
    """Asks the record and the runner of one session, and changes neither."""

    def __init__(self, record: SessionRecord, runner: LaneRunner) -> None:
        self._record = record
        self._runner = runner

    @property
    def _state(self) -> SessionState:
        return self._record.state

    def present(self, lanes: Sequence[LaneId] | None) -> tuple[Lane, ...]:
        """Return these lanes, or all, in the session's order. Raises SessionError for an unknown one."""
        if lanes is None:
            lanes = [lane.id for lane in self._state.lanes]
        found = tuple(lane for lane in self._state.lanes if lane.id in lanes)
        if not found or len(found) != len(set(lanes)):
            raise SessionError("refusal.no-lane" if lanes else "refusal.add-lane")
        return found

    def require_idle(self, lanes: Collection[Lane]) -> None:
        """Raise SessionError if one of these lanes, or of a hidden session any, is being answered."""
        self.require_removable()  # which lane is not ready yet would tell how slow it is
        for lane in lanes:
            if self._runner.is_running(lane.id):
                raise SessionError("refusal.lane-runs", lane=self.name(lane))

    def require_lanes_changeable(self) -> None:
        """Raise SessionError while a change of lanes would tell which is which."""
        if self._state.hidden and self._state.rounds:
            raise SessionError("refusal.hidden-lanes")

    def require_removable(self) -> None:
        """Raise SessionError while it would tell who is slow that the others are shown without a lane."""
        if self._state.hidden and self._state.opened.reveal != "as they come" and self._runner.is_running():
            raise SessionError("refusal.lanes-run")

    def name(self, lane: Lane) -> str:
        """Return what a person may call a lane now."""
        return (
            self._state.letters.get(lane.id, ENGLISH("refusal.a-lane")) if self._state.hidden else lane.label
        )

    def before(self, round_id: RoundId, lanes: Sequence[LaneId] | None) -> dict[LaneId, TurnId | None]:
        """Return the lanes, of these or all, that go on from a round, with the turn before it."""
        self._state.round(round_id)
        found: dict[LaneId, TurnId | None] = {}
        for lane in self.present(lanes):
            position = self._state.position_in(lane.id, round_id)
            if position is not None:
                found[lane.id] = position.parent
            elif lanes is not None:
                raise SessionError("refusal.not-from-there")
        if not found:
            raise SessionError("refusal.none-from-there")
        return found
