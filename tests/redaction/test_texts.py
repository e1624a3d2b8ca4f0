"""One text at a time is redacted; what is done to whole comparisons is in tests/compare/report."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from chatlab.redaction.texts import Pattern, TextRedaction, parse_patterns


def test_what_matches_is_marked_and_counted_by_its_place_and_credentials_go_unasked() -> None:
    redaction = TextRedaction(parse_patterns(["email", "(?i)project x"]))
    said = redaction.text("ann@example.org leads Project X with sk-proj-" + "a1B2" * 12, "a prompt")
    assert said == "[redacted: email] leads [redacted: pattern 1] with ***"
    assert redaction.text("nothing of it", "an answer") == "nothing of it"
    assert set(redaction.counts) == {f"{one} in a prompt" for one in ("email", "pattern 1", "credential")}


class _Counting:
    """A pattern that says how often it looked."""

    def __init__(self, text: str) -> None:
        self._pattern = re.compile(text)
        self.looks = 0

    def finditer(self, text: str, **_: Any) -> Iterator[re.Match[str]]:
        self.looks += 1
        return self._pattern.finditer(text)


def test_a_text_that_comes_again_is_looked_at_once_and_what_it_has_is_counted_each_time() -> None:
    pattern = _Counting("Zaphod")
    redaction = TextRedaction([Pattern("name", pattern)])
    for text in ("the same prompt to each lane", "a" * 2_000):
        assert redaction.text(text, "prompts") == text
        looks = pattern.looks
        assert redaction.text(text, "receipts") == text
        assert (pattern.looks == looks) == (len(text) < 2_000), "long texts are not remembered"
    for _ in range(3):
        assert redaction.text("Zaphod asks", "prompts") == "[redacted: name] asks"
    assert redaction.counts == {"name in prompts": 3}
    for number in range(3_000):
        redaction.text(f"text {number}", "answers")
    assert redaction.text("Zaphod asks", "answers") == "[redacted: name] asks"
