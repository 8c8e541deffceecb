"""Words that leave open whether a thing is there.

Captions of Git-10M are known for "likely", "possibly" and "suggesting"; whoever trains on them learns to guess. Words
that hedge in one sense and not in another are looked at where they stand: "may be" and "12 May", "could be" and a place
that is called Could, "appears to be" and "appears in the centre", "indicating" and "a timestamp indicating 9 o'clock".
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence

from git10m.captions.checks.reading import Match, Phrases, Text, plain_words

__all__ = ["hedges"]

_ALWAYS = """
likely|unlikely|likelihood|possibly|possible|possibility|probably|probable|perhaps|maybe|presumably|presumed|supposedly
potentially|potential|conceivably|seemingly|apparently|ostensibly|arguably|purportedly|reportedly|allegedly|plausibly
seem|seems|seemed|seeming|supposed to be|supposed to have|believed to be|thought to be|assumed to be|presumed to be
estimated to be|understood to be|considered to be|expected to be|could be|could have|might be|might have|may be|may have
may also|might also|could also|may not|might not|may contain|may include|may represent|may indicate
assume|assuming|assumption|speculate|speculatively|guess|i think|we think|i believe|we believe|i assume
suggest|suggests|suggesting|suggestive of|suggested by|hint at|hints at|hinting at|hinted at
imply|implies|implying|implied by|indicative of|point to a|points to a|pointing to a
resemble|resembles|resembling|reminiscent of|similar in appearance to|akin to
what looks like|what look like|what looked like|looks like|look like|looking like|looks to be|look to be
what seems|what appears|what could|what might|what may
appears to|appear to|appearing to|appeared to|appears as if|appears as though|appear as if|appears like|appear like
would appear|would seem|would suggest|some kind of|some sort of|some type of|a kind of|sort of
as if it|as though it|consistent with|characteristic of what
unclear|uncertain|uncertainty|not certain|not clear if|not clear whether|not entirely clear|unsure|not sure
difficult to tell|hard to tell|difficult to determine|hard to determine|difficult to say|hard to say
difficult to discern|difficult to identify|hard to identify|cannot be determined|can not be determined
cannot be confirmed|can be assumed|can be inferred|could be inferred|inferred|one can assume|one could
or possibly|or perhaps|in all likelihood|most likely|very likely|quite likely|more than likely
"""
_LOOKED_AT = {
    "may": "may",
    "might": "might",
    "could": "could",
    "indicate": "indicate",
    "indicates": "indicate",
    "indicating": "indicate",
}
_BEFORE_A_MONTH = frozenset(
    {"in", "of", "during", "since", "early", "late", "mid", "by", "until", "till", "from", "between", "on", "for"}
    | {
        "this",
        "last",
        "next",
        "every",
        "april",
        "june",
        "spring",
        "the",
        "to",
        "through",
        "dated",
        "and",
        "or",
        "around",
    }
    | {"before", "after", "taken", "acquired", "captured", "st", "nd", "rd", "th", "s"}
)
_AFTER_A_MONTH = frozenset(
    {"is", "was", "has", ".", ",", ")", "and", "or", "to", "sun", "sunshine", "day", "scene", "image", "photo", "of"}
)
_BEFORE_A_MIGHT = frozenset(
    {"the", "its", "their", "his", "her", "military", "of", "with", "and", "naval", "industrial"}
)
_BEFORE_A_NAME = frozenset({"of", "in", "near", "from", "at", "to", "around", "over", "above", "outside"})


def hedges(
    text: Text, *, banned: Iterable[str] = (), allowed: Iterable[str] = (), masked: Iterable[int] = ()
) -> list[str]:
    """Return the hedges of a caption, each once, in the order in which they come.

    Args:
        text: The caption.
        banned: Further words and phrases.
        allowed: Hedges to pass over.
        masked: Words that belong to names.
    """
    phrases = _phrases(tuple(banned), tuple(allowed))
    found = [match for match in phrases.find(text.words, taken=masked) if _hedges(text, match)]
    return list(dict.fromkeys(text.surface(match.start, match.end) for match in found))


@functools.lru_cache(maxsize=64)
def _phrases(banned: Sequence[str], allowed: Sequence[str]) -> Phrases[str]:
    values: dict[tuple[str, ...], str] = {plain_words(term): "always" for term in _ALWAYS.replace("\n", "|").split("|")}
    values |= {(word,): sense for word, sense in _LOOKED_AT.items()}
    for term in allowed:
        values.pop(plain_words(term), None)
    values |= {plain_words(term): "banned" for term in banned}
    values.pop((), None)
    return Phrases(values)


def _hedges(text: Text, match: Match[str]) -> bool:
    """Tell whether words hedge where they stand."""
    i, words = match.start, text.words
    before = words[i - 1] if i else ""
    after = words[match.end] if match.end < len(words) else ""
    if match.value == "banned":
        return True
    named = text.capital[i] and not text.first[i]
    if named and (before in _BEFORE_A_NAME or after in {",", ""} or _capital(text, match.end)):
        return False
    if match.value == "indicate":
        return not (after[:1].isdigit() or _number_follows(words, match.end))
    if match.value in {"could", "might", "may"}:
        return not named and not _is_noun(match.value, before, after)
    return not _other_sense(text, match, before, after)


def _is_noun(word: str, before: str, after: str) -> bool:
    """Tell "its might" and "12 May" from verbs."""
    if word == "might":
        return before in _BEFORE_A_MIGHT or after in {"of", "and", ".", ","}
    if word == "may":
        dated = before in _BEFORE_A_MONTH or before[:1].isdigit() or after[:1].isdigit()
        return dated or after in _AFTER_A_MONTH or after == ""
    return False


def _other_sense(text: Text, match: Match[str], before: str, after: str) -> bool:
    """Tell whether an unambiguous word is used in a sense that hedges nothing."""
    word = text.words[match.start]
    if word == "may" and (before in {"in", "of", "on"} or before[:1].isdigit()):
        return True
    if word in {"possible", "likely"}:
        return before in {"as", "everything", "wherever", "where", "if"} or (after == "to" and word == "possible")
    if word == "potential":
        return after in {"energy", "difference"}
    if word in {"look", "looks"} and text.words[match.end - 1] == "like":
        return before == "to" or after == "this"
    return (word == "sort" and before in {"of", "same", "the"}) or text.surface(match.start, match.end) == "a kind of"


def _capital(text: Text, i: int) -> bool:
    return i < len(text.words) and text.capital[i]


def _number_follows(words: Sequence[str], i: int) -> bool:
    """Tell whether a number comes within the next few words: "indicating a ground sample distance of 2.5 m"."""
    return any(word[:1].isdigit() for word in words[i : i + 6])
