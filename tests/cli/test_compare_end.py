"""The end of a run: its report and summary are written without having all of its answers in memory."""

from __future__ import annotations

import gc
import tracemalloc
from pathlib import Path

from chatlab.cli.compare_end import finish
from chatlab.compare.batch.batch import Batch
from chatlab.compare.batch.budget import Budget
from chatlab.compare.batch.folder import RunFolder
from tests.compare.batch.stored import run_of


def finished(folder: Path) -> int:
    """Return how many bytes are in memory at the most while a run is finished."""
    run = RunFolder(folder)
    batch, budget = Batch(run, {}, None, Budget(None, run.ledger)), Budget(None, run.ledger)
    gc.freeze()  # how often garbage is looked for does not depend on what other tests have left, then
    gc.collect()
    tracemalloc.start()
    assert finish(run, budget, batch, whole=True, as_json=True) == 0
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    gc.unfreeze()
    run.close()
    return peak


def test_the_answers_are_not_in_memory_at_the_end(tmp_path: Path) -> None:
    finished(run_of(tmp_path / "first", 30))  # imports, templates
    few, many = (finished(run_of(tmp_path / str(prompts), prompts)) for prompts in (150, 450))
    page = (tmp_path / "450" / "report.html").read_text()
    assert page.count('<section class="item"') == 450 and page.count("prompt 449") > 1
    assert (many - few) / 300 < 2_500, "a prompt with its two answers has 29,000 on the page and in objects"
