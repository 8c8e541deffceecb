"""LoRA and ControlNet: they start without effect, train beside a frozen model, stop and go on, and reload."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import rasterio
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file
from small_models import nano_preset, write_dataset
from typer.testing import CliRunner

from git10m.records import IMAGE
from text2earth.checkpoints import save_model
from text2earth.cli import app
from text2earth.errors import ConfigError, InterruptedTraining, ModelError, RequestError
from text2earth.models import build, enlarged, train_tokenizer
from text2earth.sampling import load, load_controlnet, load_lora
from text2earth.training import TrainConfig, load_config, train
from text2earth.training.controls import hazy, low_resolution

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def with_nir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """16 tiles of 32 px with a near-infrared band, the red one upside down in brightness, and a panchromatic one."""
    folder = write_dataset(tmp_path_factory.mktemp("data") / "nir", rows=16, tile_px=32)
    (name,) = (folder / "data").glob("*.parquet")
    table = pq.read_table(name)
    bands = []
    for image in table["image"].to_pylist():
        red = np.asarray(Image.open(io.BytesIO(image["bytes"])))[..., 0]
        encoded = io.BytesIO()
        Image.fromarray(255 - red).save(encoded, "PNG")
        bands.append({"bytes": encoded.getvalue(), "path": "nir.png"})
    pan = [{"bytes": grey_of(image["bytes"]), "path": "pan.png"} for image in table["image"].to_pylist()]
    table = table.append_column("image_nir", pa.array(bands, type=IMAGE))
    pq.write_table(table.append_column("image_pan", pa.array(pan, type=IMAGE)), name)
    return folder


def grey_of(encoded: bytes) -> bytes:
    """The mean of the bands, as a panchromatic camera sees it."""
    found = io.BytesIO()
    Image.open(io.BytesIO(encoded)).convert("L").save(found, "PNG")
    return found.getvalue()


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ``nano`` with fresh weights, which an adapter can be put on as well."""
    folder = tmp_path_factory.mktemp("models") / "fresh"
    tokenizer = train_tokenizer(["Satellite view of water, synthetic."], vocab_size=600)
    model = build(nano_preset(), tokenizer=tokenizer)
    save_model(model, folder, prediction="epsilon", levels=(14, 15), card="")
    return folder


def config(rows: Path, start: Path, **sections: Any) -> TrainConfig:
    """A configuration that trains an adapter of ``nano`` for four steps."""
    return TrainConfig.model_validate(
        {
            "name": "adapter",
            "data": {"path": str(rows), "images": ["nir"], **sections.pop("data", {})},
            "model": {"preset": "nano", "start": str(start)},
            "denoiser": {"steps": 4, "batch_size": 2, "learning_rate": 1e-2, "ema_decay": 0.0},
            "run": {"checkpoint_every": 2, "log_every": 1},
            **sections,
        }
    )


