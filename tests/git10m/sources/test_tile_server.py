"""Tile servers: how their tiles are named, sized, and found in a WMTS's capabilities."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import mercantile
import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydantic import TypeAdapter
from rude_server import Answer, RudeServer, image

from git10m.catalog import Entry, load_entry
from git10m.errors import RecipeError, SourceError
from git10m.grid import Tile
from git10m.recipe import Source, Tiles
from git10m.sources import Failure, Request, Sample
from git10m.sources.forbidden import FORBIDDEN
from git10m.sources.tile_server import TileServer, open_tile_server
from git10m.sources.tile_server.template import Template, quadkey

PICTURE = image()


def opened(folder: Path, *, size: int = 256, **said: Any) -> TileServer:
    about = {"id": "tiles", "contact": "me@example.org", "rate": 0, **said}
    source: Any = TypeAdapter(Source).validate_python(about)
    folder.mkdir(exist_ok=True)
    return open_tile_server(source, tiles=Tiles.model_validate({"size": size}), store=folder, fill=(0, 0, 0))


def read(server: TileServer, *tiles: Tile) -> list[Sample | Failure]:
    return list(server.read([Request(tile, 0) for tile in tiles]))


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


@st.composite
def addresses(draw: st.DrawFn) -> tuple[int, int, int]:
    z = draw(st.integers(0, 22))
    return z, draw(st.integers(0, 2**z - 1)), draw(st.integers(0, 2**z - 1))


@given(addresses())
def test_quadkeys_are_those_of_mercantile(at: tuple[int, int, int]):
    z, x, y = at
    assert quadkey(z, x, y) == mercantile.quadkey(mercantile.Tile(x, y, z))


@given(addresses())
def test_rows_of_tms_count_from_the_south(at: tuple[int, int, int]):
    z, x, y = at
    assert Template("https://h/{z}/{x}/{-y}.png").address(at) == f"https://h/{z}/{x}/{2**z - 1 - y}.png"


@given(addresses())
def test_a_tile_has_one_address_whatever_host_shares_the_load(at: tuple[int, int, int]):
    template = Template("https://{s}.h/{z}/{x}/{y}", ("a", "b", "c"))
    assert template.address(at) == template.address(at)
    assert urlsplit(template.address(at)).hostname in {"a.h", "b.h", "c.h"}


def test_hosts_share_the_load_evenly():
    template = Template("https://{s}.h/{z}/{x}/{y}", ("a", "b", "c"))
    hosts = [urlsplit(template.address((9, x, y))).hostname for x in range(30) for y in range(30)]
    assert {host: hosts.count(host) for host in set(hosts)} == {"a.h": 300, "b.h": 300, "c.h": 300}


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("https://h/{z}/{x}.png", r"must hold \{z\}, \{x\} and \{y\}"),
        ("https://h/{z}/{x}/{y}{r}.png", r"holds \{r\}; known are"),
        ("h/{z}/{x}/{y}", "must begin with https://"),
        ("ftp://h/{z}/{x}/{y}", "must begin with https://"),
    ],
)
def test_a_template_that_names_no_tile_is_refused(url: str, message: str):
    with pytest.raises(ValueError, match=message):
        TypeAdapter(Source).validate_python({"id": "a", "kind": "xyz", "contact": "me@example.org", "url": url})


def test_who_asks_must_be_said():
    with pytest.raises(ValueError, match="contact"):
        TypeAdapter(Source).validate_python({"id": "a", "kind": "xyz", "url": "https://h/{z}/{x}/{y}"})


def test_bytes_are_kept_as_they_came(tmp_path: Path):
    bodies = {kind: image(1, kind=kind) for kind in ("jpeg", "webp", "png")}
    for kind, body in bodies.items():
        with RudeServer(lambda *_, body=body: body) as host:
            (sample,) = read(
                opened(tmp_path / kind, kind="xyz", url=f"{host.url}/{{z}}/{{x}}/{{y}}"), Tile(12, 2000, 1200)
            )
        assert isinstance(sample, Sample)
        # PNG loses nothing when it is written as the recipe's format says; the others are never encoded again.
        assert (sample.encoded.bytes if sample.encoded else None) == (None if kind == "png" else body)
        assert np.array_equal(sample.pixels, pixels(body))
        (own,) = sample.contributions
        assert own.source_item == f"{host.url.removeprefix('http://')}/12/2000/1200"


def test_retina_tiles_are_of_the_next_level(tmp_path: Path):
    """A 512-px tile z/x/y covers the ground of 256-px tile z/x/y, at the pixels of level z + 1."""
    big = image(3, side=512, kind="png")
    with RudeServer(lambda *_: big) as host:
        server = opened(tmp_path, kind="xyz", url=f"{host.url}/{{z}}/{{x}}/{{y}}@2x.png", tile_px=512)
        parts = read(server, *(Tile(13, 4000 + i, 2400 + j) for j in (0, 1) for i in (0, 1)))
        assert {asked.path for asked in host.log} == {"/12/2000/1200@2x.png"}
        assert host.asked() == 1
    assert all(isinstance(part, Sample) and part.encoded is None for part in parts)
    top, bottom = (np.concatenate([part.pixels for part in parts[k : k + 2]], axis=1) for k in (0, 2))  # type: ignore[union-attr]
    assert np.array_equal(np.concatenate([top, bottom]), pixels(big))


def test_large_tiles_of_ours_are_joined_from_small_ones(tmp_path: Path):
    with RudeServer(lambda path, _: image(sum(map(ord, path)), kind="png")) as host:
        server = opened(tmp_path, size=512, kind="xyz", url=f"{host.url}/{{z}}/{{x}}/{{y}}")
        (sample,) = read(server, Tile(11, 1000, 600))
        assert {asked.path for asked in host.log} == {f"/12/{2000 + i}/{1200 + j}" for i in (0, 1) for j in (0, 1)}
    assert isinstance(sample, Sample)
    assert sample.pixels.shape == (512, 512, 3)
    assert np.array_equal(sample.pixels[256:, :256], pixels(image(sum(map(ord, "/12/2000/1201")), kind="png")))


def test_tiles_of_another_size_name_the_key_that_says_so(tmp_path: Path):
    big = image(side=512)
    with RudeServer(lambda *_: big) as host:
        server = opened(tmp_path, kind="xyz", url=f"{host.url}/{{z}}/{{x}}/{{y}}")
        (failure,) = read(server, Tile(12, 1, 1))
    assert isinstance(failure, Failure)
    assert failure.reason == "unreadable"
    assert "set tile_px = 512 in source 'tiles'" in failure.detail


def test_levels_are_those_the_recipe_says(tmp_path: Path):
    server = opened(tmp_path, kind="xyz", url="http://127.0.0.1/{z}/{x}/{y}", levels=[12, 14])
    assert server.levels(0, [10, 11, 12, 13]) == [12, 14]
    assert opened(tmp_path, kind="xyz", url="http://127.0.0.1/{z}/{x}/{y}").levels(0, [10, 12]) == [10, 12]


def test_it_must_be_told_where(tmp_path: Path):
    server = opened(tmp_path, kind="xyz", url="http://127.0.0.1/{z}/{x}/{y}")
    with pytest.raises(RecipeError, match=r"give the recipe a \[region\], or the source a bbox"):
        list(server.cover(0, 12, None))
    boxed = opened(tmp_path, kind="xyz", url="http://127.0.0.1/{z}/{x}/{y}", bbox=[14.0, 50.0, 14.1, 50.1])
    tiles = {(x, y) for xs, ys in boxed.cover(0, 12, None) for x, y in zip(xs.tolist(), ys.tolist(), strict=True)}
    assert tiles == {(tile.x, tile.y) for tile in mercantile.tiles(14.0, 50.0, 14.1, 50.1, 12)}
    inside = shapely.box(14.01, 50.01, 14.02, 50.02)
    tiles = {(x, y) for xs, ys in boxed.cover(0, 12, inside) for x, y in zip(xs.tolist(), ys.tolist(), strict=True)}
    assert tiles == {(tile.x, tile.y) for tile in mercantile.tiles(14.01, 50.01, 14.02, 50.02, 12)}


@pytest.mark.parametrize("domain", FORBIDDEN)
def test_basemaps_whose_terms_forbid_it_are_refused_without_permission(domain: str, tmp_path: Path):
    for url in (f"https://{domain}/{{z}}/{{x}}/{{y}}", f"https://tile.A.{domain.upper()}:443/{{z}}/{{x}}/{{y}}?k=1"):
        with pytest.raises(RecipeError, match=r"forbid bulk download.*permission = "):
            opened(tmp_path, kind="xyz", url=url)
        with pytest.raises(RecipeError, match="forbid bulk download"):
            opened(tmp_path, kind="xyz", url=url, permission="  ")
        assert opened(tmp_path, kind="xyz", url=url, permission="letter of the owner, 2026-05-04")
    # A name that only ends alike is another's, as is what others keep at the same firm.
    assert opened(tmp_path, kind="xyz", url="https://storage.googleapis.com/my-bucket/{z}/{x}/{y}.jpg")
    assert opened(tmp_path, kind="xyz", url="https://tiles.arcgis.com/tiles/mine/MapServer/tile/{z}/{y}/{x}")
    assert opened(tmp_path, kind="xyz", url=f"https://not{domain}/{{z}}/{{x}}/{{y}}")


def test_a_catalog_entry_may_ask_for_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """No entry of ours does, for such servers have none; an entry of the user's may."""
    entry = Entry.model_validate({**load_entry("pnoa").model_dump(), "bulk": "ask"})
    monkeypatch.setattr("git10m.sources.tile_server.reading.load_entry", lambda _: entry)
    said = {"kind": "xyz", "url": "https://h.example/{z}/{x}/{y}", "catalog": "pnoa"}
    with pytest.raises(RecipeError, match="ask for a permission before bulk download"):
        opened(tmp_path, **said)
    assert opened(tmp_path, **said, permission="mail of the owner, 2026-05-04")


