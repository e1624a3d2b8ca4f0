"""Prompts stay in a file, and are found by number and by id."""

from __future__ import annotations

import gc
import tracemalloc
from pathlib import Path

import pytest

from chatlab.compare.batch.folder import read_plan
from chatlab.compare.batch.item import Item
from chatlab.compare.batch.prompts import read_items
from chatlab.compare.batch.stored_items import StoredItems
from chatlab.errors import StoreError
from chatlab.messages import Message
from tests.compare.batch.stored import run_of

THREE = """{"id": "z", "prompt": "one"}
{"id": "\U0001f600", "prompt": ["two", "more"]}
{"id": "a", "prompt": "x"}"""


def test_they_are_the_same_in_the_file_and_after_it_was_written(tmp_path: Path) -> None:
    items = read_items(THREE, "p.jsonl")
    stored = StoredItems.of(items)
    stored.write(tmp_path / "prompts.jsonl")
    for one in (stored, StoredItems.at(tmp_path / "prompts.jsonl")):
        assert one == items and list(one[1:]) == items[1:] and one[-1] == items[-1]
        assert one != items[:2] and list(one.steps) == [1, 2, 1]
        assert one.sha256 == StoredItems.of(items).sha256
        assert [one.number(item.id) for item in items] == [0, 1, 2]
        assert one.number("none of them") is None
    assert StoredItems.of([]).number("a") is None


def test_a_prompt_takes_a_few_bytes_of_memory_however_long_it_is() -> None:
    def taken(prompts: int) -> int:
        tracemalloc.start()
        stored = StoredItems.of(Item(str(n), (Message.of("user", "x" * 2_000),)) for n in range(prompts))
        gc.collect()
        held = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        assert len(stored) == prompts
        return held

    taken(10)  # imports
    assert (taken(2_000) - taken(100)) / 1_900 < 50


@pytest.mark.parametrize(("size", "stay"), [(100, 500), (100_000, 8)])
def test_prompts_that_were_read_last_are_not_read_again_and_are_few(size: int, stay: int) -> None:
    stored = StoredItems.of(Item(str(n), (Message.of("user", "x" * size),)) for n in range(1_000))
    assert stored[0].id == "0"
    tracemalloc.start()
    items = [stored[number] for number in range(stay)]
    assert all(stored[number] is item for number, item in enumerate(items))
    del items
    assert [item.id for item in stored] == [str(number) for number in range(1_000)]
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert held < 2_000_000


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text.replace("prompt 1", "prompt I"), "has other prompts than it was written with"),
        (lambda text: text[:-9], r"prompts\.jsonl:2: "),
        (lambda text: '{"id": "1"}\n', r"prompts\.jsonl:1: 'messages' is missing"),
    ],
)
def test_a_file_that_was_changed_is_said(tmp_path: Path, change: object, said: str) -> None:
    file = run_of(tmp_path / "run", 2) / "prompts.jsonl"
    assert callable(change)
    file.write_text(change(file.read_text()))
    with pytest.raises(StoreError, match=said):
        read_plan(tmp_path / "run")
    file.unlink()
    with pytest.raises(StoreError, match=r"prompts\.jsonl is missing"):
        read_plan(tmp_path / "run")
