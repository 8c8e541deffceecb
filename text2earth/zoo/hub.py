"""Fetches a model from the Hugging Face hub: one commit, safetensors and text only, every file's hash checked.

The commit that is fetched first is written down beside the hub's cache with the hash of every file. From then on the
model is that commit, and no server is asked: loading reads the files and checks them against what was written down.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from git10m.shards import atomic_file, file_sha256
from text2earth.errors import HubError, ModelError
from text2earth.zoo.registry import HubSource, ZooModel

__all__ = ["fetched", "noted"]

_READ = frozenset({".safetensors", ".json", ".txt", ".model", ".md"})
"""Endings of files that are fetched; code is none of them."""
_TRANSPORTS = frozenset({"httpx", "httpx2", "httpcore", "requests", "huggingface_hub"})
"""Packages whose errors mean that a server was not reached; which of them the hub's client uses differs by version."""
_PICKLES = frozenset({".bin", ".ckpt", ".pt", ".pth", ".pkl"})
_NEEDED = {
    "image-text": ("config.json", "preprocessor_config.json", "model.safetensors"),
    "text-to-image": (
        "model_index.json",
        "scheduler/scheduler_config.json",
        *(f"{name}/config.json" for name in ("vae", "text_encoder", "unet")),
    ),
}
_NEEDED["inpainting"] = _NEEDED["text-to-image"]


@dataclass(frozen=True, slots=True)
class _Listed:
    """A file of a commit, as the hub announces it: large ones by SHA-256, small ones by git's hash."""

    path: str
    size: int
    sha256: str | None
    git: str | None

    def matches(self, file: Path) -> bool:
        if file.stat().st_size != self.size:
            return False
        if self.sha256 is not None:
            return file_sha256(file) == self.sha256
        content = file.read_bytes()
        return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest() == self.git


def noted(model: ZooModel) -> dict[str, Any] | None:
    """Return what was written down when a model was fetched (``revision`` and ``files``); None if it never was."""
    assert model.hub is not None
    path = _note(model.hub)
    if not path.is_file():
        return None
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def fetched(model: ZooModel, *, again: bool = False) -> Path:
    """Return the folder of a model of the hub, whole and verified; fetches what is not there.

    Args:
        model: One that has a ``hub``.
        again: Ask the hub for the newest commit even if one was fetched before.

    Raises:
        HubError: If the hub cannot be reached, or sends other bytes than it announced.
        ModelError: If the repository is gone, lacks parts, or holds weights that are not safetensors.
    """
    source = model.hub
    assert source is not None
    note = None if again else noted(model)
    if note is None:
        with _explained(model):
            revision, files = _asked(source)
        _check_listing(model, files)
        note = {
            "repository": source.repository,
            "revision": revision,
            "files": {file.path: {"size": file.size, "sha256": file.sha256, "git": file.git} for file in files},
        }
    listed = [_Listed(path, **said) for path, said in note["files"].items()]
    _check_known(model, listed)
    folder = _downloaded(model, listed, revision=note["revision"])
    _check_files(model, folder, listed)
    _write(note, _note(source))
    return folder


def _asked(source: HubSource) -> tuple[str, list[_Listed]]:
    """Return the commit to use and its files that are read."""
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile

    hub = HfApi(endpoint=_endpoint())
    revision = source.revision or hub.model_info(source.repository).sha
    tree = [
        each
        for each in hub.list_repo_tree(source.repository, revision=revision, recursive=True)
        if isinstance(each, RepoFile)
    ]
    _refuse_pickles(source, [each.path for each in tree])
    wanted = _wanted([each.path for each in tree])
    files = [
        _Listed(each.path, each.size, each.lfs.sha256 if each.lfs else None, None if each.lfs else each.blob_id)
        for each in tree
        if each.path in wanted
    ]
    return str(revision), files


def _wanted(paths: Sequence[str]) -> set[str]:
    """Leave out code, pickles, and second copies of weights in another precision."""
    read = {path for path in paths if PurePosixPath(path).suffix in _READ and not path.startswith(".")}
    plain = {path for path in read if not path.endswith((".fp16.safetensors", ".non_ema.safetensors"))}
    weighty = {str(PurePosixPath(path).parent) for path in plain if path.endswith(".safetensors")}
    return {path for path in read if path in plain or str(PurePosixPath(path).parent) not in weighty}


def _refuse_pickles(source: HubSource, paths: Sequence[str]) -> None:
    """Refuse a repository one of whose folders holds weights as pickle alone."""
    safe = {PurePosixPath(path).parent for path in paths if path.endswith(".safetensors")}
    unsafe = sorted(
        path for path in paths if PurePosixPath(path).suffix in _PICKLES and PurePosixPath(path).parent not in safe
    )
    if unsafe:
        raise ModelError(
            f"{source.repository} holds weights as pickle alone ({', '.join(unsafe[:3])}), which can run code when it "
            "is opened and is never read; ask who publishes it for safetensors"
        )


