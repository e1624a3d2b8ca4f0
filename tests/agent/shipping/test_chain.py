"""The whole way of an agent by its commands, with MLflow's real store, server and models."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from click.testing import CliRunner, Result

from chatlab.cli import main
from tests.agent.workspace import TOOLS
from tests.backends.rig import unused_port
from tests.heavy import needed
from tests.servers.data_of_workspace import FUNCTION, WAREHOUSE, DataOfWorkspace
from tests.servers.llama import TOOL, LlamaServer
from tests.servers.models_of_workspace import ModelsOfWorkspace, behind

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
]
DEPLOYED = """\
  environment: {MODE: plain, MAIL_PASSWORD: "{{secrets/mail/pass}}"}
  can_query: [bob@example.com, analysts]
"""
ROOT = Path(__file__).resolve().parents[3]


def run(*words: str, code: int = 0) -> Result:
    """Runs a command of `chatlab agent`."""
    done = CliRunner().invoke(main, ["agent", *words])
    assert done.exit_code == code, f"{words}: {done.output} {done.exception!r}"
    return done


@pytest.fixture
def folder(mlflow: Any, data: DataOfWorkspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project as `init` writes it, with the endpoint and tools of the workspace; ann runs the commands."""
    run("init", str(tmp_path / "my-agent"))
    folder = tmp_path / "my-agent"
    file = folder / "agent.yaml"
    text = file.read_text().replace("databricks-meta-llama-3-3-70b-instruct", "table")
    service = TOOLS["function"].replace("}", ", as: service}")
    listed = f"tools:\n  - {TOOLS['search']}\n  - {service}\n"
    more = f"{listed}temperature: 0\nprices: {{input: 2, output: 8}}\n"
    file.write_text(text.replace("tools: []\n", more) + DEPLOYED)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("DATABRICKS_TOKEN", data.workspace.person("ann@example.com"))
    return folder


