"""The small pieces of a report's HTML: escaped text, tables, and plots that need no script."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from chatlab.compare.statistics.intervals import Interval

_MOST_DOTS = 150

CSS = """\
:root { --accent: #0969da; --good: #1a7f37; --bad: #cf222e; --warn: #9a6700; }
@media (prefers-color-scheme: dark) { :root { --accent: #4493f8; --good: #3fb950; --bad: #f85149;
  --warn: #d29922; } }
body { max-width: 90rem; padding: 1rem clamp(.8rem, 3vw, 2.5rem); font-size: .95rem; }
h1 { margin: .2rem 0 .6rem; line-height: 1.2; } h2 { margin: 2.2rem 0 .6rem; font-size: 1.35em; }
h3 { margin: 1.2rem 0 .4rem; font-size: 1.1em; } h4 { margin: .2rem 0; font-size: 1rem; }
.faint, .figures { color: var(--faint); font-size: .9em; }
dl.facts { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; margin: .5rem 0; }
dl.facts dt { color: var(--faint); } dl.facts dd { margin: 0; }
.trouble { border-inline-start: 3px solid var(--bad); padding-inline-start: .8em; }
.note { border-inline-start: 3px solid var(--warn); padding-inline-start: .8em; margin: .4rem 0; }
ul.plain { padding-inline-start: 1.2rem; margin: .4rem 0; } li { margin: .15rem 0; }
table { max-width: 100%; } td.number, th.number { text-align: right; font-variant-numeric: tabular-nums;
  white-space: nowrap; }
td.long { min-width: 12rem; max-width: 28rem; overflow-wrap: anywhere; }
.item { border-top: 2px solid var(--line); margin-top: 1.6rem; padding-top: .4rem; }
.many .item { content-visibility: auto; contain-intrinsic-size: auto 40rem; }
.user { background: var(--box); border: 1px solid var(--line); border-radius: 10px; padding: .1rem 1rem;
  margin: .5rem 0; max-width: 60rem; }
.lanes { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 19rem), 1fr)); gap: .8rem;
  align-items: start; }
.answer { border: 1px solid var(--line); border-radius: 10px; padding: .5rem .9rem; min-width: 0; }
.answer > .who { font-weight: 600; margin: 0 0 .3rem; border-bottom: 1px solid var(--line);
  padding-bottom: .3rem; } .answer h1, .answer h2, .answer h3 { font-size: 1.1em; margin: .6rem 0 .3rem; }
.best { border-color: var(--accent); box-shadow: inset 0 0 0 1px var(--accent); }
.passed { color: var(--good); } .failed { color: var(--bad); }
.tag { border: 1px solid var(--line); border-radius: 1em; padding: 0 .5em; font-size: .85em;
  font-weight: 400; }
code.hash { font-size: .85em; overflow-wrap: anywhere; }
details { margin: .4rem 0; } summary { cursor: pointer; color: var(--faint); }
details pre { font-size: .85em; background: var(--box); padding: .6em .8em; border-radius: 6px;
  overflow-x: auto; }
.plot { margin: .4rem 0 1rem; max-width: 62rem; }
.row { display: grid; grid-template-columns: minmax(6rem, 14rem) 1fr 15rem; gap: .2rem 1rem;
  align-items: center; }
.row .value { color: var(--faint); font-size: .9em; font-variant-numeric: tabular-nums; }
.row svg { width: 100%; height: 28px; overflow: visible; display: block; }
.row.axis svg { height: 18px; } svg text { fill: var(--faint); font-size: 11px; }
svg .box { fill: var(--accent); fill-opacity: .18; stroke: var(--accent); }
svg .middle { stroke: var(--accent); stroke-width: 2.5; } svg .whisker { stroke: var(--accent); }
svg .dot { fill: var(--accent); fill-opacity: .45; } svg .point { fill: var(--accent); }
svg .base { stroke: var(--line); }
@media (max-width: 44rem) { .row { grid-template-columns: 1fr auto; align-items: end;
  margin-top: .35rem; } .row svg { grid-column: 1 / -1; grid-row: 2; } .row.axis > span { display: none; }
  dl.facts { grid-template-columns: 1fr; gap: 0; } dl.facts dd { margin-bottom: .35rem; }
  .plot { padding-inline: .4rem; } }
@media print { body { font-size: 9.5pt; } .many .item { content-visibility: visible; }
  .plot, .row, tr { break-inside: avoid; } h2, h3, h4, .who { break-after: avoid; }
  .lanes { grid-template-columns: repeat(auto-fit, minmax(min(100%, 14rem), 1fr)); }
  nav, .screen { display: none; } }
"""


def text(value: str) -> str:
    """Text as HTML. Halves of surrogate pairs, which models do write, are no characters."""
    return html.escape(value.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))


def facts(rows: Iterable[tuple[str, str]]) -> str:
    """What is known of something, as HTML; rows with nothing to say are left out."""
    said = "".join(f"<dt>{text(name)}</dt><dd>{value}</dd>" for name, value in rows if value)
    return f'<dl class="facts">{said}</dl>\n'


def listed(items: Iterable[str], kind: str = "") -> str:
    """Sentences as a list; nothing for none."""
    said = "".join(
        f'<li class="{kind}">{text(one)}</li>' if kind else f"<li>{text(one)}</li>" for one in items
    )
    return f'<ul class="plain">{said}</ul>\n' if said else ""


@dataclass(frozen=True, slots=True)
class Cell:
    """A table's cell. kind: "number", "long" or nothing."""

    said: str
    kind: str = ""


