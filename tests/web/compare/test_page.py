"""The comparison page in a browser."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.servers.line import Line
from tests.web.pages import Served, expect

pytestmark = pytest.mark.browser

CONFIG = """\
version: 1
ui: {{title: Lab, examples: [{{text: Say something}}]}}
storage: {{url: "sqlite:{folder}/kept.db", files: {folder}/files, sharing: true}}
backends:
  quick: {{kind: echo, label: Quick, model: quick-1}}
  brisk: {{kind: echo, label: Brisk, rate: 60, model: brisk-1}}
  slow: {{kind: echo, label: Slow, rate: 5, model: slow-1}}
  other: {{kind: echo, label: Other, reply: "Something **else** is said here.", model: other-1}}
compare: {{lanes: [quick, brisk, slow], criteria: [correct, tone], reasons: [shorter]}}
"""
LONG = " ".join(f"word{n}" for n in range(60))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("page")


@pytest.fixture(scope="module")
def served(folder: Path) -> Iterator[Served]:
    (folder / "config.yaml").write_text(CONFIG.format(folder=folder), "utf-8")
    running = Served(folder / "config.yaml")
    yield running
    running.stop()


class Compare:
    """One open comparison page."""

    def __init__(self, page: Any, served: Served) -> None:
        self.page = page
        self.served = served
        self.errors: list[str] = []
        page.set_default_timeout(30_000)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", self._said)

    def _said(self, message: Any) -> None:
        # A refusal is an error to the browser, whatever the page makes of it.
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.errors.append(message.text)

    def open(self, query: str = "") -> None:
        self.page.goto(f"{self.served.url}/compare{query}")

    def begin(self, *lanes: str, **how: Any) -> None:
        """Fills in the form for a new comparison, and starts it."""
        if "/compare" not in self.page.url:
            self.open()
        self.page.wait_for_selector(".setup")
        forms = self.page.locator(".lane-form")
        while forms.count() > max(len(lanes), 2):
            self.page.locator(".lane-list > li").last.get_by_role("button", name="Remove").click()
        while forms.count() < len(lanes):
            self.page.get_by_role("button", name="Add a lane").click()
        for number, lane in enumerate(lanes):
            forms.nth(number).get_by_label("Backend").select_option(lane)
        if how.get("blind"):
            self.page.get_by_label("Blind: names are hidden").check()
        if "mode" in how:
            self.page.get_by_label("History").first.select_option(how["mode"])
        if "reveal" in how:
            self.page.get_by_label("Answers appear").first.select_option(how["reveal"])
        if "repeats" in how:
            self.page.get_by_label("Repeats").fill(str(how["repeats"]))
        self.page.get_by_role("button", name="Start").click()
        self.page.wait_for_selector("#composer textarea:visible")

    def idle(self) -> None:
        """Until the reply to the last asking is there; its answers may be seen before."""
        self.page.wait_for_selector("#composer[aria-busy=false]", state="attached")

    def ask(self, text: str, *, wait: bool = True, at_once: bool = False) -> None:
        if not at_once:
            self.idle()
        before = self.rounds
        self.page.fill("#composer textarea", text)
        self.page.press("#composer textarea", "Enter")
        if wait:
            self.wait_rounds(before + 1)

    @property
    def rounds(self) -> int:
        return int(self.page.locator(".round").count())

    def wait_rounds(self, count: int) -> None:
        """Until so many rounds have all their answers, and a message can be sent."""
        self.page.wait_for_function(
            "n => document.querySelectorAll('.round').length === n"
            " && !document.querySelector('.answer[aria-busy]')"
            " && [...document.querySelectorAll('#composer button')].some(b => b.textContent === 'Send')",
            arg=count,
        )

    def texts(self, asked_round: int = -1) -> list[str]:
        """What the lanes say, from left to right."""
        found = self.page.locator(".round").nth(
            asked_round if asked_round >= 0 else self.rounds + asked_round
        )
        return [text.strip() for text in found.locator(".answer > .text").all_inner_texts()]

    def names(self) -> list[str]:
        return [name.strip() for name in self.page.locator(".lane > strong").all_inner_texts()]

    def lane_menu(self, lane: str, item: str) -> None:
        self.page.locator(f".lane summary[aria-label='Lane {lane}']").click()
        self.page.locator(".lane .menu[open]").get_by_role("button", name=item).click()

    def tool(self, item: str) -> None:
        self.page.locator("#session-tools").get_by_role("button", name=item).click()

    def wait_dialog(self) -> Any:
        self.page.wait_for_selector("dialog[open]")
        return self.page.locator("dialog")

    def moving(self) -> tuple[list[str], str]:
        """The animations that run, and how the page scrolls."""
        names, scrolls = self.page.evaluate(
            "() => [[...new Set(document.getAnimations().map(one => one.animationName))],"
            " getComputedStyle(document.documentElement).scrollBehavior]"
        )
        return names, scrolls

    def told(self, text: str) -> None:
        self.page.wait_for_function("t => document.getElementById('told').textContent.includes(t)", arg=text)


Open = Callable[..., Compare]


@pytest.fixture
def open_compare(browser: Any, served: Served) -> Iterator[Open]:
    contexts: list[Any] = []
    pages: list[Compare] = []

    def start(**context: Any) -> Compare:
        contexts.append(browser.new_context(**{"viewport": {"width": 1300, "height": 800}, **context}))
        pages.append(Compare(contexts[-1].new_page(), served))
        pages[-1].open()
        return pages[-1]

    yield start
    errors = [error for page in pages for error in page.errors]
    for context in contexts:
        context.close()
    assert errors == []


def test_three_lanes_stream_at_once_one_is_stopped_and_the_others_end(open_compare: Open) -> None:
    page = open_compare()
    page.begin("quick", "brisk", "slow")
    assert page.names() == ["Quick", "Brisk", "Slow"]
    page.ask(LONG, wait=False)
    page.page.wait_for_function(  # the slow and the brisk one at once, neither at its end
        "() => ['Brisk', 'Slow'].every(name => {"
        " const card = document.querySelector(`.answer[aria-label='${name}']`);"
        " return card && card.hasAttribute('aria-busy') && card.innerText.includes('word1'); })"
    )
    assert page.page.locator("#composer button.stop").inner_text() == "Stop all"
    assert page.moving() == (["pulse"], "auto")
    page.page.get_by_role("button", name="Stop Slow").click()
    page.wait_rounds(1)
    quick, brisk, slow = page.texts()
    assert quick == brisk == LONG
    assert LONG.startswith(slow)
    assert len(slow) < len(LONG)
    assert page.page.locator(".answer.stopped .status").inner_text() == "stopped"
    figures = page.page.locator(".answer .figures").all_inner_texts()
    assert all(
        re.search(r"first token .* · total .* · .*60 out · finish: stop", text) for text in figures[:2]
    )
    chart = page.page.locator("figure svg").get_attribute("aria-label")
    assert chart.startswith("This round: Quick first token")


def test_votes_receipt_difference_agreement_and_ranking(open_compare: Open) -> None:
    page = open_compare()
    page.begin("quick", "other")
    page.ask("Something **else** was said here.")
    pair = page.page.get_by_role("button", name="Quick and Other: ")
    pair.wait_for()
    pair.click()
    dialog = page.wait_dialog()
    assert dialog.locator(".difference del").all_inner_texts() == ["was "]
    page.page.keyboard.press("Escape")
    page.page.locator(".answer", has_text="Quick").get_by_role("button", name="Receipt").click()
    dialog = page.wait_dialog()
    assert "Something **else** was said here." in dialog.inner_text()
    assert re.search(r"SHA-256\s+[0-9a-f]{64}", dialog.inner_text())
    assert "The same as Other was sent." in dialog.inner_text()
    dialog.get_by_role("button", name="Close").click()
    tone = page.page.locator(".vote[data-criterion=tone]")
    tone.locator("summary").click()
    tone.get_by_label("shorter").check()
    tone.get_by_label("Note on tone").fill("kinder")
    tone.get_by_role("button", name="Other").click()
    tone.locator("button[aria-pressed=true]").wait_for()
    assert tone.get_by_label("Note on tone").input_value() == "kinder"
    tone.get_by_role("button", name="Tie").click()
    tone.get_by_text("changed 1").wait_for()
    correct = page.page.locator(".vote[data-criterion=correct]")
    correct.get_by_role("button", name="Other").click()
    correct.locator("button[aria-pressed=true]").wait_for()
    page.tool("Ranking")
    said = page.wait_dialog().inner_text()
    assert "Tone" in said and re.search(r"Quick\s+−\d+", said) and not re.search(r"-\d", said)
    page.page.keyboard.press("Escape")
    page.ask("next")
    first = page.page.locator(".round").first
    assert "tone: Tie (shorter) “kinder”" in first.inner_text()
    assert first.locator(".vote").count() == 0
    assert page.page.locator(".round").nth(1).locator(".vote").count() == 2


def test_lanes_are_added_swapped_asked_again_moved_and_removed(open_compare: Open) -> None:
    page = open_compare()
    page.begin("quick", "brisk")
    page.ask("one")
    page.page.get_by_role("button", name="Add a lane…").click()
    dialog = page.wait_dialog()
    dialog.get_by_label("Backend", exact=True).select_option("other")
    dialog.get_by_label("History").select_option(label="goes on from Quick")
    dialog.get_by_role("button", name="Add").click()
    page.page.get_by_text("goes on from Quick's answer").wait_for()
    page.ask("two")
    assert page.texts() == ["two", "two", "Something else is said here."]
    page.lane_menu("Quick", "Move right")
    page.page.wait_for_function("() => document.querySelector('.lane > strong').textContent === 'Brisk'")
    brisk, quick, other = (page.page.locator(".lane", has_text=name) for name in ("Brisk", "Quick", "Other"))
    other.drag_to(brisk)
    expect(page.page.locator(".lane > strong")).to_have_text(["Other", "Brisk", "Quick"])
    other.drag_to(quick)
    expect(page.page.locator(".lane > strong")).to_have_text(["Brisk", "Quick", "Other"])
    page.lane_menu("Brisk", "Change…")
    dialog = page.wait_dialog()
    dialog.get_by_label("Backend", exact=True).select_option("other")
    dialog.get_by_role("button", name="Change").click()
    page.page.wait_for_function("() => document.querySelector('.lane > strong').textContent === 'Other (2)'")
    page.lane_menu("Other (2)", "Ask everything again")
    page.page.wait_for_function(
        "() => [...document.querySelectorAll(\".answer[aria-label='Other (2)']\")].length === 2"
        " && !document.querySelector('.answer[aria-busy]')"
    )
    assert page.texts(0)[0] == "Something else is said here."
    page.lane_menu("Quick", "Remove")
    page.page.wait_for_function("() => document.querySelectorAll('.lane').length === 2")
    assert page.names() == ["Other (2)", "Other"]
    page.page.get_by_role("button", name="Undo").click()
    page.wait_rounds(1)
    page.page.wait_for_function("() => document.querySelector('#composer textarea').value === 'two'")


def test_news_neither_take_a_press_nor_close_a_menu(open_compare: Open) -> None:
    page = open_compare()
    page.begin("quick", "brisk")
    page.ask("one")
    tab = page.page
    title = tab.locator("#session-tools .title")

    def news(says: str) -> None:
        """The session is called otherwise and its lanes are moved, and a page that shows it was told."""
        tab.evaluate(
            """async says => {
              const id = new URLSearchParams(location.search).get("s");
              const below = `/-/compare/sessions/${id}`;
              const post = (path, body) => fetch(below + path, { method: "POST", body: JSON.stringify(body),
                headers: { "x-chatlab": "1", "content-type": "application/json" } });
              const told = new EventSource(below + "/events");
              const lanes = await new Promise((done) => told.addEventListener("view", (event) =>
                done(JSON.parse(event.data).lanes.map((lane) => lane.id)), { once: true }));
              const seen = new Promise((done) => told.addEventListener("view", (event) =>
                JSON.parse(event.data).title === says && done()));
              await post("/title", { title: says });
              await post("/order", { lanes: lanes.reverse() });
              await seen;
              told.close();
              await new Promise((done) => setTimeout(done, 50));
            }""",
            says,
        )

    def press(what: Any) -> None:
        what.hover()
        tab.mouse.down()

    press(tab.locator(".lane summary[aria-label='Lane Quick']"))
    news("A")
    tab.mouse.up()
    expect(tab.locator(".lane .menu[open]")).to_have_count(1)
    expect(title).to_have_text("A")
    tab.locator(".lane .menu[open]").get_by_role("button", name="Collapse").focus()
    news("B")
    expect(title).to_have_text("B")
    tab.locator(".lane .menu[open]").get_by_role("button", name="Collapse").press("Enter")
    expect(tab.locator(".lane .menu[open]")).to_have_count(0)
    tab.get_by_role("button", name="Expand Quick").click()
    press(tab.locator("#session-tools").get_by_role("button", name="Report"))
    news("C")
    tab.mouse.up()
    assert page.wait_dialog().get_by_role("heading", name="Report").count() == 1


def test_in_shared_mode_an_answer_is_picked_and_all_go_on_from_it(open_compare: Open) -> None:
    page = open_compare()
    page.begin("quick", "other")
    page.page.get_by_label("History").select_option("shared")
    page.ask("one")
    page.ask("two", wait=False)
    page.told("Pick the answer from which all lanes go on")
    page.page.locator(".answer[aria-label=Other]").get_by_role("button", name="Continue from this").click()
    page.page.get_by_role("button", name="Picked", exact=True).wait_for()
    page.page.press("#composer textarea", "Enter")
    page.wait_rounds(2)
    page.page.locator(".round").nth(1).locator(".answer").first.get_by_role("button", name="Receipt").click()
    assert "Something **else** is said here." in page.wait_dialog().inner_text()


def test_a_blind_session_shows_letters_until_they_are_taken_off(open_compare: Open, browser: Any) -> None:
    page = open_compare()
    page.begin("quick", "other", blind=True)
    assert page.names() == ["A", "B"]
    page.ask("one")
    received: list[Any] = []
    again = Compare(page.page.context.new_page(), page.served)
    again.page.on("response", lambda answer: received.append(answer))
    again.page.goto(page.page.url)
    again.wait_rounds(1)
    assert again.names() == ["A", "B"]
    shown = again.page.content() + again.page.title() + again.page.url
    for answer in received:
        shown += f"{answer.url} {answer.all_headers()}"
        if "/events" not in answer.url and not answer.url.endswith((".css", ".js")):
            shown += answer.text()
    assert not re.search(r"quick|other-1|Other\b|first token \d", shown.replace("Message to all", ""))
    assert [
        answer.url for answer in received if "/-/compare/" in answer.url and "backends" in answer.url
    ] == []
    assert again.page.get_by_role("button", name="Receipt").count() == 0
    page.page.locator(".vote[data-criterion=correct]").get_by_role("button", name="B", exact=True).click()
    page.page.locator(".vote button[aria-pressed=true]").wait_for()
    page.page.get_by_role("button", name="Reveal names").click()
    page.wait_dialog().get_by_role("button", name="Keep them hidden").click()
    assert page.names() == ["A", "B"]
    page.page.locator(".vote[data-criterion=tone]").get_by_role("button", name="Tie").click()
    page.page.locator(".votes").get_by_role("button", name="Reveal names").click()
    page.wait_dialog().get_by_role("button", name="Reveal names").click()
    for one in (page, again):
        one.page.wait_for_function(
            "() => [...document.querySelectorAll('.lane > strong')].map(e => e.textContent).sort().join()"
            " === 'Other,Quick'"
        )
    assert again.errors == []


def test_a_reload_shows_the_same_and_a_draft_is_not_disturbed_by_news(open_compare: Open) -> None:
    page = open_compare()
    page.begin("quick", "brisk", repeats=2)
    page.ask("one two three")
    page.page.get_by_text("not distinguishable").first.wait_for()
    before = page.page.locator("main").inner_text()
    page.page.reload()
    page.wait_rounds(1)
    page.page.get_by_text("not distinguishable").first.wait_for()
    assert page.page.locator("main").inner_text() == before
    note = page.page.locator(".vote[data-criterion=correct]")
    note.locator("summary").click()
    note.get_by_label("Note on correct").fill("half a thought")
    other = Compare(page.page.context.new_page(), page.served)
    other.page.goto(page.page.url)
    other.wait_rounds(1)
    other.page.locator(".vote[data-criterion=tone]").get_by_role("button", name="Tie").click()
    page.page.locator(".vote[data-criterion=tone] button[aria-pressed=true]").wait_for()
    assert note.get_by_label("Note on correct").input_value() == "half a thought"
    assert page.page.evaluate("document.activeElement.getAttribute('aria-label')") == "Note on correct"


def test_on_a_phone_the_lanes_are_tabs_and_nothing_is_wider_than_the_screen(open_compare: Open) -> None:
    page = open_compare(viewport={"width": 360, "height": 740}, has_touch=True)
    fits = "() => document.scrollingElement.scrollWidth <= document.documentElement.clientWidth"
    page.page.wait_for_selector(".setup")
    assert page.page.evaluate(fits)
    page.begin("quick", "other", "brisk")
    page.ask("one " * 80)
    assert page.page.evaluate(fits)
    assert page.page.locator(".column:visible").count() == 1
    assert page.page.locator(".answer:visible").get_attribute("aria-label") == "Quick"
    page.page.locator(".lane .tab", has_text="Other").tap()
    assert page.page.locator(".answer:visible").get_attribute("aria-label") == "Other"
    assert page.page.locator("body > header").bounding_box()["height"] < 90


def test_eight_lanes_stay_readable_and_in_line_with_their_names(open_compare: Open) -> None:
    page = open_compare()
    page.begin(*["quick", "other"] * 4)
    page.ask("one")
    lefts = [
        [one.bounding_box()["x"] for one in page.page.locator(selector).all()]
        for selector in (".lane", ".round .column")
    ]
    assert lefts[0] == lefts[1]
    assert min(one.bounding_box()["width"] for one in page.page.locator(".column").all()) >= 200
    assert page.page.locator("#composer").bounding_box()["width"] <= 1300
    assert "Agreement of 28 pairs: " in page.page.locator(".round").inner_text()


def test_all_of_it_works_with_the_keyboard(open_compare: Open) -> None:
    page = open_compare()
    page.begin("quick", "other")
    page.page.focus("#composer textarea")
    page.page.keyboard.type("one")
    page.page.keyboard.press("Shift+Enter")
    page.page.keyboard.type("two")
    page.page.keyboard.press("Enter")
    page.wait_rounds(1)
    assert page.texts()[0] == "one\ntwo"
    page.page.focus(".lane summary")
    page.page.keyboard.press("Enter")
    page.page.wait_for_selector(".lane .menu[open]")
    page.page.keyboard.press("Escape")
    assert page.page.locator(".menu[open]").count() == 0
    assert page.page.evaluate("document.activeElement.getAttribute('aria-label')") == "Lane Quick"
    page.page.keyboard.press("Enter")
    page.page.mouse.click(600, 300)
    assert page.page.locator(".menu[open]").count() == 0
    page.page.focus(".vote[data-criterion=tone] button >> nth=0")
    page.page.keyboard.press("Enter")
    page.page.locator(".vote button[aria-pressed=true]").wait_for()
    assert page.page.evaluate("document.activeElement.textContent") == "Quick"
    page.page.get_by_role("button", name="Receipt").first.press("Enter")
    page.wait_dialog()
    page.page.keyboard.press("Escape")
    assert page.page.locator("dialog[open]").count() == 0


def test_a_file_is_attached_by_choosing_pasting_and_dropping(open_compare: Open) -> None:
    page = open_compare()
    page.begin("quick", "other")
    page.page.set_input_files(
        "#composer input[type=file]", {"name": "a.txt", "mimeType": "text/plain", "buffer": b"text"}
    )
    page.page.get_by_role("button", name="Remove a.txt").wait_for()
    for event in ("paste", "drop"):
        page.page.evaluate(
            """kind => {
              const data = new DataTransfer();
              data.items.add(new File(["more"], `${kind}.txt`, { type: "text/plain" }));
              const event = kind === "paste"
                ? new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true })
                : new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true });
              document.querySelector("#composer textarea").dispatchEvent(event);
            }""",
            event,
        )
        page.page.get_by_role("button", name=f"Remove {event}.txt").wait_for()
    page.page.get_by_role("button", name="Remove drop.txt").click()
    page.ask("see")
    assert "with a.txt (text/plain), paste.txt (text/plain)" in page.texts()[0]


def test_a_link_is_for_anybody_until_it_is_ended_and_what_is_not_saved_is_said(
    open_compare: Open, browser: Any, folder: Path
) -> None:
    page = open_compare(reduced_motion="reduce")
    page.begin("brisk", "slow")
    page.ask("one two three four five six", wait=False)
    page.page.wait_for_selector(".answer[aria-busy]")
    assert page.moving() == ([], "auto")
    with closing(sqlite3.connect(folder / "kept.db")) as other:
        other.execute("begin exclusive")  # as a backup or a full disk would keep it from writing
        page.wait_rounds(1)
        page.page.locator("main > .error[role=alert]").wait_for()
        said = page.page.locator("main > .error[role=alert]").all_inner_texts()
        other.rollback()
    assert said == [
        "this answer is not saved: the database does not answer; it will be saved when it does"
    ], "once, whatever number of answers it is said of"
    assert page.texts() == ["one two three four five six"] * 2
    page.tool("Share")
    dialog = page.wait_dialog()
    dialog.get_by_text("There is no link yet.").wait_for()
    dialog.get_by_role("button", name="Make a link").click()
    dialog.get_by_text("There is one link.").wait_for()
    link = dialog.locator("a").get_attribute("href")
    context = browser.new_context(java_script_enabled=False)
    reader = context.new_page()
    reader.goto(link)
    assert "one two three four five six" in reader.inner_text("body")
    assert reader.locator("script, button, form, input, textarea").count() == 0
    dialog.get_by_role("button", name="End all links").click()
    dialog.get_by_text("There is no link yet.").wait_for()
    assert dialog.locator("a").count() == 0
    assert reader.reload().status == 404
    assert (
        "This link leads nowhere: it was ended, what it led to was deleted, or it is for others"
        in reader.inner_text("body")
    )
    context.close()


A_LINE_OF_ITS_OWN = """() => {
  const told = document.getElementById("told").getBoundingClientRect();
  const { top, width } = document.getElementById("composer").getBoundingClientRect();
  return told.height > 0 && told.bottom <= top && told.width === width;
}"""


def test_what_is_refused_is_said_on_the_page_and_nothing_is_lost(open_compare: Open) -> None:
    page = open_compare()
    page.begin("quick", "slow")
    page.ask(LONG, wait=False)
    page.page.wait_for_selector(".answer[aria-busy]")
    page.idle()  # until then another sentence is told
    page.page.fill("#composer textarea", "meanwhile")
    page.page.press("#composer textarea", "Enter")
    page.told("still answering")
    assert page.page.evaluate(A_LINE_OF_ITS_OWN)
    assert page.page.input_value("#composer textarea") == "meanwhile"
    page.page.get_by_role("button", name="Stop all").click()
    page.wait_rounds(1)
    # the server has it and has answered, while what it said of the asking is still on its way
    held: list[Any] = []
    page.page.route("**/ask", lambda route: held.append((route, route.fetch())))
    page.ask("again")
    page.ask("again", wait=False, at_once=True)
    page.told("still being sent")
    assert page.page.input_value("#composer textarea") == "again"
    ((route, answer),) = held
    route.fulfill(response=answer)
    page.page.wait_for_selector("#composer[aria-busy=false]", state="attached")
    page.page.unroute("**/ask")
    page.page.press("#composer textarea", "Enter")
    page.wait_rounds(3)
    elsewhere = """async ([path, method]) => {
      const id = new URL(location.href).searchParams.get("s") ?? window.wasOpen;
      window.wasOpen = id;
      const headers = { "x-chatlab": "1", "content-type": "application/json" };
      const body = method === "POST" ? "{}" : undefined;
      return (await fetch(`/-/compare/sessions/${id}${path}`, { method, headers, body })).ok;
    }"""
    assert page.page.evaluate(elsewhere, ["", "DELETE"])
    page.told("no such comparison")
    assert page.page.evaluate(elsewhere, ["/restore", "POST"])
    sidebar = page.page.locator("#conversations")
    sidebar.get_by_role("button", name="word0").first.click()
    page.wait_rounds(3)
    sidebar.locator("[aria-current] summary").click()
    sidebar.locator("[aria-current]").get_by_role("button", name="Delete").click()
    expect(page.page.locator(".setup")).to_be_visible()
    expect(sidebar.locator("[role=status]")).to_contain_text("Deleted “word0")
    sidebar.get_by_role("button", name="Undo").click()
    sidebar.get_by_role("button", name="word0").first.click()
    page.wait_rounds(3)
    assert page.texts(0)[0] == LONG


def test_the_title_is_edited_where_it_stands(open_compare: Open) -> None:
    page = open_compare()
    page.begin("quick", "other")
    page.ask("first question")
    title = page.page.locator("#session-tools .title")
    better = "A better title"
    for typed, key, shown in (
        ("left", "Escape", "first question"),
        (better, "Enter", better),
    ):
        title.click()
        title.fill(typed)
        title.dispatch_event("keydown", {"key": key, "isComposing": True, "bubbles": True})
        expect(title).to_have_value(typed)
        title.press(key)
        expect(title).to_have_text(shown)
    beside = Compare(page.page.context.new_page(), page.served)
    beside.page.goto(page.served.url)
    beside.page.locator("#conversations-panel").get_by_role("button", name="Comparisons").click()
    listed = beside.page.locator("#conversations-panel .chatlab-title:visible").first
    expect(listed).to_have_text(better)
    better += " still"
    title.click()
    title.fill(better)
    title.press("Enter")
    expect(listed).to_have_text(better)
    page.page.reload()
    expect(title).to_have_text(better)
    expect(page.page).to_have_title(f"{better} · Lab")
    page.page.set_viewport_size({"width": 1100, "height": 800})  # the head is one line
    assert page.page.locator("body > header").bounding_box()["height"] < 60
    nav = page.page.locator("body > header nav").bounding_box()
    tools = page.page.locator("#session-tools").bounding_box()
    assert tools["x"] + tools["width"] <= nav["x"] and nav["x"] + nav["width"] <= 1100


FAR_FROM_END = """() => {
  const column = document.querySelector(".answer[aria-label=Brisk]").parentElement;
  return column.scrollHeight - column.clientHeight - column.scrollTop > 150;
}"""


def test_a_lane_that_streams_scrolls_in_its_own_column_and_the_others_stay_in_sight(
    open_compare: Open,
) -> None:
    page = open_compare(viewport={"width": 1300, "height": 600})
    page.begin("brisk", "slow")
    page.ask("\n\n".join(LONG.split() * 8), wait=False)
    brisk = page.page.locator(".answer[aria-label=Brisk]")
    page.page.wait_for_function(
        "() => document.querySelector('.answer[aria-label=Brisk]')?.parentElement.scrollTop > 100"
    )
    last = brisk.locator(".settled > :last-child, .tail > :last-child").last
    expect(last).to_be_in_viewport()
    expect(page.page.locator(".answer[aria-label=Slow] header")).to_be_in_viewport()
    expect(page.page.locator(".question")).to_be_in_viewport()
    # The least turn of a wheel leaves the end for good.
    beside = page.page.locator(".answer[aria-label=Slow] header").bounding_box()
    page.page.mouse.move(beside["x"] - 60, beside["y"] + 150)
    page.page.mouse.wheel(0, -10)
    page.page.wait_for_function(FAR_FROM_END)
    page.page.get_by_role("button", name="Stop all").click()
    page.wait_rounds(1)


def test_the_page_says_that_its_server_is_away_and_goes_on_when_it_is_back(
    open_compare: Open, served: Served
) -> None:
    line = Line(served.url)
    page = open_compare()
    page.page.goto(f"{line.url}/compare")
    page.begin("quick", "other")
    page.ask("before")
    away = page.page.locator("#away")
    expect(away).to_be_hidden()
    line.cut()
    expect(away).to_be_visible()
    page.page.fill("#composer textarea", "kept")
    page.page.press("#composer textarea", "Enter")
    page.told("The server does not answer")  # which another request may have found out before
    expect(page.page.locator("#composer textarea")).to_have_value("kept")
    line.mend()
    expect(away).to_be_hidden()
    # A connection from before may still take the first try with it: the text stays, and is sent again.
    box = page.page.locator("#composer textarea")
    for _ in range(3):
        box.press("Enter")
        with suppress(AssertionError):
            expect(box).to_have_value("", timeout=5_000)
            break
    page.wait_rounds(2)
    line.cut()


def test_a_lane_is_collapsed_and_shown_again_also_after_a_reload(open_compare: Open) -> None:
    page = open_compare()
    page.begin("quick", "other")
    page.ask("Hello")
    wide = page.page.locator(".column").first.bounding_box()["width"]
    page.lane_menu("Other", "Collapse")
    answer = page.page.locator(".answer[aria-label=Other]")
    expect(answer).to_be_hidden()
    assert page.page.locator(".column").first.bounding_box()["width"] > 1.5 * wide
    page.page.reload()
    expect(page.page.get_by_role("button", name="Expand Other")).to_be_visible()
    expect(answer).to_be_hidden()
    page.page.get_by_role("button", name="Expand Other").click()
    expect(answer).to_be_visible()
    assert page.page.locator(".column").first.bounding_box()["width"] == wide


def test_an_answer_of_a_chat_is_compared_with_anothers(open_compare: Open) -> None:
    page = open_compare()
    page.page.goto(page.served.url)
    page.page.wait_for_selector("#message textarea")
    page.page.fill("#message textarea", "Who are you?")
    page.page.press("#message textarea", "Enter")
    page.page.get_by_role("link", name="Compare with…").click()
    expect(page.page.get_by_role("heading", name="Compare “Who are you?” with…")).to_be_visible()
    assert page.page.get_by_label("Backend").first.input_value() == "quick"
    page.page.get_by_label("Backend").nth(1).select_option("other")
    page.page.get_by_role("button", name="Start").click()
    page.wait_rounds(1)
    assert page.texts() == ["Who are you?", "Something else is said here."]
    assert page.page.locator(".error").count() == 0
    page.ask("And now?")
    page.wait_rounds(2)
    assert page.texts() == ["And now?", "Something else is said here."]


def test_an_empty_session_offers_the_examples(open_compare: Open) -> None:
    page = open_compare()
    page.begin("quick", "other")
    page.page.locator(".empty").get_by_role("button", name="Say something").click()
    page.wait_rounds(1)
    assert page.texts() == ["Say something", "Something else is said here."]
    expect(page.page.locator(".empty")).to_have_count(0)
