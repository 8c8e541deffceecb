"""Items as scenes: bands, units, masks, order, and the words of rows.

There is no real asset of Landsat, Sentinel-1 or Sentinel-2's level 2A at hand: where their pixels matter, the real
items are re-pointed at rasters that are generated here, in the items' own projection.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from made_items import asset, item, read_all, scenes, source, stac_mosaic, write_json
from made_rasters import PRAGUE, noise, on_the_grid, write
from rasterio import Affine

from git10m.catalog import fill_from_catalog
from git10m.errors import RecipeError
from git10m.grid import Tile
from git10m.recipe import StacSource
from git10m.sources import Moment, Sample
from git10m.sources.raster import Scene
from git10m.sources.stac import stac_scenes

TILE = Tile.from_lonlat(*PRAGUE, 14)


def picture(path: Path, value: int = 100, *, hole: slice | None = None, dtype: str = "uint8") -> Path:
    """A tile of one colour, with columns without data."""
    bands = np.full((3, 256, 256), value, dtype=dtype)
    if hole is not None:
        bands[:, :, hole] = 0
    return write(path, bands, transform=on_the_grid(TILE), nodata=0)


def errors(address: Path, store: Path, **said: Any) -> list[str]:
    return [str(found.error) for found in stac_scenes(source(address, **said), area=None, store=store)]


def sample(found: list[Scene], tile: Tile = TILE) -> Sample:
    (got,) = read_all(stac_mosaic(found), tile)
    assert isinstance(got, Sample), got
    return got


RGB = ("image:1", "image:2", "image:3")


def test_an_item_gives_the_pixels_of_its_asset(tmp_path: Path):
    values = noise(256, 256)
    path = write(tmp_path / "a.tif", values, transform=on_the_grid(TILE))
    (scene,) = scenes(write_json(tmp_path / "item.json", item(path)), tmp_path, bands=RGB, resampling="nearest")
    assert scene.name == "scene"
    assert scene.scale is None
    assert scene.moment == Moment(datetime(2021, 6, 1, 10, 30, tzinfo=UTC), "second")
    assert np.array_equal(np.moveaxis(sample([scene]).pixels, -1, 0), values)


@pytest.mark.parametrize("form", ["code", "epsg", "wkt2", "bbox", "on the item"])
def test_what_the_item_states_of_its_projection_is_enough(tmp_path: Path, form: str):
    """The asset is taken away before: a scene is described without opening it."""
    path = write(tmp_path / "a.tif", noise(256, 256), transform=on_the_grid(TILE))
    opened = scenes(
        write_json(tmp_path / "o.json", item(path, assets={"image": asset(path, stated=False)})), tmp_path, bands=RGB
    )
    said = asset(path)
    made = item(path, assets={"image": said})
    if form == "epsg":
        said["proj:epsg"] = int(said.pop("proj:code").removeprefix("EPSG:"))
    if form == "wkt2":
        said["proj:wkt2"] = opened[0].place.crs_wkt
        del said["proj:code"]
    if form == "bbox":
        a, _, west, _, e, north = said.pop("proj:transform")
        said["proj:bbox"] = [west, north + 256 * e, west + 256 * a, north]
    if form == "on the item":
        for key in ("proj:code", "proj:shape", "proj:transform"):
            made["properties"][key] = said.pop(key)
    path.unlink()
    (stated,) = scenes(write_json(tmp_path / "s.json", made), tmp_path, bands=RGB)
    assert stated.place.affine == pytest.approx(opened[0].place.affine)
    assert (stated.width, stated.height, stated.crs_name) == (256, 256, "EPSG:3857")
    assert stated.native_gsd_m == pytest.approx(opened[0].native_gsd_m)
    mine, theirs = (shapely.from_wkb(scene.outline_wkb) for scene in (stated, opened[0]))
    assert mine.symmetric_difference(theirs).area < 1e-9


def test_a_transform_in_another_order_is_not_believed(tmp_path: Path):
    path = picture(tmp_path / "a.tif")
    said = asset(path)
    a, b, c, d, e, f = said["proj:transform"]
    said["proj:transform"] = [c, a, b, f, d, e]  # as GDAL has it
    (scene,) = scenes(write_json(tmp_path / "i.json", item(path, assets={"image": said})), tmp_path, bands=RGB)
    assert scene.place.affine == pytest.approx((a, b, c, d, e, f))


def test_shape_and_position_of_different_levels_are_not_mixed(tmp_path: Path):
    """The item's grid is of 10 m; the asset, of 20 m, states only its shape: it must be opened."""
    path = picture(tmp_path / "a.tif")
    said = asset(path)
    made = item(path, assets={"image": said})
    a, b, c, d, e, f = said.pop("proj:transform")
    made["properties"] |= {"proj:shape": [512, 512], "proj:transform": [a / 2, b, c, d, e / 2, f]}
    (scene,) = scenes(write_json(tmp_path / "i.json", made), tmp_path, bands=RGB)
    assert scene.place.affine == pytest.approx((a, b, c, d, e, f))


