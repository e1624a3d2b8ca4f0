"""The refusals of a page are in words of every language, found by the kinds of errors that there are."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from chatlab.errors import BackendError, StoreError
from chatlab.secret import SecretRef
from chatlab.store import Unreachable
from chatlab.words import ENGLISH, words_of
from tests.words.test_words import PACKAGE, TEXTS, places

SHOWN = ("web", "identity", "compare/session", "compare/report", "credentials.py", "store/check.py")
"""Where an error is made for whoever has a page open."""
FOR_THE_LOG = ("ConfigError", "NotReady", "StoreError", "Unreachable", "MissingExtra", "PermissionDenied")
"""Errors of which `str` is for whoever runs chatlab, or that repeat what an upstream said."""


def parsed() -> Iterator[tuple[str, ast.Module]]:
    for file in sorted(PACKAGE.rglob("*.py")):
        yield str(file.relative_to(PACKAGE)), ast.parse(file.read_text("utf-8"))


def kinds(base: str) -> set[str]:
    """Return the names of a class and of all that are made of it."""
    classes = [node for _, tree in parsed() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    found: set[str] = {base}
    while more := {one.name for one in classes if {ast.unparse(b) for b in one.bases} & found} - found:
        found |= more
    return found


def made(names: set[str]) -> Iterator[tuple[str, ast.Call, ast.expr]]:
    """Yield where an error of these is made, and of what."""
    for file, tree in parsed():
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Call)
                and ast.unparse(node.func).rpartition(".")[2] in names
                and node.args
            ):
                first = node.args[0]
                for one in (first.body, first.orelse) if isinstance(first, ast.IfExp) else (first,):
                    yield f"{file}:{node.lineno}", node, one


def test_a_refusal_names_words_that_are_there_and_what_they_have_places_for() -> None:
    wrong = []
    for where, call, key in made(kinds("WordedError")):
        if isinstance(key, ast.Constant):
            given = {keyword.arg for keyword in call.keywords}
            if key.value not in TEXTS["en"] or given != places(TEXTS["en"][key.value]):
                wrong.append(f"{where}: {key.value}")
        elif isinstance(key, ast.JoinedStr | ast.BinOp):
            wrong.append(f"{where}: {ast.unparse(key)}")
    assert wrong == []


def test_no_error_that_a_page_shows_has_words_of_english_alone() -> None:
    errors = kinds("ChatlabError") - set(FOR_THE_LOG) - kinds("WordedError")
    alone = [
        f"{where}: {ast.unparse(text)}"
        for where, _, text in made(errors)
        if where.startswith(SHOWN) and isinstance(text, ast.Constant | ast.JoinedStr | ast.BinOp)
    ]
    assert alone == []


def test_a_key_of_a_refusal_is_one_that_there_is() -> None:
    for file, tree in parsed():
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and str(node.value).startswith("refusal."):
                assert str(node.value) in TEXTS["en"] or node.value == "refusal.", (file, node.lineno)


def test_what_anybody_may_read_of_a_store_is_in_words_too() -> None:
    german = words_of("de")
    for error in (StoreError("/home/ann/lab.db"), Unreachable("db.example")):
        assert ENGLISH.told(error) == error.sentence
        assert german.told(error) != error.sentence and "ann" not in german.told(error)


def test_the_advice_of_every_error_of_a_backend_is_in_words() -> None:
    german, known = words_of("de"), {BackendError}
    while more := {one for kind in known for one in kind.__subclasses__()} - known:
        known |= more
    for kind in known:
        said = german.told(kind("the model is loading", backend="one"))
        assert said.startswith("one: the model is loading (") and kind.advice not in said, kind
    said = german.translated(f"{BackendError(ENGLISH('refusal.file-empty', file='a.txt'))}, incident 1a2b")
    assert said.startswith("a.txt ist leer (versuchen Sie es noch einmal, ")


def test_a_refusal_begins_with_a_capital_letter() -> None:
    """As a page shows it; one that begins with a name has the name's letters."""
    within = ("an-image", "an-audio", "a-video", "a-text", "no-known-kind")  # another sentence
    whom = ("one-visitor", "of-address", "all-visitors")
    for language, texts in TEXTS.items():
        for key, text in texts.items():
            name = key.removeprefix("refusal.")
            if name == key or name in within or (language == "de" and name in whom):
                continue
            assert text[0].isupper() or text[0] == "{", key


def test_a_secret_that_is_missing_is_said_in_words_though_secrets_know_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("SOME_KEY", raising=False)
    said = SecretRef(env="SOME_KEY").missing()
    assert said == ENGLISH("said.set", parameter="SOME_KEY")
    assert (
        words_of("de").translated(f"one is not ready: {said}") == "one ist nicht bereit: setzen Sie SOME_KEY"
    )