def test_tokens_come_from_the_environment_and_stay_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with RudeServer(lambda *_: PICTURE) as host:
        said = {
            "kind": "xyz",
            "url": f"{host.url}/{{z}}/{{x}}/{{y}}?key={{env:TILES_KEY}}",
            "headers": {"Authorization": "Bearer {env:TILES_TOKEN}"},
        }
        monkeypatch.setenv("TILES_KEY", "SECRET1")
        with pytest.raises(RecipeError, match="has no variable TILES_TOKEN; set it before"):
            opened(tmp_path, **said)
        monkeypatch.setenv("TILES_TOKEN", "SECRET2")
        server = opened(tmp_path, **said)
        (sample,) = read(server, Tile(9, 1, 2))
        (asked,) = host.log
    assert asked.path == "/9/1/2?key=SECRET1"
    assert asked.headers["Authorization"] == "Bearer SECRET2"
    assert "SECRET" not in repr((sample, server.identity, server.digest(0, 9, (0, 0, 1, 1))))
    assert not any(b"SECRET" in file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())


SETS = {
    "webmercator": ("urn:ogc:def:crs:EPSG::3857", 256, -20037508.3427892, 559082264.0287178),
    "retina": ("urn:ogc:def:crs:EPSG:6.18.3:3857", 512, -20037508.3427892, 279541132.0143589),
    "degrees": ("urn:ogc:def:crs:OGC:1.3:CRS84", 256, -180.0, 279541132.0143589),
    "shifted": ("urn:ogc:def:crs:EPSG::3857", 256, -20000000.0, 559082264.0287178),
    "huge": ("urn:ogc:def:crs:EPSG::3857", 1024, -20037508.3427892, 559082264.0287178 / 4),
}


