"""The training configuration: a TOML file read into strict models.

``${NAME}`` stands for a value that is given from outside. A key that is not known is an error that names the
nearest one that is.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from git10m.grid import MAX_LEVEL
from text2earth.conditioning import DropRates, LongCaptions
from text2earth.data import RowFilter, ShardIndex, View, ViewKind, mixture, scan
from text2earth.data.filters import columns_of
from text2earth.data.order import WINDOW_GROUPS
from text2earth.diffusion import Objective, Prediction
from text2earth.errors import ConfigError, ShardError
from text2earth.models.presets import CASCADES, PRESETS
from text2earth.training.cascade_settings import CascadeSettings, beside_cascade
from text2earth.training.parallel import Compiler

__all__ = [
    "ConditionSettings",
    "ControlNetSettings",
    "DataSettings",
    "DenoiserSettings",
    "LoraSettings",
    "MixSettings",
    "ModelSettings",
    "PhaseSettings",
    "RunSettings",
    "ScheduleSettings",
    "StageSettings",
    "TrainConfig",
    "VaeSettings",
    "ValidationSettings",
    "load_config",
]

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
Probability = Annotated[float, Field(ge=0.0, le=1.0)]
Level = Annotated[int, Field(ge=0, le=MAX_LEVEL)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _all_of(*wheres: str) -> str:
    """Return the expression that asks for every one of some."""
    return " and ".join(f"({each})" for each in wheres if each.strip())


class MixSettings(_Strict):
    """One dataset of ``[[data.mix]]``."""

    path: str
    """Dataset folder, folder, file or glob of parquet or Arrow; a path or an address."""
    weight: float | None = Field(default=None, gt=0)
    """Share of the draws, relative to the others'; all have one, or none: then each row weighs the same."""
    where: str = ""
    """Rows to keep, beside what ``[data]`` says."""


class DataSettings(_Strict):
    """``[data]``: what is trained on."""

    path: str = ""
    """Dataset folder, folder, file or glob of parquet or Arrow, a path or an address (s3://); or give ``mix``."""
    split: str = "train"
    levels: tuple[Level, ...] = ()
    """Levels of the rows to keep; none given keeps all."""
    min_quality: float | None = None
    """Least ``img_quality_score``; rows without one are then left out."""
    view: ViewKind = "crop"
    flips: bool = False
    workers: int = Field(default=0, ge=0)
    turns: bool = False
    """Turn by random quarters."""
    where: str = ""
    """Rows to keep, as in ``img_quality_score > 4.8 and licence in ("CC0-1.0")``; any column may be asked for."""
    mix: tuple[MixSettings, ...] = ()
    """Several datasets in place of ``path``."""
    temperature: float = Field(default=1.0, ge=1)
    """T of the balance of levels: one of n rows is drawn in proportion to n^(1/T); 1 leaves them as they are."""
    images: tuple[str, ...] = ()
    """Modalities NAME whose ``image_NAME`` is read too, of the same square; rows without one are left out."""
    window_groups: int = Field(default=WINDOW_GROUPS, gt=0)
    """Row groups that are shuffled together and kept in memory."""
    latents: str = ""
    """Folder of ``text2earth encode``, in place of pixels."""
    target: str = "image"
    """What an adapter learns to paint: the image, or a modality among ``images``."""

    @model_validator(mode="after")
    def _say_what_to_read(self) -> Self:
        if bool(self.path) == bool(self.mix):
            raise ValueError("give either path, or mix")
        if len({each.weight is None for each in self.mix}) > 1:
            raise ValueError("some of mix have a weight and some have none; give all one, or none")
        for where in (self.where, *(each.where for each in self.mix)):
            try:
                columns_of(where)
            except ShardError as error:
                raise ValueError(str(error)) from error
        return self

    def index(self, *, split: str | None = None) -> ShardIndex:
        """Find the rows.

        Args:
            split: Another split than that which is trained on.

        Raises:
            ShardError: If there are none.
        """
        sets = self.mix or (MixSettings(path=self.path),)
        indexes = [scan(each.path, rows=self._filter(each.where, split=split or self.split)) for each in sets]
        weights = [each.weight for each in sets if each.weight is not None]
        return mixture(indexes, weights=weights or None, temperature=self.temperature)

    def narrowed(self, phase: PhaseSettings) -> DataSettings:
        """Return these settings for the rows of a phase.

        Raises:
            ConfigError: If they and the phase have no level in common.
        """
        levels = tuple(sorted({*self.levels} & {*phase.levels})) if self.levels and phase.levels else ()
        if self.levels and phase.levels and not levels:
            raise ConfigError(f"denoiser.phases has levels {phase.levels}, data has {self.levels}: none is in both")
        least = [quality for quality in (self.min_quality, phase.min_quality) if quality is not None]
        return self.model_copy(
            update={
                "levels": levels or self.levels or phase.levels,
                "min_quality": max(least, default=None),
                "where": _all_of(self.where, phase.where),
            }
        )

    def _filter(self, where: str, *, split: str) -> RowFilter:
        return RowFilter(split, self.levels, self.min_quality, _all_of(self.where, where), self.images)

    def view_of(self, image_size: int) -> View:
        """Return how a tile becomes an image of ``image_size`` pixels a side."""
        return View(image_size, self.view, self.flips, self.turns)


