"""What ends up in the rows: mosaics, dates, pairs of levels, duplicates, formats; seen through small builds."""

import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pyproj
import pytest
from PIL import Image
from small_imagery import DATES, built, small_units, texture, total, write_recipe, write_scene

from git10m.errors import BuildError
from git10m.grid import Tile
from git10m.shards import data_files
from git10m.verify import verify


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return [row for file in data_files(folder) for row in pq.read_table(file).to_pylist()]


def rejected_of(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(folder / "rejected.parquet").to_pylist()
    return found


def pixels_of(row: dict[str, Any]) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(row["image"]["bytes"])))


def dataset(tmp_path: Path, **recipe: str) -> Path:
    """Build what lies in ``imagery/``, check every promise, and return the folder."""
    write_recipe(tmp_path / "recipe.toml", **recipe)
    with small_units():
        built(tmp_path, tmp_path / "dataset")
    assert verify(tmp_path / "dataset") == []
    counts = json.loads((tmp_path / "dataset/manifest.json").read_text())["counts"]
    assert counts["planned"] == total(counts)
    return tmp_path / "dataset"


# Pairs of levels


def tiles_of(rows: list[dict[str, Any]]) -> set[Tile]:
    return {Tile(row["level"], row["x"], row["y"]) for row in rows}


def test_paired_levels_are_there_with_all_children_and_parents_or_not_at_all(tmp_path: Path) -> None:
    write_scene(tmp_path / "imagery/a.tif", size=1900)
    recipe = write_recipe(tmp_path / "recipe.toml", tiles="levels_paired = true")
    recipe.write_text(recipe.read_text().replace("[14, 15]", "[13, 14, 15]"))
    with small_units():
        built(tmp_path, tmp_path / "dataset")
    tiles = tiles_of(rows_of(tmp_path / "dataset"))
    assert {tile.level for tile in tiles} == {13, 14, 15}
    for tile in tiles:
        assert tile.level == 13 or tile.parent() in tiles
        assert tile.level == 15 or set(tile.children()) <= tiles
    lost = [row for row in rejected_of(tmp_path / "dataset") if row["reason"] == "unpaired"]
    assert lost
    assert all(row["detail"] == "its parent or one of its children is missing" for row in lost)
    assert verify(tmp_path / "dataset") == []


def test_a_missing_child_takes_its_parent_and_its_siblings_with_it(tmp_path: Path) -> None:
    pixels = texture(1200, 1200)
    write_scene(tmp_path / "imagery/a.tif", pixels=pixels)
    whole = tiles_of(rows_of(dataset(tmp_path, tiles="levels_paired = true")))
    parent = min(tile for tile in whole if tile.level == 14)
    hurt = next(iter(parent.children()))
    # One pixel in seven of that child has no data: the child falls below 0.95, its parent (0.965) does not.
    west, south, east, north = hurt.bounds
    to_map = pyproj.Transformer.from_crs("OGC:CRS84", "EPSG:32633", always_xy=True).transform
    x0, y0 = to_map(14.95, 50.0)
    x, y = to_map((west + east) / 2, (south + north) / 2)
    column, row = int((x - x0) / 3.5), int((y0 - y) / 3.5)
    pixels[:, row - 40 : row + 40, column - 40 : column + 40] = 0
    write_scene(tmp_path / "hurt/imagery/a.tif", pixels=pixels, nodata=0)
    left = tiles_of(rows_of(dataset(tmp_path / "hurt", tiles="levels_paired = true")))
    assert whole - left == {parent, *parent.children()}


def test_pairs_are_asked_for_at_planned_levels_even_where_a_whole_level_is_dropped(tmp_path: Path) -> None:
    """Were the levels those of the kept rows, a level whose tiles are all dropped would leave the other alone."""
    rng = np.random.default_rng(0)
    pixels = np.repeat(rng.integers(1, 255, (1, 1200, 1200)), 3, axis=0).astype(np.uint8)
    write_scene(tmp_path / "imagery/a.tif", pixels=pixels)
    plain = rows_of(dataset(tmp_path))
    contrast = {level: [row["contrast"] for row in plain if row["level"] == level] for level in (14, 15)}
    assert max(contrast[14]) < min(contrast[15]), "averaged noise is fainter"
    between = (max(contrast[14]) + min(contrast[15])) / 2
    write_scene(tmp_path / "paired/imagery/a.tif", pixels=pixels)
    with pytest.raises(BuildError, match=r"unpaired"):
        dataset(
            tmp_path / "paired",
            tiles="levels_paired = true",
            more=f"[curation.verdicts]\nmin_contrast = {between}",
        )


