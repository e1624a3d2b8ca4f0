"""The requests of the comparison page."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from chatlab.compare.session.questions import MOST_REPEATS
from chatlab.compare.session.reduce import MOST_LANES
from chatlab.config.models import CompareLane
from chatlab.ids import RoundId
from chatlab.web.shared.endpoint import Body

Mode = Literal["own", "shared"]
Repeats = Annotated[int, Field(ge=1, le=MOST_REPEATS)]


class Begin(Body):
    """conversation, turn: the chat that it begins with, up to which of its answers."""

    lanes: list[CompareLane] = Field(min_length=2, max_length=MOST_LANES)
    mode: Mode = "own"
    blind: bool = False
    reveal: Literal["as they come", "together", "paced"] = "together"
    repeats: Repeats = 1
    conversation: str | None = None
    turn: str = ""


class Ask(Body):
    text: str = ""
    files: list[str] = Field(default_factory=list)
    lanes: list[str] | None = None
    repeats: Repeats | None = None


class Edit(Body):
    round: RoundId
    text: str
    lanes: list[str] | None = None


class Retry(Body):
    round: RoundId
    lanes: list[str] | None = None


class Checkout(Body):
    """To another version of a message, for all lanes; or to another of one lane's answers, from 0."""

    round: RoundId
    lane: str | None = None
    answer: Annotated[int, Field(ge=0)] = 0


class Undo(Body):
    lanes: list[str] | None = None


class NewLane(Body):
    """history_from: the lane it goes on from, if it is not to begin anew; for one that takes another's place,
    any: it goes on from that."""

    backend: str
    label: str | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)
    system: str | None = None
    history_from: str | None = None

    def spec(self) -> CompareLane:
        return CompareLane(
            backend=self.backend, label=self.label, parameters=self.parameters, system=self.system
        )


class Which(Body):
    lane: str | None = None


class LaneOrder(Body):
    lanes: list[str]


class ModeWanted(Body):
    mode: Mode


class Pick(Body):
    round: RoundId
    lane: str
    repeat: int = 0


class Ballot(Body):
    round: RoundId
    criterion: str
    best: str
    reasons: list[str] = Field([], max_length=50)
    note: str = Field("", max_length=2000)


class Title(Body):
    title: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]


class Nothing(Body):
    pass
