import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from diffusers.loaders import single_file_utils as theirs
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from small_models import nano_preset
from stock_pipeline import paint_ours, paint_stock

import text2earth
from text2earth.checkpoints import save_model
from text2earth.converting import convert
from text2earth.converting.single_file import ldm_weights
from text2earth.errors import ModelError
from text2earth.models import PRESETS, Inputs, build, train_tokenizer

# What stock pipelines and schedulers of diffusers 0.42 do with NumPy 2, and what it says of its own single files.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def weights(folder, network):
    (file,) = (folder / network).glob("*.safetensors")
    return {name.removeprefix("text_model."): tensor for name, tensor in load_file(file).items()}


def assert_same_model(one, other):
    for network in ("vae", "text_encoder", "unet"):
        first, second = weights(one, network), weights(other, network)
        assert first.keys() == second.keys()
        assert all(torch.equal(first[name], second[name]) for name in first)
        assert (one / network / "config.json").read_text() == (other / network / "config.json").read_text()
    for name in ("tokenizer/tokenizer.json", "scheduler/scheduler_config.json"):
        assert json.loads((one / name).read_text()) == json.loads((other / name).read_text())


@pytest.mark.parametrize("name", ["nano", "tiny", "text2earth"])
def test_diffusers_reads_our_single_file_names_as_its_own(name):
    """Against the conversion functions of diffusers itself; the large model on the meta device."""
    tokenizer = train_tokenizer(["a river"], vocab_size=600)
    with torch.device("meta" if name == "text2earth" else "cpu"):
        model = build(PRESETS[name], tokenizer=tokenizer)
    wanted = {part: dict(getattr(model, part).named_parameters()) for part in ("unet", "vae", "text_encoder")}
    configs = {"unet": model.unet.config, "vae": model.vae.config, "text_encoder": model.text_encoder.config.to_dict()}
    single = {}
    for part, tensors in wanted.items():
        single |= ldm_weights(part, ((key, value.data) for key, value in tensors.items()), config=configs[part])
    read = {
        "unet": theirs.convert_ldm_unet_checkpoint(dict(single), configs["unet"]),
        "vae": theirs.convert_ldm_vae_checkpoint(dict(single), configs["vae"]),
        "text_encoder": {
            key.removeprefix("text_model."): value
            for key, value in theirs.convert_open_clip_checkpoint(model.text_encoder, dict(single)).items()
        },
    }
    for part, tensors in wanted.items():
        assert read[part].keys() == tensors.keys()
        for key, value in tensors.items():
            assert read[part][key].shape == value.shape
            assert value.is_meta or torch.equal(read[part][key], value)


def test_to_stable_diffusion_and_back(model_folder, tmp_path):
    convert(model_folder, tmp_path / "stock", layout="stable-diffusion")
    done = convert(tmp_path / "stock", tmp_path / "back")
    assert_same_model(model_folder, tmp_path / "back")
    assert done.dtypes == {"vae": "float32", "text_encoder": "float32", "unet": "float32"}
    assert done.parameters["unet"] == sum(value.numel() for value in weights(model_folder, "unet").values())


def test_a_stock_pipeline_opens_the_converted_folder_and_paints_the_same(model_folder, tmp_path):
    convert(model_folder, tmp_path / "stock", layout="stable-diffusion")
    stock = StableDiffusionPipeline.from_pretrained(tmp_path / "stock", use_safetensors=True, local_files_only=True)
    ours = text2earth.load(model_folder, device="cpu")
    painted = paint_stock(stock, "a view of water", level=14, size=16)
    np.testing.assert_allclose(painted, paint_ours(ours, "a view of water", level=14), atol=1e-4)


def test_single_file_and_back_alone(model_folder, tmp_path):
    file = tmp_path / "model.safetensors"
    convert(model_folder, file)
    convert(file, tmp_path / "back")
    assert_same_model(model_folder, tmp_path / "back")
    index = json.loads((tmp_path / "back" / "model_index.json").read_text())
    assert index["trained_levels"] == [14, 15]
    assert (tmp_path / "back" / "README.md").read_text() == (model_folder / "README.md").read_text()


