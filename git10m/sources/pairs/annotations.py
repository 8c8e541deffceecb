"""What annotation files say of their images, one format after the other."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from git10m.errors import RecipeError
from git10m.grid import MAX_LEVEL
from git10m.recipe import PairsSource

__all__ = ["Described", "annotated", "placed", "split_of"]

_SPLITS = {
    "train": "train",
    "training": "train",
    "restval": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}
_IMAGES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp"})
_DELIMITERS = {".tsv": "\t", ".txt": "\t"}


@dataclass
class Described:
    """One image as its set describes it.

    Attributes:
        name: File name in the set, with its folders.
        captions: In the order of the set.
        split: ``"train"``, ``"validation"``, ``"test"`` or None.
        level: Zoom level; 0 when unknown.
        x: Column of its tile; −1 when the place is unknown.
        y: Row of its tile; −1 when the place is unknown.
        quality: ``img_quality_score``.
        file: Where the image is, for sets that hold it in tables: number of the file.
        row: Row of that file.
    """

    name: str
    captions: list[str] = field(default_factory=list)
    split: str | None = None
    level: int = 0
    x: int = -1
    y: int = -1
    quality: float | None = None
    file: int = -1
    row: int = -1


def annotated(source: PairsSource) -> Iterator[Described]:
    """Yield the images of a set of files, each once.

    Raises:
        RecipeError: If the annotations cannot be read, or lack what the format has.
    """
    path = Path(source.paths[0])
    reader = {"karpathy": _karpathy, "coco": _coco, "csv": _table, "folders": _folders}[source.format]
    seen: set[str] = set()
    for described in reader(source, path):
        if described.name in seen:
            raise RecipeError(f"{path.name}: names {described.name} twice; each image must stand there once")
        seen.add(described.name)
        yield described


def split_of(text: Any) -> str | None:
    """Return our name of a split; None for what is none."""
    return _SPLITS.get(str(text).strip().lower()) if text is not None else None


def placed(location: Any, *, where: str) -> tuple[int, int, int] | None:
    """Return (level, x, y) of a ``Google_location`` ("z_x_y"); None where there is none.

    Raises:
        RecipeError: If it is no tile.
    """
    if location is None or str(location).strip() in {"", "None", "nan"}:
        return None
    match = re.fullmatch(r"\s*(\d+)_(\d+)_(\d+)\s*", str(location))
    level, x, y = (int(part) for part in match.groups()) if match else (-1, -1, -1)
    if not 0 <= level <= MAX_LEVEL or not (0 <= x < 1 << level and 0 <= y < 1 << level):
        raise RecipeError(f"{where}: Google_location = {location!r} is no tile; expected LEVEL_COLUMN_ROW")
    return (level, x, y) if level else None


def _karpathy(source: PairsSource, path: Path) -> Iterator[Described]:
    images = _list_of(_json(path), "images", path)
    for number, image in enumerate(images):
        name = _text(image, "filename", path, number)
        folder = image.get("filepath")
        sentences = image.get("sentences") or []
        texts = [
            each.get("raw") or " ".join(each.get("tokens") or []) if isinstance(each, dict) else str(each)
            for each in sentences
        ]
        yield Described(f"{folder}/{name}" if folder else name, _tidy(texts), split_of(image.get("split")))


def _coco(source: PairsSource, path: Path) -> Iterator[Described]:
    content = _json(path)
    captions: dict[Any, list[str]] = {}
    for number, annotation in enumerate(_list_of(content, "annotations", path)):
        if "image_id" not in annotation:
            raise RecipeError(f"{path.name}: annotation {number} has no image_id")
        captions.setdefault(annotation["image_id"], []).append(str(annotation.get("caption") or ""))
    images = _list_of(content, "images", path)
    known = {image.get("id") for image in images}
    if lost := [key for key in captions if key not in known]:
        raise RecipeError(f"{path.name}: {len(lost)} annotations name images that it does not list, e.g. id {lost[0]}")
    for number, image in enumerate(images):
        name = _text(image, "file_name", path, number)
        yield Described(name, _tidy(captions.get(image.get("id"), [])), split_of(image.get("split")))


def _table(source: PairsSource, path: Path) -> Iterator[Described]:
    """Yield the images of a table; several rows of one image are several captions."""
    found: dict[str, Described] = {}
    for number, row in enumerate(_rows(path), start=2):
        for column in filter(None, (source.image_column, source.caption_column)):
            if column not in row:
                known = ", ".join(map(str, row))
                key = "image_column" if column == source.image_column else "caption_column"
                raise RecipeError(f"{path.name}: has no column {column!r}; it has {known}: set {key}")
        name = (row[source.image_column] or "").strip()
        if not name:
            raise RecipeError(f"{path.name}, line {number}: names no image")
        described = found.setdefault(name, Described(name))
        if source.caption_column is not None:
            described.captions += _tidy([row[source.caption_column] or ""])
        described.split = described.split or split_of(row.get("split"))
        if (place := placed(row.get("Google_location"), where=f"{path.name}, line {number}")) is not None:
            described.level, described.x, described.y = place
        if row.get("img_quality_score"):
            described.quality = _number(row["img_quality_score"], f"{path.name}, line {number}: img_quality_score")
    if not found:
        raise RecipeError(f"{path.name}: lists no images")
    yield from found.values()


def _folders(source: PairsSource, path: Path) -> Iterator[Described]:
    if not path.is_dir():
        raise RecipeError(
            f"source {source.id!r}: {path} is no folder; give the folder that holds a folder for each class"
        )
    files = sorted(file for file in path.rglob("*") if file.suffix.lower() in _IMAGES and file.parent != path)
    if not files:
        raise RecipeError(
            f"source {source.id!r}: {path.name} holds no images in folders of classes ({', '.join(sorted(_IMAGES))})"
        )
    for file in files:
        name = file.relative_to(path).as_posix()
        folders = name.split("/")[:-1]
        split = split_of(folders[0]) if len(folders) > 1 else None
        yield Described(name, [source.caption.replace("{class}", _words(folders[-1]))], split)


def _words(name: str) -> str:
    """Write a class's name as words: "AnnualCrop", "annual_crop" become "annual crop"."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", re.sub(r"[_\-]+", " ", name))
    return " ".join(spaced.split()).lower()


