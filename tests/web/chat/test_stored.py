"""Conversations that last, as a person meets them on the chat page, in a browser against a real store."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response

from chatlab.messages import Finish, Message, TextPart, Usage
from chatlab.store import StoredConversation, StoredTurn
from chatlab.store.sql import open_store
from tests.servers.front import Front
from tests.web.chat.test_page import CHAT, PNG, roles
from tests.web.pages import ChatPage, chunks, expect, says

pytestmark = pytest.mark.browser

Open = Callable[..., ChatPage]
OLD = datetime(2024, 5, 1, tzinfo=UTC)


async def answer(request: Request) -> Response:
    said = (await request.json())["messages"][-1]["content"]
    text = said if isinstance(said, str) else next(p["text"] for p in said if p["type"] == "text")
    response: Response = await says(chunks([f"answer to {text}"]))(request)
    return response


@pytest.fixture
def upstream() -> Iterator[Front]:
    with Front() as front:
        front.on("POST", CHAT, answer)
        yield front


def config(upstream: Front, extra: str = "") -> str:
    return f"""\
version: 1
backends:
  tiny: {{kind: openai, model: tiny, base_url: "{upstream.url}/v1", label: Tiny model, images: true}}
  echo: {{kind: echo, label: Echo, rate: 500, reasoning: hm, tools: [{{name: look_up, result: a rock}}]}}
{extra}
"""


def database(tmp_path: Path) -> sqlite3.Connection:
    return sqlite3.connect(tmp_path / ".chatlab" / "chatlab.db")


def rows(tmp_path: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(database(tmp_path)) as connection:
        return connection.execute(query).fetchall()


def adopt(tmp_path: Path, conversations: Sequence[StoredConversation], turns: Sequence[StoredTurn]) -> None:
    """Puts conversations into the store beside the server that has it open."""

    async def put() -> None:
        store = await open_store(f"sqlite:{tmp_path / '.chatlab' / 'chatlab.db'}")
        for conversation in conversations:
            await store.adopt(conversation, [one for one in turns if one.conversation == conversation.id])
        await store.aclose()

    # In a thread of its own: playwright's loop runs in this one.
    thread = threading.Thread(target=asyncio.run, args=(put(),), daemon=True)
    thread.start()
    thread.join(60)
    assert not thread.is_alive(), "the store did not take them, or did not close"


def listed(page: ChatPage) -> list[str]:
    return [text.split("\n")[0] for text in page.page.locator(".chatlab-title").all_inner_texts()]


def wait_listed(page: ChatPage, *titles: str) -> None:
    expect(page.page.locator(".chatlab-title")).to_have_count(len(titles))
    for n, title in enumerate(titles):
        expect(page.page.locator(".chatlab-title").nth(n)).to_contain_text(title)


def wait_said(page: ChatPage, *texts: str) -> None:
    expect(page.page.locator("#conversation [data-testid=user]")).to_have_count(len(texts))
    for n, text in enumerate(texts):
        expect(page.page.locator("#conversation [data-testid=user]").nth(n)).to_contain_text(text)


def link(page: ChatPage) -> str:
    """The address of the open conversation."""
    page.page.wait_for_function("new URLSearchParams(location.search).has('c')")
    return str(page.page.url).split("/", 3)[3]


def row(page: ChatPage, title: str) -> Any:
    return page.page.locator(".chatlab-row", has_text=title)


def choose(page: ChatPage, title: str, what: str) -> None:
    row(page, title).locator("summary").click()
    row(page, title).get_by_role("button", name=what, exact=True).click()


def follow(page: ChatPage, address: str) -> ChatPage:
    page.page.goto(f"{page.served.url}/{address}")
    page.page.wait_for_selector("#message textarea")
    return page


# -- saved


def test_the_message_is_saved_before_its_backend_is_called(
    upstream: Front, open_page: Open, tmp_path: Path
) -> None:
    seen: list[Any] = []

    async def look(request: Request) -> Response:
        seen.append(rows(tmp_path, "select status, asked from turns"))
        return await says(chunks(["fine"]))(request)

    upstream.on("POST", CHAT, look)
    page = open_page(config(upstream))
    page.ask("is it safe?")
    ((status, user),) = seen[0]
    assert status == "running" and "is it safe?" in user
    assert rows(tmp_path, "select status from turns") == [("finished",)]


def test_a_reload_another_tab_and_a_restarted_server_show_the_same(upstream: Front, open_page: Open) -> None:
    page = open_page(config(upstream))
    page.ask("one")
    page.choose("Echo")
    page.ask("two")
    shown = page.titles, page.said, page.answers
    address = link(page)
    page.page.reload()
    page.wait_ended(2)
    assert (page.titles, page.said, page.answers) == shown
    tab = ChatPage(page.page.context.new_page(), page.served)
    follow(tab, address).wait_ended(2)
    assert (tab.titles, tab.said, tab.answers) == shown
    tab.ask("three")  # it goes on from there
    page.served.stop()
    again = open_page(config(upstream), storage_state=page.page.context.storage_state())
    follow(again, address).wait_ended(3)
    assert again.said == ["one", "two", "three"]
    again.choose("Tiny model")
    again.ask("four")
    assert [content for role, content in roles(upstream.last.json) if role == "user"] == [
        *("one", "two", "three", "four")
    ]


def test_a_conversation_remembers_with_what_it_was_asked_and_has_its_place_in_the_history(
    upstream: Front, open_page: Open
) -> None:
    presets = "ui: {presets: {Exact: {system: be exact, parameters: {temperature: 0}}}}"
    page = open_page(config(upstream, presets))

    def shown(backend: str, system: str, temperature: str, preset: str) -> None:
        """Until the page's choices are these."""
        expect(page.page.locator("#backend input")).to_have_value(backend)
        expect(page.page.locator("#system textarea")).to_have_value(system)
        if temperature:
            expect(page.page.locator("#parameter-temperature textarea")).to_have_value(temperature)
        expect(page.page.locator("#preset input")).to_have_value(preset)

    page.settings()
    page.page.click("#preset input")
    page.page.click("ul[role=listbox] li:has-text('Exact')")
    shown("Tiny model", "be exact", "0", "Exact")
    page.ask("one")
    first = link(page)
    page.page.locator(".chatlab-new").click()
    wait_said(page)
    page.choose("Echo")
    page.page.fill("#system textarea", "be kind")
    page.ask("two")
    second = link(page)
    assert second != first
    row(page, "one").locator(".chatlab-title").click()
    wait_said(page, "one")
    shown("Tiny model", "be exact", "0", "Exact")
    page.page.go_back()
    wait_said(page, "two")
    shown("Echo", "be kind", "", "none")
    assert link(page) == second
    page.page.go_back()  # where the second one was begun
    wait_said(page)
    page.page.go_back()
    wait_said(page, "one")
    page.page.go_forward()
    wait_said(page)
    page.page.go_forward()
    wait_said(page, "two")
    shown("Echo", "be kind", "", "none")
    page.page.reload()
    wait_said(page, "two")
    page.settings()
    shown("Echo", "be kind", "", "none")
    page.ask("three")
    assert "Echo" in page.titles[-1]