def matrix_set(name: str, zooms: range) -> str:
    crs, side, left, scale = SETS[name]
    matrices = "".join(
        f"<TileMatrix><ows:Identifier>{name}:{z}</ows:Identifier>"
        f"<ScaleDenominator>{scale / 2**z!r}</ScaleDenominator><TopLeftCorner>{left} {-left}</TopLeftCorner>"
        f"<TileWidth>{side}</TileWidth><TileHeight>{side}</TileHeight>"
        f"<MatrixWidth>{2**z}</MatrixWidth><MatrixHeight>{2**z}</MatrixHeight></TileMatrix>"
        for z in zooms
    )
    return (
        f"<TileMatrixSet><ows:Identifier>{name}</ows:Identifier>"
        f"<ows:SupportedCRS>{crs}</ows:SupportedCRS>{matrices}</TileMatrixSet>"
    )


def layer(name: str, *sets: str, more: str = "", styles: str = "", formats: tuple[str, ...] = ("image/png",)) -> str:
    return (
        f"<Layer><ows:Title>{name}</ows:Title><ows:WGS84BoundingBox><ows:LowerCorner>5 45</ows:LowerCorner>"
        f"<ows:UpperCorner>11 48</ows:UpperCorner></ows:WGS84BoundingBox><ows:Identifier>{name}</ows:Identifier>"
        + (styles or '<Style isDefault="true"><ows:Identifier>default</ows:Identifier></Style>')
        + "".join(f"<Format>{media}</Format>" for media in formats)
        + "".join(f"<TileMatrixSetLink><TileMatrixSet>{each}</TileMatrixSet></TileMatrixSetLink>" for each in sets)
        + more
        + "</Layer>"
    )


