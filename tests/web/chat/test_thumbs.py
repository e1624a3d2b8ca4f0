"""What people say of answers reaches MLflow, from the chat page and from the comparison page."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tests.servers.front import Front
from tests.web.compare.client import Person
from tests.web.pages import ChatPage

RECORDED = [
    {"format": "chatlab-recording", "version": 1},
    {"type": "prompt", "messages": [{"role": "user", "parts": [{"type": "text", "text": "q"}]}]},
    {"type": "trace", "id": "tr-1", "at": 0.0},
    {"type": "reasoning", "text": "hm", "at": 0.0},
    {"type": "text", "text": "an answer", "at": 0.0},
    {"type": "finish", "reason": "stop", "at": 0.01},
]
CONFIG = """\
backends:
  traced: {{kind: replay, recording: recorded.jsonl}}
  other: {{kind: replay, recording: other.jsonl}}
ui: {{flagging: manual, flagging_dir: flags}}
telemetry: {{assessments: {{mlflow: "{url}"}}}}
"""
TRACES = [f"/api/3.0/mlflow/traces/tr-{number}" for number in (1, 2)]


@pytest.fixture
def mlflow() -> Iterator[Front]:
    """An MLflow server that remembers nothing."""

    async def info(_: Request) -> Response:
        return JSONResponse({"trace": {"trace_info": {}}})

    with Front() as front:
        for trace in TRACES:
            front.on("GET", trace, info).on("POST", f"{trace}/assessments", info)
        yield front


def said(mlflow: Front, count: int) -> list[tuple[str, Any]]:
    """Return what was said, once it was said so often: of what, and the value."""
    for _ in range(400):
        posts = [one.json["assessment"] for one in mlflow.requests if one.method == "POST"]
        if len(posts) >= count:
            break
        threading.Event().wait(0.05)
    return [(one["assessment_name"], one["feedback"]["value"]) for one in posts]


@pytest.mark.browser
def test_a_thumb_and_a_vote_are_told_of_the_trace_that_the_backend_named(
    mlflow: Front, open_page: Callable[..., ChatPage], tmp_path: Path
) -> None:
    recorded = "".join(json.dumps(one) + "\n" for one in RECORDED)
    (tmp_path / "recorded.jsonl").write_text(recorded, "utf-8")
    (tmp_path / "other.jsonl").write_text(recorded.replace("tr-1", "tr-2"), "utf-8")
    page = open_page(CONFIG.format(url=mlflow.url))
    page.ask("what is it?")
    page.page.locator("#conversation button[aria-label='Like']").last.click()
    assert said(mlflow, 1) == [("thumb", True)]
    page.page.locator("#conversation button[aria-label='Dislike']").last.click()
    assert said(mlflow, 2)[1:] == [("thumb", False)]
    with closing(Person(page.served)) as person:
        asked = person.begin("traced", "other")
        (asked_round,) = asked.ask("one")["rounds"]
        ballot = {"round": asked_round["id"], "criterion": "overall", "best": asked.lanes[1]}
        asked.post("/votes", ballot)
    assert said(mlflow, 4)[2:] == [("vote: overall", "not best"), ("vote: overall", "best")]
