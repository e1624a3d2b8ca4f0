"""The shapes of what the sidebar of conversations sends and is told."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from pydantic import Field

from chatlab.web.shared.endpoint import Body


class ConversationChange(Body):
    """A change of a conversation; fields that are left out stay."""

    title: str | None = Field(None, min_length=1, max_length=200)
    pinned: bool | None = None


class ConversationListed(TypedDict):
    """A conversation of the list. updated: when, by ISO 8601.

    turn, snippet: where a search found it; a match in the snippet stands between U+E000 and U+E001.
    """

    id: str
    title: str
    updated: str
    pinned: bool
    turn: NotRequired[str | None]
    snippet: NotRequired[str]


class ConversationList(TypedDict):
    """One page of the list. next: what the one after it is asked for by, or None."""

    conversations: list[ConversationListed]
    next: str | None


class Along(TypedDict):
    """The number of things that this browser had before its person signed in, to be taken along, or taken."""

    conversations: int
    comparisons: int


class Imported(TypedDict):
    """The outcome of an import. problems: a sentence for each piece that was not."""

    conversations: int
    comparisons: int
    turns: int
    problems: list[str]


class ImportProgress(TypedDict):
    """The state of a visitor's import. turns: taken in so far, None while nothing is imported. most_mb: of
    a file, at most."""

    turns: int | None
    most_mb: float
