"""Painting: what a sensor sees of the landscape on its own pixel grid, and the land cover that it saw."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyproj
import rasterio.features
import shapely
from rasterio.transform import Affine

from git10m.synthetic import cover as c
from git10m.synthetic.cover import DATES, LAND_COVER
from git10m.synthetic.landscape import Landscape
from git10m.synthetic.surfaces import FloatArray, Points, fractal_noise, hill_shade, stream_of_numbers

__all__ = ["ByteArray", "View", "paint"]

ByteArray = npt.NDArray[np.uint8]
IndexArray = npt.NDArray[np.int32]

OVERSAMPLING = 2
BLOCK_PX = 384
HALO_PX = 8
SUNS = ((148.0, 54.0), (158.0, 47.0))
"""Azimuth and elevation of the sun at each date, in degrees."""
HAZE_COLOUR = (142.0, 158.0, 180.0)
DEEP = ((14.0, 38.0, 58.0), (12.0, 36.0, 54.0))
SHALLOW = ((62.0, 112.0, 112.0), (58.0, 108.0, 106.0))

_FINE = {c.WATER: 0.025, c.FOREST: 0.20, c.FARMLAND: 0.035, c.GRASSLAND: 0.07, c.BUILT_UP: 0.05, c.ROAD: 0.02}
_FINE |= {c.SAND: 0.04, c.BARE: 0.10}
_PATCHY = {
    c.WATER: 0.01,
    c.FOREST: 0.085,
    c.FARMLAND: 0.055,
    c.GRASSLAND: 0.085,
    c.BUILT_UP: 0.02,
    c.ROAD: 0.01,
}
_PATCHY |= {c.SAND: 0.03, c.BARE: 0.08}
_DRY = {c.FOREST: 3.5, c.FARMLAND: 2.0, c.GRASSLAND: 6.0, c.BARE: 4.0}


@dataclass(frozen=True, slots=True)
class View:
    """One sensor over the landscape.

    Args:
        name: Part of the file names.
        crs: CRS of its pixels, as ``"EPSG:n"``.
        transform: Pixel to CRS, north up.
        size_px: Columns and rows.
        gsd_m: Ground size of a pixel, metres.
        haze: Share of the light that comes from the air, 0–1.
        noise: Standard deviation of the sensor's noise, digital numbers.
    """

    name: str
    crs: str
    transform: Affine
    size_px: int
    gsd_m: float
    haze: float
    noise: float

    def at(self, column: float, row: float) -> tuple[float, float]:
        """Return the coordinates of a pixel corner in the view's CRS."""
        return self.transform.c + column * self.transform.a, self.transform.f + row * self.transform.e


@dataclass(frozen=True, slots=True)
class _Block:
    """A rectangle of pixels of a view, halo included: first row and column, rows and columns."""

    row: int
    column: int
    rows: int
    columns: int


@dataclass(frozen=True)
class _Canvas:
    """All that blocks of one view share."""

    view: View
    landscape: Landscape
    projected: str
    shapes: np.ndarray
    tree: shapely.STRtree
    to_projected: pyproj.Transformer
    shades: tuple[FloatArray, ...]
    fine: FloatArray


def paint(view: View, landscape: Landscape, *, projected: str, seed: int) -> tuple[tuple[ByteArray, ...], ByteArray]:
    """Paint a view, a block at a time.

    Args:
        view: The sensor.
        landscape: What lies below it.
        projected: CRS of the landscape's metres.
        seed: Source of texture and sensor noise.

    Returns:
        One RGB picture (H, W, 3) a date, and the land cover (H, W) that all of them show.
    """
    canvas = _prepare(view, landscape, projected=projected, seed=seed)
    size = view.size_px
    pictures = tuple(np.empty((size, size, 3), dtype=np.uint8) for _ in DATES)
    classes = np.empty((size, size), dtype=np.uint8)
    numbers = stream_of_numbers(seed, f"sensor {view.name}")
    for row in range(0, size, BLOCK_PX):
        for column in range(0, size, BLOCK_PX):
            rows, columns = min(BLOCK_PX, size - row), min(BLOCK_PX, size - column)
            block = _Block(row - HALO_PX, column - HALO_PX, rows + 2 * HALO_PX, columns + 2 * HALO_PX)
            colours, seen = _paint_block(canvas, block)
            here = np.s_[row : row + rows, column : column + columns]
            classes[here] = seen
            for picture, colour in zip(pictures, colours, strict=True):
                picture[here] = _sense(view, colour, numbers)
    return pictures, classes


