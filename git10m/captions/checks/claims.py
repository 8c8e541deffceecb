"""What a caption claims of the ground: which things, whether they are said to be there or not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from git10m.captions.checks.concepts import CONCEPTS
from git10m.captions.checks.knowledge import VOCABULARY, Known, spoken_kind
from git10m.captions.checks.reading import Phrases, Text

__all__ = ["Claim", "claims_of", "named_words"]


@dataclass(frozen=True, slots=True)
class Claim:
    """A thing that is said to be there, or not to be there.

    Attributes:
        start: Its first word.
        end: The word after its last.
        concept: Of ``concepts.CONCEPTS``; "" of a class name that is in no vocabulary, and of figures of speech.
        class_words: Words of the land-cover class that it names; empty when it names none.
        kind: Kind of object of the facts that it names; empty when it names none.
        absent: Whether it is said not to be there.
        small: Whether it is said to be small or few: land cover, which leaves out what is below 1 %, may lack it.
        many: Whether there are said to be many: land cover would show them.
        said: Whether it is a claim at all: "like a river", "12 km north of Lake Geneva" and names claim nothing.
    """

    start: int
    end: int
    concept: str
    class_words: tuple[str, ...] = ()
    kind: str = ""
    absent: bool = False
    small: bool = False
    many: bool = False
    said: bool = True

    @property
    def named(self) -> bool:
        """Whether it names what the facts hold by the facts' own words."""
        return bool(self.class_words or self.kind)


_NEGATORS = frozenset(
    {"no", "without", "not", "lacking", "lacks", "lack", "devoid", "neither", "nor", "never", "nothing", "zero"}
    | {"none", "cannot", "hardly", "absence", "nowhere", "minus", "void", "bereft", "excluding", "absent"}
)
_INSTEAD = {"instead": "of", "rather": "than"}
_MODALS = frozenset({"may", "might", "could", "would", "once", "formerly"})
_NOT_HERE = frozenset({"nearest", "closest", "once", "formerly", "neighbouring", "neighboring"})
_REST = frozenset({"rest", "remainder", "otherwise", "apart", "except", "besides", "else", "beyond"})
_OUTSIDE = frozenset({"outside", "beyond"})
_SMALL = frozenset({"small", "tiny", "little", "few", "patch", "patches", "clump", "clumps", "pocket", "pockets"})
_MANY = frozenset(
    {"many", "numerous", "plenty", "lots", "abundant", "countless", "dense", "lush", "thick"}
) | frozenset({"surrounded", "surround", "enclosed", "covered"})
_LOCAL = frozenset({"without", "devoid", "lacking", "free"})
_NEGATED_AFTER = frozenset(
    {"not", "absent", "missing", "nowhere", "lacking", "cannot", "none", "unseen", "invisible", "nonexistent"}
)
_INVERTED = frozenset({"is", "are", "can", "was", "were"})
_ARTICLES = frozenset({"the", "a", "an", "its", "this"})
_BEFORE_ARTICLES = _NEGATORS | _INVERTED | {"of", "or", "there", ","}
_NO_NEGATION = frozenset(
    {"only", "fewer", "less", "more", "just", "far", "longer", "doubt", "all", "entirely", "merely"}
)
_VERBS_LISTED = """
    is are was were be been has have had shows show showing covers cover covering crosses cross crossing runs run
    running lies lie lying stands stand stretches stretch dominates dominate surrounds surround fills fill cuts cut
    winds wind flows flow borders border lines line occupies occupy extends extend makes make contains contain
    includes include features feature reveals reveal can appears appear remains remain dot dots passes pass leads
    lead meets meet sits sit surrounded bordered bounded flanked lined covered filled dotted crossed dominated
    blankets blanket
"""
_VERBS = frozenset(_VERBS_LISTED.split())
_PREPOSITIONS_LISTED = """
    on in at along near by across through around between beside beside over under from to into toward towards
    within behind above below amid amidst among alongside next opposite against with past beyond after before onto
"""
_PREPOSITIONS = frozenset(_PREPOSITIONS_LISTED.split())
_BREAKS = frozenset(
    {";", ":", ".", "!", "?", "(", ")", "—", "–", "-", "but", "while", "whereas", "although", "which"}
) | {
    "that",
    "where",
    "though",
    "however",
    "yet",
}
_DETERMINERS = frozenset({"the", "a", "an", "some", "this", "its", "several", "many", "few", "two", "three", "there"})
_LIKE = frozenset({"like", "resembling", "resembles", "resemble", "reminiscent", "akin"})
_LENGTHS = frozenset({"km", "kilometre", "kilometres", "kilometer", "kilometers", "mile", "miles", "kilometre's"})
_RELATIONAL = frozenset(
    {"of", "near", "from", "in", "around", "at", "to", "towards", "outside", "for", "by", "over", "above"}
)
_IMAGE = frozenset({"image", "frame", "picture", "scene", "tile", "view", "photo", "photograph", "sight"})
_EXCEPT = frozenset({"except", "apart", "save", "besides"})
_LOCALITIES_LISTED = """
    shore shores shoreline bank banks island islands islet islets slope slopes side sides edge edges margin margins
    headland summit summits peaks ridges banksides hillside hillsides
"""
_LOCALITIES = frozenset(_LOCALITIES_LISTED.split())
"""What is undeveloped or treeless there may be so alone: "the shore is unbuilt"."""
_TRACES = frozenset({"trace", "traces", "sign", "signs", "evidence"})
_LINKING = frozenset({"spans", "span", "reaches", "reach", "shades", "shade", "fringes", "fringe", "touches"})
_WATERS = frozenset({"marsh", "river", "lake", "stream", "canal", "shore", "bank", "banks", "island", "bay", "creek"})
_ON = frozenset({"on", "along", "between", "beside", "near", "around", "within", "inside"})
_ADJECTIVES_REACH = 4
_PREDICATE_REACH = 5
_LONGEST_NAME = 6
_FEATURES = frozenset({"coast", "sea", "ocean", "bay", "gulf", "shore", "desert", "delta", "estuary", "river", "lake"})
_NEAR = frozenset({"near", "from", "of", "off", "toward", "towards"})
_FEATURE_FIRST = frozenset(
    {"lake", "river", "mount", "cape", "gulf", "bay", "port", "loch", "castle", "isle", "island"}
)


