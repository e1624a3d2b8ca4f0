"""`chatlab report`: a run of many prompts, or a session of the page, as something one can hand on."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from chatlab.cli.program import OK, say
from chatlab.cli.target import config_of
from chatlab.cli.terminal_text import Cleaner
from chatlab.cli.transfer import opened, replaced
from chatlab.compare.batch.folder import load, read_plan
from chatlab.compare.report import Format, report_pieces, title_words
from chatlab.compare.report.from_session import comparison_of, with_pictures
from chatlab.compare.report.judged import agreement, judgements_of
from chatlab.compare.report.recording import NoSuchLane, lane_recording
from chatlab.compare.session.session import ComparisonSession
from chatlab.compare.statistics.votes_csv import read, votes_on
from chatlab.config.load import load_config
from chatlab.errors import ConfigError, StoreError
from chatlab.lab import load as load_lab
from chatlab.redaction.texts import Pattern, WrongPattern, parse_patterns
from chatlab.store import NotStored
from chatlab.words import ENGLISH, Words, words_of

if TYPE_CHECKING:
    from chatlab.compare.model import Comparison


def print_report(
    what: str,
    config: str | None,
    *,
    output_format: Format,
    patterns: tuple[str, ...],
    votes: Path | None,
    recording: str | None,
    output: Path | None,
    force: bool,
) -> int:
    """Runs the command and returns its exit code."""
    if output is not None and output.exists() and not force:
        raise click.UsageError(f"{output} is there already: --force replaces it")
    try:
        wanted = parse_patterns(patterns)
    except WrongPattern as exc:
        raise click.UsageError(f"--redact: {exc}") from exc
    folder = Path(what)
    if folder.is_dir():
        if config is not None:
            raise click.UsageError(f"{what} is a run's folder: it needs no configuration")
        found = load(folder)
        words = _words_of_run(folder)
        if votes is not None:
            found = replace(found, votes=votes_on(found, read(votes), votes.name))
            say(agreement(judgements_of(found)) or f"no verdict of a judge is on what {votes.name} votes on")
    elif votes is not None:
        raise click.UsageError("--votes is for the folder of a run: a session has its votes already")
    else:
        pictures = output_format == "html" and not wanted
        found, words = asyncio.run(_stored(what, config, output_format, pictures=pictures))
    if recording is not None:
        _write((_recording(found, recording, wanted),), output)
    else:
        _write(report_pieces(found, output_format, wanted, words), output)
    return OK


def _words_of_run(folder: Path) -> Words:
    """Return the words of the configuration that a run was begun with, in which its own report is; English if
    that is not there any more."""
    config = read_plan(folder).config
    try:
        return ENGLISH if config is None else words_of(load_config(config).ui.language)
    except ConfigError:
        return ENGLISH


def _recording(found: Comparison, lane: str, patterns: tuple[Pattern, ...]) -> str:
    try:
        return lane_recording(found, lane, patterns)
    except NoSuchLane as exc:
        raise click.UsageError(f"--recording: {exc}") from exc


async def _stored(
    session_id: str, config: str | None, form: Format, *, pictures: bool
) -> tuple[Comparison, Words]:
    """Return a session from the store for a report, and the words of its configuration. Raises StoreError."""
    lab = load_lab(config_of(config))
    assert lab.config is not None
    words = words_of(lab.config.ui.language)
    try:
        async with opened(lab.config.storage) as storage:
            try:
                whose = await storage.store.owner_of_comparison(session_id)
            except NotStored as exc:
                problem = f"{session_id} is neither the folder of a run nor a stored comparison session"
                raise StoreError(problem) from exc
            about = await storage.store.comparison(whose, session_id)
            session = await ComparisonSession.open(
                lab.backends, session_id, owner=whose, store=storage.store, files=storage.files
            )
            try:
                found = comparison_of(
                    session,
                    title=about.title,
                    created=about.created,
                    words=title_words(form, words),
                )
            finally:
                await session.aclose()
            return await with_pictures(found, storage.files) if pictures else found, words
    finally:
        await lab.aclose()


def _write(pieces: Iterable[str], output: Path | None) -> None:
    if output is None:
        cleaner = Cleaner()
        for piece in pieces:
            # A pipe gets UTF-8 whatever the locale is: the formats are.
            shown = cleaner.feed(piece) if sys.stdout.isatty() else piece.encode("utf-8", "replace")
            click.echo(shown, nl=False)
        return
    with replaced(output, 0o666) as file:  # made to be handed on
        file.writelines(piece.encode("utf-8", "replace").decode("utf-8") for piece in pieces)
    say(f"wrote {output}")
