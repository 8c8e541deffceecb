"""From the paths of a recipe to the files of each scene."""

from __future__ import annotations

import glob
import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from git10m.errors import RecipeError, SourceError
from git10m.recipe import Origin, RasterSource, is_address, shown
from git10m.remote import list_files
from git10m.sources import Moment

__all__ = ["SceneFiles", "acquisition", "date_in", "expand", "find_scenes"]

RASTER_SUFFIXES = frozenset({".tif", ".tiff", ".jp2", ".j2k", ".vrt", ".img"})
"""What is taken from a folder; a file that is named outright may end as it likes."""


@dataclass(frozen=True, slots=True)
class SceneFiles:
    """Files that together hold one scene.

    Attributes:
        name: Path below the folder that the recipe names, without a machine's own folders.
        files: Paths or addresses: one, or one a band.
        problem: What is missing, where the scene is not whole.
    """

    name: str
    files: tuple[str, ...]
    problem: str | None = None


def find_scenes(source: RasterSource) -> list[SceneFiles]:
    """List the scenes of a source, sorted by name; no two have the same.

    Raises:
        RecipeError: If a path leads to nothing, or all that it leads to is excluded.
    """
    patterns = [band for band in source.bands or () if isinstance(band, str)]
    scenes: dict[tuple[str, ...], tuple[SceneFiles, Path]] = {}
    for path in source.paths:
        found = list(_sibling_scenes(path, patterns)) if patterns else list(_single_scenes(path))
        if not found:
            looked_for = f"{path} with bands {patterns}" if patterns else path
            raise RecipeError(f"source {source.id!r}: {looked_for} matches no raster file; check the path")
        for scene, folder in found:
            if not _excluded(scene.name, source.exclude):
                scenes.setdefault(scene.files, (scene, folder))
    if not scenes:
        raise RecipeError(f"source {source.id!r}: exclude = {list(source.exclude)} leaves nothing of {source.path}")
    return sorted(_told_apart(list(scenes.values())), key=lambda scene: scene.name)


def expand(path: str | tuple[str, ...], *, suffixes: frozenset[str] = RASTER_SUFFIXES) -> list[tuple[str, str]]:
    """List (name, file) of a file, folder (taken recursively) or glob; names are relative to what is named.

    An address stands for itself; one of s3 may be a folder (it ends in ``/``) or a glob.

    Args:
        path: One or several.
        suffixes: Lower-case endings that are taken from folders.

    Raises:
        RecipeError: If a server cannot be listed.
        SourceError: If a bucket cannot be read.
    """
    if isinstance(path, tuple):
        return [found for each in path for found in expand(each, suffixes=suffixes)]
    if is_address(path):
        if path.endswith("/"):
            return [found for found in list_files(path) if Path(found[0]).suffix.lower() in suffixes]
        return list_files(path) if glob.has_magic(path.partition("?")[0]) else [(shown(path), path)]
    root = Path(path)
    if root.is_file():
        return [(root.name, str(root))]
    if root.is_dir():
        files = [file for file in root.rglob("*") if file.suffix.lower() in suffixes and file.is_file()]
    else:
        root = _fixed_part(path)
        matches = (Path(match) for match in glob.glob(path, recursive=True))  # noqa: PTH207 - absolute patterns
        files = [file for file in matches if file.is_file()]
    return sorted((file.relative_to(root).as_posix(), str(file)) for file in files)


def acquisition(source: Origin, name: str) -> Moment | None:
    """Return when a scene was taken, from the recipe or from the scene's name.

    Raises:
        SourceError: If the recipe's ``date_pattern`` finds nothing, or no date, in the name.
    """
    if source.acquired_at is not None:
        midnight = source.acquired_at.time() == datetime.min.time()
        return Moment(source.acquired_at, "day" if midnight else "second")
    if not isinstance(source, RasterSource) or source.date_pattern is None:
        return None
    return date_in(name, pattern=source.date_pattern, of=f"source {source.id!r}")


