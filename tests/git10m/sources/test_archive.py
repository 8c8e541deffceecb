"""MBTiles, PMTiles and folders of tiles."""

from __future__ import annotations

import contextlib
import gzip
import io
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pmtiles.tile import Compression, TileType, tileid_to_zxy, zxy_to_tileid
from pmtiles.writer import Writer

from git10m.errors import RecipeError, SourceError
from git10m.grid import Tile
from git10m.recipe import ArchiveSource, Tiles
from git10m.sources import Failure, Request, Sample
from git10m.sources.archive import Archive, open_archive
from git10m.sources.archive.pmtiles import PMTiles, hilbert_ids, hilbert_xy
from git10m.sources.archive.ranges import merged

Made = dict[tuple[int, int, int], bytes]


def picture(seed: int, *, kind: str = "jpeg", side: int = 256) -> bytes:
    draws = np.random.default_rng(seed)
    small = Image.fromarray(draws.integers(20, 230, (8, 8, 3), dtype=np.uint8))
    buffer = io.BytesIO()
    small.resize((side, side), Image.Resampling.BICUBIC).save(buffer, kind)
    return buffer.getvalue()


def some(*, kind: str = "jpeg", side: int = 256) -> Made:
    """Twelve tiles of three zooms."""
    places = [(10, 500 + i, 300 + j) for i in range(2) for j in range(2)]
    places += [(11, 1001, 601), (12, 2002, 1202), (12, 2003, 1202), (12, 2002, 1203), (12, 2009, 1209)]
    return {place: picture(i, kind=kind, side=side) for i, place in enumerate(places)}


def mbtiles(path: Path, tiles: Made, **metadata: str) -> Path:
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE metadata (name TEXT, value TEXT)")
        database.execute("CREATE TABLE tiles (zoom_level INT, tile_column INT, tile_row INT, tile_data BLOB)")
        database.executemany("INSERT INTO metadata VALUES (?, ?)", metadata.items())
        rows = [(z, x, (1 << z) - 1 - y, data) for (z, x, y), data in tiles.items()]
        database.executemany("INSERT INTO tiles VALUES (?, ?, ?, ?)", rows)
    database.close()
    return path


def pmtiles(path: Path, tiles: Made, *, kind: TileType = TileType.JPEG, **metadata: str) -> Path:
    with path.open("wb") as file:
        writer = Writer(file)
        for place in sorted(tiles, key=lambda place: zxy_to_tileid(*place)):
            writer.write_tile(zxy_to_tileid(*place), tiles[place])
        zooms = [z for z, _, _ in tiles]
        header = {
            "tile_type": kind,
            "tile_compression": Compression.NONE,
            "min_zoom": min(zooms),
            "max_zoom": max(zooms),
        }
        places = ("min_lon_e7", "min_lat_e7", "max_lon_e7", "max_lat_e7", "center_lon_e7", "center_lat_e7")
        writer.finalize({**header, **dict.fromkeys(places, 0), "center_zoom": 0}, metadata)
    return path


def folder(path: Path, tiles: Made, *, ending: str = ".jpg", tms: bool = False) -> Path:
    for (z, x, y), data in tiles.items():
        row = (1 << z) - 1 - y if tms else y
        (path / str(z) / str(x)).mkdir(parents=True, exist_ok=True)
        (path / str(z) / str(x) / f"{row}{ending}").write_bytes(data)
    return path


WRITERS: dict[str, Callable[[Path, Made], tuple[Path, dict[str, Any]]]] = {
    "mbtiles": lambda at, tiles: (mbtiles(at / "a.mbtiles", tiles), {}),
    "pmtiles": lambda at, tiles: (pmtiles(at / "a.pmtiles", tiles), {}),
    "xyz": lambda at, tiles: (folder(at / "a", tiles), {}),
    "tms": lambda at, tiles: (folder(at / "a", tiles, tms=True), {"scheme": "tms"}),
    "bare": lambda at, tiles: (folder(at / "a", tiles, ending=""), {}),
}


def opened(path: Path | str, *, size: int = 256, **said: Any) -> Archive:
    source = ArchiveSource.model_validate({"id": "tiles", "path": str(path), **said})
    return open_archive(source, tiles=Tiles.model_validate({"size": size}), fill=(0, 0, 0))


def places(archive: Archive, level: int, area: Any = None) -> set[tuple[int, int]]:
    return {pair for x, y in archive.cover(0, level, area) for pair in zip(x.tolist(), y.tolist(), strict=True)}


