"""The secret-number suite on the page: every lane knows a number that no other was told, whatever is done.

After each step every lane is asked for its numbers. Under its name the page must show its own and no others,
and the upstream must have been sent these alone. With two lanes each step is done on the page, with its
buttons and menus; with more, by what the page would send.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.compare.session.numbers_upstream import NUMBER, QUESTION, NumbersUpstream
from tests.web.compare.client import Asked, Person
from tests.web.pages import Served

pytestmark = pytest.mark.browser

_seeds = itertools.count(1)
_numbers = itertools.count(200_000, 7)


@pytest.fixture(scope="module")
def upstream() -> Iterator[NumbersUpstream]:
    with NumbersUpstream() as server:
        yield server


@pytest.fixture(scope="module")
def start(
    upstream: NumbersUpstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[], Served]]:
    """Starts the server, over the same database each time."""
    folder = tmp_path_factory.mktemp("numbers")
    config = folder / "config.yaml"
    config.write_text(
        f"""\
version: 1
storage: {{url: "sqlite:{folder}/kept.db", files: {folder}/files}}
backends:
  upstream: {{kind: openai, model: numbers, base_url: "{upstream.url}/v1", retries: 0}}
  another: {{kind: openai, model: numbers, base_url: "{upstream.url}/v1", retries: 0}}
""",
        "utf-8",
    )
    running: list[Served] = []

    def begun(config: Path = config) -> Served:
        for old in running:
            old.stop()
        running[:] = [Served(config)]
        return running[0]

    yield begun
    for served in running:
        served.stop()


class Watcher:
    """A person with one session, on the page; known: what each lane should know, by its id."""

    def __init__(self, browser: Any, served: Served, upstream: NumbersUpstream) -> None:
        self.upstream = upstream
        self.context = browser.new_context(viewport={"width": 1400, "height": 900})
        self.known: dict[str, set[str]] = {}
        self.seeds: dict[str, int] = {}
        self.person = Person(served)
        self.pages: list[Any] = []

    def begin(self, lanes: int) -> None:
        seeds = [next(_seeds) for _ in range(lanes)]
        self.asked = self.person.begin(*[{"backend": "upstream", "parameters": {"seed": s}} for s in seeds])
        self.seeds = dict(zip(self.asked.lanes, seeds, strict=True))
        self.known = {lane: set() for lane in self.seeds}
        self.open()
        for lane in self.seeds:
            self.tell(lane)

    def open(self) -> None:
        """One more tab with the session."""
        cookies = [
            {"name": name, "value": value, "url": self.person.served.url}
            for name, value in self.person.http.cookies.items()
        ]
        self.context.add_cookies(cookies)
        page = self.context.new_page()
        page.set_default_timeout(30_000)
        page.goto(f"{self.person.served.url}/compare?s={self.asked.id}")
        self.pages.append(page)

    def restarted(self, served: Served) -> None:
        """The server is another one, and the page is opened there."""
        for page in self.pages:
            page.close()
        self.pages.clear()
        cookies = self.person.http.cookies
        self.person.close()
        self.person = Person(served)
        self.person.http.cookies = cookies
        self.asked = Asked(self.person, self.asked.id)
        self.open()

    def close(self) -> None:
        self.context.close()
        self.person.close()

    # -- what is done to the session

    @property
    def last(self) -> str:
        return str(self.asked.view["rounds"][-1]["id"])

    def tell(self, lane: str) -> None:
        number = str(next(_numbers))
        self.asked.ask(f"Remember #{number}#", lanes=[lane])
        self.known[lane] |= {number}

    def edit(self, asked_round: str, lane: str, text: str) -> None:
        self.asked.post("/edit", {"round": asked_round, "text": text, "lanes": [lane]})
        self.asked.ended()

    def retry(self, asked_round: str, lane: str | None = None) -> None:
        self.asked.post("/retry", {"round": asked_round, **({} if lane is None else {"lanes": [lane]})})
        self.asked.ended()

    def walk(self, asked_round: str, by: int) -> None:
        versions = {-1: "previous", 1: "next"}
        (shown,) = (one for one in self.asked.view["rounds"] if one["id"] == asked_round)
        self.asked.post("/checkout", {"round": shown[versions[by]]})

    def walk_alone(self, asked_round: str, lane: str, by: int) -> None:
        (shown,) = (one for one in self.asked.view["rounds"] if one["id"] == asked_round)
        answer = shown["given"][lane][0] - 1 + by
        self.asked.post("/checkout", {"round": asked_round, "lane": lane, "answer": answer})

    def undo(self) -> None:
        self.asked.post("/undo")

    def add(self, like: str | None) -> str:
        seed = next(_seeds)
        lane = {"backend": "upstream", "parameters": {"seed": seed}, "history_from": like}
        return self.added(self.asked.post("/lanes", lane)["lane"], seed, like)

    def added(self, lane: str, seed: int, like: str | None) -> str:
        self.known[lane], self.seeds[lane] = set(self.known[like]) if like else set(), seed
        return lane

    def swap(self, old: str) -> str:
        seed = next(_seeds)
        other = {"backend": "another", "parameters": {"seed": seed}}
        answer = self.person.send("PATCH", f"{self.asked.path}/lanes/{old}", other)
        return self.added(answer.json()["lane"], seed, None)

    def remove(self, lane: str) -> None:
        assert self.person.send("DELETE", f"{self.asked.path}/lanes/{lane}").status_code == 200

    def to_the_right(self, lane: str) -> None:
        lanes = self.asked.lanes
        at = lanes.index(lane)
        lanes[at : at + 2] = reversed(lanes[at : at + 2])
        self.asked.post("/order", {"lanes": lanes})

    def mode(self, mode: str) -> None:
        self.asked.post("/mode", {"mode": mode})

    def pick(self, lane: str) -> None:
        self.asked.post("/pick", {"round": self.last, "lane": lane})

    def rerun(self, lane: str) -> None:
        self.asked.post(f"/lanes/{lane}/rerun")
        self.asked.ended()

    # -- what has to be so

    def check(self) -> None:
        """Asks on the page, and looks at every tab and at what the upstream was sent."""
        self.shows()
        self.upstream.take()
        with self.asking():
            pass
        self.look()

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Asks on the page, and waits until the server has it."""
        page = self.pages[0]
        page.fill("#composer textarea", QUESTION)
        with page.expect_response(lambda answer: answer.url.endswith("/ask")) as answered:
            page.press("#composer textarea", "Enter")
            yield
        assert answered.value.status == 200

    def shows(self) -> None:
        """Waits until every tab shows the session as the server has it: its rounds and lanes, all ended."""
        view = self.asked.ended()
        wanted = [[one["id"] for one in view[what]] for what in ("rounds", "lanes")]
        for page in self.pages:
            page.wait_for_function(
                """([rounds, lanes]) => {
                  const ids = (of) => [...document.querySelectorAll(`.${of}`)].map((one) => one.dataset[of]);
                  return ids("round").join() === rounds.join() && ids("lane").join() === lanes.join()
                    && !document.querySelector(".answer[aria-busy], #composer .stop")
                    && document.querySelector("#composer").ariaBusy === "false"; }""",
                arg=wanted,
            )

    def look(self) -> None:
        self.shows()
        for page in self.pages:
            for _ in range(100):  # an answer that has ended may not be painted yet; a wrong one never may be
                shown = page.evaluate(
                    """() => Object.fromEntries(
                      [...document.querySelectorAll(".round:last-of-type .column")].map(column =>
                        [column.dataset.lane, column.querySelector(".answer .text").innerText]))"""
                )
                found = {lane: set(NUMBER.findall(text)) for lane, text in shown.items()}
                assert all(found[lane] <= self.known.get(lane, set()) for lane in found)
                if found == self.known:
                    break
                page.wait_for_timeout(100)
            assert found == self.known
            assert list(shown) == self.asked.lanes
        mine = set(self.seeds[lane] for lane in self.known)
        calls = {call.seed: call for call in self.upstream.calls if call.seed in mine}
        assert set(calls) == mine
        for lane, numbers in self.known.items():
            sent = " ".join(content for _, content in calls[self.seeds[lane]].messages)
            assert set(NUMBER.findall(sent)) == numbers


