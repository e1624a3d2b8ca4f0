"""Identifiers are types of their own, from the border inward: a round's cannot be given for a lane's."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TYPES = {
    "round_id": "RoundId",
    "lane_id": "LaneId",
    "turn_id": "TurnId",
    "conversation_id": "ConversationId",
}
# Where these are not the names of people or models, and not what a page calls things.
PLAIN = ("chatlab/store", "chatlab/conversations", "chatlab/web/chat", "chatlab/compare/session")
PLAIN_TYPES = {"round": "RoundId", "turn": "TurnId", "conversation": "ConversationId", "parent": "TurnId"}


def annotated(source: str) -> Iterator[tuple[str, ast.expr]]:
    """Yield the name and the annotation of every parameter, field and variable that has one."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.arg) and node.annotation is not None:
            yield node.arg, node.annotation
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id, node.annotation


def plain(source: str, types: dict[str, str]) -> list[str]:
    """Return the identifiers that are annotated as text."""
    return [
        f"{name}: {ast.unparse(annotation)} should be {types[name]}"
        for name, annotation in annotated(source)
        if name in types
        if any(isinstance(part, ast.Name) and part.id == "str" for part in ast.walk(annotation))
    ]


@pytest.mark.parametrize("package", ["chatlab", "backends"])
def test_no_identifier_is_annotated_as_text(package: str) -> None:
    found = []
    for file in (ROOT / package).rglob("*.py"):
        where = str(file.relative_to(ROOT))
        if where == "chatlab/lab.py":  # what people call the library with is text
            continue
        types = {**TYPES, **PLAIN_TYPES} if where.startswith(PLAIN) else TYPES
        found += [f"{where}: {problem}" for problem in plain(file.read_text("utf-8"), types)]
    assert found == []


def test_one_that_is_would_be_found() -> None:
    source = (
        "def f(lane_id: str | None, /, *lane_ids: str, round_id: RoundId): ...\nclass C:\n  turn_id: str\n"
    )
    assert sorted(plain(source, TYPES)) == [
        "lane_id: str | None should be LaneId",
        "turn_id: str should be TurnId",
    ]
