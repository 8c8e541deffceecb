"""``[cascade]`` of a training configuration: stages, and what becomes of the low-resolution condition."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from git10m.grid import MAX_LEVEL

__all__ = ["CascadeSettings", "beside_cascade"]

Probability = Annotated[float, Field(ge=0.0, le=1.0)]


class CascadeSettings(BaseModel):
    """``[cascade]``: a cascade of pixels is trained (MetaEarth's), rather than a model of latents.

    The low-resolution condition of an image is made from itself: its mean over squares of ``factor`` pixels, or now
    and then a copy that is degraded twice; noise is put on it, and it is left out at times.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_level: int = Field(ge=1, le=MAX_LEVEL)
    """Level of the first stage, which has no low-resolution condition."""
    stages: int = Field(default=3, ge=1)
    """Number of stages, the first included."""
    factor: Literal[2, 4] = 4
    """How much finer a stage is than the one before."""
    drop_low: Probability = 0.1
    """Share of the images of finer levels than the base that have no low-resolution condition."""
    drop_low_at_base: Probability = 1.0
    """The same of images at the base level and coarser ones: no stage asks for more, but colours and textures that only
    those images have are learnt for the finer stages where some keep theirs."""
    degraded: Probability = 0.3
    """Share of low-resolution conditions that are degraded (blur, resampling, noise, JPEG, twice) rather than means."""
    noise: float = Field(default=0.3, ge=0.0, le=1.0)
    """Most σ of the noise on the condition, drawn evenly from 0; pixels are −1…1."""
    steps: int = Field(default=12, gt=0)
    """Denoising steps that the model folder asks for."""
    guidance: float = Field(default=1.0, gt=0.0)
    """Scale of the text at the first stage, as the model folder states it; 1 is none."""
    stage_guidance: float = Field(default=1.0, gt=0.0)
    """Scale of the text at the stages after it."""
    low_noise: float = Field(default=0.0, ge=0.0, le=1.0)
    """σ that the network is told when it paints, though no noise is added."""

    @property
    def stage_levels(self) -> tuple[int, ...]:
        """Levels of the stages."""
        halvings = self.factor.bit_length() - 1
        return tuple(self.base_level + halvings * number for number in range(self.stages))

    @property
    def of_the_folder(self) -> dict[str, Any]:
        """What ``model_index.json`` states."""
        names = ("base_level", "steps", "guidance", "stage_guidance", "low_noise")
        return {**{name: getattr(self, name) for name in names}, "stage_levels": list(self.stage_levels)}

    @model_validator(mode="after")
    def _stay_in_range(self) -> Self:
        if self.stage_levels[-1] > MAX_LEVEL:
            raise ValueError(f"base_level {self.base_level} with {self.stages} stages ends beyond level {MAX_LEVEL}")
        return self


def beside_cascade(config: Mapping[str, Any]) -> str:
    """Return the settings of a configuration that do not go with ``[cascade]``, empty if there are none.

    Args:
        config: The whole configuration, plain.
    """
    model, conditions = config["model"], config["conditions"]
    faults = {
        "vae": config["vae"],
        "lora": config["lora"],
        "controlnet": config["controlnet"],
        "model.start": model["start"],
        "model.inpainting": model["inpainting"],
        "model.prediction = 'flow'": model["prediction"] == "flow",
        "conditions.further": conditions["further"],
        "conditions.long_captions = 'windows'": conditions["long_captions"] == "windows",
        "data.latents": config["data"]["latents"],
        "run.shard": config["run"]["shard"],
        "denoiser.ema_lengths": config["denoiser"]["ema_lengths"],
    }
    return ", ".join(name for name, is_so in faults.items() if is_so)
