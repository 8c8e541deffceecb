"""Which of two things a caption says is the more widespread."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from git10m.captions.checks.amounts import subject_of
from git10m.captions.checks.claims import Claim
from git10m.captions.checks.reading import Text

__all__ = ["comparisons_of"]


def comparisons_of(text: Text, claims: Sequence[Claim]) -> Iterator[tuple[Claim, Claim]]:
    """Yield (more, less) of claims that are compared by extent: "more water than land", "forest outweighs fields"."""
    words = text.words
    starts = {claim.start: claim for claim in claims if claim.said and not claim.absent}
    ends = {claim.end: claim for claim in starts.values()}
    for i, word in enumerate(words):
        if word == "than" and "more" in words[max(0, i - 7) : i]:
            more = max(j for j in range(max(0, i - 7), i) if words[j] == "more")
            first = starts.get(more + 1) or starts.get(more + 2) or subject_of(text, claims, more)
            second = starts.get(i + 1) or starts.get(i + 2)
        elif word in {"outweighs", "outweigh", "exceeds", "exceed", "outstrips"}:
            first, second = ends.get(i), starts.get(i + 1) or starts.get(i + 2)
        else:
            continue
        if first is not None and second is not None:
            yield first, second