def table(head: Sequence[Cell], rows: Iterable[Sequence[Cell]]) -> str:
    """A table of texts; columns in which no row says anything are left out."""
    body = [list(row) for row in rows]
    shown = [number for number in range(len(head)) if any(row[number].said for row in body)]

    def line(cells: Sequence[Cell], tag: str) -> str:
        made = (cells[number] for number in shown)
        return "".join(
            f'<{tag} class="{one.kind}">{text(one.said)}</{tag}>'
            if one.kind
            else f"<{tag}>{text(one.said)}</{tag}>"
            for one in made
        )

    made = "".join(f"<tr>{line(row, 'td')}</tr>\n" for row in body)
    return f"<table><thead><tr>{line(head, 'th')}</tr></thead>\n<tbody>{made}</tbody></table>\n"


# -- plots


def distributions(name: str, unit: str, lanes: Sequence[tuple[str, Sequence[float]]]) -> str:
    """The values of each lane on one scale from zero: each value a dot, over the quartiles and the median."""
    top = max(max(values) for _, values in lanes)
    scale = _Scale(0.0, top)
    rows = [_distribution(scale, name, unit, lane, values) for lane, values in lanes]
    return f'<div class="plot">{"".join(rows)}{_axis(scale, unit)}</div>\n'


def _distribution(scale: _Scale, name: str, unit: str, lane: str, values: Sequence[float]) -> str:
    low, middle, high, p95 = np.quantile(values, [0.25, 0.5, 0.75, 0.95]).tolist()
    shown = sorted(values)
    if len(shown) > _MOST_DOTS:
        shown = np.quantile(values, np.linspace(0, 1, _MOST_DOTS)).tolist()
    dots = "".join(
        f'<circle class="dot" cx="{scale(value)}" cy="{9 + 10 * (number % 3) / 2:g}" r="2.5"/>'
        for number, value in enumerate(shown)
    )
    several = ""
    if len(values) > 1:
        several = (
            f'<line class="whisker" x1="{scale(high)}" x2="{scale(p95)}" y1="14" y2="14"/>'
            f'<rect class="box" x="{scale(low)}" width="{scale.width(low, high)}" y="4" height="20"/>'
            f'<line class="middle" x1="{scale(middle)}" x2="{scale(middle)}" y1="2" y2="26"/>'
        )
    said = (
        f"median {number(middle, unit)}, p95 {number(p95, unit)}" if len(values) > 1 else number(middle, unit)
    )
    return _row(lane, several + dots, said, f"{name} of {lane}: {said}, {len(values)} values")


def forest(lanes: Sequence[tuple[str, float, Interval | None, str]]) -> str:
    """Estimates with their 95 % intervals on one scale: name, estimate, interval, what is said of it."""
    ends = [value for _, point, interval, _ in lanes for value in (point, *_ends(interval))]
    reach = max(0.5, *(abs(value) for value in ends))
    scale = _Scale(-reach, reach)
    rows = []
    for name, point, interval, said in lanes:
        line = ""
        if interval is not None:
            x1, x2 = scale(interval.low), scale(interval.high)
            line = f'<line class="middle" x1="{x1}" x2="{x2}" y1="14" y2="14"/>'
        zero = f'<line class="base" x1="{scale(0)}" x2="{scale(0)}" y1="0" y2="28"/>'
        drawn = f'{zero}{line}<circle class="point" cx="{scale(point)}" cy="14" r="5"/>'
        rows.append(_row(name, drawn, said, f"{name}: {said}"))
    return f'<div class="plot">{"".join(rows)}{_axis(scale, "")}</div>\n'


def number(value: float, unit: str = "") -> str:
    """A figure as people read it."""
    if unit == "s" and 0 < value < 0.1:
        return f"{value * 1000:.3g} ms"
    said = f"{value:,.0f}"
    if abs(value) < 1000:
        said = np.format_float_positional(value, precision=3, fractional=False, trim="-")
    return f"{said} {unit}".rstrip()


def _ends(interval: Interval | None) -> tuple[float, ...]:
    return () if interval is None else (interval.low, interval.high)


class _Scale:
    """Where a value stands, in percent of the width: so a plot is as wide as the reader's screen."""

    def __init__(self, low: float, high: float) -> None:
        self.low = low
        self.high = high if high > low else low + 1.0

    def __call__(self, value: float) -> str:
        return f"{100 * (value - self.low) / (self.high - self.low):.2f}%"

    def width(self, low: float, high: float) -> str:
        return f"{100 * (high - low) / (self.high - self.low):.2f}%"

    def ticks(self) -> list[float]:
        """Three to six round values."""
        whole = self.high - self.low
        step = 10.0 ** np.floor(np.log10(whole))
        step *= next(factor for factor in (0.2, 0.5, 1, 2) if whole / (step * factor) <= 6)
        first = np.ceil(self.low / step - 1e-9)
        last = np.floor(self.high / step + 1e-9)
        return [float(value * step) for value in np.arange(first, last + 1) + 0.0]  # no -0.0


def _row(name: str, drawn: str, said: str, label: str) -> str:
    base = '<line class="base" x1="0%" x2="100%" y1="14" y2="14"/>'
    return (
        f'<div class="row"><span>{text(name)}</span><svg role="img" aria-label="{text(label)}">{base}{drawn}'
        f'</svg><span class="value">{text(said)}</span></div>\n'
    )


def _axis(scale: _Scale, unit: str) -> str:
    factor = 1.0
    if unit == "s" and scale.high < 1:  # one unit along the whole scale
        factor, unit = 1000.0, "ms"
    marks = "".join(
        f'<text x="{scale(value)}" y="13" text-anchor="middle">{text(number(value * factor, unit))}</text>'
        for value in scale.ticks()
    )
    return f'<div class="row axis"><span></span><svg aria-hidden="true">{marks}</svg><span></span></div>'
