"""Text2Earth as a ``diffusers`` pipeline: prompts and levels in, images out."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, ImagePipelineOutput
from diffusers.image_processor import VaeImageProcessor
from diffusers.utils.torch_utils import randn_tensor

from text2earth.conditioning import NULL, Condition, embed, parse, tokenize
from text2earth.diffusion import joint_guidance, two_scale_guidance
from text2earth.errors import ConditionError, ModelError, RequestError
from text2earth.models import latent_factor

if TYPE_CHECKING:
    DiffusionPipeline: Any
else:
    from diffusers import DiffusionPipeline

__all__ = ["Text2EarthPipeline"]

Callback = Callable[[Any, int, int, dict[str, Any]], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class _Guidance:
    """Scales of the guidance; ``level_scale`` None is the joint form."""

    text_scale: float
    level_scale: float | None

    @property
    def is_two_scale(self) -> bool:
        return self.level_scale is not None

    @property
    def branches(self) -> int:
        """How many predictions a step takes: 1 unguided, 2 joint, 3 two-scale."""
        if self.is_two_scale:
            return 3
        return 1 if self.text_scale == 1.0 else 2

    def combined(self, predicted: torch.Tensor) -> torch.Tensor:
        """Join the predictions (branches·B, C, h, w), null first and full last."""
        parts = predicted.chunk(self.branches)
        if self.level_scale is not None:
            null, level_only, full = parts
            return two_scale_guidance(null, level_only, full, text_scale=self.text_scale, level_scale=self.level_scale)
        return parts[0] if self.branches == 1 else joint_guidance(parts[0], parts[1], scale=self.text_scale)


class Text2EarthPipeline(DiffusionPipeline):  # type: ignore[misc]
    """Paints satellite-like images from prompts at asked resolutions (arXiv 2501.00895).

    The components are stock classes, so that each opens with ``diffusers`` or ``transformers`` alone; what a stock
    pipeline lacks is the level, given to the U-Net as ``class_labels``.

    Args:
        vae: ``AutoencoderKL``.
        text_encoder: ``CLIPTextModel``.
        tokenizer: ``CLIPTokenizer``.
        unet: ``UNet2DConditionModel`` with ``class_embed_type="timestep"``; None where there is a transformer.
        scheduler: Any scheduler of ``diffusers`` for what the network predicts.
        transformer: ``Text2EarthTransformer2DModel`` in the place of the U-Net.
        trained_levels: Levels that the model was trained on, if they are known.
    """

    vae: Any
    text_encoder: Any
    tokenizer: Any
    unet: Any
    transformer: Any
    scheduler: Any
    config: Any

    model_cpu_offload_seq = "text_encoder->unet->transformer->vae"
    _optional_components = ["unet", "transformer"]  # noqa: RUF012  (diffusers' name and type)

    def __init__(
        self,
        vae: Any,
        text_encoder: Any,
        tokenizer: Any,
        unet: Any,
        scheduler: Any,
        transformer: Any = None,
        trained_levels: list[int] | None = None,
    ) -> None:
        super().__init__()
        if (unet is None) == (transformer is None):
            raise ModelError("a Text2Earth model has either a U-Net or a transformer; give one of the two")
        if unet is not None and unet.config.class_embed_type != "timestep":
            raise ModelError(
                f"the U-Net has class_embed_type {unet.config.class_embed_type!r}; a Text2Earth model has 'timestep', "
                "through which the level enters"
            )
        self.register_modules(
            vae=vae,
            text_encoder=text_encoder,
            tokenizer=tokenizer,
            unet=unet,
            scheduler=scheduler,
            transformer=transformer,
        )
        self.register_to_config(trained_levels=trained_levels)
        self.image_processor = VaeImageProcessor(vae_scale_factor=latent_factor(vae))

    @property
    def components(self) -> dict[str, Any]:
        """Components by name; a stock pipeline takes them as they are where there is no transformer."""
        found: dict[str, Any] = super().components
        return {name: part for name, part in found.items() if part is not None or name == "unet"}

    @property
    def denoiser(self) -> Any:
        """The network that denoises: U-Net or transformer."""
        return self.unet if self.transformer is None else self.transformer

    @property
    def image_size(self) -> int:
        """Pixels a side that the model was trained at, the default of ``height`` and ``width``."""
        return int(self.denoiser.config.sample_size) * latent_factor(self.vae)

    @torch.no_grad()
    def __call__(
        self,
        prompt: str | Sequence[str] | None = None,
        level: int | Sequence[int] | None = None,
        *,
        height: int | None = None,
        width: int | None = None,
        num_inference_steps: int = 50,
        guidance_scale: float = 4.0,
        resolution_guidance_scale: float | None = None,
        num_images_per_prompt: int = 1,
        generator: torch.Generator | list[torch.Generator] | None = None,
        latents: torch.Tensor | None = None,
        prompt_embeds: torch.Tensor | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        callback_on_step_end: Callback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
    ) -> Any:
        """Paint images.

        Args:
            prompt: One text or one for each image; the published prefix ``"16_GOOGLE_LEVEL_"`` is understood.
            level: Zoom level 0…22 for all prompts, or one for each; 0 or None leaves the resolution open.
            height: Pixels, a multiple of the latent factor; the model's own size if left out.
            width: Pixels, likewise.
            num_inference_steps: Denoising steps.
            guidance_scale: s of ``ε(∅,∅) + s·[ε(text,level) − ε(∅,∅)]``; 1 is no guidance. Of the two-scale form,
                the text's.
            resolution_guidance_scale: The level's own scale; if given, the two-scale form
                ``ε(∅,∅) + s_r·[ε(∅,r) − ε(∅,∅)] + s_t·[ε(t,r) − ε(∅,r)]`` is used, at three predictions a step.
            num_images_per_prompt: Images of each prompt, next to each other in the result.
            generator: Source of the initial noise; one on the CPU gives the same noise on every device.
            latents: Initial unit noise (N, 4, h, w) in place of a generator's.
            prompt_embeds: Text states (B, 77, D) in place of ``prompt``.
            output_type: ``"pil"``, ``"np"`` (N, H, W, 3) in 0…1, ``"pt"`` (N, 3, H, W) in 0…1, or ``"latent"``.
            return_dict: Whether to return ``ImagePipelineOutput`` or a tuple of its one field.
            callback_on_step_end: Called as ``(pipeline, step, timestep, tensors)`` after each step; may return
                ``{"latents": …}`` in their place.
            callback_on_step_end_tensor_inputs: Names of the tensors that it is given; only ``"latents"``.

        Returns:
            ``ImagePipelineOutput`` whose ``images`` are N = prompts × ``num_images_per_prompt``.

        Raises:
            ConditionError: If prompts and levels do not match in number, or a level is impossible.
            RequestError: If the size is not a multiple of the latent factor.
        """
        guidance = _Guidance(guidance_scale, resolution_guidance_scale)
        states, levels = self._conditions(prompt, level, prompt_embeds, guidance, repeat=num_images_per_prompt)
        count = len(levels) // guidance.branches
        with warnings.catch_warnings():
            # diffusers 0.42 gives NumPy 2 a tensor that does not know ``copy``; harmless.
            warnings.filterwarnings("ignore", message="__array__ implementation", category=DeprecationWarning)
            self._set_timesteps(num_inference_steps)
        latents = self._initial_latents(count, height, width, generator=generator, latents=latents)
        latents = self._denoised(
            latents, states, levels, guidance=guidance, generator=generator, on_step=callback_on_step_end
        )
        images = self._decoded(latents, output_type)
        self.maybe_free_model_hooks()
        output: Any = ImagePipelineOutput
        return output(images=images) if return_dict else (images,)

    def _set_timesteps(self, steps: int) -> None:
        """Set the scheduler to a number of steps; of a flow, evenly spaced from t = 1.

        Left to itself, diffusers' flow scheduler ends at t = 1/1000 and spends its last step on the way to 0.
        """
        given = {"sigmas": np.linspace(1.0, 1.0 / steps, steps)} if self._is_euler_flow else {}
        self.scheduler.set_timesteps(steps, device=self._execution_device, **given)

    @property
    def _is_euler_flow(self) -> bool:
        return isinstance(self.scheduler, FlowMatchEulerDiscreteScheduler)

    def _conditions(
        self,
        prompt: str | Sequence[str] | None,
        level: int | Sequence[int] | None,
        prompt_embeds: torch.Tensor | None,
        guidance: _Guidance,
        *,
        repeat: int,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return text states (branches·N, 77, D) and levels (branches·N,): null first, full last."""
        conditions = _as_conditions(prompt, level, None if prompt_embeds is None else len(prompt_embeds))
        null = [NULL] * len(conditions)
        level_only = [Condition(NULL.prompt, condition.level) for condition in conditions]
        rows = {1: [conditions], 2: [null, conditions], 3: [null, level_only, conditions]}[guidance.branches]
        states, levels = [], []
        for row in rows:
            tokens = tokenize(row, tokenizer=self.tokenizer)
            if row is conditions and prompt_embeds is not None:
                found = prompt_embeds
            else:
                found = embed(tokens.ids.to(self._execution_device), text_encoder=self.text_encoder)
            states.append(found.to(self._execution_device, self.denoiser.dtype).repeat_interleave(repeat, dim=0))
            levels.append(tokens.levels.to(self._execution_device).repeat_interleave(repeat))
        return torch.cat(states), torch.cat(levels)

    def _initial_latents(
        self,
        count: int,
        height: int | None,
        width: int | None,
        *,
        generator: torch.Generator | list[torch.Generator] | None,
        latents: torch.Tensor | None,
    ) -> torch.Tensor:
        factor = latent_factor(self.vae)
        unit = factor * int(self.denoiser.config.get("patch_size", 1))
        sides = (height or self.image_size, width or self.image_size)
        for side in sides:
            if side <= 0 or side % unit:
                near = max(unit, round(side / unit) * unit)
                raise RequestError(f"a side of {side} px was asked for; it is a multiple of {unit}, such as {near}")
        shape = (count, int(self.denoiser.config.in_channels), sides[0] // factor, sides[1] // factor)
        if latents is None:
            latents = randn_tensor(shape, generator=generator, device=self._execution_device, dtype=self.denoiser.dtype)
        elif tuple(latents.shape) != shape:
            raise RequestError(f"latents of shape {tuple(latents.shape)} were given; this request needs {shape}")
        latents = latents.to(self._execution_device, self.denoiser.dtype)
        scaled: torch.Tensor = latents * getattr(self.scheduler, "init_noise_sigma", 1.0)
        return scaled

    def _denoised(
        self,
        latents: torch.Tensor,
        states: torch.Tensor,
        levels: torch.Tensor,
        *,
        guidance: _Guidance,
        generator: Any,
        on_step: Callback | None,
    ) -> torch.Tensor:
        """Return clean latents (N, 4, h, w)."""
        takes_generator = "generator" in inspect.signature(self.scheduler.step).parameters
        extra = {"generator": generator} if takes_generator else {}
        timesteps = self.scheduler.timesteps
        with self.progress_bar(total=len(timesteps)) as bar:
            for number, timestep in enumerate(timesteps):
                given = torch.cat([latents] * guidance.branches)
                if hasattr(self.scheduler, "scale_model_input"):  # those of flows have none
                    given = self.scheduler.scale_model_input(given, timestep)
                predicted = self.denoiser(given, timestep, states, class_labels=levels).sample
                wanted = guidance.combined(predicted)
                latents = self.scheduler.step(wanted, timestep, latents, **extra).prev_sample
                if on_step is not None:
                    latents = on_step(self, number, int(timestep), {"latents": latents}).get("latents", latents)
                bar.update()
        return latents

    def _decoded(self, latents: torch.Tensor, output_type: str) -> Any:
        if output_type == "latent":
            return latents
        pixels = self.vae.decode(latents / self.vae.config.scaling_factor).sample
        return self.image_processor.postprocess(pixels, output_type=output_type)


def _as_conditions(
    prompt: str | Sequence[str] | None, level: int | Sequence[int] | None, embedded: int | None
) -> list[Condition]:
    """Match prompts with levels; ``embedded`` is the number of prompt embeddings given in place of prompts."""
    if (prompt is None) == (embedded is None):
        raise ConditionError("give either prompt or prompt_embeds, and not both")
    prompts: list[str] = (
        [""] * (embedded or 0) if prompt is None else [prompt] if isinstance(prompt, str) else [*prompt]
    )
    levels = [level] * len(prompts) if level is None or isinstance(level, int) else [*level]
    if len(levels) != len(prompts) or not prompts:
        raise ConditionError(
            f"{len(prompts)} prompts and {len(levels)} levels were given; give one level, or one for each prompt"
        )
    return [parse(text, level=number) for text, number in zip(prompts, levels, strict=True)]
