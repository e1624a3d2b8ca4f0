"""The ready example: one endpoint as the service and as whoever signed in, and what authorization changed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response

from tests.servers.databricks import Workspace
from tests.web.identity.people import OPENS, somebody
from tests.web.pages import Served, chunks

CONFIG = (Path(__file__).parents[3] / "configs" / "permission_lanes.yaml").read_text("utf-8")
SEEN = {
    "the-principal": "There are 12 invoices in all, of every department.",
    "ann@example.com": "There are 3 invoices in all, of your department.",
}


@pytest.fixture
def workspace(monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    with Workspace() as server:
        monkeypatch.setenv("DATABRICKS_INSTANCE", server.url)
        monkeypatch.setenv("ENDPOINT_NAME", "agent")
        monkeypatch.setenv("CLIENT_ID", "the-application")
        monkeypatch.setenv("CLIENT_SECRET", server.application("the-application"))
        monkeypatch.setenv("DATABRICKS_CLIENT_ID", "the-principal")
        monkeypatch.setenv("DATABRICKS_CLIENT_SECRET", server.principal("the-principal"))

        async def reply(request: Request, _: Any) -> Response:
            said = SEEN[str(server.identity_of(request))]
            return Response(b"".join(chunks([said])), media_type="text/event-stream")

        server.serve("agent", "llm/v1/chat", reply)
        yield server


def test_what_authorization_changed_is_in_the_differences_of_the_two_lanes(
    workspace: Workspace, tmp_path: Path
) -> None:
    file = tmp_path / "permission_lanes.yaml"
    file.write_text(CONFIG, "utf-8")
    served = Served(file)
    try:
        with somebody(served.url) as ann:
            assert ann.get("/config", headers=OPENS, follow_redirects=True).status_code == 200
            lanes = {"lanes": [{"backend": "as-service"}, {"backend": "as-me"}]}
            session = f"/-/compare/sessions/{ann.post('/-/compare/sessions', json=lanes).json()['id']}"
            made = ann.post(f"{session}/ask", json={"text": "How many invoices are there?"}).json()["round"]
            while (view := ann.get(session).json())["running"]:
                time.sleep(0.05)
            service, me = view["lanes"]
            assert (service["asked_as"], me["asked_as"]) == ("the service", "ann@example.com")
            sides = {"a": service["id"], "b": me["id"]}
            found = ann.get(f"{session}/rounds/{made}/difference", params=sides).json()
            kinds = {kind: [] for kind in (span["kind"] for span in found["spans"])}
            for span in found["spans"]:
                kinds[span["kind"]].append(span["text"].strip())
            changed = " ".join(text for kind, texts in kinds.items() if kind != "same" for text in texts)
            for word in ("12", "3", "every", "your"):
                assert word in changed.split(), found
            assert "invoices" not in changed and 0.5 < found["agreement"] < 1
            receipts = ann.get(f"{session}/rounds/{made}/receipts").json()
            assert {one["receipt"]["identity"] for one in receipts["receipts"]} == set(view_names(view))
            assert receipts["mismatches"] == []  # they were sent the same: who asks is the one difference
    finally:
        served.stop()


def view_names(view: dict[str, Any]) -> list[str]:
    return [lane["asked_as"] for lane in view["lanes"]]
