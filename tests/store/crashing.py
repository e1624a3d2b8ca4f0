"""Streams answers into a store, and says what was saved, until it is killed."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from multiprocessing.connection import Connection

from chatlab.messages import Finish, Message, TextPart
from chatlab.store import StoredTurn, new_id, now
from chatlab.store.sql import open_store

WORDS = [f"word{number} " for number in range(12)]


def text_of(words: int) -> str:
    """What has arrived after so many words."""
    return "".join(WORDS[:words])


def stream(url: str, owner: str, said: Connection) -> None:
    """Stream as `owner`, and send what was saved to `said`."""
    asyncio.run(_stream(url, owner, said))


async def _stream(url: str, owner: str, said: Connection) -> None:
    store = await open_store(url)
    chat = await store.create(owner)
    said.send({"conversation": chat.id})
    parent = None
    while True:
        turn = StoredTurn(
            id=new_id(),
            owner=owner,
            conversation=chat.id,
            parent=parent,
            created=now(),
            user=Message.of("user", "Count!"),
            backend="echo",
            kind="echo",
            label="Echo",
        )
        for words in range(len(WORDS) + 1):
            last = words == len(WORDS)
            await store.save(
                [
                    replace(
                        turn,
                        answer=(TextPart(text_of(words)),) if words else (),
                        status="finished" if last else "running",
                        finish=Finish("stop") if last else None,
                    )
                ]
            )
            said.send({"turn": turn.id, "words": words, "finished": last})
        parent = turn.id
