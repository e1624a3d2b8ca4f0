"""Takes in the files that visitors import, so that nobody else waits for it."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import IO
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from chatlab import transfer
from chatlab.config.limits import ImportLimits
from chatlab.config.models import Storage
from chatlab.conversations.service import StorageService
from chatlab.secret import scrub
from chatlab.store import unused_since
from chatlab.web.conversations.import_process import import_apart
from chatlab.web.conversations.schemas import Imported, ImportProgress
from chatlab.web.shared.limits import LimitReached, VisitorLimits
from chatlab.web.shared.stored_room import StoredRoom

_IMPORTED_APART = 100_000  # bytes: smaller ones hold nobody up
_IMPORTS_AT_ONCE = 2  # that run; others wait
_IMPORTS_OF_ADDRESS, _IMPORTS_IN_ALL = 5, 10
_SILENCE = 30.0  # seconds in which nothing of a file arrives


class TooSlow(LimitReached):
    """Nothing arrives any more of a file."""

    http_status = 408

    def __init__(self) -> None:
        super().__init__("refusal.import-slow", seconds=f"{_SILENCE:g}")


class TooLarge(LimitReached):
    """A file has more bytes than one that is imported may have."""

    http_status = 413


class Imports:
    """Takes in files: one at a time of a visitor, a few of all, and large ones in a process of their own."""

    def __init__(
        self, wanted: Storage, limits: ImportLimits, visitors: VisitorLimits, room: StoredRoom
    ) -> None:
        self._wanted = wanted
        self._limits = limits
        self._visitors = visitors
        self._room_to_store = room
        self._running: dict[str, tuple[str, transfer.ImportResult]] = {}  # by owner: the address, and how far
        self._room = asyncio.Semaphore(_IMPORTS_AT_ONCE)

    async def progress(self, storage: StorageService, owner: str, request: Request) -> Response:
        """Return how far the import is that this visitor has running, and what a file may have."""
        running = self._running.get(owner)
        turns = None if running is None else running[1].turns
        return JSONResponse(ImportProgress(turns=turns, most_mb=self._limits.mb))

    async def take(self, storage: StorageService, owner: str, request: Request) -> Response:
        """Take in the file that a request brings."""
        address = self._visitors.visitor(request).address
        if owner in self._running:
            raise LimitReached("refusal.one-import")
        here = sum(one == address for one, _ in self._running.values())
        if here >= _IMPORTS_OF_ADDRESS or len(self._running) >= _IMPORTS_IN_ALL:
            raise LimitReached("refusal.many-imports")
        self._running[owner] = address, transfer.ImportResult()
        try:
            with tempfile.NamedTemporaryFile() as file:
                size = await self._receive(request, file)
                async with self._room:
                    return await self._imported(storage, owner, request, Path(file.name), size)
        finally:
            del self._running[owner]

    async def _receive(self, request: Request, file: IO[bytes]) -> int:
        """Return how many bytes came, which are in the file then. Raise TooLarge, as early as it is known."""
        self._require_room(
            int(length) if (length := request.headers.get("content-length", "")).isdecimal() else 0
        )
        size = 0
        pieces = request.stream()
        try:
            while True:
                async with asyncio.timeout(_SILENCE):
                    piece = await anext(pieces, None)
                if piece is None:
                    break
                size += len(piece)
                self._require_room(size)
                await asyncio.to_thread(file.write, piece)
        except TimeoutError:
            raise TooSlow from None
        await asyncio.to_thread(file.flush)
        return size

    def _require_room(self, size: int) -> None:
        if size > self._limits.mb * 1_000_000:
            raise TooLarge("refusal.import-large", most=f"{self._limits.mb:g}")

    async def _imported(
        self, storage: StorageService, owner: str, request: Request, file: Path, size: int
    ) -> Response:
        name = unquote(request.headers.get("x-filename", "the file"))
        name = name.replace("\\", "/").rpartition("/")[2][:200]
        old = unused_since(storage.keep_days)
        await self._room_to_store.hold(storage, owner, size)
        if size > _IMPORTED_APART:
            address, _ = self._running[owner]

            def progress(so_far: transfer.ImportResult) -> None:
                self._running[owner] = address, so_far

            result = await import_apart(
                self._wanted, owner, file, name, old, limits=self._limits, progress=progress
            )
        else:
            with file.open("rb") as opened:
                result = await transfer.import_file(
                    storage.store, storage.files, owner, opened, name, unused_since=old
                )
        return _import_said(storage, result)


def _import_said(storage: StorageService, result: transfer.ImportResult) -> Response:
    problems = [scrub(str(problem)) for problem in result.problems[:20]]
    if result.unused:
        stored_for = f"conversations that are not pinned are kept for {storage.keep_days} days here"
        problems.append(f"{result.unused} of them will be removed within minutes: {stored_for}.")
    if result.already:
        problems.append(f"{result.already} were here already.")
    return JSONResponse(
        Imported(
            conversations=result.conversations,
            comparisons=result.comparisons,
            turns=result.turns,
            problems=problems,
        )
    )
