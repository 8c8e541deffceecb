"""One process against two real ones (gloo): replicas, compiled replicas and shards."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from small_models import steps_config

from text2earth.training import train
from text2earth.training.stages import DenoiserStage

pytestmark = pytest.mark.slow

TESTS = Path(__file__).parents[2]
VARIANTS = ["replicas", "compiled", "shards"]


def losses(folder):
    lines = [json.loads(line) for line in (folder / "training" / "log.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if line["stage"] == "denoiser"]


@pytest.fixture(scope="module")
def two(small_tiles, tmp_path_factory):
    """The same training by two processes, in each variant."""
    output = tmp_path_factory.mktemp("two")
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", str(TESTS / "two_ranks.py")]
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "PYTHONPATH": str(TESTS.parent)}
    done = subprocess.run(
        [sys.executable, *command, str(small_tiles), str(output)],
        check=False,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return output


@pytest.fixture(scope="module")
def one(small_tiles, tmp_path_factory):
    """The same by this process, with what it was trained on."""
    sys.path.insert(0, str(TESTS))
    import two_ranks

    seen, inputs = [], DenoiserStage.inputs
    two_ranks.noted(seen)
    output = tmp_path_factory.mktemp("one")
    try:
        train(steps_config(small_tiles), output=output)
    finally:
        DenoiserStage.inputs = inputs
    return output, seen


@pytest.mark.parametrize("variant", VARIANTS)
def test_two_ranks_train_on_what_one_does(one, two, variant):
    """Rows, crops, drops, timesteps and noise of every global batch, by counter."""
    ranks = [json.loads((two / f"{variant}-{rank}.json").read_text())["seen"] for rank in (0, 1)]
    assert [len(seen) for seen in ranks] == [30, 30]
    together = sorted(ranks[0] + ranks[1], key=lambda entry: entry["counter"])
    assert together == sorted(one[1], key=lambda entry: entry["counter"])


@pytest.mark.parametrize("variant", VARIANTS)
def test_two_ranks_end_where_one_does(one, two, variant):
    """Ten steps: loss and weights within 1e-4, in float32."""
    np.testing.assert_allclose(losses(two / variant), losses(one[0]), atol=1e-4)
    for name in ("unet/diffusion_pytorch_model", "vae/diffusion_pytorch_model", "text_encoder/model"):
        found, wanted = (load_file(folder / f"{name}.safetensors") for folder in (two / variant, one[0]))
        assert found.keys() == wanted.keys()
        for key in found:
            torch.testing.assert_close(found[key], wanted[key], atol=1e-4, rtol=0)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_average_moves(two, variant):
    """In every process, also where weights are compiled, replicated or in shards, between any two looks."""
    ranks = [json.loads((two / f"{variant}-{rank}.json").read_text())["averages"] for rank in (0, 1)]
    assert [len(set(averages)) for averages in ranks] == [2, 2]
    if variant != "shards":
        assert ranks[0] == ranks[1]
