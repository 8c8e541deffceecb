import json

import numpy as np
import pytest
from PIL import Image
from small_models import row, steps_config, write_dataset

from text2earth.errors import ShardError
from text2earth.training import train


@pytest.fixture(scope="module")
def split_tiles(tmp_path_factory):
    """16 tiles to train on and 8 held out, of two levels each."""
    import pyarrow.parquet as pq

    from git10m import records

    folder = write_dataset(tmp_path_factory.mktemp("data") / "split", rows=16, tile_px=32)
    table = records.table(row(number, tile_px=32, split="validation") for number in range(16, 24))
    pq.write_table(table, folder / "data" / "validation-00000-of-00001.parquet")
    return folder


def lines(folder):
    return [json.loads(line) for line in (folder / "training" / "log.jsonl").read_text().splitlines()]


def configured(data, *, prediction="epsilon", validation=None, **denoiser):
    config = steps_config(data).model_dump()
    config["model"]["prediction"] = prediction
    config["denoiser"] |= denoiser
    config["validation"] = validation
    return type(steps_config(data)).model_validate(config)


LOOK = {
    "every": 4,
    "images": 6,
    "timesteps": 2,
    "batch_size": 4,
    "prompts": ["water", "forest"],
    "levels": [14, 15],
    "sampling_steps": 2,
}


@pytest.fixture(scope="module")
def looked_at(split_tiles, tmp_path_factory):
    folder = tmp_path_factory.mktemp("looked") / "model"
    train(configured(split_tiles, validation=LOOK), output=folder)
    return folder


def test_loss_is_told_by_level_and_by_time_on_held_out_images(looked_at):
    looks = [line for line in lines(looked_at) if "validation_loss" in line]
    assert [line["step"] for line in looks] == [4, 8, 10]
    for line in looks:
        assert set(line["validation_loss_by_level"]) == {"14", "15"}
        assert set(line["validation_loss_by_timestep"]) == {"250.0", "750.0"}
        assert line["validation_loss"] == pytest.approx(np.mean(list(line["validation_loss_by_timestep"].values())))
    assert looks[-1]["validation_loss"] < looks[0]["validation_loss"]


def test_a_look_changes_nothing_and_finds_the_same_again(looked_at, split_tiles, tmp_path):
    """The training is the same to the bit without it; what it finds depends on the weights alone."""
    train(configured(split_tiles), output=tmp_path / "unseen")
    assert lines(tmp_path / "unseen") == [line for line in lines(looked_at) if "loss" in line]
    train(configured(split_tiles, validation={**LOOK, "every": 2, "prompts": []}), output=tmp_path / "often")
    often = {line["step"]: line for line in lines(tmp_path / "often") if "validation_loss" in line}
    for line in lines(looked_at):
        if "validation_loss" in line:
            assert line == often[line["step"]]


def test_grids_have_a_row_for_each_prompt_and_are_marked(looked_at):
    grids = sorted((looked_at / "training" / "samples").iterdir())
    assert [name.name for name in grids] == ["step-00000004.png", "step-00000008.png", "step-00000010.png"]
    with Image.open(grids[-1]) as grid:
        assert grid.size == (32, 32)
        assert grid.text["SYNTHETIC"] == "YES" and grid.text["PROMPT"] == "water | forest"
        assert "trainedAlgorithmicMedia" in grid.text["XML:com.adobe.xmp"]


def test_a_split_that_is_not_there_is_said_at_once(small_tiles, tmp_path):
    with pytest.raises(ShardError, match=r"there is no file .*validation-\*\.parquet"):
        train(configured(small_tiles, validation={}), output=tmp_path / "model")
    assert not (tmp_path / "model" / "training" / "log.jsonl").exists()
