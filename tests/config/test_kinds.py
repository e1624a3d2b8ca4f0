"""What every kind's options must be like, so that they fit beside the common keys of an entry."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from backends import KINDS
from chatlab.config.load import load_config
from chatlab.config.models import BackendConfig, Config
from chatlab.config.reference import _inner_models, generated
from chatlab.config.registry import backend_class
from chatlab.config.schema import COMMON, usual_parameters
from chatlab.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]


def models(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """A model and those in its fields."""
    yield model
    yield from (inner for _, inner in _inner_models(model, ""))


@pytest.mark.parametrize("kind", KINDS)
def test_no_option_has_the_name_of_a_common_key(kind: str) -> None:
    # "options" is not a key, but an option of that name would be read as the place for the options.
    own = set(backend_class(kind).Options.model_fields)
    assert own & {*COMMON, "options"} == set()


@pytest.mark.parametrize("model", [*models(Config), *models(BackendConfig)], ids=lambda model: model.__name__)
def test_every_key_is_described(model: type[BaseModel]) -> None:
    described(model)


@pytest.mark.parametrize("kind", KINDS)
def test_every_option_is_described(kind: str) -> None:
    for model in models(backend_class(kind).Options):
        described(model)


def described(model: type[BaseModel]) -> None:
    for name, field in model.model_fields.items():
        assert field.description, f"{model.__name__}.{name}"
        assert field.description[-1] in ".,:)}…" or field.description.endswith("..."), (
            f"{model.__name__}.{name}"
        )


@pytest.mark.parametrize("kind", KINDS)
def test_options_refuse_unknown_keys_changes_and_keep_values_out_of_errors(kind: str) -> None:
    for model in models(backend_class(kind).Options):
        assert model.model_config.get("extra") == "forbid"
        assert model.model_config.get("frozen")
        assert model.model_config.get("hide_input_in_errors")


@pytest.mark.parametrize("kind", KINDS)
def test_parameters_have_distinct_names_and_descriptions(kind: str) -> None:
    parameters = usual_parameters(backend_class(kind))
    assert len({parameter.name for parameter in parameters}) == len(parameters)
    assert all(parameter.description for parameter in parameters)


def test_all_mistakes_of_options_are_told_at_once_each_in_its_place(tmp_path: Path) -> None:
    path = tmp_path / "lab.yaml"
    path.write_text(MISTAKEN, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    found = [problem.removeprefix(f"{path}:") for problem in caught.value.problems]
    lines = MISTAKEN.splitlines()
    wanted = [(number, said) for number, line in enumerate(lines, 1) if (said := line.partition("  # ")[2])]
    assert [int(one.partition(":")[0]) for one in found] == [number for number, _ in wanted]
    for one, (_, said) in zip(found, wanted, strict=True):
        assert said in one


MISTAKEN = """\
backends:
  a:
    kind: langchain
    model: gpt-5-mini  # write the provider before the model
    modle_options: {}  # did you mean model_options?
    model_options: {api_key: x, password: y}  # give api_key and password under secrets
  b:
    kind: langchain
    object: a:b
    base_url: http://x  # goes with model
    secrets: {name: {env: NAME}}  # goes with model
  c:
    kind: huggingface
    model: org/m
    task: text-generation
    template: starchatt  # did you mean starchat?
    images: true  # images is for task chat
    provider: together  # hf-inference only
  d:
    kind: huggingface
    endpoint: http://localhost:1/v1  # leave /v1 out
    model: http://x  # keep one of them
    task: text-generation
    template: plain
  e:
    kind: huggingface
    model: org/m
    client: text-generation  # is for task text-generation
    scale_up_timeout: 3  # is for an endpoint
  f:
    kind: openai
    model: m
    temperatur: 1  # temperature is a parameter, which stands under parameters
    base_url: htp://x  # begins with http
    extra_headers: {Authorization: abc, X-Api-Key: d}  # Authorization and X-Api-Key are given by reference
    extra_body: {stream: true, model: x}  # stream, model
  g:
    kind: openai  # model is missing
    images: maybe  # should be true or false
  h:
    kind: openai
    modell: m  # did you mean model?
"""


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_is_described_for_people(kind: str) -> None:
    assert "docstring" not in (backend_class(kind).__doc__ or "docstring")


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("{kind: huggingface, endpoint: 'a.example'}", "endpoint: should begin with http:// or https://"),
        ("{kind: langchain, object: my_agent}", "object: should be module:attribute, such as my_agent:graph"),
    ],
)
def test_no_sentence_is_a_regular_expression(entry: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "lab.yaml").write_text(f"backends: {{one: {entry}}}\n")
    with pytest.raises(ConfigError, match=re.escape(f"backends.one.{said}")):
        load_config(tmp_path / "lab.yaml")


@pytest.mark.parametrize("name", ["docs/configuration.md", "configs/chatlab.schema.json"])
def test_what_is_generated_is_up_to_date(name: str) -> None:
    there = (ROOT / name).read_text("utf-8")
    assert there == generated()[name], "run: python -m chatlab.config.reference"


def test_the_reference_has_every_key() -> None:
    text = generated()["docs/configuration.md"]
    for model in (*models(Config), *models(BackendConfig), *(backend_class(kind).Options for kind in KINDS)):
        for name in model.model_fields:
            if (model, name) != (BackendConfig, "options"):
                assert f"`{name}`" in text
