"""The types of the pages' scripts are those of what the server tells and takes."""

from __future__ import annotations

from typing import TypedDict

import pytest

from chatlab.web import typescript


def test_the_scripts_types_are_those_of_the_models() -> None:
    wanted = "written by an older version: run `python -m chatlab.web.typescript`"

    assert typescript.FILE.read_text("utf-8") == typescript.declarations(), wanted


def test_what_may_be_absent_or_unknown_is_so_in_the_scripts_types() -> None:
    told = typescript.declarations()

    assert "  first_token: number | null;\n" in told  # figures that are unknown
    assert "  figures?: FiguresView;\n" in told  # of an answer that runs
    assert '  kind: "same" | "only_a" | "only_b";\n' in told
    assert "  answers: Record<string, AnswerView[]>;\n" in told
    assert "  repeats?: number;\n" in told  # a field of a request that has a default


def test_a_type_that_json_has_no_word_for_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Wrong(TypedDict):
        when: complex

    monkeypatch.setattr(Wrong, "__module__", typescript.shared.__name__)
    monkeypatch.setattr(typescript.shared, "Wrong", Wrong, raising=False)

    with pytest.raises(TypeError, match=r"complex.*no type in server\.d\.ts"):
        typescript.declarations()
