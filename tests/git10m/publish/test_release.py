"""What is published, opened with the tools that others open it with."""

from __future__ import annotations

import hashlib
import io
import json
import warnings
from pathlib import Path

import geopandas
import pyarrow.parquet as pq
import pytest
import shapely
from PIL import Image

from git10m import records
from git10m.errors import DatasetError, LicenceError, VerificationError
from git10m.publish.publishing import Published, publish
from git10m.publish.release import Publication
from git10m.publish.targets import open_target
from git10m.verify import verify

FREE = {"allowed": ("CC-BY-NC-ND-4.0", "unstated")}


def published(dataset: Path, target: Path, **wanted: object) -> Published:
    return publish(dataset, open_target(str(target), dataset=dataset), wanted=Publication(**wanted))


@pytest.fixture(scope="module")
def whole(mixed_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "out"
    published(mixed_dataset, folder, **FREE, creator="The testers", date="2026-11-24", url="https://example.org/x")
    return folder


@pytest.fixture(scope="module")
def rest(mixed_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rest") / "out"
    published(mixed_dataset, folder, without_refused=True, with_rejected=True)
    return folder


def manifest_of(folder: Path) -> dict:
    return json.loads((folder / "manifest.json").read_text())


def test_rows_of_refused_licences_are_named_with_the_flags_to_give(mixed_dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(LicenceError) as refused:
        published(mixed_dataset, tmp_path / "out")
    said = str(refused.value)
    assert "rows hold something of CC-BY-NC-ND-4.0: forbids derivatives" in said
    assert '--allow-licence "CC-BY-NC-ND-4.0" --allow-licence "unstated"' in said
    assert not (tmp_path / "out").exists()


def test_one_allowed_licence_does_not_let_the_other_out(mixed_dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(LicenceError, match=r"unstated") as refused:
        published(mixed_dataset, tmp_path / "out", allowed=("cc by-nc-nd 4.0",))
    assert "CC-BY-NC-ND" not in str(refused.value)


def test_all_of_it_goes_when_it_is_asked_for(mixed_dataset: Path, whole: Path) -> None:
    assert verify(whole) == []
    assert pq.read_table(whole / "index.parquet").equals(pq.read_table(mixed_dataset / "index.parquet"))
    assert not (whole / "rejected.parquet").exists() and not (whole / "work").exists()


def test_nothing_of_a_refused_licence_is_in_the_rest(mixed_dataset: Path, rest: Path) -> None:
    """The small contributions to a mosaic count too: 'survey' lies in the larger part of some tiles with 'closed'."""
    before = pq.read_table(mixed_dataset / "index.parquet").to_pylist()
    stay = [row["img_name"] for row in before
            if all(part["source_id"] in {"survey", "sentinel"} for part in row["sources"])]  # fmt: skip
    mixed = [row for row in before if row["source_id"] == "survey" and len(row["sources"]) > 1]
    rows = pq.read_table(rest / "data/train-00000-of-00001.parquet").to_pylist()

    assert mixed, "the dataset has tiles of both"
    assert [row["img_name"] for row in rows] == stay
    for row in pq.read_table(rest / "index.parquet", columns=["img_name", "file", "row"]).to_pylist():
        assert (
            pq.read_table(rest / row["file"], columns=["img_name"])["img_name"][row["row"]].as_py() == row["img_name"]
        )


def test_the_rest_keeps_every_promise_and_accounts_for_what_is_gone(mixed_dataset: Path, rest: Path) -> None:
    assert verify(rest) == []
    counts, manifest = manifest_of(mixed_dataset)["counts"], manifest_of(rest)
    gone = counts["kept"] - manifest["counts"]["kept"]
    assert manifest["counts"]["dropped"]["licence"] == gone > 0
    assert manifest["counts"]["planned"] == counts["planned"]
    assert set(manifest["published"]["left_out"]) == {"CC-BY-NC-ND-4.0", "unstated"}
    assert manifest["licences"] == ["CC0-1.0", "Copernicus Sentinel data terms (free, full and open)"]
    assert f"| dropped | licence | {gone} |" in (rest / "README.md").read_text()
    reasons = pq.read_table(rest / "rejected.parquet", columns=["reason", "detail"]).to_pylist()
    assert sum(entry["reason"] == "licence" for entry in reasons) == gone


def test_pictures_of_refused_licences_do_not_leak_through_rejected_tiles(mixed_dataset: Path, rest: Path) -> None:
    before = pq.read_table(mixed_dataset / "rejected.parquet").to_pylist()
    after = pq.read_table(rest / "rejected.parquet").to_pylist()
    assert {row["layer"] for row in before if row["thumbnail"]} >= {"imagery", "nameless", "sentinel"}
    # 'imagery' holds the closed survey, 'nameless' has no licence.
    assert {row["layer"] for row in after if row["thumbnail"]} == {"sentinel"}


def test_the_same_publication_is_the_same_bytes(mixed_dataset: Path, rest: Path, tmp_path: Path) -> None:
    published(mixed_dataset, tmp_path / "again", without_refused=True, with_rejected=True,
              date=manifest_of(rest)["published"]["date"])  # fmt: skip
    assert hashes(tmp_path / "again") == hashes(rest)


def hashes(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_the_hubs_own_library_takes_the_card(whole: Path, rest: Path) -> None:
    cards = pytest.importorskip("huggingface_hub")
    for folder, licences in ((whole, "other"), (rest, "other")):
        data = cards.DatasetCard.load(folder / "README.md").data
        assert isinstance(data, cards.DatasetCardData)
        assert data.license == licences and data.license_name == "several-see-below"
        assert data.task_categories == ["text-to-image", "image-to-text"]
        assert data.configs[0]["data_files"][0] == {"split": "train", "path": "data/train-*.parquet"}


def test_the_card_says_what_the_issue_asks(whole: Path) -> None:
    text = (whole / "README.md").read_text()
    for heading in ("## Counts", "## How it was made", "## Sources and licences", "## Limits and known biases",
                    "## Personal data", "## Citation"):  # fmt: skip
        assert heading in text
    assert "Written by `template`" in text and '"duplicates"' in text and "### Resolution" in text
    assert "must not be passed on in altered form" in text
    assert "author  = {The testers}" in text and "url     = {https://example.org/x}" in text
    assert "report.html" not in text and "work/" not in text


def test_the_notice_names_every_licence_and_credit(whole: Path, rest: Path) -> None:
    said, less = ((folder / "NOTICE").read_text() for folder in (whole, rest))
    assert "The closed survey" in said and "CC-BY-NC-ND-4.0" in said and "No licence is stated" in said
    assert "stated as: Creative Commons BY-NC-ND 4.0" in said
    assert "The closed survey" not in less and "Contains modified Copernicus Sentinel data: 10 rows" in less


def test_croissant_is_valid_and_gives_every_row(whole: Path) -> None:
    mlcroissant = pytest.importorskip("mlcroissant")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loaded = mlcroissant.Dataset(str(whole / "croissant.json"))
        assert loaded.metadata.issues.errors == set() and loaded.metadata.issues.warnings == set()
        rows = list(loaded.records("rows"))
    table = pq.read_table(whole / "data/train-00000-of-00001.parquet")
    assert len(rows) == table.num_rows
    assert {name.split("/")[1] for name in rows[0]} == set(table.column_names)
    first = table.slice(0, 1).to_pylist()[0]
    assert rows[0]["rows/caption"].decode() == first["caption"]
    assert rows[0]["rows/image"].tobytes() == Image.open(io.BytesIO(first["image"]["bytes"])).tobytes()
    assert [part["rows/sources/share"] for part in rows[0]["rows/sources"]] == pytest.approx(
        [part["share"] for part in first["sources"]]
    )
    for entry in json.loads((whole / "croissant.json").read_text())["distribution"][:-1]:
        assert hashlib.sha256((whole / entry["contentUrl"]).read_bytes()).hexdigest() == entry["sha256"]


def test_the_collection_is_valid_stac(whole: Path) -> None:
    import pystac
    from pystac.extensions.file import FileExtension
    from pystac.validation.stac_validator import JsonSchemaSTACValidator

    value = json.loads((whole / "collection.json").read_text())
    core = {**value, "stac_extensions": []}
    JsonSchemaSTACValidator().validate(core, "Collection", "1.1.0", [], whole.as_uri())
    loaded = pystac.Collection.from_dict(value)
    assert loaded.license == "other" and {each.name for each in loaded.providers} >= {"The closed survey"}
    for name, asset in loaded.assets.items():
        file = whole / asset.href
        said = FileExtension.ext(asset)
        assert said.size == file.stat().st_size, name
        assert said.checksum == "1220" + hashlib.sha256(file.read_bytes()).hexdigest()


def test_the_scenes_are_valid_stac_items_around_their_tiles(whole: Path) -> None:
    import stac_geoparquet.arrow
    from pystac.validation.stac_validator import JsonSchemaSTACValidator

    frame = geopandas.read_parquet(whole / "scenes.parquet")
    assert set(frame["git10m:source_id"]) == {"survey", "closed", "nameless", "sentinel"}
    index = geopandas.read_parquet(whole / "index.parquet")
    index = index[index["sources"].map(len) == 1]  # a tile of two scenes lies in neither
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        items = list(stac_geoparquet.arrow.stac_table_to_items(pq.read_table(whole / "scenes.parquet")))
    assert len(items) == 4
    for item in items:
        JsonSchemaSTACValidator().validate({**item, "stac_extensions": []}, "Feature", "1.1.0", [], "")
        tiles = index[index["source_item"] == item["properties"]["title"]].geometry.union_all()
        assert shapely.geometry.shape(item["geometry"]).buffer(1e-3).contains(tiles)
    dated = frame.set_index("git10m:source_id")
    assert str(dated.loc["sentinel", "datetime"]) == "2021-07-04 00:00:00+00:00"
    assert dated.loc["survey", "license"] == "CC0-1.0" and dated.loc["nameless", "license"] == "other"
    assert dated.loc["sentinel", "gsd"] == pytest.approx(3.5, rel=0.01)


def test_others_open_it(rest: Path, tmp_path: Path) -> None:
    datasets, duckdb = pytest.importorskip("datasets"), pytest.importorskip("duckdb")
    loaded = datasets.load_dataset(str(rest), cache_dir=str(tmp_path))
    kept = manifest_of(rest)["counts"]["kept"]
    assert loaded["train"].num_rows == kept and loaded["train"][0]["image"].size == (256, 256)
    count = duckdb.sql(f"SELECT count(*) FROM '{rest}/data/*.parquet' WHERE licence = 'CC0-1.0'").fetchall()
    assert 0 < count[0][0] < kept
    everything = geopandas.read_parquet(rest / "index.parquet")
    west, south, east, north = everything.total_bounds
    part = geopandas.read_parquet(rest / "index.parquet", bbox=(west, south, (west + east) / 2, north))
    assert 0 < len(part) < len(everything)


def test_a_published_folder_can_be_published_on(rest: Path, tmp_path: Path) -> None:
    found = published(rest, tmp_path / "on")
    assert found.rows == manifest_of(rest)["counts"]["kept"]
    assert verify(tmp_path / "on") == []
    assert manifest_of(tmp_path / "on")["published"]["left_out"] == manifest_of(rest)["published"]["left_out"]
    with pytest.raises(DatasetError, match=r"has no rejected\.parquet"):
        published(tmp_path / "on", tmp_path / "further", with_rejected=True)


def test_a_damaged_published_file_is_found(rest: Path, tmp_path: Path) -> None:
    published(rest, tmp_path / "on")
    (tmp_path / "on/NOTICE").write_text("nothing to see")
    assert [finding.where for finding in verify(tmp_path / "on")] == ["NOTICE"]


def test_synthetic_imagery_says_so_everywhere(synthetic_dataset: Path, tmp_path: Path) -> None:
    published(synthetic_dataset, tmp_path / "hub", allowed=("unstated",))
    published(synthetic_dataset, tmp_path / "seven", allowed=("unstated",), form="git10m")
    published(synthetic_dataset, tmp_path / "tars", allowed=("unstated",), form="webdataset")
    for folder in (tmp_path / "hub", tmp_path / "seven", tmp_path / "tars"):
        assert "> **Synthetic.**" in (folder / "README.md").read_text()
        assert (folder / "NOTICE").read_text().splitlines()[2].startswith("Synthetic:")
        assert json.loads((folder / "collection.json").read_text())["description"].startswith("Synthetic imagery")
        assert geopandas.read_parquet(folder / "scenes.parquet")["git10m:synthetic"].all()
    for folder in (tmp_path / "hub", tmp_path / "seven"):
        said = json.loads((folder / "croissant.json").read_text())
        assert said["description"].startswith("Synthetic imagery") and "synthetic" in said["keywords"]
    schema = pq.read_schema(next((tmp_path / "seven/data").glob("*.parquet")))
    assert json.loads(schema.metadata[b"git10m"]) == {"synthetic": True}


def test_an_unfinished_or_older_dataset_is_not_published(mixed_dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match=r"cannot read manifest\.json"):
        published(tmp_path / "empty", tmp_path / "out")
    for change, error, words in (
        (lambda path: (path / "index.parquet").unlink(), DatasetError, "not finished"),
        (older, VerificationError, "missing"),
    ):
        copy = tmp_path / words.replace(" ", "-")
        link(mixed_dataset, copy)
        change(copy)
        with pytest.raises(error, match=words):
            publish(copy, open_target(str(tmp_path / "out"), dataset=copy), wanted=Publication(**FREE), check=verify)
    assert not (tmp_path / "out").exists()


def link(dataset: Path, copy: Path) -> None:
    import shutil

    shutil.copytree(dataset, copy, ignore=shutil.ignore_patterns("work", "report.html"))


def older(folder: Path) -> None:
    """Take away a column, as a version had it that did not know it yet."""
    manifest = manifest_of(folder)
    for name in ("data/train-00000-of-00001.parquet", "index.parquet"):
        table = pq.read_table(folder / name).drop_columns(["captions", "enhanced"])
        pq.write_table(table, folder / name)
        content = (folder / name).read_bytes()
        manifest["files"][name] |= {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_a_dataset_without_places_has_no_scenes(tmp_path: Path) -> None:
    from dataclasses import replace

    from small_dataset import Contents, small_contents, without_place, write_dataset

    rows = [
        replace(without_place(row), img_name=f"odd name {i}.jpg", licence="CC BY 4.0", split="train", acquired_at=None)
        for i, row in enumerate(small_contents().rows[:9])
    ]
    dataset = write_dataset(tmp_path / "dataset", Contents(rows), synthetic=False)
    for form in ("hub", "git10m", "webdataset"):
        published(dataset, tmp_path / form, form=form, name='Ünplaced "set" {1}')
        assert not (tmp_path / form / "scenes.parquet").exists()
        said = json.loads((tmp_path / form / "collection.json").read_text())
        assert said["extent"] == {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[None, None]]}}
        assert said["license"] == "CC-BY-4.0" and said["description"].endswith("No row has a place.")
        assert "spatialCoverage" not in (tmp_path / "hub/croissant.json").read_text()
        card = pytest.importorskip("huggingface_hub").DatasetCard.load(tmp_path / form / "README.md")
        assert card.data.pretty_name == 'Ünplaced "set" {1}'


def test_scenes_across_the_antimeridian_stay_narrow(tmp_path: Path) -> None:
    from small_dataset import Contents, block, write_dataset

    contents = Contents()
    for lon in (179.8, -179.999):
        block(contents, lon=lon, lat=-16.5, level=12, side=2, source_id="south")
    dataset = write_dataset(tmp_path / "dataset", contents, synthetic=False)
    published(dataset, tmp_path / "out")
    frame = geopandas.read_parquet(tmp_path / "out/scenes.parquet")
    assert len(frame) == 1 and frame.geometry[0].geom_type == "MultiPolygon"
    assert frame.geometry[0].area < 0.2


def test_every_column_has_a_meaning_in_croissant(whole: Path) -> None:
    fields = json.loads((whole / "croissant.json").read_text())["recordSet"][1]["field"]
    assert {field["name"] for field in fields} == set(records.columns())
    assert all(field["description"] for field in fields)