def test_diffusers_own_loader_opens_the_single_file_and_paints_the_same(model_folder, tmp_path):
    file, stock_folder = tmp_path / "model.safetensors", tmp_path / "stock"
    convert(model_folder, file)
    convert(model_folder, stock_folder, layout="stable-diffusion")
    stock = StableDiffusionPipeline.from_single_file(str(file), config=str(stock_folder), local_files_only=True)
    for network in ("vae", "text_encoder", "unet"):
        kept = weights(model_folder, network)
        assert all(torch.equal(value, kept[name]) for name, value in getattr(stock, network).named_parameters())
    ours = text2earth.load(model_folder, device="cpu")
    painted = paint_stock(stock, "a view of water", level=14, size=16)
    np.testing.assert_allclose(painted, paint_ours(ours, "a view of water", level=14), atol=1e-4)


def test_a_single_file_from_elsewhere_needs_a_config(model_folder, tmp_path):
    """Such files carry no notes, and a last text layer and projection that are never used."""
    convert(model_folder, tmp_path / "ours.safetensors")
    foreign = load_file(tmp_path / "ours.safetensors")
    prefix = "cond_stage_model.model."
    foreign[f"{prefix}transformer.resblocks.1.ln_1.weight"] = torch.ones(32)
    foreign[f"{prefix}text_projection"] = torch.ones(32, 32)
    foreign["alphas_cumprod"] = torch.ones(1000)
    save_file(foreign, tmp_path / "foreign.safetensors")
    with pytest.raises(ModelError, match=r"does not say the configuration of its networks; add --config"):
        convert(tmp_path / "foreign.safetensors", tmp_path / "back")
    convert(tmp_path / "foreign.safetensors", tmp_path / "back", config=model_folder)
    assert_same_model(model_folder, tmp_path / "back")


def test_text_windows_are_kept_in_every_layout(model_folder, tmp_path):
    shutil.copytree(model_folder, tmp_path / "model", ignore=shutil.ignore_patterns("training"))
    index = json.loads((tmp_path / "model" / "model_index.json").read_text())
    (tmp_path / "model" / "model_index.json").write_text(json.dumps({**index, "text_windows": 3}))
    convert(tmp_path / "model", tmp_path / "stock", layout="stable-diffusion")
    convert(tmp_path / "model", tmp_path / "single.safetensors")
    for name in ("stock", "single.safetensors"):
        convert(tmp_path / name, tmp_path / f"{name}-back")
        pipeline = text2earth.load(tmp_path / f"{name}-back", device="cpu")
        assert (pipeline.config.text_windows, pipeline.config.trained_levels) == (3, [14, 15])


def test_a_model_of_ours_alone_is_cast_and_stays_a_folder_of_ours(tmp_path):
    """A transformer with every condition: no other layout has a place for either."""
    blocks = {"patch_size": 2, "num_layers": 1, "num_attention_heads": 2, "attention_head_dim": 16}
    preset = replace(nano_preset(), unet={}, transformer={**blocks, "cross_attention_dim": 32})
    tokenizer = train_tokenizer(["a river"], vocab_size=600)
    model = build(preset, tokenizer=tokenizer, inputs=Inputs(("gsd", "source"), ("naip",)))
    save_model(model, tmp_path / "model", prediction="flow", levels=(9,), card="# card\n", text_windows=2)
    done = convert(tmp_path / "model", tmp_path / "half", dtype=torch.float16)
    assert done.dtypes == dict.fromkeys(("vae", "text_encoder", "transformer", "condition_embedder"), "float16")
    convert(tmp_path / "half", tmp_path / "back", dtype=torch.float32)
    index = json.loads((tmp_path / "model" / "model_index.json").read_text())
    assert json.loads((tmp_path / "back" / "model_index.json").read_text()) == index
    found = text2earth.load(tmp_path / "back", device="cpu")
    for name, network in model.networks().items():
        kept = dict(getattr(found, name).named_parameters())
        assert all(torch.equal(value.half().float(), kept[key]) for key, value in network.named_parameters())
    refused = r"has the networks transformer, condition_embedder, which no layout but ours knows"
    for target, layout in (("stock", "stable-diffusion"), ("single.safetensors", "text2earth")):
        with pytest.raises(ModelError, match=refused):
            convert(tmp_path / "model", tmp_path / target, layout=layout)
        assert not (tmp_path / target).exists()


