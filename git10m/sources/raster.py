"""Scenes of rasters: GeoTIFF, COG, JPEG 2000, VRT and whatever else GDAL opens with a georeference.

A scene is opened once to be described (where it lies, which bands are red, green and blue, how its values become
0–255) and from then on read in blocks of tiles: warping 8×8 tiles at once and slicing them costs a third of warping
each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
import shapely
from rasterio.enums import ColorInterp, MaskFlags

from git10m.errors import BandsUnknownError, SourceError
from git10m.grid import FloatArray, gsd_m
from git10m.recipe import Percentiles, RasterSource, SceneSource, shown
from git10m.remote import gdal_options
from git10m.sources import Moment
from git10m.sources.files import SceneFiles, acquisition
from git10m.sources.georeference import Georeference, crs_name, georeference, native_gsd_m, outline
from git10m.sources.reading import READ_ERRORS, Block, Warp, open_raster, unreadable, warp

__all__ = [
    "Band",
    "Georeference",
    "Scene",
    "SceneMask",
    "describe",
    "footprint",
    "read_block",
    "supported",
    "turned_boxes",
    "value_pairs",
]

FINEST_RATIO = 0.8
"""A level is supported where its true GSD is at least this many native GSDs."""
SHRINK_TO_AVERAGE = 1.5
"""From this shrinkage on, ``resampling = "auto"`` takes the mean over a pixel's area."""
TURNS = (-360.0, 0.0, 360.0)
"""Where an outline that passes ±180° meets tiles."""
_SAMPLE_PX = 1024
"""Side of the reduced scene from which percentiles are taken."""


@dataclass(frozen=True, slots=True)
class Band:
    """One band of one file, counted from 1, and the service that signs the file's address, where one does."""

    path: str
    index: int
    sign: str | None = None


@dataclass(frozen=True, slots=True)
class SceneMask:
    """Pixels that a classification (``classes``) or quality flags (``bits``, 0 is the lowest) make unusable."""

    band: Band
    classes: tuple[int, ...]
    bits: tuple[int, ...]


@dataclass(frozen=True)
class Scene:
    """One scene, described well enough to be read by any process.

    Attributes:
        source: Its source in the recipe.
        name: File name(s) below the recipe's folder, or the item's.
        bands: Red, green, blue; or one band, shown as grey.
        scale: Stored values that become 0 and 255, a pair a band; None for 8-bit values as they are.
        moment: When it was taken.
        place: Georeference of the coarsest of its files.
        outline_wkb: Polygon(s) in degrees around all pixels.
        width: Columns of that file.
        height: Rows of that file.
        crs_name: Short name of the coordinate system.
        native_gsd_m: At the centre, coarser axis.
        synthetic: The file says that it was computed.
        rank: Order within its source and layer, lower first.
        licence: Of this scene.
        attribution: Of this scene.
        platform: ``"satellite"``, ``"aerial"`` or None.
        sensor: Name of the sensor.
        unstated_nodata: Value without data, where neither the recipe nor the file states one.
        mask: What makes pixels unusable.
        cloud: Share of the scene that is cloud, 0–1, as its catalog states.
    """

    source: SceneSource
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
    rank: float
    licence: str | None
    attribution: str | None
    platform: str | None
    sensor: str | None
    unstated_nodata: float | None = None
    mask: SceneMask | None = None
    cloud: float | None = None

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


def supported(wanted_gsd_m: FloatArray, native_gsd_m: FloatArray) -> npt.NDArray[np.bool_]:
    """Tell where a ground resolution is no finer than 0.8 × the native one."""
    return wanted_gsd_m >= FINEST_RATIO * native_gsd_m


