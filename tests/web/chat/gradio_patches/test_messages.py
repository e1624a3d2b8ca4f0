"""The stream of what the queue tells a page."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import orjson
import pytest
from gradio.data_classes import FileData
from gradio.server_messages import (
    EstimationMessage,
    EventMessage,
    LogMessage,
    ProcessCompletedMessage,
    ProcessGeneratingMessage,
    ProcessStartsMessage,
    ProgressMessage,
    ProgressUnit,
)

from chatlab.web.chat.gradio_patches.messages import messages_of
from tests.web.chat.gradio_patches.test_queue import queued


def told(sent: bytes) -> list[dict[str, Any]]:
    """The messages of a piece of the stream."""
    return [json.loads(line.removeprefix("data: ")) for line in sent.decode().split("\n\n") if line]


@pytest.fixture
async def page() -> Any:
    """A page of which one event, `e`, runs for the session `s`."""
    queue = queued()
    queue.pending_messages_per_session["s"] = asyncio.Queue()
    queue.pending_event_ids_session["s"] = {"e"}
    return queue.blocks


async def test_what_is_there_at_the_same_time_goes_out_together_and_ends_with_the_last_event(
    page: Any,
) -> None:
    messages = page._queue.pending_messages_per_session["s"]
    for message in (EstimationMessage(rank=0, queue_size=1), ProcessStartsMessage()):
        messages.put_nowait(message)
    stream = messages_of(page, "s")
    assert [one["msg"] for one in told(await anext(stream))] == ["estimation", "process_starts"]
    messages.put_nowait(ProcessCompletedMessage(event_id="e", output={"data": []}, success=True))
    assert [one["msg"] for one in told(await anext(stream))] == ["process_completed", "close_stream"]
    assert [one async for one in stream] == []
    assert page._queue.pending_event_ids_session["s"] == set()


async def test_a_long_message_goes_out_in_pieces_between_which_the_others_have_their_turn(page: Any) -> None:
    long = ProcessCompletedMessage(event_id="e", output={"data": ["x" * 1_000_000]}, success=True)
    page._queue.pending_messages_per_session["s"].put_nowait(long)
    turns, pieces = 0, []

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    others = asyncio.create_task(other())
    async for piece in messages_of(page, "s"):
        pieces.append((piece, turns))
    others.cancel()
    seen = [turn for _, turn in pieces]
    assert max(len(piece) for piece, _ in pieces) <= 200_000 and seen == sorted(set(seen))
    assert [one["msg"] for one in told(b"".join(piece for piece, _ in pieces))][-1] == "close_stream"


async def test_a_page_that_the_queue_does_not_know_is_told_so(page: Any) -> None:
    (sent,) = [one async for one in messages_of(page, "nobody's")]
    (message,) = told(sent)
    assert message["msg"] == "unexpected_error" and message["session_not_found"]


async def test_nothing_is_left_of_a_page_that_goes_while_it_waits(page: Any) -> None:
    waiting = asyncio.ensure_future(anext(messages_of(page, "s")))
    await asyncio.wait([waiting], timeout=0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert "s" not in page._queue.pending_messages_per_session


async def test_a_page_is_told_that_the_server_stops(page: Any) -> None:
    page._queue.pending_messages_per_session["s"].put_nowait(ProcessStartsMessage())
    page._queue.close()
    (sent,) = [one async for one in messages_of(page, "s")]
    assert [one["msg"] for one in told(sent)] == ["unexpected_error"]


async def test_signs_of_life_come_of_one_timer_however_many_messages_there_are(
    page: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    messages = page._queue.pending_messages_per_session["s"]
    timers: list[asyncio.TimerHandle] = []
    loop = asyncio.get_running_loop()
    made = loop.call_at

    def noted(*args: Any, **kwargs: Any) -> Any:
        timers.append(made(*args, **kwargs))
        return timers[-1]

    monkeypatch.setattr(loop, "call_at", noted)
    stream = messages_of(page, "s")
    for _ in range(20):
        waiting = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        messages.put_nowait(ProcessStartsMessage())
        assert [one["msg"] for one in told(await waiting)] == ["process_starts"]
    assert len(timers) == 1
    await stream.aclose()
    assert timers[0].cancelled()


async def test_a_page_is_told_again_and_again_that_the_server_is_there(
    page: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRADIO_HEARTBEAT_INTERVAL", "0.01")
    stream = messages_of(page, "s")
    for _ in range(3):
        assert [one["msg"] for one in told(await anext(stream))] == ["heartbeat"]
    await stream.aclose()


async def test_a_message_is_written_as_gradio_writes_it_without_a_copy_of_all_that_it_says(
    page: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = FileData(path="/tmp/a.txt", orig_name="a.txt")
    said: list[EventMessage] = [
        EstimationMessage(event_id="e", rank=0, queue_size=1, rank_eta=0.5),
        ProcessStartsMessage(event_id="e", eta=1.0),
        LogMessage(event_id="e", log="Careful", level="warning", title="W"),
        ProgressMessage(event_id="e", progress_data=[ProgressUnit(index=1, length=2)]),
        ProcessGeneratingMessage(output={"data": [None, {"file": file, "path": Path("a")}]}, success=True),
        ProcessCompletedMessage(event_id="e", output={"data": ["\u00e9", 1.5]}, success=True),
    ]
    written = [json.loads(orjson.dumps(one.model_dump(), default=str)) for one in said]
    for one in said:
        page._queue.pending_messages_per_session["s"].put_nowait(one)
    copied: list[object] = []
    for kind in {type(one) for one in said}:
        monkeypatch.setattr(kind, "model_dump", lambda *args: copied.append(args))
    sent = told(b"".join([piece async for piece in messages_of(page, "s")]))
    assert sent[:-1] == written and sent[-1]["msg"] == "close_stream"
    assert not copied
