"""Words in angle brackets, for a Markdown renderer that takes them for HTML.

Gradio's page renders or drops what looks like a tag: of "center a <div> in a <table>" two words are lost, and
of `Vec<T>` one. Written as a character reference a bracket is text. Code and formulas are left alone: there a
reference would be shown as it is written. The reference is one that nobody writes, so that the text can be
had again as it was, when it is copied, edited or sent back.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache

REFERENCE = "&#x0003c;"
"""Stands for "<". Scripts of the page (`static/chat/text.js`) know it, too."""

_LONGEST = 2_000_000  # characters; what is longer is left as it is
_STEP = 8_192  # characters: what stands before is converted once while an answer grows

_TAG = re.compile(r"<[A-Za-z/!?]")
_FENCE = re.compile(r"(?:[ \t>]|[-*+][ \t]|\d{1,9}[.)][ \t])*(`{3,}(?=[^`]*$)|~{3,})")
_ITEM = re.compile(r"[ \t>]*(?:[-*+]|\d{1,9}[.)])[ \t]+")
_PIECE = re.compile(
    r"""
    \$\$.{1,2000}?\$\$ | \\\[.{1,2000}?\\\] | \\\(.{1,2000}?\\\)          # a formula
  | \\.                                                                 # what is escaped
  | (?<!`)(?P<ticks>`+)(?!`)(?:(?!\n[ \t]*\n).)+?(?<!`)(?P=ticks)(?!`)  # code
  | <[A-Za-z][A-Za-z0-9+.-]{1,31}:[^\s<>]*>                             # an address
  | <[^\s<>@]+@[^\s<>@]+>                                               # a mail address
  | \]\(<[^<>\n]*>                                                      # the target of a link
  | (?P<tag><)(?=[A-Za-z/!?])
    """,
    re.VERBOSE | re.DOTALL,
)


def tags_as_text(markdown: str) -> str:
    """Return Markdown that shows what looks like an HTML tag as text."""
    if len(markdown) > _LONGEST or not _TAG.search(markdown):
        return markdown
    return _converted(markdown)[0]


def tags_as_written(markdown: str) -> str:
    """Return what `tags_as_text` was given."""
    return markdown.replace(REFERENCE, "<")


@lru_cache(maxsize=256)
def _converted(markdown: str) -> tuple[str, _Place]:
    """Return the converted text, and what follows it in. As it grows, only its end is converted anew."""
    cut = markdown.rfind("\n\n", 0, (len(markdown) - 1) // _STEP * _STEP) + 2
    before, place = _converted(markdown[:cut]) if cut > 1 else ("", _Place())
    made, prose = [before], ""
    place = replace(place)
    for line in markdown[cut if cut > 1 else 0 :].splitlines(keepends=True):
        if place.is_code(line):
            made += _prose(prose), line
            prose = ""
        else:
            prose += line
    return "".join(made) + _prose(prose), place


def _prose(text: str) -> str:
    return _PIECE.sub(lambda found: REFERENCE if found["tag"] else found[0], text) if "<" in text else text


@dataclass(slots=True)
class _Place:
    """The place of the next line of a text: inside or outside of a block of code.

    fence: what closes the block that is open. column: where the text of the innermost list item begins.
    apart: whether the line before was empty or indented code, so that indented code may begin.
    """

    fence: str = ""
    column: int = 0
    apart: bool = True

    def is_code(self, line: str) -> bool:
        """Return whether the next line is one of a block of code."""
        bare = line.strip()
        if self.fence:
            closing = bare.lstrip("> \t")
            if closing.startswith(self.fence) and not closing.strip(self.fence[0]):
                self.fence = ""
            return True
        if not bare:
            self.apart = True
            return False
        opening = _FENCE.match(line)
        if opening:
            self.fence = opening[1]
            return True
        spaces = line.expandtabs(4)
        indent = len(spaces) - len(spaces.lstrip(" "))
        if self.apart and indent >= self.column + 4:
            return True
        item = _ITEM.match(line)
        if item:
            self.column = len(item[0])
        elif self.apart and indent < self.column:
            self.column = 0
        self.apart = False
        return False
