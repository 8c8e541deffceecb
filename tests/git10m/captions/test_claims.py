"""Captions claim nothing that their facts do not hold, as read back by a grammar of its own (`caption_claims`).

Facts are those of real tiles where real vectors are at hand; what no real file tells (a WorldCover-coded raster, an
extract of OpenStreetMap, a DEM) is made in the real format, here and in `made_layers`.
"""

from __future__ import annotations

import random
from datetime import date
from pathlib import Path
from typing import Any

import geopandas
import pytest
from caption_claims import claims, lies
from made_layers import FULL_FACTS, NO_FACTS, world_of_layers

from git10m.captions.facts import FactFinder, Subject
from git10m.captions.template import MAX_SHORT_WORDS, MAX_WORDS, MIN_WORDS, caption
from git10m.captions.vocabulary import KINDS
from git10m.grid import Tile
from git10m.recipe import Areas, Captions, Objects

TILE = Tile(16, 33767, 23000)


def lies_of(text: str, facts: dict[str, Any], tile: Tile = TILE, *, synthetic: bool = False) -> list[str]:
    gsd_m = tile.gsd_m(256)
    return lies(text, facts, gsd_m=gsd_m, side_m=256 * gsd_m, level=tile.level, synthetic=synthetic)


def test_a_caption_is_read_back_whole() -> None:
    text = (
        "A Landsat 8 satellite view at about 1.6 metres per pixel, taken on 31 August 2020, in summer, and centred in "
        "Burgundy, about 12 km north-east of Dole, France. Forest covers about 60 percent of the scene, followed by "
        "fields (about 25 percent, mostly in the north-west). There is a river (Le Doubs), two lakes (among them Lac "
        "Bleu, mostly in the centre) and about 350 buildings. The ground is sloping, between about 210 and 400 metres "
        "above sea level."
    )
    told = claims(text)
    assert sorted(claim.about for claim in told if claim.about != "class") == [
        *("area", "date", "gsd", "heights", "noun", "object", "object", "object", "season", "slope", "town"),
    ]
    what = {claim.about: claim.what for claim in told}
    assert what["noun"] == ("Landsat 8 satellite view",)
    assert what["date"] == (date(2020, 8, 31),)
    assert what["town"] == (12.0, "north-east", "Dole, France")
    assert what["heights"] == (210.0, 400.0)
    assert [claim.what for claim in told if claim.about == "object"] == [
        ("river", (1, 1), "Le Doubs", None),
        ("lakes", (2, 2), "Lac Bleu", "centre"),
        ("buildings", (345.0, 355.0), None, None),
    ]
    classes = [claim.what for claim in told if claim.about == "class"]
    assert [(name, part) for name, _, _, part, _ in classes] == [("forest", None), ("fields", "north-west")]
    assert [low for _, low, *_ in classes] == pytest.approx([0.575, 0.225], abs=1e-3)


def varied_facts(seed: int) -> dict[str, Any]:
    """Some of the facts there can be, of every kind of object."""
    draw = random.Random(seed)
    facts = {**NO_FACTS, **{name: value for name, value in FULL_FACTS.items() if draw.random() < 0.6}}
    kinds = draw.sample(list(KINDS.values()), draw.randint(0, 8))
    facts["objects"] = (
        draw.choice([None, []])
        if not kinds
        else [
            {
                "kind": kind.name,
                "count": None if kind.plural is None else draw.choice([1, 1, 2, 7, 13, 48, 347, 5230]),
                "name": draw.choice([None, None, "Saint-Jean", "N 83", "Bois de l'Étang"]),
                "part": draw.choice([None, "north-west", "centre"]),
            }
            for kind in kinds
        ]
    )
    low = draw.choice([-12.3, 0.2, 11.0, 311.4, 2400.0])
    facts["relief"] = draw.choice(
        [
            None,
            {"lowest_m": low, "highest_m": low + draw.choice([0.4, 5.0, 90.0, 800.0]), "slope_deg": draw.random() * 40},
        ]
    )
    if facts["date"] is None:
        facts["season"] = None
    return facts


def test_no_caption_of_any_facts_claims_more_than_they_hold() -> None:
    for seed in range(600):
        facts, synthetic = varied_facts(seed), seed % 5 == 0
        tile = Tile(16, 33760 + seed % 9, 23000 + seed % 7)
        for length, most in (("long", MAX_WORDS), ("short", MAX_SHORT_WORDS)):
            text = caption(
                facts,
                tile=tile,
                tile_size=256,
                synthetic=synthetic,
                key=str(seed),
                captions=Captions(),
                length=length,  # type: ignore[arg-type]
            )
            assert lies_of(text, facts, tile, synthetic=synthetic) == [], (text, facts)
            assert MIN_WORDS <= len(text.split()) <= most, text


# --- planted lies ----------------------------------------------------------------------------------------------------

TRUE = "This satellite image was taken on 31 August 2020, in summer."


