"""`chatlab check` and `chatlab backends`: reports for people, and the same as JSON."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from pydantic import SecretStr

from chatlab.cli.program import CONFIG, FAILED, NOT_READY, OK, report
from chatlab.cli.target import entry, open_lab, target_of
from chatlab.cli.terminal_text import one_line
from chatlab.config.check import BackendReport, State, check, kind_reports
from chatlab.config.registry import Entry
from chatlab.credentials import Credential, ProtectedResource
from chatlab.errors import AuthRequired, ConfigError, NotReady
from chatlab.lab import Lab
from chatlab.secret import SecretRef

_COLORS: dict[State, str] = {"ready": "green", "not ready": "yellow", "failed": "red"}


def print_check(
    targets: tuple[str, ...],
    *,
    probe: bool,
    longest: float,
    strict: bool,
    as_json: bool,
    tokens: Sequence[str] = (),
) -> int:
    """Runs `chatlab check` and returns its exit code. tokens: a person's, as `--as` gives them."""
    credential = _credential(tokens) if tokens else None
    target = target_of(targets)
    try:
        lab = open_lab(target.config)
    except ConfigError as exc:
        if as_json:
            _print_json(
                {"config": str(target.config), "valid": False, "problems": exc.problems, "backends": []}
            )
            return CONFIG
        return report(exc)
    entries = [entry(lab, name) for name in target.names] or list(lab.backends.values())
    reports = asyncio.run(_reports(lab, entries, probe, longest, credential))
    if as_json:
        _print_json(
            {
                "config": str(target.config) if target.config else None,
                "valid": True,
                "problems": [],
                "backends": [asdict(found) for found in reports],
            }
        )
    else:
        _print_reports(target.config, reports)
    return _exit_code(reports, all_of_them=strict or bool(target.names))


async def _reports(
    lab: Lab, entries: Sequence[Entry], probe: bool, longest: float, credential: Credential | None
) -> list[BackendReport]:
    try:
        return await check(entries, probe=probe, longest=longest, credential=credential)
    finally:
        await lab.aclose()


def _credential(given: Sequence[str]) -> Credential:
    """Return a person's tokens, each for one service: `https://HOST=env:NAME` or `=file:PATH`."""
    tokens: dict[str, SecretRef] = {}
    for one in given:
        service, _, reference = one.partition("=")
        how, _, where = reference.partition(":")
        if not service or how not in ("env", "file") or not where:
            raise click.BadParameter(
                "write the service and where its token is: https://HOST=env:NAME", param_hint="--as"
            )
        resource = ProtectedResource(service if "://" in service else f"https://{service}")
        tokens[resource.origin] = SecretRef(env=where) if how == "env" else SecretRef(file=Path(where))

    async def credential(resource: ProtectedResource) -> SecretStr:
        reference = tokens.get(resource.origin)
        if reference is None:
            raise AuthRequired(
                f"it is asked as a person: give their token by --as {resource.origin}=env:NAME"
            )
        try:
            return reference.resolve()
        except LookupError as exc:
            raise NotReady(str(exc)) from exc

    return credential


def _exit_code(reports: Sequence[BackendReport], *, all_of_them: bool) -> int:
    states = [found.state for found in reports]
    if "failed" in states:
        return FAILED
    enough = all if all_of_them else any
    return OK if enough(state == "ready" for state in states) else NOT_READY


def _print_reports(config: Path | None, reports: Sequence[BackendReport]) -> None:
    if config is not None:
        click.echo(f"{config} is valid")
    names = max(len(found.name) for found in reports)
    kinds = max(len(found.kind) for found in reports)
    for found in reports:
        state = click.style(f"{found.state:<9}", fg=_COLORS[found.state])
        line = f"{state}  {found.name:<{names}}  {found.kind:<{kinds}}  {_finding(found)}"
        click.echo(line.rstrip())
    ready = sum(found.state == "ready" for found in reports)
    click.echo(f"{ready} of {len(reports)} ready")


def _finding(found: BackendReport) -> str:
    said: list[str] = []
    if found.reason is not None:
        said.append(one_line(found.reason))
    if (probe := found.probe) is not None:
        if probe.reachable:
            said.append("reachable")
        elif probe.reachable is None:
            said.append("reachability unknown")
        if probe.model_known:
            said.append("model known")
        elif probe.model_known is None:
            said.append("model unknown: the upstream does not say")
        whom = probe.identity or found.whom
        if whom:
            said.append(f"as {one_line(whom, 80)}")
        if probe.detail and probe.detail != found.reason:
            said.append(one_line(probe.detail, 200))
    if found.seconds is not None:
        said.append(f"{found.seconds:.2f} s")
    return ", ".join(said)


def print_kinds(*, as_json: bool) -> None:
    """Runs `chatlab backends`."""
    kinds = kind_reports()
    if as_json:
        _print_json([asdict(kind) for kind in kinds])
        return
    names = max(len(kind.kind) for kind in kinds)
    addresses = max(len(kind.address or "") for kind in kinds)
    for kind in kinds:
        if kind.problem is not None:
            state = click.style(one_line(kind.problem), fg="red")
        elif kind.install is not None:
            state = click.style(f"not installed: {kind.install}", fg="yellow")
        else:
            state = click.style("installed", fg="green")
        click.echo(f"{kind.kind:<{names}}  {kind.address or '':<{addresses}}  {state}")
        if kind.description:
            click.echo(f"{'':<{names}}  {kind.description}")


def _print_json(value: Any) -> None:
    click.echo(json.dumps(value, ensure_ascii=False, indent=2))
