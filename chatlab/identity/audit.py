"""The audit log: who signed in and out, who was refused, and who asked which backend as whom.

One JSON object a line, and a line in the server's log. It has nothing of what was asked or answered, and no
token.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal, TypeAlias

from chatlab.known_secrets import known_secrets
from chatlab.secret import scrub
from chatlab.store import now

log = logging.getLogger(__name__)

_REMEMBERED, _SHORT = 1_000, 100  # texts without secrets that are remembered, and their characters
_GATHERING = 0.25  # seconds in which lines are gathered: to wake a thread costs more than to write one

Event: TypeAlias = Literal["signed in", "signed out", "refused", "asked", "took along"]


class AuditLog:
    """The audit log of a server. Its file is opened a few times a second, while there is something to write:
    it may be moved away at any time.

    path: where it is; None for the server's log alone. Any thread may write, and none waits for the disk:
    one of the log's own writes the lines, in their order, to the last one that there is when Python ends.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._writer = ThreadPoolExecutor(1, "audit")  # which has a thread once there is something to write
        self._lock = threading.Lock()
        self._lines: list[str] = []  # that are to be written
        self._at_once = threading.Event()
        self._texts: tuple[object, dict[str, str]] = None, {}  # without the secrets that were known then
        self._lost = 0  # lines since the file could last be written; the writer's alone

    def write(self, event: Event, person: str | None, **details: str | None) -> None:
        """Write that something happened. person: whose conversations are affected, as `chatlab users list`
        names them; None where that is not known. A file that cannot be written is said in the server's log,
        once, and how many lines are missing when it can be again.
        """
        said = {name: self._scrubbed(value) for name, value in details.items() if value is not None}
        log.info("%s %s%s", person or "somebody", event, f" {json.dumps(said)}" if said else "")
        if self._path is not None:
            moment = f"{now():%Y-%m-%dT%H:%M:%S}Z"
            line = json.dumps({"at": moment, "event": event, "person": person, **said}) + "\n"
            with self._lock:
                self._lines.append(line)
                if len(self._lines) == 1:
                    self._writer.submit(self._append, self._path)

    def _scrubbed(self, text: str) -> str:
        """Return a text without secrets: each turn says the same names again, until another secret is
        known."""
        known, texts = self._texts
        if known is not known_secrets.forms or len(texts) >= _REMEMBERED:
            texts = {}
            self._texts = known_secrets.forms, texts
        found = texts.get(text)
        if found is None:
            found = scrub(text)
            if len(text) <= _SHORT:
                texts[text] = found
        return found

    async def flush(self) -> None:
        """Return once all that was said until now is written, or refused."""
        self._at_once.set()
        await asyncio.wrap_future(self._writer.submit(self._at_once.clear))

    def _append(self, path: Path) -> None:
        self._at_once.wait(_GATHERING)
        with self._lock:
            lines, self._lines = self._lines, []
        try:
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab") as file:
                file.write("".join(lines).encode())
        except OSError as exc:
            if not self._lost:
                log.error("the audit log cannot be written: %s", exc)
            self._lost += len(lines)
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
