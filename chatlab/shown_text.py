"""Text as a reader sees it, once Markdown, HTML and JSON have taken their escapes away, and where each
character of it stands in what was written.

`jane.roe&#64;example.org`, `sk\\_live` and a word with a soft hyphen in it read as what they stand for.
Whoever looks for something in a text that people will see looks in both.
"""

from __future__ import annotations

import html
import re
import unicodedata
from dataclasses import dataclass

# Escapes of JSON and Markdown, entities of HTML, escapes of URLs; what is invisible or a form of another.
_WRITTEN = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\x[0-9a-fA-F]{2}"
    r"|\\[!-/:-@\[-`{-~]"
    r"|&(?:#\d{1,10}|#[xX][0-9a-fA-F]{1,8}|[A-Za-z][A-Za-z0-9]{1,31});?"
    r"|%[2-7][0-9a-fA-F]"
    r"|[^\x00-\x7f]"
)
_EMPHASIS = re.compile(r"\*+|`+|~~|(?<![^\W_])_+(?=\w)|(?<=\w)_+(?![^\W_])")
_TIMES = 3  # an escape may be escaped again


@dataclass(frozen=True, slots=True)
class Shown:
    """What is seen of a text. starts, ends: where each of its characters was written."""

    text: str
    starts: tuple[int, ...]
    ends: tuple[int, ...]

    def written(self, start: int, end: int) -> tuple[int, int]:
        """Return where what is seen from `start` to `end` (more than nothing) was written."""
        return self.starts[start], self.ends[end - 1]


def shown(text: str, *, emphasis: bool = False) -> str:
    """Return what is seen of a text. emphasis: the marks of emphasis and code are not seen either."""
    found = look(text, emphasis=emphasis)
    return text if found is None else found.text


def look(text: str, *, emphasis: bool = False) -> Shown | None:
    """Return what is seen of a text and where it is written; None if that is the text itself."""
    found = None
    for _ in range(_TIMES):
        again = _once(text if found is None else found.text, _WRITTEN)
        if again is None:
            break
        found = again if found is None else _composed(found, again)
    if emphasis:
        again = _once(text if found is None else found.text, _EMPHASIS)
        if again is not None:
            found = again if found is None else _composed(found, again)
    return found


def _once(text: str, pattern: re.Pattern[str]) -> Shown | None:
    pieces: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    at = 0
    changed = False
    for match in pattern.finditer(text):
        seen = "" if pattern is _EMPHASIS else _seen(match[0])
        if seen == match[0]:
            continue
        changed = True
        pieces += text[at : match.start()], seen
        starts += range(at, match.start())
        ends += range(at + 1, match.start() + 1)
        starts += [match.start()] * len(seen)
        ends += [match.end()] * len(seen)
        at = match.end()
    if not changed:
        return None
    pieces.append(text[at:])
    starts += range(at, len(text))
    ends += range(at + 1, len(text) + 1)
    return Shown("".join(pieces), tuple(starts), tuple(ends))


def _composed(first: Shown, second: Shown) -> Shown:
    return Shown(
        second.text,
        tuple(first.starts[at] for at in second.starts),
        tuple(first.ends[at - 1] for at in second.ends),
    )


def _seen(written: str) -> str:
    """What a reader sees of one escape or character."""
    if written.startswith(("\\u", "\\x")):
        codes = re.findall(r"\\[ux]([0-9a-fA-F]+)", written)
        units = b"".join(int(code, 16).to_bytes(2, "little") for code in codes)
        return units.decode("utf-16-le", "replace")
    if written[0] == "\\":
        return written[1]
    if written[0] == "%":
        return chr(int(written[1:], 16))
    if written[0] == "&":
        seen = html.unescape(written)
        return seen if seen != written else written
    if unicodedata.category(written) == "Cf":
        return ""
    return unicodedata.normalize("NFKC", written)
