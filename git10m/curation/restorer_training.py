"""Trains a restorer on degraded copies of a dataset's own good tiles.

L1 loss (and, on request, of gradients), Adam, a half cosine, a moving average of the weights. The whole state is the
weights, their average, Adam's moments and a step number; every draw is keyed by (seed, counter). A training that is
killed and resumed therefore takes the same steps, to the bit on the same machine and number of threads.

Like `curation.rrdb` it imports torch at its top.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch.utils.data import DataLoader
from tqdm import tqdm

import git10m
from git10m.curation.restorer_examples import Example, Examples, GoodTiles, Pixels, find_good_tiles
from git10m.curation.rrdb import RRDBNet, RRDBShape
from git10m.curation.rrdb_weights import Weights, read_tensors, write_tensors, write_weights
from git10m.errors import DatasetError, RequestError, TrainingError, WeightsError
from git10m.shards import atomic_file

__all__ = ["HeldOut", "TrainingSettings", "in_words", "shape_for", "train_restorer"]

_EMA, _EMA_WARMUP = 0.999, 10.0
_BETAS = (0.9, 0.99)
_WARMUP_SHARE, _WARMUP_MOST = 0.05, 200
_LOG_EVERY = 20
_START_SHARE = 0.1
"""What is left of random weights where a new network begins as an enlargement."""
_HELD_OUT_TILES, _HELD_OUT_SEED = 64, 977
_MOMENTS = ("step", "exp_avg", "exp_avg_sq")


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """What decides about the weights that come out.

    Attributes:
        shape: Of the network.
        steps: Of the optimiser.
        batch: Pictures a step.
        patch: Pixels a side of the good pictures; a multiple of 4.
        seed: Of the first weights and of all examples.
        learning_rate: The largest; it rises over the first steps and falls to nothing.
        gradient: Weight of the loss of gradients beside that of values; 0: none.
        min_quality: Least score of a tile to learn from.
    """

    shape: RRDBShape
    steps: int
    batch: int = 16
    patch: int = 128
    seed: int = 0
    learning_rate: float = 2e-4
    gradient: float = 0.0
    min_quality: float = 5.5

    def __post_init__(self) -> None:
        if self.patch % 4 or self.patch < 16:
            raise RequestError(f"--patch {self.patch}: give a multiple of 4, at least 16")
        if min(self.steps, self.batch) < 1 or self.learning_rate <= 0 or self.gradient < 0:
            raise RequestError("--steps and --batch are at least 1, --learning-rate is above 0, --gradient at least 0")


@dataclass(frozen=True, slots=True)
class HeldOut:
    """How well degraded tiles of the validation split are restored.

    Attributes:
        tiles: How many.
        psnr: Mean peak signal-to-noise ratio of the restored tiles, dB.
        psnr_plain: Of the degraded tiles as they are; for a scale of 2 enlarged (bicubic).
    """

    tiles: int
    psnr: float
    psnr_plain: float


def shape_for(
    scale: int, *, blocks: int | None, features: int | None, growth: int | None, init: Weights | None
) -> RRDBShape:
    """Return the shape of the network to train: as asked, else that of the weights to start from, else as published.

    Raises:
        WeightsError: If weights to start from are of another shape than is asked for.
    """
    asked = {"scale": scale, "blocks": blocks, "features": features, "growth": growth}
    given = {name: value for name, value in asked.items() if value is not None}
    if init is None:
        return RRDBShape(**given)  # type: ignore[arg-type]  # checks itself
    other = {name: value for name, value in given.items() if getattr(init.shape, name) != value}
    if other:
        said = ", ".join(
            f"{name} {value} is asked for, they have {getattr(init.shape, name)}" for name, value in other.items()
        )
        raise WeightsError(f"--init: these weights are of another shape: {said}; ask for theirs, or start without them")
    return init.shape


def train_restorer(
    folder: Path,
    out: Path,
    *,
    settings: TrainingSettings,
    init: Weights | None = None,
    resume: bool = False,
    save_every: int = 500,
    workers: int = 0,
) -> dict[str, Any]:
    """Train a restorer, and write its weights as safetensors.

    Args:
        folder: Dataset to learn from: good tiles of its ``train`` split.
        out: File to write. Until it is there, ``NAME.state.safetensors`` beside it holds the training's state;
            ``NAME.log.jsonl`` gets a line every 20 steps.
        settings: What to do.
        init: Weights to start from, of the settings' shape.
        resume: Go on from the state that is there; start anew where there is none.
        save_every: Steps between states.
        workers: Processes that make examples; 0: this one.

    Returns:
        What the file's note says: settings, tiles, and how well held-out tiles are restored.

    Raises:
        RequestError: If something is there already, or is of other settings.
        DatasetError: If the folder holds nothing to learn from.
        TrainingError: If the loss is no number any more, or the disk is full.
    """
    try:
        return _trained(folder, out, settings=settings, init=init, resume=resume, pace=(save_every, workers))
    except OSError as error:
        raise TrainingError(
            f"{out}: cannot be written ({error.strerror or error}); make room, and run the same command with --resume: "
            "it goes on from the last state that was saved"
        ) from error


def in_words(found: Mapping[str, Any]) -> str:
    """Return what `train_restorer` found as a line for people."""
    held = found["held_out"]
    figure = "no good tile in the validation split to try it on"
    if held is not None:
        figure = (
            f"{held['tiles']} degraded tiles of the validation split: {held['psnr']:.2f} dB, "
            f"{held['psnr_plain']:.2f} dB as they were"
        )
    return f"{found['weights']}: trained on {found['tiles']:,} tiles; {figure}"


def _trained(
    folder: Path,
    out: Path,
    *,
    settings: TrainingSettings,
    init: Weights | None,
    resume: bool,
    pace: tuple[int, int],
) -> dict[str, Any]:
    tiles = find_good_tiles(folder, min_quality=settings.min_quality, side=settings.patch)
    if not tiles.groups:
        reasons = ", ".join(f"{reason}: {count}" for reason, count in tiles.left_out.items() if count)
        raise DatasetError(
            f"{folder}: no tile of its train split is good enough to learn from ({reasons or 'it has none'}); give "
            "another dataset, a lower --min-quality or a smaller --patch"
        )
    _may_be_written(out, resume=resume)
    training = _Training(settings, tiles, out, init)
    if resume:
        training.resume()
    save_every, workers = pace
    training.run(save_every=save_every, workers=workers)
    note = {
        "trained": training.said,
        "tiles": int(tiles.sizes.sum()),
        "init": init.sha256 if init is not None else None,
        "held_out": _held_out(folder, training.average(), settings),
        "git10m": git10m.__version__,
    }
    sha256 = write_weights(training.ema, out, shape=settings.shape, note=note)
    training.state.unlink(missing_ok=True)
    return {"weights": str(out), "sha256": sha256, **note}


class _Training:
    """A training in progress."""

    def __init__(self, settings: TrainingSettings, tiles: GoodTiles, out: Path, init: Weights | None) -> None:
        self.settings, self.tiles = settings, tiles
        self.state, self.log = (out.with_name(f"{out.stem}.{end}") for end in ("state.safetensors", "log.jsonl"))
        self.said = asdict(settings)
        # What a state must agree on to be gone on with.
        self.identity = {**self.said, "tiles": tiles.digest, "init": init.sha256 if init is not None else None}
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        torch.manual_seed(settings.seed)
        network = RRDBNet(settings.shape)
        if init is not None:
            network.load_state_dict(dict(init.tensors))
        else:
            _start_as_enlargement(network)
        layout: Any = network  # torch's stubs do not know ``memory_format`` here
        self.network: RRDBNet = layout.to(self.device, memory_format=torch.channels_last).train()
        self.ema = {name: value.detach().clone() for name, value in self.network.named_parameters()}
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=settings.learning_rate, betas=_BETAS)
        self.step = 0

    def run(self, *, save_every: int, workers: int) -> None:
        """Take the steps that are left; the state is saved every so many, and at the end."""
        _cut_log(self.log, self.step)
        with (
            tqdm(total=self.settings.steps, initial=self.step, desc="training", unit="step") as bar,
            self.log.open("a", encoding="utf-8") as log,
        ):
            for degraded, good in self._batches(workers):
                loss = self._take(degraded, good)
                bar.update()
                bar.set_postfix(loss=f"{loss:.4f}", refresh=False)
                if self.step % _LOG_EVERY == 0 or self.step == self.settings.steps:
                    line = {"step": self.step, "images": self.step * self.settings.batch, "loss": loss, "lr": self._lr}
                    log.write(json.dumps(line) + "\n")
                    log.flush()
                if self.step % save_every == 0 or self.step == self.settings.steps:
                    self._save()

    def _batches(self, workers: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield the remaining batches as uint8 (N, 3, h, w); the order follows from the counters alone."""
        size = self.settings.batch
        counters = [range(step * size, (step + 1) * size) for step in range(self.step, self.settings.steps)]
        examples = Examples(self.tiles, self.settings.shape.scale, self.settings.patch, self.settings.seed)
        if not workers:
            yield from (_collated([examples[counter] for counter in batch]) for batch in counters)
            return
        loader: DataLoader[Any] = DataLoader(
            examples,  # type: ignore[arg-type]  # anything with __getitem__ will do
            batch_sampler=[list(batch) for batch in counters],
            num_workers=workers,
            collate_fn=_collated,
            multiprocessing_context="spawn",
        )
        yield from loader

    def _take(self, degraded: torch.Tensor, good: torch.Tensor) -> float:
        """Take one step; return its loss."""
        given, wanted = (each.to(self.device).float().div(255.0) for each in (degraded, good))
        mixed = torch.autocast("cuda", dtype=torch.bfloat16) if self.device.type == "cuda" else nullcontext()
        with mixed:
            found = self.network(given.contiguous(memory_format=torch.channels_last))
        loss = _loss(found.float(), wanted, gradient=self.settings.gradient)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise TrainingError(
                f"the loss is {value} at step {self.step + 1}; go on from {self.state.name} is no use: start again "
                f"with a --learning-rate below {self.settings.learning_rate:g}"
            )
        for group in self.optimizer.param_groups:
            group["lr"] = self._lr
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.step += 1
        decay = min(_EMA, self.step / (_EMA_WARMUP + self.step))
        for name, value_now in self.network.named_parameters():
            self.ema[name].lerp_(value_now.detach(), 1.0 - decay)
        return value

    @property
    def _lr(self) -> float:
        """Learning rate of the next step: risen over the first steps, then a half cosine to nothing."""
        settings = self.settings
        warmup = min(_WARMUP_MOST, int(_WARMUP_SHARE * settings.steps))
        risen = min(1.0, (self.step + 1) / (warmup + 1))
        return settings.learning_rate * risen * 0.5 * (1.0 + math.cos(math.pi * self.step / settings.steps))

    def average(self) -> RRDBNet:
        """Return the network with the moving average of its weights, on the CPU, for inference."""
        network = RRDBNet(self.settings.shape)
        network.load_state_dict({name: value.cpu() for name, value in self.ema.items()})
        return network.eval()

    def _save(self) -> None:
        tensors = {f"weights.{name}": value for name, value in self.network.named_parameters()}
        tensors |= {f"ema.{name}": value for name, value in self.ema.items()}
        for number, values in self.optimizer.state_dict()["state"].items():
            tensors |= {f"adam.{number}.{name}": values[name] for name in _MOMENTS}
        write_tensors(tensors, self.state, note={"step": self.step, "identity": self.identity})

    def resume(self) -> None:
        """Take up the state that is there, if one is.

        Raises:
            RequestError: If it is of other settings, tiles or first weights.
        """
        if not self.state.exists():
            return
        tensors, note = read_tensors(self.state)
        wanted = json.loads(json.dumps(self.identity))
        if (held := note.get("identity")) != wanted:
            other = [name for name in wanted if not isinstance(held, Mapping) or held.get(name) != wanted[name]]
            raise RequestError(
                f"{self.state.name}: is the state of another training (other: {', '.join(other)}); give the same "
                "settings to go on with it, or another --out"
            )
        parts: dict[str, dict[str, torch.Tensor]] = {"weights": {}, "ema": {}, "adam": {}}
        for key, value in tensors.items():
            part, name = key.split(".", 1)
            parts[part][name] = value
        self.network.load_state_dict(parts["weights"])
        self.ema = {name: value.to(self.device) for name, value in parts["ema"].items()}
        plain = self.optimizer.state_dict()
        plain["state"] = {
            number: {name: parts["adam"][f"{number}.{name}"] for name in _MOMENTS}
            for number in range(len(parts["weights"]))
        }
        self.optimizer.load_state_dict(plain)
        self.step = int(note["step"])


