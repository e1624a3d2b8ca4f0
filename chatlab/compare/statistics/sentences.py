"""The sentences that say that two lanes differ, or that there is no telling: one wording everywhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from chatlab.words import ENGLISH, Words

COVERS_ZERO = ENGLISH("ranking.covers-zero")
"""Why two lanes are not distinguishable whose difference may be none."""


class TwoLanes(Protocol):
    """Two lanes that were compared. reason: why they are not distinguishable, "" if they are."""

    @property
    def a(self) -> str: ...
    @property
    def b(self) -> str: ...
    @property
    def reason(self) -> str: ...


def not_distinguishable(a: str, b: str, reason: str) -> str:
    """Return the sentence about two lanes between which there is no telling."""
    return ENGLISH("ranking.alike", a=a, b=b, reason=reason)


def differences_said(
    name: str,
    found: Iterable[TwoLanes],
    words: Words = ENGLISH,
    *,
    sentence: Callable[[str], str] = str,
    label: Callable[[str], str] = str,
) -> list[str]:
    """Return what is said of every two lanes in one measure: first which differ, then, gathered by the
    reason, which are not distinguishable. name: of the measure, in English.

    sentence, label: what is done to a sentence and to a lane's name, for a terminal.
    """
    measure = words.translated(name)
    said, alike = [], dict[str, list[str]]()
    for two in found:
        if two.reason:
            alike.setdefault(two.reason, []).append(words("both.and", a=label(two.a), b=label(two.b)))
        else:
            said.append(f"{measure}: {sentence(words.translated(str(two)))}")
    return said + [
        f"{measure}: {words('report.alike-since', reason=words.translated(reason), lanes=', '.join(of))}"
        for reason, of in alike.items()
    ]
