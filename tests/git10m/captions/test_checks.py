"""Flags of captions: what hedges, what is no English prose, and what the facts do not hold; and what only seems so."""

# ruff: noqa: E501 - tables of captions

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import date
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from git10m import recipe, records
from git10m.captions.checks import Flag, Ground, check, looked_for
from git10m.captions.checks.knowledge import concepts_named, cover_kinds
from git10m.captions.vocabulary import KINDS
from git10m.recipe import CaptionChecks

NOTHING: dict[str, Any] = {field.name: None for field in records.FACTS}
RULES = CaptionChecks()


def flags(caption: str, *use: str, facts: Mapping[str, Any] | None = None, **more: Any) -> list[str]:
    rules = RULES if not use else CaptionChecks(use=use)  # type: ignore[arg-type]
    return [str(flag) for flag in check(caption, facts=facts, rules=rules, **more)]


def covered(*classes: tuple[str, float] | tuple[str, float, str]) -> dict[str, Any]:
    """Facts with a land cover."""
    cover = [{"name": name, "share": share, "part": part[0] if part else None} for name, share, *part in classes]
    return NOTHING | {"land_cover": cover}


def seeing(*kinds: str | tuple[str, int]) -> dict[str, Any]:
    """Facts with objects."""
    listed = [(kind, None) if isinstance(kind, str) else kind for kind in kinds]
    return NOTHING | {"objects": [{"kind": kind, "count": count, "name": None, "part": None} for kind, count in listed]}


def wrong(caption: str, facts: Mapping[str, Any], **more: Any) -> list[str]:
    """Claims of a caption that facts contradict."""
    return [flag.removeprefix("contradiction: ") for flag in flags(caption, "contradiction", facts=facts, **more)]


FOREST = covered(("Tree cover", 0.9), ("Grassland", 0.1))
FIELDS = covered(("Cropland", 0.7, "north-west"), ("Tree cover", 0.3, "south-east"))
TOWN = covered(("Built-up", 0.8), ("Tree cover", 0.2)) | {"objects": seeing("house", "residential road")["objects"]}
LAKE = covered(("Permanent water bodies", 0.6), ("Tree cover", 0.4))


def test_a_flag_reads_as_its_check_and_what_was_found():
    found = check(
        "A lake, likely frozen, fills much of the view, and forest grows on its banks.", facts=FOREST, rules=RULES
    )
    assert found == (
        Flag("hedge", "likely"),
        Flag("contradiction", "lake (not in the land cover)"),
    )
    assert str(found[0]) == "hedge: likely"


# What hedges


@pytest.mark.parametrize(
    ("caption", "hedge"),
    [
        ("The field is likely fallow.", "likely"),
        ("Buildings, possibly barns, stand here.", "possibly"),
        ("A pattern suggesting irrigation is seen.", "suggesting"),
        ("This appears to be a harbour.", "appears to"),
        ("The area seems dry.", "seems"),
        ("It might be a school.", "might be"),
        ("The tanks may hold oil.", "may"),
        ("These could be greenhouses.", "could be"),
        ("Perhaps a road runs here.", "perhaps"),
        ("A path, indicating some use, leads on.", "indicating"),
        ("What looks like a dam closes the valley.", "what looks like"),
        ("There is a structure resembling a silo.", "resembling"),
        ("The May sun is low; the shed may be new.", "may be"),
        ("it may be a farm", "may be"),
        ("Some kind of mine is visible.", "some kind of"),
        ("It is difficult to determine what the site is.", "difficult to determine"),
    ],
)  # fmt: skip
def test_hedges_are_found(caption: str, hedge: str):
    assert flags(caption, "hedge") == [f"hedge: {hedge}"]


@pytest.mark.parametrize(
    "caption",
    [
        "Taken in May 2020, the image is sharp.",
        "The image was taken on 12 May 2020, in spring.",
        "A scene of early May.",
        "this was captured in may, over france",
        "The scene, dated May 3, is bright.",
        "May is the month of this image.",
        "The military might of the fortress impresses.",
        "Its might is plain.",
        "A tile near Could, United States.",
        "The centre lies 4 km north of Likely, United States.",
        "A road appears in the centre and at the left.",
        "Four different kinds of airplanes are parked.",
        "The timestamp indicating 9 o'clock is printed.",
        "Vegetation is sparse in this dry valley.",
        "The tile is about 610 metres on a side, approximately square.",
        "Typical of the season, snow lies in the shade.",
    ],
)
def test_words_in_another_sense_do_not_hedge(caption: str):
    assert flags(caption, "hedge") == []


