"""Captions written from facts by rule: varied, grammatical, and nothing in them that the facts do not hold.

A caption is a few sentences. The first introduces the image and carries some of its facts; further kinds of fact get a
sentence each, what is on the ground first, until the caption is about as long as those of Git-10M. Wording is drawn
from a hash of the recipe's seed and the image's name: the same image always reads the same. What the image is called,
and how its caption begins, follow from the tile's column and row: of tiles that touch, no two read alike, whatever
their facts. Land cover, objects and relief are told by ``cover_text``, ``object_text`` and ``relief_text``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Literal

from git10m import recipe
from git10m.captions.cover_text import cover_sentences
from git10m.captions.object_text import object_sentence
from git10m.captions.relief_text import relief_sentence
from git10m.captions.wording import Draw, article, distance, joined, sentence, speakable
from git10m.captions.wording import length as metres
from git10m.grid import Tile

__all__ = ["MAX_SHORT_WORDS", "MAX_WORDS", "MIN_WORDS", "VERSION", "caption"]

VERSION = "2"
"""Changes when the same facts would be told in other words."""
MIN_WORDS = 12
"""Fewest words of a caption, as in Git-10M."""
MAX_WORDS = 105
"""Most words of a caption, as in Git-10M."""
MAX_SHORT_WORDS = 30
"""Most words of a short caption."""

_BUDGETS = (44, 48, 52, 56, 60, 66)
"""Words that a caption stays within where its facts allow; a caption falls short of them by some, and Git-10M's mean
is 52."""
_MAX_AREAS = 3
_MAX_CLASSES = 3
_MAX_KINDS = (2, 3, 3, 4, 5)
_GROUNDS = ("the scene", "the image", "the tile")
_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)


@dataclass(frozen=True)
class _Told:
    """The facts that a caption speaks of, as phrases; None where there is none.

    Attributes:
        noun: What the image is: "Landsat 8 satellite image".
        synthetic: True when the pixels were computed.
        place: Where its centre lies: "about 12 km north-east of Dole, France".
        date: "31 August 2020".
        season: "summer".
        gsd: Ground size of a pixel: "2.4 metres".
        side: Ground size of the tile: "610 metres".
        level: "zoom level 16".
        cover: Entries of ``land_cover``.
        classes: Most of them to speak of; 0 for none.
        objects: Entries of ``objects``.
        kinds: Most of them to speak of; 0 for none.
        relief: ``relief``.
        listing: Whether the caption begins with what the image is ("An aerial image …"), or with what is true of it.
    """

    noun: str
    synthetic: bool
    place: str | None
    date: str | None
    season: str | None
    gsd: str | None
    side: str | None
    level: str
    cover: Sequence[Mapping[str, Any]]
    classes: int
    objects: Sequence[Mapping[str, Any]]
    kinds: int
    relief: Mapping[str, float] | None
    listing: bool

    @property
    def placed(self) -> str:
        # The ground of computed imagery is nowhere; its georeference is.
        return f"{'placed on the map' if self.synthetic else 'centred'} {self.place}"

    def when(self, draw: Draw) -> str:
        """Return the date with its season, to follow "taken" or "dated"."""
        on = f"{self.date}" if self.synthetic else f"on {self.date}"
        if self.season is None:
            return on
        wordings = [f"{on}, in {self.season}"]
        if not self.synthetic:
            wordings.append(f"in {self.season}, {on}")
        return draw.pick("when", wordings)

    @property
    def taken(self) -> str:
        return "dated" if self.synthetic else "taken"


@dataclass(frozen=True)
class _Opening:
    """A first sentence, and the kinds of fact that it has told: gsd, extent, place, date, cover, objects."""

    sentences: tuple[str, ...]
    told: frozenset[str]


def caption(
    facts: Mapping[str, Any],
    *,
    tile: Tile,
    tile_size: int,
    synthetic: bool,
    key: str,
    captions: recipe.Captions,
    length: Literal["long", "short"] = "long",
) -> str:
    """Write the caption of a tile: 12–105 words of English, or one or two sentences of 12–30 words.

    Args:
        facts: What is known of the tile, with the keys of ``records.FACTS``.
        tile: Its place in the grid, for level, GSD and extent.
        tile_size: Pixels a side.
        synthetic: True when the pixels were computed; the caption then says so.
        key: Name of the image; varies the wording.
        captions: Kinds of fact to mention, and the seed.
        length: ``"short"`` has a draw of its own, and tells some of the facts only.
    """
    draw = Draw(f"{captions.seed}:{key}" if length == "long" else f"{captions.seed}:{length}:{key}")
    known = {kind: facts[kind] if kind in _mentioned(captions.mention) else None for kind in facts}
    resolution = "resolution" in captions.mention
    gsd_m = tile.gsd_m(tile_size)
    # Four ways of beginning, in a pattern in which no tile touches one of its own.
    thing = "image" if tile.x % 2 == 0 else draw.pick("thing", ("picture", "view"))
    told = _Told(
        noun=_noun(known, thing, synthetic=synthetic),
        synthetic=synthetic,
        place=_place(known),
        date=None if known["date"] is None else _date(known["date"]),
        season=None if known["date"] is None else known["season"],
        gsd=metres(gsd_m) if resolution else None,
        side=metres(gsd_m * tile_size) if resolution else None,
        level=f"zoom level {tile.level}",
        cover=known["land_cover"] or (),
        classes=draw.pick("classes", (_MAX_CLASSES - 1, _MAX_CLASSES)) if known["land_cover"] else 0,
        objects=known.get("objects") or (),
        kinds=draw.pick("kinds", _MAX_KINDS) if known.get("objects") else 0,
        relief=known.get("relief"),
        listing=tile.y % 2 == 0,
    )
    return _short(told, draw) if length == "short" else _fitted(told, draw)


def _mentioned(mention: Sequence[str]) -> set[str]:
    """Return the keys of the facts that a recipe's kinds of fact stand for."""
    keys = {
        "platform": {"platform", "sensor"},
        "place": {"place", "areas"},
        "date": {"date", "season"},
        "land_cover": {"land_cover"},
        "objects": {"objects"},
        "relief": {"relief"},
    }
    return set().union(*(keys.get(kind, set()) for kind in mention))


