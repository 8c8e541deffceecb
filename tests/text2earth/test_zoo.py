import dataclasses
import json
import logging
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hub_server import running_hub
from PIL import Image
from small_encoders import save_siglip

import text2earth
from text2earth import zoo
from text2earth.errors import HubError, ModelError
from text2earth.models.image_text import ImageTextModel
from text2earth.zoo import ZOO, HubSource, ZooModel, find
from text2earth.zoo.hub import noted

REPOSITORY = Path(__file__).parents[2]
UNET = "unet/diffusion_pytorch_model.safetensors"


def files_of(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A hub that huggingface_hub, in this process, takes for its own, with an empty cache."""
    from huggingface_hub import constants

    with running_hub() as running:
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        # Its handler keeps the stream of the test that imported it first, which is closed.
        monkeypatch.setattr(logging.getLogger("huggingface_hub"), "handlers", [])
        yield running


@pytest.fixture
def published(hub, model_folder, monkeypatch):
    """A model on the hub under a zoo name, laid out as the published one: code beside it, another pipeline class."""
    files = files_of(model_folder)
    files = {name: content for name, content in files.items() if not name.startswith(("training/", "logs/"))}
    index = json.loads(files["model_index.json"])
    index["_class_name"] = ["pipeline_text2earth_diffusion", "Text2EarthDiffusionPipeline"]
    files["model_index.json"] = json.dumps(index).encode()
    files["pipeline_text2earth_diffusion.py"] = b"raise RuntimeError('code of a model folder was run')"
    files["unet/diffusion_pytorch_model.bin"] = b"\x80\x04a pickle beside the safetensors"
    hub.publish("someone/Small", files)
    add(monkeypatch, ZooModel("small", "text-to-image", "nano", 1, "none", hub=HubSource("someone/Small")))
    return files


def add(monkeypatch, model):
    monkeypatch.setitem(ZOO, model.name, model)


def test_a_model_of_the_hub_is_fetched_verified_and_loaded(hub, published):
    pipeline = text2earth.load("small", device="cpu")
    pipeline.set_progress_bar_config(disable=True)
    assert pipeline("a view of water", 14, num_inference_steps=1).images[0].size == (16, 16)
    folder = find("small")
    assert (folder / UNET).is_file()
    assert not list(folder.rglob("*.py")) and not list(folder.rglob("*.bin"))


def test_the_first_commit_that_was_fetched_stays_the_model(hub, published):
    first = find("small")
    head = hub.publish("someone/Small", {**published, "README.md": b"a newer card"})
    hub.asked.clear()
    assert find("small") == first and hub.asked == []
    newer = zoo.fetch(ZOO["small"], again=True)
    assert newer.name == head and (newer / "README.md").read_bytes() == b"a newer card"
    assert find("small") == newer and noted(ZOO["small"])["revision"] == head


def test_a_pinned_revision_is_the_one_that_is_asked_for(hub, published, monkeypatch):
    pinned = hub.repos["someone/Small"].head("main")[0]
    hub.publish("someone/Small", {**published, "README.md": b"a newer card"})
    source = HubSource("someone/Small", revision=pinned)
    add(monkeypatch, dataclasses.replace(ZOO["small"], hub=source))
    assert find("small").name == pinned


def test_bytes_that_are_not_those_announced_are_refused_and_fetched_anew(hub, published):
    hub.corrupt[UNET] = published[UNET][:-1] + b"!"
    with pytest.raises(HubError, match=rf"{UNET} is not the file that the hub announced \(sha256 [0-9a-f]{{64}}"):
        find("small")
    hub.corrupt.clear()
    assert (find("small") / UNET).read_bytes() == published[UNET]


def test_a_file_that_changed_on_the_disk_is_noticed(hub, published):
    stored = (find("small") / "unet" / "config.json").resolve()
    stored.write_bytes(stored.read_bytes().replace(b"true", b"null", 1))
    with pytest.raises(HubError, match=r"unet/config\.json is not the file that the hub announced \(git hash"):
        find("small")
    find("small")


def test_a_hash_that_this_version_knows_comes_first(hub, published, monkeypatch):
    import hashlib

    right = hashlib.sha256(published[UNET]).hexdigest()
    for known in ("0" * 64, right):
        source = HubSource("someone/Small", sha256={UNET: known})
        add(monkeypatch, dataclasses.replace(ZOO["small"], hub=source))
        if known == right:
            find("small")
        else:
            with pytest.raises(HubError, match=rf"has sha256 {right} on the hub, and this version .* knows 0000"):
                find("small")
            assert hub.count("GET", UNET) == 0


@pytest.mark.parametrize("missing", ["scheduler/scheduler_config.json", "vae/config.json", UNET, "model_index.json"])
def test_a_repository_that_lacks_a_part_is_refused_before_anything_is_fetched(hub, published, missing):
    kept = {name: content for name, content in published.items() if name != missing and not name.endswith(".bin")}
    hub.publish("someone/Small", kept)
    part = "unet/*.safetensors" if missing == UNET else missing
    with pytest.raises(ModelError, match=rf"someone/Small lacks {re.escape(part)}"):
        find("small")
    assert hub.count("GET", "/resolve/") == 0


def test_a_repository_of_pickles_is_refused(hub, published):
    hub.publish("someone/Small", {name: content for name, content in published.items() if name != UNET})
    with pytest.raises(ModelError, match=r"weights as pickle alone \(unet/diffusion_pytorch_model\.bin\), which can"):
        find("small")
    assert hub.count("GET", "/resolve/") == 0


def test_a_hub_that_cannot_be_reached_says_how_to_fetch_elsewhere(hub, published, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(
        HubError, match=r"cannot be reached for small .*\n +hf download someone/Small .*--local-dir Small"
    ):
        find("small")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(HubError, match=r"cannot be reached for small \(Cannot reach .*offline mode"):
        find("small")


def test_what_was_fetched_needs_no_hub(hub, published, monkeypatch):
    from huggingface_hub import constants

    first = find("small")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert find("small") == first


def test_a_server_error_is_one_of_the_hub_and_a_repository_that_is_gone_is_not(hub, published, monkeypatch):
    hub.fail("GET", "/api/models/someone/Small", 501, times=10)
    with pytest.raises(HubError, match=r"cannot be reached for small \(.*501"):
        find("small")
    hub.faults.clear()
    del hub.repos["someone/Small"]
    with pytest.raises(ModelError, match=r"someone/Small is not on the hub as it is known here"):
        find("small")


def test_the_command_for_elsewhere_is_one_that_the_hubs_client_knows():
    """Its words are read by the client's own parser; nothing is fetched."""
    from text2earth.zoo.hub import _elsewhere

    words = _elsewhere(ZOO["git-rsclip-base"]).split()
    hf = Path(sys.executable).parent / "hf"
    said = subprocess.run([hf, "download", "--help"], capture_output=True, text=True, check=True).stdout
    assert words[:2] == ["hf", "download"]
    assert all(word in said for word in words if word.startswith("--"))


def test_shipped_models_come_from_the_package(model_folder, tmp_path, monkeypatch):
    monkeypatch.setattr("text2earth.zoo.registry.SHIPPED", tmp_path)
    add(monkeypatch, ZooModel("here", "text-to-image", "nano", None, "none", recipe="pipelines/x.toml"))
    assert ZOO["here"].status == "recipe only"
    with pytest.raises(ModelError, match=r"make them with\n +text2earth train pipelines/x\.toml --output runs/here\n"):
        find("here")
    shutil.copytree(model_folder, tmp_path / "here")
    assert ZOO["here"].status == "shipped" and find("here") == tmp_path / "here"
    assert text2earth.load("here", device="cpu").config.trained_levels == [14, 15]


def test_a_name_that_is_near_one_is_told():
    with pytest.raises(ModelError, match=r"did you mean 'text2earth-tiny'\?.*the zoo has text2earth-tiny, "):
        find("text2earth-tyni")


def test_a_zoo_name_is_never_a_folder_that_happens_to_be_called_so(hub, tmp_path, monkeypatch):
    (tmp_path / "git-rsclip").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match=r"lcybuaa/Git-RSCLIP is not on the hub"):
        find("git-rsclip")


