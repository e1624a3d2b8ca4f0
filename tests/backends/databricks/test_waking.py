"""An endpoint that has to wake up is said to be waking, while the call waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response

from backends.databricks.requests import Endpoint
from chatlab.backend import CallContext
from chatlab.errors import Unavailable
from chatlab.messages import Finish, Notice, StreamEvent, TextDelta
from tests.backends.databricks.calls import HELLO, agent, ask, backend, of_type, text_of
from tests.servers.databricks import Gate, ServedEndpoint, Workspace, streams

# Seconds: soon, where the look at the endpoint is what is tested; never, where it must not happen.
SOON, NEVER = 0.05, 60.0


@pytest.fixture
def workspace(monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    with Workspace() as server:
        monkeypatch.setenv("DATABRICKS_HOST", server.url)
        monkeypatch.setenv("DATABRICKS_TOKEN", server.person("ada"))
        yield server


def gated(workspace: Workspace, **state: Any) -> Gate:
    gate = Gate(streams([agent("x")]))
    workspace.serve("bot", "agent/v2/chat", gate, **state)
    return gate


@pytest.mark.parametrize(
    ("state", "says"),
    [
        ({"message": "Scaled to zero", "scale_to_zero": True}, "was scaled to zero and is starting"),
        ({"ready": "NOT_READY"}, "is not ready yet"),
        ({"ready": "NOT_READY", "config_update": "IN_PROGRESS"}, "is being deployed"),
    ],
)
async def test_the_look_for_the_task_tells_before_the_call_that_it_will_wait(
    workspace: Workspace, state: dict[str, Any], says: str
) -> None:
    gate = gated(workspace, **state)
    made = backend(waking_after=NEVER)
    stream = made.stream(HELLO, CallContext())
    first = await anext(stream)
    assert isinstance(first, Notice)
    assert first.kind == "waking"
    assert says in first.detail
    assert workspace.invocations("bot") == []
    rest = asyncio.create_task(_rest(stream))
    await workspace.front.wait_for(2)
    gate.open()
    assert await rest == [TextDelta("x"), Finish("stop")]  # told once
    await made.aclose()


@pytest.mark.parametrize(
    ("state", "says"),
    [
        ({"message": "Scaled to zero", "scale_to_zero": True}, "was scaled to zero and is starting"),
        ({"scale_to_zero": True}, "it scales to zero when idle and may be starting"),
        ({"ready": "NOT_READY"}, "is not ready yet"),
    ],
)
async def test_a_call_without_a_reply_looks_whether_the_endpoint_is_waking(
    workspace: Workspace, state: dict[str, Any], says: str
) -> None:
    gate = gated(workspace, **state)
    made = backend(task="agent_chat", waking_after=SOON)
    stream = made.stream(HELLO, CallContext())
    first = await anext(stream)  # comes while the call is still waiting
    assert isinstance(first, Notice)
    assert first.kind == "waking"
    assert says in first.detail
    gate.open()
    assert await _rest(stream) == [TextDelta("x"), Finish("stop")]
    await made.aclose()


@pytest.mark.parametrize(
    "state", [{}, {"message": "Stopped", "scale_to_zero": True}], ids=["running", "stopped"]
)
async def test_an_endpoint_that_is_slow_but_not_waking_is_not_said_to_be(
    workspace: Workspace, state: dict[str, Any]
) -> None:
    gate = gated(workspace, **state)
    made = backend(task="agent_chat", waking_after=SOON)
    answer = asyncio.create_task(_rest(made.stream(HELLO, CallContext())))
    await workspace.front.wait_for(2)  # the call, and the look at the endpoint
    assert workspace.paths()[-1] == "/api/2.0/serving-endpoints/bot"
    gate.open()
    assert await answer == [TextDelta("x"), Finish("stop")]
    await made.aclose()


@pytest.mark.parametrize(
    ("state", "at_once", "after_a_while"),
    [
        ({}, False, False),
        ({"scale_to_zero": True}, False, True),
        ({"message": "Scaled to zero", "scale_to_zero": True}, True, True),
        ({"message": "Stopped", "scale_to_zero": True}, False, False),  # no request wakes it
        ({"ready": "NOT_READY"}, True, True),
        ({"ready": "NOT_READY", "message": "Endpoint was stopped"}, False, False),
        ({"config_update": "IN_PROGRESS"}, False, False),  # the old version answers meanwhile
    ],
)
def test_which_state_means_waking(state: dict[str, Any], at_once: bool, after_a_while: bool) -> None:
    served = ServedEndpoint("bot", None, streams([]), **state)
    endpoint = Endpoint.of("bot", served.body())
    assert (endpoint.waking() is not None) == at_once
    assert (endpoint.waking(waited=3) is not None) == after_a_while


async def test_a_reply_that_comes_in_time_asks_nothing_more(workspace: Workspace) -> None:
    workspace.serve("bot", "agent/v2/chat", streams([agent("x")]), scale_to_zero=True)
    assert of_type(await ask(task="agent_chat"), Notice) == []
    assert "/api/2.0/serving-endpoints/bot" not in workspace.paths()


async def test_a_look_that_fails_does_not_disturb_the_call(workspace: Workspace) -> None:
    gate = gated(workspace)
    looked = asyncio.Event()
    loop = asyncio.get_running_loop()

    async def outage(_: Request) -> Response:
        loop.call_soon_threadsafe(looked.set)
        return Response("down", 500)

    workspace.front.on("GET", "/api/2.0/serving-endpoints/bot", outage)
    made = backend(task="agent_chat", waking_after=SOON)
    answer = asyncio.create_task(_rest(made.stream(HELLO, CallContext())))
    await looked.wait()
    gate.open()
    assert text_of(await answer) == "x"
    await made.aclose()


async def test_a_reply_during_the_look_is_not_kept_waiting_for_it(workspace: Workspace) -> None:
    gate = gated(workspace)
    looking = asyncio.Event()
    loop = asyncio.get_running_loop()

    async def silent(_: Request) -> Response:
        loop.call_soon_threadsafe(looking.set)
        await asyncio.Event().wait()
        raise AssertionError

    workspace.front.on("GET", "/api/2.0/serving-endpoints/bot", silent)
    made = backend(task="agent_chat", waking_after=SOON)
    answer = asyncio.create_task(_rest(made.stream(HELLO, CallContext())))
    await looking.wait()
    gate.open()
    async with asyncio.timeout(5):
        assert text_of(await answer) == "x"
    await made.aclose()


async def test_who_stops_waiting_leaves_neither_call_nor_look_behind(workspace: Workspace) -> None:
    gated(workspace, ready="NOT_READY")
    made = backend(task="agent_chat", waking_after=SOON)
    stream = made.stream(HELLO, CallContext())
    await anext(stream)
    before = asyncio.all_tasks()
    await stream.aclose()  # type: ignore[attr-defined]
    sent = workspace.invocations("bot")[0]
    assert await asyncio.to_thread(sent.closed.wait, 5)
    assert asyncio.all_tasks() <= before
    assert asyncio.all_tasks() == {asyncio.current_task()}
    await made.aclose()


@pytest.mark.parametrize("task", ["auto", "agent_chat"])
async def test_an_endpoint_that_refuses_while_it_starts_is_said_to_be_waking_and_worth_a_retry(
    workspace: Workspace, task: str
) -> None:
    endpoint = workspace.serve("bot", "agent/v2/chat", streams([agent("x")]), ready="NOT_READY")
    endpoint.fail(503, {"error_code": "TEMPORARILY_UNAVAILABLE", "message": "not ready"})
    made = backend(task=task)
    events: list[StreamEvent] = []
    with pytest.raises(Unavailable) as caught:
        async for event in made.stream(HELLO, CallContext()):
            events.append(event)
    assert caught.value.retryable
    assert [event.kind for event in of_type(events, Notice)] == ["waking"]
    assert text_of(await _rest(made.stream(HELLO, CallContext()))) == "x"
    await made.aclose()


async def _rest(stream: Any) -> list[StreamEvent]:
    return [event async for event in stream]