def _fitted(told: _Told, draw: Draw) -> str:
    """Write sentences; too many words cost the last kinds and the smallest classes first, then the last sentences."""
    budget = draw.pick("budget", _BUDGETS)
    sentences = _sentences(told, draw)
    while (words := _words(sentences)) > budget and told.classes + told.kinds:
        if words <= MAX_WORDS and max(told.classes, told.kinds) == 1:
            break
        fewer_kinds = told.kinds and told.kinds >= told.classes
        told = replace(told, kinds=told.kinds - 1) if fewer_kinds else replace(told, classes=told.classes - 1)
        sentences = _sentences(told, draw)
    while _words(sentences) > MAX_WORDS and len(sentences) > 1:
        sentences = sentences[:-1]
    return " ".join(" ".join(sentences).split()[:MAX_WORDS])


def _sentences(told: _Told, draw: Draw) -> list[str]:
    opening = draw.pick("opening", _openings(told, draw))
    blocks = _blocks(told, draw, already=opening.told)
    # What is on the ground is told first; of the rest as much as there are words for.
    weighty = ("cover", "objects", *(["relief"] * draw.pick("relief first", (1, 0, 0))))
    first = [kind for kind in weighty if kind in blocks]
    rest = draw.shuffled(
        "rest", [kind for kind in ("relief", "place", "date", "resolution") if kind in blocks and kind not in first]
    )
    budget, chosen = draw.pick("budget", _BUDGETS), list[str]()
    words = _words(opening.sentences)
    for kind in [*first, *rest]:
        if kind in first or words + _words(blocks[kind]) <= budget or words < MIN_WORDS:
            chosen.append(kind)
            words += _words(blocks[kind])
    sentences = [*opening.sentences, *(text for kind in draw.shuffled("order", chosen) for text in blocks[kind])]
    return [*sentences, *([] if _words(sentences) >= MIN_WORDS else [_padding(told, draw)])]


def _blocks(told: _Told, draw: Draw, *, already: frozenset[str]) -> dict[str, list[str]]:
    """Return sentences by kind of fact, of those that the opening has not told."""
    blocks: dict[str, list[str]] = {}
    if told.classes and "cover" not in already:
        ground = draw.pick("ground", _GROUNDS)
        blocks["cover"] = cover_sentences(told.cover, draw, ground=ground, most=told.classes)
    if told.kinds and "objects" not in already:
        ground = draw.pick("object ground", _GROUNDS)
        blocks["objects"] = [object_sentence(told.objects, draw, ground=ground, most=told.kinds)]
    if told.relief is not None:
        blocks["relief"] = [relief_sentence(told.relief, draw)]
    if told.place is not None and "place" not in already:
        blocks["place"] = [_place_sentence(told, draw)]
    if told.date is not None and "date" not in already:
        blocks["date"] = [_date_sentence(told, draw)]
    if told.gsd is not None and _wants_resolution(told, draw, already=already):
        blocks["resolution"] = [_resolution_sentence(told, draw, already=already)]
    return blocks


