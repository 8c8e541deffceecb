"""Vectors that users bring along: whose they are, what is wrong with them, and that they are read but once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from git10m.curation.vectors import VectorFiles, find_vectors, gather_vectors, write_vectors
from git10m.errors import RecipeError


def drawn(count: int, width: int = 8, *, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32)


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def written(path: Path, vectors: object, *, names: list[str] | None = None, key: str = "img_name") -> Path:
    names = names if names is not None else [f"{i}.jpg" for i in range(len(vectors))]  # type: ignore[arg-type]
    pq.write_table(pa.table({key: names, "embedding": vectors}), path, row_group_size=3)
    return path


@pytest.mark.parametrize("number", ["float16", "float32", "float64"])
@pytest.mark.parametrize("kind", ["list", "large_list", "fixed"])
def test_vectors_are_found_by_their_key_whatever_their_type(tmp_path: Path, number: str, kind: str):
    vectors = drawn(10).astype(number)
    value = pa.from_numpy_dtype(vectors.dtype)
    types = {"list": pa.list_(value), "large_list": pa.large_list(value), "fixed": pa.list_(value, 8)}
    column = pa.array(list(vectors), type=types[kind])
    files = find_vectors(str(written(tmp_path / "v.parquet", column, names=[f"{i}.jpg" for i in range(10)])))
    given = gather_vectors(files, folder=tmp_path / "store")
    found = given.find(["7.jpg", "nowhere.jpg", None, "0.jpg"])
    assert (given.key, given.count, given.dimensions) == ("img_name", 10, 8)
    np.testing.assert_allclose(found[[0, 3]], unit(vectors.astype(np.float32))[[7, 0]], atol=1e-3)
    assert np.isnan(found[[1, 2]]).all()


def test_several_files_are_one_and_are_sorted_once(tmp_path: Path):
    written(tmp_path / "a.parquet", list(drawn(5)), names=[f"a{i}" for i in range(5)], key="sha256")
    written(tmp_path / "b.parquet", list(drawn(4, seed=1)), names=[f"b{i}" for i in range(4)], key="sha256")
    files = find_vectors(str(tmp_path / "*.parquet"))
    first = gather_vectors(files, folder=tmp_path / "store")
    stamp = (tmp_path / "store/given.npy").stat().st_mtime_ns
    again = gather_vectors(files, folder=tmp_path / "store")
    assert again == first
    assert (tmp_path / "store/given.npy").stat().st_mtime_ns == stamp
    np.testing.assert_allclose(first.find(["b3"])[0], unit(drawn(4, seed=1))[3], atol=1e-3)
    written(tmp_path / "b.parquet", list(drawn(4, seed=2)), names=[f"b{i}" for i in range(4)], key="sha256")
    assert gather_vectors(files, folder=tmp_path / "store").digest != first.digest


def test_faulty_vectors_are_counted_and_named(tmp_path: Path):
    vectors = drawn(9)
    vectors[4, 2], vectors[7] = np.nan, 0.0
    path = written(tmp_path / "v.parquet", list(vectors))
    with pytest.raises(RecipeError, match=r"hold NaN, .* e\.g\. of img_name 4\.jpg"):
        gather_vectors(find_vectors(str(path)), folder=tmp_path / "store")
    written(path, [*drawn(4), drawn(1, 5)[0]])
    with pytest.raises(RecipeError, match=r"of one length; that of img_name 4\.jpg is not"):
        gather_vectors(find_vectors(str(path)), folder=tmp_path / "store")
    written(path, [*drawn(4), None])
    with pytest.raises(RecipeError, match=r"that of img_name 4\.jpg is not"):
        gather_vectors(find_vectors(str(path)), folder=tmp_path / "store")
    written(path, list(drawn(2)), names=["14_1_2", "14_1_2"], key="Google_location")
    with pytest.raises(RecipeError, match="a key must name one image"):
        gather_vectors(find_vectors(str(path)), folder=tmp_path / "store")
    assert not (tmp_path / "store/given.json").exists()


def test_files_without_vectors_are_told_in_words(tmp_path: Path):
    pq.write_table(pa.table({"name": ["a"], "vector": [[1.0]]}), tmp_path / "v.parquet")
    with pytest.raises(RecipeError, match="has the columns name, vector; embeddings need a column embedding"):
        find_vectors(str(tmp_path / "v.parquet"))
    (tmp_path / "v.parquet").write_text("nothing")
    with pytest.raises(RecipeError, match="cannot be read as a parquet file"):
        find_vectors(str(tmp_path / "v.parquet"))
    with pytest.raises(RecipeError):
        find_vectors(str(tmp_path / "none.parquet"))
    pq.write_table(pa.table({"img_name": pa.array([], pa.string()), "embedding": pa.array([], pa.list_(pa.float32()))}),
                   tmp_path / "v.parquet")  # fmt: skip
    with pytest.raises(RecipeError, match="holds no vector"):
        gather_vectors(find_vectors(str(tmp_path / "v.parquet")), folder=tmp_path / "store")


def test_rows_are_read_from_the_files_of_their_units(tmp_path: Path):
    parts = [drawn(4), drawn(6, seed=1)]
    parts[1][2] = np.nan
    for number, part in enumerate(parts):
        write_vectors(tmp_path / f"{number}.npy", part)
    unit_of, position = np.array([1, 0, 1, 0]), np.array([5, 3, 2, 0])
    vectors = VectorFiles([tmp_path / "0.npy", tmp_path / "1.npy"], unit_of, position)
    assert vectors.known().tolist() == [True, True, False, True]
    expected = unit(np.stack([parts[1][5], parts[0][3], parts[0][0]]))
    np.testing.assert_allclose(vectors.take(np.array([0, 1, 3])), expected, atol=1e-3)
