"""Python looks less for garbage while many calls are made, and as before afterwards."""

from __future__ import annotations

import gc
import subprocess
import sys

from chatlab.garbage import importing_for_good, less_looking_for_garbage


def test_it_is_looked_for_less_until_the_block_ends() -> None:
    gc.unfreeze()
    before, frozen = gc.get_threshold(), gc.get_freeze_count()
    with less_looking_for_garbage():
        assert gc.get_threshold()[0] > 10 * before[0]
        assert gc.get_freeze_count() > frozen + 1_000
    assert (gc.get_threshold(), gc.get_freeze_count()) == (before, frozen)


def test_of_what_is_imported_for_good_none_is_looked_through() -> None:
    gc.unfreeze()
    with importing_for_good():
        assert not gc.isenabled()
        made = [{} for _ in range(1_000)]
    assert gc.isenabled()
    assert gc.get_freeze_count() > len(made)


def test_a_command_ends_without_looking_for_garbage() -> None:
    code = """
import atexit, gc
atexit.register(lambda: print(gc.get_freeze_count() > 1_000, len(gc.get_objects()) < 1_000))
from chatlab.cli import main
main(["--version"])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "True True"
