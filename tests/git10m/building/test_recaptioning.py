"""`git10m caption`: captions of a finished dataset anew, whatever interrupts it, and nothing else changes."""

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small_imagery import built, command, promised, small_units, write_recipe, write_scene

from git10m import records
from git10m.building.recaptioning import recaption
from git10m.building.rewording import rewording_of
from git10m.report import summarise
from git10m.shards import data_files, file_sha256
from git10m.verify import verify

SHORT_TOO = '[captions]\nlengths = ["short", "long"]\nseed = 7\n'


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished dataset of some shards, captioned by template."""
    folder = tmp_path_factory.mktemp("whole")
    write_scene(folder / "imagery/a.tif", size=900)
    write_recipe(folder / "recipe.toml", more="[output]\nshard_rows = 5\nrow_group_rows = 3")
    with small_units():
        built(folder, folder / "dataset")
    return folder / "dataset"


@pytest.fixture
def dataset(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "dataset"))


def again(folder: Path, said: str | None = None, **options: Any) -> dict[str, Any]:
    recipe = None
    if said is not None:
        recipe = folder.parent / "captions.toml"
        recipe.write_text(said)
    return recaption(folder, rewording_of(folder, recipe=recipe, **options))


def column(folder: Path, name: str) -> list[Any]:
    found: list[Any] = pq.read_table(folder / "index.parquet", columns=[name])[name].to_pylist()
    return found


@pytest.mark.parametrize("work", [True, False])
def test_an_unchanged_recipe_gives_the_same_bytes_also_from_the_rows_alone(work: bool, dataset: Path) -> None:
    before = promised(dataset)
    if not work:
        shutil.rmtree(dataset / "work")
    again(dataset)
    assert promised(dataset) == before
    assert verify(dataset) == []


def test_another_recipe_changes_captions_and_nothing_else(dataset: Path, whole: Path) -> None:
    shutil.rmtree(dataset / "work")
    manifest = again(dataset, SHORT_TOO)
    for old, new in zip(data_files(whole), data_files(dataset), strict=True):
        one, other = pq.read_table(old), pq.read_table(new)
        changed = {name for name in one.column_names if one[name] != other[name]}
        assert changed == {"caption", "caption_length", "captions"}
        assert pq.read_schema(old).metadata == pq.read_schema(new).metadata
    assert all(
        len(each) == 2 and each[0] == first
        for each, first in zip(*(column(dataset, name) for name in ("captions", "caption")), strict=True)
    )
    assert manifest["recipe"]["captions"] == {"lengths": ["short", "long"], "seed": 7}
    assert manifest["captions"]["several"] == 2 * manifest["counts"]["kept"]
    assert manifest["fingerprint"] != json.loads((whole / "manifest.json").read_text())["fingerprint"]
    assert verify(dataset) == []


def test_it_is_the_dataset_that_a_build_of_that_recipe_makes(dataset: Path, whole: Path, tmp_path: Path) -> None:
    again(dataset, SHORT_TOO)
    shutil.copytree(whole.parent / "imagery", tmp_path / "other/imagery")
    write_recipe(tmp_path / "other/recipe.toml", more=SHORT_TOO + "[output]\nshard_rows = 5\nrow_group_rows = 3")
    with small_units():
        manifest = built(tmp_path / "other", tmp_path / "other/dataset")
        assert manifest is not None
        for path in data_files(tmp_path / "other/dataset"):
            assert file_sha256(path) == file_sha256(dataset / "data" / path.name)
        assert built(tmp_path / "other", dataset) == json.loads((dataset / "manifest.json").read_text()), "as it is"
    assert json.loads((dataset / "manifest.json").read_text())["fingerprint"] == manifest["fingerprint"]


class Struck(BaseException):
    """The process is gone."""


def test_struck_before_any_file_it_goes_on_and_never_calls_a_mixture_good(
    whole: Path, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every file is renamed into place; the run is struck before the first such rename, the second, and so on."""
    replace, before = Path.replace, captions_of(dataset)
    again(dataset, SHORT_TOO)
    wanted, after, strike = promised(dataset), captions_of(dataset), 0
    while True:
        folder = Path(shutil.copytree(whole, tmp_path / f"struck-{strike}"))
        renames = 0

        def striking(self: Path, target: Path, at: int = strike) -> Path:
            nonlocal renames
            renames += 1
            if renames > at:
                raise Struck
            return replace(self, target)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", striking)
            try:
                again(folder, SHORT_TOO)
                break
            except Struck:
                pass
        if captions_of(folder) not in (before, after):
            assert verify(folder), f"a mixture is called good (strike {strike})"
        if strike % 4 == 3:
            again(folder, SHORT_TOO)
            assert promised(folder) == wanted
            assert verify(folder) == []
        shutil.rmtree(folder)
        strike += 1
    assert strike > 10