class ModelSettings(_Strict):
    """``[model]``: what is trained."""

    preset: str = "tiny"
    image_size: int | None = Field(default=None, gt=0)
    """Pixels a side; the preset's own if left out."""
    prediction: Prediction = "epsilon"
    start: str = ""
    """Model folder, or name of a zoo model, whose weights are the start; without ``[vae]`` its autoencoder is kept."""
    inpainting: bool = False
    """Whether the U-Net takes a mask and the rest of the image, ``[z, mask, z_masked]``; see ``models.inpainting``."""


class ConditionSettings(_Strict):
    """``[conditions]``: which there are, and the probabilities of their dropout; see ``conditioning.DropRates``."""

    drop_text: Probability = 0.05
    drop_level: Probability = 0.10
    drop_both: Probability = 0.10
    drop_gsd: Probability = 0.10
    drop_place: Probability = 0.10
    drop_month: Probability = 0.10
    drop_source: Probability = 0.10
    further: tuple[Literal["gsd", "place", "month", "source"], ...] = ()
    """Conditions that the model takes beside text and level."""
    sources: tuple[str, ...] = ()
    """Names that the condition ``"source"`` tells apart, as the rows' ``source_id``; of other rows it is left open."""
    long_captions: LongCaptions = "cut"
    """What becomes of a caption beyond the encoder's 77 positions: ``cut``, encoded in ``windows``, or shown by some
    of its ``sentences`` at a time, drawn anew each epoch."""
    text_windows: int = Field(default=3, gt=0)
    """Most windows of a caption where ``long_captions`` is ``windows``."""

    @property
    def windows(self) -> int:
        """Windows that a caption may fill."""
        return self.text_windows if self.long_captions == "windows" else 1

    def rates(self) -> DropRates:
        """Return the probabilities of dropout."""
        extra = (self.drop_gsd, self.drop_place, self.drop_month, self.drop_source)
        return DropRates(self.drop_text, self.drop_level, self.drop_both, *extra)


class ScheduleSettings(_Strict):
    """How many steps, at which learning rates."""

    steps: int = Field(gt=0)
    learning_rate: float = Field(default=1e-4, gt=0)
    warmup_steps: int = Field(default=0, ge=0)
    decay: Literal["cosine", "constant"] = "constant"


