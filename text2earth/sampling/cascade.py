"""MetaEarth's cascade as a ``diffusers`` pipeline, and as what unbounded painting asks of a network.

A stage is one window: from text and level alone (the base stage), or from the window at the level above, its
low-resolution condition. ``MetaEarthPipeline`` paints single windows; ``CascadeNetwork`` gives the same predictions to
those who paint a plane.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from diffusers import ImagePipelineOutput
from diffusers.image_processor import VaeImageProcessor
from diffusers.utils.torch_utils import randn_tensor

from text2earth.conditioning import NULL, Condition, embed, tokenize
from text2earth.errors import ModelError, RequestError
from text2earth.models import Encoded, predict_window
from text2earth.sampling.asking import conditions_of
from text2earth.sampling.pictures import pixels_of

if TYPE_CHECKING:
    DiffusionPipeline: Any
else:
    from diffusers import DiffusionPipeline

__all__ = ["CascadeNetwork", "MetaEarthPipeline"]

_OUTPUTS = ("pil", "np", "pt")


class MetaEarthPipeline(DiffusionPipeline):  # type: ignore[misc]
    """Paints a window at a level, from text alone or into the window at the level above (arXiv 2405.13570).

    Args:
        text_encoder: ``CLIPTextModel``.
        tokenizer: ``CLIPTokenizer``.
        unet: ``UNet2DConditionModel`` of pixels with ``class_embed_type="timestep"``.
        low_encoder: ``LowResolutionEncoder``.
        scheduler: Any scheduler of ``diffusers`` for a diffusion; ``DDIMScheduler`` as it is saved.
        base_level: Level of the first stage, which has no low-resolution condition.
        stage_levels: Levels of all stages, the first included, each ``log2(factor)`` above the one before.
        factor: How much finer a stage is than the one before; the encoder's.
        window: Pixels a side of a window; the U-Net's.
        steps: Denoising steps that are enough.
        guidance: Scale of the text at the base stage.
        stage_guidance: Scale of the text at the stages after it; 1 is none, at half the cost.
        low_noise: σ that the network is told the low-resolution condition has, though none is added.
        trained_levels: Levels that the model was trained on, if they are known.

    Raises:
        ModelError: If the components are of another kind of model, or the settings contradict them.
    """

    text_encoder: Any
    tokenizer: Any
    unet: Any
    low_encoder: Any
    scheduler: Any
    config: Any

    model_cpu_offload_seq = "text_encoder->low_encoder->unet"

    def __init__(
        self,
        text_encoder: Any,
        tokenizer: Any,
        unet: Any,
        low_encoder: Any,
        scheduler: Any,
        base_level: int | None = None,  # with a default: what has none is a component to diffusers
        stage_levels: list[int] | None = None,
        factor: int | None = None,
        window: int | None = None,
        steps: int = 12,
        guidance: float = 1.0,
        stage_guidance: float = 1.0,
        low_noise: float = 0.0,
        trained_levels: list[int] | None = None,
    ) -> None:
        super().__init__()
        self.register_modules(
            text_encoder=text_encoder, tokenizer=tokenizer, unet=unet, low_encoder=low_encoder, scheduler=scheduler
        )
        if base_level is None or stage_levels is None:
            absent = "base_level" if base_level is None else "stage_levels"
            raise ModelError(
                f"{absent} was not given; model_index.json of a cascade says at which levels its stages are"
            )
        own = (int(low_encoder.config.factor), int(unet.config.sample_size) * int(low_encoder.config.patch))
        _refuse_other_parts(unet, low_encoder)
        _refuse_settings(own, given=(factor, window), base_level=base_level, stage_levels=stage_levels)
        self.register_to_config(
            base_level=base_level,
            stage_levels=list(stage_levels),
            factor=own[0],
            window=own[1],
            steps=steps,
            guidance=guidance,
            stage_guidance=stage_guidance,
            low_noise=low_noise,
            trained_levels=trained_levels,
        )

    @property
    def image_size(self) -> int:
        """Pixels a side of a window."""
        return int(self.config.window)

    @torch.no_grad()
    def encode_prompt(self, prompt: str | Sequence[str]) -> torch.Tensor:
        """Return text states (P, 77, D) of one prompt or several; ``""`` is the null."""
        texts = [prompt] if isinstance(prompt, str) else [*prompt]
        tokens = tokenize([Condition(text) for text in texts], tokenizer=self.tokenizer)
        states = embed(tokens.ids.to(self._execution_device), text_encoder=self.text_encoder)
        return states.to(self.unet.dtype)

    @torch.no_grad()
    def predicted(
        self, noisy: torch.Tensor, timestep: int, *, low: torch.Tensor | None, level: int, text: torch.Tensor
    ) -> torch.Tensor:
        """Return what the U-Net predicts of noisy windows at one timestep, (B, 3, H, W), without guidance.

        Args:
            noisy: (B, 3, H, W).
            timestep: Of all.
            low: The level above, −1…1, (B, 3, H/factor, W/factor), or None.
            level: Of the noisy pixels.
            text: States (B, L, D).
        """
        count, device, dtype = len(noisy), noisy.device, self.unet.dtype
        absent = torch.full((count,), low is None, dtype=torch.bool, device=device)
        told = torch.full((count,), float(self.config.low_noise), device=device)
        if low is None:
            sides = [side // int(self.config.factor) for side in noisy.shape[-2:]]
            low = torch.zeros(count, noisy.shape[1], *sides, device=device)
        maps, vector = self.low_encoder(low.to(dtype), told, absent)
        levels = torch.full((count,), level, dtype=torch.int64, device=device)
        times = torch.full((count,), timestep, dtype=torch.int64, device=device)
        conditions = Encoded(text.to(dtype), levels, None, vector)
        return predict_window(self.unet, noisy.to(dtype), times, conditions, maps=maps).float()

    def guided(
        self,
        noisy: torch.Tensor,
        timestep: int,
        *,
        low: torch.Tensor | None,
        level: int,
        text: torch.Tensor,
        null: torch.Tensor,
        scale: float | None = None,
    ) -> torch.Tensor:
        """Return the prediction with guidance by text: ``v(∅) + s·[v(text) − v(∅)]`` with level and low kept.

        Args:
            noisy: As in ``predicted``, and so what follows.
            timestep: Of all.
            low: The level above, or None.
            level: Of the noisy pixels.
            text: States (B, L, D).
            null: States of the null (1, L, D).
            scale: s; the model's own for a stage of this kind if left out. 1 takes one prediction.
        """
        if scale is None:
            scale = float(self.config.guidance if low is None else self.config.stage_guidance)
        full = self.predicted(noisy, timestep, low=low, level=level, text=text)
        if scale == 1.0:
            return full
        without = self.predicted(noisy, timestep, low=low, level=level, text=null.to(text).expand_as(text))
        return without + scale * (full - without)

    @torch.no_grad()
    def __call__(
        self,
        prompt: str | Sequence[str] = "",
        level: int | None = None,
        *,
        low: Any = None,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        generator: torch.Generator | list[torch.Generator] | None = None,
        latents: torch.Tensor | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        callback_on_step_end: Callable[[Any, int, int, dict[str, Any]], Any] | None = None,
    ) -> Any:
        """Paint windows of one level.

        Args:
            prompt: One text or several; the published prefix ``"10_GOOGLE_LEVEL_"`` is understood.
            level: Of the windows; the base level if left out and no prefix says it.
            low: Image of the same ground at the level ``log2(factor)`` above, one for all or one for each prompt:
                Pillow, array or tensor. Left out, text and level alone decide.
            num_inference_steps: Denoising steps; the model's own if left out.
            guidance_scale: Scale of the text; the model's own for such a stage if left out.
            generator: Source of the initial noise.
            latents: Initial unit noise (N, 3, H, W) in place of a generator's.
            output_type: ``"pil"``, ``"np"`` (N, H, W, 3) in 0…1, or ``"pt"`` (N, 3, H, W) in 0…1.
            return_dict: Whether to return ``ImagePipelineOutput`` or a tuple of its one field.
            callback_on_step_end: Called as ``(pipeline, step, timestep, tensors)`` after each step.

        Raises:
            ConditionError: If a level is impossible, or prompts name different ones.
            RequestError: If a size, a number of steps or a name is impossible.
        """
        if output_type not in _OUTPUTS:
            raise RequestError(f"output_type {output_type!r} was given; choose from {', '.join(_OUTPUTS)}")
        conditions = conditions_of(prompt, level, embedded=None, further={})
        chosen = self._level(conditions)
        pixels = None if low is None else self._low(low, count=len(conditions))
        size = self._size(pixels)
        shape = (len(conditions), 3, *size)
        if latents is None:
            latents = randn_tensor(shape, generator=generator, device=self._execution_device)
        elif tuple(latents.shape) != shape:
            raise RequestError(f"latents of shape {tuple(latents.shape)} were given; this request needs {shape}")
        steps = int(self.config.steps) if num_inference_steps is None else num_inference_steps
        if steps < 1:
            raise RequestError(f"num_inference_steps is {steps}; at least 1 is needed")
        asked: dict[str, Any] = {
            "low": pixels,
            "level": chosen,
            "text": self.encode_prompt([condition.prompt for condition in conditions]),
            "null": self.encode_prompt(NULL.prompt),
            "scale": guidance_scale,
        }
        self.scheduler.set_timesteps(steps, device=self._execution_device)
        image = latents.float().to(self._execution_device) * getattr(self.scheduler, "init_noise_sigma", 1.0)
        with self.progress_bar(total=steps) as bar:
            for number, timestep in enumerate(self.scheduler.timesteps):
                given = self.scheduler.scale_model_input(image, timestep)
                wanted = self.guided(given, int(timestep), **asked)
                image = self.scheduler.step(wanted, timestep, image).prev_sample
                if callback_on_step_end is not None:
                    callback_on_step_end(self, number, int(timestep), {"latents": image})
                bar.update()
        return self._output(image / 2.0 + 0.5, output_type=output_type, return_dict=return_dict)

    def _level(self, conditions: Sequence[Condition]) -> int:
        levels = {condition.level for condition in conditions} - {0}
        if len(levels) > 1:
            raise RequestError(f"levels {sorted(levels)} were asked for; a call paints windows of one level")
        return levels.pop() if levels else int(self.config.base_level)

    def _low(self, low: Any, *, count: int) -> torch.Tensor:
        """Return the low-resolution condition, −1…1 (count, 3, h, w)."""
        found = pixels_of(low) * 2.0 - 1.0
        if len(found) not in (1, count):
            raise RequestError(f"{len(found)} low images were given for {count} prompts; give one, or one for each")
        return found.expand(count, -1, -1, -1).to(self._execution_device)

    def _size(self, low: torch.Tensor | None) -> tuple[int, int]:
        """Return height and width of the windows: the model's own, or what the condition asks for."""
        if low is None:
            return self.image_size, self.image_size
        factor, unit = int(self.config.factor), self.size_step
        height, width = (side * factor for side in low.shape[-2:])
        if height % unit or width % unit or not height or not width:
            own = self.image_size // factor
            raise RequestError(
                f"low is {low.shape[-1]}×{low.shape[-2]} px; times {factor} its sides are multiples of {unit} px: give "
                f"{own}×{own} px, which makes a window of {self.image_size}"
            )
        return height, width

    @property
    def size_step(self) -> int:
        """What the sides of a window must be multiples of, in pixels."""
        halvings = len(self.unet.config.block_out_channels) - 1
        return int(self.low_encoder.config.patch * 2**halvings)

    def _output(self, images: torch.Tensor, *, output_type: str, return_dict: bool) -> Any:
        images = images.float().clamp(0.0, 1.0)
        self.maybe_free_model_hooks()
        found: Any = images
        if output_type != "pt":
            arrays = images.movedim(1, -1).cpu().numpy()
            found = arrays if output_type == "np" else VaeImageProcessor.numpy_to_pil(arrays)
        output: Any = ImagePipelineOutput
        return output(images=found) if return_dict else (found,)