def describe(source: RasterSource, files: SceneFiles) -> Scene:
    """Open a scene and find out all that reading it needs.

    Raises:
        SourceError: If a file cannot be opened, has no georeference, or has no date where one is expected.
        BandsUnknownError: If red, green and blue cannot be told.
    """
    if files.problem is not None:
        raise SourceError(f"{files.name}: {files.problem}; check bands = {list(source.bands or ())} in the recipe")
    datasets = [open_raster(file) for file in files.files]
    bands = _choose_bands(source, files.files, datasets)
    places = [georeference(dataset) for dataset in datasets]
    outlines = [outline(dataset, place) for dataset, place in zip(datasets, places, strict=True)]
    sizes = [native_gsd_m(dataset, place) for dataset, place in zip(datasets, places, strict=True)]
    # Where files differ, the picture is no finer than the coarsest of them.
    coarsest = sizes.index(max(sizes))
    main = datasets[coarsest]
    moment = acquisition(source, files.name)
    return Scene(
        source=source,
        name=files.name,
        bands=bands,
        scale=value_pairs(source, bands),
        moment=moment,
        place=places[coarsest],
        outline_wkb=shapely.to_wkb(outlines[coarsest]),
        width=main.width,
        height=main.height,
        crs_name=crs_name(main),
        native_gsd_m=sizes[coarsest],
        synthetic=main.tags().get("SYNTHETIC", "").upper() == "YES",
        rank=-moment.at.timestamp() if moment is not None else 0.0,  # the newest first
        licence=source.licence,
        attribution=source.attribution,
        platform=source.platform,
        sensor=source.sensor,
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
    how = Warp(name, overview_shrink, scene.source.nodata, scene.unstated_nodata)
    warped = [warp(path, indexes, block, replace(how, sign=sign)) for (path, sign), indexes in _by_file(scene.bands)]
    valid = warped[0][1] if len(warped) == 1 else np.logical_and.reduce([seen for _, seen in warped])
    values: Any = warped[0][0] if len(warped) == 1 else [band for bands, _ in warped for band in bands]
    if scene.source.decibels:
        values, valid = _decibels(values, valid)
    elif np.issubdtype(values[0].dtype, np.floating):
        valid = valid & np.logical_and.reduce([np.isfinite(band) for band in values])
    if scene.mask is not None and valid.any():
        valid = valid & _usable(scene.mask, block)
    return _stretch(values, scene.scale), valid


def _decibels(
    values: Sequence[npt.NDArray[Any]], valid: npt.NDArray[np.bool_]
) -> tuple[list[npt.NDArray[np.float32]], npt.NDArray[np.bool_]]:
    """Turn powers into 10·log10 of them; what is not positive is no power. Means were taken of powers, as is right."""
    found = []
    for band in values:
        positive = np.isfinite(band) & (band > 0)
        valid = valid & positive
        found.append((10.0 * np.log10(np.where(positive, band, 1))).astype(np.float32))
    return found, valid


def _usable(mask: SceneMask, block: Block) -> npt.NDArray[np.bool_]:
    """Tell which pixels of a block a mask leaves; where the mask says nothing, nothing is known to be usable."""
    band = mask.band
    warped, known = warp(band.path, [band.index], block, Warp("nearest", sign=band.sign))
    codes = warped[0].astype(np.int64)
    refused = np.isin(codes, mask.classes) | ((codes & sum(1 << bit for bit in mask.bits)) != 0)
    found: npt.NDArray[np.bool_] = known & ~refused
    return found


def footprint(path: str) -> Any:
    """Return the polygon in degrees around all pixels of a raster; longitudes may pass ±180°.

    Raises:
        SourceError: If the file cannot be opened or has no georeference.
    """
    dataset = open_raster(path)
    return outline(dataset, georeference(dataset))


def turned_boxes(bounds: tuple[float, float, float, float]) -> list[Any]:
    """Return a box in degrees as it is and a turn to the west and east: outlines may pass ±180°, tiles never do."""
    west, south, east, north = bounds
    return [shapely.box(west + turn, south, east + turn, north) for turn in TURNS]


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


def _by_file(bands: Sequence[Band]) -> list[tuple[tuple[str, str | None], list[int]]]:
    """Join neighbouring bands of one file, so that it is warped once."""
    joined: list[tuple[tuple[str, str | None], list[int]]] = []
    for band in bands:
        file = (band.path, band.sign)
        if joined and joined[-1][0] == file:
            joined[-1][1].append(band.index)
        else:
            joined.append((file, [band.index]))
    return joined


def _choose_bands(source: RasterSource, files: Sequence[str], datasets: Sequence[Any]) -> tuple[Band, ...]:
    if len(datasets) > 1 or (source.bands and isinstance(source.bands[0], str)):
        return tuple(Band(file, 1) for file in files)
    dataset, (file, *_) = datasets[0], files
    if source.bands is not None:
        numbers = [int(band) for band in source.bands]
        if max(numbers) > dataset.count:
            raise SourceError(
                f"{shown(file)}: has {dataset.count} bands, the recipe asks for bands = {numbers} "
                f"in source {source.id!r}"
            )
        return tuple(Band(file, number) for number in numbers)
    stated = {name: i for i, name in reversed(list(enumerate(dataset.colorinterp, 1)))}
    colours = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
    if all(colour in stated for colour in colours):
        return tuple(Band(file, stated[colour]) for colour in colours)
    raise BandsUnknownError(_bands_question(source, shown(file), dataset))


def _bands_question(source: RasterSource, name: str, dataset: Any) -> str:
    """Say what to write in the recipe for a raster whose colours cannot be told."""
    count = dataset.count
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


def value_pairs(source: SceneSource, bands: Sequence[Band]) -> tuple[tuple[float, float], ...] | None:
    """Return the pair of values of each band that becomes 0 and 255; None for 8-bit values as they are.

    Other than 8-bit imagery needs one, by default 2–98 % of the scene's values.

    Raises:
        SourceError: If a file cannot be read, or holds no valid or no real values.
    """
    given = source.scale
    types = {open_raster(band.path, sign=band.sign).dtypes[band.index - 1] for band in bands}
    if any(name.startswith("complex") for name in types):
        raise SourceError(f"{shown(bands[0].path)}: holds complex values; expected real ones (detect amplitude first)")
    if given is None and types == {"uint8"} and not source.decibels:
        return None
    if given is None:
        given = Percentiles()
    if isinstance(given, Percentiles):
        return tuple(_percentiles(band, given, source) for band in bands)
    pairs = [pair if isinstance(pair, tuple) else given for pair in given]
    return tuple(pairs[min(i, len(pairs) - 1)] for i in range(len(bands)))  # type: ignore[misc]


def _percentiles(band: Band, wanted: Percentiles, source: SceneSource) -> tuple[float, float]:
    """Take percentiles of a band's valid values from the whole scene, reduced to 1,024 px by decimation."""
    dataset = open_raster(band.path, sign=band.sign)
    nodata = source.nodata
    ratio = min(1.0, _SAMPLE_PX / max(dataset.width, dataset.height))
    shape = (max(1, round(dataset.height * ratio)), max(1, round(dataset.width * ratio)))
    try:
        with rasterio.Env(**gdal_options(band.path)):
            values = dataset.read(band.index, out_shape=shape)
            seen = dataset.read_masks(band.index, out_shape=shape) > 0 if nodata is None else values != nodata
    except READ_ERRORS as error:
        raise unreadable(band.path, "for its percentiles", error, sign=band.sign) from error
    known = values[seen & np.isfinite(values)]
    if source.decibels:
        known = 10.0 * np.log10(known[known > 0])
    if MaskFlags.all_valid in dataset.mask_flag_enums[band.index - 1] and known.any():
        known = known[known != 0]  # an unstated collar of zeros would pull the lower percentile down
    if known.size == 0:
        raise SourceError(f"{shown(band.path)}: band {band.index} holds no valid value")
    low, high = (float(value) for value in np.percentile(known, wanted.percentiles))
    return (low, high) if high > low else (low, low + 1.0)
