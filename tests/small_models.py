"""A small made-up dataset, textures whose colour is their name and whose grain is their level, and a model for it."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from git10m import records
from git10m.grid import Tile, nominal_resolution_m
from text2earth.models import Preset
from text2earth.training import TrainConfig

COLOURS = {"water": (30, 60, 120), "forest": (30, 80, 35), "fields": (180, 160, 90), "town": (150, 140, 140)}


def texture(name: str, *, level: int, seed: int, size: int = 256) -> np.ndarray:
    """A cover of one colour with blobs that are twice as large at each finer level."""
    draws = np.random.default_rng(seed)
    cell = 2 ** (level - 12)
    coarse = draws.normal(0, 22, (size // cell, size // cell, 1))
    shade = np.kron(coarse, np.ones((cell, cell, 1))) + draws.normal(0, 3, (size, size, 1))
    return np.clip(np.array(COLOURS[name]) + shade, 0, 255).astype(np.uint8)


def row(number: int, *, tile_px: int = 256, split: str = "train") -> records.Row:
    """A row of the made-up dataset; neighbours differ in cover and level."""
    name = list(COLOURS)[number % len(COLOURS)]
    level = 14 + (number // len(COLOURS)) % 2
    tile = Tile(level, 4000 + number, 5000)
    encoded = io.BytesIO()
    Image.fromarray(texture(name, level=level, seed=number, size=tile_px)).save(encoded, "JPEG", quality=90)
    caption = f"Satellite view of {name}, synthetic."
    return records.Row(
        image={"bytes": encoded.getvalue(), "path": f"{tile.name}.jpg"},
        img_name=f"{tile.name}_{number}.jpg",
        img_quality_score=float(number % 10),
        caption=caption,
        caption_length=len(caption.split()),
        resolution=nominal_resolution_m(level),
        Google_location=tile.name,
        quadkey=tile.quadkey,
        level=level,
        x=tile.x,
        y=tile.y,
        width=tile_px,
        height=tile_px,
        source_id="textures",
        licence="CC0-1.0",
        attribution="Nobody's imagery",
        synthetic=True,
        sha256=hashlib.sha256(encoded.getvalue()).hexdigest(),
        split=split,
    )


def write_dataset(folder: Path, *, rows: int, tile_px: int = 256, shards: int = 1, group_rows: int = 500) -> Path:
    """Write a dataset folder as ``git10m build`` lays it out."""
    (folder / "data").mkdir(parents=True)
    numbers = np.array_split(np.arange(rows), shards)
    for shard, members in enumerate(numbers):
        table = records.table(row(int(number), tile_px=tile_px) for number in members)
        name = folder / "data" / f"train-{shard:05d}-of-{shards:05d}.parquet"
        pq.write_table(table, name, row_group_size=group_rows)
    manifest = {"name": "textures", "version": "1", "fingerprint": f"textures-{rows}-{tile_px}"}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def nano_preset() -> Preset:
    """The smallest model of the same shape: 16-px images, 8×8 latents, about 0.3 M parameters."""
    return Preset(
        image_size=16,
        vae={
            "block_out_channels": (16, 16),
            "down_block_types": ("DownEncoderBlock2D",) * 2,
            "up_block_types": ("UpDecoderBlock2D",) * 2,
            "layers_per_block": 1,
            "norm_num_groups": 4,
            "mid_block_add_attention": False,
            "latent_channels": 4,
        },
        unet={
            "block_out_channels": (16, 32),
            "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
            "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
            "layers_per_block": 1,
            "norm_num_groups": 4,
            "attention_head_dim": (1, 2),
            "cross_attention_dim": 32,
            "class_embed_type": "timestep",
        },
        text_encoder={
            "vocab_size": 600,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "max_position_embeddings": 77,
            "projection_dim": 32,
        },
    )


def nano_config(data: Path, **run: object) -> TrainConfig:
    """A configuration that trains ``nano`` in seconds."""
    return TrainConfig.model_validate(
        {
            "name": "nano",
            "data": {"path": str(data)},
            "model": {"preset": "nano"},
            "vae": {"steps": 10, "batch_size": 4, "learning_rate": 3e-4},
            "denoiser": {"steps": 60, "batch_size": 8, "learning_rate": 3e-3, "warmup_steps": 5},
            "run": {"checkpoint_every": 7, "log_every": 1, **run},
        }
    )


def steps_config(data: Path, **run: object) -> TrainConfig:
    """A configuration that takes ten denoiser steps of ``nano``, dropping many conditions."""
    return TrainConfig.model_validate(
        {
            "name": "steps",
            "data": {"path": str(data), "flips": True},
            "model": {"preset": "nano"},
            "conditions": {"drop_text": 0.3, "drop_level": 0.3, "drop_both": 0.2},
            "vae": {"steps": 1, "batch_size": 2},
            "denoiser": {"steps": 10, "batch_size": 6, "learning_rate": 1e-3, "ema_power": 0.3},
            "run": {"checkpoint_every": 4, "log_every": 1, **run},
        }
    )
