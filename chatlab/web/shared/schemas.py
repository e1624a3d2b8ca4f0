"""The shapes of what both pages are told."""

from __future__ import annotations

from typing import TypedDict


class Refusal(TypedDict):
    """Why something was refused, in a sentence."""

    error: str


class Links(TypedDict):
    """How many links there are."""

    links: int


class ShareLink(TypedDict):
    """A link that was made, by the last part of its address."""

    token: str
