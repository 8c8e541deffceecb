"""What is wrong with a caption as a text: its length, words that come again and again, remains of a machine."""

from __future__ import annotations

import operator
import re
from collections.abc import Sequence

from git10m.captions.checks.leaks import leaks
from git10m.captions.checks.reading import Text

__all__ = ["form_faults", "length_fault", "repetitions"]

_LONGEST_LOOP = 12
"""Words of the longest phrase that is looked for as one that comes several times in a row."""
_LOOP_TIMES = 3
_PHRASE_TIMES = 2
"""A phrase of `_PHRASE_WORDS` or more need come only so often in a row."""
_PHRASE_WORDS = 4
_LEAST_DISTINCT = 0.6
"""Least share of different triples of words in a text of `_JUDGED_WORDS` or more."""
_JUDGED_WORDS = 24
_DOUBLED = frozenset({"the", "a", "an", "of", "in", "and", "with", "is", "are", "to", "by", "on", "at", "for", "or"})

_RUN = re.compile(r"([^\W\d_])\1{4,}|([^\w\s])\2{4,}")
_OPEN_WORDS = """
    the a an of and with in by to from is are was were at on for or its their this that these those as into near which
    where while although between including containing showing featuring such has have be being very more most some
    several many each every any no per than but also both either neither about along across through
"""
_CANNOT_END = frozenset(_OPEN_WORDS.split())
_CLOSERS = "\"'”’)]»"


def length_fault(caption: str, *, least: int, most: int) -> str | None:
    """Return what is wrong with the number of words, counted as ``caption_length`` is."""
    count = len(caption.split())
    if least <= count <= most:
        return None
    return f"{count} words, {'fewer than' if count < least else 'more than'} {least if count < least else most}"


def repetitions(text: Text) -> list[str]:
    """Return words, phrases and sentences that come again as a stuck model writes them; each kind once."""
    words = [word for word in text.words if word[0].isalnum()]
    found = [fault for fault in (_loop(words), _sentence_again(text), _doubled(text)) if fault is not None]
    run = _RUN.search(text.raw)
    if run is not None and run.group() != ".....":
        found.append(f"'{run.group()[0]}' {len(run.group())} times in a row")
    if not found and len(words) >= _JUDGED_WORDS:
        triples = list(zip(words, words[1:], words[2:], strict=False))
        if len(set(triples)) < _LEAST_DISTINCT * len(triples):
            found.append("few of its phrases differ")
    return found


def _loop(words: Sequence[str]) -> str | None:
    """Find the shortest phrase that comes several times in a row: "trees and trees and trees and"."""
    for size in range(1, min(_LONGEST_LOOP, len(words) // 2) + 1):
        needed = size * ((_LOOP_TIMES if size < _PHRASE_WORDS else _PHRASE_TIMES) - 1)
        if sum(map(operator.eq, words[size:], words)) < needed:
            continue
        run = 0
        for i in range(size, len(words)):
            run = run + 1 if words[i] == words[i - size] else 0
            if run == needed:
                phrase = words[i - size + 1 : i + 1]
                if any(word.isalpha() for word in phrase):
                    return f"'{' '.join(phrase)}' {needed // size + 1} times in a row"
    return None


def _sentence_again(text: Text) -> str | None:
    seen: set[tuple[str, ...]] = set()
    sentences: dict[int, list[str]] = {}
    for word, number in zip(text.words, text.sentence, strict=True):
        if word[0].isalnum():
            sentences.setdefault(number, []).append(word)
    for words in map(tuple, sentences.values()):
        if len(words) >= 3 and words in seen:
            return f"the sentence '{' '.join(words[:6])}' comes twice"
        seen.add(words)
    return None


def _doubled(text: Text) -> str | None:
    for before, word in zip(text.words, text.words[1:], strict=False):
        if word == before and word in _DOUBLED:
            return f"'{word} {word}'"
    return None


def form_faults(text: Text) -> list[str]:
    """Return remains of a machine (markup, JSON, talk of the prompt) and a last sentence that is cut short."""
    found = leaks(text)
    if (cut := _cut_short(text)) is not None:
        found.append(cut)
    return found


def _cut_short(text: Text) -> str | None:
    """Find a last sentence that does not end; a text without full stops is a label and need not."""
    raw = text.raw.rstrip()
    if not raw or not text.words:
        return None
    bare = raw.rstrip(_CLOSERS)
    if bare.endswith(("...", "…")):
        return "ends in dots"
    if bare and bare[-1] in ".!?。":
        return None
    last = text.words[-1]
    if last in _CANNOT_END or (bare and bare[-1] in ",;:(-–—"):
        return f"ends at '{last}'"
    prose = raw[:1].isupper() and text.sentence[-1] > 0
    return f"last sentence ends at '{last}' without a full stop" if prose else None
