"""What the pipelines share: components, conditions, the denoising loop, decoding."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from diffusers import AutoencoderKL, ImagePipelineOutput, UNet2DConditionModel
from diffusers.callbacks import MultiPipelineCallbacks, PipelineCallback
from diffusers.image_processor import VaeImageProcessor
from diffusers.utils import logging
from diffusers.utils.torch_utils import randn_tensor

from text2earth.conditioning import NULL, Condition, Tokens, tokenize
from text2earth.errors import ConditionError, ModelError, RequestError
from text2earth.models import ConditionEmbedder, Encoded, Text2EarthTransformer2DModel, encode, latent_factor, predict
from text2earth.sampling.asking import conditions_of, for_each, number, refuse_unknown, texts, whole
from text2earth.sampling.guidance import Guidance
from text2earth.sampling.scheduling import is_of_flow, quiet, timesteps_of

if TYPE_CHECKING:
    DiffusionPipeline: Any
    StableDiffusionLoraLoaderMixin: Any
else:
    from diffusers import DiffusionPipeline
    from diffusers.loaders import StableDiffusionLoraLoaderMixin

__all__ = ["Asked", "Callback", "Painter", "Walk"]

Callback = Callable[[Any, int, int, dict[str, Any]], dict[str, Any]]
Generators = torch.Generator | list[torch.Generator] | None

_OUTPUTS = ("pil", "np", "pt", "latent")
_LOG = logging.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a call says beside sizes and images.

    Args:
        prompt: One text or several, or None beside ``prompt_embeds``.
        level: One for all, or one for each.
        further: Further conditions by field of ``Condition``.
        negative_prompt: Text of the null branch in place of ``""``, one for all or one for each.
        prompt_embeds: Text states (B, L, D) in place of ``prompt``.
        repeat: Images of each prompt.
    """

    prompt: str | Sequence[str] | None
    level: int | Sequence[int] | None
    further: Mapping[str, Any]
    negative_prompt: str | Sequence[str] | None = None
    prompt_embeds: torch.Tensor | None = None
    repeat: int = 1


@dataclass(frozen=True, slots=True)
class Walk:
    """How latents are walked from noise to an image.

    Args:
        guidance: How predictions are joined.
        timesteps: Of the scheduler, from noise to image.
        generator: For schedulers that add noise.
        eta: For schedulers that have it (DDIM).
        on_step: Called after each step.
        tensors: Names of the tensors that it is given.
        beside: Channels beside the noisy latents, (N, 1 + C, h, w), for an inpainting model.
        after_step: Changes latents (N, C, h, w) after a step, given the next timestep (None after the last).
    """

    guidance: Guidance
    timesteps: torch.Tensor
    generator: Generators = None
    eta: float = 0.0
    on_step: Callback | None = None
    tensors: Sequence[str] = ("latents",)
    beside: torch.Tensor | None = None
    after_step: Callable[[torch.Tensor, torch.Tensor | None], torch.Tensor] | None = None


