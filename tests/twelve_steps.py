"""Twelve denoiser steps of ``nano``, three epochs of a small set, in this process or as a command to be killed."""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from accelerate import Accelerator
from small_models import nano_preset, steps_config

from text2earth.data import Examples, RowFilter, View, scan
from text2earth.models import PRESETS, build, train_tokenizer
from text2earth.training.loop import Pace, Phase, run_stage
from text2earth.training.parallel import Spread
from text2earth.training.train import denoiser_stage

ROWS, STEPS, BATCH = 24, 12, 6
"""An epoch ends after steps 4, 8 and 12."""


def twelve_steps(data: Path, folder: Path, *, checkpoint_every: int = 2) -> None:
    """Train; the folder keeps every state and the log."""
    config = steps_config(data)
    settings = config.denoiser.model_copy(update={"steps": STEPS, "batch_size": BATCH, "ema_lengths": (0.05, 0.1)})
    model = build(PRESETS["nano"], tokenizer=train_tokenizer(["water forest"], vocab_size=600))
    model.vae.requires_grad_(False)
    examples = Examples(scan(str(data), rows=RowFilter()), view=View(16, flips=True), seed=0)
    folder.mkdir(exist_ok=True)
    run_stage(
        denoiser_stage(model, config=config),
        settings=settings,
        phases=[Phase(settings, examples)],
        first_counter=0,
        spread=Spread(Accelerator()),
        pace=Pace(folder, checkpoint_every, 1, 0, keep=100),
    )


if __name__ == "__main__":
    PRESETS["nano"] = nano_preset()  # type: ignore[index]
    twelve_steps(Path(sys.argv[1]), Path(sys.argv[2]))
    time.sleep(600)  # to be killed at the latest here
