"""Similarity of images and captions: cosines as transformers gives them, and the share that goes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from small_encoders import pictures, save_clip, save_siglip
from small_imagery import built, command, promised, small_units, total, write_recipe, write_scene

from git10m.captions.similarity import SimilarityScorer, least_similar
from git10m.engine import Engine
from git10m.recipe import Similarity
from git10m.shards import data_files
from git10m.verify import verify

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

LONG = " ".join(["a satellite image of fields near the town"] * 20)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    return {"clip": save_clip(root / "clip"), "siglip": save_siglip(root / "siglip")}


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return [row for file in data_files(folder) for row in pq.read_table(file).to_pylist()]


def encoded(folder: Path, images: list[np.ndarray]) -> list[bytes]:
    for number, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{number}.png")
    return [(folder / f"{number}.png").read_bytes() for number in range(len(images))]


def table(clip: list[float | None], siglip: list[float | None]) -> pa.Table:
    return pa.table(
        {"similarity_clip": pa.array(clip, pa.float32()), "similarity_siglip": pa.array(siglip, pa.float32())}
    )


def test_scores_are_the_cosines_that_transformers_gives(models: dict[str, Path], tmp_path: Path):
    images, captions = pictures(5), ["a river", None, "the sea near a town", LONG, ""]
    scorer = SimilarityScorer(Similarity(clip=str(models["clip"]), siglip=str(models["siglip"])))
    found = scorer.scores(encoded(tmp_path, images), captions)
    model = transformers.CLIPModel.from_pretrained(models["clip"])
    tokenizer = transformers.AutoTokenizer.from_pretrained(models["clip"])
    processor = transformers.CLIPImageProcessorPil.from_pretrained(models["clip"])
    shown = processor([images[i] for i in (0, 2, 3)], return_tensors="pt")
    tokens = tokenizer(
        [captions[i] for i in (0, 2, 3)], padding=True, truncation=True, max_length=77, return_tensors="pt"
    )
    with torch.inference_mode():
        said = model(**shown, **tokens)
        expected = (said.logits_per_image.diag() / model.logit_scale.exp()).tolist()
    np.testing.assert_allclose([found["similarity_clip"][i] for i in (0, 2, 3)], expected, atol=1e-5)
    assert found["similarity_clip"][1] is found["similarity_clip"][4] is None
    assert all((found["similarity_siglip"][i] is None) == (i in {1, 4}) for i in range(5))
    assert scorer.cut == {"clip": 1, "siglip": 1}


def test_the_lowest_go_and_of_equals_the_later_one():
    rules = Similarity(clip="x", drop_lowest=0.4)
    found = least_similar(table([0.3, 0.1, None, 0.2, 0.2, 0.9], [None] * 6), rules)
    assert found == {
        1: "clip 0.1000: of the 0.4 that fit their captions least",
        4: "clip 0.2000: of the 0.4 that fit their captions least",
    }
    assert least_similar(table([0.3, 0.1], [None] * 2), Similarity(clip="x")) == {}
    assert least_similar(table([None] * 3, [None] * 3), rules) == {}


def test_of_two_models_the_mean_of_the_ranks_counts():
    clip, siglip = [0.1, 0.2, 0.3, 0.4], [0.09, 0.01, 0.02, 0.05]  # ranks 0+3, 1+0, 2+1, 3+2
    found = least_similar(table(clip, siglip), Similarity(clip="x", siglip="y", drop_lowest=0.25))
    assert found == {1: "clip 0.2000, siglip 0.0100: of the 0.25 that fit their captions least"}


def survey(folder: Path, models: dict[str, Path], *, share: float) -> None:
    write_scene(folder / "imagery/a.tif", size=1900, seed=4)
    similarity = (
        f'[captions.similarity]\nclip = "{models["clip"]}"\nsiglip = "{models["siglip"]}"\ndrop_lowest = {share}\n'
    )
    write_recipe(folder / "recipe.toml", more=f"{similarity}[output]\nshard_rows = 20")


def test_a_build_drops_the_share_that_fits_least_and_accounts_for_it(tmp_path: Path, models: dict[str, Path]):
    survey(tmp_path, models, share=0.0)
    with small_units():
        built(tmp_path, tmp_path / "all")
        survey(tmp_path, models, share=0.25)
        manifest = built(tmp_path, tmp_path / "d")
    assert manifest is not None
    assert verify(tmp_path / "d") == []
    assert manifest["counts"]["planned"] == total(manifest["counts"])
    everything, kept = rows_of(tmp_path / "all"), rows_of(tmp_path / "d")
    low = [
        row for row in pq.read_table(tmp_path / "d/rejected.parquet").to_pylist() if row["reason"] == "low_similarity"
    ]
    assert len(low) == len(everything) // 4
    assert len(kept) + len(low) == len(everything)
    ranks = sum(
        np.searchsorted(np.sort(scores), scores)
        for scores in (np.array([row[f"similarity_{kind}"] for row in everything]) for kind in ("clip", "siglip"))
    )
    place = {row["Google_location"]: int(rank) for row, rank in zip(everything, ranks, strict=True)}
    lowest = max(place[row["Google_location"]] for row in low)
    assert lowest <= min(place[row["Google_location"]] for row in kept)
    assert all(row["detail"].startswith("clip ") and row["thumbnail"]["bytes"] for row in low)


def test_recaptioning_scores_as_a_build_does_and_drops_no_row(
    tmp_path: Path, models: dict[str, Path], capfd: pytest.CaptureFixture[str]
):
    scored = f'[captions.similarity]\nclip = "{models["clip"]}"\n'
    write_scene(tmp_path / "imagery/a.tif", size=700)
    write_recipe(tmp_path / "recipe.toml", more=scored)
    (tmp_path / "captions.toml").write_text(f"{scored}drop_lowest = 0.5\n")
    with small_units():
        built(tmp_path, tmp_path / "scored")
        write_recipe(tmp_path / "recipe.toml")
        built(tmp_path, tmp_path / "later")
    assert {row["similarity_clip"] for row in rows_of(tmp_path / "later")} == {None}
    assert command(capfd, "caption", tmp_path / "later", "--recipe", tmp_path / "captions.toml").code == 0
    found = [
        [(row["img_name"], row["similarity_clip"]) for row in rows_of(tmp_path / name)] for name in ("later", "scored")
    ]
    assert found[0] == found[1]
    assert all(score is not None for _, score in found[0])
    assert verify(tmp_path / "later") == []


@pytest.mark.slow
def test_workers_change_no_byte_of_a_scored_build(tmp_path: Path, models: dict[str, Path]):
    survey(tmp_path, models, share=0.1)
    with small_units():
        built(tmp_path, tmp_path / "one")
        built(tmp_path, tmp_path / "two", engine=Engine(workers=2))
    assert promised(tmp_path / "one") == promised(tmp_path / "two")


def test_captions_that_a_set_brings_are_scored_without_a_place(
    tmp_path: Path, models: dict[str, Path], capfd: pytest.CaptureFixture[str]
):
    (tmp_path / "images").mkdir()
    for number, image in enumerate(pictures(8, seed=3)):
        Image.fromarray(image).resize((96, 96)).save(tmp_path / f"images/{number}.png")
    lines = [f"{number}.png,{'a river near the town' if number else LONG}" for number in range(8)]
    (tmp_path / "captions.csv").write_text("\n".join(["image,caption", *lines, ""]))
    (tmp_path / "recipe.toml").write_text(
        'name = "set"\n[[source]]\nid = "set"\nkind = "pairs"\nformat = "csv"\npath = "captions.csv"\n'
        'images = "images"\nlicence = "CC0-1.0"\n'
        f'[captions.similarity]\nsiglip = "{models["siglip"]}"\ndrop_lowest = 0.25\n'
        "[curation.duplicates]\nnear = false\n"
    )
    said = command(capfd, "build", tmp_path / "recipe.toml", "--output", tmp_path / "d")
    assert said.code == 0, said.err
    assert "1 captions are longer than the siglip model reads" in said.err
    assert json.loads((tmp_path / "d/manifest.json").read_text())["captions_cut"] == {"siglip": 1}
    rows = rows_of(tmp_path / "d")
    assert len(rows) == 6
    assert all(row["level"] == 0 and row["similarity_siglip"] is not None for row in rows)
    assert all(row["similarity_clip"] is None for row in rows)
