"""Bars and histograms as inline HTML and SVG."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from markupsafe import Markup, escape

__all__ = ["Mark", "bars", "histogram"]

BINS = 24
WIDTH, HEIGHT, LEFT, BASE, TOP = 320.0, 132.0, 6.0, 112.0, 24.0
"""Of a histogram, in SVG units; bars stand on BASE."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A value to compare a histogram with, e.g. one that is published."""

    value: float
    text: str


def bars(counts: Mapping[str, int], *, colours: Mapping[str, str] | None = None, at_most: int = 16) -> Markup:
    """Draw a bar a value, with its count; what is beyond ``at_most`` values is drawn as one bar.

    Args:
        counts: Count by label, in the order to draw.
        colours: CSS colours of labels.
        at_most: Most bars.
    """
    shown = dict(list(counts.items())[:at_most])
    if len(counts) > at_most:
        shown[f"{len(counts) - at_most} others"] = sum(counts.values()) - sum(shown.values())
    largest = max(shown.values(), default=0) or 1
    items = []
    for label, count in shown.items():
        colour = f";--c:{colours[label]}" if colours and label in colours else ""
        items.append(
            f'<li><span class="label">{escape(label)}</span><span class="count">{count:,}</span>'
            f'<span class="track"><span style="width:{100 * count / largest:.2f}%{colour}"></span></span></li>'
        )
    return Markup('<ul class="bars">' + "".join(items) + "</ul>")


def histogram(
    values: npt.NDArray[np.float32],
    *,
    unit: str = "",
    logarithmic: bool = False,
    limits: tuple[float, float] = (-math.inf, math.inf),
    marks: Sequence[Mark] = (),
) -> Markup:
    """Draw the distribution of values with their median.

    Args:
        values: At least one finite number.
        unit: Written behind numbers.
        logarithmic: Bins of equal ratio (values > 0).
        limits: Least and largest value that the axis may show.
        marks: Values to compare with; they widen the axis where needed.
    """
    numbers = values.astype(np.float64)
    low = min([float(numbers.min()), *(mark.value for mark in marks)])
    high = max([float(numbers.max()), *(mark.value for mark in marks)])
    if high - low < 1e-9 * max(abs(high), 1.0):
        # One value alone stands on an axis that goes a tenth of it to either side.
        spare = 0.1 * abs(high) or 0.5
        low, high = max(low - spare, limits[0]), min(high + spare, limits[1])
    scaled = np.log if logarithmic else np.asarray
    start, stop = float(scaled(low)), float(scaled(high))
    counts, _ = np.histogram(scaled(numbers), bins=BINS, range=(start, stop))

    def across(value: float) -> float:
        return LEFT + (float(scaled(value)) - start) / (stop - start) * (WIDTH - 2 * LEFT)

    width = (WIDTH - 2 * LEFT) / BINS
    tall = (BASE - TOP - 6) * counts / max(counts.max(), 1)
    columns = "".join(
        f"M{LEFT + at * width + 0.5:.1f} {BASE}v{-height:.1f}h{width - 1:.1f}V{BASE}z"
        for at, height in enumerate(tall.tolist())
        if height
    )
    middle = float(np.median(numbers))
    parts = [f'<path class="columns" d="{columns}"/><path class="axis" d="M{LEFT} {BASE}H{WIDTH - LEFT}"/>']
    parts.append(_line(across(middle), f"median {_short(middle)}{unit}", row=0, kind="median"))
    # A mark's words stand on the side of its line that the median's line does not cross.
    parts += [_line(across(m.value), m.text, row=1, kind="mark", leftward=m.value < middle) for m in marks]
    parts.append(f'<text x="{LEFT}" y="{BASE + 15}">{_short(low)}{unit}</text>')
    parts.append(f'<text x="{WIDTH - LEFT}" y="{BASE + 15}" text-anchor="end">{_short(high)}{unit}</text>')
    label = (
        f"from {_short(float(numbers.min()))} to {_short(float(numbers.max()))}{unit}, median {_short(middle)}{unit}"
    )
    return Markup(
        f'<svg class="histogram" viewBox="0 0 {WIDTH:g} {HEIGHT:g}" role="img" aria-label="{escape(label)}">'
        + "".join(parts)
        + "</svg>"
    )


def _line(x: float, text: str, *, row: int, kind: str, leftward: bool | None = None) -> str:
    """Draw a vertical line with its text above (None: centred), turned inward at the edges."""
    anchor = "start" if x < WIDTH * 0.3 else "end" if x > WIDTH * 0.7 else "middle"
    if leftward is not None and anchor == "middle":
        anchor = "end" if leftward else "start"
    y = 10 + 12 * row
    return (
        f'<path class="{kind}" d="M{x:.1f} {y + 3}V{BASE}"/>'
        f'<text class="{kind}" x="{x:.1f}" y="{y}" text-anchor="{anchor}">{escape(text)}</text>'
    )


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
