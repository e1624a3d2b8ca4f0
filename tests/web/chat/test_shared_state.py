"""What pages share has one owner: hammered from threads, nothing is lost, doubled, or raised."""

from __future__ import annotations

import inspect
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import chatlab
from chatlab.errors import ChatlabError
from chatlab.web.chat.page import Page
from chatlab.web.chat.pages import OpenPage, OpenPages

THREADS = 8


@pytest.fixture(autouse=True)
def switching() -> Iterator[None]:
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def hammered(work: Callable[[int], None]) -> None:
    """Runs some work in many threads at once, and raises what one of them raised."""
    raised: list[BaseException] = []
    start = threading.Barrier(THREADS)

    def run(number: int) -> None:
        try:
            start.wait(10)
            work(number)
        except BaseException as exc:
            raised.append(exc)

    threads = [threading.Thread(target=run, args=(n,)) for n in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    if raised:
        raise raised[0]


def test_one_page_is_one_page_whoever_asks_for_it() -> None:
    pages = OpenPages()
    seen: list[tuple[str, OpenPage]] = []

    def ask(_: int) -> None:
        for n in range(300):
            name = f"page {n % 30}"
            seen.append((name, pages.get(name, "owner")))

    hammered(ask)
    assert len(seen) == THREADS * 300
    first: dict[str, OpenPage] = {}
    assert all(first.setdefault(name, page) is page for name, page in seen)


def test_the_oldest_pages_go_without_a_fault_while_others_come_and_close() -> None:
    pages = OpenPages(most=5)

    def come_and_go(number: int) -> None:
        for n in range(400):
            pages.get(f"{number} {n}", "owner")
            pages.get(f"shared {n % 7}", "owner")
            if n % 3 == 0:
                pages.close(f"shared {n % 7}", "owner")

    hammered(come_and_go)
    assert len(pages) <= 5


def test_no_page_takes_more_places_than_there_are() -> None:
    page = OpenPage("owner")
    with page.place(2), page.place(2):
        with pytest.raises(ChatlabError, match="2 answers of this page still run"), page.place(2):
            pass
        assert page.busy
    assert not page.busy


async def test_every_listener_runs_on_the_event_loop_which_owns_the_pages(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("backends: {echo: {kind: echo}}\nui: {flagging: manual, examples: [{text: one}]}")
    async with chatlab.load(file) as lab:
        listeners = [event.fn for event in Page(lab).fns.values() if event.fn is not None]
    handed_on = [
        fn for fn in listeners if not inspect.iscoroutinefunction(fn) and not inspect.isasyncgenfunction(fn)
    ]
    assert len(listeners) > 20
    # Writes a file, and shows a clicked example: neither touches a page.
    assert {fn.__name__ for fn in handed_on} <= {"flag", "example_clicked"}
