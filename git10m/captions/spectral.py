"""Class rasters from spectral indices: what multispectral imagery itself says of its ground.

A table of scenes gives, for each, its bands and rules; a rule names a class and an interval for each index that it
asks. The first rule whose intervals all hold gives a pixel its class; a pixel that no rule fits stays unknown (0).

    index        formula                                     high for
    ndvi         (nir − red) / (nir + red)                   green vegetation (Rouse et al. 1974)
    ndwi         (green − nir) / (green + nir)               open water (McFeeters 1996)
    mndwi        (green − swir) / (green + swir)             open water, snow (Xu 2006)
    brightness   mean of red, green, blue, after the scale   cloud, snow, sand
    redness      (red − blue) / (red + blue)                 bare ground; negative: water, haze
    greenness    (2·green − red − blue) / (sum of the three) leaves, where there is no near infrared
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
import numpy.typing as npt
import rasterio
from pydantic import Field, TypeAdapter, ValidationError, model_validator
from rasterio.enums import MaskFlags

from git10m.errors import RecipeError, SourceError
from git10m.recipe.reading import filled_toml
from git10m.recipe.values import Byte, Interval, Paths, Table
from git10m.sources.files import RASTER_SUFFIXES, expand
from git10m.sources.reading import READ_ERRORS, unreadable

__all__ = ["ClassRule", "ClassScene", "ClassTable", "classify", "load_class_table", "write_class_rasters"]

FloatArray = npt.NDArray[np.float64]
Band = Literal["red", "green", "blue", "nir", "swir"]
Index = Literal["ndvi", "ndwi", "mndwi", "brightness", "redness", "greenness"]

_NEEDS: Mapping[Index, tuple[Band, ...]] = {
    "ndvi": ("nir", "red"),
    "ndwi": ("green", "nir"),
    "mndwi": ("green", "swir"),
    "brightness": ("red", "green", "blue"),
    "redness": ("red", "blue"),
    "greenness": ("red", "green", "blue"),
}


class ClassRule(Table):
    """What a pixel must be like to be of a class.

    Attributes:
        code: Of the class, 1–255.
        when: The interval of each index that it asks, ends included.
    """

    code: Annotated[Byte, Field(ge=1)]
    when: Annotated[dict[Index, Interval], Field(min_length=1)]


class ClassScene(Table):
    """Scenes that are classified alike.

    Attributes:
        path: Raster(s): a file, folder or glob. With ``files``, the one folder that they lie in.
        files: One file a band, in the order of ``bands``, for a scene that is so delivered.
        bands: Number of each band, counted from 1.
        scale: Values that are 0 and 1 for ``brightness``.
        rules: The first that holds counts.
    """

    path: Paths
    files: tuple[str, ...] = ()
    bands: dict[Band, Annotated[int, Field(ge=1)]]
    scale: Interval = (0.0, 255.0)
    rules: Annotated[tuple[ClassRule, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _bands_suffice(self) -> Self:
        for rule in self.rules:
            for index in rule.when:
                if missing := [band for band in _NEEDS[index] if band not in self.bands]:
                    raise ValueError(f"{index} needs the band {missing[0]}; bands are {', '.join(self.bands)}")
        return self


class ClassTable(Table):
    """A whole table.

    Attributes:
        scene: Its scenes.
    """

    scene: Annotated[tuple[ClassScene, ...], Field(min_length=1)]


def load_class_table(path: Path, *, variables: Mapping[str, str] | None = None) -> ClassTable:
    """Read a table of scenes and rules.

    Args:
        path: TOML file; relative paths in it are taken from the current folder.
        variables: Values of ``${NAME}``.

    Raises:
        RecipeError: If it cannot be read, a key is unknown, a variable is missing, or a rule asks an index whose
            bands are not there.
    """
    filled = filled_toml(path, variables=variables or {})
    try:
        return TypeAdapter(ClassTable).validate_python(filled)
    except ValidationError as error:
        said = [f"{'.'.join(map(str, found['loc']))}: {found['msg']}" for found in error.errors()]
        raise RecipeError(f"{path}: " + "; ".join(said)) from error


def classify(bands: Mapping[Band, FloatArray], *, scene: ClassScene) -> npt.NDArray[np.uint8]:
    """Return the class code of each pixel, uint8 (H, W); 0 where no rule holds.

    Args:
        bands: Values (H, W) of each band.
        scene: Its rules.
    """
    asked = {index: _index(index, bands, scale=scene.scale) for rule in scene.rules for index in rule.when}
    codes = np.zeros(next(iter(bands.values())).shape, dtype=np.uint8)
    for rule in scene.rules:
        holds = codes == 0
        for index, (low, high) in rule.when.items():
            holds &= (asked[index] >= low) & (asked[index] <= high)
        codes[holds] = rule.code
    return codes


def write_class_rasters(table: ClassTable, *, folder: Path) -> dict[str, dict[int, float]]:
    """Write a class raster for every scene, on its own grid; 0 is unknown ground and nodata.

    Args:
        table: Scenes and rules.
        folder: Made where there is none. A raster keeps its scene's name, so that a date in it stays.

    Returns:
        For each raster written, the share of the scene's valid pixels that each code has.

    Raises:
        RecipeError: If a path leads to no file, or two scenes have one name.
        SourceError: If a file cannot be read, or has no such band.
    """
    folder.mkdir(parents=True, exist_ok=True)
    shares: dict[str, dict[int, float]] = {}
    for scene in table.scene:
        for name, files in _scenes(scene):
            if name in shares:
                raise RecipeError(f"two scenes are called {name}; each class raster is named after its scene")
            shares[name] = _write(scene, files=files, path=folder / name)
    return shares


def _index(index: Index, bands: Mapping[Band, FloatArray], *, scale: Interval) -> FloatArray:
    if index in {"brightness", "greenness"}:
        red, green, blue = bands["red"], bands["green"], bands["blue"]
        if index == "greenness":
            return _ratio(2.0 * green - red - blue, red + green + blue)
        return ((red + green + blue) / 3.0 - scale[0]) / (scale[1] - scale[0])
    first, second = (bands[band] for band in _NEEDS[index])
    return _ratio(first - second, first + second)


def _ratio(above: FloatArray, below: FloatArray) -> FloatArray:
    return np.divide(above, below, out=np.zeros_like(above), where=below > 0)


def _scenes(scene: ClassScene) -> list[tuple[str, tuple[str, ...]]]:
    """Return (name of the class raster, files) of each scene that an entry stands for."""
    if scene.files:
        folder = Path(scene.path if isinstance(scene.path, str) else scene.path[0])
        return [(f"{Path(scene.files[0]).stem}.tif", tuple(str(folder / file) for file in scene.files))]
    found = expand(scene.path, suffixes=RASTER_SUFFIXES)
    if not found:
        raise RecipeError(f"{scene.path!r} matches no raster file; check the path")
    return [(f"{Path(name).stem}.tif", (file,)) for name, file in found]


def _write(scene: ClassScene, *, files: Sequence[str], path: Path) -> dict[int, float]:
    bands, valid, profile = _read(scene, files=files)
    codes = np.where(valid, classify(bands, scene=scene), 0).astype(np.uint8)
    fresh = path.with_suffix(".part")
    with rasterio.open(
        fresh,
        "w",
        driver="GTiff",
        height=codes.shape[0],
        width=codes.shape[1],
        count=1,
        dtype="uint8",
        nodata=0,
        compress="deflate",
        crs=profile["crs"],
        transform=profile["transform"],
    ) as file:
        file.write(codes, 1)
    fresh.replace(path)
    total = max(1, int(valid.sum()))
    counts = np.bincount(codes[valid], minlength=1)
    return {code: round(int(count) / total, 4) for code, count in enumerate(counts) if count}


def _read(
    scene: ClassScene, *, files: Sequence[str]
) -> tuple[dict[Band, FloatArray], npt.NDArray[np.bool_], Mapping[str, object]]:
    """Return the bands, where all of them hold data, and the grid of a scene."""
    bands: dict[Band, FloatArray] = {}
    valid: npt.NDArray[np.bool_] | None = None
    for name, number in scene.bands.items():
        file, band = (files[number - 1], 1) if scene.files else (files[0], number)
        try:
            with rasterio.open(file) as opened:
                if band > opened.count:
                    raise SourceError(f"{file} has {opened.count} bands; the table asks for band {band} as {name}")
                bands[name] = opened.read(band).astype(np.float64)
                mask = _holds_data(opened, band, bands[name])
                profile = {"crs": opened.crs, "transform": opened.transform}
        except READ_ERRORS as error:
            raise unreadable(file, "as a scene to classify", error) from error
        valid = mask if valid is None else valid & mask
    if valid is None:
        raise RecipeError(f"{files[0]}: no bands are named")
    return bands, valid, profile


def _holds_data(opened: Any, band: int, values: FloatArray) -> npt.NDArray[np.bool_]:
    """Return where a band holds data: by its nodata value, else by the file's own mask.

    An alpha band is no mask here: writers call the fourth band so, whatever it holds, and it may be near infrared.
    """
    if opened.nodata is not None:
        known: npt.NDArray[np.bool_] = values != opened.nodata
        return known
    flags = opened.mask_flag_enums[band - 1]
    if MaskFlags.alpha in flags or MaskFlags.all_valid in flags:
        return np.ones(values.shape, dtype=np.bool_)
    masked: npt.NDArray[np.bool_] = opened.read_masks(band) > 0
    return masked
