"""`chatlab export --parquet`: what is stored, as tables for analysis."""

from __future__ import annotations

import asyncio

import click

from chatlab.cli.program import OK
from chatlab.cli.target import config_of
from chatlab.cli.transfer import NOBODY, nothing_yet, opened
from chatlab.config.load import load_config
from chatlab.spelling import count


def export_parquet(config: str | None, url: str, *, content: bool) -> int:
    """Runs `chatlab export --parquet` and returns its exit code."""
    return asyncio.run(_export(config, url, content))


async def _export(config: str | None, url: str, content: bool) -> int:
    from chatlab.transfer import parquet

    wanted = load_config(config_of(config)).storage
    if await nothing_yet(wanted):
        raise click.UsageError(NOBODY)
    async with opened(wanted) as storage:
        added = await parquet.export_parquet(storage.store, url, content=content)
    rows = ", ".join(f"{table} {number}" for table, number in added.items() if number)
    click.echo(f"{count(sum(added.values()), 'new row')}{': ' + rows if rows else ''}", err=True)
    return OK
