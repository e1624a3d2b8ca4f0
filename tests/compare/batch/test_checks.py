"""Checks without a model: what passes, what does not, and why."""

import time
from pathlib import Path
from typing import Any

import pytest

from chatlab.compare.batch.checks import WrongCheck, check, parse_check
from chatlab.compare.batch.item import CheckSpec, Item
from chatlab.compare.model import Check
from chatlab.messages import Message

SCHEMA = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}


def said(spec: Any, answer: str, expected: str | None = None) -> Check | None:
    item = Item("1", (Message.of("user", "q"),), expected)
    return check(parse_check(spec, Path(), trusted=True), answer, item)


def passes(spec: Any, answer: str, expected: str | None = None) -> bool:
    found = said(spec, answer, expected)
    assert found is not None and found.score == float(found.passed)
    assert found.passed == (found.detail == "")
    return found.passed


@pytest.mark.parametrize(
    ("spec", "answer", "expected", "right"),
    [
        ("expected", "It is  PARIS, of course.", "paris", True),
        ("expected", "It is 14.", "4", False),
        ("expected", "the cat", "at", False),
        ("expected", "new\nyork", "New York", True),
        ("expected", "anything", "", False),
        ("exact", " Paris.\n", "paris", True),
        ("exact", "It is Paris", "Paris", False),
        ("exact:Rome", "rome", "Paris", True),
        ("contains:Paris", "in Paris", None, True),
        ("contains:Paris", "in paris", None, False),
        ("not_contains:sorry", "Sorry", None, True),
        ("not-contains:sorry", "so sorry", None, False),
        (r"regex:^\d+$", "42", None, True),
        (r"regex:^\d+$", "42 apples", None, False),
        ({"regex": "(?i)YES"}, "oh yes", None, True),
        ("numeric", "2 + 2 = 4", "4", True),
        ("numeric", "4, and not 5", "4", False),
        ("numeric", "about 1,234.50 euros.", "1234.5", True),
        ("numeric", "it is -3", "-3", True),
        ("numeric", "it is −3", "-3", True),
        ("numeric", "from 1-3", "3", True),
        ("numeric", "6.02e23", "6.02e23", True),
        ("numeric", "GPT4 says none", "4", False),
        ("numeric:0.01", "3.14", "3.145", True),
        ("numeric:0.01", "3.12", "3.145", False),
        ("numeric:1%", "101", "100", True),
        ("numeric:1%", "102", "100", False),
        ({"numeric": 0.5}, "1.5", "1", True),
        ({"json_schema": SCHEMA}, '{"n": 1}', None, True),
        ({"json_schema": SCHEMA}, 'Here it is:\n```json\n{"n": 1}\n```\n', None, True),
        ({"json_schema": SCHEMA}, '{"n": "1"}', None, False),
        ({"json_schema": SCHEMA}, "n is 1", None, False),
        ({"json_schema": {"$ref": "http://127.0.0.1:9/x.json"}}, "{}", None, False),
    ],
)
def test_what_passes(spec: Any, answer: str, expected: str | None, right: bool) -> None:
    assert passes(spec, answer, expected) is right


@pytest.mark.parametrize("spec", ["expected", "exact", "numeric:1%"])
def test_without_an_expected_answer_there_is_nothing_to_compare_with(spec: str) -> None:
    assert said(spec, "4") is None


@pytest.mark.parametrize(
    "spec", ["regex:^(a|aa)+$", {"json_schema": {"type": "string", "pattern": "^(a|aa)+$"}}]
)
def test_a_pattern_that_backtracks_for_ever_is_ended(spec: Any) -> None:
    answer = "a" * 60 + "!"
    started = time.perf_counter()
    found = said(spec, answer if isinstance(spec, str) else f'"{answer}"')
    assert found is not None and not found.passed and "searched for over 1 s" in found.detail
    assert time.perf_counter() - started < 30  # it looks at the clock now and then


FUNCTIONS = """
from chatlab.compare.model import Check

def long(answer, item):
    return len(answer) > 3

def half(answer, item):
    return 0.5

def own(answer, item):
    return Check("own", True, 0.9, item.id)

def broken(answer, item):
    raise LookupError("no such thing")

def odd(answer, item):
    return "yes"

number = 1
"""


@pytest.fixture
def functions(tmp_path: Path) -> str:
    (tmp_path / "mine.py").write_text(FUNCTIONS)
    return f"python:{tmp_path}/mine.py"


def test_a_function_of_ones_own_says_true_a_score_or_a_check(functions: str) -> None:
    assert passes(f"{functions}:long", "long enough") and not check_of(f"{functions}:long", "no").passed
    assert check_of(f"{functions}:half", "x").score == 0.5 and check_of(f"{functions}:half", "x").passed
    assert check_of(f"{functions}:own", "x") == Check("own", True, 0.9, "1")


def check_of(spec: str, answer: str) -> Check:
    found = said(spec, answer)
    assert found is not None
    return found


def test_an_error_in_a_function_is_a_failed_check_with_its_reason(functions: str) -> None:
    assert check_of(f"{functions}:broken", "x").detail == "LookupError: no such thing"
    assert "instead of true" in check_of(f"{functions}:odd", "x").detail


@pytest.mark.parametrize(
    ("spec", "word"),
    [
        ("regx:x", "did you mean regex?"),
        ("contains", "needs a value"),
        ({"contains": 1}, "takes a text"),
        ({"contains": "a", "regex": "b"}, "one key"),
        ("regex:(", "is wrong"),
        ("numeric:much", "a tolerance such as"),
        ("json_schema:no.json", "cannot be read"),
        ({"json_schema": {"type": "nonsense"}}, "is wrong"),
        ("python:nowhere", "is not module:attribute"),
        ("python:no.such.module:f", "cannot be imported"),
        ("python:math:pi", "is not a function"),
    ],
)
def test_a_check_that_cannot_be_made_is_said_before_anything_is_asked(spec: Any, word: str) -> None:
    with pytest.raises(WrongCheck, match=word.replace("?", r"\?")):
        parse_check(spec, Path(), trusted=True)


def test_only_who_starts_the_run_may_name_code() -> None:
    with pytest.raises(WrongCheck, match="cannot name code"):
        parse_check("python:os:getcwd", Path())


def test_a_schema_may_stand_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text('{"type": "array"}')
    spec = parse_check("json_schema:s.json", tmp_path)
    assert spec == CheckSpec("json_schema", {"type": "array"})