def captions_of(folder: Path) -> list[str]:
    return [
        text for path in data_files(folder) for text in pq.read_table(path, columns=["caption"])["caption"].to_pylist()
    ]


def test_an_interrupted_run_is_called_unfinished_by_name(dataset: Path) -> None:
    manifest = json.loads((dataset / "manifest.json").read_text())
    (dataset / "manifest.json").write_text(json.dumps({"unfinished": "git10m caption", **manifest}))
    assert "git10m caption was interrupted" in str(verify(dataset)[0])
    again(dataset)
    assert verify(dataset) == []


def test_a_dataset_of_an_older_version_becomes_one_of_this(dataset: Path, whole: Path) -> None:
    """Columns that it lacks are null where nothing tells them; reports read it as it is."""
    shutil.rmtree(dataset / "work")
    for path in [*data_files(dataset), dataset / "index.parquet"]:
        table = pq.read_table(path).drop_columns(["caption_flags", "enhanced", "similarity_clip"])
        fewer = pa.struct([field for field in records.FACTS if field.name not in {"objects", "relief"}])
        at = table.schema.get_field_index("caption_facts")
        pq.write_table(table.set_column(at, "caption_facts", table["caption_facts"].cast(fewer)), path)
    assert summarise(dataset)["captions"]
    assert any("columns differ" in finding.what for finding in verify(dataset))
    again(dataset)
    assert verify(dataset) == []
    for old, new in zip(data_files(whole), data_files(dataset), strict=True):
        assert pq.read_table(new).to_pylist() == pq.read_table(old).to_pylist()


def test_captions_that_came_with_an_image_stay_unless_asked(dataset: Path) -> None:
    path = data_files(dataset)[0]
    table = pq.read_table(path)
    for name, value in (("caption", "A field by a river."), ("caption_length", 5), ("caption_source", "given")):
        values = [value, *table[name].to_pylist()[1:]]
        at = table.schema.get_field_index(name)
        table = table.set_column(at, table.schema.field(at), pa.array(values, type=records.columns()[name].type))
    pq.write_table(table, path)
    again(dataset, SHORT_TOO)
    assert column(dataset, "caption")[0] == "A field by a river."
    assert column(dataset, "caption_source")[0] == "given"
    again(dataset, SHORT_TOO, replace_given=True)
    assert column(dataset, "caption_source")[0] == "template"
    assert verify(dataset) == []


def test_no_captions_at_all(dataset: Path) -> None:
    manifest = again(dataset, writer="none")
    assert set(column(dataset, "caption")) == {None}
    assert manifest["captions"]["without"] == manifest["counts"]["kept"]
    assert verify(dataset) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--writer", "gpt"], "captions.writer = 'gpt'"),
        (["--writer", "openai"], "needs the table [captions.openai]"),
        (["--writer", "transformers"], "needs the table [captions.transformers]"),
        (["--facts", "old"], "expected keep or new"),
        (["--recipe", "nowhere.toml"], "cannot read the recipe"),
        (["--export-batch", "batch"], "batch files are for"),
    ],
)
def test_wrong_requests(arguments: list[str], said: str, dataset: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = promised(dataset)
    answer = command(capfd, "caption", dataset, *arguments)
    assert answer.code == 2
    assert said in answer.err
    assert "Traceback" not in answer.err
    assert promised(dataset) == before


def test_a_folder_that_is_no_dataset(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert "no such folder" in command(capfd, "caption", tmp_path / "nowhere").err
    answer = command(capfd, "caption", tmp_path)
    assert answer.code == 2
    assert "manifest.json" in answer.err
    assert list(tmp_path.iterdir()) == []