def test_a_recipe_bans_words_and_allows_hedges():
    rules = CaptionChecks(use=("hedge",), banned=("Picturesque", "a testament to"), allowed=("likely",))
    caption = "The picturesque valley is a testament to time, likely old, possibly older."
    assert [flag.detail for flag in check(caption, facts=None, rules=rules)] == [
        "picturesque",
        "a testament to",
        "possibly",
    ]


def test_a_town_that_is_called_like_a_hedge_is_no_hedge():
    place = {"name": "Likely", "country": "United States", "distance_km": 3.0, "direction": "north"}
    caption = "This image is centred about 3 km north of Likely, United States."
    assert flags(caption, "hedge", facts=NOTHING | {"place": place}) == []


# Length


@pytest.mark.parametrize(
    ("words", "kind", "found"),
    [
        (11, "long", ["length: 11 words, fewer than 12"]),
        (12, "long", []),
        (105, "long", []),
        (106, "long", ["length: 106 words, more than 105"]),
        (2, "short", ["length: 2 words, fewer than 3"]),
        (31, "short", ["length: 31 words, more than 30"]),
        (11, "given", []),
        (0, "given", ["length: 0 words, fewer than 3"]),
    ],
)
def test_length_has_bounds_of_its_own_for_long_short_and_given_captions(words: int, kind: str, found: list[str]):
    assert flags("word " * words, "length", kind=kind) == found


# Language


@pytest.mark.parametrize(
    "caption",
    [
        "Das Bild zeigt einen Fluss und mehrere Felder mit einem kleinen Dorf.",
        "L'image montre une rivière qui traverse la ville et des champs.",
        "La imagen muestra un río que cruza los campos con una ciudad.",
        "A imagem mostra um rio que atravessa os campos e uma cidade.",
        "L'immagine mostra un fiume che attraversa i campi e la città.",
        "De afbeelding toont een rivier en velden met een klein dorp.",
        "Obraz przedstawia rzekę, która przepływa przez pola i miasto.",
        "Bilden visar en flod och fält som ligger vid en liten by.",
        "Gambar ini menunjukkan sungai dan ladang yang luas di kota.",
        "这张卫星图像显示了一条河流和农田。",
        "На снимке видна река и поля вокруг города.",
        "この画像には川と畑が写っています。",
        "تُظهر الصورة نهرًا وحقولًا حول المدينة",
        "lorem ipsum dolor sit amet consectetur adipiscing elit sed eiusmod tempor incididunt",
        "This is a river. Das Bild zeigt auch einen Wald und die Felder daneben.",
    ],
)
def test_other_languages_are_found(caption: str):
    assert len(flags(caption, "language")) == 1


@pytest.mark.parametrize(
    "caption",
    [
        "Buildings and roads .",
        "A road near Київ and 北京 crosses the fields of a small farm.",
        "The tile is centred about 12 km north-east of Rio de Janeiro, Brazil, in La Paz de la Sierra.",
        "Frankfurt am Main and Saint-Germain-en-Laye lie beyond the edge of the image.",
        "many boats at a marina",
        "Green trees, brown fields, blue water.",
        "",
        "???",
    ],
)
def test_english_with_names_of_any_script_is_english(caption: str):
    assert flags(caption, "language") == []


# Repetition


@pytest.mark.parametrize(
    "caption",
    [
        "The image shows the the river.",
        "a river and a river and a river and a river and",
        "There are many trees. The sky is clear. There are many trees.",
        "trees, trees, trees, trees",
        "Green fields and a road in the north, green fields and a road in the north.",
        "Sooooooo many houses are here.",
    ],
)
def test_stuck_writers_are_found(caption: str):
    assert any(flag.startswith("repetition: ") for flag in flags(caption))


def test_lists_with_the_same_words_between_are_no_repetition():
    caption = (
        "Forest covers about 40 percent of the scene, mostly in the north-west. There are also fields (about 20 percent, "
        "mostly in the south-east), water (about 15 percent, mostly in the south-west) and bare land (about 10 percent, "
        "mostly in the centre)."
    )
    assert flags(caption) == []


