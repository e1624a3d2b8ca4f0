"""The receipts of one session: taken when a turn ends, and stored with its end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from typing import Any

from chatlab.compare.model import Receipt
from chatlab.compare.model_json import receipt_from_json, receipt_to_json
from chatlab.compare.session.receipt import receipt_of
from chatlab.compare.session.running import LaneTurn
from chatlab.ids import TurnId
from chatlab.messages import FilePart
from chatlab.store import Store

log = logging.getLogger(__name__)


class ReceiptBook:
    """`by_turn` has all receipts that were taken or read; in memory only without a store."""

    def __init__(self, store: Store | None, owner: str) -> None:
        self.by_turn: dict[TurnId, Receipt] = {}
        self._store = store
        self._owner = owner

    async def take(self, one: LaneTurn) -> Mapping[str, Any] | None:
        """Take the receipt of a turn that has ended, and return what the store holds of it; None if nothing
        was sent."""

        def receipt() -> Receipt | None:
            return receipt_of(one.turn, one.turn.entry, ctx=one.ctx, wire_sha256=one.wire.sha256)

        messages = one.turn.request.messages if one.turn.request else ()
        files = any(isinstance(part, FilePart) for message in messages for part in message.parts)
        try:
            taken = await asyncio.to_thread(receipt) if files else receipt()
        except OSError as exc:
            log.error("no receipt of turn %s: an attachment is gone (%s)", one.id, type(exc).__name__)
            return None
        if taken is None:
            return None
        self.by_turn[one.id] = taken
        return receipt_to_json(taken)

    async def read(self, turns: Iterable[TurnId]) -> None:
        """Read what the store has of these turns."""
        missing = [turn_id for turn_id in turns if turn_id not in self.by_turn]
        if missing and self._store is not None:
            for turn_id, value in (await self._store.receipts(self._owner, missing)).items():
                self.by_turn[turn_id] = receipt_from_json(value)