class AtThePage(Watcher):
    """Does each step as a person does it."""

    @contextmanager
    def taken(self) -> Iterator[Any]:
        """The page as the server has it; what is done to it is taken by the server, and has ended."""
        self.shows()
        page = self.pages[0]
        with page.expect_response(lambda answer: answer.request.method != "GET") as answered:
            yield page
        assert answered.value.status == 200
        self.asked.ended()

    def card(self, page: Any, asked_round: str, lane: str) -> Any:
        return page.locator(f"[data-round='{asked_round}'] .answer[data-lane='{lane}']")

    def menu(self, page: Any, lane: str, item: str) -> None:
        page.locator(f".lane[data-lane='{lane}'] summary").click()
        page.locator(".lane .menu[open]").get_by_role("button", name=item).click()

    def form(self, page: Any, backend: str, **fields: str) -> int:
        dialog = page.locator("dialog")
        dialog.get_by_label("Backend", exact=True).select_option(backend)
        if not dialog.locator("details[open]").count():
            dialog.locator("summary").click()
        seed = next(_seeds)
        dialog.get_by_label("seed", exact=True).fill(str(seed))
        for label, value in fields.items():
            dialog.get_by_label(label).select_option(value)
        return seed

    def tell(self, lane: str) -> None:
        number = str(next(_numbers))
        with self.taken() as page:
            self.menu(page, lane, "Send only to this lane")
            page.fill("#composer textarea", f"Remember #{number}#")
            page.get_by_role("button", name="Send", exact=True).click()
        self.known[lane] |= {number}

    def edit(self, asked_round: str, lane: str, text: str) -> None:
        with self.taken() as page:
            page.locator(f"[data-round='{asked_round}'] .question").get_by_role("button", name="Edit").click()
            page.locator("dialog").get_by_label("Message").fill(text)
            page.locator("dialog").get_by_role("button", name="Ask again").click()

    def retry(self, asked_round: str, lane: str | None = None) -> None:
        with self.taken() as page:
            within = (
                page.locator(f"[data-round='{asked_round}']")
                if lane is None
                else self.card(page, asked_round, lane)
            )
            within.get_by_role("button", name="Retry all" if lane is None else "Retry").click()

    def walk(self, asked_round: str, by: int) -> None:
        name = "Next version" if by > 0 else "Previous version"
        with self.taken() as page:
            page.locator(f"[data-round='{asked_round}']").get_by_role("button", name=name).click()

    def walk_alone(self, asked_round: str, lane: str, by: int) -> None:
        name = "Next answer" if by > 0 else "Previous answer"
        with self.taken() as page:
            self.card(page, asked_round, lane).get_by_role("button", name=name).click()

    def undo(self) -> None:
        with self.taken() as page:
            page.get_by_role("button", name="Undo").click()

    def add(self, like: str | None) -> str:
        with self.taken() as page:
            page.get_by_role("button", name="Add a lane…").click()
            seed = self.form(page, "upstream", History=like or "")
            page.locator("dialog").get_by_role("button", name="Add").click()
        return self.added(self.asked.lanes[-1], seed, like)

    def swap(self, old: str) -> str:
        at = self.asked.lanes.index(old)
        with self.taken() as page:
            self.menu(page, old, "Change…")
            seed = self.form(page, "another")
            page.locator("dialog").get_by_role("button", name="Change").click()
        return self.added(self.asked.lanes[at], seed, None)

    def remove(self, lane: str) -> None:
        with self.taken() as page:
            self.menu(page, lane, "Remove")

    def to_the_right(self, lane: str) -> None:
        with self.taken() as page:
            self.menu(page, lane, "Move right")

    def mode(self, mode: str) -> None:
        with self.taken() as page:
            page.get_by_label("History").select_option(mode)

    def pick(self, lane: str) -> None:
        with self.taken() as page:
            self.card(page, self.last, lane).get_by_role("button", name="Continue from this").click()

    def rerun(self, lane: str) -> None:
        with self.taken() as page:
            self.menu(page, lane, "Ask everything again")


