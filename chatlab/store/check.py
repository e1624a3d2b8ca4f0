"""Checks what an uploaded file is, and whether it may be attached: by its content, never its name alone."""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from chatlab.errors import UnsupportedContent
from chatlab.formats.media import TEXTS, TEXTUAL, UNKNOWN, agreed, by_content, media_type_of
from chatlab.formats.suffixes import canonical
from chatlab.words import ENGLISH

_HEAD = 4096
_CHUNK = 1 << 20

_SVG = "image/svg+xml"
_CALLED = {
    "image": ENGLISH("refusal.an-image"),
    "audio": ENGLISH("refusal.an-audio"),
    "video": ENGLISH("refusal.a-video"),
    "text": ENGLISH("refusal.a-text"),
}


@dataclass(frozen=True, slots=True)
class FileLimits:
    """Limits on attachments. types: media types or patterns such as `image/*`."""

    max_bytes: int = 20_000_000
    types: tuple[str, ...] = (
        "image/*",
        "audio/*",
        "text/*",
        "application/pdf",
        *TEXTUAL,
        "application/*+json",
    )


def sniff(path: Path) -> str:
    """Return the media type of a file by its content alone; `application/octet-stream` if that shows none.

    A text is one to its last byte: UTF-8, without NULs. Raises OSError.
    """
    with path.open("rb") as file:
        found = by_content(file.read(_HEAD)) or UNKNOWN
        if found in TEXTS:
            file.seek(0)
            decoder = codecs.getincrementaldecoder("utf-8")()
            try:
                while chunk := file.read(_CHUNK):
                    if "\0" in decoder.decode(chunk):
                        return UNKNOWN
            except UnicodeDecodeError:
                return UNKNOWN
    return found


def check(path: Path, name: str | None, declared: str | None, limits: FileLimits) -> str:
    """Return the media type of an upload, to be stored with it. Blocks for as long as the file takes to read.

    name, declared: what whoever sent it says it is, believed only where the content shows less: a text is
    Markdown if it is called that. Raises UnsupportedContent with a sentence for the person.
    """
    shown = _shown(name or path.name)
    try:
        size = path.stat().st_size
        if size == 0:
            raise UnsupportedContent(ENGLISH("refusal.file-empty", file=shown))
        if size > limits.max_bytes:
            raise UnsupportedContent(
                ENGLISH("refusal.file-large", file=shown, size=_mb(size), most=_mb(limits.max_bytes))
            )
        found = sniff(path)
    except OSError as exc:
        raise UnsupportedContent(ENGLISH("refusal.file-unreadable", file=shown)) from exc
    claimed = media_type_of(name)
    if claimed == _SVG:
        raise UnsupportedContent(ENGLISH("refusal.file-svg", file=shown))
    media_type = agreed(found, claimed)
    if media_type is None:
        what = ENGLISH("refusal.no-known-kind") if found == UNKNOWN else found
        called = _CALLED.get(claimed.partition("/")[0], claimed)
        raise UnsupportedContent(ENGLISH("refusal.file-other", file=shown, called=called, what=what))
    if claimed == UNKNOWN and declared:
        # A browser guesses that from the name too, and calls TypeScript a film: it decides nothing.
        media_type = agreed(found, canonical(declared)) or found
    if not _any(media_type, limits.types):
        what = ENGLISH("refusal.no-known-kind") if media_type == UNKNOWN else media_type
        raise UnsupportedContent(
            ENGLISH("refusal.file-type", file=shown, what=what, names=", ".join(limits.types))
        )
    return media_type


def _any(media_type: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(media_type, pattern) for pattern in patterns)


def _mb(size: int) -> str:
    return f"{size / 1_000_000:.3g}"


def _shown(name: str) -> str:
    """Return a name as a sentence can have it: no folders, no line breaks, not too long."""
    last = "".join(c for c in name.replace("\\", "/").rpartition("/")[2] if c.isprintable())
    return last if len(last) <= 80 else f"{last[:79]}…"
