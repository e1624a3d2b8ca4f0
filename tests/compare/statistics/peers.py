"""Independent implementations to agree with, from the extra `test-heavy`; imported when they are used."""

from __future__ import annotations

import importlib
import os
from typing import Any

import pytest


class Peer:
    """A library, imported when first used: without it a test is skipped, except in CI, which installs it."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith(("_", "pytest")):  # pytest looks at whatever stands in a module of tests
            raise AttributeError(attribute)
        try:
            return getattr(importlib.import_module(self._name), attribute)
        except ModuleNotFoundError:
            reason = f"{self._name} is not installed: pip install -e '.[test-heavy]'"
            (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)


choix = Peer("choix")
scipy = Peer("scipy")
