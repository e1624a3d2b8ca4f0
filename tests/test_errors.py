"""Every error is one sentence; an upstream's reply becomes the error of its status first, its text last."""

from __future__ import annotations

import pickle
import re

import pytest

import chatlab.errors as errors
from chatlab.config.models import BackendConfig
from chatlab.config.registry import Entry, backend_class
from chatlab.errors import (
    AuthenticationFailed,
    BackendError,
    BrokenStream,
    ChatlabError,
    ConfigError,
    ContentFiltered,
    ContextTooLong,
    InvalidRequest,
    MissingExtra,
    ModelNotFound,
    PermissionDenied,
    RateLimited,
    Unavailable,
    classify,
)
from chatlab.secret import SecretRef
from chatlab.spelling import closest, did_you_mean

CLASSES = [cls for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, ChatlabError)]


def test_the_modules_docstring_has_the_whole_tree() -> None:
    assert errors.__doc__
    shown = re.findall(r"^(\s+)(\w+)", errors.__doc__, re.M)
    listed = {name: len(indent) for indent, name in shown if name in vars(errors)}
    assert set(listed) == {cls.__name__ for cls in CLASSES}
    parents: list[str] = []
    for name, indent in listed.items():
        parents = [parent for parent in parents if listed[parent] < indent]
        assert getattr(errors, name).__base__.__name__ == (parents[-1] if parents else "Exception")
        parents.append(name)


@pytest.mark.parametrize(
    ("status", "text", "expected", "retryable"),
    [
        (400, "bad", InvalidRequest, False),
        (413, "too large", InvalidRequest, False),
        (422, "unknown field", InvalidRequest, False),
        (400, "This model's maximum context length is 8192 tokens", ContextTooLong, False),
        (400, "the request exceeds the available context size", ContextTooLong, False),
        (400, "`inputs` tokens + `max_new_tokens` must be <= 4096", ContextTooLong, False),
        (400, "The response was filtered due to Azure's content management policy", ContentFiltered, False),
        (401, "no", AuthenticationFailed, False),
        (403, "policy says no", PermissionDenied, False),
        (404, "no such model", ModelNotFound, False),
        (408, "slow", Unavailable, False),
        (429, "slow down", RateLimited, True),
        (500, "oops: content policy, maximum context", Unavailable, False),
        (502, "bad gateway", Unavailable, True),
        (503, "busy", Unavailable, True),
        (504, "gateway timeout", Unavailable, False),
        (529, "overloaded", Unavailable, False),
        (None, "maximum context", ContextTooLong, False),
        (None, "who knows", BrokenStream, False),
        (200, "<html>", BrokenStream, False),
    ],
)
def test_a_reply_is_classified_by_status_first_and_text_last(
    status: int | None, text: str, expected: type[BackendError], retryable: bool
) -> None:
    error = classify(status, text)
    assert type(error) is expected
    assert (error.status, error.retryable, error.detail) == (status, retryable, text)


def test_the_upstreams_own_code_counts_where_the_status_says_little() -> None:
    assert type(classify(400, "no", code="context_length_exceeded")) is ContextTooLong
    assert type(classify(400, "no", code="content_filter")) is ContentFiltered
    assert type(classify(401, "no", code="context_length_exceeded")) is AuthenticationFailed


@pytest.mark.parametrize("status", [429, 503])
def test_the_time_to_wait_is_kept(status: int) -> None:
    assert classify(status, "wait", retry_after=7.5).retry_after == 7.5


@pytest.mark.parametrize("cls", [cls for cls in CLASSES if issubclass(cls, BackendError)])
def test_a_backend_error_is_one_sentence_with_who_what_and_what_next(cls: type[BackendError]) -> None:
    error = cls("the first line\n  and the second", backend="gpt")
    assert str(error) == f"gpt: the first line and the second ({cls.advice})"
    assert cls.advice
    assert str(cls("what")) == f"what ({cls.advice})"
    error.where = "http://localhost:1/v1"
    assert str(error) == f"gpt at http://localhost:1/v1: the first line and the second ({cls.advice})"
    assert error.sentence == f"gpt: the first line and the second ({cls.advice})"
    error.label = "GPT mini"
    assert error.sentence == f"GPT mini: the first line and the second ({cls.advice})"
    assert str(error).startswith("gpt at ")


@pytest.mark.parametrize("cls", [cls for cls in CLASSES if issubclass(cls, BackendError)])
def test_a_failure_that_a_wrong_url_may_cause_says_the_url(cls: type[BackendError]) -> None:
    options = backend_class("openai").Options(model="m", base_url="https://host:1/v1?key=secret")
    error = cls("what")
    Entry("local", BackendConfig(kind="openai", options=options), backend_class("openai")).failed(error)
    where = " at https://host:1/v1" if cls in (Unavailable, ModelNotFound) else ""
    assert str(error) == f"local{where}: what ({cls.advice})"


def test_a_long_reply_is_cut_and_an_empty_one_is_named() -> None:
    assert len(classify(500, "x" * 5000).detail) == 300
    assert classify(502, "").detail == "the upstream answered 502"


def test_a_missing_sdk_names_what_to_install() -> None:
    assert str(MissingExtra("databricks", "databricks", "databricks.sdk")) == (
        "the databricks backend needs databricks.sdk: pip install -e '.[databricks]'"
    )
    assert str(MissingExtra("mine", None, "sdk")) == "the mine backend needs sdk: pip install 'sdk'"


def test_a_configurations_problems_are_a_line_each() -> None:
    error = ConfigError(["a.yaml:1:1: x", "a.yaml:2:1: y"])
    assert str(error) == "a.yaml:1:1: x\na.yaml:2:1: y"
    assert error.problems == ["a.yaml:1:1: x", "a.yaml:2:1: y"]


@pytest.mark.parametrize(
    ("word", "found"), [("modle", "model"), ("MODEL", "model"), ("xyz", None), ("", None)]
)
def test_a_misspelt_word_is_recognised(word: str, found: str | None) -> None:
    assert closest(word, ["model", "label"]) == found
    assert did_you_mean(word, ["model", "label"]) == ("" if found is None else f", did you mean {found}?")


@pytest.mark.parametrize(
    "error",
    [
        ConfigError(["a.yaml:1:1: wrong", "a.yaml:2:1: wrong too"]),
        MissingExtra("databricks", "databricks", "databricks.sdk"),
        RateLimited("slowly", backend="a", status=429, retry_after=2.0, retryable=True),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_is_the_same_in_another_process(error: ChatlabError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert (str(again), again.args, vars(again)) == (str(error), error.args, vars(error))


def test_an_error_leaves_its_process_without_the_secrets_known_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LATE", "sk-of-this-process-123456")
    error = ModelNotFound(f"no model at {SecretRef(env='LATE').env}", backend="a", status=404)
    error.where = "https://example.org/?key=sk-of-this-process-123456"
    SecretRef(env="LATE").resolve()
    assert b"of-this-process" not in pickle.dumps(error)
