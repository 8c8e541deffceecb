"""From a configuration to a model folder."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from diffusers import AutoencoderKL
from transformers import CLIPTokenizer

from text2earth.checkpoints import replaced_folder, save_model
from text2earth.conditioning import DropRates
from text2earth.data import DatasetIdentity, Examples, RowFilter, ShardIndex, View, batches, scan
from text2earth.errors import ConfigError
from text2earth.models import (
    PRESETS,
    Text2Earth,
    build,
    parameter_counts,
    start_as_average,
    train_tokenizer,
)
from text2earth.training.card import CardFacts, model_card
from text2earth.training.config import TrainConfig
from text2earth.training.loop import Pace, Tally, run_stage
from text2earth.training.stages import DenoiserLoss, DenoiserStage, VaeLoss, VaeStage, posterior_latents

__all__ = ["TrainResult", "train"]

_TOKENIZER_CAPTIONS = 200_000
"""Captions that the byte-pair encoding is learnt from, at most."""
_SCALE_IMAGES = 256
"""Images that the scale of the latents is measured on."""
_FREE_TO_CHANGE = {"data.path", "data.workers", "run.checkpoint_every", "run.log_every"}
"""Settings that do not alter the numbers, so that an interrupted run may change them."""


@dataclass(frozen=True, slots=True)
class TrainResult:
    """What a training made.

    Args:
        folder: The model folder.
        parameters: Number of parameters of each network.
        tally: What the denoiser met in the data.
        identity: The training data.
    """

    folder: Path
    parameters: dict[str, int]
    tally: Tally
    identity: DatasetIdentity


def train(config: TrainConfig, *, output: Path) -> TrainResult:
    """Train a model, or go on with a training of the same configuration that was interrupted.

    ``output`` becomes a model folder; ``output/training`` holds the log and, until the end, the states.

    Raises:
        ConfigError: If the folder holds a training of another configuration or dataset; names the changed keys.
        ShardError: If there is nothing to train on.
        DivergedError: If a loss is infinite or not a number.
        InterruptedTraining: If SIGTERM or SIGINT came; the state is saved.
    """
    index = scan(
        config.data.path,
        rows=RowFilter(config.data.split, config.data.levels, config.data.min_quality),
    )
    folder = output / "training"
    _claim(folder, config=config, identity=index.identity)
    accelerator = Accelerator(mixed_precision=config.run.precision)
    model = build(
        PRESETS[config.model.preset],
        tokenizer=_tokenizer(folder, config=config, index=index),
        image_size=_image_size(config),
        seed=config.run.seed,
    )
    view = View(model.image_size, config.data.view, config.data.flips, config.data.turns)
    examples = Examples(index, view=view, seed=config.run.seed)
    pace = Pace(folder, config.run.checkpoint_every, config.run.log_every, config.data.workers)
    model = _with_vae(model, config=config, examples=examples, accelerator=accelerator, pace=pace)
    tally = _train_denoiser(model, config=config, examples=examples, accelerator=accelerator, pace=pace)
    result = TrainResult(output, parameter_counts(model), tally, index.identity)
    if accelerator.is_main_process:
        _publish(model, config=config, result=result)
    return result


def _image_size(config: TrainConfig) -> int:
    preset = PRESETS[config.model.preset]
    size = config.model.image_size or preset.image_size
    step = 2 ** (len(preset.vae["block_out_channels"]) + len(preset.unet["block_out_channels"]) - 2)
    if size % step:
        raise ConfigError(f"model.image_size is {size}; for preset {config.model.preset} it is a multiple of {step}")
    return size


def _claim(folder: Path, *, config: TrainConfig, identity: DatasetIdentity) -> None:
    """Note what is trained here, or refuse to go on with something else."""
    wanted = {
        "config": config.model_dump(mode="json"),
        "dataset": identity.fingerprint,
        "rows": identity.rows,
    }
    name = folder / "run.json"
    if name.is_file():
        before, now = (_flat(found) for found in (json.loads(name.read_text(encoding="utf-8")), wanted))
        changed = [
            f"{key} ({before.get(key)!r} → {now.get(key)!r})"
            for key in sorted({*before, *now})
            if before.get(key) != now.get(key) and key.removeprefix("config.") not in _FREE_TO_CHANGE
        ]
        if changed:
            raise ConfigError(
                f"{folder.parent} holds a training of another configuration; changed: {', '.join(changed)}. "
                "Restore it to go on, or give another --output"
            )
        return
    folder.mkdir(parents=True, exist_ok=True)
    fresh = name.with_suffix(".tmp")
    fresh.write_text(json.dumps(wanted, indent=2) + "\n", encoding="utf-8")
    fresh.replace(name)


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {prefix.removesuffix("."): value}
    return {key: found for name, item in value.items() for key, found in _flat(item, f"{prefix}{name}.").items()}


def _tokenizer(folder: Path, *, config: TrainConfig, index: ShardIndex) -> Any:
    """Return the run's tokenizer, trained on the captions at the first start."""
    name = folder / "tokenizer"
    if not name.is_dir():
        sizes = PRESETS[config.model.preset].text_encoder
        captions = islice(index.captions(), _TOKENIZER_CAPTIONS)
        positions = int(sizes["max_position_embeddings"])
        trained = train_tokenizer(captions, vocab_size=int(sizes["vocab_size"]), positions=positions)
        with replaced_folder(name) as fresh:
            trained.save_pretrained(fresh)
    return CLIPTokenizer.from_pretrained(name)