class CascadeNetwork:
    """A cascade as unbounded painting asks for it: ``world.network.WindowNetwork``.

    Args:
        pipeline: The cascade; its own guidance is applied.

    Raises:
        ModelError: If its scheduler belongs to no diffusion.
    """

    def __init__(self, pipeline: MetaEarthPipeline) -> None:
        if getattr(pipeline.scheduler, "alphas_cumprod", None) is None:
            raise ModelError(
                f"the scheduler {type(pipeline.scheduler).__name__} has no noise schedule of a diffusion; "
                "a cascade has DDIMScheduler"
            )
        self.pipeline = pipeline
        alphas: torch.Tensor = pipeline.scheduler.alphas_cumprod
        self._alphas: torch.Tensor = alphas.to(pipeline.device, torch.float32)
        self._fingerprint = ""
        self._null = pipeline.encode_prompt(NULL.prompt)

    @property
    def window(self) -> int:
        """Pixels a side of a forward pass."""
        return self.pipeline.image_size

    @property
    def factor(self) -> int:
        """How much finer a stage is than its parent."""
        return int(self.pipeline.config.factor)

    @property
    def alphas_cumprod(self) -> torch.Tensor:
        """ᾱ of the noise schedule, float32 (T,)."""
        return self._alphas

    @property
    def fingerprint(self) -> str:
        """SHA-256 of weights and configuration."""
        self._fingerprint = self._fingerprint or _fingerprint(self.pipeline)
        return self._fingerprint

    def encode(self, prompts: Sequence[str]) -> torch.Tensor:
        """Return the text states (P, L, D) of prompts; ``""`` is the null."""
        states: torch.Tensor = self.pipeline.encode_prompt(prompts)
        return states

    @torch.no_grad()
    def denoise(
        self, noisy: torch.Tensor, timestep: int, *, low: torch.Tensor | None, level: int, text: torch.Tensor
    ) -> torch.Tensor:
        """Return the prediction of the clean pixels, float32 (B, 3, w, w), −1…1.

        Args:
            noisy: √ᾱ x₀ + √(1 − ᾱ) ε, float32 (B, 3, w, w).
            timestep: Index into ``alphas_cumprod``.
            low: The parent's pixels under each window, −1…1, (B, 3, w/f, w/f), or None.
            level: Zoom level of the noisy pixels.
            text: States of each window's prompt, (B, L, D).
        """
        found = self.pipeline.guided(noisy, timestep, low=low, level=level, text=text, null=self._null)
        alpha = self._alphas[timestep]
        signal, spread = alpha.sqrt(), (1.0 - alpha).sqrt()
        if self.pipeline.scheduler.config.prediction_type == "v_prediction":
            clean = signal * noisy - spread * found
        else:
            clean = (noisy - spread * found) / signal
        bounded: torch.Tensor = clean.clamp(-1.0, 1.0)
        return bounded


