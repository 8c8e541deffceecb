"""Folder, S3 and hub: what arrives, what is not sent twice, what is refused, and what an interruption leaves."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_server import TOKEN, Hub, running_hub
from servers import S3
from small_imagery import Said, command

from git10m.errors import PublishError, TargetError
from git10m.publish.delivery import MARK
from git10m.publish.publishing import publish
from git10m.publish.release import Piece, Publication
from git10m.publish.targets import open_target
from git10m.publish.targets.folder import FolderTarget
from git10m.verify import verify

pytestmark = pytest.mark.filterwarnings(
    "ignore:Use 'content=:DeprecationWarning"
)  # huggingface_hub's, of its own httpx

ALL = ("--allow-licence", "CC-BY-NC-ND-4.0", "--allow-licence", "unstated", "--check", "hashes", "--date", "2026-11-24")
REST = ("--without-refused", "--check", "hashes", "--date", "2026-11-24")


def run(capfd: pytest.CaptureFixture[str], dataset: Path, target: object, *more: object) -> Said:
    return command(capfd, "publish", dataset, "--to", target, *(more or ALL), "--json")


def content(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


@pytest.fixture(scope="module")
def arrived(mixed_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What a folder holds after publication: the other targets must hold the same."""
    folder = tmp_path_factory.mktemp("arrived") / "out"
    wanted = Publication(allowed=("CC-BY-NC-ND-4.0", "unstated"), date="2026-11-24")
    publish(mixed_dataset, open_target(str(folder), dataset=mixed_dataset), wanted=wanted)
    return content(folder)


# Folder


def test_the_command_publishes_verifies_and_says_what_it_did(
    mixed_dataset: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], arrived: dict[str, bytes]
) -> None:
    said = command(capfd, "publish", mixed_dataset, "--to", tmp_path / "out", *ALL[:4], "--date", "2026-11-24",
                   "--workers", 1, "--json").json  # fmt: skip
    assert said["published"] and said["rows"] == 52 and said["sent"] == len(arrived) and said["kept"] == 0
    assert content(tmp_path / "out") == arrived
    again = run(capfd, mixed_dataset, tmp_path / "out").json
    assert (again["sent"], again["kept"], again["bytes"]) == (0, len(arrived), 0)
    assert not (mixed_dataset / "work/.git10m-publish").exists()