def read(archive: Archive, *tiles: Tile) -> list[Sample | Failure]:
    return list(archive.read([Request(tile, 0) for tile in tiles]))


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("image", ["jpeg", "webp"])
def test_every_tile_comes_out_to_the_byte(kind: str, image: str, tmp_path: Path):
    made = some(kind=image)
    path, said = WRITERS[kind](tmp_path, made)
    archive = opened(path, **said)
    assert archive.levels(0, range(1, 20)) == [10, 11, 12]
    for level in (10, 11, 12):
        assert places(archive, level) == {(x, y) for z, x, y in made if z == level}
    tiles = [Tile(*place) for place in made]
    for tile, sample in zip(tiles, read(archive, *tiles), strict=True):
        assert isinstance(sample, Sample)
        assert sample.encoded is not None
        assert sample.encoded.bytes == made[tile.level, tile.x, tile.y]
        assert sample.contributions[0].native_gsd_m == pytest.approx(tile.gsd_m() / 2 ** (12 - tile.level))
    (missing,) = read(archive, Tile(12, 0, 0))
    assert isinstance(missing, Failure)
    assert missing.reason == "no_data"


@pytest.mark.parametrize("kind", WRITERS)
def test_an_area_limits_what_is_planned(kind: str, tmp_path: Path):
    path, said = WRITERS[kind](tmp_path, some())
    tile = Tile(12, 2002, 1202)
    inside = shapely.box(*tile.bounds).buffer(-1e-4)
    assert places(opened(path, **said), 12, inside) == {(2002, 1202)}
    assert places(opened(path, **said), 12, shapely.box(10, 10, 11, 11)) == set()
    turned = shapely.transform(inside, lambda points: points + np.array([360.0, 0.0]))
    assert places(opened(path, **said), 12, turned) == {(2002, 1202)}


def test_larger_and_smaller_tiles_are_cut_and_joined(tmp_path: Path):
    big = {(10, 5, 6): picture(1, kind="png", side=512)}
    archive = opened(mbtiles(tmp_path / "big.mbtiles", big))
    assert archive.levels(0, range(1, 20)) == [11]
    assert places(archive, 11) == {(10, 12), (11, 12), (10, 13), (11, 13)}
    whole = np.asarray(Image.open(io.BytesIO(big[10, 5, 6])).convert("RGB"))
    (corner,) = read(archive, Tile(11, 11, 12))
    assert isinstance(corner, Sample)
    assert np.array_equal(corner.pixels, whole[:256, 256:])
    small = {(11, 10 + i, 12 + j): picture(10 * i + j, kind="png") for i in (0, 1) for j in (0, 1)}
    joined = opened(mbtiles(tmp_path / "small.mbtiles", small), size=512)
    assert places(joined, 10) == {(5, 6)}
    (sample,) = read(joined, Tile(10, 5, 6))
    assert isinstance(sample, Sample)
    assert sample.pixels.shape == (512, 512, 3)
    east = np.asarray(Image.open(io.BytesIO(small[11, 11, 12])).convert("RGB"))
    assert np.array_equal(sample.pixels[:256, 256:], east)


def test_of_several_archives_the_first_gives_the_tile(tmp_path: Path):
    mbtiles(tmp_path / "a.mbtiles", {(10, 1, 1): picture(1)})
    mbtiles(tmp_path / "b.mbtiles", {(10, 1, 1): picture(2), (10, 2, 1): picture(3)})
    both = opened(tmp_path)
    first, second = read(both, Tile(10, 1, 1), Tile(10, 2, 1))
    assert isinstance(first, Sample)
    assert isinstance(second, Sample)
    assert first.contributions[0].source_item == "a.mbtiles"
    assert second.contributions[0].source_item == "b.mbtiles"


def test_credit_and_licence_of_the_archive_are_taken_where_the_recipe_has_none(tmp_path: Path):
    credit = '<a href="https://x.org">X &amp; Y</a>'
    path = mbtiles(tmp_path / "a.mbtiles", {(10, 1, 1): picture(1)}, attribution=credit, license="CC0-1.0")
    (own,) = read(opened(path), Tile(10, 1, 1))
    assert isinstance(own, Sample)
    assert own.contributions[0].licence == "CC0-1.0"
    assert own.contributions[0].attribution is not None
    assert "<" not in own.contributions[0].attribution
    (said,) = read(opened(path, licence="ODbL", attribution="Z"), Tile(10, 1, 1))
    assert isinstance(said, Sample)
    assert (said.contributions[0].licence, said.contributions[0].attribution) == ("ODbL", "Z")


