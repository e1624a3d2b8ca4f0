"""A worker of a Ray cluster: it makes the calls of a run that it is given, with backends of its own.

It imports nothing of Ray. What it returns goes to another machine: errors are scrubbed before, since only
this process knows the secrets that it read, and attached files stay behind, named by their content.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from chatlab import __version__
from chatlab.compare.batch.budget import Estimate
from chatlab.compare.batch.engines.engine import Meter, Ran, run_here
from chatlab.compare.session.receipt import by_content
from chatlab.config.models import BackendConfig
from chatlab.config.registry import Backends, Entry
from chatlab.config.telemetry import Telemetry
from chatlab.errors import ChatlabError
from chatlab.messages import Message
from chatlab.secret import scrub, scrubbed_traceback

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WorkerSetup:
    """The part of a configuration that a worker needs, in which secrets are references.

    names: the backends and addresses that are called; configs: of those that are configured. system: the
    system prompt of all.
    """

    names: tuple[str, ...]
    configs: Mapping[str, BackendConfig] = field(default_factory=dict)
    system: str | None = None
    telemetry: Telemetry | None = None


@dataclass(frozen=True, slots=True)
class WorkerCall:
    """A call as a worker is given it. backend: its name or address. trace: headers that name the trace of
    the run, if there is one. The rest is as in `Engine` and `Meter`.
    """

    backend: str
    messages: tuple[Message, ...]
    parameters: Mapping[str, Any]
    system: str | None
    estimate: Estimate | None
    tokens_a_delta: float
    trace: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class NeedsMore:
    """A running call needs so much money in all, which is more than was set aside for it."""

    amount: float


@dataclass(frozen=True, slots=True)
class WorkerRan:
    """A call that was made: the fields of its `EndedTurn` but for the entry, and those of `Ran`."""

    turn: Mapping[str, Any]
    wire_sha256: str | None
    deltas: int


Reply: TypeAlias = NeedsMore | WorkerRan


class RayWorker:
    """The class of the actors. Ray runs its methods in one event loop, many at once."""

    def __init__(self, setup: WorkerSetup) -> None:
        self._backends = Backends(setup.configs, system=setup.system)
        self._names = setup.names
        self._calls: dict[str, _RunningCall] = {}
        self._telemetry = None
        if setup.telemetry is not None and setup.telemetry.observes:
            from chatlab.telemetry.export import exporting  # brings OpenTelemetry

            self._telemetry = exporting(setup.telemetry)
            self._backends.observe(self._telemetry.observer)

    async def ready(self) -> tuple[str, tuple[str, ...]]:
        """Make the backends, so that no answer's time has that in it. Return this machine's version of
        chatlab, and sentences about the backends that cannot be made.
        """
        if self._telemetry is not None:
            self._telemetry.start()
        problems = []
        for name in self._names:
            try:
                await asyncio.to_thread(self._backends[name].backend)
            except ChatlabError as exc:
                problems.append(scrub(str(exc)))
        return __version__, tuple(problems)

    async def begin(self, call_id: str, call: WorkerCall) -> Reply:
        """Make a call, and return how it ended, or what it needs to go on."""
        self._calls[call_id] = _RunningCall(self._backends[call.backend], call)
        return await self._reply(call_id)

    async def go_on(self, call_id: str, aside: float | None) -> Reply:
        """Go on with a call for which so much is set aside now, or end it; return as `begin`."""
        self._calls[call_id].asides.put_nowait(aside)
        return await self._reply(call_id)

    async def stop(self, call_id: str) -> None:
        """Stop a call, and return once its upstream is closed."""
        call = self._calls.pop(call_id, None)
        if call is not None:
            call.task.cancel()
            await asyncio.wait([call.task])

    async def close(self) -> None:
        """Close the backends' connections, and send what telemetry has still to send."""
        for call_id in tuple(self._calls):
            await self.stop(call_id)
        await self._backends.aclose()
        if self._telemetry is not None:
            await self._telemetry.aclose()

    async def _reply(self, call_id: str) -> Reply:
        reply = await self._calls[call_id].replies.get()
        if isinstance(reply, NeedsMore):
            return reply
        del self._calls[call_id]
        if isinstance(reply, str):
            raise RuntimeError(reply)
        return reply


class _RunningCall:
    """One call while it runs. replies: what is to be said of it; a text says that it was ended by a mistake
    in chatlab. asides: what was set aside for it anew.
    """

    def __init__(self, entry: Entry, call: WorkerCall) -> None:
        self.replies: asyncio.Queue[Reply | str] = asyncio.Queue()
        self.asides: asyncio.Queue[float | None] = asyncio.Queue()
        self.task = asyncio.create_task(self._run(entry, call), name=f"call {call.backend}")

    async def _run(self, entry: Entry, call: WorkerCall) -> None:
        try:
            if call.trace:
                _go_on_with(call.trace)
            meter = Meter(call.estimate, call.tokens_a_delta, self._more)
            ran = await run_here(entry, call.messages, call.parameters, call.system, meter)
            self.replies.put_nowait(await asyncio.to_thread(_portable, ran))
        except Exception as exc:  # noqa: BLE001 - the other machine says that it is a mistake, and ends the run
            log.error("a call was ended by a mistake\n%s", scrubbed_traceback(exc))
            self.replies.put_nowait(scrub(f"{type(exc).__name__}: {exc}"))

    async def _more(self, needed: float) -> float | None:
        self.replies.put_nowait(NeedsMore(needed))
        return await self.asides.get()


def _portable(ran: Ran) -> WorkerRan:
    """Return a call that was made as it can leave this machine."""
    turn = ran.turn
    if turn.request is not None:
        messages = tuple(by_content(message) for message in turn.request.messages)
        turn = replace(turn, request=replace(turn.request, messages=messages))
    return WorkerRan(turn.without_entry(), ran.wire_sha256, ran.deltas)


def _go_on_with(trace: Mapping[str, str]) -> None:
    """Have what this task does from now on be a part of the run's trace."""
    from opentelemetry.context import attach
    from opentelemetry.propagate import extract

    attach(extract(trace))
