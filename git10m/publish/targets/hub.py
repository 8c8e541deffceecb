"""A dataset repository of the Hugging Face hub as a target, through huggingface_hub.

Files go up one after the other and become visible in one commit, so readers see the old version or the new one. What
was sent before an interruption is not sent again: the hub knows files by their hash. The token comes from the usual
places (``HF_TOKEN``, ``hf auth login``), the server from ``HF_ENDPOINT``.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential
from tqdm import tqdm

from git10m.errors import PublishError, TargetError
from git10m.publish.delivery import Delivery, may_replace, stale_names
from git10m.publish.release import Piece, Release

__all__ = ["HubTarget"]

_ATTEMPTS = 5
_SENT_AT_ONCE = 8
_PASSING = frozenset({408, 409, 412, 425, 429, 500, 502, 503, 504})
"""Answers after which the same request may succeed; 412: somebody else committed meanwhile."""


class HubTarget:
    """A dataset repository.

    Args:
        address: ``hf://datasets/OWNER/NAME``.
        private: A repository that is made is private; one that is there must be.
        revision: Branch; made where there is none. None: ``main``.

    Raises:
        TargetError: If the address names no dataset repository.
        PublishError: If huggingface_hub is not installed.
    """

    def __init__(self, address: str, *, private: bool = False, revision: str | None = None) -> None:
        found = re.fullmatch(r"hf://datasets/([\w.-]+/[\w.-]+)(?:@([\w./-]+))?/?", address)
        if found is None:
            raise TargetError(f"{address}: expected hf://datasets/OWNER/NAME")
        try:
            from huggingface_hub import HfApi  # noqa: PLC0415 - an extra
            from huggingface_hub.errors import HFValidationError  # noqa: PLC0415
            from huggingface_hub.utils._validators import validate_repo_id  # noqa: PLC0415
            from huggingface_hub.utils.tqdm import disable_progress_bars  # noqa: PLC0415
        except ImportError as error:
            raise PublishError(
                f"{address}: publishing to the hub needs huggingface_hub: pip install 'git10m[publish]'"
            ) from error
        self.repo, self.private, self.revision = found[1], private, revision or found[2]
        try:
            validate_repo_id(self.repo)
        except HFValidationError as error:
            raise TargetError(f"{address}: no name of a repository ({str(error).splitlines()[0]})") from error
        self.address = f"hf://datasets/{self.repo}" + (f"@{self.revision}" if self.revision else "")
        disable_progress_bars()  # ours shows the whole
        self._api = HfApi(os.environ.get("HF_ENDPOINT") or None, library_name="git10m")
        self._page = f"{self._api.endpoint}/datasets/{self.repo}"
        self.url: str | None = self._page
        self.owner: str | None = self.repo.split("/")[0]

    def check(self, name: str) -> dict[str, Any] | None:
        """Find out who we are, whether the repository may be written to, and what is there."""
        with _explained(self.address):
            who = self._api.whoami()
            mine = {who.get("name"), *(org.get("name") for org in who.get("orgs") or [])}
            if self.owner not in mine:
                listed = ", ".join(sorted(str(each) for each in mine if each))
                raise TargetError(f"{self.address}: the token is of {who.get('name')}, who may write to: {listed}")
            role = ((who.get("auth") or {}).get("accessToken") or {}).get("role")
            if role == "read":
                raise PublishError(
                    f"{self.address}: the token may only read; make one that may write, and set HF_TOKEN"
                )
            if self._api.repo_exists(self.repo, repo_type="dataset"):
                self._be_private()
                return self._may_replace(self._there(), name)
            return None

    def deliver(self, release: Release) -> Delivery:
        """Send what is not there yet, and commit; a refusal that may pass is tried again."""
        patience = Retrying(
            stop=stop_after_attempt(_ATTEMPTS),
            wait=wait_exponential(multiplier=1, max=30),
            retry=retry_if_exception(_passing),
            reraise=True,
        )
        with _explained(self.address):
            return patience(self._deliver, release)

    def _deliver(self, release: Release) -> Delivery:
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete  # noqa: PLC0415 - an extra

        self._api.create_repo(self.repo, repo_type="dataset", private=self.private or None, exist_ok=True)
        self._be_private()
        if self.revision is not None:
            self._api.create_branch(self.repo, branch=self.revision, repo_type="dataset", exist_ok=True)
        head = self._api.repo_info(self.repo, repo_type="dataset", revision=self.revision).sha
        there = self._there()
        old = self._may_replace(there, str(release.manifest["name"]))
        missing = [piece for piece in release.pieces if not _same(there.get(piece.name), piece)]
        stale = stale_names(old, there, {piece.name for piece in release.pieces})
        kept = len(release.pieces) - len(missing)
        if not missing and not stale:
            return Delivery(0, kept, 0, 0, self._page)
        additions = [CommitOperationAdd(piece.name, str(piece.path)) for piece in missing]
        self._send(additions)
        self._api.create_commit(
            self.repo,
            repo_type="dataset",
            operations=[*additions, *(CommitOperationDelete(name) for name in stale)],
            commit_message=f"{release.manifest['name']} {release.manifest['version']}, published with git10m",
            revision=self.revision,
            parent_commit=head,
        )
        return Delivery(len(missing), kept, len(stale), sum(piece.bytes for piece in missing), self._page)

    def _send(self, additions: list[Any]) -> None:
        total = sum(addition.upload_info.size for addition in additions)
        with tqdm(total=total, desc="sending", unit="B", unit_scale=True, disable=len(additions) < 3) as progress:
            for start in range(0, len(additions), _SENT_AT_ONCE):
                chunk = additions[start : start + _SENT_AT_ONCE]
                self._api.preupload_lfs_files(
                    self.repo, chunk, repo_type="dataset", revision=self.revision, free_memory=False
                )
                progress.update(sum(addition.upload_info.size for addition in chunk))

    def _there(self) -> dict[str, Any]:
        """List the files of the repository by name; nothing where the branch is not there yet."""
        from huggingface_hub import RepoFile  # noqa: PLC0415 - an extra
        from huggingface_hub.errors import EntryNotFoundError, RevisionNotFoundError  # noqa: PLC0415

        try:
            tree = self._api.list_repo_tree(self.repo, recursive=True, revision=self.revision, repo_type="dataset")
            return {entry.path: entry for entry in tree if isinstance(entry, RepoFile)}
        except (EntryNotFoundError, RevisionNotFoundError):
            return {}

    def _may_replace(self, there: Mapping[str, Any], name: str) -> dict[str, Any] | None:
        """Check what is there, and return its manifest."""
        old = None
        if "manifest.json" in there:
            with tempfile.TemporaryDirectory(prefix="git10m-hub-") as cache:
                path = self._api.hf_hub_download(
                    self.repo, "manifest.json", repo_type="dataset", revision=self.revision, cache_dir=cache
                )
                try:
                    old = json.loads(Path(path).read_text(encoding="utf-8"))
                except ValueError:
                    old = {}
        may_replace(self.address, there, old=old, name=name, harmless={"README.md"})
        return old

    def _be_private(self) -> None:
        if self.private and not self._api.repo_info(self.repo, repo_type="dataset").private:
            raise TargetError(
                f"{self.address}: is there and public; make it private in its settings first, or leave out --private"
            )


def _same(entry: Any, piece: Piece) -> bool:
    """Compare a file of the repository with one of ours: by SHA-256, or as git names small files."""
    if entry is None or entry.size != piece.bytes:
        return False
    if entry.lfs is not None:
        return bool(entry.lfs.sha256 == piece.sha256)
    from huggingface_hub.utils.sha import git_hash  # noqa: PLC0415 - an extra

    return bool(entry.blob_id == git_hash(piece.path.read_bytes()))


def _passing(error: BaseException) -> bool:
    return _status(error) in _PASSING or type(error).__name__ in {"ConnectError", "ReadTimeout", "RemoteProtocolError"}


def _status(error: BaseException) -> int | None:
    return getattr(getattr(error, "response", None), "status_code", None)


@contextmanager
def _explained(address: str) -> Iterator[None]:
    """Turn what huggingface_hub raises into one sentence that says what to do."""
    from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError, OfflineModeIsEnabled  # noqa: PLC0415

    try:
        yield
    except LocalTokenNotFoundError as error:
        raise PublishError(f"{address}: there is no token; set HF_TOKEN, or run: hf auth login") from error
    except OfflineModeIsEnabled as error:
        raise PublishError(f"{address}: HF_HUB_OFFLINE is set; unset it to publish") from error
    except HfHubHTTPError as error:
        raise PublishError(
            f"{address}: {_hint(_status(error))} (the hub answers {_status(error)}: {_first(error)})"
        ) from error
    except (OSError, RuntimeError, ValueError) as error:
        raise PublishError(f"{address}: publishing ended early ({_first(error)}); run it again to go on") from error
    except Exception as error:
        # httpx's errors are none of Python's own.
        if not type(error).__module__.startswith("httpx"):
            raise
        raise PublishError(f"{address}: the hub cannot be reached ({_first(error)}); run it again to go on") from error


def _hint(status: int | None) -> str:
    return {
        401: "the token is not valid, or the repository is not there; check HF_TOKEN",
        403: "the token may not write there; make one that may, and set HF_TOKEN",
        404: "there is no such repository or branch",
        409: "somebody else writes there at the same time; run it again",
        412: "somebody else wrote there meanwhile; run it again",
        413: "the hub takes no files so large",
        429: "the hub asks for patience; run it again later to go on",
    }.get(status or 0, "publishing ended early; run it again to go on")


def _first(error: BaseException) -> str:
    said = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)[:200]
    # What went wrong with a file is in what went wrong with its transfer.
    return f"{said} {_first(error.__cause__)}" if isinstance(error, RuntimeError) and error.__cause__ else said
