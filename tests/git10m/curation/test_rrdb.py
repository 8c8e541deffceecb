"""The restorer network: its size in closed form, and its work against plain functional code."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from git10m.curation.rrdb import RRDBNet, RRDBShape


def convolution(channels: int, width: int) -> int:
    """Weights of a 3×3 convolution and its bias."""
    return 9 * channels * width + width


def counted(shape: RRDBShape) -> int:
    """Parameters of the whole network, from the paper's figures alone."""
    f, g = shape.features, shape.growth
    dense = sum(convolution(f + i * g, g) for i in range(4)) + convolution(f + 4 * g, f)
    fold = {4: 1, 2: 2, 1: 4}[shape.scale]
    ends = convolution(shape.in_channels * fold * fold, f) + convolution(f, shape.out_channels)
    return ends + shape.blocks * 3 * dense + 4 * convolution(f, f)


@pytest.mark.parametrize(
    ("scale", "known"),
    [(4, 16_697_987), (2, 16_703_171), (1, 16_723_907)],  # 4: as published for Real-ESRGAN ×4, 16.70 M
)
def test_the_published_sizes_have_the_published_numbers_of_parameters(scale: int, known: int):
    with torch.device("meta"):
        network = RRDBNet(RRDBShape(scale=scale))
    found = sum(weight.numel() for weight in network.parameters())
    assert found == counted(network.shape) == known


@pytest.mark.parametrize(
    "shape", [RRDBShape(4, 4, 2, 3, 10, 5), RRDBShape(1, 3, 3, 2, 8, 4), RRDBShape(2, 1, 1, 1, 6, 3)]
)
def test_other_sizes_are_counted_likewise(shape: RRDBShape):
    assert sum(weight.numel() for weight in RRDBNet(shape).parameters()) == counted(shape)


def test_the_keys_are_those_of_published_weights():
    with torch.device("meta"):
        keys = RRDBNet(RRDBShape(scale=2)).state_dict().keys()
    expected = {
        f"body.{block}.rdb{dense}.conv{conv}" for block in range(23) for dense in range(1, 4) for conv in range(1, 6)
    } | {"conv_first", "conv_body", "conv_up1", "conv_up2", "conv_hr", "conv_last"}
    assert keys == {f"{name}.{part}" for name in expected for part in ("weight", "bias")}


def forward(weights: dict[str, torch.Tensor], x: torch.Tensor, *, fold: int, blocks: int) -> torch.Tensor:
    """The network once more, as the papers write it, in plain functional code."""

    def conv(name: str, inner: torch.Tensor) -> torch.Tensor:
        return F.conv2d(inner, weights[f"{name}.weight"], weights[f"{name}.bias"], padding=1)

    def lrelu(inner: torch.Tensor) -> torch.Tensor:
        return torch.where(inner >= 0, inner, 0.2 * inner)

    # Fold: channel c, row offset i, column offset j, in this order.
    n, c, h, w = x.shape
    cells = [x[:, :, i::fold, j::fold] for i in range(fold) for j in range(fold)]
    folded = torch.stack(cells, dim=2).reshape(n, c * fold * fold, h // fold, w // fold)
    first = conv("conv_first", folded)
    inner = first
    for block in range(blocks):
        outer = inner
        for dense in range(1, 4):
            name, seen = f"body.{block}.rdb{dense}", [inner]
            for i in range(1, 5):
                seen.append(lrelu(conv(f"{name}.conv{i}", torch.cat(seen, 1))))
            inner = inner + 0.2 * conv(f"{name}.conv5", torch.cat(seen, 1))
        inner = outer + 0.2 * inner
    inner = first + conv("conv_body", inner)
    for name in ("conv_up1", "conv_up2"):
        inner = lrelu(conv(name, inner.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)))
    return conv("conv_last", lrelu(conv("conv_hr", inner)))


@pytest.mark.parametrize(("scale", "fold"), [(4, 1), (2, 2), (1, 4)])
def test_it_computes_what_the_papers_write(scale: int, fold: int):
    torch.manual_seed(scale)
    network = RRDBNet(RRDBShape(scale=scale, blocks=3, features=12, growth=6)).double().eval()
    for weight in network.parameters():  # initial weights are small enough to hide a wrong block
        weight.data.add_(0.05 * torch.randn_like(weight))
    pictures = torch.rand(2, 3, 16, 24, dtype=torch.float64)
    with torch.no_grad():
        found = network(pictures)
        expected = forward(network.state_dict(), pictures, fold=fold, blocks=3)
    assert found.shape == (2, 3, 16 * scale, 24 * scale)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


def test_features_are_what_a_cascade_takes_as_its_condition():
    network = RRDBNet(RRDBShape(scale=4, in_channels=5, blocks=1, features=10, growth=4))
    assert network.features(torch.rand(2, 5, 8, 12)).shape == (2, 10, 8, 12)
    folded = RRDBNet(RRDBShape(scale=2, blocks=1, features=10, growth=4))
    assert folded.features(torch.rand(1, 3, 8, 12)).shape == (1, 10, 4, 6)


def test_checkpointing_changes_no_gradient():
    torch.manual_seed(1)
    network = RRDBNet(RRDBShape(scale=2, blocks=2, features=8, growth=4)).train()
    pictures = torch.rand(1, 3, 16, 16)
    gradients = []
    for checkpointing in (False, True):
        network.checkpointing = checkpointing
        network.zero_grad()
        network(pictures).square().mean().backward()
        gradients.append([weight.grad.clone() for weight in network.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


def test_dense_blocks_start_small():
    """ESRGAN: He's initialisation times 0.1, no bias."""
    torch.manual_seed(2)
    network = RRDBNet(RRDBShape(blocks=1))
    for name, weight in network.body.named_parameters():
        if name.endswith("bias"):
            assert not weight.any()
        else:
            assert float(weight.detach().std()) == pytest.approx(0.1 * (2 / (9 * weight.shape[1])) ** 0.5, rel=0.05)


@pytest.mark.parametrize("wrong", [{"scale": 3}, {"blocks": 0}, {"in_channels": 0}])
def test_a_shape_that_is_none_is_refused(wrong: dict):
    with pytest.raises(ValueError, match=r"enlarges by 1, 2 or 4|at least 1"):
        RRDBShape(**wrong)
