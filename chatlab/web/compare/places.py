"""The places of a visitor's comparison turns: within the limits that hold for chats too."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from chatlab.web.shared.limits import Visitor, VisitorLimits


@dataclass(frozen=True, slots=True)
class VisitorPlaces:
    """The places of one visitor, for `chatlab.compare.session.running.Places`."""

    limits: VisitorLimits
    visitor: Visitor

    async def charge(self, turns: int) -> None:
        """Count turns against those the visitor may begin a minute. Raise LimitReached for none or all."""
        await self.limits.charge(self.visitor, turns)

    def turn(self) -> AbstractAsyncContextManager[None]:
        """Hold the place of one running turn, waiting for it in the order of asking."""
        return self.limits.turn(self.visitor, charged=True, wait=True)
