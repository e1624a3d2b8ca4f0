"""The JSON Schema that editors use: it accepts what the loader accepts and underlines the usual mistakes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

import backends
from chatlab.config.load import json_schema, load_config
from chatlab.config.models import Config
from chatlab.errors import ConfigError

ENTRY = "backends: {{a: {{kind: sample, model: m, {}}}}}"


@pytest.fixture(autouse=True)
def only_these_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    place = "tests.config.kind:SampleBackend"
    monkeypatch.setattr(backends, "KINDS", {"echo": backends.KINDS["echo"], "sample": place})


@pytest.fixture
def accepts() -> Callable[[str], bool]:
    validator = jsonschema.Draft202012Validator(json_schema())
    return lambda text: validator.is_valid(yaml.safe_load(text))


def loads(text: str, folder: Path) -> bool:
    (folder / "c.yaml").write_text(text)
    try:
        return isinstance(load_config(folder / "c.yaml"), Config)
    except ConfigError:
        return False


@pytest.mark.parametrize(
    "text",
    [
        "backends: {a: {kind: echo}}",
        ENTRY.format("api_key: {env: A}"),
        ENTRY.format("api_key: {file: a.txt}, headers: {a: b, c: {env: D}}"),
        ENTRY.format("tool: {name: x}, tools: [{name: y, strict: true}]"),
        ENTRY.format("parameters: {temperature: 1, stop: [a], effort: low, extra: {a: 1}, seed: null}"),
        "x-anything: [1]\nbackends: {a: {kind: echo}}\nui: {labels: {submit: Go}, height: 3}",
        "version: 1\ndefault: a\nbackends: {a: {kind: echo}}\nserver: {port: 0}",
    ],
)
def test_what_the_loader_takes_is_accepted(accepts: Callable[[str], bool], text: str, tmp_path: Path) -> None:
    assert loads(text, tmp_path)
    assert accepts(text)


@pytest.mark.parametrize(
    "text",
    [
        "backend: {a: {kind: echo}}",
        "backends: {}",
        "backends: {a: {}}",
        "backends: {a: {kind: ecko}}",
        "backends: {a: {kind: echo, modle: x}}",
        "backends: {a: {kind: echo, model: x, api_key: {env: A}}}",  # an option of another kind
        "backends: {a: {kind: sample}}",
        ENTRY.format("api_key: literal"),
        ENTRY.format("api_key: {}"),
        ENTRY.format("api_key: {env: A, file: b}"),
        ENTRY.format("api: responces"),
        ENTRY.format("tools: [{nmae: x}]"),
        ENTRY.format("retries: -1"),
        ENTRY.format("timeouts: {total: soon}"),
        ENTRY.format("parameters: {temperature: hot}"),
        ENTRY.format("parameters: {effort: medium}"),
        "version: 2\nbackends: {a: {kind: echo}}",
        "backends: {a: {kind: echo}}\nui: {theme: sotf}",
        "backends: {a: {kind: echo}}\nui: {labels: {sumbit: Go}}",
        "backends: {a: {kind: echo}}\nserver: {port: 70000}",
    ],
)
def test_a_usual_mistake_is_refused_by_both(
    accepts: Callable[[str], bool], text: str, tmp_path: Path
) -> None:
    assert not loads(text, tmp_path)
    assert not accepts(text)


def test_every_kind_has_a_branch_with_its_options_described() -> None:
    schema = json_schema()
    branch = schema["$defs"]["backend.sample"]
    assert schema["$defs"]["BackendConfig"]["properties"]["kind"]["enum"] == ["echo", "sample"]
    assert branch["properties"]["kind"] == {"const": "sample", "description": "A kind for tests."}
    assert branch["properties"]["api"]["description"] == "A choice."
    assert branch["required"] == ["kind", "model"]
    assert set(branch["properties"]["parameters"]["properties"]) >= {"temperature", "seed"}


def test_it_has_no_dangling_and_no_unused_definitions() -> None:
    schema = json_schema()
    references = set()

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            if "$ref" in node:
                references.add(node["$ref"].removeprefix("#/$defs/"))
            for inner in node.values():
                walk(inner)
        elif isinstance(node, list):
            for inner in node:
                walk(inner)

    walk(schema)
    assert references == set(schema["$defs"])


def test_a_plugin_that_cannot_be_imported_leaves_the_others_their_schema(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(backends.KINDS, "broken", "tests.no_such_module:Backend")
    schema = json_schema()
    validator = jsonschema.Draft202012Validator(schema)
    assert "backend.sample" in schema["$defs"]
    assert validator.is_valid({"backends": {"a": {"kind": "broken", "whatever": 1}}})
    with pytest.raises(ConfigError, match="kind 'broken'"):
        json_schema(["broken"])
