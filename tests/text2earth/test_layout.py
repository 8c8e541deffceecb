import json
import shutil

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler, EulerDiscreteScheduler, PNDMScheduler, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from stock_pipeline import paint_ours, paint_stock
from transformers import CLIPTextModel

import text2earth
from text2earth.converting import convert
from text2earth.errors import ModelError, RequestError
from text2earth.layout import read_model, read_scheduler

# What stock pipelines and schedulers of diffusers 0.42 do with NumPy 2; ours keeps it to itself.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

UNET = "unet/diffusion_pytorch_model.safetensors"
VAE = "vae/diffusion_pytorch_model.safetensors"


@pytest.fixture
def published(model_folder, tmp_path):
    """The layout in which Text2Earth is published.

    U-Net in float16 under the plain name, the others in float32 and the text encoder with older names; the index names
    a pipeline class of code that lies beside it, and a scheduler other than that whose settings are there.
    """
    folder = tmp_path / "published"
    convert(model_folder, folder, layout="stable-diffusion")
    half = {name: tensor.half() for name, tensor in load_file(folder / UNET).items()}
    save_file(half, folder / UNET, metadata={"format": "pt"})
    (folder / "pipeline_text2earth_diffusion.py").write_text("raise RuntimeError('code of a model folder was run')")
    settings = PNDMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", skip_prk_steps=True)
    settings.save_pretrained(folder / "scheduler")
    index = json.loads((folder / "model_index.json").read_text())
    index["_class_name"] = ["pipeline_text2earth_diffusion", "Text2EarthDiffusionPipeline"]
    index["scheduler"] = ["diffusers", "DDIMScheduler"]
    index["feature_extractor"] = ["transformers", "CLIPImageProcessor"]
    (folder / "model_index.json").write_text(json.dumps(index))
    (folder / "feature_extractor").mkdir()
    (folder / "feature_extractor" / "preprocessor_config.json").write_text("{}")
    return folder


def test_the_published_layout_loads_as_it_is(published):
    pipeline = text2earth.load(published, device="cpu")
    assert isinstance(pipeline.scheduler, DDIMScheduler) and pipeline.scheduler.config.beta_end == 0.012
    # PNDM's settings do not say them, and DDIM's defaults would cut latents off at ±1.
    assert (pipeline.scheduler.config.clip_sample, pipeline.scheduler.config.steps_offset) == (False, 1)
    assert pipeline.unet.dtype == pipeline.vae.dtype == pipeline.text_encoder.dtype == torch.float32
    kept = load_file(published / UNET)
    assert all(torch.equal(value.half(), kept[name]) for name, value in pipeline.unet.named_parameters())


@pytest.mark.filterwarnings("ignore:The configuration file of this scheduler:FutureWarning")
def test_a_stock_pipeline_on_the_published_weights_paints_the_same(published):
    from diffusers import StableDiffusionPipeline

    ours = text2earth.load(published, device="cpu")
    parts = {
        "unet": UNet2DConditionModel.from_pretrained(published / "unet"),
        "vae": AutoencoderKL.from_pretrained(published / "vae"),
        "text_encoder": CLIPTextModel.from_pretrained(published / "text_encoder"),
        "scheduler": DDIMScheduler.from_pretrained(published / "scheduler"),
    }
    empty = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    stock = StableDiffusionPipeline(tokenizer=ours.tokenizer, **parts, **empty)
    for level in (10, 14):
        stock.unet = parts["unet"]
        painted = paint_stock(stock, "a view of water", level=level, size=16)
        np.testing.assert_allclose(painted, paint_ours(ours, "a view of water", level=level), atol=1e-4)


def test_dtype_and_device_are_the_callers(published):
    parts = read_model(published, device="cpu", dtype=torch.bfloat16)
    assert {network.dtype for network in parts.networks.values()} == {torch.bfloat16}
    assert not any(tensor.is_meta for network in parts.networks.values() for tensor in network.state_dict().values())
    assert not any(buffer.is_meta for network in parts.networks.values() for buffer in network.buffers())
    for device in ("meta", "gpu", *([] if torch.cuda.is_available() else ["cuda"])):
        with pytest.raises(RequestError, match=f"device is '{device}'; here there is cpu"):
            read_model(published, device=device)
    with pytest.raises(RequestError, match=r"dtype is 'float16'; it is one of torch\.float16"):
        read_model(published, device="cpu", dtype="float16")


