"""Checks without a model: what passes, what does not, and why."""

import json
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
    assert found is not None and not found.passed and " over 1" in found.detail
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


def check_of(spec: Any, answer: str) -> Check:
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


# Answers as people and models of all languages write them


@pytest.mark.parametrize(
    ("answer", "expected", "right"),
    [
        *(
            ("首都是北京。", "北京", True),
            ("答えは東京です", "東京", True),
            ("수도는 서울입니다", "서울", True),
        ),
        *(
            ("เมืองหลวงคือกรุงเทพมหานคร", "กรุงเทพมหานคร", True),
            ("答案是42個", "42", True),
            ("答案是142個", "42", False),
        ),
        *(
            ("ນະຄອນຫຼວງແມ່ນວຽງຈັນ", "ວຽງຈັນ", True),
            ("回答はGPTです", "GPT", True),
            ("カタカナのデータ", "データ", True),
        ),
        *(
            ("It is __Paris__", "Paris", True),
            ("It is _Paris_.", "Paris", True),
            ("**Par**is", "Paris", True),
        ),
        *(("**New** York", "New York", True), ("`new_york`", "york", False), ("user_name", "name", False)),
        *(("AT&amp;T", "AT&T", True), (r"snake\_case", "snake_case", True), ("<b>Paris</b>", "Paris", True)),
        *(("Hawai’i", "Hawai'i", True), ("Hawaiʻi", "Hawai'i", True), ("co‑operate", "co-operate", True)),
        *(("Pa\u00adris", "Paris", True), ("Pa\u200bris", "Paris", True), ("Ｐａｒｉｓ", "Paris", True)),
        *(("It is 42.5", "42", False), ("It is 42.", "42", True), ("It is 42, I think", "42", True)),
        *(("42,5", "42", False), ("42,5", "5", False), ("[1,42,5]", "42", True), ("42,500", "42500", True)),
        *(("1\u202f234", "234", False), ("1\xa0234 km", "1234", True), ("1'234", "1234", True)),
        *(("It is -5", "5", False), ("It is −5", "-5", True), ("between 3-5", "5", True), ("3–5", "5", True)),
        *(("It is 1,234", "234", False), ("It is 1,234.", "1234", True), ("It is 1234", "1,234", True)),
        *(
            ("It is 42.0", "42", True),
            ("the 42nd", "42", False),
            ("$42.50", "$42", False),
            ("$42", "$42", True),
        ),
        *(
            ("-5 apples", "5 apples", False),
            ("1.5 apples", "5 apples", False),
            ("5 apples", "5 apples", True),
        ),
        *(
            ("agent 7", "007", False),
            ("agent 007", "007", True),
            ("C++11", "C++", False),
            ("in C++.", "C++", True),
        ),
        *(("v1.2.3", "1.2", False), ("12345678901234567891", "12345678901234567890", False)),
    ],
)
def test_an_expected_answer_stands_by_itself_in_any_script(answer: str, expected: str, right: bool) -> None:
    assert passes("expected", answer, expected) is right


@pytest.mark.parametrize(
    ("answer", "expected", "right"),
    [
        ("北京。", "北京", True),
        ("दिल्ली।", "दिल्ली", True),
        ("**Paris**.", "paris", True),
        ("Paris, yes", "Paris", False),
    ],
)
def test_an_exact_answer_may_end_as_a_sentence_does(answer: str, expected: str, right: bool) -> None:
    assert passes("exact", answer, expected) is right


