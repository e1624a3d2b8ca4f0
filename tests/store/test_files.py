"""Attachments: kept by content, told by content, and gone when nobody names them.

The samples were made with Pillow, pillow-heif and PyAV: a red square, and silence.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.registry import _registry, known_implementations

from chatlab.errors import StoreError, UnsupportedContent
from chatlab.messages import FilePart, Message, TextPart
from chatlab.store import Altered, NotStored, Store, now
from chatlab.store.check import FileLimits, check, sniff
from chatlab.store.files import Files, collect, sweep

SAMPLES = Path(__file__).parent / "samples"
CONTENT = b"content of a file"
HASH = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(params=["folder", "memory"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Files]:
    """The same promises for a folder and for a remote place."""
    url = "files" if request.param == "folder" else "memory://bucket/files"
    made = Files(url, tmp_path)
    yield made
    made.close()
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]


async def test_a_content_comes_back_from_bytes_and_from_a_path(files: Files, tmp_path: Path) -> None:
    upload = tmp_path / "upload.bin"
    upload.write_bytes(CONTENT)
    assert await files.put(CONTENT) == await files.put(upload) == HASH
    assert (await files.path(HASH)).read_bytes() == CONTENT
    assert await files.stored() == [HASH], "the same content is kept once"


async def test_what_is_put_is_there_for_another_process(files: Files, tmp_path: Path) -> None:
    await files.put(CONTENT)
    url = "files" if files._fs is None else "memory://bucket/files"
    other = Files(url, tmp_path)
    assert (await other.path(HASH)).read_bytes() == CONTENT
    other.close()


async def test_an_unknown_content_is_not_stored(files: Files) -> None:
    with pytest.raises(NotStored):
        await files.path(HASH)


@pytest.mark.parametrize("name", ["../../etc/passwd", "", HASH.upper(), HASH + "\n", f"/{HASH[1:]}"])
async def test_nothing_but_a_hash_is_ever_looked_for(files: Files, name: str) -> None:
    with pytest.raises(NotStored):
        await files.path(name)
    with pytest.raises(NotStored):
        await files.delete([name])


async def test_a_message_is_stored_by_hash_and_given_back_with_files(files: Files, tmp_path: Path) -> None:
    upload = tmp_path / "a.png"
    upload.write_bytes(CONTENT)
    web = FilePart("image/png", url="https://example.org/b.png")
    message = Message(
        "user",
        (TextPart("look"), FilePart("image/png", path=upload), FilePart("text/plain", "n", data=b"x"), web),
    )
    taken = await files.taken(message)
    assert taken.parts[0] == TextPart("look") and taken.parts[3] == web
    assert taken.parts[1] == FilePart("image/png", "a.png", url=f"sha256:{HASH}")
    assert await files.taken(taken) == taken
    upload.unlink()
    given = await files.given(taken)
    assert [part.read() for part in given.parts[1:3] if isinstance(part, FilePart)] == [CONTENT, b"x"]
    assert given.parts[3] == web


async def test_a_file_that_is_gone_is_named(files: Files, tmp_path: Path) -> None:
    lost = Message("user", (FilePart("image/png", "cat.png", url=f"sha256:{HASH}"),))
    with pytest.raises(UnsupportedContent, match=r"^cat\.png is no longer stored: attach it again$"):
        await files.given(lost)
    with pytest.raises(UnsupportedContent, match=r"^dog\.png is no longer there: attach it again$"):
        await files.taken(Message("user", (FilePart("image/png", path=tmp_path / "dog.png"),)))


async def test_deleted_is_gone(files: Files) -> None:
    await files.put(CONTENT)
    assert await files.delete([HASH]) == 1
    assert await files.delete([HASH]) == 0
    assert await files.stored() == []
    with pytest.raises(NotStored):
        await files.path(HASH)


async def test_what_was_put_again_meanwhile_is_not_deleted(files: Files) -> None:
    await files.put(CONTENT)
    between = now()
    await files.put(CONTENT)
    assert await files.delete([HASH], put_before=between) == 0
    assert await files.stored() == [HASH]
    assert await files.delete([HASH], put_before=now() + timedelta(seconds=1)) == 1


async def test_a_put_that_fails_half_way_leaves_nothing(
    files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await files.put(b"another")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="No space left on device"):
        await files.put(CONTENT)
    assert HASH not in await files.stored()
    assert not list(files._folder.glob(".unfinished-*"))


@pytest.mark.skipif(os.name != "posix", reason="POSIX modes")
async def test_others_on_the_machine_cannot_read_attachments(tmp_path: Path) -> None:
    files = Files("files", tmp_path)
    await files.put(CONTENT)
    path = await files.path(HASH)
    assert path.stat().st_mode & 0o077 == 0
    assert path.parent.stat().st_mode & 0o077 == 0


async def test_copies_of_a_remote_place_are_bounded_and_fetched_again(tmp_path: Path) -> None:
    files = Files("memory://bucket/bounded", tmp_path, cache_bytes=2_500)
    hashes = [await files.put(bytes([n]) * 1_000) for n in range(5)]
    assert sum(path.stat().st_size for path in files._folder.glob("??/*")) <= 2_500
    for n, sha256 in enumerate(hashes):
        assert (await files.path(sha256)).read_bytes() == bytes([n]) * 1_000
    assert sum(path.stat().st_size for path in files._folder.glob("??/*")) <= 2_500
    folder = files._folder
    files.close()
    assert not folder.exists()


async def test_a_damaged_remote_content_is_never_given_out(tmp_path: Path) -> None:
    files = Files("memory://bucket/damaged", tmp_path)
    await files.put(CONTENT)
    other = Files("memory://bucket/damaged", tmp_path)
    other._fs.pipe_file(f"/bucket/damaged/{HASH[:2]}/{HASH}", b"something else")
    with pytest.raises(StoreError, match="damaged"):
        await other.path(HASH)
    files.close()
    other.close()


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("s3://bucket/x?key=hush", r"s3:// needs .*: pip install -e '.\[s3\]'"),
        ("abfs://hush@account/x", r"abfs:// needs .*: pip install -e '.\[azure\]'"),
        ("nowhere://hush/x", "nowhere:// is not a kind of place that fsspec knows"),
    ],
)
def test_a_place_that_cannot_be_used_is_a_sentence_without_secrets(
    url: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for scheme in ("s3", "abfs"):  # as where the extras are not installed
        missing = {"class": "not_installed_here.X", "err": "Install it"}
        monkeypatch.setitem(known_implementations, scheme, missing)
        monkeypatch.delitem(_registry, scheme, raising=False)
    with pytest.raises(StoreError, match=sentence) as caught:
        Files(url)
    assert "hush" not in str(caught.value)


# garbage


class Named(Store):
    """Knows which contents are named; the rest of a store is not asked for."""

    def __init__(self, named: set[str], purged: Sequence[str] = ()) -> None:
        self.named = named
        self.purged = purged

    async def unused(self, sha256s: Sequence[str]) -> Sequence[str]:
        return [sha256 for sha256 in sha256s if sha256 not in self.named]

    async def purge(self, *, deleted_before: datetime, unused_since: datetime | None = None) -> Sequence[str]:
        return self.purged


Named.__abstractmethods__ = frozenset()  # type: ignore[attr-defined]


def make_older(files: Files, sha256: str, age: timedelta) -> None:
    moment = now() - age
    if files._fs is None:
        os.utime(files._at(sha256), (moment.timestamp(), moment.timestamp()))
    else:
        files._fs.store[files._key(sha256)].modified = moment


async def test_what_a_purge_leaves_unnamed_is_deleted_unless_it_was_put_just_now(files: Files) -> None:
    old, named, fresh = [await files.put(content) for content in (b"old", b"named", b"fresh")]
    for sha256 in (old, named):
        make_older(files, sha256, timedelta(hours=1))
    assert await collect(Named({named}, [old, named, fresh]), files, deleted_before=now()) == 1
    assert set(await files.stored()) == {named, fresh}


async def test_uploads_that_were_never_sent_are_swept_after_a_day(files: Files) -> None:
    never_sent, named, fresh = [await files.put(content) for content in (b"never", b"named", b"fresh")]
    for sha256 in (never_sent, named):
        make_older(files, sha256, timedelta(days=2))
    left = files._folder / ".unfinished-abc"
    left.write_bytes(b"half")
    os.utime(left, (0, 0))
    assert await sweep(Named({named}), files) == 1
    assert set(await files.stored()) == {named, fresh}
    assert not left.exists()


# what a file is

KINDS = {
    "a.png": "image/png",
    "a.jpg": "image/jpeg",
    "a.gif": "image/gif",
    "a.webp": "image/webp",
    "a.avif": "image/avif",
    "a.heic": "image/heic",
    "a.bmp": "image/bmp",
    "a.tiff": "image/tiff",
    "a.pdf": "application/pdf",
    "b.mp3": "audio/mpeg",
    "bare.mp3": "audio/mpeg",
    "b.wav": "audio/wav",
    "b.ogg": "audio/ogg",
    "b.flac": "audio/flac",
    "b.m4a": "audio/mp4",
    "b.webm": "video/webm",
    "v.mp4": "video/mp4",
}


@pytest.mark.parametrize("sample", KINDS)
def test_a_file_is_what_its_content_says(sample: str, tmp_path: Path) -> None:
    nameless = tmp_path / "upload"
    nameless.write_bytes((SAMPLES / sample).read_bytes())
    assert sniff(nameless) == KINDS[sample]


def test_there_is_no_sample_that_is_not_looked_at() -> None:
    assert {path.name for path in SAMPLES.iterdir()} == set(KINDS)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"<!DOCTYPE html><p>hi", "text/html"),
        (b"\xef\xbb\xbf \n<script>alert(1)</script>", "text/html"),
        (b"<!-- a --><script>alert(1)</script>", "text/html"),
        (b'<svg onload="alert(1)"/>', "image/svg+xml"),
        (b'<?xml version="1.0"?><!-- a --><svg xmlns="x">', "image/svg+xml"),
        (b"#!/bin/sh\nrm -rf /\n", "text/plain"),
        (b"GIF89a=1;alert(1)//", "text/plain"),
        (b"BM is a brand, MZ another", "text/plain"),
        ("grüße\n".encode(), "text/plain"),
        ("ü".encode() * 3_000_000, "text/plain"),
        (b"x" * 100_000 + b"\0", "application/octet-stream"),
        (b"x" * 5_000_000 + b"\xff", "application/octet-stream"),
        ("caf\xe9 au lait".encode("latin-1"), "application/octet-stream"),
        (b"MZ\x90\0\x03\0\0\0", "application/octet-stream"),
        (b"<!---->" * 100_000, "text/html"),
    ],
)
def test_text_is_text_to_its_last_byte_and_pages_are_pages(
    content: bytes, found: str, tmp_path: Path
) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(content)
    assert sniff(path) == found


PAGE = b"<!doctype html><script>alert(1)</script>"


@pytest.mark.parametrize(
    ("content", "name", "declared", "sentence"),
    [
        (PAGE, "photo.png", "image/png", "photo.png is not an image: its content is text/html"),
        (b"#!/bin/sh\n", "photo.png", None, "photo.png is not an image: its content is text/plain"),
        ("a.png", "paper.pdf", None, "paper.pdf is not application/pdf: its content is image/png"),
        ("a.pdf", "song.mp3", None, "song.mp3 is not audio: its content is application/pdf"),
        ("a.png", "notes.txt", None, "notes.txt is not a text: its content is image/png"),
        (b"\0\1\2", "photo.png", None, "photo.png is not an image: its content is of no known kind"),
        (
            b"<svg/>",
            "logo.svg",
            None,
            "logo.svg is an SVG picture, which can carry scripts: attach it as PNG",
        ),
        (b"<svg/>", "logo.png", None, "logo.png is not an image: its content is image/svg+xml"),
        (b"", "empty.txt", None, "empty.txt is empty"),
        (b"x" * 2_500_000, "long.txt", None, "long.txt has 2.5 MB: the most is 2 MB"),
        (PAGE, "../../a\n.png", None, "a.png is not an image: its content is text/html"),
    ],
)
def test_what_is_not_what_it_says_is_refused_in_a_sentence(
    content: bytes | str, name: str, declared: str | None, sentence: str, tmp_path: Path
) -> None:
    path = tmp_path / "upload"
    path.write_bytes(content if isinstance(content, bytes) else (SAMPLES / content).read_bytes())
    with pytest.raises(UnsupportedContent) as caught:
        check(path, name, declared, FileLimits(max_bytes=2_000_000))
    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    ("content", "name", "declared", "media_type"),
    [
        ("a.png", "photo.png", None, "image/png"),
        ("a.jpg", "photo.png", "image/png", "image/jpeg"),
        ("a.png", None, None, "image/png"),
        ("a.pdf", "paper.pdf", "application/pdf", "application/pdf"),
        ("b.webm", "voice.weba", "audio/webm;codecs=opus", "audio/webm"),
        ("b.m4a", "voice.m4a", "audio/x-m4a", "audio/mp4"),
        ("b.ogg", "voice.ogg", "audio/ogg", "audio/ogg"),
        ("b.flac", "voice.flac", None, "audio/flac"),
        (b"a,b\n1,2\n", "table.csv", "application/vnd.ms-excel", "text/csv"),
        (b'{"a": 1}', "data.json", None, "application/json"),
        (b"<h1 align=center>Read me", "README.md", None, "text/markdown"),
        (b"let x = 1", "code.ts", "video/mp2t", "text/plain"),
        (b"#!/bin/sh\n", "run.sh", "application/x-sh", "text/plain"),
        (PAGE, "page.html", "text/html", "text/html"),
        (b"<svg/>", "drawing.txt", None, "text/plain"),
    ],
)
def test_what_agrees_with_its_content_is_taken(
    content: bytes | str, name: str | None, declared: str | None, media_type: str, tmp_path: Path
) -> None:
    path = tmp_path / "upload"
    path.write_bytes(content if isinstance(content, bytes) else (SAMPLES / content).read_bytes())
    assert check(path, name, declared, FileLimits()) == media_type


def test_types_are_limited(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedContent, match=r"^v\.mp4 is video/mp4, which cannot be attached: image/\*"):
        check(SAMPLES / "v.mp4", "v.mp4", None, FileLimits())
    assert check(SAMPLES / "v.mp4", "v.mp4", None, FileLimits(types=("video/*",))) == "video/mp4"
    unknown = tmp_path / "a"
    unknown.write_bytes(b"\0\1")
    with pytest.raises(UnsupportedContent, match=r"^a is of no known kind, which cannot"):
        check(unknown, "a", None, FileLimits())


def test_a_file_that_is_gone_before_it_is_checked_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedContent, match=r"^a\.png cannot be read: attach it again$"):
        check(tmp_path / "x", "a.png", None, FileLimits())


async def test_a_content_that_was_altered_is_never_given_out_until_it_is_put_again(tmp_path: Path) -> None:
    files = Files("files", tmp_path)
    await files.put(CONTENT)
    path = await files.path(HASH)
    for other in (b"x" * len(CONTENT), b"", CONTENT + b"!"):
        path.write_bytes(other)
        with pytest.raises(Altered, match="altered since it was stored"):
            await files.path(HASH)
        message = Message("user", (FilePart("text/plain", "notes.txt", url=f"sha256:{HASH}"),))
        with pytest.raises(UnsupportedContent, match=r"notes\.txt was altered since it was stored"):
            await files.given(message)
    await files.put(CONTENT)
    assert (await files.path(HASH)).read_bytes() == CONTENT
