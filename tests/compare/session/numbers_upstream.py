"""An OpenAI-compatible upstream of the tests: it answers from what it was sent, and remembers both.

A lane is told apart by the `seed` its requests carry. Asked for its numbers, the upstream says every number
that stands anywhere in what it was sent; every answer has a serial number, so that no two are alike.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from chatlab.config.models import BackendConfig
from chatlab.config.registry import Backends, backend_class
from tests.servers.front import Front

NUMBER = re.compile(r"#(\d{6})#")
QUESTION = "Which numbers do you know?"


@dataclass(frozen=True)
class Call:
    """One request as it came over the wire, and what was answered."""

    seed: int
    body: Mapping[str, Any]
    answer: str

    @property
    def messages(self) -> list[tuple[str, str]]:
        return [(message["role"], message["content"]) for message in self.body["messages"]]


class NumbersUpstream(Front):
    """The server. `calls` grows with each request; `take` empties it."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Call] = []
        self._serial = itertools.count(1)
        self.on("POST", "/v1/chat/completions", self._chat)

    def take(self) -> list[Call]:
        calls, self.calls = self.calls, []
        self.requests.clear()
        return calls

    async def _chat(self, request: Request) -> Response:
        body = json.loads(await request.body())
        serial = next(self._serial)
        last = body["messages"][-1]["content"]
        if last == QUESTION:
            known = [number for message in body["messages"] for number in NUMBER.findall(message["content"])]
            answer = f"I know {' '.join(f'#{n}#' for n in dict.fromkeys(known)) or 'none'}. [{serial}]"
        else:
            answer = f"Noted: {last} [{serial}]"
        self.calls.append(Call(body["seed"], body, answer))
        return StreamingResponse(_streamed(answer), media_type="text/event-stream")

    def backends(self) -> Backends:
        """One backend, `upstream`, that calls this server; a lane gives it its seed."""
        options = backend_class("openai").Options.model_validate(
            {"model": "numbers", "base_url": f"{self.url}/v1"}
        )
        return Backends({"upstream": BackendConfig(kind="openai", options=options, retries=0)})


async def _streamed(answer: str) -> AsyncIterator[str]:
    for word in re.findall(r"\S+\s*", answer):
        delta = {"index": 0, "delta": {"content": word}, "finish_reason": None}
        yield f"data: {json.dumps({'model': 'numbers', 'choices': [delta]})}\n\n"
    end = {"index": 0, "delta": {}, "finish_reason": "stop"}
    yield f"data: {json.dumps({'model': 'numbers', 'choices': [end]})}\n\n"
    yield "data: [DONE]\n\n"
