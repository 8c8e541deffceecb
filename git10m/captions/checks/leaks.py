"""Remains of the machine that wrote a caption: markup, JSON, and talk of the task where the image should be told."""

from __future__ import annotations

import re

from git10m.captions.checks.reading import Text

__all__ = ["leaks"]

_BY_MARKS = (
    ("code fence", r"```|~~~"),
    ("JSON", r"[{\[]\s*\"|\"\s*:\s*[\"\[{]|\"\s*}|^\s*{|}\s*$|\\[nt\"]|\\u[0-9a-f]{4}"),
    ("placeholder", r"\{[a-z_ ]{1,40}\}|\[(?:insert|place|name|country|date|class|location)[a-z_ ]{0,30}\]"),
    ("markup", r"</?[a-z][a-z0-9]{0,9}(?:\s[^<>]{0,80})?/?>|\*\*|__|^\s{0,3}#{1,6}\s|^\s{0,3}[*•]\s|!\[|\]\("),
    ("token of a model", r"<\|[^<>|]{1,40}\|>|\[/?INST\]|<(?:image|pad|unk|bos|eos|start_of_turn|end_of_turn)>"),
)
"""Faults that need one of `_MARKS`."""
_MARKS = frozenset("`~{}[]<>*_#\\•")
_BY_WORDS = (
    ("address", r"https?://|www\.\w"),
    ("speaker", r"^\s{0,4}(?:assistant|user|system|human|ai|caption|answer|output|response|description|note)\s{0,3}:"),
    ("talk of a model", r"\bas an? (?:ai|artificial|large language|vision)\b|\b(?:ai|language) (?:model|assistant)\b"),
    (
        "refusal",
        r"\bi(?:'m| am) (?:sorry|unable|not able)|\bi (?:cannot|can't|can not|apologi[sz]e)"
        r"|\bunable to (?:see|view|process|provide|access|determine)",
    ),
    (
        "address to a reader",
        r"^\W{0,3}(?:sure|certainly|of course|absolutely|okay)\b\s{0,3}[,!.:]|\blet me know\b|\bhope this helps\b"
        r"|\bhere(?: is|'s| are) (?:a|an|the|your|my)?\s?(?:\w{1,20} ){0,3}(?:caption|description|summary)s?\b"
        r"|\bi (?:can )?see\b",
    ),
    (
        "talk of the prompt",
        r"\b(?:these|those|given|provided|following|known|above|listed) facts\b|\bthe facts\b"
        r"|\bfacts? (?:provided|given|listed|above|state)|\bbased on the (?:provided|given|facts|metadata|data)\b"
        r"|\baccording to the (?:facts|metadata|provided|given|prompt|data)"
        r"|\bthe (?:provided|given) (?:image|picture|facts|information|data|metadata)\b"
        r"|\bas (?:instructed|requested|per (?:the|your) )|\bthe prompt\b|\b(?:do not|don't) mention\b|\bword limit\b"
        r"|\bground[- ]truth\b",
    ),
    (
        "value that is missing",
        r"\bn/a\b|\bundefined\b|\bnonetype\b|\bnull\b|[:=] (?:none|nan)\b|\bunknown (?:location|date)\b",
    ),
)
"""Faults that need one of `_TRIGGERS`."""
_TRIGGERS = frozenset(
    {"http", "https", "www", "assistant", "user", "system", "human", "ai", "caption", "captions", "answer", "output"}
    | {
        "response",
        "description",
        "descriptions",
        "note",
        "artificial",
        "language",
        "vision",
        "sorry",
        "unable",
        "cannot",
    }
    | {"apologize", "apologise", "can't", "able", "sure", "certainly", "course", "absolutely", "okay", "know", "hope"}
    | {"summary", "see", "fact", "facts", "based", "according", "provided", "given", "instructed", "requested", "per"}
    | {"prompt", "mention", "limit", "truth", "undefined", "nonetype", "null", "none", "nan", "unknown", "n"}
)
_STRANGE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffd\ufffe\uffff]")
_MOJIBAKE = re.compile("Ã[\u0080-\u00bf]|â€|Â[\u00a0-\u00bf]|ï»¿")
_MARKED = tuple((what, re.compile(pattern, re.IGNORECASE)) for what, pattern in _BY_MARKS)
_WORDED = tuple((what, re.compile(pattern, re.IGNORECASE)) for what, pattern in _BY_WORDS)


def leaks(text: Text) -> list[str]:
    """Return the kinds of remains that a caption holds."""
    patterns = (*(_MARKED if _MARKS & set(text.raw) else ()), *(() if _TRIGGERS.isdisjoint(text.words) else _WORDED))
    found = [what for what, pattern in patterns if pattern.search(text.raw) is not None]
    if _STRANGE.search(text.raw) is not None:
        found.append("control character")
    if not text.raw.isascii() and _MOJIBAKE.search(text.raw) is not None:
        found.append("letters in a wrong encoding")
    return found