class PhaseSettings(ScheduleSettings):
    """``[[denoiser.phases]]``: steps that follow the stage's own, on some of the rows.

    Weights, optimiser and average go on; ``[data]`` says which rows there are, and these keys narrow them down.
    """

    learning_rate: float = Field(gt=0)
    levels: tuple[Level, ...] = ()
    min_quality: float | None = None
    where: str = ""
    """As in ``[data]``: ``"img_quality_score > 4.8"`` is the second stage of the paper."""

    @model_validator(mode="after")
    def _say_which_rows(self) -> Self:
        try:
            columns_of(self.where)
        except ShardError as error:
            raise ValueError(str(error)) from error
        return self


class StageSettings(ScheduleSettings):
    """How one stage is optimised: AdamW with warm-up, and a moving average of the weights."""

    batch_size: int = Field(gt=0)
    """Images a step, over all processes and micro-batches."""
    accumulate: int = Field(default=1, gt=0)
    """Micro-batches a step in each process."""
    weight_decay: float = Field(default=0.01, ge=0)
    max_grad_norm: float = Field(default=1.0, gt=0)
    ema_decay: float = Field(default=0.9999, ge=0, lt=1)
    ema_power: float = Field(default=0.75, gt=0)
    """Warm-up of the average: its decay at step n is ``1 − n**−power``, at most ``ema_decay``."""
    ema_lengths: tuple[Annotated[float, Field(gt=0, lt=0.2887)], ...] = ()
    """Relative lengths of further averages, from two of which any other is rebuilt: ``[0.05, 0.10]``."""
    ema_snapshot_every: int = Field(default=1000, gt=0)
    """Steps between snapshots of the further averages."""


class VaeSettings(StageSettings):
    """``[vae]``: the autoencoder, trained first."""

    kl_weight: float = Field(default=1e-6, ge=0)
    gradient_weight: float = Field(default=1.0, ge=0)
    """Of the L1 distance of image gradients; L1 of pixels alone gives blurred texture."""
    texture_weight: float = Field(default=0.0, ge=0)
    """Of the difference in the strength of local detail, wherever it lies; see ``stages.texture_difference``."""


class DenoiserSettings(StageSettings):
    """``[denoiser]``: the U-Net and, with it, the text encoder."""

    train_text_encoder: bool = True
    min_snr_gamma: float | None = Field(default=None, gt=0)
    p2_gamma: float = Field(default=0.0, ge=0)
    p2_k: float = Field(default=1.0, gt=0)
    noise_offset: float = Field(default=0.0, ge=0)
    flow_mean: float = 0.0
    flow_std: float = Field(default=1.0, gt=0)
    flow_shift: float = Field(default=1.0, gt=0)
    phases: tuple[PhaseSettings, ...] = ()

    def objective(self, prediction: Prediction) -> Objective:
        """Return what is optimised, for what the model predicts; see ``diffusion.Objective``.

        Raises:
            ConfigError: If the weights do not go together.
        """
        weights = (self.min_snr_gamma, self.p2_gamma, self.p2_k, self.noise_offset)
        return Objective(prediction, *weights, self.flow_mean, self.flow_std, self.flow_shift)


class RunSettings(_Strict):
    """``[run]``: how it is run."""

    seed: int = Field(default=0, ge=0)
    precision: Literal["no", "bf16", "fp16"] = "no"
    checkpoint_every: int = Field(default=500, gt=0)
    log_every: int = Field(default=10, gt=0)
    keep: int = Field(default=1, gt=0)
    """Training states kept on disk, the newest ones."""
    tensorboard: bool = False
    """Whether to log for TensorBoard too, under ``training/tensorboard``."""
    shard: bool = False
    """Over several processes, shards (FSDP2) in place of replicas (DDP)."""
    compile: Compiler = "no"
    activation_checkpointing: bool = False
    """Compute activations again in the backward pass: about a third more time for much less memory."""


