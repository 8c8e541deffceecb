"""What the facts of a tile hold, in the concepts of captions."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from git10m import recipe
from git10m.captions.checks.concepts import COVER_KINDS, evidence_of, terms
from git10m.captions.checks.reading import Phrases, plain_words, read
from git10m.captions.cover_text import spoken_class
from git10m.captions.objects import MAX_KINDS
from git10m.captions.vocabulary import KINDS

__all__ = [
    "VOCABULARY",
    "ClassKnown",
    "Known",
    "ObjectKnown",
    "concepts_named",
    "cover_kinds",
    "known_of",
    "looked_for",
]

VOCABULARY: Phrases[str] = Phrases(dict(terms()))
"""Every term, by its words; see ``concepts.terms`` for the values."""

_MOST_UNKNOWN = 0.06
"""Land cover is known whole when the listed shares leave at most this: each class below 1 % is not listed."""

_KINDS = tuple(
    (re.compile(rf"\b(?:{pattern})"), frozenset(kinds.split()))
    for pattern, kinds in (
        (r"mangroves?\b", "mangrove"),
        (r"woody wetlands?|swamp forest|forested wetland|wooded wetland", "wetland trees"),
        (r"transitional woodland", "trees shrub"),
        (r"agro-?forest|dehesa|montado", "crops trees grass"),
        (r"natural vegetation|green cover", "grass shrub trees"),
        (r"tree|forest|wood(?:s|land|lot|ed)?\b|conifer|broad-?leav|deciduous|evergreen|jungle|taiga", "trees"),
        (r"pine\b|eucalypt", "trees"),
        (r"orchard|fruit|olive|vineyard|vine\b|berry|citrus|plantation|palm", "crops trees"),
        (r"crop|arable|agricultur|farm|cultivat|field|tillage|fallow", "crops"),
        (r"wheat|maize|corn\b|cereal|soy|cotton|sugar|irrigated", "crops"),
        (r"rice|paddy|paddies", "crops wetland"),
        (r"greenhouse|glasshouse", "crops built"),
        (r"grass|meadow|prairie|steppe|herbaceous|pampas|lawn|turf", "grass"),
        (r"pasture|hay\b|grazing", "grass crops"),
        (r"rangeland|savanna", "grass shrub"),
        (r"shrub|scrub|bush|chaparral|maquis|garrigue|fynbos|sclerophyll|brush", "shrub"),
        (r"heath|moor", "shrub grass"),
        (r"built|urban|residential|developed|impervious|artificial|industr|commercial|settlement", "built"),
        (r"city|town|village|build", "built"),
        (r"house\b|houses|housing|suburb|road|street|rail|transport|port areas?|airport", "built"),
        (r"construction|paved|sealed|asphalt|parking", "built"),
        (r"sport|leisure|recreation", "grass trees built"),
        (r"open space", "grass built"),
        (r"park\b|golf|cemeter", "grass trees"),
        (r"bare|barren|rock|sand|desert|soil|dune|beach|salt flat|playa|exposed|gravel|badland|unvegetated", "bare"),
        (r"mine|mining|quarry|mineral extraction|extraction|dump|landfill", "bare built"),
        (r"sparse", "bare"),
        (r"burnt|burned", "bare shrub trees grass"),
        (r"snow|ice\b|glacier|perpetual", "snow"),
        (r"water|river|lake|sea\b|ocean|reservoir|lagoon|estuar|canal|pond|aquacultur|stream|marine", "water"),
        (r"wetland|marsh|swamp|bog|peat|mire|fen\b|flooded vegetation", "wetland"),
        (r"flooded|intertidal|saline|tidal|mudflat|mud flat|salt pan|salt works", "wetland water"),
        (r"moss|lichen", "moss"),
        (r"tundra", "moss grass shrub"),
    )
)  # fmt: skip
_OPEN = re.compile(
    r"\b(?:non|not|un(?:known|classified|labell?ed|mapped)|other|no ?data|cloud|shadow|mixed|mosaic|undefined)\b"
)


@functools.lru_cache(maxsize=4096)
def cover_kinds(name: str) -> frozenset[str] | None:
    """Lead a class of any legend back to kinds of land cover, by its words.

    Returns:
        Kinds of ``COVER_KINDS``; None of a class that may be anything ("other land", "unclassified", "Klasse 7").
    """
    text = re.sub(r"[_/,&+()-]+", " ", name.lower())
    if "non irrigated" in text:
        text = text.replace("non irrigated", "")
    text = re.sub(r"mixed (?=forest|wood|broad)", "", text)
    if _OPEN.search(text):
        return None
    text = re.sub(r"(?:emergent )?herbaceous wetland", "wetland", text)
    text = re.sub(r"sparse(?:ly)? vegetat\w+", "sparse", text)
    text = re.sub(r"flooded vegetation", "wetland", text)
    text = re.sub(r"green urban areas?|urban green(?: areas?| spaces?)?", "park", text)
    found: frozenset[str] = frozenset()
    for pattern, kinds in _KINDS:
        if pattern.search(text):
            found |= kinds
    if not found and re.search(r"\bveget|plants", text):
        return frozenset({"grass", "shrub", "trees"})
    return found or None


@functools.lru_cache(maxsize=4096)
def concepts_named(text: str) -> frozenset[str]:
    """Return the concepts that a class name or a kind of object speaks of."""
    words = plain_words(text)
    if (own := _OF_KINDS.get(" ".join(words))) is not None:
        return frozenset(own.split())
    found = {match.value for match in VOCABULARY.find(words)}
    return frozenset(name for name in found if name and not name.startswith("-"))


_OF_KINDS: Mapping[str, str] = {
    "trunk road": "highway motorway",
    "primary road": "highway",
    "secondary road": "highway",
    "tertiary road": "by-road",
    "minor road": "by-road",
    "residential road": "street",
    "living street": "street",
    "service road": "street by-road",
    "industrial area": "industry",
    "commercial area": "commerce",
    "park": "park",
    "row of trees": "tree",
    "rows of trees": "tree",
    "plant nursery": "nursery crops greenhouse",
    "swimming pool": "pool",
    "farmyard": "farm",
    "body of water": "water pond lake",
    "water basin": "basin",
    "coastline": "sea waterside",
    "island": "island water",
    "riding arena": "pitch",
    "solar panels": "solar",
    "scree": "rock soil",
    "bare rock": "rock",
    "wood": "forest",
    "woods": "forest",
    "works": "industry",
    "gate": "airport",
    "riverbank": "river",
    "track": "track",
    "service": "street by-road",
    "unclassified": "by-road",
    "primary": "highway",
    "secondary": "highway",
    "tertiary": "by-road",
    "trunk": "highway motorway",
    "pitch": "pitch",
    "bare": "soil",
    "platform": "station",
    "station": "station",
    "halt": "station",
    "tank": "tank",
    "plant": "industry",
    "generator": "solar wind industry",
    "mall": "shopping",
    "allotments": "allotment garden crops",
    "brownfield": "construction",
    "building": "building",
    "pond": "pond",
    "footway": "path street",
    "steps": "path",
    "pedestrian": "street",
    "cycleway": "path",
}
"""What words of OpenStreetMap mean that captions use in another sense, or not at all; concepts with spaces between."""


@functools.cache
def spoken_kind(kind: str) -> tuple[tuple[str, ...], ...]:
    """Return the words of a kind of object as captions speak of it: singular and plural."""
    known = KINDS.get(kind)
    told = [kind, *(() if known is None else filter(None, (known.plural, known.spoken)))]
    words = [plain_words(text) for text in told]
    bare = [each[1:] if each[:1] in (("a",), ("an",)) else each for each in words]
    return tuple(dict.fromkeys(each for each in bare if each))


_RANKS = {kind: rank for rank, kind in enumerate(KINDS)}


@functools.cache
def _least_telling(concept: str) -> int:
    """Return the rank of the least telling kind of object that is evidence of a concept; -1 of none."""
    wanted = evidence_of(concept)
    return max((rank for kind, rank in _RANKS.items() if concepts_named(kind) & wanted), default=-1)


_NEVER_LISTED = frozenset({"power line", "tower", "tunnel"})
"""What no kind of ``vocabulary.KINDS`` is: only layers that name it tell of it."""


@dataclass(frozen=True, slots=True)
class ClassKnown:
    """A class of the land cover: words as spoken, kinds (None: may be anything), share 0–1, part, concepts named."""

    words: tuple[str, ...]
    kinds: frozenset[str] | None
    share: float
    part: str | None
    concepts: frozenset[str]


@dataclass(frozen=True, slots=True)
class ObjectKnown:
    """A kind of object: concepts, separate ones (None: not counted), part."""

    kind: str
    concepts: frozenset[str]
    count: int | None
    part: str | None


@dataclass(frozen=True, slots=True)
class Known:
    """What the facts of a tile hold of the ground.

    Attributes:
        cover: Classes of the land cover; None when it is not known.
        objects: Kinds of object; None when they are not known.
        whole: Whether the land cover leaves no room for anything that it does not list.
        names: Words of the names that the facts hold: of places, countries, areas and objects.
        facts: The facts themselves.
        kinds_looked_for: Kinds of object that the layers may hold; None: all.
    """

    cover: tuple[ClassKnown, ...] | None
    objects: tuple[ObjectKnown, ...] | None
    whole: bool
    names: tuple[tuple[str, ...], ...]
    facts: Mapping[str, Any]
    kinds_looked_for: frozenset[str] | None = None

    def would_list(self, concept: str) -> bool:
        """Tell whether the objects would hold a thing if it were there.

        Not where no layer has such things, nor where the list is full and less telling kinds are cut off.
        """
        if self.objects is None:
            return False
        wanted = evidence_of(concept)
        if self.kinds_looked_for is not None and not any(concepts_named(k) & wanted for k in self.kinds_looked_for):
            return False
        if self.kinds_looked_for is None and concept in _NEVER_LISTED:
            return False
        if len(self.objects) < MAX_KINDS:
            return True
        return _RANKS.get(self.objects[-1].kind, 0) > _least_telling(concept)

    @property
    def kinds(self) -> frozenset[str]:
        """Kinds of land cover that are there; every kind where a class may be anything."""
        found: set[str] = set()
        for entry in self.cover or ():
            found |= COVER_KINDS if entry.kinds is None else entry.kinds
        return frozenset(found)

    def objects_of(self, concept: str) -> list[ObjectKnown]:
        """Return the objects that are evidence of a concept."""
        wanted = evidence_of(concept)
        return [entry for entry in self.objects or () if entry.concepts & wanted]

    def share_of(self, kinds: frozenset[str], *, sure: bool) -> float:
        """Add up the shares of the classes of some kinds.

        Args:
            kinds: Kinds of land cover.
            sure: Leave out classes that may be of other kinds too, or anything.
        """
        total = 0.0
        for entry in self.cover or ():
            own = COVER_KINDS if entry.kinds is None else entry.kinds
            if own <= kinds if sure else own & kinds:
                total += entry.share
        return total


def looked_for(layers: Sequence[recipe.Objects]) -> frozenset[str] | None:
    """Return the kinds of object that a recipe's layers may hold; None when they may hold any."""
    kinds: set[str] = set()
    for layer in layers:
        if layer.kind is None and layer.kinds is None:
            return None  # tags of OpenStreetMap, or values that are kinds themselves
        kinds |= {layer.kind} if layer.kind is not None else set((layer.kinds or {}).values())
    return frozenset(kinds) if layers else None


