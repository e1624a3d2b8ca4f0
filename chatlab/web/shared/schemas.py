"""The shapes of what both pages are told."""

from __future__ import annotations

from typing import NotRequired, TypedDict


class Refusal(TypedDict):
    """A refusal, with its reason in a sentence."""

    error: str


class Me(TypedDict):
    """The person who is signed in."""

    name: str


class Links(TypedDict):
    """The number of links. audiences: the groups that each of them is for, none being everybody who signs in;
    groups: those of the asker. Both only where people sign in."""

    links: int
    audiences: NotRequired[list[list[str]]]
    groups: NotRequired[list[str]]


class ShareLink(TypedDict):
    """A link that was made, by the last part of its address."""

    token: str


class ModelsListed(TypedDict):
    """The models that the server of a backend lists. problem: why it lists none; "" if it does."""

    models: list[str]
    problem: str