# Form


@pytest.mark.parametrize(
    ("caption", "what"),
    [
        ('{"caption": "A river."}', "JSON"),
        ("```A river runs here.```", "code fence"),
        ("**A river** runs here.", "markup"),
        ("<p>A river runs here.</p>", "markup"),
        ("As an AI, no image can be seen.", "talk of a model"),
        ("Here is a caption for the image: a river runs.", "address to a reader"),
        ("Sure! A river runs here.", "address to a reader"),
        ("I'm sorry, but this is blank.", "refusal"),
        ("Based on the provided facts, a river runs here.", "talk of the prompt"),
        ("The facts state that 60 percent is forest.", "talk of the prompt"),
        ("A river near [place name].", "placeholder"),
        ("A river runs here.<|im_end|>", "token of a model"),
        ("Caption: a river runs here.", "speaker"),
        ("A river near Caf\u00c3\u00a9 Town.", "letters in a wrong encoding"),
        ("A river\x00 runs here.", "control character"),
        ("A river runs here, and the", "ends at 'the'"),
        ("A river runs here. The fields beside it reach far", "last sentence ends at 'far' without a full stop"),
        ("A river runs here...", "ends in dots"),
        ("Season: none. A river runs here.", "value that is missing"),
    ],
)
def test_remains_of_the_machine_are_found(caption: str, what: str):
    assert f"form: {what}" in flags(caption, "form")


@pytest.mark.parametrize(
    "caption",
    [
        "an aerial view of a baseball diamond",
        'A sign reads "Welcome to Dole."',
        "A river (brown, slow) runs here; fields, 3 x 4, lie beside it.",
        "The image shows given names on the roof & a <1 m wide path.",
        "There is a river .",
        "It was seen at 5 p.m. by a satellite!",
    ],
)
def test_plain_prose_is_no_leak(caption: str):
    assert flags(caption, "form") == []


# Contradictions: what is there


@pytest.mark.parametrize(
    ("caption", "facts", "found"),
    [
        ("A river winds through.", FOREST, ["river (not in the land cover)"]),
        ("A river winds through.", LAKE, []),
        ("A river winds through.", FOREST | seeing("river") | {"land_cover": FOREST["land_cover"]}, []),
        ("A road crosses.", FOREST, []),  # 10 m land cover does not show roads
        ("A pond lies here.", FOREST, []),
        ("Some houses stand here.", FOREST, []),
        ("A road crosses.", seeing(), ["road (not among the objects)"]),
        ("A pond lies here.", seeing("house"), ["pond (not among the objects)"]),
        ("A pond lies here.", seeing("house") | {"land_cover": LAKE["land_cover"]}, []),
        ("A city spreads.", FOREST, ["city (not in the land cover)"]),
        ("A city spreads.", TOWN, []),
        ("A forest stands.", seeing(), []),  # woods are often not mapped as objects
        ("Boats lie in the harbour.", LAKE | {"objects": []}, ["harbour (not among the objects)"]),
        ("Ploughed fields lie here.", covered(("Non-irrigated arable land", 1.0)), []),
        ("Wooded slopes and riverine terraces.", covered(("Shrub/Scrub", 1.0)), ["wooded (not in the land cover)", "riverine (not in the land cover)"]),
        ("Anything: a river, a forest, a city.", NOTHING, []),
        ("A river and a forest.", covered(("Klasse 7", 1.0)), []),  # may be anything
        ("A river and a forest.", covered(("Cropland", 0.6)), []),  # 40 percent are unknown
    ],
)  # fmt: skip
def test_what_is_there(caption: str, facts: Mapping[str, Any], found: list[str]):
    assert wrong(caption, facts) == found


@pytest.mark.parametrize(
    "caption",
    [
        "A sea of houses fills the frame, an ocean of roofs.",
        "The field of view is narrow.",
        "Snow-white and ice-blue tones, forest green shades.",
        "A building with a blue roof and a bay window.",
        "The tile is centred about 12 km north of Salt Lake City, United States.",
        "It lies near Lake Forest, Riverside and Forest Hills.",
        "A dry river bed and a dry lake are pale.",
        "The roof resembles a ship; a boat-shaped hall stands beside it.",
        "About 30 km east of the coast, the town is compact.",
        "A satellite dish stands on the roof.",
        "The streets run like a river.",
        "The image was cropped; parts of the neighbourhood are cut.",
        "In a seasonal haze, houses line the street.",
        "Sea level is far below the town.",
        "Unlike coastal towns, this one lies far from the sea, away from any lake.",
    ],
)
def test_figures_of_speech_and_names_claim_nothing(caption: str):
    assert wrong(caption, TOWN) == []


