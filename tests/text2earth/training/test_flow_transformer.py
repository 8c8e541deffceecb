"""A transformer trained by flow matching, from the command to an image."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import (
    DPMSolverMultistepScheduler,
    FlowMatchEulerDiscreteScheduler,
    FlowMatchHeunDiscreteScheduler,
    UniPCMultistepScheduler,
)
from safetensors.torch import load_file
from small_models import nano_config, nano_preset, write_dataset

import text2earth
from text2earth.errors import InterruptedTraining, ModelError, RequestError
from text2earth.models import PRESETS, Text2EarthTransformer2DModel
from text2earth.sampling import Text2EarthPipeline
from text2earth.training import load_config, train
from text2earth.training.averaging import averaged_model
from text2earth.training.loop import _Run

RECIPES = Path(__file__).parents[3] / "pipelines"
CONFIG = """
name = "nano-dit"
[data]
path = "${dataset}"
[model]
preset = "nano-dit"
prediction = "flow"
[vae]
steps = 4
batch_size = 4
[denoiser]
steps = 30
batch_size = 8
learning_rate = 3e-3
flow_shift = 2.0
[run]
checkpoint_every = 7
log_every = 1
"""
# What diffusers 0.42 does with NumPy 2; the pipeline keeps it to itself, schedulers made here do not.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module", autouse=True)
def nano_dit():
    """Offer the preset ``nano-dit``: 16 tokens of 32 numbers."""
    blocks = {"patch_size": 2, "num_layers": 2, "num_attention_heads": 2, "attention_head_dim": 16}
    PRESETS["nano-dit"] = replace(nano_preset(), unet={}, transformer={**blocks, "cross_attention_dim": 32})
    yield
    del PRESETS["nano-dit"]


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    path = tmp_path_factory.mktemp("config") / "nano-dit.toml"
    path.write_text(CONFIG)
    return path


@pytest.fixture(scope="module")
def folder(config, small_tiles, tmp_path_factory):
    output = tmp_path_factory.mktemp("models") / "nano-dit"
    train(load_config(config, variables={"dataset": str(small_tiles)}), output=output)
    return output


@pytest.fixture(scope="module")
def pipeline(folder):
    loaded = text2earth.load(folder, device="cpu")
    loaded.set_progress_bar_config(disable=True)
    return loaded


def paint(pipeline, prompt="a view of water", level=14, **changes):
    request = {
        "num_inference_steps": 4,
        "output_type": "np",
        "generator": torch.Generator().manual_seed(1),
        **changes,
    }
    return pipeline(prompt, level, **request).images


def test_the_folder_names_its_parts_and_the_scheduler_of_its_objective(folder):
    index = json.loads((folder / "model_index.json").read_text())
    assert index["transformer"] == ["text2earth.models.dit", "Text2EarthTransformer2DModel"]
    assert "unet" not in index and not (folder / "unet").exists()
    assert index["scheduler"] == ["diffusers", "FlowMatchEulerDiscreteScheduler"]
    assert FlowMatchEulerDiscreteScheduler.from_pretrained(folder / "scheduler").shift == 2.0
    card = (folder / "README.md").read_text()
    assert "A transformer in the place of Text2Earth's U-Net" in card and "A Text2Earth model" not in card
    assert "| prediction | flow |" in card
    lines = [json.loads(line) for line in (folder / "training" / "log.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if line.get("stage") == "denoiser" and "loss" in line]
    # Zero at the start, so that the first loss is the variance of ε − x: that of two unit normals.
    assert losses[0] == pytest.approx(2.0, abs=0.4)
    assert np.mean(losses[-10:]) < 0.9 * losses[0]


def test_an_interrupted_training_ends_at_the_same_weights(folder, config, small_tiles, tmp_path, monkeypatch):
    taken, take = 0, _Run._take

    def take_or_stop(run, *arguments):
        nonlocal taken
        taken += 1
        if taken == 4 + 17:
            raise InterruptedTraining("killed between two states")
        return take(run, *arguments)

    settings, output = load_config(config, variables={"dataset": str(small_tiles)}), tmp_path / "model"
    with monkeypatch.context() as patch:
        patch.setattr(_Run, "_take", take_or_stop)
        with pytest.raises(InterruptedTraining):
            train(settings, output=output)
    train(settings, output=output)
    for name in ("transformer/diffusion_pytorch_model", "text_encoder/model"):
        one, other = (load_file(place / f"{name}.safetensors") for place in (folder, output))
        assert one.keys() == other.keys()
        assert all(torch.equal(one[key], other[key]) for key in one)


def test_it_starts_from_a_model_with_a_unet_and_is_averaged_afterwards(model_folder, config, small_tiles, tmp_path):
    """The autoencoder and the text encoder are taken over; snapshots of the transformer make another average."""
    read = load_config(config, variables={"dataset": str(small_tiles)})
    changed = {
        "model": read.model.model_copy(update={"start": str(model_folder)}),
        "vae": None,
        "denoiser": read.denoiser.model_copy(update={"steps": 8, "ema_lengths": (0.05, 0.1), "ema_snapshot_every": 4}),
    }
    train(read.model_copy(update=changed), output=tmp_path / "model")
    vae = "vae/diffusion_pytorch_model.safetensors"
    assert (tmp_path / "model" / vae).read_bytes() == (model_folder / vae).read_bytes()
    report = next((tmp_path / "model" / "training").glob("*start*")).read_text()
    assert "transformer: fresh" in report and "text_encoder: " in report
    averaged_model(tmp_path / "model", output=tmp_path / "other", length=0.1)
    one, other = (
        load_file(tmp_path / name / "transformer" / "diffusion_pytorch_model.safetensors")
        for name in ("model", "other")
    )
    assert one.keys() == other.keys() and not torch.equal(one["proj_out.weight"], other["proj_out.weight"])
    assert paint(text2earth.load(tmp_path / "other", device="cpu")).shape == (1, 16, 16, 3)


def test_the_command_trains_and_paints(config, small_tiles, tmp_path, run):
    short, model, image = tmp_path / "short.toml", tmp_path / "model", tmp_path / "tile.png"
    short.write_text(config.read_text().replace("steps = 30", "steps = 2"))

    status, out, err = run("train", short, "--var", f"dataset={small_tiles}", "--output", model, "--json")
    assert status == 0, err
    counts = json.loads(out.splitlines()[-1])["parameters"]
    transformer = Text2EarthTransformer2DModel.from_pretrained(model / "transformer")
    assert counts["transformer"] == sum(weight.numel() for weight in transformer.parameters())
    status, out, err = run(
        "sample", model, "water", "--level", 14, "--steps", 2, "--width", 32, "--height", 16, "--out", image
    )
    assert status == 0, err
    assert "32×16 px, synthetic" in out and image.is_file()


def test_conditions_and_seed_decide_what_is_painted(pipeline):
    first = paint(pipeline)
    assert np.array_equal(first, paint(pipeline)) and first.shape == (1, 16, 16, 3)
    for changes in ({"level": 15}, {"prompt": "a view of fields"}, {"generator": torch.Generator().manual_seed(2)}):
        assert np.abs(first - paint(pipeline, **changes)).max() > 1e-4


def test_the_steps_of_a_flow_are_even_and_none_is_wasted(pipeline):
    seen = []

    def note(_, step, timestep, tensors):
        seen.append(timestep)
        return tensors

    paint(pipeline, callback_on_step_end=note)
    even = np.array([1.0, 0.75, 0.5, 0.25])
    np.testing.assert_allclose(seen, 1000 * 2 * even / (1 + even), atol=1.0)


def test_twice_the_size_is_painted(pipeline):
    assert paint(pipeline, height=32, width=32).shape == (1, 32, 32, 3)
    with pytest.raises(RequestError, match=r"a side of 18 px was asked for; it is a multiple of 4, such as 16"):
        paint(pipeline, height=18)


FLOW = {"prediction_type": "flow_prediction", "use_flow_sigmas": True, "flow_shift": 2.0}


@pytest.mark.parametrize(
    "scheduler",
    [
        FlowMatchHeunDiscreteScheduler(shift=2.0),
        UniPCMultistepScheduler(**FLOW),
        DPMSolverMultistepScheduler(**FLOW),
    ],
    ids=lambda scheduler: type(scheduler).__name__,
)
def test_solvers_of_a_flow_are_swappable_and_agree(pipeline, scheduler):
    other = Text2EarthPipeline(**{**pipeline.components, "scheduler": scheduler})
    other.set_progress_bar_config(disable=True)
    noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(3))
    request = {"latents": noise, "num_inference_steps": 40, "output_type": "latent"}
    torch.testing.assert_close(paint(other, **request), paint(pipeline, **request), atol=0.15, rtol=0.0)


def test_saved_and_loaded_it_paints_the_same(pipeline, tmp_path):
    pipeline.save_pretrained(tmp_path / "copy")
    copy = text2earth.load(tmp_path / "copy", device="cpu")
    copy.set_progress_bar_config(disable=True)
    assert isinstance(copy.transformer, Text2EarthTransformer2DModel) and copy.unet is None
    assert np.array_equal(paint(copy), paint(pipeline))


def test_a_model_has_one_denoiser(pipeline):
    parts = pipeline.components
    with pytest.raises(ModelError, match="either a U-Net or a transformer"):
        Text2EarthPipeline(**{**parts, "transformer": None})


@pytest.mark.parametrize("name", ["text2earth-dit-tiny", "text2earth-dit"])
def test_recipes_are_configurations(name):
    config = load_config(RECIPES / f"{name}.toml", variables={"dataset": "some"})
    assert PRESETS[config.model.preset].transformer and config.model.prediction == "flow"


@pytest.mark.slow
def test_eight_tiles_are_learnt_until_each_is_recognised(tmp_path, monkeypatch):
    """Four covers at two levels: the prompt and the level together say which of the eight it is."""
    blocks = {"patch_size": 2, "num_layers": 3, "num_attention_heads": 2, "attention_head_dim": 32}
    learner = replace(PRESETS["nano-dit"], transformer={**blocks, "cross_attention_dim": 32}, word_scale=50.0)
    monkeypatch.setitem(PRESETS, "learner", learner)
    data = write_dataset(tmp_path / "eight", rows=8, tile_px=16)
    plain = nano_config(data)
    config = plain.model_validate(
        {
            **plain.model_dump(),
            "model": {"preset": "learner", "prediction": "flow"},
            "conditions": {"drop_text": 0.0, "drop_level": 0.0, "drop_both": 0.0},
            "vae": {"steps": 300, "batch_size": 8, "learning_rate": 1e-3, "decay": "cosine"},
            "denoiser": {"steps": 900, "batch_size": 16, "learning_rate": 3e-3, "warmup_steps": 50, "decay": "cosine"},
            "run": {"checkpoint_every": 5000, "log_every": 50},
        }
    )
    train(config, output=tmp_path / "model")
    pipeline = text2earth.load(tmp_path / "model", device="cpu")
    pipeline.set_progress_bar_config(disable=True)
    tiles = tiles_of(data)
    right = 0
    for place, (cover, level) in enumerate(tiles):
        prompt = f"Satellite view of {cover}, synthetic."
        image = paint(pipeline, prompt, level, num_inference_steps=20, guidance_scale=1.0)[0]
        apart = [float(np.square(image - tile).mean()) for tile in tiles.values()]
        right += int(np.argmin(apart)) == place
    assert right >= 7


def tiles_of(data):
    """Pixels in 0…1 by (cover, level)."""
    import io

    import pyarrow.parquet as pq
    from PIL import Image

    table = pq.read_table(next((data / "data").glob("*.parquet"))).to_pylist()
    return {
        (row["caption"].split()[3].rstrip(","), row["level"]): np.asarray(Image.open(io.BytesIO(row["image"]["bytes"])))
        / 255
        for row in table
    }
