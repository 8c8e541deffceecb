"""Where a dataset is published: a folder, a prefix of S3, or a dataset repository of the Hugging Face hub."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Protocol

from git10m.errors import TargetError
from git10m.publish.delivery import Delivery
from git10m.publish.release import Release

__all__ = ["Target", "open_target"]


class Target(Protocol):
    """A place that a release can be brought to.

    Attributes:
        address: As it was named.
        url: Page where people find it; None where there is none.
        owner: Whose place it is, where that is known.
    """

    address: str
    url: str | None
    owner: str | None

    def check(self, name: str) -> dict[str, Any] | None:
        """Find out, before anything is read, whether a dataset of this name may and can be brought there.

        Returns:
            The manifest of the version that is there.
        """

    def deliver(self, release: Release) -> Delivery:
        """Bring a release there, or go on with it."""


def open_target(said: str, *, dataset: Path, private: bool = False, revision: str | None = None) -> Target:
    """Return the target that a user names.

    Args:
        said: A folder, ``s3://BUCKET/PREFIX`` or ``hf://datasets/OWNER/NAME``.
        dataset: Folder of the dataset that is published.
        private: Of the hub: a repository that is made is private.
        revision: Of the hub: the branch.

    Raises:
        TargetError: If it is none of these.
        PublishError: If what speaks to it is not installed.
    """
    if said.startswith("s3://"):
        from git10m.publish.targets.s3 import S3Target  # noqa: PLC0415 - an extra

        _only_for_the_hub(said, private, revision)
        return S3Target(said)
    if said.startswith("hf://"):
        from git10m.publish.targets.hub import HubTarget  # noqa: PLC0415 - an extra

        return HubTarget(said, private=private, revision=revision)
    if re.match(r"[a-zA-Z][a-zA-Z0-9+.-]+://", said):
        raise TargetError(
            f"{said}: cannot be published to; give a folder, s3://BUCKET/PREFIX or hf://datasets/OWNER/NAME"
        )
    from git10m.publish.targets.folder import FolderTarget  # noqa: PLC0415 - beside the others

    _only_for_the_hub(said, private, revision)
    return FolderTarget(Path(said), dataset=dataset)


def _only_for_the_hub(said: str, private: bool, revision: str | None) -> None:
    if private or revision is not None:
        option = "--private" if private else "--revision"
        raise TargetError(f"{option} is for the hub (hf://datasets/OWNER/NAME), not for {said}; leave it out")