def test_names_of_the_facts_claim_nothing():
    place = {"name": "Lake Forest", "country": "United States", "distance_km": 4.0, "direction": "north"}
    facts = TOWN | {"place": place, "areas": [{"layer": "parks", "name": "Desert River"}]}
    assert wrong("Lake Forest lies to the south of this town, in Desert River.", facts) == []
    assert wrong("a town near lake forest, in the united states", facts) == []
    assert wrong("A lake lies beside the town.", facts) == ["lake (not in the land cover)"]


@pytest.mark.parametrize(
    ("caption", "found"),
    [
        ("There is no water here.", []),
        ("No rivers, lakes or ponds can be seen.", []),
        ("Neither a lake nor a river is present.", []),
        ("Rivers and lakes are absent.", []),
        ("The land is free of snow and lacks any water.", []),
        ("The land is treeless.", ["no treeless, but 90 % tree cover"]),
        ("There are no trees.", ["no trees, but 90 % tree cover"]),
        ("Trees are nowhere to be seen.", ["no trees, but 90 % tree cover"]),
        ("It is a plain without woods or rivers.", ["no woods, but 90 % tree cover"]),
        ("Not only forest but also grassland is there.", []),
        ("No houses but a lake is there.", ["lake (not in the land cover)"]),
        ("No clouds hide the lake.", ["lake (not in the land cover)"]),
    ],
)
def test_what_is_said_not_to_be_there(caption: str, found: list[str]):
    assert wrong(caption, FOREST) == found


def test_objects_deny_only_what_was_looked_for():
    caption = "A road passes two barns and a stadium."
    assert wrong(caption, seeing("farm building")) == [
        "road (not among the objects)",
        "stadium (not among the objects)",
    ]
    roads = looked_for([recipe.Objects(path="roads.gpkg", kind="primary road")])
    assert wrong(caption, seeing(), ground=Ground(kinds=roads)) == ["road (not among the objects)"]
    osm = looked_for([recipe.Objects(path="a.osm.pbf"), recipe.Objects(path="b.gpkg", kind="building")])
    assert osm is None


def test_a_full_list_of_objects_denies_only_what_would_stand_before_its_last():
    full = seeing(*list(KINDS)[:12])
    assert wrong("A railway runs here.", full) == []
    assert wrong("A glacier and a road.", full) == []
    assert wrong("An airport lies here.", seeing(*list(KINDS)[1:12])) == ["airport (not among the objects)"]


# Contradictions: how much, where, how many


@pytest.mark.parametrize(
    ("caption", "found"),
    [
        ("Cropland covers 70 percent.", []),
        ("About 65% of the scene is cropland.", []),
        ("Cropland covers 20 percent of the scene.", ["20 % cropland (70 % of the land cover)"]),
        ("The view is 80 percent forest.", ["80 % forest (30 % of the land cover)"]),
        ("70% cropland, 30% forest.", []),
        (
            "30% cropland, 70% forest.",
            ["30 % cropland (70 % of the land cover)", "70 % forest (30 % of the land cover)"],
        ),
        ("It is mostly cropland.", []),
        ("The scene is dominated by forest.", ["dominated by forest (30 % of the land cover)"]),
        ("The scene is dominated by fields and forest.", []),
        ("Trees cover the scene almost entirely.", ["entirely trees (30 % of the land cover)"]),
        ("Most of the image is forest.", ["most of forest (30 % of the land cover)"]),
        ("Forest fills half of the tile.", ["half of forest (30 % of the land cover)"]),
        ("Forest makes up about a third of the scene.", []),
        ("The north is dominated by fields.", []),
        ("With 5% cloud cover, fields and forest are clear.", []),
    ],
)
def test_how_much(caption: str, found: list[str]):
    assert wrong(caption, FIELDS) == found


