"""Tile servers that describe themselves in TileJSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from pydantic import TypeAdapter
from rude_server import Answer, RudeServer, image

from git10m.errors import RecipeError, SourceError
from git10m.grid import Tile
from git10m.recipe import Source, Tiles
from git10m.sources import Request, Sample
from git10m.sources.tile_server import TileServer, open_tile_server

PICTURE = image()
SAID = {"tilejson": "3.0.0", "tiles": ["{host}/t/{z}/{x}/{y}.jpg"], "minzoom": 5, "maxzoom": 14}


def opened(folder: Path, url: str, **said: Any) -> TileServer:
    about = {"id": "tiles", "kind": "xyz", "contact": "me@example.org", "rate": 0, "url": url, **said}
    source: Any = TypeAdapter(Source).validate_python(about)
    folder.mkdir(exist_ok=True)
    return open_tile_server(source, tiles=Tiles(), store=folder, fill=(0, 0, 0))


def served(said: Any) -> RudeServer:
    """A server that gives a TileJSON at /tiles.json, with its own address for {host}, and pictures elsewhere."""

    def manner(path: str, _: int) -> Answer | bytes:
        if not path.startswith("/tiles.json"):
            return PICTURE
        body = said if isinstance(said, bytes) else json.dumps(said).replace("{host}", server.url).encode()
        return Answer(200, body, {"Content-Type": "application/json"})

    server = RudeServer(manner)
    return server


def test_levels_bounds_and_credit_are_those_of_the_document(tmp_path: Path):
    said = {**SAID, "bounds": [5, 45, 11, 48], "attribution": '&copy; <a href="https://x">Survey</a>'}
    with served(said) as host:
        server = opened(tmp_path, f"{host.url}/tiles.json")
        (sample,) = server.read([Request(Tile(12, 2131, 1447), 0)])
        assert host.log[-1].path == "/t/12/2131/1447.jpg"
        # A build that goes on reads the same document.
        opened(tmp_path, f"{host.url}/tiles.json")
        assert host.asked("/tiles.json") == 1
    assert server.levels(0, range(4, 17)) == list(range(5, 15))
    assert server.bounds == (5.0, 45.0, 11.0, 48.0)
    assert isinstance(sample, Sample)
    assert sample.contributions[0].attribution == "© Survey"


def test_what_the_recipe_says_comes_first(tmp_path: Path):
    with served({**SAID, "bounds": [5, 45, 11, 48], "attribution": "Survey"}) as host:
        server = opened(tmp_path, f"{host.url}/tiles.json", bbox=[6, 46, 7, 47], attribution="Mine", levels=[9])
    assert (server.bounds, server.source.attribution, server.levels(0, [12])) == ((6, 46, 7, 47), "Mine", [9])


def test_rows_from_the_south_and_relative_addresses(tmp_path: Path):
    with served({"tiles": ["t/{z}/{x}/{y}.png"], "scheme": "tms"}) as host:
        server = opened(tmp_path, f"{host.url}/tiles.json")
    assert urlsplit(server.template.address((3, 1, 0))).path == "/t/3/1/7.png"


def test_a_token_that_the_document_repeats_is_written_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TILES_KEY", "k3y/secret")
    said = {"tiles": ["{host}/t/{z}/{x}/{y}.jpg?key=k3y%2Fsecret"]}
    for name, document in (("repeated", said), ("not repeated", SAID)):
        with served(document) as host:
            server = opened(tmp_path / name, host.url + "/tiles.json?key={env:TILES_KEY}")
            assert isinstance(next(server.read([Request(Tile(9, 1, 2), 0)])), Sample)
        assert [urlsplit(asked.path).query for asked in host.log] == ["key=k3y/secret"] * 2
        written = b"".join(file.read_bytes() for file in (tmp_path / name).iterdir())
        assert b"secret" not in written + repr(server.identity).encode()


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (b"<html>", r"tiles.json: is no TileJSON; url is the address of one, or a template with \{z\}"),
        ({"tiles": []}, "is no TileJSON"),
        ([1], "is no TileJSON"),
        ({**SAID, "vector_layers": [{"id": "roads"}]}, "describes vector tiles"),
        ({"tiles": ["https://h/{z}/{x}/{y}.pbf"]}, "describes vector tiles"),
    ],
)
def test_what_is_none_is_told(said: Any, message: str, tmp_path: Path):
    with served(said) as host, pytest.raises(SourceError, match=message):
        opened(tmp_path, f"{host.url}/tiles.json")


def test_terms_of_the_server_that_it_leads_to_hold(tmp_path: Path):
    said = {"tiles": ["https://tile.openstreetmap.org/{z}/{x}/{y}.png"]}
    with served(said) as host, pytest.raises(RecipeError, match="forbid bulk download"):
        opened(tmp_path, f"{host.url}/tiles.json")


def test_a_titiler_is_named_by_its_tilejson(tmp_path: Path, imagery: Path, titiler: Any):
    path = imagery / "rasters/naip__m_4709963_se_14_1_20200831.tif"
    address = f"{titiler.url}/cog/WebMercatorQuad/tilejson.json?url={path}&bidx=1&bidx=2&bidx=3&tile_format=png"
    server = opened(tmp_path, address, tile_px=512)  # as TiTiler makes them
    west, south, east, north = server.bounds or (0, 0, 0, 0)
    tile = Tile.from_lonlat((west + east) / 2, (south + north) / 2, 14)
    (sample,) = server.read([Request(tile, 0)])
    assert isinstance(sample, Sample)
    assert sample.valid.all()
