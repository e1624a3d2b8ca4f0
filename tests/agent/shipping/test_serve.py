"""The served agent, asked wrongly: each mistake is a sentence and a status, and nothing is asked for it."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest
from starlette.responses import Response, StreamingResponse

from tests.heavy import needed
from tests.servers.data_of_workspace import DataOfWorkspace

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
]
HELLO = {"role": "user", "content": "hello"}
ASK = json.dumps({"input": [HELLO]})


@pytest.fixture
def client(data: DataOfWorkspace, served: Callable[..., Any]) -> Iterator[Any]:
    """Somebody without a token, before the server of an agent that searches as whoever asks."""
    needed("httpx")
    from starlette.testclient import TestClient

    with TestClient(served("search"), raise_server_exceptions=False) as found:
        yield found


def test_who_has_no_token_or_a_wrong_one_is_told_so_by_the_status(client: Any, data: DataOfWorkspace) -> None:
    for stream in (False, True):
        body = {"input": [HELLO], "stream": stream}
        for headers in ({}, {"authorization": "Basic abc"}, {"x-forwarded-access-token": " "}):
            answer = client.post("/responses", json=body, headers=headers)
            assert (answer.status_code, "sign in first" in answer.json()["detail"]) == (401, True)
    assert data.workspace.front.requests == []
    answer = client.post(
        "/invocations", json={"input": [HELLO]}, headers={"authorization": "Bearer of-nobody-1"}
    )
    assert answer.status_code == 401 and "The token is not valid" in answer.json()["detail"]
    assert client.get("/health").status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        "{",
        "null",
        "[1]",
        '"x"',
        "{}",
        '{"input": []}',
        '{"messages": [{"role": "user", "content": "hi"}]}',
        '{"input": [{"role": "user", "content": "\\ud800"}]}',
        '{"input": [{"role": "nobody", "content": "hi"}]}',
        '{"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "data:,"}]}]}',
        '{"input": [{"type": "function_call", "id": "a", "call_id": "1", "name": "x", "arguments": "{"}]}',
        "[" * 100_000,
    ],
    ids=range(12),
)
def test_what_is_no_question_is_refused_in_a_sentence(client: Any, data: DataOfWorkspace, body: str) -> None:
    token = data.workspace.person("ann@example.com")
    headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    answer = client.post("/responses", content=body, headers=headers)
    assert answer.status_code in (400, 422) and answer.json()["detail"], answer.text
    assert token not in answer.text
    assert data.workspace.front.requests == []


def test_what_is_passed_on_is_what_was_asked(client: Any, data: DataOfWorkspace, llama: Any) -> None:
    headers = {"authorization": f"Bearer {data.workspace.person('ann@example.com')}"}
    answer = client.post("/responses", content=ASK, headers={**headers, "content-type": "application/json"})
    assert answer.json()["output"][-1]["content"][0]["text"] == llama.text
    with client.stream(
        "POST", "/responses", json={"input": [HELLO], "stream": True}, headers=headers
    ) as stream:
        lines = [json.loads(line[6:]) for line in stream.iter_lines() if line.startswith("data: {")]
    assert "".join(one.get("delta") or "" for one in lines) == llama.text


def test_many_are_answered_at_once(client: Any, data: DataOfWorkspace) -> None:
    headers = {"authorization": f"Bearer {data.workspace.person('ann@example.com')}"}
    people, body = 12, {"input": [HELLO]}
    model, arrived = data.workspace.endpoints["table"], threading.Semaphore(0)
    all_there = threading.Event()
    answer = model.reply

    async def held(request: Any, body: Any) -> Any:
        arrived.release()
        assert await asyncio.to_thread(all_there.wait, 60)
        return await answer(request, body)

    model.reply = held
    with ThreadPoolExecutor(people) as threads:
        asked = [
            threads.submit(client.post, "/responses", json={**body, "stream": stream}, headers=headers)
            for stream in (False, True) * (people // 2)
        ]
        there = [arrived.acquire(timeout=20) for _ in range(people)]
        all_there.set()
        assert all(there) and {one.result(60).status_code for one in asked} == {200}


def test_an_answer_that_nobody_waits_for_any_more_ends_the_call_of_its_model_at_once(
    agent_server: str, data: DataOfWorkspace
) -> None:
    """Of a model that says no more after its first words, where nothing else would end it for minutes."""
    token = data.workspace.person("ann@example.com")
    goes_on = threading.Event()

    async def stalls(request: Any, body: Any) -> Response:
        async def pieces() -> AsyncIterator[bytes]:
            delta = {"index": 0, "delta": {"role": "assistant", "content": "One"}, "finish_reason": None}
            yield b"data: " + json.dumps({"id": "1", "model": "m", "choices": [delta]}).encode() + b"\n\n"
            await asyncio.to_thread(goes_on.wait, 30)

        return StreamingResponse(pieces(), media_type="text/event-stream")

    data.workspace.endpoints["table"].reply = stalls
    body, headers = {"input": [HELLO], "stream": True}, {"authorization": f"Bearer {token}"}
    with httpx2.stream("POST", f"{agent_server}/responses", json=body, headers=headers, timeout=60) as answer:
        assert any("delta" in line for line in answer.iter_lines())
    model = data.workspace.front.requests[-1]
    try:
        assert model.path.endswith("/chat/completions") and model.closed.wait(10)
    finally:
        goes_on.set()