def named_words(text: Text, known: Known | None) -> set[int]:
    """Return the words that belong to names which the facts hold; what they mean as words is no claim."""
    if known is None or not known.names:
        return set()
    return {i for match in _names_in(text, known) for i in range(match[0], match[1])}


def _names_in(text: Text, known: Known) -> list[tuple[int, int]]:
    found = []
    there = set(text.words)
    for words in known.names:
        if not there.issuperset(words):
            continue
        size = len(words)
        for i in (i for i, word in enumerate(text.words) if word == words[0]):
            if tuple(text.words[i : i + size]) == words and _is_name(text, i, i + size):
                found.append((i, i + size))
    return found


def _is_name(text: Text, start: int, end: int) -> bool:
    """Tell whether words that spell a name stand for it: by capitals, or because they are several."""
    if text.capital[start]:
        return not text.first[start] or end - start > 1 or text.words[end : end + 1] == [","]
    if not any(text.capital):
        before = text.words[start - 1] if start else ""
        return end - start > 1 or before in _RELATIONAL
    return end - start > 1


def claims_of(text: Text, known: Known | None, *, masked: set[int]) -> list[Claim]:
    """Return what a caption speaks of, in order; what it does not claim is among it, marked so.

    Args:
        text: The caption.
        known: Facts, for the names of land-cover classes.
        masked: Words that belong to names.
    """
    claims = _class_claims(text, known, masked)
    taken = masked | {i for claim in claims for i in range(claim.start, claim.end)}
    for match in VOCABULARY.find(text.words, taken=taken):
        concept, absent = match.value, False
        if concept.startswith("-"):
            concept, absent = concept[1:], True
        claims.append(Claim(match.start, match.end, concept, absent=absent, said=bool(concept)))
    claims.sort(key=lambda claim: claim.start)
    ends = {claim.end for claim in claims if claim.named or (claim.concept and CONCEPTS[claim.concept].kinds)}
    return [_looked_at(text, claim, ends) for claim in claims]


