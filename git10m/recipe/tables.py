"""The tables of a recipe, as strict models that check themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from git10m.grid import MAX_LEVEL
from git10m.recipe.areas import Region, Sampling
from git10m.recipe.captions import Captions
from git10m.recipe.curation import Curation
from git10m.recipe.scenes import Modality, SceneSource
from git10m.recipe.sources import Source
from git10m.recipe.values import Byte, Fraction, Level, Slug, Table, is_address

__all__ = [
    "ImageFormat",
    "Output",
    "Recipe",
    "Splits",
    "Synthetic",
    "Tiles",
]


_CELLS_ABOVE = 3
"""Levels between cells and the coarsest tiles where a buffer is asked: 8×8 such tiles a cell."""


class Synthetic(Table):
    """The project's own computed scenes, written before the build reads its sources.

    Attributes:
        seed: Everything of the invented landscape follows from it.
        size_px: Pixels a side of each scene.
    """

    seed: int = Field(default=10, ge=0)
    size_px: int = Field(default=1536, ge=512, le=20_000)


class Tiles(Table):
    """Which tiles are cut, and which of them count as complete.

    Attributes:
        levels: Zoom levels; a level that a source does not support is left out there.
        size: Pixels a side of a tile.
        levels_paired: Keep a tile only if its ancestors and all its descendants at the recipe's levels are kept.
        oversample: Also cut levels finer than 0.8 × the native GSD (``native_gsd_m`` tells).
        min_valid: Least share of pixels with data.
    """

    levels: tuple[Level, ...] = tuple(range(10, 19))
    size: Literal[256, 512] = 256
    levels_paired: bool = False
    oversample: bool = False
    min_valid: Fraction = 0.95

    @field_validator("levels")
    @classmethod
    def _sorted(cls, levels: tuple[int, ...]) -> tuple[int, ...]:
        if not levels:
            raise ValueError("at least one level is needed, e.g. levels = [14, 15]")
        return tuple(sorted(set(levels)))


class ImageFormat(Table):
    """How tiles are encoded.

    Attributes:
        format: JPEG (4:4:4), WebP or PNG (lossless).
        quality: 1–100, of JPEG and WebP.
        fill: RGB of pixels without data.
    """

    format: Literal["jpeg", "webp", "png"] = "jpeg"
    quality: int = Field(default=95, ge=1, le=100)
    fill: tuple[Byte, Byte, Byte] = (0, 0, 0)


class Splits(Table):
    """How rows are divided; whole parent cells stay together, so no ground is in two splits.

    Attributes:
        validation: Share of cells.
        test: Share of cells.
        seed: Changes which cells.
        cell_level: Level of the cells, at most the coarsest level of the tiles; None: that level, or where a buffer is
            asked three levels coarser, so that the buffer does not eat whole cells.
        buffer_m: Training tiles closer than this to a cell of validation or test are dropped; metres on the ground.
        embedding: Cosine of embeddings from which images are on one side: those without a place move together, of the
            others those that are trained on go; None: embeddings do not matter.
        stratified: Choose cells so that every level has its share; false: each cell by its address alone, so that it
            stays in its split when imagery is added.
    """

    validation: Fraction = 0.05
    test: Fraction = 0.05
    seed: int = 0
    cell_level: int | None = Field(default=None, ge=0, le=MAX_LEVEL)
    buffer_m: float = Field(default=0.0, ge=0, le=100_000)
    embedding: float | None = Field(default=None, gt=0, le=1)
    stratified: bool = False

    @model_validator(mode="after")
    def _leaves_some(self) -> Self:
        if self.validation + self.test >= 1:
            raise ValueError(f"validation {self.validation} + test {self.test} leave nothing to train on")
        return self


class Output(Table):
    """How rows are stored.

    Attributes:
        shard_rows: Most rows of a parquet file.
        row_group_rows: Rows of a row group.
    """

    shard_rows: int = Field(default=10_000, ge=1)
    row_group_rows: int = Field(default=500, ge=1, le=100_000)


class Recipe(Table):
    """A whole recipe; see the attributes' types for the tables of the TOML file.

    Attributes:
        name: Name of the dataset.
        version: Version of the dataset, as its maker counts.
        description: A sentence for the card.
        on_error: ``"skip"``: go on without what cannot be read, and count it. ``"stop"``: stop at once.
        synthetic: Computed scenes to write first.
        region: Area of interest; None: wherever the sources are.
        tiles: Levels and completeness.
        sampling: Which tiles of the region are taken.
        image: Encoding.
        source: Imagery, in order of priority.
        modality: Further images of every tile.
        curation: What is dropped.
        captions: What is said of a tile.
        splits: Train, validation, test.
        output: Shards.
    """

    name: Slug
    version: str = "1.0"
    description: str = ""
    on_error: Literal["skip", "stop"] = "skip"
    synthetic: Synthetic | None = None
    region: Region | None = None
    tiles: Tiles = Tiles()
    sampling: Sampling = Sampling()
    image: ImageFormat = ImageFormat()
    source: tuple[Source, ...]
    modality: tuple[Modality, ...] = ()
    curation: Curation = Curation()
    captions: Captions = Captions()
    splits: Splits = Splits()
    output: Output = Output()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.source:
            raise ValueError("a recipe needs at least one [[source]]")
        seen: set[str] = set()
        for source in self.source:
            if source.id in seen:
                raise ValueError(f"two sources are called {source.id!r}; give each an id of its own")
            seen.add(source.id)
        self._check_layers()
        self._check_modalities()
        self._check_quotas()
        if self.splits.embedding is not None and self.curation.embedding is None:
            raise ValueError("splits.embedding needs [curation.embedding], with encoder or embeddings")
        coarsest = min(min(source.levels or self.tiles.levels) for source in self.source)
        if self.splits.cell_level is not None and self.splits.cell_level > coarsest:
            raise ValueError(
                f"splits.cell_level = {self.splits.cell_level} is finer than the coarsest level {coarsest}; "
                "a tile of that level would lie in several splits"
            )
        return self

    def _check_layers(self) -> None:
        """Scenes of several sources can fill each other; imagery of other kinds cannot."""
        shared: dict[str, list[Any]] = {}
        for source in self.source:
            shared.setdefault(source.layer, []).append(source)
        for layer, sources in shared.items():
            if layer != "imagery" and len(sources) > 1 and not all(isinstance(each, SceneSource) for each in sources):
                named = ", ".join(f"{each.id!r} ({each.kind})" for each in sources)
                raise ValueError(f"layer {layer!r}: {named} cannot fill each other; only raster and stac sources can")

    def _check_quotas(self) -> None:
        cover = self.captions.land_cover
        for quota in self.curation.quotas:
            if quota.cover is None:
                continue
            if cover is None:
                raise ValueError(
                    f"a quota of cover = {quota.cover!r} needs captions.land_cover, which tells the classes"
                )
            if cover.attribute is None and cover.classes is not None and quota.cover not in cover.classes.values():
                known = ", ".join(sorted(set(cover.classes.values())))
                raise ValueError(
                    f"a quota's cover = {quota.cover!r} is no class of captions.land_cover; there are {known}"
                )

    def _check_modalities(self) -> None:
        scenes = {source.id for source in self.source if isinstance(source, SceneSource)}
        seen: set[str] = set()
        for modality in self.modality:
            if modality.source not in scenes:
                raise ValueError(
                    f"modality {modality.name!r}: source = {modality.source!r} is no raster or stac source of the "
                    f"recipe; there are {', '.join(sorted(scenes)) or 'none'}"
                )
            if modality.name in seen:
                raise ValueError(f"two modalities are called {modality.name!r}; give each a name of its own")
            seen.add(modality.name)
        asked = self.curation.enhancement
        if self.modality and asked is not None and asked.size == "double":
            raise ValueError(
                'curation.enhancement: size = "double" would tear images and modalities apart, which share one grid; '
                "leave size out, or the modalities"
            )
        if not any(getattr(source, "rows", True) for source in self.source):
            raise ValueError("every source says rows = false; at least one must give rows")

    def located(self, root: Path, *, scenes: Path) -> Recipe:
        """Return the recipe with absolute paths.

        Args:
            root: Folder that relative paths start from.
            scenes: Folder that ``${scenes}`` stands for.
        """

        def locate(path: Any) -> Any:
            if path is None:
                return None
            if isinstance(path, tuple):
                return tuple(locate(each) for each in path)
            filled = path.replace("${scenes}", str(scenes))
            return filled if is_address(filled) else str(root / filled)

        def moved(model: Any, *names: str) -> Any:
            if model is None:
                return None
            return model.model_copy(update={name: locate(getattr(model, name)) for name in names})

        captions = self.captions.located(locate)
        region, sampling = self.region, self.sampling
        if region is not None:
            cut = tuple(locate(each) if isinstance(each, str) else each for each in region.exclude)
            region = moved(region, "file").model_copy(update={"exclude": cut})
        strata, cities = moved(sampling.strata, "path"), moved(sampling.cities, "path")
        scorer = moved(self.curation.scorers.aesthetic, "encoder", "head")
        curation = {
            "against": tuple(moved(other, "path") for other in self.curation.against),
            "embedding": moved(self.curation.embedding, "encoder", "embeddings"),
            "enhancement": moved(self.curation.enhancement, "weights"),
            "scorers": self.curation.scorers.model_copy(update={"aesthetic": scorer}),
        }
        return self.model_copy(
            update={
                "source": tuple(moved(source, *source.places) for source in self.source),
                "curation": self.curation.model_copy(update=curation),
                "captions": captions,
                "region": region,
                "sampling": sampling.model_copy(update={"strata": strata, "cities": cities}),
            }
        )

    def canonical(self) -> dict[str, Any]:
        """Return what the recipe asks for, but not where files are, nor how to fetch; equal recipes, equal JSON."""
        said = self.model_dump(mode="json")
        for source, written in zip(self.source, said["source"], strict=True):
            for name in (*source.places, *source.manners):
                del written[name]
        said["captions"] = self.captions.canonical()
        for other in said["curation"]["against"]:
            del other["path"]
        if said["curation"]["enhancement"] is not None:  # told apart by their hash
            del said["curation"]["enhancement"]["weights"]
        models = said["curation"]["embedding"], said["curation"]["scorers"]["aesthetic"]
        for model in models:  # what they come to is told apart by their content
            for name in {"encoder", "embeddings", "head"} & (model or {}).keys():
                del model[name]
        if said["region"] is not None:  # what its files come to is told apart by its area
            del said["region"]["file"], said["region"]["exclude"]
        for chosen in (said["sampling"]["strata"], said["sampling"]["cities"]):
            if chosen is not None:
                del chosen["path"]
        return said

    @property
    def cell_level(self) -> int:
        """Level of the cells that splits are made of."""
        if self.splits.cell_level is not None:
            return self.splits.cell_level
        coarsest = min(min(source.levels or self.tiles.levels) for source in self.source)
        return max(0, coarsest - _CELLS_ABOVE) if self.splits.buffer_m else coarsest
