"""The servers that other tests rely on do what those tests assume."""

from __future__ import annotations

import http.client
import io
import json
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path

import numpy as np
import rasterio
from PIL import Image
from servers import S3, FileServer, StacApi, Titiler, collection_of


def get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=30) as answer:
        return bytes(answer.read())


def test_the_file_server_gives_ranges_and_says_what_it_was_asked(
    range_server: Callable[[Path], FileServer], tmp_path: Path
):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/a.bin").write_bytes(bytes(range(256)))
    server = range_server(tmp_path)
    assert range_server(tmp_path) is server
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(server.url).netloc, timeout=10)

    def ask(method: str, path: str, **headers: str) -> tuple[http.client.HTTPResponse, bytes]:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer, answer.read()

    answer, body = ask("GET", "/deep/a.bin", Range="bytes=16-31")
    assert (answer.status, body, answer.headers["Content-Range"]) == (206, bytes(range(16, 32)), "bytes 16-31/256")
    held = connection.sock
    answer, body = ask("HEAD", "/deep/a.bin")
    assert (answer.status, body, answer.headers["Content-Length"]) == (200, b"", "256")
    assert answer.headers["Accept-Ranges"] == "bytes"
    answer, _ = ask("GET", "/deep/a.bin", **{"If-None-Match": answer.headers["ETag"]})
    assert answer.status == 304
    assert ask("GET", "/deep/none.bin")[0].status == 404
    assert connection.sock is held, "the connection is kept alive"
    connection.close()
    asked = [(each.method, each.path, each.range, each.status) for each in server.requests()]
    assert asked == [
        ("GET", "/deep/a.bin", "bytes=16-31", 206),
        ("HEAD", "/deep/a.bin", None, 200),
        ("GET", "/deep/a.bin", None, 304),
        ("GET", "/deep/none.bin", None, 404),
    ]
    assert server.requests()[0].bytes == 16
    server.forget()
    assert server.requests() == []


def test_titiler_serves_a_real_raster_as_tiles(titiler: Titiler, imagery: Path):
    path = imagery / "rasters/rio-tiler__mosaic_cog1.tif"
    info = json.loads(get(f"{titiler.url}/cog/WebMercatorQuad/tilejson.json?url={path}"))
    lon, lat, level = *info["center"][:2], info["maxzoom"]
    x = int((lon + 180) / 360 * 2**level)
    y = int((1 - np.arcsinh(np.tan(np.radians(lat))) / np.pi) / 2 * 2**level)
    tile = get(titiler.xyz(path, resampling="bilinear").format(z=level, x=x, y=y))
    with Image.open(io.BytesIO(tile)) as image:
        assert (image.size, image.mode) == ((256, 256), "RGBA")
        assert np.asarray(image)[..., 3].any()
    capabilities = get(titiler.wmts(path)).decode()
    assert "WebMercatorQuad" in capabilities
    assert "ResourceURL" in capabilities


def test_s3_gives_a_folder_to_gdal_and_to_pyarrow(s3_server: S3, tmp_path: Path):
    from pyarrow import fs

    profile = {"driver": "GTiff", "width": 8, "height": 8, "count": 1, "dtype": "uint8"}
    profile["transform"] = rasterio.transform.from_origin(0, 8, 1, 1)
    (tmp_path / "deep").mkdir()
    with rasterio.open(tmp_path / "deep/a.tif", "w", **profile) as made:
        made.write(np.arange(64, dtype=np.uint8).reshape(1, 8, 8))
    assert s3_server.fill(tmp_path, bucket="first") == "s3://first"
    store, _ = fs.FileSystem.from_uri("s3://first")
    listed = store.get_file_info(fs.FileSelector("first", recursive=True))
    assert [each.path for each in listed if each.is_file] == ["first/deep/a.tif"]
    with rasterio.Env(), rasterio.open("/vsis3/first/deep/a.tif") as read:
        assert read.read(1).tolist() == np.arange(64).reshape(8, 8).tolist()


def test_s3_refuses_strangers_when_locked(s3_server: S3, tmp_path: Path):
    from pyarrow import fs

    (tmp_path / "a.bin").write_bytes(b"1")
    s3_server.fill(tmp_path, bucket="second")
    store, path = fs.FileSystem.from_uri("s3://second/a.bin")
    with s3_server.locked():
        try:
            store.open_input_file(path)
        except OSError as error:
            assert "ACCESS_DENIED" in str(error) or "403" in str(error)
        else:
            raise AssertionError("a stranger was let in")
    assert store.open_input_file(path).read() == b"1"


def search(api: StacApi, **said: object) -> list[dict[str, object]]:
    """Ask for items, over as many pages as there are."""
    found: list[dict[str, object]] = []
    body: dict[str, object] | None = dict(said)
    while body is not None:
        asked = urllib.request.Request(
            f"{api.url}/search", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(asked, timeout=30) as answer:
            page = json.load(answer)
        found += page["features"]
        following = [link for link in page["links"] if link["rel"] == "next"]
        body = {**body, **following[0]["body"]} if following else None
    return found


def test_the_stac_api_finds_what_was_loaded(stac_api: StacApi):
    def item(i: int) -> dict[str, object]:
        box = [float(i), 10.0, i + 0.5, 10.5]
        ring = [[box[0], 10.0], [box[2], 10.0], [box[2], 10.5], [box[0], 10.5], [box[0], 10.0]]
        return {
            "type": "Feature",
            "stac_version": "1.1.0",
            "id": f"item-{i}",
            "geometry": {"type": "Polygon", "coordinates": [ring]},
            "bbox": box,
            "properties": {"datetime": f"2020-01-{i + 1:02d}T00:00:00Z", "eo:cloud_cover": i * 10},
            "links": [],
            "assets": {},
        }

    items = [item(i) for i in range(10)]
    for _ in range(2):
        stac_api.load(collection_of("made", items), items)
    assert len(search(stac_api, collections=["made"], limit=3)) == 10
    assert [each["id"] for each in search(stac_api, collections=["made"], bbox=[2.1, 10, 2.2, 11])] == ["item-2"]
    clear = {"op": "<", "args": [{"property": "eo:cloud_cover"}, 25]}
    cloudless = search(stac_api, collections=["made"], **{"filter-lang": "cql2-json", "filter": clear})
    assert {each["id"] for each in cloudless} == {"item-0", "item-1", "item-2"}
    early = search(stac_api, collections=["made"], datetime="2020-01-01T00:00:00Z/2020-01-02T12:00:00Z")
    assert {each["id"] for each in early} == {"item-0", "item-1"}


def test_the_stac_api_holds_the_real_items(stac_catalog: StacApi, imagery: Path):
    assert {"landsat-c2-l2", "sentinel-2-l2a", "naip", "hls", "jaca", "rasters"} <= stac_catalog.loaded
    found = search(stac_catalog, collections=["rasters"], limit=10)
    assert len(found) >= 35
    for each in found:
        assert Path(each["assets"]["image"]["href"]).is_file()  # type: ignore[index]
    assert {each["id"] for each in search(stac_catalog, collections=["jaca"])} == {f"Jaca_{i}" for i in range(1, 5)}