def _prepare(view: View, landscape: Landscape, *, projected: str, seed: int) -> _Canvas:
    forward = pyproj.Transformer.from_crs(projected, view.crs, always_xy=True)
    shapes = landscape.drawing.shapes
    if view.crs != projected:
        shapes = shapely.transform(shapes, lambda xy: np.stack(forward.transform(*xy.T), axis=1))
    size = view.size_px + 2 * HALO_PX
    fine = fractal_noise(
        (size, size),
        spacing_m=view.gsd_m,
        wavelengths_m=(2.0 * view.gsd_m, max(16.0, 5.0 * view.gsd_m)),
        hurst=-0.7,
        rng=stream_of_numbers(seed, f"fine {view.name}"),
    )
    return _Canvas(
        view=view,
        landscape=landscape,
        projected=projected,
        shapes=shapes,
        tree=shapely.STRtree(shapes),
        to_projected=pyproj.Transformer.from_crs(view.crs, projected, always_xy=True),
        shades=tuple(hill_shade(landscape.terrain.height_m, sun=sun, exaggeration=1.3) for sun in SUNS),
        fine=fine,
    )


def _corners(canvas: _Canvas, block: _Block) -> Points:
    """Return the projected corners (4, 2) of a block: north-west, south-west, south-east, north-east."""
    rows = np.array([0, block.rows, block.rows, 0]) + block.row
    columns = np.array([0, 0, block.columns, block.columns]) + block.column
    places = [canvas.view.at(column, row) for column, row in zip(columns, rows, strict=True)]
    return np.stack(canvas.to_projected.transform(*np.array(places).T), axis=1)


def _paint_block(canvas: _Canvas, block: _Block) -> tuple[list[FloatArray], ByteArray]:
    """Return the block's colours (h, w, 3) at each date, 0–255, and its classes (h, w), without halo."""
    corners = _corners(canvas, block)
    paints, inland = _lay_paints(canvas, block, corners)
    drawing = canvas.landscape.drawing
    classes = _majority(drawing.cover[paints])
    detail = _texture(canvas, block, corners, classes=classes, paints=paints)
    frame, terrain = canvas.landscape.terrain.frame, canvas.landscape.terrain
    shape = (block.rows, block.columns)
    moisture = frame.warp(terrain.moisture, corners, shape)
    dryness = _table(_DRY)[classes] * -moisture
    sea = _shrink(paints == c.SEA)
    offshore = _shrink(np.maximum(-inland, 0.0))
    inner = np.s_[HALO_PX:-HALO_PX, HALO_PX:-HALO_PX]
    colours = []
    for date, sun in enumerate(SUNS):
        albedo = _mean_colour(drawing.colours[date], paints)
        if sea.any():
            albedo += sea[..., None] * (_sea_colour(date, offshore) - drawing.colours[date, c.SEA])
        light = detail * (0.3 + 0.7 * frame.warp(canvas.shades[date], corners, shape))
        light *= 1.0 - 0.42 * _shrink(_cast_shadow(drawing.tall_m[paints], canvas.view, sun))
        albedo += dryness[..., None] * np.array([1.0, 0.35, -0.2], dtype=np.float32)
        colours.append((albedo * light[..., None])[inner])
    return colours, classes[inner]