def test_entries_are_true_where_they_can_be_checked():
    for model in ZOO.values():
        assert model.recipe or model.hub or model.status == "shipped"
        if model.recipe:
            assert (REPOSITORY / model.recipe.split()[0]).is_file()
        if model.hub:
            assert all(re.fullmatch(r"[0-9a-f]{64}", known) for known in model.hub.sha256.values())
            assert model.hub.revision is None or re.fullmatch(r"[0-9a-f]{40}", model.hub.revision)


@pytest.fixture(scope="module")
def siglip(tmp_path_factory):
    return save_siglip(tmp_path_factory.mktemp("siglip"))


def noise(seed, size=(40, 52)):
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def test_git_rsclip_scores_as_transformers_own_classes_do(hub, siglip, monkeypatch):
    import transformers

    hub.publish("someone/Clip", files_of(siglip))
    add(monkeypatch, ZooModel("clip", "image-text", "SigLIP", 1, "none", hub=HubSource("someone/Clip")))
    model = text2earth.load("clip", device="cpu")
    assert isinstance(model, ImageTextModel)
    pictures = [Image.fromarray(noise(seed)) for seed in range(3)]
    texts = ["a river near the town", "forest"]
    theirs = transformers.SiglipModel.from_pretrained(siglip)
    pixels = transformers.SiglipImageProcessorPil.from_pretrained(siglip)(pictures, return_tensors="pt").pixel_values
    ids = model.tokenizer(texts, padding="max_length", max_length=64, truncation=True, return_tensors="pt").input_ids
    with torch.no_grad():
        expected = theirs(pixel_values=pixels, input_ids=ids).logits_per_image
    torch.testing.assert_close(model.logits(pictures, texts), expected, atol=1e-4, rtol=1e-4)
    assert model.images(pictures).shape == (3, 32) and model.texts([]).shape == (0, 32)


def test_a_folder_that_is_no_siglip_is_refused(siglip, tmp_path):
    folder = tmp_path / "other"
    shutil.copytree(siglip, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "clip"}))
    with pytest.raises(ModelError, match=r"holds a model of type 'clip'"):
        text2earth.load(folder, device="cpu")
    config["vision_config"]["intermediate_size"] = 48
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=r"other: .*weights"):
        text2earth.load(folder, device="cpu")
