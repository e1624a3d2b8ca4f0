"""Secrets are given by reference, read when used, and kept out of whatever people read."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from chatlab.compare.report.redact import parse_patterns, redacted
from chatlab.config.load import load_config
from chatlab.errors import AuthenticationFailed, ConfigError, classify
from chatlab.paths import BASE
from chatlab.secret import ScrubbingFormatter, SecretRef, remember, scrub
from tests.compare.report.samples import comparison

VALUE = "correct-horse-battery"


def test_a_secret_comes_from_a_variable_each_time_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    ref = SecretRef(env="SOME_KEY")
    monkeypatch.delenv("SOME_KEY", raising=False)
    assert ref.missing() == "set SOME_KEY"
    with pytest.raises(LookupError, match="set SOME_KEY"):
        ref.resolve()
    monkeypatch.setenv("SOME_KEY", f" {VALUE}\n")
    assert ref.missing() is None
    assert ref.resolve().get_secret_value() == VALUE
    monkeypatch.setenv("SOME_KEY", "rotated-value")
    assert ref.resolve().get_secret_value() == "rotated-value"


def test_an_empty_variable_is_a_missing_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", " ")
    assert SecretRef(env="SOME_KEY").missing() == "set SOME_KEY"


def test_a_secret_comes_from_a_file_beside_the_configuration(tmp_path: Path) -> None:
    ref = SecretRef.model_validate({"file": "key.txt"}, context={BASE: tmp_path})
    assert str(tmp_path / "key.txt") in str(ref.missing())
    (tmp_path / "key.txt").write_text("\n")
    assert str(ref.missing()).startswith("put the secret into ")
    (tmp_path / "key.txt").write_bytes(b"\xff\xfe")
    assert ref.missing() is not None
    (tmp_path / "key.txt").write_text(f"{VALUE}\n")
    assert ref.missing() is None
    assert ref.resolve().get_secret_value() == VALUE


@pytest.mark.parametrize(
    "written",
    [
        VALUE,
        17,
        True,
        [VALUE],
        None,
        {},
        {"env": "A", "file": "b"},
        {"value": VALUE},
        {"env": VALUE},
        {"env": "hf_" + "a" * 20},
        {"file": "sk-" + "a" * 20},
    ],
)
def test_anything_but_a_reference_is_refused_without_being_repeated(written: object) -> None:
    with pytest.raises(ValidationError) as caught:
        SecretRef.model_validate(written)
    said = str(caught.value)
    assert VALUE not in said
    assert "a" * 20 not in said


def test_a_reference_never_shows_the_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", VALUE)
    ref = SecretRef(env="SOME_KEY")
    value = ref.resolve()
    assert VALUE not in repr(ref) + str(ref) + ref.model_dump_json() + repr(value) + str(value)


def test_what_was_resolved_is_scrubbed_from_errors_and_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", VALUE)
    SecretRef(env="SOME_KEY").resolve()
    assert scrub(f"refused: {VALUE}!") == "refused: ***!"
    assert VALUE not in str(AuthenticationFailed(f"Incorrect API key provided: {VALUE}"))
    assert VALUE not in str(classify(401, f"bad {VALUE}"))
    try:
        raise RuntimeError(VALUE)
    except RuntimeError:
        record = logging.LogRecord("x", 40, "f", 1, "with %s", (VALUE,), sys.exc_info())
    assert VALUE not in ScrubbingFormatter().format(record)


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer abcdefgh12345",
        "Incorrect API key provided: sk-proj-****abcd",
        "token hf_abcdefghijkl",
        "dapi0123456789abcdef",
        "eyJhbGciOiJI.eyJzdWIiOiIx.c2lnbmF0dXJl",
    ],
)
def test_what_is_shaped_like_a_credential_is_scrubbed_whoever_it_belongs_to(text: str) -> None:
    assert "***" in scrub(text)
    assert text.split()[-1] not in scrub(text)


CREDENTIALS = [
    "sk-ant-api03-" + "Ab0_" * 8,
    "hf_" + "aB" * 17,
    "dapi" + "0123456789abcdef" * 2,
    "dose" + "0123456789abcdef" * 2,
    "gsk_" + "aB3" * 17,
    "xai-" + "aB3" * 20,
    "AKIAIOSFODNN7EXAMPLE",
    "ASIAIOSFODNN7EXAMPLE",
    "ghp_" + "aB3" * 12,
    "gho_" + "aB3" * 12,
    "github_pat_" + "11ABC_" * 10,
    "glpat-" + "x-Y_" * 5,
    "xoxb-123456789012-abcdefABCDEF",
    "xapp-1-A012-345-abcdef",
    "AIza" + "SyA-_" * 7,
    "ya29." + "a0Af" * 8,
    "eyJhbGciOiJI.eyJzdWIiOiIx.c2lnbmF0dXJl",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIEow" + "AbC/" * 20 + "\n-----END RSA PRIVATE KEY-----",
]


@pytest.mark.parametrize("credential", CREDENTIALS, ids=lambda value: value[:10])
def test_texts_configurations_and_reports_know_the_same_credentials(credential: str, tmp_path: Path) -> None:
    text = f"refused ({credential}), try again"
    assert scrub(text) == "refused (***), try again"
    found = redacted(comparison(1, title=text), parse_patterns(["api-key"]))
    assert found.title == "refused ([redacted: api-key]), try again"
    config = tmp_path / "chatlab.yaml"
    header = json.dumps({"X-Key": credential})
    config.write_text(f"backends: {{a: {{kind: openai, model: m, extra_headers: {header}}}}}")
    with pytest.raises(ConfigError, match="by reference") as caught:
        load_config(config)
    assert credential not in str(caught.value)


def test_a_password_in_a_url_is_scrubbed() -> None:
    assert scrub("postgresql://ann:geheim@db/chat is away") == "postgresql://***@db/chat is away"
    assert scrub("see https://example.org:8080/a@b") == "see https://example.org:8080/a@b"


def test_ordinary_text_is_left_alone() -> None:
    remember("abc")  # too short to be told from ordinary text
    text = "the abc of tasks: sk-1, hf_x, a bearer of news"
    assert scrub(text) == text


def test_a_stand_in_for_a_key_takes_no_word_out_of_any_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_KEY", "none")
    SecretRef(env="NO_KEY").resolve()
    assert scrub("none of it is secret") == "none of it is secret"
