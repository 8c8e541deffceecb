"""Encoders give what transformers gives, of folders as they are published; what is no encoder is told in words."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from small_encoders import pictures, save_clip, save_dinov2, save_resnet, save_siglip, save_vit

from git10m.curation.encoders import BATCH, encoder_digest, open_encoder
from git10m.errors import RecipeError

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

TEXTS = ["a river near the town", "Forest, and fields!", "the sea", " ".join(["a satellite image of fields"] * 30)]
SAVE = {"clip": save_clip, "siglip": save_siglip, "dinov2": save_dinov2, "vit": save_vit, "resnet": save_resnet}
PROCESSORS = {
    "clip": "CLIPImageProcessorPil",
    "siglip": "SiglipImageProcessorPil",
    "dinov2": "BitImageProcessorPil",
    "vit": "ViTImageProcessorPil",
    "resnet": "ViTImageProcessorPil",
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    return {name: save(root / name) for name, save in SAVE.items()}


def unit(vectors: torch.Tensor) -> np.ndarray:
    return (vectors / vectors.norm(dim=-1, keepdim=True)).numpy()


@pytest.mark.parametrize("name", SAVE)
def test_images_give_the_vectors_that_transformers_gives(models: dict[str, Path], name: str):
    images = pictures(2 * BATCH + 3)
    processor = getattr(transformers, PROCESSORS[name]).from_pretrained(models[name])
    with torch.inference_mode():
        values = processor(images, return_tensors="pt")["pixel_values"]
        if name == "clip":
            expected = transformers.CLIPModel.from_pretrained(models[name]).get_image_features(values).pooler_output
        elif name == "siglip":
            expected = transformers.SiglipModel.from_pretrained(models[name]).get_image_features(values).pooler_output
        elif name == "dinov2":
            expected = transformers.Dinov2Model.from_pretrained(models[name])(values).pooler_output
        elif name == "vit":
            model = transformers.ViTModel.from_pretrained(models[name], add_pooling_layer=False)
            expected = model(values).last_hidden_state[:, 0]
        else:
            expected = transformers.ResNetModel.from_pretrained(models[name])(values).pooler_output.flatten(1)
    encoder = open_encoder(models[name])
    found = encoder.images(images)
    assert found.dtype == np.float32
    assert encoder.dimensions == expected.shape[1]
    np.testing.assert_allclose(found, unit(expected), atol=1e-5)


@pytest.mark.parametrize("name", ["clip", "siglip"])
def test_texts_give_the_vectors_that_transformers_gives(models: dict[str, Path], name: str):
    kind = {"clip": transformers.CLIPModel, "siglip": transformers.SiglipModel}[name]
    tokenizer = transformers.AutoTokenizer.from_pretrained(models[name])
    window = {"clip": 77, "siglip": 64}[name]
    tokens = tokenizer(TEXTS, padding="max_length", truncation=True, max_length=window, return_tensors="pt")
    with torch.inference_mode():
        expected = kind.from_pretrained(models[name]).get_text_features(**tokens).pooler_output
    encoder = open_encoder(models[name])
    np.testing.assert_allclose(encoder.texts(TEXTS), unit(expected), atol=1e-5)
    assert encoder.window == window
    assert encoder.overlong(TEXTS).tolist() == [False, False, False, True]


def test_a_vector_does_not_depend_on_its_neighbours_nor_on_threads(models: dict[str, Path]):
    images = pictures(BATCH + 5)
    encoder = open_encoder(models["clip"])
    whole = encoder.images(images)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        alone = np.concatenate([encoder.images([image]) for image in images])
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert np.array_equal(whole, alone)
    assert encoder.images([]).shape == (0, encoder.dimensions)


def test_the_identity_is_of_the_content_not_of_the_folder(models: dict[str, Path], tmp_path: Path):
    copy = Path(shutil.copytree(models["clip"], tmp_path / "elsewhere"))
    assert encoder_digest(copy) == open_encoder(models["clip"]).identity
    settings = json.loads((copy / "preprocessor_config.json").read_text())
    (copy / "preprocessor_config.json").write_text(json.dumps({**settings, "resample": 2}))
    assert encoder_digest(copy) != open_encoder(models["clip"]).identity
    assert encoder_digest(save_clip(tmp_path / "other", seed=9)) != encoder_digest(save_clip(tmp_path / "first"))


def test_settings_may_stand_in_the_file_of_the_processor(models: dict[str, Path], tmp_path: Path):
    copy = Path(shutil.copytree(models["siglip"], tmp_path / "siglip"))
    settings = json.loads((copy / "preprocessor_config.json").read_text())
    (copy / "preprocessor_config.json").unlink()
    (copy / "processor_config.json").write_text(json.dumps({"image_processor": settings}))
    images = pictures(4)
    assert np.array_equal(open_encoder(copy).images(images), open_encoder(models["siglip"]).images(images))


def test_what_is_no_encoder_is_told_in_words(models: dict[str, Path], tmp_path: Path):
    with pytest.raises(RecipeError, match="there is no such folder"):
        open_encoder(tmp_path / "nothing")
    with pytest.raises(RecipeError, match=r"has no config\.json"):
        open_encoder(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(RecipeError, match="kind 'bert'"):
        open_encoder(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "never_heard_of"}')
    with pytest.raises(RecipeError, match="no known model"):
        open_encoder(tmp_path)
    with pytest.raises(RecipeError, match="reads no texts"):
        open_encoder(models["dinov2"]).texts(["a river"])
    bare = Path(shutil.copytree(models["clip"], tmp_path / "bare"))
    (bare / "preprocessor_config.json").unlink()
    with pytest.raises(RecipeError, match=r"has no preprocessor_config\.json"):
        open_encoder(bare)


def test_weights_that_are_missing_are_not_made_up(models: dict[str, Path], tmp_path: Path):
    from safetensors.torch import load_file, save_file

    copy = Path(shutil.copytree(models["clip"], tmp_path / "clip"))
    weights = load_file(copy / "model.safetensors")
    del weights["visual_projection.weight"]
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(RecipeError, match=r"1 weights .* e\.g\. visual_projection\.weight"):
        open_encoder(copy)
    (copy / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(RecipeError, match="weights cannot be opened"):
        open_encoder(copy)
    (copy / "model.safetensors").unlink()
    with pytest.raises(RecipeError, match="weights cannot be opened"):
        open_encoder(copy)


def test_code_of_a_folder_is_not_run(models: dict[str, Path], tmp_path: Path):
    copy = Path(shutil.copytree(models["vit"], tmp_path / "vit"))
    config = json.loads((copy / "config.json").read_text())
    config |= {"model_type": "made_up", "auto_map": {"AutoConfig": "evil.Evil", "AutoModel": "evil.Evil"}}
    (copy / "config.json").write_text(json.dumps(config))
    (copy / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Evil: pass\n")
    with pytest.raises(RecipeError, match="no known model"):
        open_encoder(copy)
    assert not (tmp_path / "ran").exists()
