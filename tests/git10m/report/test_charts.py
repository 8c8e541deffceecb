"""Bars and histograms: every distribution can be drawn, and says how many there are."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from git10m.report.charts import Axis, Band, Mark, bars, histogram


def columns(drawing: object) -> list[tuple[str, int]]:
    """What each bar of a histogram says: its range and count."""
    return [
        (words, int(n.replace(",", ""))) for words, n in re.findall(r"<title>([^<]*): ([\d,]+)</title>", str(drawing))
    ]


@pytest.mark.parametrize("logarithmic", [False, True])
@given(values=st.lists(st.floats(2**-10, 2**20, width=32), min_size=1, max_size=50))
def test_every_histogram_can_be_drawn_and_counts_every_value(values: list[float], logarithmic: bool) -> None:
    axis = Axis(" m", "length", logarithmic=logarithmic)
    drawing = histogram(np.array(values, np.float32), axis=axis, marks=[Mark(52.0, "published <mean>")])
    assert "nan" not in drawing and "published &lt;mean&gt;" in drawing
    assert sum(count for _, count in columns(drawing)) == len(values)


def test_whole_numbers_have_bins_of_whole_numbers() -> None:
    drawing = histogram(np.array([12, 12, 13, 15], np.float32), axis=Axis(" words", whole=True))
    assert columns(drawing) == [("12 words", 2), ("13 words", 1), ("15 words", 1)]


def test_the_largest_value_that_there_can_be_belongs_to_the_last_bin() -> None:
    drawing = histogram(np.array([0, 50, 100], np.float32), axis=Axis(" %", limits=(0, 100)))
    assert columns(drawing)[-1] == ("95–100 %", 1)
    assert ">100 %<" in drawing


def test_published_ranges_are_drawn_and_named() -> None:
    drawing = histogram(
        np.array([30, 40], np.float32), bands=[Band(12, 105, "published range")], marks=[Mark(52, "mean 52")]
    )
    assert str(drawing).count("published range") == 2  # in the drawing, and in the legend
    assert "mean 52" in re.search('aria-label="([^"]*)"', drawing).group(1)


def test_counts_of_a_sample_are_scaled_up() -> None:
    drawing = histogram(np.array([1, 1, 3], np.float32), axis=Axis(whole=True), total=3_000)
    assert columns(drawing) == [("1", 2_000), ("3", 1_000)]
    assert "3,000 values" in drawing


def test_bars_beyond_the_limit_are_added_up() -> None:
    drawing = str(bars({f"source {n}": 10 for n in range(20)}, at_most=4))
    assert "16 others" in drawing and ">160 " in drawing


def test_names_become_text() -> None:
    drawing = str(bars({"<b>": 3}, links={"<b>": '#source="x'}))
    assert "&lt;b&gt;" in drawing and 'href="#source=&#34;x"' in drawing
