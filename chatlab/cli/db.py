"""`chatlab db`: the database's tables, what is no longer kept, and who has conversations."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Literal, TypeAlias, assert_never

import click

from chatlab.cli.program import FAILED, OK, say
from chatlab.cli.target import config_of
from chatlab.cli.terminal_text import one_line
from chatlab.cli.transfer import nothing_yet, opened
from chatlab.config.load import load_config
from chatlab.config.models import Storage
from chatlab.spelling import count

Action: TypeAlias = Literal["upgrade", "current", "check", "prune", "owners"]

_STATES = {
    "up to date": "the tables are up to date",
    "behind": "the tables are behind this chatlab: back the database up, then run 'chatlab db upgrade'",
    "ahead": "the database was written by a newer chatlab: install that one, or go back to a backup",
    "differs": "the tables are not what this version makes: somebody changed them",
}

_NOBODY = "nobody has conversations or comparison sessions yet"


def db(action: Action, config: str | None, *, dry_run: bool) -> int:
    """Runs `chatlab db` and returns its exit code."""
    if dry_run and action != "prune":
        raise click.UsageError(f"--dry-run is of prune: {action} takes no such option")
    match action:
        case "owners":
            return asyncio.run(_owners(config))
        case "prune":
            return asyncio.run(_prune(config, dry_run=dry_run))
        case "upgrade" | "current" | "check":
            wanted = load_config(config_of(config)).storage
            if wanted is None:
                raise click.UsageError("this configuration has storage: none, so there is no database")
            return asyncio.run(_schema(action, wanted))
        case _:
            assert_never(action)


def refuse_other_tables(wanted: Storage | None) -> None:
    """Raises StoreError if a PostgreSQL has not this version's tables, which nothing but `chatlab db upgrade`
    changes. One that cannot be reached may come back: that is said, and is no reason not to serve."""
    if wanted is None:
        return
    from chatlab.store import Unreachable, schema_state
    from chatlab.store._database import address

    async def newest() -> None:
        database = await schema_state.opened(wanted.url, Path(), wanted.auth)
        try:
            await schema_state.require_newest(database)
        finally:
            await database.aclose()

    if address(wanted.url, Path()).get_backend_name() == "sqlite":
        return
    try:
        asyncio.run(newest())
    except Unreachable as exc:
        say(f"{exc}; nothing is kept until it is there")


async def _schema(action: Literal["upgrade", "current", "check"], wanted: Storage) -> int:
    from chatlab.store import schema_state

    if action == "upgrade":
        await schema_state.upgrade(wanted.url, Path(), wanted.auth)
    if action != "check":
        click.echo(await schema_state.current(wanted.url, Path(), wanted.auth) or "there are no tables yet")
        return OK
    state = await schema_state.check(wanted.url, Path(), wanted.auth)
    click.echo(_STATES[state])
    return OK if state == "up to date" else FAILED


async def _prune(config: str | None, *, dry_run: bool) -> int:
    from chatlab.store import UNDO, now, unused_since
    from chatlab.store.files import collect, sweep

    wanted = load_config(config_of(config)).storage
    keep_days = wanted.keep_days if wanted else None
    before, since = now() - UNDO, unused_since(keep_days)
    async with opened(wanted) as storage:
        old = await storage.store.unwanted(deleted_before=before, unused_since=since)
        files = 0
        if not dry_run:
            files = await collect(storage.store, storage.files, deleted_before=before, unused_since=since)
            files += await sweep(storage.store, storage.files)
    why = "deleted before"
    if keep_days is not None:
        why += f", or unpinned and not written to for {count(keep_days, 'day')}"
    found = [count(old.conversations, "conversation"), count(old.comparisons, "comparison session")]
    if dry_run:
        click.echo(f"would remove {' and '.join(found)} ({why}), and attachments that nothing names any more")
    else:
        click.echo(f"removed {' and '.join(found)} ({why}), and {count(files, 'attachment')}")
    return OK


async def _owners(config: str | None) -> int:
    wanted = load_config(config_of(config)).storage
    if await nothing_yet(wanted):
        say(_NOBODY)
        return OK
    async with opened(wanted) as storage:
        owners = await storage.store.owners()
        if not owners:
            say(_NOBODY)
        for owner in owners:
            click.echo(
                f"{one_line(owner.owner)}\t{count(owner.conversations, 'conversation')}\t"
                f"{count(owner.turns, 'turn')}\t{count(owner.comparisons, 'comparison session')}\t"
                f"last written to {owner.updated:%Y-%m-%d %H:%M} UTC"
            )
    return OK