def test_a_tile_that_does_not_decode_fails_alone(tmp_path: Path):
    made = {(10, 1, 1): picture(1), (10, 2, 1): picture(2)[:500], (10, 3, 1): b"<html>"}
    good, cut, text = read(opened(mbtiles(tmp_path / "a.mbtiles", made)), *(Tile(10, x, 1) for x in (1, 2, 3)))
    assert isinstance(good, Sample)
    assert isinstance(cut, Failure)
    assert isinstance(text, Failure)
    assert (cut.reason, text.reason) == ("unreadable", "unreadable")
    assert cut.detail.startswith("a.mbtiles: tile 10/2/1: a JPEG image that is not whole")


def test_credit_lines_lose_their_markup(tmp_path: Path):
    path = mbtiles(tmp_path / "a.mbtiles", some(), attribution='&copy; <a href="https://x">Survey &amp; Sons</a>')
    (sample,) = read(opened(path), Tile(11, 1001, 601))
    assert isinstance(sample, Sample)
    assert sample.contributions[0].attribution == "© Survey & Sons"


def test_tiles_that_are_packed_again_are_unpacked(tmp_path: Path):
    tiles = {place: gzip.compress(data) for place, data in some().items()}
    archive = opened(mbtiles(tmp_path / "a.mbtiles", tiles))
    (sample,) = read(archive, Tile(11, 1001, 601))
    assert isinstance(sample, Sample)
    assert sample.encoded is not None
    assert sample.encoded.bytes == some()[11, 1001, 601]


def test_an_archive_that_is_still_written_is_told(tmp_path: Path):
    """Read as it is, it would lack what stands in the journal, and nobody would see it."""
    path = mbtiles(tmp_path / "a.mbtiles", some())
    with contextlib.closing(sqlite3.connect(path)) as writer:
        writer.execute("PRAGMA journal_mode = WAL")
        writer.execute("INSERT INTO tiles VALUES (12, 2100, 2000, ?)", [picture(99)])
        writer.commit()
        with pytest.raises(SourceError, match=r"part of it is still in a.mbtiles-wal; close the program"):
            opened(path)
    assert len(places(opened(path), 12)) == 5


def test_old_pmtiles_are_told_apart_from_what_is_none(tmp_path: Path):
    old = tmp_path / "old.pmtiles"
    old.write_bytes(b"PM\x02\x00" + bytes(600))
    with pytest.raises(SourceError, match="is a PMTiles archive of version 2; version 3 is read: rewrite it"):
        opened(old)


def test_endings_of_a_folder_may_be_in_capitals(tmp_path: Path):
    made = folder(tmp_path / "tiles", some(), ending=".JPG")
    assert len(places(opened(made), 12)) == 4
    assert all(isinstance(result, Sample) for result in read(opened(made), Tile(11, 1001, 601)))


def test_archives_of_vectors_are_refused(tmp_path: Path):
    tile = {(0, 0, 0): b"\x1f\x8b\x08\x00vector"}
    with pytest.raises(SourceError, match=r"v\.mbtiles: holds vector tiles"):
        opened(mbtiles(tmp_path / "v.mbtiles", tile, format="pbf"))
    with pytest.raises(SourceError, match=r"v\.pmtiles: holds MVT tiles; give an archive of PNG, JPEG or WebP"):
        opened(pmtiles(tmp_path / "v.pmtiles", tile, kind=TileType.MVT))
    with pytest.raises(SourceError, match=r"unstated\.mbtiles: .* looks like a vector tile"):
        opened(mbtiles(tmp_path / "unstated.mbtiles", tile))