def test_bands_by_key_name_pattern_and_number(tmp_path: Path):
    values = noise(256, 256, bands=4)
    path = write(tmp_path / "a.tif", values, transform=on_the_grid(TILE), photometric="MINISBLACK", alpha="NO")
    named = [{"name": f"B{i}", "common_name": name} for i, name in enumerate(("blue", "green", "red", "nir"), 1)]
    said = asset(path, **{"eo:bands": named, "bands": None})
    said["raster:bands"] = [{"data_type": "uint8"}] * 4
    address = write_json(tmp_path / "i.json", item(path, assets={"Scene_7": said}))
    expected = values[[2, 1, 0]]
    for bands in (
        ("red", "green", "blue"),
        ("B3", "B2", "B1"),
        ("Scene_*:3", "scene_7:2", "Scene_7:1"),
        (3, 2, 1),
        None,
    ):
        found = sample(scenes(address, tmp_path, bands=bands, resampling="nearest"))
        assert np.array_equal(np.moveaxis(found.pixels, -1, 0), expected), bands


def test_bands_are_taken_from_the_finest_asset_for_computing(imagery: Path, tmp_path: Path):
    """The real item's overview and its true-colour picture hold a red band too."""
    (scene,) = scenes(
        imagery / "stac/S2B_33SVB_20210221_0_L2A.json", tmp_path, bands=("red", "green", "blue"), scale=(0, 0.3)
    )
    assert [band.path.rsplit("/", 1)[-1] for band in scene.bands] == ["B04.tif", "B03.tif", "B02.tif"]


@pytest.mark.parametrize(
    ("bands", "expected"),
    [
        (("rgb:1", "rgb:2", "rgb:3"), "scene: has no asset 'rgb'; it has image"),
        (("red", "green", "blue"), "scene: has no asset or band 'red'; it has image"),
        (("image:4", "image:2", "image:1"), "asset 'image' has 3 bands, the recipe asks for band 4"),
        (("notes:1",), "asset 'notes' is application/json, expected a raster"),
    ],
)
def test_an_item_without_the_band_says_what_it_has(tmp_path: Path, bands: tuple[str, ...], expected: str):
    path = picture(tmp_path / "a.tif")
    notes = {"href": "notes.json", "type": "application/json"}
    address = write_json(tmp_path / "i.json", item(path, assets={"image": asset(path), "notes": notes}))
    (error,) = errors(address, tmp_path, bands=bands)
    assert expected in error


def test_a_list_of_names_that_is_shorter_than_the_file_is_not_counted_in(imagery: Path, tmp_path: Path):
    (error, *_) = errors(imagery / "stac/static/jaca_dataset_stac", tmp_path, bands=("red", "green", "blue"))
    assert "names 3 bands ('red' among them) and has 12" in error
    assert 'write bands = ["Jaca_1:4", …]' in error


def test_an_item_that_is_no_item_is_reported_and_the_others_are_taken(tmp_path: Path):
    path = picture(tmp_path / "a.tif")
    broken = item(path, "broken")
    del broken["properties"]["datetime"]
    address = write_json(
        tmp_path / "items.json", {"type": "FeatureCollection", "features": [broken, item(path, "whole")]}
    )
    found = stac_scenes(source(address, bands=RGB), area=None, store=tmp_path)
    assert [(each.name, each.error is None) for each in found] == [("whole", True), ("broken", False)]
    assert "broken: is no valid STAC item" in str(found[1].error)


# Values


def reflectance(tmp_path: Path, said: dict[str, Any], **properties: Any) -> list[tuple[float, float]]:
    path = picture(tmp_path / "a.tif", dtype="uint16")
    address = write_json(tmp_path / "i.json", item(path, assets={"B04": asset(path, **said)}, **properties))
    (scene,) = scenes(address, tmp_path, bands=("B04:1",), scale=(0.0, 0.3))
    assert scene.scale is not None
    return list(scene.scale)