@pytest.mark.parametrize(
    ("caption", "found"),
    [
        ("Cropland lies in the north-west.", []),
        ("Cropland lies in the northern half of the image.", []),
        ("Cropland lies in the upper left corner.", []),
        ("Cropland lies in the south-east.", ["cropland in the south-east (it lies in the north-west)"]),
        ("In the bottom right corner, fields can be seen.", ["fields in the south-east (it lies in the north-west)"]),
        ("Fields lie on the right side, forest on the left side.", ["fields in the east (it lies in the north-west)", "forest in the west (it lies in the south-east)"]),
        ("Fields lie in the north of France.", []),
        ("Fields lie 12 km north-east of Dole.", []),
        ("Fields cover the middle.", []),
        ("Forest is concentrated in the centre.", ["forest in the centre (it lies in the south-east)"]),
    ],
)  # fmt: skip
def test_where(caption: str, found: list[str]):
    assert wrong(caption, FIELDS) == found


@pytest.mark.parametrize(
    ("caption", "found"),
    [
        ("Four houses stand here.", []),
        ("Two large houses stand in the north.", []),
        ("A dozen houses stand here.", ["12 houses (4 among the objects)"]),
        ("Nine houses stand here.", ["9 houses (4 among the objects)"]),
        ("Two houses stand here.", ["2 houses (4 among the objects)"]),
        ("Hundreds of houses stand here.", ["several houses (4 among the objects)"]),
        ("At 10 metres houses are small.", []),
    ],
)
def test_how_many(caption: str, found: list[str]):
    assert wrong(caption, seeing(("house", 4))) == found


# Contradictions: the image itself


TAKEN = NOTHING | {
    "platform": "satellite",
    "sensor": "Sentinel-2",
    "date": date(2020, 8, 31),
    "season": "summer",
    "place": {"name": "Dole", "country": "France", "distance_km": 12.0, "direction": "north-east"},
    "relief": {"lowest_m": 190.0, "highest_m": 230.0, "slope_deg": 1.5},
}


@pytest.mark.parametrize(
    ("caption", "found"),
    [
        ("Taken on 31 August 2020, in summer, near Dole, France.", []),
        ("Taken on August 31st, 2020.", []),
        ("Taken in May 2020.", ["may (date is 2020-08-31)"]),
        ("Taken on 2019-08-31.", ["2019-08-31 (date is 2020-08-31)"]),
        ("A picture of August 2018.", ["2018 (date is 2020-08-31)"]),
        ("The bridge was built in 1998, and March winds blow.", []),
        ("A winter scene.", ["winter (season is summer)"]),
        ("It was taken in early autumn.", []),  # on 31 August that will do
        ("Winter wheat grows beside a spring; the water falls.", []),
        ("Palm Springs and Winter Park are far.", []),
        ("An aerial view of the land.", []),
        ("An aerial photograph of the land.", []),
        ("A photograph of the land, taken from a drone.", ["taken from a drone (platform is satellite)"]),
        ("A Landsat image.", ["landsat (sensor is Sentinel-2)"]),
        ("A Sentinel-2 image at night.", ["night (sensor is Sentinel-2)"]),
        ("The place lies in Germany.", ["germany (the nearest town is in France)"]),
        ("Close to the border with Germany.", []),
        ("In New Mexico, or on the Gulf of Mexico.", []),
        ("The terrain is mountainous.", ["mountainous (mean slope is 2°)"]),
        ("The ground is neither high nor steep, without mountains.", []),
        ("The terrain is flat, at an elevation of 210 m.", []),
        ("The land lies at an elevation of 1,200 m.", ["elevation 1,200 m (it is 190 to 230 m)"]),
        ("At level 16 with 2.4 metres per pixel, the tile is about 420 metres on a side.", []),
        ("At zoom level 14.", ["level 14 (it is 16)"]),
        ("The resolution is 10 m.", ["10 m per pixel (it is 1.6 m)"]),
        ("The image is 5 km across.", ["5 km a side (it is 4.2e+02 m)"]),
    ],
)
def test_the_image_itself(caption: str, found: list[str]):
    assert wrong(caption, TAKEN, ground=Ground(16, 1.63, 256)) == found


def test_tropical_and_undated_images_have_no_season_to_contradict():
    assert wrong("A winter scene of 2011 in May.", NOTHING) == []


# The vocabulary of the facts


