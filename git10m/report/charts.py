"""Bars and histograms as inline HTML and SVG."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import numpy.typing as npt
from markupsafe import Markup, escape

__all__ = ["Axis", "Band", "Mark", "bars", "histogram", "short"]

BINS = 30
"""About so many, at round edges."""
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BASE = 340.0, 190.0, 40.0, 332.0, 46.0, 150.0
"""Of a histogram, in SVG units; bars stand on BASE between LEFT and RIGHT."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A value to compare a histogram with, e.g. one that is published."""

    value: float
    text: str


@dataclass(frozen=True, slots=True)
class Band:
    """A range to compare a histogram with; drawn behind the bars, told in the legend below."""

    low: float
    high: float
    text: str


@dataclass(frozen=True, slots=True)
class Axis:
    """What runs from left to right.

    Attributes:
        unit: Written behind numbers, with the space before it.
        title: What is measured, below the axis.
        logarithmic: Bins of equal ratio (values > 0).
        limits: Least and largest value that the axis may show.
        whole: Values are whole numbers: bins are, too.
        plain: Numbers without a sign between thousands, as years are written.
    """

    unit: str = ""
    title: str = ""
    logarithmic: bool = False
    limits: tuple[float, float] = (-math.inf, math.inf)
    whole: bool = False
    plain: bool = False

    def text(self, value: float) -> str:
        """Write a number in a few characters, without the unit."""
        return f"{value:.0f}" if self.plain else short(value)


def bars(
    counts: Mapping[str, int],
    *,
    colours: Mapping[str, str] | None = None,
    links: Mapping[str, str] | None = None,
    at_most: int = 16,
    of: int | None = None,
) -> Markup:
    """Draw a bar a value, with its count and share; what is beyond ``at_most`` values is drawn as one bar.

    Args:
        counts: Count by label, in the order to draw.
        colours: CSS colours of labels.
        links: Addresses within the page of labels.
        at_most: Most bars.
        of: What counts are a share of; None: of their sum.
    """
    shown = dict(list(counts.items())[:at_most])
    if len(counts) > at_most:
        shown[f"{len(counts) - at_most} others"] = sum(counts.values()) - sum(shown.values())
    largest = max(shown.values(), default=0) or 1
    total = of or sum(shown.values()) or 1
    items = []
    for label, count in shown.items():
        colour = f";--c:{colours[label]}" if colours and label in colours else ""
        name = f"<bdi>{escape(label)}</bdi>"
        if links and label in links:
            name = f'<a href="{escape(links[label])}">{name}</a>'
        items.append(
            f'<li><span class="label">{name}</span><span class="count">{count:,}'
            f' <span class="part">{_percent(count / total)}</span></span>'
            f'<span class="track"><span style="width:{100 * count / largest:.2f}%{colour}"></span></span></li>'
        )
    return Markup('<ul class="bars">' + "".join(items) + "</ul>")


def histogram(
    values: npt.NDArray[np.float32],
    *,
    axis: Axis = Axis(),
    marks: Sequence[Mark] = (),
    bands: Sequence[Band] = (),
    total: int | None = None,
) -> Markup:
    """Draw the distribution of values with axes, their median, and what is published beside it.

    Args:
        values: At least one finite number.
        axis: What they are.
        marks: Values to compare with; they widen the axis where needed.
        bands: Ranges to compare with; they widen it too.
        total: How many values there are, where only some of them are given; counts are then scaled up.
    """
    numbers = values.astype(np.float64)
    if axis.logarithmic:
        numbers = numbers[numbers > 0] if (numbers > 0).any() else np.ones(1)
    edges = _edges(numbers, axis, marks=marks, bands=bands)
    counts, _ = np.histogram(numbers, bins=edges)
    scale = (total or len(values)) / len(values)
    heights = counts * scale
    frame = _Frame(axis, float(edges[0]), float(edges[-1]), float(_round_up(max(heights.max(), 1.0))))
    parts = [_bands(frame, bands), _levels(frame), _columns(frame, edges, heights), _ticks(frame)]
    middle = float(np.median(numbers))
    parts.append(_line(frame, middle, f"median {axis.text(middle)}{axis.unit}", row=0, kind="median"))
    for row, mark in enumerate(marks, start=1):
        # A mark's words stand on the side of its line that the median's line does not cross.
        parts.append(_line(frame, mark.value, mark.text, row=row, kind="mark", leftward=mark.value < middle))
    if axis.title:
        parts.append(f'<text class="title" x="{RIGHT}" y="{BASE + 33}" text-anchor="end">{escape(axis.title)}</text>')
    least, largest = axis.text(float(numbers.min())), axis.text(float(numbers.max()))
    said = f"{axis.title or 'values'}: from {least} to {largest}{axis.unit}, median {axis.text(middle)}{axis.unit}"
    said += f"; {total or len(values):,} values"
    said += "".join(f"; {mark.text}" for mark in marks)
    drawn = (
        f'<svg class="histogram" viewBox="0 0 {WIDTH:g} {HEIGHT:g}" role="img" aria-label="{escape(said)}">'
        + "".join(parts)
        + "</svg>"
    )
    return Markup(drawn + _legend(bands))