def test_what_a_stop_left_is_kept_as_stopped(upstream: Front, open_page: Open) -> None:
    never = threading.Event()
    upstream.on("POST", CHAT, says(chunks(["partial", " more"]), never, after=1))
    page = open_page(config(upstream))
    page.ask("go", wait=False)
    page.wait_text("partial")
    page.page.click("#message .stop-button")
    page.wait_ended(1)
    page.page.reload()
    page.wait_ended(1)
    assert page.answers == ["partial"] and page.titles[-1].endswith("stopped")


def test_an_answer_goes_on_while_other_conversations_are_open(upstream: Front, open_page: Open) -> None:
    hold, never = threading.Event(), threading.Event()
    page = open_page(config(upstream))
    page.ask("first")
    page.page.click(".chatlab-new")
    wait_said(page)
    upstream.on("POST", CHAT, says(chunks(["partial", " more"]), hold, after=1))
    page.ask("second", wait=False)
    page.wait_text("partial")
    second = upstream.last
    wait_listed(page, "second", "first")
    row(page, "first").locator(".chatlab-title").click()
    page.wait_ended(1)
    upstream.on("POST", CHAT, answer)
    page.ask("third")  # in the first conversation, while the second one's answer runs
    assert page.said == ["first", "third"] and page.answers == ["answer to first", "answer to third"]
    assert len(roles(upstream.last.json)) == 3
    row(page, "second").locator(".chatlab-title").click()
    wait_said(page, "second")
    page.wait_text("partial")
    page.page.wait_for_selector("#message .stop-button")
    expect(page.page.locator(".chatlab-branch")).to_have_count(0)  # it has no controls before it has ended
    assert not second.closed.is_set()
    hold.set()
    page.wait_text("partial more")
    page.wait_ended(1)
    assert page.answers == ["partial more"] and page.titles[-1].endswith("2 out")
    # Nor does another branch end it; a stop does, also of one that was come back to.
    upstream.on("POST", CHAT, says(chunks(["again", " more"]), never, after=1))
    page.page.get_by_role("button", name="Retry").click()
    page.wait_text("again")
    page.page.click(".chatlab-new")
    wait_said(page)
    row(page, "second").locator(".chatlab-title").click()
    page.wait_text("again")
    page.page.click("#message .stop-button")
    assert upstream.last.closed.wait(5)
    page.wait_ended(1)
    assert page.answers == ["again"] and page.titles[-1].endswith("stopped")
    # A deleted conversation's answer ends.
    page.ask("doomed", wait=False)
    page.page.wait_for_function("document.querySelectorAll('#conversation .chatlab-pending').length === 1")
    page.page.click(".chatlab-new")
    wait_said(page)
    doomed = upstream.last
    assert not doomed.closed.is_set()
    choose(page, "second", "Delete")
    assert doomed.closed.wait(5)