def _rows(path: Path) -> Iterator[Mapping[str, str]]:
    delimiter = _DELIMITERS.get(path.suffix.lower(), ",")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, delimiter=delimiter, strict=True)
            for row in reader:
                if None in row or None in row.values():
                    raise RecipeError(
                        f"{path.name}, line {reader.line_num}: has another number of columns than the head"
                    )
                yield row
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise RecipeError(f"{path.name}: is no table in UTF-8 ({error})") from error


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    except ValueError as error:
        raise RecipeError(f"{path.name}: is no JSON in UTF-8 ({error}); it may be truncated: fetch it again") from error


def _list_of(content: Any, key: str, path: Path) -> list[dict[str, Any]]:
    found = content.get(key) if isinstance(content, dict) else None
    if not isinstance(found, list) or not found or not all(isinstance(each, dict) for each in found):
        raise RecipeError(f"{path.name}: has no list {key!r}; check that format says what kind of file it is")
    return found


def _text(image: Mapping[str, Any], key: str, path: Path, number: int) -> str:
    value = image.get(key)
    if not isinstance(value, str) or not value.strip():
        raise RecipeError(f"{path.name}: image {number} has no {key!r}; check that format says what kind of file it is")
    return value


def _number(text: str, where: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise RecipeError(f"{where} = {text!r} is no number") from error


def _tidy(texts: list[str]) -> list[str]:
    """Return captions with single spaces, without empty and repeated ones."""
    return list(dict.fromkeys(text for each in texts if (text := " ".join(str(each).split()))))
