"""The engine `ray`: calls are made by workers of a Ray cluster, and everything else stays where it is.

One scheduler in this process says which call begins when, so that concurrency, requests a minute and budget
hold for the whole run however many workers there are; this process alone writes the journal and the results.
A worker is given one call at a time, and returns how it ended. So when one dies, the calls that it was making
are all that is lost: the scheduler counts them with the most they may have cost, and has them made again.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar, assert_never

from chatlab import __version__
from chatlab.compare.batch.engines.engine import Lost, Meter, Ran
from chatlab.compare.batch.engines.ray_worker import (
    NeedsMore,
    RayWorker,
    Reply,
    WorkerCall,
    WorkerRan,
    WorkerSetup,
)
from chatlab.config.registry import Entry
from chatlab.errors import MissingExtra, NotReady
from chatlab.messages import FilePart, Message, Part
from chatlab.secret import scrub
from chatlab.store import new_id
from chatlab.turns.ended import EndedTurn

T = TypeVar("T")

_PATIENCE = 20.0  # seconds in which a worker should be there, before it is said that none is
_STARTS = 3  # of a worker that dies before it is ready
_END = 10.0  # seconds that workers have to close their connections
_MEMORY = 100 * 2**20  # bytes shared by the processes of a machine; answers are small, and large ones wait


@asynccontextmanager
async def ray_engine(
    address: str | None,
    setup: WorkerSetup,
    *,
    workers: int | None,
    concurrency: int,
    say: Callable[[str], None],
) -> AsyncIterator[RayEngine]:
    """Yield the engine, with at least one worker ready; what was started for it is ended afterwards.

    address: `ray://HOST:PORT` of a cluster that is there; None for the one that RAY_ADDRESS names, or else
    for one on this machine, which is started. workers: how many; one for each CPU if not given, and no more
    than calls at once. say: is told what whoever waits should know. Raises MissingExtra, or NotReady where
    there is no cluster or a worker cannot make calls. To be called in the main thread, whose signal handlers
    it sets.
    """
    ray = _imported()
    own = address is None and os.environ.get("RAY_ADDRESS", "local") in ("", "local")
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    wanted = workers or min(concurrency, here)
    more: dict[str, Any] = {}
    if own:  # it listens on the machine's address, so that whoever calls it has to know a token
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
        more = {"num_cpus": wanted, "object_store_memory": _MEMORY, "include_dashboard": False}
    terminated = signal.getsignal(signal.SIGTERM)
    try:
        ray.init("local" if own else address, log_to_driver=False, logging_level="critical", **more)
    except Exception as exc:
        what = "Ray cannot be started on this machine" if own else f"no Ray cluster at {_place(address)}"
        raise NotReady(f"{what}: {_first_line(exc)}") from exc
    # Ray's own handler leaves at once: what it started, and the calls that run, are to be ended as by Ctrl-C.
    signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGINT))
    try:
        if workers is None and not own:
            wanted = max(1, min(concurrency, int(ray.cluster_resources().get("CPU", 1))))
        actor = ray.remote(RayWorker).options(
            num_cpus=1, max_restarts=-1, max_concurrency=4 * concurrency + 16
        )
        engine = RayEngine(ray, [actor.remote(setup) for _ in range(wanted)], say)
        try:
            await engine.start()
            yield engine
        finally:
            await engine.aclose()
    finally:
        ray.shutdown()
        signal.signal(signal.SIGTERM, terminated)


@dataclass(eq=False, slots=True)
class _Actor:
    """A worker as this process sees it. running: the calls that it makes now."""

    handle: Any
    running: int = 0


class RayEngine:
    """Makes calls by workers; each goes to the one with the fewest. It belongs to the event loop.

    lost: how often a worker went away.
    """

    def __init__(self, ray: Any, handles: Sequence[Any], say: Callable[[str], None]) -> None:
        self.lost = 0
        self._ray = ray
        self._say = say
        self._actors = [_Actor(handle) for handle in handles]
        self._there: list[_Actor] = []
        self._started = False
        self._came = asyncio.Event()
        self._joining: set[asyncio.Task[None]] = set()
        self._gone = (
            ray.exceptions.RayActorError,
            ray.exceptions.WorkerCrashedError,
            ray.exceptions.ObjectLostError,
            ray.exceptions.NodeDiedError,
        )

    async def start(self) -> None:
        """Return once a worker is ready. Raises NotReady if one says that it cannot make calls."""
        for actor in self._actors:
            self._join(actor)
        first = tuple(self._joining)
        while not self._there:
            done, _ = await asyncio.wait(first, timeout=_PATIENCE)
            for task in done:
                task.result()
            if not self._there:
                self._say(
                    "no Ray worker is ready yet: each needs a free CPU of its cluster; Ctrl-C ends the wait"
                )
        self._started = True

    def _join(self, actor: _Actor) -> None:
        task = asyncio.create_task(self._made_ready(actor), name="a Ray worker")
        self._joining.add(task)
        task.add_done_callback(self._joined)

    def _joined(self, task: asyncio.Task[None]) -> None:
        self._joining.discard(task)
        self._came.set()  # whoever waits for a worker looks whether one is to come
        if not task.cancelled() and (exc := task.exception()) is not None and self._started:
            self._say(f"one Ray worker less: {exc}")

    async def _made_ready(self, actor: _Actor) -> None:
        """Have a worker make its backends; from then on it is given calls."""
        for start in range(1, _STARTS + 1):
            try:
                version, problems = await actor.handle.ready.remote()
                break
            except self._gone as exc:
                if start == _STARTS:
                    raise NotReady(_cannot_start(exc)) from exc
                await asyncio.sleep(start)
            except self._ray.exceptions.RayError as exc:
                raise NotReady(_cannot_start(exc)) from exc
        if version != __version__:
            raise NotReady(f"a Ray worker has chatlab {version}, and this is {__version__}: install the same")
        if problems:
            raise NotReady(f"{problems[0]}, on the machine of each Ray worker")
        self._there.append(actor)
        self._came.set()

    async def __call__(
        self,
        entry: Entry,
        messages: tuple[Message, ...],
        parameters: Mapping[str, Any],
        system: str | None,
        meter: Meter,
    ) -> Ran:
        """Make one call, by a worker; see `Engine`."""
        if any(_is_here(part) for message in messages for part in message.parts):
            messages = await asyncio.to_thread(_carried, messages)
        trace = {} if entry.observer is None else _trace()
        call = WorkerCall(
            entry.name, messages, parameters, system, meter.estimate, meter.tokens_a_delta, trace
        )
        while not self._there:
            if not self._joining:
                raise NotReady("no Ray worker is left")
            self._came.clear()
            await self._came.wait()
        actor = min(self._there, key=lambda one: one.running)
        call_id = new_id()
        actor.running += 1
        try:
            reply = await self._said(actor, partial(actor.handle.begin.remote, call_id, call))
            while isinstance(reply, NeedsMore):
                go_on = partial(actor.handle.go_on.remote, call_id, await meter.more(reply.amount))
                reply = await self._said(actor, go_on)
        except asyncio.CancelledError:
            await self._within(_END, [partial(actor.handle.stop.remote, call_id)])
            raise
        finally:
            actor.running -= 1
        if not isinstance(reply, WorkerRan):
            assert_never(reply)
        return Ran(EndedTurn(entry, **reply.turn), reply.wire_sha256, reply.deltas)

    async def _said(self, actor: _Actor, ask: Callable[[], Awaitable[Reply]]) -> Reply:
        """Return what a worker says of a call. Raises Lost, and takes the worker for one that has to come
        back first, where it is gone; NotReady where the whole cluster is.
        """
        try:
            return await ask()
        except self._gone as exc:
            if actor in self._there:  # the first of its calls that learns of it
                self._there.remove(actor)
                self.lost += 1
                self._join(actor)
            raise Lost("the Ray worker that made this call died") from exc
        except self._ray.exceptions.RayTaskError:  # a mistake in chatlab
            raise
        except Exception as exc:
            raise NotReady(f"the Ray cluster cannot be reached any more: {_first_line(exc)}") from exc

    async def aclose(self) -> None:
        """Have the workers close their connections, and end them."""
        for task in self._joining:
            task.cancel()
        await self._within(_END, [actor.handle.close.remote for actor in self._there])
        for actor in self._actors:
            with suppress(Exception):  # of a cluster that is gone
                self._ray.kill(actor.handle)

    async def _within(self, seconds: float, asks: Sequence[Callable[[], Awaitable[object]]]) -> None:
        """Wait so long for workers to do this; one that is gone has nothing to do any more."""
        with suppress(Exception):
            async with asyncio.timeout(seconds):
                await asyncio.gather(*(_awaited(ask()) for ask in asks), return_exceptions=True)


async def _awaited(reply: Awaitable[T]) -> T:
    """Return what Ray answers; its own objects can be awaited, and are no coroutines."""
    return await reply


def _imported() -> Any:
    """Return the module `ray`, which is told to send no statistics of its use, and to look for no other
    cluster where one is gone. Raises MissingExtra.
    """
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_AUTO_CONNECT": "0"}
    try:
        import ray
        import ray.util.client.worker  # needs grpc, of which Ray says in many lines that it is missing
    except ModuleNotFoundError as exc:
        raise MissingExtra("ray", "ray", exc.name or "ray", what="--engine ray") from exc
    return ray


def _is_here(part: Part) -> bool:
    """Return whether a part is a file of this machine."""
    return isinstance(part, FilePart) and part.path is not None


def _carried(messages: Sequence[Message]) -> tuple[Message, ...]:
    """Return the messages with what their files contain: a path means nothing on another machine."""
    return tuple(replace(one, parts=tuple(_with_content(part) for part in one.parts)) for one in messages)


def _with_content(part: Part) -> Part:
    if not isinstance(part, FilePart) or part.path is None:
        return part
    return FilePart(part.media_type, part.name or part.path.name, data=part.read())


def _trace() -> Mapping[str, str]:
    from opentelemetry.propagate import inject

    carrier: dict[str, str] = {}
    inject(carrier)
    return carrier


def _place(address: str | None) -> str:
    return address or os.environ.get("RAY_ADDRESS", "")


def _cannot_start(exc: BaseException) -> str:
    return (
        f"a Ray worker cannot start: {_first_line(exc)}; each machine of the cluster needs chatlab "
        f"{__version__} and the packages of its backends"
    )


def _first_line(exc: BaseException) -> str:
    """Return what an error of Ray says, without the traceback around it."""
    lines = [line.strip() for line in str(exc).splitlines() if line.strip()]
    return scrub((lines[-1] if lines else type(exc).__name__)[:300])