def _lay_paints(canvas: _Canvas, block: _Block, corners: Points) -> tuple[IndexArray, FloatArray]:
    """Return the paint of every sample (2h, 2w), and its distance behind the shore."""
    factor = OVERSAMPLING
    shape = (block.rows * factor, block.columns * factor)
    view = canvas.view
    west, north = view.at(block.column, block.row)
    # written out: affine is renaming the operator that composes transforms
    fine_grid = Affine(view.transform.a / factor, 0.0, west, 0.0, view.transform.e / factor, north)
    drawn = _rasterize(canvas, fine_grid, shape)
    terrain = canvas.landscape.terrain
    inland, woodland = (terrain.frame.warp(grid, corners, shape) for grid in (terrain.inland_m, terrain.woodland))
    rock, moisture = (
        _grow(terrain.frame.warp(grid, corners, (block.rows, block.columns)))
        for grid in (terrain.rock, terrain.moisture)
    )
    ragged = woodland + 0.12 * _grow(_fine_part(canvas, block))
    paints = np.where(drawn > 0, drawn, c.GRASS).astype(np.int32)
    bare = drawn == 0
    # conifers stand on the drier, higher ground
    conifer = 0.5 * woodland - 0.9 * moisture > 0.75
    paints[bare & (ragged > 0.0)] = c.BROADLEAF
    paints[bare & (ragged > 0.0) & conifer] = c.CONIFER
    paints[bare & (rock > 0.0)] = c.ROCK
    paints[bare & (inland < 38.0 + 9.0 * moisture)] = c.BEACH
    paints[(inland < 0.0) & ~canvas.landscape.drawing.over_water[paints]] = c.SEA
    return paints, inland


def _rasterize(canvas: _Canvas, transform: Affine, shape: tuple[int, int]) -> IndexArray:
    """Burn the paints of all shapes that touch a window, in painting order; 0 where none is."""
    west, north = transform.c, transform.f
    east, south = west + shape[1] * transform.a, north + shape[0] * transform.e
    found = np.sort(canvas.tree.query(shapely.box(west, south, east, north)))
    shapes = canvas.shapes[found]
    # rivers and road networks run on far outside; a margin keeps the cut edges out of sight
    spread = shapely.get_num_coordinates(shapes) > 100
    margin = 8.0 * transform.a
    shapes[spread] = shapely.clip_by_rect(shapes[spread], west - margin, south - margin, east + margin, north + margin)
    kept = ~shapely.is_empty(shapes)
    if not kept.any():
        return np.zeros(shape, dtype=np.int32)
    found, shapes = found[kept], shapes[kept]
    burnt: IndexArray = rasterio.features.rasterize(
        zip(shapes, canvas.landscape.drawing.paints[found].tolist(), strict=True),
        out_shape=shape,
        transform=transform,
        dtype="int32",
    )
    return burnt


def _texture(canvas: _Canvas, block: _Block, corners: Points, *, classes: ByteArray, paints: IndexArray) -> FloatArray:
    """Return the relative brightness (h, w) inside classes: crowns, rows of crops, patches of soil."""
    shape = (block.rows, block.columns)
    terrain = canvas.landscape.terrain
    fine = _fine_part(canvas, block)
    mottle = terrain.frame.warp(terrain.mottle, corners, shape)
    brightness = 1.0 + _table(_FINE)[classes] * fine + _table(_PATCHY)[classes] * mottle
    brightness += _stripes(canvas, corners, paints[::OVERSAMPLING, ::OVERSAMPLING])
    return np.asarray(np.clip(brightness, 0.35, 1.8), dtype=np.float32)


def _stripes(canvas: _Canvas, corners: Points, paints: IndexArray) -> FloatArray:
    """Return rows of crops, weaker the fewer pixels a period has (the pixel's sinc)."""
    angle, period, amplitude = np.moveaxis(canvas.landscape.drawing.rows[paints], -1, 0)
    period = np.maximum(period, 1.0)
    gain = amplitude * np.where(period > 2.0 * canvas.view.gsd_m, np.sinc(canvas.view.gsd_m / period), 0.0)
    if not gain.any():
        return np.zeros(paints.shape, dtype=np.float32)
    v, u = np.meshgrid(
        (np.arange(paints.shape[0]) + 0.5) / paints.shape[0],
        (np.arange(paints.shape[1]) + 0.5) / paints.shape[1],
        indexing="ij",
    )
    nw, sw, se, ne = corners - canvas.landscape.terrain.frame.centre
    across = np.zeros(paints.shape)
    for axis, weight in ((0, -np.sin(angle)), (1, np.cos(angle))):
        top, bottom = nw[axis] + u * (ne[axis] - nw[axis]), sw[axis] + u * (se[axis] - sw[axis])
        across += weight * (top + v * (bottom - top))
    return np.asarray(gain * np.sin(2.0 * math.pi * across / period), dtype=np.float32)