def test_damaged_archives_are_named(tmp_path: Path):
    whole = pmtiles(tmp_path / "whole.pmtiles", some()).read_bytes()
    (tmp_path / "cut.pmtiles").write_bytes(whole[:150])
    (tmp_path / "text.pmtiles").write_text("not found")
    mbtiles(tmp_path / "whole.mbtiles", {(10, x, 1): picture(x) for x in range(40)})
    base = (tmp_path / "whole.mbtiles").read_bytes()
    (tmp_path / "cut.mbtiles").write_bytes(base[: len(base) // 2])
    (tmp_path / "text.mbtiles").write_text("not found" * 500)
    (tmp_path / "empty").mkdir()
    for name, message in (
        ("cut.pmtiles", "cannot be read .* truncated"),
        ("text.pmtiles", "is no PMTiles archive"),
        ("text.mbtiles", "cannot be read"),
        ("empty", "holds no folders of zooms"),
    ):
        with pytest.raises(SourceError, match=message):
            opened(tmp_path / name)
    try:
        results = read(opened(tmp_path / "cut.mbtiles"), *(Tile(10, x, 1) for x in range(40)))
    except SourceError as error:
        assert "cut.mbtiles" in str(error)
    else:
        assert any(isinstance(result, Failure) and result.reason == "unreadable" for result in results)
    with pytest.raises(RecipeError, match="matches no archive"):
        opened(tmp_path / "missing-*.mbtiles")


def test_a_remote_archive_is_read_in_few_ranges(tmp_path: Path, range_server: Any):
    made = {(12, 2000 + i, 1200 + j): picture(i * 8 + j) for i in range(8) for j in range(8)}
    pmtiles(tmp_path / "a.pmtiles", made)
    server = range_server(tmp_path)
    archive = opened(f"{server.url}/a.pmtiles?token=secret")
    server.forget()
    results = read(archive, *(Tile(*place) for place in made))
    assert all(isinstance(result, Sample) and result.encoded for result in results)
    assert len(server.requests()) <= 8
    assert all("secret" not in str(result) for result in results)


def test_a_remote_archive_that_cannot_be_had_is_told(tmp_path: Path, range_server: Any):
    server = range_server(tmp_path)
    with pytest.raises(SourceError, match=r"none\.pmtiles: .*404"):
        opened(f"{server.url}/none.pmtiles")


def test_an_archive_in_a_bucket(tmp_path: Path, s3_server: Any):
    (tmp_path / "b").mkdir()
    made = some()
    pmtiles(tmp_path / "b/a.pmtiles", made)
    address = f"{s3_server.fill(tmp_path / 'b')}/a.pmtiles"
    results = read(opened(address), *(Tile(*place) for place in made))
    assert all(isinstance(result, Sample) for result in results)


def test_directories_of_many_tiles_are_walked(tmp_path: Path):
    """40,000 tiles, a third of them the same sea, the others of many lengths: leaf directories and long runs."""
    sea = picture(0)
    draws = np.random.default_rng(1)

    def body(i: int, j: int) -> bytes:
        return sea if i < 70 else draws.bytes(int(draws.integers(4, 400))) + bytes([i, j])

    made = {(14, 8000 + i, 5000 + j): body(i, j) for i in range(200) for j in range(200)}
    path = pmtiles(tmp_path / "many.pmtiles", made)
    archive = PMTiles(str(path))
    assert archive._header["leaf_directory_length"] > 0
    found = {pair for x, y in archive.addresses(14) for pair in zip(x.tolist(), y.tolist(), strict=True)}
    assert found == {(x, y) for _, x, y in made}
    for place in ((14, 8000, 5000), (14, 8199, 5199), (14, 8070, 5100)):
        assert archive.read([place]) == {place: made[place]}
    assert archive.read([(14, 7999, 5000), (13, 4000, 2500)]) == {}


@given(st.integers(0, 22), st.data())
def test_the_curve_is_that_of_pmtiles(z: int, data: st.DataObject):
    x, y = data.draw(st.tuples(*[st.integers(0, 2**z - 1)] * 2))
    number = int(hilbert_ids(np.array([x]), np.array([y]), z)[0])
    assert number + (4**z - 1) // 3 == zxy_to_tileid(z, x, y)
    assert tileid_to_zxy(zxy_to_tileid(z, x, y)) == (z, x, y)
    back = hilbert_xy(np.array([number]), z)
    assert (int(back[0][0]), int(back[1][0])) == (x, y)


@given(st.lists(st.tuples(st.integers(0, 10**7), st.integers(1, 10**5)), max_size=60))
def test_merged_ranges_hold_what_was_asked(wanted: list[tuple[int, int]]):
    held = []
    for (offset, length), inside in merged(wanted):
        assert all(offset <= start and start + size <= offset + length for start, size in inside)
        held += inside
    assert sorted(held) == sorted(set(wanted))


def test_the_real_archives_hold_the_same(imagery: Path):
    found = [
        opened(imagery / "tiles" / name)
        for name in ("naip_nd_2020.mbtiles", "naip_nd_2020.pmtiles", "naip_nd_2020_xyz")
    ]
    for level in (13, 14):
        (tiles,) = {frozenset(places(archive, level)) for archive in found}
        for x, y in tiles:
            shown = [read(archive, Tile(level, x, y))[0] for archive in found]
            assert all(isinstance(sample, Sample) for sample in shown)
            assert np.array_equal(shown[0].pixels, shown[1].pixels)  # type: ignore[union-attr]
            assert np.array_equal(shown[0].pixels, shown[2].pixels)  # type: ignore[union-attr]