@pytest.fixture(scope="session")
def lora(with_nir: Path, model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LoRA that paints near infrared, α twice the rank, text encoder included."""
    folder = tmp_path_factory.mktemp("lora") / "nir"
    settings = {"rank": 2, "alpha": 4, "text_encoder": True}
    train(config(with_nir, model_folder, data={"target": "nir"}, lora=settings), output=folder)
    return folder


@pytest.fixture(scope="session")
def controlnet(with_nir: Path, model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ControlNet that paints colours from near infrared."""
    folder = tmp_path_factory.mktemp("control") / "nir2rgb"
    train(config(with_nir, model_folder, controlnet={"condition": "nir"}), output=folder)
    return folder


def painted(pipeline: Any, **more: Any) -> np.ndarray:
    pipeline.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(0)
    found = pipeline("water", level=14, num_inference_steps=2, generator=generator, output_type="np", **more)
    return found.images[0]


def grey(value: float = 0.5, size: int = 16) -> np.ndarray:
    return np.full((size, size, 3), value, dtype=np.float32)


def test_a_lora_reloads_and_paints_one_band(lora: Path, model_folder: Path):
    assert {name.name for name in lora.iterdir()} == {
        "README.md",
        "adapter.json",
        "pytorch_lora_weights.safetensors",
        "training",
    }
    pipeline = load_lora(load(model_folder), lora)
    assert painted(pipeline).shape == (16, 16, 1)
    assert pipeline.band == "nir"


def test_a_lora_is_what_diffusers_alone_adds_to_the_layers(lora: Path, model_folder: Path):
    layers = load_file(lora / "pytorch_lora_weights.safetensors")
    (a_name, *_) = [name for name in layers if name.startswith("unet.") and "lora_A" in name]
    a, b = layers[a_name], layers[a_name.replace("lora_A", "lora_B")]
    assert b.abs().max() > 0  # it has learnt
    pipeline = load(model_folder)
    layer = pipeline.unet.get_submodule(a_name.removeprefix("unet.").removesuffix(".lora_A.weight"))
    before = layer.weight.detach().clone()
    pipeline.load_lora_weights(str(lora), weight_name="pytorch_lora_weights.safetensors")
    pipeline.fuse_lora()
    pipeline.unload_lora_weights()
    after = pipeline.unet.get_submodule(a_name.removeprefix("unet.").removesuffix(".lora_A.weight")).weight
    torch.testing.assert_close(after, before + 4 / 2 * (b @ a))  # α/rank


@pytest.mark.parametrize("kind", ["lora", "controlnet"])
def test_an_adapter_starts_without_effect(
    kind: str, with_nir: Path, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    sections = {"lora": {"rank": 2}} if kind == "lora" else {"controlnet": {"condition": "downsample", "factor": 2}}
    asked = config(with_nir, model_folder, **sections)
    still = asked.model_copy(update={"denoiser": asked.denoiser.model_copy(update={"steps": 1, "learning_rate": 0.0})})
    train(still, output=tmp_path / "a")
    parent = painted(load(model_folder))
    if kind == "lora":
        np.testing.assert_array_equal(painted(load_lora(load(model_folder), tmp_path / "a")), parent)
    else:
        pipeline = load_controlnet(load(model_folder), tmp_path / "a")
        np.testing.assert_array_equal(painted(pipeline, control_image=grey(size=8)), parent)


def test_a_controlnet_reloads_and_reads_its_picture(controlnet: Path, model_folder: Path):
    pipeline = load_controlnet(load(model_folder), controlnet)
    dark, light = (painted(pipeline, control_image=grey(value)) for value in (0.1, 0.9))
    assert np.abs(dark - light).max() > 0
    without = painted(pipeline, control_image=grey(), controlnet_conditioning_scale=0.0)
    np.testing.assert_array_equal(without, painted(load(model_folder)))
    half = painted(pipeline, control_image=grey(), control_guidance_end=0.5)
    assert np.abs(half - without).max() > 0
    assert np.abs(half - painted(pipeline, control_image=grey())).max() > 0


def test_a_controlnet_paints_in_half_precision(controlnet: Path, model_folder: Path):
    pipeline = load_controlnet(load(model_folder).to(torch.bfloat16), controlnet)
    assert np.isfinite(painted(pipeline, control_image=grey())).all()


def test_the_model_stays_as_it_was(lora: Path, controlnet: Path, model_folder: Path):
    saved = json.loads((lora / "training" / "ended.json").read_text())
    layers = load_file(lora / "pytorch_lora_weights.safetensors")
    assert saved["parameters"] == {"lora": sum(value.numel() for value in layers.values())}
    unet = load_file(model_folder / "unet" / "diffusion_pytorch_model.safetensors")
    copied = load_file(controlnet / "diffusion_pytorch_model.safetensors")
    assert not torch.equal(copied["conv_in.weight"], unet["conv_in.weight"])  # the copy learns, the U-Net does not
    assert "controlnet_mid_block.weight" in copied


VALIDATION = {"split": "train", "every": 20, "images": 16, "timesteps": 2, "batch_size": 8}
ADAPTERS = {
    "pan2nir": {"data": {"images": ["pan", "nir"], "target": "nir"}, "controlnet": {"condition": "pan"}},
    "dehazing": {"controlnet": {"condition": "haze"}},
    "text2nir": {"data": {"target": "nir"}, "lora": {"rank": 4}},
}


@pytest.mark.parametrize("recipe", ADAPTERS)
def test_the_validation_loss_of_an_adapter_falls(recipe: str, with_nir: Path, model_folder: Path, tmp_path: Path):
    """What is asked for of the tiles it is shown, at the same noise and times; one band comes out where one is."""
    steps = {"steps": 40, "batch_size": 4, "learning_rate": 3e-3, "ema_decay": 0.0}
    asked = config(with_nir, model_folder, denoiser=steps, validation=VALIDATION, **ADAPTERS[recipe])
    train(asked, output=tmp_path / "a")
    lines = [json.loads(line) for line in (tmp_path / "a/training/log.jsonl").read_text().splitlines()]
    found = [line["validation_loss"] for line in lines if "validation_loss" in line]
    assert len(found) == 2 and found[1] < found[0]
    kind = load_lora if "lora" in ADAPTERS[recipe] else load_controlnet
    control = {} if kind is load_lora else {"control_image": grey()}
    bands = 1 if recipe.endswith("nir") else 3
    assert painted(kind(load(model_folder), tmp_path / "a"), **control).shape == (16, 16, bands)


def contents(file: Path) -> tuple[dict[str, str], dict[str, torch.Tensor]]:
    """What is in a safetensors file: its notes stand in it in a new order each time it is written."""
    with safe_open(file, framework="pt") as opened:
        return opened.metadata(), {name: opened.get_tensor(name) for name in sorted(opened.keys())}


@pytest.mark.parametrize("kind", ["lora", "controlnet"])
def test_an_interrupted_adapter_goes_on_to_the_same_weights(
    kind: str, request: pytest.FixtureRequest, with_nir: Path, model_folder: Path, tmp_path: Path
):
    whole: Path = request.getfixturevalue(kind)
    settings = {"rank": 2, "alpha": 4, "text_encoder": True}
    sections = {"lora": settings, "data": {"target": "nir"}} if kind == "lora" else {"controlnet": {"condition": "nir"}}
    asked = config(with_nir, model_folder, **sections)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("text2earth.training.loop._Run._report", lambda *_, **__: True)  # as if SIGTERM had come
        with pytest.raises(InterruptedTraining):
            train(asked, output=tmp_path / "a")
    with pytest.raises(ModelError, match="has not ended"):
        load_lora(load(model_folder), tmp_path / "a")
    train(asked, output=tmp_path / "a")
    (name,) = (each.name for each in whole.glob("*.safetensors"))
    (notes, weights), (its_notes, its_weights) = contents(whole / name), contents(tmp_path / "a" / name)
    assert notes == its_notes and weights.keys() == its_weights.keys()
    assert all(torch.equal(weights[key], its_weights[key]) for key in weights)


def test_the_command_writes_one_band_with_its_name(lora: Path, controlnet: Path, model_folder: Path, tmp_path: Path):
    Image.fromarray(np.zeros((16, 16), dtype=np.uint8)).save(tmp_path / "control.png")
    arguments = ["adapt", str(model_folder), "water", "--level", "14", "--steps", "1", "--lora", str(lora)]
    out = tmp_path / "nir.tif"
    result = CliRunner().invoke(app, [*arguments, "--out", str(out), "--lon", "9", "--lat", "50", "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout.splitlines()[-1])["bands"] == "nir"
    with rasterio.open(out) as opened:
        assert (opened.count, opened.descriptions) == (1, ("nir",))
        assert opened.tags()["SYNTHETIC"] == "YES"
    control = ["--controlnet", str(controlnet), "--control", str(tmp_path / "control.png")]
    result = CliRunner().invoke(app, [*arguments[:-2], *control, "--out", str(tmp_path / "rgb.png")])
    assert result.exit_code == 0, result.output
    with Image.open(tmp_path / "rgb.png") as opened:
        assert opened.mode == "RGB"


def test_an_adapter_of_another_kind_or_model_is_refused(lora: Path, controlnet: Path, model_folder: Path):
    with pytest.raises(ModelError, match="holds a lora, and a ControlNet was asked for"):
        load_controlnet(load(model_folder), lora)
    other = load(model_folder)
    other.unet.down_blocks[1].attentions[0].transformer_blocks[0].attn1.to_q = torch.nn.Linear(8, 8)
    with pytest.raises(ModelError, match=r"is of another model: unet\.down_blocks"):
        load_lora(other, lora)
    with pytest.raises(RequestError, match="no control_image was given"):
        load_controlnet(load(model_folder), controlnet)("water")


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ({"lora": {}, "controlnet": {"condition": "haze"}}, "not both"),
        ({"lora": {}, "model": {"preset": "nano"}}, "needs model.start"),
        ({"controlnet": {"condition": "sar"}}, "sar is not among data.images"),
        ({"lora": {}, "run": {"shard": True}}, "an adapter's model is frozen; leave it out"),
        ({"data": {"target": "nir"}}, "add \\[lora\\] or \\[controlnet\\]"),
    ],
)
def test_what_cannot_be_is_said(sections: dict[str, Any], said: str, with_nir: Path, model_folder: Path):
    with pytest.raises(ValueError, match=said):
        config(with_nir, model_folder, **sections)


def test_another_prediction_than_the_models_is_refused(with_nir: Path, model_folder: Path, tmp_path: Path):
    model = {"preset": "nano", "start": str(model_folder), "prediction": "v_prediction"}
    with pytest.raises(ConfigError, match="predicts 'epsilon'"):
        train(config(with_nir, model_folder, model=model, lora={}), output=tmp_path / "a")


def test_haze_pales_and_pales_blue_most():
    black = torch.zeros(3, 16, 16)
    foggy = hazy(black, seed=1, counter=5)
    red, _, blue = foggy.mean(dim=(1, 2)).tolist()
    assert 0.0 < red < blue <= 1.0
    assert torch.equal(foggy, hazy(black, seed=1, counter=5))
    assert not torch.equal(foggy, hazy(black, seed=1, counter=6))
    airlight = torch.full((3, 16, 16), 0.9)
    assert (hazy(airlight, seed=1, counter=5) - airlight).abs().max() < 0.1  # what is as bright as the haze stays


def test_a_low_resolution_control_covers_the_same_ground():
    picture = np.zeros((32, 32, 3), dtype=np.uint8)
    picture[:, 16:] = 200
    small = low_resolution([picture], factor=4, seed=0, counters=[3])
    assert small.shape == (1, 3, 8, 8)
    grown = enlarged(small, size=(32, 32))
    assert grown[..., :12].mean() < 0.25
    assert grown[..., 20:].mean() > 0.5


@pytest.mark.parametrize("name", ["text2earth-lora", "text2earth-controlnet"])
def test_the_recipe_is_one(name: str):
    path = ROOT / "pipelines" / f"{name}.toml"
    assert load_config(path, variables={"dataset": "D", "model": "M"}).is_adapter
