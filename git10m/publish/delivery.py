"""Bringing a release to a place that keeps files under names: in an order in which half of it is never taken for whole.

A mark is set down first and taken away last. What tells readers that a dataset is there (card and manifest) goes first
where an older one is replaced, and comes last. What is there already, with the same hash, is not sent again.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from tqdm import tqdm

from git10m.errors import TargetError
from git10m.publish.release import LAST, Piece, Release

__all__ = ["MARK", "Delivery", "Store", "deliver", "look", "may_replace", "stale_names"]

MARK = ".git10m-publishing.json"
"""File that stands in a target while a publication is under way."""

_HARMLESS = frozenset({MARK, ".gitattributes", ".gitignore", "LICENSE"})
"""Files that a place may hold without being taken: none of them is ever written to."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """What happened.

    Attributes:
        sent: Files that were sent.
        kept: Files that were there already, with the same content.
        removed: Files of an older version that were taken away.
        bytes: Size of what was sent.
        address: Where it is.
    """

    sent: int
    kept: int
    removed: int
    bytes: int
    address: str


class Store(Protocol):
    """A place that keeps files under names."""

    address: str

    def names(self) -> set[str]:
        """List what is there."""

    def read(self, name: str) -> bytes | None:
        """Return a small file; None where there is none."""

    def holds(self, piece: Piece) -> bool:
        """Tell whether a file is there with the same content."""

    def put(self, piece: Piece) -> None:
        """Send a file; it is there whole or not at all."""

    def write(self, name: str, content: bytes) -> None:
        """Write a small file."""

    def remove(self, name: str) -> None:
        """Take a file away; nothing where there is none."""


def look(store: Store, name: str) -> dict[str, Any] | None:
    """Check that a dataset of a name may come to a store, and return the manifest of the version that is there.

    Raises:
        TargetError: If another dataset, or something else, is there.
    """
    there = store.names()
    old, mark = (_parsed(store.read(each)) if each in there else None for each in ("manifest.json", MARK))
    may_replace(store.address, there, old=old or mark, name=name)
    return old


def deliver(store: Store, release: Release) -> Delivery:
    """Bring a release to a store.

    Raises:
        TargetError: If another dataset, or something else, is there.
        PublishError: If it does not arrive; the same call goes on where it ended.
    """
    there = store.names()
    old, mark = (_parsed(store.read(name)) if name in there else None for name in ("manifest.json", MARK))
    may_replace(store.address, there, old=old or mark, name=str(release.manifest["name"]))
    wanted = {piece.name for piece in release.pieces}
    stale = [*(mark or {}).get("stale", []), *stale_names(old, there, wanted)]
    head = [piece for piece in release.pieces if piece.name in LAST]
    body = [piece for piece in release.pieces if piece.name not in LAST]
    if mark is None and not stale and all(piece.name in there and store.holds(piece) for piece in (*head, *body)):
        return Delivery(0, len(release.pieces), 0, 0, store.address)
    begun = {
        "name": release.manifest["name"],
        "fingerprint": release.manifest["fingerprint"],
        "stale": sorted(set(stale)),
    }
    store.write(MARK, json.dumps(begun).encode())
    if old is not None and store.read("manifest.json") != head[-1].path.read_bytes():
        for name in reversed(LAST):
            store.remove(name)
    sent = [*_send(store, body, there)]
    gone = [name for name in dict.fromkeys(stale) if name in there and name not in wanted]
    for name in gone:
        store.remove(name)
    sent += [*_send(store, head, store.names())]
    store.remove(MARK)
    return Delivery(len(sent), len(release.pieces) - len(sent), len(gone), sum(p.bytes for p in sent), store.address)


def may_replace(
    address: str, there: Collection[str], *, old: Mapping[str, Any] | None, name: str, harmless: Collection[str] = ()
) -> None:
    """Check that a place is free, or holds an earlier version or the beginning of the same dataset.

    Args:
        address: Of the place.
        there: Names of what is there.
        old: Manifest that is there, or what the mark says.
        name: Of the dataset that is to come.
        harmless: Further files that may be there.

    Raises:
        TargetError: If it does not.
    """
    if old is not None:
        if old.get("name") != name:
            raise TargetError(
                f"{address}: holds another dataset, {old.get('name')!r}; publish {name!r} to a place of its own, "
                "or give it that name with --name to replace the other"
            )
        return
    others = sorted(set(there) - _HARMLESS - set(harmless))
    if others:
        listed = ", ".join(others[:5]) + (f" and {len(others) - 5} more" if len(others) > 5 else "")
        raise TargetError(f"{address}: holds other files ({listed}); publish to an empty place")


def stale_names(old: Mapping[str, Any] | None, there: Collection[str], wanted: Collection[str]) -> list[str]:
    """List the files of an older version that the new one does not have; files of others are not touched."""
    if old is None:
        return []
    listed = [*(old.get("files") or {}), *((old.get("published") or {}).get("files") or {})]
    return [name for name in listed if name in there and name not in wanted]


def _send(store: Store, pieces: Iterable[Piece], there: Collection[str]) -> Iterable[Piece]:
    listed = list(pieces)
    total = sum(piece.bytes for piece in listed)
    with tqdm(total=total, desc="sending", unit="B", unit_scale=True, disable=len(listed) < 3) as progress:
        for piece in listed:
            if not (piece.name in there and store.holds(piece)):
                store.put(piece)
                yield piece
            progress.update(piece.bytes)


def _parsed(content: bytes | None) -> dict[str, Any] | None:
    """Return what a manifest or mark says; one that cannot be read belongs to somebody else."""
    if content is None:
        return None
    try:
        said = json.loads(content)
    except ValueError:
        return {"name": None}
    return said if isinstance(said, dict) else {"name": None}