def capabilities(*layers: str, get_tile: str = "", zooms: range = range(19)) -> str:
    operation = (
        f'<ows:OperationsMetadata><ows:Operation name="GetTile"><ows:DCP><ows:HTTP><ows:Get xlink:href="{get_tile}">'
        '<ows:Constraint name="GetEncoding"><ows:AllowedValues><ows:Value>KVP</ows:Value></ows:AllowedValues>'
        "</ows:Constraint></ows:Get></ows:HTTP></ows:DCP></ows:Operation></ows:OperationsMetadata>"
        if get_tile
        else ""
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?><Capabilities xmlns="http://www.opengis.net/wmts/1.0" '
        'xmlns:ows="http://www.opengis.net/ows/1.1" xmlns:xlink="http://www.w3.org/1999/xlink" version="1.0.0">'
        f"<ows:ServiceIdentification><ows:Title>t</ows:Title></ows:ServiceIdentification>{operation}"
        f"<Contents>{''.join(layers)}{''.join(matrix_set(name, zooms) for name in SETS)}</Contents></Capabilities>"
    )


REST = (
    '<ResourceURL format="{format}" resourceType="tile" '
    'template="{base}/{layer}/{{Style}}/{{Time}}/{{TileMatrixSet}}/{{TileMatrix}}/{{TileRow}}/{{TileCol}}.x"/>'
)
TIME = "<Dimension><ows:Identifier>Time</ows:Identifier><Default>2021-06-01</Default><Value>2021</Value></Dimension>"


@pytest.fixture
def wmts(tmp_path: Path) -> Iterator[Callable[..., TileServer]]:
    """Opens a WMTS whose capabilities document is given, from a file."""

    def build(document: str, **said: Any) -> TileServer:
        path = tmp_path / "capabilities-in.xml"
        path.write_text(document, encoding="utf-8")
        return opened(tmp_path / "store", kind="wmts", address=str(path), **said)

    yield build


def test_a_restful_layer_with_a_dimension(wmts: Callable[..., TileServer], tmp_path: Path):
    rest = REST.format(format="image/png", base="http://h.example", layer="ortho")
    document = capabilities(layer("ortho", "degrees", "webmercator", more=TIME + rest))
    server = wmts(document)
    at = "/ortho/default/2021-06-01/webmercator/webmercator:12/1447/2131.x"
    assert server.template.address((12, 2131, 1447)) == f"http://h.example{at}"
    assert server.zooms == (0, 18)
    assert server.bounds == (5.0, 45.0, 11.0, 48.0)
    dated = wmts(document, dimensions={"time": "2020"})
    assert "/2020/" in dated.template.address((1, 0, 0))
    with pytest.raises(RecipeError, match="no dimension 'year'; the layer has Time"):
        wmts(document, dimensions={"year": "2020"})
    with pytest.raises(RecipeError, match="say which Time"):
        wmts(document.replace("<Default>2021-06-01</Default>", "<Default/>"))


