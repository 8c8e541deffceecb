"""Training of restorers: examples by counter, exact resume, what is refused; and that a small one restores."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zlib
from collections import Counter
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from good_tiles import png, tile_row, write_tiles
from PIL import Image
from real_tiles import real_tiles
from small_imagery import command, texture

from git10m.curation import restorer_training
from git10m.curation.enhancement import averaged, open_restorer
from git10m.curation.restorer_examples import Examples, find_good_tiles
from git10m.curation.restorer_training import TrainingSettings, shape_for, train_restorer
from git10m.curation.rrdb import RRDBShape
from git10m.curation.rrdb_weights import read_weights
from git10m.errors import DatasetError, RequestError, SourceError, TrainingError, WeightsError
from git10m.recipe import Enhancement

TINY = RRDBShape(scale=2, blocks=1, features=8, growth=4)


def ground(seed: int, side: int = 80) -> np.ndarray:
    return np.ascontiguousarray(np.moveaxis(texture(side, side, seed=seed), 0, -1))


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty good tiles in groups of eight, and some that are not to be learnt from."""
    rows = [tile_row(f"good{i:02d}.png", ground(i), img_quality_score=7.0) for i in range(40)]
    rows[3:3] = [
        tile_row("poor.png", ground(50), img_quality_score=3.0),
        tile_row("unscored.png", ground(51), img_quality_score=None),
        tile_row("holed.png", ground(52), img_quality_score=7.0, valid_fraction=0.97),
        tile_row("restored.png", ground(53), img_quality_score=7.0, enhanced="rrdb-x2:01234567"),
        tile_row("small.png", ground(54, side=24), img_quality_score=7.0),
    ]
    held = [tile_row(f"held{i}.png", ground(60 + i), img_quality_score=7.0, split="validation") for i in range(3)]
    return write_tiles(tmp_path_factory.mktemp("tiles") / "dataset", {"train": rows, "validation": held})


def settings(**changes: Any) -> TrainingSettings:
    return TrainingSettings(**{"shape": TINY, "steps": 6, "batch": 2, "patch": 32, **changes})


def test_only_good_tiles_are_learnt_from(tiles: Path):
    found = find_good_tiles(tiles, min_quality=5.5, side=32)
    assert found.sizes.sum() == 40
    assert +found.left_out == {
        "score below 5.5, or none": 2,
        "smaller than 32 px": 1,
        "pixels without data": 1,
        "enhanced already": 1,
    }


def test_an_epoch_shows_every_tile_once_and_reads_each_group_once(tiles: Path):
    good = find_good_tiles(tiles, min_quality=5.5, side=32)
    examples = Examples(good, scale=2, patch=32, seed=1)
    epochs = [[examples.place(counter) for counter in range(40 * e, 40 * e + 40)] for e in range(3)]
    assert all(set(Counter(epoch).values()) == {1} and len(epoch) == 40 for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]
    reads: list[int] = []
    read = type(good).pictures
    with patch.object(type(good), "pictures", lambda self, group: reads.append(group) or read(self, group)):
        for counter in range(40):
            examples[counter]
    assert len(reads) == len(good.groups)


def test_an_example_depends_on_its_counter_alone(tiles: Path):
    good = find_good_tiles(tiles, min_quality=5.5, side=32)
    examples = Examples(good, scale=2, patch=32, seed=1)
    there = [examples[counter] for counter in range(50)]
    for counter in (49, 7, 23):
        degraded, clear = Examples(good, scale=2, patch=32, seed=1)[counter]
        assert np.array_equal(degraded, there[counter][0])
        assert np.array_equal(clear, there[counter][1])
        assert (degraded.shape, clear.shape) == ((16, 16, 3), (32, 32, 3))


def test_a_training_that_was_stopped_and_resumed_ends_with_the_same_bytes(tiles: Path, tmp_path: Path):
    (tmp_path / "a").mkdir()
    whole = train_restorer(tiles, tmp_path / "a/r.safetensors", settings=settings(), save_every=2)
    (tmp_path / "b").mkdir()
    out = tmp_path / "b/r.safetensors"
    take = restorer_training._Training._take
    for stop in (3, 5):  # between states: the steps since the last one are taken again

        def dying(self: Any, *batch: Any, stop: int = stop) -> float:
            if self.step == stop:
                raise KeyboardInterrupt
            return take(self, *batch)

        with patch.object(restorer_training._Training, "_take", dying), pytest.raises(KeyboardInterrupt):
            train_restorer(tiles, out, settings=settings(), save_every=2, resume=True)
    resumed = train_restorer(tiles, out, settings=settings(), save_every=2, resume=True)
    assert out.read_bytes() == (tmp_path / "a/r.safetensors").read_bytes()
    assert resumed["sha256"] == whole["sha256"]
    logs = [(tmp_path / name / "r.log.jsonl").read_text() for name in ("a", "b")]
    assert logs[0] == logs[1]
    assert [json.loads(line)["step"] for line in logs[0].splitlines()] == [6]
    assert sorted(path.name for path in (tmp_path / "b").iterdir()) == ["r.log.jsonl", "r.safetensors"]


