"""A synthetic planet: any tile of any zoom, on demand, always the same pixels.

The world is painted in stages. The first has no parent, or a raster of the user's; each further one is ``factor``
times finer and painted from the one before, whose pixels are the means of its own. A zoom between two stages is the
box mean of the next finer one.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch

from git10m.grid import MAX_LEVEL
from text2earth.errors import ModelError, WorldError
from text2earth.provenance import Origin
from text2earth.world.areas import NO_AREAS, AreaPrompts, Areas, read_areas
from text2earth.world.base_map import BaseMap
from text2earth.world.box import Box
from text2earth.world.cache import BlockCache, BlockKey
from text2earth.world.identity import code_version, device_class, fingerprint, steady
from text2earth.world.network import WindowNetwork
from text2earth.world.painting import Mode, Painting
from text2earth.world.planes import TILE, Plane, block_box, gathered, keys_of
from text2earth.world.projection import block_mean
from text2earth.world.windows import Low, paint
from text2earth.world.zooms import settled

__all__ = ["World", "WorldModel", "WorldSettings"]

Pixels = npt.NDArray[np.uint8]
Blocks = Mapping[BlockKey, Pixels]

_GROUP = 4
"""Blocks a side of what is painted in one go: bounds the memory of large regions."""


@dataclass(frozen=True)
class WorldModel:
    """A network and the stages that it paints; worlds of one model share it, one of them painting at a time.

    Args:
        network: Paints windows.
        name: Of the model.
        levels: Zoom levels of the stages, coarsest first, ``log2(network.factor)`` apart.
        steps: Denoising steps of a stage, if a world does not say otherwise.

    Raises:
        ModelError: If the levels do not fit the factor.
    """

    network: WindowNetwork
    name: str
    levels: tuple[int, ...]
    steps: int
    lock: threading.RLock = field(default_factory=threading.RLock, repr=False, compare=False)

    def __post_init__(self) -> None:
        factor = self.network.factor
        doublings = factor.bit_length() - 1
        steps_up = {finer - coarser for coarser, finer in zip(self.levels, self.levels[1:], strict=False)}
        if factor not in {2, 4} or steps_up - {doublings} or not self.levels:
            raise ModelError(f"model {self.name}: its stages are at levels {self.levels} and each is {factor}× finer")
        if self.levels[0] < 0 or self.levels[-1] > MAX_LEVEL:
            raise ModelError(f"model {self.name}: its stages are at levels {self.levels}; they are 0–{MAX_LEVEL}")


@dataclass(frozen=True, slots=True)
class WorldSettings:
    """How a world is painted and kept.

    Args:
        mode: How windows are joined; None: the default of `Painting`.
        steps: Denoising steps of a stage; None: the model's own.
        batch: Windows of each forward pass, filled up where there are fewer.
        threads: Of each forward pass on the CPU; None: as many as there are processors for this process.
        feather: Width of the border between areas of different prompts, in pixels of each stage.
        cache_bytes: Of all files in the cache's folder.
        memory_bytes: Of blocks kept in memory.

    Raises:
        WorldError: If a number is out of its range.
    """

    mode: Mode | None = None
    steps: int | None = None
    batch: int = 8
    threads: int | None = None
    feather: int = 64
    cache_bytes: int = 4 << 30
    memory_bytes: int = 64 << 20

    def __post_init__(self) -> None:
        least = {"steps": 1, "batch": 1, "threads": 1, "feather": 0, "cache_bytes": 0, "memory_bytes": 0}
        for name, smallest in least.items():
            value = getattr(self, name)
            if value is not None and value < smallest:
                raise WorldError(f"{name} {value} was given; it is {smallest} or more")

    @property
    def fixed_threads(self) -> int:
        """Threads of a forward pass."""
        return self.threads or len(os.sched_getaffinity(0))


class World:
    """A synthetic planet; `World.open` makes one. Safe to ask from several threads.

    Attributes:
        model: That paints it.
        seed: Of its noise.
        prompt: Where no area says otherwise.
        areas: With prompts of their own.
        settings: How it is painted and kept.
        fingerprint: SHA-256 of all that its pixels depend on.
    """

    def __init__(
        self,
        model: WorldModel,
        *,
        seed: int,
        prompt: str,
        areas: Areas,
        base_map: BaseMap | None,
        cache: Path | None,
        settings: WorldSettings,
    ) -> None:
        if not 0 <= seed < 1 << 64:
            raise WorldError(f"seed {seed} was given; it is 0…2**64 − 1")
        self.model, self.seed, self.prompt, self.areas, self.settings = model, seed, prompt, areas, settings
        self._root = base_map
        self._prompts = AreaPrompts(prompt, areas, settings.feather)
        self._planes = [Plane(f"level-{level}", level, stage) for stage, level in enumerate(model.levels)]
        # What lies around a base map is painted as if there were none; then the base stage is painted from both.
        self._around = Plane("around", model.levels[0], 0)
        self._paintings = {plane: self._painting(plane) for plane in (*self._planes, self._around)}
        self.fingerprint = fingerprint(self._facts())
        self._cache = BlockCache(
            self.fingerprint,
            origin=Origin.of_world(self, level=self.maxzoom),
            folder=cache,
            max_bytes=settings.cache_bytes,
            memory_bytes=settings.memory_bytes,
        )

    @classmethod
    def open(
        cls,
        model: str | Path | WorldModel,
        *,
        seed: int = 0,
        prompt: str = "",
        areas: str | Path | Mapping[str, Any] | None = None,
        base: str | Path | None = None,
        cache: str | Path | None = None,
        settings: WorldSettings | None = None,
    ) -> Self:
        """Open a world.

        Args:
            model: Name of a zoo model or folder of a cascade; or a model that another world was opened with, which
                the two then share.
            seed: Of the noise, 0…2**64 − 1.
            prompt: Of all that no area covers.
            areas: GeoJSON file, or its content, of polygons with prompts of their own.
            base: RGB raster in any coordinate reference system, whose low band the world starts from.
            cache: Folder in which what was painted is kept, for this and other worlds.
            settings: How it is painted.

        Raises:
            ModelError: If the model is no cascade.
            AreasError: If the areas are not what they should be.
            BaseMapError: If the raster is not what it should be, or the model's first level leaves no room above.
            WorldError: If the seed or a setting is out of range.
        """
        found = model if isinstance(model, WorldModel) else _loaded(model)
        drawn = NO_AREAS if areas is None else read_areas(areas)
        base_map = None
        if base is not None:
            above = found.levels[0] - (found.network.factor.bit_length() - 1)
            if above < 0:
                raise WorldError(f"model {found.name} starts at level {found.levels[0]}; a base map lies above that")
            base_map = BaseMap(base, level=above)
        return cls(
            found,
            seed=seed,
            prompt=" ".join(prompt.split()),
            areas=drawn,
            base_map=base_map,
            cache=None if cache is None else Path(cache),
            settings=settings or WorldSettings(),
        )

    @property
    def model_name(self) -> str:
        """Name of the model."""
        return self.model.name

    @property
    def minzoom(self) -> int:
        """Level of the first stage; nothing is averaged up from it."""
        return self.model.levels[0]

    @property
    def maxzoom(self) -> int:
        """Level of the last stage."""
        return self.model.levels[-1]

    @property
    def counts(self) -> Mapping[str, int]:
        """How often what has happened: blocks painted, found in memory or on disk, damaged, evicted."""
        return dict(self._cache.counts)

    def tile(self, z: int, x: int, y: int) -> Pixels:
        """Return a tile, uint8 (256, 256, 3).

        Raises:
            WorldError: If there is no such tile.
        """
        return self.tiles([(z, x, y)])[0]

    def tiles(self, places: Sequence[tuple[int, int, int]]) -> list[Pixels]:
        """Return tiles (z, x, y), each uint8 (256, 256, 3); they share forward passes.

        Raises:
            WorldError: If there is no such tile.
        """
        asked = []
        for z, x, y in places:
            self._refuse_zoom(z)
            if not (0 <= x < 1 << z and 0 <= y < 1 << z):
                raise WorldError(f"tile {z}/{x}/{y} was asked for; columns and rows of zoom {z} are 0–{(1 << z) - 1}")
            asked.append((z, Box(x * TILE, y * TILE, TILE, TILE)))
        needed: dict[Plane, set[BlockKey]] = {}
        for z, box in asked:
            plane, factor = self._finer(z)
            needed.setdefault(plane, set()).update(keys_of(plane, box.refined(factor)))
        found: dict[BlockKey, Pixels] = {}
        for plane, keys in needed.items():
            found.update(self._blocks(plane, keys))
        return [self._zoomed(z, box, found) for z, box in asked]

    def region(self, z: int, box: Box) -> Pixels:
        """Return the pixels of any box of a zoom's plane, uint8 (height, width, 3); x wraps around the world.

        Raises:
            WorldError: If the zoom is not there, or the box reaches beyond the northern or southern edge.
        """
        self._refuse_zoom(z)
        if box.y < 0 or box.bottom > TILE << z:
            raise WorldError(f"{box} was asked for; rows of zoom {z} are 0–{(TILE << z) - 1}")
        plane, factor = self._finer(z)
        return self._zoomed(z, box, self._blocks(plane, keys_of(plane, box.refined(factor))))

    def _refuse_zoom(self, z: int) -> None:
        if not self.minzoom <= z <= self.maxzoom:
            raise WorldError(f"zoom {z} was asked for; this world has {self.minzoom}–{self.maxzoom}")

    def _finer(self, z: int) -> tuple[Plane, int]:
        """Return the stage that a zoom is made of, and how many times finer it is."""
        plane = next(plane for plane in self._planes if plane.level >= z)
        return plane, 1 << (plane.level - z)

    def _zoomed(self, z: int, box: Box, blocks: Blocks) -> Pixels:
        plane, factor = self._finer(z)
        pixels = gathered(plane, box.refined(factor), fetch=lambda keys: blocks)
        return pixels if factor == 1 else block_mean(pixels, factor=factor)

    def _blocks(self, plane: Plane, keys: Iterable[BlockKey]) -> dict[BlockKey, Pixels]:
        """Return blocks of a plane, and paint those that are not kept."""
        found = self._kept(keys)
        missing = {*keys} - found.keys()
        if missing:
            with self.model.lock:
                found |= self._kept(missing)  # another thread may have painted them meanwhile
                for group in _groups(missing - found.keys()):
                    found |= self._painted(plane, group)
        return found

    def _kept(self, keys: Iterable[BlockKey]) -> dict[BlockKey, Pixels]:
        looked_up = ((key, self._cache.get(key)) for key in keys)
        return {key: pixels for key, pixels in looked_up if pixels is not None}

    def _painted(self, plane: Plane, keys: Sequence[BlockKey]) -> dict[BlockKey, Pixels]:
        """Paint blocks of a plane, and before them those of its parent that they are painted from."""
        boxes = [block_box(key) for key in keys]
        low = self._low(plane, boxes)
        painting, projected = self._paintings[plane], low is not None
        with steady(self.settings.fixed_threads):
            painted = paint(boxes, painting=painting, low=low, prompts=self._prompts, project=projected)
        factor = self.model.network.factor
        found = {}
        for key, box, pixels in zip(keys, boxes, painted, strict=True):
            agreeing = pixels if low is None else settled(pixels, low(box.coarsened(factor)))
            found[key] = self._cache.put(key, agreeing)
        self._cache.counts["painted"] += len(found)
        return found

    def _low(self, plane: Plane, boxes: Sequence[Box]) -> Low | None:
        """Return where a plane's parent is read, all that these boxes need of it being there; None for the first."""
        factor = self.model.network.factor
        around = [self._cone(plane, box) for box in boxes]
        if plane.stage:
            return self._reader(self._planes[plane.stage - 1], around)
        if plane is self._around or self._root is None:
            return None
        open_ground = [box.refined(factor) for box in around if not self._root.covers(box)]
        return partial(self._rooted, around=self._reader(self._around, open_ground))

    def _cone(self, plane: Plane, box: Box) -> Box:
        """Return the parent's pixels that a box is painted from."""
        painting = self._paintings[plane]
        for _ in range(painting.parts):
            box = painting.layout.cover(box)
        return box.coarsened(self.model.network.factor)

    def _reader(self, plane: Plane, boxes: Iterable[Box]) -> Low:
        """Return where a plane is read; the pixels of the boxes are there, others are painted when asked for."""
        ready = self._blocks(plane, {key for box in boxes for key in keys_of(plane, box)})

        def fetch(keys: set[BlockKey]) -> Blocks:
            return ready if keys <= ready.keys() else self._blocks(plane, keys)

        return partial(gathered, plane, fetch=fetch)

    def _rooted(self, box: Box, *, around: Low) -> Pixels:
        """Return the base map's pixels, and where it has none the means of what was painted without it."""
        assert self._root is not None
        pixels, covered = self._root.read(box)
        if covered.min() == 255:
            return pixels
        factor = self.model.network.factor
        painted = block_mean(around(box.refined(factor)), factor=factor).astype(np.int64)
        share = covered[..., None].astype(np.int64)
        return ((pixels * share + painted * (255 - share) + 127) // 255).astype(np.uint8)

    def _painting(self, plane: Plane) -> Painting:
        """Return how a plane is painted."""
        usual = Painting(
            network=self.model.network,
            level=plane.level,
            stage=plane.stage,
            seed=self.seed,
            steps=self._steps,
            batch=self.settings.batch,
            period=plane.side,
        )
        return usual if self.settings.mode is None else replace(usual, mode=self.settings.mode)

    @property
    def _steps(self) -> int:
        return self.settings.steps or self.model.steps

    def _facts(self) -> dict[str, Any]:
        """Return all that the pixels depend on."""
        painting = self._paintings[self._planes[0]]
        network = self.model.network
        return {
            "weights": network.fingerprint,
            "code": code_version(),
            "torch": torch.__version__,
            "device": device_class(network.alphas_cumprod.device),
            "levels": self.model.levels,
            "batch": self.settings.batch,
            "threads": self.settings.fixed_threads,
            "seed": self.seed,
            "prompt": self.prompt,
            "areas": self.areas.digest,
            "feather": self.settings.feather,
            "base": None if self._root is None else self._root.digest,
            "mode": painting.mode,
            "rounds": painting.rounds,
            "steps": self._steps,
        }


def _groups(keys: Iterable[BlockKey]) -> Iterable[list[BlockKey]]:
    """Yield blocks that are painted in one go, neighbours together."""
    every = sorted(keys)
    if len(every) <= _GROUP * _GROUP:
        yield from [every] if every else []
        return

    def square(key: BlockKey) -> tuple[int, int]:
        return key.y // _GROUP, key.x // _GROUP

    for _, group in groupby(sorted(every, key=lambda key: (square(key), key)), key=square):
        yield [*group]


def _loaded(name: str | Path) -> WorldModel:
    """Read a cascade."""
    from text2earth.sampling import CascadeNetwork, MetaEarthPipeline, load

    pipeline = load(name)
    if not isinstance(pipeline, MetaEarthPipeline):
        raise ModelError(f"{name} paints single images, not a world; give a cascade, such as metaearth-tiny")
    config = pipeline.config
    return WorldModel(CascadeNetwork(pipeline), Path(name).name, tuple(config.stage_levels), int(config.steps))
