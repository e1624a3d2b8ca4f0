"""The menu of backends with the models that a server lists, as a person meets it in a browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import httpx2
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from chatlab.config.model_list import ModelList
from tests.servers.front import Front
from tests.web.chat.test_stored import link
from tests.web.pages import ChatPage, chunks, expect, says

pytestmark = pytest.mark.browser

Open = Callable[..., ChatPage]
CHAT, MODELS = "/v1/chat/completions", "/v1/models"
OPTIONS = ".chatlab-backends [role=option]"


@pytest.fixture
def upstream() -> Iterator[Front]:
    async def models(_: Request) -> Response:
        return JSONResponse({"object": "list", "data": [{"id": "qwen3:8b"}, {"id": "gemma3"}]})

    with Front() as front:
        front.on("GET", MODELS, models).on("POST", CHAT, says(chunks(["fine"])))
        yield front


def config(upstream: Front) -> str:
    return f"""\
version: 1
default: echo
backends:
  echo: {{kind: echo, label: Echo}}
  local: {{kind: openai, model: tiny, base_url: "{upstream.url}/v1", models: discover, label: Local}}
"""


def test_a_listed_model_is_found_by_typing_chosen_and_remembered_with_its_conversation(
    upstream: Front, open_page: Open
) -> None:
    page = open_page(config(upstream))
    tab, chosen = page.page, page.page.locator(".chatlab-chosen")
    assert upstream.requests == [], "nobody looked for models yet"
    tab.click(".chatlab-backend")
    expect(tab.locator(OPTIONS)).to_have_count(4)
    tab.keyboard.type("qwen")
    expect(tab.locator(OPTIONS)).to_have_count(1)
    tab.keyboard.press("Enter")
    expect(chosen).to_have_text("Local · qwen3:8b")
    page.ask("hello")
    assert upstream.last.json["model"] == "qwen3:8b"
    assert any("Local · qwen3:8b" in title for title in page.titles)
    link(page)  # once the page has it, a reload comes back to the conversation
    tab.reload()
    page.wait_ended(1)
    expect(chosen).to_have_text("Local · qwen3:8b")

    tab.locator(".chatlab-again").first.click()  # beside this answer, one of another model
    tab.click(f"{OPTIONS}:has-text('gemma3')")
    expect(chosen).to_have_text("Local · gemma3")
    page.wait_ended(1)
    page.ask("more")
    assert [one.json["model"] for one in upstream.requests if one.path == CHAT] == [
        "qwen3:8b",
        *("gemma3", "gemma3"),
    ]


def test_a_server_that_is_away_is_a_sentence_in_the_menu_and_a_forged_model_one_on_the_page(
    upstream: Front, open_page: Open
) -> None:
    upstream.fail(503, {"error": {"message": "loading"}})
    page = open_page(config(upstream))
    tab = page.page
    tab.click(".chatlab-backend")
    said = tab.locator(".chatlab-backends .chatlab-none")
    expect(said).to_contain_text("The models of Local are not known: loading")
    expect(tab.locator(OPTIONS)).to_have_count(2)
    tab.keyboard.press("Escape")

    # A page that is told of other models than the server lists, by whoever uses it.
    forged = {"models": ["forged"], "problem": ""}
    tab.route("**/-/backends/local/models", lambda route: route.fulfill(json=forged))
    page.served.lab.backends["local"].model_list = model_list(upstream)  # the server is back
    tab.click(".chatlab-backend")
    tab.click(f"{OPTIONS}:has-text('forged')")
    page.ask("hello", wait=False)
    page.wait_text("does not know the model forged; it has gemma3, qwen3:8b")
    assert [one for one in upstream.requests if one.path == CHAT] == []


def model_list(upstream: Front) -> ModelList:
    """The list of a server that is asked anew."""

    async def ask() -> tuple[str, ...]:
        async with httpx2.AsyncClient() as client:
            listed = (await client.get(f"{upstream.url}{MODELS}")).json()["data"]
        return tuple(sorted(one["id"] for one in listed))

    return ModelList("local", "Local", ask)
