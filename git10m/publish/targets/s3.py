"""A prefix of S3 as a target, through boto3.

Credentials and server come from the usual environment, as boto3 reads it (``AWS_PROFILE``, ``AWS_ACCESS_KEY_ID``,
``AWS_ENDPOINT_URL``, …), and from the names by which GDAL knows a server (``AWS_S3_ENDPOINT``, ``AWS_HTTPS``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from git10m.errors import PublishError, TargetError
from git10m.publish.delivery import MARK, Delivery, deliver, look
from git10m.publish.release import Piece, Release
from git10m.remote import s3_server

__all__ = ["S3Target"]

_PART_BYTES = 32 * 2**20
_TYPES = {"json": "application/json", "md": "text/markdown; charset=utf-8", "tar": "application/x-tar",
          "parquet": "application/vnd.apache.parquet"}  # fmt: skip
_HINTS = {
    "NoSuchBucket": "there is no such bucket; make it first, or check its name and AWS_REGION",
    "404": "there is no such bucket; make it first, or check its name and AWS_REGION",
    "InvalidAccessKeyId": "the key is not known there; check AWS_ACCESS_KEY_ID or AWS_PROFILE",
    "SignatureDoesNotMatch": "the secret is wrong; check AWS_SECRET_ACCESS_KEY",
    "ExpiredToken": "the credentials have run out; get new ones",
    "InvalidToken": "the session token is wrong; check AWS_SESSION_TOKEN",
    "AccessDenied": "access is denied; writing needs s3:ListBucket, s3:GetObject, s3:PutObject and s3:DeleteObject",
    "403": "access is denied; check the credentials and the bucket's policy",
    "PermanentRedirect": "the bucket is in another region; set AWS_REGION",
    "301": "the bucket is in another region; set AWS_REGION",
}


class S3Target:
    """Objects below ``s3://BUCKET/PREFIX``.

    Args:
        address: Of the prefix.

    Raises:
        TargetError: If the address names no bucket.
        PublishError: If boto3 is not installed.
    """

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/")
        self.url: str | None = None
        self.owner: str | None = None
        self.bucket, _, prefix = self.address.removeprefix("s3://").partition("/")
        self.prefix = f"{prefix}/" if prefix else ""
        if not address.removeprefix("s3://").strip("/") or re.search(r"[?*#]|//", self.address.removeprefix("s3://")):
            raise TargetError(f"{address}: expected s3://BUCKET or s3://BUCKET/PREFIX")
        self._client = _client(self.address)

    def check(self, name: str) -> dict[str, Any] | None:
        """Find out whether the bucket is there and may be listed, and what it holds."""
        with _explained(self.address):
            return look(self, name)

    def deliver(self, release: Release) -> Delivery:
        """Send what is not there yet."""
        with _explained(self.address):
            if self.read(MARK) is not None:
                self._abort_parts()
            return deliver(self, release)

    def names(self) -> set[str]:
        """List the objects below the prefix."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self.prefix)
        return {entry["Key"].removeprefix(self.prefix) for page in pages for entry in page.get("Contents", [])
                if not entry["Key"].endswith("/")}  # fmt: skip

    def read(self, name: str) -> bytes | None:
        """Return a small object."""
        from botocore.exceptions import ClientError  # noqa: PLC0415 - an extra

        try:
            return bytes(self._client.get_object(Bucket=self.bucket, Key=self.prefix + name)["Body"].read())
        except ClientError as error:
            if error.response["Error"]["Code"] in {"NoSuchKey", "404"}:
                return None
            raise

    def holds(self, piece: Piece) -> bool:
        """Compare size and hash; the hash is one that was noted when the object was sent."""
        from botocore.exceptions import ClientError  # noqa: PLC0415 - an extra

        try:
            found = self._client.head_object(Bucket=self.bucket, Key=self.prefix + piece.name)
        except ClientError as error:
            if error.response["Error"]["Code"] in {"NoSuchKey", "404"}:
                return False
            raise
        return bool(found["ContentLength"] == piece.bytes and found["Metadata"].get("sha256") == piece.sha256)

    def put(self, piece: Piece) -> None:
        """Send a file, in parts where it is large; what is sent in part is not seen."""
        from boto3.s3.transfer import TransferConfig  # noqa: PLC0415 - an extra

        kind = _TYPES.get(piece.name.rpartition(".")[2], "text/plain; charset=utf-8")
        how = TransferConfig(multipart_threshold=2 * _PART_BYTES, multipart_chunksize=_PART_BYTES, max_concurrency=4)
        said = {"Metadata": {"sha256": piece.sha256}, "ContentType": kind}
        self._client.upload_file(str(piece.path), self.bucket, self.prefix + piece.name, ExtraArgs=said, Config=how)

    def write(self, name: str, content: bytes) -> None:
        """Write a small object."""
        self._client.put_object(Bucket=self.bucket, Key=self.prefix + name, Body=content)

    def remove(self, name: str) -> None:
        """Delete an object."""
        self._client.delete_object(Bucket=self.bucket, Key=self.prefix + name)

    def _abort_parts(self) -> None:
        """Throw away the parts that a run that was killed had sent: they cost money, and nobody sees them."""
        pages = self._client.get_paginator("list_multipart_uploads").paginate(Bucket=self.bucket, Prefix=self.prefix)
        for upload in [upload for page in pages for upload in page.get("Uploads", [])]:
            self._client.abort_multipart_upload(Bucket=self.bucket, Key=upload["Key"], UploadId=upload["UploadId"])


def _client(address: str) -> Any:
    try:
        import boto3  # noqa: PLC0415 - an extra
        from botocore.config import Config  # noqa: PLC0415
    except ImportError as error:
        raise PublishError(f"{address}: publishing to S3 needs boto3: pip install 'git10m[publish]'") from error
    server = s3_server()
    # Servers other than Amazon's rarely give each bucket a host name of its own.
    style = {"addressing_style": "path"} if server is not None else {}
    config = Config(retries={"max_attempts": 8, "mode": "adaptive"}, s3=style, connect_timeout=15, read_timeout=120)
    endpoint = f"{server[1]}://{server[0]}" if server is not None else None
    with _explained(address):
        # A session of its own: the one that boto3 shares keeps the first credentials that it saw.
        return boto3.session.Session().client("s3", endpoint_url=endpoint, config=config)


@contextmanager
def _explained(address: str) -> Iterator[None]:
    """Turn what boto3 raises into one sentence that says what to do."""
    from boto3.exceptions import Boto3Error  # noqa: PLC0415 - an extra
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError  # noqa: PLC0415

    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code"))
        raise PublishError(f"{address}: {_HINTS.get(code, str(error))} (S3 answers {code})") from error
    except NoCredentialsError as error:
        raise PublishError(
            f"{address}: there are no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
        ) from error
    except (BotoCoreError, Boto3Error) as error:
        hint = next((text for code, text in _HINTS.items() if code.isalpha() and code in str(error)), None)
        said = hint or str(error).splitlines()[0]
        raise PublishError(f"{address}: {said}; run it again to go on") from error
