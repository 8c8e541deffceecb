"""The kinds of source that a recipe may name, a table each; ``kind`` tells them apart.

kind        where the imagery is                                              module of ``git10m.sources``
raster      files that GDAL reads, here or at an address                      raster, files
stac        a STAC API, catalog, item collection or stac-geoparquet           stac
xyz         a tile server: {z}/{x}/{y}, TMS, quadkey                          tile_server
wmts        a tile server with a capabilities document                        tile_server
archive     MBTiles, PMTiles, a folder of tiles                               archive
weblist     a table of addresses, fetched through img2dataset                 weblist
pairs       an existing image–caption set                                     pairs
"""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from git10m.recipe.scenes import Origin, RasterSource, StacSource
from git10m.recipe.values import Interval, Paths, Table

__all__ = [
    "KINDS",
    "ArchiveSource",
    "Budget",
    "PairsSource",
    "Source",
    "TileServerSource",
    "WebListSource",
    "WmtsSource",
    "XyzSource",
]


class Budget(Table):
    """Where a build stops fetching from a source; what was fetched stays, and a larger budget goes on from there.

    Attributes:
        requests: Over the whole build.
        gigabytes: Received, over the whole build (10**9 bytes).
        hours: Of one run.
    """

    requests: Annotated[int, Field(ge=1)] | None = None
    gigabytes: Annotated[float, Field(gt=0)] | None = None
    hours: Annotated[float, Field(gt=0)] | None = None


class TileServerSource(Origin):
    """Tiles that a server gives out over HTTP.

    ``{env:NAME}`` in ``url``, ``address`` and ``headers`` stands for a variable of the environment; its value is
    never written down.

    Attributes:
        contact: An address (mail or web) under which the server's operator finds who asks; sent with each request.
        headers: Further headers of each request.
        rate: Most requests a second to one host, from all processes together; 0: no limit.
        burst: Requests that may follow each other at once after a pause.
        connections: Most at once to one host, a process.
        timeout_s: Without an answer, or without a further byte.
        retries: Of a request that failed for a reason that may pass.
        most_bytes: Of one tile; a longer answer is refused.
        tile_px: Pixels a side of the server's tiles, which cover the ground of the usual 256-px tile z/x/y.
        budget: Where fetching stops.
        no_tile: Statuses by which the server says that it has no such tile, besides 204, 404 and 410; buckets say
            403, some caches 400.
        permission: What permits bulk download (who, when), where the server's terms forbid it.
    """

    places: ClassVar[tuple[str, ...]] = ()
    manners: ClassVar[tuple[str, ...]] = (
        "contact",
        "headers",
        "rate",
        "burst",
        "connections",
        "timeout_s",
        "retries",
        "most_bytes",
        "budget",
        "no_tile",
        "permission",
    )

    contact: Annotated[str, Field(min_length=3)]
    headers: dict[str, str] = Field(default_factory=dict)
    rate: Annotated[float, Field(ge=0)] = 4.0
    burst: Annotated[int, Field(ge=1)] = 4
    connections: Annotated[int, Field(ge=1, le=256)] = 8
    timeout_s: Annotated[float, Field(gt=0)] = 30.0
    retries: Annotated[int, Field(ge=0, le=20)] = 5
    most_bytes: Annotated[int, Field(ge=1)] = 4 * 2**20
    tile_px: Literal[256, 512] = 256
    budget: Budget = Budget()
    no_tile: tuple[Annotated[int, Field(ge=400, le=599)], ...] = ()
    permission: str | None = None


