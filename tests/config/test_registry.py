"""Kinds and backends are found by name, made when first used, and say what they need."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import backends
from chatlab.backend import Backend, CallContext, Capabilities, ChatRequest, Options, Parameter, secret_refs
from chatlab.config.models import BackendConfig
from chatlab.config.registry import Backends, Entry, backend_class, from_address, kinds
from chatlab.errors import ConfigError, MissingExtra, NotReady
from chatlab.messages import Finish, StreamEvent
from chatlab.secret import SecretRef
from tests.config.kind import SampleOptions


@pytest.fixture(autouse=True)
def sample_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(backends.KINDS, "sample", "tests.config.kind:SampleBackend")


def test_the_built_in_kinds_are_known_without_importing_them() -> None:
    assert list(kinds())[:6] == ["echo", "replay", "openai", "langchain", "huggingface", "databricks"]


def test_an_unknown_kind_lists_the_kinds_and_the_one_that_was_meant() -> None:
    with pytest.raises(
        ConfigError, match=r"unknown kind 'opnai', did you mean openai\? the kinds are .*echo"
    ):
        backend_class("opnai")


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("tests.no_such_module:X", "cannot be imported: No module named 'tests.no_such_module'"),
        ("tests.config.kind:Nothing", "cannot be imported: module 'tests.config.kind' has no attribute"),
        ("tests.config.kind:SampleOptions", "is not a chatlab Backend"),
    ],
)
def test_a_broken_plugin_is_one_sentence(monkeypatch: pytest.MonkeyPatch, place: str, said: str) -> None:
    monkeypatch.setitem(backends.KINDS, "broken", place)
    with pytest.raises(ConfigError) as caught:
        backend_class("broken")
    assert f"kind 'broken': {place} {said}" in str(caught.value)


def test_another_package_named_backends_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "backends").mkdir()
    (tmp_path / "backends" / "__init__.py").write_text("KINDS = {}")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "backends")
    with pytest.raises(ConfigError, match=r"another package named 'backends' \(.*\) hides chatlab's own"):
        kinds()
    sys.modules.pop("backends", None)


def test_an_address_fills_the_kinds_own_field() -> None:
    entry = from_address("sample:org/model:tag")
    assert (entry.name, entry.config.kind) == ("sample:org/model:tag", "sample")
    assert entry.config.options.model == "org/model:tag"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("gpt", "'gpt' is neither a configured backend nor an address such as openai:gpt-5-mini"),
        ("ecko:x", "unknown kind 'ecko', did you mean echo?"),
        ("echo:x", "the kind echo takes nothing after the colon"),
        ("sample:", "'sample:': model: "),
        ("replay:", "'replay:': recording: is missing"),
    ],
)
def test_what_is_no_address_is_one_sentence(address: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        from_address(address)
    assert said in str(caught.value)


def entries(**options: Any) -> Backends:
    return Backends({"one": BackendConfig(kind="sample", options=SampleOptions(model="m", **options))})


def test_names_come_before_addresses_and_an_address_is_made_once() -> None:
    found = entries()
    assert list(found) == ["one"]
    assert found["one"].label == "one"
    assert found["echo:"] is found["echo:"]
    assert "echo:" not in found
    with pytest.raises(ConfigError, match=r"\(configured: one\)"):
        found["two"]


def test_a_missing_secret_is_said_and_found_when_it_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOME_KEY", raising=False)
    entry = entries(api_key=SecretRef(env="SOME_KEY"))["one"]
    assert entry.not_ready == "set SOME_KEY"
    with pytest.raises(NotReady, match="one is not ready: set SOME_KEY") as refused:
        entry.backend()
    assert refused.value.sentence == "one is not ready: set SOME_KEY"
    monkeypatch.setenv("SOME_KEY", "x")
    assert entry.not_ready is None
    assert entry.backend() is entry.backend()


def test_whoever_reads_a_page_is_told_of_a_backend_by_its_label(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOME_KEY", raising=False)
    options = SampleOptions(model="m", api_key=SecretRef(env="SOME_KEY"))
    entry = Backends({"one": BackendConfig(kind="sample", label="The first", options=options)})["one"]
    with pytest.raises(NotReady, match="one is not ready") as refused:
        entry.backend()
    assert refused.value.sentence == "The first is not ready: set SOME_KEY"


def test_secrets_are_found_however_deep() -> None:
    options = SampleOptions(
        model="m", api_key=SecretRef(env="A"), headers={"x": SecretRef(env="B"), "y": "z"}
    )
    assert [ref.env for ref in secret_refs(options)] == ["A", "B"]


class NeedsSdk(Backend):
    modules = ("no_such_sdk",)
    extra = "nosuch"

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        import no_such_sdk  # noqa: F401

    async def stream(self, request: ChatRequest, ctx: CallContext) -> AsyncIterator[StreamEvent]:
        yield Finish("stop")


def test_a_missing_sdk_names_the_extra_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = Entry("one", BackendConfig(kind="needs", options=Options()), NeedsSdk)
    assert str(entry.not_ready).endswith("needs no_such_sdk: pip install -e '.[nosuch]'")
    monkeypatch.setattr(NeedsSdk, "modules", ())  # one that is there, but lacks something inside
    with pytest.raises(MissingExtra, match=r"needs no_such_sdk: pip install -e '.\[nosuch\]'"):
        entry.backend()


async def test_a_plugin_that_fails_while_it_is_made_ready_stops_nobody() -> None:
    class Mistaken(NeedsSdk):
        @classmethod
        def not_ready(cls, options: Any) -> str | None:
            raise RuntimeError("a plugin's mistake")

    await Entry("mistaken", BackendConfig(kind="mistaken", options=Options()), Mistaken).warm()


async def test_what_was_made_is_closed_and_made_anew_when_used_again() -> None:
    entry = entries()["one"]
    first = entry.backend()
    await entry.aclose()
    await entry.aclose()
    assert entry.backend() is not first


def test_a_backend_declares_little_unless_it_says_more() -> None:
    assert NeedsSdk.capabilities(Options()) == Capabilities(files=(), parameters=(), system=True)
    assert repr(NeedsSdk.__new__(NeedsSdk)) == "<NeedsSdk>"


@pytest.mark.parametrize(
    ("parameter", "right", "wrong"),
    [
        (
            Parameter("p", "float", minimum=0, maximum=2),
            [0, 2, 0.5, None],
            [-0.1, 2.1, "1", True, float("nan")],
        ),
        (Parameter("p", "float"), [1e300, -1], [float("inf"), [1]]),
        (Parameter("p", "int", minimum=1), [1, 3.0, None], [0, 1.5, True, "2"]),
        (Parameter("p", "int"), [10**400], [float("-inf")]),
        (Parameter("p", "bool"), [True, False, None], [1, "true"]),
        (Parameter("p", "string"), ["", "x"], [1, ["x"]]),
        (Parameter("p", "string", choices=("a", "b")), ["a"], ["c", ""]),
        (Parameter("p", "strings"), [[], ["a"], ("a",)], ["a", [1]]),
        (Parameter("p", "strings", choices=("a",)), [[], ["a"]], [["a", "b"]]),
        (Parameter("p", "json"), [{"a": [1]}, 1, "x"], []),
    ],
)
def test_a_parameter_says_what_is_wrong_with_a_value(
    parameter: Parameter, right: list[Any], wrong: list[Any]
) -> None:
    assert [parameter.problem(value) for value in right] == [None] * len(right)
    assert all(str(parameter.problem(value)).startswith("should be ") for value in wrong)
