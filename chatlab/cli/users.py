"""`chatlab users`: who is signed in, the end of that, the audit log, and the hashes of passwords."""

from __future__ import annotations

import asyncio
import sys
from typing import Literal, TypeAlias

import click

from chatlab.cli.program import FAILED, OK, say
from chatlab.cli.target import config_of
from chatlab.cli.terminal_text import one_line
from chatlab.cli.transfer import nothing_yet, opened
from chatlab.config.load import load_config
from chatlab.config.models import Config
from chatlab.identity.audit import audited
from chatlab.spelling import count

Action: TypeAlias = Literal["list", "end", "hash", "audit"]

_SHOWN = ("name", "backend", "as", "address", "why")


def users(action: Action, config: str | None, person: str | None, links: bool) -> int:
    """Runs `chatlab users` and returns its exit code."""
    if links and action != "end":
        raise click.UsageError("--links is for end alone")
    if (person is None) if action == "end" else (person is not None and action != "audit"):
        raise click.UsageError("end takes --person, as list names them, and audit may; the others do not")
    if action == "hash":
        return _hash(config)
    whole = load_config(config_of(config))
    if action == "audit":
        return _audit(whole, person)
    return asyncio.run(_list(whole) if person is None else _end(whole, person, links=links))


def _hash(config: str | None) -> int:
    """Print the hash of a password, which is asked for twice without being shown, or is the first line of
    what is piped in."""
    from chatlab.identity.passwords import LONGEST, SHORTEST, password_hash

    if config is not None:
        raise click.UsageError("hash takes no configuration: it asks for a password, and prints its hash")
    if sys.stdin.isatty():
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    if not SHORTEST <= len(password) <= LONGEST:
        say(f"a password has {SHORTEST} to {LONGEST} characters: take another")
        return FAILED
    click.echo(password_hash(password))
    return OK


def _audit(config: Config, person: str | None) -> int:
    path = config.auth.audit if config.auth is not None else None
    if path is None:
        say("no audit log is written: auth.audit says where to")
        return FAILED
    try:
        for said in audited(path):
            if person in (None, said.get("person")):
                shown = (f"{name}: {said[name]}" for name in _SHOWN if name in said)
                first = (said.get("at", ""), said.get("event", ""), said.get("person", "-"))
                click.echo("\t".join(one_line(one) for one in (*first, *shown)))
    except OSError as exc:
        say(f"{path} cannot be read ({exc.strerror}): it is there once somebody signed in")
        return FAILED
    return OK


async def _list(config: Config) -> int:
    from chatlab.store import now

    if not await nothing_yet(config.storage):
        async with opened(config.storage) as storage:
            moment = now()
            found = [one for one in await storage.store.sign_ins.all() if one.ends > moment]
            for one in found:
                click.echo(
                    f"{one.owner}\t{one_line(one.name)}\tsince {one.begun:%Y-%m-%d %H:%M} UTC\t"
                    f"last seen {one.used:%Y-%m-%d %H:%M} UTC"
                )
            if found:
                return OK
    say("nobody is signed in")
    return OK


async def _end(config: Config, person: str, *, links: bool) -> int:
    ended = shared = 0
    if not await nothing_yet(config.storage):
        async with opened(config.storage) as storage:
            ended = await storage.store.sign_ins.end_all(person)
            shared = await storage.store.revoke_all(person) if links else 0
    if links:
        click.echo(f"ended {count(shared, 'link')}")
    if not ended and not shared:
        say(f"{one_line(person)} is not signed in: chatlab users list says who is")
        return FAILED
    click.echo(f"ended {count(ended, 'session')}; a server that runs knows it within ten seconds")
    return OK