def _with_vae(
    model: Text2Earth, *, config: TrainConfig, examples: Examples, accelerator: Accelerator, pace: Pace
) -> Text2Earth:
    """Train the autoencoder, or read it back if that stage has ended; set the scale of its latents."""
    name = pace.folder / "vae-trained"
    if not name.is_dir():
        settings = config.vae
        start_as_average(model.vae)
        loss = VaeLoss(
            model.vae,
            kl_weight=settings.kl_weight,
            gradient_weight=settings.gradient_weight,
            texture_weight=settings.texture_weight,
        )
        stage = VaeStage(loss, config.run.seed)
        run_stage(stage, settings=settings, examples=examples, first_counter=0, accelerator=accelerator, pace=pace)
        scale = _latent_scale(model.vae, examples=examples, seed=config.run.seed, accelerator=accelerator)
        model.vae.register_to_config(scaling_factor=scale)
        if accelerator.is_main_process:
            with replaced_folder(name) as fresh:
                model.vae.to(memory_format=torch.contiguous_format).save_pretrained(fresh)
        accelerator.wait_for_everyone()
    # Always from disk: a run that never stopped and one that was resumed go on from the same bytes.
    vae: Any = AutoencoderKL.from_pretrained(name, use_safetensors=True)  # type: ignore[no-untyped-call]
    vae.to(accelerator.device, memory_format=torch.channels_last).requires_grad_(False).eval()
    return replace(model, vae=vae)


def _latent_scale(vae: Any, *, examples: Examples, seed: int, accelerator: Accelerator) -> float:
    """Return 1/σ of the latents, which the denoiser then sees with unit variance."""
    vae.register_to_config(scaling_factor=1.0)
    positions = [list(range(start, start + 8)) for start in range(0, _SCALE_IMAGES, 8)]
    latents = [
        posterior_latents(vae, batch, seed=seed, device=accelerator.device).float().cpu()
        for batch in batches(examples, positions=positions)
    ]
    return 1.0 / float(torch.cat(latents).std())


def _train_denoiser(
    model: Text2Earth, *, config: TrainConfig, examples: Examples, accelerator: Accelerator, pace: Pace
) -> Tally:
    settings, rates = config.denoiser, config.conditions
    loss = DenoiserLoss(
        model,
        prediction=config.model.prediction,
        min_snr_gamma=settings.min_snr_gamma,
        train_text_encoder=settings.train_text_encoder,
    )
    drops = DropRates(rates.drop_text, rates.drop_level, rates.drop_both)
    stage = DenoiserStage(loss, model, drops, config.run.seed)
    return run_stage(
        stage,
        settings=settings,
        examples=examples,
        first_counter=config.vae.steps * config.vae.batch_size,
        accelerator=accelerator,
        pace=pace,
    )


def _publish(model: Text2Earth, *, config: TrainConfig, result: TrainResult) -> None:
    tally = result.tally
    facts = CardFacts(
        identity=result.identity,
        parameters=result.parameters,
        image_size=model.image_size,
        levels=tally.levels,
        seen=tally.seen,
        truncated=tally.truncated,
        skipped=tally.skipped,
    )
    save_model(
        Text2Earth(model.vae.cpu(), model.text_encoder.cpu(), model.unet.cpu(), model.tokenizer),
        result.folder,
        prediction=config.model.prediction,
        levels=tuple(sorted(level for level in tally.levels if level)),
        card=model_card(config, facts),
    )
    for stage in ("vae", "denoiser"):  # states of a training that has ended
        shutil.rmtree(result.folder / "training" / stage, ignore_errors=True)
