"""Archives, read back by others: the package pmtiles, SQLite, and git10m's sources."""

import io
import json
import sqlite3
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from pmtiles.reader import MmapSource, Reader, all_tiles
from pmtiles.tile import TileType, deserialize_directory, tileid_to_zxy, zxy_to_tileid

from git10m.grid import Tile
from git10m.sources.archive.folder import TileFolder
from git10m.sources.archive.mbtiles import MBTiles
from git10m.sources.archive.pmtiles import PMTiles
from text2earth.exporting import Area, Tiles, export
from text2earth.exporting.area import tiles_of
from text2earth.provenance import DIGITAL_SOURCE_TYPE

ALPS = Area(5.0, 43.0, 17.0, 49.0)

NAMES = {"pmtiles": "alps.pmtiles", "mbtiles": "alps.mbtiles", "folder": "alps"}


def assert_marked(data: bytes, *, level: int):
    """A tile says by itself that it is synthetic, and how it was made."""
    with Image.open(io.BytesIO(data)) as picture:
        said = ElementTree.fromstring(picture.info["xmp"]).find(".//{*}Description").attrib
    said = {name.partition("}")[2]: value for name, value in said.items()}
    assert said["DigitalSourceType"] == DIGITAL_SOURCE_TYPE
    assert (said["Level"], said["Seed"], said["AISystemUsed"]) == (str(level), "7", "waves")
    assert said["AIPromptInformation"] == "fields & <woods>"


