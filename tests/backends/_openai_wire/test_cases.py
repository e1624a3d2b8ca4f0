"""Every case of `cases.py`, against a server on loopback, for every kind that speaks the protocol."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response

from chatlab.backend import Backend, CallContext, ChatRequest
from chatlab.config.registry import backend_class
from chatlab.errors import BackendError
from chatlab.messages import Finish, Message, Notice, StreamEvent, TextDelta
from tests.backends._openai_wire.cases import CASES, WHOLE_NOTICE, Case, page
from tests.servers.front import Front

QUESTION = ChatRequest((Message.of("user", "hi"),))
KINDS = {
    "openai": ("/v1/chat/completions", lambda url: {"model": "m", "base_url": f"{url}/v1"}),
    "huggingface": ("/v1/chat/completions", lambda url: {"endpoint": f"{url}/v1", "model": "m"}),
    "databricks": (
        "/serving-endpoints/bot/invocations",
        lambda url: {"endpoint": "bot", "host": url, "task": "chat"},
    ),
    "langchain": ("/v1/chat/completions", lambda url: {"model": "openai:m", "base_url": f"{url}/v1"}),
}


@pytest.fixture
def front() -> Iterator[Front]:
    with Front() as server:
        yield server


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("DATABRICKS_TOKEN", "dapi0123456789abcdef")
    return str(request.param)


def backend(kind: str, front: Front) -> Backend:
    cls: Any = backend_class(kind)
    return cls(cls.Options.model_validate(KINDS[kind][1](front.url)))


def serve(kind: str, front: Front, case: Case) -> None:
    body = case.body.encode() if isinstance(case.body, str) else case.body

    async def answer(_: Request) -> Response:
        response = Response(body, case.status)
        response.headers["content-type"] = case.label
        if not case.label:
            del response.headers["content-type"]
        return response

    front.on("POST", KINDS[kind][0], answer)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.group}: {case.what}")
async def test_what_a_server_sends_is_read_or_refused_in_its_own_words(
    case: Case, kind: str, front: Front
) -> None:
    serve(kind, front, case)
    made = backend(kind, front)
    events: list[StreamEvent] = []
    try:
        async for event in made.stream(QUESTION, CallContext()):
            events.append(event)
    except BackendError as exc:
        assert case.error in exc.detail if case.error else False, exc.detail
        assert "".join(e.text for e in events if isinstance(e, TextDelta)) == case.kept
        assert not any(isinstance(event, Finish) for event in events)
        return
    finally:
        await made.aclose()
    assert not case.error, events
    assert case.matches(events), events
    assert isinstance(events[-1], Finish)
    notices = [event for event in events if isinstance(event, Notice)]
    if case.notice == WHOLE_NOTICE:
        assert [notice.kind for notice in notices] == ["not_streamed"]
    else:
        assert [notice.detail for notice in notices] == ([case.notice] if case.notice else [])


def test_the_table_in_the_docs_is_made_from_these_cases() -> None:
    docs = Path(__file__).parents[3] / "docs" / "wire.md"
    assert docs.read_text("utf-8") == page(), (
        "run: python -m tests.backends._openai_wire.cases > docs/wire.md"
    )
