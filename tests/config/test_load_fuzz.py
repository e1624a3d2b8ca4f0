"""Whatever is in a configuration file, loading it gives a Config or a ConfigError, and never a credential."""

from __future__ import annotations

import copy
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import backends
from chatlab.config.load import load_config
from chatlab.config.models import Config
from chatlab.errors import ConfigError

SECRET = "hunter2"

VALID = """\
x-common: &common {retries: 1, timeouts: {idle: 3}}
default: two
backends:
  one: {<<: *common, kind: echo, rate: 3, tools: [{name: t, arguments: {a: [1, null]}}]}
  two:
    <<: *common
    kind: sample
    model: m
    api_key: {env: SOME_KEY}
    headers: {a: b, c: {file: key.txt}}
    tool: {name: x}
    parameters: {temperature: 1, seed: 3, stop: [a], logprobs: true, effort: low}
    prices: {input: 1, output: 2.5}
ui:
  title: "Hello"
  labels: {submit: Go}
  height: 300
  avatars: [null, null]
  presets: {warm: {parameters: {temperature: 1.5}}}
server: {port: 0}
"""


@pytest.fixture(autouse=True, scope="module")
def sample_kind() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(backends.KINDS, "sample", "tests.config.kind:SampleBackend")
        yield


def check(content: str | bytes) -> Config | ConfigError:
    """Loads it and looks at every line of what is said about it."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "c.yaml"
        file.write_bytes(content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content)
        try:
            config = load_config(file)
        except ConfigError as exc:
            assert exc.problems
            for problem in exc.problems:
                assert re.match(rf"{re.escape(str(file))}:\d+:\d+: .", problem)
                assert "\n" not in problem
                line, column = map(int, problem.removeprefix(f"{file}:").split(":")[:2])
                assert line >= 1
                assert column >= 1
            assert exc.__context__ is None or exc.__suppress_context__
            return exc
        assert isinstance(config, Config)
        return config


def test_the_configuration_that_is_mutated_below_is_valid() -> None:
    assert isinstance(check(VALID), Config)


SNIPPETS = st.sampled_from(
    [
        "",
        ":",
        "- ",
        "\t",
        "{",
        "}",
        "[",
        "]",
        "&a ",
        "*a",
        "*common",
        "!!int ",
        "!x ",
        "<<: ",
        "? ",
        "| \n",
        "'",
        '"',
        "\n",
        "  ",
        "~",
        ".nan",
        "-1",
        "1e999",
        "0b_",
        "0x_",
        "1:30",
        "2024-13-45",
        "\0",
        "\ufeff",
        "\ud800",
        "---\n",
        "%",
    ]
)
CHANGE = st.tuples(st.integers(0, len(VALID)), st.integers(0, 12), SNIPPETS | st.text(max_size=4))


@given(st.lists(CHANGE, max_size=4))
@settings(max_examples=100, deadline=None)
def test_a_file_with_parts_cut_out_and_put_in_is_read_or_refused(changes: list[tuple[int, int, str]]) -> None:
    text = VALID
    for start, cut, put in changes:
        text = text[:start] + put + text[start + cut :]
    check(text)


@given(st.binary(max_size=60))
@settings(max_examples=50, deadline=None)
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    check(data)


KEYS = st.sampled_from(["kind", "model", "api_key", "env", "rate", "parameters", "nmae", "<<", "", "1"])
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([10**400, -(10**400)])
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["echo", "sample", "replay", "one", "~nobodyatall/x", "a\0b", "chat"])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)


def places(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value below the top."""
    pairs = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in pairs:
        yield (*path, key)
        yield from places(value, (*path, key))


TREE = yaml.safe_load(VALID)
REPLACEMENT = st.tuples(st.sampled_from(list(places(TREE))), VALUES | st.just(KeyError))


@given(st.lists(REPLACEMENT, min_size=1, max_size=3))
@settings(max_examples=120, deadline=None)
def test_a_file_with_other_values_in_its_places_is_read_or_refused(changes: list[tuple[Any, Any]]) -> None:
    data = copy.deepcopy(TREE)
    for path, value in changes:
        target = data
        for step in path[:-1]:
            target = target[step] if isinstance(target, dict) and step in target else None
        if isinstance(target, dict):
            if value is KeyError:
                target.pop(path[-1], None)
            else:
                target[path[-1]] = value
    check(yaml.safe_dump(data))


@given(VALUES)
@settings(max_examples=60, deadline=None)
def test_no_value_in_the_place_of_a_secret_is_repeated(around: Any) -> None:
    def hidden(value: Any) -> Any:
        if isinstance(value, dict):
            return {f"{SECRET}{key}": hidden(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [hidden(inner) for inner in value]
        return f"{SECRET}{value}"

    data = copy.deepcopy(TREE)
    data["backends"]["two"]["api_key"] = hidden(around)
    said = check(yaml.safe_dump(data))
    assert isinstance(said, ConfigError)
    assert SECRET not in str(said)
