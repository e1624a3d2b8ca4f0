"""What comes with the extra `test-heavy` or with `npm install`: without it a test is skipped, except in CI,
which installs it."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Any, NoReturn

import pytest

_NODE_MODULES = Path(__file__).parents[1] / "node_modules"


def missing(name: str, how: str = "pip install -e '.[test-heavy]'") -> NoReturn:
    """Skip the test for want of a package, or fail it in CI. how: the command that installs it."""
    reason = f"{name} is not installed: {how}"
    (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)


def needed(module: str) -> Any:
    """Return a module that the test cannot do without."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError:
        missing(module.partition(".")[0])


def needed_of_npm(package: str) -> Path:
    """Return the folder of a package of npm's that the test cannot do without."""
    folder = _NODE_MODULES / package
    if not folder.exists():
        missing(package, "npm install")
    return folder
