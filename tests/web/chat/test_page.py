"""The chat page, in a browser, against an upstream that records what it is sent."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from starlette.requests import Request
from starlette.responses import Response

from tests.servers.front import Front
from tests.web.pages import ChatPage, chunks, expect, says

pytestmark = pytest.mark.browser

Open = Callable[..., ChatPage]
CHAT = "/v1/chat/completions"
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c6360606060000000050001a5f64540"
    "0000000049454e44ae426082"
)


@pytest.fixture
def upstream() -> Iterator[Front]:
    with Front() as front:
        yield front


def config(upstream: Front, **extra: str) -> str:
    more = "\n".join(extra.values())
    return f"""\
version: 1
backends:
  tiny:
    kind: openai
    model: tiny
    base_url: {upstream.url}/v1
    label: Tiny model
    images: true
    retries: 0
    prices: {{input: 1000000, output: 2000000}}
  echo: {{kind: echo, label: Echo}}
  locked: {{kind: openai, model: some-model, label: Locked}}
{more}
"""


def roles(body: Any) -> list[tuple[str, Any]]:
    return [(message["role"], message["content"]) for message in body["messages"]]


def test_an_answer_streams_with_its_figures_and_the_upstream_gets_the_message_exactly(
    upstream: Front, open_page: Open
) -> None:
    hold = threading.Event()
    upstream.on("POST", CHAT, says(chunks(["Hel", "lo **you**", " there"]), hold, after=1))
    page = open_page(config(upstream))
    text = "  keep\tthis\n\n    exactly  "
    page.ask(text, wait=False)
    page.wait_text("Hel")
    assert page.titles == ["Tiny model"]
    hold.set()
    page.wait_ended(1)
    assert page.answers == ["Hello you there"]
    (figures,) = page.titles
    assert figures.startswith("Tiny model · first token ")
    assert figures.endswith("5 tokens in, 3 out · cost 11")
    assert roles(upstream.last.json) == [("user", text)]
    assert page.foreign == []


def test_the_browser_shows_a_message_itself_and_asks_for_nothing_but_the_answer(
    upstream: Front, open_page: Open
) -> None:
    upstream.on("POST", CHAT, says(chunks(["fine"])))
    page = open_page(config(upstream))
    loaded = "performance.getEntriesByType('resource').filter(({ name }) => name.endsWith('/run/predict'))"
    page.page.wait_for_function(f"{loaded}.length === 2")  # what it asks once it is shown
    # What it would ask the server before.
    loads = "({ targets, backend_fn }) => backend_fn && targets.some(([, event]) => event === 'load')"
    assert not page.page.evaluate(f"window.gradio_config.dependencies.some({loads})")
    asked: list[str] = []
    page.page.on("request", lambda request: asked.append(urlsplit(request.url).path))
    held: list[Any] = []
    page.page.route("**/queue/join*", lambda route: held.append(route))
    page.ask("center a <div>\n\n```html\n<b>bold</b>\n```", wait=False)
    page.page.wait_for_selector("#message .stop-button")
    page.wait_text("center a <div>")
    page.wait_text("<b>bold</b>")
    assert page.page.input_value("#message textarea") == ""
    held.pop().continue_()
    page.wait_ended(1)
    assert page.answers == ["fine"]
    assert [path for path in asked if "/gradio_api/" in path] == [
        "/gradio_api/queue/join",
        "/gradio_api/queue/data",
    ]


def test_the_next_turn_is_sent_the_whole_conversation(upstream: Front, open_page: Open) -> None:
    upstream.on("POST", CHAT, says(chunks(["    four\n", "\tspaces"])))
    page = open_page(config(upstream))
    page.ask("one")
    page.ask("two")
    assert roles(upstream.last.json) == [
        ("user", "one"),
        ("assistant", "    four\n\tspaces"),
        ("user", "two"),
    ]


def test_stop_closes_the_upstream_and_keeps_what_had_arrived(upstream: Front, open_page: Open) -> None:
    never = threading.Event()
    upstream.on("POST", CHAT, says(chunks(["partial", " more"]), never, after=1))
    page = open_page(config(upstream))
    page.ask("go", wait=False)
    page.wait_text("partial")
    page.page.click("#message .stop-button")
    assert upstream.last.closed.wait(5)
    page.wait_ended(1)
    assert page.answers == ["partial"]
    assert page.titles[-1].endswith("stopped")
    upstream.on("POST", CHAT, says(chunks(["fine"])))
    page.ask("and now?")
    assert roles(upstream.last.json) == [("user", "go"), ("assistant", "partial"), ("user", "and now?")]


def test_an_error_is_one_sentence_and_the_box_takes_the_next_message(
    upstream: Front, open_page: Open
) -> None:
    upstream.fail(403, {"error": {"message": "this key may not use tiny", "code": "forbidden"}})
    page = open_page(config(upstream))
    page.ask("go")
    alarm = next(title for title in page.titles if title.startswith("⚠"))
    assert "Tiny model: this key may not use tiny (ask for access to this model or" in alarm
    assert "endpoint), incident" in alarm
    upstream.on("POST", CHAT, says(chunks(["fine"])))
    page.ask("again")
    assert page.answers == ["fine"]
    # What got no answer is not sent on, and the page says so.
    assert roles(upstream.last.json) == [("user", "again")]
    assert any("not sent, since it got no answer: 1 message" in title for title in page.titles)


def test_a_stream_that_breaks_keeps_its_text_and_says_so(upstream: Front, open_page: Open) -> None:
    upstream.stream(CHAT, chunks(["half an", " answer"])[:2], end="drop")
    page = open_page(config(upstream))
    page.ask("go")
    assert page.answers == ["half an answer"]
    assert any(title.startswith("⚠ Tiny model:") for title in page.titles)
    assert page.titles[-1].endswith("failed")


def test_retry_asks_the_same_again_and_undo_gives_the_text_back(upstream: Front, open_page: Open) -> None:
    upstream.on("POST", CHAT, says(chunks(["first"])))
    page = open_page(config(upstream))
    page.ask("one")
    page.ask("two")
    upstream.on("POST", CHAT, says(chunks(["second"])))
    page.page.click("button[aria-label=Retry]")
    page.wait_text("second")
    page.wait_ended(2)
    sent = [("user", "one"), ("assistant", "first"), ("user", "two")]
    assert roles(upstream.last.json) == sent
    assert page.answers == ["first", "second"]
    assert page.page.get_attribute("#message textarea", "placeholder") == "Message"
    page.page.click("button[aria-label=Undo]")
    page.page.wait_for_function("document.querySelector('#message textarea').value === 'two'")
    page.ask("three")
    assert roles(upstream.last.json) == [*sent[:2], ("user", "three")]


def test_an_edited_message_is_answered_anew_from_where_it_stood(upstream: Front, open_page: Open) -> None:
    upstream.on("POST", CHAT, says(chunks(["yes"])))
    page = open_page(config(upstream))
    for text in ("one", "two", "three"):
        page.ask(text)
    page.page.locator("button[aria-label=Edit]").nth(1).click()
    page.page.locator("#conversation textarea").fill("two, better")
    page.page.locator("button[aria-label=Submit]").first.click()
    page.page.wait_for_function(
        "() => document.querySelectorAll('#conversation [data-testid=user]').length === 2"
        " && document.querySelector('#conversation').innerText.includes('two, better')"
    )
    page.wait_ended(2)
    assert roles(upstream.last.json) == [("user", "one"), ("assistant", "yes"), ("user", "two, better")]
    assert page.page.get_attribute("#message textarea", "placeholder") == "Message"
    page.ask("four")
    assert [content for role, content in roles(upstream.last.json) if role == "user"] == [
        "one",
        "two, better",
        "four",
    ]


def test_deleting_begins_a_new_conversation(upstream: Front, open_page: Open) -> None:
    upstream.on("POST", CHAT, says(chunks(["yes"])))
    page = open_page(config(upstream))
    page.ask("one")
    page.page.get_by_role("button", name="Delete this conversation").click()
    page.page.wait_for_function("document.querySelectorAll('#conversation [data-testid=user]').length === 0")
    page.ask("two")
    assert roles(upstream.last.json) == [("user", "two")]


def test_switching_backends_keeps_the_conversation_and_each_answer_says_who_gave_it(
    upstream: Front, open_page: Open
) -> None:
    upstream.on("POST", CHAT, says(chunks(["from tiny"])))
    page = open_page(config(upstream))
    page.choose("Echo")
    page.ask("one")
    page.choose("Tiny model")
    page.ask("two")
    assert roles(upstream.last.json) == [("user", "one"), ("assistant", "one"), ("user", "two")]
    assert [title.split(" · ")[0] for title in page.titles if " total " in title] == ["Echo", "Tiny model"]


def test_a_backend_that_is_not_ready_says_what_to_do_and_the_page_goes_on(
    upstream: Front, open_page: Open
) -> None:
    upstream.on("POST", CHAT, says(chunks(["fine"])))
    page = open_page(config(upstream))
    page.choose("Locked")
    expect(page.page.locator(".prose.chatlab-status")).to_contain_text(
        "Locked is not ready: set OPENAI_API_KEY"
    )
    page.ask("go")
    assert any("set OPENAI_API_KEY" in title for title in page.titles)
    page.choose("Tiny model")
    page.ask("go")
    assert page.answers == ["fine"]


def test_controls_follow_the_backend_and_are_sent_only_when_set(upstream: Front, open_page: Open) -> None:
    upstream.on("POST", CHAT, says(chunks(["fine"])))
    page = open_page(config(upstream))
    page.settings()
    assert page.page.is_visible("#parameter-temperature") and not page.page.is_visible("#parameter-rate")
    page.choose("Echo")
    page.page.wait_for_selector("#parameter-rate", state="visible")
    assert not page.page.is_visible("#parameter-temperature")
    page.choose("Tiny model")
    page.page.wait_for_selector("#parameter-temperature", state="visible")
    page.ask("plain")
    assert "temperature" not in upstream.last.json
    page.page.fill("#parameter-temperature textarea, #parameter-temperature input", "0.3")
    page.page.fill("#system textarea", "be brief")
    page.ask("set")
    assert upstream.last.json["temperature"] == 0.3
    assert roles(upstream.last.json)[0] == ("system", "be brief")
    count = len(upstream.requests)
    page.page.fill("#parameter-temperature textarea, #parameter-temperature input", "hot")
    page.page.fill("#message textarea", "wrong")
    page.page.press("#message textarea", "Enter")
    page.wait_text("temperature should be a number")
    assert len(upstream.requests) == count


def test_a_preset_fills_the_controls(upstream: Front, open_page: Open) -> None:
    upstream.on("POST", CHAT, says(chunks(["fine"])))
    presets = "ui:\n  presets:\n    Careful: {parameters: {temperature: 0.1}, system: Think first.}"
    page = open_page(config(upstream, ui=presets))
    page.settings()
    page.page.click("#preset input")
    page.page.click("ul[role=listbox] li:has-text('Careful')")
    page.page.wait_for_function("document.querySelector('#system textarea').value === 'Think first.'")
    page.ask("go")
    assert upstream.last.json["temperature"] == 0.1
    assert roles(upstream.last.json)[0] == ("system", "Think first.")


def test_an_image_is_uploaded_and_sent_and_stays_on_the_page(
    upstream: Front, open_page: Open, tmp_path: Path
) -> None:
    upstream.on("POST", CHAT, says(chunks(["a dot"])))
    page = open_page(config(upstream))
    picture = tmp_path / "dot.png"
    picture.write_bytes(PNG)
    page.page.set_input_files("#message input[type=file]", str(picture))
    page.page.wait_for_selector("#message .thumbnail-item, #message img")
    page.ask("what is it?")
    (content,) = [content for role, content in roles(upstream.last.json) if role == "user"]
    kinds = {part["type"]: part for part in content}
    assert kinds["text"]["text"] == "what is it?"
    assert kinds["image_url"]["image_url"]["url"].startswith("data:image/png;base64,iVBORw0KGgo")
    assert page.page.locator("#conversation [data-testid=user] img").count() == 1


def test_thoughts_tools_and_sources_are_shown_folded(open_page: Open) -> None:
    page = open_page(
        """\
