"""The audit log: who signed in and out, who was refused, and who asked which backend as whom.

One JSON object a line, and a line in the server's log. It has nothing of what was asked or answered, and no
token.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal, TypeAlias

from chatlab.secret import scrub
from chatlab.store import now

log = logging.getLogger(__name__)

Event: TypeAlias = Literal["signed in", "signed out", "refused", "asked", "took along"]


class AuditLog:
    """The audit log of a server. Its file is opened for each line, so that it may be moved away at any time.

    path: where it is; None for the server's log alone. Any thread may write, and none waits for the disk:
    one of the log's own writes the lines, in their order, to the last one that there is when Python ends.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._writer = ThreadPoolExecutor(1, "audit")  # which has a thread once there is something to write
        self._lost = 0  # lines since the file could last be written; the writer's alone

    def write(self, event: Event, person: str | None, **details: str | None) -> None:
        """Write that something happened. person: whose conversations are affected, as `chatlab users list`
        names them; None where that is not known. A file that cannot be written is said in the server's log,
        once, and how many lines are missing when it can be again.
        """
        said = {name: scrub(value) for name, value in details.items() if value is not None}
        log.info("%s %s%s", person or "somebody", event, f" {json.dumps(said)}" if said else "")
        if self._path is not None:
            moment = f"{now():%Y-%m-%dT%H:%M:%S}Z"
            line = json.dumps({"at": moment, "event": event, "person": person, **said}) + "\n"
            self._writer.submit(self._append, self._path, line)

    async def flush(self) -> None:
        """Return once all that was said until now is written, or refused."""
        await asyncio.wrap_future(self._writer.submit(lambda: None))

    def _append(self, path: Path, line: str) -> None:
        try:
            file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                os.write(file, line.encode())
            finally:
                os.close(file)
        except OSError as exc:
            self._lost += 1
            if self._lost == 1:
                log.error("the audit log cannot be written: %s", exc)
            return
        if self._lost:
            log.error("the audit log can be written again, and %d lines of it are missing", self._lost)
            self._lost = 0


def audited(path: Path) -> Iterator[dict[str, str]]:
    """Yield what an audit log says, line by line; what is no line of one is passed over."""
    with path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            try:
                said = json.loads(line)
            except ValueError:
                continue
            if isinstance(said, dict):
                yield {str(name): str(value) for name, value in said.items() if value is not None}
