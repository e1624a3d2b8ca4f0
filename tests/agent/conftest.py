"""A workspace with data, and agents whose file names it."""

from __future__ import annotations

import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from tests.agent.workspace import TOOLS
from tests.backends.rig import unused_port
from tests.heavy import needed
from tests.servers.at_once import AtOnce
from tests.servers.data_of_workspace import DataOfWorkspace
from tests.servers.databricks import Workspace


@pytest.fixture(autouse=True, scope="module")
def _traced_here_alone() -> Iterator[None]:
    """Has MLflow's tracing of LangChain, which an agent in its shape begins for the process, end with the
    module: with it a stream that is cancelled while a handler runs goes on for ever."""
    yield
    if "mlflow.langchain" in sys.modules:
        sys.modules["mlflow.langchain"].autolog(disable=True)


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


@pytest.fixture(scope="session")
def mlflow_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database without anything in it: making its tables takes seconds."""
    found = needed("mlflow")
    file = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    with pytest.MonkeyPatch.context() as environment:
        environment.chdir(file.parent)  # where its artifacts go
        found.set_tracking_uri(f"sqlite:///{file}")
        found.search_experiments()
        found.set_tracking_uri(None)
    return file


@pytest.fixture
def mlflow(mlflow_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """MLflow with a store of its own."""
    found = needed("mlflow")
    file = tmp_path / "mlflow.db"
    shutil.copyfile(mlflow_database, file)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{file}")
    monkeypatch.chdir(tmp_path)
    found.set_tracking_uri(None)
    found.tracing.reset()  # it would go on writing to the store of the test before
    yield found
    found.flush_trace_async_logging()  # while the variables above hold
    found.tracing.configure(span_processors=[])


@pytest.fixture
def served(mlflow: Any, project: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Makes the application of `chatlab agent serve`, of an agent with these tools.

    AgentServer has one agent a process: each test begins without the one of the test before.
    """
    from mlflow.genai.agent_server import server

    from chatlab.agent import Agent
    from chatlab.agent.shipping.serve import server_of

    for name in ("_invoke_function", "_stream_function"):
        monkeypatch.setattr(server, name, None)
    return lambda *tools: server_of(Agent.load(project(*tools)))


@pytest.fixture
def agent_server(served: Callable[..., Any]) -> Iterator[str]:
    """MLflow's AgentServer with an agent that searches, as `chatlab agent serve` has it."""
    port = unused_port()
    server = AtOnce(uvicorn.Config(served("search"), port=port, log_config=None, lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    assert server.ready.wait(20)
    yield f"http://127.0.0.1:{port}"
    server.leave()
    thread.join(20)
