"""A raster of the user's as the root of a world."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_bounds
from small_worlds import cheap_model, cheap_world

from text2earth.errors import BaseMapError, WorldError
from text2earth.world import Box, block_mean
from text2earth.world.base_map import BaseMap


def write(path, *, crs="EPSG:4326", bounds=(-180, -85, 180, 85), bands=3, dtype="uint8", size=(360, 170), nodata=None):
    """A raster that grows redder eastwards and greener southwards."""
    width, height = size
    across, down = np.meshgrid(np.linspace(40, 215, width), np.linspace(40, 215, height))
    image = np.stack([across, down, np.full_like(across, 90), np.full_like(across, 7)])[:bands].astype(dtype)
    profile = {"driver": "GTiff", "dtype": dtype, "count": bands, "width": width, "height": height, "nodata": nodata}
    with rasterio.open(path, "w", **profile, crs=crs, transform=from_bounds(*bounds, width, height)) as target:
        target.write(image)
    return path


def test_a_world_has_the_low_band_of_its_base_map(tmp_path):
    path = write(tmp_path / "world.tif")
    world = cheap_world(base=path)
    with BaseMap(path, level=0) as root:
        wanted, covered = root.read(Box(64, 64, 32, 32))
    assert covered.min() == 255
    assert np.array_equal(block_mean(world.region(2, Box(256, 256, 128, 128)), factor=4), wanted)
    assert (
        world.region(2, Box(800, 500, 64, 64))[..., 0].mean()
        > world.region(2, Box(100, 500, 64, 64))[..., 0].mean() + 80
    )


def test_any_coordinate_reference_system_lies_in_its_place(tmp_path):
    path = write(tmp_path / "utm.tif", crs="EPSG:32633", bounds=(200000, 5000000, 800000, 5600000), size=(300, 300))
    with BaseMap(path, level=6) as root:
        x, y = int((15 + 180) / 360 * root._plane.side), 5700  # the central meridian of zone 33, near 48° N
        pixels, covered = root.read(Box(x - 4, y, 8, 8))
        _, elsewhere = root.read(Box(x + 1000, y, 8, 8))
    assert covered.min() == 255 and elsewhere.max() == 0
    assert abs(float(pixels[..., 0].mean()) - 127.5) < 4


def test_what_the_map_does_not_cover_is_painted_as_if_it_were_not_there(tmp_path):
    path = write(tmp_path / "part.tif", bounds=(-100, 0, -40, 60), size=(60, 60))
    model = cheap_model(levels=(2, 4), window=64)
    world, bare = cheap_world(model, base=path, prompt="the sea"), cheap_world(model, prompt="the sea")
    far = Box(800, 640, 64, 64)
    means = [block_mean(each.region(2, far), factor=4) for each in (world, bare)]
    assert np.array_equal(*means)  # the same low band, painted once more
    assert not np.array_equal(*[block_mean(each.region(2, Box(288, 400, 64, 64)), factor=4) for each in (world, bare)])


def test_another_raster_is_another_world(tmp_path):
    first, second = write(tmp_path / "a.tif"), write(tmp_path / "b.tif", size=(180, 85))
    model = cheap_model()
    fingerprints = {cheap_world(model, base=path).fingerprint for path in (first, second, None)}
    assert len(fingerprints) == 3
    renamed = first.rename(tmp_path / "c.tif")
    assert cheap_world(model, base=renamed).fingerprint in fingerprints


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ({"bands": 1}, "it has 1 bands of uint8; a base map has red, green and blue"),
        ({"dtype": "uint16"}, "bands of uint16.*gdal_translate -ot Byte"),
        ({"crs": None}, "states no coordinate reference system"),
    ],
)
def test_a_raster_of_another_kind_is_refused(tmp_path, made, said):
    path = write(tmp_path / "odd.tif", **made)
    with pytest.raises(BaseMapError, match=said):
        cheap_world(base=path)


def test_what_is_no_raster_is_refused(tmp_path):
    path = tmp_path / "notes.tif"
    path.write_text("not a raster")
    with pytest.raises(BaseMapError, match="cannot be read as a raster"):
        cheap_world(base=path)


def test_a_world_that_starts_at_the_top_takes_no_base_map(tmp_path):
    with pytest.raises(WorldError, match="a base map lies above that"):
        cheap_world(cheap_model(levels=(0, 2)), base=write(tmp_path / "world.tif"))
