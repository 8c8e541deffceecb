"""How much of the tile a caption says that something covers: percents, fractions, "mostly", "a small part".

A quantity is read by itself, with what bounds it ("more than two thirds of the scene"); then its claim is found: the
thing that stands right behind it ("60 percent forest", "half of the image is water"), or its subject ("forest covers
…", "the lake, which takes up …"), or that of the quantity before ("most of the scene, roughly 60 percent of it").
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from git10m.captions.checks.claims import Claim
from git10m.captions.checks.parts import DIRECTIONS, first_before_comma, part_at
from git10m.captions.checks.reading import Text

__all__ = ["Amount", "amounts_of", "number_of", "subject_of"]


@dataclass(frozen=True, slots=True)
class Amount:
    """A share that claims are said to have, together.

    Attributes:
        claims: What it is the share of.
        least: Least share that is meant, 0–1.
        most: Largest.
        said: The words that tell it.
        most_of_all: Whether being the most widespread would do: "mostly", "dominated by".
    """

    claims: tuple[Claim, ...]
    least: float
    most: float
    said: str
    most_of_all: bool = False


@dataclass(frozen=True, slots=True)
class _Quantity:
    """A share that words ``start`` to ``end`` tell; ``of_scene``: of the tile in so many words."""

    start: int
    end: int
    least: float
    most: float
    said: str
    most_of_all: bool = False
    of_scene: bool = False


_FRACTIONS = {
    **{"half": 2, "third": 3, "thirds": 3, "quarter": 4, "quarters": 4, "fourth": 4, "fourths": 4},
    **{"fifth": 5, "fifths": 5, "sixth": 6, "sixths": 6, "eighth": 8, "eighths": 8, "tenth": 10, "tenths": 10},
    **{"seventh": 7, "sevenths": 7, "ninth": 9, "ninths": 9, "twentieth": 20, "twelfth": 12},
}
_ONES = {
    **{"a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8},
    **{"nine": 9, "ten": 10, "fifteen": 15, "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60},
    **{"seventy": 70, "eighty": 80, "ninety": 90},
}
_GREATER = frozenset({"majority", "most", "bulk", "preponderance"})
_WHOLE = frozenset({"whole", "entire", "all", "entirety"})
_LESSER = frozenset({"part", "portion", "fraction", "share", "proportion", "percentage"})
_LITTLE = frozenset({"small", "minor", "tiny", "minimal", "little", "negligible"})
_LARGE = frozenset({"greater", "larger", "largest", "greatest", "main", "major"})
_NEARLY = frozenset({"nearly", "almost", "virtually", "practically", "close", "not", "hardly", "approaching"})
_ABOUT = frozenset(
    {"about", "around", "roughly", "some", "approximately", "an", "estimated", "the", "well", "to", "of"}
)
_SLIGHTLY = frozenset({"just", "slightly", "little", "bit", "marginally"})
_ABOVE = frozenset({"over", "above", "exceeding", "least", "upwards", "upward", "more", "greater", "exceeds", "exceed"})
_BELOW = frozenset({"under", "below", "most", "less", "fewer", "barely", "up", "only"})
_BETWEEN_LISTED = """
    fills fill filling blankets carpets amounts amounting amount reaches limited confined restricted equals reaching
    cover covers covering covered by with make makes making made up take takes taking occupy occupies occupied for
    account accounts accounting at about around roughly approximately nearly almost over some an estimated ( , of
    the this that tile scene image area land ground surface frame view it is are being comprise comprises comprising
    was constitute constitutes span spans most widespread class far clearly part small large moderate very a total
    dominate to only dominates dominated landscape as under picture whole entire just more than less remaining rest
    includes were has consists consist form forms aerial satellite synthetic overhead photo photograph region
    remainder which occupying extends extending spread spreads across here together alone in well exceeds exceed
    floods flood claims claim mantles mantle cloaks cloak upward upwards
    exceeding each hold holds holding still use stands stand totals total totalling
"""
_BETWEEN = frozenset(_BETWEEN_LISTED.split())
_LINKS = frozenset({"is", "are", "was", "were", "being", "consists", "consist", "comprises", "covered", "made", "has"})
_SHARE_VERBS_LISTED = """
    fills fill covers cover makes make takes take occupies occupy accounts account comprises comprise constitutes
    constitute spans span amounts amount forms form extends extend represents represent exceeds exceed holds hold
    floods flood claims claim mantles mantle
"""
_SHARE_VERBS = frozenset(_SHARE_VERBS_LISTED.split())
_ADJECTIVES_REACH = 3
_PREVAILING = frozenset({"mostly", "mainly", "predominantly", "primarily", "largely", "chiefly", "principally"})
_ENTIRELY = frozenset({"entirely", "completely", "fully", "wholly", "totally", "exclusively", "solely"})
_SCENE_LISTED = """
    scene image tile area frame view landscape picture ground land surface terrain region photo photograph it tract
    total visible pixels sheet quadrangle
"""
_SCENE = frozenset(_SCENE_LISTED.split())
_IMAGE = frozenset({"scene", "image", "tile", "frame", "view", "picture", "photo", "photograph"})
_COVERS_LISTED = """
    covers cover occupies occupy fills fill blankets blanket carpets covering filling occupying blanketing
"""
_COVERS = frozenset(_COVERS_LISTED.split())
_MAKES_UP = frozenset({"up", "constitutes", "constitute", "comprises", "comprise"}) | _COVERS
_LED_BY_LISTED = "covered by with of composed comprised made up consists occupied dominated consisting a an"
_LED_BY = frozenset(_LED_BY_LISTED.split())
_FOREMOST = frozenset({"largest", "dominant", "predominant", "prevailing", "principal", "main", "commonest"})
_RARE = frozenset({"scarce", "rare", "scanty", "few"})
_CLASS = frozenset({"class", "land", "cover", "use", "type"})
_CORES = frozenset({"%", "percent", "per"}) | _FRACTIONS.keys() | _GREATER | _WHOLE | _LESSER


def amounts_of(text: Text, claims: Sequence[Claim]) -> Iterator[Amount]:
    """Yield the shares that a caption tells, with what they are the shares of."""
    words = text.words
    starts = {claim.start: n for n, claim in enumerate(claims)}
    before: tuple[_Quantity, Claim] | None = None
    for i, word in enumerate(words):
        if word in _CORES:
            quantity = _quantity_at(text, i)
            if quantity is None or (before is not None and quantity.start < before[0].end):
                continue
            claim = _claim_of(text, claims, starts, quantity, before)
            if claim is None or not claim.said or claim.absent:
                continue
            if word in _WHOLE and not _of_the_whole(words, claim, quantity):
                continue
            before = quantity, claim
            yield Amount(
                _together(text, claims, claim, quantity.start),
                quantity.least,
                quantity.most,
                quantity.said,
                quantity.most_of_all,
            )
        elif word in _PREVAILING or word in _ENTIRELY:
            yield from _adverb(text, claims, starts, i)
        elif word == "dominated" and words[i + 1 : i + 2] == ["by"]:
            yield from _listed(text, claims, starts, i + 2, Amount((), 0.5, 1.0, "dominated by", most_of_all=True))
        else:
            yield from _told_at(text, claims, starts, i)


def _told_at(text: Text, claims: Sequence[Claim], starts: dict[int, int], i: int) -> Iterator[Amount]:
    """Read what a word tells of a share without a number: "scarce", "nothing but", "the dominant class"."""
    words, word = text.words, text.words[i]
    if word in _RARE and words[i - 1 : i] in (["is"], ["are"], ["very"]):
        claim = subject_of(text, claims, i)
        if claim is not None and claim.said and not claim.absent and claim.concept != "vegetation":
            yield Amount((claim,), 0.0, 0.3, word)
    elif word == "nothing" and words[i + 1 : i + 2] == ["but"] and (i == 0 or words[i - 1] in {"is", ".", ":"}):
        yield from _listed(text, claims, starts, i + 2, Amount((), 0.8, 1.0, "nothing but"))
    elif word in _FOREMOST and words[i + 1 : i + 2] != [] and words[i + 1] in _CLASS:
        claim = subject_of(text, claims, i)
        if claim is not None and claim.said and not claim.absent and not _parted(text, i, i + 1):
            yield Amount((claim,), 0.5, 1.0, "dominant", most_of_all=True)
    elif word in {"dominates", "dominate", "predominates", "predominate", "prevails", "prevail"}:
        yield from _dominates(text, claims, i)


def _of_the_whole(words: Sequence[str], claim: Claim, quantity: _Quantity) -> bool:
    """Tell "forest covers the whole scene", "all of the surface is built over" from "the whole scene shows a lake"."""
    if claim.start >= quantity.end:
        return words[quantity.end] in {"is", "are"} and all(
            each in _BETWEEN for each in words[quantity.end : claim.start]
        )
    return not _MAKES_UP.isdisjoint(words[claim.end : quantity.start])


def number_of(word: str) -> float | None:
    """Read digits ("12", "1,200", "2.5"); None of other words."""
    if not word[:1].isdigit():
        return None
    plain = word.replace(",", "") if len(word.rpartition(",")[2]) == 3 or "." in word else word.replace(",", ".")
    try:
        return float(plain)
    except ValueError:
        return None


def _quantity_at(text: Text, i: int) -> _Quantity | None:
    """Read the quantity whose core is a word: "percent", "thirds", "most"."""
    words, word = text.words, text.words[i]
    core: tuple[int, int, float, float, bool] | None
    if word in {"%", "percent"} or (word == "per" and words[i + 1 : i + 2] == ["cent"]):
        core = _percent(words, i)
    elif word in _FRACTIONS:
        core = _fraction(words, i)
    else:
        core = _portion(words, i)
    if core is None:
        return None
    start, end, least, most, prevails = core
    said = f"{words[i - 1]} %" if word in {"%", "percent", "per"} else f"{' '.join(words[start:end])} of"
    if not prevails and word not in _WHOLE | _LESSER:
        start, least, most = _bounded(words, start, least, most)
    of = words[end : end + 1] == ["of"]
    scene = next((j for j in range(end + 1, min(end + 5, len(words))) if words[j] in _SCENE), None) if of else None
    if scene is None and of:  # "a third of the land cover", but not "of the tree cover"
        told = words[end + 1 : end + 4]
        scene = next((end + n for n in (2, 3) if told[:n] in (["the", "cover"], ["the", "land", "cover"])), None)
    if scene is None and of and words[end + 1 : end + 2] == ["this"]:
        scene = end + 1  # "of this delta", "of this quarter-section grid"
    if scene is None and word == "half" and words[end : end + 1] in (["the"], ["this"]):  # "half the tile"
        scene = next((j for j in range(end + 1, min(end + 4, len(words))) if words[j] in _SCENE), None)
    of_scene = scene is not None
    if scene is not None:
        end = scene + 1
    elif of:
        return None  # "60 percent of the forest" is no share of the tile
    elif word in _GREATER or (
        word in _FRACTIONS
        and not _ends_a_share(words, start, end)
        and {"is", "are"}.isdisjoint(words[start - 3 : start])
    ):
        return None
    if _of_part(text, start, words[end - 1] if of_scene else ""):
        return None
    return _Quantity(start, end, least, most, said, prevails, of_scene)


def _ends_a_share(words: Sequence[str], start: int, end: int) -> bool:
    """Tell whether a fraction ends what is told of a subject: "forest makes up four fifths."."""
    stops = words[end : end + 1] == [] or words[end] in {".", ",", ";", ")", "and"}
    return stops and not _SHARE_VERBS.isdisjoint(words[max(0, start - 3) : start])


def _percent(words: Sequence[str], i: int) -> tuple[int, int, float, float, bool] | None:
    end = i + 2 if words[i] == "per" else i + 1
    number, start = _number_before(words, i)
    if number is None or number > 100:
        return None
    least = number
    if start >= 2 and words[start - 1] in {"-", "–", "to", "and"}:
        lower, first = _number_before(words, start - 1)
        if lower is not None:
            start, least = first, min(lower, number)
    return start, end, least / 100, number / 100, False


def _number_before(words: Sequence[str], end: int) -> tuple[float | None, int]:
    """Read the number that ends before a word: "60", "sixty", "sixty five"."""
    if not end:
        return None, end
    digits = number_of(words[end - 1])
    if digits is not None:
        return digits, end - 1
    ones = _ONES.get(words[end - 1]) if words[end - 1] not in {"a", "an"} else None
    if ones is None:
        return None, end
    tens = _ONES.get(words[end - 2], 0) if end > 1 else 0
    return (float(tens + ones), end - 2) if tens >= 20 and ones < 10 else (float(ones), end - 1)


def _fraction(words: Sequence[str], i: int) -> tuple[int, int, float, float, bool] | None:
    number = _ONES.get(words[i - 1]) if i else None
    if number is None:
        if words[i] != "half" or (i and (words[i - 1] in DIRECTIONS or words[i - 1] in {"the", "other"})):
            return None  # "the northern half", "the other half"
        return i, i + 1, 0.5, 0.5, False
    share = number / _FRACTIONS[words[i]]
    return (i - 1, i + 1, share, share, False) if share <= 1 else None


def _portion(words: Sequence[str], i: int) -> tuple[int, int, float, float, bool] | None:
    """Read "most", "the bulk", "nearly the whole scene", "a small part"."""
    word, before = words[i], words[i - 1] if i else ""
    if word in _GREATER:
        return None if before in {"at", "the"} and word == "most" else (i, i + 1, 0.5, 1.0, True)
    if word in _LESSER:
        if before in _LITTLE:
            return i - 1, i + 1, 0.0, 0.3, False
        return (i - 1, i + 1, 0.4, 1.0, True) if before in _LARGE else None
    start = i - 1 if before == "the" else i
    near = bool(start) and words[start - 1] in _NEARLY
    if word != "all" and not any(each in _IMAGE | {"area"} for each in words[i + 1 : i + 4]):
        return None
    if word == "all" and not (near and words[i + 1 : i + 2] == ["of"]):
        return None
    scene = next((j for j in range(i + 1, min(i + 4, len(words))) if words[j] in _IMAGE | {"area"}), i)
    return start - near, (i if word == "all" else scene) + 1, 0.75 if near else 0.85, 1.0, False


def _bounded(words: Sequence[str], start: int, least: float, most: float) -> tuple[int, float, float]:
    """Take in what stands before a number: "about", "more than", "at least", "just under"."""
    slightly = False
    for j in range(start - 1, max(-1, start - 5), -1):
        word = words[j]
        if word == "than" or word in _ABOUT or word in _NEARLY:
            start = j if word in _NEARLY else start  # "close to half"
            continue
        if word in _SLIGHTLY:
            slightly = True
        elif word in _ABOVE | _BELOW:
            if word in {"more", "most", "least", "up"} and words[j - 1 : j] in (["no"], ["not"]):
                return j - 1, 0.0, most
            if not _SLIGHTLY.isdisjoint(words[max(0, j - 2) : j]) or slightly or word == "only":
                return j, least, most
            if word == "up" and words[j + 1] != "to":
                break  # "makes up"
            return j, *((least, 1.0) if word in _ABOVE else (0.0, most))
        else:
            break
    return start, least, most


def _of_part(text: Text, start: int, scene: str) -> bool:
    """Tell whether a share is of a part of the image: "in the north, most of the land is forest"."""
    if scene in _IMAGE:
        return False
    first = start
    while first and text.sentence[first - 1] == text.sentence[start] and text.words[first - 1] != ";":
        first -= 1
    return any(part_at(text, j) is not None for j in range(first, start) if text.words[j] in DIRECTIONS)


def _claim_of(
    text: Text,
    claims: Sequence[Claim],
    starts: dict[int, int],
    quantity: _Quantity,
    before: tuple[_Quantity, Claim] | None,
) -> Claim | None:
    """Find what a quantity is the share of."""
    words = text.words
    if not quantity.of_scene and (claim := _adjacent(words, claims, starts, quantity.end)) is not None:
        return claim
    if before is not None and text.sentence[before[0].start] == text.sentence[quantity.start]:
        between = words[before[0].end : quantity.start]
        if between[:1] in ([","], ["("], ["or"], ["–"], ["—"]) and all(
            each in _BETWEEN or each in "(–—or" for each in between
        ):
            after = words[quantity.end : quantity.end + 1]
            return before[1] if after[:1] == [] or after[0] not in _LINKS else _after(text, claims, quantity)
    if quantity.end < len(words) and words[quantity.end] in _LINKS:
        return _after(text, claims, quantity) or subject_of(text, claims, quantity.start)
    return subject_of(text, claims, quantity.start) or _after(text, claims, quantity)


def _adjacent(words: Sequence[str], claims: Sequence[Claim], starts: dict[int, int], end: int) -> Claim | None:
    """Find "60 percent forest", "60 % dense tree cover"."""
    for j in range(end, min(end + _ADJECTIVES_REACH, len(words))):
        if j in starts:
            return claims[starts[j]]
        if not words[j].isalpha() or words[j] in _BETWEEN or words[j] == "and":
            return None
    return None


def subject_of(text: Text, claims: Sequence[Claim], start: int) -> Claim | None:
    """Find the claim of which a verb before a quantity tells the share, past what commas enclose."""
    words = text.words
    inner = next((claim for claim in reversed(claims) if claim.end <= start), None)
    if inner is not None and text.sentence[inner.start] == text.sentence[start]:
        linked = words[inner.end : inner.end + 1] != ["and"]
        if (
            linked
            and all(word in _BETWEEN for word in words[inner.end : start])
            and "," not in words[inner.end : start][1:]
        ):
            return inner if not _enclosed(words, inner.start, start) else _outer(text, claims, start)
        return _outer(text, claims, start)
    return None


def _together(text: Text, claims: Sequence[Claim], claim: Claim, start: int) -> tuple[Claim, ...]:
    """Return claims with those that are joined to it as subjects: "forest and scrub together account for"."""
    words = text.words
    if claim.end > start or "each" in words[claim.end : start]:
        return (claim,)
    listed = [claim]
    for other in reversed([each for each in claims if each.end < claim.start]):
        between = [word for word in words[other.end : listed[0].start] if word not in {"the", "a"}]
        if between not in (["and"], [","], [",", "and"]) or not other.said or other.absent:
            break
        listed.insert(0, other)
    return tuple(listed) if "and" in words[listed[0].end : claim.start] else (claim,)


def _enclosed(words: Sequence[str], i: int, start: int) -> bool:
    """Tell whether a word stands within commas that close before the verb: "forest, cut by creeks, makes up …"."""
    verb = next((j for j in range(start - 1, i, -1) if words[j] in _SHARE_VERBS), None)
    return verb is not None and words[verb - 1] == "," and _comma_before(words, i) is not None


def _comma_before(words: Sequence[str], i: int) -> int | None:
    for j in range(i - 1, max(-1, i - 14), -1):
        if words[j] in {".", ";"}:
            return None
        if words[j] == ",":
            return j
    return None


def _outer(text: Text, claims: Sequence[Claim], start: int) -> Claim | None:
    words = text.words
    verb = next((j for j in range(start - 1, max(0, start - 6), -1) if words[j] in _SHARE_VERBS), None)
    if verb is None or any(word not in _BETWEEN for word in words[verb + 1 : start]):
        return None
    if words[verb - 1] == "and":  # "the water is blue near the shore and covers …"
        return next((claim for claim in claims if text.sentence[claim.start] == text.sentence[start]), None)
    if words[verb - 1] != ",":
        return None
    opening = _comma_before(words, verb - 1)
    near = next((claim for claim in claims if claim.end == opening), None)
    return near or first_before_comma(text, claims, start)


def _after(text: Text, claims: Sequence[Claim], quantity: _Quantity) -> Claim | None:
    words, end = text.words, quantity.end
    for claim in claims:
        if claim.start < end:
            continue
        between = words[end : claim.start]
        if len(between) > 14 or end >= len(words) or text.sentence[claim.start] != text.sentence[end - 1]:
            return None
        odd = [word for word in between if word not in _BETWEEN]
        opens = quantity.start > 0 and words[quantity.start - 1] in {"with", "at"} and text.first[quantity.start - 1]
        linked = quantity.of_scene or between[:1] != [","] or opens
        return claim if linked and len(odd) <= 2 and not {"and", ")", ";"} & set(between) else None
    return None


def _adverb(text: Text, claims: Sequence[Claim], starts: dict[int, int], i: int) -> Iterator[Amount]:
    """Read "mostly forest", "almost entirely covered by water", "forest covers the scene almost entirely"."""
    words = text.words
    prevailing = words[i] in _PREVAILING
    amount = Amount((), 0.5 if prevailing else 0.9, 1.0, words[i], most_of_all=prevailing)
    j = i + 1
    while j < len(words) and words[j] in _LED_BY:
        j += 1
    if j < len(words) and words[j] in {"in", "on", "along", "at", "across", "within"}:
        return
    listed = list(_listed(text, claims, starts, j, amount))
    if listed:
        yield from listed
    elif not prevailing and words[i + 1 : i + 2] in ([], ["."], [","]):
        claim = subject_of(text, claims, i)
        if claim is not None and any(word in _COVERS for word in words[claim.end : i]):
            yield Amount((claim,), amount.least, 1.0, words[i])


def _listed(text: Text, claims: Sequence[Claim], starts: dict[int, int], i: int, amount: Amount) -> Iterator[Amount]:
    """Give an amount to the claims that are listed from a word on: "forest and open fields"."""
    words, j, gap = text.words, i, 0
    listed: list[Claim] = []
    while j < len(words) and gap <= _ADJECTIVES_REACH:
        if j in starts:
            listed.append(claims[starts[j]])
            j, gap = claims[starts[j]].end, 0
            continue
        if listed and words[j] in {"some", "a", "an", "one"} and words[j - 1] == ",":
            break
        if words[j] in {".", ";", "(", "in", "on", "along", "at", "which", "that"} or words[j][:1].isdigit():
            break
        if (
            listed
            and words[j] not in {"and", ",", "or", "&"}
            and gap == 0
            and j
            and words[j - 1] not in {"and", ",", "or"}
        ):
            break
        gap += 1
        j += 1
    if listed and all(claim.said and not claim.absent for claim in listed) and not _parted(text, i, j):
        yield Amount(tuple(listed), amount.least, amount.most, amount.said, amount.most_of_all)


def _parted(text: Text, start: int, end: int) -> bool:
    """Tell whether a share is of a part of the image only: "the north is mostly forest"."""
    first, last = start, end
    while first and text.words[first - 1] not in {".", ";"} and text.sentence[first - 1] == text.sentence[start - 1]:
        first -= 1
    last = min(len(text.words), last + 8)
    near = range(first, last)
    return any(part_at(text, j) is not None for j in near if text.sentence[j] == text.sentence[min(start, last - 1)])


def _dominates(text: Text, claims: Sequence[Claim], i: int) -> Iterator[Amount]:
    """Read "forest dominates the scene", "forest predominates"; not "a church dominates the square"."""
    claim = subject_of(text, claims, i)
    if claim is None or claim.end != i or _parted(text, i, i + 1) or not claim.said or claim.absent:
        return
    after = text.words[i + 1 : i + 4]
    if after[:1] not in ([], ["."], [","], [":"], ["here"]) and not any(word in _SCENE for word in after):
        return
    together = [claim]
    for other in reversed([each for each in claims if each.end < claim.start]):
        if text.words[other.end : together[0].start] not in (["and"], [","], ["or"]):
            break
        together.insert(0, other)
    if all(each.said and not each.absent for each in together):
        yield Amount(tuple(together), 0.5, 1.0, "dominant", most_of_all=True)
