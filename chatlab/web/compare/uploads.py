"""Files that were attached on the comparison page and not sent yet."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import weakref
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

from chatlab.errors import UnsupportedContent
from chatlab.messages import FilePart
from chatlab.store import new_id
from chatlab.store.check import FileLimits, check
from chatlab.web.shared.limits import Held, Visitor, VisitorLimits
from chatlab.words import ENGLISH

_LONGEST = 3600.0  # seconds that an upload may wait to be sent
_MOST_SENT = 200  # files of one owner that were sent in sessions which no store has; the oldest go first


@dataclass(slots=True)
class _Upload:
    owner: str
    part: FilePart
    held: Held
    at: float = field(default_factory=monotonic)


class PendingUploads:
    """Uploads by id, each for its owner alone, in a folder that goes with the server.

    They count in their visitor's limits until they are sent, or have waited for an hour; nobody's upload is
    removed for another's. Used in the event loop only. stored: whether a store has what was sent.
    """

    def __init__(self, max_bytes: int, limits: VisitorLimits, *, stored: bool) -> None:
        self._limits = FileLimits(max_bytes=max_bytes)
        self._visitors = limits
        self._stored = stored
        self._folder = Path(tempfile.mkdtemp(prefix="chatlab-uploads-"))
        weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        self._uploads: dict[str, _Upload] = {}
        self._sent: dict[str, list[Path]] = {}

    async def take(
        self,
        owner: str,
        visitor: Visitor,
        name: str,
        declared: str | None,
        length: int | None,
        content: AsyncIterator[bytes],
    ) -> tuple[str, FilePart]:
        """Take an upload, which waits until it is sent; return its id and part.

        length: the bytes it is said to have; None is as many as there may be. Raises UnsupportedContent, and
        LimitReached if too many of the visitor's wait already.
        """
        self._forget(one for one, upload in self._uploads.items() if monotonic() - upload.at > _LONGEST)
        most = self._limits.max_bytes
        held = self._visitors.hold_upload(visitor, most if length is None else min(length, most))
        upload_id = new_id()
        path = self._folder / upload_id
        try:
            await self._write(path, content)
            media_type = await asyncio.to_thread(check, path, name, declared, self._limits)
        except BaseException:
            held.release()
            path.unlink(missing_ok=True)
            raise
        part = FilePart(media_type, name.replace("\\", "/").rpartition("/")[2][:200] or "file", path=path)
        self._uploads[upload_id] = _Upload(owner, part, held)
        return upload_id, part

    async def _write(self, path: Path, content: AsyncIterator[bytes]) -> None:
        size = 0
        with path.open("wb") as file:
            async for piece in content:
                size += len(piece)
                if size > self._limits.max_bytes:
                    break  # the check says so
                await asyncio.to_thread(file.write, piece)
            if size > self._limits.max_bytes:
                file.truncate(self._limits.max_bytes + 1)

    async def aclose(self) -> None:
        """Remove what was not sent."""
        self._forget(tuple(self._uploads))
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)

    def part(self, owner: str, upload_id: str) -> FilePart:
        """Return an owner's upload. Raises UnsupportedContent."""
        found = self._uploads.get(upload_id)
        if found is None or found.owner != owner:
            raise UnsupportedContent(ENGLISH("refusal.not-uploaded"))
        return found.part

    def sent(self, owner: str, upload_ids: Iterable[str]) -> None:
        """Say that uploads were sent. Without a store their sessions read them from here, the newest ones."""
        if self._stored:
            self._forget(upload_ids)
            return
        paths = self._sent.setdefault(owner, [])
        for upload_id in upload_ids:
            upload = self._uploads.pop(upload_id, None)
            if upload is None:
                continue  # another message with it was sent at the same time
            upload.held.release()
            assert upload.part.path is not None
            paths.append(upload.part.path)
        while len(paths) > _MOST_SENT:
            paths.pop(0).unlink(missing_ok=True)

    def _forget(self, upload_ids: Iterable[str]) -> None:
        for upload_id in tuple(upload_ids):
            upload = self._uploads.pop(upload_id, None)
            if upload is None:
                continue
            upload.held.release()
            assert upload.part.path is not None
            upload.part.path.unlink(missing_ok=True)
