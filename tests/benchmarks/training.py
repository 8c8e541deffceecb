"""Images a second of training, beside the recipe of ``diffusers``.

    python tests/benchmarks/training.py [--model small|text2earth] [--batch 8] [--steps 5] [--rounds 5] [--cached]
        [--precision no|bf16] [--compile inductor]

Both sides train the same U-Net (random weights: they cost the same) on the same rows with the same batch, precision,
AdamW, clipping and moving average, text encoder frozen, in one process and interleaved; what is said is the median of
the rounds, the first steps (set-up, compiling) apart. The peer is the loop of ``train_text_to_image.py``, written from
its documented steps with the parts that it is made of: ``datasets`` with a transform, ``DataLoader``,
``AutoencoderKL``, ``DDPMScheduler``, ``EMAModel`` with ``foreach`` (its best flags: TF32, foreach EMA). The script
itself needs torchvision, and gives no level to the U-Net; the loop here does. Then both take 50 steps from equal
weights on equal latents, noise and times, and the losses are compared.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from diffusers import DDPMScheduler
from diffusers.training_utils import EMAModel

sys.path.insert(0, str(Path(__file__).parents[1]))

from small_models import write_dataset

from text2earth.data import Batch, batches, scan
from text2earth.data import RowFilter as Rows
from text2earth.models import PRESETS, Text2Earth, build, train_tokenizer
from text2earth.training.config import TrainConfig
from text2earth.training.dry_run import _matmul_speed, _Rehearsal
from text2earth.training.loop import Pace, Phase, _Run
from text2earth.training.parallel import Spread
from text2earth.training.train import denoiser_stage, training_phases

PRESET = {"small": "tiny", "text2earth": "text2earth"}
EQUAL_STEPS = 50


def configured(asked: argparse.Namespace, data: Path) -> TrainConfig:
    """The same settings on both sides, as far as the recipe has them."""
    denoiser = {"steps": 10**6, "batch_size": asked.batch, "learning_rate": 1e-4, "train_text_encoder": False}
    return TrainConfig.model_validate(
        {
            "name": "benchmark",
            "data": {"path": str(data), "workers": asked.workers},
            "model": {"preset": PRESET[asked.model]},
            "conditions": {"drop_text": 0.0, "drop_level": 0.0, "drop_both": 0.0},
            "vae": {"steps": 1, "batch_size": 1},
            "denoiser": denoiser,
            "run": {"precision": asked.precision, "compile": asked.compile},
        }
    )


class CachedPhase:
    """Examples whose latents were encoded once, kept in memory: what a latent cache gives."""

    def __init__(self, phase: Phase, model: Text2Earth, device: torch.device, count: int) -> None:
        self.phase = phase
        self.kept: list[Batch] = []
        for start in range(0, count, 8):
            batch = next(batches(phase.examples, positions=[list(range(start, start + 8))]))
            with torch.no_grad():
                mean = model.vae.encode(batch.pixels.to(device)).latent_dist.mean.cpu()
            self.kept.append(replace(batch, latents=mean))


def ours(
    asked: argparse.Namespace, model: Text2Earth, config: TrainConfig, phase: Phase, folder: Path
) -> Iterator[None]:
    """Steps of ``text2earth train``."""
    accelerator = Accelerator(mixed_precision=asked.precision)
    spread = Spread(accelerator, False, config.run.compile)
    model.vae.to(spread.device, memory_format=torch.channels_last).requires_grad_(False).eval()
    pace = Pace(folder, 10**6, 10**6, asked.workers)
    run = _Run(denoiser_stage(model, config=config), config.denoiser, [phase], 0, spread, pace, None)
    steps: Any = run._steps()
    if asked.cached:
        kept = CachedPhase(phase, model, spread.device, asked.batch * 8).kept
        whole = [kept[start : start + -(-asked.batch // 8)] for start in range(0, len(kept), -(-asked.batch // 8))]
        joined = [_joined(part, asked.batch) for part in whole]
        steps = ((phase, [joined[number % len(joined)]]) for number in range(10**6))
    for each, micro_batches in steps:
        run._take(each, micro_batches)
        yield


def _joined(parts: list[Batch], size: int) -> Batch:
    latents = torch.cat([part.latents for part in parts if part.latents is not None])[:size]
    return replace(
        parts[0],
        counters=sum((part.counters for part in parts), ())[:size],
        names=sum((part.names for part in parts), ())[:size],
        pixels=torch.cat([part.pixels for part in parts])[:size],
        conditions=sum((part.conditions for part in parts), ())[:size],
        latents=latents,
    )


def recipe(asked: argparse.Namespace, model: Text2Earth, data: Path) -> Iterator[None]:
    """Steps of the recipe of ``diffusers``, from pixels."""
    from datasets import load_dataset

    accelerator = Accelerator(mixed_precision=asked.precision)
    kind = torch.bfloat16 if asked.precision == "bf16" else torch.float32
    size = model.image_size
    noise_scheduler = DDPMScheduler(1000, beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    rows = load_dataset("parquet", data_files=str(data / "data" / "*.parquet"), cache_dir=str(data / "cache"))["train"]

    def transform(found: dict[str, list[Any]]) -> dict[str, list[Any]]:
        draws = np.random.default_rng()
        pixels = []
        for image in found["image"]:
            array = np.asarray(image.convert("RGB"))
            top, left = (int(draws.integers(side - size + 1)) for side in array.shape[:2])
            cut = torch.from_numpy(array[top : top + size, left : left + size].copy()).permute(2, 0, 1)
            pixels.append(cut.float() / 127.5 - 1.0)
        tokens = model.tokenizer(found["caption"], max_length=77, padding="max_length", truncation=True)["input_ids"]
        return {"pixel_values": pixels, "input_ids": [torch.tensor(row) for row in tokens], "level": found["level"]}

    loader = torch.utils.data.DataLoader(
        rows.with_transform(transform), shuffle=True, batch_size=asked.batch, num_workers=asked.workers, drop_last=True
    )
    optimizer = torch.optim.AdamW(model.unet.parameters(), lr=1e-4, weight_decay=0.01)
    unet, optimizer, loader = accelerator.prepare(model.unet.train(), optimizer, loader)
    model.vae.to(accelerator.device, dtype=kind).requires_grad_(False)
    model.text_encoder.to(accelerator.device, dtype=kind).requires_grad_(False)
    ema = EMAModel(unet.parameters(), foreach=True)
    ema.to(accelerator.device)
    while True:
        for batch in loader:
            with accelerator.accumulate(unet):
                latents = model.vae.encode(batch["pixel_values"].to(kind)).latent_dist.sample()
                latents = latents * model.vae.config.scaling_factor
                noise = torch.randn_like(latents)
                timesteps = torch.randint(0, 1000, (len(latents),), device=latents.device)
                noisy = noise_scheduler.add_noise(latents, noise, timesteps)
                states = model.text_encoder(batch["input_ids"])[0]
                predicted = unet(noisy, timesteps, states, class_labels=batch["level"]).sample
                loss = F.mse_loss(predicted.float(), noise.float())
                accelerator.gather(loss.repeat(asked.batch)).mean().item()
                accelerator.backward(loss)
                accelerator.clip_grad_norm_(unet.parameters(), 1.0)
                optimizer.step()
                optimizer.zero_grad()
            ema.step(unet.parameters())
            yield


def timed(steps: Iterator[None], count: int) -> float:
    """Seconds of so many steps, work on the device included."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    begun = time.perf_counter()
    for _ in range(count):
        next(steps)
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - begun


