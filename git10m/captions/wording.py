"""Words for numbers, lists and names, and the draw that chooses among equally true wordings."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import pandas

__all__ = ["Draw", "article", "distance", "is_plural", "joined", "length", "sentence", "speakable", "tidy"]

Choice = TypeVar("Choice")

_SPELLED_WITH_AN = set("AEFHILMNORSX")
_CONSONANT_SOUND = re.compile(r"(?i)uni(?![dmn])|us[aeu]|uk\b|eu|one|once")
_SINGULAR_ENDINGS = ("ss", "us", "is")


class Draw:
    """Choices that follow from a seed and the name of the question, on any machine and Python.

    Args:
        seed: Text from which every choice follows.
    """

    def __init__(self, seed: str) -> None:
        self._seed = seed

    def pick(self, question: str, options: Sequence[Choice]) -> Choice:
        """Return one of the options."""
        return options[self._number(question) % len(options)]

    def shuffled(self, question: str, items: Sequence[Choice]) -> list[Choice]:
        """Return the items in a drawn order."""
        order = sorted(range(len(items)), key=lambda index: self._number(f"{question} {index}"))
        return [items[index] for index in order]

    def _number(self, question: str) -> int:
        digest = hashlib.sha256(f"{self._seed}\n{question}".encode()).digest()
        return int.from_bytes(digest[:8], "big")


def article(words: str) -> str:
    """Return ``"a"`` or ``"an"``, by the sound that the words begin with."""
    first = re.split(r"[\s-]", words.strip(), maxsplit=1)[0]
    # Initials that cannot be spoken as a word ("HLS", "S2", "UAV") are spelled; "NAIP" is spoken.
    if len(first) > 1 and first.isupper() and (first == "UAV" or not re.search("[AEIOUY]", first)):
        return "an" if first[0] in _SPELLED_WITH_AN else "a"
    if _CONSONANT_SOUND.match(first):
        return "a"
    return "an" if first[:1].lower() in set("aeiou") or re.match(r"8|11\b|18\b", first) else "a"


def is_plural(name: str) -> bool:
    """Tell whether a class name takes a plural verb: "fields", "moss and lichen", "bodies of water"."""
    head = re.split(r" (?:of|with|in|on|without|for|under) ", name)[0]
    if " and " in head:
        return True
    last = head.split()[-1].rstrip(")")
    return last.endswith("s") and not last.endswith(_SINGULAR_ENDINGS)


def joined(items: Sequence[str]) -> str:
    """Return ``"a"``, ``"a and b"`` or ``"a, b and c"``."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def length(metres: float) -> str:
    """Return a length with two significant digits: "0.6 metres", "610 metres", "1.2 km"."""
    rounded = float(f"{metres:.2g}")
    if rounded >= 1000.0:
        return f"{float(f'{metres / 1000.0:.2g}'):g} km"
    return f"{rounded:g} {'metre' if rounded == 1.0 else 'metres'}"


def distance(kilometres: float) -> str:
    """Return a distance to the half kilometre below 10 km, to the kilometre above: "3.5 km", "12 km"."""
    rounded = round(2.0 * kilometres) / 2.0 if kilometres < 10.0 else round(kilometres)
    return f"{rounded:g} km"


def sentence(text: str) -> str:
    """Return a text with a capital first letter and a full stop."""
    return f"{text[:1].upper()}{text[1:]}" + ("" if text.endswith(".") else ".")


def speakable(name: str) -> bool:
    """Tell whether a proper name can stand in an English sentence as it is.

    It has at most 60 characters and 8 words, letters of the Latin alphabet, and no mark that would end a sentence, open
    a bracket or be read as markup.
    """
    if len(name) > 60 or len(name.split()) > 8 or not name[:1].isalnum() or name.endswith((".", "!", "?")):
        return False
    letters = [character for character in name if character.isalpha()]
    latin = all(unicodedata.name(letter, "").startswith("LATIN") for letter in letters)
    return bool(letters) and latin and not re.search(r"[^\w\s.'’&/·°-]|_|\.\s+[a-z]|://|\bwww\.", name)


def tidy(value: Any) -> str | None:
    """Return a value as text with single spaces, a list as its items; None for null and for nothing but spaces.

    Marks that no reader sees (controls, directions of writing, byte order) are left out.
    """
    if isinstance(value, list | tuple | np.ndarray):
        return " and ".join(text for item in value if (text := tidy(item)) is not None) or None
    if pandas.isna(value):
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # integers with nulls among them arrive as floats
    plain = "".join(
        " " if character.isspace() else "" if unicodedata.category(character)[0] == "C" else character
        for character in str(value)
    )
    return " ".join(plain.split()) or None