class XyzSource(TileServerSource):
    """A tile server by its address template, or by its TileJSON.

    Attributes:
        url: With ``{z}``, ``{x}``, ``{y}`` (rows from the north) or ``{-y}`` (TMS, rows from the south), or ``{q}``
            (quadkey); ``{s}`` stands for one of ``subdomains``. Without any of them: the address of a TileJSON.
        subdomains: Host names' first parts that share the load.
        bbox: Where the server has imagery: (west, south, east, north) in degrees.
    """

    kind: Literal["xyz"] = "xyz"
    url: str
    subdomains: Annotated[tuple[str, ...], Field(min_length=1)] = ("a", "b", "c")
    bbox: tuple[float, float, float, float] | None = None

    @field_validator("url")
    @classmethod
    def _template(cls, url: str) -> str:
        named = _placeholders(url)
        fits = not named or named >= {"z", "x", "y"} or named >= {"z", "x", "-y"} or "q" in named
        if not fits:
            raise ValueError(f"{url!r} must hold {{z}}, {{x}} and {{y}} (or {{-y}}), or {{q}}")
        if unknown := named - {"z", "x", "y", "-y", "q", "s"}:
            raise ValueError(
                f"{url!r} holds {{{sorted(unknown)[0]}}}; known are {{z}} {{x}} {{y}} {{-y}} {{q}} {{s}} (write @2x "
                "itself, and tile_px = 512, for {r}; list hosts in subdomains)"
            )
        if not url.startswith(("http://", "https://")):
            raise ValueError(f"{url!r} must begin with https:// or http://")
        return url

    @property
    def is_template(self) -> bool:
        """Whether ``url`` names tiles; else it is the address of a TileJSON."""
        return bool(_placeholders(self.url))


def _placeholders(url: str) -> set[str]:
    return set(re.findall(r"\{([^{}]*)\}", re.sub(r"\{env:\w+\}", "", url)))


class WmtsSource(TileServerSource):
    """A tile server by its WMTS capabilities; its tile matrix set must be web mercator (EPSG:3857).

    Attributes:
        address: Of the capabilities document; a path or an address.
        wmts_layer: Identifier of the layer; None: the only one.
        matrix_set: Identifier of the tile matrix set; None: the layer's first in web mercator.
        style: Identifier of the style; None: the default.
        format: Media type; None: the first image type of the layer.
        dimensions: Values of further dimensions, e.g. ``{Time = "2021-07-01"}``; else their defaults.
    """

    places: ClassVar[tuple[str, ...]] = ("address",)

    kind: Literal["wmts"] = "wmts"
    address: str
    wmts_layer: str | None = None
    matrix_set: str | None = None
    style: str | None = None
    format: str | None = None
    dimensions: dict[str, str] = Field(default_factory=dict)


class ArchiveSource(Origin):
    """Tiles in an archive: MBTiles, PMTiles (also at an address), or a folder ``z/x/y.png``.

    Attributes:
        path: The archive, or several; a file, a folder, a glob, or an address (PMTiles).
        scheme: Rows of a folder counted from the north (``"xyz"``) or the south (``"tms"``).
    """

    kind: Literal["archive"] = "archive"
    path: Paths
    scheme: Literal["xyz", "tms"] = "xyz"

    @property
    def paths(self) -> tuple[str, ...]:
        """``path`` as a tuple."""
        return (self.path,) if isinstance(self.path, str) else self.path


class WebListSource(Origin):
    """Images at addresses that a table lists, fetched through img2dataset.

    Attributes:
        path: Table(s): CSV, TSV, JSON lines (each also with .gz) or parquet; a file, folder or glob.
        url_column: Column of addresses.
        caption_column: Column of captions; None: without.
        columns: Columns of ours and the table's columns that hold them, e.g. ``{acquired_at = "date"}``; columns
            that have our names are taken without being listed, unless they are given as ``""``.
        contact: Sent with each request, as for tile servers.
        processes: Of img2dataset.
        connections: Threads of each process; img2dataset knows no limit by host.
        timeout_s: Without an answer, and of the whole body of one image.
        most_bytes: Of one image; a longer answer is refused.
        retries: Rounds over what failed for a reason that may pass, with growing pauses.
        permission: What permits bulk download (who, when), where the terms of an address's server forbid it.
    """

    manners: ClassVar[tuple[str, ...]] = (
        "contact",
        "processes",
        "connections",
        "timeout_s",
        "most_bytes",
        "retries",
        "permission",
    )

    kind: Literal["weblist"] = "weblist"
    path: Paths
    url_column: str = "url"
    caption_column: str | None = "caption"
    columns: dict[str, str] = Field(default_factory=dict)
    contact: Annotated[str, Field(min_length=3)]
    processes: Annotated[int, Field(ge=1, le=64)] = 1
    connections: Annotated[int, Field(ge=1, le=256)] = 8
    timeout_s: Annotated[float, Field(gt=0)] = 30.0
    most_bytes: Annotated[int, Field(ge=1)] = 32 * 2**20
    retries: Annotated[int, Field(ge=0, le=20)] = 2
    permission: str | None = None


