"""What a restorer does to one picture: nothing moves, nothing depends on anything else, holes do not spread."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from small_imagery import texture
from small_restorers import write_random, write_smoothing

from git10m.curation.enhancement import Restorer, asked_for, averaged, open_restorer
from git10m.curation.rrdb import RRDBShape
from git10m.curation.rrdb_weights import read_weights
from git10m.errors import WeightsError
from git10m.recipe import Enhancement


def ground(height: int = 96, width: int = 96, seed: int = 0) -> np.ndarray:
    return np.ascontiguousarray(np.moveaxis(texture(height, width, seed=seed), 0, -1))


def whole(pixels: np.ndarray) -> np.ndarray:
    return np.ones(pixels.shape[:2], dtype=bool)


def opened(path: Path) -> Restorer:
    return open_restorer(Enhancement(weights=str(path)))


@pytest.fixture(scope="module", params=[1, 2])
def smooth(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Restorer:
    return opened(write_smoothing(tmp_path_factory.mktemp("w") / "a.safetensors", scale=request.param))


@pytest.fixture(scope="module")
def random(tmp_path_factory: pytest.TempPathFactory) -> Restorer:
    path = tmp_path_factory.mktemp("r") / "a.safetensors"
    write_random(path, RRDBShape(scale=2, blocks=2, features=8, growth=4))
    return opened(path)


def test_its_name_is_network_scale_and_hash(smooth: Restorer):
    sha256 = hashlib.sha256(smooth.path.read_bytes()).hexdigest()
    assert smooth.name == f"rrdb-x{smooth.scale}:{sha256[:8]}"


def test_nothing_moves_by_half_a_pixel(smooth: Restorer):
    """The centre of a spot stays where it is, at its own size and enlarged; the correlation peaks at (0, 0)."""
    y, x = np.mgrid[:64, :64]
    spot = np.exp(-((y - 29.3) ** 2 + (x - 34.8) ** 2) / (2 * 6.0**2))
    pixels = np.repeat(np.rint(250 * spot).astype(np.uint8)[..., None], 3, axis=2)
    found = smooth.restored(pixels, whole(pixels))
    for picture, factor in ((averaged(found, smooth.scale), 1), (averaged(found, 1), smooth.scale)):
        weights = picture[..., 1].astype(float) / picture[..., 1].sum()
        rows, columns = ((np.arange(side) + 0.5) / factor - 0.5 for side in weights.shape)
        assert (weights.sum(axis=1) * rows).sum() == pytest.approx(29.3, abs=0.06)
        assert (weights.sum(axis=0) * columns).sum() == pytest.approx(34.8, abs=0.06)


def test_a_flat_picture_stays_flat_to_its_border(smooth: Restorer):
    pixels = np.full((70, 90, 3), (40, 120, 200), dtype=np.uint8)
    assert (averaged(smooth.restored(pixels, whole(pixels)), smooth.scale) == pixels).all()


@pytest.mark.parametrize("size", [(64, 64), (65, 67), (70, 101)])
def test_every_size_comes_back_as_it_was(size: tuple[int, int], smooth: Restorer):
    pixels = ground(*size)
    found = smooth.restored(pixels, whole(pixels))
    assert found.shape == (size[0] * smooth.scale, size[1] * smooth.scale, 3)
    assert averaged(found, smooth.scale).shape == pixels.shape


def test_it_is_the_network_and_a_mirrored_border(random: Restorer):
    """Against the network itself, called once on a picture that is mirrored by other code."""
    pixels = ground()
    around = np.pad(pixels, ((8, 8), (8, 8), (0, 0)), mode="symmetric")
    with torch.no_grad():
        given = torch.from_numpy(around.transpose(2, 0, 1)[None].astype(np.float32) / 255)
        expected = read_weights(random.path).network()(given).clamp(0, 1)[0, :, 16:-16, 16:-16]
    found = random.restored(pixels, whole(pixels))
    assert np.abs(found - expected.permute(1, 2, 0).numpy()).max() < 1e-4


def test_a_picture_does_not_depend_on_those_before_it_nor_on_threads(random: Restorer):
    pixels = ground()
    first = random.restored(pixels, whole(pixels))
    random.restored(ground(64, 80, seed=3), whole(ground(64, 80)))
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        assert np.array_equal(random.restored(pixels, whole(pixels)), first)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_a_large_picture_goes_through_in_windows_without_seams(smooth: Restorer, monkeypatch: pytest.MonkeyPatch):
    pixels = ground(150, 170)
    at_once = smooth.restored(pixels, whole(pixels))
    monkeypatch.setattr("git10m.curation.enhancement._WINDOW_PX", 64)
    assert np.abs(smooth.restored(pixels, whole(pixels)) - at_once).max() < 1e-5


def test_what_pixels_without_data_hold_changes_nothing(random: Restorer):
    pixels, valid = ground(), whole(ground())
    valid[30:50, 40:] = False
    black, white = pixels.copy(), pixels.copy()
    black[~valid], white[~valid] = 0, 255
    found = [random.restored(each, valid) for each in (black, white)]
    assert np.array_equal(found[0], found[1])


def test_averaging_is_that_of_areas():
    found = np.random.default_rng(0).random((8, 12, 3), dtype=np.float32)
    expected = np.rint(255 * found.reshape(4, 2, 6, 2, 3).mean(axis=(1, 3)))
    assert np.abs(averaged(found, 2) - expected).max() <= 1
    assert (averaged(found, 1) == np.rint(found * 255)).all()


@pytest.mark.parametrize(
    ("row", "rules", "expected"),
    [
        ({"img_quality_score": 4.7}, {}, True),
        ({"img_quality_score": 4.8}, {}, False),
        ({"img_quality_score": None}, {"below": 10}, False),
        ({"img_quality_score": 9.9}, {"below": 10}, True),
        ({"img_quality_score": 6.0, "noise": 13.0}, {"max_noise": 12}, True),
        ({"img_quality_score": 6.0, "blockiness": 0.6}, {"max_blockiness": 0.5}, True),
        ({"img_quality_score": 6.0, "sharpness": 3.0}, {"min_sharpness": 4}, True),
        ({"img_quality_score": 6.0}, {"max_noise": 12, "max_blockiness": 0.5, "min_sharpness": 4}, False),
    ],
)
def test_which_tiles_are_asked_for(row: dict, rules: dict, expected: bool):
    measured = {"noise": 1.0, "blockiness": 0.1, "sharpness": 20.0, **row}
    assert asked_for(measured, Enhancement(weights="a.pth", **rules)) is expected


def test_weights_that_change_under_a_build_are_noticed(tmp_path: Path):
    restorer = opened(write_smoothing(tmp_path / "a.safetensors"))
    write_random(tmp_path / "a.safetensors", RRDBShape(scale=2, blocks=1, features=4, growth=2))
    with pytest.raises(WeightsError, match="has changed since the build began"):
        restorer.restored(ground(), whole(ground()))
