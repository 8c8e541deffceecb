"""A cascade of random weights that is made and run in no time: what is done with its networks needs no training."""

from __future__ import annotations

from functools import cache
from typing import Any

from text2earth.checkpoints import new_cascade_scheduler
from text2earth.models import CascadePreset, build_cascade, train_tokenizer
from text2earth.sampling import MetaEarthPipeline

WORDS = ["satellite view of water, forest, fields and town"]


@cache
def small_tokenizer() -> Any:
    """One tokenizer for all: among pairs that are equally frequent, its trainer does not always take the same first."""
    return train_tokenizer(WORDS, vocab_size=600)


def nano_cascade_preset(*, image_size: int = 16, patch: int = 2) -> CascadePreset:
    """A cascade of about 60 thousand parameters."""
    return CascadePreset(
        image_size=image_size,
        patch=patch,
        unet={
            "block_out_channels": (16, 16),
            "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
            "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
            "layers_per_block": 1,
            "norm_num_groups": 4,
            "attention_head_dim": 1,
            "cross_attention_dim": 16,
            "class_embed_type": "timestep",
        },
        low={"features": 8, "blocks": 1, "growth": 4},
        text_encoder={
            "vocab_size": 600,
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_hidden_layers": 1,
            "num_attention_heads": 1,
            "max_position_embeddings": 77,
            "projection_dim": 16,
        },
        word_scale=50.0,
    )


def nano_cascade(
    *, base_level: int = 8, stages: int = 3, factor: int = 4, image_size: int = 16, seed: int = 0, **settings: Any
) -> MetaEarthPipeline:
    """A ``MetaEarthPipeline`` of random weights, whose output depends on every condition."""
    tokenizer = small_tokenizer()
    preset = nano_cascade_preset(image_size=image_size)
    model = build_cascade(preset, tokenizer=tokenizer, factor=factor, seed=seed)
    levels = [base_level + (factor.bit_length() - 1) * number for number in range(stages)]
    pipeline = MetaEarthPipeline(
        **{name: network.eval() for name, network in model.networks().items()},
        tokenizer=tokenizer,
        scheduler=new_cascade_scheduler("v_prediction"),
        base_level=base_level,
        stage_levels=levels,
        **settings,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