def test_weights_are_read_a_tensor_at_a_time(model_folder, monkeypatch):
    """No more than one tensor is in two dtypes at once: before a tensor is cast, the one before it is let go."""
    import weakref

    from text2earth.layout import reading

    alive = []
    read = reading.read_tensors

    def watched(*arguments, **options):
        for name, tensor in read(*arguments, **options):
            alive.append(weakref.ref(tensor))
            yield name, tensor
            del tensor
            assert sum(each() is not None for each in alive) <= 2

    monkeypatch.setattr(reading, "read_tensors", watched)
    read_model(model_folder, device="cpu", dtype=torch.float16)
    assert len(alive) > 100


@pytest.mark.parametrize(
    ("index", "settings", "expected"),
    [
        ("PNDMScheduler", "DDIMScheduler", PNDMScheduler),
        ("DDIMScheduler", "PNDMScheduler", DDIMScheduler),
        (None, "EulerDiscreteScheduler", EulerDiscreteScheduler),
    ],
)
def test_schedulers_that_index_and_settings_name_differently(published, index, settings, expected):
    text = json.loads((published / "scheduler" / "scheduler_config.json").read_text())
    (published / "scheduler" / "scheduler_config.json").write_text(json.dumps({**text, "_class_name": settings}))
    noted = json.loads((published / "model_index.json").read_text())
    noted["scheduler"] = ["diffusers", index] if index else [None, None]
    (published / "model_index.json").write_text(json.dumps(noted))
    found = read_scheduler(published)
    assert type(found) is expected and found.config.beta_start == 0.00085


def test_what_is_no_scheduler_is_not_made(published):
    noted = json.loads((published / "model_index.json").read_text())
    noted["scheduler"] = ["diffusers", "AutoencoderKL"]
    (published / "model_index.json").write_text(json.dumps(noted))
    with pytest.raises(ModelError, match=r"names the scheduler 'AutoencoderKL', and diffusers .* has none"):
        read_scheduler(published)


def test_weights_in_parts_and_names_of_older_versions(published):
    """Large weights come as several files; attention of older autoencoders was ``query``, ``key``, ``value``."""
    whole = load_file(published / UNET)
    names = sorted(whole)
    (published / UNET).unlink()
    for number, part in enumerate((names[::2], names[1::2]), start=1):
        file = published / "unet" / f"diffusion_pytorch_model-{number:05d}-of-00002.safetensors"
        save_file({name: whole[name] for name in part}, file)
    unet = read_model(published, device="cpu", dtype=torch.float16).denoiser
    assert all(torch.equal(value, whole[name]) for name, value in unet.named_parameters())


def test_attention_of_older_autoencoders(tmp_path, published):
    from text2earth.models import PRESETS

    settings = {**PRESETS["nano"].vae, "mid_block_add_attention": True}
    vae = AutoencoderKL(**settings)
    shutil.rmtree(published / "vae")
    vae.save_pretrained(published / "vae")
    old = {}
    for name, tensor in load_file(published / VAE).items():
        for new, was in (("to_q", "query"), ("to_k", "key"), ("to_v", "value"), ("to_out.0", "proj_attn")):
            if f"attentions.0.{new}." in name:
                renamed = name.replace(new, was)
                break
        else:
            renamed = name
        pointwise = "attentions.0." in name and tensor.ndim == 2
        old[renamed] = (tensor[:, :, None, None] if pointwise else tensor).contiguous()
    save_file(old, published / VAE)
    read = read_model(published, device="cpu").networks["vae"]
    assert all(torch.equal(value, dict(vae.named_parameters())[name]) for name, value in read.named_parameters())


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        (UNET, lambda found: found.pop("conv_in.weight"), r"1 of \d+ weights differ .*: conv_in\.weight missing"),
        (
            UNET,
            lambda found: found.update({"conv_in.weight": torch.ones(16, 9, 3, 3)}),
            r"conv_in\.weight is 16×9×3×3, expected is 16×4×3×3",
        ),
        (
            VAE,
            lambda found: found.update({f"extra.{number}": torch.ones(1) for number in range(5)}),
            r"5 of \d+ .*: extra\.0, extra\.1, extra\.2 and 2 more not expected",
        ),
    ],
)
def test_a_checkpoint_of_another_shape_names_the_first_keys_that_differ(published, file, change, message):
    found = load_file(published / file)
    change(found)
    save_file(found, published / file)
    with pytest.raises(ModelError, match=message):
        text2earth.load(published, device="cpu")


