"""Named sources of imagery."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from git10m import catalog
from git10m.catalog import entries, fill_from_catalog, load_entry
from git10m.errors import RecipeError
from git10m.recipe import parse_recipe
from git10m.sources.forbidden import FORBIDDEN

KINDS = ("raster", "stac", "xyz", "wmts", "archive")
WAYS = [(name, kind) for name in entries() for kind in KINDS if getattr(load_entry(name), kind) is not None]


def test_the_sources_of_a_regional_rebuilder_are_there():
    assert set(entries()) >= {
        "esa-worldcover",
        "landsat-c2-l2",
        "naip",
        "nasa-gibs",
        "openaerialmap",
        "pnoa",
        "sentinel-1",
        "sentinel-2-l2a",
        "swissimage",
    }


@pytest.mark.parametrize("name", entries())
def test_every_entry_is_complete(name: str):
    entry = load_entry(name)
    assert entry.title
    assert entry.licence
    assert entry.attribution
    assert entry.terms.startswith("https://")
    assert entry.levels[0] <= entry.levels[1]
    assert getattr(entry, entry.kind) is not None
    assert entry.terms_read is not None or "still to be checked" in entry.note


@pytest.mark.parametrize(("name", "kind"), WAYS, ids=[f"{name}-{kind}" for name, kind in WAYS])
def test_every_way_to_every_entry_makes_a_source(name: str, kind: str):
    said = 'contact = "me@example.org"\n' if kind in {"xyz", "wmts"} else ""
    said += 'path = "some.tif"\n' if kind == "raster" and "path" not in (load_entry(name).raster or {}) else ""
    own = f'name = "x"\n[[source]]\nid = "own"\npath = "some.tif"\n[[source]]\nid = "it"\ncatalog = "{name}"\n'
    found = parse_recipe(f'{own}kind = "{kind}"\n{said}').source[1]
    assert found.kind == kind
    assert found.licence
    assert found.attribution
    assert not found.levels or set(found.levels) <= set(
        range(load_entry(name).levels[0], load_entry(name).levels[1] + 1)
    )


@pytest.mark.parametrize(("name", "kind"), WAYS, ids=[f"{name}-{kind}" for name, kind in WAYS])
def test_no_entry_leads_to_a_basemap_that_forbids_it(name: str, kind: str):
    for value in getattr(load_entry(name), kind).values():
        if isinstance(value, str) and "://" in value:
            host = urlsplit(value).hostname or ""
            assert not any(host == domain or host.endswith(f".{domain}") for domain in FORBIDDEN)


@pytest.mark.parametrize("name", ["sentinel-2-l2a", "sentinel-1", "landsat-c2-l2", "naip"])
def test_a_mission_needs_its_name_and_a_region_alone(name: str):
    text = f'name = "x"\n[region]\nbbox = [14, 50, 15, 51]\n[[source]]\nid = "it"\ncatalog = "{name}"\n'
    (found,) = parse_recipe(text).source
    assert found.kind == "stac"
    assert found.bands
    assert found.collection


def test_the_table_of_the_page_is_that_of_the_files():
    page = (Path(__file__).parents[2] / "pipelines/catalogs.md").read_text(encoding="utf-8")
    for name in entries():
        entry = load_entry(name)
        kinds = ", ".join(kind for kind in KINDS if getattr(entry, kind) is not None)
        assert f"| `{name}` | {kinds} | {entry.levels[0]}–{entry.levels[1]} | {entry.licence} |" in page


def test_an_unknown_name_names_the_nearest():
    with pytest.raises(RecipeError, match=r"catalog = 'sentinl-2-l2a': no such entry; did you mean 'sentinel-2-l2a'\?"):
        load_entry("sentinl-2-l2a")
    with pytest.raises(RecipeError, match=r"no such entry; known: .*naip"):
        load_entry("zzz")


def test_an_entry_that_is_malformed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "mine.toml").write_text("title = 'x'\nbandz = [1]\n", encoding="utf-8")
    monkeypatch.setattr(catalog, "catalog_folder", lambda: tmp_path)
    with pytest.raises(RecipeError, match=r"catalogs/mine\.toml: "):
        load_entry("mine")


def filled(**said: Any) -> dict[str, Any]:
    return fill_from_catalog({"id": "it", **said})


def test_a_source_takes_from_its_entry_what_it_does_not_say():
    local = filled(path="x", catalog="sentinel-2-l2a", attribution="Ours")
    assert (local["kind"], local["bands"], local["scale"]) == ("raster", [4, 3, 2], [0, 3000])
    assert (local["platform"], local["attribution"], local["path"]) == ("satellite", "Ours", "x")
    remote = filled(catalog="sentinel-2-l2a", max_cloud=5)
    assert (remote["kind"], remote["max_cloud"], remote["collection"]) == ("stac", 5, "sentinel-2-l2a")


def test_what_a_source_says_itself_stays():
    own = ["*_r.tif", "*_g.tif", "*_b.tif"]
    found = filled(path="x", catalog="naip", bands=own, licence="CC0-1.0")
    assert (found["bands"], found["licence"], found["platform"]) == (own, "CC0-1.0", "aerial")


def test_a_source_without_an_entry_is_left_alone():
    assert filled(path="x") == {"id": "it", "path": "x"}


def test_a_way_that_an_entry_does_not_know_is_told():
    with pytest.raises(RecipeError, match=r"'naip' says nothing of kind = 'wmts'; it knows raster, stac"):
        filled(catalog="naip", kind="wmts")


def test_the_files_are_toml_and_nothing_else():
    for file in catalog.catalog_folder().iterdir():
        assert file.suffix == ".toml"
        assert tomllib.loads(file.read_text(encoding="utf-8"))
