"""The error of a check that cannot be made, and the time that a search may take."""

from __future__ import annotations

from chatlab.errors import ChatlabError

LONGEST = 1.0
"""Seconds a search may take."""


class WrongCheck(ChatlabError):
    """A check that cannot be understood; the sentence says why."""


def short(text: str, *, quoted: bool = True) -> str:
    """Return a text in at most 80 characters, in quotation marks if wanted."""
    cut = text if len(text) <= 80 else text[:79] + "…"
    return repr(cut) if quoted else cut
