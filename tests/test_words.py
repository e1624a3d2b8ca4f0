"""The code's words are those that a stranger knows: docstrings say what a thing is, names mean one thing."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SUBORDINATE = re.compile(r"(What|How|Who|Whose|Whom|Where|When|Which|Whether|Why|That)\b")


def definitions() -> Iterator[tuple[str, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Yield every module, class and function, with where it stands."""
    for package in ("chatlab", "backends"):
        for file in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text("utf-8"))):
                if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                    yield f"{file.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}", node


def test_docstrings_begin_with_what_a_thing_is_or_does() -> None:
    """Such as "The limits on attachments." or "Return the number of links.", not "What may be attached."."""
    found = [
        f"{where}: {said.splitlines()[0]}"
        for where, node in definitions()
        if (said := ast.get_docstring(node)) and SUBORDINATE.match(said)
    ]
    assert found == []


def test_no_two_classes_have_the_same_name() -> None:
    classes = Counter(node.name for _, node in definitions() if isinstance(node, ast.ClassDef))
    inner = {"Options"}  # each kind's, found as `Backend.Options`
    assert [name for name, times in classes.items() if times > 1 and name not in inner] == []
