"""Builds with layers of facts: objects and relief reach the rows, the sources of facts the manifest, and faults are
said before the first tile is cut. The extract and the elevation model are made, in their real formats."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from made_layers import Extract, M
from small_imagery import GSD_M, LAT, LON, built, command, promised, texture, write_recipe, write_scene

from git10m.captions.credits import OSM_CREDIT
from git10m.engine import Engine
from git10m.shards import data_files
from git10m.verify import verify

SIDE = 900
LAYERS = """
[[captions.objects]]
path = "${imagery}/../town.osm.pbf"

[captions.relief]
path = "${imagery}/../dem.tif"
licence = "Etalab-2.0"
attribution = "IGN"

[captions.land_cover]
path = "${imagery}/../ESA_WorldCover_10m_2021.tif"
classes = { 10 = "Tree cover", 40 = "Cropland" }
"""


def town(folder: Path, *, houses: int = 25) -> Path:
    """Write a scene and, over all of it, houses in rows, a river, classes and a slope of 5 degrees."""
    size = SIDE
    pixels = texture(size, size, seed=3)
    write_scene(folder / "imagery/a.tif", pixels=pixels)
    _, column = np.mgrid[0:size, 0:size]
    classes = np.where(column < size * 0.7, 40, 10).astype(np.uint8)
    write_scene(folder / "ESA_WorldCover_10m_2021.tif", pixels=classes[None])
    heights = (300 + np.tan(np.radians(5)) * GSD_M * column).astype("float32")
    write_scene(folder / "dem.tif", pixels=heights[None])
    extract = Extract()
    across = M / np.cos(np.radians(LAT))
    for i in range(houses):
        for j in range(25):
            extract.box((LON + 120 * (i + 0.5) * across, LAT - 120 * (j + 0.5) * M), 20, building="house")
    middle = LAT - 0.5 * size * GSD_M * M
    extract.way([(LON - 0.01, middle), (LON + 0.1, middle)], waterway="river", name="Labe")
    extract.write(folder / "town.osm.pbf")
    write_recipe(folder / "recipe.toml", more=LAYERS)
    return folder


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return [row for file in data_files(folder) for row in pq.read_table(file).to_pylist()]


def test_rows_and_manifest_hold_what_the_layers_say(tmp_path: Path) -> None:
    manifest = built(town(tmp_path), tmp_path / "dataset")
    assert verify(tmp_path / "dataset") == []
    assert manifest is not None
    rows = [row["caption_facts"] for row in rows_of(tmp_path / "dataset")]
    assert len(rows) >= 8
    kinds = [{entry["kind"]: entry for entry in facts["objects"]} for facts in rows]
    assert sum("house" in found for found in kinds) > len(rows) / 2
    assert {found["river"]["name"] for found in kinds if "river" in found} == {"Labe"}
    slopes = [facts["relief"]["slope_deg"] for facts in rows if facts["relief"] is not None]
    assert len(slopes) > len(rows) / 2
    assert np.mean(slopes) == pytest.approx(5.0, abs=0.2)
    texts = " ".join(row["caption"] for row in rows_of(tmp_path / "dataset"))
    assert "houses" in texts and "above sea level" in texts
    sources = {source["kind"]: source for source in manifest["fact_sources"]}
    assert sources["objects"] == {
        "kind": "objects",
        "name": "town.osm.pbf",
        "licence": "ODbL-1.0",
        "attribution": OSM_CREDIT,
    }
    assert sources["land cover"]["licence"] == "CC-BY-4.0"
    assert sources["relief"]["attribution"] == "IGN"
    assert sources["places"]["name"] == "GeoNames"
    assert OSM_CREDIT in manifest["attributions"]
    card = (tmp_path / "dataset/README.md").read_text()
    assert OSM_CREDIT in card and "ODbL-1.0" in card


def test_two_workers_and_a_second_start_give_the_same_bytes_from_one_store(tmp_path: Path) -> None:
    folder = town(tmp_path)
    built(folder, tmp_path / "one")
    built(folder, tmp_path / "two", engine=Engine("processes", workers=2))
    assert promised(tmp_path / "one") == promised(tmp_path / "two")
    (store,) = (tmp_path / "two/work/facts").glob("objects-*")
    note = json.loads((store / "note.json").read_text())
    assert note["bounds"] is not None  # of the scenes: a country's extract is not kept for a town
    assert note["objects"] == 626


def test_another_extract_is_another_build(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = town(tmp_path)
    said = ("build", folder / "recipe.toml", "--output", tmp_path / "dataset", "--var", f"imagery={folder / 'imagery'}")
    assert command(capfd, *said).code == 0
    town(tmp_path, houses=24)
    changed = command(capfd, *said)
    assert changed.code == 2
    assert "layers.objects/0" in changed.err


@pytest.mark.parametrize("verb", ["plan", "build"])
def test_faults_of_layers_are_said_before_the_first_tile(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], verb: str
) -> None:
    folder = town(tmp_path)
    whole = (folder / "town.osm.pbf").read_bytes()
    arguments = (folder / "recipe.toml", "--output", tmp_path / "dataset", "--var", f"imagery={folder / 'imagery'}")
    for content, code, message in (
        (b"", 1, "town.osm.pbf: cannot be read as an extract of OpenStreetMap"),
        (whole[: len(whole) // 2], 1 if verb == "build" else 0, "it may be cut short: fetch it again"),
    ):
        (folder / "town.osm.pbf").write_bytes(content)
        said = command(capfd, verb, *arguments)
        assert said.code == code
        assert message in said.err or code == 0
    (folder / "town.osm.pbf").unlink()
    said = command(capfd, verb, *arguments)
    assert said.code == 2
    assert "matches no file; give an .osm.pbf or a vector file" in said.err
    assert not list((tmp_path / "dataset/work").glob("tiles/*")) if (tmp_path / "dataset/work").exists() else True


def test_things_where_a_tile_has_no_pixels_are_not_told(tmp_path: Path) -> None:
    folder = town(tmp_path)
    pixels = texture(SIDE, SIDE, seed=3)
    pixels[:, :, 420:] = 0  # no data in the east, where houses stand on
    write_scene(folder / "imagery/a.tif", pixels=pixels, nodata=0)
    write_recipe(folder / "recipe.toml", tiles="min_valid = 0.3", more=LAYERS)
    built(folder, tmp_path / "dataset")
    partial = [row for row in rows_of(tmp_path / "dataset") if row["level"] == 15 and row["valid_fraction"] < 0.95]
    whole = [row for row in rows_of(tmp_path / "dataset") if row["level"] == 15 and row["valid_fraction"] == 1]
    assert len(partial) >= 2

    def houses(row: dict[str, Any]) -> int:
        return sum(entry["count"] for entry in row["caption_facts"]["objects"] if entry["kind"] == "house")

    full = np.mean([houses(row) for row in whole])
    for row in partial:
        assert houses(row) == pytest.approx(full * row["valid_fraction"], abs=0.3 * full)
