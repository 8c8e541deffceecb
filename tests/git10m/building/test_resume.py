"""A build that is killed at any instant and run again gives the bytes of one that was left alone."""

import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from small_imagery import built, promised

from git10m.verify import verify

Order = Callable[..., list[str]]


def run(order: list[str]) -> float:
    """Run a command to its end; return the seconds that it took."""
    start = time.monotonic()
    ended = subprocess.run(order, check=False, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    return time.monotonic() - start


def kill_after(order: list[str], seconds: float) -> bool:
    """Start a command, send SIGKILL to it alone, and wait until its workers are gone; False if it had ended."""
    process = subprocess.Popen(order, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        workers = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGKILL)
        process.wait()
        _, alive = psutil.wait_procs(workers, timeout=15)
        assert not alive, "workers outlive the build"
        return True
    return False


def test_killed_a_few_times_in_one_folder(survey: Path, undisturbed: Path, tmp_path: Path, git10m: Order) -> None:
    order = git10m(survey, tmp_path / "dataset", "--workers", "1")
    for seconds in (2.5, 3.5):
        kill_after(order, seconds)
    run(order)
    assert promised(tmp_path / "dataset") == promised(undisturbed)
    assert verify(tmp_path / "dataset") == []
    assert not list((tmp_path / "dataset").rglob("*.part")), "half-written files are left"


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("workers", ["1", "2"])
def test_killed_at_ten_random_instants(
    workers: str, survey: Path, undisturbed: Path, tmp_path: Path, git10m: Order
) -> None:
    duration = run(git10m(survey, tmp_path / "measured", "--workers", workers))
    assert promised(tmp_path / "measured") == promised(undisturbed)
    draw = random.Random(10)
    struck = 0
    for number in range(10):
        order = git10m(survey, tmp_path / f"killed-{number}", "--workers", workers)
        if kill_after(order, duration * (number + draw.random()) / 10):
            struck += 1
        else:  # the machine has become faster since
            duration *= 0.8
        run(order)
        assert promised(tmp_path / f"killed-{number}") == promised(undisturbed), f"killed at instant {number}"
        assert verify(tmp_path / f"killed-{number}") == []
    assert struck >= 7, "the build ended before most of the kills"


def test_killed_between_any_two_files(survey: Path, undisturbed: Path, tmp_path: Path) -> None:
    """Whatever file is the last one that was written, the build goes on from there."""
    folder = tmp_path / "dataset"
    built(survey, folder)
    written = sorted((path for path in folder.rglob("*") if path.is_file()), key=lambda path: -path.stat().st_mtime_ns)
    for number, path in enumerate(written):
        if path.name in {"lock", "finish.lock", "build.json"} or path.suffix == ".lock":
            continue
        path.unlink()
        (path.parent / f".{path.name}.{number}.part").write_bytes(b"half")
        if number % 3 == 2:
            built(survey, folder)
            assert promised(folder) == promised(undisturbed), f"without {path.name}"
    built(survey, folder)
    assert promised(folder) == promised(undisturbed)
    assert not list(folder.rglob("*.part"))
    assert verify(folder) == []


@pytest.mark.slow
def test_a_worker_that_is_killed_fails_the_build_which_can_go_on(
    survey: Path, undisturbed: Path, tmp_path: Path, git10m: Order
) -> None:
    order = git10m(survey, tmp_path / "dataset", "--workers", "2")
    process = subprocess.Popen(order, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    parent = psutil.Process(process.pid)
    while not (workers := [p for p in parent.children() if "spawn_main" in " ".join(p.cmdline())]):
        assert process.poll() is None, "the build ended before it had workers"
        time.sleep(0.02)
    workers[0].kill()
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "a worker process died" in said
    assert "Traceback" not in said
    run(order)
    assert promised(tmp_path / "dataset") == promised(undisturbed)
