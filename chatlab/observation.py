"""The interface by which a turn tells an observer what becomes of it, if `telemetry` is configured."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from chatlab.backend import CallContext, ChatRequest, Target
from chatlab.errors import ChatlabError
from chatlab.messages import Accumulator, Timing


class ObservedTurn(Protocol):
    """A turn as its observer sees it once it has ended."""

    error: ChatlabError | None
    request: ChatRequest | None
    answer: Accumulator

    @property
    def outcome(self) -> str:
        """Return "finished", "stopped" or "failed"."""

    @property
    def timing(self) -> Timing:
        """Return its times, in seconds."""

    @property
    def cost(self) -> float | None:
        """Return what it cost, in the currency of the prices; None if that is not known."""

    @property
    def tool_times(self) -> Mapping[str, tuple[float, float]]:
        """Return when each tool was called, in seconds from the turn's zero, and how many seconds it took,
        by the call's id."""


class Observation(Protocol):
    """One turn, observed. No method raises."""

    @property
    def trace_id(self) -> str | None:
        """Return the id of its trace, 32 hex digits, by which the log names it; None if it has none."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Return what goes to the upstream with the call, so that it can tell which turn it works for."""

    def attempt(self) -> AbstractContextManager[object]:
        """Return what one call of the backend is made in: the first one, or a retry."""

    def ended(self, turn: ObservedTurn) -> None:
        """Take up how the turn has ended. Called once."""


class Together(Protocol):
    """Turns that belong together, observed: those of one run, or of one round of a session. No method
    raises."""

    def within(self) -> AbstractContextManager[object]:
        """Return what its turns, and the tasks that begin them, are begun in."""

    def end(self) -> None:
        """Take up that the last of its turns has ended. Called once."""


class Observer(Protocol):
    """Observes turns. No method raises."""

    def began(self, backend: str, kind: str, target: Target, ctx: CallContext) -> Observation:
        """Return the observation of a turn that begins now.

        backend: its name in the configuration. target: where it calls.
        """

    def together(self, name: str, about: Mapping[str, str | int]) -> Together:
        """Return the observation of turns that belong together, which begins now.

        name: of what they are, such as "compare run". about: its ids and counts, by names of chatlab's own.
        """


class Unobserved:
    """The observation of a turn, or of several, that nobody observes."""

    trace_id: str | None = None
    headers: Mapping[str, str] = {}

    def attempt(self) -> AbstractContextManager[object]:
        """Return what does nothing."""
        return nullcontext()

    def ended(self, turn: ObservedTurn) -> None:
        """Do nothing."""

    def within(self) -> AbstractContextManager[object]:
        """Return what does nothing."""
        return nullcontext()

    def end(self) -> None:
        """Do nothing."""


UNOBSERVED = Unobserved()


def together(observer: Observer | None, name: str, about: Mapping[str, str | int]) -> Together:
    """Return the observation of turns that belong together, by whoever observes them, if anybody does."""
    return UNOBSERVED if observer is None else observer.together(name, about)
