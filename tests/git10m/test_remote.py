"""Rasters at addresses: few requests, the usual credentials, and faults that are told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_rasters import PRAGUE, mosaic, noise, on_the_grid, read, source, write
from rasterio.shutil import copy as copy_raster
from rude_server import Answer, RudeServer

from git10m.errors import RecipeError, SourceError
from git10m.grid import Tile
from git10m.remote import content_digest, gdal_path, list_files, refusal
from git10m.sources import Failure, Sample
from git10m.sources.files import find_scenes

LEVEL = 14
TILE = Tile.from_lonlat(*PRAGUE, LEVEL)


def cog(path: Path, side: int = 2048, **said: Any) -> Path:
    plain = write(path.with_suffix(".plain.tif"), noise(side, side), transform=on_the_grid(TILE), photometric="RGB")
    copy_raster(plain, path, driver="COG", BLOCKSIZE=256, **said)
    plain.unlink()
    return path


def tiles(columns: range, rows: range) -> list[Tile]:
    return [Tile(LEVEL, TILE.x + column, TILE.y + row) for row in rows for column in columns]


def test_a_file_at_an_address_gives_the_tiles_of_the_file(tmp_path: Path, range_server: Any):
    path = cog(tmp_path / "a.tif")
    address = f"{range_server(tmp_path).url}/a.tif"
    for here, there in zip(
        read(mosaic(source(path)), *tiles(range(3), range(2))),
        read(mosaic(source(address)), *tiles(range(3), range(2))),
        strict=True,
    ):
        assert isinstance(here, Sample)
        assert isinstance(there, Sample)
        assert np.array_equal(here.pixels, there.pixels)
        assert there.contributions[0].source_item == "a.tif"


def test_a_block_of_tiles_costs_few_requests_and_no_byte_twice(tmp_path: Path, range_server: Any):
    path = cog(tmp_path / "a.tif", OVERVIEWS="NONE")
    server = range_server(tmp_path)
    found = read(mosaic(source(f"{server.url}/a.tif")), *tiles(range(8), range(8)))
    assert all(isinstance(each, Sample) for each in found)
    log = server.requests()
    # One to look, one for the header, and a row of blocks at a time.
    assert len(log) <= 24, [(each.method, each.range) for each in log]
    assert sum(each.bytes for each in log) <= 1.2 * path.stat().st_size
    assert all(each.headers["User-Agent"].startswith("git10m/") for each in log)


def test_one_tile_of_a_large_file_does_not_fetch_the_file(tmp_path: Path, range_server: Any):
    path = cog(tmp_path / "a.tif", side=4096)
    server = range_server(tmp_path)
    (found,) = read(mosaic(source(f"{server.url}/a.tif")), *tiles(range(1), range(1)))
    assert isinstance(found, Sample)
    assert sum(each.bytes for each in server.requests()) <= 0.05 * path.stat().st_size


def test_addresses_are_scenes_by_their_names():
    def names(*addresses: str) -> list[str]:
        return [scene.name for scene in find_scenes(source(addresses))]

    signed = "https://me:SECRET@h.example/a/ortho.tif?sig=SECRET"
    assert names(signed, "s3://bucket/c.tif") == ["c.tif", "ortho.tif"]
    assert names(signed, "https://h.example/b/ortho.tif") == ["a/ortho.tif", "b/ortho.tif"]
    assert names(signed, "https://i.example/a/ortho.tif") == ["h.example/a/ortho.tif", "i.example/a/ortho.tif"]


def test_only_buckets_can_be_listed(tmp_path: Path):
    with pytest.raises(RecipeError, match="only s3 can be listed"):
        list_files("https://h.example/a/*.tif?sig=SECRET")
    with pytest.raises(RecipeError, match="bucket's name cannot be a pattern"):
        list_files("s3://*/a.tif")


def test_buckets_are_listed_by_prefix_and_pattern(tmp_path: Path, s3_server: Any):
    for name in ("2020/a.tif", "2020/b.tif", "2020/b.txt", "2020/deep/c.tif", "2021/d.tif"):
        (tmp_path / "b" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "b" / name).write_bytes(b"x")
    bucket = s3_server.fill(tmp_path / "b")

    def names(pattern: str) -> list[str]:
        return [address.removeprefix(f"{bucket}/") for _, address in list_files(f"{bucket}/{pattern}")]

    assert names("2020/*.tif") == ["2020/a.tif", "2020/b.tif"]
    assert names("202?/*.tif") == ["2020/a.tif", "2020/b.tif", "2021/d.tif"]
    assert names("2020/**/*.tif") == ["2020/a.tif", "2020/b.tif", "2020/deep/c.tif"]
    assert names("2020/[!b].tif") == ["2020/a.tif"]
    assert "2020/b.txt" in names("2020")
    assert names("1999/*.tif") == []


def test_a_bucket_wants_its_credentials(tmp_path: Path, s3_server: Any, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "b").mkdir()
    cog(tmp_path / "b/a.tif", side=512)
    bucket = s3_server.fill(tmp_path / "b")
    with s3_server.locked():
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
        with pytest.raises(SourceError, match="check the bucket's name, AWS_REGION and the credentials"):
            list_files(f"{bucket}/*.tif")
        with pytest.raises(SourceError, match=r"a\.tif: cannot be opened; .*credentials"):
            mosaic(source(f"{bucket}/a.tif"))


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (Answer(404), "the server answers 404: there is no such file"),
        (Answer(403), "the server answers 403: access is denied"),
        (Answer(401), "the server answers 401: credentials are missing or wrong"),
        (Answer(200, b"<html>log in</html>"), "not a raster that can be opened"),
    ],
    ids=["404", "403", "401", "html"],
)
def test_what_a_server_refuses_is_told_without_the_signature(answer: Answer, message: str):
    with RudeServer(lambda *_: answer) as server, pytest.raises(SourceError) as told:
        mosaic(source(f"{server.url}/a.tif?sig=SECRET"))
    assert message in str(told.value)
    assert "SECRET" not in str(told.value)
    assert "a.tif" in str(told.value)


def test_a_server_that_knows_no_ranges_is_told(tmp_path: Path):
    whole = cog(tmp_path / "a.tif", side=512).read_bytes()
    server = RudeServer(lambda *_: Answer(200, whole, {"Content-Type": "image/tiff"}))
    with server, pytest.raises(SourceError, match=r"a.tif: .*; download it, for its server sends only whole files"):
        mosaic(source(f"{server.url}/a.tif"))


def test_a_host_that_is_not_there_is_told():
    with pytest.raises(SourceError, match=r"a\.tif: cannot be opened; 127\.0\.0\.1 cannot be reached"):
        mosaic(source("http://127.0.0.1:9/a.tif"))


def test_a_file_that_is_gone_while_it_is_read_fails_tile_by_tile(tmp_path: Path, range_server: Any):
    path = cog(tmp_path / "a.tif", side=4096)
    made = mosaic(source(f"{range_server(tmp_path).url}/a.tif"))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 3])
    found = read(made, *tiles(range(16), range(16)))
    failures = [each for each in found if isinstance(each, Failure)]
    assert failures
    assert {each.reason for each in failures} == {"unreadable"}
    assert all("a.tif" in each.detail for each in failures)


def test_digests_follow_the_version_that_a_server_states(tmp_path: Path, range_server: Any, s3_server: Any):
    (tmp_path / "b").mkdir()
    path = tmp_path / "b/a.tif"
    path.write_bytes(b"one" * 1000)
    address = f"{range_server(tmp_path / 'b').url}/a.tif"
    first = content_digest(address)
    assert content_digest(address) == first
    assert content_digest(f"{address}?sig=1") == first
    path.write_bytes(b"other" * 1000)
    assert content_digest(address) != first
    bucket = s3_server.fill(tmp_path / "b")
    assert content_digest(f"{bucket}/a.tif") == content_digest(f"{bucket}/a.tif")
    assert content_digest(f"{bucket}/none.tif").startswith("unreadable")
    assert content_digest("http://127.0.0.1:9/a.tif").startswith("unreadable")


def test_names_for_gdal():
    assert gdal_path("https://h/a.tif?x=1") == "/vsicurl/https://h/a.tif?x=1"
    assert gdal_path("s3://b/k/a.tif") == "/vsis3/b/k/a.tif"
    assert gdal_path("/data/a.tif") == "/data/a.tif"


def test_what_can_be_had_is_not_refused(tmp_path: Path, range_server: Any):
    (tmp_path / "a.txt").write_text("x")
    assert refusal(f"{range_server(tmp_path).url}/a.txt") is None
