"""The secret-number suite on the page: every lane knows a number that no other was told, whatever is done.

After each step every lane is asked for its numbers. Under its name the page must show its own and no others,
and the upstream must have been sent these alone.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.compare.numbers_upstream import NUMBER, QUESTION, NumbersUpstream
from tests.ui.compare_client import Asked, Person
from tests.ui.pages import Served

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
        page.wait_for_selector(".lane")
        self.pages.append(page)

    def close(self) -> None:
        self.context.close()
        self.person.close()

    def tell(self, lane: str) -> None:
        number = str(next(_numbers))
        self.asked.ask(f"Remember #{number}#", lanes=[lane])
        self.known[lane] |= {number}

    def new_lane(self) -> dict[str, Any]:
        return {"backend": "upstream", "parameters": {"seed": next(_seeds)}}

    def check(self) -> None:
        """Asks on the page, and looks at every tab and at what the upstream was sent."""
        self.ask()
        self.look()

    def ask(self) -> None:
        self.rounds = len(self.asked.view["rounds"]) + 1
        self.upstream.take()
        self.pages[0].wait_for_function(
            "n => document.querySelectorAll('.round').length === n"
            " && !document.querySelector('.answer[aria-busy]') && !document.querySelector('#composer .stop')",
            arg=self.rounds - 1,
        )
        self.pages[0].fill("#composer textarea", QUESTION)
        self.pages[0].press("#composer textarea", "Enter")

    def look(self) -> None:
        for page in self.pages:
            page.wait_for_function(
                "n => document.querySelectorAll('.round').length === n"
                " && !document.querySelector('.answer[aria-busy]')",
                arg=self.rounds,
            )
            shown = page.evaluate(
                """() => Object.fromEntries([...document.querySelectorAll(".round:last-of-type .column")]
                  .map(column => [column.dataset.lane, column.querySelector(".answer .text").innerText]))"""
            )
            assert {lane: set(NUMBER.findall(text)) for lane, text in shown.items()} == self.known
            names = page.eval_on_selector_all(".lane", "all => all.map(one => one.dataset.lane)")
            assert names == list(shown) == self.asked.lanes
        mine = set(self.seeds[lane] for lane in self.known)
        calls = {call.seed: call for call in self.upstream.calls if call.seed in mine}
        assert set(calls) == mine
        for lane, numbers in self.known.items():
            sent = " ".join(content for _, content in calls[self.seeds[lane]].messages)
            assert set(NUMBER.findall(sent)) == numbers


@pytest.mark.parametrize("lanes", [2, 4, 8])
def test_every_lane_shows_its_own_number_after_every_step(
    browser: Any, start: Callable[[], Served], upstream: NumbersUpstream, lanes: int
) -> None:
    me = Watcher(browser, start(), upstream)
    me.begin(lanes)
    me.check()
    asked, first, last = me.asked, next(iter(me.known)), list(me.known)[-1]
    # edit: another number in the place of the first lane's
    told = next(one["id"] for one in asked.view["rounds"] if first in one["answers"])
    number = str(next(_numbers))
    asked.post("/edit", {"round": told, "text": f"Remember #{number}# instead", "lanes": [first]})
    asked.ended()
    me.known[first] = {number}
    me.check()
    # retry, for all and for one
    asked.post("/retry", {"round": asked.view["rounds"][-1]["id"]})
    asked.ended()
    asked.post("/retry", {"round": asked.view["rounds"][-1]["id"], "lanes": [last]})
    asked.ended()
    me.check()
    # undo
    asked.post("/undo")
    me.check()
    # remove, if more than two are there; add without and with a history
    if lanes > 2:
        assert me.person.send("DELETE", f"{asked.path}/lanes/{last}").status_code == 200
        del me.known[last]
        added = me.new_lane()
        lane = asked.post("/lanes", added)["lane"]
        me.known[lane], me.seeds[lane] = set(), added["parameters"]["seed"]
        me.tell(lane)
        me.check()
    else:
        added = {**me.new_lane(), "history_from": first}
        lane = asked.post("/lanes", added)["lane"]
        me.known[lane], me.seeds[lane] = set(me.known[first]), added["parameters"]["seed"]
        me.check()
    # another in the place of the second, without its history; and in another order
    second = asked.lanes[1]
    other = {**me.new_lane(), "backend": "another"}
    swapped = me.person.send("PATCH", f"{asked.path}/lanes/{second}", other).json()["lane"]
    del me.known[second]
    me.known[swapped], me.seeds[swapped] = set(), other["parameters"]["seed"]
    me.tell(swapped)
    asked.post("/order", {"lanes": list(reversed(asked.lanes))})
    me.known = {lane: me.known[lane] for lane in asked.lanes}
    me.check()
    # two tabs, and a reload
    me.open()
    me.pages[0].reload()
    me.check()
    # the server is another one
    me.pages.clear()
    served = start()
    cookies = me.person.http.cookies
    me.person.close()
    me.person = Person(served)
    me.person.http.cookies = cookies
    asked = me.asked = Asked(me.person, asked.id)
    me.open()
    me.check()
    # all go on from one answer, and then each from it alone
    asked.post("/mode", {"mode": "shared"})
    asked.post("/pick", {"round": asked.view["rounds"][-1]["id"], "lane": first})
    me.known = {lane: set(me.known[first]) for lane in me.known}
    me.check()
    asked.post("/pick", {"round": asked.view["rounds"][-1]["id"], "lane": first})
    asked.post("/mode", {"mode": "own"})
    for lane in me.known:
        me.tell(lane)
    me.check()
    asked.post(f"/lanes/{first}/rerun")
    asked.ended()
    me.check()
    me.close()


def test_two_people_who_ask_at_once_see_their_own_lanes_alone(
    browser: Any, start: Callable[[], Served], upstream: NumbersUpstream
) -> None:
    served = start()
    people = [Watcher(browser, served, upstream) for _ in range(2)]
    for one in people:
        one.begin(4)
    for _ in range(2):
        for one in people:
            one.rounds = len(one.asked.view["rounds"]) + 1
        for one in people:
            one.pages[0].wait_for_function("() => document.querySelectorAll('.round').length > 3")
            one.pages[0].fill("#composer textarea", QUESTION)
        upstream.take()
        for one in people:
            one.pages[0].press("#composer textarea", "Enter")
        for one in people:
            one.look()
    mine, yours = (set().union(*one.known.values()) for one in people)
    assert len(mine) == len(yours) == 4
    assert not mine & yours
    for one in people:
        one.close()
