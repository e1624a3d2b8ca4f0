"""Results and verdicts stay on the disk: what is in memory of each is a few bytes, however long a run is."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import pytest

from chatlab.compare.batch.folder import RunFolder
from chatlab.compare.model import Verdict
from chatlab.compare.model_json import result_to_json, to_line, verdict_to_json
from chatlab.errors import StoreError
from chatlab.ids import LaneId
from chatlab.messages import TextPart
from tests.compare.batch.stored import LANES, result, run_of


def opened(folder: Path) -> int:
    """Return how many bytes opening a run's results takes at the most, beside its prompts."""
    plan_only = run_of(folder.with_name(folder.name + "-plan"), int(folder.name), [])
    peaks = []
    for one in (plan_only, folder):
        tracemalloc.start()
        run = RunFolder(one)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        run.close()
    return peaks[1] - peaks[0]


def test_an_answer_that_is_on_the_disk_takes_a_few_bytes_of_memory(tmp_path: Path) -> None:
    few, many = (opened(run_of(tmp_path / str(prompts), prompts)) for prompts in (40, 800))
    assert (many - few) / (760 * len(LANES)) < 80, "8 bytes to find it, 58 of figures, and no more"


def test_what_was_asked_for_again_counts_last_and_is_in_the_order_of_the_prompts(tmp_path: Path) -> None:
    lines = [result("3", "b", "late"), result("1", "b", ""), result("1", "a", "x"), result("1", "b", "again")]
    folder = RunFolder(run_of(tmp_path / "run", 3, lines))
    found = folder.results
    assert [(one.item, one.lane, one.turn.answer) for one in found.values()] == [
        ("1", "a", (TextPart("x"),)),
        ("1", "b", (TextPart("again"),)),
        ("3", "b", (TextPart("late"),)),
    ]
    assert [found.progress(0, 0, 1), found.progress(2, 0, 0)] == [(1, False), (0, False)]
    assert (found.ended(0), found.ended(2), found.longest()) == (True, False, {"a": 1, "b": 5})
    assert len(found) == 3 and ("3", 0, 0, "a") not in found and not found.failed()
    folder.close()


def test_the_figures_are_those_of_the_results(tmp_path: Path) -> None:
    folder = RunFolder(run_of(tmp_path / "run", 2, [result("2", "b", ""), result("2", "a", "yes")]))
    figures = folder.results.in_order().figures
    assert (figures.items, figures.item.tolist(), figures.lane.tolist()) == (["2"], [0, 0], [0, 1])
    assert figures.finished.tolist() == [True, False]
    assert figures.rows["tokens_out"].tolist() == [3, -1] and figures.rows["total"].tolist() == [2.0, 2.0]
    assert [one.turn.error for one in folder.results.failed()] == ["b broke"]
    folder.close()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"item": "9"}, "no prompt '9'"),
        ({"lane": "z"}, "no such lane"),
        ({"repeat": 4}, "'1' has no message 1 in repeat 5"),
        ({"step": -1}, "'1' has no message 0 in repeat 1"),
    ],
)
def test_a_line_of_another_run_is_said_with_file_and_line(
    tmp_path: Path, change: dict[str, object], said: str
) -> None:
    folder = run_of(tmp_path / "run", 1, [result("1", "a")])
    with (folder / "results.jsonl").open("a") as out:
        out.write(to_line({**result_to_json(result("1", "b")), **change}))
    with pytest.raises(StoreError, match=rf"results\.jsonl:2: .*{said}"):
        RunFolder(folder)


def test_verdicts_are_in_the_order_of_the_prompts_and_of_one_prompt_as_they_came(tmp_path: Path) -> None:
    folder = run_of(tmp_path / "run", 2)
    plan = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**plan, "criteria": ["x", "y"]}))
    made = [
        Verdict(item, 0, 0, LaneId("a"), LaneId("b"), winner, "j", criterion)
        for item, criterion, winner in (("2", "x", "a"), ("1", "y", "unclear"), ("1", "x", "tie"))
    ]
    lines = "".join(to_line(verdict_to_json(one)) for one in made)
    (folder / "verdicts.jsonl").write_text(lines)
    run = RunFolder(folder)
    assert list(run.verdicts.in_order()) == [made[1], made[2], made[0]]
    assert list(run.verdicts.unclear()) == [made[1]]
    assert run.verdicts.is_unclear(("1", 0, "a", "b", "y")) and ("2", 0, "a", "b", "y") not in run.verdicts
    run.close()
    (folder / "verdicts.jsonl").write_text(lines.replace('"criterion":"x"', '"criterion":"z"'))
    with pytest.raises(StoreError, match=r"verdicts\.jsonl:1: run\.json wants no verdict on 'z'"):
        RunFolder(folder)
