"""A transformer that takes the place of the U-Net, for flow matching (Peebles & Xie, arXiv 2212.09748).

Its conditions and its call are the U-Net's, so losses and pipelines need not know which of the two they have. All
parts are those of ``diffusers``. The block has the layers of Wan's (arXiv 2503.20314): self-attention with rotary
positions and normalised queries and keys, cross-attention to the text, a feed-forward layer, and one modulation shared
by all blocks beside a small table in each (PixArt-α's AdaLN-single, arXiv 2310.00426, section 2.3).

Positions are only ever relative (RoPE, arXiv 2104.09864, one half of each head for rows and one for columns): ground
has no corner, and a larger image is more ground at the same resolution rather than the same ground in more pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from diffusers.models.attention import AttentionMixin
from diffusers.models.embeddings import (
    PatchEmbed,
    PixArtAlphaTextProjection,
    TimestepEmbedding,
    Timesteps,
    get_1d_rotary_pos_embed,
)
from diffusers.models.modeling_outputs import Transformer2DModelOutput
from diffusers.models.normalization import AdaLayerNormContinuous
from torch import nn

from text2earth.errors import RequestError

if TYPE_CHECKING:
    ConfigMixin: Any
    ModelMixin: Any
    PeftAdapterMixin: Any
    WanTransformerBlock: Any
    register_to_config: Any
else:
    from diffusers.configuration_utils import ConfigMixin, register_to_config
    from diffusers.loaders import PeftAdapterMixin
    from diffusers.models.modeling_utils import ModelMixin
    from diffusers.models.transformers.transformer_wan import WanTransformerBlock

__all__ = ["FREQUENCIES", "Text2EarthTransformer2DModel", "TransformerBlock", "rotary_positions"]

FREQUENCIES = 256
"""Sinusoidal features of a timestep, and of a level."""


class TransformerBlock(WanTransformerBlock):  # type: ignore[misc]
    """One block; beside that of ``diffusers`` it knows where a text ends."""

    def forward(
        self,
        tokens: torch.Tensor,
        text: torch.Tensor,
        modulation: torch.Tensor,
        positions: tuple[torch.Tensor, torch.Tensor],
        mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return the tokens (B, N, D) after attention to each other, to the text, and the feed-forward layer.

        Args:
            tokens: (B, N, D).
            text: (B, L, D).
            modulation: Shifts, scales and gates of all blocks, (B, 6, D).
            positions: As ``rotary_positions`` returns them.
            mask: bool (B, 1, 1, L), False where a text does not reach; None where all counts.
        """
        kind = tokens.dtype
        shift, scale, gate, shift_ff, scale_ff, gate_ff = (self.scale_shift_table + modulation.float()).chunk(6, dim=1)
        given = (self.norm1(tokens.float()) * (1 + scale) + shift).to(kind)
        tokens = (tokens.float() + self.attn1(given, None, None, positions) * gate).to(kind)
        tokens = tokens + self.attn2(tokens, text, mask, None)
        given = (self.norm3(tokens.float()) * (1 + scale_ff) + shift_ff).to(kind)
        found: torch.Tensor = (tokens.float() + self.ffn(given) * gate_ff).to(kind)
        return found