def _padding(told: _Told, draw: Draw) -> str:
    from_above = "computed as if seen from above" if told.synthetic else "seen from above"
    it = draw.pick("padding", ("It shows", "It covers", "It is a picture of", "What it shows is"))
    return f"{it} one square tile of the map, {from_above}."


def _short(told: _Told, draw: Draw) -> str:
    """Tell as many kinds of fact as 30 words hold, something on the ground before others."""
    ground = draw.shuffled("short ground", [*(["cover"] * bool(told.classes)), *(["objects"] * bool(told.kinds))])
    known = {"place": told.place, "date": told.date, "gsd": told.gsd}
    others = draw.shuffled("short", [kind for kind, value in known.items() if value])
    kinds = [*ground[:1], *others[:2]]
    most = draw.pick("short kinds", (1, 2, 2, 3))
    while True:
        sentences = _short_sentences(told, draw, kinds, most=most)
        if _words(sentences) <= MAX_SHORT_WORDS or not kinds:
            return " ".join(" ".join(sentences).split()[:MAX_SHORT_WORDS])
        if most > 1 and "objects" in kinds:
            most -= 1
        else:
            kinds.pop()


def _short_sentences(told: _Told, draw: Draw, kinds: Sequence[str], *, most: int) -> list[str]:
    ground = draw.pick("ground", _GROUNDS) if told.listing else f"this {told.noun}"
    shown = []
    if "cover" in kinds:
        shown = cover_sentences(told.cover, draw, ground=ground, most=1)
    elif "objects" in kinds:
        shown = [object_sentence(told.objects, draw, ground=ground, most=most)]
    if told.listing:
        start, listed = f"{article(told.noun)} {told.noun}", _listed(told, draw, kinds)
        sentences = [sentence(f"{start}{listed}" if listed else f"this is {start}"), *shown]
    elif shown:
        others = [kind for kind in kinds if kind not in {"cover", "objects"}]
        sentences = [*shown, *_one_more(told, draw, others[:1])]
    else:
        silent = replace(told, classes=0, kinds=0)
        wanted = {"gsd", "extent", *kinds} if "gsd" in kinds else set(kinds)
        openings = [opening for opening in _openings(silent, draw) if opening.told <= wanted]
        sentences = list(draw.pick("short opening", openings or [_plain_opening(told)]).sentences)
    return [*sentences, *([] if _words(sentences) >= MIN_WORDS or len(sentences) > 1 else [_padding(told, draw)])]


def _one_more(told: _Told, draw: Draw, kinds: Sequence[str]) -> list[str]:
    """Return a sentence of another kind of fact."""
    if "place" in kinds:
        return [_place_sentence(told, draw)]
    if "date" in kinds:
        return [_date_sentence(told, draw)]
    return [_resolution_sentence(told, draw, already=frozenset({"extent"}))] if "gsd" in kinds else []


def _listed(told: _Told, draw: Draw, kinds: Sequence[str]) -> str:
    """Return what is said of an image after its name: " at about 2.4 metres per pixel, taken on …"."""
    text = ""
    if told.gsd is not None and "gsd" in kinds:
        text += draw.pick("gsd", (f" at about {told.gsd} per pixel", f" with pixels of about {told.gsd}"))
    parts = [f"{told.taken} {told.when(draw)}"] if told.date is not None and "date" in kinds else []
    parts += [told.placed] if told.place is not None and "place" in kinds else []
    return f"{text}, {', and '.join(parts)}" if parts else text


def _wants_resolution(told: _Told, draw: Draw, *, already: frozenset[str]) -> bool:
    """Tell whether a sentence on resolution is due; a caption that is long for its cover may leave half of it out."""
    missing = {"gsd", "extent"} - already
    return len(missing) == 2 or (bool(missing) and (not told.classes or draw.pick("all of resolution", (True, False))))


def _openings(told: _Told, draw: Draw) -> list[_Opening]:
    """Return every first sentence that the facts allow."""
    if told.listing:
        return [_listing(told, draw)]
    this = f"this {told.noun}"
    openings = []
    if told.place is not None:
        openings.append(_opening(f"{this} is {told.placed}", "place"))
    if told.date is not None:
        is_taken = f"{'is' if told.synthetic else 'was'} {told.taken}"
        openings.append(_opening(f"{this} {is_taken} {told.when(draw)}", "date"))
    if told.gsd is not None:
        openings.extend(_openings_with_extent(this, told, draw))
    if told.classes:
        cover = cover_sentences(told.cover, draw, ground=this, most=told.classes)
        openings.append(_Opening(tuple(cover), frozenset({"cover"})))
    if told.kinds:
        text = object_sentence(told.objects, draw, ground=this, most=told.kinds)
        openings.append(_Opening((text,), frozenset({"objects"})))
    return openings or [_plain_opening(told)]


