"""An upstream for runs of many prompts: it says what a test wants, and counts who is there at once."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from itertools import count
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from tests.servers.front import Front

PATH = "/v1/chat/completions"


class Upstream:
    """Answers Chat Completions at a `Front`.

    reply: the answer to a request's body. seconds: how long an answer takes. fails: bodies that are refused,
    with refusal.
    hold_after: requests after which none is answered any more. at_once: the most requests of a model that
    were there together, and of all under "". pieces: the deltas of an answer. reason: why it ends. sent: how
    many, of all answers.
    """

    def __init__(self, front: Front, reply: Callable[[Mapping[str, Any]], str] = lambda body: "fine") -> None:
        self.front = front.on("POST", PATH, self._answer)
        self.reply = reply
        self.seconds = 0.0
        self.hold_after: int | None = None
        self.fails: Callable[[Mapping[str, Any]], bool] = lambda body: False
        self.refusal = "no"
        self.at_once: Counter[str] = Counter()
        self.usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
        self.pieces: Callable[[str], Iterable[str]] = lambda reply: (reply,)
        self.reason = "stop"
        self.sent = 0
        self._there: Counter[str] = Counter()
        self._number = count(1)

    @property
    def asked(self) -> list[str]:
        """What the last message of each request was, behind its model's name."""
        bodies = [seen.json for seen in self.front.requests]
        return [f"{body['model']}: {body['messages'][-1]['content']}" for body in bodies]

    @property
    def there(self) -> int:
        """How many requests are there now, of all models."""
        return self._there[""]

    async def until_written(self, path: Path, lines: int, timeout: float = 20) -> None:
        """Waits until another process has written so many lines to a file."""
        async with asyncio.timeout(timeout):
            while path.read_bytes().count(b"\n") < lines:
                await asyncio.sleep(0.02)

    async def _answer(self, request: Request) -> Response:
        number = next(self._number)
        body = json.loads(await request.body())
        if self.fails(body):
            return Response(
                json.dumps({"error": {"message": self.refusal}}), 400, media_type="application/json"
            )
        return StreamingResponse(self._stream(body, number), media_type="text/event-stream")

    async def _stream(self, body: Mapping[str, Any], number: int) -> AsyncIterator[str]:
        for who in ("", body["model"]):
            self._there[who] += 1
            self.at_once[who] = max(self.at_once[who], self._there[who])
        try:
            if self.hold_after is not None and number > self.hold_after:
                await asyncio.Event().wait()
            await asyncio.sleep(self.seconds)  # an upstream takes its time; nothing waits for this to pass
            for piece in self.pieces(self.reply(body)):
                self.sent += 1
                yield self._chunk(body, {"content": piece}, None)
            yield self._chunk(body, {}, self.reason)
            yield f"data: {json.dumps({**self._head(body), 'choices': [], 'usage': self.usage})}\n\n"
            yield "data: [DONE]\n\n"
        finally:
            for who in ("", body["model"]):
                self._there[who] -= 1

    def _chunk(self, body: Mapping[str, Any], delta: Mapping[str, Any], reason: str | None) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        return f"data: {json.dumps({**self._head(body), 'choices': [choice]})}\n\n"

    def _head(self, body: Mapping[str, Any]) -> dict[str, Any]:
        return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": body["model"]}
