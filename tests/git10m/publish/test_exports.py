"""Exports, read back with the libraries that they are made for."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from git10m import records
from git10m.publish.columns import column_schema
from git10m.publish.publishing import publish
from git10m.publish.release import Publication
from git10m.publish.selection import select
from git10m.publish.survey import survey
from git10m.publish.targets import open_target
from git10m.publish.tars import plan_tars, write_tar
from git10m.verify import verify

OPEN_FILES = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"  # webdataset leaves its last tar open when it is left early
)
ALL = ("CC-BY-NC-ND-4.0", "unstated")


def export(dataset: Path, folder: Path, **wanted: object) -> Path:
    publish(dataset, open_target(str(folder), dataset=dataset), wanted=Publication(**{"allowed": ALL} | wanted))
    return folder


def rows_of(dataset: Path) -> list[dict]:
    names = json.loads((dataset / "manifest.json").read_text())["files"]
    return [row for name in names if name.startswith("data/") for row in pq.read_table(dataset / name).to_pylist()]


@pytest.fixture(scope="module")
def tars(mixed_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(mixed_dataset, tmp_path_factory.mktemp("tars") / "out", form="webdataset", most_tar_bytes=1_500_000)


def test_tars_hold_every_row_as_it_is_stored(mixed_dataset: Path, tars: Path) -> None:
    expected = {row["img_name"]: row for row in rows_of(mixed_dataset)}
    found = {}
    for path in sorted((tars / "data").glob("*.tar")):
        with tarfile.open(path) as archive:
            for member in archive:
                file = archive.extractfile(member)
                assert file is not None and (member.mtime, member.uid, member.gname) == (0, 0, "")
                key, _, ending = member.name.partition(".")
                found.setdefault(key, {})[ending] = file.read()
    assert len(found) == len(expected)
    for key, sample in found.items():
        assert set(sample) == {"jpg", "txt", "json"} and "." not in key and "/" not in key
        said = json.loads(sample["json"])
        row = expected[said["img_name"]]
        assert sample["jpg"] == row["image"]["bytes"]
        assert sample["txt"].decode() == row["caption"]
        assert bytes.fromhex(said["geometry"]) == row["geometry"]
        assert said["sources"][0]["licence"] == row["sources"][0]["licence"]
        assert set(said) == set(row) - {"image"}


@OPEN_FILES
def test_the_webdataset_library_reads_them(mixed_dataset: Path, tars: Path) -> None:
    webdataset = pytest.importorskip("webdataset")
    shards = [str(path) for path in sorted((tars / "data").glob("train-*.tar"))]
    samples = list(webdataset.WebDataset(shards, shardshuffle=False).decode("pil").to_tuple("jpg", "txt", "json"))
    rows = rows_of(mixed_dataset)
    by_name = {said["img_name"]: (picture, text) for picture, text, said in samples}
    assert len(samples) == len(rows) and by_name.keys() == {row["img_name"] for row in rows}
    assert all(by_name[row["img_name"]][1] == row["caption"] for row in rows)
    assert samples[0][0].size == (256, 256)


def test_datasets_reads_them_through_the_card(mixed_dataset: Path, tars: Path, tmp_path: Path) -> None:
    """Columns that are null in the first samples have their type from the card."""
    datasets = pytest.importorskip("datasets")
    loaded = datasets.load_dataset(str(tars), cache_dir=str(tmp_path))["train"]
    rows = rows_of(mixed_dataset)
    assert loaded.num_rows == len(rows)
    dated = {row["img_name"]: row["acquired_at"] is not None for row in rows}
    assert {said["img_name"]: said["acquired_at"] is not None for said in loaded["json"]} == dated
    assert set(dated.values()) == {True, False}
    stored = next(row["image"]["bytes"] for row in rows if row["img_name"] == loaded[0]["json"]["img_name"])
    assert loaded[0]["jpg"].tobytes() == Image.open(io.BytesIO(stored)).tobytes()


@pytest.mark.parametrize("told", [True, False], ids=["features of the card", "guessed from the first samples"])
def test_datasets_reads_them_as_webdataset(tars: Path, tmp_path: Path, told: bool) -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.load_dataset_builder(str(tars), cache_dir=str(tmp_path)).info.features if told else None
    files = {"train": str(tars / "data/train-*.tar")}
    loaded = datasets.load_dataset("webdataset", data_files=files, features=features, cache_dir=str(tmp_path))
    assert loaded["train"].num_rows == json.loads((tars / "manifest.json").read_text())["counts"]["kept"]


def test_tars_are_bounded_and_the_same_bytes_each_time(mixed_dataset: Path, tmp_path: Path) -> None:
    manifest = json.loads((mixed_dataset / "manifest.json").read_text())
    selection = select(mixed_dataset, manifest, refused=(), whole=survey(mixed_dataset / "index.parquet"))
    for copy in ("a", "b"):
        (tmp_path / copy / "data").mkdir(parents=True)
        tars = plan_tars(selection)
        assert sum(write_tar(selection, tar, tmp_path / copy / tar.name) for tar in tars) == manifest["counts"]["kept"]
    first, second = (
        [hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted((tmp_path / copy / "data").iterdir())]
        for copy in ("a", "b")
    )
    assert first == second


def test_row_groups_fill_tars_up_to_a_size(small_dataset: Path, tmp_path: Path) -> None:
    manifest = json.loads((small_dataset / "manifest.json").read_text())
    selection = select(small_dataset, manifest, refused=(), whole=survey(small_dataset / "index.parquet"))
    tars = plan_tars(selection, most_bytes=150_000)
    assert len({tar.name for tar in tars}) == len(tars) > 3
    (tmp_path / "data").mkdir()
    sizes = {}
    for tar in tars:
        write_tar(selection, tar, tmp_path / tar.name)
        sizes[tar.name] = (tmp_path / tar.name).stat().st_size
    largest_group = 7 * 24_000  # seven rows a group
    assert max(sizes.values()) <= 150_000 + largest_group


def test_images_of_several_kinds_get_tars_of_their_own(small_dataset: Path, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    from dataclasses import replace

    from small_dataset import small_contents, write_dataset

    contents = small_contents()
    for at in (3, 9, 20):
        picture = Image.open(io.BytesIO(contents.rows[at].image["bytes"]))
        stream = io.BytesIO()
        picture.save(stream, "png")
        name = f"odd name.v{at}.png"
        contents.rows[at] = replace(contents.rows[at], img_name=name, split="train",
                                    image={"bytes": stream.getvalue(), "path": name})  # fmt: skip
    dataset = write_dataset(tmp_path / "kinds", contents, synthetic=False)
    folder = export(dataset, tmp_path / "out", form="webdataset")
    names = {path.name for path in (folder / "data").iterdir()}
    assert {name for name in names if "png" in name} == {"train-png-000000.tar"}
    with tarfile.open(folder / "data/train-png-000000.tar") as archive:
        keys = [member.name.partition(".") for member in archive]
    assert all(ending in {"png", "txt", "json"} for _, _, ending in keys)
    assert len({key for key, _, _ in keys}) == 3
    pngs = datasets.load_dataset(str(folder), "png", cache_dir=str(tmp_path / "cache"))
    assert pngs["train"].num_rows == 3 and pngs["train"][0]["png"].format == "PNG"
    jpgs = datasets.load_dataset(str(folder), "jpg", cache_dir=str(tmp_path / "cache"))
    assert sum(rows.num_rows for rows in jpgs.values()) == len(contents.rows) - 3


def test_refused_rows_are_in_no_tar(mixed_dataset: Path, tmp_path: Path) -> None:
    folder = export(mixed_dataset, tmp_path / "out", form="webdataset", allowed=(), without_refused=True)
    with tarfile.open(folder / "data/train-000000.tar") as archive:
        said = [json.loads(archive.extractfile(member).read()) for member in archive if member.name.endswith(".json")]
    assert {part["source_id"] for row in said for part in row["sources"]} == {"survey", "sentinel"}
    assert "The closed survey" not in (folder / "NOTICE").read_text()
    assert verify(folder) == []


def test_seven_columns_are_those_of_git10m(mixed_dataset: Path, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    folder = export(mixed_dataset, tmp_path / "out", form="git10m")
    loaded = datasets.load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))["train"]
    rows = rows_of(mixed_dataset)
    assert loaded.column_names == list(records.GIT10M_COLUMNS)
    assert isinstance(loaded.features["image"], datasets.Image)
    assert loaded.features["img_quality_score"].dtype == "float64" and loaded.features["caption"].dtype == "string"
    for column in ("img_name", "caption", "caption_length", "resolution", "Google_location", "img_quality_score"):
        assert loaded[column][:] == [row[column] for row in rows]
    assert pq.read_schema(folder / "data/train-00000-of-00001.parquet").equals(column_schema(), check_metadata=True)
    assert verify(folder) == []


def test_the_older_form_is_one_text(small_dataset: Path, tmp_path: Path) -> None:
    folder = export(small_dataset, tmp_path / "out", form="git10m", text_column=True)
    table = pa.concat_tables([pq.read_table(path) for path in sorted((folder / "data").iterdir())])
    assert table.column_names == ["image", "text"]
    texts = table["text"].to_pylist()
    assert any(text.startswith("15_GOOGLE_LEVEL_Fields and low hills") for text in texts)
    assert "0_GOOGLE_LEVEL_" in texts  # the row without place and caption
    assert "`text`" in (folder / "README.md").read_text()


@OPEN_FILES
def test_the_examples_of_the_cards_of_exports_run(
    mixed_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import re

    datasets = pytest.importorskip("datasets")
    pytest.importorskip("webdataset")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    for form in ("webdataset", "git10m"):
        folder = export(mixed_dataset, tmp_path / form, form=form)
        monkeypatch.chdir(folder)
        for example in re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL):
            exec(example, {})


def test_an_export_is_not_published_again(mixed_dataset: Path, tmp_path: Path) -> None:
    from git10m.errors import DatasetError

    folder = export(mixed_dataset, tmp_path / "out", form="git10m")
    with pytest.raises(DatasetError, match="is an export"):
        export(folder, tmp_path / "more")