def test_a_level_that_stands_alone_has_no_pairs(tmp_path: Path) -> None:
    write_scene(tmp_path / "imagery/coarse.tif", size=700, gsd_m=6.0)
    with pytest.raises(BuildError, match=r"unpaired"):
        dataset(tmp_path, tiles="levels_paired = true")


# Completeness


@pytest.mark.parametrize("min_valid", [0.3, 0.95, 1.0])
def test_min_valid_is_the_least_share_of_valid_pixels(min_valid: float, tmp_path: Path) -> None:
    write_scene(tmp_path / "imagery/a.tif", size=700)
    folder = dataset(tmp_path, tiles=f"min_valid = {min_valid}")
    assert min(row["valid_fraction"] for row in rows_of(folder)) >= min_valid
    dropped = [row for row in rejected_of(folder) if row["reason"] == "valid_fraction"]
    assert max(row["valid_fraction"] for row in dropped) < min_valid
    assert all(Image.open(io.BytesIO(row["thumbnail"]["bytes"])).size == (64, 64) for row in dropped)


def test_pixels_without_data_hold_the_fill_colour(tmp_path: Path) -> None:
    write_scene(tmp_path / "imagery/a.tif", size=700)
    folder = dataset(tmp_path, tiles="min_valid = 0.3", more='[image]\nformat = "png"\nfill = [255, 0, 255]')
    partial = min(rows_of(folder), key=lambda row: row["valid_fraction"])
    filled = (pixels_of(partial) == (255, 0, 255)).all(axis=-1).mean()
    assert filled == pytest.approx(1.0 - partial["valid_fraction"], abs=1e-4)


# Duplicates


BLANK_TOO = "[curation.verdicts]\nmin_entropy = 0\n"


def test_of_exact_duplicates_the_first_in_order_stays(tmp_path: Path) -> None:
    flat = np.full((3, 900, 900), 77, dtype=np.uint8)
    write_scene(tmp_path / "imagery/a.tif", pixels=flat)
    folder = dataset(tmp_path, more=BLANK_TOO)
    (kept,) = rows_of(folder)
    copies = [row for row in rejected_of(folder) if row["reason"] == "exact_duplicate"]
    assert len(copies) >= 8
    assert {row["detail"] for row in copies} == {f"the same bytes as tile {kept['Google_location']}"}
    first = min(copies, key=lambda row: (row["level"], Tile(row["level"], row["x"], row["y"]).quadkey))
    assert (kept["level"], kept["quadkey"]) < (first["level"], Tile(first["level"], first["x"], first["y"]).quadkey)


def test_duplicates_stay_where_the_recipe_wants_them(tmp_path: Path) -> None:
    write_scene(tmp_path / "imagery/a.tif", pixels=np.full((3, 900, 900), 77, dtype=np.uint8))
    folder = dataset(tmp_path, more=f"{BLANK_TOO}[curation.duplicates]\nexact = false\nnear = false")
    assert len({row["sha256"] for row in rows_of(folder)}) == 1
    assert len(rows_of(folder)) >= 9


# Dates and mosaics


def test_several_dates_of_one_place_are_kept_apart(tmp_path: Path) -> None:
    for number, day in enumerate(("20200701", "20210702")):
        write_scene(tmp_path / f"imagery/a_{day}.tif", size=700, seed=number)
    rows = rows_of(dataset(tmp_path, source=DATES))
    days = Counter((row["Google_location"], row["acquired_at"].strftime("%Y%m%d")) for row in rows)
    assert set(days.values()) == {1}
    assert {place for place, _ in days} == {place for place, day in days if day == "20200701"}
    assert len(days) == 2 * len({place for place, _ in days})
    for row in rows:
        assert row["acquired_at"].strftime("%Y%m%d") in row["img_name"]
        assert row["source_item"] == f"a_{row['acquired_at']:%Y%m%d}.tif"


