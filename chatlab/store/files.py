"""Attachments, stored by their content: a file's name is its SHA-256, so the same picture is there once.

In a local folder, or wherever `fsspec` reaches (`s3://`, `abfs://`, `memory://`); then a bounded folder of
this process has copies, since backends read paths. What a file is, is told by its content (`check`).

Whoever answers a request has asked `Store.may_read` first: nothing here knows an owner.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import logging
import os
import re
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO

from chatlab.azure_identity import AzureIdentity, AzureTokens
from chatlab.errors import ChatlabError, StoreError, UnsupportedContent
from chatlab.installing import how_to_install
from chatlab.messages import FilePart, Message, Part
from chatlab.store import FILE_SCHEME, Altered, NotStored, Store, now
from chatlab.words import ENGLISH

log = logging.getLogger(__name__)

_HASH = re.compile(r"[0-9a-f]{64}")
_CHUNK = 1 << 20
_PATIENCE = 60.0  # seconds in which one file is written or read
_UNFINISHED = ".unfinished-"
_SWEPT_AT_ONCE = 500
_CHECKED = 10_000  # files that are known to be as they were stored
_BLOB_SCOPE = "https://storage.azure.com/.default"
_EXTRAS = {"s3": "s3", "s3a": "s3", "abfs": "azure", "abfss": "azure", "az": "azure"}


class BlobCredential:
    """An identity as Azure's own clients ask it for tokens."""

    def __init__(self, identity: AzureIdentity) -> None:
        self._tokens = AzureTokens(identity, _BLOB_SCOPE)

    async def get_token(self, *scopes: str, **_: Any) -> Any:
        """Return a token for Blob storage, whichever scope is asked for."""
        from azure.core.credentials import AccessToken

        token = await self._tokens.token()
        return AccessToken(token.value, int(token.ends))

    async def close(self) -> None:
        """Let the identity go."""
        self._tokens.close()


