"""Captions of a finished dataset by way of batch files: requests out, answers in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from git10m.building.recaptioning import Rewording, rewording_rows
from git10m.building.workspace import Workspace
from git10m.captions.subjects import Picture
from git10m.captions.vlm.batches import BatchFiles, import_answers, open_requests
from git10m.captions.writing import Captioner
from git10m.errors import CaptionError, RequestError
from git10m.publish import read_manifest
from git10m.recipe import OpenAIWriter
from git10m.shards import data_files

__all__ = ["export_batch", "import_batch"]


def export_batch(folder: Path, rewording: Rewording, *, into: Path) -> dict[str, Any]:
    """Write the requests that are still to be answered as batch files.

    Args:
        folder: The dataset.
        rewording: How captions are to be written.
        into: Folder of the files.

    Returns:
        Counts of requests and files.

    Raises:
        RequestError: If captions are not written by a server.
    """
    read_manifest(folder)
    _server(rewording)
    workspace = Workspace(folder)
    with workspace.locked(shared=False), BatchFiles(into) as files:
        for ask in _open(workspace, rewording):
            files.add(ask)
    return {"requests": files.requests, "files": [str(path) for path in files.files]}


def import_batch(folder: Path, rewording: Rewording, *, files: Sequence[Path]) -> dict[str, Any]:
    """Take in the results of a batch, and tell whether every request is answered.

    Args:
        folder: The dataset.
        rewording: As it was when the batch was exported.
        files: Output and error files, or folders of them.

    Returns:
        Counts of answers.

    Raises:
        CaptionError: If requests are still open: failed, missing, or answered so that they must be asked again.
    """
    read_manifest(folder)
    model = _server(rewording)
    workspace = Workspace(folder)
    with workspace.locked(shared=False):
        listed = [path for each in files for path in (sorted(each.glob("*.jsonl")) if each.is_dir() else [each])]
        found = import_answers(listed, model, store=workspace.answers)
        still = len({ask.key for ask in _open(workspace, rewording)})
    facts = {**found.as_json(), "open": still}
    if still:
        failed = ", ".join(f"{reason} {count}" for reason, count in found.failed.items()) or "none"
        raise CaptionError(
            f"{folder.name}: {found.answered} answers came new, {found.known} were known; failed: {failed}; "
            f"{len(found.unreadable)} lines are no results; {still} requests are still open: write them out with "
            "--export-batch, or run git10m caption without a batch to ask the server now"
        )
    return facts


def _server(rewording: Rewording) -> OpenAIWriter:
    captions = rewording.captions
    if captions.writer != "openai" or captions.openai is None:
        raise RequestError(f'batch files are for captions.writer = "openai", not {captions.writer!r}')
    return captions.openai


def _open(workspace: Workspace, rewording: Rewording) -> Iterator[Any]:
    captioner = Captioner(
        rewording.captions, work=workspace.work, keep_facts=rewording.keep_facts, writer=_NoWriter(rewording)
    )

    def pictures() -> Iterator[list[Picture]]:
        for path in data_files(workspace.folder):
            for table in rewording_rows(path, rewording, images=captioner.needs_images):
                yield captioner.pictures(table)

    return open_requests(rewording.captions, pictures(), store=workspace.answers, judge=captioner.judge)


class _NoWriter:
    """Looks like the writer whose requests are listed, and writes nothing: no key is needed for that."""

    def __init__(self, rewording: Rewording) -> None:
        assert rewording.captions.openai is not None
        self.needs_images = rewording.captions.openai.image == "send"

    def write(self, pictures: Sequence[Picture], *, judge: Any) -> list[Any]:
        """Write nothing."""
        del judge
        return [None] * len(pictures)
