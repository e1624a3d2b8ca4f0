"""Independent implementations to agree with, from the extra `test-heavy`; imported when they are used."""

from __future__ import annotations

from typing import Any

from tests.heavy import needed


class Peer:
    """A library, imported when first used."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith(("_", "pytest")):  # pytest looks at whatever stands in a module of tests
            raise AttributeError(attribute)
        return getattr(needed(self._name), attribute)


choix = Peer("choix")
scipy = Peer("scipy")