def test_half_precision_and_back(model_folder, tmp_path):
    convert(model_folder, tmp_path / "half", dtype=torch.float16)
    kept, half = weights(model_folder, "unet"), weights(tmp_path / "half", "unet")
    assert all(value.dtype == torch.float16 for value in half.values())
    assert all(torch.equal(value, kept[name].half()) for name, value in half.items())
    done = convert(tmp_path / "half", tmp_path / "full.safetensors", dtype=torch.float32)
    assert done.dtypes["unet"] == "float32"
    with safe_open(tmp_path / "full.safetensors", framework="pt") as file:
        assert file.get_slice("model.diffusion_model.time_embed.0.weight").get_dtype() == "F32"


def test_a_weight_beyond_half_precision_is_refused(model_folder, tmp_path):
    convert(model_folder, tmp_path / "large")
    file = tmp_path / "large" / "vae" / "diffusion_pytorch_model.safetensors"
    changed = load_file(file)
    changed["decoder.conv_in.bias"][0] = 1e6
    save_file(changed, file, metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"decoder\.conv_in\.bias of the vae reaches 1e\+06, beyond .* float16"):
        convert(tmp_path / "large", tmp_path / "half", dtype=torch.float16)
    assert not (tmp_path / "half").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda found: found.pop("model.diffusion_model.out.2.bias"), r"conv_out\.bias missing"),
        (
            lambda found: found.update({"model.diffusion_model.input_blocks.0.0.weight": torch.ones(16, 9, 3, 3)}),
            r"conv_in\.weight is 16×9×3×3, expected is 16×4×3×3",
        ),
        (
            lambda found: found.update({"model.diffusion_model.input_blocks.9.0.op.bias": torch.ones(3)}),
            r"input_blocks\.9\.0\.op\.bias not expected",
        ),
        (
            lambda found: [found.pop(name) for name in list(found) if name.startswith("first_stage_model")],
            r"holds no weights first_stage_model\.…, the vae",
        ),
    ],
)
def test_a_single_file_of_another_shape_names_the_first_keys_that_differ(model_folder, tmp_path, change, message):
    convert(model_folder, tmp_path / "ours.safetensors")
    found = load_file(tmp_path / "ours.safetensors")
    change(found)
    save_file(found, tmp_path / "other.safetensors")
    with pytest.raises(ModelError, match=message):
        convert(tmp_path / "other.safetensors", tmp_path / "back", config=model_folder)
    assert not (tmp_path / "back").exists()


def test_what_cannot_be_converted_is_refused(model_folder, tmp_path):
    with pytest.raises(ModelError, match=r"exists already; give another name"):
        convert(model_folder, model_folder)
    (tmp_path / "old.ckpt").write_bytes(b"\x80\x04")
    with pytest.raises(ModelError, match=r"pickled checkpoints are not opened"):
        convert(tmp_path / "old.ckpt", tmp_path / "new")
    (tmp_path / "torn.safetensors").write_bytes(b"\x80\x04")
    with pytest.raises(ModelError, match=r"is no whole safetensors file"):
        convert(tmp_path / "torn.safetensors", tmp_path / "new")
    with pytest.raises(ModelError, match=r"there is no .*nowhere; give a model folder"):
        convert(tmp_path / "nowhere", tmp_path / "new")
