"""Raster files through GDAL: GeoTIFF, COG, JPEG 2000, VRT and whatever else it opens with a georeference.

A scene is opened once to be described (where it lies, which bands are red, green and blue, how its values become
0–255) and from then on read in blocks of tiles: warping 8×8 tiles at once and slicing them costs a third of warping
each. Masks, alpha bands and nodata values are warped with the pixels.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
import rasterio.errors
import shapely
from rasterio import Affine
from rasterio._err import CPLE_BaseError
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.enums import Resampling as GdalResampling
from rasterio.warp import reproject

from git10m.errors import BandsUnknownError, SourceError
from git10m.grid import HALF_WORLD_M, FloatArray, Tile, gsd_m, pixel_size_m, tile_centres, tile_size_m
from git10m.recipe import Percentiles, Source
from git10m.sources import Moment
from git10m.sources.files import SceneFiles, acquisition
from git10m.sources.georeference import Georeference, crs_name, georeference, native_gsd_m, outline

__all__ = [
    "Band",
    "Block",
    "Georeference",
    "Scene",
    "describe",
    "footprint",
    "read_block",
    "read_classes",
    "supported",
    "turned_boxes",
]

FINEST_RATIO = 0.8
"""A level is supported where its true GSD is at least this many native GSDs."""
SHRINK_TO_AVERAGE = 1.5
"""From this shrinkage on, ``resampling = "auto"`` takes the mean over a pixel's area."""
TURNS = (-360.0, 0.0, 360.0)
"""Where an outline that passes ±180° meets tiles."""
_OVERVIEW_MARGIN = 2.0
"""An overview is used when its pixels are at most this part (1/2) of a target pixel."""
_SAMPLE_PX = 1024
"""Side of the reduced scene from which percentiles are taken."""

_READ_ERRORS = (rasterio.errors.RasterioError, CPLE_BaseError, OSError, MemoryError)


@dataclass(frozen=True, slots=True)
class Band:
    """One band of one file, counted from 1."""

    path: str
    index: int


@dataclass(frozen=True)
class Scene:
    """One scene, described well enough to be read by any process.

    Attributes:
        source: Its source in the recipe, whose catalog entry is filled in.
        name: File name(s) below the recipe's folder.
        bands: Red, green, blue; or one band, shown as grey.
        scale: Value pair that becomes 0 and 255, a band each; None for 8-bit values as they are.
        moment: When it was taken.
        place: Georeference of the coarsest of its files.
        outline_wkb: Polygon(s) in degrees around all pixels.
        width: Columns of that file.
        height: Rows of that file.
        crs_name: Short name of the coordinate system.
        native_gsd_m: At the centre, coarser axis.
        synthetic: The file says that it was computed.
    """

    source: Source
    name: str
    bands: tuple[Band, ...]
    scale: tuple[tuple[float, float], ...] | None
    moment: Moment | None
    place: Georeference
    outline_wkb: bytes
    width: int
    height: int
    crs_name: str
    native_gsd_m: float
    synthetic: bool

    def supported(self, level: int, lon: FloatArray, lat: FloatArray, *, tile_size: int) -> npt.NDArray[np.bool_]:
        """Tell at which tile centres a level is no finer than 0.8 × the native GSD."""
        return supported(gsd_m(level, lat, tile_size=tile_size), self.place.native_gsd_m(lon, lat))

    def ever_supported(self, level: int, *, tile_size: int) -> bool:
        """Tell whether a level can be supported anywhere, before a fine level's many tiles are listed."""
        # Centres of pixels, for half a pixel around them is looked at, and beyond a pole lies nothing.
        columns, rows = np.meshgrid(np.linspace(0.5, self.width - 0.5, 9), np.linspace(0.5, self.height - 0.5, 9))
        lon, lat = self.place.lonlat(columns.ravel(), rows.ravel())
        # A tenth of leeway: between the samples the native GSD differs a little.
        largest = gsd_m(level, float(np.abs(lat).min()) if lat.min() * lat.max() > 0 else 0.0, tile_size=tile_size)
        return bool(largest >= 0.9 * FINEST_RATIO * np.nanmin(self.place.native_gsd_m(lon, lat)))