def date_in(name: str, *, pattern: str, of: str) -> Moment:
    """Return the date that a ``date_pattern`` finds in a path.

    Args:
        name: Path of a file.
        pattern: Regular expression; its group (or groups year, month, day) is the date.
        of: Whose pattern it is, for messages.

    Raises:
        SourceError: If it finds nothing, or no date.
    """
    found = re.search(pattern, name)
    if found is None:
        raise SourceError(f"{name}: date_pattern {pattern!r} of {of} finds no date in it")
    named = found.groupdict()
    text = "".join(named[key] for key in ("year", "month", "day") if named.get(key)) if named else found.group(1)
    digits = re.sub(r"\D", "", text)
    forms = {4: ("%Y", "year"), 6: ("%Y%m", "month"), 8: ("%Y%m%d", "day"), 14: ("%Y%m%d%H%M%S", "second")}
    try:
        form, precision = forms[len(digits)]
        return Moment(datetime.strptime(digits, form).replace(tzinfo=UTC), precision)
    except (KeyError, ValueError) as error:
        raise SourceError(
            f"{name}: date_pattern {pattern!r} finds {text!r}, which is no date; "
            "its digits must read as YYYY, YYYYMM, YYYYMMDD or YYYYMMDDHHMMSS"
        ) from error


def _single_scenes(path: str) -> Iterator[tuple[SceneFiles, Path]]:
    """Yield a scene a file, and the folder that its name starts from."""
    for name, file in expand(path):
        # What follows a ? in an address, or stands before an @, may be a secret.
        place = re.sub(r"^\w+://([^/@]*@)?", "", file.partition("?")[0]) if is_address(file) else file
        yield SceneFiles(name, (file,)), Path(place).parents[name.count("/")]


def _sibling_scenes(path: str, patterns: list[str]) -> Iterator[tuple[SceneFiles, Path]]:
    """Yield scenes of one file a band, and the folder that their names start from.

    What ``*`` stands for must be the same in each pattern; it tells scenes apart and names them.
    """
    if is_address(path):
        yield from _siblings(Path(shown(path)), list_files(path), patterns)
        return
    folders = [Path(path)] if Path(path).is_dir() else [Path(match) for match in sorted(glob.glob(path))]  # noqa: PTH207
    for folder in (folder for folder in folders if folder.is_dir()):
        files = sorted({file for pattern in patterns for file in folder.glob(pattern) if file.is_file()})
        yield from _siblings(folder, [(file.relative_to(folder).as_posix(), str(file)) for file in files], patterns)


def _siblings(folder: Path, listed: list[tuple[str, str]], patterns: list[str]) -> Iterator[tuple[SceneFiles, Path]]:
    """Yield the scenes that the (name, file) of one folder make."""
    by_band = [_matches(listed, pattern) for pattern in patterns]
    for key in sorted(set().union(*by_band)):
        files = tuple(found[key] for found in by_band if key in found)
        missing = [pattern for pattern, found in zip(patterns, by_band, strict=True) if key not in found]
        problem = f"no file for bands {missing} beside {shown(files[0])}" if missing else None
        name = "/".join([folder.name, *filter(None, key)]) if any(key) else _common_name(folder, files)
        yield SceneFiles(name, files, problem), folder.parent


def _told_apart(found: list[tuple[SceneFiles, Path]]) -> list[SceneFiles]:
    """Give scenes that share a name the names of the folders above them, as many as it takes."""
    times = Counter(scene.name for scene, folder in found if folder.name)
    if all(count == 1 for count in times.values()):
        return [scene for scene, _ in found]
    return _told_apart(
        [
            (replace(scene, name=f"{folder.name}/{scene.name}"), folder.parent)
            if times[scene.name] > 1 and folder.name
            else (scene, folder)
            for scene, folder in found
        ]
    )


def _matches(listed: list[tuple[str, str]], pattern: str) -> dict[tuple[str, ...], str]:
    regex = re.compile("(.*)".join(re.escape(part) for part in pattern.split("*")))
    flat = "**" not in pattern
    near = (found for found in listed if not flat or found[0].count("/") == pattern.count("/"))
    matched = ((regex.fullmatch(name), file) for name, file in near)
    return {match.groups(): file for match, file in matched if match is not None}


def _common_name(folder: Path, files: tuple[str, ...]) -> str:
    """Name a scene by what its files' names share, without the band's own letter."""
    shared = os.path.commonprefix([Path(shown(file)).stem for file in files])  # noqa: RUF071 - characters are what is meant
    return f"{folder.name}/{re.sub(r'[-_. ]*[Bb]?0?$', '', shared)}".rstrip("/")


def _excluded(name: str, patterns: tuple[str, ...]) -> bool:
    last = name.rsplit("/", 1)[-1]
    return any(Path(last).match(pattern) or Path(name).match(pattern) for pattern in patterns)


def _fixed_part(pattern: str) -> Path:
    """Return the folder of a glob before its first wildcard."""
    parts = Path(pattern).parts
    first_wild = next((i for i, part in enumerate(parts) if glob.has_magic(part)), len(parts) - 1)
    return Path(*parts[:first_wild])
