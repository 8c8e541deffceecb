"""The index and the card, opened with the tools that users open them with."""

from __future__ import annotations

import json
import math
import re
import shutil
from dataclasses import replace
from pathlib import Path

import geopandas
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from small_dataset import make_manifest, small_contents, write_dataset

from git10m import records
from git10m.errors import DatasetError, VerificationError
from git10m.publish import write_card, write_index


def shards_of(folder: Path) -> list[Path]:
    names = json.loads((folder / "manifest.json").read_text())["files"]
    return [folder / name for name in names if name.startswith("data/")]


def front_matter(folder: Path) -> dict:
    return yaml.safe_load((folder / "README.md").read_text().split("---\n")[1])


def test_the_index_is_the_data_without_images(small_dataset: Path) -> None:
    index = pq.read_table(small_dataset / "index.parquet")
    names = [name for name in records.columns() if name != "image"]
    data = pa.concat_tables([pq.read_table(shard, columns=names) for shard in shards_of(small_dataset)])

    assert index.column_names == [*names, "file", "row"]
    assert index.select(names).equals(data)


def test_file_and_row_lead_to_the_same_row(small_dataset: Path) -> None:
    for entry in pq.read_table(small_dataset / "index.parquet", columns=["img_name", "file", "row"]).to_pylist():
        names = pq.read_table(small_dataset / entry["file"], columns=["img_name"])["img_name"]
        assert names[entry["row"]].as_py() == entry["img_name"]


def test_geopandas_filters_the_index_by_bounding_box(small_dataset: Path) -> None:
    everything = geopandas.read_parquet(small_dataset / "index.parquet")
    chile = geopandas.read_parquet(small_dataset / "index.parquet", bbox=(-72, -34, -71, -33))

    assert everything.crs == "OGC:CRS84"
    assert len(chile) == 12
    assert set(chile.source_id) == {"south"}
    assert everything.geometry.isna().sum() == 1  # the row of level 0


def test_the_index_says_where_all_of_it_lies(small_dataset: Path) -> None:
    geo = json.loads(pq.read_schema(small_dataset / "index.parquet").metadata[b"geo"])
    bounds = geopandas.read_parquet(small_dataset / "index.parquet").total_bounds

    assert geo["version"] == "1.1.0"
    np.testing.assert_allclose(geo["columns"]["geometry"]["bbox"], bounds, rtol=0, atol=1e-12)


