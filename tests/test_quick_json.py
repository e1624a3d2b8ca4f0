"""What orjson refuses is read and written all the same."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chatlab.quick_json import indented, load_quickly


@pytest.mark.parametrize(
    "value", [{"a": [1, 2.5, None, "ä\n"]}, 2**70, 10**30 + 1, -(10**19) - 1, "\ud800", {"n": -(2**64)}]
)
def test_a_value_of_json_is_the_same_again(value: Any) -> None:
    assert load_quickly(json.dumps(value).encode()) == value
    assert json.loads(indented(value)) == value


def test_what_is_no_json_is_refused() -> None:
    with pytest.raises(ValueError, match="Expecting"):
        load_quickly(b'{"a": ')