class PairsSource(Origin):
    """An existing set of images and captions.

    Attributes:
        format: ``"karpathy"`` (RSICD, UCM-Captions and Sydney-Captions JSON), ``"coco"`` (COCO captions JSON),
            ``"csv"`` (images and captions in a table), ``"folders"`` (a folder a class), ``"git10m"`` (Git-10M
            itself, parquet or Arrow, in either form).
        path: The annotations (``karpathy``, ``coco``, ``csv``), the folder of folders, or the parquet and Arrow
            files.
        images: Folder of the images; None: the folder of ``path``.
        level: Zoom level whose resolution the images have; None: unknown (level 0), or stated by the set.
        image_column: Of a CSV.
        caption_column: Of a CSV; None: without captions.
        caption: For ``"folders"``: the caption of a class, with ``{class}`` for its name.
        bands: Numbers of red, green and blue in images of more bands, such as 13-band TIFF chips.
        scale: Values that become 0 and 255 in images of more than 8 bits.
    """

    places: ClassVar[tuple[str, ...]] = ("path", "images")

    kind: Literal["pairs"] = "pairs"
    format: Literal["karpathy", "coco", "csv", "folders", "git10m"]
    path: Paths
    images: str | None = None
    level: Annotated[int, Field(ge=1, le=22)] | None = None
    image_column: str = "image"
    caption_column: str | None = "caption"
    caption: str = "A satellite image of {class}."
    bands: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=3, max_length=3)] | None = None
    scale: Interval | None = None

    @property
    def paths(self) -> tuple[str, ...]:
        """``path`` as a tuple."""
        return (self.path,) if isinstance(self.path, str) else self.path

    @model_validator(mode="after")
    def _one_file(self) -> Self:
        if self.format in {"karpathy", "coco", "csv", "folders"} and len(self.paths) > 1:
            raise ValueError(f"format = {self.format!r} takes one path; make each set a source of its own")
        if self.scale is not None and self.scale[0] >= self.scale[1]:
            raise ValueError(f"scale = {list(self.scale)}: give [low, high] with low < high")
        return self


def _kind(value: Any) -> str:
    return str(value.get("kind", "raster") if isinstance(value, dict) else getattr(value, "kind", "raster"))


KINDS: dict[str, type[Origin]] = {
    "raster": RasterSource,
    "stac": StacSource,
    "xyz": XyzSource,
    "wmts": WmtsSource,
    "archive": ArchiveSource,
    "weblist": WebListSource,
    "pairs": PairsSource,
}
"""The table of each kind."""

Source = Annotated[
    Annotated[RasterSource, Tag("raster")]
    | Annotated[StacSource, Tag("stac")]
    | Annotated[XyzSource, Tag("xyz")]
    | Annotated[WmtsSource, Tag("wmts")]
    | Annotated[ArchiveSource, Tag("archive")]
    | Annotated[WebListSource, Tag("weblist")]
    | Annotated[PairsSource, Tag("pairs")],
    Discriminator(_kind),
]
"""Any of the kinds; a source without ``kind`` is a raster."""