def _class_claims(text: Text, known: Known | None, masked: set[int]) -> list[Claim]:
    """Find the facts' own names of classes and objects, as our template speaks of them; longer terms go before."""
    there = set(text.words)
    names = {} if known is None else {words: value for words, value in _fact_words(known) if words[0] in there}
    if not names:
        return []
    terms = {i: match for match in VOCABULARY.find(text.words, taken=masked) for i in range(match.start, match.end)}
    claims = []
    for match in Phrases(names).find(text.words, taken=masked):
        term = terms.get(match.start)
        if term is not None and term.end >= match.end and term.end - term.start > match.end - match.start:
            continue
        same = term is not None and (term.start, term.end) == (match.start, match.end)
        concept = term.value if term is not None and same and not term.value.startswith("-") else ""
        class_words, kind = match.value
        claims.append(Claim(match.start, match.end, concept, class_words=class_words, kind=kind))
    return claims


def _fact_words(known: Known) -> list[tuple[tuple[str, ...], tuple[tuple[str, ...], str]]]:
    """Return the words of each class and kind of object, with (class words, kind) that they stand for."""
    classes = {entry.words for entry in known.cover or () if entry.words}
    found = {words: (words, "") for words in classes}
    for thing in known.objects or ():
        for words in spoken_kind(thing.kind):
            found[words] = (words if words in classes else (), thing.kind)
    return list(found.items())


def _looked_at(text: Text, claim: Claim, ends: set[int]) -> Claim:
    """Tell negations, comparisons, distances and names from claims."""
    if not claim.said:
        return claim
    if (
        _is_figure(text, claim)
        or _is_distant(text, claim)
        or _is_elsewhere(text, claim)
        or (not claim.named and _in_name(text, claim))
    ):
        return replace(claim, said=False)
    if not _SMALL.isdisjoint(text.words[max(0, claim.start - _ADJECTIVES_REACH) : claim.end]):
        claim = replace(claim, small=True)
    elif not _MANY.isdisjoint(text.words[max(0, claim.start - _ADJECTIVES_REACH) : claim.start]):
        claim = replace(claim, many=_close(text, claim))
    if claim.absent:
        beside = {*text.words[max(0, claim.start - 3) : claim.start], *text.words[claim.end : claim.end + 2]}
        local = (
            _is_local(text, claim.end)
            or "only" in text.words[claim.end : claim.end + 4]
            or not _LOCALITIES.isdisjoint(beside)
        )
        return replace(claim, said=not (local or _of_the_rest(text, claim.start)))
    negator = _negated_before(text, claim.start)
    if negator is not None and (
        # "Barren land without any vegetation" speaks of that land, not of the tile.
        not {"other", "further", "additional"}.isdisjoint(text.words[negator : claim.start])
        or _is_of_a_thing(text, negator, ends)
        or _is_local(text, claim.end)
        or _of_the_rest(text, negator)
    ):
        return replace(claim, said=False)
    if negator is not None or _negated_after(text, claim.end):
        return replace(claim, absent=True)
    return claim


def _close(text: Text, claim: Claim) -> bool:
    """Tell whether nothing but adjectives stands between "many" and the thing: "many green trees"."""
    before = text.words[max(0, claim.start - _ADJECTIVES_REACH) : claim.start]
    last = max(i for i, word in enumerate(before) if word in _MANY)
    if before[last] == "covered" and before[last + 1 : last + 2] in (["with"], ["in"]):
        last += 1
    return all(
        word.isalpha() and word not in _VERBS | (_PREPOSITIONS - {"by"}) | {"and"} for word in before[last + 1 :]
    )


def _is_figure(text: Text, claim: Claim) -> bool:
    """Find comparisons ("like a river", "river-like") and what was ("former airfield")."""
    words, i = text.words, claim.start
    for j in range(i - 1, max(-1, i - 4), -1):
        if words[j] in _LIKE and not text.joined[j]:
            return not (words[j] == "like" and j and words[j - 1].startswith("look"))
        if words[j] in {"former", "formerly", "unlike", "disused", "dismantled", "decommissioned"} or (
            words[j] == "from" and words[j - 1] in {"far", "away"} and j
        ):
            return True
        if not words[j].isalpha():
            break
    after = words[claim.end] if claim.end < len(words) else ""
    return after in {"like", "shaped", "looking", "colored", "coloured"} and text.joined[claim.end]


