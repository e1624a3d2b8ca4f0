"""An OpenAI-compatible upstream that sends numbered, time-stamped tokens at a set rate: `w12@1234.567890`.

The stamp is this machine's monotonic clock, which all processes share, so whoever sees a token knows its age.
Run: python benchmarks/upstream.py PORT
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\n"
    b"connection: close\r\n\r\n"
)


def chunk(delta: dict[str, str], finish: str | None = None, usage: dict[str, int] | None = None) -> bytes:
    body: dict[str, object] = {
        "id": "bench",
        "object": "chat.completion.chunk",
        "created": 0,
        "model": "bench",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    }
    if usage is not None:
        body |= {"choices": [], "usage": usage}
    return b"data: " + json.dumps(body).encode() + b"\n\n"


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.split(b":")[1])
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length")
        )
        # The model's name says what to send: "TOKENS-RATE".
        tokens, rate = map(int, json.loads(await reader.readexactly(length))["model"].split("-"))
        writer.write(HEAD + chunk({"role": "assistant", "content": ""}))
        start = time.monotonic()
        for n in range(tokens):
            wait = start + n / rate - time.monotonic()
            if wait > 0:
                await asyncio.sleep(wait)
            writer.write(chunk({"content": f"w{n}@{time.monotonic():.6f} "}))
            await writer.drain()
        writer.write(chunk({}, "stop"))
        writer.write(
            chunk({}, usage={"prompt_tokens": 1, "completion_tokens": tokens, "total_tokens": tokens + 1})
        )
        writer.write(b"data: [DONE]\n\n")
        await writer.drain()
    except (ConnectionError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


async def main(port: int) -> None:
    server = await asyncio.start_server(answer, "127.0.0.1", port, backlog=1000)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
