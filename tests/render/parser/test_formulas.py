"""Formulas in Markdown are shown as such, and what only looks like one as text."""

from __future__ import annotations

import pytest

from chatlab.render.formulas import Delimiters
from chatlab.render.markdown import MarkdownRenderer, render
from chatlab.render.parser.formulas import LONGEST_FORMULA
from tests.render.test_markdown import safe


@pytest.mark.parametrize(
    ("text", "display"),
    [
        (r"so \(x^2\) is", "inline"),
        ("$$x^2$$", "block"),
        ("\\[\nx^2\n\\]", "block"),
        ("- $$\n  x^2\n  $$", "block"),
    ],
)
def test_formulas_become_mathml(text: str, display: str) -> None:
    made = render(text)
    assert f'display="{display}"' in made
    assert "<msup><mi>x</mi><mn>2</mn></msup>" in made


def test_signs_and_text_in_formulas_are_shown_as_such() -> None:
    assert safe(render(r"\(\int a \le \text{x < y & z}\)")).text == "∫a≤x\xa0<\xa0y\xa0&\xa0z\n"


def test_a_formula_is_not_read_as_markdown() -> None:
    seen = safe(render("$$\na\n= b_1 * c_2 * d\n$$"))
    assert "h1" not in seen.tags and "em" not in seen.tags and "math" in seen.tags


def test_prices_are_no_formulas() -> None:
    assert render("between $5 and $6") == '<p dir="auto">between $5 and $6</p>\n'


@pytest.mark.parametrize(
    "formula", [r"\left(", r"\def\a{\a\a}\a", r"\newcommand{\a}{b}\a", r"\begin{matrix}", "{" * 900]
)
def test_a_formula_that_cannot_be_set_is_shown_as_code(formula: str) -> None:
    seen = safe(render(rf"see \({formula}\) there"))
    assert "math" not in seen.tags and "code" in seen.tags
    assert seen.text == rf"see \({formula}\) there" + "\n"


def test_what_is_too_long_for_a_formula_or_was_not_closed_is_text() -> None:
    assert "math" not in safe(render("$$" + "x" * LONGEST_FORMULA + "$$")).tags
    assert safe(render("an open \\(x and $$ y\n\n$$\nz")).text == "an open (x and $$ y\n$$\nz\n"


@pytest.mark.parametrize(
    "text",
    [
        "between $5 and $10",
        "US$5, A$6",
        "$5-$10",
        "$HOME/$USER and $PATH",
        "5$ or 6$",
        "$ x $",
        r"\$x\$",
        "a $x\ny$ b",
    ],
)
def test_dollars_that_are_prices_or_names_are_text(text: str) -> None:
    assert "<math" not in render(text)


@pytest.mark.parametrize("text", ["$x^2$", "so ($x^2$), and", "it is $x^2$.", "costs $5 if $x^2$"])
def test_a_formula_stands_between_single_dollars_too(text: str) -> None:
    assert "<msup><mi>x</mi><mn>2</mn></msup>" in render(text) and 'display="inline"' in render(text)


def test_other_signs_may_be_those_of_formulas() -> None:
    look = MarkdownRenderer(formulas=(Delimiters("[[", "]]", True),))
    assert '<math xmlns="http://www.w3.org/1998/Math/MathML" display="block">' in look.render("[[\nx\n]]")
    assert "<math" in look.render("a [[x]] b") and "<math" not in look.render("$$x$$ $x$")
