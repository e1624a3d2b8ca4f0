"""The media types of files, alike for page, terminal, Python and imports; and files as `data:` URLs.

Formats of the web are told as the WHATWG's MIME Sniffing tells them, others by `puremagic` where nothing else
says what they are (docs/attachments.md: why not by it alone).
"""

from __future__ import annotations

import re
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from chatlab.codec import split_data_url
from chatlab.errors import UnsupportedContent
from chatlab.formats.suffixes import BY_SUFFIX, canonical
from chatlab.messages import FilePart

UNKNOWN = "application/octet-stream"

# Types of text: by content there are four, and what else a text is, is taken from what it is called.
TEXTS = ("text/plain", "text/html", "text/xml", "image/svg+xml")
TEXTUAL = ("application/json", "application/jsonl", "application/toml", "application/xml", "application/yaml")
# Formats that are no text, whatever major type they have.
_NO_TEXT = (
    *("image/*", "audio/*", "video/*", "font/*", "application/vnd.*", "application/msword"),
    *("application/pdf", "application/zip", "application/gzip", UNKNOWN),
)
# One container, sound or film: what the name says of it is believed.
_CONTAINERS = (
    {"audio/webm", "video/webm", "video/x-matroska", "audio/x-matroska"},
    {"audio/mp4", "video/mp4", "video/quicktime"},
    {"audio/ogg", "audio/opus", "audio/vorbis", "video/ogg", "application/ogg"},
)
# Packages that are ZIP files inside.
_ZIPPED = (
    *("application/vnd.openxmlformats-*", "application/vnd.ms-excel.sheet.macroenabled.12"),
    *("application/vnd.oasis.*", "application/epub+zip"),
)

_HEAD = 4096  # bytes of a file that are looked at
_SURE = 0.6  # below this confidence the library guesses


def media_type_of(name: str | None, head: bytes = b"", declared: str | None = None) -> str:
    """Return the media type of a file: by its first bytes, and by its name where these show less.

    A picture called `a.jpg` that is a PNG is `image/png`; a text is YAML if it is called that. declared: what
    whoever sent it says it is, believed where the name says nothing. Parameters such as `; charset=` are not
    part of the answer, which is `application/octet-stream` if nothing tells. The same on every machine.
    """
    claimed = _by_name(name)
    if claimed == UNKNOWN and declared:
        claimed = canonical(declared)
    found = by_content(head)
    if found is None:
        return claimed if claimed != UNKNOWN or not head else _by_library(head)
    if found == "application/zip" and claimed == UNKNOWN:
        return _zipped(head)
    # A format shows itself for certain; that something reads as text is no proof against its name.
    return agreed(found, claimed) or (claimed if found in TEXTS else found)


def media_type_of_path(path: Path, name: str | None = None, declared: str | None = None) -> str:
    """Return `media_type_of` for a local file; name: what it was called, if not as it is called here.

    A file that is missing or cannot be read is what its name says.
    """
    head = b""
    with suppress(OSError), path.open("rb") as file:
        head = file.read(_HEAD)
    known = name if _by_name(name) != UNKNOWN else path.name
    return media_type_of(known, head, declared)


def file_part(where: str) -> FilePart:
    """Return an attachment: a local path, or an http(s) URL, which is left to the upstream to fetch.

    Raises OSError for a file that cannot be read.
    """
    if is_web_url(where):
        return FilePart(media_type_of_url(where, UNKNOWN), name_of_url(where), url=where)
    path = Path(where).expanduser()
    with path.open("rb"):
        pass
    return FilePart(media_type_of_path(path), path.name, path=path)


def agreed(found: str, claimed: str) -> str | None:
    """Return what a file is by its content and by what is said of it; None if they contradict each other."""
    if found in TEXTS:
        if claimed.startswith("text/") or claimed in TEXTUAL or claimed.endswith("+json"):
            return claimed
        if claimed in ("", UNKNOWN):
            return "text/plain" if found == "image/svg+xml" else found
        return None if _any(claimed, _NO_TEXT) else "text/plain"
    if claimed in ("", UNKNOWN):
        return found
    if any(found in container and claimed in container for container in _CONTAINERS):
        return claimed
    if claimed.partition("/")[0] == found.partition("/")[0] != "application":
        return found
    if found == claimed or (found == "application/zip" and _any(claimed, _ZIPPED)):
        return claimed
    return None


def _any(media_type: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(media_type, pattern) for pattern in patterns)


def _by_name(name: str | None) -> str:
    suffix = PurePosixPath((name or "").replace("\\", "/")).suffix.lower()
    return BY_SUFFIX.get(suffix, UNKNOWN)


def _by_library(head: bytes) -> str:
    """Return what `puremagic` says of formats beyond those of the web, if it is sure and of one mind."""
    import puremagic

    try:
        matches = puremagic.magic_string(head)
    except (ValueError, puremagic.PureError):
        return UNKNOWN
    best = max((match.confidence for match in matches), default=0.0)
    types = {match.mime_type for match in matches if match.confidence == best}
    return canonical(types.pop()) or UNKNOWN if best >= _SURE and len(types) == 1 else UNKNOWN


def _zipped(head: bytes) -> str:
    """Return what a package of files is: OpenDocument and EPUB name themselves, Office by its folders."""
    if head[30:38] == b"mimetype":  # the first file's name, which is followed by its content, unpacked
        said = re.match(rb"application/(?:epub\+zip|vnd\.oasis\.[a-z.-]+)", head[38:])
        return said[0].decode() if said else "application/zip"
    for folder, suffix in ((b"word/", ".docx"), (b"xl/", ".xlsx"), (b"ppt/", ".pptx")):
        if b"[Content_Types].xml" in head and folder in head:
            return BY_SUFFIX[suffix]
    return "application/zip"


def media_type_of_url(url: str, fallback: str) -> str:
    """Return the media type that a URL's path names, or `fallback`: a URL is never fetched."""
    named = _by_name(name_of_url(url))
    return named if named != UNKNOWN else fallback


def name_of_url(url: str) -> str | None:
    """Return the last segment of a URL's path, if it looks like a file's name."""
    try:
        name = PurePosixPath(urlsplit(url).path).name
    except ValueError:
        return None
    return name if "." in name else None


def is_web_url(text: str) -> bool:
    """Return whether this is an absolute http or https URL."""
    return text[:8].lower().startswith(("http://", "https://"))


def content(part: FilePart, where: str) -> bytes:
    """Return what is in a local file. Raises UnsupportedContent if it is no longer there."""
    try:
        return part.read()
    except OSError as exc:
        name = part.name or "a file"
        reason = exc.strerror or "cannot be read"
        raise UnsupportedContent(f"{where}: {name}: {reason}; attach it again") from exc


def data_url(part: FilePart, where: str) -> str:
    """Return `FilePart.data_url`. Raises UnsupportedContent if a local file is no longer there."""
    if part.url is not None:
        return part.url
    return FilePart(part.media_type, data=content(part, where)).data_url()


def file_from_data_url(url: str, name: str | None = None) -> FilePart:
    """Return a file from a `data:` URL (RFC 2397). Raises ValueError if it is none."""
    media_type, data = split_data_url(url)
    return FilePart(canonical(media_type), name, data=data)


def by_content(head: bytes) -> str | None:
    """Return the media type that the first bytes of a file show; None if they show none. Never by a name.

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
    """Return whether the beginning of a file is UTF-8 text: without NULs and other bytes that no text has."""
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
    """Return what a file of ISO/IEC 14496-12 holds: its brands tell pictures from sound and films."""
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
