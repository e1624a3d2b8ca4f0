"""The edits in which a growing answer reaches the page come to what the answer is."""

from __future__ import annotations

import contextlib
import copy
import functools
import html
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
import httpx2
import pytest
from gradio_client.utils import apply_diff

from benchmarks.page_driver import PageDriver
from chatlab.web.chat.gradio_patches import CONVERSATION
from chatlab.web.chat.respond import Chat
from tests.web.pages import Served

SAMPLES = Path(__file__).resolve().parents[4] / "configs" / "samples"
QUESTIONS = (
    "Will I need an umbrella in Lisbon tomorrow?",
    "Find the error rate of the checkout service in the last hour",
)


class Shown:
    """A page's conversation, kept as Gradio's own client keeps it: one event after the other."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self.edited = 0

    def take(self, message: dict[str, Any]) -> None:
        if message["msg"] == "process_generating" and self.values:
            self.edited += 1
            self.values.append(apply_diff(self.values[-1], message["output"]["data"][1]))
        elif message["msg"] in ("process_generating", "process_completed"):
            value = message["output"]["data"][1]
            self.values += [value] if value != {"__type__": "update"} else []


def visible(value: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What a page shows, whether its HTML was made of a whole text or block by block as it grew."""
    shown = []
    for message in value:
        made = "".join(part["text"] for part in message["content"])
        text = html.unescape(re.sub(r"<[^>]*>", "", made))
        # What may become the end of a block of code is not shown before that is known.
        shown.append({**message, "content": "".join(text.split()).rstrip("`")})
    return shown


@pytest.fixture
def yielded(monkeypatch: pytest.MonkeyPatch) -> list[list[Any]]:
    """What the page's function says is to be shown, each time it says so."""
    values: list[list[Any]] = []
    respond = Chat.respond

    @functools.wraps(respond)
    async def noted(*args: Any) -> Any:
        async for answer, shown in respond(*args):
            values.append(copy.deepcopy(shown))
            yield answer, shown

    monkeypatch.setattr(Chat, "respond", noted)
    return values


async def test_every_event_of_an_answer_leaves_the_page_with_the_whole_value(
    serve: Callable[[str], Served], yielded: list[list[Any]]
) -> None:
    served = serve(f"backends: {{agent: {{kind: replay, recording: {SAMPLES / 'agent.jsonl'}, speed: 4}}}}")
    shown: list[dict[str, Any]] = []
    async with httpx2.AsyncClient(timeout=60) as client:
        page = await PageDriver.of(served.url, client)
        for question in QUESTIONS:
            yielded.clear()
            page_shows, told = Shown(), []

            def take(message: dict[str, Any], shows: Shown = page_shows, told: list[Any] = told) -> None:
                told.append(message)
                shows.take(message)

            shown = (await page.ask(client, "tab", question, shown, on_message=take)).shown
            # Gradio itself says what a value that a function yields looks like on the page.
            chatbot = gr.Chatbot(render=False, elem_classes=[CONVERSATION])
            whole = [gr.Chatbot.postprocess(chatbot, value) for value in yielded]
            expected = [value.model_dump() for value in whole]
            assert page_shows.values[0] == expected[0] and page_shows.values[-1] == expected[-1]
            shows = [visible(value) for value in page_shows.values]
            assert shows == [visible(value) for value in [*expected, expected[-1]]]
            assert page_shows.edited > 3  # on a busy machine fewer paints are made
            (end,) = (one["output"]["data"] for one in told if one["msg"] == "process_completed")
            assert end == [None, {"__type__": "update"}], "what the page has is sent once more"
            assert any((message["metadata"] or {}).get("title") for message in shown), (
                "no reasoning, no tools"
            )


def test_no_event_after_an_answer_writes_into_the_message_box(serve: Callable[..., Served]) -> None:
    """Somebody may be writing there already, as after a stop."""
    served = serve("backends: {echo: {kind: echo}}")
    with httpx2.Client(base_url=served.url) as client:
        config = client.get("/config").json()
        (box,) = (one["id"] for one in config["components"] if one["props"].get("elem_id") == "message")
        events = [one for one in config["dependencies"] if one["outputs"] == [box] and not one["inputs"]]
        assert len(events) > 3
        for event in events:
            if not event["backend_fn"]:  # it happens in the browser alone
                assert not {"value", "placeholder"} & set(re.findall(r"\w+(?=:)", event["js"] or "")), event
                continue
            body = {"data": [], "fn_index": event["id"], "session_hash": "mine", "event_data": None}
            (update,) = client.post("/gradio_api/run/predict", json=body).json()["data"]
            assert not {"value", "placeholder"} & set(update), event["api_name"]


async def test_a_page_that_is_to_stay_as_it_is_gets_no_edits_and_no_error(
    serve: Callable[[str], Served], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where another of its events shows the answer already."""

    @functools.wraps(Chat.respond)
    async def unchanged(*_: Any) -> Any:
        yield [], gr.skip()

    monkeypatch.setattr(Chat, "respond", unchanged)
    served = serve("backends: {echo: {kind: echo}}")
    told: list[dict[str, Any]] = []
    async with httpx2.AsyncClient(timeout=60) as client:
        page = await PageDriver.of(served.url, client)
        with contextlib.suppress(TypeError):  # the driver looks for an answer
            await page.ask(client, "tab", "go", [], on_message=told.append)
    ended = [one for one in told if one["msg"] == "process_completed"]
    assert [(one["success"], one["output"]["data"]) for one in ended] == [
        (True, [None, {"__type__": "update"}])
    ]