def test_a_dry_run_checks_and_sends_nothing(
    mixed_dataset: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    said = run(capfd, mixed_dataset, tmp_path / "out", *REST, "--dry-run")
    assert said.json["published"] is False and said.json["left_out"] == {"CC-BY-NC-ND-4.0": 20, "unstated": 4}
    assert not (tmp_path / "out").exists()
    assert run(capfd, mixed_dataset, tmp_path / "out", "--dry-run").code == 2


def test_a_new_version_replaces_the_old_one_and_its_files(
    mixed_dataset: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run(capfd, mixed_dataset, tmp_path / "out", *ALL, "--format", "webdataset")
    (tmp_path / "out/mine.txt").write_text("not of the dataset")
    said = run(capfd, mixed_dataset, tmp_path / "out", *REST).json
    assert said["removed"] == 1
    assert not list((tmp_path / "out/data").glob("*.tar")) and (tmp_path / "out/mine.txt").exists()
    assert verify(tmp_path / "out") == []


def test_what_is_interrupted_is_never_taken_for_whole(
    mixed_dataset: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    arrived: dict[str, bytes],
) -> None:  # fmt: skip
    """After every single step of the copy, the folder has no manifest, or all that the manifest lists."""
    run(capfd, mixed_dataset, tmp_path / "out", *REST)
    real = FolderTarget.put
    for steps in range(12):  # noqa: B007 - counted to the end
        sent = 0

        def dying(self: FolderTarget, piece: Piece) -> None:
            nonlocal sent
            sent += 1
            if sent > 1:
                raise OSError(28, "No space left on device")
            real(self, piece)

        monkeypatch.setattr(FolderTarget, "put", dying)
        said = run(capfd, mixed_dataset, tmp_path / "out")
        if said.code == 0:
            break
        assert said.code == 1 and "No space left on device" in said.err and "run it again" in said.err
        assert not (tmp_path / "out/manifest.json").exists()
        assert (tmp_path / "out" / MARK).exists()
    assert 2 < steps < 11
    assert content(tmp_path / "out") == arrived


@pytest.mark.parametrize("inside", ["", "data", "new/place"])
def test_a_target_inside_the_dataset_is_refused(
    mixed_dataset: Path, inside: str, capfd: pytest.CaptureFixture[str]
) -> None:
    said = run(capfd, mixed_dataset, mixed_dataset / inside)
    assert said.code == 2 and "lies in the dataset" in said.err


def test_other_wrong_targets_say_what_to_do(
    mixed_dataset: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken/README.md").write_text("somebody's")
    cases = {
        mixed_dataset.parent: "holds the dataset",
        tmp_path / "file": "is a file",
        tmp_path / "taken": "holds other files (README.md)",
        "ftp://example.org/x": "cannot be published to",
        "hf://models/a/b": "expected hf://datasets/OWNER/NAME",
        "s3://": "expected s3://BUCKET",
    }
    for target, words in cases.items():
        said = run(capfd, mixed_dataset, target)
        assert said.code == 2 and words in said.err, (target, said.err)
    assert (tmp_path / "taken/README.md").read_text() == "somebody's"
    for flags, words in (
        (["--format", "zip"], "expected hub, webdataset or git10m"),
        (["--private"], "is for the hub"),
        (["--text-column"], "is for --format git10m"),
        (["--date", "yesterday"], "expected YYYY-MM-DD"),
        (["--check", "nothing"], "expected everything or hashes"),
    ):
        said = run(capfd, mixed_dataset, tmp_path / "out", *flags)
        assert said.code == 2 and words in said.err


def test_another_dataset_is_not_overwritten(
    mixed_dataset: Path, small_dataset: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    wanted = Publication(allowed=("unstated",), name="other")
    publish(small_dataset, open_target(str(tmp_path / "out"), dataset=small_dataset), wanted=wanted)
    before = content(tmp_path / "out")
    said = run(capfd, mixed_dataset, tmp_path / "out")
    assert said.code == 2 and "holds another dataset, 'other'" in said.err
    assert content(tmp_path / "out") == before
    assert run(capfd, mixed_dataset, tmp_path / "out", *ALL, "--name", "other").code == 0
    assert json.loads((tmp_path / "out/manifest.json").read_text())["name"] == "other"


def test_a_file_that_changed_is_not_published(
    mixed_dataset: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(mixed_dataset, copy, ignore=shutil.ignore_patterns("work"))
    with (copy / "data/train-00000-of-00001.parquet").open("r+b") as file:
        file.seek(1000)
        file.write(b"\0" * 8)
    for check in ("hashes", "everything"):
        said = run(capfd, copy, tmp_path / "out", *ALL[:4], "--check", check, "--workers", 1)
        assert said.code == 1 and "does not keep its promises" in said.err
    assert not (tmp_path / "out").exists()


# S3


def objects(address: str) -> dict[str, bytes]:
    import boto3

    bucket, _, prefix = address.removeprefix("s3://").partition("/")
    client = boto3.client("s3")
    found = client.list_objects_v2(Bucket=bucket).get("Contents", [])
    return {entry["Key"].removeprefix(f"{prefix}/"): client.get_object(Bucket=bucket, Key=entry["Key"])["Body"].read()
            for entry in found}  # fmt: skip


@pytest.fixture
def bucket(s3_server: S3) -> str:
    boto3 = pytest.importorskip("boto3")
    boto3.client("s3").create_bucket(Bucket="tiles")
    return "s3://tiles/sets/mixed"


def test_s3_gets_the_same_files_once(
    mixed_dataset: Path, bucket: str, capfd: pytest.CaptureFixture[str], arrived: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("git10m.publish.targets.s3._PART_BYTES", 5 * 2**20)
    said = run(capfd, mixed_dataset, bucket)
    assert said.code == 0 and said.json["sent"] == len(arrived)
    assert objects(bucket) == arrived
    assert run(capfd, mixed_dataset, bucket).json["sent"] == 0
    said = run(capfd, mixed_dataset, bucket, *REST).json
    assert 0 < said["sent"] < len(arrived) + 1 and objects(bucket).keys() == arrived.keys()


def test_large_files_go_to_s3_in_parts(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import boto3

    monkeypatch.setattr("git10m.publish.targets.s3._PART_BYTES", 5 * 2**20)
    (tmp_path / "large.tar").write_bytes(os.urandom(11 * 2**20))
    target = open_target(bucket, dataset=tmp_path)
    size, digest = 11 * 2**20, hashlib.sha256((tmp_path / "large.tar").read_bytes()).hexdigest()
    piece = Piece("data/large.tar", tmp_path / "large.tar", digest, size)
    target.put(piece)
    assert target.holds(piece) and not target.holds(Piece(piece.name, piece.path, "0" * 64, size))
    found = boto3.client("s3").head_object(Bucket="tiles", Key="sets/mixed/data/large.tar")
    assert found["ETag"].strip('"').endswith("-3")  # of three parts


def test_parts_that_a_killed_run_left_are_thrown_away(
    mixed_dataset: Path, bucket: str, capfd: pytest.CaptureFixture[str]
):
    import boto3

    client = boto3.client("s3")
    client.put_object(
        Bucket="tiles", Key=f"sets/mixed/{MARK}", Body=json.dumps({"name": "small", "stale": []}).encode()
    )
    client.create_multipart_upload(Bucket="tiles", Key="sets/mixed/data/train-00000-of-00001.parquet")
    assert run(capfd, mixed_dataset, bucket).code == 0
    assert client.list_multipart_uploads(Bucket="tiles").get("Uploads", []) == []
    assert MARK not in objects(bucket)


def test_s3_in_the_way_is_explained(
    mixed_dataset: Path, s3_server: S3, bucket: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = run(capfd, mixed_dataset, "s3://nowhere/x")
    assert said.code == 1 and "there is no such bucket" in said.err
    with s3_server.locked():
        said = run(capfd, mixed_dataset, bucket)
    assert said.code == 1 and "check AWS_ACCESS_KEY_ID" in said.err
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    said = run(capfd, mixed_dataset, bucket)
    assert said.code == 1 and "there are no credentials" in said.err
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "y")


def test_s3_does_not_overwrite_what_is_not_ours(
    mixed_dataset: Path, bucket: str, capfd: pytest.CaptureFixture[str]
) -> None:
    import boto3

    boto3.client("s3").put_object(Bucket="tiles", Key="sets/mixed/data/other.csv", Body=b"1")
    said = run(capfd, mixed_dataset, bucket)
    assert said.code == 2 and "holds other files (data/other.csv)" in said.err


# The hub


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub that huggingface_hub, in this process, takes for its own."""
    constants = pytest.importorskip("huggingface_hub.constants")
    with running_hub() as running:
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        # Its handler keeps the stream of the test that imported it first, which is closed.
        monkeypatch.setattr(logging.getLogger("huggingface_hub"), "handlers", [])
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield running


def asking(hub: Hub) -> dict[str, str]:
    """Environment of another process that asks this hub."""
    environment = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"}
    return {**environment, "HF_ENDPOINT": hub.url, "HF_TOKEN": TOKEN, "HF_HUB_DISABLE_XET": "1"}


def test_the_hub_gets_the_same_files_in_one_commit(
    mixed_dataset: Path, hub: Hub, capfd: pytest.CaptureFixture[str], arrived: dict[str, bytes]
) -> None:
    said = run(capfd, mixed_dataset, "hf://datasets/survey/tiles", *ALL)
    assert said.code == 0, said.err
    found = {name: file for name, file in hub.files("survey/tiles").items() if name != ".gitattributes"}
    assert found.keys() == arrived.keys()
    told = {"README.md", "manifest.json", "croissant.json"}  # they name the page and the owner
    assert all(found[name] == arrived[name] for name in arrived.keys() - told)
    assert f'"url": "{hub.url}/datasets/survey/tiles"' in found["croissant.json"].decode()
    assert len(hub.repos["survey/tiles"].branches["main"]) == 2
    hub.asked.clear()
    assert run(capfd, mixed_dataset, "hf://datasets/survey/tiles", *ALL).json["sent"] == 0
    assert hub.count("PUT", "/lfs/") == hub.count("POST", "/commit/") == 0


def test_the_hub_is_read_by_its_own_libraries(
    mixed_dataset: Path, hub: Hub, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    run(capfd, mixed_dataset, "hf://datasets/survey/tiles", *ALL)
    code = (
        "import sys, datasets, huggingface_hub as h\n"
        "d = datasets.load_dataset('survey/tiles', cache_dir=sys.argv[1])\n"
        "p = h.hf_hub_download('survey/tiles', 'index.parquet', repo_type='dataset', cache_dir=sys.argv[1])\n"
        "print(d['train'].num_rows, d['train'][0]['image'].size, p)"
    )
    call = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(call, env=asking(hub), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("52 (256, 256)")
    assert Path(done.stdout.split()[-1]).read_bytes() == (mixed_dataset / "index.parquet").read_bytes()


def test_a_new_version_takes_away_old_files_on_the_hub(
    mixed_dataset: Path, hub: Hub, capfd: pytest.CaptureFixture[str]
) -> None:
    run(capfd, mixed_dataset, "hf://datasets/survey/tiles", *ALL, "--format", "webdataset")
    assert "data/train-000000.tar" in hub.files("survey/tiles")
    said = run(capfd, mixed_dataset, "hf://datasets/survey/tiles", *REST)
    assert said.json["removed"] == 1 and "data/train-000000.tar" not in hub.files("survey/tiles")


def test_private_repositories_and_branches(mixed_dataset: Path, hub: Hub, capfd: pytest.CaptureFixture[str]) -> None:
    said = run(capfd, mixed_dataset, "hf://datasets/someone/secret", *ALL, "--private", "--revision", "v2")
    assert said.code == 0 and hub.repos["someone/secret"].private
    assert "manifest.json" in hub.files("someone/secret", "v2")
    assert "manifest.json" not in hub.files("someone/secret")
    hub.repos["someone/secret"].private = False
    said = run(capfd, mixed_dataset, "hf://datasets/someone/secret", *ALL, "--private")
    assert said.code == 2 and "is there and public" in said.err


def test_a_hub_that_stumbles_is_asked_again(
    mixed_dataset: Path, hub: Hub, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)
    hub.fail("POST", "preupload", 429)
    hub.fail("PUT", "/lfs/", 500)
    hub.fail("POST", "/commit/", 500, times=2)
    said = run(capfd, mixed_dataset, "hf://datasets/survey/tiles", *ALL)
    assert said.code == 0 and hub.count("POST", "/commit/") == 3
    assert len(hub.repos["survey/tiles"].branches["main"]) == 2


def test_a_hub_that_stays_down_is_explained_and_gone_on_with(
    mixed_dataset: Path, hub: Hub, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)
    hub.fail("POST", "/commit/", 503, times=5)
    said = run(capfd, mixed_dataset, "hf://datasets/survey/tiles", *ALL)
    assert said.code == 1 and "run it again" in said.err
    assert "manifest.json" not in hub.files("survey/tiles")
    sent = hub.count("PUT", "/lfs/")
    assert run(capfd, mixed_dataset, "hf://datasets/survey/tiles", *ALL).code == 0
    assert hub.count("PUT", "/lfs/") == sent  # the hub had the files; only the commit was missing


@pytest.mark.parametrize(
    ("target", "token", "role", "words", "code"),
    [
        ("survey/tiles", "hf_wrong", "write", "the token is not valid", 1),
        ("survey/tiles", TOKEN, "read", "the token may only read", 1),
        ("strangers/tiles", TOKEN, "write", "who may write to: someone, survey", 2),
    ],
)
def test_tokens_in_the_way_are_explained_before_anything_is_read(
    mixed_dataset: Path, hub: Hub, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    target: str, token: str, role: str, words: str, code: int,
) -> None:  # fmt: skip
    hub.role = role
    monkeypatch.setenv("HF_TOKEN", token)
    said = run(capfd, mixed_dataset, f"hf://datasets/{target}", *ALL)
    assert said.code == code and words in said.err
    assert hub.repos == {}


def test_a_repository_of_somebody_elses_files_is_left_alone(
    mixed_dataset: Path, hub: Hub, capfd: pytest.CaptureFixture[str]
) -> None:
    import huggingface_hub

    api = huggingface_hub.HfApi(hub.url)
    api.create_repo("survey/tiles", repo_type="dataset")
    api.upload_file(path_or_fileobj=b"1,2", path_in_repo="data.csv", repo_id="survey/tiles", repo_type="dataset")
    said = run(capfd, mixed_dataset, "hf://datasets/survey/tiles", *ALL)
    assert said.code == 2 and "holds other files (data.csv)" in said.err


def test_a_run_that_is_killed_while_it_sends_is_gone_on_with(mixed_dataset: Path, tmp_path: Path) -> None:
    pytest.importorskip("huggingface_hub")
    with running_hub() as hub:
        environment = asking(hub)
        call = [sys.executable, "-c", "from git10m.cli import main; main()", "publish", str(mixed_dataset),
                "--to", "hf://datasets/survey/tiles", "--scratch", str(tmp_path), *ALL]  # fmt: skip
        hub.part_bytes, hub.put_delay_s = 200_000, 0.15
        child = subprocess.Popen(call, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while hub.count("PUT", "/lfs/.*/part/") < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
        child.send_signal(signal.SIGKILL)
        child.wait()
        assert child.returncode == -signal.SIGKILL
        assert "manifest.json" not in hub.files("survey/tiles")
        hub.put_delay_s = 0.0
        done = subprocess.run(call, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        files = hub.files("survey/tiles")
        manifest = json.loads(files["manifest.json"])
        for name, note in {**manifest["files"], **manifest["published"]["files"]}.items():
            assert hashlib.sha256(files[name]).hexdigest() == note["sha256"]


def test_without_the_libraries_the_extra_is_named(mixed_dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module, target in (("huggingface_hub", "hf://datasets/a/b"), ("boto3", "s3://bucket/x")):
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(PublishError, match=r"pip install 'git10m\[publish\]'"):
            open_target(target, dataset=mixed_dataset)
    with pytest.raises(TargetError):
        open_target("gs://bucket/x", dataset=mixed_dataset)