class ValidationSettings(_Strict):
    """``[validation]``: what is looked at while the denoiser trains, always the same images, noise and times."""

    split: str = "validation"
    every: int = Field(default=1000, gt=0)
    """Steps between looks; the last step is always looked at."""
    images: int = Field(default=64, gt=0)
    timesteps: int = Field(default=4, gt=0)
    """Times at which each image is denoised, evenly spaced."""
    batch_size: int = Field(default=8, gt=0)
    seed: int = Field(default=0, ge=0)
    prompts: tuple[str, ...] = ()
    """Prompts of the sample grid, a row each; none given paints none."""
    levels: tuple[Level, ...] = (0,)
    """Levels of the sample grid, a column each."""
    sampling_steps: int = Field(default=25, gt=0)
    guidance: float = 4.0


class LoraSettings(_Strict):
    """``[lora]``: thin matrices beside the denoiser's layers are trained, and nothing else."""

    rank: int = Field(default=16, gt=0)
    alpha: int | None = Field(default=None, gt=0)
    """α of the scale α/rank; the rank if left out."""
    targets: tuple[str, ...] = ("to_q", "to_k", "to_v", "to_out.0")
    """Ends of the names of the U-Net's layers."""
    text_encoder: bool = False
    """Whether the text encoder's attention is adapted too."""


class ControlNetSettings(_Strict):
    """``[controlnet]``: a copy of the U-Net's way down that reads a picture is trained, and nothing else."""

    condition: str
    """``"downsample"`` or ``"haze"``, made from the image, or a modality among ``data.images``."""
    factor: int = Field(default=4, ge=2, le=16)
    """By how much ``"downsample"`` is smaller than the image."""


class TrainConfig(_Strict):
    """A whole training: data, model and its two stages."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    data: DataSettings
    model: ModelSettings = ModelSettings()
    conditions: ConditionSettings = ConditionSettings()
    vae: VaeSettings | None = None
    denoiser: DenoiserSettings
    run: RunSettings = RunSettings()
    validation: ValidationSettings | None = None
    lora: LoraSettings | None = None
    controlnet: ControlNetSettings | None = None
    cascade: CascadeSettings | None = None

    @property
    def is_adapter(self) -> bool:
        """Whether an adapter of a frozen model is trained, rather than a model."""
        return self.lora is not None or self.controlnet is not None

    @model_validator(mode="after")
    def _adapt_what_can_be(self) -> Self:
        if not self.is_adapter:
            if self.data.target != "image":
                raise ValueError("data.target is for an adapter; add [lora] or [controlnet]")
            return self
        wanted = {self.data.target} if self.controlnet is None else {self.data.target, self.controlnet.condition}
        absent = sorted(wanted - {"image", "downsample", "haze", *self.data.images})
        faults = {
            "give [lora] or [controlnet], not both": self.lora is not None and self.controlnet is not None,
            "an adapter needs model.start, the model that it adapts": not self.model.start,
            "an adapter keeps the autoencoder of its model; leave [vae] out": self.vae is not None,
            f"{', '.join(absent)} is not among data.images; add it": bool(absent),
            "data.latents are of the image as it is; leave them out": bool(self.data.latents),
            "run.shard is not for adapters, which are small; leave it out": self.run.shard,
        }
        if self.controlnet is not None:
            prompts = self.validation is not None and bool(self.validation.prompts)
            faults["a ControlNet's grid would need pictures; leave validation.prompts out"] = prompts
            faults["run.activation_checkpointing is not for a ControlNet; leave it out"] = (
                self.run.activation_checkpointing
            )
        found = [fault for fault, is_so in faults.items() if is_so]
        if found:
            raise ValueError("; ".join(found))
        return self


def load_config(path: Path, *, variables: Mapping[str, str] | None = None) -> TrainConfig:
    """Read a configuration.

    Args:
        path: TOML file.
        variables: Values of its ``${NAME}``.

    Raises:
        ConfigError: If the file cannot be read, a variable is missing or unknown, a key is unknown, or a value is
            impossible; the message names every fault.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}); give a TOML file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error
    given = dict(variables or {})
    used: set[str] = set()
    filled = _filled(raw, given, used)
    missing, unknown = sorted(used - set(given)), sorted(set(given) - used)
    if missing:
        raise ConfigError(f"{path} needs a value for {', '.join(missing)}; give it as --var {missing[0]}=VALUE")
    if unknown:
        hint = f"it uses {', '.join(sorted(used))}" if used else "it uses none"
        raise ConfigError(f"{path} has no variable {', '.join(unknown)}; {hint}")
    try:
        config = TrainConfig.model_validate(filled)
    except ValidationError as error:
        raise ConfigError(f"{path}: " + "; ".join(_fault(dict(fault)) for fault in error.errors())) from error
    presets = PRESETS if config.cascade is None else CASCADES
    if config.model.preset not in presets:
        raise ConfigError(
            f"{path}: model.preset is {config.model.preset!r}; presets are {', '.join(presets)} "
            f"{'without' if presets is PRESETS else 'with'} [cascade]"
        )
    if config.vae is None and not config.model.start and config.cascade is None:
        raise ConfigError(
            f"{path}: vae is missing; add a section [vae], or keep the autoencoder of a model that is the start: "
            "model.start = FOLDER or the name of a zoo model"
        )
    config.denoiser.objective(config.model.prediction)
    _refuse_contradictions(config, path)
    return config


