"""Builds with embeddings: what pixels do not show to be alike, clusters, learned scores, vectors that are kept."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from real_encoder import efficientnet_vectors, write_embeddings
from real_tiles import real_tiles
from small_encoders import save_clip, save_dinov2
from small_imagery import DATES, built, command, promised, small_units, texture, total, write_recipe, write_scene

from git10m.curation.encoders import open_encoder
from git10m.curation.pictures import decoded
from git10m.engine import Engine
from git10m.shards import data_files
from git10m.verify import verify

torch = pytest.importorskip("torch")
pytest.importorskip("faiss")

ONE_PLACE = {f"landsat_peru__{year}.tif" for year in (1990, 2000, 2005, 2010, 2020)} | {"3.tif"}
"""Pictures of a place, or of a kind of field, that another picture shows too."""

Capture = pytest.CaptureFixture[str]


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return [row for file in data_files(folder) for row in pq.read_table(file).to_pylist()]


def rejected_of(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(folder / "rejected.parquet").to_pylist()
    return found


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_clip(tmp_path_factory.mktemp("models") / "clip")


def recipe_of(folder: Path, pictures: dict[str, np.ndarray], *, more: str = "") -> Path:
    """An image folder with a table of captions, and the recipe over it."""
    (folder / "images").mkdir(exist_ok=True)
    for name, pixels in pictures.items():
        Image.fromarray(pixels).save(folder / f"images/{name}.jpg", quality=95, subsampling=0)
    lines = [f"{name}.jpg,Picture {name}." for name in pictures]
    (folder / "captions.csv").write_text("\n".join(["image,caption", *lines, ""]))
    (folder / "recipe.toml").write_text(
        f'name = "set"\n[[source]]\nid = "set"\nkind = "pairs"\nformat = "csv"\n'
        f'path = "captions.csv"\nimages = "images"\nlicence = "CC0-1.0"\n{more}\n'
    )
    return folder / "recipe.toml"


def survey(folder: Path, more: str, *, source: str = "") -> Path:
    """A scene of about a hundred tiles, and its recipe."""
    folder.mkdir(parents=True, exist_ok=True)
    write_scene(folder / "imagery/a.tif", pixels=texture(1900, 1900, seed=4))
    write_recipe(folder / "recipe.toml", source=source, more=more)
    return folder


def crop(pixels: np.ndarray, share: float) -> np.ndarray:
    """Cut the middle out and bring it to the old size."""
    side = round(pixels.shape[0] * share)
    start = (pixels.shape[0] - side) // 2
    cut = Image.fromarray(pixels[start : start + side, start : start + side])
    return np.asarray(cut.resize(pixels.shape[1::-1], Image.Resampling.BICUBIC))


# What a real encoder sees


@pytest.mark.slow
def test_crops_that_no_hash_finds_are_found_by_a_real_encoder(tmp_path: Path, capfd: Capture, imagery: Path):
    """Real tiles, and of each the middle 93 %: every pixel lies elsewhere, what they show is the same."""
    chosen = [(name, pixels) for name, pixels in real_tiles(imagery, each=1) if name not in ONE_PLACE]
    pictures = {f"{i:02d}": pixels for i, (_, pixels) in enumerate(chosen)}
    pictures |= {f"{i:02d}_crop": crop(pixels, 0.93) for i, (_, pixels) in enumerate(chosen)}
    names = [f"set_{name}.jpg" for name in pictures]
    vectors = efficientnet_vectors(list(pictures.values()))
    write_embeddings(tmp_path / "vectors.parquet", dict(zip(names, vectors, strict=True)))
    recipe = recipe_of(
        tmp_path,
        pictures,
        more='[curation.embedding]\nembeddings = "vectors.parquet"\n[curation.duplicates]\nembedding = 0.88',
    )
    said = command(capfd, "build", recipe, "--output", tmp_path / "d")
    assert said.code == 0, said.err
    assert verify(tmp_path / "d") == []
    dropped = rejected_of(tmp_path / "d")
    by_pixels = [row for row in dropped if "likeness" in row["detail"]]
    by_vector = [row for row in dropped if "cosine" in row["detail"]]
    right = [row for row in by_vector if row["item"][4:6] == row["duplicate_of"][4:6]]
    print(f"of {len(chosen)} crops {len(by_pixels)} by pixels, {len(right)} by embedding; {len(by_vector)} calls")
    assert len(chosen) >= 15
    assert len(by_pixels) <= 1
    assert len(right) >= 0.9 * (len(chosen) - len(by_pixels))
    assert len(right) >= 0.9 * len(by_vector)


# What goes, and what stays


def test_other_dates_and_finer_tiles_of_one_ground_are_no_copies(tmp_path: Path, clip: Path):
    same = texture(1300, 1300, seed=1)
    for year in (2020, 2021):
        write_scene(tmp_path / f"imagery/a_{year}0701.tif", pixels=same)
    more = (
        f'[curation.duplicates]\nexact = false\nnear = false\nembedding = 0.5\n[curation.embedding]\nencoder = "{clip}"'
    )
    write_recipe(tmp_path / "recipe.toml", source=DATES, more=more)
    with small_units():
        manifest = built(tmp_path, tmp_path / "d")
    assert manifest is not None
    rows, dropped = rows_of(tmp_path / "d"), [row for row in rejected_of(tmp_path / "d") if "cosine" in row["detail"]]
    # At a cosine of 0.5 everything is like everything: what stays shows one ground, on all its dates and levels.
    assert dropped
    finest = max((row for row in rows), key=lambda row: row["level"])
    assert all(finest["quadkey"].startswith(row["quadkey"]) for row in rows)
    assert Counter(row["Google_location"] for row in rows).most_common()[-1][1] == 2
    assert manifest["counts"]["planned"] == total(manifest["counts"])


def test_images_of_an_evaluation_set_are_left_out_by_embedding(tmp_path: Path, capfd: Capture, clip: Path):
    pictures = {f"{i:02d}": np.ascontiguousarray(np.moveaxis(texture(256, 256, seed=i), 0, -1)) for i in range(8)}
    (tmp_path / "held").mkdir()
    Image.fromarray(crop(pictures["03"], 0.94)).save(tmp_path / "held/r1.png")
    encoder = open_encoder(clip)
    near = float((encoder.images([crop(pictures["03"], 0.94)]) @ encoder.images([pictures["03"]]).T)[0, 0])
    others = encoder.images([pixels for name, pixels in pictures.items() if name != "03"])
    far = float((encoder.images([crop(pictures["03"], 0.94)]) @ others.T).max())
    assert far < near
    recipe = recipe_of(
        tmp_path,
        pictures,
        more=f'[curation.embedding]\nencoder = "{clip}"\n[curation.duplicates]\nembedding = {(near + far) / 2:.6f}\n'
        f'[[curation.against]]\nname = "rsicd"\npath = "held"\n',
    )
    said = command(capfd, "build", recipe, "--output", tmp_path / "d")
    assert said.code == 0, said.err
    held = [row for row in rejected_of(tmp_path / "d") if row["reason"] == "evaluation_set"]
    assert [row["item"] for row in held] == ["set_03.jpg"]
    assert held[0]["duplicate_of"] == "rsicd: r1.png"
    assert held[0]["detail"].startswith(f"cosine {near:.2f}")
    assert held[0]["thumbnail"]["bytes"]


def test_no_cluster_is_more_than_its_share_and_the_best_of_it_stay(tmp_path: Path):
    survey(tmp_path, "")
    with small_units():
        built(tmp_path, tmp_path / "all")
    everything = rows_of(tmp_path / "all")
    draws = np.random.default_rng(0)
    centres = draws.normal(size=(5, 32))
    names = [row["img_name"] for row in everything]
    kind = dict(zip(names, draws.choice(5, len(names), p=[0.7, 0.1, 0.1, 0.05, 0.05]).tolist(), strict=True))
    write_embeddings(
        tmp_path / "vectors.parquet", {name: centres[kind[name]] + 0.1 * draws.normal(size=32) for name in names}
    )
    more = '[curation.embedding]\nembeddings = "vectors.parquet"\n[[curation.quotas]]\nclusters = 5\nmost = 0.3'
    write_recipe(tmp_path / "recipe.toml", more=more)
    with small_units():
        built(tmp_path, tmp_path / "d")
    rows = rows_of(tmp_path / "d")
    kept = Counter(kind[row["img_name"]] for row in rows)
    score = {row["img_name"]: row["img_quality_score"] for row in everything}
    gone = set(names) - {row["img_name"] for row in rows}
    assert max(kept.values()) <= 0.3 * len(rows)
    assert kept[0] == max(kept.values())
    assert {kind[name] for name in gone} == {0}
    assert min(score[row["img_name"]] for row in rows if kind[row["img_name"]] == 0) >= max(score[n] for n in gone)
    beyond = [row for row in rejected_of(tmp_path / "d") if row["reason"] == "quota"]
    assert len(beyond) == len(gone)
    assert {row["detail"] for row in beyond} == {"cluster 1 of 5: at most 0.3 of the dataset is asked"}


@pytest.mark.slow
def test_images_on_two_sides_of_a_split_are_not_alike(tmp_path: Path, capfd: Capture):
    draws = np.random.default_rng(0)
    pictures = {f"{i:03d}": np.ascontiguousarray(np.moveaxis(texture(96, 96, seed=i), 0, -1)) for i in range(60)}
    centres = draws.normal(size=(20, 16))
    vectors = {f"set_{i:03d}.jpg": centres[i % 20] + 0.05 * draws.normal(size=16) for i in range(60)}
    write_embeddings(tmp_path / "vectors.parquet", vectors)
    more = '[curation.embedding]\nembeddings = "vectors.parquet"\n[splits]\nvalidation = 0.2\ntest = 0.2\n'
    said = command(capfd, "build", recipe_of(tmp_path, pictures, more=more), "--output", tmp_path / "plain")
    assert said.code == 0, said.err
    recipe = recipe_of(tmp_path, pictures, more=more + "embedding = 0.9\n")
    assert command(capfd, "build", recipe, "--output", tmp_path / "d").code == 0

    def divided(folder: Path) -> int:
        sides: dict[int, set[str]] = {}
        for row in rows_of(folder):
            sides.setdefault(int(row["img_name"][4:7]) % 20, set()).add(row["split"])
        return sum(len(found) > 1 for found in sides.values())

    assert divided(tmp_path / "plain") > 6
    assert divided(tmp_path / "d") == 0
    assert len(rows_of(tmp_path / "d")) == 60  # without a place they move, and none goes


# Learned scores


def test_a_learned_score_is_a_column_and_drops_what_is_below_it(tmp_path: Path, clip: Path):
    from safetensors.torch import save_file

    weight = np.random.default_rng(1).normal(size=(1, 24)).astype(np.float32)
    save_file({"weight": torch.from_numpy(weight), "bias": torch.tensor([5.0])}, tmp_path / "head.safetensors")
    scorer = f'[curation.scorers]\naesthetic = {{encoder = "{clip}", head = "head.safetensors"}}\n'
    survey(tmp_path, scorer)
    with small_units():
        built(tmp_path, tmp_path / "all")
    rows = rows_of(tmp_path / "all")
    vectors = open_encoder(clip).images([decoded(row["image"]["bytes"]) for row in rows])
    expected = vectors @ weight[0] + 5.0
    np.testing.assert_allclose([row["aesthetic_score"] for row in rows], expected, atol=1e-5)
    least = float(np.median(expected))
    write_recipe(tmp_path / "recipe.toml", more=f"{scorer}[curation.verdicts]\nmin_aesthetic = {least:.6f}")
    with small_units():
        built(tmp_path, tmp_path / "d")
    assert verify(tmp_path / "d") == []
    kept, dropped = (
        rows_of(tmp_path / "d"),
        [row for row in rejected_of(tmp_path / "d") if row["reason"] == "aesthetic"],
    )
    assert len(kept) + len(dropped) == len(rows)
    assert abs(len(kept) - len(rows) / 2) <= 1
    assert min(row["aesthetic_score"] for row in kept) >= least - 1e-5
    assert all(row["detail"].endswith("is asked") and row["thumbnail"]["bytes"] for row in dropped)


# Vectors that are kept, and brought along again


@pytest.mark.slow
def test_kept_vectors_open_in_datasets_and_serve_another_build(tmp_path: Path, clip: Path):
    datasets = pytest.importorskip("datasets")
    survey(tmp_path, f'[curation.embedding]\nencoder = "{clip}"\nkeep = true\n[curation.duplicates]\nembedding = 0.999')
    with small_units():
        manifest = built(tmp_path, tmp_path / "first")
    assert manifest is not None
    assert verify(tmp_path / "first") == []
    rows = rows_of(tmp_path / "first")
    expected = open_encoder(clip).images([decoded(row["image"]["bytes"]) for row in rows])
    np.testing.assert_allclose([row["embedding"] for row in rows], expected, atol=1e-3)
    assert "embedding" not in pq.read_schema(tmp_path / "first/index.parquet").names
    files = [str(file) for file in data_files(tmp_path / "first")]
    opened = datasets.load_dataset("parquet", data_files=files, split="train", cache_dir=str(tmp_path / "hf"))
    assert opened.features["embedding"].feature.dtype == "float16"
    assert len(opened[0]["embedding"]) == 24
    write_recipe(
        tmp_path / "recipe.toml",
        more='[curation.embedding]\nembeddings = "first/data/*.parquet"\nkeep = "float32"\n'
        "[curation.duplicates]\nembedding = 0.999",
    )
    with small_units():
        again = built(tmp_path, tmp_path / "second")
    assert again is not None
    assert again["embedding"]["without"] == manifest["counts"]["dropped"].get("near_duplicate", 0)
    assert pq.read_schema(data_files(tmp_path / "second")[0]).field("embedding").type.value_type == "float"
    assert {row["img_name"] for row in rows} <= {row["img_name"] for row in rows_of(tmp_path / "second")}


@pytest.mark.slow
def test_workers_and_a_unit_made_again_change_no_byte(tmp_path: Path, clip: Path):
    survey(
        tmp_path,
        f'[curation.embedding]\nencoder = "{clip}"\nkeep = true\n[curation.duplicates]\nembedding = 0.99\n'
        "[[curation.quotas]]\nclusters = 4\nmost = 0.4",
    )
    with small_units():
        built(tmp_path, tmp_path / "one")
        built(tmp_path, tmp_path / "two", engine=Engine(workers=2))
        assert promised(tmp_path / "one") == promised(tmp_path / "two")
        before = promised(tmp_path / "two")
        (tmp_path / "two/manifest.json").unlink()
        shutil.rmtree(tmp_path / "two/data")
        next(iter(sorted((tmp_path / "two/work/tiles").glob("*.done.json")))).unlink()
        for done in (tmp_path / "two/work/rows").glob("*.done.json"):
            done.unlink()
        built(tmp_path, tmp_path / "two")
    assert promised(tmp_path / "two") == before


@pytest.mark.slow
def test_another_encoder_is_another_build(tmp_path: Path, clip: Path, capfd: Capture):
    survey(tmp_path, f'[curation.embedding]\nencoder = "{tmp_path / "model"}"')
    shutil.copytree(clip, tmp_path / "model")
    order = ("build", tmp_path / "recipe.toml", "--var", f"imagery={tmp_path / 'imagery'}", "--output", tmp_path / "d")
    assert command(capfd, *order).code == 0
    shutil.rmtree(tmp_path / "model")
    save_clip(tmp_path / "model", seed=5)
    said = command(capfd, *order)
    assert said.code == 2
    assert "models.embedding" in said.err


# What is wrong is told


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("[curation.duplicates]\nembedding = 0.9", r"duplicates.embedding = 0.9 needs [curation.embedding]"),
        ("[[curation.quotas]]\nclusters = 8\nmost = 0.2", "a quota by clusters needs [curation.embedding]"),
        ("[curation.verdicts]\nmin_aesthetic = 5", "needs scorers.aesthetic"),
        ("[curation.embedding]\nkeep = true", 'give encoder = "folder of a model"'),
        ('[curation.embedding]\nencoder = "nowhere"', "is no model (there is no such folder)"),
        ('[curation.embedding]\nembeddings = "nowhere.parquet"', "nowhere.parquet"),
        ('[curation.embedding]\nencoder = "x"\n[[curation.quotas]]\nclusters = 8\nmost = 0.1', "must be above 0.125"),
        ("[splits]\nembedding = 0.9", "splits.embedding needs [curation.embedding]"),
    ],
)
def test_what_cannot_be_is_told_before_anything_is_cut(tmp_path: Path, capfd: Capture, more: str, message: str):
    survey(tmp_path, more)
    order = ("build", tmp_path / "recipe.toml", "--var", f"imagery={tmp_path / 'imagery'}", "--output", tmp_path / "d")
    said = command(capfd, *order)
    assert said.code == 2
    assert message in said.err
    assert not list((tmp_path / "d").rglob("*.rows.parquet"))


def test_a_head_of_another_width_is_told_at_once(tmp_path: Path, capfd: Capture, clip: Path):
    torch.save(torch.nn.Linear(768, 1).state_dict(), tmp_path / "head.pth")
    survey(tmp_path, f'[curation.scorers]\naesthetic = {{encoder = "{clip}", head = "head.pth"}}')
    order = ("build", tmp_path / "recipe.toml", "--var", f"imagery={tmp_path / 'imagery'}", "--output", tmp_path / "d")
    said = command(capfd, *order)
    assert said.code == 2
    assert "vectors of 768 numbers, the encoder's have 24" in said.err


def test_tiles_that_a_file_lacks_are_counted_and_named(tmp_path: Path, capfd: Capture):
    pictures = {f"{i:02d}": np.ascontiguousarray(np.moveaxis(texture(128, 128, seed=i), 0, -1)) for i in range(6)}
    vectors = {f"set_{i:02d}.jpg": np.eye(8)[i] for i in range(4)}
    write_embeddings(tmp_path / "vectors.parquet", vectors)
    more = '[curation.embedding]\nembeddings = "vectors.parquet"\nkeep = true\n[curation.duplicates]\nembedding = 0.9'
    recipe = recipe_of(tmp_path, pictures, more=more)
    said = command(capfd, "build", recipe, "--output", tmp_path / "d")
    assert said.code == 0, said.err
    assert "2 of 6 images have no embedding, e.g. set_04.jpg, set_05.jpg" in said.err
    note = json.loads((tmp_path / "d/manifest.json").read_text())["embedding"]
    assert note == {"images": 6, "without": 2, "named": ["set_04.jpg", "set_05.jpg"]}
    assert sum(row["embedding"] is None for row in rows_of(tmp_path / "d")) == 2
    strict = recipe.read_text().replace('name = "set"', 'name = "set"\non_error = "stop"', 1)
    recipe.write_text(strict)
    said = command(capfd, "build", recipe, "--output", tmp_path / "strict")
    assert said.code == 1
    assert "2 of 6 images have no embedding" in said.err
    write_embeddings(tmp_path / "vectors.parquet", {"14_1_2": np.ones(8)}, key="Google_location")
    said = command(capfd, "build", recipe, "--output", tmp_path / "none")
    assert said.code == 1
    assert "check its key" in said.err


@pytest.mark.slow
def test_a_set_to_stay_apart_from_needs_vectors_too(tmp_path: Path, capfd: Capture):
    pictures = {f"{i:02d}": np.ascontiguousarray(np.moveaxis(texture(128, 128, seed=i), 0, -1)) for i in range(3)}
    write_embeddings(tmp_path / "vectors.parquet", {f"set_{i:02d}.jpg": np.eye(8)[i] for i in range(3)})
    (tmp_path / "held").mkdir()
    Image.fromarray(np.ascontiguousarray(np.moveaxis(texture(128, 128, seed=9), 0, -1))).save(tmp_path / "held/r.png")
    more = (
        '[curation.embedding]\nembeddings = "vectors.parquet"\n[curation.duplicates]\nembedding = 0.9\n'
        '[[curation.against]]\nname = "held"\npath = "held"\n'
    )
    said = command(capfd, "build", recipe_of(tmp_path, pictures, more=more), "--output", tmp_path / "d")
    assert said.code == 2
    assert "none of its 1 images has a vector in vectors.parquet" in said.err
    vectors = {**{f"set_{i:02d}.jpg": np.eye(8)[i] for i in range(3)}, "r.png": np.eye(8)[1]}
    write_embeddings(tmp_path / "vectors.parquet", vectors)
    said = command(capfd, "build", recipe_of(tmp_path, pictures, more=more), "--output", tmp_path / "again")
    assert said.code == 0, said.err
    assert [row["item"] for row in rejected_of(tmp_path / "again")] == ["set_01.jpg"]


def test_an_encoder_without_text_is_no_judge_of_captions(tmp_path: Path, capfd: Capture):
    dino = save_dinov2(tmp_path / "dino")
    survey(tmp_path, f'[captions.similarity]\nclip = "{dino}"')
    order = ("build", tmp_path / "recipe.toml", "--var", f"imagery={tmp_path / 'imagery'}", "--output", tmp_path / "d")
    said = command(capfd, *order)
    assert said.code == 2
    assert "is a model of kind 'dinov2', which reads no texts" in said.err