def test_a_database_that_does_not_answer_costs_nobody_the_answer(
    upstream: Front, open_page: Open, tmp_path: Path
) -> None:
    page = open_page(config(upstream))
    page.ask("one")
    with closing(database(tmp_path)) as other:
        other.execute("begin exclusive")  # as a backup or a full disk would keep it from writing
        page.ask("two")
        page.wait_text("this answer is not saved: the database does not answer")
        assert page.answers == ["answer to one", "answer to two"]
        other.rollback()
    deadline = time.monotonic() + 60
    while rows(tmp_path, "select status from turns order by created") != [("finished",)] * 2:
        assert time.monotonic() < deadline


def test_without_storage_the_page_is_as_it_was(upstream: Front, open_page: Open, tmp_path: Path) -> None:
    page = open_page(config(upstream, "storage: none"))
    page.ask("one")
    page.ask("two")
    assert len(roles(upstream.last.json)) == 3
    assert page.page.locator("#conversations, .chatlab-branch").count() == 0
    assert "?" not in page.page.url
    assert not (tmp_path / ".chatlab").exists()
    assert page.page.get_attribute(".chatlab-compare", "href") == "/compare"


# -- whose


def test_an_unknown_conversation_and_somebody_elses_are_one_sentence(
    upstream: Front, open_page: Open
) -> None:
    page = open_page(config(upstream))
    page.ask("for my eyes only")
    address = link(page)
    other = open_page(page.served)
    for wrong in (address, "?c=nosuch"):
        follow(other, wrong)
        other.wait_text("There is no such conversation")
        assert other.said == [] and listed(other) == []
        assert "for my eyes" not in other.page.content()
    other.ask("mine")
    assert other.said == ["mine"]
    other.page.wait_for_function("new URLSearchParams(location.search).get('c') !== 'nosuch'")
    assert link(other) != address
    other.page.reload()
    other.wait_ended(1)
    assert other.said == ["mine"]


# -- the sidebar