def _plain_opening(told: _Told) -> _Opening:
    return _opening(f"this {told.noun} shows ground from above, one tile of the map")


def _openings_with_extent(this: str, told: _Told, draw: Draw) -> list[_Opening]:
    area = f"an area about {told.side} on a side"
    pixels = f"at about {told.gsd} per pixel"
    openings = [_opening(f"{this} covers {area} {pixels} ({told.level})", "gsd", "extent")]
    if told.date is not None:
        taken = f"{this}, {told.taken} {told.when(draw)}, covers {area}"
        openings.append(_opening(f"{taken} {pixels} ({told.level})", "date", "gsd", "extent"))
    if told.place is not None:
        openings.append(_opening(f"at {told.level}, {this} shows {area}, {told.placed}", "place", "extent"))
    return openings


def _listing(told: _Told, draw: Draw) -> _Opening:
    """Return a first sentence without a verb: "An aerial image at about 0.6 metres per pixel, taken on …"."""
    kinds = [kind for kind in ("gsd", "date", "place") if draw.pick(f"listed {kind}", (True, True, False))]
    start, listed = f"{article(told.noun)} {told.noun}", _listed(told, draw, kinds)
    return _opening(f"{start}{listed}" if listed else f"this is {start}", *kinds)


def _opening(text: str, *told: str) -> _Opening:
    return _Opening((sentence(text),), frozenset(told))


def _place_sentence(told: _Told, draw: Draw) -> str:
    if told.synthetic:
        return sentence(f"{draw.pick('image', ('the image', 'the tile'))} is {told.placed}")
    return sentence(
        draw.pick(
            "place",
            (
                f"the centre lies {told.place}",
                f"the centre of the image is {told.place}",
                f"the tile is centred {told.place}",
            ),
        )
    )


def _date_sentence(told: _Told, draw: Draw) -> str:
    image = draw.pick("dated", ("the image", "the picture"))
    return sentence(f"{image} {'is' if told.synthetic else 'was'} {told.taken} {told.when(draw)}")


def _resolution_sentence(told: _Told, draw: Draw, *, already: frozenset[str]) -> str:
    """Tell the ground size of a pixel, of the tile, or of both; of one where land cover takes many words."""
    if "extent" in already:
        return f"Each pixel spans about {told.gsd} of ground."
    options: tuple[str, ...]
    if "gsd" in already:
        options = (
            f"at {told.level}, the tile is about {told.side} on a side",
            f"the area on the ground is about {told.side} on a side, at {told.level}",
            f"the tile, cut at {told.level}, measures about {told.side} on each side",
        )
    elif told.classes:
        options = (
            f"at {told.level}, each pixel spans about {told.gsd} of ground",
            f"the tile is about {told.side} on a side, with about {told.gsd} per pixel",
        )
    else:
        options = (
            f"at {told.level}, each pixel spans about {told.gsd} of ground and the tile about {told.side} on a side",
            f"the tile is about {told.side} on a side, at {told.level} with about {told.gsd} per pixel",
            f"the area is about {told.side} wide and high, at about {told.gsd} per pixel ({told.level})",
        )
    return sentence(draw.pick("resolution", options))


def _noun(known: Mapping[str, Any], thing: str, *, synthetic: bool) -> str:
    platform, sensor = known["platform"] or "overhead", known["sensor"] or ""
    if platform.lower() in sensor.lower().split():
        platform = ""
    words = ("synthetic" if synthetic and "synthetic" not in sensor.lower().split() else "", sensor, platform, thing)
    return " ".join(" ".join(words).split())


def _place(known: Mapping[str, Any]) -> str | None:
    """Say where the centre lies; the country belongs to the town's name, never to the tile."""
    areas = list(dict.fromkeys(area["name"] for area in known["areas"] or () if speakable(area["name"])))[:_MAX_AREAS]
    parts = [joined([f"in {name}" for name in areas])] if areas else []
    place = known["place"]
    if place is not None and speakable(place["name"]):
        country = re.sub("^The ", "the ", place["country"] or "")
        country = country if not country or speakable(country) else ""
        town = place["name"] if country in ("", place["name"], *areas) else f"{place['name']}, {country}"
        if place["direction"] is None:
            parts.append(f"within about a kilometre of {town}")
        else:
            parts.append(f"about {distance(place['distance_km'])} {place['direction']} of {town}")
    return ", ".join(parts) or None


def _date(day: date) -> str:
    return f"{day.day} {_MONTHS[day.month - 1]} {day.year}"


def _words(sentences: Sequence[str]) -> int:
    return len(" ".join(sentences).split())
