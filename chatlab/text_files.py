"""Text files as text, whatever wrote them: an editor, a spreadsheet, a shell; without a guess."""

from __future__ import annotations

import codecs

# The longer marks first: that of UTF-32 begins as that of UTF-16 does.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_LOOKED_AT = 4_000  # bytes


def decoded(data: bytes) -> str:
    """Return the text of a file: UTF-8, or what its byte order mark says; the mark is no part of it.

    Raises ValueError with a sentence about what the file may be, and what to do.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return _strictly(data[len(mark) :], encoding)
    wide = _without_mark(data)
    if wide is not None:
        raise ValueError(
            f"this file is not UTF-8 text: it looks like {wide} without a byte order mark. Save it as UTF-8"
        )
    return _strictly(data, "utf-8")


def without_mark(text: str) -> str:
    """Return a text that was decoded already, from a pipe, without its byte order mark."""
    return text.removeprefix("\ufeff")


def _strictly(data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as exc:
        line = data.count(b"\n", 0, exc.start) + 1
        if encoding != "utf-8":
            said = f"it begins as {encoding.upper()[:6]} does, and is cut or damaged at line {line}"
            raise ValueError(f"this file is not text: {said}") from exc
        raise ValueError(
            f"this file is not UTF-8 text (line {line}, byte 0x{data[exc.start]:02x}): it may be Latin-1 or "
            "Windows-1252. Save it as UTF-8, for instance with iconv -f WINDOWS-1252 -t UTF-8"
        ) from exc


def _without_mark(data: bytes) -> str | None:
    """UTF-16 or UTF-32, told by the bytes that are 0 in it wherever a character is a Latin one."""
    looked = data[:_LOOKED_AT]
    zeros = looked.count(0)
    if len(looked) < 4 or zeros < len(looked) // 4:
        return None
    return "UTF-32" if zeros > 0.6 * len(looked) else "UTF-16"
