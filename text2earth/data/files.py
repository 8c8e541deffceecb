"""Where shards are: a folder, a file or a glob, on this machine or in a bucket (``s3://``, ``gs://``).

Files elsewhere are read through ``pyarrow.fs``, which takes keys, region and endpoint from the environment as the
AWS command does (``AWS_PROFILE``, ``AWS_REGION``, ``AWS_ENDPOINT_URL``, …).
"""

from __future__ import annotations

import fnmatch
import json
import os
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import fs

from text2earth.errors import ShardError

__all__ = ["LATENTS_SUFFIX", "ShardFile", "find_shards", "is_remote", "open_file", "read_json"]

LATENTS_SUFFIX = ".latents.parquet"
"""End of the names of cached latents, which stand beside shards and are none."""
_KINDS = (".parquet", ".arrow")
_NOT_SHARDS = ("index.parquet", "rejected.parquet")
_WILDCARD = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True)
class ShardFile:
    """One file of rows.

    Args:
        path: On this machine, or an address.
        size: Bytes.
        modified_ns: Time of its last change, nanoseconds since 1970.
    """

    path: str
    size: int
    modified_ns: int

    @property
    def name(self) -> str:
        """Its name without folders."""
        return self.path.rsplit("/", 1)[-1]


def is_remote(path: str) -> bool:
    """Tell an address from a path on this machine."""
    return "://" in path


def find_shards(path: str, *, split: str) -> tuple[str, list[ShardFile]]:
    """Return the root of a dataset and its shards, sorted by path.

    Args:
        path: Dataset folder, folder, file or glob; a path or an address.
        split: Files of this split are taken where the folder is a dataset's, ``data/{split}-*.parquet``.

    Raises:
        ShardError: If nothing is there, or the store refuses.
    """
    found, expected, root = _listed(path, split=split)
    if not found:
        raise ShardError(f"{path} was given as dataset, but there is no file {expected}; build it with 'git10m build'")
    return root, sorted(found, key=lambda file: file.path)


def _listed(path: str, *, split: str) -> tuple[list[ShardFile], str, str]:
    """Return the shards, the pattern that was looked for, and the root."""
    wildcard = _WILDCARD.search(path)
    if wildcard:
        root = path[: wildcard.start()].rpartition("/")[0] or "."
        return _matching(root, path), path, root
    plain = path.rstrip("/")
    below = _below(f"{plain}/data")
    if below is not None:
        named = [file for file in below if fnmatch.fnmatchcase(file.name, f"{split}-*.parquet")]
        there = sorted({file.name.split("-")[0] for file in below if _is_shard(file)})
        return named, f"{plain}/data/{split}-*.parquet (there are splits: {', '.join(there) or 'none'})", plain
    everything = _below(plain)
    if everything is not None:
        return [file for file in everything if _is_shard(file)], f"below it that ends in {' or '.join(_KINDS)}", plain
    one = _file(plain)
    return ([one] if one else []), path, plain.rpartition("/")[0] or "."


def _matching(root: str, pattern: str) -> list[ShardFile]:
    """Return the shards below a folder that match a glob; ``**`` stands for any number of folders, none included."""
    expression = re.compile(_as_expression(pattern))
    return [file for file in _below(root) or [] if _is_shard(file) and expression.fullmatch(file.path)]


def _as_expression(pattern: str) -> str:
    parts = []
    for part in re.split(r"(\*\*/|\*\*|\*|\?|\[[^\]]*\])", pattern.removeprefix("./")):
        known = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
        parts.append(known.get(part) or (part.replace("[!", "[^") if part.startswith("[") else re.escape(part)))
    return r"(?:\./)?" + "".join(parts)


def _is_shard(file: ShardFile) -> bool:
    return (
        file.name.endswith(_KINDS)
        and not file.name.endswith(LATENTS_SUFFIX)
        and file.name not in _NOT_SHARDS
        and not file.name.startswith(".")
    )


def _below(folder: str) -> list[ShardFile] | None:
    """Return every file below a folder, or None if it is none."""
    if not is_remote(folder):
        return _below_here(folder) if Path(folder).is_dir() else None
    store, inner = _store(folder)
    try:
        infos = store.get_file_info(fs.FileSelector(inner, recursive=True, allow_not_found=True))
    except OSError as error:
        raise _refused(folder, error) from error
    scheme = folder.split("://", 1)[0]
    found = [_remote_file(scheme, info) for info in infos if info.type == fs.FileType.File]
    return found or None


def _below_here(folder: str) -> list[ShardFile]:
    found: list[ShardFile] = []
    waiting = [folder]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_dir():
                    waiting.append(entry.path)
                elif entry.is_file():
                    stat = entry.stat()
                    found.append(ShardFile(entry.path.removeprefix("./"), stat.st_size, stat.st_mtime_ns))
    return found


def _file(path: str) -> ShardFile | None:
    if not is_remote(path):
        name = Path(path)
        return ShardFile(path, name.stat().st_size, name.stat().st_mtime_ns) if name.is_file() else None
    store, inner = _store(path)
    try:
        info = store.get_file_info(inner)
    except OSError as error:
        raise _refused(path, error) from error
    return _remote_file(path.split("://", 1)[0], info) if info.type == fs.FileType.File else None


def _remote_file(scheme: str, info: Any) -> ShardFile:
    return ShardFile(f"{scheme}://{info.path}", int(info.size), int(info.mtime_ns or 0))


@lru_cache(maxsize=16)
def _bucket(root: str) -> Any:
    """Return the file system of a bucket; finding its region asks the server, so once a bucket."""
    try:
        return fs.FileSystem.from_uri(root)[0]
    except (pa.ArrowException, OSError, ValueError) as error:
        raise ShardError(f"{root} cannot be opened ({error}); give a path, or an address s3:// or gs://") from error


def _store(path: str) -> tuple[Any, str]:
    """Return the file system of an address and the path in it."""
    scheme, rest = path.split("://", 1)
    return _bucket(f"{scheme}://{rest.split('/', 1)[0]}"), rest


def _refused(path: str, error: OSError) -> ShardError:
    return ShardError(f"{path} cannot be listed ({error}); check the address, and the keys in the environment")


def open_file(path: str) -> pa.NativeFile:
    """Open a file for random access; one on this machine is mapped into memory.

    Raises:
        OSError: If it cannot be opened.
    """
    if not is_remote(path):
        return pa.memory_map(path)
    store, inner = _store(path)
    return store.open_input_file(inner)


def read_json(folder: str, name: str) -> dict[str, Any]:
    """Return a JSON object that stands in a folder, empty if there is none."""
    path = f"{folder}/{name}"
    if _file(path) is None:
        return {}
    with open_file(path) as file:
        found: dict[str, Any] = json.loads(file.read() or b"{}")
    return found
