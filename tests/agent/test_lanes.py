"""The ready example: one agent in four lanes, each as whoever it says, and what their rights changed."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.servers.data_of_workspace import DataOfWorkspace
from tests.servers.llama import TOOL
from tests.servers.models_of_workspace import behind
from tests.web.identity.people import OPENS, somebody
from tests.web.pages import Served

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.timeout(120),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
]
CONFIG = (Path(__file__).parents[2] / "configs" / "agent_lanes.yaml").read_text("utf-8")
ASK = f"use the {TOOL}"


def test_one_agent_in_four_lanes_is_asked_as_whom_each_says(
    data: DataOfWorkspace, agent_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = data.workspace
    workspace.serve("agent", "agent/v1/responses", behind(agent_server))
    environment = {
        "DATABRICKS_INSTANCE": workspace.url,
        "CLIENT_ID": "the-application",
        "CLIENT_SECRET": workspace.application("the-application"),
        "ENDPOINT_NAME": "agent",
        "CHATLAB_AGENT": str(tmp_path / "agent.yaml"),
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    file = tmp_path / "lanes.yaml"
    file.write_text(CONFIG.replace("http://127.0.0.1:8001", agent_server), "utf-8")
    page = Served(file)
    try:
        with somebody(page.url) as ann:
            assert ann.get("/config", headers=OPENS, follow_redirects=True).status_code == 200
            names = ["agent-as-me", "agent-server", "agent-endpoint", "agent-as-service"]
            lanes = {"lanes": [{"backend": name} for name in names]}
            session = f"/-/compare/sessions/{ann.post('/-/compare/sessions', json=lanes).json()['id']}"
            made = ann.post(f"{session}/ask", json={"text": ASK}).json()["round"]
            while (view := ann.get(session).json())["running"]:
                time.sleep(0.05)
            receipts = ann.get(f"{session}/rounds/{made}/receipts").json()
    finally:
        page.stop()
    whom = dict(zip(names, ["ann@example.com"] * 3 + ["the service"], strict=True))
    assert {lane["backend"]: lane["asked_as"] for lane in view["lanes"]} == whom
    sent = [one["receipt"] for one in receipts["receipts"]]
    assert {one["backend"]: one["identity"] for one in sent} == whom and receipts["mismatches"] == []
    (round_,) = view["rounds"]
    found = {lane["backend"]: round_["answers"][lane["id"]][0] for lane in view["lanes"]}
    assert {(answer["status"], answer["error"]) for answer in found.values()} == {("finished", None)}
    results = {name: answer["tools"][0]["result"] for name, answer in found.items()}
    theirs = "[1] Lanes\nLanes are columns."
    assert results == {
        name: theirs if who == "the service" else f"{theirs}\n\n[2] Private\nAnn's own."
        for name, who in whom.items()
    }
    whose = ["ann@example.com", "the person who asks", "the person who asks", "the service"]
    assert {name: answer["notices"] for name, answer in found.items()} == {
        name: [{"line": f"ran search_documents as {who}", "more": []}]
        for name, who in zip(names, whose, strict=True)
    }
    searches = sorted(workspace.identity(call.token) for call in data.calls if call.what == "search")
    assert searches == ["ann@example.com"] * 3 + ["the-principal"]
