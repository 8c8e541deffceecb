"""Restorers small enough for quick tests, with weights whose work is known."""

from __future__ import annotations

from pathlib import Path

import torch

from git10m.curation.rrdb import RRDBNet, RRDBShape, Scale
from git10m.curation.rrdb_weights import write_weights

__all__ = ["smoothing", "write_random", "write_smoothing"]

SMOOTH = torch.tensor([0.25, 0.5, 0.25])


def smoothing(scale: Scale = 2, *, features: int = 4) -> RRDBNet:
    """A network that averages what is folded into a pixel and enlarges that linearly: it takes noise away, and detail.

    All else in it is zero, so that what it does follows from a few weights.
    """
    network = RRDBNet(RRDBShape(scale=scale, blocks=1, features=features, growth=2))
    cells = network.shape.fold**2
    with torch.no_grad():
        for weight in network.parameters():
            weight.zero_()
        for channel in range(3):
            network.conv_first.weight[channel, channel * cells : (channel + 1) * cells, 1, 1] = 1.0 / cells
            for conv in (network.conv_up1, network.conv_up2):
                conv.weight[channel, channel] = SMOOTH[:, None] * SMOOTH[None, :]
            for conv in (network.conv_hr, network.conv_last):
                conv.weight[channel, channel, 1, 1] = 1.0
    return network


def write_smoothing(path: Path, *, scale: Scale = 2) -> Path:
    network = smoothing(scale)
    write_weights(network.state_dict(), path, shape=network.shape, note={"made_for": "tests"})
    return path


def write_random(path: Path, shape: RRDBShape, *, seed: int = 0) -> RRDBNet:
    """Write a network with the first weights of a training; return it."""
    torch.manual_seed(seed)
    network = RRDBNet(shape)
    write_weights(network.state_dict(), path, shape=shape, note={})
    return network
