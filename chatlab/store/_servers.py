"""The servers that run turns, those of them that are dead, and what they wish of each other's turns.

A server is one process with one open store. It says at every beat that it is there; one that was silent for
too long, or whose process is gone from this machine, is dead, and its turns are interrupted.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from secrets import token_hex
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, delete, func, literal, select, update

from chatlab.ids import TurnId
from chatlab.store import StoredTurn, now
from chatlab.store._insert import insert_or_update
from chatlab.store._search import set_turn, turn_document
from chatlab.store._turn_rows import from_row
from chatlab.store.replicas import LOOKS_ON, Wish
from chatlab.store.schema import Moment, onlookers, servers, turns

CHANNEL = "chatlab"
"""What servers listen to (PostgreSQL). A notification is who tells, and the id of what changed."""


@dataclass(frozen=True, slots=True)
class Beats:
    """The time between two signs of a server, and the silence after which it is dead."""

    every: timedelta
    silence: timedelta


# A SQLite file's servers are of one machine, which knows at once whose process is gone.
SQLITE_BEATS = Beats(timedelta(seconds=15), timedelta(seconds=60))
POSTGRES_BEATS = Beats(timedelta(seconds=2), timedelta(seconds=7))
_FORGOTTEN = timedelta(minutes=1)  # after which an onlooker's wish is removed


def _this_machine() -> str:
    """Return the place in which the number of a process is unique: containers of one machine have numbers
    of their own."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        return f"{socket.gethostname()} {boot} {os.readlink('/proc/self/ns/pid')}"  # noqa: PTH115 (not a path)
    except OSError:
        return socket.gethostname()


@dataclass(frozen=True, slots=True)
class DatabaseServer:
    """This process, as others see it in the database."""

    token: str = field(default_factory=lambda: token_hex(10))
    host: str = field(default_factory=_this_machine)
    pid: int = field(default_factory=os.getpid)
    beats: Beats = POSTGRES_BEATS

    def beat(self, connection: Connection) -> None:
        """Announce this process, by the database's clock. Its first turns may begin at once, and then each
        of them says so: one statement, of which either database makes one row."""
        row = {"token": self.token, "host": self.host, "pid": self.pid, "seen": clock_of(connection)}
        connection.execute(insert_or_update(connection, servers, "seen").values(row))

    def leave(self, connection: Connection) -> None:
        """Take this process back: whatever it still runs is interrupted."""
        connection.execute(delete(servers).where(servers.c.token == self.token))

    def recover(self, connection: Connection) -> int:
        """Interrupt the turns of dead servers, and return their number."""
        moment = database_clock(connection)
        known = (connection.execute(select(servers))).all()
        alive = [row.token for row in known if not self._dead(row, moment - self.beats.silence)]
        query = (
            select(turns)
            .where(turns.c.status == "running", turns.c.server.not_in([*alive, self.token]))
            .with_for_update(skip_locked=True)  # one that is being written has a living server
        )
        lost = [from_row(row) for row in connection.execute(query)]
        _interrupt(connection, lost)
        dead = [row.token for row in known if row.token not in alive]
        if dead:
            connection.execute(delete(servers).where(servers.c.token.in_(dead)))
        connection.execute(delete(onlookers).where(onlookers.c.until < moment - _FORGOTTEN))
        return len(lost)

    def wishes(self, connection: Connection) -> Sequence[Wish]:
        """Return what others wish of the turns that run here."""
        query = (
            select(onlookers.c.turn, onlookers.c.stop, onlookers.c.until > clock_of(connection))
            .join(turns, turns.c.id == onlookers.c.turn)
            .where(turns.c.status == "running", turns.c.server == self.token)
        )
        return [Wish(turn, stop) for turn, stop, looks in connection.execute(query) if stop or looks]

    def _dead(self, other: Row[Any], silent_since: Any) -> bool:
        if other.token == self.token:
            return False
        if other.seen < silent_since:
            return True
        # A process of our own number that is not ours was there before us.
        return other.host == self.host and (other.pid == self.pid or not _runs(other.pid))


def wish(connection: Connection, owner: str, wanted: Sequence[TurnId], *, stop: bool) -> Sequence[str]:
    """Store what is wished of those of an owner's turns that run elsewhere; return the servers that run them.

    stop: they are to be stopped; otherwise somebody looks on.
    """
    query = select(turns.c.id, turns.c.server).where(
        turns.c.owner == owner, turns.c.id.in_(wanted), turns.c.status == "running"
    )
    found = connection.execute(query).all()
    until = database_clock(connection) + timedelta(seconds=LOOKS_ON)
    for turn, _ in found:
        row = {"turn": turn, "owner": owner, "until": until, "stop": stop}
        changed = ("until", "stop") if stop else ("until",)  # who only looks on takes no stop back
        connection.execute(insert_or_update(connection, onlookers, *changed).values(row))
    return sorted({server for _, server in found if server is not None})


def tell(connection: Connection, sender: str, names: Iterable[str]) -> None:
    """Tell the other servers, once this transaction is committed, that what has these names is news."""
    for name in names:
        connection.execute(select(func.pg_notify(CHANNEL, f"{sender} {name}")))


def _interrupt(connection: Connection, lost: Sequence[StoredTurn]) -> None:
    for turn in lost:
        connection.execute(
            update(turns)
            .where(turns.c.owner == turn.owner, turns.c.id == turn.id)
            .values(status="interrupted", server=None)
        )
        set_turn(connection, turn.owner, turn.id, turn_document(replace(turn, status="interrupted")))


def clock_of(connection: Connection) -> ColumnElement[Any]:
    """Return, to be asked for in a query, the time by the one clock that all servers of a database share."""
    sqlite = connection.dialect.name == "sqlite"  # a file of this machine
    return literal(now(), Moment()) if sqlite else func.now(type_=Moment())


def database_clock(connection: Connection) -> Any:
    """Return that time."""
    return connection.execute(select(clock_of(connection))).scalar_one()


def _runs(pid: int) -> bool:
    if sys.platform == "win32":
        return True  # nothing there asks without doing; its silence will tell
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # somebody else's process
    return True
