"""Answers the machines around a server: whether it lives, whether it can take requests, and its metrics."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import Awaitable, Callable, Sequence

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from chatlab.conversations.service import StorageService
from chatlab.errors import StoreError
from chatlab.lab import Lab
from chatlab.secret import scrub
from chatlab.web.shared.limits import limits_of

log = logging.getLogger(__name__)

PATHS = ("/healthz", "/readyz", "/metrics")
_PATIENCE = 2.0  # seconds in which whatever requests need has to answer
_NEVER_STORED = {"cache-control": "no-store"}


def probe_routes(lab: Lab) -> list[Route]:
    """Return the routes of `PATHS`. None of them waits for a backend."""
    return [
        Route("/healthz", _alive),
        Route("/readyz", _readiness(lab)),
        Route("/metrics", _metrics(lab)),
    ]


async def _alive(_: Request) -> Response:
    return JSONResponse({"status": "ok"}, headers=_NEVER_STORED)


def _readiness(lab: Lab) -> Callable[[Request], Awaitable[Response]]:
    async def ready(_: Request) -> Response:
        reason = await _not_ready(lab)
        if reason is None:
            return JSONResponse({"status": "ready"}, headers=_NEVER_STORED)
        return JSONResponse({"status": "not ready", "reason": reason}, 503, headers=_NEVER_STORED)

    return ready


async def _not_ready(lab: Lab) -> str | None:
    """Return why requests cannot be answered as they should, in words that anybody may read; None if they
    can."""
    if limits_of(lab).draining:
        return "the server is about to stop"
    try:
        async with asyncio.timeout(_PATIENCE):
            # Once open it has its newest tables, which may take longer than a probe waits.
            storage = await asyncio.shield(_opening(lab))
            if storage is not None:
                await storage.store.ping()
                await storage.files.ping()
    except StoreError as exc:
        log.warning("not ready: %s", scrub(str(exc)))
        return exc.sentence
    except TimeoutError:
        return "the database or the files do not answer"
    return None


def _opening(lab: Lab) -> asyncio.Task[StorageService | None]:
    opening = asyncio.create_task(lab.storage(), name="open the storage")
    opening.add_done_callback(lambda task: task.cancelled() or task.exception())  # whoever waits is told
    return opening


def _metrics(lab: Lab) -> Callable[[Request], Awaitable[Response]]:
    readers = lab.config.telemetry.prometheus if lab.config is not None and lab.config.telemetry else ()

    async def metrics(request: Request) -> Response:
        told = lab.telemetry.metrics if lab.telemetry is not None else None
        if told is None or not _is_among(limits_of(lab).visitor(request).address, readers):
            return PlainTextResponse("not found", 404)
        return Response(await asyncio.to_thread(told), media_type="text/plain; version=0.0.4; charset=utf-8")

    return metrics


def _is_among(address: str, networks: Sequence[str]) -> bool:
    """Return whether an address, or the /64 network of one of IPv6, is in any of the networks."""
    try:
        asking = ipaddress.ip_network(address, strict=False)
    except ValueError:
        return False
    return any(asking.overlaps(ipaddress.ip_network(one, strict=False)) for one in networks)
