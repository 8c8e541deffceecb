"""Solvers of few steps measured against 50 steps of the model's own scheduler, on any trained model folder.

    python tests/benchmarks/solvers.py MODEL [--prompt P …] [--level N] [--images N] [--guidance X] [--steps N]

All solvers start from the same noise and conditions and solve the same differential equation, so that each has an
error: the root mean square of its latents' difference from a solution of 200 steps, over the standard deviation of the
latents. Beside it stand what an eye would see: the peak signal-to-noise ratio of the decoded images to those of that
solution, and how fine texture fares, as energy of the highest octave over that of the solution. The yardstick is the
first row, 50 Euler steps: a solver of 8 steps that reaches its error loses nothing. A control says what difference
there is between two draws of noise.

An ε- or v-model is solved by Euler, DDIM, DPM-Solver++ (2M) and UniPC; a flow by Euler, Heun, DPM-Solver++ and UniPC.
What costs time is predictions: Heun takes two a step.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from typing import Any

import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    FlowMatchEulerDiscreteScheduler,
    FlowMatchHeunDiscreteScheduler,
    UniPCMultistepScheduler,
)
from diffusers.utils import logging

import text2earth

REFERENCE_STEPS = 200
YARDSTICK_STEPS = 50
PROMPTS = ("a river through forest", "fields", "a town", "water")


def solvers(scheduler: Any) -> dict[str, Any]:
    """Return the solvers that fit what a model predicts, by name; the model's own comes first."""
    own = {"Euler": scheduler}
    if isinstance(scheduler, FlowMatchEulerDiscreteScheduler):
        flow: dict[str, Any] = {
            "prediction_type": "flow_prediction",
            "use_flow_sigmas": True,
            "flow_shift": scheduler.config.shift,
        }
        return own | {
            "Heun": FlowMatchHeunDiscreteScheduler(shift=scheduler.config.shift),
            "DPM-Solver++ (2M)": DPMSolverMultistepScheduler(**flow),
            "UniPC": UniPCMultistepScheduler(**flow),
        }
    config = {**scheduler.config, "timestep_spacing": "trailing"}
    return own | {
        "DDIM": DDIMScheduler.from_config(config, clip_sample=False, set_alpha_to_one=True),
        "DPM-Solver++ (2M)": DPMSolverMultistepScheduler.from_config(config),
        "UniPC": UniPCMultistepScheduler.from_config(config),
    }


class Bench:
    """A model, its requests, and the solution that they are measured against."""

    def __init__(self, said: argparse.Namespace) -> None:
        self.pipeline = text2earth.load(said.model)
        self.pipeline.set_progress_bar_config(disable=True)
        trained = self.pipeline.config.trained_levels or [0]
        self.level = trained[len(trained) // 2] if said.level is None else said.level
        self.prompts = [said.prompt[number % len(said.prompt)] for number in range(said.images)]
        self.guidance = said.guidance
        self.solvers = solvers(self.pipeline.scheduler)
        solved = self.latents("UniPC", REFERENCE_STEPS, seed=0)
        self.spread = float(solved.std())
        self.solution, self.pictures = solved, self.decoded(solved)

    def latents(self, name: str, steps: int, *, seed: int) -> torch.Tensor:
        """Return latents (N, C, h, w) of a solver."""
        self.pipeline.scheduler = self.solvers[name]
        generators = [torch.Generator().manual_seed(1000 * seed + number) for number in range(len(self.prompts))]
        found: torch.Tensor = self.pipeline(
            self.prompts,
            self.level,
            num_inference_steps=steps,
            guidance_scale=self.guidance,
            generator=generators,
            output_type="latent",
        ).images
        return found

    @torch.no_grad()
    def decoded(self, latents: torch.Tensor) -> torch.Tensor:
        """Return images (N, 3, H, W) in 0…1."""
        vae = self.pipeline.vae
        pixels: torch.Tensor = vae.decode(latents / vae.config.scaling_factor).sample
        return (pixels.float() / 2 + 0.5).clamp(0, 1)

    def row(self, name: str, steps: int, *, seed: int = 0) -> str:
        """Return the line of a solver: predictions, seconds an image, error, PSNR, energy of fine texture."""
        started = time.perf_counter()
        found = self.latents(name, steps, seed=seed)
        seconds = (time.perf_counter() - started) / len(found)
        predictions = len(self.pipeline.scheduler.timesteps)
        error = float((found - self.solution).square().mean().sqrt()) / self.spread
        pictures = self.decoded(found)
        psnr = -10 * float((pictures - self.pictures).square().mean().log10())
        texture = fine(pictures) / fine(self.pictures)
        what = f"{name}, {steps} steps" if seed == 0 else "other noise (control)"
        return f"| {what} | {predictions} | {seconds:.2f} | {error:.3f} | {psnr:.1f} | {texture:.2f} |"


def fine(pictures: torch.Tensor) -> float:
    """Return the energy of the finest octave: what averaging 2×2 pixels takes away."""
    coarse = torch.nn.functional.avg_pool2d(pictures, 2)
    return float((pictures - coarse.repeat_interleave(2, 2).repeat_interleave(2, 3)).square().mean())


def rows(bench: Bench, counts: list[int]) -> Iterator[str]:
    """Yield the lines of the table, the yardstick first."""
    first = next(iter(bench.solvers))
    bench.latents(first, 2, seed=0)  # warm
    yield bench.row(first, YARDSTICK_STEPS)
    for name in bench.solvers:
        for count in counts:
            # As many predictions for Heun: its last step takes one, the others two.
            yield bench.row(name, (count + 1) // 2 if name == "Heun" else count)
    yield bench.row(first, YARDSTICK_STEPS, seed=1)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="model folder or zoo name")
    parser.add_argument("--prompt", nargs="+", default=list(PROMPTS))
    parser.add_argument("--level", type=int, help="one that was trained on, if left out")
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--guidance", type=float, default=4.0)
    parser.add_argument("--steps", type=int, nargs="+", default=[4, 6, 8], help="predictions of the fast solvers")
    said = parser.parse_args()
    logging.set_verbosity_error()
    bench = Bench(said)
    about = f"{len(bench.prompts)} images, level {bench.level}, guidance {bench.guidance}"
    print(f"{said.model}: {about}; solution: UniPC, {REFERENCE_STEPS} steps\n")
    print("| solver | predictions | s an image | error | PSNR, dB | fine texture |\n|---|---|---|---|---|---|")
    for line in rows(bench, said.steps):
        print(line, flush=True)


if __name__ == "__main__":
    main()