def _is_elsewhere(text: Text, claim: Claim) -> bool:
    """Find what may be there at other times, and what lies outside: "water may pool here", "is out of frame"."""
    words, start = text.words, claim.start
    before = words[max(0, start - _PREDICATE_REACH) : start]
    if not _NOT_HERE.isdisjoint(before[-3:]) or (before[-1:] and before[-1] in _MODALS):
        return True
    if (
        "if" in before
        or before[-3:] == ["used", "to", "be"]
        or "appears at first" in " ".join(words[max(0, start - 8) : start])
    ):
        return True
    for j in range(claim.end, min(claim.end + _PREDICATE_REACH, len(words) - 1)):
        word = words[j]
        if not word.isalpha():
            return False
        if word in _MODALS:
            return not (word == "once" and claim.named)
        out_of = word == "out" and words[j + 1] == "of"
        if (out_of or word in _OUTSIDE) and not _IMAGE.isdisjoint(words[j + 1 : j + 7]):
            return True
    return False


def _is_distant(text: Text, claim: Claim) -> bool:
    """Find things that are told to lie some kilometres away."""
    words, i = text.words, claim.start
    near = words[max(0, i - 8) : i]
    if not any(word in _LENGTHS for word in near) or not any(
        word in {"of", "from"} for word in words[max(0, i - 4) : i]
    ):
        return False
    far = max(j for j, word in enumerate(near) if word in _LENGTHS)
    between = near[far + 1 :]
    return not any(word in _VERBS or word in {".", ";"} for word in between) and between[:1] != ["of"]


def _in_name(text: Text, claim: Claim) -> bool:
    """Tell whether a term is part of a name that claims nothing: "Salt Lake City", "Forest Hills", "of Lake Geneva"."""
    capital, words = text.capital, text.words
    if not capital[claim.start] and claim.start > 1 and capital[claim.start - 1] and not text.first[claim.start - 1]:
        near = words[max(0, claim.start - 4) : claim.start - 1]
        return words[claim.start] in _FEATURES and not _NEAR.isdisjoint(near)  # "near the Atlantic coast"
    if not capital[claim.start] or text.first[claim.start]:
        follows = claim.end < len(words) and capital[claim.end] and not text.joined[claim.end]
        # At the beginning of a sentence a capital tells nothing, but a second one does: "Forest Hills lies in …".
        return text.first[claim.start] and follows and capital[claim.start] and words[claim.start] not in _FEATURE_FIRST
    start, end = claim.start, claim.end
    while start > claim.start - _LONGEST_NAME and start and capital[start - 1]:
        start -= 1
    while end < min(len(words), claim.end + _LONGEST_NAME) and capital[end]:
        end += 1
    if end - start == claim.end - claim.start:  # alone in capitals: "a River", or a place: "near Lake, France"
        before = words[start - 1] if start else ""
        among_names = before in {",", "and"} and start > 1 and capital[start - 2]
        return among_names or (before in _RELATIONAL and words[end : end + 1] == [","])
    before = words[start - 1] if start else ""
    if before == "the" and start > 1:
        before = words[start - 2]
    if before in _RELATIONAL:
        return True
    return (end > claim.end and claim.start != start) or (end > claim.end and words[claim.start] not in _FEATURE_FIRST)


