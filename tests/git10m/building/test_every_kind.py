"""The same place from everywhere: a GeoTIFF, a tile server, WMTS, a STAC API, archives, remote files."""

from __future__ import annotations

import io
import itertools
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from small_imagery import command

Capture = pytest.CaptureFixture[str]

LEVEL = 14
"""The native level of the raster, whose pixels are 6 m."""
RASTER = "naip__m_4709963_se_14_1_20200831.tif"
BBOX = [-99.19, 47.0, -99.12, 47.04]


def tiles_of(capfd: Capture, folder: Path, source: str, *, image: str = "png") -> dict[str, np.ndarray]:
    """Build a dataset of one source, verify it, and return its pixels by place."""
    recipe = folder / "recipe.toml"
    folder.mkdir(parents=True, exist_ok=True)
    recipe.write_text(
        f'name = "place"\nimage.format = "{image}"\ncaptions.writer = "none"\n'
        f"[region]\nbbox = {BBOX}\n[tiles]\nlevels = [{LEVEL}]\nmin_valid = 0.999\n[[source]]\nid = 'here'\n{source}\n",
        encoding="utf-8",
    )
    done = command(capfd, "build", recipe, "--output", folder / "dataset", "--workers", 1)
    assert done.code == 0, done.err
    checked = command(capfd, "verify", folder / "dataset", "--workers", 1)
    assert checked.code == 0, checked.err
    return {row["Google_location"]: pixels(row) for row in rows_of(folder)}


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return [row for file in (folder / "dataset/data").glob("*.parquet") for row in pq.read_table(file).to_pylist()]


def pixels(row: dict[str, Any]) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(row["image"]["bytes"])).convert("RGB")).astype(int)


def difference(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> float:
    """Largest of the tiles' mean absolute differences; both must have the same tiles."""
    assert one
    assert one.keys() == other.keys()
    return max(float(np.abs(one[name] - other[name]).mean()) for name in one)


@pytest.fixture(scope="module")
def from_file(imagery: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Capture], dict[str, np.ndarray]]:
    """The tiles of the GeoTIFF itself, built by the first test that asks."""
    folder, found = tmp_path_factory.mktemp("file"), {}

    def tiles(capfd: Capture) -> dict[str, np.ndarray]:
        if not found:
            path = imagery / "rasters" / RASTER
            found.update(tiles_of(capfd, folder, f'path = "{path}"\nbands = [1, 2, 3]\nresampling = "bilinear"'))
        return found

    return tiles


def test_a_tile_server_gives_the_same_tiles(
    capfd: Capture, imagery: Path, tmp_path: Path, titiler: Any, from_file: Any
):
    path = imagery / "rasters" / RASTER
    said = {"resampling": "bilinear", "reproject": "bilinear"}
    for suffix, image in ((".png", "png"), (".jpeg", "jpeg"), (".webp", "webp")):
        url = titiler.xyz(path, suffix=suffix, **said) + "&bidx=1&bidx=2&bidx=3"
        source = f'kind = "xyz"\nurl = "{url}"\ncontact = "tests@example.org"\nrate = 0'
        served = tiles_of(capfd, tmp_path / image, source, image=image)
        expected = from_file(capfd)
        # JPEG knows no transparency: there the tiles at the edge are whole, and black beyond it.
        served = {name: served[name] for name in expected} if image == "jpeg" else served
        if image == "png":
            assert difference(served, expected) <= 1.0
        else:
            assert difference(served, expected) <= 3.0
            with sqlite3.connect(tmp_path / image / "dataset/work/sources/here/answers.sqlite") as store:
                answers = {body for (body,) in store.execute("SELECT body FROM answers WHERE status = 200")}
            kept = {row["image"]["bytes"] for row in rows_of(tmp_path / image)}
            assert kept <= answers  # to the byte what the server gave


def test_wmts_gives_the_same_tiles(capfd: Capture, imagery: Path, tmp_path: Path, titiler: Any, from_file: Any):
    path = imagery / "rasters" / RASTER
    address = titiler.wmts(path, resampling="bilinear", reproject="bilinear") + "&bidx=1&bidx=2&bidx=3"
    source = f"""
        kind = "wmts"
        address = "{address}"
        wmts_layer = "{path}_WebMercatorQuad_default"
        contact = "tests@example.org"
        rate = 0
    """
    assert difference(tiles_of(capfd, tmp_path, source), from_file(capfd)) <= 1.0


def test_a_stac_api_gives_the_same_tiles(
    capfd: Capture, imagery: Path, tmp_path: Path, stac_catalog: Any, from_file: Any
):
    source = f"""
        kind = "stac"
        address = "{stac_catalog.url}"
        collection = "rasters"
        between = [2020-08-01, 2020-09-30]
        bands = ["image:1", "image:2", "image:3"]
        resampling = "bilinear"
    """
    assert difference(tiles_of(capfd, tmp_path, source), from_file(capfd)) == 0.0


def test_archives_give_the_same_tiles(capfd: Capture, imagery: Path, tmp_path: Path, from_file: Any):
    found = {
        name: tiles_of(capfd, tmp_path / name, f'kind = "archive"\npath = "{imagery / "tiles" / name}"')
        for name in ("naip_nd_2020.mbtiles", "naip_nd_2020.pmtiles", "naip_nd_2020_xyz")
    }
    for one, other in itertools.pairwise(found.values()):
        assert difference(one, other) == 0.0
    assert difference(found["naip_nd_2020.mbtiles"], from_file(capfd)) <= 3.0


def test_a_remote_archive_gives_the_same_tiles(
    capfd: Capture, imagery: Path, tmp_path: Path, range_server: Any, from_file: Any
):
    address = f"{range_server(imagery / 'tiles').url}/naip_nd_2020.pmtiles"
    remote = tiles_of(capfd, tmp_path / "http", f'kind = "archive"\npath = "{address}"')
    assert difference(remote, from_file(capfd)) <= 3.0


def test_remote_files_give_the_same_tiles(
    capfd: Capture, imagery: Path, tmp_path: Path, range_server: Any, s3_server: Any, from_file: Any
):
    (tmp_path / "bucket").mkdir()
    (tmp_path / "bucket" / RASTER).write_bytes((imagery / "rasters" / RASTER).read_bytes())
    http = f"{range_server(imagery / 'rasters').url}/{RASTER}"
    s3 = f"{s3_server.fill(tmp_path / 'bucket')}/*.tif"
    for name, address in (("http", http), ("s3", s3)):
        source = f'path = "{address}"\nbands = [1, 2, 3]\nresampling = "bilinear"'
        assert difference(tiles_of(capfd, tmp_path / name, source), from_file(capfd)) == 0.0