version: 1
backends:
  echo:
    kind: echo
    reasoning: hm let me see
    tools: [{name: look_up, arguments: {q: moon}, result: "a *rock*"}]
    citations: [{title: The moon, url: "https://moon.example/"}]
"""
    )
    page.ask("go")
    names = [title.split(" (")[0] for title in page.titles]
    assert names[0] == "Thought"
    assert "Tool: look_up" in names and "Sources" in names
    tool = page.page.locator("#conversation .thought-group > .title", has_text="Tool: look_up")
    tool.click()
    page.wait_text('"q": "moon"')
    page.wait_text("Result of look_up")


def test_a_long_conversation_is_sent_whole_though_only_its_end_is_painted(
    upstream: Front, open_page: Open
) -> None:
    async def counts(request: Request) -> Response:
        messages = (await request.json())["messages"]
        return await says(chunks([f"answer to {messages[-1]['content']}"]))(request)

    upstream.on("POST", CHAT, counts)
    page = open_page(config(upstream, ui="ui: {window: 6}"))
    for n in range(6):
        page.ask(f"q{n}", wait=False)
        page.wait_text(f"answer to q{n}")
        page.page.wait_for_function("!document.querySelector('#message textarea').disabled")
    page.wait_ended(3)
    assert page.said == ["q3", "q4", "q5"]
    assert any(title.startswith("6 earlier messages are part of this conversation") for title in page.titles)
    sent = roles(upstream.last.json)
    assert [content for role, content in sent if role == "user"] == [f"q{n}" for n in range(6)]
    # An edit of the first painted message goes back to where it stood, not to the beginning.
    page.page.locator("button[aria-label=Edit]").first.click()
    page.page.locator("#conversation textarea").fill("q3 again")
    page.page.locator("button[aria-label=Submit]").first.click()
    page.wait_text("answer to q3 again")
    sent = roles(upstream.last.json)
    assert [content for role, content in sent if role == "user"] == ["q0", "q1", "q2", "q3 again"]


def test_two_people_never_see_each_other(upstream: Front, open_page: Open) -> None:
    upstream.on("POST", CHAT, says(chunks(["fine"])))
    first = open_page(config(upstream))
    second = open_page(first.served)
    first.ask("secret of the first")
    second.ask("hello")
    assert roles(upstream.last.json) == [("user", "hello")]
    assert second.said == ["hello"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [(1200, 800), (360, 640)])
def test_everything_fits_the_window(
    upstream: Front, open_page: Open, scheme: str, size: tuple[int, int]
) -> None:
    long = "word " * 60 + "\n\n```\n" + "x" * 300 + "\n```\n\n" + "\n\n".join(f"line {n}" for n in range(40))
    upstream.on("POST", CHAT, says(chunks([long])))
    width, height = size
    page = open_page(config(upstream), viewport={"width": width, "height": height}, color_scheme=scheme)
    page.ask("go")
    assert page.page.evaluate("document.documentElement.scrollWidth") <= width
    box = page.page.locator("#message").bounding_box()
    assert box is not None and box["y"] + box["height"] <= height
    head = page.page.locator(".chatlab-head").bounding_box()
    assert head is not None and (width > 640 or head["height"] <= 56)
    background = page.page.evaluate("getComputedStyle(document.body).backgroundColor")
    channels = [int(c) for c in background.removeprefix("rgb(").rstrip(")").split(",")]
    assert (max(channels) < 100) == (scheme == "dark")


def test_a_message_can_be_written_sent_and_answered_by_keyboard_alone(
    upstream: Front, open_page: Open
) -> None:
    upstream.on("POST", CHAT, says(chunks(["fine"])))
    page = open_page(config(upstream))
    keyboard = page.page.keyboard
    for _ in range(20):
        keyboard.press("Tab")
        if page.page.evaluate("document.activeElement.closest('#message textarea') !== null"):
            break
    keyboard.type("by keyboard")
    keyboard.press("Enter")
    page.wait_ended(1)
    reached = set()
    for _ in range(40):
        keyboard.press("Tab")
        reached.add(
            page.page.evaluate(
                "(document.activeElement.getAttribute('aria-label') || document.activeElement.id ||"
                " (document.activeElement.closest('[id]') || {}).id || '')"
            )
        )
    assert {"Retry", "Undo", "settings"} <= reached
    assert any("ackend" in name for name in reached)


def test_examples_start_a_conversation(upstream: Front, open_page: Open) -> None:
    upstream.on("POST", CHAT, says(chunks(["fine"])))
    examples = "ui:\n  examples:\n    - {text: Tell me a joke, label: A joke}\n    - {text: Second}"
    page = open_page(config(upstream, ui=examples))
    page.page.click("button:has-text('A joke')")
    page.wait_ended(1)
    assert roles(upstream.last.json) == [("user", "Tell me a joke")]


def test_examples_fit_the_chosen_backend_and_bring_their_parameters(upstream: Front, open_page: Open) -> None:
    upstream.on("POST", CHAT, says(chunks(["fine"])))
    examples = """\
ui:
  examples:
    - {text: For all}
    - {text: For Echo, backend: echo}
    - {text: For Tiny, backend: tiny, parameters: {temperature: 0.5}}"""
    page = open_page(config(upstream, ui=examples))
    offered = page.page.locator("#conversation .example")
    expect(offered).to_have_text(["For all", "For Tiny"])
    page.choose("Echo")
    expect(offered).to_have_text(["For all", "For Echo"])
    page.choose("Tiny model")
    expect(offered).to_have_text(["For all", "For Tiny"])
    offered.last.click()
    page.wait_ended(1)
    assert roles(upstream.last.json) == [("user", "For Tiny")]
    assert upstream.last.json["temperature"] == 0.5
    page.settings()
    expect(page.page.locator("#parameter-temperature textarea")).to_have_value("0.5")


def test_the_empty_page_says_what_it_is_and_leads_to_the_comparison(upstream: Front, open_page: Open) -> None:
    page = open_page(config(upstream))
    empty = page.page.locator("#conversation")
    expect(empty).to_contain_text("each answer says who gave it and how long it took")
    link = empty.get_by_role("link", name="Compare backends side by side")
    expect(link).to_have_attribute("href", f"{page.served.url}/compare")
