"""`chatlab export` and `chatlab import`: what is stored out of the store and into it."""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TextIO

import click

from chatlab.cli.program import FAILED, OK, say
from chatlab.cli.target import config_of
from chatlab.cli.terminal_text import Cleaner
from chatlab.config.load import load_config
from chatlab.ids import ConversationId
from chatlab.spelling import count, did_you_mean
from chatlab.words import words_of

if TYPE_CHECKING:
    from chatlab.config import models as config
    from chatlab.conversations.storage import OpenStorage
    from chatlab.store import Store
    from chatlab.transfer import Format

NOBODY = "nobody has conversations yet, so there is nothing to export"


def export(
    config: str | None,
    *,
    output_format: Format,
    conversation: ConversationId | None,
    comparison: str | None,
    owner: str | None,
    output: Path | None,
    force: bool,
) -> int:
    """Runs `chatlab export` and returns its exit code."""
    if conversation is not None and comparison is not None:
        raise click.UsageError("name a conversation or a comparison session, not both")
    if output is not None and output.exists() and not force:
        raise click.UsageError(f"{output} is there already: --force replaces it")
    asyncio.run(_export(config, output_format, conversation, comparison, owner, output))
    return OK


async def _export(
    config: str | None,
    output_format: Format,
    conversation: ConversationId | None,
    comparison: str | None,
    owner: str | None,
    output: Path | None,
) -> None:
    from chatlab.transfer import export

    loaded = load_config(config_of(config))
    wanted = loaded.storage
    if await nothing_yet(wanted):
        raise click.UsageError(NOBODY)
    async with opened(wanted) as storage:
        if comparison is not None and owner is None:
            owner = await storage.store.owner_of_comparison(comparison)
        whose = await chosen_owner(storage.store, owner, new=False)
        pieces = export(
            storage.store,
            storage.files,
            whose,
            conversation,
            comparison=comparison,
            output_format=output_format,
            words=words_of(loaded.ui.language),
        )
        if output is None:
            shown = Cleaner() if sys.stdout.isatty() else None
            async for piece in pieces:  # a pipe gets UTF-8 whatever the locale is: the formats are
                click.echo(piece.encode() if shown is None else shown.feed(piece), nl=False)
            return
        with replaced(output) as file:
            async for piece in pieces:
                file.write(piece)
        click.echo(f"wrote {output}", err=True)


@contextmanager
def replaced(output: Path, mode: int = 0o600) -> Iterator[TextIO]:
    """A file beside it that takes its place at the end: an export that fails leaves an older one whole.

    mode: who may read it, under the umask; what was stored is its owner's alone, as the database is.
    """
    beside = output.with_name(f".{output.name}.{secrets.token_hex(4)}")
    try:
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            yield file
        beside.replace(output)
    finally:
        beside.unlink(missing_ok=True)


def import_(config: str, file: str, *, owner: str | None) -> int:
    """Runs `chatlab import` and returns its exit code."""
    if file == "-":
        return asyncio.run(_import(config, sys.stdin.buffer, "standard input", owner))
    with Path(file).open("rb") as source:
        return asyncio.run(_import(config, source, file, owner))


async def _import(config: str, source: BinaryIO, name: str, owner: str | None) -> int:
    from chatlab.store import unused_since
    from chatlab.transfer import import_file

    wanted = load_config(config_of(config)).storage
    keep_days = wanted.keep_days if wanted else None
    async with opened(wanted) as storage:
        done = await import_file(
            *(storage.store, storage.files, await chosen_owner(storage.store, owner, new=True), source, name),
            unused_since=unused_since(keep_days),
        )
    for problem in done.problems:
        say(str(problem))
    sessions = f" and {count(done.comparisons, 'comparison session')}" if done.comparisons else ""
    said = f"imported {count(done.conversations, 'conversation')}{sessions} with {count(done.turns, 'turn')}"
    if done.noticed:
        said += f"; on {count(done.noticed, 'turn')} a notice says what was left out"
    if done.already:
        said += f"; {done.already} had been there already"
    click.echo(said, err=True)
    if done.unused:
        say(
            f"{done.unused} of what was imported will be removed by a server within minutes, or by "
            f"'chatlab db prune', as not written to for {count(keep_days or 0, 'day')}: raise "
            "storage.keep_days, or pin it"
        )
    return FAILED if done.problems else OK


@asynccontextmanager
async def opened(wanted: config.Storage | None) -> AsyncIterator[OpenStorage]:
    """The storage that a configuration wants. Raises UsageError if it wants none."""
    from chatlab.conversations.storage import open_storage

    async with open_storage(wanted) as storage:
        if storage is None:
            raise click.UsageError("this configuration has storage: none, so nothing is kept")
        yield storage


async def nothing_yet(wanted: config.Storage | None) -> bool:
    """Return whether a configuration's database is not there, or has no tables yet. Asking makes neither."""
    from chatlab.store import schema_state

    return wanted is not None and await schema_state.current(wanted.url, Path(), wanted.auth) is None


async def chosen_owner(store: Store, named: str | None, *, new: bool) -> str:
    """Return the owner who was named, or the only one who has chats, or the only one there is.

    new: who was named need not have anything yet. Raises UsageError.
    """
    owners = await store.owners()
    if named is not None:
        known = [one.owner for one in owners]
        if not new and named not in known:
            hint = did_you_mean(named, known)
            raise click.UsageError(
                f"no owner {named!r} has anything{hint or ':'} 'chatlab db owners' lists them"
            )
        return named
    owners = [one for one in owners if one.conversations] or owners
    if len(owners) == 1:
        return owners[0].owner
    if not owners and not new:
        raise click.UsageError(NOBODY)
    how = "there are several owners" if owners else "nobody has conversations yet"
    raise click.UsageError(f"{how}: say whose with --owner ('chatlab db owners' lists them)")
