"""Facts of the images of UCM-Captions, by the class of each; by hand, as such places are."""

# ruff: noqa: E501 - a table

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["UCM_CLASSES", "facts_of_class", "incompatible", "names_its_class", "ucm_sentences"]

_PLACES: Mapping[str, tuple[str, str, str, str]] = {
    # class: (land cover, objects, words one of which a sentence needs to speak of it, what of it others may lack)
    "agricultural": ("Cropland", "farmland", "farmland cropland", "crops"),
    "airplane": ("Built-up Grassland", "airport,runway,building,primary road,parking lot", "airplane plane airport", "airport"),
    "baseballdiamond": ("Grassland Built-up Bare", "baseball field,building,primary road", "baseball", "pitch"),
    "beach": ("Permanent-water-bodies Bare", "beach,coastline", "sea waves beach", "water"),
    "buildings": ("Built-up Tree-cover Grassland", "building,residential road,parking lot,swimming pool", "building buildings", "built"),
    "chaparral": ("Shrubland Bare", "", "chaparral", "shrub"),
    "denseresidential": ("Built-up Tree-cover", "house,residential road,residential area,swimming pool", "residential houses", "built"),
    "forest": ("Tree-cover", "", "forest", "trees"),
    "freeway": ("Built-up Grassland Tree-cover Bare", "motorway,bridge", "freeway freeways", "road"),
    "golfcourse": ("Grassland Tree-cover Bare", "golf course,pond", "golf", "golf"),
    "harbor": ("Permanent-water-bodies Built-up", "marina,harbour,pier", "harbor boats dock", "water"),
    "intersection": ("Built-up Grassland Tree-cover", "primary road,house,building,tennis court,parking lot", "intersection road roads", "road"),
    "mediumresidential": ("Built-up Tree-cover Grassland", "house,residential road,residential area,swimming pool", "residential houses", "built"),
    "mobilehomepark": ("Built-up Tree-cover", "house,residential road,parking lot", "mobile", "built"),
    "overpass": ("Built-up Grassland Tree-cover", "motorway,bridge,primary road", "overpass road roads", "road"),
    "parkinglot": ("Built-up", "parking lot,primary road,building", "parking", "parking"),
    "river": ("Permanent-water-bodies Tree-cover Grassland", "river,primary road,house", "river", "water"),
    "runway": ("Built-up Grassland", "runway,airport", "runway runways", "airport"),
    "sparseresidential": ("Built-up Tree-cover Cropland Bare", "house,residential road,swimming pool", "villa house residential", "built"),
    "storagetanks": ("Built-up Grassland Bare", "storage tank,industrial area,primary road", "storage tank tanks", "tanks"),
    "tenniscourt": ("Built-up Tree-cover Grassland", "tennis court,house,residential road,swimming pool,parking lot,stadium", "tennis", "pitch"),
}  # fmt: skip
UCM_CLASSES = tuple(_PLACES)
"""In the order of the set's images, a hundred each."""

_THINGS: Mapping[str, tuple[str, ...]] = {
    "crops": ("agricultural", "sparseresidential"),
    "airport": ("airplane", "runway"),
    "pitch": ("baseballdiamond", "tenniscourt", "intersection"),
    "water": ("beach", "harbor", "river", "golfcourse"),
    "built": tuple(name for name, place in _PLACES.items() if "Built-up" in place[0] or "house" in place[1]),
    "shrub": ("chaparral",),
    "trees": tuple(name for name, place in _PLACES.items() if "Tree-cover" in place[0]),
    "road": tuple(name for name, place in _PLACES.items() if "road" in place[1] or "motorway" in place[1] or name == "runway"),
    "golf": ("golfcourse",),
    "parking": tuple(name for name, place in _PLACES.items() if "parking" in place[1]),
    "tanks": ("storagetanks",),
}  # fmt: skip


def facts_of_class(name: str) -> dict[str, Any]:
    """Return facts of an image of a class."""
    cover, objects, _, _ = _PLACES[name]
    classes = [each.replace("-", " ") if each != "Built-up" else each for each in cover.split()]
    share = round(1.0 / len(classes), 4)
    return {
        **{"platform": "aerial", "sensor": None, "date": None, "season": None, "place": None, "areas": None},
        "relief": None,
        "land_cover": [{"name": each, "share": share, "part": None} for each in classes],
        "objects": [{"kind": kind, "count": None, "name": None, "part": None} for kind in objects.split(",") if kind],
    }


def incompatible(said: str, shown: str) -> bool:
    """Tell whether what makes up one class is missing in another."""
    return shown not in _THINGS[_PLACES[said][3]]


def names_its_class(sentence: str, name: str) -> bool:
    """Tell whether a sentence speaks of what makes up a class."""
    return bool(set(_PLACES[name][2].split()) & set(sentence.lower().split()))


def ucm_sentences(folder: Path) -> list[tuple[str, str, str]]:
    """Return (class, split, sentence) of every sentence of UCM-Captions."""
    images = json.loads((folder / "captions/ucm_captions_dataset.json").read_text(encoding="utf-8"))["images"]
    return [
        (UCM_CLASSES[number // 100], image["split"], sentence["raw"])
        for number, image in enumerate(images)
        for sentence in image["sentences"]
    ]