@dataclass(frozen=True, slots=True)
class _Frame:
    """Where values are drawn."""

    axis: Axis
    low: float
    high: float
    tallest: float

    def x(self, value: float) -> float:
        scaled = math.log if self.axis.logarithmic else float
        start, stop = scaled(self.low), scaled(self.high)
        return LEFT + (scaled(value) - start) / (stop - start) * (RIGHT - LEFT)

    def y(self, count: float) -> float:
        return BASE - count / self.tallest * (BASE - TOP)


def _edges(
    numbers: npt.NDArray[np.float64], axis: Axis, *, marks: Sequence[Mark], bands: Sequence[Band]
) -> npt.NDArray[np.float64]:
    """Return edges of bins at round numbers (of a logarithmic axis: of equal ratio) around values and marks."""
    beside = [mark.value for mark in marks] + [end for band in bands for end in (band.low, band.high)]
    if axis.logarithmic:
        beside = [value for value in beside if value > 0]
    low, high = min([float(numbers.min()), *beside]), max([float(numbers.max()), *beside])
    if high - low < 1e-6 * max(abs(high), 1e-6):
        # One value alone stands on an axis that goes a tenth of it to either side.
        spare = 2.0 if axis.whole else 0.1 * abs(high) or 0.5
        low, high = max(low - spare, axis.limits[0]), min(high + spare, axis.limits[1])
    if axis.logarithmic:
        return np.geomspace(low, high * (1 + 1e-9), BINS + 1).astype(np.float64)
    step = max(_round_up((high - low) / BINS), 1.0 if axis.whole else 0.0)
    first, last = math.floor(low / step + 1e-9), math.floor(high / step + 1e-9) + 1
    if abs(high / step - round(high / step)) < 1e-6 and high >= axis.limits[1] - 1e-9:
        last = round(high / step)  # the largest value that there can be belongs to the last bin
    return (np.arange(first, max(last, first + 1) + 1) * step).astype(np.float64)


def _columns(frame: _Frame, edges: npt.NDArray[np.float64], heights: npt.NDArray[np.float64]) -> str:
    parts = []
    for (low, high), count in zip(pairwise(edges.tolist()), heights.tolist(), strict=True):
        if not count:
            continue
        x0, x1, y = frame.x(low), frame.x(high), min(frame.y(count), BASE - 1)
        # Whole numbers up to, but not at, the right edge: say the last one.
        unit = frame.axis.unit
        if frame.axis.whole:
            words = f"{low:.0f}{unit}" if high - low == 1 else f"{low:.0f}–{high - 1:.0f}{unit}"
        else:
            words = f"{short(low)}–{short(high)}{unit}"
        parts.append(
            f'<path class="column" d="M{x0 + 0.4:.1f} {BASE}V{y:.1f}H{max(x1 - 0.4, x0 + 0.8):.1f}V{BASE}z">'
            f"<title>{escape(words)}: {count:,.0f}</title></path>"
        )
    return "".join(parts)