def test_a_layer_by_key_and_value(wmts: Callable[..., TileServer]):
    document = capabilities(
        layer("ortho", "webmercator", formats=("image/png", "image/jpeg")), get_tile="http://h.example/wmts?"
    )
    address = wmts(document, format="image/jpeg").template.address((7, 66, 45))
    assert address.startswith("http://h.example/wmts?")
    said = {name.upper(): values[0] for name, values in parse_qs(urlsplit(address).query).items()}
    assert said == {
        "SERVICE": "WMTS",
        "REQUEST": "GetTile",
        "VERSION": "1.0.0",
        "LAYER": "ortho",
        "STYLE": "default",
        "TILEMATRIXSET": "webmercator",
        "FORMAT": "image/jpeg",
        "TILEMATRIX": "webmercator:7",
        "TILECOL": "66",
        "TILEROW": "45",
    }
    with pytest.raises(RecipeError, match="no format 'image/tiff'; there are image/png, image/jpeg"):
        wmts(document, format="image/tiff")


def test_documents_that_are_careless(wmts: Callable[..., TileServer]):
    """Capitals of placeholders, dimensions without a default, styles without a name, layers without a box."""
    rest = REST.format(format="image/png", base="http://h.example", layer="ortho").replace("{Time}", "{TIME}")
    document = capabilities(layer("ortho", "webmercator", more=TIME + rest))
    assert "/2021-06-01/" in wmts(document).template.address((1, 0, 0))
    with pytest.raises(SourceError, match=r"hold \{TIME\}, which the document does not explain"):
        wmts(document.replace(TIME, ""))
    without = document.replace("<Default>2021-06-01</Default>", "")
    assert "/2021/" in wmts(without, dimensions={"Time": "2021"}).template.address((1, 0, 0))
    with pytest.raises(RecipeError, match="say which Time"):
        wmts(without)
    nameless = document.replace("<ows:Identifier>default</ows:Identifier>", "<ows:Identifier></ows:Identifier>")
    assert "/ortho//2021-06-01/" in wmts(nameless).template.address((1, 0, 0))
    box = document[document.index("<ows:WGS84BoundingBox>") : document.index("<ows:Identifier>ortho")]
    assert wmts(document.replace(box, "")).bounds is None


def test_keys_and_values_go_to_the_address_that_takes_them(wmts: Callable[..., TileServer]):
    document = capabilities(layer("ortho", "webmercator"), get_tile="http://h.example/kvp?")
    get = document[document.index("<ows:Get ") : document.index("</ows:HTTP>")]
    rest = get.replace("KVP", "RESTful").replace("/kvp?", "/rest/")
    assert wmts(document.replace(get, rest + get)).template.url.startswith("http://h.example/kvp?SERVICE=WMTS")


def test_vector_layers_are_told(wmts: Callable[..., TileServer]):
    document = capabilities(layer("roads", "webmercator", formats=("application/vnd.mapbox-vector-tile",)))
    with pytest.raises(RecipeError, match=r"layer 'roads' has application/.*; expected JPEG"):
        wmts(document)


def test_a_matrix_set_of_large_tiles(wmts: Callable[..., TileServer]):
    server = wmts(capabilities(layer("ortho", "retina"), get_tile="http://h.example/"))
    assert server.grid.served_px == 512
    assert server.levels(0, range(1, 25)) == list(range(1, 20))
    with pytest.raises(RecipeError, match="huge \\(tiles of 1024 pixels\\)"):
        wmts(capabilities(layer("ortho", "huge"), get_tile="http://h.example/"))


