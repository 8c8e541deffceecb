"""Models on this machine: tiny ones with random weights, in the real format of each class."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from git10m.captions.subjects import Picture, no_faults
from git10m.captions.vlm.local import LocalWriter, check_model, model_digest
from git10m.errors import RequestError
from git10m.recipe import Captions

small_vlms = pytest.importorskip("small_vlms")

QWEN = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl")


def picture(number: int, *, side: int = 96) -> Picture:
    pixels = np.random.default_rng(number).integers(0, 255, (side, side, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    facts = {"land_cover": [{"name": "water", "share": 0.5, "part": None}] * number}
    return Picture(f"{number}.png", facts, None, 2.4, side, side, buffer.getvalue())


def writer(folder: Path, **said: Any) -> LocalWriter:
    table = {"path": str(folder), "device": "cpu", "max_new_tokens": 12, "batch": 2, **said}
    return LocalWriter(Captions(writer="transformers", transformers=table))  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    found = {kind: small_vlms.write_qwen(root / kind, kind=kind) for kind in QWEN}
    return {**found, "llava": small_vlms.write_llava(root / "llava"), "blip": small_vlms.write_blip(root / "blip")}


@pytest.mark.parametrize("kind", [*QWEN, "llava", "blip"])
def test_each_class_sees_the_image_and_says_the_same_twice(kind: str, folders: dict[str, Path]) -> None:
    pictures = [picture(1), picture(2, side=140)]
    first = writer(folders[kind])._answers(pictures)
    assert first == writer(folders[kind])._answers(pictures)
    assert all(first)
    assert check_model(folders[kind]) == kind
    dark = Image.new("RGB", (96, 96))
    buffer = io.BytesIO()
    dark.save(buffer, "PNG")
    unseen = [Picture(each.key, each.facts, None, 2.4, 96, 96, buffer.getvalue()) for each in pictures]
    model, _, _ = writer(folders[kind])._model
    assert model.dtype is not None
    inputs, blank = (writer(folders[kind])._inputs(each) for each in (pictures[:1], unseen[:1]))
    assert not np.allclose(inputs["pixel_values"].numpy(), blank["pixel_values"].numpy())


def test_llava_is_given_what_its_own_processor_gives(folders: dict[str, Path]) -> None:
    transformers = pytest.importorskip("transformers")
    made = writer(folders["llava"])
    ours = made._inputs([picture(1)])
    processor = transformers.LlavaProcessor.from_pretrained(str(folders["llava"]), backend="pil")
    image = Image.open(io.BytesIO(picture(1).image or b"")).convert("RGB")
    theirs = processor(images=[image], text=[made._prompt(picture(1))], return_tensors="pt", add_special_tokens=False)
    seen = ours["attention_mask"][0].bool()
    assert ours["input_ids"][0][seen].tolist() == theirs["input_ids"][0].tolist()
    assert np.array_equal(ours["pixel_values"].numpy(), theirs["pixel_values"].numpy())


def test_a_picture_gets_its_caption_whatever_stands_beside_it_in_the_batch(folders: dict[str, Path]) -> None:
    made = writer(folders["blip"], batch=4)
    alone = made.write([picture(1)], judge=no_faults)
    beside = made.write([picture(1), picture(2), picture(3)], judge=no_faults)
    assert alone[0] is not None
    assert alone[0] == beside[0]
    assert alone[0].version.startswith(f"blip {model_digest(folders['blip'])[:12]} ")


def test_noise_is_no_caption_and_what_is_faulty_is_not_taken(folders: dict[str, Path]) -> None:
    assert writer(folders["qwen2_vl"]).write([picture(1)], judge=no_faults) == [None]
    assert writer(folders["blip"]).write([picture(1)], judge=lambda *_: ("language: noise",)) == [None]


def test_drawn_words_follow_from_the_seed(folders: dict[str, Path]) -> None:
    drawn = [writer(folders["blip"], temperature=1.5).write([picture(1)], judge=no_faults)[0] for _ in range(2)]
    assert drawn[0] is not None
    assert drawn[0] == drawn[1]
    assert drawn[0] != writer(folders["blip"]).write([picture(1)], judge=no_faults)[0]


def test_a_folder_that_is_no_model_says_what_is_missing(tmp_path: Path, folders: dict[str, Path]) -> None:
    with pytest.raises(RequestError, match=r"no readable config\.json"):
        check_model(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gpt2"}))
    with pytest.raises(RequestError, match=r"of type 'gpt2'; those that can be used: blip, llava"):
        check_model(tmp_path)
    (tmp_path / "config.json").write_text((folders["blip"] / "config.json").read_text())
    with pytest.raises(RequestError, match="no weights as safetensors"):
        check_model(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(RequestError, match="no image processor"):
        check_model(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text((folders["blip"] / "preprocessor_config.json").read_text())
    with pytest.raises(RequestError, match="cannot be loaded"):
        writer(tmp_path).write([picture(1)], judge=no_faults)
