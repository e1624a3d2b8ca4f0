"""`storage` in a configuration: what it may say, and where its relative paths start."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest
import yaml

from chatlab.config.load import json_schema, load_config
from chatlab.config.models import Config
from chatlab.errors import ConfigError
from chatlab.secret import SecretRef

Load = Callable[[str], Config]

ANY = "backends: {a: {kind: echo}}\n"


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    (tmp_path / "lab").mkdir()
    monkeypatch.chdir(tmp_path)

    def write_and_load(text: str) -> Config:
        Path("lab/c.yaml").write_text(ANY + text, "utf-8")
        return load_config("lab/c.yaml")

    return write_and_load


@pytest.mark.parametrize("text", ["", "storage: {}\n", "storage: {keep_days: 5}\n"])
def test_by_default_a_sqlite_file_and_a_folder_are_beside_the_configuration(
    load: Load, tmp_path: Path, text: str
) -> None:
    storage = load(text).storage
    assert storage is not None
    assert storage.url == f"sqlite:{tmp_path}/lab/.chatlab/chatlab.db"
    assert storage.files == f"{tmp_path}/lab/.chatlab/files"


@pytest.mark.parametrize("word", ["none", "'none'", "null", "~", ""])
def test_none_keeps_nothing_and_the_schema_knows_it(load: Load, word: str) -> None:
    text = f"storage: {word}\n"
    assert load(text).storage is None
    jsonschema.validate(yaml.safe_load(ANY + text), json_schema(["echo"]))


@pytest.mark.parametrize(
    ("url", "read"),
    [
        ("sqlite:a.db", "sqlite:{lab}/a.db"),
        ("sqlite:../a.db", "sqlite:{lab}/../a.db"),
        ("sqlite:/var/a.db", "sqlite:/var/a.db"),
        ("sqlite:////var/a.db", "sqlite:/var/a.db"),
        ("sqlite:~/a.db", "sqlite:{home}/a.db"),
        ("postgresql://me@host/db", "postgresql://me@host/db"),
        ("postgres://host/db", "postgres://host/db"),
    ],
)
def test_a_relative_path_starts_at_the_configuration(load: Load, tmp_path: Path, url: str, read: str) -> None:
    storage = load(f"storage: {{url: '{url}', files: there}}\n").storage
    assert storage is not None
    assert storage.url == read.format(lab=tmp_path / "lab", home=Path.home())
    assert storage.files == f"{tmp_path}/lab/there"


def test_urls_of_files_and_references_stay_as_they_are(load: Load) -> None:
    storage = load("storage: {url: {env: DB}, files: 's3://bucket/x'}\n").storage
    assert storage is not None
    assert storage.url == SecretRef(env="DB") and storage.files == "s3://bucket/x"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("url: 'mysql://h/d'", "2:16: storage.url: should be sqlite:PATH or a postgresql:// URL"),
        ("url: sqlite", "2:16: storage.url: should be sqlite:PATH or a postgresql:// URL"),
        ("url: 'postgresql:db'", "2:16: storage.url: should be sqlite:PATH or a postgresql:// URL"),
        ("url: 'sqlite::memory:'", "2:16: storage.url: names no file: write sqlite:PATH"),
        ("url: 'postgresql://u:hunter2@h/d'", "2:16: storage.url: a secret is given by reference"),
        ("url: 'postgresql://u@h/d?password=hunter2'", "2:16: storage.url: a secret is given by reference"),
        ("files: ''", "2:18: storage.files: should not be empty"),
        ("keep_days: 0", "2:22: storage.keep_days: should be at least 1"),
        ("urll: x", "2:11: storage.urll: unknown key, did you mean url?"),
    ],
)
def test_what_is_wrong_is_said_once_with_its_place_and_without_secrets(
    load: Load, text: str, said: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(f"storage: {{{text}}}\n")
    (problem,) = caught.value.problems
    assert problem.startswith(f"lab/c.yaml:{said}") and "hunter2" not in problem


def test_any_other_word_is_a_mistake(load: Load) -> None:
    with pytest.raises(ConfigError, match=r"2:10: storage: should be a mapping"):
        load("storage: nothing\n")