class Text2EarthTransformer2DModel(ModelMixin, ConfigMixin, PeftAdapterMixin, AttentionMixin):  # type: ignore[misc]
    """Predicts the velocity of latents from a timestep, a text, a level and, optionally, further conditions.

    The resolution enters as Text2Earth's does (arXiv 2501.00895): sinusoidal features of the level, two linear
    layers, added to the time embedding; level 0 is the null. At the start every block is the identity and the
    prediction is zero (AdaLN-zero, arXiv 2212.09748, section 3.2).

    Args:
        sample_size: Latents a side that it is trained at; others may be asked for.
        patch_size: Latents a side of one token.
        in_channels: Of the latents.
        out_channels: Of the prediction; those of the latents if left out.
        num_layers: Number of blocks.
        num_attention_heads: Heads of each block.
        attention_head_dim: Width of a head, a multiple of 4.
        mlp_ratio: Width of the feed-forward layers over that of the tokens.
        cross_attention_dim: Width of the text states.
        time_cond_proj_dim: Width of ``timestep_cond``; None where there are no further conditions. Their projection
            starts at zero.
    """

    config: Any
    gradient_checkpointing: bool

    _supports_gradient_checkpointing = True
    _no_split_modules = ["TransformerBlock"]  # noqa: RUF012  (what FSDP wraps; the name is diffusers')
    _repeated_blocks = ["TransformerBlock"]  # noqa: RUF012  (what regional compilation compiles once)
    _skip_layerwise_casting_patterns = ["patch_embed", "time_embedding", "class_embedding", "norm"]  # noqa: RUF012

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self,
        sample_size: int = 32,
        patch_size: int = 2,
        in_channels: int = 4,
        out_channels: int | None = None,
        num_layers: int = 12,
        num_attention_heads: int = 12,
        attention_head_dim: int = 64,
        mlp_ratio: float = 4.0,
        cross_attention_dim: int = 1024,
        time_cond_proj_dim: int | None = None,
    ) -> None:
        super().__init__()
        width = num_attention_heads * attention_head_dim
        self.patch_embed: Any = PatchEmbed(  # type: ignore[no-untyped-call]
            height=sample_size,
            width=sample_size,
            patch_size=patch_size,
            in_channels=in_channels,
            embed_dim=width,
            pos_embed_type=None,
        )
        self.time_proj = Timesteps(FREQUENCIES, flip_sin_to_cos=True, downscale_freq_shift=0)
        self.time_embedding = TimestepEmbedding(FREQUENCIES, width, cond_proj_dim=time_cond_proj_dim)
        self.class_embedding = TimestepEmbedding(FREQUENCIES, width)
        self.modulation: Any = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))
        self.caption_projection = PixArtAlphaTextProjection(  # type: ignore[no-untyped-call]
            cross_attention_dim, width
        )
        self.blocks: Any = nn.ModuleList(
            TransformerBlock(width, int(width * mlp_ratio), num_attention_heads) for _ in range(num_layers)
        )
        self.norm_out = AdaLayerNormContinuous(width, width, elementwise_affine=False, eps=1e-6)
        self.proj_out = nn.Linear(width, patch_size**2 * (out_channels or in_channels))
        self.gradient_checkpointing = False
        self._start()

    @torch.no_grad()
    def _start(self) -> None:
        """Set fresh weights: those of DiT, every block the identity, the prediction zero."""
        part: Any
        for part in self.modules():
            if isinstance(part, nn.Linear):
                nn.init.xavier_uniform_(part.weight)
                if part.bias is not None:
                    nn.init.zeros_(part.bias)
        patches = self.patch_embed.proj
        nn.init.xavier_uniform_(patches.weight.view(len(patches.weight), -1))
        nn.init.zeros_(patches.bias)
        for embedding in (self.time_embedding, self.class_embedding):
            nn.init.normal_(embedding.linear_1.weight, std=0.02)
            nn.init.normal_(embedding.linear_2.weight, std=0.02)
        silent: list[Any] = [self.modulation[1], self.norm_out.linear, self.proj_out, self.time_embedding.cond_proj]
        for block in self.blocks:
            nn.init.zeros_(block.scale_shift_table)
            silent.append(block.attn2.to_out[0])  # the cross-attention has no gate of its own
        for layer in silent:
            if layer is not None:
                nn.init.zeros_(layer.weight)

    def forward(
        self,
        sample: torch.Tensor,
        timestep: torch.Tensor | float,
        encoder_hidden_states: torch.Tensor,
        class_labels: torch.Tensor | None = None,
        timestep_cond: torch.Tensor | None = None,
        encoder_attention_mask: torch.Tensor | None = None,
        return_dict: bool = True,
    ) -> Any:
        """Return the predicted velocity as ``.sample`` (B, C, h, w), or as a tuple of it alone.

        Args:
            sample: Noisy latents (B, C, h, w); h and w are multiples of the patch size.
            timestep: 0…1000, float or int, one or (B,).
            encoder_hidden_states: Text states (B, L, D).
            class_labels: Levels (B,), 0…22; 0, the null, for all if left out.
            timestep_cond: Further conditions (B, ``time_cond_proj_dim``).
            encoder_attention_mask: bool (B, L), False where a text does not reach; all counts if left out.
            return_dict: Whether to return an object rather than a tuple.

        Raises:
            RequestError: If a side is no multiple of the patch size.
        """
        rows, columns = self._grid(sample)
        embedded = self._embedded(sample, timestep, class_labels, timestep_cond)
        modulation = self.modulation(embedded).unflatten(1, (6, -1))
        text = self.caption_projection(encoder_hidden_states)
        width = int(self.config.attention_head_dim)
        positions = rotary_positions(rows, columns, width=width, device=sample.device)
        mask = None if encoder_attention_mask is None else encoder_attention_mask[:, None, None, :].bool()
        tokens = self.patch_embed(sample)
        for block in self.blocks:
            if torch.is_grad_enabled() and self.gradient_checkpointing:
                tokens = self._gradient_checkpointing_func(block, tokens, text, modulation, positions, mask)
            else:
                tokens = block(tokens, text, modulation, positions, mask)
        patches = self.proj_out(self.norm_out(tokens, embedded))
        # (B, rows·columns, p·p·C) → (B, C, rows·p, columns·p)
        side = int(self.config.patch_size)
        patches = patches.unflatten(1, (rows, columns)).unflatten(3, (side, side, -1))
        velocity = patches.permute(0, 5, 1, 3, 2, 4).flatten(4, 5).flatten(2, 3)
        return Transformer2DModelOutput(sample=velocity) if return_dict else (velocity,)

    def _grid(self, sample: torch.Tensor) -> tuple[int, int]:
        """Return how many rows and columns of tokens latents make."""
        side = int(self.config.patch_size)
        height, width = sample.shape[-2:]
        if height % side or width % side:
            raise RequestError(
                f"latents of {height} × {width} were given; the transformer reads patches of {side} × {side}, "
                "so both sides are a multiple of that"
            )
        return height // side, width // side

    def _embedded(
        self,
        sample: torch.Tensor,
        timestep: torch.Tensor | float,
        levels: torch.Tensor | None,
        further: torch.Tensor | None,
    ) -> torch.Tensor:
        """Return the sum of the embeddings of timestep and level (B, D)."""
        count = len(sample)
        times = torch.as_tensor(timestep, device=sample.device).expand(count)
        if levels is None:
            levels = torch.zeros(count, device=sample.device)
        time: torch.Tensor = self.time_embedding(self.time_proj(times).to(sample.dtype), further)
        level: torch.Tensor = self.class_embedding(self.time_proj(levels).to(sample.dtype))
        return time + level


def rotary_positions(
    rows: int, columns: int, *, width: int, device: torch.device | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return cosines and sines of the tokens' positions, each (1, rows·columns, 1, width), row by row.

    The first half of a head turns with the row and the second with the column, so that the product of a query and a
    key depends on how far apart they are and not on where they stand.
    """
    ys = torch.arange(rows, device=device).repeat_interleave(columns)
    xs = torch.arange(columns, device=device).repeat(rows)
    table: Any = get_1d_rotary_pos_embed  # it takes tensors too, which its types do not say
    turned = [table(width // 2, places, use_real=True) for places in (ys, xs)]
    cosines, sines = (torch.cat(parts, dim=-1)[None, :, None, :] for parts in zip(*turned, strict=True))
    return cosines, sines
