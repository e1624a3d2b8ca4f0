"""The commands about what is stored: export, import, db and users. Only click is imported here."""

from __future__ import annotations

from typing import Any

import click

from chatlab.cli.options import DEFAULT, OUTPUT
from chatlab.cli.program import Command


@click.command(cls=Command, short_help="Write stored conversations to a file.", epilog=DEFAULT)
@click.argument("config", required=False)
@click.option(
    "--format",
    "output_format",
    type=click.Choice(["jsonl", "markdown", "html"]),
    default="jsonl",
    show_default=True,
    help="jsonl is complete and can be imported again; html is one file with pictures.",
)
@click.option("--conversation", metavar="ID", help="One conversation, instead of all the owner has.")
@click.option("--comparison", metavar="ID", help="One comparison session, whoever's it is.")
@click.option("--owner", metavar="OWNER", help="Whose; not needed if only one owner has conversations.")
@OUTPUT
@click.option("--force", is_flag=True, help="Replace a file that is there already.")
@click.option("--parquet", metavar="URL", help="Add what is new of everybody to Parquet files below URL.")
@click.option("--no-content", is_flag=True, help="With --parquet: without what people and models wrote.")
def export(config: str | None, parquet: str | None, no_content: bool, **options: Any) -> None:
    """Write an owner's stored conversations and comparison sessions to standard output or a file, as
    docs/export-format.md says.

    An owner is a person who signed in or, without sign-in, a browser; "chatlab db owners" lists them.

    \b
      chatlab export chatlab.yaml -o conversations.jsonl
      chatlab export chatlab.yaml --format html --conversation 1f0c -o talk.html
      chatlab export chatlab.yaml --comparison 5f0c -o run.jsonl
      chatlab export chatlab.yaml --parquet s3://bucket/chatlab --no-content

    The third takes a comparison session out, that of a run of "chatlab compare" too, which no browser owns:
    "Import..." on the chat page makes it the session of whoever does that, and the Compare page lists it. The
    last writes tables for analysis, as docs/analytics.md says; no other option goes with it.
    """
    if parquet is not None:
        if others := [name for name, value in options.items() if value and name != "output_format"]:
            raise click.UsageError(f"--parquet takes everything of everybody: not --{others[0]}")
        from chatlab.cli.parquet import export_parquet

        raise click.exceptions.Exit(export_parquet(config, parquet, content=not no_content))
    if no_content:
        raise click.UsageError("--no-content goes with --parquet")
    from chatlab.cli.transfer import export as run

    raise click.exceptions.Exit(run(config, **options))


@click.command("import", cls=Command, short_help="Read conversations from a file.")
@click.argument("config")
@click.argument("file")
@click.option("--owner", metavar="OWNER", help="Whose they become; not needed if there is only one owner.")
def import_(config: str, file: str, owner: str | None) -> None:
    """Read conversations from FILE into the store; - is standard input.

    FILE is what "chatlab export" wrote, conversations.json of ChatGPT's data export, or OpenAI messages: a
    JSON list of them, or lines of objects with messages. What cannot be taken is said by line or
    conversation, and of a conversation or comparison session all is imported or nothing. One that is there
    already stays as it is.

    \b
      chatlab import chatlab.yaml conversations.jsonl --owner ann
    """
    from chatlab.cli.transfer import import_ as run

    raise click.exceptions.Exit(run(config, file, owner=owner))


@click.command(cls=Command, short_help="Look after the database.", epilog=DEFAULT)
@click.argument("action", type=click.Choice(["upgrade", "current", "check", "prune", "owners"]))
@click.argument("config", required=False)
@click.option("--dry-run", is_flag=True, help="With prune: say how much would go, and remove nothing.")
def db(action: Any, config: str | None, dry_run: bool) -> None:
    """Look after the database of a configuration.

    \b
      upgrade  bring its tables to this version; "chatlab serve" does it by itself for SQLite
      current  print the version its tables have
      check    compare its tables with this version's; leaves with 1 if they are not the same
      prune    remove for good what was deleted, what storage.keep_days is over for, and unused attachments
      owners   list who has conversations or comparison sessions: how many, and when they were last written to

    \b
      chatlab db upgrade chatlab.yaml
    """
    from chatlab.cli.db import db as run

    raise click.exceptions.Exit(run(action, config, dry_run=dry_run))


@click.command(cls=Command, short_help="See who is signed in, and end that.", epilog=DEFAULT)
@click.argument("action", type=click.Choice(["list", "end", "hash", "audit"]))
@click.argument("config", required=False)
@click.option("--person", metavar="PERSON", help="With end and audit: who, as list names them.")
@click.option("--links", is_flag=True, help="With end: end all links to what they wrote, too.")
def users(action: Any, config: str | None, person: str | None, links: bool) -> None:
    """See who is signed in at the pages of a configuration, and end that.

    \b
      list   a line for each session: person, name, since when, and when they last asked for something
      end    end all sessions of a person, who has to sign in again
      audit  what `auth.audit` says: sign-ins, sign-outs, refusals, and who asked which backend as whom
      hash   ask for a password, without showing it, and print its hash for `auth: {type: basic}`

    \b
      chatlab users list chatlab.yaml
      chatlab users end chatlab.yaml --person person-0123456789abcdef0123456789abcdef
    """
    from chatlab.cli.users import users as run

    raise click.exceptions.Exit(run(action, config, person, links))


STORED_COMMANDS = (export, import_, db, users)
