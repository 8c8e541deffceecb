"""Every kind of training takes two steps, and what it leaves is what it was asked for."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file
from small_models import steps_config

import text2earth
from text2earth.errors import ConfigError, ModelError, ShardError
from text2earth.training import train
from text2earth.training.averages import snapshots
from text2earth.training.averaging import averaged_model
from text2earth.training.dry_run import forecast


def configured(data, **sections):
    """``steps_config`` with two steps, and changes by section."""
    config = steps_config(data).model_dump()
    config["denoiser"] |= {"steps": 2, "batch_size": 4}
    for name, changes in sections.items():
        config[name] = changes if changes is None or config[name] is None else config[name] | changes
    return type(steps_config(data)).model_validate(config)


def scheduler_of(folder):
    return json.loads((folder / "scheduler" / "scheduler_config.json").read_text())


def test_each_prediction_saves_the_scheduler_that_belongs_to_it(small_tiles, tmp_path):
    velocity, flow = tmp_path / "velocity", tmp_path / "flow"
    train(
        configured(small_tiles, model={"prediction": "v_prediction"}, denoiser={"min_snr_gamma": 5.0}), output=velocity
    )
    assert scheduler_of(velocity)["prediction_type"] == "v_prediction"
    train(configured(small_tiles, model={"prediction": "flow"}, denoiser={"flow_shift": 3.0}), output=flow)
    assert (scheduler_of(flow)["_class_name"], scheduler_of(flow)["shift"]) == ("FlowMatchEulerDiscreteScheduler", 3.0)
    for folder in (velocity, flow):
        images = text2earth.load(folder)("water", 14, num_inference_steps=2, output_type="pt").images
        assert torch.isfinite(images).all()


def test_a_training_may_start_from_a_model_and_keep_its_autoencoder(model_folder, small_tiles, tmp_path):
    """The report of the start says what became of each key."""
    train(configured(small_tiles, model={"start": str(model_folder)}, vae=None), output=tmp_path / "model")
    said = (tmp_path / "model" / "training" / "start.txt").read_text()
    assert "unet: " in said and "keys loaded" in said and "new" not in said and "ignored" not in said
    folders = (tmp_path / "model", model_folder)
    found, wanted = (load_file(folder / "vae" / "diffusion_pytorch_model.safetensors") for folder in folders)
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_a_start_of_another_shape_names_the_keys(model_folder, small_tiles, tmp_path):
    config = configured(small_tiles, model={"start": str(model_folder), "preset": "tiny", "image_size": 32}, vae=None)
    with pytest.raises(ModelError, match=r"the checkpoint is of another shape: .*weight \(.*\) in the checkpoint"):
        train(config, output=tmp_path / "model")


def test_phases_follow_each_other_on_their_own_rows(small_tiles, tmp_path):
    """The second phase has good rows only: of 24, those that score 8 or 9; its learning rate is its own."""
    phase = {"steps": 3, "learning_rate": 5e-4, "where": "img_quality_score > 7.5"}
    config = configured(small_tiles, denoiser={"phases": [phase], "ema_lengths": [0.05, 0.1], "ema_snapshot_every": 2})
    result = train(config, output=tmp_path / "model")
    lines = [json.loads(line) for line in (tmp_path / "model" / "training" / "log.jsonl").read_text().splitlines()]
    rates = [line["lr"] for line in lines if line["stage"] == "denoiser"]
    assert rates == [1e-3, 1e-3, 5e-4, 5e-4, 5e-4]
    assert result.tally.seen == 20
    kept = snapshots(tmp_path / "model" / "training" / "snapshots" / "denoiser")
    assert sorted(kept.values()) == [(step, length) for step in (2, 4, 5) for length in (0.05, 0.1)]
    averaged_model(tmp_path / "model", output=tmp_path / "other", length=0.08)
    found, wanted = (
        load_file(tmp_path / name / "unet" / "diffusion_pytorch_model.safetensors") for name in ("other", "model")
    )
    assert found.keys() == wanted.keys()
    assert not torch.equal(found["conv_in.weight"], wanted["conv_in.weight"])
    text2earth.load(tmp_path / "other")


def test_a_training_that_has_ended_is_not_begun_again(small_tiles, tmp_path):
    config = configured(small_tiles)
    first = train(config, output=tmp_path / "model")
    log = (tmp_path / "model" / "training" / "log.jsonl").read_text()
    again = train(config, output=tmp_path / "model")
    assert (again.tally, again.parameters) == (first.tally, first.parameters)
    assert (tmp_path / "model" / "training" / "log.jsonl").read_text() == log


def test_a_dataset_without_captions_is_refused(small_tiles, tmp_path):
    name = tmp_path / "silent.parquet"
    table = pq.read_table(next((small_tiles / "data").glob("*.parquet")))
    place = table.schema.get_field_index("caption")
    pq.write_table(table.set_column(place, "caption", pa.array([""] * len(table))), name)
    with pytest.raises(
        ShardError, match=r"has no captions: they are empty in all of its 24 rows; run 'git10m caption'"
    ):
        train(configured(name), output=tmp_path / "model")
    train(configured(name, conditions={"drop_text": 1.0}), output=tmp_path / "wordless")


def test_a_batch_smaller_than_its_parts_is_refused(small_tiles, tmp_path):
    with pytest.raises(ConfigError, match=r"denoiser\.batch_size is 4; .* 1 processes × 5 micro-batches"):
        train(configured(small_tiles, denoiser={"accumulate": 5}), output=tmp_path / "model")


def test_a_dry_run_tells_memory_and_time_and_leaves_nothing(small_tiles, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = forecast(configured(small_tiles, denoiser={"steps": 1000, "ema_lengths": [0.05, 0.1]}))
    vae, denoiser = found.stages
    trained = found.parameters["unet"] + found.parameters["text_encoder"]
    # Weights, gradients, two moments and three averages of what is trained; the frozen autoencoder beside it.
    assert denoiser.state_bytes == 4 * (7 * trained + found.parameters["vae"])
    assert vae.is_measured and denoiser.is_measured and denoiser.step_s > 0.0
    assert denoiser.duration_s == pytest.approx(1000 * denoiser.step_s)
    assert denoiser.flops > 4 * 6 * 64 * trained / 64 and denoiser.activation_bytes > 0
    assert found.epochs == pytest.approx(1000 * 4 / 24)
    assert list(tmp_path.iterdir()) == []


def test_tensorboard_shows_what_the_log_says(small_tiles, tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    train(configured(small_tiles, run={"tensorboard": True}), output=tmp_path / "model")
    events = accumulator.EventAccumulator(str(tmp_path / "model" / "training" / "tensorboard" / "denoiser")).Reload()
    lines = [json.loads(line) for line in (tmp_path / "model" / "training" / "log.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if line["stage"] == "denoiser"]
    assert [event.value for event in events.Scalars("denoiser/loss")] == pytest.approx(losses)


def test_tensorboard_that_is_not_installed_is_said(small_tiles, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch.utils.tensorboard", None)
    with pytest.raises(ConfigError, match=r"TensorBoard is not installed; run 'pip install tensorboard'"):
        train(configured(small_tiles, run={"tensorboard": True}), output=tmp_path / "model")
