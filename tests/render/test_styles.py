"""The variables of all pages: text reads well on what it stands on, and what is used is declared."""

from __future__ import annotations

import re
from itertools import product

import pytest

from chatlab.paths import PACKAGE
from chatlab.render.document import document
from chatlab.render.styles import tokens

COLOUR = re.compile(r"--cl-([\w-]+): light-dark\((#[0-9a-f]+), (#[0-9a-f]+)\)")
REPORT = PACKAGE / "compare" / "report" / "templates" / "report.css"
STYLES = sorted((PACKAGE / "web" / "static").rglob("*.css"))


def colours() -> dict[str, tuple[str, str]]:
    return {name: (light, dark) for name, light, dark in COLOUR.findall(tokens())}


def luminance(colour: str) -> float:
    """Relative luminance, as WCAG 2.2 defines it."""
    digits = colour[1:] if len(colour) == 7 else "".join(digit * 2 for digit in colour[1:])
    values = (int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4))
    red, green, blue = (v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


TEXT_ON = [
    *product(
        ("text", "text-muted", "accent", "danger", "success"), ("background", "surface", "surface-strong")
    ),
    *product(("text",), ("added", "removed")),
    ("on-accent", "accent"),
]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(("text", "ground"), TEXT_ON)
def test_text_has_a_contrast_of_at_least_four_and_a_half_to_one(text: str, ground: str, theme: str) -> None:
    found, at = colours(), ("light", "dark").index(theme)

    assert contrast(found[text][at], found[ground][at]) >= 4.5


@pytest.mark.parametrize("theme", [0, 1])
def test_the_bars_of_a_chart_are_told_from_what_they_stand_on_and_from_each_other(theme: int) -> None:
    found = colours()
    wait, stream = found["chart-wait"][theme], found["chart-stream"][theme]

    assert contrast(stream, found["background"][theme]) >= 3
    assert contrast(wait, stream) >= 1.5


@pytest.mark.parametrize("style", STYLES, ids=lambda path: path.name)
def test_a_style_sheet_uses_only_variables_that_are_declared(style) -> None:
    declared = set(re.findall(r"(--cl-[\w-]+):", tokens()))

    assert set(re.findall(r"var\((--cl-[\w-]+)", style.read_text("utf-8"))) <= declared


@pytest.mark.parametrize("style", STYLES, ids=lambda path: path.name)
def test_no_style_sheet_but_the_variables_has_a_colour_of_its_own(style) -> None:
    if style.name != "tokens.css":
        assert (
            re.findall(r"#[0-9a-fA-F]{3,8}\b(?=[;,)\s])|rgb\(|light-dark\(", style.read_text("utf-8")) == []
        )


SIZE = re.compile(r"\d(?:rem|em|px|pt)\b")


@pytest.mark.parametrize("style", [*STYLES, REPORT], ids=lambda path: path.name)
def test_type_has_the_sizes_of_the_variables(style) -> None:
    if style.name != "tokens.css":
        assert [
            size for size in re.findall(r"font-size:([^;}]*)", style.read_text("utf-8")) if SIZE.search(size)
        ] == []


def test_the_report_takes_its_spacing_and_shapes_from_the_variables() -> None:
    sizes = re.findall(
        r"\b(?:(?:margin|padding|gap|border-radius)[\w-]*):([^;}]*)", REPORT.read_text("utf-8")
    )

    assert len(sizes) > 20 and [size for size in sizes if SIZE.search(size)] == []


def test_a_document_that_stands_alone_declares_the_variables_itself() -> None:
    assert tokens() in document("Title", "<p>Body</p>")
