"""One text at a time is redacted; what is done to whole comparisons is in tests/compare/report."""

from __future__ import annotations

from chatlab.redaction.texts import TextRedaction, parse_patterns


def test_what_matches_is_marked_and_counted_by_its_place_and_credentials_go_unasked() -> None:
    redaction = TextRedaction(parse_patterns(["email", "(?i)project x"]))
    said = redaction.text("ann@example.org leads Project X with sk-proj-" + "a1B2" * 12, "a prompt")
    assert said == "[redacted: email] leads [redacted: pattern 1] with ***"
    assert redaction.text("nothing of it", "an answer") == "nothing of it"
    assert set(redaction.counts) == {f"{one} in a prompt" for one in ("email", "pattern 1", "credential")}
