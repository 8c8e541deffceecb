"""A caption as words: lower case, with what capitals, hyphens and full stops tell kept beside them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

__all__ = ["Match", "Phrases", "Text", "plain_words", "read"]

Value = TypeVar("Value")

_TOKEN = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?|\d+(?:[.,]\d+)*|[^\w\s]")
_ABBREVIATIONS = frozenset(
    {"st", "mt", "ft", "approx", "ca", "no", "dr", "e", "g", "i", "u", "s", "d", "c", "km", "sq"}
)
_LONG_WORD = 4
_MOST_CAPITALS = 0.9
"""Above this share of capitals among its longer words a caption is a headline, and its capitals tell nothing."""


@dataclass(frozen=True, slots=True)
class Text:
    """A caption as words and marks.

    Attributes:
        raw: As it was given.
        words: Lower-case words, numbers and single marks; hyphens within words are left out.
        capital: Whether a word begins with a capital that tells of a name: not in a headline.
        joined: Whether a hyphen or underscore joins a word to the one before.
        sentence: Number of the sentence that holds a word.
        first: Whether a word begins a sentence.
    """

    raw: str
    words: list[str]
    capital: list[bool]
    joined: list[bool]
    sentence: list[int]
    first: list[bool]

    def surface(self, start: int, end: int) -> str:
        """Return words as they are shown in a flag."""
        return " ".join(self.words[start:end])


def read(caption: str) -> Text:
    """Take a caption apart; time and memory are linear in its length."""
    raw = caption if caption.isascii() else unicodedata.normalize("NFC", caption).replace("’", "'")
    tokens: list[str] = []
    joined: list[bool] = []
    end, hyphen = -1, False
    for match in _TOKEN.finditer(raw):
        token, start = match.group(), match.start()
        touching = start == end or (start == end + 1 and raw[end] == "_")
        if token in "-‐‑" and touching and raw[start + 1 : start + 2].isalnum():
            hyphen, end = True, start + 1
            continue
        tokens.append(token)
        joined.append(touching and (hyphen or raw[start - 1] == "_"))
        end, hyphen = match.end(), False
    words = [token.lower().removesuffix("'s") for token in tokens]
    long = [token for token in tokens if len(token) >= _LONG_WORD and token[0].isalpha()]
    headline = len(long) >= _LONG_WORD and sum(token[0].isupper() for token in long) > _MOST_CAPITALS * len(long)
    sentence, first = _sentences(words)
    return Text(
        raw=raw,
        words=words,
        capital=[not headline and token[0].isupper() for token in tokens],
        joined=joined,
        sentence=sentence,
        first=first,
    )


def _sentences(words: Sequence[str]) -> tuple[list[int], list[bool]]:
    numbers: list[int] = []
    first: list[bool] = []
    number, fresh = 0, True
    for i, word in enumerate(words):
        numbers.append(number)
        first.append(fresh and word.isalnum())
        fresh = fresh and not word.isalnum()
        if word in ".!?" and not (word == "." and i and words[i - 1] in _ABBREVIATIONS):
            number, fresh = number + 1, True
    return numbers, first


def plain_words(text: str) -> tuple[str, ...]:
    """Return the words of a name or term, as `read` would, without marks."""
    return tuple(word for word in read(text).words if word.isalnum() or "'" in word)


@dataclass(frozen=True, slots=True)
class Match(Generic[Value]):
    """A phrase that was found: words ``start`` to ``end`` (exclusive), and what it stands for."""

    start: int
    end: int
    value: Value


class Phrases(Generic[Value]):
    """Phrases that are looked for in a text, the longest first, each word at most once.

    Args:
        values: What each phrase stands for, by its words.
    """

    def __init__(self, values: Mapping[tuple[str, ...], Value]) -> None:
        self._single: dict[str, Value] = {}
        self._longer: dict[str, list[tuple[tuple[str, ...], Value]]] = {}
        for words, value in values.items():
            if len(words) == 1:
                self._single[words[0]] = value
            elif words:
                self._longer.setdefault(words[0], []).append((words, value))
        for listed in self._longer.values():
            listed.sort(key=lambda entry: -len(entry[0]))
        self._first = self._single.keys() | self._longer.keys()

    def find(self, words: Sequence[str], *, taken: Iterable[int] = ()) -> list[Match[Value]]:
        """Return the phrases in order of place; words that are ``taken`` are no part of any."""
        first, closed = self._first, frozenset(taken)
        found: list[Match[Value]] = []
        after = 0
        for i in [i for i, word in enumerate(words) if word in first]:
            if i < after or i in closed:
                continue
            match = self._at(words, i, closed)
            if match is not None:
                found.append(match)
                after = match.end
        return found

    def _at(self, words: Sequence[str], i: int, closed: frozenset[int]) -> Match[Value] | None:
        for phrase, value in self._longer.get(words[i], ()):
            end = i + len(phrase)
            if tuple(words[i:end]) == phrase and not (closed and any(j in closed for j in range(i, end))):
                return Match(i, end, value)
        return Match(i, i + 1, self._single[words[i]]) if words[i] in self._single else None