def _check_listing(model: ZooModel, files: Sequence[_Listed]) -> None:
    assert model.hub is not None
    there = {file.path for file in files}
    missing = [path for path in _NEEDED[model.kind] if path not in there]
    if model.kind != "image-text":
        weighty = {path.split("/")[0] for path in there if path.endswith(".safetensors")}
        missing += [f"{name}/*.safetensors" for name in ("vae", "text_encoder", "unet") if name not in weighty]
    if missing:
        raise ModelError(
            f"{model.hub.repository} lacks {', '.join(missing)}; it is no whole {model.name}, look at {model.hub.page}"
        )


def _check_known(model: ZooModel, files: Sequence[_Listed]) -> None:
    """Refuse a commit whose files are not those that this version knows, before anything is fetched."""
    assert model.hub is not None
    said = {file.path: file.sha256 for file in files}
    for path, sha256 in model.hub.sha256.items():
        if said.get(path) != sha256:
            raise HubError(
                f"{model.hub.repository}: {path} has sha256 {said.get(path) or 'of no file'} on the hub, and this "
                f"version of text2earth knows {sha256}; the file was changed after it was published. Fetch the "
                "repository into a folder and give the folder, if you trust it"
            )


def _downloaded(model: ZooModel, files: Sequence[_Listed], *, revision: str) -> Path:
    """Return the folder of a commit in the hub's cache, fetching what is missing there."""
    from huggingface_hub import constants, snapshot_download

    assert model.hub is not None
    owner, name = model.hub.repository.split("/")
    folder = Path(constants.HF_HUB_CACHE) / f"models--{owner}--{name}" / "snapshots" / revision
    if all((folder / file.path).is_file() for file in files):
        return folder
    with _explained(model):
        found = snapshot_download(
            model.hub.repository,
            revision=revision,
            allow_patterns=[file.path for file in files],
            cache_dir=constants.HF_HUB_CACHE,
            endpoint=_endpoint(),
        )
    missing = [file.path for file in files if not (Path(found) / file.path).is_file()]
    if missing:
        raise HubError(f"{model.hub.repository}: the hub did not send {', '.join(missing)}; run it again")
    return Path(found)


def _check_files(model: ZooModel, folder: Path, files: Sequence[_Listed]) -> None:
    """Refuse files that are not as announced, and take them out of the cache so that the next try fetches them."""
    wrong = [file for file in files if not file.matches(folder / file.path)]
    for file in wrong:
        stored = folder / file.path
        stored.resolve().unlink()
        stored.unlink(missing_ok=True)
    if wrong:
        first = wrong[0]
        told = f"sha256 {first.sha256}" if first.sha256 else f"git hash {first.git}"
        raise HubError(
            f"{model.name}: {first.path} is not the file that the hub announced ({told}, {first.size:,} bytes); "
            f"{len(wrong)} such files were removed from the cache, run it again to fetch them anew"
        )


@contextmanager
def _explained(model: ZooModel) -> Iterator[None]:
    """Turn what the hub's client raises into one message that says how to get the model all the same."""
    from huggingface_hub import errors

    assert model.hub is not None
    repository = model.hub.repository
    try:
        yield
    except Exception as error:
        gone = (errors.RepositoryNotFoundError, errors.RevisionNotFoundError, errors.RemoteEntryNotFoundError)
        if isinstance(error, gone):
            raise ModelError(f"{repository} is not on the hub as it is known here: {_first_line(error)}") from error
        if not isinstance(error, OSError) and type(error).__module__.partition(".")[0] not in _TRANSPORTS:
            raise
        raise HubError(
            f"the hub cannot be reached for {model.name} ({_first_line(error)}). On a machine that reaches it, run\n"
            f"    {_elsewhere(model)}\n"
            f"copy the folder here, and give it in place of the name: {Path(repository).name}"
        ) from error


def _elsewhere(model: ZooModel) -> str:
    """Return the command that fetches a model with the hub's own client, without code and pickles."""
    assert model.hub is not None
    revision = f" --revision {model.hub.revision}" if model.hub.revision else ""
    patterns = " ".join(f"--include {shlex.quote('*' + ending)}" for ending in sorted(_READ))
    return f"hf download {model.hub.repository}{revision} {patterns} --local-dir {Path(model.hub.repository).name}"


def _endpoint() -> str | None:
    """Return the address of another hub, where the environment names one; the client reads it when it is imported."""
    return os.environ.get("HF_ENDPOINT") or None


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _note(source: HubSource) -> Path:
    from huggingface_hub import constants

    pinned = f"@{source.revision}" if source.revision else ""
    return Path(constants.HF_HUB_CACHE) / "text2earth" / f"{source.repository.replace('/', '--')}{pinned}.json"


def _write(note: Mapping[str, Any], path: Path) -> None:
    text = json.dumps(note, indent=2)
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as file:
        file.write(text.encode())