def test_other_grids_are_refused_and_named(wmts: Callable[..., TileServer]):
    document = capabilities(layer("ortho", "degrees", "shifted"), get_tile="http://h.example/")
    with pytest.raises(RecipeError, match=r"degrees \(CRS84\); shifted \(its tiles do not lie on the grid\).*GDAL"):
        wmts(document)
    with pytest.raises(RecipeError, match="no matrix_set 'google'; there are degrees, shifted"):
        wmts(document, matrix_set="google")


def test_what_is_not_there_is_told_with_what_is(wmts: Callable[..., TileServer]):
    styles = "".join(f"<Style><ows:Identifier>{name}</ows:Identifier></Style>" for name in ("light", "dark"))
    document = capabilities(
        layer("a", "webmercator", styles=styles), layer("b", "webmercator"), get_tile="http://h.example/"
    )
    with pytest.raises(RecipeError, match="say which layer: wmts_layer = …; there are a, b"):
        wmts(document)
    with pytest.raises(RecipeError, match="no layer 'c'; there are a, b"):
        wmts(document, wmts_layer="c")
    with pytest.raises(RecipeError, match="no style 'grey'; there are light, dark"):
        wmts(document, wmts_layer="a", style="grey")
    assert "STYLE=dark" in wmts(document, wmts_layer="a", style="dark").template.url


@pytest.mark.parametrize("document", ["<html>log in</html>", "no xml", "", "<a/>"])
def test_what_is_no_capabilities_document_is_told(document: str, wmts: Callable[..., TileServer]):
    with pytest.raises(SourceError, match=r"no WMTS capabilities document.*give the address that ends in"):
        wmts(document)


def test_capabilities_that_cannot_be_had_are_told(tmp_path: Path):
    with pytest.raises(RecipeError, match=r"none\.xml cannot be read \(No such file"):
        opened(tmp_path, kind="wmts", address=str(tmp_path / "none.xml"))
    with pytest.raises(SourceError, match=r"127\.0\.0\.1:9 cannot be reached"):
        opened(tmp_path, kind="wmts", address="http://127.0.0.1:9/WMTSCapabilities.xml")
    with (
        RudeServer(lambda *_: Answer(403)) as host,
        pytest.raises(SourceError, match=r"WMTSCapabilities\.xml: the server answers 403"),
    ):
        opened(tmp_path, kind="wmts", address=f"{host.url}/WMTSCapabilities.xml?token=SECRET")


def test_capabilities_are_asked_for_once_and_again_after_a_fault(tmp_path: Path):
    document = capabilities(layer("ortho", "webmercator"), get_tile="http://h.example/").encode()

    def manner(_: str, times: int) -> Answer:
        return Answer(429, headers={"Retry-After": "1"}) if times == 0 else Answer(200, document)

    with RudeServer(manner) as host:
        for _ in range(3):
            server = opened(tmp_path, kind="wmts", address=f"{host.url}/capabilities")
            assert server.template.url.startswith("http://h.example/?")
        assert host.asked() == 2
        first, second = host.log
        assert second.at - first.at >= 0.99
        assert "(+me@example.org)" in first.headers["User-Agent"]


def test_a_token_for_capabilities_stays_with_their_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    document = capabilities(layer("ortho", "webmercator"), get_tile="http://h.example/").encode()
    monkeypatch.setenv("TILES_TOKEN", "SECRET")
    with RudeServer(lambda *_: Answer(200, document)) as other:
        away = Answer(302, headers={"Location": f"{other.url.replace('127.0.0.1', 'localhost')}/c"})
        with RudeServer(lambda *_: away) as host:
            opened(tmp_path, kind="wmts", address=f"{host.url}/c", headers={"X-Token": "{env:TILES_TOKEN}"})
            assert host.log[0].headers["X-Token"] == "SECRET"
        assert "X-Token" not in other.log[0].headers


def test_a_wmts_of_a_forbidden_host_is_refused_too(wmts: Callable[..., TileServer]):
    """Where the tiles are counts, not where the document is."""
    with pytest.raises(RecipeError, match="forbid bulk download"):
        wmts(capabilities(layer("ortho", "webmercator"), get_tile="https://wmts.arcgisonline.com/x?"))