def _sea_colour(date: int, offshore: FloatArray) -> FloatArray:
    """Return the colour of the sea (h, w, 3): pale over the sand, dark beyond, a line of surf."""
    pale = np.exp(-offshore / 170.0)[..., None]
    colour = np.array(DEEP[date], dtype=np.float32) * (1.0 - pale) + np.array(SHALLOW[date], dtype=np.float32) * pale
    surf = np.exp(-(((offshore - 7.0) / 6.0) ** 2))[..., None]
    return np.asarray(colour + 75.0 * surf, dtype=np.float32)


def _cast_shadow(tall_m: FloatArray, view: View, sun: tuple[float, float]) -> npt.NDArray[np.bool_]:
    """Tell which samples lie in the shadow of something taller between them and the sun."""
    azimuth, elevation = (math.radians(angle) for angle in sun)
    step_m = view.gsd_m / OVERSAMPLING
    fall = step_m * math.tan(elevation)
    shadow = np.zeros(tall_m.shape, dtype=np.bool_)
    for step in range(1, int(13.0 / fall) + 1):
        rows, columns = round(step * math.cos(azimuth)), round(-step * math.sin(azimuth))
        # np.roll wraps round within the halo, which is cut off afterwards
        shadow |= np.roll(tall_m, (rows, columns), axis=(0, 1)) - step * fall > tall_m
    return shadow


def _sense(view: View, colour: FloatArray, numbers: np.random.Generator) -> ByteArray:
    """Return digital numbers: haze, then noise shared by the bands and noise of each band."""
    seen = colour * (1.0 - view.haze) + view.haze * np.array(HAZE_COLOUR, dtype=np.float32)
    rows, columns = colour.shape[:2]
    seen += view.noise * numbers.standard_normal((rows, columns, 1), dtype=np.float32)
    seen += 0.6 * view.noise * numbers.standard_normal((rows, columns, 3), dtype=np.float32)
    return np.asarray(np.clip(np.rint(seen), 1, 255), dtype=np.uint8)


def _table(values: dict[int, float]) -> FloatArray:
    return np.array([values.get(number, 0.0) for number in range(len(LAND_COVER) + 1)], dtype=np.float32)


def _fine_part(canvas: _Canvas, block: _Block) -> FloatArray:
    row, column = block.row + HALO_PX, block.column + HALO_PX
    part: FloatArray = canvas.fine[row : row + block.rows, column : column + block.columns]
    return part


def _grow(values: FloatArray) -> FloatArray:
    return np.asarray(values.repeat(OVERSAMPLING, axis=0).repeat(OVERSAMPLING, axis=1), dtype=np.float32)


def _samples(values: npt.NDArray[np.generic]) -> list[npt.NDArray[np.generic]]:
    """Return the four samples of every pixel, each (h, w)."""
    return [values[row::OVERSAMPLING, column::OVERSAMPLING] for row in range(2) for column in range(2)]


def _shrink(values: npt.NDArray[np.generic]) -> FloatArray:
    """Average the samples of every pixel."""
    total = sum(sample.astype(np.float32) for sample in _samples(values))
    return np.asarray(total / np.float32(OVERSAMPLING**2), dtype=np.float32)


def _mean_colour(colours: FloatArray, paints: IndexArray) -> FloatArray:
    total = sum(colours[sample] for sample in _samples(paints))
    return np.asarray(total / np.float32(OVERSAMPLING**2), dtype=np.float32)


def _majority(classes: ByteArray) -> ByteArray:
    """Return the most frequent class among the samples of each pixel; of equals, the later in the list."""
    samples = _samples(classes)
    votes = np.stack([sum((sample == number).astype(np.uint8) for sample in samples) for number in LAND_COVER])
    return np.asarray(len(LAND_COVER) - votes[::-1].argmax(axis=0), dtype=np.uint8)