@pytest.mark.parametrize("form", ["raster:bands", "bands", "asset"])
def test_scale_is_meant_in_the_units_of_the_asset(tmp_path: Path, form: str):
    numbers = {"scale": 0.0000275, "offset": -0.2}
    prefixed = {f"raster:{name}": value for name, value in numbers.items()}
    said = {
        "raster:bands": {"raster:bands": [{"data_type": "uint16", **numbers}] * 3, "bands": None},
        "bands": {"bands": [{"name": "red", "data_type": "uint16", **prefixed}] * 3},
        "asset": {"bands": None, "data_type": "uint16", **prefixed},
    }[form]
    assert reflectance(tmp_path, said) == [(pytest.approx(7272.727), pytest.approx(18181.818))]


@pytest.mark.parametrize(
    ("properties", "offset"),
    [
        ({"s2:processing_baseline": "03.01"}, 0),
        ({"s2:processing_baseline": "04.00"}, 1000),
        ({"s2:processing_baseline": "05.10", "earthsearch:boa_offset_applied": True}, 0),
        ({"s2:product_uri": "S2B_MSIL2A_20220602T101559_N0400_R065_T32UQV_20220602T132223.SAFE"}, 1000),
        ({"sentinel:product_id": "S2A_MSIL2A_20200714T115221_N0214_R123_T28QCH_20200714T191310"}, 0),
        ({"datetime": "2022-01-24T10:00:00Z"}, 0),
        ({"datetime": "2022-01-25T10:00:00Z"}, 1000),
    ],
)
@pytest.mark.parametrize("stated", [True, False])
def test_sentinel_2s_offset_came_with_baseline_4(tmp_path: Path, properties: dict[str, Any], offset: int, stated: bool):
    """Earth Search states −0.1 also for pixels that it has applied it to."""
    said = {
        "raster:bands": [{"data_type": "uint16", "nodata": 0, **({"scale": 0.0001, "offset": -0.1} if stated else {})}]
    }
    found = reflectance(tmp_path, said | {"bands": None}, platform="sentinel-2b", **properties)
    assert found == [(pytest.approx(offset), pytest.approx(3000 + offset))]


def test_landsat_items_without_a_scale_have_their_collections(imagery: Path, tmp_path: Path):
    (scene,) = scenes(
        imagery / "stac/LC08_L2SP_028030_20200114_SR.json", tmp_path, bands=("red", "green", "blue"), scale=(0, 0.3)
    )
    assert scene.scale == ((pytest.approx(7272.727), pytest.approx(18181.818)),) * 3


def test_a_scale_in_stored_values_is_taken_as_it_is(tmp_path: Path):
    path = picture(tmp_path / "a.tif", dtype="uint16")
    address = write_json(tmp_path / "i.json", item(path, platform="sentinel-2a"))
    (scene,) = scenes(address, tmp_path, bands=RGB, scale=(0, 3000))
    assert scene.scale == ((0, 3000),) * 3


def test_a_scale_in_units_that_nothing_states_is_refused(tmp_path: Path):
    """Else every pixel above 0 would be white."""
    path = picture(tmp_path / "a.tif", dtype="uint16")
    (error,) = errors(write_json(tmp_path / "i.json", item(path)), tmp_path, bands=RGB, scale=(0.0, 0.3))
    assert "states no scale" in error
    assert "scale = [0, 3000]" in error


def test_percentiles_are_taken_of_the_asset(tmp_path: Path):
    path = write(tmp_path / "a.tif", noise(256, 256, dtype="uint16") * 10, transform=on_the_grid(TILE))
    address = write_json(tmp_path / "i.json", item(path))
    (scene,) = scenes(address, tmp_path, bands=RGB, scale={"percentiles": [0, 100]})
    assert scene.scale == ((10.0, 2540.0),) * 3


def test_nodata_of_the_item_holds_where_the_file_states_none(tmp_path: Path):
    values = np.full((1, 256, 256), 9, dtype=np.uint8)
    values[:, :, :100] = 7
    path = write(tmp_path / "a.tif", values, transform=on_the_grid(TILE))
    said = asset(path, **{"raster:bands": [{"data_type": "uint8", "nodata": 7}], "bands": None})
    address = write_json(tmp_path / "i.json", item(path, assets={"image": said}))
    found = sample(scenes(address, tmp_path, bands=("image",), resampling="nearest"))
    assert not found.valid[:, :100].any()
    assert found.valid[:, 100:].all()


