"""Captions read as English, say nothing but the facts, and every number in them is checked against its fact."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
from datetime import date
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from git10m import records
from git10m.captions.cover_text import cover_sentences, percentages, spoken_class
from git10m.captions.template import MAX_SHORT_WORDS, MAX_WORDS, MIN_WORDS, VERSION, caption
from git10m.captions.wording import Draw, article, distance, is_plural, joined, length
from git10m.grid import Tile
from git10m.recipe import Captions

NOTHING: dict[str, Any] = {field.name: None for field in records.FACTS}
TILE = Tile.from_lonlat(5.49, 47.09, 16)
HEDGES = re.compile(
    r"\b(?:likely|unlikely|possibl[ey]|probabl[ey]|perhaps|maybe|may|might|could|can|would|seems?|seemingly|"
    r"appears?|appearing|apparent(?:ly)?|suggest\w*|indicat\w*|presumabl[ey]|potential(?:ly)?|assum\w*|"
    r"resembl\w*|typical(?:ly)?|some kind|sort of)\b"
)
DIRECTIONS = ["north", "north-east", "east", "south-east", "south", "south-west", "west", "north-west"]
PARTS = ["north-west", "north-east", "south-west", "south-east", "centre"]
CLASSES = [
    "forest",
    "fields",
    "water",
    "built-up land",
    "Snow and ice",
    "Bare / sparse vegetation",
    "Trees",
    "Built-up",
]
MONTHS = [date(2000, month, 1).strftime("%B") for month in range(1, 13)]

towns = st.builds(
    lambda name, country, km, way: {
        "name": name,
        "country": country,
        "distance_km": km,
        "direction": way if km > 1 else None,
    },
    st.sampled_from(["Dole", "Saint-Louis", "28 May", "Villa Alberto Andrés Alvarado Arámburo"]),
    st.sampled_from([None, "France", "The Netherlands"]),
    st.floats(0.0, 100.0),
    st.sampled_from(DIRECTIONS),
)


@st.composite
def land_covers(draw: st.DrawFn) -> list[dict[str, Any]] | None:
    names = draw(st.lists(st.sampled_from(CLASSES), unique=True, max_size=6))
    weights = [draw(st.floats(0.02, 1.0)) ** 2 for _ in names]
    known = draw(st.sampled_from([1.0, 1.0, 0.8]))
    shares = [round(known * weight / sum(weights), 4) for weight in weights]
    listed = [
        {"name": name, "share": share, "part": draw(st.sampled_from([None, *PARTS])) if share < 0.4 else None}
        for name, share in zip(names, shares, strict=True)
        if share >= 0.01
    ]
    return sorted(listed, key=lambda entry: -entry["share"]) or None


any_facts = st.fixed_dictionaries(
    {
        "platform": st.sampled_from([None, "satellite", "aerial"]),
        "sensor": st.sampled_from([None, "Landsat 8", "NAIP", "Sentinel-2", "HLS"]),
        "date": st.none() | st.dates(date(1972, 1, 1), date(2030, 1, 1)),
        "season": st.sampled_from([None, "winter", "spring", "summer", "autumn"]),
        "place": st.none() | towns,
        "areas": st.none() | st.just([]) | st.just([{"layer": "regions", "name": "Burgundy"}]),
        "land_cover": land_covers(),
    }
)
any_tiles = st.integers(9, 20).flatmap(
    lambda level: st.builds(Tile, st.just(level), *[st.integers(1 << level - 3, (7 << level - 3) - 1)] * 2)
)


def write(facts: dict[str, Any], *, key: str = "a", **options: Any) -> str:
    settings = {"tile": TILE, "tile_size": 256, "synthetic": False, "captions": Captions(), **options}
    return caption({**NOTHING, **facts}, key=key, **settings)


def metres(number: str, unit: str) -> float:
    return float(number) * (1000.0 if unit == "km" else 1.0)


def unexplained_numbers(text: str, facts: dict[str, Any], tile: Tile, tile_size: int) -> str:
    """Check every number of a caption against its fact; return what is left, in which no digit should be."""
    gsd_m = tile.gsd_m(tile_size)
    shares: dict[str, float] = {}
    for entry in facts["land_cover"] or ():
        name = spoken_class(entry["name"])
        shares[name] = shares.get(name, 0.0) + entry["share"]

    def checked(pattern: str, holds: Any) -> None:
        nonlocal text
        for match in re.finditer(pattern, text):
            assert holds(*match.groups()), (match.group(), text)
        text = re.sub(pattern, "CHECKED", text)

    # Before names are taken out, for a place may be called "28 May".
    checked(
        rf"(\d+) ({'|'.join(MONTHS)}) (\d{{4}})",
        lambda day, month, year: facts["date"] == date(int(year), MONTHS.index(month) + 1, int(day)),
    )
    names: list[str | None] = [facts["sensor"], (facts["place"] or {}).get("name")]
    for name in filter(None, names):
        text = text.replace(name, "NAME")
    number, unit = r"about (\d+(?:\.\d+)?)", r"(metres?|km)"
    per_pixel = lambda n, u: metres(n, u) == pytest.approx(gsd_m, rel=0.051)  # noqa: E731
    side = lambda n, u: metres(n, u) == pytest.approx(gsd_m * tile_size, rel=0.051)  # noqa: E731
    checked(rf"{number} {unit} per pixel", per_pixel)
    checked(rf"pixels of {number} {unit}", per_pixel)
    checked(rf"each pixel spans {number} {unit}", per_pixel)
    checked(rf"Each pixel spans {number} {unit}", per_pixel)
    checked(rf"{number} {unit} (?:on a side|wide and high|on each side)", side)
    checked(r"zoom level (\d+)", lambda n: int(n) == tile.level)
    checked(
        rf"{number} km ({'|'.join(sorted(DIRECTIONS, key=len, reverse=True))}) of",
        lambda n, way: (
            float(n) == pytest.approx(facts["place"]["distance_km"], abs=0.501) and way == facts["place"]["direction"]
        ),
    )
    # In the template's sentences a number follows the class that it is of, or comes before it.
    percents = [int(n) for n in re.findall(r"[Aa]bout (\d+) percent", text)]
    ordered = sorted(shares.values(), reverse=True)
    for percent, share in zip(percents, ordered, strict=False):
        assert percent == pytest.approx(100.0 * share, abs=2.501 if share >= 0.1 else 1.001), text
    places = {name: text.lower().find(name) for name in shares if name in text.lower()}
    told = sorted(places, key=lambda name: places[name])
    assert all(shares[left] >= shares[right] for left, right in itertools.pairwise(told)), text
    assert sum(percents) <= 100
    assert len(percents) <= len(ordered)
    checked(r"[Aa]bout (\d+) percent", lambda n: int(n) in percents)
    return text


def test_a_place_may_be_called_like_a_date() -> None:
    place = {"name": "28 May", "country": None, "distance_km": 0.0, "direction": None}
    facts = {**NOTHING, "date": date(2000, 5, 28), "place": place}
    text = write(facts, tile=TILE)
    assert "28 May" in text
    assert not re.search(r"\d", unexplained_numbers(text, facts, TILE, 256))


@settings(max_examples=400, deadline=None)
@given(facts=any_facts, tile=any_tiles, tile_size=st.sampled_from([256, 512]), synthetic=st.booleans(), key=st.text())
def test_captions_hold_their_promises(
    facts: dict[str, Any], tile: Tile, tile_size: int, synthetic: bool, key: str
) -> None:
    text = write(facts, tile=tile, tile_size=tile_size, synthetic=synthetic, key=key)
    assert MIN_WORDS <= len(text.split()) <= MAX_WORDS
    assert not HEDGES.search(text)
    assert not re.search(r"\d", unexplained_numbers(text, facts, tile, tile_size))
    assert ("synthetic" in text) == synthetic
    # Sentences: a capital at the start, one full stop at the end, single spaces, no stray marks.
    assert re.fullmatch(r"(?:[A-Z].*?[^ ,;]\.)(?: [A-Z].*?[^ ,;]\.)*", text)
    assert not re.search(r"  | [,.;)]|\( |,,|\.\.|None|\ba [aeio]|\ban [^aeioAEIOHLS]", text)
    words = [word.lower() for word in re.findall(r"[^\W\d]+|\d+\.?\d*", text)]
    assert all(left != right for left, right in itertools.pairwise(words))


@settings(max_examples=100, deadline=None)
@given(facts=any_facts, key=st.text())
def test_only_facts_are_named(facts: dict[str, Any], key: str) -> None:
    text = write(facts, key=key)
    spoken = [spoken_class(entry["name"]) for entry in facts["land_cover"] or ()]
    for name in {spoken_class(name) for name in CLASSES} - set(spoken):
        assert name not in text.lower()
    for word, fact in (("Burgundy", facts["areas"]), ("km north", facts["place"]), ("taken", facts["date"])):
        assert fact or word not in text
    season = facts["season"] if facts["date"] else None
    assert set(re.findall("winter|spring|summer|autumn", text)) <= {season}


def test_the_same_tile_always_reads_the_same() -> None:
    program = (
        "from git10m.captions.template import caption\n"
        "from git10m.grid import Tile\n"
        "from git10m.recipe import Captions\n"
        "facts = dict(platform='aerial', sensor='NAIP', date=None, season=None, place=None, areas=None,\n"
        "    land_cover=[dict(name='forest', share=0.5, part=None), dict(name='fields', share=0.5, part=None)])\n"
        "where = dict(tile=Tile(16, 33767, 23000), tile_size=256, synthetic=False)\n"
        "print(caption(facts, **where, key='k', captions=Captions()))"
    )
    runs = {
        subprocess.run(
            [sys.executable, "-c", program], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("0", "1")
    }
    assert len(runs) == 1
    assert "NAIP aerial " in runs.pop()


RICH: dict[str, Any] = {
    "platform": "satellite",
    "sensor": "Landsat 8",
    "date": date(2020, 8, 31),
    "season": "summer",
    "place": {"name": "Dole", "country": "France", "distance_km": 12.2, "direction": "north-east"},
    "areas": [{"layer": "regions", "name": "Burgundy"}],
    "land_cover": [
        {"name": "forest", "share": 0.61, "part": None},
        {"name": "fields", "share": 0.27, "part": "north-west"},
        {"name": "water", "share": 0.12, "part": "centre"},
    ],
}


@pytest.mark.parametrize("length", ["long", "short"])
@pytest.mark.parametrize("mention", [(), ("platform",), ("resolution",), ("objects",), Captions().mention])
def test_no_tile_reads_like_one_beside_it(mention: Any, length: Any) -> None:
    """Whatever the facts: tiles that share an edge or a corner begin in different ways."""
    side = range(8)
    tiles = {(x, y): Tile(16, 33760 + x, 23000 + y) for x in side for y in side}
    captions = Captions(mention=mention)
    facts = {**RICH, "objects": [{"kind": "lake", "count": 1, "name": None, "part": None}], "relief": None}
    texts = {at: write(facts, tile=tile, key=tile.name, captions=captions, length=length) for at, tile in tiles.items()}
    for (x, y), text in texts.items():
        beside = [texts.get((x + i, y + j)) for i in (-1, 0, 1) for j in (-1, 0, 1) if (i, j) != (0, 0)]
        assert text not in beside


def test_neighbours_with_the_same_facts_rarely_read_alike() -> None:
    texts = [write(RICH, key=f"16_33767_{row}") for row in range(300)]
    assert sum(left == right for left, right in itertools.pairwise(texts)) <= 1
    assert len(set(texts)) > 150
    openings = {text.split(" is ")[0].split(" covers ")[0].split(",")[0] for text in texts}
    assert len(openings) >= 6
    mean = sum(len(text.split()) for text in texts) / len(texts)
    assert 45 <= mean <= 60


def test_the_seed_changes_the_wording() -> None:
    assert len({write(RICH, captions=Captions(seed=seed)) for seed in range(20)}) > 15


@pytest.mark.parametrize(
    ("kind", "present", "absent"),
    [
        ("resolution", "per pixel|pixel spans|pixels of", "Landsat|Dole|2020|forest"),
        ("platform", "Landsat 8 satellite", "metre|km|zoom|Dole|2020|forest"),
        ("place", "in Burgundy, about 12 km north-east of Dole, France", "metre|zoom|Landsat|2020|forest"),
        ("date", "31 August 2020", "metre|km|zoom|Landsat|Dole|forest"),
        ("land_cover", "[Ff]orest", "metre|km|zoom|Landsat|Dole|2020"),
    ],
)
def test_a_caption_speaks_only_of_the_kinds_it_may(kind: Any, present: str, absent: str) -> None:
    for key in map(str, range(20)):
        text = write(RICH, key=key, captions=Captions(mention=(kind,)))
        assert re.search(present, text)
        assert not re.search(absent, text)


def test_without_any_fact_it_is_still_a_sentence_and_true() -> None:
    silent = Captions(mention=())
    texts = {write(RICH, captions=silent, tile=Tile(16, x, y)) for x in (33766, 33767) for y in (23000, 23001)}
    assert len(texts) == 4
    for text in texts:
        assert re.fullmatch(
            r"(?:This is an overhead (?:image|picture|view)\.|This overhead .+ shows ground from above, .+\.)"
            r"(?: (?:It|What it) .+ one square tile of the map, seen from above\.)?",
            text,
        )
    computed = write(RICH, captions=silent, synthetic=True)
    assert "synthetic overhead" in computed
    assert "seen from above" not in computed or "computed as if" in computed


def test_the_country_is_the_towns_and_is_not_said_twice() -> None:
    town = {"name": "Delft", "country": "The Netherlands", "distance_km": 0.4, "direction": None}
    assert "within about a kilometre of Delft, the Netherlands" in write({"place": town})
    assert "about 3.5 km west of Singapore" in write(
        {"place": {"name": "Singapore", "country": "Singapore", "distance_km": 3.4, "direction": "west"}}
    )
    areas = [{"layer": "countries", "name": "France"}, {"layer": "parks", "name": "Jura Park"}]
    text = write({"place": {**town, "country": "France"}, "areas": areas})
    assert "in France and in Jura Park, within about a kilometre of Delft" in text
    assert text.count("France") == 1


def test_computed_imagery_is_never_taken_or_somewhere() -> None:
    for key in map(str, range(40)):
        text = write(RICH, key=key, synthetic=True)
        assert re.search("synthetic Landsat 8 satellite (?:image|picture|view)", text)
        assert "Burgundy" not in text or "placed on the map in Burgundy" in text
        assert "2020" not in text or "dated 31 August 2020, in summer" in text
        assert not re.search("taken|centred", text)


@settings(max_examples=300, deadline=None)
@given(facts=any_facts, tile=any_tiles, synthetic=st.booleans(), key=st.text())
def test_short_captions_are_one_or_two_sentences(facts: dict[str, Any], tile: Tile, synthetic: bool, key: str) -> None:
    text = write(facts, tile=tile, synthetic=synthetic, key=key, length="short")
    assert MIN_WORDS <= len(text.split()) <= MAX_SHORT_WORDS
    assert not HEDGES.search(text)
    assert not re.search(r"\d", unexplained_numbers(text, facts, tile, 256))
    assert ("synthetic" in text) == synthetic
    assert 1 <= len(re.findall(r"\.(?: |$)", text)) <= 2
    assert re.fullmatch(r"(?:[A-Z].*?[^ ,;]\.)(?: [A-Z].*?[^ ,;]\.)?", text)


def test_long_class_names_cost_the_smallest_classes_first() -> None:
    cover = [
        {"name": f"{letter} {'very ' * 25}mixed ground", "share": 0.25, "part": None} for letter in ("a", "b", "c", "d")
    ]
    text = write({"land_cover": cover})
    assert len(text.split()) <= MAX_WORDS
    assert text.endswith(".")
    assert "A very" in text or " a very" in text
    assert "d very" not in text


# --- words -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "plural"),
    [
        *(("forest", False), ("fields", True), ("water", False), ("grass", False), ("snow and ice", True)),
        *(("permanent water bodies", True), ("bodies of water", True), ("bare or sparse vegetation", False)),
        *(("orchards with trees", True), ("built-up land", False), ("grass with crops", False)),
    ],
)
def test_verbs_agree_with_the_class(name: str, plural: bool) -> None:
    assert is_plural(name) == plural


def test_class_names_are_made_to_fit_a_sentence() -> None:
    given_names = [
        "Tree cover",
        "Built-up",
        "Bare / sparse vegetation",
        "SNOW",
        "bare_ground",
        "Shrub & scrub",
        "urban",
    ]
    assert [spoken_class(name) for name in given_names] == [
        "tree cover",
        "built-up land",
        "bare or sparse vegetation",
        "SNOW",
        "bare ground",
        "shrub and scrub",
        "urban land",
    ]


def test_two_spellings_of_a_class_are_one() -> None:
    cover = [
        {"name": "Built-up", "share": 0.45, "part": None},
        {"name": "fields", "share": 0.3, "part": None},
        {"name": "built-up land", "share": 0.25, "part": "centre"},
    ]
    text = " ".join(cover_sentences(cover, Draw("a"), ground="the scene", most=2))
    assert text.lower().count("built-up land") == 1
    assert "about 70 percent" in text


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        *(("aerial image", "an"), ("NAIP aerial image", "a"), ("HLS image", "an"), ("S2 image", "an")),
        *(("Umbra image", "an"), ("UAV image", "a"), ("synthetic image", "a"), ("uncrewed image", "an")),
    ],
)
def test_articles_follow_the_sound(words: str, expected: str) -> None:
    assert article(words) == expected


def test_numbers_are_rounded_and_units_are_singular_for_one() -> None:
    assert [length(m) for m in (0.149, 0.597, 1.02, 2.36, 611.5, 996.0, 1223.0, 39_136.0)] == [
        *("0.15 metres", "0.6 metres", "1 metre", "2.4 metres", "610 metres", "1 km", "1.2 km", "39 km"),
    ]
    assert [distance(km) for km in (1.2, 3.4, 9.8, 12.4, 99.6)] == ["1 km", "3.5 km", "10 km", "12 km", "100 km"]
    assert [joined(list(items)) for items in ("a", "ab", "abc")] == ["a", "a and b", "a, b and c"]


@given(weights=st.lists(st.floats(0.001, 1.0), min_size=1, max_size=8), known=st.floats(0.5, 1.0))
@example(weights=[0.90625, 0.71875, 0.28125, 0.2734375, 0.16796875, 0.16796875, 0.0625], known=1.0)
def test_percentages_do_not_contradict_each_other(weights: list[float], known: float) -> None:
    shares = sorted((known * weight / sum(weights) for weight in weights), reverse=True)
    shares = [share for share in shares if share >= 0.01]
    numbers = percentages(shares)
    assert sum(numbers) <= 100
    assert numbers == sorted(numbers, reverse=True)
    assert all(abs(number - 100 * share) <= 2.5 for number, share in zip(numbers, shares, strict=True))
    assert all(abs(number - 100 * share) <= 1.0 for number, share in zip(numbers, shares, strict=True) if share < 0.1)
    assert all(number < 100 or share > 0.99 for number, share in zip(numbers, shares, strict=True))


def test_the_version_is_a_word() -> None:
    assert re.fullmatch(r"[\w.]+", VERSION)
