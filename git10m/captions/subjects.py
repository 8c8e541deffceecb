"""What a writer of captions is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from git10m.captions.facts import Subject

__all__ = ["Judge", "Picture", "Writer", "Written", "no_faults"]

Judge = Callable[[str, "Picture", str], tuple[str, ...]]
"""Says what is wrong with a caption of a picture and of a length, as ``"check: detail"``; empty: nothing."""


@dataclass(frozen=True)
class Picture:
    """An image that wants a caption.

    Attributes:
        key: Its name; varies what is drawn by chance.
        facts: What is known of it, with the keys of ``records.FACTS``; None: nothing.
        place: Its tile; None where the place is unknown.
        gsd_m: True ground metres a pixel; None when unknown.
        width: Pixels.
        height: Pixels.
        image: Encoded; None where the writer does not look.
    """

    key: str
    facts: Mapping[str, Any] | None
    place: Subject | None
    gsd_m: float | None
    width: int
    height: int
    image: bytes | None


@dataclass(frozen=True)
class Written:
    """Captions of one picture.

    Attributes:
        texts: One a length that was asked for, in that order.
        source: Who wrote them: ``"template"``, ``"openai"``, ``"transformers"``.
        version: Of the writer: what would write the same again.
    """

    texts: tuple[str, ...]
    source: str
    version: str


class Writer(Protocol):
    """Writes captions of pictures."""

    @property
    def needs_images(self) -> bool:
        """Whether pictures must come with their image."""

    def write(self, pictures: Sequence[Picture], *, judge: Judge) -> list[Written | None]:
        """Return the captions of each picture, in order; None where none without faults could be had."""


def no_faults(text: str, picture: Picture, length: str) -> tuple[str, ...]:
    """Find nothing wrong with a caption."""
    del text, picture, length
    return ()