def curves(model: Text2Earth, config: TrainConfig, phase: Phase, folder: Path) -> float:
    """Largest difference of the two losses over fifty steps on equal latents, noise and times."""
    theirs = copy.deepcopy(model.unet).train()
    stage = denoiser_stage(model, config=config)
    spread = Spread(Accelerator())
    model.vae.to(spread.device).requires_grad_(False)
    run = _Run(stage, config.denoiser, [phase], 0, spread, Pace(folder, 10**6, 10**6, 0), None)
    theirs.to(spread.device)
    optimizer = torch.optim.AdamW(theirs.parameters(), lr=1e-4, weight_decay=0.01)
    noise_scheduler = DDPMScheduler(1000, beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    most = 0.0
    for number, (each, micro_batches) in enumerate(run._steps()):
        if number == EQUAL_STEPS:
            break
        found = stage.inputs(micro_batches[0], device=spread.device)
        loss = float(run._take(each, micro_batches).loss)
        noisy = noise_scheduler.add_noise(found["latents"], found["noise"], found["timesteps"])
        with torch.no_grad():
            states = model.text_encoder(found["ids"])[0]
        predicted = theirs(noisy, found["timesteps"], states, class_labels=found["levels"]).sample
        wanted = F.mse_loss(predicted, found["noise"])
        wanted.backward()
        torch.nn.utils.clip_grad_norm_(theirs.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        most = max(most, abs(loss - float(wanted)))
    return most


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=tuple(PRESET), default="small")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=5, help="of a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--precision", choices=("no", "bf16"), default="no")
    parser.add_argument("--compile", choices=("no", "inductor"), default="no")
    parser.add_argument("--cached", action="store_true", help="latents from a cache on our side")
    parser.add_argument("--no-curves", action="store_true", help="leave out the comparison of losses")
    asked = parser.parse_args()
    torch.backends.cuda.matmul.allow_tf32 = True
    with tempfile.TemporaryDirectory() as name:
        print(json.dumps(measured(asked, Path(name)), indent=2))