@pytest.mark.parametrize("lanes", [2, 4, 8])
def test_every_lane_shows_its_own_number_after_every_step(
    browser: Any, start: Callable[[], Served], upstream: NumbersUpstream, lanes: int
) -> None:
    me = (AtThePage if lanes == 2 else Watcher)(browser, start(), upstream)
    me.begin(lanes)
    me.check()
    first, last = next(iter(me.known)), list(me.known)[-1]
    # edit: another number in the place of the first lane's; and to and fro between the two
    told = next(one["id"] for one in me.asked.view["rounds"] if first in one["answers"])
    before, number = me.known[first], str(next(_numbers))
    me.edit(told, first, f"Remember #{number}# instead")
    me.known[first] = {number}
    me.check()
    edited = me.asked.view["rounds"][0]["id"]
    me.walk(edited, -1)
    me.known[first] = before
    me.check()
    me.walk(told, 1)
    me.known[first] = {number}
    me.check()
    # retry, for all and for one; and back to the first of a lane's answers
    me.retry(me.last)
    me.retry(me.last, last)
    me.walk_alone(me.last, last, -1)
    me.walk_alone(me.last, last, -1)
    me.check()
    me.undo()
    me.check()
    # add with a history and without, and remove
    me.add(first) if lanes == 2 else me.remove(last)
    if lanes == 2:
        me.check()
        me.remove(last)
    del me.known[last]
    me.tell(me.add(None))
    me.check()
    # another in the place of the second, without its history; and in another order
    second = me.asked.lanes[1]
    swapped = me.swap(second)
    del me.known[second]
    me.tell(swapped)
    me.to_the_right(first)
    me.known = {lane: me.known[lane] for lane in me.asked.lanes}
    assert list(me.known)[1] == first
    me.check()
    # two tabs, and a reload
    me.open()
    me.pages[0].reload()
    me.check()
    me.restarted(start())
    me.check()
    # all go on from one answer, and then each from it alone
    me.mode("shared")
    me.pick(first)
    me.known = {lane: set(me.known[first]) for lane in me.known}
    me.check()
    me.pick(first)
    me.mode("own")
    for lane in me.known:
        me.tell(lane)
    me.check()
    me.rerun(first)
    me.check()
    me.close()


def test_two_people_who_ask_at_once_see_their_own_lanes_alone(
    browser: Any, start: Callable[[], Served], upstream: NumbersUpstream
) -> None:
    served = start()
    people = [Watcher(browser, served, upstream) for _ in range(2)]
    for one in people:
        one.begin(4)
    me, you = people
    for _ in range(2):
        for one in people:
            one.shows()
        upstream.take()
        with me.asking(), you.asking():
            pass
        for one in people:
            one.look()
    mine, yours = (set().union(*one.known.values()) for one in people)
    assert len(mine) == len(yours) == 4
    assert not mine & yours
    for one in people:
        one.close()