def decoded(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as picture:
        return np.asarray(picture.convert("RGB"))


@pytest.mark.parametrize(
    ("form", "kind", "quality"),
    [
        ("pmtiles", "png", None),
        ("pmtiles", "webp", 80),
        ("mbtiles", "webp", None),
        ("mbtiles", "jpg", None),
        ("folder", "png", None),
        ("folder", "jpg", 70),
    ],
)
def test_the_dataset_toolkit_reads_what_was_exported(tmp_path, world, form, kind, quality):
    path = tmp_path / NAMES[form]
    done = export(world, Tiles(ALPS, (4, 6), kind, quality), path)
    archive = {
        "pmtiles": lambda: PMTiles(str(path)),
        "mbtiles": lambda: MBTiles(path),
        "folder": lambda: TileFolder(path, scheme="xyz"),
    }[form]()
    assert archive.facts.zooms == (4, 6)
    found = 0
    for z in (4, 5, 6):
        expected = set(tiles_of(z, ALPS.box(z)))
        listed = {(z, int(x), int(y)) for piece in archive.addresses(z) for x, y in zip(*piece, strict=True)}
        assert listed == expected
        for (_, x, y), data in archive.read(sorted(expected)).items():
            difference = np.abs(decoded(data).astype(int) - world.tile(z, x, y))
            assert difference.max() == 0 if kind != "jpg" and quality is None else difference.mean() < 4
            assert_marked(data, level=z)
            found += 1
    assert found == done["tiles"] == done["painted"] == len(world.asked)
    assert done["SYNTHETIC"] == "YES"
    assert sorted(left.name for left in tmp_path.iterdir()) == [path.name]


def verified(path) -> dict:
    """Check what ``pmtiles verify`` of go-pmtiles checks, in Python; return the header."""
    with path.open("rb") as file:
        get = MmapSource(file)
        header = Reader(get).header()
        sections = ("root", "metadata", "leaf_directory", "tile_data")
        assert all(header[f"{name}_offset"] > 0 for name in sections)
        assert path.stat().st_size == 127 + sum(
            header["leaf_directory_length" if name == "leaf_directory" else f"{name}_length"] for name in sections
        )
        entries = []

        def walk(offset, length):
            for entry in deserialize_directory(get(offset, length)):
                if entry.run_length:
                    entries.append(entry)
                else:
                    walk(header["leaf_directory_offset"] + entry.offset, entry.length)

        walk(header["root_offset"], header["root_length"])
        assert header["clustered"]
        seen, next_offset = set(), 0
        for entry in entries:
            assert entry.offset + entry.length <= header["tile_data_length"]
            if entry.offset not in seen:
                assert entry.offset == next_offset
                next_offset += entry.length
                seen.add(entry.offset)
        numbers = [entry.tile_id for entry in entries]
        assert numbers == sorted(numbers)
        assert header["addressed_tiles_count"] == sum(entry.run_length for entry in entries)
        assert header["tile_entries_count"] == len(entries)
        assert header["tile_contents_count"] == len(seen)
        assert header["min_zoom"] == tileid_to_zxy(numbers[0])[0]
        assert header["max_zoom"] == tileid_to_zxy(numbers[-1])[0]
        assert header["min_zoom"] <= header["center_zoom"] <= header["max_zoom"]
        assert header["min_lon_e7"] < header["max_lon_e7"]
        assert header["min_lat_e7"] < header["max_lat_e7"]
        return header


def test_a_pmtiles_archive_is_what_its_header_says(tmp_path, world):
    path = tmp_path / "alps.pmtiles"
    export(world, Tiles(ALPS, (4, 6)), path)
    header = verified(path)
    assert header["tile_type"] == TileType.PNG
    assert (header["min_lon_e7"], header["max_lat_e7"]) == (50_000_000, 490_000_000)
    assert (header["center_lon_e7"], header["center_lat_e7"]) == (110_000_000, 460_000_000)
    with path.open("rb") as file:
        reader = Reader(MmapSource(file))
        notes = reader.metadata()
        assert (notes["synthetic"], notes["digital_source_type"]) == ("true", DIGITAL_SOURCE_TYPE)
        assert (notes["model"], notes["seed"], notes["prompt"]) == ("waves", "7", "fields & <woods>")
        assert "it shows no real place" in notes["attribution"]
        for (z, x, y), data in all_tiles(reader.get_bytes):
            assert np.array_equal(decoded(data), world.tile(z, x, y))


def test_an_archive_of_many_tiles_has_directories_below_the_first(tmp_path, world, monkeypatch):
    monkeypatch.setattr(world, "tile", lambda z, x, y: np.full((256, 256, 3), zxy_to_tileid(z, x, y) % 251, np.uint8))
    monkeypatch.setattr("text2earth.exporting.job.encode", lambda pixels, *_, **__: bytes(pixels[0, :2].ravel()))
    path = tmp_path / "world.pmtiles"
    export(world, Tiles(Area(-180, -90, 180, 90), (2, 6)), path)
    header = verified(path)
    assert header["addressed_tiles_count"] == 4**2 + 4**3 + 4**4 + 4**5 + 4**6
    assert header["tile_contents_count"] == 251


def test_an_mbtiles_archive_follows_its_specification(tmp_path, world):
    path = tmp_path / "alps.mbtiles"
    export(world, Tiles(ALPS, (4, 5), "jpg", 80), path)
    database = sqlite3.connect(path)
    notes = dict(database.execute("SELECT name, value FROM metadata"))
    assert (notes["name"], notes["format"], notes["type"]) == ("alps", "jpg", "baselayer")
    assert (notes["minzoom"], notes["maxzoom"]) == ("4", "5")
    assert [float(each) for each in notes["bounds"].split(",")] == [5.0, 43.0, 17.0, 49.0]
    assert [float(each) for each in notes["center"].split(",")] == [11.0, 46.0, 4.0]
    assert (notes["synthetic"], notes["model_hash"] or notes["world"]) == ("true", world.fingerprint)
    tile = Tile.from_lonlat(11.0, 46.0, 5)
    question = "SELECT tile_data FROM tiles WHERE zoom_level = 5 AND tile_column = ? AND tile_row = ?"
    (data,) = database.execute(question, (tile.x, 31 - tile.y)).fetchone()
    assert np.abs(decoded(data).astype(int) - world.tile(5, tile.x, tile.y)).mean() < 5
    assert database.execute("PRAGMA application_id").fetchone() == (0x4D504258,)
    assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    with pytest.raises(sqlite3.IntegrityError):
        database.execute("INSERT INTO tiles VALUES (5, ?, ?, '')", (tile.x, 31 - tile.y))
    database.close()


def test_a_folder_has_a_tilejson_beside_its_tiles(tmp_path, world):
    export(world, Tiles(ALPS, (4, 5), "webp"), tmp_path / "alps")
    said = json.loads((tmp_path / "alps" / "tilejson.json").read_text(encoding="utf-8"))
    assert said["tilejson"] == "3.0.0"
    assert (said["minzoom"], said["maxzoom"], said["bounds"]) == (4, 5, [5.0, 43.0, 17.0, 49.0])
    assert said["synthetic"] is True
    z, x, y = next(tiles_of(4, ALPS.box(4)))
    named = said["tiles"][0].format(z=z, x=x, y=y)
    assert np.array_equal(decoded((tmp_path / "alps" / named).read_bytes()), world.tile(z, x, y))


def test_an_archive_goes_round_the_world(tmp_path, world):
    area = Area(170.0, -10.0, -170.0, 10.0)
    export(world, Tiles(area, (5, 5)), tmp_path / "pacific.pmtiles")
    archive = PMTiles(str(tmp_path / "pacific.pmtiles"))
    columns = {int(x) for piece in archive.addresses(5) for x in piece[0]}
    assert columns == {31, 0}
    verified(tmp_path / "pacific.pmtiles")
