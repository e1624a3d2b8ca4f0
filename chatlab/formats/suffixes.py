"""File endings and the media type that each stands for.

A table of our own: Python's differs from release to release, and `mimetypes` lets the machine's own files
change the answer (`.wav` is `audio/x-wav` on Debian, `.webp` is nothing in a slim image). Types are those of
the IANA registry (https://www.iana.org/assignments/media-types) where it has one. Source code without an
entry is told by its content: it is text.
"""

from __future__ import annotations

_TYPES = {
    "application/epub+zip": "epub",
    "application/gzip": "gz tgz",
    "application/json": "json",
    "application/jsonl": "jsonl ndjson",
    "application/manifest+json": "webmanifest",
    "application/msword": "doc dot",
    "application/pdf": "pdf",
    "application/postscript": "ai eps ps",
    "application/rtf": "rtf",
    "application/toml": "toml",
    "application/vnd.apache.parquet": "parquet",
    "application/vnd.ms-excel": "xls xlb",
    "application/vnd.ms-excel.sheet.macroenabled.12": "xlsm",
    "application/vnd.ms-outlook": "msg",
    "application/vnd.ms-powerpoint": "pot ppa pps ppt pwz",
    "application/vnd.oasis.opendocument.presentation": "odp",
    "application/vnd.oasis.opendocument.spreadsheet": "ods",
    "application/vnd.oasis.opendocument.text": "odt",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": "pptx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.rar": "rar",
    "application/vnd.sqlite3": "sqlite sqlite3",
    "application/wasm": "wasm",
    "application/x-7z-compressed": "7z",
    "application/x-bzip2": "bz2",
    "application/x-hdf5": "h5 hdf5",
    "application/x-ipynb+json": "ipynb",
    "application/x-sh": "sh bash",
    "application/x-tar": "tar",
    "application/x-tex": "tex latex",
    "application/x-xz": "xz",
    "application/yaml": "yaml yml",
    "application/zip": "zip",
    "application/zstd": "zst",
    "audio/aac": "aac adts",
    "audio/aiff": "aif aifc aiff",
    "audio/amr": "amr",
    "audio/basic": "au snd",
    "audio/flac": "flac",
    "audio/midi": "mid midi",
    "audio/mp4": "m4a m4b",
    "audio/mpeg": "mp2 mp3 mpga",
    "audio/ogg": "oga ogg spx",
    "audio/opus": "opus",
    "audio/wav": "wav wave",
    "audio/webm": "weba",
    "audio/x-matroska": "mka",
    "audio/x-ms-wma": "wma",
    "font/otf": "otf",
    "font/ttf": "ttf",
    "font/woff": "woff",
    "font/woff2": "woff2",
    "image/avif": "avif",
    "image/bmp": "bmp",
    "image/gif": "gif",
    "image/heic": "heic",
    "image/heif": "heif",
    "image/jpeg": "jpg jpe jpeg jfif",
    "image/jxl": "jxl",
    "image/png": "png apng",
    "image/svg+xml": "svg",
    "image/tiff": "tif tiff",
    "image/vnd.adobe.photoshop": "psd",
    "image/vnd.microsoft.icon": "ico",
    "image/webp": "webp",
    "image/x-portable-anymap": "pnm",
    "image/x-portable-bitmap": "pbm",
    "image/x-portable-graymap": "pgm",
    "image/x-portable-pixmap": "ppm",
    "message/rfc822": "eml mht mhtml",
    "text/calendar": "ics",
    "text/css": "css",
    "text/csv": "csv",
    "text/html": "htm html xhtml",
    "text/javascript": "js mjs cjs",
    "text/markdown": "md markdown",
    "text/plain": "txt text log ini cfg conf bat c h ksh pl srt",
    "text/tab-separated-values": "tsv",
    "text/vcard": "vcf",
    "text/vtt": "vtt",
    "text/x-python": "py pyi",
    "text/x-rst": "rst",
    "text/xml": "xml xsd xsl rdf wsdl",
    "video/3gpp": "3gp 3gpp",
    "video/mp4": "mp4 m4v",
    "video/mpeg": "m1v mpa mpe mpeg mpg",
    "video/ogg": "ogv",
    "video/quicktime": "mov qt",
    "video/webm": "webm",
    "video/x-flv": "flv",
    "video/x-matroska": "mkv",
    "video/x-ms-wmv": "wmv",
    "video/x-msvideo": "avi",
}
BY_SUFFIX = {f".{suffix}": media_type for media_type, held in _TYPES.items() for suffix in held.split()}
"""Media type by file ending, in lower case and with its dot."""

# What browsers, systems and other programs call the same thing.
_ALIASES = {
    "application/json": "text/json application/x-json",
    "application/jsonl": "application/x-ndjson application/ndjson application/x-jsonlines",
    "application/pdf": "application/x-pdf",
    "application/rtf": "text/rtf",
    "application/gzip": "application/x-gzip",
    "application/toml": "text/toml text/x-toml",
    "application/yaml": "application/x-yaml text/yaml text/x-yaml text/vnd.yaml",
    "application/zip": "application/x-zip application/x-zip-compressed",
    "audio/aac": "audio/x-aac audio/aacp",
    "audio/aiff": "audio/x-aiff",
    "audio/flac": "audio/x-flac",
    "audio/midi": "audio/x-midi",
    "audio/mp4": "audio/m4a audio/x-m4a",
    "audio/mpeg": "audio/mp3 audio/x-mp3 audio/x-mpeg audio/mpeg3",
    "audio/ogg": "audio/x-ogg",
    "audio/wav": "audio/x-wav audio/wave audio/x-pn-wav audio/vnd.wave",
    "image/bmp": "image/x-ms-bmp image/x-bmp",
    "image/jpeg": "image/jpg image/pjpeg",
    "image/png": "image/x-png",
    "image/vnd.microsoft.icon": "image/x-icon",
    "text/csv": "application/csv text/x-csv",
    "text/javascript": "application/javascript application/x-javascript",
    "text/markdown": "text/x-markdown",
    "text/xml": "application/xml",
    "video/x-msvideo": "video/avi video/msvideo",
}
_CANONICAL = {alias: media_type for media_type, held in _ALIASES.items() for alias in held.split()}


def canonical(media_type: str) -> str:
    """Return the one name of a media type, in lower case, without parameters such as `; charset=`."""
    bare = media_type.partition(";")[0].strip().lower()
    return _CANONICAL.get(bare, bare)


def suffixes_of(media_type: str) -> list[str]:
    """Return the file endings, with their dots, that stand for a media type."""
    wanted = canonical(media_type)
    return [suffix for suffix, found in BY_SUFFIX.items() if found == wanted]
