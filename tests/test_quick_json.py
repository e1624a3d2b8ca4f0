"""What orjson refuses is read and written all the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatlab.compare.model_json import to_line
from chatlab.compare.session.receipt import canonical
from chatlab.quick_json import compact, exactly, indented, load_quickly


@pytest.mark.parametrize(
    "value",
    [
        *({"a": [1, 2.5, None, "ä\n"]}, 2**70, 10**30 + 1, -(10**19) - 1, "\ud800", {"n": -(2**64)}),
        *({"seconds": 0.0018898139999237173, "n": 10**30 + 1}, [0.0018898139999237173] * 2),
    ],
)
def test_a_value_of_json_is_the_same_again(value: Any) -> None:
    assert load_quickly(json.dumps(value).encode()) == value
    assert json.loads(indented(value)) == value


def test_what_is_no_json_is_refused() -> None:
    with pytest.raises(ValueError, match="Expecting"):
        load_quickly(b'{"a": ')


leaves = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text()
nested = st.recursive(
    leaves, lambda some: st.lists(some) | st.tuples(some) | st.dictionaries(st.text(), some), max_leaves=20
)


@given(nested, st.booleans())
def test_what_is_written_without_spaces_is_to_the_letter_what_python_writes(value: Any, sort: bool) -> None:
    written = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=sort, allow_nan=False)
    try:
        expected = written.encode(value).encode()
    except ValueError:
        with pytest.raises(TypeError):
            exactly(value)
    else:
        assert compact(exactly(value), sort_keys=sort) == expected


class Name(str):
    """A text of a class of its own."""


@pytest.mark.parametrize("value", [2**70, "\ud800", {1: "one"}, Name("a"), {"a": Name("b")}, {1}])
def test_what_orjson_would_write_in_another_way_is_refused(value: Any) -> None:
    with pytest.raises(TypeError):
        compact(exactly(value))


@pytest.mark.parametrize("deeper", [lambda value: [value], lambda value: {"in": value}], ids=["list", "dict"])
def test_what_is_nested_deeper_than_orjson_writes_is_left_to_python(deeper: Callable[[Any], Any]) -> None:
    value: Any = {"n": 1e16}
    for _ in range(600):
        value = deeper(value)
    with pytest.raises(TypeError):
        exactly(value)
    line = to_line({"deep": value})
    assert canonical({"deep": value}).decode() + "\n" == line
    assert load_quickly(line.encode()) == {"deep": value}