def measured(asked: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Return what was measured."""
    preset = PRESETS[PRESET[asked.model]]
    data = write_dataset(folder / "data", rows=max(64, 2 * asked.batch), tile_px=max(64, preset.image_size))
    config = configured(asked, data)
    index = scan(str(data), rows=Rows())
    tokenizer = train_tokenizer(index.captions(), vocab_size=600)
    networks = [build(preset, tokenizer=tokenizer, seed=0) for _ in range(2)]
    phase = training_phases(config, index=index, image_size=networks[0].image_size)[0]
    (folder / "ours").mkdir()
    sides = {
        "text2earth": ours(asked, networks[0], config, phase, folder / "ours"),
        "recipe": recipe(asked, networks[1], data),
    }
    first = {side: timed(steps, 2) for side, steps in sides.items()}
    rounds: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(asked.rounds):
        for side, steps in sides.items():
            rounds[side].append(asked.batch * asked.steps / timed(steps, asked.steps))
    rates = {side: statistics.median(found) for side, found in rounds.items()}
    spread = Spread(Accelerator(mixed_precision=asked.precision))
    with torch.device("meta"):
        shapes = build(preset, tokenizer=tokenizer)
    traced = _Rehearsal("denoiser", config, config.denoiser, phase, spread, folder)
    flops = traced._traced(traced._stage(shapes))[0] / asked.batch
    peak = _matmul_speed(spread)
    found: dict[str, Any] = {
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "images_per_s": rates,
        "ratio": rates["text2earth"] / rates["recipe"],
        "gflop_per_image_from_pixels": flops / 1e9,
        "share_of_peak": {side: rate * flops / peak for side, rate in rates.items()},
        "first_two_steps_s": first,
        "rounds": rounds,
    }
    if asked.cached:
        found["share_of_peak"] = "not said: part of the operations is saved by the cache"
    if not asked.no_curves:
        (folder / "curves").mkdir()
        fresh = build(preset, tokenizer=tokenizer, seed=1)
        plain = config.model_copy(update={"run": config.run.model_copy(update={"precision": "no", "compile": "no"})})
        found["largest_difference_of_losses_over_50_steps"] = curves(fresh, plain, phase, folder / "curves")
    return found


if __name__ == "__main__":
    main()
