r"""The signs of formulas in Markdown, `$$`, `\[ \]`, `\( \)` or `$`, and what they become, MathML."""

from __future__ import annotations

from typing import NamedTuple

from chatlab.text import word_set

MATH_TAGS = word_set(
    "math menclose mfrac mi mmultiscripts mn mo mover mpadded mphantom mroot mrow mspace msqrt mstyle "
    "msub msubsup msup mtable mtd mtext mtr munder munderover"
)
MATH_ATTRIBUTES = word_set(
    "accent accentunder columnlines depth display displaystyle fence height linethickness lspace "
    "mathbackground mathcolor mathsize mathvariant maxsize minsize movablelimits notation rowlines rspace "
    "scriptlevel separator stretchy symmetric voffset width xmlns"
)
"""Those that the sanitizer of Gradio's page knows, too, so that a formula is the same everywhere."""


class Delimiters(NamedTuple):
    """The signs that a formula stands between. display: whether it has a line of its own."""

    left: str
    right: str
    display: bool


DELIMITERS: tuple[Delimiters, ...] = (
    Delimiters("$$", "$$", True),
    Delimiters(r"\[", r"\]", True),
    Delimiters(r"\(", r"\)", False),
    Delimiters("$", "$", False),
)
