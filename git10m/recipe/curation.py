"""Tables of a recipe that say what is dropped, and what is restored."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from git10m.recipe.values import Fraction, Paths, Slug, Table

__all__ = [
    "AestheticScorer",
    "Against",
    "Curation",
    "Duplicates",
    "Embedding",
    "Enhancement",
    "Quota",
    "Scorers",
    "Verdicts",
]


class Verdicts(Table):
    """Least and largest measures of a tile that is kept; None is no rule. Units as in ``records.Row``.

    The two rules that hold unless the recipe says otherwise take what shows nothing at all: of 184 real tiles of 42
    files the flattest has 2.9 bits, and the most saturated 66 % of its pixels at black or white.

    Attributes:
        min_entropy: Of ``entropy``, bits; 0 lets blank tiles pass.
        max_clipped: Of ``clipped``, 0–1; 1 lets saturated tiles pass.
        min_quality: Of ``img_quality_score``, 0–10; Git-10M's users cut at 4.8.
        max_scene_cloud: Of the scene's stated cloud cover, 0–1; tiles of scenes that state none are kept.
        max_white: Of ``white_fraction``, 0–1: cloud, snow or bright ground.
        min_aesthetic: Of ``aesthetic_score``, on the scale of the recipe's scorer.
    """

    min_quality: float | None = Field(default=None, ge=0, le=10)
    min_entropy: float | None = 1.0
    min_sharpness: float | None = None
    min_contrast: float | None = None
    min_brightness: float | None = None
    max_brightness: float | None = None
    max_clipped: Fraction | None = 0.9
    max_noise: float | None = None
    max_blockiness: float | None = None
    max_haze: Fraction | None = None
    max_white: Fraction | None = None
    max_water: Fraction | None = None
    max_scene_cloud: Fraction | None = None
    min_aesthetic: float | None = None


class Duplicates(Table):
    """Which images count as alike; of several the best stays, by ``img_quality_score``, then by the order of rows.

    Attributes:
        exact: Drop images whose encoded bytes are equal to another's.
        near: Drop images that show the pixels of another: re-encoded, resized, shifted by a little, with other tones.
        least_likeness: Least correlation of aligned detail of images that are alike, 0–1.
        turned: Images that are turned by quarters or mirrored are alike too.
        same_place: Of tiles at one place, by date or layer: keep ``"all"``, drop those that are like a better one
            (``"changed"``), or keep the ``"best"`` alone.
        embedding: Cosine of two images' embeddings from which they are alike; None: embeddings are not compared.
    """

    exact: bool = True
    near: bool = True
    least_likeness: float = Field(default=0.8, ge=0.5, le=1)
    turned: bool = False
    same_place: Literal["all", "changed", "best"] = "all"
    embedding: float | None = Field(default=None, gt=0, le=1)


class Against(Table):
    """Images that must not be in the dataset: of another build, or of a set that models are evaluated on.

    Attributes:
        name: What it is called where an image is dropped for it.
        path: A dataset of ours, or a folder with images or with parquet files that have an ``image`` column.
        evaluation: Dropped as ``"evaluation_set"``; false: as ``"other_dataset"``.
    """

    name: Slug
    path: str
    evaluation: bool = True


class Embedding(Table):
    """Vectors that tell which images are alike: of a model, or brought along.

    Attributes:
        encoder: Folder of a model in the layout of transformers. Or:
        embeddings: Parquet file(s) with ``img_name``, ``sha256`` or ``Google_location``, and ``embedding``.
        keep: Store them in the column ``embedding``: true or ``"float16"``, or ``"float32"``.
        device: Where the model runs.
    """

    encoder: str | None = None
    embeddings: Paths | None = None
    keep: bool | Literal["float16", "float32"] = False
    device: Literal["cpu", "cuda"] = "cpu"

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if (self.encoder is None) == (self.embeddings is None):
            raise ValueError('give encoder = "folder of a model", or embeddings = "file.parquet"; one of them')
        return self

    @property
    def kept_as(self) -> str | None:
        """Type of the numbers that are stored; None: they are not."""
        return "float16" if self.keep is True else (self.keep or None)


class AestheticScorer(Table):
    """A learned score: a small head over the embeddings of a model.

    Attributes:
        encoder: Folder of the model that the head was trained on.
        head: Its weights: one linear layer, or several (``layers.N.weight``); safetensors, or a file of torch.
        activation: Between layers; the LAION predictors have none, but for those called ``reluMSE``.
        device: Where the model runs.
    """

    encoder: str
    head: str
    activation: Literal["none", "relu"] = "none"
    device: Literal["cpu", "cuda"] = "cpu"


class Scorers(Table):
    """Learned scores, each a column.

    Attributes:
        aesthetic: Fills ``aesthetic_score``.
    """

    aesthetic: AestheticScorer | None = None


class Quota(Table):
    """How much of the dataset tiles of one kind may be, so that sea, forest or desert do not swamp it.

    Attributes:
        cover: Class of ``captions.land_cover``: the kind is the tiles of which it covers much. Or:
        measure: Column of measures: the kind is the tiles that measure much, or little. Or:
        clusters: How many clusters the embeddings are divided into; each of them is a kind.
        above: Least value of the kind; of ``cover`` the share of the tile, 0–1.
        below: Largest value of the kind, in place of ``above``.
        most: Most of the dataset that may be of the kind, 0–1; the best stay.
    """

    cover: str | None = None
    measure: (
        Literal[
            "entropy",
            "sharpness",
            "contrast",
            "brightness",
            "saturation",
            "white_fraction",
            "water_fraction",
            "scene_cloud",
        ]
        | None
    ) = None
    clusters: int | None = Field(default=None, ge=2, le=1000)
    above: float | None = None
    below: float | None = None
    most: float = Field(ge=0, lt=1)

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if [self.cover, self.measure, self.clusters].count(None) != 2:
            raise ValueError(
                'a quota needs cover = "a class of the land cover", measure = "a column", or clusters = a number; '
                "one of them"
            )
        if self.clusters is not None:
            if self.above is not None or self.below is not None:
                raise ValueError("a quota by clusters takes most alone: above and below are of no cluster")
            if self.clusters * self.most < 1:
                raise ValueError(
                    f"{self.clusters} clusters of at most {self.most:g} each come to less than the whole, so that "
                    f"nothing could stay; most must be above {1 / self.clusters:.3g}"
                )
        elif (self.above is None) == (self.below is None):
            raise ValueError("a quota needs above = the least value of its kind, or below = the largest")
        return self

    @property
    def kind(self) -> str:
        """The kind in words, e.g. ``"water ≥ 0.9"``."""
        if self.clusters is not None:
            return f"each of {self.clusters} clusters of embeddings"
        sign, bound = ("≥", self.above) if self.above is not None else ("≤", self.below)
        return f"{self.cover or self.measure} {sign} {bound:g}"


class Enhancement(Table):
    """Which tiles are restored by a network, and with whose weights; of two pictures the one of the better score stays.

    Attributes:
        weights: File with the weights of a restorer (RRDB), safetensors or ``.pth``, for an enlargement of 1 or 2.
        below: Tiles of a lower ``img_quality_score`` are enhanced; 10: all; 0: none for their score.
        max_noise: And tiles with more noise.
        max_blockiness: And tiles that show more of JPEG's blocks.
        min_sharpness: And tiles that are less sharp.
        scale: Enlargement that the weights must be for; None: whichever they are for.
        size: Keep the ``"tile"``'s pixels a side, or of weights for 2 store ``"double"``.
        device: Where the network runs; bytes differ between the two.
    """

    weights: str
    below: float = Field(default=4.8, ge=0, le=10)
    max_noise: float | None = Field(default=None, ge=0)
    max_blockiness: float | None = Field(default=None, ge=0)
    min_sharpness: float | None = Field(default=None, ge=0)
    scale: Literal[1, 2] | None = None
    size: Literal["tile", "double"] = "tile"
    device: Literal["cpu", "cuda"] = "cpu"


class Curation(Table):
    """What is dropped.

    Attributes:
        verdicts: Thresholds on a tile's own measures.
        duplicates: What is alike.
        against: Sets that nothing here may be alike to.
        quotas: How much of the dataset some kinds of tile may be, one after the other.
        enhancement: Which of the tiles that stay are restored; None: none.
        embedding: Vectors for ``duplicates.embedding`` and for quotas by clusters.
        scorers: Learned scores.
    """

    verdicts: Verdicts = Verdicts()
    duplicates: Duplicates = Duplicates()
    against: tuple[Against, ...] = ()
    quotas: tuple[Quota, ...] = ()
    enhancement: Enhancement | None = None
    embedding: Embedding | None = None
    scorers: Scorers = Scorers()

    @model_validator(mode="after")
    def _something_to_enhance(self) -> Self:
        asked, least = self.enhancement, self.verdicts.min_quality
        if asked is None:
            return self
        others = (asked.max_noise, asked.max_blockiness, asked.min_sharpness)
        if all(each is None for each in others):
            if asked.below == 0:
                raise ValueError("enhancement.below = 0 enhances nothing; say up to which score, e.g. 4.8")
            if least is not None and least >= asked.below:
                raise ValueError(
                    f"verdicts.min_quality = {least:g} drops every tile that enhancement.below = {asked.below:g} would "
                    "enhance; tiles are judged as they were observed, so lower min_quality"
                )
        return self

    @model_validator(mode="after")
    def _has_models(self) -> Self:
        needs = "needs [curation.embedding], with encoder or embeddings"
        if self.embedding is None and self.duplicates.embedding is not None:
            raise ValueError(f"duplicates.embedding = {self.duplicates.embedding:g} {needs}")
        if self.embedding is None and any(quota.clusters is not None for quota in self.quotas):
            raise ValueError(f"a quota by clusters {needs}")
        if self.scorers.aesthetic is None and self.verdicts.min_aesthetic is not None:
            raise ValueError("verdicts.min_aesthetic needs scorers.aesthetic = {encoder = …, head = …}")
        return self
