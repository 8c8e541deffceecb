"""Named sources of imagery."""

from __future__ import annotations

import pytest
from made_rasters import source

from git10m import catalog
from git10m.catalog import entries, fill_from_catalog, load_entry
from git10m.errors import RecipeError


@pytest.mark.parametrize("name", entries())
def test_every_entry_is_complete(name: str):
    entry = load_entry(name)
    assert entry.title
    assert entry.licence
    assert entry.attribution
    assert entry.terms.startswith("https://")
    assert entry.levels[0] <= entry.levels[1]


def test_the_first_entries_are_there():
    assert {"naip", "sentinel-2-l2a", "landsat-c2-l2"} <= set(entries())


def test_an_unknown_name_names_the_nearest():
    with pytest.raises(RecipeError, match=r"catalog = 'sentinel2': no such entry; did you mean 'sentinel-2-l2a'\?"):
        load_entry("sentinel2")
    with pytest.raises(RecipeError, match=r"no such entry; known: .*naip"):
        load_entry("zzz")


def test_an_entry_that_is_malformed_is_named(tmp_path, monkeypatch):
    (tmp_path / "mine.toml").write_text("title = 'x'\nbandz = [1]\n", encoding="utf-8")
    monkeypatch.setattr(catalog, "catalog_folder", lambda: tmp_path)
    with pytest.raises(RecipeError, match=r"catalogs/mine\.toml: "):
        load_entry("mine")


def test_a_source_takes_from_its_entry_what_it_does_not_say():
    filled = fill_from_catalog(source("x", catalog="sentinel-2-l2a", attribution="Ours"))
    assert filled.bands == (4, 3, 2)
    assert filled.scale == (0.0, 3000.0)
    assert filled.platform == "satellite"
    assert filled.attribution == "Ours"
    assert filled.path == "x"


def test_what_a_source_says_itself_stays():
    said = source("x", catalog="naip", bands=["*_r.tif", "*_g.tif", "*_b.tif"], licence="CC0-1.0")
    filled = fill_from_catalog(said)
    assert filled.bands == said.bands
    assert filled.licence == "CC0-1.0"
    assert filled.platform == "aerial"


def test_a_source_without_an_entry_is_left_alone():
    plain = source("x")
    assert fill_from_catalog(plain) is plain
