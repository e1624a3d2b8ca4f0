"""A workspace with data, and agents whose file names it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.agent.workspace import TOOLS
from tests.servers.data_of_workspace import DataOfWorkspace
from tests.servers.databricks import Workspace


@pytest.fixture
def workspace(llama: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    """A workspace with the chat endpoint `table`, and a service principal that is the service."""
    with Workspace(llama.url) as server:
        server.serve("table", "llm/v1/chat")
        monkeypatch.setenv("DATABRICKS_HOST", server.url)
        monkeypatch.setenv("DATABRICKS_CLIENT_ID", "the-principal")
        monkeypatch.setenv("DATABRICKS_CLIENT_SECRET", server.principal("the-principal"))
        yield server


@pytest.fixture
def data(workspace: Workspace) -> DataOfWorkspace:
    found = DataOfWorkspace(workspace)
    found.documents = [
        {"id": "1", "text": "Lanes are columns.", "title": "Lanes", "url": "https://docs.example.com/lanes"},
        {"id": "2", "text": "Ann's own.", "title": "Private", "url": None, "for": "ann@example.com"},
    ]
    return found


@pytest.fixture
def project(tmp_path: Path) -> Callable[..., Path]:
    """Writes `agent.yaml` with these tools, and `agent.py` beside it."""

    def write(*tools: str, more: str = "") -> Path:
        listed = "".join(f"  - {TOOLS[name]}\n" for name in tools)
        text = f"endpoint: table\ntemperature: 0\nsystem: Be brief.\n{more}"
        (tmp_path / "agent.yaml").write_text(text + (f"tools:\n{listed}" if tools else ""), "utf-8")
        return tmp_path / "agent.yaml"

    return write