@torch.no_grad()
def _start_as_enlargement(network: RRDBNet) -> None:
    """Let a network that knows nothing begin as a plain enlargement of the folded picture, colours exact.

    The first features carry the mean colour of what was folded into a pixel, those after them the folded pixels, and
    every layer passes them on; they are positive, so the leaky ReLUs let them through. From there a few thousand steps
    go as far as many times that from noise.
    """
    shape = network.shape
    cells, channels = shape.fold**2, shape.in_channels
    carried = min(shape.features, channels * (cells + 1))
    if shape.features < channels or channels != shape.out_channels:
        return
    first = network.conv_first
    first.weight[:carried] = 0.0
    first.bias[:carried] = 0.0  # type: ignore[index]  # it has one
    for feature in range(carried):
        if feature < channels:  # pixel-unshuffle keeps the pixels of a channel together
            first.weight[feature, feature * cells : (feature + 1) * cells, 1, 1] = 1.0 / cells
        else:
            first.weight[feature, feature - channels, 1, 1] = 1.0
    network.conv_body.weight.mul_(_START_SHARE)
    for conv in (network.conv_up1, network.conv_up2, network.conv_hr, network.conv_last):
        passed = min(carried, conv.out_channels)
        conv.weight[:passed] *= _START_SHARE
        conv.bias[:passed] = 0.0  # type: ignore[index]
        for feature in range(passed):
            conv.weight[feature, feature, 1, 1] += 1.0