def _refuse_other_parts(unet: Any, low_encoder: Any) -> None:
    kind = unet.config.class_embed_type
    if kind != "timestep":
        raise ModelError(f"the U-Net has class_embed_type {kind!r}; that of a cascade has 'timestep', for the level")
    folded = 3 * int(low_encoder.config.patch) ** 2
    wanted = folded + int(low_encoder.config.features)
    if int(unet.config.in_channels) != wanted or int(unet.config.out_channels) != folded:
        raise ModelError(
            f"the U-Net takes {unet.config.in_channels} channels and gives {unet.config.out_channels}; with this "
            f"encoder it takes {wanted} and gives {folded}"
        )


def _refuse_settings(
    own: tuple[int, int], *, given: tuple[int | None, int | None], base_level: int, stage_levels: Sequence[int]
) -> None:
    for name, is_so, said in zip(("factor", "window"), own, given, strict=True):
        if said is not None and said != is_so:
            raise ModelError(f"{name} is {said} in model_index.json, and {is_so} by the networks; correct it")
    halvings = own[0].bit_length() - 1
    wanted = [base_level + halvings * number for number in range(len(stage_levels))]
    if not stage_levels or list(stage_levels) != wanted:
        raise ModelError(
            f"stage_levels {list(stage_levels)} with base_level {base_level} and factor {own[0]} were given; stages "
            f"begin at the base level, {halvings} levels apart, such as {wanted or [base_level]}"
        )


def _fingerprint(pipeline: MetaEarthPipeline) -> str:
    digest = hashlib.sha256()
    plain = {name: value for name, value in pipeline.config.items() if not name.startswith("_")}
    settings = {name: value for name, value in plain.items() if not isinstance(value, tuple)}
    scheduler = {name: value for name, value in pipeline.scheduler.config.items() if not name.startswith("_")}
    vocabulary = pipeline.tokenizer.get_vocab()
    digest.update(json.dumps([settings, scheduler, vocabulary], sort_keys=True, default=str).encode())
    for network in ("text_encoder", "unet", "low_encoder"):
        for name, weight in sorted(getattr(pipeline, network).state_dict().items()):
            digest.update(f"{network}.{name} {weight.dtype} {tuple(weight.shape)}\n".encode())
            digest.update(np.ascontiguousarray(weight.detach().float().cpu().contiguous().numpy()).tobytes())
    return digest.hexdigest()