def test_nodata_of_the_item_does_not_outdo_the_files_own_mask(tmp_path: Path):
    """Black roofs are imagery where the file's alpha band says so, whatever the item says of 0."""
    bands = np.concatenate([np.zeros((3, 256, 256), np.uint8), np.full((1, 256, 256), 255, np.uint8)])
    bands[3, :, :100] = 0
    path = write(tmp_path / "a.tif", bands, transform=on_the_grid(TILE), photometric="RGB", alpha="YES")
    said = asset(path, **{"raster:bands": [{"data_type": "uint8", "nodata": 0}] * 4, "bands": None})
    address = write_json(tmp_path / "i.json", item(path, assets={"image": said}))
    found = sample(scenes(address, tmp_path, bands=("image:1", "image:2", "image:3"), resampling="nearest"))
    assert not found.valid[:, :100].any()
    assert found.valid[:, 100:].all()


# The missions, from their catalog entries alone


def mission(name: str, address: Path, **said: Any) -> StacSource:
    """Source of a catalog entry, but for the address."""
    return StacSource.model_validate(fill_from_catalog({"id": name, "catalog": name, "address": str(address), **said}))


def layer(
    path: Path, values: np.ndarray, *, crs: str, corner: tuple[float, float], pixel: float, **options: Any
) -> Path:
    west, north = corner
    return write(path, values[None], crs=crs, transform=Affine(pixel, 0, west, 0, -pixel, north), **options)


def repointed(real: dict[str, Any], paths: dict[str, Path], *, collection: str, **said: Any) -> dict[str, Any]:
    """A real item, in the mission's collection, whose assets are rasters that are generated here."""
    real = json.loads(json.dumps(real)) | {"collection": collection}
    for key, path in paths.items():
        fresh = {name: value for name, value in asset(path).items() if name.startswith("proj:") or name == "href"}
        real["assets"][key] = {**real["assets"].get(key, {"type": "image/tiff"}), **fresh}
    real["properties"] = {**real["properties"], **said}
    return real


def test_sentinel_2_by_its_catalog_entry(imagery: Path, tmp_path: Path):
    """The real item, with Earth Search's keys, re-pointed at generated bands and SCL."""
    real = json.loads((imagery / "stac/S2B_33SVB_20210221_0_L2A.json").read_text(encoding="utf-8"))
    place = {"crs": "EPSG:32633", "corner": (450000.0, 4150000.0)}
    stored = {"red": 1000, "green": 2500, "blue": 4000}
    paths = {
        name: layer(tmp_path / f"{name}.tif", np.full((512, 512), value, np.uint16), pixel=10, nodata=0, **place)
        for name, value in stored.items()
    }
    classes = np.full((256, 256), 4, np.uint8)  # vegetation
    for row, code in enumerate((0, 1, 3, 8, 9, 10)):
        classes[20 * row : 20 * row + 20, :100] = code
    classes[120:140, :100] = 6  # water, which is usable
    paths["scl"] = layer(tmp_path / "scl.tif", classes, pixel=20, nodata=0, **place)
    address = write_json(
        tmp_path / "item.json",
        repointed(real, paths, collection="sentinel-2-l2a", **{"s2:processing_baseline": "04.00"}),
    )
    (found,) = stac_scenes(mission("sentinel-2-l2a", address), area=None, store=tmp_path)
    scene = found.scene
    assert scene is not None, found.error
    assert scene.licence == "Copernicus Sentinel data terms (free, full and open)"
    assert (scene.platform, scene.sensor) == ("satellite", "Sentinel-2B")
    inside = Tile.from_lonlat(*centre(scene), 13)
    got = sample([scene], inside)
    # reflectance (stored − 1000) / 10,000, of which 0.3 is white
    assert got.pixels[got.valid][0].tolist() == [0, round(0.15 / 0.3 * 255 + 1e-6), 255]
    refused = sample([scene], Tile.from_lonlat(*at(scene, 60, 60), 13))
    pixels = refused.valid
    assert pixels.any()
    assert not pixels.all()
    lon, lat = at(scene, 100.0, 250.0)  # in the water
    assert valid_at(scene, lon, lat)
    for row in range(6):
        assert not valid_at(scene, *at(scene, 100.0, 40.0 * row + 20.0)), "a class that is refused"


