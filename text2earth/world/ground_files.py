"""A ground as a PNG or GeoTIFF that is marked synthetic, written in strips."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from text2earth.errors import RequestError
from text2earth.provenance import Origin, mark_geotiff, write_png, write_stac_item
from text2earth.world.box import Box
from text2earth.world.grounds import FileGround

__all__ = ["place_of", "refuse_output", "write_ground"]

_BLOCK = 256
_PNG_PIXELS = 1 << 26


def refuse_output(path: Path, area: Box) -> None:
    """Refuse a name that a ground of that size cannot be written to.

    Raises:
        RequestError: If it is neither a PNG nor a GeoTIFF, or a PNG that would be held whole in memory.
    """
    kind = path.suffix.lower()
    if kind not in {".png", ".tif", ".tiff"}:
        raise RequestError(f"--out is {path}; the image is written as .png or .tif")
    if kind == ".png" and area.width * area.height > _PNG_PIXELS:
        raise RequestError(f"a PNG of {area.width}×{area.height} px is too large; give --out {path.stem}.tif")


def place_of(path: Path, area: Box) -> dict[str, Any]:
    """Return coordinate reference system and transform of a ground around a GeoTIFF; of others nothing."""
    import rasterio

    with without_place_warnings(), rasterio.open(path) as source:
        if source.crs is None:
            return {}
        a, b, c, d, e, f = tuple(source.transform)[:6]
        corner = (a * area.x + b * area.y + c, d * area.x + e * area.y + f)
        return {"crs": source.crs, "transform": rasterio.Affine(a, b, corner[0], d, e, corner[1])}


def write_ground(ground: FileGround, path: Path, *, origin: Origin, place: Mapping[str, Any]) -> None:
    """Write what was painted, whole or not at all; what was not is transparent.

    Args:
        ground: What to write.
        path: PNG or GeoTIFF.
        origin: How it was made.
        place: Of a GeoTIFF, see ``place_of``; empty without one.
    """
    whole = all(there.all() for _, _, there in ground.strips(_BLOCK))
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix.lower() == ".png":
        strips = [_bands(pixels, there, whole=whole) for _, pixels, there in ground.strips(_BLOCK)]
        write_png(np.concatenate(strips), path, origin=origin)
        return
    import rasterio
    from rasterio.windows import Window

    area = ground.area
    profile = {"driver": "GTiff", "dtype": "uint8", "count": 3 if whole else 4, "photometric": "RGB", **place}
    profile |= {"tiled": True, "blockxsize": _BLOCK, "blockysize": _BLOCK, "compress": "deflate", "BIGTIFF": "IF_SAFER"}
    profile |= {} if whole else {"ALPHA": "YES"}
    temporary = ground.folder / f"whole{path.suffix}"
    with (
        without_place_warnings(),
        rasterio.Env(GDAL_CACHEMAX=64),
        rasterio.open(temporary, "w", width=area.width, height=area.height, **profile) as target,
    ):
        mark_geotiff(target, origin=origin)
        for box, pixels, there in ground.strips(_BLOCK):
            window = Window(0, box.y - area.y, box.width, box.height)
            target.write(np.moveaxis(_bands(pixels, there, whole=whole), -1, 0), window=window)
    if place:
        write_stac_item(temporary, origin=origin, called=path)
    temporary.replace(path)


def _bands(pixels: Any, there: Any, *, whole: bool) -> Any:
    return pixels if whole else np.dstack([pixels, there * np.uint8(255)])


@contextmanager
def without_place_warnings() -> Iterator[None]:
    """Keep back that a picture has no place on Earth."""
    from rasterio.errors import NotGeoreferencedWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield
