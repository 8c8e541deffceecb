"""Existing sets of images and captions become rows."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from small_imagery import command, texture

from git10m.errors import Git10mError, RecipeError, SourceError
from git10m.grid import Tile
from git10m.recipe import PairsSource
from git10m.sources import Failure, Request, Sample
from git10m.sources.pairs import Pairs, open_pairs


def picture(seed: int, *, kind: str = "jpeg", side: int = 64) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.moveaxis(texture(side, side, seed=seed), 0, -1)).save(buffer, kind)
    return buffer.getvalue()


def opened(store: Path, **said: Any) -> Pairs:
    return open_pairs(PairsSource.model_validate({"id": "set", **said}), store=store / "store", fill=(0, 0, 0))


def read(pairs: Pairs, *entries: int) -> list[Sample | Failure]:
    """Some images as a build would ask for them; all, where none is named."""
    listed = pairs.entries(0)
    wanted = entries or range(len(listed.level))
    where = [(int(listed.level[i]), int(listed.x[i]), int(listed.y[i])) for i in wanted]
    asked = [Request(Tile(*at) if at[0] else None, 0, i) for i, at in zip(wanted, where, strict=True)]
    return list(pairs.read(asked))


def karpathy(folder: Path, *, images: int = 3) -> Path:
    """RSICD's, UCM's and Sydney's form."""
    (folder / "images").mkdir(parents=True)
    listed = []
    for i in range(images):
        (folder / "images" / f"{i}.jpg").write_bytes(picture(i))
        sentences = [{"raw": f"image {i} ."}, {"tokens": ["it", "is", "number", str(i)]}, {"raw": f"image  {i} ."}]
        listed.append({"filename": f"{i}.jpg", "split": ["train", "val", "test"][i % 3], "sentences": sentences})
    path = folder / "dataset.json"
    path.write_text(json.dumps({"images": listed, "dataset": "rsicd"}), encoding="utf-8")
    return path


def test_rsicd_and_its_like(tmp_path: Path):
    path = karpathy(tmp_path)
    found = read(opened(tmp_path, format="karpathy", path=str(path), images=str(tmp_path / "images"), level=17))
    for i, sample in enumerate(found):
        assert isinstance(sample, Sample)
        assert sample.encoded is not None
        assert sample.encoded.bytes == (tmp_path / "images" / f"{i}.jpg").read_bytes()
        assert sample.given is not None
        assert sample.given.captions == (f"image {i} .", f"it is number {i}")
        assert sample.given.split == ["train", "validation", "test"][i]
        assert sample.given.columns["level"] == 17


def test_the_real_ucm_captions(imagery: Path, tmp_path: Path):
    """Five of its 2,100 images are at hand; the others fail, each with its name."""
    path = imagery / "captions/ucm_captions_dataset.json"
    pairs = opened(tmp_path, format="karpathy", path=str(path), images=str(imagery / "chips/ucm"))
    names = [image["filename"] for image in json.loads(path.read_text())["images"]]
    assert len(pairs.entries(0).level) == 2100
    found = read(pairs)
    shown = {names[i]: sample for i, sample in enumerate(found) if isinstance(sample, Sample)}
    assert set(shown) == {f"{i}.tif" for i in range(1, 6)}
    assert all(len(sample.given.captions) >= 2 for sample in shown.values() if sample.given)
    (missing,) = [result for i, result in enumerate(found) if names[i] == "6.tif"]
    assert isinstance(missing, Failure)
    assert missing.detail == "6.tif: the annotations name it, but it is not in the folder of images"
    with Image.open(imagery / "chips/ucm/1.tif") as image:
        assert np.array_equal(shown["1.tif"].pixels, np.asarray(image.convert("RGB")))


def test_coco_captions(tmp_path: Path):
    for i in (7, 9):
        (tmp_path / f"{i}.png").write_bytes(picture(i, kind="png"))
    content = {
        "images": [{"id": 7, "file_name": "7.png"}, {"id": 9, "file_name": "9.png"}],
        "annotations": [
            {"image_id": 9, "caption": "a farm"},
            {"image_id": 7, "caption": "a town"},
            {"image_id": 9, "caption": "fields"},
        ],
    }
    (tmp_path / "captions.json").write_text(json.dumps(content))
    first, second = read(opened(tmp_path, format="coco", path=str(tmp_path / "captions.json")))
    assert isinstance(first, Sample)
    assert isinstance(second, Sample)
    assert first.given is not None
    assert second.given is not None
    assert (first.given.captions, second.given.captions) == (("a town",), ("a farm", "fields"))
    assert first.encoded is None  # PNG is encoded as the recipe says


def test_a_folder_with_a_table(tmp_path: Path):
    tile = Tile(15, 17000, 11000)
    (tmp_path / "a.jpg").write_bytes(picture(1))
    (tmp_path / "b.webp").write_bytes(picture(2, kind="webp"))
    (tmp_path / "list.csv").write_text(
        f'file,says,Google_location,img_quality_score\na.jpg,"a lake, and a wood",{tile.name},5.5\n'
        "b.webp,a road,,\na.jpg,water,,\n"
    )
    said = {"format": "csv", "path": str(tmp_path / "list.csv"), "image_column": "file", "caption_column": "says"}
    pairs = opened(tmp_path, **said)
    assert pairs.entries(0).level.tolist() == [15, 0]
    first, second = read(pairs)
    assert isinstance(first, Sample)
    assert isinstance(second, Sample)
    assert first.request.tile == tile
    assert first.given is not None
    assert first.given.captions == ("a lake, and a wood", "water")
    assert first.given.columns["img_quality_score"] == 5.5
    assert second.encoded is not None
    assert second.encoded.format == "webp"


def test_class_folders(tmp_path: Path):
    for split, name in (("train", "AnnualCrop"), ("val", "SeaLake"), ("train", "dense_residential")):
        (tmp_path / "chips" / split / name).mkdir(parents=True)
        (tmp_path / "chips" / split / name / "1.jpg").write_bytes(picture(len(name)))
    found = read(opened(tmp_path, format="folders", path=str(tmp_path / "chips"), caption="It shows {class}."))
    said = {
        sample.given.captions: sample.given.split for sample in found if isinstance(sample, Sample) and sample.given
    }
    assert said == {
        ("It shows annual crop.",): "train",
        ("It shows dense residential.",): "train",
        ("It shows sea lake.",): "validation",
    }


def test_the_real_eurosat_chips_need_their_bands_told(imagery: Path, tmp_path: Path):
    folder = str(imagery / "chips/eurosat")
    refused = read(opened(tmp_path, format="folders", path=folder))
    assert {type(result) for result in refused} == {Failure}
    assert "a TIFF of 13 bands; write in source 'set': bands = [4, 3, 2]" in refused[0].detail  # type: ignore[union-attr]
    unscaled = read(opened(tmp_path, format="folders", path=folder, bands=[4, 3, 2]))
    assert "a TIFF of uint16 values; write in source 'set': scale = [low, high]" in unscaled[0].detail  # type: ignore[union-attr]
    found = read(opened(tmp_path, format="folders", path=folder, bands=[4, 3, 2], scale=[0, 3000]))
    for sample in found:
        assert isinstance(sample, Sample)
        assert sample.pixels.shape == (64, 64, 3)
        assert 10 < sample.pixels.mean() < 200


TILES = [Tile(17, 70000, 45000), Tile(14, 8800, 5500), None]


def git10m_rows(form: str) -> list[dict[str, Any]]:
    rows = []
    for i, tile in enumerate(TILES):
        caption = f"Number {i} shows fields."
        row: dict[str, Any] = {"image": {"bytes": picture(100 + i), "path": f"{i}.jpg"}, "img_name": f"tile_{i}.jpg"}
        if form == "older":
            row["text"] = f"{tile.level if tile else 0}_GOOGLE_LEVEL_{caption}"
        else:
            row |= {"img_quality_score": 4.5 + i if i else None, "caption": caption, "caption_length": 4}
            row |= {"resolution": 2.0 ** (17 - tile.level) if tile else None}
            row |= {"Google_location": tile.name if tile else None}
        rows.append(row)
    return rows


@pytest.mark.parametrize("form", ["newer", "older"])
@pytest.mark.parametrize("kind", ["parquet", "stream", "file"])
def test_git10m_itself(form: str, kind: str, tmp_path: Path):
    table = pa.Table.from_pylist(git10m_rows(form))
    path = tmp_path / ("rows.parquet" if kind == "parquet" else "rows.arrow")
    if kind == "parquet":
        pq.write_table(table, path, row_group_size=2)
    else:
        with (pa.ipc.new_stream if kind == "stream" else pa.ipc.new_file)(str(path), table.schema) as writer:
            writer.write_table(table, max_chunksize=2)
    pairs = opened(tmp_path, format="git10m", path=str(path))
    expected = [0, 0, 0] if form == "older" else [17, 14, 0]
    assert pairs.entries(0).level.tolist() == expected
    for i, sample in enumerate(read(pairs)):
        assert isinstance(sample, Sample)
        assert sample.given is not None
        assert sample.given.name == f"tile_{i}.jpg"
        assert sample.given.captions == (f"Number {i} shows fields.",)
        assert sample.encoded is not None
        assert sample.encoded.bytes == picture(100 + i)
        if form == "newer":
            assert sample.request.tile == TILES[i]
            assert sample.given.columns["img_quality_score"] == (4.5 + i if i else None)
        else:
            assert sample.given.columns["level"] == (TILES[i].level if TILES[i] else None)  # type: ignore[union-attr]
    assert [r.given.name for r in read(pairs, 2, 0) if isinstance(r, Sample) and r.given] == [
        "tile_2.jpg",
        "tile_0.jpg",
    ]


def test_what_datasets_wrote_comes_back(tmp_path: Path):
    """Hugging Face ``datasets`` as the oracle: it saves Arrow streams with embedded images."""
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"image": datasets.Image(), "text": datasets.Value("string")})
    rows = [{key: row[key] for key in ("image", "text")} for row in git10m_rows("older")]
    datasets.Dataset.from_list(rows, features=features).save_to_disk(str(tmp_path / "saved"))
    found = read(opened(tmp_path, format="git10m", path=str(tmp_path / "saved")))
    assert [sample.encoded.bytes for sample in found if isinstance(sample, Sample) and sample.encoded] == [
        picture(100 + i) for i in range(3)
    ]


def test_a_set_becomes_a_dataset_that_keeps_every_promise(capfd: pytest.CaptureFixture[str], tmp_path: Path):
    karpathy(tmp_path / "set", images=30)
    (tmp_path / "set/images/4.jpg").unlink()
    (tmp_path / "set/images/5.jpg").write_bytes(b"<html>not found</html>")
    (tmp_path / "set/images/6.jpg").write_bytes(picture(6)[:600])
    shutil.copy(tmp_path / "set/images/8.jpg", tmp_path / "set/images/7.jpg")
    pq.write_table(pa.Table.from_pylist(git10m_rows("newer")), tmp_path / "git10m.parquet")
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        f"""
        name = "sets"
        [[source]]
        kind = "pairs"
        id = "rsicd"
        format = "karpathy"
        path = "{tmp_path}/set/dataset.json"
        images = "{tmp_path}/set/images"
        licence = "as its authors say"
        [[source]]
        kind = "pairs"
        id = "git10m"
        format = "git10m"
        path = "{tmp_path}/git10m.parquet"
        """
    )
    done = command(capfd, "build", recipe, "--output", tmp_path / "out", "--workers", 1, "--json")
    assert done.code == 0, done.err
    counts = done.json["counts"]
    assert (counts["planned"], counts["kept"]) == (33, 29)
    assert counts["failed"] == {"unreadable": 3}
    assert counts["dropped"] == {"exact_duplicate": 1}
    checked = command(capfd, "verify", tmp_path / "out", "--workers", 1)
    assert checked.code == 0, checked.err
    rows = [row for file in (tmp_path / "out/data").glob("*.parquet") for row in pq.read_table(file).to_pylist()]
    by_name = {row["img_name"]: row for row in rows}
    assert by_name["rsicd_2.jpg"]["split"] == "test"
    assert by_name["rsicd_2.jpg"]["caption"] == "image 2 ."
    assert by_name["rsicd_2.jpg"]["captions"] == ["image 2 .", "it is number 2"]
    assert by_name["rsicd_2.jpg"]["caption_source"] == "given"
    assert by_name["rsicd_2.jpg"]["level"] == 0
    assert by_name["git10m_tile_0.jpg"]["Google_location"] == TILES[0].name  # type: ignore[union-attr]
    assert by_name["git10m_tile_0.jpg"]["caption"] == "Number 0 shows fields."
    rejected = {row["item"]: row["detail"] for row in pq.read_table(tmp_path / "out/rejected.parquet").to_pylist()}
    assert any("4.jpg: the annotations name it" in detail for detail in rejected.values())
    assert any("5.jpg: no image of a known format" in detail for detail in rejected.values())
    assert any("6.jpg: a JPEG image that is not whole" in detail for detail in rejected.values())


@pytest.mark.parametrize(
    ("said", "content", "message"),
    [
        ({"format": "karpathy"}, '{"images": [', "list: is no JSON in UTF-8 .* truncated"),
        ({"format": "karpathy"}, '{"annotations": []}', "has no list 'images'; check that format"),
        ({"format": "karpathy"}, '{"images": [{"file_name": "a"}]}', "image 0 has no 'filename'"),
        ({"format": "coco"}, '{"images": [{"id": 1, "file_name": "a"}]}', "has no list 'annotations'"),
        (
            {"format": "coco"},
            '{"images": [{"id": 1, "file_name": "a"}], "annotations": [{"image_id": 2, "caption": "x"}]}',
            "1 annotations name images that it does not list, e.g. id 2",
        ),
        ({"format": "csv"}, "name,caption\na,b\n", "has no column 'image'; it has name, caption: set image_column"),
        ({"format": "csv"}, "image,caption\na,b,c\n", "line 2: has another number of columns"),
        ({"format": "csv"}, "image,caption\n,b\n", "line 2: names no image"),
        ({"format": "csv"}, "image,caption\n", "lists no images"),
        ({"format": "csv"}, "image,caption,Google_location\na,b,17-1-2\n", "line 2: Google_location = '17-1-2'"),
        ({"format": "csv"}, "image,caption\nmissing.jpg,b\n", "none of the images is there, e.g. .*missing.jpg"),
    ],
)
def test_annotations_that_cannot_be_used_are_told(said: dict[str, Any], content: str, message: str, tmp_path: Path):
    (tmp_path / "list").write_text(content, encoding="utf-8")
    with pytest.raises(RecipeError, match=message):
        opened(tmp_path, path=str(tmp_path / "list"), **said)


def test_tables_that_cannot_be_used_are_told(tmp_path: Path):
    pq.write_table(pa.table({"picture": [b""]}), tmp_path / "other.parquet")
    with pytest.raises(RecipeError, match=r"other\.parquet: is not in the form of Git-10M: .* found picture"):
        opened(tmp_path, format="git10m", path=str(tmp_path / "other.parquet"))
    (tmp_path / "cut.parquet").write_bytes(b"PAR1")
    with pytest.raises(SourceError, match=r"cut\.parquet: cannot be read"):
        opened(tmp_path, format="git10m", path=str(tmp_path / "cut.parquet"))
    for said in ({"format": "git10m", "path": "none-*.parquet"}, {"format": "folders", "path": str(tmp_path)}):
        with pytest.raises(Git10mError, match=r"matches no parquet|holds no images"):
            opened(tmp_path, **said)
