"""Text files as part of a message: how they reach a backend that takes no such files."""

from __future__ import annotations

from chatlab.formats.suffixes import canonical
from chatlab.messages import FilePart, Part, TextPart

_MOST = 500_000  # bytes of one file
_TEXT = frozenset(
    f"application/{name}"
    for name in ("json", "jsonl", "yaml", "toml", "xml", "javascript", "sql", "x-sh", "x-tex", "x-ipynb+json")
)
TEXT_TYPES = ("text/*", *sorted(_TEXT))
"""The media types of files that can be put into a message."""


def is_text(media_type: str) -> bool:
    """Return whether a file of this type can be put into a message as text."""
    found = canonical(media_type)
    return found.startswith("text/") or found in _TEXT


def text_of(part: FilePart) -> str | None:
    """Return the text of an attached file as it is; None if it has none, is too long, or is at a URL."""
    if not is_text(part.media_type) or part.url is not None:
        return None
    if part.path is not None and part.path.stat().st_size > _MOST:
        return None
    data = part.read()
    if len(data) > _MOST or b"\0" in data:
        return None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return None


def as_part(file: FilePart, text: str, before: Part | None = None) -> TextPart:
    """Return a file's text as a part of a message: its name, and the text in a fence that is not in it.

    Blank lines stand around it, since texts of a message are sent without anything between them. before: the
    part that it follows.
    """
    fence = "```"
    while fence in text:
        fence += "`"
    name = " ".join((file.name or (file.path.name if file.path else "") or "file").split())
    apart = "\n\n" if isinstance(before, TextPart) and not before.text.endswith("\n\n") else ""
    return TextPart(f"{apart}{name}\n{fence}\n{text}\n{fence}\n\n")


def text_in(part: TextPart) -> str | None:
    """Return the file's text in what `as_part` made; None for any other part."""
    _, _, rest = part.text.strip("\n").partition("\n")
    fence, found, text = rest.partition("\n")
    if not found or len(fence) < 3 or set(fence) != {"`"} or not text.endswith(f"\n{fence}"):
        return None
    return text[: -len(fence) - 1]