class Painter(StableDiffusionLoraLoaderMixin, DiffusionPipeline):  # type: ignore[misc]
    """Ground of the pipelines of Text2Earth (arXiv 2501.00895).

    The components are stock classes, so that each opens with ``diffusers`` or ``transformers`` alone; what a stock
    pipeline lacks is the level, given to the U-Net as ``class_labels``.

    Args:
        vae: ``AutoencoderKL``.
        text_encoder: ``CLIPTextModel``.
        tokenizer: ``CLIPTokenizer``.
        unet: ``UNet2DConditionModel`` with ``class_embed_type="timestep"``; None where there is a transformer.
        scheduler: Any scheduler of ``diffusers``, for what the network predicts.
        condition_embedder: ``ConditionEmbedder``, if the model takes conditions beside text and level.
        transformer: ``Text2EarthTransformer2DModel`` in the place of the U-Net.
        trained_levels: Levels that the model was trained on, if they are known.
        text_windows: Windows of 77 tokens that a prompt may fill.
    """

    vae: Any
    text_encoder: Any
    tokenizer: Any
    unet: Any
    transformer: Any
    scheduler: Any
    condition_embedder: Any
    config: Any

    model_cpu_offload_seq = "text_encoder->condition_embedder->unet->transformer->vae"
    _optional_components = ["unet", "transformer", "condition_embedder"]  # noqa: RUF012  (diffusers' name and type)
    _callback_tensor_inputs = ["latents", "prompt_embeds"]  # noqa: RUF012
    _mask_channels = False
    """Whether the pipeline can feed an inpainting model."""
    band: str | None = None
    """Name of the one band that an adapter has taught the model to paint: the mean of its three."""

    # The types of networks are those that ``from_pipe`` hands on.
    def __init__(
        self,
        vae: AutoencoderKL,
        text_encoder: Any,
        tokenizer: Any,
        unet: UNet2DConditionModel | None,
        scheduler: Any,
        condition_embedder: ConditionEmbedder | None = None,
        transformer: Text2EarthTransformer2DModel | None = None,
        trained_levels: list[int] | None = None,
        text_windows: int = 1,
    ) -> None:
        super().__init__()
        if (unet is None) == (transformer is None):
            raise ModelError("a Text2Earth model has either a U-Net or a transformer; give one of the two")
        self._refuse_other_models(vae, unet if transformer is None else transformer)
        self.register_modules(
            vae=vae,
            text_encoder=text_encoder,
            tokenizer=tokenizer,
            unet=unet,
            scheduler=scheduler,
            condition_embedder=condition_embedder,
            transformer=transformer,
        )
        self.register_to_config(trained_levels=trained_levels, text_windows=text_windows)
        self.image_processor = VaeImageProcessor(vae_scale_factor=latent_factor(vae))
        self._flow = is_of_flow(scheduler)

    def _refuse_other_models(self, vae: Any, denoiser: Any) -> None:
        kind = getattr(denoiser.config, "class_embed_type", "timestep")  # a transformer has no such choice
        if kind != "timestep":
            raise ModelError(
                f"the U-Net has class_embed_type {kind!r}; a Text2Earth model has 'timestep', "
                "through which the level enters"
            )
        latents, taken = int(vae.config.latent_channels), int(denoiser.config.in_channels)
        if taken == 2 * latents + 1 and not self._mask_channels:
            raise ModelError(
                f"the denoiser takes {taken} channels: it is an inpainting model; use Text2EarthInpaintPipeline"
            )
        if taken not in (latents, 2 * latents + 1):
            raise ModelError(
                f"the denoiser takes {taken} channels and the VAE has {latents}; a text-to-image model takes "
                f"{latents}, an inpainting model {2 * latents + 1}"
            )

    @property
    def components(self) -> dict[str, Any]:
        """Components by name; a stock pipeline takes them as they are where there is nothing beside its own."""
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

    @property
    def guidance_scale(self) -> float:
        """Scale of the text in the call under way; a callback may set ``_guidance_scale`` for the steps to come."""
        return float(self._guidance_scale)

    @property
    def num_timesteps(self) -> int:
        """Number of steps of the call under way."""
        return int(self._num_timesteps)

    @property
    def interrupt(self) -> bool:
        """Whether a callback has set ``_interrupt``, which skips the steps to come."""
        return bool(self._interrupt)

    @torch.no_grad()
    def encode_prompt(self, prompt: str | Sequence[str], *, num_images_per_prompt: int = 1) -> torch.Tensor:
        """Return text states (B, L, D) for ``prompt_embeds``.

        L is 77, or a multiple for a model of several text windows; such a model's prompts of different lengths are
        encoded in separate calls, as the shorter ones would count empty windows.
        """
        texts = [prompt] if isinstance(prompt, str) else [*prompt]
        tokens = self._tokens([Condition(text) for text in texts], windows=self._windows_of(texts))
        return self._encoded(tokens).states.repeat_interleave(num_images_per_prompt, dim=0)

    def _conditions(self, asked: Asked, guidance: Guidance) -> Encoded:
        """Return the conditions of every branch, branches·N rows: null first, full last."""
        repeat = whole(asked.repeat, "num_images_per_prompt")
        states = asked.prompt_embeds
        if states is not None:
            self._refuse_states(states)
        full = conditions_of(
            asked.prompt, asked.level, embedded=None if states is None else len(states), further=asked.further
        )
        taken = () if self.condition_embedder is None else tuple(self.condition_embedder.config.conditions)
        refuse_unknown(full, taken=taken)
        avoid = NULL.prompt if asked.negative_prompt is None else asked.negative_prompt
        avoided = texts(for_each(avoid, "negative_prompt", count=len(full)), what="negative_prompt")
        null = [replace(NULL, prompt=text) for text in avoided]
        textless = [replace(condition, prompt=text) for condition, text in zip(full, avoided, strict=True)]
        branches = {1: [full], 2: [null, full], 3: [null, textless, full]}
        chosen = branches[guidance.branches]
        windows = self._windows_of([condition.prompt for row in chosen for condition in row])
        if states is not None:
            windows = states.shape[1] // int(self.tokenizer.model_max_length)
        tokens = self._tokens([condition for row in chosen for condition in row], windows=windows)
        encoded = self._encoded(tokens)
        if states is not None:
            mask = encoded.mask
            if mask is not None:
                mask = torch.cat([mask[: -len(full)], torch.ones_like(mask[-len(full) :])])
            given = states.to(encoded.states.device, encoded.states.dtype)
            encoded = replace(encoded, states=torch.cat([encoded.states[: -len(full)], given]), mask=mask)
        return encoded.repeated(repeat)

    def _tokens(self, conditions: Sequence[Condition], *, windows: int) -> Tokens:
        sources = () if self.condition_embedder is None else tuple(self.condition_embedder.config.sources)
        tokens = tokenize(conditions, tokenizer=self.tokenizer, windows=windows, sources=sources)
        if tokens.truncated:
            room = windows * (int(self.tokenizer.model_max_length) - 2)
            _LOG.warning(
                f"{tokens.truncated} of {len(conditions)} prompts are longer than {room} tokens and lose their end"
            )
        device = self._execution_device
        return Tokens(
            tokens.ids.to(device),
            tokens.levels.to(device),
            tokens.truncated,
            None if tokens.extras is None else tokens.extras.to(device),
            None if tokens.mask is None else tokens.mask.to(device),
        )

    def _encoded(self, tokens: Tokens) -> Encoded:
        found = encode(tokens, text_encoder=self.text_encoder, condition_embedder=self.condition_embedder)
        dtype = self.denoiser.dtype
        vector = None if found.vector is None else found.vector.to(dtype)
        return replace(found, states=found.states.to(dtype), vector=vector)

    def _windows_of(self, prompts: Sequence[str]) -> int:
        """Return how many windows the longest prompt fills, at most ``text_windows``."""
        most = int(self.config.text_windows)
        if most == 1:
            return 1
        lengths = [len(ids) - 2 for ids in self.tokenizer([*prompts], verbose=False)["input_ids"]]
        return max(1, min(most, -(-max(lengths) // (int(self.tokenizer.model_max_length) - 2))))

    def _refuse_states(self, states: Any) -> None:
        positions, width = int(self.tokenizer.model_max_length), int(self.text_encoder.config.hidden_size)
        most = int(self.config.text_windows)
        is_one = isinstance(states, torch.Tensor) and states.ndim == 3 and states.shape[2] == width
        if not (is_one and states.shape[1] in range(positions, most * positions + 1, positions)):
            given = tuple(states.shape) if hasattr(states, "shape") else type(states).__name__
            lengths = f"{positions}" if most == 1 else f"{positions} to {most * positions} by {positions}"
            raise ConditionError(
                f"prompt_embeds are {given}; they are a tensor (prompts, {lengths}, {width}), as encode_prompt returns"
            )

    def _timesteps(self, steps: int, *, size: tuple[int, int]) -> torch.Tensor:
        """Set the scheduler to a number of steps and return its timesteps."""
        return timesteps_of(
            self.scheduler,
            steps=steps,
            tokens=size[0] * size[1] // (4 * latent_factor(self.vae) ** 2),
            device=self._execution_device,
            flow=self._flow,
        )

    def _timesteps_from(self, steps: int, *, size: tuple[int, int], strength: float) -> torch.Tensor:
        """Set the scheduler and return the timesteps that remain of an image noised to a strength."""
        if not 0.0 < number(strength, "strength", usual=0.8) <= 1.0:
            raise RequestError(f"strength {strength} was given; it is above 0 and at most 1")
        timesteps = self._timesteps(steps, size=size)
        taken = int(steps * strength + 1e-6)
        if not taken:
            raise RequestError(f"strength {strength} of {steps} steps leaves no step; raise one of them")
        skipped = (steps - taken) * int(getattr(self.scheduler, "order", 1))
        if hasattr(self.scheduler, "set_begin_index"):
            self.scheduler.set_begin_index(skipped)
        return timesteps[skipped:]

    def _size_of(self, pixels: torch.Tensor) -> tuple[int, int]:
        """Return height and width of images, or refuse a size that the networks cannot take."""
        height, width = pixels.shape[-2:]
        unit = self._unit
        if height % unit or width % unit or not height or not width:
            fits = f"{max(unit, width // unit * unit)}×{max(unit, height // unit * unit)}"
            raise RequestError(
                f"the image is {width}×{height} px; its sides are multiples of {unit}: crop or resize it to {fits}"
            )
        return height, width

    @staticmethod
    def _for_each(images: torch.Tensor, count: int, *, what: str) -> torch.Tensor:
        """Return ``count`` images of one, of one for each prompt, or of as many."""
        if not len(images) or count % len(images):
            raise RequestError(
                f"{len(images)} {what} were given for {count} to paint; give one, or one for each prompt"
            )
        return images.repeat_interleave(count // len(images), dim=0)

    @property
    def _unit(self) -> int:
        """Pixels that the sides of an image are multiples of."""
        return latent_factor(self.vae) * int(getattr(self.denoiser.config, "patch_size", None) or 1)

    def _size(self, height: int | None, width: int | None) -> tuple[int, int]:
        unit = self._unit
        given = {"height": height, "width": width}
        sides = [self.image_size if side is None else whole(side, name) for name, side in given.items()]
        for side in sides:
            if side % unit:
                near = max(unit, round(side / unit) * unit)
                raise RequestError(f"a side of {side} px was asked for; it is a multiple of {unit}, such as {near}")
        return sides[0], sides[1]

    def _noise(
        self, count: int, size: tuple[int, int], *, generator: Generators, latents: torch.Tensor | None
    ) -> torch.Tensor:
        """Return unit noise (N, C, h, w), drawn or given."""
        factor = latent_factor(self.vae)
        shape = (count, int(self.vae.config.latent_channels), size[0] // factor, size[1] // factor)
        drawn = generator if isinstance(generator, list) else [generator] * count
        if len(drawn) != count or not all(each is None or isinstance(each, torch.Generator) for each in drawn):
            raise RequestError(
                f"generator is {generator!r} for {count} images; give torch.Generator().manual_seed(SEED), or a list "
                "with one for each image"
            )
        if latents is None:
            latents = randn_tensor(shape, generator=generator, device=self._execution_device, dtype=self.denoiser.dtype)
        elif not isinstance(latents, torch.Tensor) or tuple(latents.shape) != shape:
            given = tuple(getattr(latents, "shape", ()))
            raise RequestError(f"latents of shape {given} were given; this request needs a tensor {shape}")
        return latents.to(self._execution_device, self.denoiser.dtype)

    def _noised(self, clean: torch.Tensor, noise: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        """Return latents of an image with as much noise as a timestep has, whatever the kind of scheduler."""
        times = timestep.reshape(1).repeat(len(clean))
        add = getattr(self.scheduler, "add_noise", None)
        noised: torch.Tensor = (
            self.scheduler.scale_noise(clean, times, noise) if add is None else add(clean, noise, times)
        )
        return noised

    def _latents_of(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return scaled latents (B, C, h, w), their posterior's mean, of pixels in 0…1 (B, 3, H, W)."""
        given = (2.0 * pixels - 1.0).to(self._execution_device, self.vae.dtype)
        found: torch.Tensor = self.vae.encode(given).latent_dist.mode() * self.vae.config.scaling_factor
        return found.to(self.denoiser.dtype)

    def _denoised(self, latents: torch.Tensor, conditions: Encoded, walk: Walk) -> torch.Tensor:
        """Return clean latents (N, C, h, w)."""
        callback: Any = walk.on_step
        tensors = [*(callback.tensor_inputs if _is_official(callback) else walk.tensors)]
        unknown = [name for name in tensors if name not in self._callback_tensor_inputs]
        if unknown:
            raise RequestError(
                f"callback_on_step_end_tensor_inputs names {', '.join(unknown)}; "
                f"there are {', '.join(self._callback_tensor_inputs)}"
            )
        self._guidance_scale, self._interrupt = walk.guidance.text_scale, False
        self._num_timesteps = len(walk.timesteps)
        count = len(latents)
        with self.progress_bar(total=len(walk.timesteps)) as bar:
            for number, timestep in enumerate(walk.timesteps):
                if not self._interrupt:
                    latents = self._stepped(latents, timestep, conditions, walk)
                    later = walk.timesteps[number + 1] if number + 1 < len(walk.timesteps) else None
                    latents = latents if walk.after_step is None else walk.after_step(latents, later)
                if walk.on_step is not None:
                    held = {"latents": latents, "prompt_embeds": conditions.states[-count:]}
                    given = {name: held[name] for name in tensors}
                    changed = walk.on_step(self, number, int(timestep), given) or {}
                    latents = changed.get("latents", latents)
                    if "prompt_embeds" in changed:
                        states = torch.cat([conditions.states[:-count], changed["prompt_embeds"]])
                        conditions = replace(conditions, states=states)
                bar.update()
        return latents

    def _stepped(self, latents: torch.Tensor, timestep: torch.Tensor, conditions: Encoded, walk: Walk) -> torch.Tensor:
        """Return latents one step nearer to the image."""
        guidance = replace(walk.guidance, text_scale=self._guidance_scale)
        share = float(timestep) / float(self.scheduler.config.num_train_timesteps)
        branches = min(guidance.branches_at(share), len(conditions.levels) // len(latents))
        given = latents
        if hasattr(self.scheduler, "scale_model_input"):
            given = self.scheduler.scale_model_input(latents, timestep)
        if walk.beside is not None:
            given = torch.cat([given, walk.beside.to(given)], dim=1)
        rows = conditions.rows(slice(len(conditions.levels) - branches * len(latents), None))
        predicted = predict(self.denoiser, torch.cat([given] * branches), timestep, rows)
        wanted = guidance.combined(predicted, branches=branches)
        taken = inspect.signature(self.scheduler.step).parameters
        extra = {"generator": walk.generator, "eta": walk.eta}
        with quiet():
            found: torch.Tensor = self.scheduler.step(
                wanted, timestep, latents, **{name: value for name, value in extra.items() if name in taken}
            ).prev_sample
        return found.to(latents.dtype)

    def _decoded(self, latents: torch.Tensor) -> torch.Tensor:
        """Return images in 0…1, (N, 3, H, W), or (N, 1, H, W) where one band is painted."""
        pixels = self.vae.decode((latents / self.vae.config.scaling_factor).to(self.vae.dtype)).sample
        found: torch.Tensor = (pixels.float() / 2.0 + 0.5).clamp(0.0, 1.0)
        return found if self.band is None else found.mean(dim=1, keepdim=True)

    def _output(self, images: torch.Tensor, *, output_type: str, return_dict: bool) -> Any:
        """Return images in 0…1 (N, 3, H, W), or latents, as a pipeline's output."""
        self.maybe_free_model_hooks()
        if output_type in ("np", "pil"):
            arrays = images.movedim(1, -1).cpu().numpy()
            found: Any = arrays if output_type == "np" else VaeImageProcessor.numpy_to_pil(arrays)
        else:
            found = images
        output: Any = ImagePipelineOutput
        return output(images=found) if return_dict else (found,)

    def _refuse_output(self, output_type: str, *, known: Sequence[str] = _OUTPUTS) -> None:
        if output_type not in known:
            raise RequestError(f"output_type {output_type!r} was given; choose from {', '.join(known)}")


def _is_official(callback: Any) -> bool:
    """Say whether it is one of diffusers' own callbacks, which name their tensors themselves."""
    return isinstance(callback, PipelineCallback | MultiPipelineCallbacks)
