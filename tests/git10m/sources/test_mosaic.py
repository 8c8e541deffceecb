"""Overlapping scenes: priority, filling, dates, layers, shares, and scenes that fail."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_rasters import PRAGUE, around, mosaic, noise, on_the_grid, read, source, write
from rasterio.shutil import copy as copy_raster

from git10m.grid import Tile
from git10m.recipe import RasterSource
from git10m.sources import Failure, Request, Sample
from git10m.sources.mosaic import BLOCK_TILES

TILE = Tile.from_lonlat(*PRAGUE, 14)
EAST = Tile(14, TILE.x + 1, TILE.y)


def plain(path: Path, value: int, *, tile: Tile = TILE, hole: slice | None = None, **options: Any) -> Path:
    """A tile of one colour, with a band of columns without data."""
    bands = np.full((3, 256, 256), value, dtype=np.uint8)
    if hole is not None:
        bands[:, :, hole] = 0
    return write(path, bands, transform=on_the_grid(tile), photometric="RGB", nodata=0, **options)


def named(path: Path, name: str, **said: Any) -> RasterSource:
    return source(path, **said).model_copy(update={"id": name})


def sample(made: Any, tile: Tile = TILE, group: int = 0) -> Sample:
    (found,) = read(made, tile, group=group)
    assert isinstance(found, Sample), found
    return found


def test_the_first_source_wins_and_the_next_fills_what_it_leaves(tmp_path: Path):
    first = named(plain(tmp_path / "first.tif", 100, hole=slice(0, 64)), "first", licence="CC0-1.0")
    second = named(plain(tmp_path / "second.tif", 200, hole=slice(0, 32)), "second", licence="CC-BY-4.0")
    found = sample(mosaic(first, second, fill=(1, 2, 3)))
    assert not found.valid[:, :32].any()
    assert found.valid[:, 32:].all()
    assert found.pixels[0, 0].tolist() == [1, 2, 3]
    assert (found.pixels[:, 32:64] == 200).all()
    assert (found.pixels[:, 64:] == 100).all()
    parts = [(part.source_id, part.source_item, part.licence, part.share) for part in found.contributions]
    assert parts == [
        ("first", "first.tif", "CC0-1.0", pytest.approx(192 / 224)),
        ("second", "second.tif", "CC-BY-4.0", pytest.approx(32 / 224)),
    ]


def test_contributions_stand_by_falling_share_and_sum_to_one(tmp_path: Path):
    little = named(plain(tmp_path / "a.tif", 100, hole=slice(0, 200)), "little")
    much = named(plain(tmp_path / "b.tif", 200), "much")
    found = sample(mosaic(little, much))
    assert [part.source_id for part in found.contributions] == ["much", "little"]
    assert sum(part.share for part in found.contributions) == pytest.approx(1.0)
    assert (found.pixels[:, 200:] == 100).all()


def test_a_scene_that_adds_nothing_is_not_named(tmp_path: Path):
    made = mosaic(named(plain(tmp_path / "a.tif", 100), "a"), named(plain(tmp_path / "b.tif", 200), "b"))
    assert [part.source_id for part in sample(made).contributions] == ["a"]


def test_the_order_of_the_recipe_decides_and_not_that_of_the_names(tmp_path: Path):
    a, z = named(plain(tmp_path / "a.tif", 100), "a"), named(plain(tmp_path / "z.tif", 200), "z")
    assert (sample(mosaic(a, z)).pixels == 100).all()
    assert (sample(mosaic(z, a)).pixels == 200).all()


def dated(folder: Path, **said: Any) -> RasterSource:
    for day, value in (("2019-07-01", 10), ("2020-07-01", 20), ("2018-07-01", 30)):
        plain(folder / f"s_{day}.tif", value, hole=slice(0, value * 2))
    return source(folder, date_pattern=r"_(\d{4}-\d{2}-\d{2})\.tif$", **said)


def test_dates_are_kept_apart(tmp_path: Path):
    made = mosaic(dated(tmp_path))
    assert [group.acquired_at for group in made.groups] == [
        datetime(year, 7, 1, tzinfo=UTC) for year in (2018, 2019, 2020)
    ]
    assert [int(sample(made, group=number).pixels.max()) for number in range(3)] == [30, 10, 20]
    assert sample(made, group=0).contributions[0].moment.at.year == 2018


def test_or_fill_each_other_newest_first(tmp_path: Path):
    made = mosaic(dated(tmp_path, dates="mosaic"))
    (group,) = made.groups
    assert group.acquired_at is None
    found = sample(made)
    assert (found.pixels[:, 40:] == 20).all()
    assert (found.pixels[:, 20:40] == 10).all()
    assert not found.valid[:, :20].any()
    assert [part.moment.at.year for part in found.contributions] == [2020, 2019]


def test_scenes_of_one_day_fill_each_other_though_dates_are_apart(tmp_path: Path):
    plain(tmp_path / "10_2020-07-01T10.tif", 10, hole=slice(0, 128))
    plain(tmp_path / "11_2020-07-01T11.tif", 20)
    made = mosaic(source(tmp_path, date_pattern=r"_(\d{4}-\d{2}-\d{2})"))
    assert len(made.groups) == 1
    assert sample(made).valid.all()


def test_layers_are_groups_of_their_own(tmp_path: Path):
    summer = named(plain(tmp_path / "a.tif", 100), "summer", layer="summer")
    winter = named(plain(tmp_path / "b.tif", 200), "winter", layer="winter")
    made = mosaic(winter, summer)
    assert [group.layer for group in made.groups] == ["summer", "winter"]
    assert (sample(made, group=0).pixels == 100).all()
    assert (sample(made, group=1).pixels == 200).all()


def test_a_finer_source_is_used_where_the_level_asks_for_it_and_a_coarse_one_is_not(tmp_path: Path):
    size = 1200
    for name, pixel in (("coarse", 30.0), ("fine", 6.0)):
        bands = np.full((3, size, size), 50 if name == "coarse" else 150, dtype=np.uint8)
        transform = around(*PRAGUE, crs="EPSG:32633", pixel=pixel, size=size)
        write(tmp_path / f"{name}.tif", bands, crs="EPSG:32633", transform=transform, photometric="RGB")
    coarse, fine = (named(tmp_path / f"{name}.tif", name) for name in ("coarse", "fine"))
    assert (sample(mosaic(coarse, fine)).pixels == 150).all()
    assert (sample(mosaic(coarse, fine), TILE.parent(3)).pixels == 50).all()
    blurred = sample(mosaic(coarse, fine, oversample=True))
    assert (blurred.pixels == 50).all()
    assert blurred.contributions[0].native_gsd_m == pytest.approx(30.0, rel=1e-3)
    assert TILE.gsd_m() < 0.8 * 30.0


def test_what_no_scene_supports_is_no_data(tmp_path: Path):
    transform = around(*PRAGUE, crs="EPSG:32633", pixel=30.0, size=600)
    file = write(tmp_path / "a.tif", noise(600, 600), crs="EPSG:32633", transform=transform, photometric="RGB")
    (found,) = read(mosaic(source(file)), TILE)
    assert isinstance(found, Failure)
    assert found.reason == "no_data"


def test_a_tile_without_a_valid_pixel_is_no_data(tmp_path: Path):
    (found,) = read(mosaic(source(plain(tmp_path / "a.tif", 100, hole=slice(0, 256)))), TILE)
    assert isinstance(found, Failure)
    assert (found.reason, found.detail) == ("no_data", "no scene has data there at a level that it supports")


def truncated(folder: Path, *, rows: int = 4, kept: float) -> Path:
    """A scene of 4×rows tiles whose file ends too early: its first rows can be read, its last cannot."""
    whole, file = folder / "whole.tif", folder / "scenes" / "broken.tif"
    write(whole, noise(256 * rows, 1024), transform=on_the_grid(TILE), photometric="RGB", nodata=0)
    file.parent.mkdir(exist_ok=True)
    copy_raster(whole, file, driver="GTiff", TILED="YES", BLOCKXSIZE=256, BLOCKYSIZE=256)
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * kept)])
    whole.unlink()
    return file


def grid_of_tiles() -> list[Tile]:
    return [Tile(14, TILE.x + column, TILE.y + row) for row in range(4) for column in range(4)]


def test_a_truncated_file_fails_the_tiles_that_it_touches_and_no_others(tmp_path: Path):
    found = read(mosaic(source(truncated(tmp_path, kept=0.55))), *grid_of_tiles())
    outcome = [isinstance(each, Sample) for each in found]
    assert outcome[:8] == [True] * 8
    assert outcome[12:] == [False] * 4
    for failure in found[12:]:
        assert isinstance(failure, Failure)
        assert failure.reason == "unreadable"
        assert failure.detail.startswith("broken.tif: cannot be read around tile 14/")


def test_a_truncated_file_that_is_not_needed_harms_nothing(tmp_path: Path):
    broken = source(truncated(tmp_path, kept=0.5))
    whole = write(tmp_path / "better.tif", noise(1024, 1024, seed=1), transform=on_the_grid(TILE), photometric="RGB")
    made = mosaic(named(whole, "better"), broken)
    assert all(isinstance(each, Sample) for each in read(made, *grid_of_tiles()))


def test_a_tile_is_not_filled_from_another_scene_in_the_place_of_one_that_failed(tmp_path: Path):
    """Which pixels a dataset shows must not depend on a fault; the tile is counted as failed instead."""
    broken = source(truncated(tmp_path, kept=0.5))
    whole = write(tmp_path / "other.tif", noise(1024, 1024, seed=1), transform=on_the_grid(TILE), photometric="RGB")
    found = read(mosaic(broken, named(whole, "other")), *grid_of_tiles())
    assert isinstance(found[-1], Failure)
    assert isinstance(found[0], Sample)


def test_answers_come_in_the_order_of_the_requests(tmp_path: Path):
    bands = noise(2560, 2560)
    file = write(tmp_path / "a.tif", bands, transform=on_the_grid(TILE), photometric="RGB")
    made = mosaic(source(file))
    tiles = [Tile(14, TILE.x + i % 10, TILE.y + i // 10) for i in range(100)]
    rng = np.random.default_rng(0)
    asked = [Request(tiles[i], 0) for i in rng.permutation(100)]
    found = list(made.read(asked))
    assert [each.request for each in found] == asked
    for each in found:
        assert isinstance(each, Sample)
        column, row = (each.request.tile.x - TILE.x) * 256, (each.request.tile.y - TILE.y) * 256
        np.testing.assert_array_equal(each.pixels, np.moveaxis(bands[:, row : row + 256, column : column + 256], 0, -1))


def test_a_tile_is_the_same_read_alone_and_in_its_block(tmp_path: Path):
    file = write(tmp_path / "a.tif", noise(1024, 1024), transform=on_the_grid(TILE), photometric="RGB")
    made = mosaic(source(file))
    together = read(made, *grid_of_tiles())
    for alone, tile in zip(together, grid_of_tiles(), strict=True):
        assert isinstance(alone, Sample)
        np.testing.assert_array_equal(alone.pixels, sample(made, tile).pixels)


def test_two_distant_tiles_of_a_block_do_not_warp_what_lies_between(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from git10m.sources import mosaic as module

    sizes = []

    def counted(scene: Any, block: Any) -> Any:
        sizes.append(block.columns * block.rows)
        return read_block(scene, block)

    read_block = module.read_block
    monkeypatch.setattr(module, "read_block", counted)
    corner = Tile(14, TILE.x // BLOCK_TILES * BLOCK_TILES, TILE.y // BLOCK_TILES * BLOCK_TILES)
    file = write(tmp_path / "a.tif", noise(2048, 2048), transform=on_the_grid(corner), photometric="RGB")
    far = Tile(14, corner.x + 7, corner.y + 7)
    assert all(isinstance(each, Sample) for each in read(mosaic(source(file)), corner, far))
    assert sizes == [1, 1]


def test_a_year_in_the_attribution_is_that_of_the_acquisition(tmp_path: Path):
    file = plain(tmp_path / "s_20200831.tif", 100)
    said = {"attribution": "Contains modified Copernicus Sentinel data {year}"}
    dated_one = sample(mosaic(source(file, date_pattern=r"_(\d{8})", **said)))
    assert dated_one.contributions[0].attribution == "Contains modified Copernicus Sentinel data 2020"
    undated = sample(mosaic(source(file, **said)))
    assert undated.contributions[0].attribution == "Contains modified Copernicus Sentinel data"


def test_provenance_is_that_of_source_and_file(tmp_path: Path):
    file = plain(tmp_path / "s.tif", 100, tags={"SYNTHETIC": "YES"})
    said = {"platform": "aerial", "sensor": "NAIP", "attribution": "The survey", "licence": "CC0-1.0"}
    (part,) = sample(mosaic(source(file, acquired_at="2020-08-31", **said))).contributions
    assert (part.platform, part.sensor, part.attribution, part.licence) == ("aerial", "NAIP", "The survey", "CC0-1.0")
    assert part.synthetic
    assert part.moment.precision == "day"
    assert part.native_gsd_m == pytest.approx(TILE.gsd_m(), rel=0.005)