def _negated_before(text: Text, i: int) -> int | None:  # noqa: PLR0911 - a reader of clauses
    """Return the word before a thing that negates it; None where none does."""
    words = text.words
    for j in range(i - 1, max(-1, i - 14), -1):
        word = words[j]
        if word in {"only", "just", "merely"}:  # "no houses, only snow"
            return None
        if word in {"barely", "scarcely"} and words[j + 1] == "any":
            return j
        if word in _INSTEAD and words[j + 1] == _INSTEAD[word]:
            return j
        if word in _NEGATORS or word.endswith("n't"):
            return None if words[j + 1] in _NO_NEGATION else j
        if word == "free":
            return j if words[j + 1] in {"of", "from"} else None
        if word in _INVERTED and j and (words[j - 1] == "nowhere" or words[j + 1] == "there"):
            continue  # "nowhere is there a lake", "nowhere can a river be seen"
        if word in _VERBS and j and (words[j - 1] in {"not", "never", "cannot"} or words[j - 1].endswith("n't")):
            continue  # "does not contain any lake"
        if word in _BREAKS or word in _VERBS:
            return None
        if word in _PREPOSITIONS and not (word == "from" and words[j - 1 : j] == ["free"]):
            return None
        if word in {"and", ","} and words[j + 1] in _DETERMINERS:
            return None
        if word in _ARTICLES and j and not (words[j - 1] in _BEFORE_ARTICLES or words[j - 1].endswith("n't")):
            return None  # "no clouds hide the lake"
    return None


def _is_of_a_thing(text: Text, negator: int, ends: set[int]) -> bool:
    """Tell whether what is absent is so of a thing: "barren land without vegetation"."""
    return text.words[negator] in _LOCAL and (negator in ends or text.words[negator - 1 : negator] == ["ground"])


def _is_local(text: Text, end: int) -> bool:
    """Tell whether what is absent is so of a place, or with exceptions: "no trees on the bars", "except for"."""
    near = text.words[end : end + _PREDICATE_REACH]
    if any(word in _EXCEPT or (word == "other" and "than" in near) for word in near):
        return True
    if near[:1] != [] and near[0] in (_VERBS | _LINKING) - _PREDICATES:
        if not _WATERS.isdisjoint(near[1:4]):
            return True  # "no road crosses the marsh"
        if near[1:2] != [] and near[1] in _ON | {"into", "to"} and near[2:3] != ["this"]:
            near = near[1:]  # "no road leads into it"
            return (_IMAGE | {"land", "ground", "surface"}).isdisjoint(near)
    return (
        near[:1] != []
        and near[0] in _ON
        and near[1:2] not in ([], ["."], [","])
        and (_IMAGE | {"land", "ground", "surface"}).isdisjoint(near)
    )


def _of_the_rest(text: Text, i: int) -> bool:
    """Tell whether an exception goes before: "the rest is undeveloped", "apart from a hut there are no buildings"."""
    near = range(max(0, i - 12), i)
    return any(
        text.words[j] in _REST and text.sentence[j] == text.sentence[i] and ";" not in text.words[j:i] for j in near
    )


def _negated_after(text: Text, end: int) -> bool:
    """Find "is absent", "are not visible", "cannot be seen", "-free" after a thing, or after a list of things."""
    words = text.words
    if end < len(words) and words[end] in {"free", "less"} and text.joined[end]:
        return True
    for j in range(end, min(end + 8, len(words))):
        word = words[j]
        if word in _PREDICATES or word.endswith("n't"):
            return _denies(words[j : j + 7])
        if (
            word in _BREAKS
            or word in _PREPOSITIONS
            or word in _VERBS
            or word in _NEGATORS
            or not (word.isalpha() or word == ",")
        ):
            return False
    return False


def _denies(predicate: Sequence[str]) -> bool:
    """Tell whether a predicate says that its subject is not there: "are completely absent", "is not to be seen"."""
    for j, word in enumerate(predicate):
        later = predicate[j + 1 : j + 4]
        if word in {"not", "cannot"} or word.endswith("n't"):
            return any(each in _SEEN for each in later)
        if word in _NEGATED_AFTER or (word == "no" and not _TRACES.isdisjoint(predicate[j + 1 : j + 2])):
            return True
        if j and (word in _BREAKS or word in _PREPOSITIONS or word == ","):
            return False
    return False


_PREDICATES = frozenset({"is", "are", "was", "were", "cannot", "can", "remains", "remain", "do", "does", "did"})
_SEEN = frozenset({"occur", "appear", "exist", "show", "feature", "grow"}) | frozenset(
    {"visible", "seen", "present", "found", "discernible", "there", "evident", "detected", "observed", "shown"}
)
