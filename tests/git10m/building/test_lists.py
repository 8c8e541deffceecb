"""A build from a table of addresses: downloaded by img2dataset, accounted for by us."""

from __future__ import annotations

import csv
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from rude_server import Answer, RudeServer, image
from small_imagery import command, total

from git10m.grid import Tile

Capture = pytest.CaptureFixture[str]

pytestmark = pytest.mark.skipif(
    find_spec("img2dataset") is None, reason="img2dataset is not installed: pip install 'git10m[img2dataset]'"
)


def rows(folder: Path) -> list[dict[str, Any]]:
    return [row for file in sorted((folder / "data").glob("*.parquet")) for row in pq.read_table(file).to_pylist()]


def written(folder: Path, url: str, count: int) -> Path:
    """A table of images with captions, places and dates, and its recipe."""
    with (folder / "list.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["url", "caption", "tile", "date"])
        for i in range(count):
            tile = Tile(15, 17000 + i, 11000)
            table.writerow([f"{url}/{i}.jpg?key=SECRET", f"Field number {i}.", tile.name, "2021-07-01"])
    recipe = folder / "recipe.toml"
    recipe.write_text(
        f'name = "listed"\n[[source]]\nid = "web"\nkind = "weblist"\npath = "{folder / "list.csv"}"\n'
        'contact = "me@example.org"\nlicence = "CC-BY-4.0"\nretries = 0\n'
        'columns = { Google_location = "tile", acquired_at = "date" }\n',
        encoding="utf-8",
    )
    return recipe


def test_a_list_becomes_a_dataset_and_what_failed_is_tried_again_alone(tmp_path: Path, capfd: Capture):
    broken = {"/3.jpg": Answer(503), "/5.jpg": Answer(200, b"<html>"), "/7.jpg": Answer(404)}
    mended = False

    def manner(path: str, _: int) -> Answer | bytes:
        name = path.partition("?")[0]
        if name in broken and not (mended and name == "/3.jpg"):
            return broken[name]
        return image(1 + int(name[1:-4]) % 11)  # the twelfth is the first again

    with RudeServer(manner) as server:
        recipe = written(tmp_path, server.url, 12)
        first = command(capfd, "build", recipe, "-o", tmp_path / "d", "--workers", 1, "--json")
        assert first.code == 0, first.err
        counts = first.json["counts"]
        assert counts["planned"] == 12 == total(counts)
        assert (counts["kept"], sum(counts["failed"].values())) == (8, 3)
        assert counts["dropped"] == {"exact_duplicate": 1}
        mended = True
        asked = Counter(each.path.partition("?")[0] for each in server.log)
        again = command(capfd, "build", recipe, "-o", tmp_path / "d", "--workers", 1, "--retry-failed", "--json")
        assert again.code == 0, again.err
        more = Counter(each.path.partition("?")[0] for each in server.log) - asked
        assert set(more) <= set(broken)
        assert more["/3.jpg"] == 1
    assert again.json["counts"]["kept"] == 9
    checked = command(capfd, "verify", tmp_path / "d", "--workers", 1)
    assert checked.code == 0, checked.err
    found = {row["caption"]: row for row in rows(tmp_path / "d")}
    row = found["Field number 4."]
    assert row["image"]["bytes"] == image(5)
    assert row["Google_location"] == Tile(15, 17004, 11000).name
    assert row["level"] == 15
    assert str(row["acquired_at"].date()) == "2021-07-01"
    assert (row["caption_source"], row["licence"]) == ("given", "CC-BY-4.0")
    rejected = pq.read_table(tmp_path / "d/rejected.parquet").to_pylist()
    assert len(rejected) == 3
    assert any("404" in (row["detail"] or "") for row in rejected)
    texts = [
        file
        for file in (tmp_path / "d").rglob("*")
        if file.is_file() and "work" not in file.relative_to(tmp_path / "d").parts and b"SECRET" in file.read_bytes()
    ]
    assert texts == []


def test_a_list_of_nothing_but_dead_addresses_is_told(tmp_path: Path, capfd: Capture):
    recipe = written(tmp_path, "http://127.0.0.1:9", 4)
    ended = command(capfd, "build", recipe, "-o", tmp_path / "d", "--workers", 1)
    assert ended.code == 1
    assert "4" in ended.err
    assert "Traceback" not in ended.err