@pytest.mark.parametrize(
    ("spec", "answer", "expected", "right"),
    [
        ("numeric", "10000000000001", "10000000000002", False),
        ("numeric", "9007199254740992", "9007199254740993", False),
        ("numeric:0.01", "10000000000001", "10000000000002", False),
        ("numeric:1", "10000000000001", "10000000000002", True),
        ("numeric", "123456789012345678901234567890", "123456789012345678901234567891", False),
        ("numeric", "12,345,678,901,234", "12345678901234", True),
        ("numeric", "0.30000000000000004", "0.3", True),
        ("numeric:0.3", "1.3", "1", True),
        ("numeric", "答案是42個", "42", True),
        ("numeric", "1,2345", "2345", True),
        ("numeric", "1\u202f234\u202f567", "1234567", True),
        ("numeric", "12\xa0345", "12345", True),
        ("numeric", "1\u2019234\u2019567.5", "1234567.5", True),
        ("numeric", "1.234.567", "1234567", True),
        ("numeric", "３.５", "3.5", True),
        ("numeric", "1e999999999", "1e999999998", False),
        ("numeric", "9" * 100_000, "9", False),
        ("numeric:1%", "1e400", "1.001e400", True),
    ],
)
def test_every_digit_of_a_whole_number_counts(spec: str, answer: str, expected: str, right: bool) -> None:
    started = time.perf_counter()
    assert passes(spec, answer, expected) is right
    assert time.perf_counter() - started < 10


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ('```json\r\n{"n":1}\r\n```', True),
        ('~~~json\n{"n":1}\n~~~', True),
        ('```json {"n":1} ```', True),
        ('```\n{"n":1}', True),
        ('````json\n{"n":1}\n````', True),
        ('Here: ```JSON\n{"n":1}\n```', True),
        ('```\nx\n```\n```json\n{"n":1}\n```', True),
        ("```\n1\n```\n```\n2\n```", False),
        ('{"n": NaN}', False),
        ('{"n": 1, "m": Infinity}', False),
        ('{"n": 1, "m": 1e999}', False),
        ("[" * 100_000, False),
        ('\ufeff{"n": 1}', True),
        ('{"n": "```\\n"}', False),
        ('> ```json\r\n> {"n":1}\r\n> ```', True),
        ('>> Here:\n>>~~~\n>>{"n":1}\n>>~~~', True),
        ('> - ```\n>   {"n": 1}\n>   ```', True),
        ('1. so\n\n   ~~~\n   {"n": 1}\n   ~~~', True),
        ('```json\n{"n":1, "m":"```"}\n```', True),
        ('```json\n{"n":1}```', True),
        ('`{"n":1}`', True),
        ('{"n":1}\u200b', True),
        ("> ```\n> 1\n> ```\n> ```\n> 2\n> ```", False),
    ],
)
def test_the_json_of_an_answer_is_found_in_any_fence(answer: str, right: bool) -> None:
    assert passes({"json_schema": SCHEMA}, answer) is right


@pytest.mark.parametrize(
    ("items", "right"),
    [
        (list(range(20_000)), True),
        ([None, *range(20_000)], True),
        ([*range(10_000), *map(str, range(10_000))], True),
        ([{"a": n, "b": [None, n]} for n in range(20_000)], True),
        ([[None, n] for n in range(20_000)], True),
        ([*range(20_000), 5], False),
        ([{"a": n, "b": {}} for n in range(20_000)] + [{"b": {}, "a": 7.0}], False),
        ([1, True, "1", [1], [True], {"1": 1}, 0, False, "", None, [], {}, [[]]], True),
        ([[], [0], {"a": [0]}, {"a": [False]}, [False]], True),
        ([1, 1.0], False),
        ([[{"a": 1}], [{"a": 1.0}]], False),
    ],
)
def test_unique_elements_are_told_apart_however_many_and_whatever_they_are(
    items: list[Any], right: bool
) -> None:
    schema = {"type": "array", "uniqueItems": True}
    assert passes({"json_schema": schema}, json.dumps(items)) is right


def deep(levels: int) -> dict[str, Any]:
    """A schema whose references branch at each level."""
    found: dict[str, Any] = {f"a{levels}": {"type": "string"}}
    for n in range(levels):
        found[f"a{n}"] = {"anyOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2}
    return {"$ref": "#/$defs/a0", "$defs": found}


@pytest.mark.parametrize(
    ("schema", "answer"),
    [
        ({"patternProperties": {"^(a|aa)+$": {}}}, '{"' + "a" * 50 + '!": 1}'),
        (
            {"patternProperties": {"^(a|aa)+$": {}}, "additionalProperties": False},
            '{"' + "a" * 50 + '!": 1}',
        ),
        (deep(40), "1"),
    ],
)
def test_a_schema_that_takes_for_ever_is_ended(
    schema: Any, answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, item = parse_check({"json_schema": schema}, Path()), Item("1", (Message.of("user", "q"),))
    monkeypatch.setattr("chatlab.compare.batch.checks.schema._LONGEST", 1.5)
    started = time.perf_counter()
    found = check(spec, answer, item)
    assert found is not None and not found.passed and "the schema took over" in found.detail
    assert time.perf_counter() - started < 30
    monkeypatch.undo()
    assert passes({"json_schema": SCHEMA}, '{"n": 1}')  # the next one is none the worse


def test_a_schema_that_is_often_late_is_tried_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = parse_check({"json_schema": {"patternProperties": {"^(b|bb)+$": {}}}}, Path())
    item = Item("1", (Message.of("user", "q"),))
    monkeypatch.setattr("chatlab.compare.batch.checks.schema._LONGEST", 0.5)
    found = [check(spec, '{"' + "b" * 50 + '!": 1}', item) for _ in range(4)]
    details = [one.detail for one in found if one is not None]
    assert details[2].endswith("over 0.5 s") and details[3].endswith("tried no more")
