"""Files that were attached on the comparison page and not sent yet."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import weakref
from collections.abc import AsyncIterator
from pathlib import Path

from chatlab.errors import UnsupportedContent
from chatlab.messages import FilePart
from chatlab.store import new_id
from chatlab.store.check import Limits, check

_MOST = 200  # files that wait to be sent, over all pages; the oldest go first


class PendingUploads:
    """Uploads by id, each for its owner alone, in a folder that goes with the server."""

    def __init__(self, max_bytes: int) -> None:
        self._limits = Limits(max_bytes=max_bytes)
        self._folder = Path(tempfile.mkdtemp(prefix="chatlab-uploads-"))
        weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        self._parts: dict[str, tuple[str, FilePart]] = {}

    async def take(
        self, owner: str, name: str, declared: str | None, content: AsyncIterator[bytes]
    ) -> tuple[str, FilePart]:
        """Take an upload, which waits until it is sent; return its id and part. Raises UnsupportedContent."""
        upload_id = new_id()
        path = self._folder / upload_id
        size = 0
        try:
            with path.open("wb") as file:
                async for piece in content:
                    size += len(piece)
                    if size > self._limits.max_bytes:
                        break  # the check below says so
                    await asyncio.to_thread(file.write, piece)
                if size > self._limits.max_bytes:
                    file.truncate(self._limits.max_bytes + 1)
            media_type = await asyncio.to_thread(check, path, name, declared, self._limits)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        part = FilePart(media_type, name.replace("\\", "/").rpartition("/")[2][:200] or "file", path=path)
        self._parts[upload_id] = (owner, part)
        if len(self._parts) > _MOST:
            _, (_, old) = next(iter(self._parts.items()))
            del self._parts[next(iter(self._parts))]
            assert old.path is not None
            old.path.unlink(missing_ok=True)
        return upload_id, part

    async def aclose(self) -> None:
        """Remove what was not sent."""
        self._parts.clear()
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)

    def part(self, owner: str, upload_id: str) -> FilePart:
        """Return an owner's upload. Raises UnsupportedContent."""
        whose, part = self._parts.get(upload_id, ("", None))
        if part is None or whose != owner:
            raise UnsupportedContent("that file was not uploaded here: attach it again")
        return part