def test_the_index_is_the_same_bytes_each_time_and_leaves_nothing_behind(small_dataset: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_index(shards_of(small_dataset), tmp_path / name / "index.parquet")

    first, second = ((tmp_path / name / "index.parquet").read_bytes() for name in ("a", "b"))
    assert first == second == (small_dataset / "index.parquet").read_bytes()
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["index.parquet"]


def test_row_groups_of_the_index_do_not_follow_the_shards(
    small_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("git10m.publish.index.INDEX_GROUP_ROWS", 10)
    write_index(shards_of(small_dataset), tmp_path / "index.parquet")

    metadata = pq.read_metadata(tmp_path / "index.parquet")
    sizes = [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]
    assert sizes == [10, 10, 10, 10, 10, 3]
    assert pq.read_table(tmp_path / "index.parquet").equals(pq.read_table(small_dataset / "index.parquet"))


def test_an_empty_dataset_has_an_empty_index(tmp_path: Path) -> None:
    pq.write_table(records.table([]), tmp_path / "train-00000-of-00001.parquet")
    write_index([tmp_path / "train-00000-of-00001.parquet"], tmp_path / "index.parquet")
    assert len(geopandas.read_parquet(tmp_path / "index.parquet")) == 0


def test_a_broken_shard_is_named_and_the_old_index_stays(small_dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "index.parquet").write_bytes(b"old")
    broken = tmp_path / "train-00000-of-00001.parquet"
    broken.write_bytes(shards_of(small_dataset)[0].read_bytes()[:1000])

    with pytest.raises(VerificationError, match=re.escape(str(broken))):
        write_index([broken], tmp_path / "index.parquet")
    assert (tmp_path / "index.parquet").read_bytes() == b"old"

    pq.write_table(pa.table({"bbox": pa.array([None], records.columns()["bbox"].type)}), broken)
    with pytest.raises(VerificationError, match="has no column img_name"):
        write_index([broken], tmp_path / "index.parquet")


def test_load_dataset_finds_the_splits_through_the_card(
    small_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    counts = json.loads((small_dataset / "manifest.json").read_text())["counts"]["splits"]

    loaded = datasets.load_dataset(str(small_dataset), cache_dir=str(tmp_path))

    assert {split: rows.num_rows for split, rows in loaded.items()} == counts
    first = loaded["train"][0]
    assert first["image"].size == (256, 256)
    assert set(records.GIT10M_COLUMNS) <= set(first)


def test_the_cards_examples_run(small_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("duckdb")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    shutil.copytree(small_dataset, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    examples = re.findall(r"```python\n(.*?)```", (small_dataset / "README.md").read_text(), re.DOTALL)
    names: dict = {}
    for example in examples:
        exec(example, names)

    assert names["row"]["image"].size == (256, 256)
    assert 0 < len(names["nearby"]) < len(names["index"])
    assert names["image_bytes"].startswith(b"\xff\xd8")
    entry = names["index"].dropna(subset=["Google_location"]).iloc[0]
    lon, lat = names["north_west_corner"](entry["Google_location"])
    west, _, _, north = entry.geometry.bounds
    assert math.isclose(lon, west, abs_tol=1e-9) and math.isclose(lat, north, abs_tol=1e-9)


def test_the_card_accounts_for_every_planned_tile(small_dataset: Path) -> None:
    card = (small_dataset / "README.md").read_text()
    counts = json.loads((small_dataset / "manifest.json").read_text())["counts"]
    dropped, failed = sum(counts["dropped"].values()), sum(counts["failed"].values())

    assert f"{counts['planned']} = {counts['kept']} + {dropped} + {failed}." in card
    assert "| dropped | valid_fraction | 11 |" in card
    assert all(f"| `{name}` |" in card for name in records.columns())
    assert "The north survey" in card and "CC-BY-4.0" in card


def test_only_computed_imagery_is_called_synthetic(small_dataset: Path, synthetic_dataset: Path) -> None:
    observed, computed = ((folder / "README.md").read_text() for folder in (small_dataset, synthetic_dataset))

    assert "synthetic" in front_matter(synthetic_dataset)["tags"]
    assert "synthetic" not in front_matter(small_dataset)["tags"]
    # Before anything else that is said of it.
    assert computed.split("# small\n")[1].lstrip().startswith("> **Synthetic.**")
    assert "computed by a program" not in observed


@pytest.mark.parametrize(
    ("licences", "expected", "name"),
    [
        (["CC0-1.0"], "cc0-1.0", None),
        (["CC-BY-4.0", "CC0-1.0"], ["cc-by-4.0", "cc0-1.0"], None),
        (["US Government, public domain"], "other", "us-government-public-domain"),
        (["CC0-1.0", "Copernicus"], "other", "several-see-below"),
        ([], "unknown", None),
    ],
)
def test_licences_are_named_as_the_hub_names_them(
    tmp_path: Path, licences: list[str], expected: object, name: str | None
) -> None:
    manifest = {**make_manifest([], [], synthetic=False), "licences": licences, "files": {}}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    write_card(tmp_path)
    assert front_matter(tmp_path)["license"] == expected
    assert front_matter(tmp_path).get("license_name") == name


def test_the_card_is_the_same_bytes_each_time(small_dataset: Path, tmp_path: Path) -> None:
    for name in ("manifest.json", "index.parquet"):
        shutil.copy(small_dataset / name, tmp_path)
    write_card(tmp_path)
    assert (tmp_path / "README.md").read_bytes() == (small_dataset / "README.md").read_bytes()


def test_text_of_a_source_cannot_break_a_table(tmp_path: Path) -> None:
    contents = small_contents()
    manifest = make_manifest(contents.rows, contents.rejections, synthetic=False)
    manifest["files"] = {}
    manifest["items"][0]["attribution"] = "A | B\n<img src=x onerror=alert(1)>"
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    write_card(tmp_path)
    card = (tmp_path / "README.md").read_text()
    assert "A \\| B &lt;img" in card
    assert "<img" not in card


def test_a_split_without_shards_is_not_promised(tmp_path: Path) -> None:
    contents = small_contents()
    contents.rows = [replace(row, split="train") for row in contents.rows]
    folder = write_dataset(tmp_path / "dataset", contents, synthetic=False)
    assert [entry["split"] for entry in front_matter(folder)["configs"][0]["data_files"]] == ["train"]


@pytest.mark.parametrize("content", [None, "{", "[]", '{"name": "x"}'])
def test_a_folder_that_is_no_dataset_is_refused(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(DatasetError, match=r"manifest\.json"):
        write_card(tmp_path)
