"""The engine of `chatlab compare`: `--engine` and `--workers`."""

from __future__ import annotations

import re
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from chatlab.cli.program import say
from chatlab.compare.batch.folder import Plan
from chatlab.lab import Lab

if TYPE_CHECKING:
    from chatlab.compare.batch.engines.ray_engine import RayEngine

LOST = "the calls that were being made were made again, and count with the most they may have cost"
"""Said of workers that died."""


@dataclass(frozen=True, slots=True)
class RayNamed:
    """A Ray cluster as the command line names it. address: None for the one of this machine or of
    RAY_ADDRESS. workers: None if it does not say how many.
    """

    address: str | None
    workers: int | None


def engine_named(engine: str, workers: int | None) -> RayNamed | None:
    """Return the cluster that makes the calls; None if this process does. Raises UsageError."""
    if engine == "local":
        if workers is not None:
            raise click.UsageError("--workers are those of --engine ray")
        return None
    if engine == "ray":
        return RayNamed(None, workers)
    if re.fullmatch(r"ray://[^/\s]+:\d+", engine):
        return RayNamed(engine, workers)
    raise click.UsageError(f"--engine {engine}: it is local, ray or ray://HOST:PORT")


def workers_of(ray: RayNamed, lab: Lab, plan: Plan) -> AbstractAsyncContextManager[RayEngine]:
    """Return the workers of the cluster that the command line names, for the lanes and the judge of a run."""
    from chatlab.compare.batch.engines.ray_engine import ray_engine
    from chatlab.compare.batch.engines.ray_worker import WorkerSetup

    names = {lane.backend for lane in plan.lanes} | ({plan.judge} if plan.judge else set())
    setup = WorkerSetup(names=tuple(sorted(names)))
    if (config := lab.config) is not None:
        used = {name.partition(":")[0] for name in names}  # of an address, where it is a model of a backend
        configs = {name: one for name, one in config.backends.items() if name in used}
        setup = WorkerSetup(setup.names, configs, config.system, config.telemetry)
    return ray_engine(ray.address, setup, workers=ray.workers, concurrency=plan.concurrency, say=say)
