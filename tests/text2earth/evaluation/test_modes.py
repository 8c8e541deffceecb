"""The modes of unbounded painting under the measures: which shows seams, which repeats, which neither."""

import os
from pathlib import Path

import numpy as np
import pytest
import rasterio

from text2earth.evaluation import measure_seams
from text2earth.world import Box, World, WorldSettings

ROOT = Path(__file__).parents[3]
SHIPPED = ROOT / "text2earth" / "zoo_models" / "metaearth-tiny"


def canvas(model, size, mode):
    """The middle of the finest level, painted in a mode; None is the default."""
    world = World.open(model, seed=0, settings=WorldSettings(mode=mode))
    start = (128 << world.maxzoom) - size // 2
    return world.region(world.maxzoom, Box(start, start, size, size))


@pytest.mark.slow
@pytest.mark.skipif(not SHIPPED.is_dir(), reason="no weights of metaearth-tiny are shipped")
@pytest.mark.skipif("GIT10M_IMAGERY" not in os.environ, reason="GIT10M_IMAGERY is unset: no real imagery")
def test_a_canvas_of_4096_px_has_no_seams_and_does_not_repeat():
    """Hours on two cores; the control is a real image mirrored at its borders, as none at hand is that large."""
    size, model = 4096, World.open(SHIPPED).model
    stride = model.network.window // 2
    with rasterio.open(Path(os.environ["GIT10M_IMAGERY"]) / "rasters" / "rasterio__cogeo.tif") as source:
        pixels = np.moveaxis(source.read([1, 2, 3]), 0, -1)
    margin = ((0, size - len(pixels)), (0, size - pixels.shape[1]), (0, 0))
    real = measure_seams(np.pad(pixels, margin, mode="symmetric"), stride=stride)
    painted = canvas(model, size, None)
    found = measure_seams(painted, stride=stride)
    assert all(seam.is_inside for seam in found.seams if seam.kind == "gradient")
    y, x = np.mgrid[:size, :size] // stride
    planted = np.clip(painted.astype(np.int16) + 2 * ((x + y) % 2)[..., None], 0, 255).astype(np.uint8)
    assert not any(seam.is_inside for seam in measure_seams(planted, stride=stride).seams if seam.kind == "step")
    assert found.periodicity <= real.periodicity + 0.02
    assert measure_seams(canvas(model, 1024, "metaearth"), stride=stride).periodicity >= 0.3
    assert 0.5 <= found.high_pass_energy / real.high_pass_energy <= 2.0
