"""Conditions of the model: what an image is asked to show, the null condition, and condition dropout.

This is the only place where a prompt is composed or taken apart. Training and sampling share one null condition,
``NULL`` = (``""``, level 0, nothing else said); a second definition of it somewhere else is the classical fault of
guidance.

The level is the web-mercator zoom level whose resolution an image has, 1…22; 0 says that it is unknown. The
published Text2Earth hides it in a prompt prefix, ``"16_GOOGLE_LEVEL_A harbour"``, which is understood on input.
"""

from text2earth.conditioning.condition import NULL, Condition, parse
from text2earth.conditioning.dropout import DropRates, drop
from text2earth.conditioning.tokens import (
    EXTRAS,
    LongCaptions,
    Tokens,
    embed,
    extras_of,
    sampled_sentences,
    tokenize,
)

__all__ = [
    "EXTRAS",
    "NULL",
    "Condition",
    "DropRates",
    "LongCaptions",
    "Tokens",
    "drop",
    "embed",
    "extras_of",
    "parse",
    "sampled_sentences",
    "tokenize",
]