def test_what_is_missing_or_damaged_is_named(published):
    settings = published / "scheduler" / "scheduler_config.json"
    before = settings.read_text()
    settings.write_text(json.dumps({**json.loads(before), "beta_schedule": "steep"}))
    with pytest.raises(ModelError, match=r"scheduler has settings that .* does not take: steep is not implemented"):
        read_model(published, device="cpu")
    settings.write_text(before)
    (published / "tokenizer").rename(published / "words")
    with pytest.raises(ModelError, match="tokenizer holds no CLIP tokenizer that can be opened"):
        read_model(published, device="cpu")
    (published / "words").rename(published / "tokenizer")
    (published / UNET).write_bytes(b"\x80\x04 not what it says")
    with pytest.raises(ModelError, match=r"diffusion_pytorch_model\.safetensors is no whole safetensors file"):
        read_model(published, device="cpu")
    (published / UNET).rename(published / "unet" / "diffusion_pytorch_model.bin")
    with pytest.raises(ModelError, match=r"as pickle alone \(diffusion_pytorch_model\.bin\), which can run code"):
        read_model(published, device="cpu")
    (published / "unet" / "diffusion_pytorch_model.bin").unlink()
    with pytest.raises(ModelError, match=r"unet holds no weights; expected is a file \*\.safetensors"):
        read_model(published, device="cpu")
    (published / "vae" / "config.json").write_text("[]")
    with pytest.raises(ModelError, match=r"vae/config\.json holds no JSON object"):
        read_model(published, device="cpu")
    shutil.rmtree(published / "vae")
    with pytest.raises(ModelError, match=r"has no folder 'vae'"):
        read_model(published, device="cpu")


def test_training_starts_from_the_published_layout(published, model_folder, small_tiles):
    from small_models import nano_config
    from transformers import CLIPTokenizer

    from text2earth.training import TrainConfig
    from text2earth.training.train import new_model

    said = nano_config(small_tiles).model_dump(exclude_unset=True)
    said["model"]["start"] = str(published)
    del said["vae"]  # the start's autoencoder is kept
    config = TrainConfig.model_validate(said)
    model = new_model(config, tokenizer=CLIPTokenizer.from_pretrained(published / "tokenizer"))
    kept = CLIPTextModel.from_pretrained(model_folder / "text_encoder").state_dict()
    assert all(torch.equal(value, kept[name]) for name, value in model.text_encoder.state_dict().items())
    half = load_file(published / UNET)
    assert all(torch.equal(value, half[name].float()) for name, value in model.unet.named_parameters())


def test_a_float16_variant_is_taken_where_there_is_no_other(published):
    (published / UNET).rename(published / "unet" / "diffusion_pytorch_model.fp16.safetensors")
    assert read_model(published, device="cpu").denoiser.dtype == torch.float32


def test_a_model_with_further_conditions_brings_its_embedder(published, tmp_path):
    from text2earth.models import ConditionEmbedder

    embedder = ConditionEmbedder(("gsd", "month"), width=16)
    embedder.save_pretrained(published / "condition_embedder")
    index = json.loads((published / "model_index.json").read_text())
    index["condition_embedder"] = ["text2earth.models.condition_embedder", "ConditionEmbedder"]
    (published / "model_index.json").write_text(json.dumps(index))
    found = read_model(published, device="cpu").components()["condition_embedder"]
    assert type(found) is ConditionEmbedder and list(found.config.conditions) == ["gsd", "month"]
    kept = dict(embedder.named_parameters())
    assert all(torch.equal(value, kept[name]) for name, value in found.named_parameters())
    with pytest.raises(ModelError, match=r"has the networks condition_embedder, which no layout but ours knows"):
        convert(published, tmp_path / "single.safetensors")
