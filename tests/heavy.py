"""What comes with the extra `test-heavy`: without it a test is skipped, except in CI, which installs it."""

from __future__ import annotations

import importlib
import os
from typing import Any, NoReturn

import pytest


def missing(name: str) -> NoReturn:
    """Skip the test for want of a package, or fail it in CI."""
    reason = f"{name} is not installed: pip install -e '.[test-heavy]'"
    (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)


def needed(module: str) -> Any:
    """Return a module that the test cannot do without."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError:
        missing(module.partition(".")[0])
