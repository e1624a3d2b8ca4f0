"""Media types and `data:` URLs, as every translation of a file needs them."""

from __future__ import annotations

import base64
import binascii
import mimetypes
import re
from pathlib import Path, PurePosixPath
from urllib.parse import unquote_to_bytes, urlsplit

from chatlab.errors import UnsupportedContent
from chatlab.messages import FilePart

UNKNOWN = "application/octet-stream"

# Beside what Python knows: 3.11's table lacks some, and a system's mime.types must not change our answer.
_BY_SUFFIX = {
    ".avif": "image/avif",
    ".csv": "text/csv",
    ".heic": "image/heic",
    ".ipynb": "application/x-ipynb+json",
    ".jsonl": "application/jsonl",
    ".md": "text/markdown",
    ".mp3": "audio/mpeg",
    ".parquet": "application/vnd.apache.parquet",
    ".toml": "application/toml",
    ".wav": "audio/wav",
    ".webp": "image/webp",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
}
_TABLE = mimetypes.MimeTypes(())

_HEAD = 512


def media_type_of(name: str | None, head: bytes = b"") -> str:
    """The media type by the file's name, by its first bytes where the name says nothing.

    Parameters such as `; charset=` are not part of it. `application/octet-stream` if neither tells.
    """
    if name:
        suffix = PurePosixPath(name.replace("\\", "/")).suffix.lower()
        by_name = _BY_SUFFIX.get(suffix) or _TABLE.guess_type(f"file{suffix}")[0]
        if by_name:
            return by_name
    return by_content(head) or UNKNOWN


def media_type_of_path(path: Path, name: str | None = None) -> str:
    """Like `media_type_of`; reads the file's first bytes only if no name tells. A missing file is unknown."""
    for candidate in (name, path.name):
        by_name = media_type_of(candidate)
        if by_name != UNKNOWN:
            return by_name
    try:
        with path.open("rb") as file:
            return media_type_of(None, file.read(_HEAD))
    except OSError:
        return UNKNOWN


def media_type_of_url(url: str, fallback: str) -> str:
    """The media type that a URL's path names, or `fallback`: a URL is never fetched."""
    guessed = media_type_of(name_of_url(url))
    return guessed if guessed != UNKNOWN else fallback


def name_of_url(url: str) -> str | None:
    """The last segment of a URL's path, if it looks like a file's name."""
    try:
        name = PurePosixPath(urlsplit(url).path).name
    except ValueError:
        return None
    return name if "." in name else None


def is_web_url(text: str) -> bool:
    """Whether this is an absolute http or https URL."""
    return text[:8].lower().startswith(("http://", "https://"))


def content(part: FilePart, where: str) -> bytes:
    """What is in a local file. Raises UnsupportedContent if it is no longer there."""
    try:
        return part.read()
    except OSError as exc:
        name = part.name or "a file"
        reason = exc.strerror or "cannot be read"
        raise UnsupportedContent(f"{where}: {name}: {reason}; attach it again") from exc


def data_url(part: FilePart, where: str) -> str:
    """`FilePart.data_url`. Raises UnsupportedContent if a local file is no longer there."""
    if part.url is not None:
        return part.url
    return FilePart(part.media_type, data=content(part, where)).data_url()


def file_from_data_url(url: str, name: str | None = None) -> FilePart:
    """A file from a `data:` URL (RFC 2397). Raises ValueError if it is none."""
    scheme, _, rest = url.partition(":")
    header, comma, payload = rest.partition(",")
    if scheme.lower() != "data" or not comma:
        raise ValueError("not a data URL")
    media_type, *options = (item.strip() for item in header.split(";"))
    raw = unquote_to_bytes(payload)
    if any(option.lower() == "base64" for option in options):
        raw = decode_base64(raw)
    return FilePart(media_type.lower() or "text/plain", name, data=raw)


def decode_base64(text: str | bytes) -> bytes:
    """Bytes from base64, line breaks allowed. Raises ValueError if it is none."""
    raw = text.encode("ascii", "replace") if isinstance(text, str) else text
    try:
        return base64.b64decode(b"".join(raw.split()), validate=True)
    except binascii.Error as exc:
        raise ValueError("not base64") from exc


def by_content(head: bytes) -> str | None:
    """The media type that the first bytes of a file show; None if they show none. Never by a name.

    As the WHATWG's "MIME Sniffing" has it, except that what reads as text is text whatever it begins with
    (`BM`, `ID3`, `GIF89a`). A container is told by its brand; whether it holds sound only is not looked at.
    """
    if head.startswith(b"%PDF-"):
        return "application/pdf"
    if head and is_text(head):
        return _kind_of_text(head)
    for magic, media_type in _MAGIC:
        if head.startswith(magic):
            return media_type
    if head[:4] == b"RIFF":
        return {b"WEBP": "image/webp", b"WAVE": "audio/wav", b"AVI ": "video/x-msvideo"}.get(head[8:12])
    if head[4:8] == b"ftyp":
        return _iso_base_media(head)
    if head.startswith(b"\x1aE\xdf\xa3"):  # Matroska; WebM is one with a name of its own
        return "video/webm" if b"webm" in head[:64] else "video/x-matroska"
    if head[:2] in (b"\xff\xfb", b"\xff\xfa", b"\xff\xf3", b"\xff\xf2"):
        return "audio/mpeg"
    return "audio/aac" if head[:2] in (b"\xff\xf1", b"\xff\xf9") else None


def is_text(head: bytes) -> bool:
    """Whether the beginning of a file is UTF-8 text: without NULs and other bytes that no text has."""
    if _BINARY.search(head):
        return False
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as exc:
        # A character cut by the end of what was read is no sign of binary data.
        return exc.reason == "unexpected end of data" and exc.start >= len(head) - 3
    return True


def _kind_of_text(head: bytes) -> str:
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if _SVG.match(start):
        return "image/svg+xml"
    if _HTML.match(start):
        return "text/html"
    return "text/xml" if start.startswith(b"<?xml") else "text/plain"


def _iso_base_media(head: bytes) -> str:
    """What a file of ISO/IEC 14496-12 holds: its brands tell pictures from sound and films."""
    size = int.from_bytes(head[:4])
    brands = {head[8:12], *(head[at : at + 4] for at in range(16, min(size, len(head)) - 3, 4))}
    if brands & {b"avif", b"avis"}:
        return "image/avif"
    if brands & {b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1"}:
        return "image/heic"
    if head[8:12] in (b"M4A ", b"M4B "):
        return "audio/mp4"
    return "video/quicktime" if head[8:12] == b"qt  " else "video/mp4"


_BINARY = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]")
# Atomic and possessive, so that no text takes long to be told.
_SVG = re.compile(rb"(?:(?><\?xml.*?\?>)|(?><!--.*?-->)|(?><!doctype svg.*?>)|\s)*+<svg[\s/>]", re.I | re.S)
_HTML = re.compile(
    rb"<!--|<(!doctype html|html|head|script|iframe|h1|div|font|table|a|style|title|b|body|br|p|img)[\s/>]",
    re.I,
)
_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"BM", "image/bmp"),
    (b"II*\0", "image/tiff"),
    (b"MM\0*", "image/tiff"),
    (b"PK\x03\x04", "application/zip"),
    (b"\x1f\x8b", "application/gzip"),
    (b"OggS", "audio/ogg"),
    (b"fLaC", "audio/flac"),
    (b"ID3", "audio/mpeg"),
)
