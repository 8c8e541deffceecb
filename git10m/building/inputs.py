"""Before the first tile: scenes written or found, described, and the fingerprint of all that goes in."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import PIL
import pyarrow
import pyproj
import rasterio
import shapely
from pyproj.exceptions import ProjError

import git10m
from git10m.captions.facts import FactFinder
from git10m.captions.template import VERSION as TEMPLATE_VERSION
from git10m.catalog import fill_from_catalog
from git10m.engine import lock
from git10m.errors import BandsUnknownError, BuildError, RecipeError, SourceError
from git10m.recipe import Recipe, Source
from git10m.region import area_of
from git10m.sources.files import SceneFiles, expand, find_scenes
from git10m.sources.mosaic import Mosaic, group_scenes
from git10m.sources.raster import Scene, describe

__all__ = ["Inputs", "Item", "gather", "versions", "without_folders"]

_WHOLE_BYTES = 16 * 2**20
_SAMPLES, _SAMPLE_BYTES = 16, 2**16


@dataclass(frozen=True, slots=True)
class Item:
    """One scene as the build found it.

    Attributes:
        source_id: Source of the recipe.
        name: Name of the scene.
        files: What it was found as.
        scene: Its description; None where it cannot be used.
        error: Why not.
        refused: The fault is the recipe's (colours not told), not the file's.
    """

    source_id: str
    name: str
    files: tuple[Path, ...]
    scene: Scene | None
    error: str | None = None
    refused: bool = False


@dataclass(frozen=True)
class Inputs:
    """All that a build starts from.

    Attributes:
        recipe: With absolute paths and catalog entries filled in.
        items: Every scene that was found, readable or not.
        mosaic: The readable ones, in groups.
        area: Area of interest in degrees, or None.
        identity: What the fingerprint is made of, as JSON.
    """

    recipe: Recipe
    items: tuple[Item, ...]
    mosaic: Mosaic
    area: Any
    identity: Mapping[str, Any]

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the identity."""
        text = json.dumps(self.identity, sort_keys=True, ensure_ascii=False, default=str)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def scene_digests(self) -> tuple[str, ...]:
        """Digest of the content of each scene of the mosaic."""
        scenes = self.identity["scenes"]
        usable = (item for item in self.items if item.scene is not None)
        return tuple("/".join(scenes[f"{item.source_id}/{item.name}"]) for item in usable)


def gather(recipe: Recipe, *, root: Path, scenes: Path, limit: int | None = None) -> Inputs:
    """Write computed scenes, find and describe all scenes, and take their fingerprint.

    Args:
        recipe: As loaded.
        root: Folder that relative paths start from.
        scenes: Where computed scenes go.
        limit: Most tiles of the build; part of its identity.

    Raises:
        RecipeError: If a path leads to nothing, or no scene can be used and the recipe is to blame.
        BuildError: If no scene can be read, or one cannot and the recipe says ``on_error = "stop"``.
    """
    if recipe.synthetic is not None:
        _write_scenes(recipe, scenes)
    located = recipe.located(root, scenes=scenes)
    located = located.model_copy(update={"source": tuple(fill_from_catalog(source) for source in located.source)})
    if located.captions.land_cover is not None or located.captions.areas:
        FactFinder(located.captions)  # a wrong layer is told now, not after hours of cutting tiles
    items = tuple(_describe_all(located))
    usable = tuple(item.scene for item in items if item.scene is not None)
    if not usable:
        _nothing_usable(items)
    mosaic = Mosaic(
        scenes=usable,
        groups=tuple(group_scenes(usable, source_order=[source.id for source in located.source])),
        tile_size=located.tiles.size,
        oversample=located.tiles.oversample,
        fill=located.image.fill,
    )
    area = area_of(located.region) if located.region is not None else None
    return Inputs(located, items, mosaic, area, _identity(located, items, area, limit))


def versions() -> dict[str, str]:
    """Return the versions of all that decides about bytes."""
    return {
        "git10m": git10m.__version__,
        "template": TEMPLATE_VERSION,
        "python": platform.python_version(),
        "numpy": numpy.__version__,
        "pillow": PIL.__version__,
        "pyarrow": pyarrow.__version__,
        "pyproj": pyproj.__version__,
        "proj": pyproj.proj_version_str,
        "rasterio": rasterio.__version__,
        "gdal": rasterio.__gdal_version__,
        "shapely": shapely.__version__,
    }