@pytest.fixture
def judge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A configuration with a model that says yes."""
    folder = tmp_path_factory.mktemp("judge")
    with LlamaServer(
        folder, "Yes. Every statement of the answer stands in what was found, word by word."
    ) as llama:
        options = f"kind: openai, model: table, base_url: {llama.url}/v1"
        (folder / "chatlab.yaml").write_text(f"storage: none\nbackends:\n  judge: {{{options}}}\n")
        yield folder / "chatlab.yaml"


@pytest.fixture
def server(folder: Path) -> Iterator[str]:
    """`chatlab agent serve`, in a process of its own."""
    port = unused_port()
    command = [sys.executable, "-m", "chatlab", "agent", "serve", "--as-me", "--port", str(port)]
    with (folder / "serve.log").open("w") as log:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(20)


def wait_for(server: str, log: Path) -> None:
    until = time.monotonic() + 120
    while True:
        try:
            httpx2.get(f"{server}/health", trust_env=False, timeout=2).raise_for_status()
            return
        except httpx2.HTTPError:
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.1)


def test_an_agent_goes_from_a_folder_to_a_comparison(
    folder: Path,
    server: str,
    judge: Path,
    data: DataOfWorkspace,
    mlflow: Any,
    mlflow_database: Path,
    llama: Any,
) -> None:
    needed("databricks.agents")
    models = ModelsOfWorkspace(data.workspace, behind(server))
    ask = f"use the {TOOL}"
    token = os.environ["DATABRICKS_TOKEN"]
    said = []

    tried = run("try", ask)
    assert llama.text in tried.stdout
    assert "calls search_documents" in tried.stderr or "calls shout" in tried.stderr
    assert " (as you): " in tried.stderr or " (as the service): " in tried.stderr
    assert "next: chatlab agent log" in tried.stderr

    logged = run("log")
    assert f"resource of the service: function {FUNCTION}" in logged.stderr
    assert "API scope of the person: vectorsearch.vector-search-indexes" in logged.stderr
    policy = mlflow.models.Model.load(logged.stdout.strip()).auth_policy
    assert policy["user_auth_policy"]["api_scopes"] == [
        "serving.serving-endpoints",
        "vectorsearch.vector-search-endpoints",
        "vectorsearch.vector-search-indexes",
    ]
    resources = policy["system_auth_policy"]["resources"]["databricks"]
    assert resources == {"function": [{"name": FUNCTION}], "sql_warehouse": [{"name": WAREHOUSE}]}

    (folder / "good.jsonl").write_text(
        json.dumps(
            {"request": {"messages": [{"role": "user", "content": ask}]}, "expected_response": llama.text}
        )
        + "\n"
        + json.dumps({"request": "hello", "expected_response": llama.text})
    )
    judging = ["--judge", "judge", "--config", str(judge), "--report", "report.html"]
    good = run("evaluate", "--data", "good.jsonl", *judging)
    assert "contains_expected/mean 1.00" in good.stdout and "answered/mean 1.00" in good.stdout
    assert "grounded/mean 1.00" in good.stdout and "cost/mean 0." in good.stdout
    of_question = [line for line in good.stdout.splitlines() if line.startswith("2. ")]
    assert "grounded" not in of_question[0]  # no tool found anything
    report = (folder / "report.html").read_text()
    assert "Evaluation of my-agent" in report and "grounded" in report
    first = good.stderr.partition("evaluated as run ")[2].split()[0]
    (folder / "bad.csv").write_text("request,expected_response\nhello,something else\n")
    bad = run("evaluate", "--data", "bad.csv", "--against", first, "--databricks-judges", code=1)
    assert "contains_expected/mean fell from 1.00 to 0.00" in bad.stderr
    for score in ("correctness/mean 0.00", "relevance_to_query/mean 1.00", "safety/mean 1.00"):
        assert score in bad.stdout
    assert {one["assessment_input"]["chat_response"] for one in models.judged} == {llama.text}

    validated = run("validate", "--env-manager", "local")
    assert "the logged model answers" in validated.stderr
    registered = run("register")
    assert "registered main.agents.my-agent, version 1" in registered.stderr
    dry = json.loads(run("deploy", "--dry-run").stdout)
    assert dry["databricks.agents.deploy"] == {
        "model_name": "main.agents.my-agent",
        "model_version": 1,
        "scale_to_zero": True,
        "workload_size": "Small",
        "tags": {"endpointSource": "playground"},
        "environment_vars": {"MODE": "plain", "MAIL_PASSWORD": "{{secrets/mail/pass}}"},
    }
    assert dry["auth_policy"]["user"] == policy["user_auth_policy"]["api_scopes"]
    assert models.created == models.permitted == []

    wait_for(server, folder / "serve.log")
    deployed = run("deploy")
    assert "agents_main-agents-my-agent: in progress, 0 s" in deployed.stderr
    assert "agents_main-agents-my-agent answers, asked as you; it ran no tool" in deployed.stderr
    assert models.created == [as_created(dry)]
    assert models.permitted == [
        (
            "0123456789abcdef0123456789abcdef",
            {"access_control_list": dry["permissions"]},
        )
    ]
    assert dry["permissions"] == [
        {"user_name": "bob@example.com", "permission_level": "CAN_QUERY"},
        {"group_name": "analysts", "permission_level": "CAN_QUERY"},
    ]
    (noted,) = models.deployed
    assert (noted["model_name"], noted["model_version"]) == ("main.agents.my-agent", 1)
    again = run("deploy")  # as after a failure
    assert "has this version already" in again.stderr
    assert "agents_main-agents-my-agent answers" in again.stderr and len(models.created) == 1
    (first_asked, _) = data.workspace.invocations("agents_main-agents-my-agent")
    assert json.loads(first_asked.body) == dry["asked"]
    assert first_asked.headers["authorization"] == f"Bearer {token}"

    config = folder / "chatlab.yaml"
    config.write_text(config.read_text().replace("http://127.0.0.1:8000", server))
    (folder / "prompts.txt").write_text(f"{ask}\nhello\n")
    compared = CliRunner().invoke(
        main, ["compare", "chatlab.yaml", "--prompts", "prompts.txt", "--out", "run"]
    )
    assert compared.exit_code == 0, compared.output
    results = [json.loads(line) for line in (folder / "run/results.jsonl").read_text().splitlines()]
    assert sorted((one["turn"]["backend"], one["turn"]["status"]) for one in results) == [
        ("agent", "finished"),
        ("agent", "finished"),
        ("agent-server", "finished"),
        ("agent-server", "finished"),
    ]
    asked_by = {call.token for call in data.calls if call.what == "model"}
    assert asked_by - {*data.workspace.issued} == {token} < asked_by

    said += [one.output for one in (tried, logged, good, bad, validated, registered, deployed, compared)]
    mlflow.flush_trace_async_logging()
    places = (folder.parent, mlflow_database.parent)
    stored = [file for place in places for file in place.rglob("*") if file.is_file()]
    assert len(stored) > 20
    assert [file for file in stored if token.encode() in file.read_bytes()] == []
    assert len(models.files) > 20 and token.encode() not in b"".join(models.files.values())
    assert token not in "".join(said)


def as_created(dry: dict[str, Any]) -> dict[str, Any]:
    """What the workspace is asked to create where `deploy --dry-run` printed this."""
    said = dry["databricks.agents.deploy"]
    served = {
        "name": "main-agents-my-agent_1",
        "entity_name": said["model_name"],
        "entity_version": said["model_version"],
        "scale_to_zero_enabled": said["scale_to_zero"],
        "workload_size": said["workload_size"],
        "environment_vars": {
            **said["environment_vars"],
            "ENABLE_LANGCHAIN_STREAMING": "true",
            "ENABLE_MLFLOW_TRACING": "true",
            "RETURN_REQUEST_ID_IN_RESPONSE": "true",
        },
    }
    return {
        "name": "agents_main-agents-my-agent",
        "description": "",
        "config": {
            "name": "agents_main-agents-my-agent",
            "served_entities": [served],
            "traffic_config": {
                "routes": [{"served_model_name": "main-agents-my-agent_1", "traffic_percentage": 100}]
            },
        },
        "ai_gateway": {
            "inference_table_config": {
                "enabled": True,
                "catalog_name": "main",
                "schema_name": "agents",
                "table_name_prefix": "my-agent",
            }
        },
        "tags": [{"key": name, "value": value} for name, value in said["tags"].items()],
    }


def test_each_failure_says_what_is_missing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "run `chatlab agent log` first" in run("register", code=4).stderr
    assert "run `chatlab agent register` first" in run("deploy", code=4).stderr
    assert "my-agent/README.md is there already" in run("init", str(folder), code=4).stderr
    monkeypatch.delenv("DATABRICKS_TOKEN")
    assert "here yours: set DATABRICKS_TOKEN" in run("try", "hi", code=4).stderr
    monkeypatch.delenv("DATABRICKS_HOST")
    monkeypatch.setenv("DATABRICKS_TOKEN", "dapi00000000000000000000000000000001")
    assert "set DATABRICKS_HOST" in run("try", "hi", code=4).stderr
    assert "agent.yaml: there is no such file" in run("log", "-a", "x/agent.yaml", code=3).stderr
    refused = run("serve", "--as-me", "--host", "0.0.0.0", code=2).stderr
    assert "it goes with a loopback address only" in refused