def test_landsat_by_its_catalog_entry(imagery: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The real item re-pointed at generated bands and QA_PIXEL; local files need no signature."""
    real = json.loads((imagery / "stac/LC08_L2SP_047027_20201204_02_T1.json").read_text(encoding="utf-8"))
    place = {"crs": "EPSG:32610", "corner": (500000.0, 5300000.0), "pixel": 30.0}
    paths = {
        name: layer(tmp_path / f"{name}.tif", np.full((512, 512), value, np.uint16), nodata=0, **place)
        for name, value in {"red": 7273, "green": 12727, "blue": 18182}.items()
    }
    flags = np.full((512, 512), 0b0101010101000000, np.uint16)  # clear
    for bit in range(5):
        flags[50 * bit : 50 * bit + 50, :200] |= 1 << bit
    flags[250:300, :200] |= 1 << 7  # water, which is usable
    paths["qa_pixel"] = layer(tmp_path / "qa.tif", flags, nodata=1, **place)
    address = write_json(tmp_path / "item.json", repointed(real, paths, collection="landsat-c2-l2"))
    (found,) = stac_scenes(mission("landsat-c2-l2", address), area=None, store=tmp_path)
    scene = found.scene
    assert scene is not None, found.error
    assert scene.sensor == "Landsat-8"
    got = sample([scene], Tile.from_lonlat(*centre(scene), 12))
    assert got.pixels[got.valid][0].tolist() == [0, 127, 255]
    for bit in range(5):
        assert not valid_at(scene, *at(scene, 100.0, 50.0 * bit + 25.0), level=12), f"bit {bit}"
    assert valid_at(scene, *at(scene, 100.0, 275.0), level=12)


def test_naip_by_its_catalog_entry(imagery: Path, tmp_path: Path):
    """A real item of the Planetary Computer, re-pointed at a real NAIP raster; as it is, it is described unopened."""
    entry = mission("naip", imagery / "stac/naip-pc.json")
    found = stac_scenes(entry, area=None, store=tmp_path)
    assert [each.error for each in found] == [None] * 4
    assert {(each.scene.crs_name, round(each.scene.native_gsd_m, 2)) for each in found if each.scene} == {
        ("EPSG:26920", 0.3)
    }
    assert {each.scene.bands[0].sign for each in found if each.scene} == {"planetary-computer"}
    raster = imagery / "rasters/naip__m_4709963_se_14_1_20200831.tif"
    real = json.loads((imagery / "stac/naip-pc.json").read_text(encoding="utf-8"))[0]
    made = item(raster) | {"assets": real["assets"]}
    address = write_json(tmp_path / "naip.json", repointed(made, {"image": raster}, collection="naip"))
    (scene,) = [each.scene for each in stac_scenes(mission("naip", address), area=None, store=tmp_path)]
    assert scene is not None
    plain = source(address, bands=RGB)
    (other,) = [each.scene for each in stac_scenes(plain, area=None, store=tmp_path)]
    assert other is not None
    tile = Tile.from_lonlat(*centre(scene), 14)
    assert np.array_equal(sample([scene], tile).pixels, sample([other], tile).pixels)


def test_sentinel_1_by_its_catalog_entry(tmp_path: Path):
    """No real item is at hand: one with the keys of the Planetary Computer's RTC, over generated powers."""
    place = {"crs": "EPSG:32633", "corner": (450000.0, 5550000.0), "pixel": 10.0}
    powers = {"vv": 0.1, "vh": 10**-1.7}  # −10 and −17 dB: the middles of the entry's intervals
    paths = {}
    for name, value in powers.items():
        values = np.full((512, 512), value, np.float32)
        values[:, :50] = -32768.0
        values[:, 50:100] = 0.0  # no power
        values[:, 300:] = value * 10**0.6  # 6 dB more
        paths[name] = layer(tmp_path / f"{name}.tif", values, nodata=-32768.0, **place)
    assets = {name: asset(path) for name, path in paths.items()}
    made = item(paths["vv"], assets=assets, platform="SENTINEL-1A") | {"collection": "sentinel-1-rtc"}
    address = write_json(tmp_path / "item.json", made)
    (each,) = stac_scenes(mission("sentinel-1", address), area=None, store=tmp_path)
    scene = each.scene
    assert scene is not None, each.error
    assert scene.sensor == "Sentinel-1A"
    assert scene.attribution == (
        "Contains modified Copernicus Sentinel data {year}, processed by Catalyst for the Planetary Computer"
    )
    found = sample([scene], Tile.from_lonlat(*centre(scene), 13))
    shades = {tuple(pixel) for pixel in found.pixels[found.valid].tolist()}
    assert {(128, 128, 128), (204, 204, 204)} <= shades  # half of 20 dB, and 6 dB more
    assert valid_at(scene, *at(scene, 150.0, 250.0))
    assert not valid_at(scene, *at(scene, 25.0, 250.0))
    assert not valid_at(scene, *at(scene, 75.0, 250.0))


def centre(scene: Scene) -> tuple[float, float]:
    return at(scene, scene.width / 2, scene.height / 2)


def at(scene: Scene, column: float, row: float) -> tuple[float, float]:
    """(lon, lat) of a pixel of a scene."""
    lon, lat = scene.place.lonlat(np.array([column]), np.array([row]))
    return float(lon[0]), float(lat[0])


def valid_at(scene: Scene, lon: float, lat: float, *, level: int = 13) -> bool:
    tile = Tile.from_lonlat(lon, lat, level)
    west, south, east, north = tile.bounds
    got = read_all(stac_mosaic([scene]), tile)[0]
    if not isinstance(got, Sample):
        return False
    return bool(got.valid[int((north - lat) / (north - south) * 256), int((lon - west) / (east - west) * 256)])


# Order, dates and words


def several(tmp_path: Path) -> Path:
    """Three scenes of one place: cloud 30 of June, 10 of May, unknown of July; each leaves a part open."""
    made = []
    for name, day, cloud, value in (
        ("a", "2021-06-01", 30, 10),
        ("b", "2021-05-01", 10, 20),
        ("c", "2021-07-01", None, 30),
    ):
        path = picture(tmp_path / f"{name}.tif", value, hole=slice(0, value * 2))
        said = {"datetime": f"{day}T00:00:00Z"} | ({} if cloud is None else {"eo:cloud_cover": cloud})
        made.append(item(path, name, **said))
    return write_json(tmp_path / "items.json", {"type": "FeatureCollection", "features": made})


@pytest.mark.parametrize(
    ("said", "order"),
    [
        ({}, "bac"),
        ({"choose": "newest"}, "cab"),
        ({"choose": "oldest"}, "bac"),
        ({"choose": "nearest", "date": "2021-06-10"}, "acb"),
        ({"most_items": 2}, "ba"),
        ({"max_cloud": 20}, "bc"),
        ({"between": ("2021-06-01", "2021-07-01")}, "ac"),
        ({"between": ("2021-04-01", "2021-06-30"), "choose": "newest"}, "ab"),
    ],
)
def test_which_items_and_in_which_order(tmp_path: Path, said: dict[str, Any], order: str):
    found = scenes(several(tmp_path), tmp_path, bands=RGB, **said)
    assert "".join(scene.name for scene in found) == order
    assert "".join(stac_mosaic(found).scenes[i].name for i in stac_mosaic(found).groups[0].scenes) == order
    assert [scene.rank for scene in found] == sorted(scene.rank for scene in found)


def test_a_mosaic_names_every_item_that_gave_pixels(tmp_path: Path):
    got = sample(scenes(several(tmp_path), tmp_path, bands=RGB))
    # b leaves 40 columns open; of them a (which begins at 20) fills 20, and c none
    assert [(part.source_item, part.share) for part in got.contributions] == [
        ("b", pytest.approx(216 / 236)),
        ("a", pytest.approx(20 / 236)),
    ]
    assert [part.moment.at.month for part in got.contributions if part.moment] == [5, 6]
    assert [part.scene_cloud for part in got.contributions] == [pytest.approx(0.1), pytest.approx(0.3)]


def test_an_item_that_states_no_cloud_has_none(tmp_path: Path):
    got = sample(scenes(several(tmp_path), tmp_path, bands=RGB, between=("2021-06-30", "2021-07-02")))
    assert [part.scene_cloud for part in got.contributions] == [None]


def test_dates_apart_give_rows_of_their_own(tmp_path: Path):
    made = stac_mosaic(scenes(several(tmp_path), tmp_path, bands=RGB, dates="separate"))
    days = [group.acquired_at.date().isoformat() for group in made.groups if group.acquired_at]
    assert days == ["2021-05-01", "2021-06-01", "2021-07-01"]
    assert [got.pixels[0, 255, 0] for got in read_all(made, TILE) if isinstance(got, Sample)] == [20, 10, 30]


@pytest.mark.parametrize(
    ("said", "precision", "day"),
    [
        ({"datetime": "2020-01-09T00:00:00Z"}, "day", 9),
        ({"datetime": "2020-01-09T01:02:03.456+01:00"}, "second", 9),
        (
            {"datetime": None, "start_datetime": "2020-01-09T10:00:00Z", "end_datetime": "2020-01-09T10:00:25Z"},
            "second",
            9,
        ),
        (
            {"datetime": None, "start_datetime": "2020-01-09T00:00:00Z", "end_datetime": "2020-01-20T00:00:00Z"},
            "month",
            9,
        ),
        (
            {"datetime": None, "start_datetime": "2020-01-01T00:00:00Z", "end_datetime": "2020-12-31T23:59:59Z"},
            "year",
            1,
        ),
    ],
)
def test_when_an_item_was_taken(tmp_path: Path, said: dict[str, Any], precision: str, day: int):
    path = picture(tmp_path / "a.tif")
    (scene,) = scenes(write_json(tmp_path / "i.json", item(path, **said)), tmp_path, bands=RGB)
    assert scene.moment is not None
    assert (scene.moment.precision, scene.moment.at.day) == (precision, day)


LINK = {"rel": "license", "href": "https://example.org/terms.pdf", "title": "Terms of Example"}


@pytest.mark.parametrize(
    ("properties", "collection", "said", "expected"),
    [
        ({"license": "CC-BY-4.0"}, {"license": "CC0-1.0"}, {"licence": "mine"}, "CC-BY-4.0"),
        ({}, {"license": "CC0-1.0"}, {"licence": "mine"}, "CC0-1.0"),
        ({}, {"license": "proprietary", "links": [LINK]}, {"licence": "mine"}, "mine"),
        ({}, {"license": "proprietary", "links": [LINK]}, {}, "Terms of Example (https://example.org/terms.pdf)"),
        ({}, {"license": "other", "links": []}, {}, "other"),
    ],
)
def test_the_licence_is_the_most_exact_that_is_stated(
    tmp_path: Path, properties: dict[str, Any], collection: dict[str, Any], said: dict[str, Any], expected: str
):
    path = picture(tmp_path / "a.tif")
    write_json(tmp_path / "item.json", item(path, **properties))
    shared = {"type": "Collection", "stac_version": "1.1.0", "id": "made", "description": "", "extent": {}, "links": []}
    shared |= collection
    shared["links"] = [*shared["links"], {"rel": "item", "href": "./item.json"}]
    (scene,) = scenes(write_json(tmp_path / "collection.json", shared), tmp_path, bands=RGB, **said)
    assert scene.licence == expected


def test_those_who_license_are_credited_unless_the_recipe_says_more(tmp_path: Path):
    providers = [{"name": "Maker", "roles": ["producer"]}, {"name": "Owner", "roles": ["licensor", "host"]}]
    path = picture(tmp_path / "a.tif")
    address = write_json(tmp_path / "i.json", item(path, providers=providers))
    assert scenes(address, tmp_path, bands=RGB)[0].attribution == "Owner"
    assert scenes(address, tmp_path, bands=RGB, attribution="© me")[0].attribution == "© me"


def test_the_digest_follows_the_content_and_not_the_place(tmp_path: Path):
    digests = []
    for folder in (tmp_path / "one", tmp_path / "two"):
        path = picture(folder / "a.tif")
        made = item(path, assets={"image": asset(path, href="./a.tif")}, updated=str(folder))
        (found,) = stac_scenes(source(write_json(folder / "i.json", made), bands=RGB), area=None, store=tmp_path)
        digests.append(found.digest)
    assert digests[0] == digests[1]
    picture(tmp_path / "two/a.tif", 101)
    (changed,) = stac_scenes(source(tmp_path / "two/i.json", bands=RGB), area=None, store=tmp_path)
    assert changed.digest != digests[0]


def test_nothing_wanted_says_what_was_left_out(tmp_path: Path):
    with pytest.raises(RecipeError, match="left out: 1 items of other dates, 2 items with more cloud"):
        scenes(several(tmp_path), tmp_path, bands=RGB, max_cloud=5, between=("2021-01-01", "2021-06-30"))
