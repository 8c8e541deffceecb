"""What a caption says of relief and heights, against the heights and slopes of the facts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from git10m.captions.checks.amounts import number_of
from git10m.captions.checks.reading import Text

__all__ = ["height_contradictions"]

_MOUNTAINS_LISTED = """
    mountainous mountain mountains mountainside steep steeply rugged alpine precipitous peaks summit summits
    mountainsides mountaintop mountaintops massif massifs crags ravines ridgeline ridgelines
"""
_HILLS_LISTED = "hilly hill hills hillside hillsides hilltop hillslope hillslopes hillock foothills ridges"
_MOUNTAINS, _HILLS = frozenset(_MOUNTAINS_LISTED.split()), frozenset(_HILLS_LISTED.split())
_FLAT = frozenset({"flat", "level"})
_FLAT_ALONE = frozenset({"lowland", "lowlands", "flatland", "flatlands", "floodplain", "plain", "plains"})
_AFTER_NOUN = frozenset({".", ",", ";", "of", "in", "is", "with", "and", "where", "that", "which", "lies", "near"})
_GROUND_LISTED = """
    terrain land ground landscape plain country area surface relief topography tract farmland fields region valley
    coast coastal countryside scene polder desert steppe lowland lowlands site tile
"""
_GROUND = frozenset(_GROUND_LISTED.split())
_RELIEF = frozenset({"relief", "topography"})
_NONE_OF_IT = frozenset({"negligible", "nil", "absent", "minimal", "slight", "flat", "imperceptible", "none"})
_STRONG = frozenset({"pronounced", "strong", "considerable", "high", "great", "marked", "dramatic"})
_NOT_SO = frozenset(
    {"only", "no", "not", "without", "neither", "nor", "nearest", "distant", "beyond", "outside", "hardly"}
)
_FAR = frozenset({"nearest", "closest", "distant", "outside", "beyond"})
_IS = frozenset(
    {"is", "are", "looks", "look", "lies", "lie", "remains", "very", "quite", "almost", "nearly"}
) | frozenset(
    {"mostly", "fairly", "completely", "largely", "entirely", "practically", "rather", "relatively", "generally"}
    | {"uniformly", "consistently", "remarkably", "extremely", "perfectly", "essentially", "virtually", "broadly"}
    | {"everywhere", "low", "level", "smooth", "even", "open", "predominantly", "mainly", "utterly", "dead"}
)
_BETWEEN_ADJECTIVES = frozenset({"and", ","})
_LIES = frozenset({"is", "are", "looks", "look", "lies", "lie", "remains", "appears", "stays"})
_METRES = frozenset({"m", "metre", "metres", "meter", "meters"})
_OF_HEIGHT_LISTED = """
    elevation elevations altitude altitudes sea asl rising rises rise rose climbs climbing descends descending height
    summit peak heights highest lowest higher lower point points elevated
"""
_OF_HEIGHT = frozenset(_OF_HEIGHT_LISTED.split())
_NO_HEIGHT_LISTED = """
    pixel px resolution per wide long across width length apart deep depth tall thick diameter away distant radius
    sampling gsd distance side swath spacing
"""
_NO_HEIGHT = frozenset(_NO_HEIGHT_LISTED.split())
_FLAT_SLOPE_DEG, _FLAT_RANGE_M = 3.0, 100.0
"""Below both nothing is a mountain, nor steep."""
_LEVEL_SLOPE_DEG, _LEVEL_RANGE_M = 1.5, 25.0
"""Below both nothing is a hill."""
_STEEP_SLOPE_DEG = 8.0
"""From here on the ground is not flat."""
_NEAR_SEA_LEVEL_M = 60.0


def height_contradictions(text: Text, facts: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a caption says of mountains, hills, flat ground and heights that the facts contradict."""
    relief = facts.get("relief")
    if not relief:
        return
    lowest, highest, slope = (relief.get(key) for key in ("lowest_m", "highest_m", "slope_deg"))
    rise = None if lowest is None or highest is None else float(highest) - float(lowest)
    if slope is not None:
        yield from _forms(text, slope=float(slope), rise=rise)
    if rise is not None:
        yield from _heights(text, lowest=float(lowest), highest=float(highest))


def _forms(text: Text, *, slope: float, rise: float | None) -> Iterator[str]:
    words = text.words
    mountains = slope < _FLAT_SLOPE_DEG and (rise is None or rise < _FLAT_RANGE_M)
    hills = slope < _LEVEL_SLOPE_DEG and (rise is None or rise < _LEVEL_RANGE_M)
    for i, word in enumerate(words):
        high = word in _RELIEF and not _STRONG.isdisjoint(words[max(0, i - 2) : i + 4])
        if (word in _MOUNTAINS and mountains) or ((word in _HILLS or high) and hills):
            if _is_said(text, i) and words[i + 1 : i + 2] != ["bike"]:
                yield f"{word} (mean slope is {slope:.0f}°)"
                return
        elif slope > _STEEP_SLOPE_DEG and _says_flat(text, i) and _is_said(text, i):
            yield f"flat (mean slope is {slope:.0f}°)"
            return


def _is_said(text: Text, i: int) -> bool:
    """Tell a statement from what is denied, lies elsewhere, or is a name: "no hills", "Forest Hills"."""
    name = text.capital[i] and not text.first[i]
    return (
        not name
        and _NOT_SO.isdisjoint(text.words[max(0, i - 4) : i])
        and (_FAR.isdisjoint(text.words[max(0, i - 8) : i]))
    )


