"""The bundle for Databricks Apps: what is in it, and what is refused before it is sent."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from databricks.sdk.service.apps import App

from chatlab.cli import main
from tests.agent.workspace import TOOLS
from tests.servers.data_of_workspace import FUNCTION, WAREHOUSE

TOKEN = "dapi0123456789abcdef0123456789abcdef"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project as `init` writes it, with tools of the person and of the service."""
    folder = tmp_path / "my-agent"
    assert CliRunner().invoke(main, ["agent", "init", str(folder)]).exit_code == 0
    service = TOOLS["function"].replace("}", ", as: service}")
    file = folder / "agent.yaml"
    text = file.read_text().replace("tools: []\n", f"tools:\n  - {TOOLS['search']}\n  - {service}\n")
    file.write_text(text.replace("databricks-meta-llama-3-3-70b-instruct", "{env: MY_ENDPOINT}"))
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MY_ENDPOINT", "table")
    monkeypatch.setenv("DATABRICKS_TOKEN", TOKEN)
    return folder


def deploy(*words: str, code: int = 0) -> Result:
    done = CliRunner().invoke(main, ["agent", "deploy", "--to", "apps", *words])
    assert done.exit_code == code, done.output
    return done


def change(file: Path, old: str, new: str) -> None:
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))


def test_a_bundle_has_the_rights_of_the_tools_and_all_that_the_app_needs(folder: Path) -> None:
    change(
        folder / "databricks.yml",
        "user_api_scopes: []",
        "user_api_scopes: [files.files]\n      description: Ours",
    )
    said = json.loads(deploy("--dry-run").stdout)
    assert not (folder / "bundle").exists()
    assert said["app"] == {
        "name": "my-agent",
        "source_code_path": ".",
        "user_api_scopes": [
            "files.files",
            "serving.serving-endpoints",
            "vectorsearch.vector-search-endpoints",
            "vectorsearch.vector-search-indexes",
        ],
        "description": "Ours",
        "resources": [
            {
                "name": "function-1",
                "uc_securable": {
                    "securable_full_name": FUNCTION,
                    "securable_type": "FUNCTION",
                    "permission": "EXECUTE",
                },
            },
            {"name": "warehouse-2", "sql_warehouse": {"id": WAREHOUSE, "permission": "CAN_USE"}},
        ],
    }
    done = deploy()
    assert "databricks bundle deploy and databricks bundle run my-agent" in done.stderr
    bundle = folder / "bundle"
    assert {name: (bundle / name).read_text() for name in said["files"]} == said["files"]
    digest = hashlib.sha256()
    for name in said["copied"]["files"]:
        digest.update(name.encode() + b"\0" + (bundle / name).read_bytes())
    assert digest.hexdigest() == said["copied"]["sha256"]
    there = {path.relative_to(bundle).as_posix() for path in bundle.rglob("*") if path.is_file()}
    assert (
        there == {*said["files"], *said["copied"]["files"]} >= {"agent.py", "chatlab/agent/tool_calling.py"}
    )
    assert yaml.safe_load(said["files"]["databricks.yml"])["resources"]["apps"] == {"my-agent": said["app"]}
    start = yaml.safe_load(said["files"]["app.yaml"])
    assert start["command"][:4] == ["python", "-m", "chatlab", "agent"]
    assert {"name": "MY_ENDPOINT", "value": "table"} in start["env"]
    assert "langgraph==" in said["files"]["requirements.txt"]
    assert [
        path for path in bundle.rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()
    ] == []
    (bundle / "stale.py").write_text("")
    deploy()  # again
    assert not (bundle / "stale.py").exists()


def test_every_kind_of_resource_is_one_that_the_workspace_knows(folder: Path) -> None:
    kinds = ("endpoint", "index", "function", "warehouse", "connection", "table", "genie", "app")
    listed = "".join(f"  - {{type: {kind}, name: main.a.{kind}}}\n" for kind in kinds)
    with (folder / "agent.yaml").open("a") as file:
        file.write(f"resources:\n{listed}")
    app: dict[str, Any] = json.loads(deploy("--dry-run").stdout)["app"]
    known = App.from_dict(app).as_dict()["resources"]
    assert known == app["resources"] and len(known) == 2 + len(kinds)


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        (
            "databricks.yml",
            "name: my-agent\n      source",
            "name: My_Agent\n      source",
            "2 to 30 small letters",
        ),
        ("databricks.yml", "user_api_scopes", "user_scopes", "does not know of an app: user_scopes"),
        ("databricks.yml", "  apps:", "  jobs:", "should have one app, under resources.apps"),
        ("app.yaml", "command:", "comand:", "app.yaml has no `command`"),
        ("app.yaml", "command: [", "command: {", "app.yaml cannot be read"),
    ],
)
def test_what_no_workspace_would_take_is_refused_before_it_is_written(
    folder: Path, file: str, old: str, new: str, said: str
) -> None:
    change(folder / file, old, new)
    assert said in deploy(code=4).stderr
    assert not (folder / "bundle").exists()
