"""Text in which nothing can be Markdown, as HTML without reading it as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable

from chatlab.render.formulas import Delimiters

# A sign that may begin markup, an address, and a line that begins with anything but a letter, an opening sign
# or a number that makes no list.
_MAYBE_MARKUP = re.compile(r"[\\`*_\[<>&~$]|://|^(?![^\W\d]|[(\"'\n]|\d+(?![\d.)])|\Z)", re.M)


def plain_paragraphs(text: str, formulas: Iterable[Delimiters]) -> str | None:
    """Return what `chatlab.render.markdown` makes of a text of paragraphs and line breaks alone, in a tenth
    of the time; None of a text that may be more than that. formulas: the signs that these stand between.
    """
    if _MAYBE_MARKUP.search(text) or not text.replace("\n", "").isprintable():
        return None
    if any(one.left in text for one in formulas):
        return None
    lines = [line.rstrip() for line in text.strip().split("\n")]
    shown = "\n".join(lines).split("\n\n")
    paragraphs = (one.strip("\n").replace("\n", "<br>\n") for one in shown)
    return "".join(f'<p dir="auto">{one}</p>\n' for one in paragraphs if one)
