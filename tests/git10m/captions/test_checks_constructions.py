"""Ways of saying that the blind sets and their like taught: each as it is true, and as the facts contradict it."""

from __future__ import annotations

from typing import Any

import pytest

from git10m.captions.checks import check
from git10m.recipe import CaptionChecks

CLAIMS = CaptionChecks(use=("contradiction",))
WOODED = {"Tree cover": 0.8, "Cropland": 0.2}
ARABLE = {"Cropland": 0.9, "Tree cover": 0.1}
BUILT = {"Built-up": 1.0}
STEEP = {"lowest_m": 300.0, "highest_m": 900.0, "slope_deg": 19.0}
LEVEL = {"lowest_m": 3.0, "highest_m": 9.0, "slope_deg": 0.1}


def facts(cover: dict[str, float], *kinds: str | tuple[str, int] | tuple[str, int, str], **more: Any) -> dict[str, Any]:
    """Facts of a tile: shares by class, kinds of object with their counts and parts, and what else is known."""
    things = [(kind,) if isinstance(kind, str) else kind for kind in kinds]
    return {
        "land_cover": [{"name": name, "share": share, "part": None} for name, share in cover.items()],
        "objects": [
            dict(zip(("kind", "count", "part"), (*thing, None, None)[:3], strict=True)) | {"name": None}
            for thing in things
        ],
    } | more


HOUSES = ("house", 40)
SAID = {
    "A track meanders across the fields and a brook drains into a pond.": (
        facts(ARABLE, "farmland", "track", "stream", ("pond", 1)),
        facts(WOODED, "forest", "track"),
    ),
    "Nothing has been built here.": (facts(ARABLE, "farmland"), facts(ARABLE, "farmland", HOUSES)),
    "There are no houses, only crops.": (facts(ARABLE, "farmland"), facts(ARABLE, "farmland", HOUSES)),
    "Of railways there is no trace; a railway station is absent too.": (
        facts(ARABLE, "farmland"),
        facts(ARABLE, "farmland", "railway"),
    ),
    "No road leads into the wood, and no other buildings than these barns are seen. Most of it is trees.": (
        facts(WOODED, "forest", ("farm building", 3), "minor road"),
        facts(ARABLE, "farmland", ("farm building", 3)),
    ),
    "A church stands on the square.": (facts(BUILT, ("church", 1), HOUSES), facts(BUILT, ("building", 40))),
    "A cluster of greenhouses in the bottom right corner is visible.": (
        facts(ARABLE, ("greenhouse", 9, "south-east")),
        facts(ARABLE, ("greenhouse", 9, "north-west")),
    ),
    "A lake, its shore lined by reeds, occupies the western third.": (
        facts({"Permanent water bodies": 0.3, "Grassland": 0.7}, ("lake", 1, "north-west")),
        facts({"Permanent water bodies": 0.3, "Grassland": 0.7}, ("lake", 1, "south-east")),
    ),
    "Forest, thinned in places, with a few rides, makes up four fifths of the tile.": (
        facts(WOODED, "forest", "track"),
        facts(ARABLE, "forest", "track"),
    ),
    "Nearly all of the surface is built over.": (facts(BUILT, HOUSES), facts(WOODED | {"Built-up": 0.0}, HOUSES)),
    "Fifty-five houses stand along the road.": (
        facts(BUILT, ("house", 52), "residential road"),
        facts(BUILT, ("house", 12), "residential road"),
    ),
    "The terrain is uniformly low and flat.": (facts(ARABLE, relief=LEVEL), facts(ARABLE, relief=STEEP)),
    "The highest point reaches 900 metres.": (
        facts(WOODED, relief=STEEP),
        facts(WOODED, relief=STEEP | {"highest_m": 1800.0}),
    ),
    "The season is summer.": (facts(ARABLE, season="summer"), facts(ARABLE, season="winter")),
    "A Norwegian coastal village.": (
        facts(BUILT | {"Permanent water bodies": 0.0}, "coastline", place={"country": "Norway", "name": "Bodø"}),
        facts(BUILT, "coastline", place={"country": "Chile", "name": "Castro"}),
    ),
    "A power line crosses the fields.": (facts(ARABLE, "farmland"), facts({"Permanent water bodies": 1.0})),
}


@pytest.mark.parametrize("caption", SAID)
def test_is_no_fault_where_it_is_true(caption: str):
    assert check(caption, facts=SAID[caption][0], rules=CLAIMS) == ()


@pytest.mark.parametrize("caption", SAID)
def test_is_found_where_the_facts_contradict_it(caption: str):
    assert check(caption, facts=SAID[caption][1], rules=CLAIMS)
