"""An OpenAI-compatible upstream that sends numbered, time-stamped tokens at a set rate: `w12@1234.567890`.

The stamp is this machine's monotonic clock, which all processes share, so whoever sees a token knows its age.
Run: python benchmarks/upstream.py PORT

The model's name says what to send: "TOKENS-RATE", and after it, each behind a comma, what one needs of
name=ANY (tells lanes apart), wait=SECONDS (before the first token), stall=SECONDS (in the middle),
winner=WHICH (the last token is a judge's verdict: first, second or tie), end=refuse (no answer but status
503), end=break (the connection is dropped in the middle).
A request that does not ask for a stream is answered in one piece.
A GET answers with what was recorded since the last one, as JSON: see `Served`.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import asdict, dataclass, field

HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)
REFUSAL = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"


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
    return framed(b"data: " + json.dumps(body).encode() + b"\n\n")


def framed(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


@dataclass
class Served:
    """One request. Seconds of the monotonic clock.

    received: the whole request was there. tokens: each token was written. done: the end of the answer was;
    None if it did not come to that.
    """

    model: str
    received: float
    tokens: list[float] = field(default_factory=list)
    done: float | None = None


served: list[Served] = []


async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers on one connection until the client leaves it, as model servers do."""
    try:
        while not writer.is_closing():
            await answer(reader, writer)
    except (ConnectionError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    if head.startswith(b"GET"):
        body = json.dumps([asdict(one) for one in served]).encode()
        served.clear()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        return
    length = next(
        int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
    )
    sent = json.loads(await reader.readexactly(length))
    record = Served(sent["model"], time.monotonic())
    served.append(record)
    await (stream if sent.get("stream") else whole)(record, writer)


async def whole(record: Served, writer: asyncio.StreamWriter) -> None:
    """Answer in one piece, after the time that streaming it would take; it knows TOKENS-RATE and wait."""
    how, *rest = record.model.split(",")
    tokens, rate = map(int, how.split("-"))
    wait = float(dict(item.split("=") for item in rest).get("wait", 0))
    await asyncio.sleep(wait + tokens / rate)
    record.done = time.monotonic()
    text = "".join(f"w{n}@{record.done:.6f} " for n in range(tokens))
    body = {
        "id": "bench",
        "object": "chat.completion",
        "created": 0,
        "model": "bench",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": usage_of(tokens),
    }
    data = json.dumps(body).encode()
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    writer.write(head % len(data) + data)
    await writer.drain()


def usage_of(tokens: int) -> dict[str, int]:
    return {"prompt_tokens": 1, "completion_tokens": tokens, "total_tokens": tokens + 1}


async def stream(record: Served, writer: asyncio.StreamWriter) -> None:
    how, *rest = record.model.split(",")
    tokens, rate = map(int, how.split("-"))
    more = dict(item.split("=") for item in rest)
    if more.get("end") == "refuse":
        writer.write(REFUSAL)
        return
    writer.write(HEAD + chunk({"role": "assistant", "content": ""}))
    start = record.received + float(more.get("wait", 0))
    for n in range(tokens):
        if n == tokens // 2:
            if more.get("end") == "break":
                writer.transport.abort()
                return
            start += float(more.get("stall", 0))
        wait = start + n / rate - time.monotonic()
        if wait > 0:
            await asyncio.sleep(wait)
        now = time.monotonic()
        record.tokens.append(now)
        writer.write(chunk({"content": f"w{n}@{now:.6f} "}))
        await writer.drain()
    if "winner" in more:
        verdict = {"reason": f"The other leaves out what was asked at {now:.6f}.", "winner": more["winner"]}
        writer.write(chunk({"content": "\n" + json.dumps(verdict)}))
    record.done = time.monotonic()
    writer.write(
        chunk({}, "stop") + chunk({}, usage=usage_of(tokens)) + framed(b"data: [DONE]\n\n") + framed(b"")
    )
    await writer.drain()


async def main(port: int) -> None:
    server = await asyncio.start_server(connection, "127.0.0.1", port, backlog=1000)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