def test_dates_as_a_mosaic_show_the_newest_on_top(tmp_path: Path) -> None:
    for number, day in enumerate(("20200701", "20210702")):
        write_scene(tmp_path / f"imagery/a_{day}.tif", size=700, seed=number)
    rows = rows_of(dataset(tmp_path, source=f'{DATES}\ndates = "mosaic"'))
    assert {row["acquired_at"].year for row in rows} == {2021}


def test_overlapping_sources_fill_each_other_in_the_order_of_the_recipe(tmp_path: Path) -> None:
    red, blue = (np.zeros((3, 900, 900), dtype=np.uint8) for _ in range(2))
    red[0] = blue[2] = 200
    red[:, 0, 0] = blue[:, 0, 0] = 1
    red[:, :, 430:] = 0
    write_scene(tmp_path / "imagery/first.tif", pixels=red, nodata=0, count=3)
    write_scene(tmp_path / "second/second.tif", pixels=blue, nodata=None)
    folder = dataset(
        tmp_path,
        more='[[source]]\nid = "fallback"\npath = "second"\nlicence = "CC-BY-4.0"\nattribution = "B"\n'
        f'[image]\nformat = "png"\n{BLANK_TOO}[curation.duplicates]\nexact = false\nnear = false',
    )
    mixed = [row for row in rows_of(folder) if len(row["sources"]) == 2]
    assert mixed
    for row in mixed:
        shares = {part["source_id"]: part["share"] for part in row["sources"]}
        assert sum(shares.values()) == pytest.approx(1.0)
        assert row["source_id"] == max(shares, key=lambda name: shares[name])
        reddish = (pixels_of(row)[..., 0] > 100).mean()
        assert reddish == pytest.approx(shares["survey"], abs=0.02)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["licences"] == ["CC-BY-4.0", "CC0-1.0"]
    assert manifest["attributions"] == ["B", "GeoNames (https://www.geonames.org)"]


# Formats


@pytest.mark.parametrize(
    ("name", "kind", "suffix"), [("jpeg", "JPEG", "jpg"), ("webp", "WEBP", "webp"), ("png", "PNG", "png")]
)
def test_image_formats(name: str, kind: str, suffix: str, tmp_path: Path) -> None:
    write_scene(tmp_path / "imagery/a.tif", size=700)
    rows = rows_of(dataset(tmp_path, more=f'[image]\nformat = "{name}"\nquality = 90'))
    for row in rows:
        assert Image.open(io.BytesIO(row["image"]["bytes"])).format == kind
        assert row["img_name"] == row["image"]["path"]
        assert row["img_name"].endswith(f".{suffix}")


def test_tiles_of_512_pixels_show_the_same_ground_at_half_the_gsd(tmp_path: Path) -> None:
    write_scene(tmp_path / "imagery/a.tif", size=1300)
    rows = rows_of(dataset(tmp_path, tiles="size = 512"))
    assert {(row["width"], row["height"], row["level"]) for row in rows} == {(512, 512, 14)}
    assert all(pixels_of(row).shape == (512, 512, 3) for row in rows)
    assert all(row["gsd_m"] == pytest.approx(Tile(14, row["x"], row["y"]).gsd_m() / 2) for row in rows)


def test_single_band_imagery_is_grey_where_the_recipe_asks_for_it(tmp_path: Path) -> None:
    write_scene(tmp_path / "imagery/a.tif", pixels=texture(700, 700, bands=1))
    for row in rows_of(dataset(tmp_path, source="bands = [1]", more='[image]\nformat = "png"')):
        red, green, blue = np.moveaxis(pixels_of(row), -1, 0)
        assert (red == green).all()
        assert (green == blue).all()
        assert red.std() > 5


def test_a_limit_takes_tiles_from_all_over_the_plan(tmp_path: Path) -> None:
    write_scene(tmp_path / "imagery/a.tif", size=1200)
    write_recipe(tmp_path / "recipe.toml")
    manifest = built(tmp_path, tmp_path / "dataset", limit=12)
    assert manifest is not None
    assert manifest["counts"]["planned"] == 12
    rows = rows_of(tmp_path / "dataset") + rejected_of(tmp_path / "dataset")
    assert {row["level"] for row in rows} == {14, 15}