def test_the_sidebar_renames_pins_searches_and_deletes_with_undo(upstream: Front, open_page: Open) -> None:
    page = open_page(config(upstream))
    for text in ("about apples", "about pears"):
        page.page.click(".chatlab-new")
        wait_said(page)
        page.ask(text)
    wait_listed(page, "about pears", "about apples")
    choose(page, "about apples", "Rename")
    page.page.fill(".chatlab-rename", "Fruit")
    page.page.press(".chatlab-rename", "Enter")
    wait_listed(page, "about pears", "Fruit")
    choose(page, "Fruit", "Pin")
    wait_listed(page, "Fruit", "about pears")
    assert page.page.locator(".chatlab-day").all_inner_texts() == ["Pinned", "Today"]
    page.page.fill(".chatlab-search", "answ pear")
    wait_listed(page, "about pears")
    assert "answer to about pears" in page.page.inner_text(".chatlab-snippet")
    page.page.fill(".chatlab-search", "")
    wait_listed(page, "Fruit", "about pears")
    choose(page, "about pears", "Delete")  # the one that is open
    wait_listed(page, "Fruit")
    wait_said(page)
    page.page.click(".chatlab-undo")
    wait_listed(page, "Fruit", "about pears")
    row(page, "Fruit").locator(".chatlab-title").click()
    wait_said(page, "about apples")


def test_conversations_are_exported_and_come_back(upstream: Front, open_page: Open, tmp_path: Path) -> None:
    page = open_page(config(upstream))
    page.ask("keep this")
    wait_listed(page, "keep this")
    saved = {}
    for name in ("Markdown", "HTML"):
        with page.page.expect_download() as download:
            choose(page, "keep this", f"Export as {name}")
        saved[name] = Path(download.value.path()).read_text("utf-8")
        assert "answer to keep this" in saved[name]
    page.page.click(".chatlab-foot summary")
    with page.page.expect_download() as download:
        page.page.click(".chatlab-foot button:has-text('JSONL')")
    assert download.value.suggested_filename == "conversations.jsonl"
    file = tmp_path / "all.jsonl"
    download.value.save_as(file)
    other = open_page(page.served)
    other.page.set_input_files(".chatlab-foot input", str(file))
    wait_listed(other, "keep this")
    expect(other.page.locator(".chatlab-told")).to_contain_text("Imported 1 conversation from all.jsonl.")
    other.page.click(".chatlab-title")
    wait_said(other, "keep this")
    assert other.answers == ["answer to keep this"]


def test_a_link_for_others_is_read_without_scripts_until_it_is_ended(
    upstream: Front, open_page: Open
) -> None:
    page = open_page(config(upstream, "storage: {sharing: true}"))
    page.ask("for <b>everybody</b>")
    choose(page, "everybody", "Copy a link for others")
    told = page.page.locator(".chatlab-told")
    expect(told).to_contain_text("/-/shared/")
    shared = told.inner_text().split()[-1]
    reader = open_page(page.served).page
    answer = reader.goto(shared)
    assert "script-src" not in answer.headers["content-security-policy"]
    assert "answer to for" in reader.inner_text("body")
    choose(page, "everybody", "End all links")
    expect(told).to_contain_text("Nobody can read it")
    assert reader.goto(shared).status == 404


def test_a_long_list_loads_more_as_one_scrolls(upstream: Front, open_page: Open, tmp_path: Path) -> None:
    page = open_page(config(upstream))
    page.ask("the newest")
    ((owner,),) = rows(tmp_path, "select owner from turns")
    adopt(tmp_path, [StoredConversation(f"c{n}", owner, f"old {n}", OLD, OLD) for n in range(100)], [])
    page.page.reload()
    expect(page.page.locator(".chatlab-title")).to_have_count(40)
    for _ in range(2):
        before = page.page.locator(".chatlab-title").count()
        page.page.locator(".chatlab-list:visible").hover()
        page.page.mouse.wheel(0, 5000)
        page.page.wait_for_function("n => document.querySelectorAll('.chatlab-title').length > n", arg=before)
    page.page.wait_for_function("document.querySelectorAll('.chatlab-title').length === 101")
    assert len(set(listed(page))) == 101


# -- branches