def test_examples_made_by_workers_are_the_same(tiles: Path, tmp_path: Path):
    found = [
        train_restorer(tiles, tmp_path / f"{workers}.safetensors", settings=settings(steps=3), workers=workers)
        for workers in (0, 1)
    ]
    assert found[0]["sha256"] == found[1]["sha256"]


def test_what_comes_out_can_be_opened_and_says_what_it_is(tiles: Path, tmp_path: Path):
    found = train_restorer(tiles, tmp_path / "r.safetensors", settings=settings(gradient=0.5, steps=2))
    weights = read_weights(tmp_path / "r.safetensors")
    assert weights.shape == TINY
    assert weights.note["trained"]["gradient"] == 0.5
    assert weights.note["held_out"] == found["held_out"]
    assert found["held_out"]["tiles"] == 3
    assert weights.sha256 == found["sha256"]
    more = train_restorer(tiles, tmp_path / "s.safetensors", settings=settings(steps=1), init=weights)
    assert more["init"] == weights.sha256


def test_weights_to_start_from_decide_the_shape(tiles: Path, tmp_path: Path):
    train_restorer(tiles, tmp_path / "r.safetensors", settings=settings(steps=1))
    start = read_weights(tmp_path / "r.safetensors")
    assert shape_for(2, blocks=None, features=None, growth=None, init=start) == TINY
    assert shape_for(1, blocks=None, features=32, growth=None, init=None) == RRDBShape(scale=1, features=32)
    with pytest.raises(WeightsError, match="blocks 23 is asked for, they have 1"):
        shape_for(2, blocks=23, features=None, growth=None, init=start)


def test_what_is_there_is_not_written_over(tiles: Path, tmp_path: Path):
    out = tmp_path / "r.safetensors"
    train_restorer(tiles, out, settings=settings(steps=1))
    with pytest.raises(RequestError, match="is there already"):
        train_restorer(tiles, out, settings=settings(steps=1))
    out.rename(tmp_path / "r.state.safetensors")
    with pytest.raises(RequestError, match="go on with --resume"):
        train_restorer(tiles, out, settings=settings(steps=1))
    with pytest.raises(RequestError, match="state of another training"):
        train_restorer(tiles, out, settings=settings(steps=1), resume=True)
    with pytest.raises(RequestError, match="in a folder that exists"):
        train_restorer(tiles, tmp_path / "no/r.safetensors", settings=settings())


def test_a_loss_that_is_no_number_ends_the_training(tiles: Path, tmp_path: Path):
    with pytest.raises(TrainingError, match=r"the loss is (nan|inf).*--learning-rate below"):
        train_restorer(tiles, tmp_path / "r.safetensors", settings=settings(learning_rate=1e30, steps=20))
    assert not (tmp_path / "r.safetensors").exists()


def test_a_full_disk_is_said_and_the_training_can_go_on(tiles: Path, tmp_path: Path):
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    (tmp_path / "r.log.jsonl").symlink_to("/dev/full")
    with (
        patch.object(restorer_training, "_cut_log", lambda log, step: None),
        pytest.raises(TrainingError, match=r"No space left.*--resume"),
    ):
        train_restorer(tiles, tmp_path / "r.safetensors", settings=settings())


@pytest.mark.parametrize(
    ("bad", "message"),
    [({"patch": 30}, "multiple of 4"), ({"patch": 8}, "at least 16"), ({"batch": 0}, "at least 1")],
)
def test_settings_that_are_none_are_refused(bad: dict, message: str):
    with pytest.raises(RequestError, match=message):
        settings(**bad)


def test_a_folder_without_good_tiles_says_why(tmp_path: Path, tiles: Path):
    with pytest.raises(DatasetError, match=r"score below 9, or none: 45.*--min-quality"):
        train_restorer(tiles, tmp_path / "r.safetensors", settings=settings(min_quality=9.0))
    with pytest.raises(DatasetError, match="holds no dataset"):
        train_restorer(tmp_path, tmp_path / "r.safetensors", settings=settings())


