"""The files in configs/: each is ready to use, and says so truthfully."""

from __future__ import annotations

import json
import os
import re
import runpy
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

import chatlab
from chatlab.config.load import json_schema, load_config
from chatlab.config.registry import Backends
from chatlab.config.yaml_positions import Document

CONFIGS = Path(__file__).resolve().parent.parent / "configs"
FILES = sorted(set(CONFIGS.glob("*.yaml")) - {CONFIGS / "agent.yaml"})  # tests/agent/test_config.py has that
VARIABLES = re.compile(r"^(OPENAI|AZURE|HF|HUGGING|DATABRICKS|ANTHROPIC)")


@pytest.fixture
def no_keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if VARIABLES.match(name):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("HF_HOME", str(tmp_path))


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def test_there_is_one_for_each_use() -> None:
    kinds = {"openai", "langchain", "huggingface", "databricks", "azure", "azure_managed_identity"}
    sign_in = {"sign_in", "sign_in_passwords", "databricks_u2m", "huggingface_sign_in"}
    sign_in |= {"permission_lanes", "agent_lanes", "huggingface_visitor"}
    sign_in |= {"databricks_apps", "azure_app_service"}  # of which the platform takes care
    assert {file.stem for file in FILES} == kinds | {"default", "compare"} | sign_in


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_it_is_valid_wherever_the_program_runs(
    file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    config = load_config(file)
    assert all(backend.label for backend in config.backends.values())


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_it_names_the_schema_which_accepts_it(file: Path, validator: jsonschema.Draft202012Validator) -> None:
    first = file.read_text("utf-8").splitlines()[0]
    assert first == "# yaml-language-server: $schema=chatlab.schema.json"
    assert (file.parent / "chatlab.schema.json").is_file()
    data: Any = Document(file.read_text("utf-8")).value
    assert [error.message for error in validator.iter_errors(data)] == []
    assert data["backends"] == yaml.safe_load(file.read_text("utf-8"))["backends"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_no_reasoning_model_is_sent_sampling_parameters_that_it_refuses(file: Path) -> None:
    config = load_config(file)
    refused = {"temperature", "top_p", "presence_penalty", "frequency_penalty"}
    reasoning = {
        name
        for name, backend in config.backends.items()
        if re.search(r"\bgpt-5|\bo[1-9]\b", f"{name} {backend.options.model_dump()}")
    }
    sent = [*config.compare.lanes, *(config.backends[name] for name in reasoning)]
    if reasoning:
        sent += config.ui.presets.values()
    for item in sent:
        if isinstance(item, str) or getattr(item, "backend", None) in config.backends.keys() - reasoning:
            continue
        assert not refused & item.parameters.keys()


def test_no_written_example_gives_one_a_temperature() -> None:
    root = Path(__file__).parents[1]
    shown = [root / "README.md", *(root / "docs").glob("*.md"), *(root / "chatlab" / "cli").glob("*.py")]
    lines = [line for file in shown for line in file.read_text("utf-8").splitlines()]
    assert not [line for line in lines if "gpt-5" in line and re.search(r"temperature|top_p", line)]
    starter = (root / "chatlab" / "cli" / "starter.yaml").read_text("utf-8")
    presets = starter.partition("presets:")[2].partition("server:")[0]
    assert "temperature:" not in presets, "a preset goes to whichever backend is chosen"


@pytest.mark.usefixtures("no_keys")
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_backend_is_listed_and_says_what_it_needs(file: Path) -> None:
    for entry in Backends(load_config(file).backends).values():
        reason = entry.not_ready
        assert reason is None or re.match(
            r"set [A-Z_]+|the \w+ backend needs|make .* readable|put .* into", reason
        )


@pytest.mark.usefixtures("no_keys")
def test_the_default_needs_no_key_and_offers_the_rest_once_their_variables_are_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = load_config(CONFIGS / "default.yaml")
    entries = Backends(config.backends)
    ready = [name for name, entry in entries.items() if entry.not_ready is None]
    assert ready == ["samples", "sample-brief", "sample-agent", "echo"]
    assert config.default in ready
    assert {entry.not_ready for name, entry in entries.items() if name not in ready} == {
        "set OPENAI_API_KEY",
        "set HF_TOKEN",
        "set DATABRICKS_HOST, set DATABRICKS_TOKEN",
    }
    for name in ("OPENAI_API_KEY", "HF_TOKEN", "DATABRICKS_TOKEN"):
        monkeypatch.setenv(name, "some-value")
    monkeypatch.setenv("DATABRICKS_HOST", "https://example.cloud.databricks.com")
    assert [entry.not_ready for entry in entries.values()] == [None] * len(entries)


def test_samples_are_marked_as_samples() -> None:
    for file in FILES:
        for name, backend in load_config(file).backends.items():
            if backend.kind == "replay":
                assert "sample" in name
                assert re.search("sample.*recording", f"{backend.label}", re.I)
                assert "no model answers" in str(backend.description)


def test_the_sample_graph_looks_a_word_up_with_its_tool() -> None:
    found = runpy.run_path(str(CONFIGS / "sample_graph.py"))
    answer = found["graph"].invoke({"messages": [("user", "What is a lane?")]})
    assert [message.type for message in answer["messages"]] == ["human", "ai", "tool", "ai"]
    assert answer["messages"][1].tool_calls[0]["args"] == {"word": "lane"}
    assert answer["messages"][-1].text == found["WORDS"]["lane"]


@pytest.mark.usefixtures("no_keys")
@pytest.mark.parametrize(
    ("file", "name", "question", "answer"),
    [
        ("default", "samples", "What can this page show?", "Everything below"),
        ("default", "sample-brief", "Compare TCP and UDP in a table", "web, mail, files"),
        ("default", "sample-agent", "Will I need an umbrella in Lisbon tomorrow?", "umbrella at home"),
        ("default", "echo", "Hello there", "Hello there"),
        ("compare", "quick-echo", "Hello there", "Hello there"),
        ("langchain", "graph", "What is a lane?", "One backend of a comparison"),
    ],
)
async def test_what_needs_no_key_answers(file: str, name: str, question: str, answer: str) -> None:
    async with chatlab.load(CONFIGS / f"{file}.yaml") as lab:
        parameters = {"speed": 0} if lab.backends[name].config.kind == "replay" else None
        said = await lab.answer(name, question, parameters=parameters)
    assert answer in said.text


def test_the_examples_of_the_default_are_questions_its_sample_session_was_recorded_for() -> None:
    config = load_config(CONFIGS / "default.yaml")
    assert [config.backends[str(lane)].kind for lane in config.compare.lanes] == ["replay", "replay"]
    for name in ("writer", "brief"):
        recorded = (CONFIGS / "samples" / f"{name}.jsonl").read_text("utf-8")
        assert json.loads(recorded.partition("\n")[0])["sample"] is True
        assert all(json.dumps(example.text) in recorded for example in config.ui.examples)
