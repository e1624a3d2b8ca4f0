"""Streams answers into a store, and says on its standard output what was saved, until it is killed.

python -m tests.store.crashing URL OWNER
"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import replace

from chatlab.messages import Finish, Message, TextPart
from chatlab.store import StoredTurn, new_id, now
from chatlab.store.sql import open_store

WORDS = [f"word{number} " for number in range(12)]


def text_of(words: int) -> str:
    """What has arrived after so many words."""
    return "".join(WORDS[:words])


async def main(url: str, owner: str) -> None:
    store = await open_store(url)
    chat = await store.create(owner)
    print(json.dumps({"conversation": chat.id}), flush=True)
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
            print(json.dumps({"turn": turn.id, "words": words, "finished": last}), flush=True)
        parent = turn.id


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
