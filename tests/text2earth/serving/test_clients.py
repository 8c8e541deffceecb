"""Other programs read the server: GDAL as WMTS and as XYZ tiles, rio-tiler a GeoTIFF; each finds the right place."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
import pytest
import rasterio
from analytic_server import FIRST, Running
from analytic_world import TOP, AnalyticWorld
from PIL import Image
from rasterio.io import MemoryFile

from git10m.grid import HALF_WORLD_M, Tile
from text2earth.errors import RequestError
from text2earth.provenance import DIGITAL_SOURCE_TYPE
from text2earth.serving import ServerSettings
from text2earth.serving.pictures import parse_bbox, plan_picture

SIDE_M = 2 * HALF_WORLD_M


@pytest.fixture(autouse=True)
def gdal_without_cache() -> Iterator[None]:
    with rasterio.Env(GDAL_HTTP_TIMEOUT="60"):
        yield


def check_place(opened: rasterio.DatasetReader, level: int, x: int, y: int) -> None:
    """A tile's ground, read through a client, has the colours that the world's formula gives it."""
    tile = Tile(level, x, y)
    size = SIDE_M / (256 << level)
    left, top = tile.x * 256 * size - HALF_WORLD_M, HALF_WORLD_M - tile.y * 256 * size
    window = opened.window(left, top - 256 * size, left + 256 * size, top)
    pixels = opened.read((1, 2, 3), window=window.round_offsets().round_lengths())
    assert (np.moveaxis(pixels, 0, -1) == AnalyticWorld(FIRST).tile(level, x, y)).all()


@pytest.mark.parametrize("path", ["/WMTSCapabilities.xml", "/wmts?SERVICE=WMTS&REQUEST=GetCapabilities"])
def test_gdal_reads_the_wmts_at_its_place(server: Running, path: str):
    with rasterio.open(f"WMTS:{server.url}{path},layer=world") as opened:
        assert opened.crs.to_epsg() == 3857
        assert (opened.width, opened.height) == (256 << TOP, 256 << TOP)
        assert opened.bounds == pytest.approx((-HALF_WORLD_M, -HALF_WORLD_M, HALF_WORLD_M, HALF_WORLD_M), abs=0.01)
        assert opened.overviews(1) == [2**n for n in range(1, TOP - 1)]  # down to level 2, and no further
        check_place(opened, TOP, 270, 180)


def test_gdal_reads_the_tiles_at_their_place(server: Running):
    address = escape(server.get("/tilejson.json").json()["tiles"][0])
    for name in "zxy":
        address = address.replace(f"{{{name}}}", f"${{{name}}}")
    description = (
        f'<GDAL_WMS><Service name="TMS"><ServerUrl>{address}</ServerUrl></Service>'
        f"<DataWindow><UpperLeftX>{-HALF_WORLD_M}</UpperLeftX><UpperLeftY>{HALF_WORLD_M}</UpperLeftY>"
        f"<LowerRightX>{HALF_WORLD_M}</LowerRightX><LowerRightY>{-HALF_WORLD_M}</LowerRightY>"
        f"<TileLevel>{TOP}</TileLevel><TileCountX>1</TileCountX><TileCountY>1</TileCountY><YOrigin>top</YOrigin>"
        "</DataWindow><Projection>EPSG:3857</Projection><BlockSizeX>256</BlockSizeX><BlockSizeY>256</BlockSizeY>"
        "<BandsCount>3</BandsCount></GDAL_WMS>"
    )
    with rasterio.open(description) as opened:
        check_place(opened, TOP, 270, 180)


def test_wmts_answers_capabilities_only(server: Running):
    answer = server.get("/wmts?REQUEST=GetTile")
    assert answer.status_code == 400
    assert "GetCapabilities" in answer.json()["error"]


def test_tilejson_says_where_the_world_begins_and_ends(server: Running):
    told = server.get("/tilejson.json?prompt=sea&area=1,2,3,4,an island").json()
    assert (told["tilejson"], told["minzoom"], told["maxzoom"], told["synthetic"]) == ("3.0.0", 2, TOP, True)
    assert "no real place" in told["attribution"]
    address = told["tiles"][0].format(z=4, x=1, y=2).removeprefix(server.url)
    assert server.get(address).status_code == 200
    assert told["areas"]["features"][0]["properties"] == {"prompt": "an island"}


def test_rio_tiler_reads_a_geotiff_at_its_place(server: Running, tmp_path: Path):
    from rio_tiler.io import Reader

    answer = server.get("/image?bbox=5,44,11,48&level=9&format=tif")
    assert answer.headers["Content-Type"] == "image/tiff; application=geotiff"
    path = tmp_path / "box.tif"
    path.write_bytes(answer.content)
    with Reader(str(path)) as opened:
        assert opened.dataset.crs.to_epsg() == 3857
        tags = opened.dataset.tags()
        assert (tags["SYNTHETIC"], tags["SEED"], tags["LEVEL"]) == ("YES", "7", "9")
        assert DIGITAL_SOURCE_TYPE.encode() in answer.content
        found = opened.tile(266, 182, 9, tilesize=256)
    assert (np.moveaxis(found.data, 0, -1) == AnalyticWorld(FIRST).tile(9, 266, 182)).all()


def test_a_picture_over_the_antimeridian_goes_on(server: Running):
    answer = server.get("/image?bbox=170,-10,-170,10&level=6")
    pixels = np.asarray(Image.open(io.BytesIO(answer.content)))
    red = pixels[0, :, 0].astype(int)
    assert (red[0], red[-1]) == (248, 7)
    assert (np.diff(red) % 256 <= 1).all()


def test_a_picture_of_some_size_shows_just_the_box(server: Running):
    answer = server.get("/image?bbox=-90,-40,90,40&width=300&format=tif")
    with MemoryFile(answer.content) as memory, memory.open() as opened:
        assert opened.width == 300
        assert opened.bounds.left == pytest.approx(-HALF_WORLD_M / 2)
        assert opened.bounds.right == pytest.approx(HALF_WORLD_M / 2)
        assert opened.height == round(300 * (opened.bounds.top - opened.bounds.bottom) / HALF_WORLD_M)
        assert np.abs(opened.read(1)[5].astype(int) - np.linspace(64, 191, 300)).max() <= 2
    assert answer.headers["X-Level"] == "2"


def test_pictures_are_not_sent_twice(server: Running):
    etag = server.get("/image?bbox=5,44,11,48&level=7").headers["ETag"]
    assert server.get("/image?bbox=5,44,11,48&level=7", headers={"If-None-Match": etag}).status_code == 304
    assert server.get("/image?bbox=5,44,11,48&level=7&format=jpg", headers={"If-None-Match": etag}).status_code == 200


WRONG = {
    "/image": (422, "'bbox' is missing"),
    "/image?bbox=1,2,3": (400, "WEST,SOUTH,EAST,NORTH"),
    "/image?bbox=1,2,3,nan": (400, "south"),
    "/image?bbox=1,2,1,3": (400, "differ"),
    "/image?bbox=1,2,3,86": (400, "85.05"),
    "/image?bbox=1,2,3,4&format=gif": (400, "png, webp, jpg, tif"),
    "/image?bbox=1,2,3,4&width=0": (422, "width"),
    "/image?bbox=1,2,3,4&size=5": (422, "no parameter 'size'"),
    "/image?bbox=1,2,3,4&level=1": (404, f"levels 2…{TOP}"),
    "/image?bbox=1,2,3,4&width=9000": (404, "this box has"),
    "/image?bbox=-180,-85,180,85&level=9": (400, "4096 a side are allowed"),
    "/image?bbox=-180,-85,180,85&level=9&width=100": (400, "256 are allowed"),
}


@pytest.mark.parametrize("path", WRONG)
def test_a_wrong_picture_is_told_what_was_expected(server: Running, path: str):
    status, told = WRONG[path]
    answer = server.get(path)
    assert answer.status_code == status
    assert told in answer.json()["error"]


@pytest.mark.parametrize("bbox", ["-180,-85.05,180,85.05", "0,0,0.0000001,0.0000001", "179.9999,0,-179.9999,1"])
def test_small_and_large_boxes_have_pixels(bbox: str):
    picture = plan_picture(parse_bbox(bbox), levels=range(2, 10), settings=ServerSettings())
    assert picture.width >= 1
    assert picture.height >= 1
    assert picture.tiles()


def test_a_box_at_the_edge_of_the_map_has_no_tiles_beyond_it():
    picture = plan_picture((-180, -85.0511, 180, 85.0511), levels=range(2, 10), settings=ServerSettings(), level=2)
    assert (picture.width, picture.height) == (1024, 1024)
    assert len(picture.tiles()) == 16
    with pytest.raises(RequestError):
        parse_bbox("-181,0,1,1")
