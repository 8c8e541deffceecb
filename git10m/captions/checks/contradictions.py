"""Claims of the ground that the facts do not hold: what is there, how much of it, and where."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from git10m.captions.checks.amounts import Amount, amounts_of
from git10m.captions.checks.claims import Claim
from git10m.captions.checks.comparisons import comparisons_of
from git10m.captions.checks.concepts import CONCEPTS, cases_of, evidence_of
from git10m.captions.checks.knowledge import Known
from git10m.captions.checks.parts import Placed, apart, in_part, placed
from git10m.captions.checks.reading import Text

__all__ = ["ground_contradictions"]

_LEAST_HELD_SHARE = 0.05
"""A class of at least this share contradicts that there is none of it."""
_FLOODED = frozenset({"rice", "paddy", "paddies"})
_BUILT_UP = ("building", "solar", "parking", "airport", "tank", "harbour", "railway", "motorway")
"""What land cover shows as built up beside houses."""
_COMMON_BUILDINGS = ("residential", "house", "industry", "building", "hangar")
"""Where one of them is mapped the others are, too; a church may be mapped where houses are not."""
_OPEN = frozenset({"water", "snow"})
"""Where there is nothing else, small things are not there either."""
_TOLERANCE = 0.1
"""Shares may be told wrong by so much."""


def ground_contradictions(text: Text, claims: Sequence[Claim], known: Known) -> Iterator[str]:
    """Yield what a caption says of the ground against the facts, in order, as details of flags."""
    said = [claim for claim in claims if claim.said]
    denied = set()
    for claim in said:
        shown = text.surface(claim.start, claim.end)
        if claim.absent:
            if not in_part(text, claim) and (held := _held(claim, known)) is not None:
                yield f"no {shown}, but {held}"
        elif claim.concept == "water" and not _FLOODED.isdisjoint(text.words):
            continue  # in paddies, which are cropland
        elif claim.concept and not claim.named and (why := _denied(claim, known)) is not None:
            denied.add(claim)
            yield f"{shown} ({why})"
    there = [claim for claim in said if not claim.absent and claim not in denied]
    for amount in amounts_of(text, claims):
        if all(claim in there for claim in amount.claims) and (why := _misjudged(amount, known)) is not None:
            yield f"{amount.said} {text.surface(amount.claims[0].start, amount.claims[-1].end)} ({why})"
    for more, less in comparisons_of(text, claims):
        if more in there and less in there and _is_exceeded(more, less, known):
            yield f"more {text.surface(more.start, more.end)} than {text.surface(less.start, less.end)}"
    for place in placed(text, claims):
        if place.claim in there and (why := _misplaced(place, known)) is not None:
            yield f"{text.surface(place.claim.start, place.claim.end)} in the {place.part} ({why})"


def _denied(claim: Claim, known: Known) -> str | None:
    """Return which facts deny that something is there; None when they bear it out or cannot tell."""
    name, concept = claim.concept, CONCEPTS[claim.concept]
    many_trees = claim.many and name == "tree"
    if _is_borne_out(name, known, strictly=many_trees):
        return None
    if name in {"snow", "ice"} and known.facts.get("season") in {"winter", "spring", "autumn"}:
        return None  # land cover knows only what stays
    kinds = known.kinds
    room = concept.shown_by | {"shrub"} if many_trees else concept.room
    if known.whole and not kinds & room and not (claim.small and kinds - _OPEN):
        return "not in the land cover"
    return "not among the objects" if concept.counted and known.would_list(name) else None


def _is_borne_out(name: str, known: Known, *, strictly: bool) -> bool:
    """Tell whether an object, a class by its name, or a kind of land cover shows a thing.

    Args:
        name: Concept.
        known: Facts.
        strictly: Only cases of it do: a settlement shows no mass of trees.
    """
    wanted = cases_of(name, "forest", "orchard") if strictly else evidence_of(name)
    if any(thing.concepts & wanted for thing in known.objects or ()):
        return True
    if _is_told_by_objects(name, known):
        return False
    return any(entry.concepts & wanted for entry in known.cover or ()) or bool(known.kinds & CONCEPTS[name].shown_by)


def _is_told_by_objects(name: str, known: Known) -> bool:
    """Tell whether objects say what is built, so that built-up land bears out no other kind: warehouses, no houses."""
    for whole, told in (("building", _COMMON_BUILDINGS), ("road", ("road",))):
        if name != whole and name in cases_of(whole):
            return any(thing.concepts & cases_of(*told) for thing in known.objects or ())
    return False


def _held(claim: Claim, known: Known) -> str | None:
    """Return the fact that contradicts that something is absent."""
    for entry in known.cover or ():
        named = bool(claim.class_words) and entry.words == claim.class_words
        # Built-up land is of buildings of any use: where some are known, they tell whether there are houses.
        other = claim.concept in cases_of("building") and any(known.objects_of(each) for each in _BUILT_UP)
        crop = bool(claim.concept) and "crops" in CONCEPTS[claim.concept].broader  # cropland need be no orchard
        tells = bool(claim.concept) and (claim.concept == "building" or not other) and not crop
        kinds = CONCEPTS[claim.concept].kinds if tells else frozenset[str]()
        if entry.share >= _LEAST_HELD_SHARE and (named or (entry.kinds and entry.kinds <= kinds)):
            return f"{round(100 * entry.share)} % {' '.join(entry.words)}"
    if (claim.concept and CONCEPTS[claim.concept].counted) or claim.concept in {"water", "forest", "people"}:
        names = cases_of(claim.concept, *(("house",) if claim.concept == "residential" else ()))
        for thing in known.objects or ():
            if thing.concepts & names:
                return f"{thing.kind} among the objects"
    return None


def _misjudged(amount: Amount, known: Known) -> str | None:
    """Return what the land cover says of a share that it does not bear out."""
    bounds = _shares(amount.claims, known)
    if bounds is None:
        return None
    least, most = bounds
    if most < amount.least - _TOLERANCE and not (amount.most_of_all and _is_largest(amount.claims, known, most)):
        return f"{round(100 * most)} % of the land cover"
    if least > amount.most + _TOLERANCE:
        return f"{round(100 * least)} % of the land cover"
    return None


def _shares(claims: Sequence[Claim], known: Known) -> tuple[float, float] | None:
    """Return least and largest share that claims may stand for, together; None where nothing tells."""
    if not known.cover:
        return None
    least, most = 0.0, 0.0
    counted: set[int] = set()
    for claim in claims:
        own = [i for i, entry in enumerate(known.cover) if claim.class_words and entry.words == claim.class_words]
        if claim.concept:
            concept = CONCEPTS[claim.concept]
            if not concept.kinds and not own:
                own = [i for i, entry in enumerate(known.cover) if entry.concepts & cases_of(claim.concept)]
                if not own:
                    return None
            may = concept.kinds if "water" in concept.kinds else concept.shown_by | concept.kinds
            sure = [i for i, e in enumerate(known.cover) if e.kinds is not None and e.kinds <= concept.kinds]
            open_to = [i for i, e in enumerate(known.cover) if e.kinds is None or e.kinds & may]
            named = [i for i in open_to if known.cover[i].concepts & cases_of(claim.concept)]
            if named and concept.broader and not concept.counted:  # where olive groves are a class, arable land is none
                open_to = named
        else:
            sure = open_to = own
        least += sum(known.cover[i].share for i in (own or sure) if i not in counted)
        most += sum(known.cover[i].share for i in {*open_to, *own} - counted)
        counted |= {*open_to, *own}
    unknown = max(0.0, 1.0 - sum(entry.share for entry in known.cover))
    return least, min(1.0, most + unknown)


def _is_exceeded(more: Claim, less: Claim, known: Known) -> bool:
    """Tell whether what is said to cover less covers clearly more."""
    first, second = _shares((more,), known), _shares((less,), known)
    return first is not None and second is not None and first[1] + 0.5 * _TOLERANCE < second[0]


def _is_largest(claims: Sequence[Claim], known: Known, share: float) -> bool:
    """Tell whether what is claimed to prevail is at least the most widespread class."""
    return len(claims) >= 1 and share >= max(entry.share for entry in known.cover or ()) - 0.5 * _TOLERANCE


def _misplaced(place: Placed, known: Known) -> str | None:
    """Return where the facts have a thing that a caption puts elsewhere; None where they do not tell."""
    claim = place.claim
    single = bool(claim.concept) and CONCEPTS[claim.concept].counted
    classes, things = _class_parts(claim, known), _object_parts(claim, known)
    if set(things) == {None} and len(classes) == 1:
        things = []
    parts = (things or classes) if single or (claim.kind and not claim.class_words) else (classes or things)
    if not parts or None in parts:
        return None
    mostly = place.mostly or (single and place.within)
    if all(apart(place.part, part, mostly=mostly) for part in parts if part is not None):
        return f"it lies in the {parts[0]}"
    return None


def _class_parts(claim: Claim, known: Known) -> list[str | None]:
    """Return where the classes lie that are what is claimed; or else those that may be it."""
    cover = known.cover or ()
    if claim.class_words:
        return [entry.part for entry in cover if entry.words == claim.class_words]
    kinds = CONCEPTS[claim.concept].kinds if claim.concept else frozenset[str]()
    sure = [entry.part for entry in cover if entry.kinds is not None and entry.kinds <= kinds]
    return sure or [entry.part for entry in cover if entry.kinds is not None and entry.kinds & kinds]


def _object_parts(claim: Claim, known: Known) -> list[str | None]:
    """Return where the objects lie that are what is claimed; or else those that may be it."""
    if claim.kind:
        return [thing.part for thing in known.objects or () if thing.kind == claim.kind]
    if not claim.concept:
        return []
    cases = [thing.part for thing in known.objects or () if thing.concepts & cases_of(claim.concept)]
    return cases or [thing.part for thing in known.objects_of(claim.concept)]