def _collated(examples: list[Example]) -> tuple[torch.Tensor, torch.Tensor]:
    degraded, good = (
        torch.from_numpy(np.ascontiguousarray(np.stack(each).transpose(0, 3, 1, 2)))
        for each in zip(*examples, strict=True)
    )
    return degraded, good


def _loss(found: torch.Tensor, wanted: torch.Tensor, *, gradient: float) -> torch.Tensor:
    """Return the mean absolute difference, and with a weight that of differences between neighbours."""
    loss = F.l1_loss(found, wanted)
    if gradient:
        for axis in (-2, -1):
            loss = loss + gradient * F.l1_loss(found.diff(dim=axis), wanted.diff(dim=axis))
    return loss


def _may_be_written(out: Path, *, resume: bool) -> None:
    if out.suffix != ".safetensors" or not out.absolute().parent.is_dir():
        raise RequestError(f"--out {out}: give a .safetensors file in a folder that exists")
    if out.exists():
        raise RequestError(f"--out {out}: is there already; give another name, or remove it")
    state = out.with_name(f"{out.stem}.state.safetensors")
    if state.exists() and not resume:
        raise RequestError(f"{state}: a training stopped there; go on with --resume, or remove the file")


def _cut_log(log: Path, step: int) -> None:
    """Leave out the lines of steps that will be taken again."""
    lines = log.read_text(encoding="utf-8").splitlines(keepends=True) if log.exists() else []
    kept = [line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= step]
    with atomic_file(log) as file:
        file.write("".join(kept).encode())


