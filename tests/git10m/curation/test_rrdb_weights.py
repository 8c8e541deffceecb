"""Files of weights: every layout that is published, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_restorers import write_random

from git10m.curation.rrdb import RRDBNet, RRDBShape
from git10m.curation.rrdb_weights import read_weights, write_weights
from git10m.errors import WeightsError

SHAPE = RRDBShape(scale=2, blocks=2, features=8, growth=4)


@pytest.fixture
def network() -> RRDBNet:
    torch.manual_seed(0)
    return RRDBNet(SHAPE)


def same(found: Any, network: RRDBNet) -> bool:
    wanted = network.state_dict()
    return found.keys() == wanted.keys() and all(torch.equal(found[key], wanted[key]) for key in wanted)


def test_what_is_written_is_read(tmp_path: Path):
    network = write_random(tmp_path / "a.safetensors", SHAPE)
    weights = read_weights(tmp_path / "a.safetensors")
    assert weights.shape == SHAPE
    assert same(weights.tensors, network)
    pictures = torch.rand(1, 3, 8, 8)
    with torch.no_grad():
        assert torch.equal(weights.network()(pictures), network.eval()(pictures))


def test_the_same_weights_give_the_same_bytes(tmp_path: Path, network: RRDBNet):
    for name in ("a", "b"):
        write_weights(network.state_dict(), tmp_path / f"{name}.safetensors", shape=SHAPE, note={"x": 1, "y": [2]})
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


@pytest.mark.parametrize(
    "wrap",
    [
        lambda weights: {"params_ema": weights, "params": {"other": torch.zeros(1)}},
        lambda weights: {"params": weights},
        lambda weights: weights,
        lambda weights: {f"module.{key}": value for key, value in weights.items()},
        lambda weights: {"params_ema": {f"module.{key}": value for key, value in weights.items()}},
        lambda weights: {key: value.half() for key, value in weights.items()},
    ],
    ids=["params_ema", "params", "bare", "module", "params_ema and module", "half"],
)
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "old"])
def test_every_published_layout_is_read(wrap: Any, zipped: bool, network: RRDBNet, tmp_path: Path):
    torch.save(wrap(network.state_dict()), tmp_path / "a.pth", _use_new_zipfile_serialization=zipped)
    weights = read_weights(tmp_path / "a.pth")
    assert weights.shape == SHAPE
    assert all(value.dtype == torch.float32 for value in weights.tensors.values())
    assert all(torch.allclose(weights.tensors[key], value, atol=1e-3) for key, value in network.state_dict().items())


def test_safetensors_of_others_say_nothing_and_are_read(network: RRDBNet, tmp_path: Path):
    save_file(network.state_dict(), tmp_path / "a.safetensors")
    (tmp_path / "a.safetensors").rename(tmp_path / "renamed.pth")
    weights = read_weights(tmp_path / "renamed.pth")
    assert (weights.shape, weights.note) == (SHAPE, {})


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_the_scale_is_told_from_the_first_convolution(scale: Any, tmp_path: Path):
    network = RRDBNet(RRDBShape(scale=scale, blocks=1, features=5, growth=3))
    save_file(network.state_dict(), tmp_path / "a.safetensors")
    assert read_weights(tmp_path / "a.safetensors").shape == network.shape


def test_other_channels_are_told_from_the_note(tmp_path: Path):
    shape = RRDBShape(scale=2, in_channels=4, out_channels=3, blocks=1, features=5, growth=3)
    write_random(tmp_path / "a.safetensors", shape)
    assert read_weights(tmp_path / "a.safetensors").shape == shape


class Payload:
    """What a pickle may hold, and a file of weights may not."""


def test_what_needs_code_is_refused(network: RRDBNet, tmp_path: Path):
    torch.save({"params": network.state_dict(), "more": Payload()}, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match=r"a\.pth: holds more than weights.*save its state_dict alone"):
        read_weights(tmp_path / "a.pth")


def without(weights: dict, key: str) -> dict:
    return {name: value for name, value in weights.items() if name != key}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: without(w, "conv_hr.bias"), "conv_hr.bias is missing"),
        (lambda w: without(w, "conv_first.weight"), "conv_first.weight is missing"),
        (lambda w: {**w, "conv_extra.weight": torch.zeros(1)}, "conv_extra.weight is unknown"),
        (
            lambda w: {**w, "body.1.rdb2.conv3.weight": torch.zeros(4, 15, 3, 3)},
            r"body.1.rdb2.conv3.weight is \(4, 15, 3, 3\), expected \(4, 16, 3, 3\)",
        ),
        (
            lambda w: {key.replace("rdb", "RDB"): value for key, value in w.items()},
            "body.0.rdb1.conv1.weight is missing.*body.0.RDB1.conv1.weight is unknown",
        ),
        (lambda w: {"model.0.weight": torch.zeros(64, 3, 3, 3)}, "model.0.weight is unknown"),
        (lambda w: {**w, "body.99.rdb1.conv1.bias": torch.zeros(4)}, "23 blocks"),
        (lambda w: {key: value[..., 0] if value.ndim == 4 else value for key, value in w.items()}, "expected"),
    ],
)
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_weights_of_another_network_name_the_first_keys_that_differ(
    change: Any, message: str, suffix: str, network: RRDBNet, tmp_path: Path
):
    weights = {key: value.contiguous() for key, value in change(network.state_dict()).items()}
    path = tmp_path / f"a{suffix}"
    if suffix == ".pth":
        torch.save({"params_ema": weights}, path)
    else:
        save_file(weights, path)
    with pytest.raises(WeightsError, match=message):
        read_weights(path)


def test_weights_that_are_no_numbers_are_refused(network: RRDBNet, tmp_path: Path):
    network.conv_body.weight.data[0, 0] = torch.nan
    save_file(network.state_dict(), tmp_path / "a.safetensors")
    with pytest.raises(WeightsError, match=r"conv_body\.weight holds NaN"):
        read_weights(tmp_path / "a.safetensors")


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("content", [b"", b"404 not found", b"PK\x03\x04 cut", b"\x80\x02}q\x00."])
def test_damaged_files_are_named(suffix: str, content: bytes, tmp_path: Path):
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=rf"weights\{suffix}: (cannot be read|holds)"):
        read_weights(path)


def test_a_truncated_file_is_named(tmp_path: Path, network: RRDBNet):
    write_random(tmp_path / "a.safetensors", SHAPE)
    whole = (tmp_path / "a.safetensors").read_bytes()
    (tmp_path / "a.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(WeightsError, match="cannot be read as safetensors"):
        read_weights(tmp_path / "a.safetensors")


def test_a_state_with_more_than_weights_says_what_is_in_it(tmp_path: Path):
    torch.save({"epoch": 3, "state_dict": {}}, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match="holds epoch, state_dict"):
        read_weights(tmp_path / "a.pth")


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(WeightsError, match="no such file"):
        read_weights(tmp_path / "a.pth")


def test_the_file_is_plain_safetensors(tmp_path: Path):
    network = write_random(tmp_path / "a.safetensors", SHAPE)
    assert same(load_file(tmp_path / "a.safetensors"), network)