def test_a_damaged_image_is_named(tmp_path: Path):
    rows = [tile_row(f"{i}.png", ground(i), img_quality_score=7.0) for i in range(4)]
    cut = tile_row("cut.png", ground(9), img_quality_score=7.0)
    cut.image["bytes"] = png(ground(9))[:500]  # type: ignore[index]
    folder = write_tiles(tmp_path / "dataset", {"train": [*rows, cut]})
    with pytest.raises(SourceError, match=r"00001\.parquet, cut\.png: its image is damaged.*git10m verify"):
        train_restorer(folder, tmp_path / "r.safetensors", settings=settings())


def test_the_command_trains_and_says_how_well(tiles: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    small = ["--scale", "2", "--blocks", "1", "--features", "8", "--growth", "4"]
    options = [*small, "--steps", "2", "--batch", "2", "--patch", "32"]
    said = command(capfd, "train-restorer", tiles, "--out", tmp_path / "r.safetensors", *options, "--json")
    assert said.code == 0, said.err
    assert said.json["tiles"] == 40
    assert said.json["held_out"]["psnr_plain"] > 10
    again = command(capfd, "train-restorer", tiles, "--out", tmp_path / "r.safetensors", *options)
    assert (again.code, "is there already" in again.err) == (2, True)
    nowhere = command(capfd, "train-restorer", tmp_path / "nothing", "--out", tmp_path / "s.safetensors")
    assert (nowhere.code, "no such folder" in nowhere.err) == (2, True)


def test_without_torch_the_extra_is_named(tiles: Path, tmp_path: Path):
    code = (
        "import sys; sys.modules['torch'] = None; from git10m.cli import main; "
        f"sys.argv = ['git10m', 'train-restorer', {str(tiles)!r}, '--out', {str(tmp_path / 'r.safetensors')!r}]; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=os.environ)
    assert done.returncode == 2, done.stderr
    assert "pip install 'git10m[restorer]'" in done.stderr
    assert "Traceback" not in done.stderr


# What a small one learns


def pictures_of(imagery: Path) -> dict[str, list[Any]]:
    """Real tiles, a fourth of the files held out."""
    rows: dict[str, list[Any]] = {"train": [], "validation": []}
    for number, (file, tile) in enumerate(real_tiles(imagery, each=6)):
        split = "validation" if zlib.crc32(file.encode()) % 4 == 0 else "train"
        rows[split].append(tile_row(f"{number:04d}_{file}.png", tile, split=split))
    return rows


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_a_small_restorer_beats_bicubic_on_degraded_real_tiles_that_it_never_saw(
    imagery: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    folder = write_tiles(tmp_path / "real", pictures_of(imagery))
    small = TrainingSettings(
        RRDBShape(scale=2, blocks=1, features=32, growth=16),
        steps=1500,
        batch=4,
        patch=64,
        learning_rate=2e-3,
        min_quality=4.8,
    )
    out = tmp_path / "small.safetensors"
    held = train_restorer(folder, out, settings=small)["held_out"]
    with capsys.disabled():
        print(f"\n×2, 1 block, {small.steps} steps: {held['psnr']:.2f} dB on {held['tiles']} held-out tiles, "
              f"bicubic {held['psnr_plain']:.2f} dB")  # fmt: skip
    assert held["tiles"] > 15
    assert held["psnr"] > held["psnr_plain"]
    restorer = open_restorer(Enhancement(weights=str(out)))
    peaks = Counter(
        shift_of(averaged(restorer.restored(tile, np.ones((256, 256), dtype=bool)), 2), tile)
        for _, tile in real_tiles(imagery, each=1)
    )
    assert peaks.most_common(1)[0][0] == (0, 0)
    assert len(peaks) == 1, f"pictures move: {peaks}"


def shift_of(found: np.ndarray, given: np.ndarray) -> tuple[int, int]:
    """Where the correlation of detail of two pictures peaks."""
    details = []
    for picture in (found, given):
        grey = picture.astype(float).mean(axis=2)
        details.append(np.fft.rfft2(grey - np.asarray(Image.fromarray(grey).resize((32, 32)).resize((256, 256)))))
    peak = int(np.argmax(np.fft.irfft2(details[0] * np.conj(details[1]))))
    row, column = divmod(peak, 256)
    return (row + 128) % 256 - 128, (column + 128) % 256 - 128