@pytest.mark.parametrize(
    "lie",
    [
        "The image was taken on 31 August 2021, in summer.",
        "The image was taken on 31 August 2020, in winter.",
        "The centre lies about 12 km south-east of Dole, France.",
        "The centre lies about 19 km north-east of Dole, France.",
        "The centre lies about 12 km north-east of Dijon, France.",
        "The centre lies in Alsace.",
        "Each pixel spans about 3 metres of ground.",
        "At zoom level 15, the tile is about 420 metres on a side.",
        "At zoom level 16, the tile is about 840 metres on a side.",
        "Fields cover about 60 percent of the scene.",
        "Forest covers about 75 percent of the scene.",
        "Forest dominates the scene, covering about 60 percent of it.",
        "Forest covers about 60 percent of the scene, mostly in the centre.",
        "The rest includes snow (about 5 percent).",
        "The rest includes fields (about 25 percent, mostly in the south-east).",
        "There is a lake (Lac Rouge) in the north-west.",
        "There is a lake in the north-east.",
        "There are two lakes (mostly in the north-west).",
        "The scene shows a harbour.",
        "The scene shows about 400 buildings (mostly in the south-east).",
        "About 350 buildings (mostly in the north-west) are visible in the tile.",
        "The scene shows about 350 houses (mostly in the south-east).",
        "The tile holds a river (Le Rhin).",
        "The ground lies between about 210 and 700 metres above sea level.",
        "The ground lies between about 210 and 400 metres below sea level.",
        "The ground is very steep, between about 210 and 400 metres above sea level.",
        "The ground lies between about 210 and 400 metres above sea level, with a mean slope of about 12 degrees.",
        "An aerial image at about 1.6 metres per pixel.",
        "The scene likely shows a river.",
        "A river winds through the fields.",
        "There are no buildings.",
    ],
)
def test_planted_lies_are_found(lie: str) -> None:
    assert lies_of(f"{TRUE} {lie}", FULL_FACTS) != []
    assert lies_of(TRUE, FULL_FACTS) == []


# --- real tiles ------------------------------------------------------------------------------------------------------


def captions_of(tiles: list[Tile], captions: Captions, **more: Any) -> list[tuple[str, str, dict[str, Any], Tile]]:
    """(long, short, facts, tile) of real places."""
    subjects = [Subject(tile, 256, **more) for tile in sorted(tiles, key=lambda tile: (tile.level, tile.quadkey))]
    found = FactFinder(captions).find(subjects)

    def written(facts: dict[str, Any], tile: Tile, length: Any) -> str:
        return caption(
            facts, tile=tile, tile_size=256, synthetic=False, key=tile.name, captions=captions, length=length
        )

    return [
        (written(facts, subject.tile, "long"), written(facts, subject.tile, "short"), facts, subject.tile)
        for facts, subject in zip(found, subjects, strict=True)
    ]


def assert_true(told: list[tuple[str, str, dict[str, Any], Tile]]) -> None:
    for long, short, facts, tile in told:
        assert lies_of(long, facts, tile) == [], long
        assert lies_of(short, facts, tile) == [], short


def test_captions_of_real_tiles_with_real_vectors_claim_only_what_is_there(imagery: Path) -> None:
    """OSM-tagged buildings of Atlanta over the scene that they were drawn for, and real outlines of states."""
    vectors = imagery / "vectors"
    captions = Captions(
        objects=(Objects(path=str(vectors / "solaris__geotiff_labels.geojson")),),
        areas=(Areas(path=str(vectors / "opengeos__us_states.geojson")),),
    )
    west, south, east, north = geopandas.read_file(captions.objects[0].path).to_crs(4326).total_bounds
    tiles = []
    for level in (20, 19, 18, 17):
        first, last = Tile.from_lonlat(west, north, level), Tile.from_lonlat(east, south, level)
        tiles += [Tile(level, x, y) for x in range(first.x, last.x + 1) for y in range(first.y, last.y + 1)]
    told = captions_of(tiles, captions, acquired_at=None, platform="aerial", sensor=None, synthetic=False)
    assert_true(told)
    with_buildings = [text for text, _, facts, _ in told if facts["objects"]]
    assert len(with_buildings) >= 100
    assert any("building" in text for text in with_buildings)


def test_captions_of_a_made_town_with_every_kind_of_fact_claim_only_what_is_there(tmp_path: Path) -> None:
    """A WorldCover-coded raster, an ``.osm.pbf`` and a DEM, all made, over 600 tiles of six levels."""
    captions, tiles = world_of_layers(tmp_path)
    told = captions_of(tiles, captions, acquired_at=None, platform="satellite", sensor="Sentinel-2", synthetic=False)
    assert_true(told)
    lengths = [len(long.split()) for long, *_ in told]
    assert 45 <= sum(lengths) / len(lengths) <= 60
    assert min(lengths) >= MIN_WORDS and max(lengths) <= MAX_WORDS
    assert len({long for long, *_ in told}) > 0.97 * len(told)
    assert sum(bool(facts["objects"]) for _, _, facts, _ in told) > 300
    assert sum(facts["relief"] is not None for _, _, facts, _ in told) > 300