def _held_out(folder: Path, network: RRDBNet, settings: TrainingSettings) -> dict[str, Any] | None:
    """Restore degraded tiles of the validation split; None where it has no good ones."""
    tiles = find_good_tiles(folder, split="validation", min_quality=settings.min_quality, side=16)
    if not tiles.groups:
        return None
    examples = Examples(tiles, settings.shape.scale, settings.patch, _HELD_OUT_SEED)
    found: list[tuple[float, float]] = []
    with torch.inference_mode():
        for degraded, good in examples.whole(_HELD_OUT_TILES):
            given = _collated([(degraded, good)])[0].float().div(255.0)
            restored = network(given).clamp(0.0, 1.0).mul(255.0)[0].permute(1, 2, 0).numpy()
            found.append((_psnr(restored, good), _psnr(_plain(degraded, good), good)))
    if not found:
        return None
    ours, plain = np.mean(found, axis=0).tolist()
    return asdict(HeldOut(len(found), round(ours, 3), round(plain, 3)))


def _plain(degraded: Pixels, good: Pixels) -> Pixels:
    height, width = good.shape[:2]
    return np.asarray(Image.fromarray(degraded).resize((width, height), Image.Resampling.BICUBIC))


def _psnr(found: np.ndarray[Any, Any], wanted: Pixels) -> float:
    square = float(np.mean((found.astype(np.float64) - wanted) ** 2))
    # Rounding alone leaves a twelfth.
    return 10.0 * math.log10(255.0**2 / max(square, 1.0 / 12.0))