def _levels(frame: _Frame) -> str:
    """Draw lines at round counts, with the counts."""
    parts = []
    for share in (0.5, 1.0):
        count = frame.tallest * share
        if count != round(count):
            continue
        y = frame.y(count)
        parts.append(f'<path class="rule" d="M{LEFT} {y:.1f}H{RIGHT}"/>')
        parts.append(f'<text x="{LEFT - 4}" y="{y + 4:.1f}" text-anchor="end">{_many(count)}</text>')
    parts.append(f'<text x="{LEFT - 4}" y="{BASE + 4}" text-anchor="end">0</text>')
    parts.append(f'<text class="title" x="2" y="{BASE + 33}">upright: how many</text>')
    return "".join(parts)


def _ticks(frame: _Frame) -> str:
    parts = [f'<path class="axis" d="M{LEFT} {BASE}H{RIGHT}"/>']
    taken = -math.inf
    ticks = _log_ticks(frame) if frame.axis.logarithmic else _even_ticks(frame)
    for at, value in enumerate(ticks):
        x, words = frame.x(value), frame.axis.text(value)
        half = 3.2 * len(words)
        if x - half < taken:
            continue
        taken = x + half + 4
        if at == len(ticks) - 1 or x + half * 3 > RIGHT:
            words += frame.axis.unit
        anchor = "end" if x + 3.2 * len(words) > WIDTH else "middle"
        parts.append(f'<path class="axis" d="M{x:.1f} {BASE}v4"/>')
        parts.append(f'<text x="{min(x, WIDTH):.1f}" y="{BASE + 16}" text-anchor="{anchor}">{words}</text>')
    return "".join(parts)


def _even_ticks(frame: _Frame) -> list[float]:
    step = _round_up((frame.high - frame.low) / 5)
    if frame.axis.whole:
        step = max(step, 1.0)
    first, last = math.ceil(frame.low / step - 1e-9), math.floor(frame.high / step + 1e-9)
    return [number * step for number in range(first, last + 1)]


def _log_ticks(frame: _Frame) -> list[float]:
    first, last = math.floor(math.log10(frame.low)), math.ceil(math.log10(frame.high))
    factors = (1.0, 2.0, 5.0) if last - first < 3 else (1.0,)
    found = [factor * 10.0**power for power in range(first, last + 1) for factor in factors]
    inside = [value for value in found if frame.low <= value <= frame.high]
    return inside if len(inside) > 1 else [frame.low, frame.high]


def _bands(frame: _Frame, bands: Sequence[Band]) -> str:
    return "".join(
        f'<path class="band b{number}" d="M{frame.x(band.low):.1f} {TOP}H{frame.x(band.high):.1f}V{BASE}'
        f'H{frame.x(band.low):.1f}z"><title>{escape(band.text)}</title></path>'
        for number, band in enumerate(bands)
    )


def _legend(bands: Sequence[Band]) -> str:
    keys = "".join(f'<span><i class="band b{n}"></i>{escape(band.text)}</span>' for n, band in enumerate(bands))
    return f'<p class="keys small">{keys}</p>' if keys else ""


def _line(
    frame: _Frame, value: float, text: str, *, row: int, kind: Literal["median", "mark"], leftward: bool | None = None
) -> str:
    """Draw a vertical line with its text above (None: centred), turned inward at the edges."""
    x, y = frame.x(value), 10 + 13 * row
    anchor = "start" if x < WIDTH * 0.35 else "end" if x > WIDTH * 0.65 else "middle"
    if leftward is not None and anchor == "middle":
        anchor = "end" if leftward else "start"
    nudge = {"start": -2, "end": 2, "middle": 0}[anchor]
    return (
        f'<path class="{kind}" d="M{x:.1f} {y + 3}V{BASE}"/>'
        f'<text class="{kind}" x="{x + nudge:.1f}" y="{y}" text-anchor="{anchor}">{escape(text)}</text>'
    )


def _round_up(value: float) -> float:
    """Return the next 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(factor * power for factor in (1.0, 2.0, 5.0, 10.0) if value <= factor * power * (1 + 1e-9))


def _many(count: float) -> str:
    for least, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= 10 * least or (count >= least and count % least == 0):
            return f"{count / least:,.4g} {letter}"
    return f"{count:,.0f}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.995 or share == 0 else f"{100 * share:.2g} %"


def short(value: float) -> str:
    """Write a number with three digits or so, and never with an exponent."""
    if abs(value) < 1e-12:
        return "0"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 1e-3 else np.format_float_positional(value, 2, fractional=False, trim="-")
