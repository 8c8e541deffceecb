"""The view that shows a tile at every level that it resolves, and at none that it does not."""

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest

from text2earth.data import Examples, RowFilter, View, scan
from text2earth.data.rows import Rows
from text2earth.data.view import UnusableRowError, draw_halvings
from text2earth.noise import Stream, generator


def drawn(view, *, finest, size=256, count=300):
    draws = [generator(0, counter, stream=Stream.VIEW) for counter in range(count)]
    return Counter(draw_halvings(view, height=size, width=size, finest=finest, draws=each) for each in draws)


def test_every_scale_that_fits_comes_as_often():
    assert drawn(View(64, "scales"), finest=0).keys() == {0, 1, 2}
    assert min(drawn(View(64, "scales"), finest=0).values()) > 70
    assert drawn(View(64, "scales"), finest=1).keys() == {1, 2}
    assert drawn(View(64, "scales"), finest=2) == {2: 300}


def test_a_tile_that_resolves_no_window_is_unusable():
    with pytest.raises(UnusableRowError, match="256×256 px averaged 3 times, to what the source resolves"):
        drawn(View(64, "scales"), finest=3)


@pytest.mark.parametrize(
    ("gsd_m", "native_gsd_m", "halvings"),
    [(10.0, 10.0, 0), (8.0, 10.0, 0), (7.9, 10.0, 1), (5.0, 10.0, 1), (2.0, 10.0, 2), (40.0, 10.0, 0), (10.0, None, 0)],
)
def test_a_level_is_resolved_up_to_a_share_of_the_sources_own(gsd_m, native_gsd_m, halvings):
    table = pa.table({"gsd_m": [gsd_m], "native_gsd_m": pa.array([native_gsd_m], pa.float64())})
    assert Rows(table).finest_halvings(0) == halvings


def test_the_level_falls_with_the_scale_and_pixels_are_means(dataset):
    """The tiles are at levels 14 and 15 and say nothing of their source's resolution."""
    index = scan(str(dataset), rows=RowFilter())
    examples = Examples(index, view=View(64, "scales"), seed=0)
    whole = Examples(index, view=View(256), seed=0)
    levels = Counter()
    for counter in range(96):
        made, tile = examples[counter], whole[counter]
        assert made.pixels is not None and made.pixels.shape == (64, 64, 3)
        halvings = tile.condition.level - made.condition.level
        levels[halvings] += 1
        if halvings == 2:  # the window is the whole tile
            assert tile.pixels is not None
            mean = tile.pixels.reshape(64, 4, 64, 4, 3).astype(float).mean((1, 3))
            assert np.abs(made.pixels - mean).max() <= 1.0
    assert levels.keys() == {0, 1, 2}
    assert np.array_equal(examples[5].pixels, Examples(index, view=View(64, "scales"), seed=0)[5].pixels)
