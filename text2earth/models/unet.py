"""Text2Earth: a latent diffusion model whose U-Net knows the resolution (arXiv 2501.00895).

Three stock networks: a KL autoencoder (``diffusers.AutoencoderKL``), a CLIP text encoder
(``transformers.CLIPTextModel``) and a U-Net (``diffusers.UNet2DConditionModel``) that takes the level as
``class_labels`` with ``class_embed_type="timestep"``. Nothing in them is ours, so their files open elsewhere. Further
conditions, if a model takes any, enter through the U-Net's own ``timestep_cond``, from a small module in a folder of
its own. A preset may have the transformer of ``dit.py`` in the place of the U-Net; it is called in the same way.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from text2earth.models.condition_embedder import ConditionEmbedder
from text2earth.models.dit import FREQUENCIES, Text2EarthTransformer2DModel
from text2earth.models.presets import Preset

__all__ = [
    "Inputs",
    "Text2Earth",
    "build",
    "latent_factor",
    "parameter_counts",
    "tell_words_apart",
    "train_tokenizer",
]

_BEGIN, _END = "<|startoftext|>", "<|endoftext|>"
_WORD_END = "</w>"


@dataclass(frozen=True, slots=True)
class Text2Earth:
    """The networks of one model and its tokenizer.

    Args:
        vae: ``AutoencoderKL``: pixels in −1…1 (B, 3, H, W) ⇄ latents (B, 4, H/f, W/f).
        text_encoder: ``CLIPTextModel``: token ids (B, 77) → states (B, 77, D).
        unet: ``UNet2DConditionModel``: noisy latents, timestep, states, level → prediction. None where there is a
            transformer.
        tokenizer: ``CLIPTokenizer`` of 77 positions.
        condition_embedder: ``ConditionEmbedder`` of the conditions beside text and level, if there are any.
        transformer: ``Text2EarthTransformer2DModel`` in the place of the U-Net, or None.
    """

    vae: Any
    text_encoder: Any
    unet: Any
    tokenizer: Any
    condition_embedder: Any = None
    transformer: Any = None

    def networks(self) -> dict[str, Any]:
        """Return the networks that there are, by the names of their folders in a model folder."""
        names = ("vae", "text_encoder", "unet", "transformer", "condition_embedder")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}

    @property
    def denoiser_name(self) -> str:
        """``"unet"`` or ``"transformer"``: the network that denoises, as a model folder names it."""
        return "unet" if self.transformer is None else "transformer"

    @property
    def denoiser(self) -> Any:
        """The network that denoises: noisy latents, timestep, states, level → prediction."""
        return getattr(self, self.denoiser_name)

    @property
    def image_size(self) -> int:
        """Pixels a side that the model was made for."""
        return int(self.denoiser.config.sample_size) * latent_factor(self.vae)

    @property
    def is_inpainting(self) -> bool:
        """Whether the denoiser takes a mask and the rest of the image beside the noisy latents."""
        return int(self.denoiser.config.in_channels) > int(self.vae.config.latent_channels)


@dataclass(frozen=True, slots=True)
class Inputs:
    """What the denoiser takes beside noisy latents, timestep, text and level.

    Args:
        conditions: Further conditions, of ``models.CONDITIONS``; none is the published model.
        sources: Names that the condition ``"source"`` tells apart.
        inpainting: Whether the mask and the masked image's latents enter beside the noisy latents: 9 channels.
    """

    conditions: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    inpainting: bool = False


def build(
    preset: Preset,
    *,
    tokenizer: Any,
    image_size: int | None = None,
    seed: int = 0,
    inputs: Inputs = Inputs(),
) -> Text2Earth:
    """Make a model with fresh weights on the current default device (``"meta"`` makes shapes alone).

    Args:
        preset: Its size.
        tokenizer: A ``CLIPTokenizer`` with no more entries than the preset's ``vocab_size``.
        image_size: Pixels a side, the preset's own if left out; a multiple of the latent factor.
        seed: Of the initial weights; the caller's random state is left as it was.
        inputs: What the denoiser takes beside the published model's inputs.
    """
    factor = 2 ** (len(preset.vae["block_out_channels"]) - 1)
    pixels = image_size or preset.image_size
    text = CLIPTextConfig(
        **preset.text_encoder,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        vae = AutoencoderKL(**preset.vae, sample_size=pixels)  # type: ignore[no-untyped-call]
        text_encoder = CLIPTextModel(text)
        tell_words_apart(text_encoder, scale=preset.word_scale)
        network, embedder = _denoiser(preset, sample_size=pixels // factor, inputs=inputs)
    if preset.transformer:
        return Text2Earth(vae, text_encoder, None, tokenizer, embedder, network)
    return Text2Earth(vae, text_encoder, network, tokenizer, embedder)


@torch.no_grad()
def _denoiser(preset: Preset, *, sample_size: int, inputs: Inputs) -> tuple[Any, Any]:
    """Return the U-Net or transformer and, if it takes further conditions, their embedder."""
    kind: Any = Text2EarthTransformer2DModel if preset.transformer else UNet2DConditionModel
    settings = {**(preset.transformer or preset.unet), "sample_size": sample_size}
    latents = int(preset.vae["latent_channels"])
    if inputs.inpainting:
        settings |= {"in_channels": 2 * latents + 1, "out_channels": latents}
    if not inputs.conditions:
        return kind(**settings), None
    width = FREQUENCIES if preset.transformer else int(preset.unet["block_out_channels"][0])
    network = kind(**settings, time_cond_proj_dim=width)
    network.time_embedding.cond_proj.weight.zero_()
    return network, ConditionEmbedder(inputs.conditions, width=width, sources=inputs.sources)


@torch.no_grad()
def tell_words_apart(text_encoder: Any, *, scale: float) -> None:
    """Enlarge the fresh word embeddings by ``scale``: a state is then about its own word, not the mean of all before.

    CLIP starts them at σ = 0.02 beside attention outputs of about 0.5, which blurs a sentence to the average of its
    words; with few steps to train, cross-attention then never finds the one word that matters.
    """
    text_encoder.get_input_embeddings().weight.mul_(scale)


def latent_factor(vae: Any) -> int:
    """Return how many pixels a latent is wide: one halving for each block of the VAE but the last."""
    return int(2 ** (len(vae.config.block_out_channels) - 1))


def parameter_counts(model: Text2Earth) -> dict[str, int]:
    """Return the number of parameters of each network."""
    return {name: sum(weight.numel() for weight in network.parameters()) for name, network in model.networks().items()}


def train_tokenizer(captions: Iterable[str], *, vocab_size: int, positions: int = 77) -> Any:
    """Train a byte-pair encoding on captions and return it as a ``CLIPTokenizer``.

    The vocabulary is in CLIP's order: 256 bytes, the same bytes at the end of a word, the merges, begin and end of
    text. Every string can be encoded; the end token pads.

    Args:
        captions: Texts to learn merges from.
        vocab_size: Largest number of entries; at least 514.
        positions: Longest encoded text, begin and end included.
    """
    clip = CLIPTokenizer().backend_tokenizer
    learner = Tokenizer(models.BPE(end_of_word_suffix=_WORD_END, unk_token=_END))
    learner.normalizer, learner.pre_tokenizer = clip.normalizer, clip.pre_tokenizer
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        # The trainer's own alphabet already holds the bytes; those at the end of a word may add up to 256 more.
        vocab_size=vocab_size - 2,
        initial_alphabet=alphabet,
        end_of_word_suffix=_WORD_END,
        show_progress=False,
    )
    learner.train_from_iterator(captions, trainer=trainer)
    merges = _merges_of(learner)
    entries = [*alphabet, *(byte + _WORD_END for byte in alphabet)]
    room = vocab_size - len(entries) - 2
    merges = merges[:room]
    entries = [*entries, *dict.fromkeys("".join(pair) for pair in merges), _BEGIN, _END]
    vocab = {entry: number for number, entry in enumerate(entries)}
    pairs: Any = [tuple(pair) for pair in merges]
    return CLIPTokenizer(vocab=vocab, merges=pairs, model_max_length=positions)


def _merges_of(tokenizer: Tokenizer) -> list[list[str]]:
    """Return the learnt merges, in order (``tokenizers`` shows them only in its JSON form)."""
    import json

    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    return [pair.split(" ") if isinstance(pair, str) else pair for pair in merges]