def test_every_kind_of_object_speaks_of_something():
    assert [kind for kind in KINDS if not concepts_named(kind)] == []


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("Tree cover", "trees"),
        ("Bare / sparse vegetation", "bare"),
        ("Permanent water bodies", "water"),
        ("Herbaceous wetland", "wetland"),
        ("Mangroves", "mangrove"),
        ("Moss and lichen", "moss"),
        ("Snow and ice", "snow"),
        ("Non-irrigated arable land", "crops"),
        ("Discontinuous urban fabric", "built"),
        ("Developed, Low Intensity", "built"),
        ("Woody Wetlands", "wetland trees"),
        ("Pasture/Hay", "grass crops"),
        ("Glaciers and perpetual snow", "snow"),
        ("Sparsely vegetated areas", "bare"),
        ("BUILT_UP", "built"),
    ],
)
def test_classes_of_any_legend_are_led_back_to_kinds(name: str, kinds: str):
    assert cover_kinds(name) == frozenset(kinds.split())


@pytest.mark.parametrize("name", ["Other land", "Unclassified", "Klasse 7", "non-forest", "cloud", ""])
def test_a_class_that_says_nothing_may_be_anything(name: str):
    assert cover_kinds(name) is None


# Any text


SHARES = covered(("Cropland", 0.7, "north-west"), ("Tree cover", 0.3, "south-east")) | TAKEN | {"objects": []}
WORDS = (
    "river no 60 percent % the May 2020 in north-west Lake Dole , . ( ) - of mostly dominated by level three houses "
    "metres per pixel not is absent ' _ season winter [ { neither free"
)
PIECES = st.sampled_from(WORDS.split(" "))


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=300) | st.lists(PIECES, max_size=40).map(" ".join))
@example("\x00\ud7ff\u202e")
@example("%" * 50)
@example("²³ ½ percent ٣ %")
@example("- - -- no")
@example("neither")
def test_any_text_is_checked_and_again_the_same(caption: str):
    found = check(caption, facts=SHARES, rules=RULES, ground=Ground(16, 1.63, 256))
    assert found == check(caption, facts=SHARES, rules=RULES, ground=Ground(16, 1.63, 256))
    assert all(str(flag) == f"{flag.check}: {flag.detail}" and "\n" not in str(flag) for flag in found)


@pytest.mark.parametrize(
    "piece",
    [
        "a",
        " ",
        "1",
        "river ",
        "River ",
        "no ",
        "60 percent ",
        "{",
        "[ ",
        '"',
        "the ",
        "\n",
        "é",
        "<a ",
        "1.",
        "north-west ",
        "-",
        "may ",
    ],
)
def test_time_is_linear_in_the_length(piece: str):
    started = time.process_time()
    check(piece * (100_000 // len(piece)), facts=SHARES, rules=RULES, ground=Ground(16, 1.63, 256))
    assert time.process_time() - started < 3.0


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"min_words": 50, "max_words": 40}, "min_words = 50 is above max_words = 40"),
        ({"use": ["hedges"]}, "'hedge'"),
        ({"action": "drop"}, "'drop_caption'"),
        ({"ban": ["x"]}, "ban"),
    ],
)
def test_wrong_rules_are_refused(table: dict[str, Any], words: str):
    with pytest.raises(ValueError, match=words):
        CaptionChecks(**table)


# What claims nothing


@pytest.mark.parametrize(
    "caption",
    [
        "A small lake lies among the trees.",
        "Dense canopy; the nearest town is out of frame.",
        "A river may flow here after rain.",
        "The once extensive wetland is gone.",
        "Forest covers the rest. A city lies just beyond the lower edge of the image.",
        "There are no trees on the gravel bars.",
        "Apart from the forest there are no trees.",
        "Instead, trees grow here.",
    ],
)
def test_small_things_other_times_and_other_places_are_not_denied(caption: str):
    assert wrong(caption, FOREST) == []


def test_snow_that_does_not_stay_is_not_in_the_land_cover():
    assert wrong("The fields are covered with snow.", FIELDS | {"season": "winter"}) == []
    assert wrong("The fields are covered with snow.", FIELDS | {"season": "summer"}) == ["snow (not in the land cover)"]


def test_built_up_land_does_not_tell_of_houses_where_other_buildings_are_known():
    flats = covered(("Built-up", 1.0)) | {"objects": seeing("apartment building")["objects"]}
    assert wrong("There is not a single detached house.", flats) == []
    assert wrong("There is not a single detached house.", TOWN) != []