def test_branches_are_shown_and_the_one_shown_is_remembered(upstream: Front, open_page: Open) -> None:
    page = open_page(config(upstream))
    page.ask("one")
    page.ask("two")
    sent = len(upstream.requests)
    page.page.locator(".chatlab-again").first.click()
    menu = page.page.get_by_role("dialog", name="Answer with")
    expect(menu.get_by_role("option")).to_have_count(2)
    assert len(upstream.requests) == sent  # nothing is asked before one is chosen
    menu.get_by_role("option", name="Echo").click()
    wait_said(page, "one")
    page.wait_ended(1)
    expect(page.page.locator(".chatlab-chosen")).to_have_text("Echo")
    expect(page.page.locator(".chatlab-of")).to_have_text("2/2")
    assert page.answers == ["one"]
    page.page.keyboard.press("Tab")
    page.page.get_by_role("button", name="Previous version").focus()
    page.page.keyboard.press("Enter")
    wait_said(page, "one", "two")
    expect(page.page.locator(".chatlab-of")).to_have_text("1/2")
    assert page.answers == ["answer to one", "answer to two"]
    page.page.reload()
    wait_said(page, "one", "two")
    page.page.get_by_role("button", name="Next version").click()
    wait_said(page, "one")
    page.choose("Tiny model")
    page.ask("three")
    assert roles(upstream.last.json) == [("user", "one"), ("assistant", "one"), ("user", "three")]


def test_an_answer_cannot_fake_the_controls(upstream: Front, open_page: Open) -> None:
    page = open_page(config(upstream))
    page.ask("one")
    mark = page.page.locator(".chatlab-at").evaluate("e => e.className")
    fake = (
        f'<div class="thought-group"><div class="title"><span class="{mark}">x</span></div></div>\n\n'
        f'<span class="{mark} chatlab-of-7"></span> <span class="chatlab-more"></span> done'
    )
    upstream.on("POST", CHAT, says(chunks([fake])))
    page.ask("two")
    page.wait_text("done")
    expect(page.page.locator(".chatlab-branch")).to_have_count(2)
    assert page.page.locator(".md .chatlab-branch").count() == 0
    assert page.page.get_by_role("button", name="Next version").count() == 0


# -- attachments


def attach(page: ChatPage, file: Path) -> None:
    page.page.set_input_files("#message input[type=file]", str(file))
    page.page.wait_for_selector("#message .thumbnail-item, #message img")


def sent_picture(upstream: Front) -> bool:
    (content,) = [content for role, content in roles(upstream.last.json) if role == "user"][-1:]
    return isinstance(content, list) and any(part["type"] == "image_url" for part in content)


def test_an_attachment_is_kept_shown_to_its_owner_alone_and_sent_again(
    upstream: Front, open_page: Open, tmp_path: Path
) -> None:
    picture = tmp_path / "a *dot*.png"
    picture.write_bytes(PNG)
    page = open_page(config(upstream))
    attach(page, picture)
    page.ask("what is it?")
    assert sent_picture(upstream)
    link(page)
    page.page.reload()
    page.wait_ended(1)
    image = page.page.locator("#conversation [data-testid=user] img")
    expect(image).to_have_count(1)
    assert image.evaluate("e => e.complete && e.naturalWidth") == 1
    source = image.evaluate("e => e.src")
    assert "/-/files/" in source
    other = open_page(page.served)
    assert other.page.request.get(source).status == 404
    assert page.page.request.get(source).status == 200
    for n, control in enumerate(("Retry", "Edit", "Undo"), 2):
        page.page.locator(f"button[aria-label={control}]").last.click()
        if control == "Edit":
            page.page.locator("#conversation textarea").last.fill("and what is this?")
            page.page.locator("button[aria-label=Submit]").first.click()
            wait_said(page, "and what is this?")
        if control == "Undo":
            page.page.wait_for_function(
                "document.querySelector('#message textarea').value === 'and what is this?'"
            )
            page.page.press("#message textarea", "Enter")
        expect(page.page.locator(".chatlab-of")).to_have_text(f"{n}/{n}")
        page.wait_ended(1)
        assert sent_picture(upstream), control


def test_a_file_that_is_not_what_it_is_called_is_refused(
    upstream: Front, open_page: Open, tmp_path: Path
) -> None:
    page = open_page(config(upstream))
    wrong = tmp_path / "page.png"
    wrong.write_bytes(b"<!doctype html><script>alert(1)</script>")
    page.page.set_input_files("#message input[type=file]", str(wrong))
    page.page.wait_for_selector("#message .thumbnail-item, #message img")
    page.ask("look", wait=False)
    page.wait_text("page.png is not an image")
    assert upstream.requests == []


