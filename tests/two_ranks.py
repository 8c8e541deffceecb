"""What each of two real processes does: ``torchrun --nproc_per_node 2 two_ranks.py DATASET OUTPUT``.

The same training is run as replicas, compiled, and in shards; each rank notes what every step was trained on.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent))

from small_models import nano_preset, steps_config

from text2earth.models import PRESETS
from text2earth.training import train
from text2earth.training.loop import _Run
from text2earth.training.stages import DenoiserStage

VARIANTS = {"replicas": {}, "compiled": {"compile": "aot_eager"}, "shards": {"shard": True}}


def noted(seen: list) -> None:
    """Note rows, crops, drops, timesteps and noise of every denoiser batch from here on."""
    inputs = DenoiserStage.inputs

    def note(stage, batch, *, device):
        found = inputs(stage, batch, device=device)
        parts = zip(batch.counters, batch.names, batch.pixels, *(found[name] for name in KEYED), strict=True)
        seen.extend(
            {
                "counter": counter,
                "row": row,
                "pixels": digest(pixels),
                **dict(zip(KEYED, map(digest, rest), strict=True)),
            }
            for counter, row, pixels, *rest in parts
        )
        return found

    DenoiserStage.inputs = note


KEYED = ("noise", "timesteps", "ids", "levels")


def digest(tensor: torch.Tensor) -> list:
    values = tensor.double().flatten()
    return [float(values.sum()), float(values[0]), float(values[-1])]


def main(data: str, output: Path) -> None:
    PRESETS["nano"] = nano_preset()
    seen: list = []
    noted(seen)
    for name, run in VARIANTS.items():
        seen.clear()
        averages = []
        save = _Run._save

        def save_and_note(run, save=save, averages=averages):
            averages.append(float(sum(part.double().sum() for part in map(local, run.averages.published))))
            save(run)

        _Run._save = save_and_note
        train(steps_config(Path(data), **run), output=output / name)
        _Run._save = save
        rank = torch.distributed.get_rank()
        facts = {"seen": seen, "averages": averages}
        (output / f"{name}-{rank}.json").write_text(json.dumps(facts))
    torch.distributed.destroy_process_group()


def local(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.to_local() if hasattr(tensor, "to_local") else tensor


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
