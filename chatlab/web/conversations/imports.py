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
from chatlab.config.models import Storage
from chatlab.conversations.service import StorageService
from chatlab.errors import InvalidRequest
from chatlab.secret import scrub
from chatlab.store import unused_since
from chatlab.web.conversations.import_process import import_apart
from chatlab.web.conversations.schemas import Imported
from chatlab.web.shared.limits import LimitReached

_LARGEST_IMPORT = 1_000_000_000  # bytes
_IMPORTED_APART = 100_000  # bytes: smaller ones hold nobody up
_IMPORTS_AT_ONCE = 2  # that run; others wait
_IMPORTS_IN_ALL = 10


class Imports:
    """Takes in files: one at a time of a visitor, a few of all, and large ones in a process of their own."""

    def __init__(self, wanted: Storage) -> None:
        self._wanted = wanted
        self._owners: set[str] = set()
        self._room = asyncio.Semaphore(_IMPORTS_AT_ONCE)

    async def take(self, storage: StorageService, owner: str, request: Request) -> Response:
        """Take in the file that a request brings."""
        if owner in self._owners:
            raise LimitReached("one visitor may have one import running: wait for it to end")
        if len(self._owners) >= _IMPORTS_IN_ALL:
            raise LimitReached("too many files are being imported here: try again in a minute")
        self._owners.add(owner)
        try:
            with tempfile.NamedTemporaryFile() as file:
                size = await _receive(request, file)
                async with self._room:
                    return await self._imported(storage, owner, request, Path(file.name), size)
        finally:
            self._owners.discard(owner)

    async def _imported(
        self, storage: StorageService, owner: str, request: Request, file: Path, size: int
    ) -> Response:
        name = unquote(request.headers.get("x-filename", "the file"))
        name = name.replace("\\", "/").rpartition("/")[2][:200]
        old = unused_since(storage.keep_days)
        if size > _IMPORTED_APART:
            result = await import_apart(self._wanted, owner, file, name, old)
        else:
            with file.open("rb") as opened:
                result = await transfer.import_file(
                    storage.store, storage.files, owner, opened, name, unused_since=old
                )
        return _import_said(storage, result)


async def _receive(request: Request, file: IO[bytes]) -> int:
    size = 0
    async for piece in request.stream():
        size += len(piece)
        if size > _LARGEST_IMPORT:
            raise InvalidRequest(f"a file to import has at most {_LARGEST_IMPORT // 1_000_000} MB")
        await asyncio.to_thread(file.write, piece)
    await asyncio.to_thread(file.flush)
    return size


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