@dataclass(frozen=True, slots=True)
class Block:
    """A rectangle of tiles of one level: first column and row, and how many of each."""

    level: int
    x: int
    y: int
    columns: int
    rows: int
    tile_size: int

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.rows * self.tile_size, self.columns * self.tile_size

    @property
    def transform(self) -> Any:
        """Affine transform from pixels to EPSG:3857."""
        size, pixel = tile_size_m(self.level), pixel_size_m(self.level, tile_size=self.tile_size)
        return Affine(pixel, 0.0, self.x * size - HALF_WORLD_M, 0.0, -pixel, HALF_WORLD_M - self.y * size)

    @property
    def bounds_m(self) -> tuple[float, float, float, float]:
        """(west, south, east, north) in EPSG:3857 metres."""
        first, last = self._corner_tiles
        return first.bounds_m[0], last.bounds_m[1], last.bounds_m[2], first.bounds_m[3]

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """(west, south, east, north) in degrees."""
        first, last = self._corner_tiles
        return first.bounds[0], last.bounds[1], last.bounds[2], first.bounds[3]

    @property
    def _corner_tiles(self) -> tuple[Tile, Tile]:
        last = Tile(self.level, self.x + self.columns - 1, self.y + self.rows - 1)
        return Tile(self.level, self.x, self.y), last

    @property
    def centre(self) -> tuple[FloatArray, FloatArray]:
        """(lon, lat) of the middle tile, as arrays of one."""
        return tile_centres(self.level, np.array([self.x + self.columns // 2]), np.array([self.y + self.rows // 2]))


def supported(wanted_gsd_m: FloatArray, native_gsd_m: FloatArray) -> npt.NDArray[np.bool_]:
    """Tell where a ground resolution is no finer than 0.8 × the native one."""
    return wanted_gsd_m >= FINEST_RATIO * native_gsd_m


def describe(source: Source, files: SceneFiles) -> Scene:
    """Open a scene and find out all that reading it needs.

    Raises:
        SourceError: If a file cannot be opened, has no georeference, or has no date where one is expected.
        BandsUnknownError: If red, green and blue cannot be told.
    """
    if files.problem is not None:
        raise SourceError(f"{files.name}: {files.problem}; check bands = {list(source.bands or ())} in the recipe")
    datasets = [_open(str(file)) for file in files.files]
    bands = _choose_bands(source, datasets)
    places = [georeference(dataset) for dataset in datasets]
    outlines = [outline(dataset, place) for dataset, place in zip(datasets, places, strict=True)]
    sizes = [native_gsd_m(dataset, place) for dataset, place in zip(datasets, places, strict=True)]
    # Where files differ, the picture is no finer than the coarsest of them.
    coarsest = sizes.index(max(sizes))
    main = datasets[coarsest]
    return Scene(
        source=source,
        name=files.name,
        bands=bands,
        scale=_choose_scale(source, bands),
        moment=acquisition(source, files.name),
        place=places[coarsest],
        outline_wkb=shapely.to_wkb(outlines[coarsest]),
        width=main.width,
        height=main.height,
        crs_name=crs_name(main),
        native_gsd_m=sizes[coarsest],
        synthetic=main.tags().get("SYNTHETIC", "").upper() == "YES",
    )


def read_block(scene: Scene, block: Block) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    """Warp a block of tiles out of a scene.

    Returns:
        Pixels uint8 (H, W, 3), and where they are valid, bool (H, W).

    Raises:
        SourceError: If the file cannot be read there.
    """
    lon, lat = block.centre
    shrink = float(gsd_m(block.level, lat, tile_size=block.tile_size)[0] / scene.place.native_gsd_m(lon, lat)[0])
    name = scene.source.resampling
    if name == "auto":
        name = "average" if shrink >= SHRINK_TO_AVERAGE else "bilinear"
    overview_shrink = shrink if scene.source.overviews and name != "nearest" else 1.0
    warped = [
        _warp(path, indexes, block, _Warp(name, overview_shrink, scene.source.nodata))
        for path, indexes in _by_file(scene.bands)
    ]
    valid = warped[0][1] if len(warped) == 1 else np.logical_and.reduce([seen for _, seen in warped])
    values = warped[0][0] if len(warped) == 1 else [band for bands, _ in warped for band in bands]
    return _stretch(values, scene.scale), valid


def footprint(path: str) -> Any:
    """Return the polygon in degrees around all pixels of a raster; longitudes may pass ±180°.

    Raises:
        SourceError: If the file cannot be opened or has no georeference.
    """
    dataset = _open(path)
    return outline(dataset, georeference(dataset))


def turned_boxes(bounds: tuple[float, float, float, float]) -> list[Any]:
    """Return a box in degrees as it is and a turn to the west and east: outlines may pass ±180°, tiles never do."""
    west, south, east, north = bounds
    return [shapely.box(west + turn, south, east + turn, north) for turn in TURNS]


def read_classes(path: str, block: Block) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
    """Warp the class codes of a raster's first band, by nearest neighbour.

    Returns:
        Codes (H, W) of the file's own type, and where the raster states one, bool (H, W).

    Raises:
        SourceError: If the file cannot be read there.
    """
    warped, valid = _warp(path, [1], block, _Warp("nearest", shrink=1.0, nodata=None))
    return warped[0], valid


@dataclass(frozen=True, slots=True)
class _Warp:
    """How to warp: resampling, shrinkage that overviews may serve, nodata value given from outside."""

    method: str
    shrink: float
    nodata: float | None


def _warp(
    path: str, indexes: Sequence[int], block: Block, how: _Warp
) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
    """Warp bands of one file; returns (bands, H, W) of its own type and where they are valid."""
    dataset = _open(path, _overview(path, how.shrink))
    alpha = _alpha_band(dataset) if how.nodata is None else None
    # rasterio writes source band n into band n of an array, so the array reaches to the last band asked for;
    # what lies between is never touched, and so takes no memory.
    opacity = max(indexes) + 1
    out = np.zeros((opacity, *block.shape), dtype=dataset.dtypes[indexes[0] - 1])
    try:
        with rasterio.Env():
            reproject(
                rasterio.band(dataset, sorted(set(indexes))),
                out,
                src_crs=dataset.crs or dataset.gcps[1],
                gcps=dataset.gcps[0] or None if dataset.crs is None else None,
                src_nodata=_held(dataset.nodata if how.nodata is None else how.nodata, out.dtype),
                src_alpha=alpha or 0,
                dst_transform=_transform_beside(dataset, block),
                dst_crs="EPSG:3857",
                dst_alpha=opacity,
                resampling=GdalResampling[how.method],
                warp_mem_limit=256,
                # One thread: what goes wrong in GDAL's further threads never reaches us.
                num_threads=1,
            )
    except _READ_ERRORS as error:
        _opened.cache_clear()  # GDAL keeps the error until it next opens a file, and rasterio would report it again
        raise SourceError(
            f"{Path(path).name}: cannot be read around tile {block.level}/{block.x}/{block.y} ({_said(error)}); "
            "the file may be truncated: fetch it again, or leave it out with exclude"
        ) from error
    in_order = list(indexes) == list(range(1, opacity))
    values = out[:-1] if in_order else out[[index - 1 for index in indexes]]
    return values, out[-1] > _alpha_limit(out.dtype)


def _transform_beside(dataset: Any, block: Block) -> Affine:
    """Return a block's transform, moved by a world where only so it meets a raster in EPSG:3857.

    Such rasters may run past the antimeridian, and a projection to itself wraps nothing.
    """
    if dataset.crs is None or dataset.crs.to_epsg() != 3857:
        return block.transform
    west, _, east, _ = block.bounds_m
    turns = (0.0, -2.0 * HALF_WORLD_M, 2.0 * HALF_WORLD_M)
    meeting = (turn for turn in turns if west + turn < dataset.bounds.right and east + turn > dataset.bounds.left)
    plain = block.transform
    return Affine(plain.a, plain.b, plain.c + next(meeting, 0.0), plain.d, plain.e, plain.f)


def _held(nodata: float | None, dtype: np.dtype[Any]) -> float | None:
    """Return a nodata value if a type can hold it; else no pixel has it, and GDAL would refuse it."""
    if nodata is None or np.issubdtype(dtype, np.floating):
        return nodata
    limits = np.iinfo(dtype)
    return nodata if nodata == nodata // 1 and limits.min <= nodata <= limits.max else None


def _alpha_limit(dtype: Any) -> float:
    """Half of what GDAL writes as full opacity into an alpha band of a type."""
    return float({"uint16": 65535, "int16": 32767, "int8": 127}.get(np.dtype(dtype).name, 255)) / 2.0


def _stretch(
    values: npt.NDArray[Any] | Sequence[npt.NDArray[Any]], scale: tuple[tuple[float, float], ...] | None
) -> npt.NDArray[np.uint8]:
    """Scale one or three bands (H, W) to RGB uint8 (H, W, 3), rounding half up; may be a view of the bands."""
    if scale is None:
        bands = np.asarray(values, dtype=np.uint8)
        shown = bands if len(bands) == 3 else np.broadcast_to(bands[0], (3, *bands[0].shape))
        return np.moveaxis(shown, 0, -1)
    out = np.empty((*values[0].shape, 3), dtype=np.uint8)
    for band, (low, high) in enumerate(scale):
        factor = np.float32(255.0 / (high - low))
        scaled = (values[band].astype(np.float32) - np.float32(low)) * factor + np.float32(0.5)
        out[..., band] = np.nan_to_num(np.clip(scaled, 0.0, 255.0))
    for channel in range(len(scale), 3):
        out[..., channel] = out[..., 0]
    return out


def _by_file(bands: Sequence[Band]) -> list[tuple[str, list[int]]]:
    """Join neighbouring bands of one file, so that it is warped once."""
    joined: list[tuple[str, list[int]]] = []
    for band in bands:
        if joined and joined[-1][0] == band.path:
            joined[-1][1].append(band.index)
        else:
            joined.append((band.path, [band.index]))
    return joined


def _open(path: str, overview: int | None = None) -> Any:
    """Open a raster, or one of its overviews; open files are kept until they are replaced on the disk."""
    return _opened(path, overview, _stamp(path))


@lru_cache(maxsize=64)
def _opened(path: str, overview: int | None, stamp: tuple[int, int]) -> Any:
    options = {} if overview is None else {"overview_level": overview}
    try:
        # Inside an Env, GDAL's remarks go to the log instead of the terminal.
        with warnings.catch_warnings(), rasterio.Env():
            warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
            return rasterio.open(path, **options)
    except _READ_ERRORS as error:
        hint = "it is empty" if stamp[0] == 0 else f"GDAL says: {_said(error)}"
        raise SourceError(
            f"{Path(path).name}: not a raster that can be opened ({hint}); fetch it again, or leave it out with exclude"
        ) from error


def _overview(path: str, shrink: float) -> int | None:
    """Return the coarsest overview that is still twice as fine as the target; None for the full raster.

    Overviews made by nearest neighbour alias, so they are never averaged from.
    """
    dataset = _open(path)
    made_by = dataset.tags().get("OVR_RESAMPLING_ALG") or dataset.tags(ns="rio_overview").get("resampling", "")
    if made_by.upper() == "NEAREST":
        return None
    fine = [i for i, factor in enumerate(dataset.overviews(1)) if factor * _OVERVIEW_MARGIN <= shrink]
    return fine[-1] if fine else None


def _alpha_band(dataset: Any) -> int | None:
    return next((i for i, name in enumerate(dataset.colorinterp, 1) if name == ColorInterp.alpha), None)


def _choose_bands(source: Source, datasets: Sequence[Any]) -> tuple[Band, ...]:
    if len(datasets) > 1 or (source.bands and isinstance(source.bands[0], str)):
        return tuple(Band(dataset.name, 1) for dataset in datasets)
    dataset = datasets[0]
    if source.bands is not None:
        numbers = [int(band) for band in source.bands]
        if max(numbers) > dataset.count:
            raise SourceError(
                f"{Path(dataset.name).name}: has {dataset.count} bands, the recipe asks for bands = {numbers} "
                f"in source {source.id!r}"
            )
        return tuple(Band(dataset.name, number) for number in numbers)
    stated = {name: i for i, name in reversed(list(enumerate(dataset.colorinterp, 1)))}
    colours = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
    if all(colour in stated for colour in colours):
        return tuple(Band(dataset.name, stated[colour]) for colour in colours)
    raise BandsUnknownError(_bands_question(source, dataset))


def _bands_question(source: Source, dataset: Any) -> str:
    """Say what to write in the recipe for a raster whose colours cannot be told."""
    name, count = Path(dataset.name).name, dataset.count
    kind = f"{count} band{'s' if count > 1 else ''} of {dataset.dtypes[0]}"
    eight_bit = dataset.dtypes[0] == "uint8"
    scale = "" if eight_bit else " and scale = [0, 3000] (or scale = {percentiles = [2, 98]})"
    if count >= 3:
        described = [f"{i}: {text}" for i, text in enumerate(dataset.descriptions, 1) if text]
        known = f" ({'; '.join(described)})" if described else ""
        write = f"bands = [1, 2, 3]{scale} with the numbers of red, green and blue{known}"
    elif ColorInterp.palette in dataset.colorinterp:
        write = "nothing: a paletted image must be expanded first (gdal_translate -expand rgb)"
    else:
        write = f"bands = [1]{scale} to use it as greyscale imagery, or exclude = [{name!r}] to leave it out"
    return (
        f"{name}: {kind} whose colour interpretation does not name red, green and blue; "
        f"write in source {source.id!r}: {write}"
    )


def _choose_scale(source: Source, bands: Sequence[Band]) -> tuple[tuple[float, float], ...] | None:
    """Return the value pair of each band; other than 8-bit imagery needs one, by default 2–98 % of the scene."""
    given = source.scale
    types = {_open(band.path).dtypes[band.index - 1] for band in bands}
    if any(name.startswith("complex") for name in types):
        raise SourceError(
            f"{Path(bands[0].path).name}: holds complex values; expected real ones (detect amplitude first)"
        )
    if given is None and types == {"uint8"}:
        return None
    if given is None:
        given = Percentiles()
    if isinstance(given, Percentiles):
        return tuple(_percentiles(band, given, nodata=source.nodata) for band in bands)
    pairs = [pair if isinstance(pair, tuple) else given for pair in given]
    return tuple(pairs[min(i, len(pairs) - 1)] for i in range(len(bands)))  # type: ignore[misc]


def _percentiles(band: Band, wanted: Percentiles, *, nodata: float | None) -> tuple[float, float]:
    """Take percentiles of a band's valid values from the whole scene, reduced to 1,024 px by decimation."""
    dataset = _open(band.path)
    ratio = min(1.0, _SAMPLE_PX / max(dataset.width, dataset.height))
    shape = (max(1, round(dataset.height * ratio)), max(1, round(dataset.width * ratio)))
    try:
        values = dataset.read(band.index, out_shape=shape)
        seen = dataset.read_masks(band.index, out_shape=shape) > 0 if nodata is None else values != nodata
    except _READ_ERRORS as error:
        _opened.cache_clear()  # as in _warp
        raise SourceError(
            f"{Path(band.path).name}: cannot be read for its percentiles ({_said(error)}); the file may be "
            "truncated: fetch it again, or leave it out with exclude"
        ) from error
    known = values[seen & np.isfinite(values)]
    if MaskFlags.all_valid in dataset.mask_flag_enums[band.index - 1] and known.any():
        known = known[known != 0]  # an unstated collar of zeros would pull the lower percentile down
    if known.size == 0:
        raise SourceError(f"{Path(band.path).name}: band {band.index} holds no valid value")
    low, high = (float(value) for value in np.percentile(known, wanted.percentiles))
    return (low, high) if high > low else (low, low + 1.0)


def _said(error: BaseException) -> str:
    """Return the innermost message, which is GDAL's own."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error).strip().rstrip(".")


def _stamp(path: str) -> tuple[int, int]:
    """Return size and time of change of a file; −1 for an address."""
    try:
        found = Path(path).stat()
    except OSError:
        return -1, -1
    return found.st_size, found.st_mtime_ns
