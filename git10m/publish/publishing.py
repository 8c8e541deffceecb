"""From a finished dataset to one that others can use: checked, described, and brought where it is wanted."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from git10m.errors import DatasetError, LicenceError, PublishError, VerificationError
from git10m.publish.delivery import Delivery
from git10m.publish.licences import understand
from git10m.publish.manifest import read_manifest
from git10m.publish.release import Publication, prepare_release
from git10m.publish.selection import Selection, select
from git10m.publish.survey import Survey, survey
from git10m.publish.targets import Target
from git10m.shards import file_sha256

__all__ = ["FORMS", "Published", "publish"]

FORMS = ("hub", "webdataset", "git10m")
"""Forms in which a dataset can be published."""

Check = Callable[[Path], Sequence[object]]


@dataclass(frozen=True, slots=True)
class Published:
    """What was, or would be, published.

    Attributes:
        address: Where.
        rows: How many.
        left_out: Rows that stayed behind, by licence.
        licences: Rows that hold something of each licence.
        files: Size of each file, by name; of a dry run only those that are there already.
        delivery: What was sent; None for a dry run.
    """

    address: str
    rows: int
    left_out: dict[str, int]
    licences: dict[str, int]
    files: dict[str, int]
    delivery: Delivery | None

    def as_json(self) -> dict[str, Any]:
        """Return it for a machine."""
        said: dict[str, Any] = {
            name: getattr(self, name) for name in ("address", "rows", "left_out", "licences", "files")
        }
        if self.delivery is not None:
            sent = {name: getattr(self.delivery, name) for name in ("sent", "kept", "removed", "bytes")}
            said |= {"address": self.delivery.address, **sent}
        return {**said, "published": self.delivery is not None}


def publish(
    folder: Path,
    target: Target,
    *,
    wanted: Publication,
    check: Check | None = None,
    scratch: Path | None = None,
    dry_run: bool = False,
) -> Published:
    """Publish a finished dataset, or go on where an earlier run ended.

    Args:
        folder: The dataset.
        target: Where to (``targets.open_target``).
        wanted: What to publish, and how.
        check: Returns what is broken, e.g. `git10m.verify.verify`; None: hashes alone are compared.
        scratch: Where what has to be written first is put, and removed at the end; None: ``work`` of the dataset.
        dry_run: Check everything and send nothing.

    Raises:
        DatasetError: If the folder holds no finished dataset, or an export.
        LicenceError: If rows are refused that were not asked for.
        VerificationError: If the dataset is not what its manifest says.
        TargetError: If the target is taken, or no target.
        PublishError: If the release does not arrive.
    """
    manifest = _finished(folder)
    if wanted.with_rejected and "rejected.parquet" not in manifest["files"]:
        raise DatasetError(f"{folder}: has no rejected.parquet (it was published without); leave out --with-rejected")
    name = wanted.name or str(manifest["name"])
    there = target.check(name)
    whole = survey(folder / "index.parquet")
    selection = _selected(folder, manifest, wanted, whole)
    _verified(folder, manifest, check)
    found = selection.survey
    known = {"left_out": dict(selection.removed), "licences": dict(sorted(found.licences.items()))}
    if dry_run:
        sizes = {name: int(manifest["files"][name]["bytes"]) for name in selection.names}
        return Published(target.address, found.rows, files=sizes, delivery=None, **known)
    # A folder of our own below it: at the end it goes, with all that it holds.
    place = (scratch if scratch is not None else folder / "work") / ".git10m-publish"
    complete = replace(
        wanted,
        creator=wanted.creator or target.owner,
        url=wanted.url or target.url,
        date=wanted.date or _dated(there, manifest) or _date(place),
    )
    release = prepare_release(selection, manifest, complete, scratch=place)
    delivery = target.deliver(release)
    shutil.rmtree(place, ignore_errors=True)
    sizes = {piece.name: piece.bytes for piece in release.pieces}
    return Published(target.address, found.rows, files=sizes, delivery=delivery, **known)


def _finished(folder: Path) -> dict[str, Any]:
    manifest = read_manifest(folder)
    form = (manifest.get("published") or {}).get("form", "hub")
    if form != "hub":
        raise DatasetError(f"{folder}: is an export ({form}); publish the dataset that it was made of")
    if not isinstance(manifest.get("files"), dict) or not (folder / "index.parquet").is_file():
        raise DatasetError(f"{folder}: is not finished, or of an older version; run git10m build again, then publish")
    if not any(name.startswith("data/") for name in manifest["files"]):
        raise DatasetError(f"{folder}: has no rows; there is nothing to publish")
    return manifest


def _selected(folder: Path, manifest: dict[str, Any], wanted: Publication, whole: Survey) -> Selection:
    """Choose the rows that may go, or say which may not and how to ask for them."""
    allowed = {understand(licence).name for licence in wanted.allowed}
    refused = {name: why for name, why in whole.refused.items() if name not in allowed}
    if refused and not wanted.without_refused:
        lines = [f"  {_rows(whole.licences[name])} something of {name}: {why}" for name, why in refused.items()]
        flags = " ".join(f"--allow-licence {json.dumps(name, ensure_ascii=False)}" for name in refused)
        raise LicenceError(
            f"{folder}: not everything in it may be published:\n"
            + "\n".join(lines)
            + f"\nto publish it all the same, if you have the right: {flags}\n"
            f"to publish the rest alone: --without-refused"
        )
    return select(folder, manifest, refused=refused, whole=whole)


def _rows(count: int) -> str:
    return "1 row holds" if count == 1 else f"{count:,} rows hold"


def _verified(folder: Path, manifest: dict[str, Any], check: Check | None) -> None:
    """Compare the dataset with its manifest."""
    if check is not None:
        findings = [str(finding) for finding in check(folder)]
    else:
        findings = [
            f"{name}: is not what the manifest says"
            for name, note in manifest["files"].items()
            if not (folder / name).is_file() or file_sha256(folder / name) != note["sha256"]
        ]
    if findings:
        listed = "\n".join(f"  {finding}" for finding in findings[:10])
        more = f"\n  and {len(findings) - 10} more" if len(findings) > 10 else ""
        raise VerificationError(
            f"{folder}: is not published, for it does not keep its promises; "
            f"build it again with this version:\n{listed}{more}"
        )


def _dated(there: Mapping[str, Any] | None, manifest: Mapping[str, Any]) -> str | None:
    """Return the day on which this very dataset was published first: publishing it again changes nothing."""
    if there is None or there.get("fingerprint") != manifest.get("fingerprint"):
        return None
    date = (there.get("published") or {}).get("date")
    return str(date) if date else None


def _date(place: Path) -> str:
    """Return today, or the day on which a publication that was interrupted began."""
    note = place / "date"
    try:
        if note.is_file():
            return note.read_text(encoding="ascii").strip()
        place.mkdir(parents=True, exist_ok=True)
        today = datetime.now(UTC).date().isoformat()
        note.write_text(today, encoding="ascii")
    except OSError as error:
        raise PublishError(
            f"{place}: cannot be written to ({error.strerror}); give a folder for temporary files with --scratch"
        ) from error
    return today
