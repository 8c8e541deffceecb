"""The pages and recipes of ``pipelines/``: what they show can be used as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from git10m.errors import RecipeError
from git10m.recipe import parse_recipe

FOLDER = Path(__file__).parents[1] / "pipelines"
RECIPES = sorted(path for path in FOLDER.glob("*.toml") if "[[source]]" in path.read_text(encoding="utf-8"))
PAGES = sorted(FOLDER.glob("*.md"))


def variables(text: str) -> dict[str, str]:
    """A value for every ``${NAME}`` of a text."""
    known = {"url": "https://tiles.example.org/{z}/{x}/{y}.jpg", "server": "http://localhost:8000/v1"}
    return {name: known.get(name, "value") for name in re.findall(r"\$\{(\w+)\}", text)}


def blocks(page: Path) -> list[str]:
    """The TOML examples of a page."""
    return re.findall(r"^```toml\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_is_one(path: Path):
    text = path.read_text(encoding="utf-8")
    assert parse_recipe(text, name=path.name, variables=variables(text)).source


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_every_example_of_a_page_is_a_recipe_or_part_of_one(page: Path):
    for block in blocks(page):
        whole = block
        if not re.search(r"^name\s*=", block.partition("\n[")[0] if not block.startswith("[") else "", re.MULTILINE):
            whole = f'name = "example"\n{block}'
        if "[[source]]" not in block:
            whole += '\n[[source]]\nid = "some"\npath = "some.tif"\n'
        try:
            parse_recipe(whole, name=page.name, variables=variables(whole))
        except RecipeError as error:
            raise AssertionError(f"{page.name}: {error}\n{block}") from error


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_links_of_a_page_lead_somewhere(page: Path):
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert "://" in target or (page.parent / target).exists(), target
