"""Writing scenes as GeoTIFFs that say what they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.enums import ColorInterp, Resampling

from git10m import __version__
from git10m.synthetic.cover import CLASS_COLOURS, LAND_COVER
from git10m.synthetic.painting import ByteArray, View

__all__ = ["write_land_cover", "write_picture"]

DIGITAL_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/algorithmicMedia"


def write_picture(path: Path, picture: ByteArray, *, view: View, date: str, seed: int) -> Path:
    """Write an RGB picture (H, W, 3) as a tiled GeoTIFF with overviews."""

    def fill(file: Any) -> None:
        file.write(np.moveaxis(picture, 2, 0))
        file.colorinterp = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
        file.update_tags(
            **_tags("Computed imagery of an invented landscape; no place on Earth looks like this", seed),
            TIFFTAG_DATETIME=f"{date.replace('-', ':')} 10:30:00",
        )

    return _write(path, fill, view=view, bands=3, resampling=Resampling.average)


def write_land_cover(path: Path, classes: ByteArray, *, view: View, seed: int) -> Path:
    """Write the classes (H, W) of a view, with their names and colours."""

    def fill(file: Any) -> None:
        file.write(classes, 1)
        file.write_colormap(1, {0: (0, 0, 0, 0)} | {k: (*rgb, 255) for k, rgb in CLASS_COLOURS.items()})
        file.set_band_description(1, "land cover")
        file.update_tags(**_tags("Land cover of an invented landscape, from which its imagery was computed", seed))
        file.update_tags(1, **{f"CLASS_{number}": name for number, name in LAND_COVER.items()})

    return _write(path, fill, view=view, bands=1, resampling=Resampling.mode)


def _tags(description: str, seed: int) -> dict[str, str]:
    return {
        "SYNTHETIC": "YES",
        "TIFFTAG_IMAGEDESCRIPTION": description,
        "TIFFTAG_SOFTWARE": f"git10m {__version__} (git10m.synthetic)",
        "SEED": str(seed),
        "DigitalSourceType": DIGITAL_SOURCE_TYPE,
    }


def _write(path: Path, fill: Callable[[Any], None], *, view: View, bands: int, resampling: Resampling) -> Path:
    """Create a file under a temporary name, add overviews, and give it its name when it is complete."""
    unfinished = path.with_name(path.name + ".part")
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "width": view.size_px,
        "height": view.size_px,
        "count": bands,
        "dtype": "uint8",
        "crs": view.crs,
        "transform": view.transform,
        "tiled": True,
        "blockxsize": 256,
        "blockysize": 256,
        "compress": "deflate",
        "interleave": "pixel",
    }
    if bands == 1:
        profile["nodata"] = 0
    else:
        profile |= {"photometric": "RGB", "predictor": 2}
    with rasterio.open(unfinished, "w", **profile) as file:
        fill(file)
    # reopened, because the palette is only known to GDAL's overviews once it is on disk
    with rasterio.open(unfinished, "r+") as file:
        file.build_overviews(_overview_factors(view.size_px), resampling)
    return unfinished.replace(path)


def _overview_factors(size_px: int) -> list[int]:
    return [factor for factor in (2, 4, 8, 16, 32) if size_px // factor >= 128]
