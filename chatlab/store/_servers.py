"""The servers that run turns, and those of them that are dead.

A server is one process with one open store. It says every `_BEAT` that it is there; one that was not heard
of for `_SILENCE`, or whose process is gone from this machine, is dead, and its turns are interrupted.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from secrets import token_hex
from typing import Any

from sqlalchemy import Connection, Row, delete, func, select, update

from chatlab.store import StoredTurn, now
from chatlab.store._insert import insert_or_update
from chatlab.store._search import set_turn, turn_document
from chatlab.store._turn_rows import from_row
from chatlab.store.schema import Moment, servers, turns

BEAT = timedelta(seconds=15)
SILENCE = timedelta(seconds=60)


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

    def beat(self, connection: Connection) -> None:
        """Announce this process, by the database's clock. Its first turns may begin at once, and then each
        of them says so: one statement, of which either database makes one row."""
        row = {"token": self.token, "host": self.host, "pid": self.pid, "seen": _clock(connection)}
        connection.execute(insert_or_update(connection, servers, row, "seen"))

    def leave(self, connection: Connection) -> None:
        """Take this process back: whatever it still runs is interrupted."""
        connection.execute(delete(servers).where(servers.c.token == self.token))

    def recover(self, connection: Connection) -> int:
        """Interrupt the turns of dead servers, and return their number."""
        moment = _clock(connection)
        known = (connection.execute(select(servers))).all()
        alive = [row.token for row in known if not self._dead(row, moment - SILENCE)]
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
        return len(lost)

    def _dead(self, other: Row[Any], silent_since: Any) -> bool:
        if other.token == self.token:
            return False
        if other.seen < silent_since:
            return True
        # A process of our own number that is not ours was there before us.
        return other.host == self.host and (other.pid == self.pid or not _runs(other.pid))


def _interrupt(connection: Connection, lost: Sequence[StoredTurn]) -> None:
    for turn in lost:
        connection.execute(
            update(turns)
            .where(turns.c.owner == turn.owner, turns.c.id == turn.id)
            .values(status="interrupted", server=None)
        )
        set_turn(connection, turn.owner, turn.id, turn_document(replace(turn, status="interrupted")))


def _clock(connection: Connection) -> Any:
    """Return the time by the one clock that all servers of a database share."""
    if connection.dialect.name == "sqlite":
        return now()
    return (connection.execute(select(func.now(type_=Moment())))).scalar_one()


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
