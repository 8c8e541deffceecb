"""Validation: the loss on held-out images at fixed noise and times, and a grid of samples at fixed seeds.

Nothing is drawn anew between looks, so that a change of a figure is a change of the model.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from text2earth.checkpoints import new_cascade_scheduler, new_scheduler
from text2earth.data import Batch, Examples, batches
from text2earth.diffusion import SCHEDULE
from text2earth.provenance import Origin, write_png
from text2earth.training.cascading import CascadeStage
from text2earth.training.config import ValidationSettings
from text2earth.training.parallel import Spread
from text2earth.training.stages import DenoiserStage

__all__ = ["Validation"]


@dataclass
class Validation:
    """Looks at a denoiser.

    Args:
        settings: At what.
        stage: The denoiser.
        examples: Held-out images by counter.
        spread: Device and processes.
        folder: Of the training; grids are written to ``samples/``.
        name: Of the model, for the mark on the grids.
    """

    settings: ValidationSettings
    stage: DenoiserStage | CascadeStage
    examples: Examples
    spread: Spread
    folder: Path
    name: str

    @property
    def every(self) -> int:
        """Steps between looks."""
        return self.settings.every

    def look(self, step: int) -> Mapping[str, Any]:
        """Return ``validation_loss``, the same by level and by timestep, and write a grid if there are prompts."""
        found = self._losses()
        if self.settings.prompts:
            stage = self.stage
            grid = self._cascaded(stage) if isinstance(stage, CascadeStage) else self._painted(stage)
            self._write(grid, step)
        return found

    def _losses(self) -> dict[str, Any]:
        mine = []
        for timestep, batch, counts in self._batches():
            losses = self._of(batch, timestep)  # asked of every process alike: shards are gathered together
            if counts:
                mine += [(each.level, timestep, loss) for each, loss in zip(batch.conditions, losses, strict=True)]
        every = [entry for part in self.spread.gathered(mine) for entry in part]
        by_level, by_timestep = defaultdict(list), defaultdict(list)
        for level, timestep, loss in every:
            by_level[level].append(loss)
            by_timestep[timestep].append(loss)
        return {
            "validation_loss": float(np.mean([loss for _, _, loss in every])),
            "validation_loss_by_level": {str(key): float(np.mean(by_level[key])) for key in sorted(by_level)},
            "validation_loss_by_timestep": {str(key): float(np.mean(by_timestep[key])) for key in sorted(by_timestep)},
        }

    def _batches(self) -> Iterator[tuple[float, Batch, bool]]:
        """Yield this process's batches, the time at which each is denoised, and whether it counts.

        Every process gets as many batches; one that is left over gets the first again, which does not count. An
        image meets other noise at each time.
        """
        share, shares = self.spread.accelerator.process_index, self.spread.accelerator.num_processes
        size, times = self.settings.batch_size, self.settings.timesteps
        count = min(self.settings.images, len(self.examples))
        starts = list(range(0, count, size))
        rounds = -(-len(starts) // shares)
        mine = [starts[place] if place < len(starts) else 0 for place in range(share, rounds * shares, shares)]
        positions = [list(range(start, min(start + size, count))) for start in mine]
        for place, batch in enumerate(batches(self.examples, positions=positions)):
            for number in range(times):
                counters = tuple(counter * times + number for counter in batch.counters)
                timestep = (number + 0.5) * SCHEDULE.steps / times
                yield timestep, replace(batch, counters=counters), share + place * shares < len(starts)

    def _of(self, batch: Batch, timestep: float) -> list[float]:
        """Return the loss of each image of a batch."""
        stage = self.stage.undropped(seed=self.settings.seed)
        inputs = dict(stage.inputs(batch, device=self.spread.device))
        inputs["timesteps"] = torch.full_like(inputs["timesteps"], timestep)
        losses: list[float] = self.stage.module(**inputs).float().tolist()
        return losses

    def _cascaded(self, stage: CascadeStage) -> np.ndarray:
        """Return a grid, a row for each prompt and a column for each stage: each is painted into a part of the last."""
        from text2earth.sampling import MetaEarthPipeline

        settings, model = self.settings, stage.model
        pipeline = MetaEarthPipeline(
            **model.networks(),
            tokenizer=model.tokenizer,
            scheduler=new_cascade_scheduler(stage.module.objective.prediction),
            **stage.settings.of_the_folder,
        )
        pipeline.set_progress_bar_config(disable=True)
        side, rows = model.image_size // model.factor, []
        begin = (model.image_size - side) // 2
        for row, prompt in enumerate(settings.prompts):
            low, columns = None, []
            for level in stage.settings.stage_levels:
                generator = torch.Generator().manual_seed(settings.seed + row)
                steps = settings.sampling_steps
                asked: dict[str, Any] = {
                    "low": low,
                    "num_inference_steps": steps,
                    "generator": generator,
                    "output_type": "np",
                }
                columns.append(pipeline(prompt, level, **asked).images[0])
                low = columns[-1][begin : begin + side, begin : begin + side]
            rows.append(np.concatenate(columns, axis=1))
        return np.concatenate(rows, axis=0)

    def _painted(self, stage: DenoiserStage) -> np.ndarray:
        """Return a grid, a row for each prompt and a column for each level; every process paints."""
        from text2earth.sampling import Text2EarthInpaintPipeline, Text2EarthPipeline

        settings, objective = self.settings, stage.module.objective
        scheduler = new_scheduler(objective.prediction, shift=objective.flow_shift)
        model = stage.model
        parts = (model.vae, model.text_encoder, model.tokenizer, model.unet, scheduler)
        kind: Any = Text2EarthInpaintPipeline if model.is_inpainting else Text2EarthPipeline
        pipeline = kind(
            *parts,
            condition_embedder=model.condition_embedder,
            transformer=model.transformer,
            text_windows=stage.windows,
        )
        pipeline.set_progress_bar_config(disable=True)
        nothing = np.zeros((model.image_size, model.image_size, 3), np.uint8)
        everywhere = {"image": nothing, "mask_image": nothing[..., 0] == 0} if model.is_inpainting else {}
        rows = []
        for row, prompt in enumerate(settings.prompts):
            seeds = [settings.seed + row * len(settings.levels) + column for column in range(len(settings.levels))]
            images = pipeline(
                [prompt] * len(settings.levels),
                level=list(settings.levels),
                **everywhere,
                num_inference_steps=settings.sampling_steps,
                guidance_scale=settings.guidance,
                generator=[torch.Generator().manual_seed(seed) for seed in seeds],
                output_type="np",
            ).images
            rows.append(np.concatenate(list(images), axis=1))
        return np.concatenate(rows, axis=0)

    def _write(self, grid: np.ndarray, step: int) -> None:
        """Write a grid, in 0…1 (H, W, 3), marked synthetic."""
        if self.spread.accelerator.is_main_process:
            settings = self.settings
            pixels = np.round(grid * 255.0).astype(np.uint8)
            prompts, levels = " | ".join(settings.prompts), settings.levels
            level = levels[0] if len(levels) == 1 else 0
            origin = Origin(self.name, prompts, level, settings.seed, settings.sampling_steps, settings.guidance)
            name = self.folder / "samples" / f"step-{step:08d}.png"
            fresh = name.with_suffix(f".{os.getpid()}.tmp")
            write_png(pixels, fresh, origin=origin)
            fresh.replace(name)