class Files:
    """The attachments of one app. Raises StoreError where they cannot be read or written.

    url: a folder, relative to `root`, or a URL that fsspec knows; its credentials come from the environment,
    as the cloud's own tools take them, unless an identity signs in to Azure. cache_bytes: how much of a
    remote place has local copies, in bytes.
    """

    def __init__(
        self,
        url: str,
        root: Path = Path(),
        *,
        cache_bytes: int = 1_000_000_000,
        identity: AzureIdentity | None = None,
    ) -> None:
        scheme, remote, rest = url.partition("://")
        self._place = scheme if remote else "the folder"
        self._fs: Any = None
        self._cache_bytes = cache_bytes
        self._cache: tempfile.TemporaryDirectory[str] | None = None
        self._checked: dict[Path, tuple[int, ...]] = {}  # as each was when its hash was right
        if remote and scheme not in ("file", "local"):
            self._fs, self._base = filesystem(url, identity=identity)
            self._cache = tempfile.TemporaryDirectory(prefix="chatlab-files-")
            self._folder = Path(self._cache.name)
        else:
            self._folder = root / Path(rest if remote else url).expanduser()

    async def put(self, content: bytes | Path) -> str:
        """Store a content, for good once this returns, and return its SHA-256. Again is as good as once.

        Raises UnsupportedContent for a file that is no longer there.
        """
        async with self._explained():
            return await asyncio.to_thread(self._put, content)

    async def path(self, sha256: str) -> Path:
        """Return the path of a content as a local file, to be read soon and never written. Raises
        NotStored."""
        async with self._explained():
            return await asyncio.to_thread(self._get, sha256)

    async def delete(self, sha256s: Sequence[str], *, put_before: datetime | None = None) -> int:
        """Remove contents, those only that were last put before a moment if given, and return their
        number."""
        async with self._explained(None):
            return await asyncio.to_thread(self._delete, sha256s, put_before)

    async def stored(self) -> Sequence[str]:
        """Return the hashes of all contents."""
        async with self._explained(None):
            return await asyncio.to_thread(self._stored)

    async def sizes(self) -> Mapping[str, int]:
        """Return the bytes of all contents, by hash."""
        async with self._explained(None):
            return await asyncio.to_thread(self._sizes)

    async def discard_unfinished(self, before: datetime) -> None:
        """Remove what a crash in the middle of a `put` left behind."""
        async with self._explained(None):
            await asyncio.to_thread(self._discard_unfinished, before)

    async def taken(self, message: Message) -> Message:
        """Return the message as it is stored: what it carries as a file or bytes is put here and named by
        its hash.

        Raises UnsupportedContent for a file that is no longer there.
        """
        return Message(message.role, tuple([await self._taken(part) for part in message.parts]))

    async def given(self, message: Message) -> Message:
        """Return a stored message as a backend takes it: hashes are files again.

        Only for messages from the store: in one from outside, a hash would be a claim. Raises
        UnsupportedContent for a content that is gone.
        """
        return Message(message.role, tuple([await self._given(part) for part in message.parts]))

    async def ping(self) -> None:
        """Return if attachments can be stored. Raise StoreError otherwise."""
        async with self._explained():
            await asyncio.to_thread(self._ping)

    def close(self) -> None:
        """Remove the local copies of a remote place."""
        if self._cache is not None:
            self._cache.cleanup()

    async def _taken(self, part: Part) -> Part:
        if not isinstance(part, FilePart) or part.url is not None:
            return part
        name = part.name or (part.path.name if part.path else None)
        content = part.data if part.data is not None else part.path
        assert content is not None
        return FilePart(part.media_type, name, url=FILE_SCHEME + await self.put(content))

    async def _given(self, part: Part) -> Part:
        if not isinstance(part, FilePart) or part.url is None or not part.url.startswith(FILE_SCHEME):
            return part
        try:
            path = await self.path(part.url.removeprefix(FILE_SCHEME))
        except NotStored as exc:
            name = part.name or "an attachment"
            raise UnsupportedContent(ENGLISH("refusal.file-not-stored", file=name)) from exc
        except Altered as exc:
            name = part.name or "an attachment"
            raise UnsupportedContent(ENGLISH("refusal.file-altered", file=name)) from exc
        return replace(part, path=path, url=None)

    @contextlib.asynccontextmanager
    async def _explained(self, within: float | None = _PATIENCE) -> AsyncIterator[None]:
        """Turn the errors of a place into ours. within: seconds; some libraries try again for minutes."""
        try:
            async with asyncio.timeout(within):
                yield
        except ChatlabError:
            raise
        except Exception as exc:  # every cloud's library has errors of its own
            reason = (isinstance(exc, OSError) and exc.strerror) or type(exc).__name__
            raise StoreError(f"attachments in {self._place} cannot be read or written: {reason}") from exc

    # Everything below blocks and runs in threads.

    def _ping(self) -> None:
        if self._fs is not None:
            self._fs.exists(self._base)
        else:
            self._folder.mkdir(parents=True, exist_ok=True)
            if not os.access(self._folder, os.W_OK):
                raise PermissionError(f"{self._folder} cannot be written to")

    def _at(self, sha256: str) -> Path:
        if not _HASH.fullmatch(sha256):
            raise NotStored("refusal.attachment-name")
        return self._folder / sha256[:2] / sha256

    def _key(self, sha256: str) -> str:
        return f"{self._base}/{sha256[:2]}/{sha256}"

    def _put(self, content: bytes | Path) -> str:
        with self._unfinished() as new:
            digest = hashlib.sha256()
            with _opened(content) as source, new.open("wb") as file:
                while chunk := source.read(_CHUNK):
                    digest.update(chunk)
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
            sha256 = digest.hexdigest()
            self._finish(new, sha256)
        if self._fs is not None:
            # Even if it is there: that makes it new again, so that no clearing away takes it.
            self._fs.put_file(str(self._at(sha256)), self._key(sha256))
            self._bound_cache()
        return sha256

    def _get(self, sha256: str) -> Path:
        path = self._at(sha256)
        if self._fs is None:
            self._check(path, sha256)
            return path
        try:
            os.utime(path)  # the cache forgets what was not used for longest
        except FileNotFoundError:
            with self._unfinished() as new:
                try:
                    self._fs.get_file(self._key(sha256), str(new))
                except FileNotFoundError as exc:
                    raise NotStored("refusal.no-attachment") from exc
                self._check(new, sha256)
                self._finish(new, sha256)
            self._bound_cache()
        return path

    def _check(self, path: Path, sha256: str) -> None:
        """Raise NotStored if a content is not there, Altered if it is not what its name says."""
        try:
            with path.open("rb") as file:
                found = os.fstat(file.fileno())
                seen = (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
                if self._checked.get(path) == seen:
                    return
                if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
                    log.error("the attachment %s was altered since it was stored", path)
                    raise Altered("refusal.attachment-altered")
        except (FileNotFoundError, IsADirectoryError) as exc:
            raise NotStored("refusal.no-attachment") from exc
        self._checked[path] = seen
        while len(self._checked) > _CHECKED:
            self._checked.pop(next(iter(self._checked)), None)

    def _delete(self, sha256s: Sequence[str], put_before: datetime | None) -> int:
        count = 0
        for sha256 in sha256s:
            path = self._at(sha256)
            with contextlib.suppress(FileNotFoundError):
                if self._fs is not None:
                    path.unlink(missing_ok=True)
                    self._fs.invalidate_cache()  # what it remembers of a list may be older than the last put
                    modified = _utc(self._fs.modified(self._key(sha256)))
                    if put_before is None or modified < put_before:
                        self._fs.rm_file(self._key(sha256))
                        count += 1
                elif put_before is None or path.stat().st_mtime < put_before.timestamp():
                    path.unlink()
                    count += 1
        return count

    def _stored(self) -> Sequence[str]:
        return list(self._sizes())

    def _sizes(self) -> dict[str, int]:
        found: dict[str, int] = {}
        if self._fs is None:
            for path in self._folder.glob("??/*"):
                with contextlib.suppress(FileNotFoundError):
                    found[path.name] = path.stat().st_size
        else:
            self._fs.invalidate_cache()
            for name, about in self._fs.find(self._base, detail=True).items():
                found[str(name).rpartition("/")[2]] = int(about.get("size") or 0)
        return {name: size for name, size in found.items() if _HASH.fullmatch(name)}

    @contextlib.contextmanager
    def _unfinished(self) -> Iterator[Path]:
        """Yield a new file beside the others, which is gone afterwards unless it was finished."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=self._folder, prefix=_UNFINISHED)
        os.close(handle)
        try:
            yield Path(name)
        finally:
            Path(name).unlink(missing_ok=True)

    def _finish(self, new: Path, sha256: str) -> None:
        """Give a whole file its name, which no reader can see half done and no crash undoes."""
        final = self._at(sha256)
        final.parent.mkdir(mode=0o700, exist_ok=True)
        new.replace(final)
        if self._fs is None:
            folder = os.open(final.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def _bound_cache(self) -> None:
        """Remove the copies not used for longest, until the rest is small enough."""
        found = []
        for path in self._folder.glob("??/*"):
            with contextlib.suppress(FileNotFoundError):
                found.append((path.stat().st_mtime_ns, path.stat().st_size, path))
        total = sum(size for _, size, _ in found)
        for _, size, path in sorted(found)[:-1]:  # never the one that was asked for just now
            if total <= self._cache_bytes:
                return
            path.unlink(missing_ok=True)
            total -= size

    def _discard_unfinished(self, before: datetime) -> None:
        for path in self._folder.glob(f"{_UNFINISHED}*"):
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_mtime < before.timestamp():
                    path.unlink()


async def collect(
    store: Store, files: Files, *, deleted_before: datetime, unused_since: datetime | None = None
) -> int:
    """Do `Store.purge`, and remove the contents that nobody names after it. Return the number of those.

    What was put in the last minute stays: its message may be on its way to the store. `sweep` finds it later.
    """
    gone = await store.purge(deleted_before=deleted_before, unused_since=unused_since)
    return await files.delete(await store.unused(gone), put_before=now() - timedelta(minutes=1))


async def sweep(store: Store, files: Files, *, put_before: datetime | None = None) -> int:
    """Remove every content that no stored turn names, such as uploads never sent; return their number.

    put_before: what was put later stays; a day ago if not given. Reads the whole list of contents.
    """
    before = put_before or now() - timedelta(days=1)
    await files.discard_unfinished(before)
    everything = await files.stored()
    count = 0
    for start in range(0, len(everything), _SWEPT_AT_ONCE):
        unused = await store.unused(everything[start : start + _SWEPT_AT_ONCE])
        count += await files.delete(unused, put_before=before)
    return count


def filesystem(
    url: str, what: str = "storage.files", identity: AzureIdentity | None = None
) -> tuple[Any, str]:
    """Return the filesystem of a URL, of fsspec, and the path in it. Raise StoreError, which begins with what
    the URL is for and never repeats it: it may hold a secret. identity: signs in to Azure's places."""
    from fsspec.core import url_to_fs

    scheme = url.partition("://")[0]
    given: dict[str, Any] = {}
    if identity is not None and _EXTRAS.get(scheme) == "azure":
        # adlfs prefers what it finds there to what it is given.
        for name in ("AZURE_STORAGE_CONNECTION_STRING", "AZURE_STORAGE_ACCOUNT_KEY"):
            if os.environ.get(name):
                raise StoreError(f"{what}: unset {name}: storage.auth says who signs in there")
        given = {"credential": BlobCredential(identity), "anon": False, "skip_instance_cache": True}
    try:
        fs, base = url_to_fs(url, **given)
    except ImportError as exc:
        extra = _EXTRAS.get(scheme)
        install = how_to_install(extra) if extra else "install the fsspec package for it"
        raise StoreError(f"{what}: {scheme}:// needs a package that is missing: {install}") from exc
    except ValueError as exc:
        raise StoreError(f"{what}: {scheme}:// is not a kind of place that fsspec knows") from exc
    return fs, str(base).rstrip("/")


def _opened(content: bytes | Path) -> BinaryIO:
    if isinstance(content, bytes):
        return io.BytesIO(content)
    try:
        return content.open("rb")
    except OSError as exc:
        raise UnsupportedContent(ENGLISH("refusal.file-gone", file=content.name)) from exc


def _utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
