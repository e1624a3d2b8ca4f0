"""The people whom a link is for: chosen when it is made, told with the links there are, asked for when it
is followed."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field
from starlette.requests import Request

from chatlab.store import Audience, LinkReader
from chatlab.web.shared.endpoint import Body, NotPossible, body_of
from chatlab.web.shared.owner import person_of
from chatlab.web.shared.schemas import Links


class ShareFor(Body):
    """A wish for a link. groups: of the asker's, those that it is for; none is everybody who signs in."""

    groups: list[str] = Field(default_factory=list, max_length=500)


async def audience_of(request: Request) -> Audience:
    """Return for whom a link is to be that is asked for. Raise NotPossible for a group that the asker is
    not in: a name that was misspelt would be for nobody, or for others."""
    wanted, person = (await body_of(request, ShareFor)).groups, person_of(request)
    if person is None and wanted:
        raise NotPossible("refusal.no-groups")
    if person is None:
        return None
    for group in wanted:
        if group not in person.groups:
            raise NotPossible("refusal.not-in-group", name=group)
    return tuple(dict.fromkeys(wanted))


def links_of(request: Request, audiences: Sequence[Audience]) -> Links:
    """Return what somebody is told of their links to something."""
    person, told = person_of(request), Links(links=len(audiences))
    if person is not None:
        # One of before anybody signed in is, where people do, for those who did.
        told |= {"audiences": [list(one or ()) for one in audiences], "groups": list(person.groups)}
    return told


def reader_of(request: Request) -> LinkReader | None:
    """Return who follows a link; None where nobody signs in."""
    person = person_of(request)
    return None if person is None else LinkReader(person.owner, person.groups)
