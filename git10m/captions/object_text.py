"""How things in a tile are told: how many, of which kind, called what, and where."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from git10m.captions.vocabulary import KINDS
from git10m.captions.wording import Draw, article, joined, sentence, speakable

__all__ = ["counted", "object_sentence", "plural"]

_WORDS = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_EXACT = 20
"""Up to this many are told one by one; more are rounded, for a picture shows no number like 347."""

Entry = Mapping[str, Any]


def object_sentence(objects: Sequence[Entry], draw: Draw, *, ground: str, most: int) -> str:
    """Return a sentence about the first kinds of a tile.

    Args:
        objects: Entries of ``objects`` of ``records.FACTS``, the most telling first, at least one.
        draw: Chooses the wording.
        ground: What shows them: "the scene", "this aerial image".
        most: Most kinds to speak of, at least one.
    """
    told = objects[:most]
    in_words = draw.pick("numbers", (True, True, False))
    items = [_phrase(entry, in_words=in_words) for entry in told]
    several = _is_several(told[0])
    listed = joined(items)
    wordings = [f"{ground} shows {listed}", f"{ground} holds {listed}"]
    if not listed[0].isdigit():  # which begins no sentence
        wordings.append(f"{listed} {'are' if several or len(items) > 1 else 'is'} visible in {ground}")
    if not ground.startswith("this"):
        wordings.append(f"there {'are' if several else 'is'} {listed}")
        wordings.append(f"on the ground there {'are' if several else 'is'} {listed}")
    return sentence(draw.pick("objects", wordings))


def counted(count: int, kind: str, *, in_words: bool) -> str:
    """Return a number with its kind: "a lake", "three lakes", "about 120 houses"."""
    if count == 1:
        return f"{article(kind)} {kind}"
    if count <= 10 and in_words:
        return f"{_WORDS[count - 2]} {plural(kind)}"
    if count <= _EXACT:
        return f"{count} {plural(kind)}"
    step = 5 if count < 100 else 10 if count < 1000 else 100
    return f"about {step * round(count / step):,} {plural(kind)}"


def plural(kind: str) -> str:
    """Return the plural of a kind; of one that the vocabulary does not know by the rules of English."""
    known = KINDS.get(kind)
    if known is not None and known.plural is not None:
        return known.plural
    if re.search(r"(?:[sxz]|ch|sh)$", kind):
        return f"{kind}es"
    return f"{kind[:-1]}ies" if re.search(r"[^aeiou]y$", kind) else f"{kind}s"


def _phrase(entry: Entry, *, in_words: bool) -> str:
    kind, count, part = entry["kind"], entry["count"], entry["part"]
    name = entry["name"] if entry["name"] is not None and speakable(entry["name"]) else None
    if count == 1:
        named = f" ({name})" if name is not None else ""
        return f"{counted(1, kind, in_words=in_words)}{named}{f' in the {part}' if part else ''}"
    if count is not None:
        details = [*([f"among them {name}"] if name else []), *([f"mostly in the {part}"] if part else [])]
        base = counted(count, kind, in_words=in_words)
    else:
        known = KINDS.get(kind)
        base = known.spoken if known is not None and known.plural is None else f"{article(kind)} {kind}"
        details = [
            *([f"among them {name}" if _is_several(entry) else name] if name else []),
            *([f"mostly in the {part}"] if part else []),
        ]
    return f"{base} ({', '.join(details)})" if details else base


def _is_several(entry: Entry) -> bool:
    if entry["count"] is not None:
        return bool(entry["count"] > 1)
    known = KINDS.get(entry["kind"])
    return known is not None and known.plural is None and bool(re.match(r"(?!an? )\S.*s$", known.spoken))
