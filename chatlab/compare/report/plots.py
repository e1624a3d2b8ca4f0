"""Plots that need no script, as what the template draws: rows of lines, boxes and dots on one scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from chatlab.compare.report.tables import number, on_scale
from chatlab.compare.statistics.intervals import Interval
from chatlab.words import Words

_MOST_DOTS = 150


@dataclass(frozen=True, slots=True)
class Line:
    """A line across a row. kind: its class in the style sheet; x1, x2: in percent of the width."""

    kind: str
    x1: str
    x2: str
    y1: int = 14
    y2: int = 14


@dataclass(frozen=True, slots=True)
class Dot:
    """A value or an estimate. kind: "dot" or "point"."""

    kind: str
    x: str
    y: str
    r: float


@dataclass(frozen=True, slots=True)
class Box:
    """The quartiles."""

    x: str
    width: str


@dataclass(frozen=True, slots=True)
class Row:
    """One lane. said: its figures beside the plot; label: the same for who cannot see it."""

    name: str
    said: str
    label: str
    lines: tuple[Line, ...]
    dots: tuple[Dot, ...]
    box: Box | None = None


@dataclass(frozen=True, slots=True)
class Mark:
    """A value on the axis."""

    x: str
    said: str


@dataclass(frozen=True, slots=True)
class Plot:
    """Every lane on one scale."""

    rows: tuple[Row, ...]
    axis: tuple[Mark, ...]


def distributions(name: str, unit: str, lanes: Sequence[tuple[str, Sequence[float]]], words: Words) -> Plot:
    """Return the values of each lane on one scale from zero: dots over the quartiles and the median."""
    scale = _Scale(0.0, max(max(values) for _, values in lanes))
    rows = tuple(_distribution(scale, name, unit, lane, values, words) for lane, values in lanes)
    return Plot(rows, scale.axis(unit, words))


def _distribution(
    scale: _Scale, name: str, unit: str, lane: str, values: Sequence[float], words: Words
) -> Row:
    low, middle, high, p95 = np.quantile(values, [0.25, 0.5, 0.75, 0.95]).tolist()
    shown = sorted(values)
    if len(shown) > _MOST_DOTS:
        shown = np.quantile(values, np.linspace(0, 1, _MOST_DOTS)).tolist()
    dots = tuple(
        Dot("dot", scale(value), f"{9 + 10 * (place % 3) / 2:g}", 2.5) for place, value in enumerate(shown)
    )
    lines: tuple[Line, ...] = (_BASE,)
    box = None
    said = number(middle, unit, words)
    if len(values) > 1:
        said = words("report.median-p95", median=said, p95=number(p95, unit, words))
        box = Box(scale(low), scale.width(low, high))
        at = scale(middle)
        lines = (_BASE, Line("whisker", scale(high), scale(p95)), Line("middle", at, at, 2, 26))
    label = words.counted("report.plot", len(values), name=name, lane=lane, said=said)
    return Row(lane, said, label, lines, dots, box)


def forest(lanes: Sequence[tuple[str, float, Interval | None, str]], words: Words) -> Plot:
    """Return estimates with their 95 % intervals on one scale.

    lanes: of each its name, estimate, interval, and what is said of it.
    """
    ends = [value for _, point, interval, _ in lanes for value in (point, *_ends(interval))]
    reach = max(0.5, *(abs(value) for value in ends))
    scale = _Scale(-reach, reach)
    zero = scale(0)
    rows = []
    for name, point, interval, said in lanes:
        lines = [_BASE, Line("base", zero, zero, 0, 28)]
        if interval is not None:
            lines.append(Line("middle", scale(interval.low), scale(interval.high)))
        rows.append(Row(name, said, f"{name}: {said}", tuple(lines), (Dot("point", scale(point), "14", 5),)))
    return Plot(tuple(rows), scale.axis("", words))


_BASE = Line("base", "0%", "100%")


def _ends(interval: Interval | None) -> tuple[float, ...]:
    return () if interval is None else (interval.low, interval.high)


class _Scale:
    """The scale of a plot: gives a value's position in percent of the width: so a plot is as wide as the
    reader's screen."""

    def __init__(self, low: float, high: float) -> None:
        self.low = low
        self.high = high if high > low else low + 1.0

    def __call__(self, value: float) -> str:
        return f"{100 * (value - self.low) / (self.high - self.low):.2f}%"

    def width(self, low: float, high: float) -> str:
        return f"{100 * (high - low) / (self.high - self.low):.2f}%"

    def ticks(self) -> list[float]:
        """Return three to six round values."""
        whole = self.high - self.low
        step = 10.0 ** np.floor(np.log10(whole))
        step *= next(factor for factor in (0.2, 0.5, 1, 2) if whole / (step * factor) <= 6)
        first = np.ceil(self.low / step - 1e-9)
        last = np.floor(self.high / step + 1e-9)
        return [float(value * step) for value in np.arange(first, last + 1) + 0.0]  # no -0.0

    def axis(self, unit: str, words: Words) -> tuple[Mark, ...]:
        factor = 1.0
        if unit == "s" and self.high < 1:  # one unit along the whole scale
            factor, unit = 1000.0, "ms"
        return tuple(Mark(self(value), on_scale(value * factor, unit, words)) for value in self.ticks())