def _refuse_contradictions(config: TrainConfig, path: Path) -> None:
    conditions = config.conditions
    if config.cascade is not None:
        if found := beside_cascade(config.model_dump()):
            raise ConfigError(f"{path}: {found} with [cascade], which paints pixels from fresh weights; drop it")
        return
    if ("source" in conditions.further) != bool(conditions.sources):
        raise ConfigError(
            f"{path}: conditions.further is {list(conditions.further)} and conditions.sources is "
            f"{list(conditions.sources)}; 'source' needs the names that it tells apart, and they need it"
        )
    if conditions.long_captions == "windows" and PRESETS[config.model.preset].transformer:
        raise ConfigError(
            f"{path}: conditions.long_captions is 'windows' and model.preset {config.model.preset!r} is a transformer, "
            "which has no mask for windows that a caption does not reach; choose 'sentences' or 'cut'"
        )
    if config.model.inpainting and config.data.latents:
        raise ConfigError(
            f"{path}: model.inpainting and data.latents are given; the masked images are not in a cache of latents, "
            "leave data.latents out"
        )


def _filled(value: Any, given: Mapping[str, str], used: set[str]) -> Any:
    """Replace ``${NAME}`` in every string, noting the names."""
    if isinstance(value, dict):
        return {key: _filled(item, given, used) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, given, used) for item in value]
    if not isinstance(value, str):
        return value
    used.update(_VARIABLE.findall(value))
    return _VARIABLE.sub(lambda found: given.get(found.group(1), ""), value)


def _fault(fault: Mapping[str, Any]) -> str:
    """Say in one line what is wrong with one key."""
    where = [str(part) for part in fault["loc"]]
    key = ".".join(where)
    if fault["type"] == "missing":
        return f"{key} is missing"
    if fault["type"] == "value_error":  # of a whole section
        return f"{key}: ".removeprefix(": ") + str(fault["msg"]).removeprefix("Value error, ")
    if fault["type"] != "extra_forbidden":
        return f"{key} is {fault['input']!r}: {fault['msg'][0].lower()}{fault['msg'][1:]}"
    known = _keys_at(where[:-1])
    near = difflib.get_close_matches(where[-1], known, n=1, cutoff=0.5)
    return f"unknown key {key}; " + (f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}")


def _keys_at(where: list[str]) -> list[str]:
    model: type[BaseModel] = TrainConfig
    for part in where:
        annotation = model.model_fields[part].annotation
        options = [annotation, *get_args(annotation)]
        model = next(option for option in options if isinstance(option, type) and issubclass(option, BaseModel))
    return list(model.model_fields)
