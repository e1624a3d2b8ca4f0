"""The server of a configuration."""

from __future__ import annotations

import time
from pathlib import Path

from tests.web.pages import Served


def test_storage_and_backends_are_ready_before_anybody_asks(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    other = "{kind: openai, model: m, base_url: 'http://127.0.0.1:9/v1'}"
    file.write_text(f"backends: {{a: {{kind: echo}}, b: {other}}}")
    served = Served(file)
    try:
        deadline = time.monotonic() + 60
        while not all(served.lab.backends[name].made for name in "ab"):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert (tmp_path / ".chatlab" / "chatlab.db").exists()
    finally:
        served.stop()