def known_of(facts: Mapping[str, Any], *, kinds: frozenset[str] | None = None) -> Known:
    """Read facts with the keys of ``records.FACTS``; keys that are missing are not known.

    Args:
        facts: What is known of a tile.
        kinds: Kinds of object that were looked for, as of `looked_for`.
    """
    listed = facts.get("land_cover")
    cover = None if listed is None else tuple(_class_known(entry) for entry in listed if entry)
    objects = facts.get("objects")
    shares = sum(entry.share for entry in cover or ())
    return Known(
        cover=cover or None,
        objects=None if objects is None else tuple(_object_known(entry) for entry in objects if entry),
        whole=bool(cover) and shares >= 1.0 - _MOST_UNKNOWN and all(entry.kinds is not None for entry in cover or ()),
        names=tuple(_names(facts)),
        facts=facts,
        kinds_looked_for=kinds,
    )


def _class_known(entry: Mapping[str, Any]) -> ClassKnown:
    name = entry.get("name") or ""
    return ClassKnown(
        words=_spoken_words(name),
        kinds=cover_kinds(name),
        share=float(entry.get("share") or 0.0),
        part=entry.get("part"),
        concepts=concepts_named(name),
    )


@functools.lru_cache(maxsize=4096)
def _spoken_words(name: str) -> tuple[str, ...]:
    return tuple(read(spoken_class(name)).words)


def _object_known(entry: Mapping[str, Any]) -> ObjectKnown:
    kind = entry.get("kind") or ""
    return ObjectKnown(kind, concepts_named(kind), entry.get("count"), entry.get("part"))


def _names(facts: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Return the words of every name, the longest first."""
    place = facts.get("place") or {}
    named: Sequence[str | None] = [
        place.get("name"),
        place.get("country"),
        *(area.get("name") for area in facts.get("areas") or ()),
        *(entry.get("name") for entry in facts.get("objects") or ()),
        facts.get("sensor"),
    ]
    return sorted({_name_words(name) for name in named if name} - {()}, key=lambda words: (-len(words), words))


@functools.lru_cache(maxsize=65536)
def _name_words(name: str) -> tuple[str, ...]:
    return plain_words(name)