def _says_flat(text: Text, i: int) -> bool:
    """Read "flat terrain", "the ground is flat", "a level polder landscape", "relief is negligible", "lowland"."""
    words, word = text.words, text.words[i]
    if word in _FLAT_ALONE:
        return word != "plain" or words[i + 1 : i + 2] == [] or words[i + 1] in _AFTER_NOUN
    if word == "low":
        return words[i + 1 : i + 2] == ["lying"]
    if word in _RELIEF:
        return not _NONE_OF_IT.isdisjoint(words[i + 1 : i + 4]) and words[i + 1 : i + 2] in (["is"], ["remains"])
    if word not in _FLAT or text.joined[i]:
        return False
    if not _GROUND.isdisjoint(words[i + 1 : i + 3]) and "of" not in words[i + 1 : i + 3]:
        return True
    j = i - 1
    while j >= 0 and (words[j] in _IS or words[j] in _LIES or words[j] in _BETWEEN_ADJECTIVES):
        j -= 1
    return j >= 0 and words[j] in _GROUND and not _LIES.isdisjoint(words[j + 1 : i])


def _heights(text: Text, *, lowest: float, highest: float) -> Iterator[str]:
    """Hold metres above the sea against the heights: "rising from 250 to 500 m", "at roughly 2,100 metres"."""
    words = text.words
    margin = max(20.0, 0.1 * highest)
    shown = f"it is {lowest:.0f} to {highest:.0f} m"
    for i, word in enumerate(words):
        if word == "level" and words[i - 1 : i] == ["sea"] and _at_the_sea(words, i) and lowest > _NEAR_SEA_LEVEL_M:
            yield f"near sea level ({shown})"
        few = word == "few" and not _METRES.isdisjoint(words[i + 1 : i + 2]) and _at_most(words, i)
        if few and highest > _NEAR_SEA_LEVEL_M:
            yield f"a few metres above the sea ({shown})"
        if word not in _METRES or not _of_height(text, i):
            continue
        for j in _numbers(words, i):
            told = number_of(words[j]) or 0.0
            above, below = _bound(words, j)
            if (told > highest + margin and not below) or (told < lowest - margin and not above):
                yield f"elevation {words[j]} m ({shown})"
            elif _is_extreme(words, j, "highest", "maximum") and highest > told + 2 * margin:
                yield f"highest {words[j]} m ({shown})"
            elif _is_extreme(words, j, "lowest", "minimum") and lowest < told - 2 * margin:
                yield f"lowest {words[j]} m ({shown})"
            elif (below and highest > told + margin) or (above and highest < told - margin):
                yield f"elevation {'above' if above else 'below'} {words[j]} m ({shown})"


def _is_extreme(words: list[str], j: int, *told: str) -> bool:
    """Read "the highest point reaches 1,260 m"."""
    return not set(told).isdisjoint(words[max(0, j - 6) : j])


def _at_most(words: list[str], i: int) -> bool:
    """Read "nowhere more than a few metres above sea level", "the whole area lies within a few metres of it"."""
    told = not {"nowhere", "no", "within", "never", "everywhere", "whole"}.isdisjoint(words[max(0, i - 6) : i])
    return told and "sea" in words[i + 2 : i + 6]


def _at_the_sea(words: list[str], i: int) -> bool:
    """Tell "close to sea level", "within a few metres of sea level" from "500 metres above sea level"."""
    before = words[max(0, i - 8) : i - 1]
    if "few" in before or before[-2:] == ["just", "above"]:
        return True
    heights = any(word[:1].isdigit() for word in before) or not {"above", "below", "far"}.isdisjoint(before[-2:])
    return not heights and words[i + 1 : i + 2] not in (["rise"], ["is"])


def _of_height(text: Text, i: int) -> bool:
    """Tell heights above the sea from lengths, by the words about them."""
    words = text.words
    if not _NO_HEIGHT.isdisjoint(words[i + 1 : i + 3]):
        return False
    first = i
    while first and text.sentence[first - 1] == text.sentence[i] and i - first < 14:
        first -= 1
    last = i
    while last + 1 < len(words) and text.sentence[last + 1] == text.sentence[i] and last - i < 4:
        last += 1
    near = words[first : last + 1]
    if not _OF_HEIGHT.isdisjoint(near):
        return True
    numbers = _numbers(words, i)
    ends = words[i + 1 : i + 2] == [] or words[i + 1] in {".", ",", ";", ")", "and", "above"}
    if not numbers or not ends:
        return False
    lead = words[max(0, numbers[0] - 5) : numbers[0]]
    bounded = not {"below", "under", "above"}.isdisjoint(lead) and not _GROUND.isdisjoint(lead)
    return bounded or not {"lies", "lie", "situated", "located", "sits", "at", "between"}.isdisjoint(lead)


def _numbers(words: list[str], i: int) -> list[int]:
    """Return where the numbers of a length stand: "from 250 to over 500 metres" has two."""
    found = [i - 1] if i and number_of(words[i - 1]) is not None else []
    if found:
        for j in range(i - 2, max(-1, i - 6), -1):
            if number_of(words[j]) is not None and {"to", "and", "-", "–"} & set(words[j + 1 : i - 1]):
                found.insert(0, j)
                break
    return found


def _bound(words: list[str], j: int) -> tuple[bool, bool]:
    """Return whether a height is told as a least one, and whether as a greatest one."""
    before = words[max(0, j - 3) : j]
    denied = not {"no", "nowhere", "never", "not"}.isdisjoint(words[max(0, j - 6) : j])
    above = not {"above", "over", "exceeding", "exceeds", "exceed", "higher"}.isdisjoint(before) or before[-2:] == [
        "more",
        "than",
    ]
    below = not {"below", "under", "beneath", "lower"}.isdisjoint(before) or before[-2:] == ["less", "than"]
    return (below and denied) or (above and not denied), (above and denied) or (below and not denied)