def _write_scenes(recipe: Recipe, folder: Path) -> None:
    from git10m.synthetic import write_scenes  # noqa: PLC0415 - only recipes without imagery of their own need it

    assert recipe.synthetic is not None
    done = folder / "done.json"
    wanted = json.dumps({"seed": recipe.synthetic.seed, "size_px": recipe.synthetic.size_px, **versions()})
    folder.mkdir(parents=True, exist_ok=True)
    with lock(folder / "lock", wait=True):  # ranks of one job start together
        if done.exists() and done.read_text(encoding="utf-8") == wanted:
            return
        write_scenes(folder, seed=recipe.synthetic.seed, size_px=recipe.synthetic.size_px)
        done.write_text(wanted, encoding="utf-8")


def _describe_all(recipe: Recipe) -> Iterator[Item]:
    for source in recipe.source:
        for files in find_scenes(source):
            yield _describe_one(source, files, stop=recipe.on_error == "stop")


def _describe_one(source: Source, files: SceneFiles, *, stop: bool) -> Item:
    try:
        return Item(source.id, files.name, files.files, describe(source, files))
    except SourceError as error:
        refused, message = isinstance(error, BandsUnknownError), without_folders(str(error), files.files)
    except ProjError as error:
        refused, message = (
            False,
            (
                f"{files.name}: its coordinate system cannot be brought to longitude and latitude ({error}); "
                "set the right one with gdal_edit -a_srs, or leave the file out with exclude"
            ),
        )
    if stop:
        kind = RecipeError if refused else BuildError
        raise kind(f"{message} (the recipe says on_error = 'stop')")
    return Item(source.id, files.name, files.files, None, message, refused)


def without_folders(message: str, files: Iterable[Path]) -> str:
    """Cut this machine's folders out of a message about files, so that it reads the same on any."""
    for folder in {str(file.parent) for file in files}:
        message = message.replace(f"{folder}/", "")
    return message


def _nothing_usable(items: tuple[Item, ...]) -> None:
    if not items:
        raise RecipeError("no scene is left: exclude leaves out every file that path finds")
    reasons = "\n".join(f"  {item.error}" for item in items[:10])
    more = f"\n  … and {len(items) - 10} more" if len(items) > 10 else ""
    kind = RecipeError if any(item.refused for item in items) else BuildError
    raise kind(f"none of {len(items)} scenes can be used:\n{reasons}{more}")


def _identity(recipe: Recipe, items: tuple[Item, ...], area: Any, limit: int | None) -> dict[str, Any]:
    # What to do about a fault is no part of what is built, so it may be changed after one.
    said = {name: value for name, value in recipe.canonical().items() if name != "on_error"}
    layers = {
        f"{number}/{name}": _digest(file)
        for number, layer in enumerate((recipe.captions.land_cover, *recipe.captions.areas))
        if layer is not None
        for name, file in expand(layer.path)
    }
    return {
        "recipe": said,
        "scenes": {f"{item.source_id}/{item.name}": [_digest(file) for file in _contents(item)] for item in items},
        "layers": layers,
        "area": hashlib.sha256(shapely.to_wkb(area)).hexdigest() if area is not None else None,
        "limit": limit,
        "versions": versions(),
    }


def _contents(item: Item) -> list[Path]:
    """List the files that a scene's pixels come from: masks and overviews beside them, and what a VRT refers to."""
    if item.scene is None:
        return list(item.files)
    found: dict[str, None] = {}
    for file in item.files:
        with rasterio.open(file) as dataset:
            found.update(dict.fromkeys(dataset.files or [str(file)]))
    # Other programs leave statistics there whenever they look at a file.
    return [Path(name) for name in found if not name.endswith(".aux.xml")]


def _digest(path: Path) -> str:
    """Return a digest of a file's content: all of it up to 16 MiB, else its size and 16 samples of 64 KiB.

    Sampling keeps the start of a build over terabytes short; a file that is edited in place without a change of
    size can escape it.
    """
    try:
        size = path.stat().st_size
        digest = hashlib.sha256(str(size).encode())
        with path.open("rb") as file:
            if size <= _WHOLE_BYTES:
                digest.update(file.read())
            else:
                for i in range(_SAMPLES):
                    file.seek((size - _SAMPLE_BYTES) * i // (_SAMPLES - 1))
                    digest.update(file.read(_SAMPLE_BYTES))
    except OSError as error:
        return f"unreadable: {error.strerror}"
    return digest.hexdigest()
