"""Checks whether backends can be used: without asking anybody, and by a probe of each."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import perf_counter
from typing import Literal, TypeAlias

from chatlab.backend import Backend, CallContext, Probe, current_call
from chatlab.config.registry import Entry, backend_class, kinds
from chatlab.credentials import Credential
from chatlab.errors import BackendError, ChatlabError, ConfigError
from chatlab.installing import how_to_install, how_to_install_package

State: TypeAlias = Literal["ready", "not ready", "failed"]
Whom: TypeAlias = Literal["the person", "the service"]


@dataclass(frozen=True, slots=True)
class BackendReport:
    """The state of one backend, as far as it is known.

    state: "ready", "not ready" (something is to be done here first: `reason`), or "failed" (a probe found
        that it would not answer: `reason`).
    probe: what the probe found; None if there was none.
    seconds: how long the probe took, sign-in included; loading the SDK is not its time.
    whom: with whose rights it was asked; None of a backend that asks nobody. `probe` may have the name.
    """

    name: str
    kind: str
    state: State
    reason: str | None = None
    probe: Probe | None = None
    seconds: float | None = None
    whom: Whom | None = None


async def check(
    entries: Iterable[Entry],
    *,
    probe: bool = False,
    longest: float = 30.0,
    credential: Credential | None = None,
) -> list[BackendReport]:
    """Return a report for each entry, in their order. Probes run at once, each for at most `longest` seconds.

    credential: a person's, for backends that are asked as one. It raises nothing that a backend raises: that
    is what it reports.
    """
    entries = list(entries)
    if probe:  # before any clock runs: loading SDKs takes seconds, in which no reply can be read
        await asyncio.gather(*(_loaded(entry) for entry in entries if entry.not_ready is None))
    return list(await asyncio.gather(*(_check(entry, probe, longest, credential) for entry in entries)))


async def _loaded(entry: Entry) -> None:
    """Makes the backend; what is wrong with it is said when it is asked for again."""
    with suppress(Exception):
        await asyncio.to_thread(entry.backend)


async def _check(entry: Entry, probe: bool, longest: float, credential: Credential | None) -> BackendReport:
    kind, reason = entry.config.kind, entry.not_ready
    if reason is not None:
        return BackendReport(entry.name, kind, "not ready", reason)
    if not probe:
        return BackendReport(entry.name, kind, "ready")
    began = perf_counter()
    found: Probe | None = None
    state: State = "failed"
    try:
        async with asyncio.timeout(longest):
            found = await _probe(entry, credential)
    except TimeoutError:
        reason = f"no reply within {longest:g} s"
    except BackendError as exc:
        entry.failed(exc)
        exc.backend = None  # the report says it
        reason = str(exc)
    except ChatlabError as exc:
        state, reason = "not ready", str(exc)
    except Exception as exc:  # noqa: BLE001 - a plugin's mistake is a finding like any other
        reason = f"unexpected {type(exc).__name__} in the backend"
    else:
        reason = _shortcoming(found)
        state = "ready" if reason is None else "failed"
    person = entry.cls.as_person(entry.config.options)
    whom: Whom | None = ("the person" if person else "the service") if entry.cls.network or person else None
    return BackendReport(entry.name, kind, state, reason, found, perf_counter() - began, whom)


async def _probe(entry: Entry, credential: Credential | None) -> Probe:
    ctx = CallContext(credential=credential, connect_timeout=entry.config.timeouts.connect)
    current_call.set(ctx)
    backend = await asyncio.to_thread(entry.backend)
    return await backend.probe(ctx)


def _shortcoming(probe: Probe) -> str | None:
    if probe.reachable is False:
        return probe.detail or "it cannot be reached"
    if probe.model_known is False:
        return probe.detail or "the upstream does not know the model"
    return None


@dataclass(frozen=True, slots=True)
class KindReport:
    """One kind of backend.

    installed: its SDK is there. install: what pip is to install, if it is not. address: the form of its
    addresses, None if it has none. problem: why the kind itself cannot be used, None if it can.
    """

    kind: str
    description: str
    installed: bool
    install: str | None
    address: str | None
    problem: str | None = None


def kind_reports() -> list[KindReport]:
    """Every kind there is, built-in ones first. Imports no SDK."""
    return [_kind_report(kind) for kind in kinds()]


def _kind_report(kind: str) -> KindReport:
    try:
        cls = backend_class(kind)
    except ConfigError as exc:  # one broken plugin must not hide the others
        return KindReport(kind, "", False, None, None, str(exc).removeprefix(f"kind {kind!r}: "))
    missing = [module for module in cls.modules if not installed(module)]
    return KindReport(
        kind,
        _description(kind, cls),
        not missing,
        _install(cls.extra, missing) if missing else None,
        f"{kind}:{cls.address_field.upper()}" if cls.address_field else f"{kind}:",
    )


def _install(extra: str | None, missing: Sequence[str]) -> str:
    """Return what to do about a kind's modules that are missing."""
    return how_to_install(extra) if extra else " and ".join(map(how_to_install_package, missing))


def installed(module: str) -> bool:
    """Return whether a module can be imported; it is not."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _description(kind: str, cls: type[Backend]) -> str:
    """The first sentence of the file's docstring (a kind is one file), else of the class's."""
    text = " ".join((sys.modules[cls.__module__].__doc__ or cls.__doc__ or "").split())
    first, stop, _ = text.removeprefix(f"{kind}: ").partition(". ")
    sentence = first + stop.strip()
    return sentence[:1].upper() + sentence[1:]
