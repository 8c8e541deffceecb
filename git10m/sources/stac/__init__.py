"""STAC: the items of an API, a static catalog, a file of items or stac-geoparquet, as scenes.

transport     catalogs' documents read from paths, http(s) and s3, with retries and errors that say what to do
searching     an API asked by region, date, collection and cloud cover, page by page
crawling      static catalogs, followed from link to link
geoparquet    tables of items
finding       which items are wanted, in which order; the answer kept, so that a resumed build sees the same
assets        which asset holds which band, and in which units its values are
scenes        from items to scenes, without opening an asset where the item says enough
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from git10m.recipe import StacSource
from git10m.sources.stac.scenes import FoundScene, scene_of

__all__ = ["FoundScene", "stac_scenes"]


def stac_scenes(source: StacSource, *, area: Any, store: Path) -> list[FoundScene]:
    """Find the items of a source and describe them as scenes, the best by ``choose`` first.

    What a remote catalog answers is kept in ``store``; the same question is answered from there from then on.

    Args:
        source: Of the recipe, with an absolute path or an address.
        area: Area of interest in degrees; None: everywhere, which a catalog allows and an API does not.
        store: Folder for answers; it exists.

    Raises:
        RecipeError: If the recipe asks for what the catalog does not have.
        SourceError: If the catalog cannot be read.
    """
    from git10m.sources.stac.finding import find_items  # noqa: PLC0415 - pystac takes a third of a second

    answer = find_items(source, area=area, store=store)
    problems = [FoundScene(problem.name, "", None, problem.error) for problem in answer.problems]
    times = Counter(item["id"] for item in answer.items())
    found = []
    for item in answer.items():
        collection = str(item.get("collection"))
        name = item["id"] if times[item["id"]] == 1 else f"{collection}/{item['id']}"
        found.append(scene_of(source, item, answer.collections.get(collection, {}), name=name))
    return found + problems