# -- long


def test_a_conversation_of_2000_turns_opens_at_its_end_and_goes_on(
    upstream: Front, open_page: Open, tmp_path: Path
) -> None:
    page = open_page(config(upstream))
    page.ask("short")
    ((owner,),) = rows(tmp_path, "select owner from turns")
    finish = Finish("stop", Usage(5, 4), "tiny")
    turns = [
        StoredTurn(
            f"t{n}",
            owner,
            "long",
            f"t{n - 1}" if n else None,
            OLD + timedelta(seconds=n),
            Message.of("user", f"question {n}" + " about pomegranates" * (n == 700)),
            "tiny",
            "openai",
            "Tiny model",
            status="finished",
            answer=(TextPart(f"an answer of some length, number {n}. " * 10),),
            finish=finish,
        )
        for n in range(2_000)
    ]
    adopt(tmp_path, [StoredConversation("long", owner, "a long one", OLD, OLD, head="t1999")], turns)
    page.page.reload()
    wait_listed(page, "short", "a long one")
    took = 9_999.0
    for _ in range(3):  # the best of three: other tests may have the processor
        row(page, "short").locator(".chatlab-title").click()
        wait_said(page, "short")
        took = min(took, page.page.evaluate(OPENED, ["a long one", "question 1999"]))
    print(f"2,000 turns opened in {took:.0f} ms")  # 330 to 360 where nothing else ran; no test is timed
    assert len(page.said) == 15
    costs = {}
    for title in ("short", "a long one"):
        row(page, title).locator(".chatlab-title").click()
        wait_said(page, *(["short"] if title == "short" else [f"question {n}" for n in range(1985, 2000)]))
        page.choose("Echo")
        page.ask(f"{title}: " + "word " * 300, wait=False)
        page.page.wait_for_function(
            "t => document.querySelector('#conversation').innerText.includes(t + ': word')"
            " && [...document.querySelectorAll('#conversation .title')].at(-1).innerText.includes('total')"
            " && !document.querySelector('#message .stop-button')",
            arg=title,
        )
        costs[title] = page.titles[-1]
    print(costs)
    page.page.get_by_role("button", name="Show earlier messages").click()
    page.wait_text("question 1960")
    # What a search finds far from the end is shown with what is around it.
    page.page.fill(".chatlab-search", "pomegranates")
    wait_listed(page, "a long one")
    row(page, "a long one").locator(".chatlab-title").click()
    wait_said(page, *(f"question {n}" for n in range(691, 706)))
    expect(page.page.locator("#conversation", has_text="about pomegranates")).to_be_in_viewport()
    page.wait_text("2590 later messages")
    for control in ("Retry", "Undo"):  # it is not the last node that could be taken back
        expect(page.page.get_by_role("button", name=control)).to_have_count(0)
    page.page.get_by_role("button", name="Show later messages").click()
    page.wait_text("question 755")
    assert "question 691" in page.said and "question 756" not in page.said
    # What is written there follows on the end of the branch, which the page shows then.
    page.choose("Tiny model")
    page.ask("and now?", wait=False)
    page.wait_text("answer to and now?")
    sent = [content for role, content in roles(upstream.last.json) if role == "user"]
    assert len(sent) == 2_002 and sent[-3] == "question 1999" and sent[-1] == "and now?"
    assert page.said[-3] == "question 1999" and page.said[-1] == "and now?"
    ((parent,),) = rows(tmp_path, "select parent from turns order by created desc limit 1")
    assert rows(tmp_path, f"select parent from turns where id = '{parent}'") == [("t1999",)]
    row(page, "a long one").locator(".chatlab-title").click()
    page.wait_text("about pomegranates")
    page.page.get_by_role("button", name="Go to the newest").click()
    page.wait_text("answer to and now?")


OPENED = """async ([title, text]) => {
  const began = performance.now();
  [...document.querySelectorAll(".chatlab-title")].find((e) => e.innerText.includes(title)).click();
  const there = () => document.querySelector("#conversation").innerText.includes(text);
  while (!there()) await new Promise((again) => requestAnimationFrame(again));
  return performance.now() - began;
}"""
